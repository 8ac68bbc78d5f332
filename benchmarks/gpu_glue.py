"""A BERT pre-trained and fine-tuned on one GPU, task by task and seed by seed, in parts that end by themselves.

    bertline preset use glue-h200; dvc repro encode task@cola task@sst2 …     # anywhere: tokens, vocabulary, task rows
    PYTHONPATH=src python benchmarks/gpu_glue.py --root . --out DIR           # on the GPU; again, to go on

It needs bertline's training core (docs/gpu.md) and PyYAML: no DVC, no Prefect, no MLflow. The recipe is a preset's;
--minutes and --set change it. Pre-training goes on from its checkpoint, and a fine-tuning run that has finished is not
made again: what a part of --seconds leaves undone, the next one does. Another recipe begins anew. Tasks are fine-tuned
side by side, as one alone leaves a GPU idle between its kernels; seeds of the pre-trained encoder come first, then
those of random weights. DIR/TASK.json holds every seed's scores on the test rows (of GLUE, the development set),
written after each run; DIR/gpu_glue.json all of them and the curve, written after pre-training and at the end of a
part. The encoder is data/runs/pretrain/RECIPE/model below the root.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml

from bertline.base.artifacts import Artifacts
from bertline.base.config import Finetune, Pretrain, SecondPhase
from bertline.base.errors import BertlineError, one_line, reason
from bertline.base.files import atomic_directory, read_jsonl, write_json
from bertline.base.gate_config import GatePretrain
from bertline.base.tune_config import Tune
from bertline.evaluation.metrics import score
from bertline.evaluation.seeds import spread
from bertline.finetuning.material import load_material
from bertline.finetuning.runs import Runs
from bertline.model.hf import save_model
from bertline.pretraining.initial import trained_length
from bertline.pretraining.trainer import Trainer, fingerprint
from bertline.tasks.schema import TaskInfo, read_rows
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import copy_tokenizer, read_vocab
from bertline.tokens.usage import unigram_entropy

PRESET = Path(__file__).parents[1] / "pipelines" / "presets" / "glue-h200.yaml"
STARTS = ("pretrained", "from_random")
PARTS = {"second_phase": SecondPhase, "tune": Tune}  # options that are groups of options
Section = TypeVar("Section", Pretrain, Finetune, GatePretrain)
MODEL, RESULT = "model", "result.json"  # in the directory of a pre-training
GLUE = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="holds data/tokens, data/vocab and data/tasks")
    parser.add_argument("--out", type=Path, required=True, help="a directory for gpu_glue.json")
    parser.add_argument("--preset", type=Path, default=PRESET)
    parser.add_argument("--seconds", type=float, default=530.0, help="of this part")
    parser.add_argument("--minutes", type=float, help="of pre-training, in place of the preset's budget")
    parser.add_argument("--set", nargs="+", default=[], metavar="SECTION.OPTION=VALUE", help="other options to change")
    parser.add_argument("--tasks", nargs="+", help="some of the tasks, in this order")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # a process of its own: "pretrain", or a task
    return parser.parse_args(arguments)


def main() -> int:
    """Do what there is time for."""
    options = read_options(sys.argv[1:])
    try:
        return work(options, time.monotonic() + options.seconds - since_start())
    except (BertlineError, OSError, torch.OutOfMemoryError) as error:
        sys.exit(f"gpu_glue: error: {one_line(error)}")


def since_start() -> float:
    """Seconds since this process began; to read torch from a disk that is cold takes many, and little of the CPU."""
    began = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")


def work(options: argparse.Namespace, ends: float) -> int:
    """All of this part, or in a process of its own one thing of it; the exit status."""
    sections, config, tasks = recipe(options)
    artifacts = Artifacts(options.root)
    if options.only == "pretrain":
        gate = section(GatePretrain, sections, "gate_pretrain")
        pretrain(artifacts, config, gate.min_gain_over_unigram)
        return 0
    run = run_of(artifacts, config)
    if options.only:
        finetune_task(artifacts, run, options.out, options.only, tasks[options.only])
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = {task: tasks[task] for task in options.tasks or tasks}
    there = {task: wanted[task] for task in wanted if (artifacts.task(task) / "task.json").is_file()}
    if missing := wanted.keys() - there.keys():
        print(f"gpu_glue: left out, without rows in {artifacts.tasks}: {', '.join(sorted(missing))}", file=sys.stderr)
    codes = in_parts(options, sections, there, run, ends)
    write_summary(options, sections, there, run)
    return int(any(codes))  # those of signals are negative


def recipe(options: argparse.Namespace) -> tuple[dict[str, Any], Pretrain, dict[str, Finetune]]:
    """The preset's sections, with what the command line changes; what they say of pre-training and of each task.

    Raises:
        BertlineError: there is no such option, value or task.
    """
    given = yaml.safe_load(options.preset.read_text(encoding="utf-8"))
    sections: dict[str, Any] = {"pretrain": {}, "finetune": {}, "tasks": {}} | given
    if options.minutes:
        sections["pretrain"] |= {"budget": options.minutes, "budget_unit": "minutes"}
    for change in options.set:
        name, given_one, value = change.partition("=")
        title, _, option = name.partition(".")
        if not (given_one and option):
            fix = "Write SECTION.OPTION=VALUE, as pretrain.learning_rate=0.0003"
            raise BertlineError("names no option and value", where=f"--set {change}", fix=fix)
        sections.setdefault(title, {})[option] = value_of(value)
    for task in options.tasks or ():
        if task not in sections["tasks"]:
            fix = f"Choose among {', '.join(sections['tasks'])}"
            raise BertlineError("the preset has no such task", where=f"--tasks {task}", fix=fix)
    tasks = {
        name: section(Finetune, {"finetune": sections["finetune"] | task.get("finetune", {})}, "finetune")
        for name, task in sections["tasks"].items()
    }
    return sections, section(Pretrain, sections, "pretrain"), tasks


def value_of(text: str) -> Any:
    """A value of the command line; JSON knows 3e-4, which to PyYAML is text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return yaml.safe_load(text)


def section(kind: type[Section], sections: Mapping[str, Any], title: str) -> Section:
    """The options of a section, checked here, as a GPU node may have no pydantic.

    Raises:
        BertlineError: one does not exist, or its value is none.
    """
    given, known = sections.get(title, {}), {item.name for item in fields(kind)}
    for name in given:
        if name not in known:
            fix = "Take one of those in src/bertline/base/config.py"
            raise BertlineError("there is no such option", where=f"{title}.{name}", fix=fix)
    try:
        return kind(**{name: PARTS[name](**value) if name in PARTS else value for name, value in given.items()})
    except (TypeError, ValueError) as error:
        raise BertlineError(reason(error), where=title, fix="Change it in the preset, or by --set") from error


def in_parts(
    options: argparse.Namespace, sections: Mapping[str, Any], tasks: Mapping[str, Finetune], run: Path, ends: float
) -> list[int]:
    """Pre-train unless that is done, then fine-tune all tasks side by side; exit codes, without those stopped."""
    codes = []
    if not (run / MODEL).is_dir():
        codes += wait({"pretrain": start("pretrain")}, ends)
        write_summary(options, sections, tasks, run)
    if (run / MODEL).is_dir():
        codes += wait({task: start(task) for task in tasks}, ends)
    return codes


def run_of(artifacts: Artifacts, config: Pretrain) -> Path:
    """Where the pre-training of this recipe and text has its checkpoints, its result and its model."""
    return artifacts.runs / "pretrain" / fingerprint(config, *stores(artifacts))


def stores(artifacts: Artifacts) -> tuple[TokenStore, TokenStore]:
    """The tokens to train on, and the held-out ones."""
    return TokenStore.open(artifacts.tokens("train")), TokenStore.open(artifacts.tokens("validation"))


def start(what: str) -> "subprocess.Popen[bytes]":
    """This script again, for one thing."""
    return subprocess.Popen([sys.executable, *sys.argv, "--only", what])


def wait(processes: "Mapping[str, subprocess.Popen[bytes]]", ends: float) -> list[int]:
    """Let processes end, or stop them in time; the exit codes of those that ended of themselves."""
    codes = []
    for name, process in processes.items():
        try:
            codes.append(process.wait(max(ends - time.monotonic(), 0.1)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # pre-training then writes a checkpoint; a finished run is kept anyway
            process.wait()
        else:
            if codes[-1] < 0:  # by the system, for memory; of its own faults it has told itself
                print(f"gpu_glue: {name} was ended by {signal.Signals(-codes[-1]).name}", file=sys.stderr)
    return codes


def pretrain(artifacts: Artifacts, config: Pretrain, least_gain: float) -> None:
    """Pre-train, from the last checkpoint on; write the model as stage pretrain does, and what came out beside it."""
    train, validation = stores(artifacts)
    run = run_of(artifacts, config)
    with Trainer(config, train, validation, read_vocab(artifacts.vocab), run) as trainer:
        trainer.train()
        log = list(read_jsonl(run / "log.jsonl"))
        result = {
            "metrics": trainer.metrics(),
            "seconds": trainer.history.seconds,
            "curve": trainer.history.curve,
            "validation_curve": trainer.history.validation_curve,
            "log": log,
        }
        write_json(run / RESULT, result)
        loss, entropy = result["metrics"]["validation"]["mlm_loss"], unigram_entropy(validation)
        if not loss < entropy - least_gain:  # NaN included
            sys.exit(f"pre-training has learned next to nothing: {loss:.2f} nats, the unigrams alone {entropy:.2f}")
        with atomic_directory(run / MODEL) as temporary:
            save_model(trainer.model, temporary)
            copy_tokenizer(artifacts.vocab, temporary, max_length=trained_length(config, Path()))


def finetune_task(artifacts: Artifacts, pretrained: Path, out: Path, task: str, config: Finetune) -> None:
    """Make the runs of a task from the encoder of a run, and write the scores of each as it is done."""
    info, rows = TaskInfo.read(artifacts.task(task)), read_rows(artifacts.task(task), "test")
    kept = set((artifacts.runs / "finetune" / task).glob("*"))
    before = scores_of(out, task, pretrained, config)
    about = made_by(pretrained, config) | {"metric": info.metric, "rows": len(rows)}
    scores: dict[str, dict[str, Any]] = {start: {} for start in STARTS}
    with Runs(artifacts.runs / "finetune" / task) as runs:
        material = load_material(artifacts.task(task), pretrained / MODEL, config)
        for name in STARTS:
            encoder = material.encoder if name == "pretrained" else None
            for seed in range(config.seed, config.seed + config.seeds):
                begun = time.perf_counter()
                run = runs.train(material, replace(config, seed=seed), encoder=encoder, title=f"{task} {name} {seed}")
                found = score(info, rows, list(read_jsonl(run.predictions("test"))))
                seconds = time.perf_counter() - begun
                if run.directory in kept:  # by an earlier part, which knows how long it took
                    seconds = before.get(name, {}).get(str(seed), {}).get("seconds")
                scores[name][str(seed)] = {**found, "seconds": seconds}
                if run.directory not in kept:  # of these the file knows, until the first that it does not
                    write_json(out / f"{task}.json", about | scores)
    write_json(out / f"{task}.json", about | scores)


def made_by(pretrained: Path, config: Finetune) -> dict[str, Any]:
    """The recipe of a task's scores: all but how many seeds there are of it."""
    return {"encoder": pretrained.name, "options": asdict(replace(config, seeds=1))}


def scores_of(out: Path, task: str, pretrained: Path, config: Finetune) -> dict[str, Any]:
    """What earlier parts have written of a task; nothing, if it is of another recipe."""
    path = out / f"{task}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if found.items() >= made_by(pretrained, config).items() else {}


def write_summary(
    options: argparse.Namespace, sections: Mapping[str, Any], configs: Mapping[str, Finetune], run: Path
) -> None:
    """DIR/gpu_glue.json, and a table for people."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    recorded = run / RESULT
    found: dict[str, Any] = {"device": device, "cores": len(os.sched_getaffinity(0))}
    found |= {"python": platform.python_version(), "torch": torch.__version__}
    found |= {"recipe": {name: sections[name] for name in ("pretrain", "finetune")}}
    found["pretrain"] = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else None
    tasks, lines = {}, [f"{'task':12} {'metric':20} {'from':12} median (least to most, seeds)"]
    for task in configs:
        scored = scores_of(options.out, task, run, configs[task])
        if not scored:
            continue
        tasks[task] = scored
        metric = tasks[task]["metric"]
        for name in STARTS:
            values = [seed[metric] for seed in tasks[task][name].values()]
            if values:
                each = spread(values)
                tasks[task]["spread"] = tasks[task].get("spread", {}) | {name: each._asdict()}
                around = f"({each.least:.4f} to {each.most:.4f}, {each.seeds})"
                lines.append(f"{task:12} {metric:20} {name:12} {each.median:.4f} {around}")
    found["tasks"] = tasks
    glue = [tasks[task]["spread"]["pretrained"]["median"] for task in GLUE if "spread" in tasks.get(task, {})]
    if glue:
        found["glue_mean"] = sum(glue) / len(glue)
        lines.append(f"mean of {len(glue)} GLUE tasks, their primary metrics: {found['glue_mean']:.4f}")
    write_json(options.out / "gpu_glue.json", found)
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The one place that knows where things lie: every path the pipeline reads or writes, under `data/`.

dvc.yaml names the same paths; a test holds the two together.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Artifacts:
    """Paths of a checkout, from its root (the folder of dvc.yaml and params.yaml)."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def fix_missing(self, path: str, fix: str) -> str:
        """What to do about a file of one's own that is not there; `path` is as params.yaml has it."""
        if ".dvc/tmp/exps/" not in self.root.resolve().as_posix():
            return fix
        ways = [*reversed(Path(path).parents), Path(path)]  # DVC copies a folder as a whole, to where there is none
        copied = next((way for way in ways if not (self.root / way).exists()), path)
        return f"`dvc exp run` with --temp or --queue takes along what git has: add `--copy-paths {copied}`"

    @property
    def raw(self) -> Path:
        """Sources as fetched, and manifest.json (address, sha256, bytes, licence)."""
        return self.data / "raw"

    @property
    def documents(self) -> Path:
        """{train,validation}-*.parquet: id, source, title, sentences; stats.json, dropped.jsonl."""
        return self.data / "documents"

    @property
    def vocab(self) -> Path:
        """vocab.txt, tokenizer.json, tokenizer_config.json; loadable by AutoTokenizer."""
        return self.data / "vocab"

    def tokens(self, split: str) -> Path:
        """ids.npy, sentences.npy, documents.npy, meta.json of one split."""
        return self.data / "tokens" / split

    @property
    def pretrained(self) -> Path:
        """BertForPreTraining in Hugging Face format, tokenizer and model card."""
        return self.data / "models" / "pretrained"

    def finetuned(self, task: str) -> Path:
        """The fine-tuned model of a task, from the pre-trained encoder, of the median seed; in Hugging Face format."""
        return self.data / "models" / "finetuned" / task

    def predictions(self, task: str, stage: str = "") -> Path:
        """A folder a stage that fine-tunes: SPLIT/START-SEED.jsonl, its answers to the test rows, and kept.json."""
        return self.data / "predictions" / task / stage

    @property
    def tasks(self) -> Path:
        """A folder a task."""
        return self.data / "tasks"

    def task(self, task: str) -> Path:
        """{train,validation,test}.jsonl and task.json of one task."""
        return self.tasks / task

    def gate(self, gate: str) -> Path:
        """report.json and passed.json (deterministic, DVC outs) and data_docs/ (outside the DAG) of one gate."""
        return self.data / "gates" / gate

    def gate_report(self, gate: str) -> Path:
        return self.gate(gate) / "report.json"

    def gate_passed(self, gate: str) -> Path:
        """What the stages behind a gate ask for: there, and always the same, where it was passed."""
        return self.gate(gate) / "passed.json"

    def report(self, stage: str, task: str = "") -> Path:
        """Folder of what a stage reports: metrics.json, curve.json, predictions.jsonl, confusion.csv."""
        return self.data / "reports" / stage / task

    def metrics(self, stage: str, task: str = "") -> Path:
        return self.report(stage, task) / "metrics.json"

    def curve(self, stage: str, task: str = "") -> Path:
        return self.report(stage, task) / "curve.json"

    @property
    def scoreboard(self) -> Path:
        """scoreboard.json, scoreboard.md and report.html."""
        return self.data / "reports" / "report"

    @property
    def registered(self) -> Path:
        """What register put into the MLflow registry: content hashes and scores."""
        return self.data / "registry" / "registered.json"

    @property
    def submission(self) -> Path:
        """Predictions for GLUE's leaderboard, as `bertline submission` writes them: outside DVC."""
        return self.runs / "glue-submission.zip"

    @property
    def downloads(self) -> Path:
        """Files of published benchmarks, laid out <host>/<path>: outside DVC, their hashes checked, safe to delete."""
        return self.data / "downloads"

    @property
    def runs(self) -> Path:
        """Checkpoints, live logs, locks and stage timings: outside DVC, safe to delete when nothing runs."""
        return self.data / "runs"

    def timing(self, stage: str) -> Path:
        """How long a stage (`pretrain`, `finetune@rte`) took when it last ran, and its peak memory."""
        return self.runs / "stages" / f"{stage}.json"

    @property
    def pages(self) -> Path:
        """A folder a flow run: its Data Docs and report, as `make ui` serves them."""
        return self.runs / "pages"

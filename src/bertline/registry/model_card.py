"""Model cards: README.md of a registered model, in the form of the Hugging Face Hub.

Data, licence, recipe, scores with intervals beside the baselines, limits, carbon and lineage, all read from the
pipeline's own files. The estimate of carbon depends on how long the stages took: cards are no artefacts of the DAG.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertline.base.artifacts import Artifacts
from bertline.base.config import Params
from bertline.base.files import read_json
from bertline.base.register_config import ENCODER
from bertline.evaluation.scoreboard import COLUMNS
from bertline.inference.heads import PIPELINE_TAGS, USES, in_markdown, reading
from bertline.model.hf import read_config
from bertline.registry.carbon import carbon
from bertline.tasks.benchmarks import licence_of_rows
from bertline.tasks.schema import SPLITS, TaskInfo
from bertline.tokens.tokenizer import read_max_length

Figures = Mapping[str, Any]

_CARD_COLUMNS = COLUMNS | {"pretrained": "its recipe", "from_random": "from random weights"}
_IF_ABLE = ("cpu", "bf16")
_LIMITS = """- The scores hold for text like the test rows; on other text they can be much lower.
- What the corpus leaves out or gets wrong, the model does too; no study of bias or toxicity was made.
- It is no basis for decisions about people."""


def task_card(
    info: TaskInfo, figures: Figures, params: Params, artifacts: Artifacts, lineage: Mapping[str, str]
) -> str:
    """The card of a fine-tuned model.

    Args:
        info: the task.
        figures: reports/evaluate/T/metrics.json.
        params: the configuration it was trained with.
        artifacts: paths.
        lineage: name -> value of where it comes from.
    """
    rows = ", ".join(f"{info.rows[split]:,} {split}" for split in SPLITS)
    labels = in_markdown(info.labels) or "none"
    recipe = params.finetune_for(info.name)
    # Another machine may have trained it than this one, and no file says in what.
    asked = {"precision": "bf16 where the processor has it"} if (recipe.device, recipe.precision) == _IF_ABLE else {}
    seeds, kept = figures["seeds"]["pretrained"], str(figures["kept"]["pretrained"])
    scores: dict[str, Figures] = {f"this model (seed {kept})": seeds[kept]}
    scores["95 % interval"] = {name: _interval(edges) for name, edges in figures["intervals"]["pretrained"].items()}
    scores |= {title: figures[key] for key, title in _CARD_COLUMNS.items() if key in figures}
    over = f"\n\nIts recipe and the other models: medians over {len(seeds)} seeds; it is the middle one on validation."
    over += " Interval: bootstrap over the test rows; it knows nothing of the seeds."
    table = _table(info.metrics, scores) + over
    return _card(
        title=params.register.model_name(info.name),
        pipeline_tag=PIPELINE_TAGS[info.kind],
        params=params,
        sections={
            "Use": f"A BERT ({_shape(params)}) that {USES[info.kind]}.\n\n{_serving(params, info.name)}",
            "Data": f"{info.source}. Rows: {rows}. Labels: {labels}.",
            "Recipe": _recipe("Fine-tuned from the pre-trained encoder of the same run", asdict(recipe) | asked),
            f"Scores on {figures['rows']:,} test rows (primary: {figures['metric']})": table,
            "Limits": "\n".join((*_task_limits(info, figures, artifacts, recipe.max_length), _LIMITS)),
            "Licence": f"{licence_of_rows(params.tasks[info.name].data.builder)}\n\n{_licences(artifacts)}",
            "Carbon": carbon(f"finetune@{info.name}", recipe, artifacts) + _PRETRAINING_TOO,
            "Lineage": _lineage(lineage),
        },
    )


_PRETRAINING_TOO = " What pre-training emitted stands in the card of the encoder."


def _task_limits(info: TaskInfo, figures: Figures, artifacts: Artifacts, max_length: int) -> Iterator[str]:
    """What the measurements say against the model."""
    yield f"- Of an input it {reading(info.kind, max_length)}."
    own = figures["seeds"]["pretrained"][str(figures["kept"]["pretrained"])][info.metric]
    others = [key for key in COLUMNS if key in figures and key != "pretrained"]
    better = [_CARD_COLUMNS[key] for key in others if figures[key][info.metric] > own]
    if better:
        yield f"- Better on the test rows: {', '.join(better)}."
    analysis = read_json(artifacts.report("evaluate", info.name) / "analysis.json")
    if "calibration" in analysis:
        error = analysis["calibration"]["expected_calibration_error"]
        yield f"- Its probabilities are off by {error:.3f} on average (expected calibration error)."
    length = analysis["slices"][0]
    parts = (f"{part['slice']}: {part['scores'][info.metric]:.3f}" for part in length["slices"])
    yield f"- {info.metric} by length ({length['by']}): {'; '.join(parts)}."


def _interval(edges: Sequence[float]) -> str:
    return f"{edges[0]:.4f} to {edges[1]:.4f}"


def encoder_card(
    figures: Figures, gain: float, params: Params, artifacts: Artifacts, lineage: Mapping[str, str]
) -> str:
    """The card of the pre-trained model.

    Args:
        figures: reports/pretrain/metrics.json.
        gain: nats of validation MLM loss under the unigram entropy.
        params: the configuration it was trained with.
        artifacts: paths.
        lineage: name -> value of where it comes from.
    """
    means = {name: value for name, value in figures["validation"].items() if value is not None}
    scores = {"this model": means | {"gain_over_unigram": gain}}
    scores["95 % interval"] = {name: _interval(edges) for name, edges in figures["intervals"].items()}
    recipe = params.pretrain
    use = f"A BERT ({_shape(params)}) pre-trained with {recipe.objective}: fills [MASK], or is fine-tuned."
    return _card(
        title=params.register.model_name(ENCODER),
        pipeline_tag="fill-mask",
        params=params,
        sections={
            "Use": f"{use}\n\n{_serving(params, ENCODER)}",
            "Data": _sources(artifacts),
            "Recipe": _recipe(f"Pre-trained {_start(params)}", asdict(recipe) | {"precision": figures["precision"]}),
            "Scores on the validation documents": _table(tuple(scores["this model"]), scores) + _ONE_RUN,
            "Limits": f"- Sequences of {_longest(artifacts.pretrained)} tokens were seen, none longer.\n{_LIMITS}",
            "Licence": _licences(artifacts),
            "Carbon": carbon("pretrain", recipe, artifacts),
            "Lineage": _lineage(lineage),
        },
    )


_ONE_RUN = (
    "\n\nIntervals: bootstrap over the validation batches. One run with one seed: the spread over seeds is not known."
)


def _longest(model: Path) -> int:
    """Of the sequences that a model has learned from, in tokens; what `init_from` names may have seen longer ones."""
    return read_max_length(model, read_config(model).max_positions)


def _shape(params: Params) -> str:
    """What the encoder is called: its size, or the model that it went on from."""
    return Path(params.pretrain.init_from).name or params.pretrain.model


def _start(params: Params) -> str:
    return f"further, from {_shape(params)}" if params.pretrain.init_from else "from scratch"


def _card(title: str, pipeline_tag: str, params: Params, sections: Mapping[str, str]) -> str:
    language = f'"{params.documents.language}"'  # the Hub reads YAML 1.1, where no, Norwegian, is false
    head = f"---\nlanguage: {language}\nlibrary_name: transformers\npipeline_tag: {pipeline_tag}\n---"
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    return f"{head}\n\n# {title}\n\n{body}\n"


def with_origin_of(card: str, earlier: str) -> str:
    """A card with the last two sections of an earlier one of the same model: the carbon and lineage of its making."""
    told, heading, _ = card.partition(_ORIGIN)
    _, known, origin = earlier.partition(_ORIGIN)
    return told + heading + origin if known else card


def shortened(card: str, most: int) -> str:
    """A card of at most so many characters: cut before its last two sections, which later cards take from it."""
    if len(card) <= most:
        return card
    told, heading, origin = card.partition(_ORIGIN)
    kept = "…\n" + heading + origin
    return told[: most - len(kept)] + kept if heading and len(kept) < most else card[: most - 1] + "…"


_ORIGIN = "\n## Carbon\n"


def _serving(params: Params, task: str) -> str:
    uri = f"models:/{params.register.model_name(task)}@champion"
    return f'```bash\nmlflow models serve -m "{uri}" --env-manager local --port 5001\n```'


def _recipe(opening: str, options: Mapping[str, Any]) -> str:
    return f"{opening}: " + ", ".join(f"{name} {value}" for name, value in options.items()) + "."


def _table(metrics: tuple[str, ...], columns: Mapping[str, Figures]) -> str:
    lines = [f"| metric | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for metric in metrics:
        values = (scores.get(metric, "") for scores in columns.values())
        cells = (value if isinstance(value, str) else f"{value:.4f}" for value in values)
        lines.append(f"| {metric} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _manifest(artifacts: Artifacts) -> list[Figures]:
    """The sources of the corpus; none where only the models were fetched."""
    path = artifacts.raw / "manifest.json"
    sources: list[Figures] = read_json(path)["sources"] if path.is_file() else []
    return sources


def _sources(artifacts: Artifacts) -> str:
    lines = [f"- {source['address']} (sha256 {source['sha256']})" for source in _manifest(artifacts)]
    return "\n".join(lines) or "See the manifest of the run."


def _licences(artifacts: Artifacts) -> str:
    found = sorted({source.get("licence") or "not stated" for source in _manifest(artifacts)})
    return f"Of the texts it was trained on: {'; '.join(found) or 'see the manifest of the run'}."


def _lineage(lineage: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: `{value}`" for name, value in sorted(lineage.items()))

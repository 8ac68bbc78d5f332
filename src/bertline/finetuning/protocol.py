"""The protocol: every start with several seeds, and of each the seed in the middle.

    pretrained = run_start("pretrained", runs, material, config, encoder=material.encoder, keep_models=True)
    pretrained.kept_seed        # the median by validation score: never the best

Starts: `pretrained`, the encoder of this pipeline, is the headline, one setting for all tasks; `from_random` is the
same network with the same heads, orders and budget from random weights. Where asked for, `tuned` is the pipeline's
encoder with options chosen for the task, `transfer` that encoder after another task (Phang et al. 2018: STILTs), and
`checkpoint` another BERT, both under the recipe of the headline.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from bertline.base.config import Finetune
from bertline.evaluation.seeds import middle_seed
from bertline.finetuning.material import Material
from bertline.finetuning.runs import Run, Runs
from bertline.finetuning.tuning import Trials, tune


@dataclass(frozen=True)
class Start:
    """The runs of one start.

    Attributes:
        name: pretrained, from_random, …
        material: what they read.
        config: their recipe.
        runs: seed -> run.
        trials: what was tried before its recipe was chosen.
    """

    name: str
    material: Material
    config: Finetune
    runs: dict[int, Run]
    trials: Trials = field(default_factory=list)

    @property
    def kept_seed(self) -> int:
        """The seed with the median validation score."""
        metric = self.material.data.task.metric
        return middle_seed({seed: run.history.scores[metric] for seed, run in self.runs.items()})

    @property
    def kept(self) -> Run:
        """Its run."""
        return self.runs[self.kept_seed]


def run_start(
    name: str,
    runs: Runs,
    material: Material,
    config: Finetune,
    *,
    encoder: Path | None,
    title: str = "",
    keep_models: bool = False,
) -> Start:
    """Make the runs of a start, one a seed, but for those that are there; `title` names them in progress lines.

    Raises:
        BertlineError: as finetune.
    """
    title = title or f"finetune@{material.data.task.name} {name}"
    done = {}
    for seed in range(config.seed, config.seed + config.seeds):
        recipe = replace(config, seed=seed)
        named = f"{title}, seed {seed}"
        done[seed] = runs.train(material, recipe, encoder=encoder, title=named, keep_model=keep_models)
    return Start(name, material, config, done)


def run_all(runs: Runs, material: Material, config: Finetune, checkpoint: Material | None = None) -> list[Start]:
    """Make the runs of every start that is asked for, the headline first.

    Args:
        runs: where they are kept.
        material: rows, and the pipeline's encoder.
        config: the recipe.
        checkpoint: the same rows with another BERT, if there is one to compare with.

    Raises:
        BertlineError: as finetune and tune.
    """
    encoder = material.encoder
    starts = [
        run_start("pretrained", runs, material, config, encoder=encoder, keep_models=True),
        run_start("from_random", runs, material, config, encoder=None),
    ]
    if config.tune.wanted:
        chosen, trials = tune(runs, material, config, encoder=encoder)
        tuned = run_start("tuned", runs, material, chosen, encoder=encoder)
        starts.append(replace(tuned, trials=trials))
    if checkpoint is not None:
        starts.append(run_start("checkpoint", runs, checkpoint, config, encoder=checkpoint.encoder))
    return starts

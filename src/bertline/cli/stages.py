"""`bertline STAGE [TASK]`: one stage of the pipeline, run in this process, without DVC."""

import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bertline.base.artifacts import Artifacts
from bertline.base.params import load_params
from bertline.base.stage import execute
from bertline.cli.console import Debug, Root, find_root, reporting

PANEL = "Run one stage (`dvc repro` runs all that are out of date)"
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="A task of params.yaml.", show_default=False)]


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: its name, what it does, and whether it runs once a task."""

    name: str
    summary: str
    per_task: bool = False


STAGES = (
    Stage("download", "Fetch the corpus."),
    Stage("documents", "Turn it into clean documents of sentences, in train and validation."),
    Stage("gate_corpus", "Check the documents."),
    Stage("vocab", "Train the WordPiece vocabulary."),
    Stage("encode", "Turn the documents into token ids."),
    Stage("gate_tokens", "Check the tokens."),
    Stage("pretrain", "Pre-train BERT."),
    Stage("gate_pretrain", "Check what it learned."),
    Stage("task", "Build the rows of a task.", per_task=True),
    Stage("gate_task", "Check the rows of a task.", per_task=True),
    Stage("finetune", "Fine-tune on a task, with several seeds, from pre-trained and random weights.", per_task=True),
    Stage("transfer", "Fine-tune on a task from the model of another, as section transfer says.", per_task=True),
    Stage("evaluate", "Score the models and the baselines on the task's test rows.", per_task=True),
    Stage("report", "Write the scoreboard and the report."),
    Stage("register", "Put the models into the MLflow registry."),
)


def add_stages(app: typer.Typer) -> None:
    """Make a command of every stage; its module is imported when it runs."""
    for stage in STAGES:
        command = _pretrain if stage.name == "pretrain" else _command(stage)
        app.command(stage.name, help=stage.summary, rich_help_panel=PANEL)(command)


def _command(stage: Stage) -> Callable[..., None]:
    def with_task(task: TaskName, root: Root = None, debug: Debug = False) -> None:
        _run(stage.name, task, root, debug)

    def without_task(root: Root = None, debug: Debug = False) -> None:
        _run(stage.name, "", root, debug)

    return with_task if stage.per_task else without_task


def _pretrain(
    replay: Annotated[
        int | None,
        typer.Option(metavar="STEP", help="Make this step again from its last checkpoint, and show it.", min=0),
    ] = None,
    root: Root = None,
    debug: Debug = False,
) -> None:
    if replay is None:
        _run("pretrain", "", root, debug)
    with reporting(debug):
        checkout = find_root(root)
        from bertline.stages import pretrain  # noqa: PLC0415

        with chdir(checkout):
            artifacts = Artifacts(Path())
            for line in pretrain.replay(load_params(artifacts.params), artifacts, replay):
                typer.echo(line)


def _run(name: str, task: str, root: Path | None, debug: bool) -> NoReturn:
    with reporting(debug):
        checkout = find_root(root)
        run = import_module(f"bertline.stages.{name}").run
    with chdir(checkout):  # as DVC does: relative paths in params.yaml start at the checkout
        status = execute(name, run, Path(), task, debug=debug)
    sys.stdout.flush()
    raise typer.Exit(status)

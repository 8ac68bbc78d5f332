"""The `bertline` command: what a person types. Everything it does is done by the rooms below.

console.py holds what the commands share; stages.py runs single stages, plan.py shows what would run, predict.py,
explain.py, embed.py and ask.py ask the models, registry.py says which of them serve, presets.py writes params.yaml,
doctor.py (with checks.py) examines the machine.
"""

from typing import Annotated

import typer

from bertline import __version__
from bertline.cli import doctor, presets
from bertline.cli.ask import fill_mask, scoreboard, submission
from bertline.cli.embed import embed
from bertline.cli.explain import explain
from bertline.cli.plan import plan
from bertline.cli.predict import predict
from bertline.cli.registry import add_registry
from bertline.cli.stages import PANEL as STAGES_PANEL
from bertline.cli.stages import add_stages

ASK_PANEL = "Ask the models"
SETUP_PANEL = "Set up"

app = typer.Typer(
    name="bertline",
    help=(
        "From raw text to a registered BERT.\n\nThe pipeline is run by `dvc repro` (or `make run`); this command asks"
        " its models, writes its configuration, and runs single stages by hand."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for question in (predict, fill_mask, scoreboard, submission, explain, embed):
    app.command(rich_help_panel=ASK_PANEL)(question)
app.command("doctor", rich_help_panel=SETUP_PANEL)(doctor.doctor)
app.add_typer(presets.app, name="preset", rich_help_panel=SETUP_PANEL)
add_registry(app)
app.command("plan", rich_help_panel=STAGES_PANEL)(plan)
add_stages(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bertline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options of the command itself; `help` above is its text."""


def main() -> None:
    """Run the command."""
    app()

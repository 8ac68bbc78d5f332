"""fill-mask and scoreboard: what people type, and what they read."""

import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.params import load_params, write_params
from cli.typed import Model, Type, rows


def write_scoreboard(checkout: Path, table: str, figures: str) -> None:
    folder = Artifacts(checkout).scoreboard
    folder.mkdir(parents=True)
    (folder / "scoreboard.md").write_text(table)
    (folder / "scoreboard.json").write_text(figures)


def test_words_are_guessed_where_the_text_has_a_mask(type_in: Type, model_of: Model) -> None:
    model_of("classification")
    guesses = rows(type_in("fill-mask", "the red [MASK].", "--top", "3", "--json"))
    assert len(guesses) == 3
    assert guesses[0]["score"] >= guesses[1]["score"] >= guesses[2]["score"]
    shown = type_in("fill-mask", "the [MASK] [MASK].", "--top", "1").stdout
    assert "[MASK]" in shown, "the other mask is left standing, and is not taken for markup"
    without = type_in("fill-mask", "the red cat.")
    assert without.exit_code == 1
    assert "no [MASK] in 'the red cat.'" in without.stderr
    assert type_in("fill-mask", "the [MASK]", "--top", "0").exit_code == 2


def test_fill_mask_without_a_model_says_how_to_get_one(type_in: Type) -> None:
    result = type_in("fill-mask", "a [MASK]")
    assert result.exit_code == 1
    assert "dvc repro pretrain" in result.stderr


def test_the_scoreboard_is_shown_or_said_to_be_missing(type_in: Type, checkout: Path) -> None:
    missing = type_in("scoreboard")
    assert missing.exit_code == 1
    assert "no scoreboard yet. Run the pipeline: `dvc repro`." in missing.stderr
    write_scoreboard(checkout, "| task | F1 |\n|---|---|\n| docs_qa | 0.5 |\n", '{"tasks": {\n"docs_qa": 0.5}}')
    assert "| docs_qa | 0.5 |" in type_in("scoreboard").stdout
    assert rows(type_in("scoreboard", "--json")) == [{"tasks": {"docs_qa": 0.5}}]


def test_a_scoreboard_of_other_tasks_than_those_of_params_yaml_is_called_so(type_in: Type, checkout: Path) -> None:
    write_scoreboard(checkout, "| docs_qa | 0.5 |\n", '{"tasks": {"docs_qa": 0.5}}')
    others = type_in("scoreboard")
    assert (
        "this is of docs_qa; params.yaml has docs_pair, docs_params, docs_qa, docs_topic. `dvc repro`" in others.stderr
    )
    params = load_params(checkout / "params.yaml")
    write_params(checkout / "params.yaml", replace(params, tasks={"docs_qa": params.tasks["docs_qa"]}), "for tests")
    assert type_in("scoreboard").stderr == ""
    (checkout / "params.yaml").write_text("tasks: [")
    assert type_in("scoreboard").stdout == others.stdout


@pytest.mark.parametrize("columns", [40, 80, 124, 200])
def test_of_the_scoreboard_nothing_is_cut_however_narrow_the_terminal_is(columns: int, checkout: Path) -> None:
    rows = [[f"docs_task_{letter}", "classification", *(f"0.{n}{n}{n}" for n in range(1, 9))] for letter in "ab"]
    heading = ["task", "kind", *(f"a column {n}" for n in range(1, 9))]
    lines = ("| " + " | ".join(cells) + " |" for cells in (heading, ["---"] * len(heading), *rows))
    write_scoreboard(checkout, "\n".join(lines) + "\n", '{"tasks": {}}')
    terminal, ours = pty.openpty()
    command = [sys.executable, "-c", "from bertline.cli import main; main()", "scoreboard"]
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "dumb"}
    subprocess.run(command, cwd=checkout, stdout=ours, env=environment, check=True)
    os.close(ours)
    shown = os.read(terminal, 2**16).decode()
    os.close(terminal)
    assert all(cell in shown for row in rows for cell in (row[0], *row[2:])), shown
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines()) <= columns


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_has_enough_ends_a_command_quietly(options: list[str], checkout: Path) -> None:
    """As in `bertline … | head -1`."""
    write_scoreboard(checkout, "| task | F1 |\n", '{"docs_qa": 0.5}')
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from bertline.cli import main; main()", "scoreboard", *options]
    done = subprocess.run(command, cwd=checkout, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.stderr, done.returncode) == ("", 1)

"""predict, fill-mask and scoreboard: what people type, and what they read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind
from bertline.training.device import usable_precision

Type = Callable[..., Result]
BF16 = ["--precision", "bf16"]
Model = Callable[[Kind], str]


def rows(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_text_gets_a_label_with_its_score(type_in: Type, model_of: Model) -> None:
    task = model_of("classification")
    (answer,) = rows(type_in("predict", task, "the red cat", "--json"))
    assert answer["label"] == max(answer["scores"], key=answer["scores"].get)
    table = type_in("predict", task, "the red cat", "a [/bold] blue [dog]").stdout
    assert answer["label"] in table
    assert "the red cat" in table
    assert "a [/bold] blue [dog]" in table, "what looks like markup is text"


def test_answers_in_bf16_are_those_in_fp32_to_rounding(type_in: Type, model_of: Model) -> None:
    task = model_of("classification")
    exact, (rounded,) = (rows(type_in("predict", task, "the red cat", "--json", *more)) for more in ([], BF16))
    assert rounded["scores"] == pytest.approx(exact[0]["scores"], abs=0.02)
    assert (rounded == exact[0]) == (usable_precision("cpu", "bf16") == "fp32")


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="this machine has a GPU: that none is there is told only where there is none"
)
def test_a_gpu_that_is_not_there_is_one_clear_line(type_in: Type, model_of: Model) -> None:
    refused = type_in("predict", model_of("regression"), "red", "--device", "cuda")
    assert refused.exit_code == 1
    assert "device: cuda: no CUDA device is available" in refused.stderr


def test_several_texts_get_an_answer_each_in_their_order(type_in: Type, model_of: Model) -> None:
    task = model_of("regression")
    texts = ["red", "blue blue", "green cat"]
    pairs = ["--pair", "a dog"] if "text_pair" in type_in("predict", task, "x").stderr else []
    together = rows(type_in("predict", task, *texts, *pairs, "--json"))
    apart = [row for text in texts for row in rows(type_in("predict", task, text, *pairs, "--json"))]
    # To fp32's rounding, which the other rows of a batch may change, and far closer than these answers are.
    assert [row["value"] for row in together] == pytest.approx([row["value"] for row in apart], rel=1e-6)
    assert len({round(row["value"], 6) for row in together}) == len(texts)
    lines = "".join(f"{text}\n\n" for text in texts)
    assert rows(type_in("predict", task, "-", *pairs, "--json", stdin=lines)) == together


def test_a_number_is_shown_with_six_digits_in_whatever_unit(type_in: Type, model_of: Model) -> None:
    task = model_of("regression")
    pairs = ["--pair", "a dog"] if "text_pair" in type_in("predict", task, "x").stderr else []
    value = rows(type_in("predict", task, "red", *pairs, "--json"))[0]["value"]
    assert f" {value:.6g}" in type_in("predict", task, "red", *pairs).stdout


def test_a_pair_takes_its_second_text_once_or_once_each(type_in: Type, model_of: Model) -> None:
    task = model_of("pair")
    once = rows(type_in("predict", task, "red", "blue", "--pair", "a dog", "--json"))
    each = rows(type_in("predict", task, "red", "blue", "--pair", "a dog", "--pair", "a dog", "--json"))
    assert once == each
    assert len(once) == 2
    shown = type_in("predict", task, "red", "--pair", "a dog").stdout
    assert "red | a dog" in shown


def test_a_text_is_tagged_word_by_word(type_in: Type, model_of: Model) -> None:
    task = model_of("tagging")
    (answer,) = rows(type_in("predict", task, "ann saw tom.", "--json"))
    assert answer["words"] == ["ann", "saw", "tom", "."]
    assert len(answer["tags"]) == 4
    assert "ann saw tom." in type_in("predict", task, "ann saw tom.").stdout


def test_a_question_is_answered_from_its_context(type_in: Type, model_of: Model) -> None:
    task = model_of("span")
    context = "the red cat. the blue dog."
    (answer,) = rows(type_in("predict", task, "which colour", "--context", context, "--json"))
    assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert rows(type_in("predict", task, "--question", "which colour", "--context", context, "--json")) == [answer]
    assert answer["answer"].split()[0] in type_in("predict", task, "which colour", "--context", context).stdout


def test_a_question_may_list_several_answers(type_in: Type, model_of: Model) -> None:
    task = model_of("span")
    asked = ("predict", task, "which colour", "--context", "the red cat. the blue dog.", "--n-best", "4")
    (answer,) = rows(type_in(*asked, "--json"))
    assert len(answer["n_best"]) == 4
    shown = type_in(*asked).stdout
    assert all(other["answer"] in shown for other in answer["n_best"])


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("classification", [], "no text given. Add the text in quotes"),
        ("span", [], "no question given"),
        ("span", ["which"], "1 × TEXT, but 0 × --context. Give --context once, or once for each TEXT"),
        ("pair", ["a", "b", "c", "--pair", "x", "--pair", "y"], "3 × TEXT, but 2 × --pair"),
        ("classification", ["a", "--pair", "b"], "--pair makes no sense for classification. Leave it out"),
        ("classification", ["a", "--context", "b"], "--context makes no sense for classification"),
        ("classification", ["a", "--question", "b"], "--question makes no sense for classification. Leave it out"),
        ("pair", ["--question", "a", "--pair", "b"], "--question makes no sense for pair"),
        ("regression", ["a", "--n-best", "3"], "--n-best makes no sense for regression. Leave it out"),
        ("classification", ["  "], "text is empty"),
    ],
)
def test_wrong_arguments_are_explained_in_one_line(
    kind: Kind, arguments: list[str], message: str, type_in: Type, model_of: Model
) -> None:
    result = type_in("predict", model_of(kind), *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_lines_that_are_not_utf8_are_refused_in_one_line(type_in: Type, model_of: Model) -> None:
    refused = type_in("predict", model_of("classification"), "-", stdin="red\ncafé\n".encode("latin1"))
    assert refused.exit_code == 1
    assert "standard input: not UTF-8" in refused.stderr
    assert "iconv -f windows-1252 -t utf-8" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_task_without_a_model_says_how_to_get_one(type_in: Type, model_of: Model) -> None:
    assert "Make it with `dvc repro finetune@docs_qa`." in type_in("predict", "docs_qa", "x").stderr
    nothing = type_in("predict", "nope", "x")
    assert nothing.exit_code == 1
    assert "`dvc repro` makes those of: docs_topic, docs_pair, docs_params, docs_qa." in nothing.stderr
    task = model_of("classification")
    assert f"Choose one of: {task}." in type_in("predict", "nope", "x").stderr
    assert "no fine-tuned model for a task '../pretrained'" in type_in("predict", "../pretrained", "x").stderr


def test_a_damaged_model_is_one_line_and_a_traceback_only_on_request(
    type_in: Type, model_of: Model, checkout: Path
) -> None:
    task = model_of("classification")
    (Artifacts(checkout).finetuned(task) / "model.safetensors").write_bytes(b"\0" * 40)
    broken = type_in("predict", task, "x")
    assert broken.exit_code == 1
    assert len(broken.stderr.splitlines()) == 1
    assert "Traceback" in type_in("predict", task, "x", "--debug").stderr


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
    folder = Artifacts(checkout).scoreboard
    folder.mkdir(parents=True)
    (folder / "scoreboard.md").write_text("| task | F1 |\n|---|---|\n| docs_qa | 0.5 |\n")
    (folder / "scoreboard.json").write_text('{"tasks": {\n"docs_qa": 0.5}}')
    assert "| docs_qa | 0.5 |" in type_in("scoreboard").stdout
    assert rows(type_in("scoreboard", "--json")) == [{"tasks": {"docs_qa": 0.5}}]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_reader_that_has_enough_ends_a_command_quietly(options: list[str], checkout: Path) -> None:
    """As in `bertline … | head -1`."""
    folder = Artifacts(checkout).scoreboard
    folder.mkdir(parents=True)
    (folder / "scoreboard.md").write_text("| task | F1 |\n")
    (folder / "scoreboard.json").write_text('{"docs_qa": 0.5}')
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from bertline.cli import main; main()", "scoreboard", *options]
    done = subprocess.run(command, cwd=checkout, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.stderr, done.returncode) == ("", 1)

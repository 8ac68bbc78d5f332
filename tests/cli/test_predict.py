"""predict: what people type, and what they read."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Task, TaskData
from bertline.base.params import load_params, write_params
from bertline.training.device import usable_precision
from cli.typed import Model, Type, rows

BF16 = ["--precision", "bf16"]
ASKED = {"context": "the red cat", "qas": [{"id": "q1", "question": "which colour ?"}]}
SQUAD = json.dumps({"data": [{"paragraphs": [ASKED]}]})


def test_a_text_gets_a_label_with_its_score(type_in: Type, model_of: Model) -> None:
    task = model_of("classification")
    (answer,) = rows(type_in("predict", task, "the red cat", "--json"))
    assert answer["label"] == max(answer["scores"], key=answer["scores"].get)
    table = type_in("predict", task, "the red cat", "a [/bold] blue [dog]").stdout
    assert answer["label"] in table
    assert "the red cat" in table
    assert "a [/bold] blue [dog]" in table, "what looks like markup is text"


def test_of_an_answer_in_a_table_nothing_is_cut(type_in: Type, model_of: Model) -> None:
    shown = type_in("predict", model_of("classification"), "q" * 59).stdout
    assert shown.count("q") == 59, shown


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


def test_the_colours_of_a_line_of_a_log_are_text_in_the_table(type_in: Type, model_of: Model) -> None:
    table = type_in("predict", model_of("classification"), "-", stdin="\x1b[31mred\x1b[0m cat\n").stdout
    assert "\\x1b[31mred\\x1b[0m cat" in table and "\x1b" not in table


def test_several_texts_get_an_answer_each_in_their_order(type_in: Type, model_of: Model) -> None:
    task = model_of("regression")
    texts = ["red", "blue blue", "green cat"]
    together = rows(type_in("predict", task, *texts, "--json"))
    apart = [row for text in texts for row in rows(type_in("predict", task, text, "--json"))]
    # To fp32's rounding, which the other rows of a batch may change, and far closer than these answers are.
    assert [row["value"] for row in together] == pytest.approx([row["value"] for row in apart], rel=1e-6)
    assert len({round(row["value"], 6) for row in together}) == len(texts)
    lines = "".join(f"{text}\n\n" for text in texts)
    assert rows(type_in("predict", task, "-", "--json", stdin=lines)) == together


def test_a_number_is_shown_with_six_digits_in_whatever_unit(type_in: Type, model_of: Model) -> None:
    task = model_of("regression")
    (answer,) = rows(type_in("predict", task, "red", "--json"))
    assert f" {answer['value']:.6g}" in type_in("predict", task, "red").stdout


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
    assert "iconv -f windows-1252 -t utf-8` (that is Western European; Chinese may be gb18030" in refused.stderr
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


def test_rows_of_a_file_are_answered_with_their_ids(type_in: Type, model_of: Model, checkout: Path) -> None:
    task = model_of("pair")
    pairs = [("the cat", "a dog"), ("red", "blue")]
    (checkout / "rows.csv").write_text(
        "id,text,text_pair,label\n" + "".join(f"n{n},{a},{b},?\n" for n, (a, b) in enumerate(pairs)), encoding="utf-8"
    )
    answers = rows(type_in("predict", task, "--file", "rows.csv"))
    asked = [row for a, b in pairs for row in rows(type_in("predict", task, a, "--pair", b, "--json"))]
    assert [answer.pop("id") for answer in answers] == ["n0", "n1"]
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in asked]
    assert [answer["score"] for answer in answers] == pytest.approx([answer["score"] for answer in asked], abs=1e-5)
    written = type_in("predict", task, "--file", "rows.csv", "--out", "answers.jsonl")
    assert "answers.jsonl written: 2 answers" in written.stdout
    lines = (checkout / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["n0", "n1"]


@pytest.mark.parametrize(
    ("kind", "name", "content", "words"),
    [("span", "new.json", SQUAD, [None]), ("tagging", "new.conll", "red\ncat\n\nthe\n", [["red", "cat"], ["the"]])],
)
def test_rows_without_their_answers_are_answered_in_every_form(
    kind: Kind, name: str, content: str, words: list[Any], type_in: Type, model_of: Model, checkout: Path
) -> None:
    (checkout / name).write_text(content)
    assert [answer.get("words") for answer in rows(type_in("predict", model_of(kind), "--file", name))] == words


def test_a_file_is_read_by_the_columns_of_params_yaml(type_in: Type, model_of: Model, checkout: Path) -> None:
    task = model_of("classification")
    data = TaskData("files", train="data/sources/r.csv", columns={"text": "review", "label": "stars"})
    params = replace(load_params(checkout / "params.yaml"), tasks={task: Task("classification", data)})
    write_params(checkout / "params.yaml", params, "for tests")
    (checkout / "new.jsonl").write_text('{"review": "the red cat"}\n{"review": "a dog"}\n', encoding="utf-8")
    answers = rows(type_in("predict", task, "--file", "new.jsonl"))
    assert answers == rows(type_in("predict", task, "the red cat", "a dog", "--json"))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("review\nred\n", [], "new.csv, line 2: no column 'text'. Name yours in tasks.toy_classification.data.columns"),
        ('text\nred\n" "\n', [], "new.csv, line 3: text is empty"),
        ("text\n", [], "new.csv: no rows"),
        ('"the\nheading",\x1b[2J\nred,1\n', [], r"no column 'text'"),
        ("text\nred\n", ["red"], "--file beside other inputs"),
        ("text\nred\n", ["--pair", "red"], "--pair makes no sense for classification"),
    ],
)
def test_a_file_that_cannot_be_answered_is_one_line_and_leaves_nothing(
    content: str, options: list[str], message: str, type_in: Type, model_of: Model, checkout: Path
) -> None:
    task = model_of("classification")
    (checkout / "new.csv").write_text(content, encoding="utf-8")
    refused = type_in("predict", task, *options, "--file", "new.csv", "--out", "answers.jsonl")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (checkout / "answers.jsonl").exists()


def test_half_a_character_in_an_id_is_named_as_in_a_text(type_in: Type, model_of: Model, checkout: Path) -> None:
    (checkout / "rows.jsonl").write_text('{"id": "a", "text": "red"}\n{"id": "b\\ud83d", "text": "red"}\n')
    refused = type_in("predict", model_of("classification"), "--file", "rows.jsonl", "--out", "answers.jsonl")
    assert "rows.jsonl, line 2: id holds half a character (\\ud83d)" in refused.stderr


def test_a_device_does_not_become_a_file_of_answers(type_in: Type, model_of: Model, checkout: Path) -> None:
    os.mkfifo(checkout / "device")
    (checkout / "rows.csv").write_text("text\nred\n")
    refused = type_in("predict", model_of("classification"), "--file", "rows.csv", "--out", "device")
    assert "device: a device or a pipe, no file. Name a file; without a name, answers go to standard" in refused.stderr
    assert (checkout / "device").is_fifo()


def test_rows_are_not_written_over_by_their_answers(type_in: Type, model_of: Model, checkout: Path) -> None:
    (checkout / "rows.jsonl").write_text('{"text": "red", "label": "mine"}\n')
    (checkout / "link.jsonl").symlink_to("rows.jsonl")
    refused = type_in("predict", model_of("classification"), "--file", "rows.jsonl", "--out", "link.jsonl")
    assert refused.stderr.startswith("error: link.jsonl: --out is the file that is read. Name another")
    assert "mine" in (checkout / "rows.jsonl").read_text()


def test_out_without_a_file_is_refused(type_in: Type, model_of: Model) -> None:
    assert "--out is for the answers to --file" in type_in("predict", model_of("pair"), "x", "--out", "y").stderr

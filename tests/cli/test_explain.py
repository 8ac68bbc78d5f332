"""explain and embed: what people type, and what they read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind
from cli.typed import Model, Type


def test_words_are_shown_with_what_the_answer_is_without_them(type_in: Type, model_of: Model) -> None:
    task = model_of("classification")
    shown = type_in("explain", task, "the red cat")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].strip() == "the red cat"
    explanation = json.loads(type_in("explain", task, "the red cat", "--json").stdout)
    assert lines[1].split() == ["hidden", explanation["label"], "weight"]
    assert lines[2].split() == ["nothing", f"{explanation['score']:.3f}"]
    heaviest = sorted(explanation["words"], key=lambda word: -abs(word["weight"]))
    assert [line.split() for line in lines[3:]] == [
        [word["word"], f"{word['without']:.3f}", f"{word['weight']:+.2f}"] for word in heaviest
    ]
    assert len(type_in("explain", task, "the red cat", "--top", "1").stdout.splitlines()) == 4


def test_both_texts_of_a_pair_are_shown(type_in: Type, model_of: Model) -> None:
    shown = type_in("explain", model_of("pair"), "the cat", "--pair", "some [dog]").stdout.splitlines()
    assert [line.strip() for line in shown[:2]] == ["the cat", "some [dog]"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("span", [], "answers of kind span are not explained"),
        ("classification", ["--pair", "x"], "--pair makes no sense for classification"),
        ("pair", [], "1 × TEXT, but 0 × --pair"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(
    kind: Kind, options: list[str], message: str, type_in: Type, model_of: Model
) -> None:
    refused = type_in("explain", model_of(kind), "red", *options)
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_texts_become_vectors_whichever_way_they_come(type_in: Type, model_of: Model, checkout: Path) -> None:
    model_of("classification")  # and its encoder
    (checkout / "rows.csv").write_text("n,said\n1,the red cat\n2,a dog\n", encoding="utf-8")
    typed = [json.loads(line) for line in type_in("embed", "the red cat", "a dog").stdout.splitlines()]
    assert [row["text"] for row in typed] == ["the red cat", "a dog"]
    lines = type_in("embed", "-", stdin="the red cat\na dog\n").stdout
    rows = type_in("embed", "--file", "rows.csv", "--column", "said").stdout
    assert lines == rows == "".join(json.dumps(row) + "\n" for row in typed)
    written = type_in("embed", "--file", "rows.csv", "--column", "said", "--out", "out.npy")
    assert "out.npy written: 2 vectors of 32" in written.stdout
    np.testing.assert_allclose(np.load(checkout / "out.npy"), [row["embedding"] for row in typed], atol=1e-6)
    refused = type_in("embed", "--file", "rows.csv", "--column", "said", "--out", "rows.csv")
    assert "rows.csv: --out is the file that is read" in refused.stderr
    os.mkfifo(checkout / "device")
    assert "device: a device or a pipe, no file" in type_in("embed", "x", "--out", "device").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no text given"),
        (["x", "--file", "rows.csv"], "TEXT and --file together"),
        (["--file", "rows.csv"], "rows.csv, line 2: no column 'text'. Give its name with --column; the file has: said"),
        (["--file", "gone.csv"], "gone.csv: file not found"),
    ],
)
def test_texts_that_cannot_be_read_are_one_line(
    arguments: list[str], message: str, type_in: Type, model_of: Model, checkout: Path
) -> None:
    model_of("classification")
    (checkout / "rows.csv").write_text("said\na dog\n", encoding="utf-8")
    refused = type_in("embed", *arguments, "--out", "out.npy")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not (checkout / "out.npy").exists()


def test_embed_without_a_model_says_how_to_get_one(type_in: Type, checkout: Path) -> None:
    assert not Artifacts(checkout).pretrained.exists()
    assert "Make it with `dvc repro pretrain`" in type_in("embed", "x").stderr

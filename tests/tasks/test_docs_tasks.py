"""The four tasks of the quickstart: nothing leaks, the same bytes every time, and every row is what it says."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import sha256_directory
from bertline.base.words import normalised
from bertline.tasks import docs_pair, docs_params, docs_qa, docs_topic
from bertline.tasks.catalog import build_task
from bertline.tasks.docs import docs_split, read_docs, without_repeats
from bertline.tasks.docs_params import words
from bertline.tasks.hashing import sample
from bertline.tasks.schema import SPLITS, TaskInfo, read_rows
from tasks.docs_corpus import raw_rows, write_raw
from tasks.published_files import no_fetch

KINDS: dict[str, Kind] = {
    "docs_topic": "classification",
    "docs_pair": "pair",
    "docs_params": "tagging",
    "docs_qa": "span",
}

PINNED = {"numpy": "train", "torch.nn": "validation", "logging": "test"}


def built(artifacts: Artifacts, name: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
    build_task(name, Task(kind=KINDS[name], data=TaskData(builder=name, **options)), artifacts, no_fetch)
    return {split: read_rows(artifacts.task(name), split) for split in SPLITS}


def seen_text(row: dict[str, Any]) -> str:
    return normalised(row.get("text_pair") or row.get("text") or row.get("context") or " ".join(row["words"]))


def test_the_split_of_a_module_never_changes() -> None:
    assert {name: docs_split(name) for name in PINNED} == PINNED
    shares = [docs_split(f"a.b{number}") for number in range(5000)]
    assert 0.78 < shares.count("train") / 5000 < 0.82
    assert 0.08 < shares.count("test") / 5000 < 0.12


@pytest.mark.parametrize("name", KINDS)
def test_neither_a_module_nor_a_text_is_in_two_splits(artifacts: Artifacts, name: str) -> None:
    rows = built(artifacts, name)
    modules = {split: {row["id"].partition(":")[0] for row in rows[split]} for split in SPLITS}
    texts = {split: {seen_text(row) for row in rows[split]} for split in SPLITS}
    for split in SPLITS:
        assert rows[split]
        assert {docs_split(module) for module in modules[split]} == {split}
        for other in set(SPLITS) - {split}:
            assert not texts[split] & texts[other]


@pytest.mark.parametrize("name", KINDS)
def test_a_text_that_stands_in_a_training_module_is_no_test_row(tmp_path: Path, name: str) -> None:
    rows = raw_rows()
    trained = {row["text"] for row in rows if docs_split(row["module"]) == "train"}
    tested = next(row for row in rows if docs_split(row["module"]) == "test")
    copied = tested | {"text": sorted(trained)[0].upper() if name == "docs_topic" else sorted(trained)[0]}
    artifacts = write_raw(tmp_path, [copied if row is tested else row for row in rows])
    identity = f"{tested['module']}:{tested['name']}"
    assert not [row for row in built(artifacts, name)["test"] if row["id"].startswith(identity)]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_corpus_gives_the_same_bytes_in_every_process(artifacts: Artifacts, name: str) -> None:
    built(artifacts, name)
    here = sha256_directory(artifacts.task(name))
    program = (
        "from pathlib import Path\n"
        "from bertline.base.artifacts import Artifacts\n"
        "from bertline.base.config import Task, TaskData\n"
        "from bertline.tasks.catalog import build_task\n"
        f"build_task({name!r}, Task(kind={KINDS[name]!r}, data=TaskData(builder={name!r})),"
        f" Artifacts(Path({str(artifacts.root)!r})), None)\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "123"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert sha256_directory(artifacts.task(name)) == here


def test_topic_shows_no_name_of_a_package(artifacts: Artifacts) -> None:
    rows = built(artifacts, "docs_topic")
    assert {row["label"] for row in rows["train"]} == {"numpy", "sqlalchemy", "torch"}
    shown = " ".join(row["text"].lower() for row in rows["train"])
    assert not any(name in shown for name in ("numpy", "sqlalchemy", "torch"))
    assert "[mask]" in shown


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("A torch.Tensor or np.ndarray", "A [MASK].Tensor or [MASK].ndarray"),
        ("scikit-learn, PyTorch and torchvision", "[MASK], [MASK] and [MASK]"),
        ("MlflowException of plt.plot in matplotlibrc", "[MASK] of [MASK].plot in [MASK]"),
        ("with myown package", "with [MASK] package"),
        ("huggingface transformers models", "[MASK] models"),
        ("an input of inputs snap", "an input of inputs snap"),
    ],
)
def test_names_and_aliases_are_masked_also_inside_words(text: str, masked: str) -> None:
    assert docs_topic.NameMask(["myown"])(text) == masked


def test_topic_takes_no_more_of_a_package_than_its_share(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_topic, "ROWS_A_PACKAGE", {"train": 20, "validation": 5, "test": 5})
    labels = [row["label"] for row in built(artifacts, "docs_topic")["train"]]
    assert {label: labels.count(label) for label in labels} == {"numpy": 20, "sqlalchemy": 20, "torch": 20}


def test_pair_is_half_and_half_and_neither_half_tells_by_itself(artifacts: Artifacts) -> None:
    for rows in built(artifacts, "docs_pair").values():
        labels = [row["label"] for row in rows]
        assert abs(labels.count("same") - labels.count("other")) <= len({row["id"][:3] for row in rows})
        assert len({row["text"] for row in rows}) == len({row["text_pair"] for row in rows}) == len(rows)


def test_pair_takes_the_other_description_from_the_same_package(artifacts: Artifacts) -> None:
    numbers = {"torch": "tensor", "numpy": "array", "sqlalchemy": "session"}
    for row in built(artifacts, "docs_pair")["train"]:
        topic = numbers[row["id"].partition(".")[0]]
        assert topic in row["text"]
        assert topic in row["text_pair"]
        own = row["text"].split("number ")[1].split()[0] == row["text_pair"].split("number ")[1].split()[0]
        assert own == (row["label"] == "same")


def test_pair_masks_the_name_of_the_object_where_it_stands_in_both(tmp_path: Path) -> None:
    rows = raw_rows()
    for row in rows:
        row["name"] = "given" if row["name"] == "f0" else row["name"]
        row["text"] = row["text"].replace("Compute the", "Compute given the")
    artifacts = write_raw(tmp_path, rows)
    same = [row for row in built(artifacts, "docs_pair")["train"] if row["label"] == "same"]
    for row in same:
        assert ("given" in row["text"]) == ("given" in row["text_pair"]) == (not row["id"].endswith(":given"))


def test_params_are_bio_and_tag_what_the_docstring_documents(artifacts: Artifacts) -> None:
    rows = built(artifacts, "docs_params")
    assert TaskInfo.read(artifacts.task("docs_params")).labels == ("B-NAME", "B-TYPE", "I-TYPE", "O")
    row = next(row for row in rows["train"] if row["id"].startswith("numpy"))
    names = [word for word, tag in zip(row["words"], row["tags"], strict=True) if tag == "B-NAME"]
    assert names[1:] == ["limit", "copy"]
    assert names[0].startswith("array_")
    kinds = [word for word, tag in zip(row["words"], row["tags"], strict=True) if tag.endswith("-TYPE")]
    assert kinds[:2] == ["axis_like", "of"]
    assert kinds[-4:] == ["int", "bool", "default", "True"]


def test_params_give_nothing_away_by_punctuation_or_capitals(artifacts: Artifacts) -> None:
    for row in built(artifacts, "docs_params")["train"]:
        starts = [
            word
            for last, word, tag in zip(row["tags"], row["words"][1:], row["tags"][1:], strict=False)
            if tag == "O" and last != "O"
        ]
        assert all(word == word.lower() for word in starts)
        assert all(word[0].isalnum() and word[-1].isalnum() for word in row["words"])


def test_words_lose_the_punctuation_around_them() -> None:
    assert words("`x` : (array-like), *optional* -- see [1]_.") == ["x", "array-like", "optional", "see", "1]_"]


def test_answers_stand_verbatim_at_their_offsets_and_belong_to_the_parameter_asked_for(artifacts: Artifacts) -> None:
    for rows in built(artifacts, "docs_qa").values():
        for row in rows:
            (answer,) = row["answers"]
            context, start = row["context"], answer["start"]
            assert context[start : start + len(answer["text"])] == answer["text"]
            name = row["id"].rpartition("(")[2].rstrip(")")
            assert name in row["question"]
            assert context[:start].rpartition(".")[2].strip().startswith(name) or context[:start].startswith(name)
            assert len(context) <= docs_qa.MAX_CONTEXT


def test_contexts_leave_out_parameters_that_would_make_them_too_long(tmp_path: Path) -> None:
    rows = raw_rows()
    for row in rows:
        row["text"] += "extra : int\n    " + "very long " * 100 + "\nlast : int\n    The last one of them all.\n"
    for row in built(write_raw(tmp_path, rows), "docs_qa")["train"]:
        assert len(row["context"]) <= docs_qa.MAX_CONTEXT
        assert "very long" not in row["context"]
        assert row["context"].endswith("last (int): The last one of them all.")


def test_questions_are_put_in_several_ways(artifacts: Artifacts) -> None:
    rows = built(artifacts, "docs_qa")["train"]
    ways = {row["question"].replace(row["id"].rpartition("(")[2].rstrip(")"), "{}") for row in rows}
    assert ways == set(docs_qa.QUESTIONS)


def test_max_train_rows_keeps_so_many_and_every_label(artifacts: Artifacts) -> None:
    rows = built(artifacts, "docs_topic", max_train_rows=7)
    assert len(rows["train"]) == 7
    assert {row["label"] for row in rows["train"]} == {"numpy", "sqlalchemy", "torch"}
    assert len(rows["test"]) > 7


def test_a_sample_keeps_the_order_and_does_not_depend_on_it() -> None:
    items = [f"row {number}" for number in range(100)]
    chosen = sample(items, 30, str)
    assert len(chosen) == 30
    assert chosen == [item for item in items if item in set(chosen)]
    assert sample(items[::-1], 30, str) == chosen[::-1]
    assert sample(items, 200, str) == items


def test_repeats_stay_in_the_first_split() -> None:
    parts = {"test": ["a", "c"], "train": ["a", "a", "b"], "validation": ["b", "d"]}
    assert without_repeats(parts, str) == {"train": ["a", "b"], "validation": ["d"], "test": ["c"]}  # type: ignore[arg-type]


def test_two_objects_of_one_name_have_ids_of_their_own(tmp_path: Path) -> None:
    row = raw_rows()[0]
    docs = read_docs(write_raw(tmp_path, [row, row]).raw)
    assert [doc.id for doc in docs] == ["torch.m0:f0", "torch.m0:f0#2"]


def test_a_missing_raw_file_says_how_to_get_it(tmp_path: Path) -> None:
    told = r"python-docs\.jsonl: file not found.*'python-docs:'` to download\.sources, or take"
    with pytest.raises(BertlineError, match=told):
        built(Artifacts(tmp_path), "docs_topic")


def test_a_raw_row_without_a_column_is_named(tmp_path: Path) -> None:
    row = raw_rows()[0]
    del row["module"]
    artifacts = write_raw(tmp_path, [row])
    with pytest.raises(BertlineError, match=r"line 1: no text in column 'module'"):
        built(artifacts, "docs_pair")


def test_a_corpus_of_one_package_has_no_topics(tmp_path: Path) -> None:
    artifacts = write_raw(tmp_path, [row for row in raw_rows() if row["package"] == "torch"])
    with pytest.raises(BertlineError, match="the one label 'torch'"):
        built(artifacts, "docs_topic")


def test_a_corpus_too_small_for_a_split_says_so(tmp_path: Path) -> None:
    artifacts = write_raw(tmp_path, raw_rows(modules=1))
    with pytest.raises(BertlineError, match=r"no (validation|test) rows.*Take more packages"):
        built(artifacts, "docs_params")


def test_names_of_several_parameters_are_tagged_one_by_one() -> None:
    parameter = docs_params.Parameter("x1, x2", "array_like", "Two arrays")
    assert list(docs_params._entry(parameter))[:3] == [("x1", "B-NAME"), ("x2", "B-NAME"), ("array_like", "B-TYPE")]


def test_pair_rows_are_exactly_as_many_as_asked_for(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_pair, "ROWS", {"train": 40, "validation": 6, "test": 6})
    assert len(built(artifacts, "docs_pair")["train"]) <= 40

"""Decontamination: 13 words in a row with an evaluation row are found, 12 are not, and common phrases are let be."""

import json
import unicodedata
from pathlib import Path

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Documents, Params, Task, TaskData
from bertline.base.errors import BertlineError
from bertline.base.files import read_json, write_json, write_jsonl
from bertline.corpus import block, contamination
from bertline.corpus.documents import build_corpus
from bertline.corpus.readers import read_documents
from bertline.stages import documents as stage

CONFIG = Documents(min_characters=20, validation_fraction=0.2)
ROW = "Seven grey herons stood in the shallow water and waited for the morning boat to leave the harbour"
PLANTED = ROW.split()


def filler(number: int, words: int = 30) -> str:
    """Words that no other number has."""
    name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return " ".join(f"{name}x{chr(ord('a') + place % 26)}{'y' * (place // 26)}" for place in range(words))


def some_documents(count: int = 40) -> list[str]:
    return [f"Document {number} says {filler(number)}. It ends here, as {number} does." for number in range(count)]


def planted(number: int, words: list[str]) -> str:
    return f"It was {filler(number)} when {' '.join(words)}. They {filler(number + 1000)} then."


def build(
    tmp_path: Path, documents: list[str], rows: list[dict], config: Documents = CONFIG, split: str = "test"
) -> tuple[dict, list[dict]]:
    directory = tmp_path / "data" / "documents"
    directory.mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "text.txt").write_text("\n\n".join(documents))
    write_json(tmp_path / "raw" / "manifest.json", {"sources": [{"path": "text.txt"}]})
    (tmp_path / "tasks" / "herons" / split).parent.mkdir(parents=True)
    write_jsonl(tmp_path / "tasks" / "herons" / f"{split}.jsonl", rows)
    metrics = build_corpus(tmp_path / "raw", directory, config, [tmp_path / "tasks" / "herons"])
    assert read_json(directory / "stats.json") == metrics
    return metrics, [json.loads(line) for line in (directory / "dropped.jsonl").read_text().splitlines()]


def test_a_document_that_shares_13_words_is_dropped_and_listed_and_one_with_12_is_not(tmp_path: Path) -> None:
    documents = [*some_documents(), planted(100, PLANTED[2:15]), planted(200, PLANTED[2:14])]
    metrics, dropped = build(tmp_path, documents, [{"id": "r1", "text": ROW, "label": "x"}])
    assert metrics["dropped"] == {"documents_contaminated": 1}
    assert metrics["evaluation_ngrams"] == len(PLANTED) - 12
    assert metrics["train_documents"] + metrics["validation_documents"] == len(documents) - 1
    (row,) = dropped
    assert row.pop("id")
    assert row == {
        "source": "text.txt",
        "title": "text 41",
        "rule": "contaminated",
        "task": "herons",
        "split": "test",
        "row": "r1",
        "ngram": " ".join(PLANTED[2:15]).lower(),
    }


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "text": "Something else.", "text_pair": ROW.upper(), "label": "x"},
        {"id": 1, "words": ROW.replace(",", " ,").split(), "tags": ["O"] * len(PLANTED)},
        {"id": 1, "question": "Who waited?", "context": f"Once: {ROW}!", "answers": []},
    ],
)
@pytest.mark.parametrize("split", ["validation", "test_mismatched", "submission/diagnostics"])
def test_texts_of_every_kind_of_row_count_whatever_their_case_and_punctuation(
    tmp_path: Path, row: dict, split: str
) -> None:
    documents = [*some_documents(), planted(100, ["“", *PLANTED[:7], ",", *PLANTED[7:], "”"])]
    metrics, _ = build(tmp_path, documents, [row], split=split)
    assert metrics["dropped"] == {"documents_contaminated": 1}


def test_a_document_is_found_in_whichever_block_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "BLOCK_CHARACTERS", 2000)
    documents = some_documents()
    documents[30:30] = [planted(100, PLANTED)]
    _, dropped = build(tmp_path, documents, [{"id": "r1", "text": ROW}])
    assert [row["title"] for row in dropped] == ["text 31"]
    assert len(list(block.blocks(read_documents(tmp_path / "raw")))) > 3


def test_what_was_merged_on_the_way_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contamination, "_HELD", 3)
    rows = [{"id": str(number), "text": filler(1000 + number, 16)} for number in range(6)]
    rows[1:1] = [{"id": "r", "text": ROW}, {"id": "again", "text": ROW}]
    documents = [*some_documents(), planted(100, PLANTED), planted(200, rows[-1]["text"].split())]
    metrics, dropped = build(tmp_path, documents, rows)
    assert metrics["evaluation_ngrams"] == len(PLANTED) - 12 + 6 * 4
    assert [row["row"] for row in dropped] == ["r", "5"]


def test_training_rows_do_not_count_and_decontamination_can_be_left_out(tmp_path: Path) -> None:
    documents = [*some_documents(), planted(100, PLANTED)]
    rows = [{"id": "r", "text": ROW, "label": "x"}]
    assert build(tmp_path / "train", documents, rows, split="train")[0]["dropped"] == {}
    without = Documents(min_characters=20, validation_fraction=0.2, decontaminate=False)
    assert build(tmp_path / "off", documents, rows, without)[0]["dropped"] == {}


@pytest.mark.parametrize(("copies", "dropped"), [(10, 10), (11, 0)])
def test_what_stands_in_many_documents_is_a_common_phrase(tmp_path: Path, copies: int, dropped: int) -> None:
    documents = [*some_documents(), *(planted(100 + number, PLANTED[:13]) for number in range(copies))]
    metrics, _ = build(tmp_path, documents, [{"id": "r", "text": ROW, "label": "x"}])
    assert metrics["dropped"].get("documents_contaminated", 0) == dropped


def test_copies_of_a_contaminated_document_do_not_make_its_text_common(tmp_path: Path) -> None:
    documents = [*some_documents(), *([planted(100, PLANTED)] * 20)]
    metrics, dropped = build(tmp_path, documents, [{"id": "r", "text": ROW, "label": "x"}])
    assert metrics["dropped"] == {"documents_contaminated": 1, "documents_duplicate": 19}
    assert {row["rule"] for row in dropped} == {"contaminated", "duplicate"}


def test_chinese_characters_are_words(tmp_path: Path) -> None:
    text = "七隻灰色的蒼鷺站在淺水裡等待早晨的船離開港口"
    documents = [
        *some_documents(),
        f"從前有一天，{text[3:16]}，他們看見了。然後大家都回家了，天也黑了。",
        f"很久以前，{text[4:16]}，沒有人知道。後來所有的人都忘記了這件事情。",
    ]
    metrics, dropped = build(tmp_path, documents, [{"id": "r", "text": text, "label": "x"}])
    assert metrics["dropped"] == {"documents_contaminated": 1}
    assert dropped[0]["ngram"] == " ".join(text[3:16])


@pytest.mark.parametrize(
    "text",
    [
        "Shares of AT&amp;T &amp; its rival rose &#39;within weeks&#39; analysts said on a &quot;cold&quot; day then",
        "I loved it from the start<br /><br />The acting was superb, and the<br />music was great too, all of it",
        unicodedata.normalize("NFD", "Hà Nội là thủ đô của nước Việt Nam và cũng là một trong hai đô thị lớn nhất"),
        "The her\u00adons of the har\u00adbour wait\u00aded in shal\u00adlow wa\u00adter and then flew to the north",
    ],
    ids=["entities", "tags", "letters apart from their accents", "soft hyphens"],
)
def test_a_row_is_found_in_the_very_text_that_it_was_taken_from(tmp_path: Path, text: str) -> None:
    documents = [*some_documents(), f"It was {filler(100)} when.\n{text}.\nThey {filler(1100)} then."]
    metrics, dropped = build(tmp_path, documents, [{"id": "r", "text": text, "label": "x"}])
    assert metrics["dropped"]["documents_contaminated"] == 1
    assert (dropped[0]["row"], len(dropped[0]["ngram"].split())) == ("r", 13)


def test_a_row_counts_as_it_is_too(tmp_path: Path) -> None:
    text = "Seven herons stood in the water.[12] They waited for the boat to leave."
    plain = text.replace("[12]", " 12")  # nothing takes this number for a citation
    metrics, _ = build(tmp_path, [*some_documents(), f"{filler(100)}. {plain}"], [{"id": "r", "text": text}])
    assert metrics["dropped"]["documents_contaminated"] == 1


def test_rows_of_tasks_that_are_not_in_params_do_not_count(tmp_path: Path) -> None:
    params = Params(documents=CONFIG, tasks={"mine": Task(data=TaskData(train="data/sources/a.csv"))})
    artifacts = Artifacts(tmp_path)
    artifacts.raw.mkdir(parents=True)
    (artifacts.raw / "text.txt").write_text("\n\n".join([*some_documents(), planted(100, PLANTED)]))
    write_json(artifacts.raw / "manifest.json", {"sources": [{"path": "text.txt"}]})
    with pytest.raises(BertlineError, match="tasks/mine: the evaluation rows"):
        stage.run(params, artifacts)
    for name, text in (("mine", "Something else."), ("taken_out", ROW), (".mine.x.tmp", ROW)):
        artifacts.task(name).mkdir(parents=True)
        write_jsonl(artifacts.task(name) / "test.jsonl", [{"id": "r", "text": text, "label": "x"}])
    assert stage.run(params, artifacts)["dropped"] == {}


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "tasks" / "t").mkdir(parents=True)
    (tmp_path / "tasks" / "t" / "test.jsonl").write_text('{"id": 1, "text": "x"}\n{"id"\n')
    with pytest.raises(BertlineError, match=r"t/test\.jsonl, line 2: not valid JSON"):
        build_corpus(tmp_path / "raw", tmp_path / "out", CONFIG, [tmp_path / "tasks" / "t"])
    assert list((tmp_path / "out").iterdir()) == []

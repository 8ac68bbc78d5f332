"""SQuAD, v1.1 and v2.0 (Rajpurkar et al. 2016, 2018; https://rajpurkar.github.io/SQuAD-explorer).

The dev rows are scored: they are the test rows here, since the official test rows are not published. Validation rows
are cut from the training rows by whole articles. `squad_44` trains on 44 of the 442 articles of the training file
(11,877 questions; the test part of Du et al.'s split, 2017), for small machines.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertline.base.errors import BertlineError
from bertline.base.files import read_json
from bertline.tasks.published import Benchmark, Parts, PublishedFile
from bertline.tasks.schema import Record, Row

_DATA = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
_DU = "https://raw.githubusercontent.com/tomhosking/squad-du-split/beac7f3ddcdd579010c7352646938e8ab31e8add"


def squad_records(path: Path, shown: str) -> Iterator[Record]:
    """The questions of a file: title, id, question, context; answers if the file has them ([] if it is impossible).

    Raises:
        BertlineError: the file is not of the form data, paragraphs, qas.
    """
    where = shown
    try:
        for article in read_json(path)["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    where = f"{shown}, question {question['id']}"
                    record = {
                        "title": article.get("title", ""),
                        "id": question["id"],
                        "question": question["question"],
                        "context": paragraph["context"],
                    }
                    if question.get("is_impossible") is True:
                        record["answers"] = []
                    elif "answers" in question:
                        record["answers"] = question["answers"]
                    yield where, record
    except (KeyError, TypeError, AttributeError) as error:
        fix = "Write it as SQuAD: data[].paragraphs[].{context, qas[].{id, question, answers}}"
        fix += "; rows of another form go into .jsonl, an object a line"
        raise BertlineError(f"not in the form of SQuAD ({error!r})", where=where, fix=fix) from None


def our_answers(value: Any) -> Any:
    """Our answers from SQuAD's ([{text, answer_start}]) or Hugging Face's ({text: […], answer_start: […]})."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return value
        return [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if isinstance(value, list):
        return [
            {"text": answer["text"], "start": answer["answer_start"]}
            if isinstance(answer, dict) and {"text", "answer_start"} <= answer.keys()
            else answer
            for answer in value
        ]
    return value


def _read(files: Mapping[str, Path]) -> Parts:
    records = {split: [record for _, record in squad_records(path, path.name)] for split, path in files.items()}
    rows = {split: [_row(record) for record in some] for split, some in records.items()}
    return Parts(rows, groups=[record["title"] for record in records["train"]])


def _row(record: Mapping[str, Any]) -> Row:
    question = {key: record[key].strip() if key == "question" else record[key] for key in ("id", "question", "context")}
    return question | {"answers": our_answers(record["answers"])}


_DEV_1 = PublishedFile.at(
    f"{_DATA}/dev-v1.1.json", 4_854_279, "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9"
)
_METRICS = ("f1", "exact_match")

SQUAD: Mapping[str, Benchmark] = {
    "squad": Benchmark(
        "SQuAD v1.1",
        "span",
        {
            "train": PublishedFile.at(
                f"{_DATA}/train-v1.1.json",
                30_288_272,
                "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
            ),
            "test": _DEV_1,
        },
        _read,
        {"train": 87_599, "test": 10_570},
        _METRICS,
        licence="CC BY-SA 4.0",
    ),
    "squad_44": Benchmark(
        "SQuAD v1.1, 44 training articles",
        "span",
        {
            "train": PublishedFile.at(
                f"{_DU}/test-v1.1.json", 3_771_656, "e7853905d95f255090f58a2af5221c7f2b296934f8a6c1d77b36df4686f0d828"
            ),
            "test": _DEV_1,
        },
        _read,
        {"train": 11_877, "test": 10_570},
        _METRICS,
        licence="CC BY-SA 4.0",
    ),
    "squad_v2": Benchmark(
        "SQuAD v2.0",
        "span",
        {
            "train": PublishedFile.at(
                f"{_DATA}/train-v2.0.json",
                42_123_633,
                "68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002",
            ),
            "test": PublishedFile.at(
                f"{_DATA}/dev-v2.0.json", 4_370_528, "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8"
            ),
        },
        _read,
        {"train": 130_319, "test": 11_873},
        (*_METRICS, "has_answer_f1", "no_answer_accuracy", "best_f1", "best_exact_match"),
        licence="CC BY-SA 4.0",
    ),
}

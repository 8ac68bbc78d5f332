"""Builder "files": the user's own rows in five formats, and one clear line for whatever is wrong with them."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Kind, Task, TaskData
from bertline.base.download_config import Source
from bertline.base.errors import BertlineError
from bertline.base.words import normalised
from bertline.tasks.catalog import build_task
from bertline.tasks.schema import SPLITS, TaskInfo, read_rows
from tasks.published_files import no_fetch

Rows = dict[str, list[dict[str, Any]]]
CSV = "text,label\n" + "".join(f"text number {n},{'yes' if n % 2 else 'no'}\n" for n in range(200))


def build(artifacts: Artifacts, kind: Kind, train: str, **options: Any) -> Rows:
    data = TaskData(builder="files", train=f"data/sources/{train}", **options)
    build_task("mine", Task(kind=kind, data=data), artifacts, no_fetch)
    return {split: read_rows(artifacts.task("mine"), split) for split in SPLITS}


def training_rows(artifacts: Artifacts, kind: Kind, name: str, **options: Any) -> list[dict[str, Any]]:
    """All rows of a file, which is that of every split: none is cut from it."""
    file = f"data/sources/{name}"
    return build(artifacts, kind, name, validation=file, test=file, **options)["train"]


def put(artifacts: Artifacts, name: str, text: str | bytes) -> Path:
    path = artifacts.data / "sources" / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def failing(artifacts: Artifacts, kind: Kind, name: str, text: str | bytes, **options: Any) -> str:
    put(artifacts, name, text)
    with pytest.raises(BertlineError) as caught:
        build(artifacts, kind, name, **options)
    assert not artifacts.task("mine").exists()
    assert "\n" not in str(caught.value)
    assert str(artifacts.data) not in str(caught.value)  # files are called as params.yaml calls them
    assert caught.value.fix
    return str(caught.value)


def test_a_csv_becomes_three_splits_cut_by_hash(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", CSV)
    rows = build(artifacts, "classification", "a.csv")
    texts = [{row["text"] for row in rows[split]} for split in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 200
    assert 8 <= len(texts[1]) <= 35
    assert 8 <= len(texts[2]) <= 35
    assert TaskInfo.read(artifacts.task("mine")).labels == ("no", "yes")
    assert TaskInfo.read(artifacts.task("mine")).source == "data/sources/a.csv"


def test_a_tenth_of_all_rows_is_cut_for_each_missing_split(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", "text,label\n" + "".join(f"number {n},{n % 2}\n" for n in range(8000)))
    rows = build(artifacts, "classification", "a.csv")
    assert [len(rows[split]) for split in ("validation", "test")] == pytest.approx([800, 800], rel=0.05)


def test_equal_texts_are_cut_into_the_same_split(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", CSV + CSV.partition("\n")[2])
    rows = build(artifacts, "classification", "a.csv")
    texts = [{row["text"] for row in rows[split]} for split in SPLITS]
    assert sum(map(len, texts)) == 200
    assert sum(len(rows[split]) for split in SPLITS) == 400


def test_a_text_whose_label_goes_back_to_training_goes_with_all_its_copies(artifacts: Artifacts) -> None:
    """Each text has one row of a label of its own: whichever are cut would part from it."""
    rows = "".join(f"text number {n},{label}\nText number {n}!,no\n" for n in range(100) for label in ("no", f"own{n}"))
    put(artifacts, "a.csv", "text,label\n" + rows + CSV.replace("number", "count").partition("\n")[2])
    cut = build(artifacts, "classification", "a.csv")
    assert {row["label"] for split in ("validation", "test") for row in cut[split]} == {"no", "yes"}
    texts = [{normalised(row["text"]) for row in cut[split]} for split in SPLITS]
    assert sum(map(len, texts)) == 300


def test_texts_that_differ_in_case_and_punctuation_are_cut_into_the_same_split(artifacts: Artifacts) -> None:
    texts = [f"{text} {n}" for n in range(100) for text in ("It's good", "it's GOOD:", "“It's” good,")]
    put(artifacts, "a.jsonl", "".join(json.dumps({"text": text, "label": len(text) % 2}) + "\n" for text in texts))
    lines = [{"words": text.split(), "tags": ["O", "B-A", "O"]} for text in texts]
    put(artifacts, "b.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    cut = build(artifacts, "classification", "a.jsonl")
    numbers = [{row["text"].split()[-1] for row in cut[split]} for split in SPLITS]
    assert sum(map(len, numbers)) == 100
    cut = build(artifacts, "tagging", "b.jsonl")
    assert [{row["words"][-1] for row in cut[split]} for split in SPLITS] == numbers


def test_the_test_rows_stay_when_a_validation_file_is_added(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", CSV)
    put(artifacts, "v.csv", "text,label\nseen for validation,yes\n")
    before = build(artifacts, "classification", "a.csv")
    after = build(artifacts, "classification", "a.csv", validation="data/sources/v.csv")
    assert after["test"] == before["test"]
    assert [row["text"] for row in after["validation"]] == ["seen for validation"]
    assert len(after["train"]) + len(after["test"]) == 200


def test_a_label_that_only_cut_rows_have_goes_back_to_training(artifacts: Artifacts) -> None:
    rare = "".join(f"rare text {n},rare{n}\n" for n in range(40))
    put(artifacts, "a.csv", CSV + rare)
    rows = build(artifacts, "classification", "a.csv")
    assert {row["label"] for row in rows["train"]} >= {f"rare{n}" for n in range(40)}


def test_a_small_cap_loses_no_label(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", "text,label\nthe only one,rare\n" + "".join(f"text {n},common\n" for n in range(200)))
    train = training_rows(artifacts, "classification", "a.csv", max_train_rows=5)
    assert len(train) == 5
    assert {row["label"] for row in train} == {"rare", "common"}


@pytest.mark.parametrize("others", [range(30), (3, 7)])
def test_a_cap_below_the_labels_of_other_rows_names_the_least_that_has_them(
    artifacts: Artifacts, others: Sequence[int]
) -> None:
    rows = "".join(f"text {n},lab{n % 30}\n" for n in range(90))
    put(artifacts, "other.csv", "text,label\n" + "".join(f"other {n},lab{n}\n" for n in others))
    files = {"validation": "data/sources/other.csv", "test": "data/sources/other.csv"}
    said = failing(artifacts, "classification", "a.csv", "text,label\n" + rows, max_train_rows=1, **files)
    assert said.startswith(
        f"{artifacts.params}, key tasks.mine.data.max_train_rows: the training rows that stay lack label "
    )
    assert "which validation or test rows have. Raise max_train_rows to at least " in said
    least = int(said.removesuffix(".").rpartition(" ")[2])
    assert least == 30 if len(others) == 30 else 2 <= least < 30
    below = failing(artifacts, "classification", "a.csv", "text,label\n" + rows, max_train_rows=least - 1, **files)
    assert below.endswith(f"Raise max_train_rows to at least {least}.")
    assert len(build(artifacts, "classification", "a.csv", max_train_rows=least, **files)["train"]) == least


def test_columns_are_called_as_the_user_calls_them_and_quotes_are_read(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", 'stars,review\n1,"bad, ""very"" bad\nindeed"\n5,good\n')
    put(artifacts, "b.csv", "stars,review\n5,fine\n")
    columns = {"text": "review", "label": "stars"}
    rows = build(
        artifacts,
        "classification",
        "a.csv",
        validation="data/sources/b.csv",
        test="data/sources/b.csv",
        columns=columns,
    )
    assert rows["train"][0] == {"id": "train-1", "text": 'bad, "very" bad\nindeed', "label": "1"}


def test_a_tsv_has_no_quotes(artifacts: Artifacts) -> None:
    put(artifacts, "a.tsv", 'text\tlabel\nhe said "no\tx\nand "yes"\ty\n')
    rows = training_rows(artifacts, "classification", "a.tsv")
    assert [row["text"] for row in rows] == ['he said "no', 'and "yes"']


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson"])
def test_labels_of_jsonl_become_texts_and_ids_are_kept(artifacts: Artifacts, name: str) -> None:
    lines = [{"id": 7, "text": "a", "label": 1}, {"id": "x", "text": "b", "label": True}]
    put(artifacts, name, "".join(json.dumps(line) + "\n" for line in lines))
    rows = training_rows(artifacts, "classification", name)
    assert rows == [{"id": "7", "text": "a", "label": "1"}, {"id": "x", "text": "b", "label": "true"}]


def test_regression_reads_numbers_and_a_second_text_if_there_is_one(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", "text,text_pair,label\na,b,1.5\nc,d,-2e1\n")
    rows = training_rows(artifacts, "regression", "a.csv")
    assert [row["label"] for row in rows] == [1.5, -20.0]
    assert rows[0]["text_pair"] == "b"
    assert TaskInfo.read(artifacts.task("mine")).pair


def test_conll_columns_become_bio2(artifacts: Artifacts) -> None:
    text = "-DOCSTART- -X- O\n\nAda NNP I-PER\nKing NNP I-PER\nBob NNP B-PER\n\nsang VBD O\n"
    put(artifacts, "a.conll", text)
    rows = training_rows(artifacts, "tagging", "a.conll")
    assert rows == [
        {"id": "train-1", "words": ["Ada", "King", "Bob"], "tags": ["B-PER", "I-PER", "B-PER"]},
        {"id": "train-2", "words": ["sang"], "tags": ["O"]},
    ]


def test_columns_of_a_conll_file_are_chosen_by_number(artifacts: Artifacts) -> None:
    put(artifacts, "a.conll", "# sent_id = 1\n1 Ada NNP I-PER\n2 sang VBD O\n\n1 # # O\n")
    rows = training_rows(artifacts, "tagging", "a.conll", columns={"words": "2", "tags": "3"})
    assert [(row["words"], row["tags"]) for row in rows] == [(["Ada", "sang"], ["NNP", "VBD"]), (["#"], ["#"])]


def test_a_parquet_file_is_read_with_its_lists_and_nothing_missing(artifacts: Artifacts) -> None:
    table = pa.table({"tokens": [["Ada", "sang"], ["so"]], "tags": [["B-PER", "O"], ["O"]]})
    pq.write_table(table, artifacts.data / "sources" / "a.parquet")
    rows = training_rows(artifacts, "tagging", "a.parquet", columns={"words": "tokens"})
    assert rows[0] == {"id": "train-1", "words": ["Ada", "sang"], "tags": ["B-PER", "O"]}
    pq.write_table(pa.table({"text": ["a", None], "label": [1, 2]}), artifacts.data / "sources" / "b.parquet")
    with pytest.raises(BertlineError, match=r"data/sources/b\.parquet, row 2: text is None"):
        build(artifacts, "classification", "b.parquet")


def saved(artifacts: Artifacts) -> datasets.DatasetDict:
    """A dataset with named labels, saved as `datasets` does, in two files a split."""
    features = datasets.Features(
        {"review": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    made = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"review": [f"{split} {n}" for n in range(20)], "label": [n % 2 for n in range(20)]}, features=features
            )
            for split in SPLITS
        }
    )
    made.save_to_disk(str(artifacts.data / "sources" / "mine"), num_shards=dict.fromkeys(SPLITS, 2))
    return made


def test_a_dataset_of_hugging_face_is_read_from_where_it_was_saved(artifacts: Artifacts) -> None:
    saved(artifacts)
    files = {"validation": "data/sources/mine", "test": "data/sources/mine/test"}
    rows = build(artifacts, "classification", "mine", columns={"text": "review"}, **files)
    assert [len(rows[split]) for split in SPLITS] == [20, 20, 20]
    assert rows["validation"][3] == {"id": "validation-4", "text": "validation 3", "label": "good"}


def test_numbered_tags_of_a_dataset_come_out_by_name_also_from_its_parquet_file(artifacts: Artifacts) -> None:
    features = datasets.Features(
        {
            "words": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-PER"])),
        }
    )
    made = datasets.Dataset.from_dict({"words": [["Ada", "sang"]], "tags": [[1, 0]]}, features=features)
    made.to_parquet(str(artifacts.data / "sources" / "a.parquet"))
    assert training_rows(artifacts, "tagging", "a.parquet")[0]["tags"] == ["B-PER", "O"]


def test_a_directory_without_the_split_or_without_a_dataset_is_named(artifacts: Artifacts) -> None:
    saved(artifacts)
    (artifacts.data / "sources" / "mine" / "dataset_dict.json").write_text('{"splits": ["test"]}', encoding="utf-8")
    with pytest.raises(BertlineError, match=r"data/sources/mine: no split 'train' in this dataset.*: test\."):
        build(artifacts, "classification", "mine")
    (artifacts.data / "sources" / "empty").mkdir()
    with pytest.raises(BertlineError, match=r"data/sources/empty: a directory that is no saved dataset"):
        build(artifacts, "classification", "empty")


def test_an_address_that_several_files_come_from_is_refused(artifacts: Artifacts) -> None:
    def fetch(source: Source, directory: Path) -> None:
        for name in ("b.csv", "a.csv"):
            (directory / name).write_text(CSV)

    task = Task(data=TaskData(builder="files", train="https://host/{a,b}.csv"))
    with pytest.raises(BertlineError, match=r"mine, https://host/\{a,b\}\.csv: 2 files came .*download\.sources"):
        build_task("mine", task, artifacts, fetch)
    assert not list(artifacts.downloads.rglob("*.csv"))


def test_rows_may_come_from_an_address_and_are_fetched_once(artifacts: Artifacts) -> None:
    asked: list[str] = []

    def fetch(source: Source, directory: Path) -> None:
        asked.append(source.address)
        (directory / "rows.csv").write_text(CSV, encoding="utf-8")

    task = Task(data=TaskData(train="hf://datasets/someone/something/rows.csv"))
    for _ in range(2):
        info = build_task("mine", task, artifacts, fetch)
        assert sum(info.rows.values()) == 200
    assert asked == ["hf://datasets/someone/something/rows.csv"]


def squad(**question: Any) -> str:
    asked = {"id": "q1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 7}]} | question
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "It was Ada.", "qas": [asked]}]}]})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", squad()),
        (
            "a.jsonl",
            json.dumps(
                {
                    "id": "q1",
                    "question": "Who?",
                    "context": "It was Ada.",
                    "answers": {"text": ["Ada"], "answer_start": [7]},
                }
            ),
        ),
    ],
)
def test_squad_and_hugging_face_answers_are_read(artifacts: Artifacts, name: str, text: str) -> None:
    put(artifacts, name, text)
    (row,) = training_rows(artifacts, "span", name)
    assert row == {
        "id": "q1",
        "question": "Who?",
        "context": "It was Ada.",
        "answers": [{"text": "Ada", "start": 7}],
    }


@pytest.mark.parametrize("answers", [[], [{"text": "Ada", "answer_start": 7}]])
def test_a_question_of_squad_2_may_have_no_answer(artifacts: Artifacts, answers: list[dict[str, Any]]) -> None:
    articles = json.loads(squad(is_impossible=True, answers=answers))["data"] + json.loads(squad(id="q2"))["data"]
    put(artifacts, "a.json", json.dumps({"data": articles}))
    put(artifacts, "b.json", squad(is_impossible=True, answers=answers))
    files = {"validation": "data/sources/b.json", "test": "data/sources/b.json"}
    rows = build(artifacts, "span", "a.json", **files)
    assert [bool(row["answers"]) for row in rows["train"]] == [False, True]
    assert [row["answers"] for split in ("validation", "test") for row in rows[split]] == [[], []]


def test_training_questions_of_which_none_has_an_answer_are_refused(artifacts: Artifacts) -> None:
    put(artifacts, "b.json", squad())
    files = {"validation": "data/sources/b.json", "test": "data/sources/b.json"}
    lines = [{"question": "Who?", "context": f"It was Ada {n}.", "answers": []} for n in range(3)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    said = failing(artifacts, "span", "a.jsonl", text, **files)
    assert said.startswith("data/sources/a.jsonl, line 1: none of the 3 training questions has an answer")
    assert said.endswith("Add questions with an answer: there is nothing to learn from these.")


def test_a_file_that_git_has_not_is_named_to_an_experiment_of_dvc_with_the_option_that_brings_it(
    tmp_path: Path,
) -> None:
    artifacts = Artifacts(tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpab12")
    (artifacts.data / "sources").mkdir(parents=True)
    for name, copied in (("a.csv", "a.csv"), ("deep/er/a.csv", "deep")):
        told = rf"{name}: file not found\. `dvc exp run` with --temp .*`--copy-paths data/sources/{copied}`"
        with pytest.raises(BertlineError, match=told):
            build(artifacts, "classification", name)


def test_a_missing_file_is_named(artifacts: Artifacts) -> None:
    with pytest.raises(BertlineError, match=r"data/sources/none\.csv: file not found"):
        build(artifacts, "classification", "none.csv")


def test_addresses_that_differ_in_their_query_are_different_files(artifacts: Artifacts) -> None:
    def fetch(source: Source, directory: Path) -> None:
        query = source.address.partition("?")[2]
        (directory / "rows.csv").write_text(CSV.replace("text number", query), encoding="utf-8")

    address = "https://example.org/rows.csv?split="
    data = TaskData(train=f"{address}train", validation=f"{address}valid", test=f"{address}test")
    build_task("mine", Task(data=data), artifacts, fetch)
    for split, query in (("train", "train"), ("validation", "valid"), ("test", "test")):
        assert {row["text"].rpartition(" ")[0] for row in read_rows(artifacts.task("mine"), split)} == {
            f"split={query}"
        }


def test_an_id_column_that_is_not_there_is_named(artifacts: Artifacts) -> None:
    message = failing(artifacts, "classification", "a.csv", CSV, columns={"id": "nr"})
    assert "a.csv, line 2: no column 'nr'" in message


def test_labels_and_ids_of_any_plain_type_of_parquet_become_texts(artifacts: Artifacts) -> None:
    days = [date(2026, 1, day) for day in (1, 2, 3, 4)]
    columns = {"id": days, "text": list("abcd"), "label": [Decimal("1.0"), Decimal("2.5")] * 2}
    pq.write_table(pa.table(columns), put(artifacts, "a.parquet", ""))
    rows = training_rows(artifacts, "classification", "a.parquet")
    assert rows[0] == {"id": "2026-01-01", "text": "a", "label": "1.0"}


def test_two_columns_of_one_name_in_a_parquet_file_are_refused(artifacts: Artifacts) -> None:
    table = pa.table([["a", "b"], ["c", "d"], ["1", "2"]], names=["text", "text", "label"])
    pq.write_table(table, put(artifacts, "a.parquet", ""))
    with pytest.raises(BertlineError, match=r"a\.parquet: two columns are called 'text'"):
        build(artifacts, "classification", "a.parquet")


def test_a_table_with_bytes_that_are_no_utf8_is_named_with_the_rows(
    artifacts: Artifacts,
) -> None:
    latin1 = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 4, 0, 0, 0])), pa.py_buffer(b"caf\xe9")]
    )
    table = pa.table({"text": pa.chunked_array([["good"], latin1]), "label": ["a", "b"]})
    pq.write_table(table, put(artifacts, "a.parquet", ""))
    made = artifacts.data / "sources" / "made"
    made.mkdir()
    with pa.ipc.new_stream(str(made / "data.arrow"), table.schema) as out:
        out.write_table(table)
    (made / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}', encoding="utf-8")
    for name, rows in (("a.parquet", "rows 1 to 2"), ("made", "rows 2 to 2")):
        with pytest.raises(BertlineError, match=rf"data/sources/{name}, {rows}: not UTF-8.*Write the file") as caught:
            build(artifacts, "classification", name)
        assert "iconv" not in str(caught.value)


def test_a_table_whose_bytes_make_no_sense_is_no_matter_of_permissions(artifacts: Artifacts) -> None:
    path = put(artifacts, "a.parquet", "")
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["1", "2"]}), path)
    told = path.read_bytes()
    for place in (4, -60):
        path.write_bytes(told[:place] + b"\xff" * 40 + told[place:][40:])
        with pytest.raises(BertlineError, match=r"data/sources/a\.parquet: not a readable Parquet file.*Write it anew"):
            build(artifacts, "classification", "a.parquet")


def test_a_date_beyond_those_of_python_is_named_with_its_column(artifacts: Artifacts) -> None:
    seen = pa.array([0, 253_402_300_800_000], pa.timestamp("ms"))  # the second: year 10000
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["1", "2"], "seen": seen}), put(artifacts, "a.parquet", ""))
    with pytest.raises(BertlineError, match=r"a\.parquet, rows 1 to 2: column 'seen' of timestamp\[ms\] holds what"):
        build(artifacts, "classification", "a.parquet")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset_dict.json", "[]"),
        ("dataset_dict.json", '{"splits": null}'),
        ("train/state.json", "{}"),
        ("train/state.json", '{"_data_files": [{}]}'),
    ],
)
def test_a_dataset_whose_description_is_none_is_named(artifacts: Artifacts, name: str, text: str) -> None:
    saved(artifacts)
    (artifacts.data / "sources" / "mine" / name).write_text(text, encoding="utf-8")
    with pytest.raises(BertlineError, match=rf"data/sources/mine/{name}: not as .*datasets describes one.*Save"):
        build(artifacts, "classification", "mine")


@pytest.mark.parametrize("text", ["not json", "[1]", '{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'])
def test_a_table_whose_labels_have_no_names_though_it_says_so_is_named(artifacts: Artifacts, text: str) -> None:
    table = pa.table({"text": ["a", "b"], "label": [0, 1]}).replace_schema_metadata({"huggingface": text})
    pq.write_table(table, put(artifacts, "a.parquet", ""))
    with pytest.raises(BertlineError, match=r"data/sources/a\.parquet: not as .*datasets describes one"):
        build(artifacts, "classification", "a.parquet")


def test_a_dataset_is_read_from_its_own_folder_alone(artifacts: Artifacts) -> None:
    saved(artifacts)
    folder = artifacts.data / "sources" / "mine"
    for file in (folder / "train").glob("*.arrow"):
        file.rename(folder / file.name)
    state = {"_data_files": [{"filename": f"../{file.name}"} for file in folder.glob("*.arrow")]}
    (folder / "train" / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(BertlineError, match=r"data/sources/mine/train: data-.*\.arrow is not readable"):
        build(artifacts, "classification", "mine")


def test_an_unknown_label_of_a_dataset_is_no_class_of_its_own(artifacts: Artifacts) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    rows.to_parquet(put(artifacts, "a.parquet", ""))
    with pytest.raises(BertlineError, match=r"a\.parquet, row 3: label is empty"):
        build(artifacts, "classification", "a.parquet")


def test_a_sentence_may_begin_with_a_hash_and_a_word_hold_other_white_space(artifacts: Artifacts) -> None:
    text = "# sent_id = 1 of a few\n# O\nhello B-X\n\nfoo O\n# O\n\n# a comment\n10\u00a0000 O\n"
    put(artifacts, "a.conll", text)
    rows = training_rows(artifacts, "tagging", "a.conll")
    assert [row["words"] for row in rows] == [["#", "hello"], ["foo", "#"], ["10\u00a0000"]]


def test_a_file_outside_data_sources_is_refused(artifacts: Artifacts) -> None:
    (artifacts.root / "a.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(BertlineError, match=r"key tasks\.mine\.data\.train: .*not under data/sources.*DVC"):
        build(artifacts, "classification", "../../a.csv")


ANSWERED = '{"question": "Who?", "context": "Ada did.", "answers": %s}\n'
UNANSWERED = json.dumps({"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "q1", "question": "Who?"}]}]}]})
BAD = [
    ("classification", "a.csv", "text,klass\nx,1\n", "a.csv, line 2: no column 'label'. Name yours in tasks.mine"),
    ("classification", "a.csv", "text,label\nx,1\n  ,2\n", "a.csv, line 3: text is empty"),
    ("classification", "a.csv", "text,label\nx,1\ny,\n", "a.csv, line 3: label is empty"),
    ("classification", "a.csv", 'text,label\nx,1\ny," "\n', "a.csv, line 3: label is empty"),
    ("classification", "a.jsonl", '{"text": "x", "label": NaN}\n', "a.jsonl, line 1: label is empty"),
    ("classification", "a.jsonl", '{"text": "x", "label": [0]}\n', "a.jsonl, line 1: label is [0], not a text"),
    (
        "classification",
        "a.jsonl",
        '{"text": "x \\ud83d", "label": "1"}\n',
        "line 1: text holds half a character (\\ud83d)",
    ),
    (
        "classification",
        "a.jsonl",
        '{"text": "x", "label": "\\udc00"}\n',
        "line 1: label holds half a character (\\udc00)",
    ),
    ("classification", "a.tsv", "text\tlabel\nx\ty\tz\n", "3 fields under 2 headings. Take tabs out of texts"),
    (
        "regression",
        "a.jsonl",
        '{"text": "x", "text_pair": "y", "label": 1}\n{"text": "z", "label": 2}\n' * 3,
        "text_pair: ",
    ),
    ("classification", "a.csv", "text,label\nx,1\ny\n", "a.csv, line 3: 1 fields under 2 headings"),
    ("classification", "a.csv", 'text,label\nx,1\n"y,2\nz,3\n', "a.csv, line 3: a quote opens here and never closes"),
    ("classification", "a.csv", 'text,label\n"a"b,1\n', "a.csv, line 2: malformed row"),
    ("classification", "a.csv", b"text,label\n\xff,1\n", "a.csv, line 2: not UTF-8"),
    ("classification", "a.csv", 'text,label\n"one\ntwo",1\n"a ""b\nc"",2\nz,3\n', "a.csv, line 4: a quote opens here"),
    ("classification", "a.csv", 'text,label\n"x,"1"\n"y","2"\n"z","3"\n', "a.csv, line 2: malformed row"),
    ("classification", "a.csv", '"text","label"\n"x","1"\n"y\n,"2"\n"z","3"\n', "a.csv, line 3: malformed row"),
    ("classification", "a.csv", '"text","label"\n"x","1"\n"z","3\n', "a.csv, line 3: a quote opens here and never"),
    ("classification", "a.csv", '"text","label"\n"x\ny","1"\n\n"z","3\n', "a.csv, line 5: a quote opens here and"),
    ("classification", "a.csv", 'text,label\n"x\ny","1\n"y","2"\n', "a.csv, line 3: malformed row"),
    ("classification", "a.csv", 'text,label\nx,"1\n2",y"\n', "a.csv, line 2: 3 fields under 2"),
    ("classification", "a.csv", "text,text\nx,1\n", "a.csv, line 1: two columns are called 'text'"),
    (
        "classification",
        "a.jsonl",
        b'{"text": "x", "label": "\xff"}\n',
        "line 1: not UTF-8 (invalid start byte). Convert",
    ),
    ("classification", "a.jsonl", '{"text": "x", "label": "1"}\n'.encode("utf-16"), "`iconv -f utf-16 -t utf-8`"),
    ("classification", "a.parquet", "x", "a.parquet: not a readable Parquet file"),
    ("tagging", "a.conll", "Ada NNP I-PER\nKing I-PER\n", "a.conll, line 2: 2 columns, and 3 in the lines before"),
    ("regression", "a.jsonl", '{"text": "x", "label": NaN}\n', "a.jsonl, line 1: label nan is not a number"),
    ("classification", "a.csv", "text,label\n", "a.csv: no rows"),
    ("classification", "a.xlsx", "x", "files of type .xlsx are not read"),
    ("tagging", "eng.train", "EU B-ORG\n", ".json; lines of a word and its tag are named .conll"),
    ("classification", "a.csv", "id,text,label\n1,x,1\n1,y,2\n", "line 3: id '1' occurs twice"),
    ("classification", "a.jsonl", '{"text": 5, "label": "x"}\n', "a.jsonl, line 1: text is 5, not a text"),
    ("classification", "a.jsonl", "{\n", "line 1: not valid JSON"),
    ("classification", "a.jsonl", "[\n{}]\n", "(char 2)). Write one whole JSON object a line."),
    ("classification", "a.csv", "text;label\nx;1\n", "a.csv, line 1: the one heading 'text;label' has ';' where ','"),
    (
        "classification",
        "a.csv",
        '"text";"label"\n"x";"1"\n',
        """a.csv, line 1: the one heading '"text";"label"' has ';' where ',' is read. Write it with commas (.csv)""",
    ),
    ("classification", "a.csv", '\n"a,b"\t"label"\n"x"\t"1"\n', "a.csv, line 2: the one heading"),
    ("classification", "a.csv", 'text,label\n"x";"1"\n', "a.csv, line 2: malformed row"),
    ("classification", "a.csv", '"text,"label;"\nx,1\n', "a.csv, line 1: malformed row"),
    ("classification", "a.csv", "text\tlabel\nx\t1\n", "a.csv, line 1: the one heading 'text\\tlabel' has '\\t'"),
    (
        "classification",
        "a.tsv",
        "text,label\nx,1\n",
        "has ',' where '\\t' is read. Write it with commas (.csv) or tabs",
    ),
    ("classification", "a.csv", CSV.replace("yes", "no"), "training rows have the one label 'no', this one"),
    ("regression", "a.csv", "text,label\nx,1\ny,much\n", "a.csv, line 3: label 'much' is not a number"),
    ("regression", "a.csv", "text,label\nx,1\ny,nan\n", "a.csv, line 3: label nan is not a number"),
    ("regression", "a.csv", "text,label\n" + "".join(f"x{n},{1.7e9 + n}\n" for n in range(40)), "single precision"),
    ("regression", "a.csv", "text,label\n" + "".join(f"x{n},{n}e-60\n" for n in range(40)), "single precision"),
    ("regression", "a.csv", "text,label\nx,1\ny,-1e38\n", "a.csv, line 3: label -1e+38 is not a number below 1e+30"),
    ("tagging", "a.conll", "Ada I-PER\nKing\n", "a.conll, line 2: one column ('King')"),
    ("tagging", "a.jsonl", '{"words": ["a"], "tags": ["O", "O"]}\n', "a.jsonl, line 1: 1 words but 2 tags"),
    ("tagging", "a.jsonl", '\n\n{"words": [], "tags": []}\n', "a.jsonl, line 3: words is empty. Fill it in"),
    ("regression", "a.jsonl", f'{{"text": "x", "label": {"9" * 400}}}\n', "a.jsonl, line 1: label '9999"),
    ("span", "a.jsonl", ANSWERED % '{"text": "Ada", "answer_start": 0}', "nor are text and answer_start lists of one"),
    ("span", "a.jsonl", ANSWERED % '{"text": ["Ada"], "answer_start": []}', "nor are text and answer_start lists of"),
    ("tagging", "a.jsonl", '{"words": "a", "tags": "O"}\n', "a.jsonl, line 1: words and tags are not two lists"),
    ("span", "a.json", squad(answers=[{"text": "Ada", "answer_start": 0}]), "question q1: answer 'Ada' is not at"),
    ("span", "a.json", '{"data": [{}]}', "not in the form of SQuAD"),
    ("span", "a.json", UNANSWERED, "a.json, question q1: no column 'answers'"),
    ("tagging", "a.conll", "Ada\nKing\n", "a.conll, line 1: no column 'tags'"),
    ("tagging", "a.conll", "Ada\nKing I-PER\n", "a.conll, line 2: 2 columns, and 1 in the lines before"),
    ("span", "a.json", "[]", "not in the form of SQuAD"),
    (
        "classification",
        "a.json",
        '[{"text": "x", "label": 1}]',
        "; rows of another form go into .jsonl, an object a line",
    ),
]


@pytest.mark.parametrize(("kind", "name", "text", "message"), BAD)
def test_bad_rows_are_named_with_file_row_and_fix(
    artifacts: Artifacts, kind: Kind, name: str, text: str | bytes, message: str
) -> None:
    assert message in failing(artifacts, kind, name, text)


LONG = "a long review, " * 1000


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("classification", json.dumps({"text": [LONG], "label": "1"}), "line 1: text is ['a long review"),
        ("classification", json.dumps({"text": "x", "label": [LONG]}), "line 1: label is ['a long review"),
        ("classification", json.dumps({"text": "x", "label": f"{LONG}\r"}), "holds a control character"),
        ("classification", json.dumps({LONG: "x", "label": "1"}), "the file has: a long review"),
        ("regression", json.dumps({"text": "x", "label": LONG}), "line 1: label 'a long review"),
    ],
)
def test_what_stands_in_a_wrong_column_is_shown_in_part(
    artifacts: Artifacts, kind: Kind, text: str, message: str
) -> None:
    said = failing(artifacts, kind, "a.jsonl", f"{text}\n")
    assert message in said
    assert len(said) < 300


def test_labels_that_are_long_texts_are_shown_in_part(artifacts: Artifacts) -> None:
    put(artifacts, "other.csv", "text,label\nx,yes\n")
    swapped = "text,label\n" + "".join(f'yes,"{LONG}{n}"\n' for n in range(40))
    said = failing(artifacts, "classification", "a.csv", swapped, test="data/sources/other.csv")
    assert "unknown label 'yes'" in said
    assert len(said) < 1200


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_no_training_row_has_is_named_in_its_own_file(artifacts: Artifacts, split: str) -> None:
    put(artifacts, "other.csv", "text,label\nfine,yes\nx,perhaps\n")
    message = failing(artifacts, "classification", "a.csv", CSV, **{split: "data/sources/other.csv"})
    assert "data/sources/other.csv, line 3: unknown label 'perhaps'" in message
    assert "no, yes" in message


def test_too_few_rows_to_cut_from_say_so(artifacts: Artifacts) -> None:
    message = failing(artifacts, "classification", "a.csv", "text,label\nx,1\ny,2\n")
    assert "no validation rows beside 2 for training of 2 labels. Name a file of them" in message
    assert "tasks.mine.data.validation" in message


def test_rows_that_have_a_label_each_are_told_of_where_none_can_be_spared(artifacts: Artifacts) -> None:
    swapped = "label,text\n" + CSV.partition("\n")[2]
    assert "beside 200 for training of 200 labels" in failing(artifacts, "classification", "a.csv", swapped)


def test_an_unknown_column_of_ours_is_named(artifacts: Artifacts) -> None:
    message = failing(artifacts, "classification", "a.csv", CSV, columns={"sentence": "text"})
    assert "key tasks.mine.data.columns: no column of ours is called 'sentence'" in message


def test_a_field_longer_than_csv_allows_by_itself_is_read(artifacts: Artifacts) -> None:
    put(artifacts, "a.csv", f"text,label\n{'x' * 200_000},1\ny,2\n")
    assert len(training_rows(artifacts, "classification", "a.csv")[0]["text"]) == 200_000

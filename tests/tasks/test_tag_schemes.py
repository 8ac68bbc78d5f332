"""Tags of the user's own files: every scheme of entities becomes BIO2, plain tags stay, and a mixture is one line."""

import json
from collections.abc import Sequence

import pytest

from bertline.base.artifacts import Artifacts
from bertline.base.config import Task, TaskData
from bertline.base.errors import BertlineError
from bertline.evaluation.entities import Entity, entities, entity_scores
from bertline.tasks.catalog import build_task
from bertline.tasks.schema import read_rows
from tasks.published_files import no_fetch


def built(artifacts: Artifacts, train: Sequence[str], test: Sequence[str] = ("O",)) -> dict[str, list[str]]:
    """The tags of a task, by split, from the tags of its sentences; `test` are those of validation and test."""
    data = {}
    for split, sentences in (("train", train), ("validation", test), ("test", test)):
        lines = [
            json.dumps({"words": [f"{split}{n}"] * len(tags.split()), "tags": tags.split()})
            for n, tags in enumerate(sentences)
        ]
        (artifacts.data / "sources" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        data[split] = f"data/sources/{split}.jsonl"
    build_task("mine", Task(kind="tagging", data=TaskData(**data)), artifacts, no_fetch)
    return {split: [" ".join(row["tags"]) for row in read_rows(artifacts.task("mine"), split)] for split in data}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-A I-A I-A B-A", "O B-A I-A I-A B-A"),
        ("I-A I-A I-B O I-B", "B-A I-A B-B O B-B"),
        ("I-A B-A I-A O", "B-A B-A I-A O"),
        ("B-A E-A O S-B B-A I-A E-A", "B-A I-A O B-B B-A I-A I-A"),
        ("B-A L-A O U-B U-B", "B-A I-A O B-B B-B"),
        ("B-A M-A M-A E-A O S-B", "B-A I-A I-A I-A O B-B"),
        ("E-A O", "B-A O"),
    ],
    ids=["BIO2", "IOB1", "IOB1 side by side", "BIOES", "BILOU", "BMES", "an end alone"],
)
def test_every_scheme_of_typed_entities_becomes_bio2(artifacts: Artifacts, tags: str, expected: str) -> None:
    assert built(artifacts, [tags, "O"])["train"] == [expected, "O"]


@pytest.mark.parametrize(
    "tags",
    [
        "O B-A I-A I-A B-A",
        "I-A I-A O I-A B-A",
        "B-A E-A O S-A B-A I-A E-A",
        "B-A L-A O U-A U-A B-A I-A L-A",
        "B-A M-A M-A E-A O S-A B-A E-A",
    ],
    ids=["BIO2", "IOB1", "BIOES", "BILOU", "BMES"],
)
def test_a_scheme_without_types_is_read_as_the_same_one_with_a_single_type(artifacts: Artifacts, tags: str) -> None:
    typed = built(artifacts, [tags, "O"])["train"]
    untyped = built(artifacts, [tags.replace("-A", ""), "O"])["train"]
    assert untyped == [sentence.replace("-A", "-entity") for sentence in typed]


def test_words_that_are_segmented_without_an_outside_are_read_as_entities(artifacts: Artifacts) -> None:
    expected = "B-entity I-entity B-entity B-entity I-entity I-entity"
    assert built(artifacts, ["B E S B M E"], ["S"])["train"] == [expected]


def test_an_untyped_phrase_is_found_whole_or_not_at_all_as_conlleval_says(artifacts: Artifacts) -> None:
    rows = built(artifacts, ["O B I I O", "B I O B"], ["O B I O O", "B I O B"])
    gold, guessed = ([tags.split() for tags in rows[split]] for split in ("train", "test"))
    assert list(entities(gold[0])) == [Entity(1, 4, "entity")]
    assert entity_scores(gold, guessed)["f1"] == pytest.approx(2 / 3)  # of 3 phrases 2 are right; conlleval.pl: 66.67


def test_the_scheme_is_that_of_all_training_rows_whatever_a_sentence_has(artifacts: Artifacts) -> None:
    rows = built(artifacts, ["B I", "O", "B", "I O"], ["I O I", "O", "E"])
    assert rows["train"] == ["B-entity I-entity", "O", "B-entity", "B-entity O"]
    assert rows["validation"] == rows["test"] == ["B-entity O B-entity", "O", "B-entity"]


@pytest.mark.parametrize(
    "sentences",
    [
        ("NN VB", "S-BAR", "E-X S-BAR NN"),
        ("NN VB B", "B", "B NN", "O B"),
        ("-LRB- NN -RRB- B",),
        ("N V A P R L M E C I T B Y S X",),
        ("a b c d e f g h i j k l m n o p q r s t u v w x y z",),
        ("X O", "O S"),
    ],
    ids=["S-BAR", "one called B", "dashes", "of Vietnamese", "of Chinese", "no begin"],
)
def test_parts_of_speech_stay_as_they_are(artifacts: Artifacts, sentences: Sequence[str]) -> None:
    assert built(artifacts, sentences, sentences[:1])["train"] == list(sentences)


NAMED = "tags name entities (B-…, I-…), but"
UNTYPED = "tags name entities (B, I, O), but"


@pytest.mark.parametrize(
    ("sentences", "number", "message"),
    [
        (["B-A I-A O", "b-A O"], 2, f"{NAMED} 'b-A' is none of these. Write it as B-A."),
        (["B-A I-A O", "B_A O"], 2, f"{NAMED} 'B_A' is none of these. Write it as B-A."),
        (["B-A I-A O", "o o"], 2, f"{NAMED} 'o' is none of these. Write it as O."),
        (["B-A I-A O", "B O"], 2, f"{NAMED} 'B' is none of these. Give it a type: B-TYPE."),
        (["I-A O", "O NN"], 2, f"{NAMED} 'NN' is none of these. Write every tag as O, B-TYPE or I-TYPE; where they"),
        (["b-A i-A o", "O"], 1, f"{NAMED} 'b-A' is none of these. Write it as B-A."),
        (["B_A I_A O", "O"], 1, f"{NAMED} 'B_A' is none of these. Write it as B-A."),
        (["B I O", "b O"], 2, f"{UNTYPED} 'b' is none of these. Write it as B."),
        (["b i o"], 1, f"{UNTYPED} 'b' is none of these. Write it as B."),
        (
            ["B I O", "X O"],
            2,
            f"{UNTYPED} 'X' is none of these. Write every tag as B, I or O; where they are plain tags",
        ),
    ],
)
def test_tags_from_which_entities_cannot_be_read_are_one_line(
    artifacts: Artifacts, sentences: list[str], number: int, message: str
) -> None:
    with pytest.raises(BertlineError) as caught:
        built(artifacts, sentences)
    assert str(caught.value).startswith(f"data/sources/train.jsonl, line {number}: {message}")
    assert "\n" not in str(caught.value)
    assert not artifacts.task("mine").exists()


def test_a_tag_of_another_scheme_among_the_test_rows_is_unknown(artifacts: Artifacts) -> None:
    with pytest.raises(BertlineError, match=r"validation\.jsonl, line 1: unknown tag 'B-A'.*: B-entity, I-entity, O"):
        built(artifacts, ["B I O"], ["B-A O"])


def test_a_sentence_of_columns_may_begin_with_a_tagged_hash(artifacts: Artifacts) -> None:
    (artifacts.data / "sources" / "a.conll").write_text("# B\n1 I\nwon O\n\n# a comment\nso O\n", encoding="utf-8")
    file = "data/sources/a.conll"
    build_task("mine", Task(kind="tagging", data=TaskData(train=file, validation=file, test=file)), artifacts, no_fetch)
    rows = read_rows(artifacts.task("mine"), "train")
    assert [row["words"] for row in rows] == [["#", "1", "won"], ["so"]]
    assert rows[0]["tags"] == ["B-entity", "I-entity", "O"]

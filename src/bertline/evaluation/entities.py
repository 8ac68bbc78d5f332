"""Entities of a tag sequence, as conlleval reads them: the unit in which taggers are scored and answers are given.

`B-X` begins an entity of type X, `I-X` goes on with it, `O` is outside. An `I-X` that continues nothing (after `O`, or
after another type) begins an entity, as in the CoNLL-2000 script conlleval.pl, so that no output of a model is
malformed. Any other tag (part-of-speech tags, say) is an entity of one word: conlleval's option -r. Tags of entities
without types (B, I, O) are given one when a task is built (tasks/tag_schemes.py).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

OUTSIDE = "O"


class Entity(NamedTuple):
    """Words `start` to `end` (one past the last) of a sequence, and their type."""

    start: int
    end: int
    type: str


def entities(tags: Sequence[str]) -> Iterator[Entity]:
    """The entities of a tag sequence, from left to right."""
    start, inside = 0, ""  # inside: type of the entity that is open, "" for none
    for place, tag in enumerate(tags):
        prefix, kind = _split_tag(tag)
        if inside and not (prefix == "I" and kind == inside):
            yield Entity(start, place, inside)
            inside = ""
        if prefix == OUTSIDE:
            continue
        if prefix == "":
            yield Entity(place, place + 1, kind)
        elif not inside:
            start, inside = place, kind
    if inside:
        yield Entity(start, len(tags), inside)


def _split_tag(tag: str) -> tuple[str, str]:
    """(prefix, type): ("B", "PER") of B-PER, ("O", "") of O, ("", "NNP") of a tag that is not BIO."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if dash and kind and prefix in ("B", "I") else ("", tag)


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 over whole entities, and accuracy of words (conlleval's four figures, in 0 to 1).

    An entity is right when first word, last word and type are. Without any entity, a figure is 0.

    Args:
        gold: tags of each sequence.
        predicted: tags of each sequence, as many as in `gold`.

    Source:
        conlleval.pl of the CoNLL-2000 shared task, https://www.clips.uantwerpen.be/conll2000/chunking/output.html
    """
    counts = [entity_counts(*pair) for pair in zip(gold, predicted, strict=True)]
    return scores_of_counts(*(sum(column) for column in zip(*counts, strict=True))) if counts else scores_of_counts()


def entity_counts(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int, int, int, int]:
    """Of one sequence: entities that are right, found, and wanted; words with the right tag, and words."""
    true, guessed = set(entities(gold)), set(entities(predicted))
    same = sum(a == b for a, b in zip(gold, predicted, strict=True))
    return len(true & guessed), len(guessed), len(true), same, len(gold)


def scores_of_counts(
    right: float = 0, found: float = 0, wanted: float = 0, same: float = 0, words: float = 0
) -> dict[str, float]:
    """The four figures from sums of `entity_counts`."""
    return {
        "f1": _share(2 * right, found + wanted),
        "precision": _share(right, found),
        "recall": _share(right, wanted),
        "accuracy": _share(same, words),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

"""The schemes in which tags mark entities, and BIO2, into which all of them are turned.

| scheme | tags of an entity of type X |
|---|---|
| BIO2 | B-X begins it, I-X goes on with it; O is outside of any, here and below |
| IOB1 | I-X; B-X begins one right after another X |
| BIOES, BILOU, BMES | B-X begins it, I-X (M-X) goes on, E-X (L-X) ends it; S-X (U-X) is a whole one |

Each may lack its types (B, I, O, as in BioBERT's files): its entities are of one type then, as for conlleval.pl, called
`entity` here. Any other tags are plain ones, parts of speech for instance, and stay as they are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from bertline.base.errors import BertlineError

Scheme = Literal["typed", "untyped", "plain"]

_TYPED = re.compile(r"O|[BIESLUM]-.+")
_UNTYPED = frozenset("OBIESLUM")
_TYPE = "entity"
_BIO = {"S": "B", "U": "B", "E": "I", "L": "I", "M": "I"}
_NEARLY_TYPED = re.compile(r"([BIESLUM])[-_:/.](.+)", re.IGNORECASE)


def of_entity(tag: str) -> bool:
    """Whether a tag may be one of a scheme of entities, with a type or without."""
    return _typed(tag) or _untyped(tag)


def scheme_of(places: Mapping[str, str]) -> Scheme:
    """The scheme of a task. A sentence alone may have tags of any: it takes those of all training rows.

    Args:
        places: tag -> file and row where it is first met.

    Raises:
        BertlineError: some tags are of entities, and others cannot be; or all seem to be, and are written otherwise.
    """
    if all(map(_untyped, places)) and not {"B", "I"}.isdisjoint(places):
        return "untyped"
    if all(map(_typed, places)):
        return "typed"
    meant = {_meant(tag) for tag in places}
    begun = any(tag.startswith(("B-", "I-")) and _typed(tag) for tag in places)
    if begun or (all(map(_typed, meant)) and any(tag.startswith("B-") for tag in meant)):
        fix = "Write every tag as O, B-TYPE or I-TYPE; where they are plain tags, begin none with B- or I-"
        raise _mixed(places, _typed, "B-…, I-…", fix)
    # Two of them may be parts of speech; the whole alphabet in small letters is that of Chinese corpora.
    if places.keys() >= set("BIO") or (meant >= set("BIO") and all(map(_untyped, meant))):
        fix = "Write every tag as B, I or O; where they are plain tags, call these three otherwise"
        raise _mixed(places, _untyped, "B, I, O", fix)
    return "plain"


def to_bio2(tags: Sequence[str], scheme: Scheme = "typed") -> list[str]:
    """The tags of a sentence in BIO2; plain ones, and what its scheme does not know, as they are."""
    if scheme == "plain":
        return list(tags)
    if scheme == "untyped":
        tags = [f"{tag}-{_TYPE}" if _untyped(tag) and tag != "O" else tag for tag in tags]
    tags = [_BIO.get(tag[0], tag[0]) + tag[1:] if _typed(tag) else tag for tag in tags]
    before = ["O", *tags]
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and last not in (tag, f"B-{tag[2:]}") else tag
        for last, tag in zip(before, tags, strict=False)
    ]


def _typed(tag: str) -> bool:
    return _TYPED.fullmatch(tag) is not None


def _untyped(tag: str) -> bool:
    return tag in _UNTYPED


def _meant(tag: str) -> str:
    """What a tag may be meant for: B-X if it is b-X, B_X or the like, B if it is b."""
    if tag.upper() in _UNTYPED:
        return tag.upper()
    nearly = _NEARLY_TYPED.fullmatch(tag)
    return f"{nearly[1].upper()}-{nearly[2]}" if nearly else tag


def _mixed(places: Mapping[str, str], fits: Callable[[str], bool], shown: str, fix: str) -> BertlineError:
    odd = next(tag for tag in places if not fits(tag))
    meant = _meant(odd)
    if fits(meant):
        fix = f"Write it as {meant}"
    elif meant in _UNTYPED:
        fix = f"Give it a type: {meant}-TYPE"
    what = f"tags name entities ({shown}), but {odd!r} is none of these"
    return BertlineError(what, where=places[odd], fix=fix)

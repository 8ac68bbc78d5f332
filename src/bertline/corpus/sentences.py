"""Paragraphs to sentences, by `sentencex` (Wikimedia; rules for some 240 languages, abbreviations included)."""

import textwrap
from collections.abc import Iterator

import sentencex

MAX_SENTENCE = 2000  # characters; text without an end of sentence for so long is cut between words

_WINDOW = 20_000  # characters; for what has no spaces, as Chinese, sentencex takes time by the square of them


def split_sentences(paragraph: str, language: str) -> list[str]:
    """The sentences of a normalised paragraph (corpus/clean.py), without white space around them.

    Args:
        paragraph: text, of any length.
        language: ISO 639 code; one that sentencex does not know is treated as English.
    """
    sentences: list[str] = []
    glued = False  # to the sentence before
    for part in _parts(paragraph, language):
        if glued:
            sentences[-1] += part
        else:
            sentences.append(part)
        # The stop of `torch.Graph` ends no sentence; the one of Chinese, a character of its own, needs no space.
        glued = part.endswith(".")
    sentences = [sentence.strip() for sentence in sentences]
    if all(len(sentence) <= MAX_SENTENCE for sentence in sentences):
        return [sentence for sentence in sentences if sentence]
    return [piece for sentence in sentences for piece in _cut(sentence)]


def _parts(paragraph: str, language: str) -> Iterator[str]:
    """What sentencex makes of a paragraph, looked at through a window that moves on by whole sentences."""
    start = 0
    while len(paragraph) - start > _WINDOW:
        window = paragraph[start : start + _WINDOW]
        parts = sentencex.segment(language, window)[:-1]  # the last one may go on behind the window
        if not any(parts):  # no sentence, or a very long one: it is cut between words
            parts = [window[: window.rfind(" ") + 1] or window]
        yield from parts
        start += sum(map(len, parts))
    yield from sentencex.segment(language, paragraph[start:])


def _cut(sentence: str) -> list[str]:
    """Pieces of at most MAX_SENTENCE characters; a longer word is cut, too."""
    return textwrap.wrap(sentence, MAX_SENTENCE, break_on_hyphens=False) if len(sentence) > MAX_SENTENCE else [sentence]

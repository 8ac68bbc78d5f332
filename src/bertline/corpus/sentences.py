"""Paragraphs to sentences, by `sentencex` (Wikimedia; rules for some 240 languages, abbreviations included)."""

import textwrap

import sentencex

MAX_SENTENCE = 2000  # characters; text without an end of sentence for so long is cut between words


def split_sentences(paragraph: str, language: str) -> list[str]:
    """The sentences of a normalised paragraph (corpus/clean.py), without white space around them.

    Args:
        paragraph: text; a few hundred kilobytes at most.
        language: ISO 639 code; one that sentencex does not know is treated as English.
    """
    sentences: list[str] = []
    glued = False  # to the sentence before
    for part in sentencex.segment(language, paragraph):
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


def _cut(sentence: str) -> list[str]:
    """Pieces of at most MAX_SENTENCE characters; a longer word is cut, too."""
    return textwrap.wrap(sentence, MAX_SENTENCE, break_on_hyphens=False) if len(sentence) > MAX_SENTENCE else [sentence]

"""From the rows of a task to token sequences with targets, for each kind.

    features = encode_rows(rows, task, tokenizer, max_length=128, stride=64)
    for indices in features.training_batches(32, seed=0, epoch=0):
        batch = features.batch(indices)      # batch.ids (batch, length), batch.labels, …: see batches.Batch

An *example* is one token sequence `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` of at most `max_length` tokens. A row
gives one example; a long word list (tagging) or context (span) gives several, overlapping by `stride` tokens: every
word and every character of the row is seen, and each counts in one example, the one that shows most around it (the
"max context" rule of BERT's run_squad.py). Light: NumPy and tokenizers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bertline.base.errors import BertlineError
from bertline.base.words import marks_of
from bertline.tasks.batches import IGNORED, Example, Features, Ints
from bertline.tasks.schema import TaskInfo

Row = Mapping[str, Any]
Pieces = list[int]

MAX_QUESTION = 64
"""Tokens of a question, at most (run_squad.py's max_query_length)."""
_LONGEST_WORD = 100  # characters; WordPiece gives a longer word one [UNK], as BERT's own tokenizer does
_TOGETHER = 512  # texts that are encoded at once


def encode_rows(rows: Sequence[Row], task: TaskInfo, tokenizer: Tokenizer, *, max_length: int, stride: int) -> Features:
    """Turn rows into examples.

    Args:
        rows: as schema.py describes them; without labels, tags or answers the examples have no targets.
        task: gives the kind and the classes.
        tokenizer: without padding or truncation.
        max_length: tokens an example, special tokens included.
        stride: tokens that two examples of a long row share; half of what is free in an example at most.

    Raises:
        BertlineError: the tokenizer lacks a special token.
    """
    encode = {"tagging": _tagging_examples, "span": _span_examples}.get(task.kind, _text_examples)
    special = _Special(tokenizer)
    return Features(task.kind, encode(rows, task, tokenizer, special, max_length, stride), special.pad)


class _Special:
    """Ids of the special tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.pad, self.unknown, self.cls, self.sep = (
            _special_id(tokenizer, token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
        )

    def join(self, first: Pieces, second: Pieces | None = None) -> Ints:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]."""
        tail = [] if second is None else [*second, self.sep]
        return np.array([self.cls, *first, self.sep, *tail], dtype=np.int64)


def _special_id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        fix = "Make it with `dvc repro vocab`"
        raise BertlineError(f"no token {token}", where="tokenizer of the model", fix=fix)
    return int(found)


def _some_at_a_time(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in parts: an encoding holds some 150 bytes for each token beside its id, which none of them needs."""
    return (texts[start : start + _TOGETHER] for start in range(0, len(texts), _TOGETHER))


def _located(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, tuple[Pieces, Ints]]:
    """The tokens of every different text, and the characters that each stands for, (tokens, 2)."""
    found: dict[str, tuple[Pieces, Ints]] = {}
    for some in _some_at_a_time(list(dict.fromkeys(texts))):
        for text, encoding in zip(some, tokenizer.encode_batch(some, add_special_tokens=False), strict=True):
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            found[text] = list(encoding.ids), _with_marks(text, offsets)
    return found


def _pieces(tokenizer: Tokenizer, texts: Iterable[str], limit: int) -> dict[str, Pieces]:
    """The first `limit` tokens of every different text.

    A text of megabytes costs no more than its head: so much of it as ordinary words need, and twice as much again
    where white space or one endless word fills that.
    """
    found: dict[str, Pieces] = {}
    waiting, head = list(dict.fromkeys(texts)), limit * _LONGEST_WORD
    while waiting:
        for some in _some_at_a_time(waiting):
            heads = [text[:head] for text in some]
            encoded = tokenizer.encode_batch_fast(heads, add_special_tokens=False)
            for text, encoding in zip(some, encoded, strict=True):
                # The last tokens may be those of a word that was cut, and a word has as many as letters at most.
                if len(text) <= head or len(encoding.ids) >= limit + _LONGEST_WORD:
                    found[text] = list(encoding.ids[:limit])
        waiting, head = [text for text in waiting if text not in found], 2 * head
    return found


# classification, pair, regression


def _text_examples(
    rows: Sequence[Row], task: TaskInfo, tokenizer: Tokenizer, special: _Special, max_length: int, _: int
) -> list[Example]:
    texts = [row[column] for row in rows for column in ("text", "text_pair") if column in row]
    pieces = _pieces(tokenizer, texts, max_length)
    classes = {label: number for number, label in enumerate(task.labels)}
    examples = []
    for number, row in enumerate(rows):
        first, second = pieces[row["text"]], None
        if "text_pair" in row:
            first, second = truncate_pair(first, pieces[row["text_pair"]], max_length - 3)
        ids = special.join(first[: max_length - 2], second)
        labels = None
        if "label" in row and task.kind == "regression":
            labels = np.array([row["label"]], dtype=np.float32)
        elif "label" in row:
            labels = np.array([classes[row["label"]]], dtype=np.int64)
        examples.append(Example(number, ids, len(ids) if second is None else len(first) + 2, labels))
    return examples


def truncate_pair(first: Pieces, second: Pieces, room: int) -> tuple[Pieces, Pieces]:
    """Cut two token lists to `room` tokens together, the longer one first (transformers' "longest_first")."""
    if len(first) + len(second) <= room:
        return first, second
    shorter = min(len(first), len(second), room // 2)
    if len(first) <= len(second):
        return first[:shorter], second[: room - shorter]
    return first[: room - shorter], second[:shorter]


# tagging


def _tagging_examples(
    rows: Sequence[Row], task: TaskInfo, tokenizer: Tokenizer, special: _Special, max_length: int, stride: int
) -> list[Example]:
    room = max_length - 2
    # A word of which the tokenizer leaves nothing (control characters) is still a word: [UNK].
    pieces = {
        word: some or [special.unknown]
        for word, some in _pieces(tokenizer, (word for row in rows for word in row["words"]), room).items()
    }
    classes = {label: number for number, label in enumerate(task.labels)}
    examples = []
    for number, row in enumerate(rows):
        words = [pieces[word] for word in row["words"]]
        tags = [classes[tag] for tag in row["tags"]] if "tags" in row else None
        windows = word_windows([len(word) for word in words], room, min(stride, room // 2))
        owners = _owners(windows, len(words))
        for place, (start, end) in enumerate(windows):
            ids = special.join([piece for word in words[start:end] for piece in word])
            at, labels = np.full(len(ids), -1, dtype=np.int64), np.full(len(ids), IGNORED, dtype=np.int64)
            token = 1
            for word in range(start, end):
                if owners[word] == place:
                    at[token] = word
                    labels[token] = tags[word] if tags else IGNORED
                token += len(words[word])
            examples.append(Example(number, ids, len(ids), labels if tags else None, words=at))
    return examples


def word_windows(lengths: Sequence[int], room: int, overlap: int) -> list[tuple[int, int]]:
    """Cut a word list into windows of whole words.

    Args:
        lengths: tokens of each word, `room` at most.
        room: tokens a window, at most.
        overlap: tokens that a window shares with the one before, at most.

    Returns:
        (first word, one past the last) of each window; together they cover every word, each reaches further.
    """
    windows: list[tuple[int, int]] = []
    start = end = 0
    while end < len(lengths):
        filled = sum(lengths[start:end])
        while end < len(lengths) and filled + lengths[end] <= room:
            filled += lengths[end]
            end += 1
        windows.append((start, end))
        if end == len(lengths):
            break
        start, shared = end, 0
        limit = min(overlap, room - lengths[end])
        while shared + lengths[start - 1] <= limit and start - 1 > windows[-1][0]:
            start -= 1
            shared += lengths[start]
    return windows


def _owners(windows: Sequence[tuple[int, int]], units: int) -> Ints:
    """For each unit (word or token) the window that shows most around it: the first best min(left, right)."""
    best = np.full(units, -1.0)
    owners = np.zeros(units, dtype=np.int64)
    for place, (start, end) in enumerate(windows):
        at = np.arange(start, end)
        # run_squad.py's score: the nearer edge decides, the length of the window breaks ties.
        score = np.minimum(at - start, end - 1 - at) + 0.01 * (end - start)
        better = score > best[start:end]
        owners[start:end][better] = place
        best[start:end] = np.maximum(best[start:end], score)
    return owners


# span


def _span_examples(
    rows: Sequence[Row], task: TaskInfo, tokenizer: Tokenizer, special: _Special, max_length: int, stride: int
) -> list[Example]:
    questions = _pieces(tokenizer, (row["question"] for row in rows), min(MAX_QUESTION, (max_length - 3) // 2))
    contexts = _located(tokenizer, (row["context"] for row in rows))
    examples = []
    for number, row in enumerate(rows):
        question = questions[row["question"]]
        ids, offsets = contexts[row["context"]]
        room = max_length - 3 - len(question)
        windows = token_windows(len(ids), room, min(stride, room // 2))
        owners = _owners(windows, len(ids))
        answer = answer_tokens(offsets, row["answers"]) if "answers" in row else None
        second = len(question) + 2
        for place, (start, end) in enumerate(windows):
            at = slice(second, second + end - start)
            joined = special.join(question, ids[start:end])
            spans, counts = np.full((len(joined), 2), -1, dtype=np.int64), np.zeros(len(joined), dtype=np.bool_)
            spans[at], counts[at] = offsets[start:end], owners[start:end] == place
            labels = None
            if "answers" in row:
                inside = answer is not None and start <= answer[0] and answer[1] < end
                shift = second - start
                labels = np.array([answer[0] + shift, answer[1] + shift] if answer and inside else [0, 0])
            examples.append(Example(number, joined, second, labels, offsets=spans, counts=counts))
    return examples


def _with_marks(text: str, offsets: Ints) -> Ints:
    """Offsets of tokens, (tokens, 2), with the marks behind a token as part of it: lower-case models see none of them.

    An answer would else be cut inside its last letter, and never be that of the row.
    """
    marks = marks_of(text)
    if not marks:
        return offsets
    ends = np.array([marks.get(end, end) for end in offsets[:, 1].tolist()], dtype=np.int64)
    following = np.append(offsets[1:, 0], len(text))  # a cased model's pieces may begin with a mark
    return np.stack((offsets[:, 0], np.maximum(offsets[:, 1], np.minimum(ends, following))), axis=1)


def token_windows(tokens: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Cut `tokens` tokens into windows of `room`, each sharing `overlap` with the one before; one at least."""
    windows = [(0, min(room, tokens))]
    while windows[-1][1] < tokens:
        start = windows[-1][0] + room - overlap
        windows.append((start, min(start + room, tokens)))
    return windows


def answer_tokens(offsets: Ints, answers: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """First and last token that touch the first answer; None if there is no answer, or no token of it."""
    if not answers:
        return None
    start = answers[0]["start"]
    end = start + len(answers[0]["text"])
    touching = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))
    return (int(touching[0]), int(touching[-1])) if len(touching) else None

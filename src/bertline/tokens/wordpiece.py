"""WordPiece vocabularies, deterministic: the same text gives the same bytes on every machine and in every process.

    counts = count_documents(directory, "train", lowercase=True)   # counting.py
    vocab = train_vocab(counts, size=8192)                          # place = id

sentencepiece learns byte-pair merges from the sorted word counts (Sennrich et al. 2016), and a piece that begins a word
becomes `x`, any other `##x`. The trainer of `tokenizers` is not used: it breaks ties in the order of a hash map
(tokenizers#1794).
"""

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece
from tokenizers.models import WordPiece

from bertline.base.errors import BertlineError
from bertline.tokens.counting import WordCounts
from bertline.tokens.tokenizer import SPECIAL_TOKENS

MULTIPLE = 64  # sizes are rounded up to it: matrix products are fastest so
MAX_WORD = 100  # characters; WordPiece makes [UNK] of longer words
MAX_WORDS = 150_000  # the commonest words, of which the pieces are learned
COVERAGE = 0.99999  # share of the text's characters that the alphabet must hold
SPARE = 1.1  # pieces learned for each wanted: steps on the way to longer ones, which no word then needs, come last
MAX_ALPHABET = 0.5  # share of the vocabulary that single characters may take
_WORD_START = "\u2581"  # how sentencepiece marks the beginning of a word


def _rounded_size(size: int) -> int:
    """`size`, rounded up to a multiple of MULTIPLE."""
    return -(-size // MULTIPLE) * MULTIPLE


def train_vocab(counts: WordCounts, *, size: int) -> list[str]:
    """Learn a vocabulary from word counts.

    Args:
        counts: words and how often they occur. Single characters are chosen by all of them, longer pieces learned from
            the MAX_WORDS commonest: the rest, words met a few times in a hundred million, would take most of the time.
        size: entries, the special tokens included; rounded up to a multiple of 64.

    Returns:
        The entries in the order of their ids: special tokens, single characters sorted, pieces as they were learned,
        those that no word needs last. A corpus too small for so many pieces leaves `[unusedN]` at the end, as in BERT's
        own vocabularies.

    Raises:
        BertlineError: there are no words.
    """
    size = _rounded_size(size)
    short = pc.less_equal(pc.utf8_length(counts.words), MAX_WORD)
    usable = _only(counts, pc.and_not(short, pc.match_substring(counts.words, _WORD_START)))
    if not len(usable.words):
        raise BertlineError("no words to learn from", where="vocabulary training", fix="Add text to the corpus")
    alphabet = _alphabet(usable, int(size * MAX_ALPHABET))
    letters = {piece.removeprefix("##") for piece in alphabet}
    words = {word: count for word, count in _commonest(usable) if letters.issuperset(word)}
    free = size - len(SPECIAL_TOKENS) - len(alphabet)
    known = {*SPECIAL_TOKENS, *alphabet}
    merges = _merges(words, int(free * SPARE) + len(known), len(letters))
    learned = [piece for piece in merges if piece not in known]
    used = _used_pieces(words, [*SPECIAL_TOKENS, *alphabet, *learned])
    learned.sort(key=lambda piece: piece not in used)  # stable: otherwise as learned
    vocab = [*SPECIAL_TOKENS, *alphabet, *learned[:free]]
    return vocab + [f"[unused{number}]" for number in range(size - len(vocab))]


def _only(counts: WordCounts, mask: pa.BooleanArray) -> WordCounts:
    return WordCounts(counts.words.filter(mask), counts.counts[mask.to_numpy(zero_copy_only=False)])


def _commonest(counts: WordCounts) -> list[tuple[str, int]]:
    """The MAX_WORDS commonest words, in the order of their code points; of equally common ones the first."""
    chosen = np.sort(np.argsort(-counts.counts, kind="stable")[:MAX_WORDS])
    return list(zip(counts.words.take(pa.array(chosen)).to_pylist(), counts.counts[chosen].tolist(), strict=True))


def _alphabet(counts: WordCounts, limit: int) -> list[str]:
    """Single characters, `c` where one begins a word and `##c` where one goes on with it, sorted.

    The rarest are left out (they become [UNK]) as long as COVERAGE of all characters is kept.
    """
    lengths = pc.utf8_length(counts.words).to_numpy()
    points = np.frombuffer("".join(counts.words.to_pylist()).encode("utf-32-le"), np.uint32).astype(np.int64)
    begins = np.zeros(len(points), np.int64)
    begins[np.cumsum(lengths) - lengths] = 1
    totals = np.bincount(2 * points + begins, np.repeat(counts.counts, lengths))  # exact: sums below 2**53
    found = {_piece(int(place)): int(totals[place]) for place in np.flatnonzero(totals)}
    ranked = sorted(found, key=lambda piece: (-found[piece], piece))
    needed, covered = COVERAGE * sum(found.values()), 0
    kept: list[str] = []
    for piece in ranked[:limit]:
        if covered >= needed:
            break
        kept.append(piece)
        covered += found[piece]
    return sorted(kept)


def _piece(place: int) -> str:
    """The entry that _alphabet counts at a place: twice the code point, one more where it begins a word."""
    return chr(place // 2) if place % 2 else f"##{chr(place // 2)}"


def _used_pieces(words: Mapping[str, int], vocab: Sequence[str]) -> set[str]:
    """The entries that occur when the words are cut as an encoder cuts them: the longest piece first."""
    model = WordPiece({piece: place for place, piece in enumerate(vocab)}, unk_token="[UNK]")
    return {token.value for word in words for token in model.tokenize(word)}


def _merges(words: Mapping[str, int], pieces: int, letters: int) -> list[str]:
    """The pieces of two characters and more that byte-pair encoding learns from the words, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "words.tsv")
        table.write_text("".join(f"{word}\t{words[word]}\n" for word in sorted(words)), encoding="utf-8")
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            input=str(table),
            input_format="tsv",
            model_writer=model,
            model_type="bpe",
            vocab_size=pieces + letters + 2,  # beside the merges, it holds the letters, the mark of a word and <unk>
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=True,
            split_by_unicode_script=False,
            split_by_number=False,
            max_sentencepiece_length=MAX_WORD,
            max_sentence_length=8 * MAX_WORD,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    learned = (processor.id_to_piece(place) for place in range(1, processor.get_piece_size()))
    marked = (piece.removeprefix(_WORD_START) if piece[0] == _WORD_START else f"##{piece}" for piece in learned)
    return [piece for piece in marked if piece]

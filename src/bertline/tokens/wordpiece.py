"""WordPiece vocabularies, deterministic: the same text gives the same bytes on every machine and in every process.

    words = count_words(sentences, lowercase=True)
    vocab = train_vocab(words, size=8192)           # place = id

Words are counted as BERT's own normaliser and pre-tokeniser cut them; sentencepiece learns byte-pair merges from the
sorted counts (Sennrich et al. 2016), and a piece that begins a word becomes `x`, any other `##x`. The trainer of
`tokenizers` is not used: it breaks ties in the order of a hash map (tokenizers#1794).
"""

import io
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bertline.base.errors import BertlineError
from bertline.tokens.encoder import SPECIAL_TOKENS

MULTIPLE = 64  # sizes are rounded up to it: matrix products are fastest so
MAX_WORD = 100  # characters; WordPiece makes [UNK] of longer words
COVERAGE = 0.99999  # share of the text's characters that the alphabet must hold
SPARE = 1.1  # pieces learned for each wanted: steps on the way to longer ones, which no word then needs, come last
MAX_ALPHABET = 0.5  # share of the vocabulary that single characters may take
_CHUNKS = 500_000  # distinct chunks held at once: in Chinese nearly every sentence is one
_WORD_START = "\u2581"  # how sentencepiece marks the beginning of a word


def rounded_size(size: int) -> int:
    """`size`, rounded up to a multiple of MULTIPLE."""
    return -(-size // MULTIPLE) * MULTIPLE


def count_words(sentences: Iterable[str], *, lowercase: bool) -> Counter[str]:
    """How often each word occurs, after BERT's normaliser and pre-tokeniser.

    Each distinct chunk between spaces is cut once, however often it occurs: exact, as in tokens/encoder.py.
    """
    words: Counter[str] = Counter()
    chunks: Counter[str] = Counter()
    for sentence in sentences:
        chunks.update(sentence.split(" "))
        if len(chunks) > _CHUNKS:
            words.update(_cut(chunks, lowercase))
            chunks.clear()
    words.update(_cut(chunks, lowercase))
    return words


def _cut(chunks: Mapping[str, int], lowercase: bool) -> Counter[str]:
    normaliser, pre_tokeniser = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in pre_tokeniser.pre_tokenize_str(normaliser.normalize_str(chunk)):
            words[word] += count
    return words


def train_vocab(words: Mapping[str, int], *, size: int) -> list[str]:
    """Learn a vocabulary from word counts.

    Args:
        words: word -> how often it occurs; their order does not matter.
        size: entries, the special tokens included; rounded up to a multiple of 64.

    Returns:
        The entries in the order of their ids: special tokens, single characters sorted, pieces as they were learned. A
        corpus too small for so many pieces leaves `[unusedN]` at the end, as in BERT's own vocabularies.

    Raises:
        BertlineError: there are no words.
    """
    size = rounded_size(size)
    usable = {word: count for word, count in words.items() if len(word) <= MAX_WORD and _WORD_START not in word}
    if not usable:
        raise BertlineError("no words to learn from", where="vocabulary training", fix="Add text to the corpus")
    alphabet = _alphabet(usable, int(size * MAX_ALPHABET))
    letters = {piece.removeprefix("##") for piece in alphabet}
    usable = {word: count for word, count in usable.items() if letters.issuperset(word)}
    free = size - len(SPECIAL_TOKENS) - len(alphabet)
    known = {*SPECIAL_TOKENS, *alphabet}
    merges = _merges(usable, int(free * SPARE) + len(known), len(letters))
    learned = [piece for piece in merges if piece not in known]
    used = _used_pieces(usable, [*SPECIAL_TOKENS, *alphabet, *learned])
    learned.sort(key=lambda piece: piece not in used)  # stable: otherwise as learned
    vocab = [*SPECIAL_TOKENS, *alphabet, *learned[:free]]
    return vocab + [f"[unused{number}]" for number in range(size - len(vocab))]


def _alphabet(words: Mapping[str, int], limit: int) -> list[str]:
    """Single characters, `c` where one begins a word and `##c` where one goes on with it, sorted.

    The rarest are left out (they become [UNK]) as long as COVERAGE of all characters is kept.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        counts[word[0]] += count
        for character in word[1:]:
            counts[f"##{character}"] += count
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
    needed, covered = COVERAGE * counts.total(), 0
    kept: list[str] = []
    for piece in ranked[:limit]:
        if covered >= needed:
            break
        kept.append(piece)
        covered += counts[piece]
    return sorted(kept)


def _used_pieces(words: Mapping[str, int], vocab: list[str]) -> set[str]:
    """The entries that occur when the words are cut as an encoder cuts them: the longest piece first."""
    tokenizer = Tokenizer(WordPiece({piece: place for place, piece in enumerate(vocab)}, unk_token="[UNK]"))
    encodings = tokenizer.encode_batch_fast(sorted(words), add_special_tokens=False)
    return {vocab[place] for place in set().union(*(encoding.ids for encoding in encodings))}


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

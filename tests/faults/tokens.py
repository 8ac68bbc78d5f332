"""Faults of the vocabulary and the token stores, and the expectations of gate_tokens that name them."""

from collections.abc import Callable

import numpy as np

from bertline.base.artifacts import Artifacts
from bertline.base.files import read_json, sha256_file, write_json
from faults import Fault, change_bytes, change_json

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
NAMES = ("ids", "sentences", "documents")


def entries_of(artifacts: Artifacts) -> list[str]:
    return (artifacts.vocab / "vocab.txt").read_text().splitlines()


def vocabulary(edit: Callable[[list[str]], list[str]], *, stores_know: bool = True):
    """Another vocabulary, in both of its files; `stores_know`: the stores say that they are of it."""

    def damage(artifacts: Artifacts) -> None:
        entries = edit(entries_of(artifacts))
        (artifacts.vocab / "vocab.txt").write_text("".join(f"{entry}\n" for entry in entries))
        places = {entry: place for place, entry in enumerate(entries)}
        change_json(artifacts.vocab / "tokenizer.json", lambda value: value["model"].update(vocab=places))
        for split in ("train", "validation") if stores_know else ():
            digest = sha256_file(artifacts.vocab / "vocab.txt")
            change_json(artifacts.tokens(split) / "meta.json", lambda meta, d=digest: meta.update(vocab_sha256=d))

    return damage


def store(edit: Callable[..., Arrays | None], **told: object):
    """Rewrite the training store with a meta.json and metrics that agree, as a faulty encoder would."""

    def damage(artifacts: Artifacts) -> None:
        directory = artifacts.tokens("train")
        arrays = [np.load(directory / f"{name}.npy") for name in NAMES]
        arrays = edit(*arrays) or arrays
        for name, array in zip(NAMES, arrays, strict=True):
            np.save(directory / f"{name}.npy", array)
        counts = {"tokens": len(arrays[0]), "sentences": len(arrays[1]) - 1, "documents": len(arrays[2]) - 1}
        counts["unknown"] = int((arrays[0] == 1).sum())
        sources = [["text", counts["documents"]]]
        hashes = {f"{name}.npy": sha256_file(directory / f"{name}.npy") for name in NAMES}
        meta = read_json(directory / "meta.json")
        write_json(directory / "meta.json", {**meta, **counts, "sources": sources, "sha256": hashes, **told})
        change_json(artifacts.metrics("encode"), lambda metrics: metrics.update(train_tokens=counts["tokens"]))

    return damage


def ids(edit: Callable[[np.ndarray], object]):
    return store(lambda i, s, d: edit(i) and None)


def file(name: str, edit: Callable[[bytes], bytes]):
    return lambda artifacts: change_bytes(artifacts.tokens("train") / name, edit)


def meta(edit: Callable[[dict], object]):
    return lambda artifacts: change_json(artifacts.tokens("train") / "meta.json", lambda value: edit(value) and None)


def swapped(values, a: int, b: int):
    values[a], values[b] = values[b], values[a]
    return values


def lose_documents(i: np.ndarray, s: np.ndarray, d: np.ndarray) -> Arrays:
    """The last thirty documents never came."""
    d = d[:-30]
    s = s[: d[-1] + 1]
    return i[: s[-1]], s, d


def drop_many(artifacts: Artifacts) -> None:
    """A filter of stage encode took every document but the first thousand, and says so."""
    directory = artifacts.tokens("train")
    told = read_json(directory / "meta.json")
    sentences, documents = (np.load(directory / f"{name}.npy") for name in NAMES[1:])
    words = int(told["words"] * sentences[documents[1000]] / told["tokens"])
    dropped = told.get("dropped", 0) + len(documents) - 1001
    cut = store(lambda i, s, d: (i[: s[d[1000]]], s[: d[1000] + 1], d[:1001]), words=words, dropped=dropped)
    cut(artifacts)


def one_token_a_sentence(i: np.ndarray, s: np.ndarray, d: np.ndarray) -> Arrays:
    return i, np.arange(len(i) + 1), s[d]


def other_order(i: np.ndarray, s: np.ndarray, d: np.ndarray) -> Arrays:
    """The sentences of the whole split in reverse, as a careless merge of parts would leave them."""
    parts = np.split(i, s[1:-1])[::-1]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])]), d


def unread(artifacts: Artifacts) -> None:
    """The normaliser is another one: capitals are kept."""
    change_json(artifacts.vocab / "tokenizer.json", lambda value: value["normalizer"].update(lowercase=False))


def fault(name: str, expectation: str, damage, severity="critical") -> Fault:
    return Fault(name, "gate_tokens", expectation, damage, severity=severity)


FAULTS = [
    fault("special tokens in another order", "special_tokens_come_first", vocabulary(lambda e: swapped(e, 2, 3))),
    fault(
        "a missing special token",
        "special_tokens_are_there",
        vocabulary(lambda entries: ["[MAST]" if entry == "[MASK]" else entry for entry in entries]),
    ),
    fault("padding that is not 0", "special_tokens_are_there", vocabulary(lambda entries: swapped(entries, 0, 9))),
    fault("no vocabulary", "special_tokens_are_there", lambda a: (a.vocab / "vocab.txt").unlink()),
    fault(
        "a vocabulary with a damaged byte",
        "tokenizer_has_the_vocabulary",
        lambda a: change_bytes(a.vocab / "vocab.txt", lambda data: data[:-3] + b"\xff" + data[-2:]),
    ),
    fault("a duplicate entry", "entries_are_unique", vocabulary(lambda entries: [*entries[:-1], entries[-2]])),
    fault("an empty entry", "entries_are_pieces", vocabulary(lambda entries: [*entries[:-1], ""])),
    fault("a size of its own", "size_is_a_multiple_of_64", vocabulary(lambda entries: [*entries, "one1", "two2"])),
    fault(
        "a wrong tokenizer.json",
        "tokenizer_has_the_vocabulary",
        lambda a: change_json(
            a.vocab / "tokenizer.json",
            lambda v: v["model"].update(vocab={k: i + 1 for k, i in v["model"]["vocab"].items()}),
        ),
    ),
    fault(
        "a truncated tokenizer.json",
        "tokenizer_has_the_vocabulary",
        lambda a: change_bytes(a.vocab / "tokenizer.json", lambda data: data[:-300]),
    ),
    fault("a cased tokenizer", "capitals_are_as_asked", unread),
    fault(
        "shifted ids: the vocabulary moved by one",
        "stores_are_of_this_vocabulary",
        vocabulary(lambda entries: [*entries[:5], entries[-1], *entries[5:-1]], stores_know=False),
    ),
    fault(
        "a vocabulary of other text",
        "ids_are_those_of_the_text",
        vocabulary(lambda entries: [*entries[:5], *sorted(entries[5:])]),
    ),
    fault("ids one off", "ids_are_those_of_the_text", ids(lambda i: np.copyto(i, np.where(i > 9, i - 1, i)))),
    fault("sentences in another order", "ids_are_those_of_the_text", store(other_order)),
    fault("a truncated ids.npy", "stores_can_be_read", file("ids.npy", lambda data: data[:-100])),
    fault("lost offsets", "stores_can_be_read", lambda a: (a.tokens("train") / "sentences.npy").unlink()),
    fault("a meta.json that is no JSON", "stores_can_be_read", file("meta.json", lambda data: data[:-20])),
    fault("counts that are missing", "counts_are_recorded", meta(lambda value: value.pop("words"))),
    fault("an altered byte", "files_are_as_written", file("ids.npy", lambda data: data[:-2] + b"\x09\x00")),
    fault("wrong counts", "counts_are_as_recorded", meta(lambda value: value.update(sentences=39))),
    fault("a source too many", "counts_are_as_recorded", meta(lambda value: value["sources"].append(["x", 1]))),
    fault("sources that are not told", "counts_are_as_recorded", meta(lambda value: value.pop("sources"))),
    fault(
        "offsets that do not rise",
        "offsets_are_whole",
        store(lambda i, s, d: (i, np.concatenate([s[:3], s[[4, 3]], s[5:]]), d)),
    ),
    fault("offsets that end early", "offsets_are_whole", store(lambda i, s, d: (i[:-5], s, d))),
    fault("offsets that do not begin at 0", "offsets_are_whole", store(lambda i, s, d: (i, s + 1, d))),
    fault("ids beyond the vocabulary", "ids_are_in_the_vocabulary", ids(lambda i: i.__setitem__(7, 1024))),
    fault("special ids in the text", "no_special_ids_in_the_text", ids(lambda i: i.__setitem__(slice(0, 900, 90), 3))),
    fault("everything is [UNK]", "unknown_tokens_are_rare", ids(lambda i: i.fill(1))),
    fault("a hundredth is [UNK]", "unknown_tokens_are_rare", ids(lambda i: i.__setitem__(slice(0, None, 100), 1))),
    fault("a vocabulary hardly used", "vocabulary_is_in_use", ids(lambda i: np.copyto(i, i % 500 + 5))),
    fault("sentences of one token", "sentences_are_of_normal_length", store(one_token_a_sentence)),
    fault("lost documents", "no_document_was_lost", store(lose_documents)),
    fault("most documents dropped on the way", "few_documents_were_dropped", drop_many, "warning"),
    fault("words in many pieces", "words_are_few_tokens", meta(lambda value: value.update(words=1000))),
    fault("hardly a token", "tokens_are_enough", store(lambda i, s, d: (i[: s[d[40]]], s[: d[40] + 1], d[:41]))),
    fault(
        "figures of another run",
        "figures_agree_with_encode",
        lambda a: change_json(a.metrics("encode"), lambda value: value.update(unigram_entropy=9.9)),
    ),
    fault(
        "a figure that is NaN",
        "figures_agree_with_encode",
        lambda a: change_json(a.metrics("encode"), lambda value: value.update(unigram_accuracy=float("nan"))),
    ),
]

"""Small files of the form in which each benchmark is published, in a directory laid out as BERTLINE_MIRROR is."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertline.base.download_config import Source
from bertline.tasks import glue
from bertline.tasks.benchmarks import BENCHMARKS
from bertline.tasks.published import PublishedFile

GLUE = "dl.fbaipublicfiles.com/glue/data"
CHNSENTICORP = "bj.bcebos.com/paddlehub-dataset/chnsenticorp.tar.gz"
TRAIN, DEV, TEST = 40, 6, 5


def write_mirror(mirror: Path) -> None:
    """Write every benchmark: TRAIN, DEV and TEST rows (CoNLL, IMDB and ChnSentiCorp: TEST rows with labels).

    QQP has one training row more, of which the second question is empty, as in two of the official file, and a line
    with too few fields, as a few of the official file, which count for nobody.
    """
    _write_single_sentences(mirror)
    _write_pairs(mirror)
    _write_mrpc(mirror)
    _write_squad(mirror)
    _write_conll(mirror)
    _write_reviews(mirror)


def use_small_files(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with the counts of the small files, and without the hashes of the real ones."""
    monkeypatch.setenv("BERTLINE_MIRROR", str(mirror))
    for name, benchmark in BENCHMARKS.items():
        labelled = name in ("conll2003", "chnsenticorp", "imdb")
        expected = {"train": TRAIN, "validation": DEV, "test": TEST if labelled else DEV, "test_mismatched": DEV}
        files = {
            role: PublishedFile(tuple(Source(place.address) for place in file.places))
            for role, file in benchmark.files.items()
        }
        counts = {split: expected.get(split, TEST) for split in benchmark.rows}
        counts["train"] += name == "qqp"
        small = replace(benchmark, rows=counts, files=files)
        monkeypatch.setitem(BENCHMARKS, name, small)  # type: ignore[arg-type]
        if name in glue.GLUE:
            monkeypatch.setitem(glue.GLUE, name, small)  # type: ignore[arg-type]


def no_fetch(source: Source, directory: Path) -> None:
    """For builders that have nothing to fetch."""
    raise AssertionError(f"{source.address} wanted in {directory}")


def put(mirror: Path, name: str, content: str | bytes) -> None:
    path = mirror / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def zipped(members: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return stream.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)  # as part of a test's name, the same in every process


def table(heading: str, rows: Sequence[Sequence[object]]) -> str:
    """Tab-separated; `heading` has its columns separated by spaces, and may be empty."""
    lines = ["\t".join(heading.split())] if heading else []
    return "\n".join([*lines, *("\t".join(map(str, row)) for row in rows)]) + "\n"


def _write_single_sentences(mirror: Path) -> None:
    cola = {name: [("gj04", n % 2, "*", f'She said "{name} {n}') for n in range(size)] for name, size in _SIZES.items()}
    members = {f"CoLA/{name}.tsv": table("", rows) for name, rows in cola.items()}
    members["CoLA/original/raw/train.tsv"] = "not this one\n"
    members["CoLA/test.tsv"] = table("index sentence", [(n, f"Sentence {n}.") for n in range(TEST)])
    put(mirror, f"{GLUE}/CoLA.zip", zipped(members))
    members = {
        f"SST-2/{name}.tsv": table("sentence label", [(f"{name} film {n} ", n % 2) for n in range(size)])
        for name, size in _SIZES.items()
    }
    members["SST-2/test.tsv"] = table("index sentence", [(n, f"film {n}") for n in range(TEST)])
    put(mirror, f"{GLUE}/SST-2.zip", zipped(members))


_SIZES = {"train": TRAIN, "dev": DEV}


def _write_pairs(mirror: Path) -> None:
    def pairs(
        folder: str, heading: str, row: Any, test_heading: str = "index sentence1 sentence2", more: Sequence[Any] = ()
    ) -> None:
        tables = {name: [row(name, n) for n in range(size)] for name, size in _SIZES.items()}
        tables["train"] += more
        members = {f"{folder}/{name}.tsv": table(heading, rows) for name, rows in tables.items()}
        test = [(n, f"first {n}", f"second {n}") for n in range(TEST)]
        members[f"{folder}/test.tsv"] = table(test_heading, test)
        put(mirror, f"{GLUE}/{_ZIPS.get(folder, folder)}.zip", zipped(members))

    answers = ("entailment", "not_entailment")
    rows = "index sentence1 sentence2 label"
    pairs("RTE", rows, lambda name, n: (n, f"{name} {n}", f"so {n}", answers[n % 2]))
    pairs("WNLI", rows, lambda name, n: (n, f"{name} {n}", f"so {n}", n % 2))
    asked = ("index question sentence label", "index question sentence")
    pairs("QNLI", asked[0], lambda name, n: (n, f"{name} {n}?", f"so {n}", answers[n % 2]), asked[1])
    doubles = "id qid1 qid2 question1 question2 is_duplicate"
    pairs(
        "QQP-clean",
        doubles,
        lambda name, n: (n, n, n, f"{name} {n}?", f"or {n}?", n % 2),
        "id question1 question2",
        [(310137, 1, 2, "How can I create an Android app?", "", 0), ("a line that was broken", 1, 2)],
    )
    scored = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
    pairs(
        "STS-B",
        scored,
        lambda name, n: (n, *["x"] * 6, f'{name} "{n}', f"like {n}", f"{n % 6}.000", "beyond the headings"),
        "index sentence1 sentence2",
    )
    inference = "index promptID sentence1 sentence2 label1 gold_label"
    labels = ("neutral", "entailment", "contradiction")
    members = {"MNLI/original/multinli_1.0_train.txt": "not this one\n"}
    for name, size in (("train", TRAIN), ("dev_matched", DEV), ("dev_mismatched", DEV)):
        some = [(n, n, f"{name} {n // 3}", f"so {n}", labels[n % 3], labels[n % 3]) for n in range(size)]
        members[f"MNLI/{name}.tsv"] = table(inference, some)
    for name in ("test_matched", "test_mismatched"):
        some = [(n, n, f"{name} {n}", f"so {n}") for n in range(TEST)]
        members[f"MNLI/{name}.tsv"] = table("index promptID sentence1 sentence2", some)
    put(mirror, f"{GLUE}/MNLI.zip", zipped(members))
    put(mirror, f"{GLUE}/AX.tsv", table("index sentence1 sentence2", [(n, "a cat", "a dog") for n in range(TEST)]))


_ZIPS = {"QNLI": "QNLIv2"}


def _write_mrpc(mirror: Path) -> None:
    heading = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    rows = [f'{n % 2}\t{n}\t{n + 1000}\tHe said " {n}\tShe said {n}\r\n' for n in range(TRAIN + DEV)]
    senteval = "dl.fbaipublicfiles.com/senteval/senteval_data"
    put(mirror, f"{senteval}/msr_paraphrase_train.txt", heading + "".join(rows))
    put(mirror, f"{senteval}/msr_paraphrase_test.txt", heading + "".join(rows[:TEST]))
    dev = [f"{n}\t{n + 1000}\n" for n in range(0, 2 * DEV, 2)]
    put(mirror, f"{GLUE}/mrpc_dev_ids.tsv", "".join(dev))


def squad_file(prefix: str, questions: int, *, impossible: bool) -> str:
    """Four questions an article; every other one is impossible, as in v2.0, or none is."""
    articles: dict[str, list[dict[str, Any]]] = {}
    for n in range(questions):
        context = f"It was {prefix} {n} who did it."
        answers = [{"text": f"{prefix} {n}", "answer_start": 7}]
        question: dict[str, Any] = {"id": f"{prefix}-{n}", "question": f" Who did {n}?", "answers": answers}
        if impossible:
            question |= {"is_impossible": bool(n % 2)}
            question |= {"answers": [], "plausible_answers": answers} if n % 2 else {}
        articles.setdefault(f"Article {n // 4}", []).append({"context": context, "qas": [question]})
    data = [{"title": title, "paragraphs": paragraphs} for title, paragraphs in articles.items()]
    return json.dumps({"version": "1", "data": data})


def _write_squad(mirror: Path) -> None:
    page = "rajpurkar.github.io/SQuAD-explorer/dataset"
    for version, impossible in (("1.1", False), ("2.0", True)):
        put(mirror, f"{page}/train-v{version}.json", squad_file("train", TRAIN, impossible=impossible))
        put(mirror, f"{page}/dev-v{version}.json", squad_file("dev", DEV, impossible=impossible))
    du = "raw.githubusercontent.com/tomhosking/squad-du-split/beac7f3ddcdd579010c7352646938e8ab31e8add"
    put(mirror, f"{du}/test-v1.1.json", squad_file("du", TRAIN, impossible=False))


def _write_conll(mirror: Path) -> None:
    folder = "raw.githubusercontent.com/synalp/NER/c0ea07c81ec3512b5047dcd804b0ac2b10a3bdfc/corpus/CoNLL-2003"
    for name, size in (("train", TRAIN), ("testa", DEV), ("testb", TEST)):
        sentences = [f"Ada NNP I-NP I-PER\nBob NNP I-NP B-PER\nsang VBD I-VP O\n{n} CD I-NP O\n" for n in range(size)]
        put(mirror, f"{folder}/eng.{name}", "-DOCSTART- -X- O O\n\n" + "\n".join(sentences))


def _write_reviews(mirror: Path) -> None:
    for split, size in (("train", TRAIN), ("test", TEST)):
        texts = [f"{split} {n}<br /><br />It ends." for n in range(size)]
        stream = io.BytesIO()
        pq.write_table(pa.table({"text": texts, "label": [n % 2 for n in range(size)]}), stream)
        put(mirror, f"derived/imdb-{split}.parquet", stream.getvalue())
    members = {
        f"chnsenticorp/{name}.tsv": table("label text_a", [(n % 2, f'房间"很{name}{n}') for n in range(size)]).encode()
        for name, size in (("train", TRAIN), ("dev", DEV), ("test", TEST))
    }
    put(mirror, CHNSENTICORP, tarred(members))

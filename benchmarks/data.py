"""The data plane beside its peers: raw text to documents, vocabulary and tokens; speed and memory of each stage.

    BERTLINE_MIRROR=DIR python -m benchmarks.data --megabytes 46            # a share of the corpora; 464: all of them
    BERTLINE_MIRROR=DIR python -m benchmarks.data --megabytes 464 --rounds 3 --check

The stages run as DVC runs them, in a scratch checkout, with the tasks of preset glue-cpu, whose evaluation rows no
document may share text with. The peers read the same documents: the WordPieceTrainer of `tokenizers` (BERT's normaliser
and pre-tokeniser, all cores), and `datasets.map` with the fast tokenizer (batched, a process a core). Memory is the sum
over all processes (PSS), sampled ten times a second. `--check` compares the bytes that 1 to 5 workers write, five fresh
processes, and every sentence's ids with those of `tokenizers`. Writes
benchmarks/results/data-MEGABYTES.json (…-check.json).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from datasets import load_dataset
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer
from transformers import AutoTokenizer

from benchmarks.machine import FailedError, for_people, spread, write_result
from bertline.base.artifacts import Artifacts
from bertline.base.config import Encode, Vocab
from bertline.base.download_config import Download, Source
from bertline.base.files import read_json, sha256_directory
from bertline.base.params import load_params, write_params
from bertline.base.workers import VARIABLE
from bertline.corpus.parquet import SPLITS, read_row_group, row_groups
from bertline.corpus.readers import read_documents
from bertline.tokens.store import TokenStore
from bertline.tokens.tokenizer import SPECIAL_TOKENS, load_tokenizer

CORPORA = ("wikipedia-en-201907-part1.txt.xz", "wikipedia-en-201907-part2.txt.xz", "books-en.txt.xz")
ALL = 464  # megabytes of text in them
PRESET = Path(__file__).parents[1] / "pipelines" / "presets" / "glue-cpu.yaml"
WORKERS = ("1", "2", "3", "4", "5")
STAGES = ("download", "documents", "vocab", "encode")


def measured(command: Sequence[str], **environment: str) -> dict[str, Any]:
    """Run a program; its wall and CPU seconds and peak memory over all of its processes, and the last line it printed.

    Raises:
        FailedError: it failed.
    """
    started = time.monotonic()
    seconds: dict[int, float] = {}
    peak = 0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        while process.poll() is None:
            peak = max(peak, _sample(process, seconds))
            time.sleep(0.1)
        wall = time.monotonic() - started
        output.seek(0)
        said = output.read().strip()
    if process.returncode:
        raise FailedError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")
    return {"seconds": wall, "cpu_seconds": sum(seconds.values()), "peak_bytes": peak, "said": said.splitlines()[-1]}


def _sample(process: psutil.Process, seconds: dict[int, float]) -> int:
    """Bytes that a process and those below it hold now; notes the CPU seconds that each has used so far."""
    memory = 0
    with suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                times = one.cpu_times()
                seconds[one.pid] = times.user + times.system
                memory += one.memory_full_info().pss
    return memory


def run_stage(root: Path, stage: str, task: str = "", **environment: str) -> dict[str, Any]:
    of = [task] if task else []
    return measured([sys.executable, "-m", f"bertline.stages.{stage}", *of, "--root", str(root)], **environment)


def run_peer(root: Path, peer: str, options: argparse.Namespace) -> dict[str, Any]:
    """A peer in a process of its own; its seconds are those it took by its own clock, without imports."""
    command = [sys.executable, "-m", "benchmarks.data", "--peer", peer, "--root", str(root)]
    found = measured([*command, "--size", str(options.size), "--batch-size", str(options.batch_size)])
    return {**found, **json.loads(found["said"])}


def sentences_of(root: Path, split: str) -> Iterator[pa.StringArray]:
    for group in row_groups(Artifacts(root).documents, split):
        yield read_row_group(group).flatten()


def peer_trainer(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The trainer of `tokenizers` on the training documents, to a vocabulary on disk."""
    started = time.monotonic()
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=options.size, special_tokens=list(SPECIAL_TOKENS), show_progress=False)
    tokenizer.train_from_iterator((part.to_pylist() for part in sentences_of(root, "train")), trainer)
    tokenizer.save(str(root / "peer.json"))
    seconds = time.monotonic() - started
    return {"seconds": seconds, "tokens_per_word": tokens_per_word(root, Tokenizer.from_file(str(root / "peer.json")))}


def peer_map(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """`datasets.map` with AutoTokenizer over both splits; opening the files is not counted, its Arrow cache is."""
    tokenizer = AutoTokenizer.from_pretrained(Artifacts(root).vocab, model_max_length=10**9)

    def encode(rows: dict[str, list[list[str]]]) -> dict[str, list[list[int]]]:
        flat = [sentence for document in rows["sentences"] for sentence in document]
        return {
            "ids": tokenizer(flat, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)[
                "input_ids"
            ]
        }

    files = {split: [str(path) for path in sorted(Artifacts(root).documents.glob(f"{split}-*"))] for split in SPLITS}
    with tempfile.TemporaryDirectory(dir=root) as cache:
        loaded = load_dataset("parquet", data_files=files, columns=["sentences"], cache_dir=cache)
        started = time.monotonic()
        for split in SPLITS:
            loaded[split].map(
                encode,
                batched=True,
                batch_size=options.batch_size,
                num_proc=len(os.sched_getaffinity(0)),
                remove_columns=["sentences"],
            )
        return {"seconds": time.monotonic() - started}


def tokens_per_word(root: Path, tokenizer: Any) -> float:
    """Tokens a word, as BERT cuts words, on the validation documents; the vocabulary is all that differs."""
    tokens = words = 0
    for part in sentences_of(root, "validation"):
        for encoding in tokenizer.encode_batch(part.to_pylist(), add_special_tokens=False):
            tokens += len(encoding.ids)
            words += len(set(encoding.word_ids))
    return tokens / words


def prepare(root: Path, options: argparse.Namespace) -> None:
    """params.yaml of the scratch checkout, and its tasks; a share of the corpora is taken evenly over them."""
    params = load_params(PRESET)
    sources = [Source(f"mirror:derived/{name}", licence="as published") for name in options.corpora]
    params = replace(
        params,
        download=Download(sources),
        documents=replace(params.documents, language=options.language),
        vocab=Vocab(size=options.size),
        encode=Encode(0) if options.check else params.encode,
    )
    write_params(root / "params.yaml", params, "Benchmark.")
    (root / "data" / "sources").mkdir(parents=True)
    if options.megabytes < ALL:
        run_stage(root, "download")
        share, documents = options.megabytes, enumerate(read_documents(root / "data" / "raw"))
        with (root / "data" / "sources" / "share.txt").open("w", encoding="utf-8") as out:
            for document in (some for n, some in documents if (n + 1) * share // ALL > n * share // ALL):
                out.write("\n".join(document.paragraphs) + "\n\n")
        params = replace(params, download=Download([Source("file:data/sources/share.txt")]))
        write_params(root / "params.yaml", params, "Benchmark.")
    for name in params.tasks:
        run_stage(root, "task", name)


def check(root: Path) -> dict[str, Any]:
    """Bytes for 1 to 5 workers, five fresh processes, and ids beside those of `tokenizers`, sentence by sentence.

    Raises:
        FailedError: something differs.
    """
    artifacts = Artifacts(root)
    digests = set()
    for workers in WORKERS:
        for stage in STAGES[2:]:
            run_stage(root, stage, **{VARIABLE: workers})
        digests.add((sha256_directory(artifacts.vocab), sha256_directory(artifacts.tokens(""))))
    if len(digests) != 1:
        raise FailedError("the number of workers changed the bytes")
    tokenizer = load_tokenizer(artifacts.vocab)
    tokenizer.encode_special_tokens = True
    compared = 0
    for split in SPLITS:
        store, at = TokenStore.open(artifacts.tokens(split)), 0
        for part in sentences_of(root, split):
            for encoding in tokenizer.encode_batch_fast(part.to_pylist(), add_special_tokens=False):
                if not np.array_equal(store.ids[store.sentences[at] : store.sentences[at + 1]], encoding.ids):
                    raise FailedError(f"{split}, sentence {at}: other ids than those of tokenizers")
                at += 1
        compared += at
    return {"workers": WORKERS, "same_bytes": True, "sentences_compared": compared, "same_ids": True}


def benchmark(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds: ours and the peers' in turn."""
    prepare(root, options)
    rounds: dict[str, list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        for name in STAGES if number == 0 else STAGES[2:]:
            rounds.setdefault(name, []).append(run_stage(root, name))
            peer = {"vocab": "trainer", "encode": "map"}.get(name)
            if peer and not options.no_peers:
                rounds.setdefault(peer, []).append(run_peer(root, peer, options))
    artifacts = Artifacts(root)
    megabytes = read_json(artifacts.metrics("documents"))["characters"] / 1e6
    tokens = sum(read_json(artifacts.metrics("encode"))[f"{split}_tokens"] for split in SPLITS)
    table = {name: _summary(runs, megabytes, tokens) for name, runs in rounds.items()}
    result: dict[str, Any] = {"megabytes": megabytes, "tokens": tokens, "stages": table}
    result["total_seconds"] = sum(table[name]["seconds"]["median"] for name in STAGES)
    result["peak_bytes"] = max(table[name]["peak_bytes"] for name in STAGES)
    result["documents"] = read_json(artifacts.metrics("documents"))
    for ours, peer in (("vocab", "trainer"), ("encode", "map")):
        if peer in rounds:
            pairs = zip(rounds[peer], rounds[ours], strict=True)
            result[f"{ours}_ratio"] = spread([theirs["seconds"] / own["seconds"] for theirs, own in pairs])
    result["tokens_per_word"] = {"ours": tokens_per_word(root, load_tokenizer(artifacts.vocab))}
    if "trainer" in rounds:
        result["tokens_per_word"]["trainer"] = rounds["trainer"][-1]["tokens_per_word"]
    if options.check:
        result["check"] = check(root)
    return result


def _summary(runs: list[dict[str, Any]], megabytes: float, tokens: int) -> dict[str, Any]:
    seconds = spread([run["seconds"] for run in runs])
    return {
        "seconds": seconds,
        "cpu_seconds": spread([run["cpu_seconds"] for run in runs]),
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "megabytes_per_second": megabytes / seconds["median"],
        "tokens_per_second": tokens / seconds["median"],
    }


def show(result: dict[str, Any]) -> None:
    print(f"{'':10} {'seconds':>9} {'CPU s':>8} {'MB/s':>8} {'tokens/s':>12} {'peak MiB':>9}")
    for name, row in result["stages"].items():
        speed = f"{row['megabytes_per_second']:8.1f} {row['tokens_per_second']:12,.0f}"
        peak = row["peak_bytes"] / 2**20
        print(f"{name:10} {row['seconds']['median']:9.1f} {row['cpu_seconds']['median']:8.1f} {speed} {peak:9.0f}")
    print(json.dumps({key: value for key, value in result.items() if key != "stages"}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=46, help=f"of text, from 1; {ALL}: all")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="names below derived/ in BERTLINE_MIRROR")
    parser.add_argument("--language", default="en")
    parser.add_argument("--size", type=int, default=32768, help="entries of the vocabulary")
    parser.add_argument("--batch-size", type=int, default=100, help="documents a batch of datasets.map")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--check", action="store_true", help="compare bytes and ids; switches the filter off")
    parser.add_argument("--peer", choices=("trainer", "map"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.megabytes <= ALL:
        parser.error(f"--megabytes must be from 1 to {ALL}")
    if options.peer:
        print(json.dumps({"trainer": peer_trainer, "map": peer_map}[options.peer](options.root, options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        result = benchmark(Path(folder), options)
    show(result)
    used = {key: value for key, value in vars(options).items() if key not in ("peer", "root")}
    name = f"data-{options.megabytes}" + ("-check" if options.check else "")
    print(write_result(name, {"options": used, **result}))


if __name__ == "__main__":
    with for_people("data"):
        main()

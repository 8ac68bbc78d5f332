"""Reviews, good or bad: IMDB (Maas et al. 2011), and in Chinese ChnSentiCorp (Tan Songbo; hotels, laptops, books)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bertline.base.download_config import Source
from bertline.tasks.arrow import parquet_records
from bertline.tasks.published import Benchmark, Parts, PublishedFile
from bertline.tasks.schema import Row
from bertline.tasks.tsv import open_tar_member, tsv_records

_IMDB = "https://huggingface.co/datasets/stanfordnlp/imdb/resolve/e6281661ce1c48d982bc483cf8a173c1bbeb5d31/plain_text"
_LABELS = {"0": "negative", "1": "positive"}


def _read_imdb(files: Mapping[str, Path]) -> Parts:
    return Parts({split: list(_parquet_rows(path, split)) for split, path in files.items()})


def _parquet_rows(path: Path, split: str) -> Iterator[Row]:
    for number, (_, record) in enumerate(parquet_records(path, str(path))):
        # Lines end in <br />, the only markup there is.
        text, label = record["text"].replace("<br />", "\n"), str(record["label"])
        yield {"id": f"{split}-{number}", "text": text, "label": _LABELS[label]}


def _read_chnsenticorp(files: Mapping[str, Path]) -> Parts:
    rows: dict[str, list[Row]] = {}
    for split, name in (("train", "train.tsv"), ("validation", "dev.tsv"), ("test", "test.tsv")):
        with open_tar_member(files["tar"], f"chnsenticorp/{name}") as lines:
            records = tsv_records(lines, f"{files['tar'].name}, {name}")
            rows[split] = [
                {"id": f"{split}-{number}", "text": record["text_a"].strip(), "label": _LABELS[record["label"]]}
                for number, (_, record) in enumerate(records)
            ]
    return Parts(rows)


REVIEWS: Mapping[str, Benchmark] = {
    "imdb": Benchmark(
        "IMDB",
        "classification",
        {
            split: PublishedFile(
                (
                    Source(f"mirror:derived/imdb-{split}.parquet", sha256=derived),
                    Source(f"{_IMDB}/{split}-00000-of-00001.parquet", sha256=published),
                )
            )
            for split, published, derived in (
                ("train", "", "f1ac447c5c8c8c9b6cb6a3d133c35d546b5eb252a9d68f3600e2b1a72607cc5a"),
                (
                    "test",
                    "b52e26e2f872d282ffac460bf9770b25ac6f102cda0e6ca7158df98c94e8b3da",
                    "17745c2fc18776f768d89b089353464a10e53564a0dcdbda2a7a0590080cb0f1",
                ),
            )
        },
        _read_imdb,
        {"train": 25_000, "test": 25_000},
        ("accuracy",),
        licence="academic use",
    ),
    "chnsenticorp": Benchmark(
        "ChnSentiCorp",
        "classification",
        {"tar": PublishedFile.at("https://bj.bcebos.com/paddlehub-dataset/chnsenticorp.tar.gz")},
        _read_chnsenticorp,
        {"train": 9600, "validation": 1200, "test": 1200},
        ("accuracy",),
        licence="research",
    ),
}

"""The tables of GLUE: nine layouts, read into rows. Two of the well-known download scripts swap QQP and STS-B; so the
headings are checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bertline.base.errors import BertlineError
from bertline.tasks.published import Parts
from bertline.tasks.schema import Row
from bertline.tasks.tsv import Record, open_member, tsv_records


@dataclass(frozen=True)
class Layout:
    """How the tables of a task are laid out.

    Attributes:
        text, text_pair, label: headings of the columns.
        labels: label in the file -> ours; empty: as it stands. None: a number.
        dev: our split -> name of the dev table.
        submission: name in a submission -> name of the test table.
        heading: of the tables with labels, where they have none.
        drop_short: some rows are broken, and count for nobody.
        drop_empty: some training rows have an empty text; they count as published, and teach nothing.
    """

    text: str = "sentence1"
    text_pair: str = "sentence2"
    label: str = "label"
    labels: Mapping[str, str] | None = field(default_factory=dict)
    dev: Mapping[str, str] = field(default_factory=lambda: {"test": "dev.tsv"})
    submission: Mapping[str, str] = field(default_factory=dict)
    heading: tuple[str, ...] = ()
    drop_short: bool = False
    drop_empty: bool = False

    def read(self, files: Mapping[str, Path]) -> Parts:
        """The rows of a zip; and of AX.tsv, the diagnostics, where it is among the files."""
        tables = {"train": "train.tsv", **self.dev}
        rows = {split: list(self._labelled(files["zip"], name)) for split, name in tables.items()}
        unlabelled = {name: list(self._unlabelled(files["zip"], table)) for name, table in self.submission.items()}
        if "AX" in files:
            with files["AX"].open(encoding="utf-8-sig") as lines:
                records = tsv_records(lines, files["AX"].name)
                unlabelled["AX"] = [self._row(record, record[1].get("index", "")) for record in records]
        return Parts(rows, submission=unlabelled, drop_empty=self.drop_empty)

    def _labelled(self, archive: Path, name: str) -> Iterator[Row]:
        stem = name.removesuffix(".tsv")
        with open_member(archive, name) as lines:
            records = tsv_records(lines, f"{archive.name}, {name}", self.heading, drop_short=self.drop_short)
            for number, record in enumerate(records):
                row = self._row(record, f"{stem}-{number}")
                yield row | {"label": self._label(_column(record, self.label), record[0])}

    def _unlabelled(self, archive: Path, name: str) -> Iterator[Row]:
        with open_member(archive, name) as lines:
            records = tsv_records(lines, f"{archive.name}, {name}", drop_short=self.drop_short)
            for number, record in enumerate(records):
                index = record[1].get("index", record[1].get("id", str(number)))
                yield self._row(record, index)

    def _row(self, record: Record, identity: str) -> Row:
        row: Row = {"id": identity, "text": _column(record, self.text).strip()}
        if self.text_pair:
            row["text_pair"] = _column(record, self.text_pair).strip()
        return row

    def _label(self, value: str, where: str) -> str | float:
        if self.labels is None:
            return float(value)
        if self.labels and value not in self.labels:
            fix = f"Fetch it anew; labels are: {', '.join(self.labels)}"
            raise BertlineError(f"unknown label {value!r}", where=where, fix=fix)
        return self.labels[value] if self.labels else value


def _column(record: Record, name: str) -> str:
    where, fields = record
    if name not in fields:
        fix = f"It is another table (QQP and STS-B are often swapped); its headings are: {', '.join(fields)}"
        raise BertlineError(f"no column {name!r}", where=where, fix=fix)
    return fields[name]


def read_mrpc(files: Mapping[str, Path]) -> Parts:
    """MRPC comes from the paraphrase corpus: its test rows have labels there, which GLUE does not give away."""
    with files["dev_ids"].open(encoding="utf-8") as lines:
        dev_ids = {tuple(line.split()) for line in lines}
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for record in _paraphrases(files["train"]):
        split = "test" if (record[1]["#1 ID"], record[1]["#2 ID"]) in dev_ids else "train"
        label = {"0": "not_equivalent", "1": "equivalent"}[_column(record, "Quality")]
        name = "dev" if split == "test" else "train"
        rows[split].append(_pair(record, f"{name}-{len(rows[split])}") | {"label": label})
    unlabelled = [_pair(record, str(number)) for number, record in enumerate(_paraphrases(files["test"]))]
    return Parts(rows, submission={"MRPC": unlabelled})


def _paraphrases(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from tsv_records(lines, path.name)


def _pair(record: Record, identity: str) -> Row:
    return {
        "id": identity,
        "text": _column(record, "#1 String").strip(),
        "text_pair": _column(record, "#2 String").strip(),
    }

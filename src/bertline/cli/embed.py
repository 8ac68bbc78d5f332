"""`bertline embed`: texts as vectors of the pre-trained model, for search, clustering and models of other kinds."""

from pathlib import Path
from typing import Annotated

import typer

from bertline.base.artifacts import Artifacts
from bertline.base.config import Device, Precision
from bertline.base.errors import BertlineError
from bertline.base.files import atomic_file, refuse_device
from bertline.cli.ask import find_pretrained, read_texts
from bertline.cli.console import Debug, Root, check_not_lost, find_root, print_json, reporting


def embed(  # noqa: PLR0913, PLR0917  (a command has as many parameters as options)
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts; - reads lines, empty ones left out.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Rows in place of TEXT: CSV, TSV, JSONL or Parquet.")] = None,
    column: Annotated[str, typer.Option(help="Of the file.")] = "text",
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="A file of NumPy (.npy), float32 (texts, width); else JSON, a text a line."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = "cpu",
    precision: Annotated[Precision, typer.Option(help="bf16: faster where the processor has it, less exact.")] = "fp32",
    root: Root = None,
    debug: Debug = False,
) -> None:
    """Turn texts into vectors: the mean of the pre-trained model's last hidden states.

    bertline embed "Compute the eigenvalues of a matrix."

    bertline embed --file rows.csv --column review --out vectors.npy
    """
    with reporting(debug):
        directory = find_pretrained(Artifacts(find_root(root)))
        if bool(texts) == bool(file):
            what = "TEXT and --file together" if texts else "no text given"
            raise BertlineError(what, where="bertline embed", fix="Give texts in quotes, or --file")
        if out is not None:
            refuse_device(out)  # before the work
        import numpy as np  # noqa: PLC0415  (these take seconds; --help must not)

        from bertline.inference.embedding import embed as vectors_of  # noqa: PLC0415
        from bertline.inference.files import read_column  # noqa: PLC0415
        from bertline.inference.fill_mask import FillMask  # noqa: PLC0415

        if file:
            check_not_lost(file, out)
        given = read_column(file, column) if file else read_texts(texts or [])
        model = FillMask(directory, device=device, precision=precision)
        vectors = vectors_of(model.model.bert, model.tokenizer, given, max_length=model.max_length, precision=precision)
        if out is None:
            for text, vector in zip(given, vectors.tolist(), strict=True):
                print_json({"text": text, "embedding": [round(value, 6) for value in vector]})
            return
        with atomic_file(out) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors)
        typer.echo(f"{out} written: {len(vectors):,} vectors of {vectors.shape[1]}")

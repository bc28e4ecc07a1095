"""``evalkit embed``"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit embed --model clip:./clip-vit-large-patch14 --input items.jsonl --output vectors.npz
  evalkit embed --model qwen3-vl-embedding-2b?dimensions=256 --input items.jsonl --output vectors.npz

An item is one JSON object a line:
  {"id": "q7", "side": "query", "prompt": "<image>\\\\nFind …", "image": "images/a.jpg", "box": [1, 2, 3, 4]}"""


@click.command(epilog=EPILOG)
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help=f"{options.MODEL_HELP}.",
)
@click.option("--input", "source", type=click.Path(path_type=Path), required=True, help="Items as JSON lines.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="NPZ file with ids and vectors.")
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder that image paths are relative to; may be given again: the first that has a path is taken.  [default: "
    "that of the input]",
)
@options.follow_links
@options.bad_regions
@options.device
@options.batch_tokens
@options.quiet
def command(
    model: str,
    source: Path,
    output: Path,
    images: tuple[Path, ...],
    follow_links: bool,
    bad_regions: Literal["refuse", "keep"],
    device: str,
    batch_tokens: int,
    quiet: bool,
) -> None:
    """Embed the items of a JSON-lines file into an NPZ file: ids, and vectors in the order of the lines."""
    import io
    from dataclasses import replace

    import numpy as np

    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder
    from evalkit.encoding.checkedregions import checked_regions
    from evalkit.encoding.encode import Encoder
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.encoding.itemlines import require_listed
    from evalkit.encoding.prefixes import cut, only_dimension
    from evalkit.encoding.store import VectorStore
    from evalkit.errors import ItemError
    from evalkit.files import write_atomically
    from evalkit.items import Side, concerns
    from evalkit.items.jsonl import read_items
    from evalkit.progress import Progress
    from evalkit.terminal import one_line

    def with_line(error: ItemError) -> ItemError:
        line = next((row.line for row in rows if concerns(error, row.item)), None)
        return error if line is None else type(error)(f"{source}, line {line}: {error}")

    rows, index = read_items(source, images or None, follow_links=follow_links), ImageIndex()
    try:
        require_listed(rows, index)
        checked = checked_regions([row.item for row in rows], index, bad_regions)
    except ItemError as error:
        raise with_line(error) from error
    for warning in checked.warnings:
        click.echo(f"warning: {one_line(warning)}", err=True)
    rows = [replace(row, item=item) for row, item in zip(rows, checked.items, strict=True)]
    loaded = load_embedder(parse_model(model), device)
    dimension = only_dimension(loaded, "embed with ?dimensions= one after the other")
    vectors = np.empty((len(rows), dimension), dtype=np.float32)
    progress = Progress(quiet=quiet)
    sides: tuple[Side, Side] = ("query", "candidate")
    with VectorStore(None) as store, progress.run(loaded.info.name, 1), progress.task(source.name):
        progress.expect(len(rows))
        encoder = Encoder(loaded, store, index, batch_tokens, progress=progress)
        for side in sides:
            places = [place for place, row in enumerate(rows) if row.side == side]
            try:
                if places:
                    items = [rows[place].item for place in places]
                    vectors[places] = cut(encoder.encode(items, side), dimension, items, side)
            except ItemError as error:
                raise with_line(error) from error
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array([row.id for row in rows]), vectors=vectors)
    write_atomically(output, buffer.getvalue())
    click.echo(f"{len(rows)} vectors of dimension {dimension} written to {output}")

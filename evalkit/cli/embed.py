"""``evalkit embed``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit embed --model clip:./clip-vit-large-patch14 --input items.jsonl --output vectors.npz

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
    type=click.Path(path_type=Path),
    help="Folder that image paths are relative to.  [default: that of the input]",
)
@options.device
@options.batch_tokens
@options.quiet
def command(
    model: str, source: Path, output: Path, images: Path | None, device: str, batch_tokens: int, quiet: bool
) -> None:
    """Embed the items of a JSON-lines file into an NPZ file: ids, and vectors in the order of the lines."""
    import io

    import numpy as np

    from evalkit.embedders.registry import load_embedder, parse_model
    from evalkit.encoding.encode import Encoder
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.encoding.store import VectorStore
    from evalkit.errors import ItemError
    from evalkit.files import write_atomically
    from evalkit.itemfile import read_items
    from evalkit.items import Side, concerns
    from evalkit.progress import Progress

    rows = read_items(source, images)
    loaded = load_embedder(parse_model(model), device)
    vectors = np.empty((len(rows), loaded.info.dimension), dtype=np.float32)
    progress = Progress(quiet=quiet)
    sides: tuple[Side, Side] = ("query", "candidate")
    with VectorStore(None) as store, progress.run(loaded.info.name, 1), progress.task(source.name):
        progress.expect(len(rows))
        encoder = Encoder(loaded, store, ImageIndex(), batch_tokens, progress=progress)
        for side in sides:
            places = [place for place, row in enumerate(rows) if row.side == side]
            try:
                if places:
                    vectors[places] = encoder.encode([rows[place].item for place in places], side)
            except ItemError as error:
                line = next((rows[place].line for place in places if concerns(error, rows[place].item)), None)
                if line is None:
                    raise
                raise type(error)(f"{source}, line {line}: {error}") from error
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array([row.id for row in rows]), vectors=vectors)
    write_atomically(output, buffer.getvalue())
    click.echo(f"{len(rows)} vectors of dimension {loaded.info.dimension} written to {output}")

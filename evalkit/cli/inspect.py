"""``evalkit inspect``"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evalkit.cli import options

if TYPE_CHECKING:
    from evalkit.encoding.itemlines import ItemLines
    from evalkit.items import Item, Side
    from evalkit.suites.card import TaskCard
    from evalkit.suites.task import DataFolder, Task

EPILOG = """\b
Examples:
  evalkit inspect ImageNet-1K --data DIR --limit 1
  evalkit inspect SCaR/RefCOCOg --data DIR --json --output queries.jsonl
  evalkit inspect ./my-task
  evalkit inspect mmeb/vqa scar --data DIR --items --output vectors/items.jsonl    (what evalkit embed reads)"""


@click.command(epilog=EPILOG)
@click.argument("tasks", nargs=-1, required=True, metavar="SELECTOR...")
@options.data
@options.images
@options.follow_links
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N queries of a task.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query, image paths relative to DATA.")
@click.option(
    "--items",
    is_flag=True,
    help="Each distinct item of one or several tasks once, as JSON lines for evalkit embed and precomputed:.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to a file, whole or not at all.  [default: standard output]",
)
@click.option(
    "--copy-images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --items: copy the images into DIR, each once, also those that the rows hold themselves.",
)
@click.option(
    "--prompting",
    type=click.Choice(["native", "text", "none"]),
    help="With --items: regions as an input and in words, in words alone, or not at all; a line cannot say how an "
    "image is cut or drawn on, as it is in the other modes.  [default: native]",
)
@options.official_dedup
@options.bad_regions
def command(
    tasks: tuple[str, ...],
    data: Path | None,
    images: tuple[Path, ...],
    follow_links: bool,
    limit: int | None,
    as_json: bool,
    items: bool,
    output: Path | None,
    copy_images: Path | None,
    prompting: str | None,
    official_dedup: bool,
    bad_regions: Literal["refuse", "keep"],
) -> None:
    """Show the queries of a task with their candidates, as an embedder gets them.

    SELECTOR: a task, as evalkit tasks lists them, or the folder of your own (./my-task).

    Of images only those are looked at that have regions and are there: whether the regions lie on them. With --items
    several tasks may be named, and all images that are there are read.
    """
    from evalkit.encoding.checkedregions import with_checked_regions
    from evalkit.encoding.given import rows_named
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.encoding.itemlines import item_lines
    from evalkit.errors import UsageError
    from evalkit.suites.selecting import chosen_tasks, data_of, load_task
    from evalkit.suites.task import LoadOptions
    from evalkit.terminal import json_text, one_line

    chosen = chosen_tasks(tasks, follow_links=follow_links)
    if items and as_json:
        raise UsageError("--json and --items are two things to print: give one of them")
    if not items and len(chosen) != 1:
        raise UsageError(f"{' '.join(tasks)!r} chooses {len(chosen)} tasks; inspect shows one (--items lists several)")
    if not items and (copy_images is not None or prompting is not None):
        raise UsageError(f"--{'prompting' if copy_images is None else 'copy-images'} goes with --items")
    folder, index = data_of(chosen, data, images, follow_links=follow_links), ImageIndex()

    def load(task: TaskCard | Task) -> Task:
        loaded = load_task(task, folder, LoadOptions(limit, official_dedup))
        with rows_named(loaded):
            checked = with_checked_regions(loaded, index, bad_regions, without_images=True)
        for warning in checked.warnings:
            named = f"{loaded.card.name}: " if len(chosen) > 1 else ""
            click.echo(f"warning: {named}{one_line(warning)}", err=True)
        return checked if items else loaded  # an item as the model gets it, a query as the rows have it

    if items:
        found = item_lines(map(load, chosen), index, prompting=prompting, file=output, copies=copy_images)
        _write(map(json_text, found.rows), output)
        for said in _remarks(found):
            click.echo(said, err=True)
        if output is not None:
            click.echo(f"{len(found.rows)} items written to {output}")
    else:
        (loaded,) = map(load, chosen)
        _write(_as_json(loaded, folder) if as_json else _in_words(loaded), output)


def _write(lines: Iterable[str], output: Path | None) -> None:
    from evalkit.files import write_atomically

    if output is not None:
        write_atomically(output, "".join(f"{line}\n" for line in lines).encode())
        return
    for line in lines:
        click.echo(line)


def _remarks(found: ItemLines) -> Iterator[str]:
    """What has to be known to embed the items."""
    if found.folders:
        said = " ".join(f"--images {place}" for place in found.folders)
        yield f"image paths are relative to {found.folders[0]}: evalkit embed {said}"
    if found.held:
        said = "image_sha256 stands for images that the rows hold: precomputed: finds vectors by it, and evalkit embed "
        yield f"{said}cannot read these lines without image paths (--copy-images DIR writes the images out)"
    if found.unread:
        said = "their lines have no image_sha256, and embedding them will fail"
        yield f"warning: {found.unread} images are not there or cannot be read: {said}"


def _as_json(loaded: Task, folder: DataFolder | None) -> Iterator[str]:
    import os

    from evalkit.items.jsonl import item_json
    from evalkit.terminal import json_text

    above: dict[Path, Path] = {}  # the images of an own task are below its folder alone
    if folder is not None:
        data = folder.root
        # As links have it: DATA/images is written so even if it is one, and DATA/.. is where DATA really is.
        above = {
            place: place.relative_to(data)
            if place.is_relative_to(data)
            else Path(os.path.relpath(place.resolve(), data.resolve()))
            for place in folder.folders.folders
        }

    def as_item(item: Item, name: str, side: Side) -> dict[str, object]:
        path = None if item.image is None else (above.get(item.image.root, Path()) / item.image.path).as_posix()
        return item_json(item, name, side, path)

    for id_, query, pool, label in zip(loaded.ids, loaded.queries, loaded.pools, loaded.labels, strict=True):
        line = {
            "query": as_item(query, id_, "query"),
            "candidates": [as_item(loaded.candidates[c], f"c{c}", "candidate") for c in pool.tolist()],
            "names": [loaded.names[c] for c in pool.tolist()],
            "label": label,
        }
        yield json_text(line)


def _in_words(loaded: Task) -> Iterator[str]:
    from evalkit.terminal import one_line

    def image_of(item: Item) -> str:
        if item.image is None:
            return ""
        return one_line(item.image.path) + (" (held in the rows)" if item.image.held is not None else "")

    for id_, query, pool, label in zip(loaded.ids, loaded.queries, loaded.pools, loaded.labels, strict=True):
        yield f"query {id_}: {query.prompt!r}"
        if query.image is not None:
            yield f"  image  {image_of(query)}"
        if query.region is not None:
            yield f"  region {query.region}"
        yield f"  label  {label!r}"
        for number in pool.tolist()[:5]:
            candidate = loaded.candidates[number]
            image = f"  image {image_of(candidate)}" if candidate.image is not None else ""
            yield f"  candidate {candidate.prompt!r}{image}"
        if len(pool) > 5:
            yield f"  … {len(pool) - 5} more candidates"

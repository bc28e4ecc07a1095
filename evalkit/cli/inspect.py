"""``evalkit inspect``"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit inspect ImageNet-1K --data DIR --limit 1
  evalkit inspect SCaR/RefCOCOg --data DIR --json > queries.jsonl
  evalkit inspect WebQA --data DIR --items > items.jsonl    (what evalkit embed reads)"""


@click.command(epilog=EPILOG)
@click.argument("task")
@options.data
@options.images
@options.follow_links
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N queries.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query, image paths relative to DATA.")
@click.option(
    "--items",
    is_flag=True,
    help="Each distinct item once, as JSON lines for evalkit embed (for precomputed: where the rows hold images).",
)
@options.official_dedup
@options.bad_regions
def command(
    task: str,
    data: Path,
    images: tuple[Path, ...],
    follow_links: bool,
    limit: int | None,
    as_json: bool,
    items: bool,
    official_dedup: bool,
    bad_regions: Literal["refuse", "keep"],
) -> None:
    """Show the queries of a task with their candidates, as an embedder gets them.

    Of images only those are looked at that have regions and are there: whether the regions lie on them.
    """
    import os

    from evalkit.encoding.checkedregions import with_checked_regions
    from evalkit.encoding.given import rows_named
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.errors import UsageError
    from evalkit.items import Item, Side
    from evalkit.items.jsonl import item_json
    from evalkit.suites.selecting import select_tasks, suites
    from evalkit.suites.task import DataFolder, LoadOptions
    from evalkit.terminal import json_text, one_line

    chosen = select_tasks([task])
    if len(chosen) != 1:
        raise UsageError(f"{task!r} chooses {len(chosen)} tasks; inspect shows one")
    card = chosen[0]
    folder = DataFolder.at(data, images, follow_links=follow_links)
    places = folder.folders.folders
    loaded = suites()[card.suite].load(card, folder, LoadOptions(limit, official_dedup))
    with rows_named(loaded):
        checked = with_checked_regions(loaded, ImageIndex(), bad_regions, without_images=True)
    for warning in checked.warnings:
        click.echo(f"warning: {one_line(warning)}", err=True)
    # As links have it: DATA/images is written so even if it is one, and DATA/.. is where DATA really is.
    above = {
        place: place.relative_to(data)
        if place.is_relative_to(data)
        else Path(os.path.relpath(place.resolve(), data.resolve()))
        for place in places
    }

    def as_item(item: Item, name: str, side: Side) -> dict[str, object]:
        path = None if item.image is None else (above[item.image.root] / item.image.path).as_posix()
        return item_json(item, name, side, path)

    def image_of(item: Item) -> str:
        if item.image is None:
            return ""
        return one_line(item.image.path) + (" (held in the rows)" if item.image.held is not None else "")

    if items:
        if [place.resolve() for place in places] != [data.resolve()]:
            said = " ".join(f"--images {place}" for place in places)
            click.echo(f"image paths are relative to {places[0]}: evalkit embed {said}", err=True)
        if any(
            item.image is not None and item.image.held is not None for item in (*loaded.queries, *loaded.candidates)
        ):
            said = "image_sha256 stands for images that the rows hold: precomputed: finds vectors by it, and "
            click.echo(f"{said}evalkit embed cannot read these lines without image paths", err=True)
        for i, query in enumerate(loaded.queries):
            click.echo(json_text(item_json(query, f"q{i}", "query")))
        for i, candidate in enumerate(loaded.candidates):
            click.echo(json_text(item_json(candidate, f"c{i}", "candidate")))
        return
    for id_, query, pool, label in zip(loaded.ids, loaded.queries, loaded.pools, loaded.labels, strict=True):
        if as_json:
            line = {
                "query": as_item(query, id_, "query"),
                "candidates": [as_item(loaded.candidates[c], f"c{c}", "candidate") for c in pool.tolist()],
                "names": [loaded.names[c] for c in pool.tolist()],
                "label": label,
            }
            click.echo(json_text(line))
            continue
        click.echo(f"query {id_}: {query.prompt!r}")
        if query.image is not None:
            click.echo(f"  image  {image_of(query)}")
        if query.region is not None:
            click.echo(f"  region {query.region}")
        click.echo(f"  label  {label!r}")
        for number in pool.tolist()[:5]:
            candidate = loaded.candidates[number]
            image = f"  image {image_of(candidate)}" if candidate.image is not None else ""
            click.echo(f"  candidate {candidate.prompt!r}{image}")
        if len(pool) > 5:
            click.echo(f"  … {len(pool) - 5} more candidates")

"""``evalkit inspect``"""

from __future__ import annotations

from pathlib import Path

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
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N queries.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per query, image paths relative to DATA.")
@click.option("--items", is_flag=True, help="Each distinct item once, as JSON lines for evalkit embed.")
@options.official_dedup
def command(
    task: str,
    data: Path,
    images: Path | None,
    limit: int | None,
    as_json: bool,
    items: bool,
    official_dedup: bool,
) -> None:
    """Show the queries of a task with their candidates, as an embedder gets them.

    Images are not opened.
    """
    import json
    import os

    from evalkit.errors import UsageError
    from evalkit.itemfile import item_json
    from evalkit.items import Item, Side
    from evalkit.task import DataFolder, LoadOptions, select_tasks, suites
    from evalkit.terminal import one_line

    chosen = select_tasks([task])
    if len(chosen) != 1:
        raise UsageError(f"{task!r} chooses {len(chosen)} tasks; inspect shows one")
    card = chosen[0]
    folder = DataFolder.at(data, images)
    loaded = suites()[card.suite].load(card, folder, LoadOptions(limit, official_dedup))
    # As links have it: DATA/images is written so even if it is one, and DATA/.. is where DATA really is.
    inside = folder.images.is_relative_to(data)
    above = folder.images.relative_to(data) if inside else os.path.relpath(folder.images.resolve(), data.resolve())

    def as_item(item: Item, name: str, side: Side) -> dict[str, object]:
        path = None if item.image is None else Path(above, item.image.path).as_posix()
        return item_json(item, name, side, path)

    if items:
        if folder.images.resolve() != data.resolve():
            click.echo(
                f"image paths are relative to {folder.images}: evalkit embed --images {folder.images}",
                err=True,
            )
        for i, query in enumerate(loaded.queries):
            click.echo(
                json.dumps(
                    item_json(query, f"q{i}", "query", query.image.path if query.image else None),
                    ensure_ascii=False,
                )
            )
        for i, candidate in enumerate(loaded.candidates):
            path = candidate.image.path if candidate.image else None
            click.echo(json.dumps(item_json(candidate, f"c{i}", "candidate", path), ensure_ascii=False))
        return
    for id_, query, pool, label in zip(loaded.ids, loaded.queries, loaded.pools, loaded.labels, strict=True):
        if as_json:
            line = {
                "query": as_item(query, id_, "query"),
                "candidates": [as_item(loaded.candidates[c], f"c{c}", "candidate") for c in pool.tolist()],
                "names": [loaded.names[c] for c in pool.tolist()],
                "label": label,
            }
            click.echo(json.dumps(line, ensure_ascii=False))
            continue
        click.echo(f"query {id_}: {query.prompt!r}")
        if query.image is not None:
            click.echo(f"  image  {one_line(query.image.path)}")
        if query.region is not None:
            click.echo(f"  region {query.region}")
        click.echo(f"  label  {label!r}")
        for number in pool.tolist()[:5]:
            candidate = loaded.candidates[number]
            image = f"  image {one_line(candidate.image.path)}" if candidate.image is not None else ""
            click.echo(f"  candidate {candidate.prompt!r}{image}")
        if len(pool) > 5:
            click.echo(f"  … {len(pool) - 5} more candidates")
    if not as_json:
        for warning in loaded.warnings:
            click.echo(f"warning: {one_line(warning)}", err=True)

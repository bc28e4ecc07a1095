"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path

import click

MODEL_HELP = "Name, FAMILY:PATH[@REVISION][?key=value], FILE.py:Class or package.module:Class"

device = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:I", help="Where the model runs."
)
batch_tokens = click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=16_384,
    show_default=True,
    help="Budget of a batch, in tokens as the model counts them.",
)
quiet = click.option("--quiet", is_flag=True, help="No progress.")
SELECTOR_HELP = "Suite, group, task, glob or 'all', or the folder of your own task (./my-task)"
data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with the tasks' parquet files; your own tasks need none.",
)
images = click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with their images; may be given again: the first that has a path is taken. Last DATA/images is looked "
    "into, or else DATA/../images.",
)
follow_links = click.option(
    "--follow-links",
    is_flag=True,
    help="Links of images may lead anywhere, and not into the images folders alone: for data that you trust.",
)
bad_regions = click.option(
    "--bad-regions",
    type=click.Choice(["refuse", "keep"]),
    default="refuse",
    show_default=True,
    help="Boxes without area, boxes and points outside their image: fail, or score the rows all the same.",
)
official_dedup = click.option(
    "--official-dedup",
    is_flag=True,
    help="Merge candidates by the official key even where they differ (WebQA, EDIS: by image alone).",
)
config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A pyproject.toml with [tool.evalkit.gate], or a TOML file of its own.  [default: ./pyproject.toml, if there]",
)
allow = click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["prompting", "partial"]),
    help="What may differ: how regions reach the model; runs of a part of the queries. May be given twice.",
)

"""``evalkit data``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options

EPILOG = """\b
Example:
  evalkit data miniature --out miniature"""
MINIATURE_EPILOG = """\b
Examples:
  evalkit data miniature --out miniature
  evalkit data miniature --out another --seed 1
  evalkit run --model random --tasks miniature --data miniature --out runs"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Get the data that tasks are made of."""


@command.command(epilog=MINIATURE_EPILOG)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write, new or empty."
)
@click.option(
    "--size", type=click.IntRange(1, 999), default=24, show_default=True, metavar="N", help="Queries of each task."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Of all choices.")
@click.option(
    "--force", is_flag=True, help="Write into a folder that is not empty: replaces a miniature's files and no others."
)
@options.quiet
def miniature(out: Path, size: int, seed: int, force: bool, quiet: bool) -> None:
    """Draw the miniature: a small stand-in for all 41 tasks, in the files that the real ones come in.

    Nothing is downloaded. The same size and seed give the same bytes. Another size than the default makes
    the tasks partial, so that there is no average.
    """
    from evalkit.miniature.write import write
    from evalkit.progress import Progress

    progress = Progress(quiet=quiet)
    with progress.run("miniature", 1), progress.task("images"):
        made = write(out, size=size, seed=seed, force=force, progress=progress)
    click.echo(f"written to {out}: 41 tasks of {size} queries, {len(made.files)} files")

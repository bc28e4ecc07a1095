"""``evalkit report``"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit report runs --out site
  evalkit report runs/clip-vit-large-patch14 other/runs --out site --markdown LEADERBOARD.md
  evalkit report runs --out site --data data --media thumbnails
  evalkit report runs --out site --tasks ./my-task --media full
  evalkit report --out site
  evalkit report runs --out site --no-published --add ours.json"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the site: SITE/index.html.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write the same tables as Markdown.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data, for texts and images on pages of samples."
)
@options.images
@options.follow_links
@click.option(
    "--tasks",
    "own",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of an own task, for texts and images on its pages of samples; may be given again.",
)
@click.option(
    "--media",
    type=click.Choice(["none", "thumbnails", "full"]),
    default="none",
    show_default=True,
    help="What to embed of other people's images; those of evalkit's own suites always are.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    metavar="N",
    help="Queries that a page of samples shows at most; 0 for no such pages.",
)
@click.option(
    "--published/--no-published",
    default=True,
    show_default=True,
    help="Show the numbers of papers that come with evalkit, too; those of --add always are.",
)
@click.option(
    "--add",
    "more",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File or folder of more published numbers (reports/README.md has the schema); may be given again.",
)
@options.quiet
def command(
    runs: tuple[Path, ...],
    out: Path,
    markdown_file: Path | None,
    data: Path | None,
    images: tuple[Path, ...],
    follow_links: bool,
    own: tuple[Path, ...],
    media: Literal["none", "thumbnails", "full"],
    samples: int,
    published: bool,
    more: tuple[Path, ...],
    quiet: bool,
) -> None:
    """Make a leaderboard of runs and published numbers: a site of plain files, and Markdown of the same tables.

    RUNS: folders of runs, or folders that hold them (RUNS/<model>/<run id>); without any the board is of published
    numbers alone. Runs on unequal data are not ranked or compared with each other, nor is what a run claims whose
    samples are gone: the pages say why. The site needs no server and no network;
    an older one of evalkit's in the same folder is replaced, and other files stay.
    """
    from evalkit.errors import UsageError
    from evalkit.leaderboard.report import Choices, report
    from evalkit.progress import Progress
    from evalkit.suites.selecting import chosen_tasks
    from evalkit.suites.task import DataFolder, Task
    from evalkit.terminal import one_line

    if images and data is None:
        raise UsageError("--images without --data: name the folder with the parquet files, too")
    folder = DataFolder.at(data, images, follow_links=follow_links) if data is not None else None
    tasks = chosen_tasks(own, follow_links=follow_links) if own else ()
    choices = Choices(folder, media, samples, published, more, tuple(t for t in tasks if isinstance(t, Task)))
    done = report(runs, out, markdown_file, choices, Progress(quiet=quiet))
    for warning in done.warnings:
        click.echo(f"evalkit: {one_line(warning)}", err=True)
    click.echo(f"written: {done.index} ({done.files} files)")
    if done.markdown is not None:
        click.echo(f"written: {done.markdown}")

"""``evalkit report``"""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  evalkit report runs --out site
  evalkit report runs/clip-vit-large-patch14 other/runs --out site --markdown LEADERBOARD.md"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the site: SITE/index.html.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write the same tables as Markdown.")
def command(runs: tuple[Path, ...], out: Path, markdown_file: Path | None) -> None:
    """Make a page of runs, and Markdown of the same tables.

    RUNS: folders of runs, or folders that hold them (RUNS/<model>/<run id>).
    """
    from evalkit.leaderboard.pages import report

    for file in report(runs, out, markdown_file):
        click.echo(f"written: {file}")

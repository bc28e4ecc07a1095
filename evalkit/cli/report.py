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
    from evalkit.files import write_atomically
    from evalkit.leaderboard.pages import markdown, write_site
    from evalkit.leaderboard.tables import sections
    from evalkit.results import find_runs

    found = sections([manifest for _, manifest in find_runs(runs)])
    click.echo(f"written: {write_site(found, out)}")
    if markdown_file is not None:
        write_atomically(markdown_file, markdown(found).encode())
        click.echo(f"written: {markdown_file}")

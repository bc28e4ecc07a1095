"""``evalkit demo``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit demo
  evalkit demo --out another --seed 1

The same command again goes on where it stopped; nothing is embedded twice."""


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("evalkit-demo"),
    show_default=True,
    metavar="DIR",
    help="Folder to write, new or empty, or that of the same demo.",
)
@click.option(
    "--size",
    type=click.IntRange(1, 999),
    default=24,
    show_default=True,
    metavar="N",
    help="Queries of each task; with another number the pages have no means.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="S",
    help="Of the miniature; the models have seen 1000 to 1009 and 1100 to 1102.",
)
@options.device
@options.quiet
def command(out: Path, size: int, seed: int, device: str, quiet: bool) -> int:
    """See it work: draw the miniature, evaluate the tiny models that come with evalkit, write a leaderboard.

    Nothing is downloaded, and a CPU is enough. It does what `evalkit data miniature`, `evalkit run` and `evalkit
    report` do; DIR/data, DIR/runs and DIR/site are theirs. Exits with 4 if a task fails.
    """
    from evalkit.cli.tables import demo_summary
    from evalkit.demo import demo
    from evalkit.progress import Progress
    from evalkit.terminal import one_line

    done = demo(out, size=size, seed=seed, device=device, progress=Progress(quiet=quiet, results=False))
    click.echo(demo_summary(done.findings))
    for line in (*done.failures, *done.pages.warnings):
        click.echo(f"evalkit: {one_line(line)}", err=True)
    click.echo(f"\nwritten: {done.pages.index}\nwritten: {done.pages.markdown}")
    return done.exit_code

"""``evalkit baseline``"""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  evalkit baseline accept runs/virtue-2b --reason "first release"
  evalkit baseline history baselines/virtue-2b"""
ACCEPT_EPILOG = """\b
Examples:
  evalkit baseline accept runs/virtue-2b --reason "first release"
  evalkit baseline accept runs --out baselines/nightly --reason "new data revision" """
SHOW_EPILOG = """\b
Example:
  evalkit baseline show baselines/virtue-2b"""
HISTORY_EPILOG = """\b
Example:
  evalkit baseline history baselines/virtue-2b --json"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Keep a run as what later ones are held to: two small files that can live in a repository."""


@command.command(epilog=ACCEPT_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the baseline.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Its folder.  [default: baselines/<model>]")
@click.option("--force", is_flag=True, help="Also a run that failed, is partial, or lacks samples.")
def accept(run: Path, reason: str, out: Path | None, force: bool) -> None:
    """Make a run the baseline; the history of the one before goes on.

    RUN: a run's folder, or a folder with one run below it.
    """
    from datetime import date

    from evalkit.embedders.registry import folder_of
    from evalkit.errors import ResultsError, UsageError, WriteError
    from evalkit.regression.baseline import BASELINE, SAMPLES
    from evalkit.regression.baseline import accept as accept_run
    from evalkit.runs.runfolder import one_run, read_run
    from evalkit.terminal import one_line

    folder = one_run(run)
    try:
        out = out or Path("baselines") / folder_of(read_run(folder).model.name)
        made = accept_run(folder, out, reason, on=date.today(), force=force)
    except WriteError:  # the work failed; nothing is wrong with what was named
        raise
    except ResultsError as error:
        raise UsageError(str(error)) from error
    size = sum((out / name).stat().st_size for name in (BASELINE, SAMPLES)) / 1024
    said = f"written to {out}: {made.history[-1].tasks} tasks of {made.run.model.name}, {size:.0f} KiB"
    click.echo(one_line(said))


@command.command(epilog=SHOW_EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print its manifest as JSON.")
def show(folder: Path, as_json: bool) -> None:
    """Show the numbers of a baseline, as evalkit run printed them."""
    from evalkit.cli.tables import run_summary
    from evalkit.errors import ResultsError, UsageError
    from evalkit.regression.baseline import history as read
    from evalkit.regression.baseline import read_baseline
    from evalkit.terminal import json_text, one_line

    baseline = read(folder)
    try:
        read_baseline(folder)
    except ResultsError as error:
        raise UsageError(str(error)) from error
    if as_json:
        click.echo(json_text(baseline.run.model_dump(mode="json", by_alias=True), indent=2))
        return
    click.echo(run_summary(folder, baseline.run, None, {}).rpartition("\n")[0].lstrip("\n"))
    last = baseline.history[-1]
    click.echo(one_line(f"accepted on {last.on}: {last.reason}"))


@command.command(epilog=HISTORY_EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def history(folder: Path, as_json: bool) -> None:
    """List what was accepted when and why, the last one first."""
    from evalkit.cli.comparison import baseline_table
    from evalkit.regression.baseline import history as read
    from evalkit.terminal import json_text

    baseline = read(folder)
    if as_json:
        click.echo(json_text([one.model_dump(mode="json") for one in baseline.history], indent=2))
    else:
        click.echo(baseline_table(baseline))

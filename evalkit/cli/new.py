"""``evalkit new``"""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Example:
  evalkit new task my-task"""
TASK_EPILOG = """\b
Examples:
  evalkit new task my-task
  evalkit run --model random --tasks ./my-task --out runs"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Begin something of your own, with files that work at once."""


@command.command(epilog=TASK_EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def task(folder: Path) -> None:
    """Write a task of your own that runs at once: a card, queries, candidates and three images, with comments.

    DIR: a folder that is empty or not there yet. Put your own rows in the place of those that it gets.
    """
    import shlex

    from evalkit.suites.selecting import as_selector
    from evalkit.suites.skeleton import write_skeleton
    from evalkit.terminal import one_line

    name = write_skeleton(folder)
    click.echo(one_line(f"written to {folder}: the task {name}, 9 queries (README.md says what each file is)"))
    click.echo(one_line(f"next: evalkit run --model random --tasks {shlex.quote(as_selector(folder))} --out runs"))

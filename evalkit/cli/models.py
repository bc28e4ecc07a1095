"""``evalkit models``"""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  evalkit models
  evalkit models --json"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """List the families and the registered names that --model takes.

    Besides these, --model takes FILE.py:Class and package.module:Class.
    """
    from evalkit.cli.tables import aligned
    from evalkit.embedders import tiny
    from evalkit.embedders.modeltext import NAMED, names
    from evalkit.embedders.registry import describe_families
    from evalkit.terminal import json_text

    found = describe_families()
    if as_json:
        click.echo(json_text({"families": found, "names": names()}, indent=2))
        return
    rows = [["write", "what", "options"]]
    rows += [[f["write"], f["what"], ", ".join(f["options"]) or "–"] for f in found]
    click.echo(aligned(rows))
    click.echo()
    brought = {name: f"{model.family}: {model.what}; part of evalkit" for name, model in tiny.MODELS.items()}
    click.echo(aligned([["name", "stands for"], *(map(list, (NAMED | brought).items()))]))

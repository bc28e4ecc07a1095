"""``evalkit doctor``"""

from __future__ import annotations

import click

EPILOG = """\b
Example:
  evalkit doctor --json"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """What is installed, which device, which FAISS. Exits with 1 if something is wrong."""
    import dataclasses

    from evalkit.doctor import diagnose
    from evalkit.terminal import json_text

    found = diagnose()
    if as_json:
        click.echo(json_text(dataclasses.asdict(found), indent=2))
    else:
        width = max(map(len, found.facts))
        for name, value in found.facts.items():
            click.echo(f"{name:<{width}}  {value}")
        for warning in found.warnings:
            click.echo(f"warning: {warning}")
        for note in found.notes:
            click.echo(f"note: {note}")
        if not found.warnings:
            click.echo("nothing wrong")
    return 1 if found.warnings else 0

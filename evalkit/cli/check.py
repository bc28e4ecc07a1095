"""``evalkit check``"""

from __future__ import annotations

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit check random
  evalkit check my_model.py:Mine
  evalkit check clip:./clip-vit-large-patch14 --device cuda"""


@click.command(epilog=EPILOG)
@click.argument("model")
@options.device
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(model: str, device: str, as_json: bool) -> int:
    """Does this embedder behave?

    Shapes, finite values, unit length, the same vector alone and in batches of several sizes and orders,
    determinism, whether a region changes the vector, and whether it does better than chance at finding
    an item among others. Exits with 1 where one of them fails.
    """
    import dataclasses

    from evalkit.check import check
    from evalkit.cli.tables import aligned
    from evalkit.embedders.registry import load_embedder, parse_model
    from evalkit.terminal import json_text, one_line

    loaded = load_embedder(parse_model(model), device)
    findings = check(loaded.embedder)
    failed = [finding for finding in findings if finding.passed is False]
    if as_json:
        click.echo(json_text([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        says = {True: "ok", False: "FAILED", None: "n/a"}
        click.echo(aligned([["check", "", "found"], *([f.name, says[f.passed], f.detail] for f in findings)]))
        click.echo(f"{one_line(loaded.info.name)}: {len(failed)} of {len(findings)} checks failed")
    return 1 if failed else 0

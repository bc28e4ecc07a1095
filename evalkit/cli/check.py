"""``evalkit check``"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evalkit.cli import options

if TYPE_CHECKING:
    from evalkit.check import Finding

EPILOG = """\b
Examples:
  evalkit check random
  evalkit check my_model.py:Mine
  evalkit check clip:./clip-vit-large-patch14 --device cuda"""


@click.command(epilog=EPILOG)
@click.argument("model")
@options.device
@options.batch_tokens
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(model: str, device: str, batch_tokens: int, as_json: bool) -> int:
    """Does this embedder behave?

    Shapes, finite values, unit length, determinism, the same vector alone and in batches of all sizes up to
    the largest that a run makes, whether text, image, crop, orientation and region reach the vector, with
    instructions and without, on both sides, and whether it does better than chance at finding an item among
    others. Exits with 1 where one of them fails; what follows from a failure is skipped.
    """
    import dataclasses

    from evalkit.check import check
    from evalkit.cli.tables import aligned
    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder
    from evalkit.encoding.prefixes import require_whole
    from evalkit.terminal import json_text, one_line

    loaded = load_embedder(parse_model(model), device)
    require_whole(loaded)
    findings = check(loaded.embedder, batch_tokens)
    failed = [finding for finding in findings if finding.passed is False]
    if as_json:
        click.echo(json_text([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        click.echo(aligned([["check", "", "found"], *([f.name, _says(f), f.detail] for f in findings)]))
        click.echo(f"{one_line(loaded.info.name)}: {len(failed)} of {len(findings)} checks failed")
    return 1 if failed else 0


def _says(finding: Finding) -> str:
    if finding.passed is None:
        return "skipped" if finding.detail.startswith("skipped") else "n/a"
    return "ok" if finding.passed else "FAILED"

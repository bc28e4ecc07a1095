"""``evalkit compare``"""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli import options

EPILOG = """\b
Examples:
  evalkit compare runs/random runs/example-colours
  evalkit compare baselines/virtue-2b runs/virtue-2b/4f7e815b6626 --json
  evalkit compare runs/random runs/example-colours --explain example/Shapes"""


@click.command(epilog=EPILOG)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@options.config
@options.allow
@click.option("--explain", metavar="TASK", help="List the flipped queries of a task, and what each model chose.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many queries with --explain."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    base: Path, new: Path, config: Path | None, allow: tuple[str, ...], explain: str | None, limit: int, as_json: bool
) -> int:
    """Compare two runs, query by query: differences, intervals, tests, verdicts.

    BASE, NEW: a run's folder, a folder with one run below it, a baseline's folder, or a JSON file of scores (then
    differences are judged by size alone). Exits with 3 where no task can be compared, or not that of --explain; the
    verdicts make no difference to it (evalkit gate).
    """
    import dataclasses
    from datetime import date

    from evalkit.cli.comparison import flips_table, gate_table
    from evalkit.regression.comparand import read_comparand
    from evalkit.regression.compare import compare
    from evalkit.regression.config import origin, read_config
    from evalkit.regression.flips import flips
    from evalkit.regression.gate import judge
    from evalkit.regression.verdicts.record import gate_json
    from evalkit.terminal import escaped_json, json_text

    chosen = read_config(config, {"allow": allow or None})
    comparands = read_comparand(base), read_comparand(new)
    if explain is not None:
        found = flips(*comparands, explain, chosen.allow)
        if as_json:
            click.echo(json_text([dataclasses.asdict(flip) for flip in found], indent=2))
        else:
            click.echo(flips_table(explain, found, limit))
        return 0
    comparison = compare(*comparands, alpha=chosen.alpha, allow=chosen.allow, alpha_from=origin("alpha", config))
    gate = judge(comparison, chosen, today=date.today())
    click.echo(escaped_json(gate_json(gate).decode()) if as_json else gate_table(gate, answer=False), nl=not as_json)
    return 0 if comparison.compared else 3

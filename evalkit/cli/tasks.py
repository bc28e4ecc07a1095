"""``evalkit tasks``"""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  evalkit tasks
  evalkit tasks mmeb/grounding scar
  evalkit tasks RefCOCO-Matching
  evalkit tasks ./my-task --json"""


@click.command(epilog=EPILOG)
@click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")
@click.option("--json", "as_json", is_flag=True, help="Print whole cards as JSON.")
def command(selectors: tuple[str, ...], as_json: bool) -> None:
    """List the tasks that selectors choose, all by default; show the card of a single one whole.

    SELECTOR: a suite (mmeb, scar, miniature, example), 'all', a group (mmeb/classification, mmeb/vqa,
    mmeb/retrieval, mmeb/grounding, mmeb/ind, mmeb/ood), a task, a glob, or the folder of your own task: one that
    begins with . or / or ~ (./my-task), or is called like nothing that is installed.
    """
    from evalkit.cli.tables import aligned
    from evalkit.suites.selecting import all_cards, chosen_tasks
    from evalkit.suites.task import card_of
    from evalkit.terminal import json_text, printable

    cards = [card_of(task) for task in chosen_tasks(selectors)] if selectors else all_cards()
    if as_json:
        click.echo(json_text([card.model_dump(mode="json") for card in cards], indent=2))
        return
    if len(cards) == 1 and selectors:
        for name, value in cards[0].model_dump(mode="json").items():
            values = value if isinstance(value, list) else [value]
            for i, part in enumerate(values or [""]):
                if isinstance(part, dict):
                    part = ", ".join(f"{k} {v}" for k, v in part.items() if v is not None)
                text = "–" if part is None else str(part).strip().replace("\n", "\n" + " " * 23)
                click.echo(printable(f"{name if i == 0 else '':<22} {text}".rstrip()))
        return
    rows = [["task", "suite", "meta-task", "dist", "query", "candidate", "pool", "queries", "candidates"]]
    for card in cards:
        kind = "one pool" if card.pool == "shared" else "own pools"
        rows.append(
            [
                card.name, card.suite, card.meta_task, card.distribution or "–", card.query_modality,
                card.candidate_modality, kind, str(card.queries), str(card.candidates),
            ]
        )  # fmt: skip
    click.echo(aligned(rows, right=(7, 8)))
    click.echo(f"{len(cards)} tasks")

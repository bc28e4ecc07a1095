"""``evalkit models``"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.embedders.modelcards import ModelCard

EPILOG = """\b
Examples:
  evalkit models
  evalkit models virtue-2b
  evalkit models --json"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the families and the registered names that --model takes; with NAME, all that is known of one.

    Besides these, --model takes FILE.py:Class and package.module:Class.
    """
    from evalkit.embedders import tiny
    from evalkit.embedders.modelcards import model_cards
    from evalkit.embedders.modeltext import names, near_names
    from evalkit.errors import UsageError
    from evalkit.terminal import json_text

    cards = model_cards()
    if name is not None:
        if name not in cards:
            near = [word for word in near_names(name) if word in cards]
            hint = f"; near: {', '.join(near)}" if near else ""
            raise UsageError(f"there is no card of a model {name!r}{hint} (evalkit models lists them)")
        click.echo(json_text(_facts(cards[name]), indent=2) if as_json else _in_full(cards[name]))
        return
    from evalkit.cli.tables import aligned
    from evalkit.embedders.registry import describe_families

    found = describe_families()
    if as_json:
        models = [_facts(card) for card in cards.values()]
        click.echo(json_text({"families": found, "names": names(), "models": models}, indent=2))
        return
    rows = [["write", "what", "options"]]
    rows += [[f["write"], f["what"], ", ".join(f["options"]) or "–"] for f in found]
    click.echo(aligned(rows))
    click.echo()
    rows = [["name", "family", "params", "dimension", "licence", "regions", "MMEB", "SCaR"]]
    click.echo(aligned([*rows, *map(_row, cards.values())], right=(2, 3)))
    click.echo("regions: native, as an input of its own. MMEB, SCaR: trained on their training sets.")
    click.echo()
    brought = [[name, f"{model.family}: {model.what}; part of evalkit"] for name, model in tiny.MODELS.items()]
    click.echo(aligned([["name", "stands for"], *brought]))
    click.echo()
    click.echo("A name runs its weights as their published numbers were made; evalkit models NAME says how, and more.")


def _facts(card: ModelCard) -> dict[str, object]:
    return {"model": card.text} | card.model_dump(mode="json")


def _row(card: ModelCard) -> list[str]:
    whole, several = card.dimensions[-1], len(card.dimensions) > 1
    return [
        card.name,
        card.family,
        _millions(card.parameters),
        f"{card.dimensions[0]} to {whole}" if several else str(whole),
        card.licence or "–",
        "native" if card.regions else "–",
        card.trained_on.mmeb.answer,
        card.trained_on.scar.answer,
    ]


def _millions(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters / 1e6:,.0f} M"


def _in_full(card: ModelCard) -> str:
    """All that a card says."""
    import textwrap

    trained = card.trained_on
    lines: list[tuple[str, Sequence[str]]] = [
        ("stands for", [card.text]),
        ("weights", [card.place + (f", {card.file}" if card.file else "")]),
        ("parameters", ["not known" if card.parameters is None else f"{card.parameters:,}"]),
        ("dimensions", [", ".join(map(str, card.dimensions))]),
        ("licence", [card.licence or f"none: {card.licence_note}"]),
        ("backbone", [card.backbone]),
        ("regions", [", ".join(card.regions) or "none as an input of its own"]),
        ("MMEB-train", [f"{trained.mmeb.answer} ({trained.mmeb.source})"]),
        ("SCaR-train", [f"{trained.scar.answer} ({trained.scar.source})"]),
        ("published as", [_published(one.model, one.training, one.doubt) for one in card.published] or ["–"]),
        ("verified", [f"{check.what} ({check.test})" for check in card.verified] or ["–"]),
        ("not verified", ["its published weights, which could not be run here"]),
        ("notes", card.notes),
    ]
    found = [f"{card.name}: {card.title}"]
    width = max(len(head) for head, _ in lines)
    for head, texts in lines:
        for place, text in enumerate(texts):
            begin = f"  {'' if place else head:<{width}}  "
            found.append(
                textwrap.fill(
                    text,
                    width=110,
                    initial_indent=begin,
                    subsequent_indent=" " * len(begin),
                    break_on_hyphens=False,
                    break_long_words=False,
                )
            )
    return "\n".join([*found, "", card.citation])


def _published(model: str, training: str, doubt: str | None) -> str:
    return model + (f", {training}" if training else "") + (f" (in doubt: {doubt})" if doubt else "")

"""The page on models, made of their cards: ``python docs/models.py`` writes ``docs/models.md`` anew.

``tests/test_docs.py`` holds the page to the cards.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from evalkit.embedders.modelcards import ModelCard, StandsFor, model_cards, unnamed
from evalkit.leaderboard.published.reported import PublishedRow, read

DOCS = Path(__file__).parent
HEAD = """# Models

<!-- Made by `python docs/models.py` of the cards in models/: change those. -->

The published models that `--model` takes by name. A name stands for the weights that a paper reports, at a
pinned revision where one is known, and **runs them as their published numbers were made**: the options of
that protocol belong to the name. `NAME?key=value` asks for something else; the run then says in one line, on
the terminal and in its record, what departs. `NAME?path=PATH` takes the weights from a place of yours.

```sh
evalkit models virtue-2b
```

**No published weights could be run here**: they could not be downloaded where evalkit is built. What is
verified is the code that loads and runs them, on tiny random weights in the same files; each model below says
how, and by which test. That a name reproduces its published numbers is therefore not shown by anyone yet.

The facts are those that the hub's pages, mteb's cards of models, papers and the authors' repositories had in
November 2026. A new model is a few lines in `models/FAMILY.toml` of the repository.
"""


def page() -> str:
    """All of it."""
    cards = model_cards()
    rows = {(row.model, row.training): row for row in reversed(read())}
    parts = [HEAD, "## Names\n", *_table(cards.values())]
    parts += ["", "## The rows of VIRTUE's tables\n", *_virtue(rows)]
    for family in dict.fromkeys(card.family for card in cards.values()):
        own = [card for card in cards.values() if card.family == family]
        parts += ["", f"## {family}\n", *_family(own)]
    parts += ["", "## Published numbers without a name\n", *_without(rows)]
    return "\n".join(parts) + "\n"


def _table(cards: Iterable[ModelCard]) -> Iterator[str]:
    yield "| `--model` | parameters | dimension | licence | MMEB-train | SCaR-train |"
    yield "|---|--:|--:|---|---|---|"
    for card in cards:
        count = "–" if card.parameters is None else f"{card.parameters / 1e6:,.0f} M"
        size = f"{card.dimensions[0]} to {card.dimensions[-1]}" if len(card.dimensions) > 1 else f"{card.dimensions[0]}"
        trained = card.trained_on
        yield (
            f"| [`{card.name}`](#{_anchor(card.name)}) | {count} | {size} | {card.licence or '–'} | "
            f"{trained.mmeb.answer} | {trained.scar.answer} |"
        )
    yield ""
    yield from _text("*MMEB-train, SCaR-train: whether it was trained on them. –: not known, or none is stated.*")


def _virtue(rows: dict[tuple[str, str], PublishedRow]) -> Iterator[str]:
    """The models of the paper's two tables, each with its name, or why it has none."""
    yield from _text("Of the MMEB table and the SCaR table of [VIRTUE](https://arxiv.org/abs/2510.00523):")
    yield ""
    yield "| row | `--model` |"
    yield "|---|---|"
    named = {(one.model, one.training): card for card in model_cards().values() for one in card.published}
    why = {(one.model, one.training): own.why for own in unnamed() for one in own.rows}
    for key in dict.fromkeys(_of_virtue()):
        label = re.sub(r", (cropped|ReCLIP|red circle|box as text)$", "", rows[key].label)
        yield f"| {label} | {f'`{named[key].name}`' if key in named else why[key]} |"
    yield ""
    yield from _text(
        "Its rows *+Cropping* and *Red Circle* and *ReCLIP* are the same weights with another `--prompting`: by what "
        "model, width and colour the last two were made is not said."
    )


def _of_virtue() -> Iterator[tuple[str, str]]:
    from importlib import resources

    file = resources.files("evalkit.reports").joinpath("published").joinpath("virtue.json")
    for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
        yield row["model"], row["training"]


def _family(cards: list[ModelCard]) -> Iterator[str]:
    for place, card in enumerate(cards):
        yield from ([""] if place else [])
        yield f"### {card.name}\n"
        yield from _text(f"{card.title}, on {card.backbone}.")
        yield ""
        options = ", ".join(f"`{key}={value}`" for key, value in card.options.items())
        yield from _item(f"MODEL: `{card.model}`" + (f" with {options}" if options else ""))
        if card.hub:
            file = f" {card.file}" if card.file else ""
            at = f" --revision {card.revision}" if card.revision else ""
            yield from _item(f"Weights: `hf download {card.hub}{file}{at}`")
        else:
            yield from _item(f"Weights: `{card.elsewhere}`")
        count = "not known" if card.parameters is None else f"{card.parameters:,}"
        yield from _item(f"Parameters: {count}. Dimension: {', '.join(map(str, card.dimensions))}")
        yield from _item(f"Licence of the weights: {card.licence or card.licence_note}")
        yield from _item(f"Regions as an input of its own: {', '.join(card.regions) or 'none'}")
        for what, said in (("MMEB-train", card.trained_on.mmeb), ("SCaR-train", card.trained_on.scar)):
            yield from _item(f"Trained on {what}: {said.answer} ({said.source})")
        for one in card.published:
            doubt = f"; in doubt: {one.doubt}" if one.doubt else ""
            yield from _item(f"Published as {_row(one)}{doubt}")
        for check in card.verified:
            yield from _item(f"Verified: {check.what} (`{check.test}`)")
        yield from _item("Not verified: the published weights, which could not be run here")
        for note in card.notes:
            yield from _item(note)
        if url := re.search(r"url = \{(.*)\}", card.citation):
            yield from _item(f"Cite: [{re.search(r'title = {(.*)}', card.citation)[1]}]({url[1]})")


def _without(rows: dict[tuple[str, str], PublishedRow]) -> Iterator[str]:
    for place, reason in enumerate(unnamed()):
        yield from ([""] if place else [])
        labels = [rows[one.model, one.training].label for one in reason.rows]
        yield from _item(f"{reason.why} {'; '.join(sorted(labels))}.")


def _row(one: StandsFor) -> str:
    return f"`{one.model}`" + (f", {one.training}" if one.training else "")


def _anchor(name: str) -> str:
    """What GitHub calls a heading."""
    return re.sub(r"[^\w\- ]", "", name)


def _text(text: str) -> list[str]:
    return textwrap.wrap(text, 108, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> list[str]:
    return textwrap.wrap(
        text, 108, initial_indent="* ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    (DOCS / "models.md").write_text(page(), encoding="utf-8")

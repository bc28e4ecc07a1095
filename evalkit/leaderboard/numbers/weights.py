"""Rows of one set of weights, published and measured, told by the name that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from evalkit.embedders.modelcards import ModelCard, model_cards, unnamed
from evalkit.leaderboard.board import Entry, Facts
from evalkit.leaderboard.numbers.drafts import Draft


def card_of_row(model: str, training: str) -> tuple[ModelCard | None, str | None]:
    """The card of the weights that a published row was made with, and why that may be doubted.

    Args:
        model: id of the row.
        training: of the row.
    """
    for card in model_cards().values():
        for one in card.published:
            if (one.model, one.training) == (model, training):
                return card, one.doubt
    return None, None


def why_unnamed(model: str, training: str) -> str | None:
    """Why no name runs the weights of a published row; ``None`` where one does, or where nothing says."""
    found = (own.why for own in unnamed() for one in own.rows if (one.model, one.training) == (model, training))
    return next(found, None)


def facts_of(card: ModelCard) -> Facts:
    """What a card says of a model, as a board has it."""
    return Facts(
        parameters=None if card.parameters is None else card.parameters / 1e6,
        dimension=card.dimensions[-1],
        licence=card.licence,
        trained_on_mmeb=card.trained_on.mmeb.answer,
        url=card.hub and f"https://huggingface.co/{card.hub}",
    )


def filled(facts: Facts, more: Facts) -> Facts:
    """Facts with what others say where they say nothing themselves."""
    lacking = {one.name for one in fields(Facts) if getattr(facts, one.name) in (None, "unknown")}
    return replace(facts, **{name: getattr(more, name) for name in lacking})


def joined(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts, each with the slugs of the others whose weights are the same name's."""
    by_name: dict[str, list[str]] = {}
    for draft in drafts:
        if draft.entry.named is not None:
            by_name.setdefault(draft.entry.named, []).append(draft.entry.slug)
    return [replace(draft, entry=replace(draft.entry, same_weights=_others(draft.entry, by_name))) for draft in drafts]


def _others(entry: Entry, by_name: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(slug for slug in by_name.get(entry.named or "", ()) if slug != entry.slug)

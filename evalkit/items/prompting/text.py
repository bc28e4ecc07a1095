"""By the words that name the region: what a model without an input for regions gets."""

from __future__ import annotations

from dataclasses import replace

from evalkit.items.item import Item
from evalkit.items.prompting.mode import Facts, Mode


def in_words_alone(item: Item, facts: Facts) -> Item:
    """Without the region: the words that name it are all there is of it."""
    return replace(item, region=None)


TEXT = Mode("text", by="the words that name them alone", given=in_words_alone)

"""By the model's own input for regions, as the protocol has it."""

from __future__ import annotations

from evalkit.items.item import Item
from evalkit.items.prompting.mode import Facts, Mode


def as_it_is(item: Item, facts: Facts) -> Item:
    """The item as it is: the region is an input of the model, and the words that name it stay."""
    return item


NATIVE = Mode("native", by="its own input", given=as_it_is, region_input=True)

"""What a mode of prompting is: how a region reaches a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.item import Item

Facts = Callable[[ImageFile], ImageFacts]
"""Digest and size of an image file; :meth:`ImageFile.facts`, or what remembers them."""


@dataclass(frozen=True)
class Mode:
    """A mode of prompting as data.

    A mode may show an item more than once: the vector of such an item is the sum of those of its views, of length 1.
    An item's scores are then the sum of its views' scores but for one factor, so the ranking is that of the sum.

    Attributes:
        name: as command lines and results call it.
        by: what tells the model of the region, in a few words that follow "How regions reach the model:".
        given: from an item with a region, and what tells the size of its images, to what the model gets instead. It
            raises an ItemError where the region cannot reach the model so.
        region_input: whether the region stays, as an input of the model: then it has to take such regions.
        keeps_words: whether prompt, text and instruction stay, with the words that name the region. What numbers are
            about is then the same as in other such modes.
        more: further views of the item, as :attr:`given` makes the first.
    """

    name: str
    by: str
    given: Callable[[Item, Facts], Item]
    region_input: bool = False
    keeps_words: bool = True
    more: tuple[Callable[[Item, Facts], Item], ...] = ()

    @property
    def views(self) -> tuple[Callable[[Item, Facts], Item], ...]:
        """All views of an item, one or more."""
        return (self.given, *self.more)

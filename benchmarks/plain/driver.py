"""What a plain driver is: it embeds a batch as it comes, and knows how many tokens an item has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from PIL import Image

from evalkit.items import Item, Side


class Plain(Protocol):
    """A model as a user's script drives it."""

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        """Vectors of a batch, not normalised."""
        ...

    def tokens(self, item: Item, side: Side) -> int:
        """Tokens of an item, those of its image among them, without padding."""
        ...


def opened(items: Sequence[Item]) -> list[Image.Image]:
    """The images of items."""
    return [Image.open(item.image.root / item.image.path).convert("RGB") for item in items if item.image is not None]


class ImageCounts:
    """Tokens of images, counted once for each size.

    Args:
        count: counts those of one image.
    """

    def __init__(self, count: Callable[[Image.Image], int]) -> None:
        self._count = count
        self._known: dict[tuple[int, int], int] = {}

    def of(self, item: Item) -> int:
        """Those of an item's image; 0 where it has none."""
        if item.image is None:
            return 0
        size = Image.open(item.image.root / item.image.path).size
        if size not in self._known:
            self._known[size] = self._count(Image.new("RGB", size))
        return self._known[size]


def last_states(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of each row's last token; padding stands on the right."""
    return states[torch.arange(len(states)), mask.sum(dim=1) - 1]

"""Prompting: how a region reaches a model. Each mode is a file and a line in MODES.

An item without a region is the same in every mode.
"""

from evalkit.items.images import ImageFile
from evalkit.items.item import Item
from evalkit.items.prompting.blur import BLUR
from evalkit.items.prompting.crop import CROP
from evalkit.items.prompting.mode import Facts, Mode
from evalkit.items.prompting.native import NATIVE
from evalkit.items.prompting.none import NONE
from evalkit.items.prompting.overlay import OVERLAY, OVERLAY_BOX
from evalkit.items.prompting.reclip import RECLIP
from evalkit.items.prompting.text import TEXT
from evalkit.plugins import Registry

MODES = Registry[Mode](
    "prompting",
    NATIVE,
    TEXT,
    CROP,
    OVERLAY,
    OVERLAY_BOX,
    BLUR,
    RECLIP,
    NONE,
)


def prompted(item: Item, mode: str, facts: Facts = ImageFile.facts, view: int = 0) -> Item:
    """The item as a model gets it.

    Args:
        item: any; without a region it stays as it is.
        mode: one of :data:`MODES`.
        facts: tells the size of the item's images.
        view: which of the mode's views; all modes have the first.

    Raises:
        ItemError: the region cannot reach the model in this mode.
    """
    return item if item.region is None else MODES[mode].views[view](item, facts)


__all__ = ["MODES", "Facts", "Mode", "prompted"]

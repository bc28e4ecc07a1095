"""The family ``rzenembed:``, Qwen2-VL with GME's turns and the instruction in the user's (arXiv 2510.27350).

As the authors have it (``rzen_embed_inference.py`` of qihoo360/RzenEmbed): the system turn is always the same, and
an instruction stands right before the text on either side. The authors' own instructions end in a blank where a text
follows; an instruction that ends without one gets it here. Positions are of one dimension, because the language model
is called without any.
"""

from __future__ import annotations

from typing import ClassVar

from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.chatml import NO_INSTRUCTION
from evalkit.embedders.vlm.gme import PICTURED, TEXT
from evalkit.embedders.vlm.patching import TOKEN, Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl
from evalkit.embedders.vlm.template import Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side

_LONGEST = 2000


def _fields(item: Item, side: Side) -> dict[str, str]:
    blank = " " if item.text and item.instruction and not item.instruction[-1].isspace() else ""
    return {"text": f"{item.instruction}{blank}{item.text}", "instruction": NO_INSTRUCTION}


class RzenEmbed(VlmEmbedder):
    """A RzenEmbed checkpoint, Qwen2-VL with the instruction before the text: ``rzenembed:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone. Its options are those of :class:`VlmEmbedder`.
    """

    FAMILY: ClassVar[str] = "rzenembed"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(),)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(
            wording=Wording(both=PICTURED, image=PICTURED, text=TEXT, fields=_fields),
            sizing=Sizing(Limits(256 * TOKEN, 1280 * TOKEN), first=fetched(narrow="cut")),
            longest=(_LONGEST, _LONGEST),
            longest_text=_LONGEST,
        )

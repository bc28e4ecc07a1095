"""The family ``ops-mm:``, Qwen2-VL with GME's turns, an instruction on either side, and Qwen2-VL's own positions.

As the authors' class has it (``ops_mm_embedding_v1.py`` of OpenSearch-AI/Ops-MM-embedding-v1-2B): transformers' own
forward is called, on whose positions (three axes) the vectors depend; images are resized between 256 and 1280 tokens
before the processor.
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

_LIMITS = Limits(256 * TOKEN, 1280 * TOKEN)


def _fields(item: Item, side: Side) -> dict[str, str]:
    return {"text": item.text, "instruction": item.instruction or NO_INSTRUCTION}


class OpsMm(VlmEmbedder):
    """An Ops-MM-embedding checkpoint, Qwen2-VL with the instruction up front: ``ops-mm:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone. Its options are those of :class:`VlmEmbedder`.
    """

    FAMILY: ClassVar[str] = "ops-mm"
    CODE_VERSION: ClassVar[str] = "2"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(),)

    @property
    def _recipe(self) -> Recipe:
        longest = self._tokens.longest  # where the authors name no limit, their processor cuts at the tokenizer's
        return Recipe(
            wording=Wording(both=PICTURED, image=PICTURED, text=TEXT, fields=_fields),
            sizing=Sizing(_LIMITS, first=fetched(_LIMITS, narrow="cut")),
            positions="mrope",
            longest=(longest, longest),
        )

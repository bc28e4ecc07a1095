"""The family ``wemm:``, WeMM-Embedding on Qwen3.5: an item as the user's turn, and nothing else (arXiv 2608.24053).

As its hub card has it (tencent/WeMM-Embedding-2B): the turn of the user alone, in the checkpoint's own chat template,
which has no system turn; the image before the text; the state of the last token. ``tokenizer.json`` is read as it is:
its own rules take away the newline at the end of the turn, so the vector is the state of ``<|im_end|>``. Images are
resized by ``qwen_vl_utils`` with its own limits (4 to 16384 tokens of 32 x 32 pixels), and then by the processor with
those of the checkpoint.

The card has no place for an instruction; mteb's wrapper (2.26.24, ``wemm_models.py``) writes it before the text with a
space between, on either side, and so does this.
"""

from __future__ import annotations

from typing import ClassVar

from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.chatml import PICTURE
from evalkit.embedders.vlm.patching import Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen3vl import PIXELS_OF_A_TOKEN, Qwen35
from evalkit.embedders.vlm.template import Template, Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side

LIMITS = Limits(4 * PIXELS_OF_A_TOKEN, 16384 * PIXELS_OF_A_TOKEN)


def _turn(user: str) -> Template:
    return Template(f"<|im_start|>user\n{user}<|im_end|>\n")


def _fields(item: Item, side: Side) -> dict[str, str]:
    return {"text": " ".join(filter(None, (item.instruction, item.text)))}


WORDING = Wording(both=_turn(PICTURE + "{text}"), image=_turn(PICTURE), text=_turn("{text}"), fields=_fields)


class WeMm(VlmEmbedder):
    """A WeMM-Embedding checkpoint, Qwen3.5 that reads an item as the user's turn: ``wemm:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone. Its options are those of :class:`VlmEmbedder`.
    """

    FAMILY: ClassVar[str] = "wemm"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen35(),)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(WORDING, Sizing(first=fetched(LIMITS, factor=32)), positions="mrope")

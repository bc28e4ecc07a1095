"""The family ``qwen3-vl-embedding:``, Qwen3-VL with a task's instruction in its system turn (arXiv 2601.04720).

As released (QwenLM/Qwen3-VL-Embedding 8ce3aab, ``src/models/qwen3_vl_embedding.py``, and ``src/evaluation/mmeb_v2`` for
MMEB): a query's instruction, ended by a mark if it has none; candidates with the default one; the image before the
text; ``NULL`` where there is neither. Images are resized by ``qwen_vl_utils`` alone. Where the tokenizer of a
checkpoint appends a token of its own, that is the last one and the one that is pooled, also of a text that is cut.

That code tells a blank text (an empty turn) from none at all (``NULL``); an item has none. It puts a transparent image
(RGBA) on white, where :mod:`evalkit.items.decoding` drops transparency.
"""

from __future__ import annotations

import itertools
import unicodedata
from typing import ClassVar

from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.chatml import PICTURE, chat
from evalkit.embedders.vlm.patching import Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen3vl import PIXELS_OF_A_TOKEN, Qwen3Vl
from evalkit.embedders.vlm.template import Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side

DEFAULT = "Represent the user's input."
LONGEST = 8192
SHORTEST = 64
"""The least that a vector may be cut to; any dimension from it on may be asked for."""
LIMITS = Limits(4 * PIXELS_OF_A_TOKEN, 1800 * PIXELS_OF_A_TOKEN)


def instruction_of(item: Item, side: Side) -> str:
    """What the system turn says."""
    said = item.instruction.strip() if side == "query" else ""
    if not said:
        return DEFAULT
    return said if unicodedata.category(said[-1]).startswith("P") else f"{said}."


def _fields(item: Item, side: Side) -> dict[str, str]:
    text = item.text or ("" if item.image is not None else "NULL")
    return {"text": text, "instruction": instruction_of(item, side)}


WORDING = Wording(both=chat(PICTURE + "{text}"), image=chat(PICTURE + "{text}"), text=chat("{text}"), fields=_fields)


class Qwen3VlEmbedding(VlmEmbedder):
    """A Qwen3-VL-Embedding checkpoint, with an instruction up front: ``qwen3-vl-embedding:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone. Its options are those of :class:`VlmEmbedder`.
    """

    FAMILY: ClassVar[str] = "qwen3-vl-embedding"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen3Vl(),)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(
            WORDING,
            Sizing(LIMITS, first=fetched(LIMITS, factor=32)),
            positions="mrope",
            longest=(LONGEST, LONGEST),
            longest_text=LONGEST,
        )

    @property
    def _dimensions(self) -> tuple[int, ...]:
        """The powers of two, and the whole."""
        powers = itertools.takewhile(
            lambda one: one < self._dimension, (SHORTEST << step for step in itertools.count())
        )
        return (*powers, self._dimension)

"""The family ``gme:``, Qwen2-VL that reads a task's instruction in its system turn (arXiv 2412.16855).

As the authors' class has it (``modeling_gme_qwen2vl.py`` of Alibaba-NLP/gme-Qwen2-VL-2B-Instruct): the instruction as
it is given, for queries alone; the image before the text, with nothing between; the token after the assistant's turn
is pooled; images are resized by ``fetch_image`` and then by the processor; positions are of one dimension, because
the language model is called without any.
"""

from __future__ import annotations

from typing import ClassVar

from evalkit.embedders.options import one_of
from evalkit.embedders.vlm.backbone import POSITIONS, Backbone
from evalkit.embedders.vlm.chatml import NO_INSTRUCTION, PICTURE, chat
from evalkit.embedders.vlm.mmebtext import PROTOCOLS, beside_mark
from evalkit.embedders.vlm.patching import FETCHED, TOKEN, Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl
from evalkit.embedders.vlm.template import Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side

LONGEST = 1800
_END = "<|endoftext|>"
PICTURED, TEXT = chat(PICTURE + "{text}", _END), chat("{text}", _END)


def _official(item: Item, side: Side) -> dict[str, str]:
    instruction = item.instruction if side == "query" and item.instruction else NO_INSTRUCTION
    return {"text": item.text, "instruction": instruction}


def _as_published(item: Item, side: Side) -> dict[str, str]:
    return {"text": beside_mark(item), "instruction": NO_INSTRUCTION}


_FIELDS = {"official": _official, "vlm2vec": _as_published}
_LEAST = {"official": 256 * TOKEN, "vlm2vec": 4 * TOKEN}


class Gme(VlmEmbedder):
    """A GME checkpoint, Qwen2-VL with the task's instruction in its system turn: ``gme:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        protocol: ``official``, as its authors' class has it, or ``vlm2vec``, as the published MMEB row was made: the
            instruction in the text on both sides, and small images left small.
        positions: ``1d``, as the authors' class has it, or ``mrope``, Qwen2-VL's own.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "gme"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(),)

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        protocol: str = "official",
        positions: str = "1d",
    ) -> None:
        self._protocol = one_of("protocol", protocol, PROTOCOLS)
        self._positions = one_of("positions", positions, POSITIONS)
        super().__init__(path, revision=revision, device=device, dtype=dtype)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(
            wording=Wording(both=PICTURED, image=PICTURED, text=TEXT, fields=_FIELDS[self._protocol]),
            sizing=Sizing(Limits(_LEAST[self._protocol], 1280 * TOKEN), first=fetched(FETCHED, narrow="cut")),
            positions=self._positions,
            longest=(LONGEST, LONGEST),
            longest_text=LONGEST,
        )

    @property
    def _options(self) -> dict[str, str]:
        return {"protocol": self._protocol, "positions": self._positions}

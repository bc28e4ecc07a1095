"""The family ``lamra:``, Qwen2-VL asked to sum an item up in one word (LamRA-Ret, arXiv 2412.01720).

As the released evaluation has it (Code-kunkun/LamRA 7286399, ``datasets_mbeir.py``, ``eval_mbeir.py``): a query's
instruction stands before its text, and both are made a sentence. The vector there is the state before the token
``<emb>`` of the assistant's answer; nothing after it can be seen, so it is the last token of what is written here.
Positions are of one dimension, because the released forward calls the language model without any; the weights were
trained so. Under transformers from 4.47 on the authors' ``demo.py`` has Qwen2-VL's own instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from evalkit.embedders.mbeir import words_of
from evalkit.embedders.options import one_of
from evalkit.embedders.vlm.backbone import POSITIONS, Backbone
from evalkit.embedders.vlm.chatml import NO_INSTRUCTION, PICTURE, chat
from evalkit.embedders.vlm.mmebtext import PROTOCOLS, Protocol, beside_mark
from evalkit.embedders.vlm.patching import TOKEN, Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl, Qwen25Vl
from evalkit.embedders.vlm.template import Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side


def _official(item: Item, side: Side) -> dict[str, str]:
    return {"text": words_of(item, side), "instruction": NO_INSTRUCTION}


def _as_published(item: Item, side: Side) -> dict[str, str]:
    return {"text": beside_mark(item), "instruction": NO_INSTRUCTION, "answer": "<emb>."}


OFFICIAL = Wording(
    both=chat(PICTURE + "{text}\nSummarize above image and sentence in one word: "),
    image=chat(PICTURE + "\nSummarize above image in one word: "),
    text=chat("{text}\nSummarize above sentence in one word: "),
    fields=_official,
)
# lamra_inference.py of VLM2Vec: ``<emb>.`` is plain text there, and the assistant is asked once more.
_ANSWERED = "{answer}<|im_end|>\n<|im_start|>assistant\n"
AS_PUBLISHED = Wording(
    both=chat(PICTURE + "{text}", _ANSWERED),
    image=chat(PICTURE + "{text}", _ANSWERED),
    text=chat("{text}\n", _ANSWERED),
    fields=_as_published,
)


def _recipe(protocol: Protocol) -> Recipe:
    if protocol == "official":
        # Fewer tokens than Qwen2-VL allows, "for reducing the number of visual tokens" (qwen2_vision_process.py).
        return Recipe(
            OFFICIAL,
            Sizing(first=fetched(Limits(4 * TOKEN, 300 * TOKEN))),
            longest=(None, 1024),
        )
    return Recipe(AS_PUBLISHED, Sizing(Limits(256 * TOKEN, 1280 * TOKEN), first=fetched()))


class Lamra(VlmEmbedder):
    """A LamRA-Ret checkpoint, Qwen2-VL or Qwen2.5-VL that sums up in one word: ``lamra:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        protocol: ``official``, as the authors evaluate it on M-BEIR, or ``vlm2vec``, as the published MMEB row was
            made.
        positions: ``1d``, as it was trained, or ``mrope``, the backbone's own.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "lamra"
    CODE_VERSION: ClassVar[str] = "2"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(), Qwen25Vl())

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
        return replace(_recipe(self._protocol), positions=self._positions)

    @property
    def _options(self) -> dict[str, str]:
        return {"protocol": self._protocol, "positions": self._positions}

"""The family ``e5-v:``, LLaVA-NeXT asked to sum an item up in one word (arXiv 2407.12580).

As released (kongds/E5-V bcefe73, ``retrieval.py``). The blank and the newline at the end of the template are part of
it; VLM2Vec's code, which removes them, is not repeated. The model was trained on pairs of texts alone, so a task's
instruction is not said; an image with a text has a wording in the released code for composed retrieval alone (CIRR,
``pair=modify``), and otherwise that of VLM2Vec's code.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from evalkit.embedders.options import one_of
from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.llavanext import LlavaNext
from evalkit.embedders.vlm.patching import Sizing
from evalkit.embedders.vlm.template import Template, Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder

Pair = Literal["summary", "modify"]
PAIRS: tuple[Pair, ...] = get_args(Pair)


def _turn(text: str) -> Template:
    return Template(
        "<|start_header_id|>user<|end_header_id|>\n\n"
        f"{text}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n \n"
    )


_IMAGE = _turn("{image}\nSummary above image in one word: ")
_TEXT = _turn("{text}\nSummary above sentence in one word: ")
WORDINGS: dict[Pair, Wording] = {
    "summary": Wording(_turn("{image}\n{text}\nSummary above image and text in one word: "), _IMAGE, _TEXT),
    # As it is spelled there, and without a blank at its end: the code that takes ``[/INST]`` out of it takes the
    # blank before that, too.
    "modify": Wording(
        both=_turn('{image}Modify this image with "{text}", desribe modified image in one word:'),
        image=_turn("{image}\n Describe this image in one word:"),
        text=_TEXT,
    ),
}


class E5V(VlmEmbedder):
    """An E5-V checkpoint, LLaVA-NeXT that sums up in one word: ``e5-v:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        pair: what is asked about an image with a text: ``summary``, or ``modify`` as for composed retrieval, where
            an image alone is asked about in other words, too.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "e5-v"
    CODE_VERSION: ClassVar[str] = "2"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (LlavaNext(),)

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        pair: str = "summary",
    ) -> None:
        self._pair = one_of("pair", pair, PAIRS)
        super().__init__(path, revision=revision, device=device, dtype=dtype)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(WORDINGS[self._pair], Sizing())

    @property
    def _options(self) -> dict[str, str]:
        return {"pair": self._pair}

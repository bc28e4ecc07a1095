"""The family ``unime:``, LLaVA-NeXT or Phi-3.5-V asked to sum an item up in one word (arXiv 2504.17432).

``protocol=official`` has the prompts of the released retrieval evaluation (deepglint/UniME d565584,
``self_evaluate``), which says no instruction and has no wording for an image with a text; here it is that for the
image with ``and sentence`` in it. The MMEB row was made by VLM2Vec's evaluation, which writes MMEB's text as it is
(``protocol=vlm2vec``); it asks for ``high`` images by its default, which the authors' own page calls 336 pixels, so
both are an option.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from evalkit.embedders.options import one_of, whole
from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.llavanext import LlavaNext
from evalkit.embedders.vlm.mmebtext import PROTOCOLS
from evalkit.embedders.vlm.phi3v import Phi3V
from evalkit.embedders.vlm.template import Template, Wording
from evalkit.embedders.vlm.vlm2vec import MOST_TILES, RESOLUTIONS, options_of, recipe_of
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder


def _phi(text: str) -> Template:
    return Template(f"<|user|>\n{text}<|end|>\n<|assistant|>\n")


WORDINGS = {
    "llava_next": Wording(
        both=Template("[INST] {image}\n{text}\nSummary above image and sentence in one word: [/INST]"),
        image=Template("[INST] {image}\nSummary above image in one word: [/INST]"),
        text=Template("[INST] {text}\nSummary above sentence in one word: [/INST]"),
    ),
    "phi3_v": Wording(
        both=_phi("{image}\n{text}\nSummary above image and sentence in one word: "),
        image=_phi("{image}\nSummary above image in one word: "),
        text=_phi("{text}\nSummary above sentence in one word: "),
    ),
}
"""By the backbone's ``model_type``."""


class UniMe(VlmEmbedder):
    """A UniME checkpoint, LLaVA-NeXT or Phi-3.5-V that sums up: ``unime:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        protocol: ``official``, the authors' prompts for retrieval, or ``vlm2vec``, MMEB's text as it is.
        resolution: ``native``, or ``high``: a square of 1344 pixels first. Of LLaVA-NeXT.
        num_crops: most tiles of an image; 4 as published. Of Phi-3.5-V.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "unime"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (LlavaNext(), Phi3V())

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        protocol: str = "official",
        resolution: str = "native",
        num_crops: int | str | None = None,
    ) -> None:
        self._protocol = one_of("protocol", protocol, PROTOCOLS)
        self._resolution = one_of("resolution", resolution, RESOLUTIONS)
        crops = whole("num_crops", num_crops, MOST_TILES)
        super().__init__(path, revision=revision, device=device, dtype=dtype)
        self._made = recipe_of(self._backbone, self._resolution, crops)

    @property
    def _recipe(self) -> Recipe:
        if self._protocol == "vlm2vec":
            return self._made
        return replace(self._made, wording=WORDINGS[self._backbone.TYPE], longest_text=None)

    @property
    def _options(self) -> dict[str, str]:
        return {"protocol": self._protocol} | options_of(self._made, self._resolution)

"""The family ``bge-vl:``, MMRet or BGE-VL-MLLM: LLaVA-NeXT that reads a query after its instruction (arXiv 2412.14475).

As the authors' class has it (``prepare_text_input`` of BAAI/BGE-VL-MLLM-S1), with its double blanks: the text stands
before the image, and candidates have no instruction. Images are made 512 x 512 first. How the published MMEB rows were
made was never released; that the instruction is MMEB's own is taken from its words of advice.
"""

from __future__ import annotations

from typing import ClassVar

from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.llavanext import LlavaNext
from evalkit.embedders.vlm.patching import Sizing
from evalkit.embedders.vlm.template import Prompt, Template, Wording
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.items import Item, Side

INSTRUCTED = Wording(
    both=Template("[INST] \n <instruct> {instruction} <query>  {text} \n {image} [/INST]"),
    image=Template("[INST] \n <instruct> {instruction} <query>  {image} [/INST]"),
    text=Template("[INST] \n <instruct> {instruction} <query>  {text} \n [/INST]"),
)
WITHOUT_INSTRUCTION = Wording(
    both=Template("[INST] \n <instruct>  <query> {text} \n {image} [/INST]"),
    image=Template("[INST] \n <instruct>  <query> {image} [/INST]"),
    text=Template("[INST] \n <instruct>  <query> {text} \n [/INST]"),
)
CANDIDATE = Wording(
    both=Template("[INST]  {text} \n {image} [/INST]"),
    image=Template("[INST]  {image} [/INST]"),
    text=Template("[INST]  {text} \n [/INST]"),
)


def _wording(item: Item, side: Side) -> Prompt:
    if side == "candidate":
        return CANDIDATE(item, side)
    return (INSTRUCTED if item.instruction else WITHOUT_INSTRUCTION)(item, side)


class BgeVl(VlmEmbedder):
    """A BGE-VL-MLLM (MMRet-MLLM) checkpoint, LLaVA-NeXT with an instruction: ``bge-vl:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone. Its options are those of :class:`VlmEmbedder`.
    """

    FAMILY: ClassVar[str] = "bge-vl"
    CODE_VERSION: ClassVar[str] = "1"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (LlavaNext(),)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(_wording, Sizing(first=lambda width, height: (512, 512)))

"""The family ``vlm2vec:``, the plain MMEB text without a chat template (arXiv 2410.05160, 2507.04590).

Text and images as its released code has them (TIGER-AI-Lab/VLM2Vec, ``processor.py`` and ``eval_collator.py``): no
marks around the image, no system turn and no end token. Positions are those of all calls of that code: one dimension,
because Qwen2-VL's three are found by marks that its prompts lack.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from evalkit.embedders.options import one_of, whole
from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.llavanext import LlavaNext
from evalkit.embedders.vlm.patching import MOST_ASPECT, TOKEN, Limits, Sizing, within
from evalkit.embedders.vlm.phi3v import CROPS, Phi3V
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl
from evalkit.embedders.vlm.template import Piece, Prompt, Template, given
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.errors import UsageError
from evalkit.items import IMAGE_MARK, Item, Side

Resolution = Literal["native", "high"]
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
MOST_TILES = 64  # of an image
LIMITS = Limits(56 * 56, 1280 * TOKEN)  # resize_min_pixels and resize_max_pixels of arguments.py


def _native(width: int, height: int) -> tuple[int, int] | None:
    if min(width, height) < 28:
        return (56, 56)
    long = max(width, height)
    # transformers' own resize refuses these; the released one makes a square of the longer side.
    return within(long, long, LIMITS, 28) if long > MOST_ASPECT * min(width, height) else None


SIZINGS: dict[Resolution, Sizing] = {
    "native": Sizing(LIMITS, first=_native),
    "high": Sizing(LIMITS, first=lambda width, height: (1344, 1344)),
}
"""``processor.py`` (``Qwen2_VL_process_fn``), ``eval_collator.py`` and ``image_processing_qwen2_vl.py``: at ``high``
resolution a square of 1344 pixels comes first; otherwise one with a side under 28 pixels becomes 56 x 56, and one more
than 200 times as long as wide a square."""


_PROMPT = Template("{prompt}")


def mmeb_text(item: Item, side: Side) -> Prompt:
    """The prompt as it is, with its mark.

    Queries of WebQA and EDIS begin with the mark and have no image; the model reads it as a word. In any other text
    without an image the mark is the data's own.
    """
    if item.image is None and (not item.prompt.startswith(IMAGE_MARK) or item.text.startswith(IMAGE_MARK)):
        return (Piece("words", item.prompt),)
    return _PROMPT.filled(given(item, side))


def recipe_of(backbone: Backbone, resolution: Resolution, crops: int | None = None) -> Recipe:
    """The recipe of VLM2Vec's code for a backbone: the plain text, and images of a resolution.

    Args:
        backbone: Qwen2-VL, LLaVA-NeXT or Phi-3.5-V.
        resolution: of the first two.
        crops: most tiles of an image, of the last one.

    Raises:
        UsageError: a resolution for Phi-3.5-V, or crops for another one.
    """
    phi = backbone.TYPE == Phi3V.TYPE
    if phi and resolution != "native":
        raise UsageError(f"option resolution={resolution!r}: images reach {backbone.TYPE} as they are; leave it out")
    if crops is not None and not phi:
        raise UsageError(f"option num_crops={crops}: it is of {Phi3V.TYPE}, and this is {backbone.TYPE}; leave it out")
    if phi:
        return Recipe(mmeb_text, Sizing(crops=crops or CROPS), longest_text=256)  # --max_len of its runs
    if backbone.TYPE == LlavaNext.TYPE:  # its processor sets the sizes that it cuts by
        return Recipe(mmeb_text, Sizing(first=SIZINGS["high"].first) if resolution == "high" else Sizing())
    return Recipe(mmeb_text, SIZINGS[resolution])


def options_of(recipe: Recipe, resolution: Resolution) -> dict[str, str]:
    """What of the two a backbone has."""
    return {"resolution": resolution} if recipe.sizing.crops is None else {"num_crops": str(recipe.sizing.crops)}


class Vlm2Vec(VlmEmbedder):
    """A VLM2Vec checkpoint, the plain text with the last token as its vector: ``vlm2vec:PATH_OR_HUB_ID[@REVISION]``.

    Its backbone is Qwen2-VL, LLaVA-NeXT or Phi-3.5-V.

    A region reaches it through its prompt alone. An adapter (LoRA, DoRA) is merged into its base, with peft.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        resolution: ``native``, or ``high`` for the published protocol: a square of 1344 pixels first, then
            the processor's limit. Of Qwen2-VL and LLaVA-NeXT.
        num_crops: most tiles of an image; 4 as published. Of Phi-3.5-V.
        base: the model that an adapter was trained on, where it is not the one that the adapter names.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "vlm2vec"
    CODE_VERSION: ClassVar[str] = "3"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(), LlavaNext(), Phi3V())

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        resolution: str = "native",
        num_crops: int | str | None = None,
        base: str | None = None,
    ) -> None:
        self._resolution = one_of("resolution", resolution, RESOLUTIONS)
        crops = whole("num_crops", num_crops, MOST_TILES)
        super().__init__(path, revision=revision, device=device, dtype=dtype, base=base)
        self._made = recipe_of(self._backbone, self._resolution, crops)

    @property
    def _recipe(self) -> Recipe:
        return self._made

    @property
    def _options(self) -> dict[str, str]:
        return options_of(self._made, self._resolution)

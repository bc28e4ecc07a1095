"""The family ``wemm:``, WeMM-Embedding on Qwen3.5: an item as the user's turn, and nothing else (arXiv 2608.24053).

As its hub card has it (tencent/WeMM-Embedding-2B; Tencent/WeMM-Embedding 0850d66, ``examples``): the turn of the user
alone, in the checkpoint's own chat template, which has no system turn; the image before the text; the state of the
last token, which is ``<embedding>``. ``tokenizer.json`` is read as it is, because its own rules make the prompt: they
take away a newline at the end of what stands between two special tokens, and put ``<embedding>`` after all. Images are
resized by ``qwen_vl_utils`` with its own limits (4 to 16384 tokens of 32 x 32 pixels), and then by the processor with
those of the checkpoint. The card has no place for an instruction; mteb's wrapper (2.26.24, ``wemm_models.py``) writes
it before the text with a space between, on either side, and so does ``protocol=official``.

``protocol=vlm2vec`` is how the authors' MMEB numbers were made (``mmeb_v3_eval/src/model/processor.py``): VLM2Vec's own
prompts on either side, cut at the image's mark and stripped; 64 to 8192 tokens for the first resize; texts without an
image are cut at 8192 tokens. (For ImageNet-A they wrote an instruction of their own, which MMEB does not have.)
``config.json`` lists the dimensions that vectors may be cut to.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from evalkit.embedders.options import one_of
from evalkit.embedders.vlm.backbone import Backbone
from evalkit.embedders.vlm.chatml import PICTURE
from evalkit.embedders.vlm.mmebtext import PROTOCOLS
from evalkit.embedders.vlm.patching import Limits, Sizing, fetched
from evalkit.embedders.vlm.qwen3vl import PIXELS_OF_A_TOKEN, Qwen35
from evalkit.embedders.vlm.template import Template, Wording
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.embedders.vlm.vlmembedder import Recipe, VlmEmbedder
from evalkit.errors import EmbedderError
from evalkit.items import IMAGE_MARK, Item, Side

POOLED = "<embedding>"
LIMITS = {
    "official": Limits(4 * PIXELS_OF_A_TOKEN, 16384 * PIXELS_OF_A_TOKEN),
    "vlm2vec": Limits(64 * PIXELS_OF_A_TOKEN, 8192 * PIXELS_OF_A_TOKEN),
}
LONGEST_TEXT = {"official": None, "vlm2vec": 8192}


def _turn(user: str) -> Template:
    return Template(f"<|im_start|>user\n{user}<|im_end|>\n")


def _official(item: Item, side: Side) -> dict[str, str]:
    return {"before": "", "text": " ".join(filter(None, (item.instruction, item.text)))}


def _as_published(item: Item, side: Side) -> dict[str, str]:
    if item.image is None:
        return {"before": "", "text": item.prompt.replace(IMAGE_MARK, "").strip()}
    before, mark, after = item.prompt.partition(IMAGE_MARK)
    return {"before": before.strip(), "text": after.strip()} if mark else {"before": "", "text": before.strip()}


_FIELDS = {"official": _official, "vlm2vec": _as_published}
_PICTURED = _turn("{before}" + PICTURE + "{text}")


class WeMm(VlmEmbedder):
    """A WeMM-Embedding checkpoint, Qwen3.5 that reads an item as the user's turn: ``wemm:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its text alone.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        protocol: ``official``, as its hub card has it, or ``vlm2vec``, as its authors' MMEB numbers were made.
        base: the model that an adapter was trained on, where it is not the one that the adapter names.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "wemm"
    CODE_VERSION: ClassVar[str] = "2"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen35(),)

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        protocol: str = "official",
        base: str | None = None,
    ) -> None:
        self._protocol = one_of("protocol", protocol, PROTOCOLS)
        super().__init__(path, revision=revision, device=device, dtype=dtype, base=base)

    @property
    def _recipe(self) -> Recipe:
        return Recipe(
            Wording(both=_PICTURED, image=_PICTURED, text=_turn("{text}"), fields=_FIELDS[self._protocol]),
            Sizing(first=fetched(LIMITS[self._protocol], factor=32)),
            positions="mrope",
            longest_text=LONGEST_TEXT[self._protocol],
        )

    @cached_property
    def _tokens(self) -> Tokens:
        tokens = super()._tokens
        if tokens.ends_in(POOLED) is False:
            holder = self._holder("tokenizer.json")
            raise EmbedderError(
                f"the tokenizer of {holder.folder} has {POOLED} and does not put it after a text, so it is not as it "
                f"was published (transformers writes another one): {holder.way_out}"
            )
        return tokens

    @property
    def _dimensions(self) -> tuple[int, ...]:
        listed = getattr(self._config, "matryoshka_dimensions", None) or ()
        return tuple(one for one in listed if isinstance(one, int) and 1 <= one <= self._dimension)

    @property
    def _options(self) -> dict[str, str]:
        return {"protocol": self._protocol}

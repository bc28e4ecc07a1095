"""CLIP, SigLIP and their successors: two towers, one for text and one for images, whose features share a space.

The convention for an item that has both is that of the published baselines (VLM2Vec v1,
``evaluation/eval_clip.py`` and ``eval_siglip.py``): the sum of the two projected features with weight 1,
not normalised before, and the text alone without its instruction. With instructions the paper's own CLIP
row falls from 37.8 to 26.7 (VLM2Vec, table 4).

Two things of those scripts are not repeated, because the models were not trained that way. They derived
CLIP's attention mask from ``input_ids != pad``, which hides the end token where padding and end are one
token; it is the token that is pooled. And they padded SigLIP's texts to the longest of the batch instead of
to the model's length, so that a vector depended on its neighbours.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.clipfiles import KINDS, TowerShape, TowerTokens, load_processor, read_shape
from evalkit.embedders.loading import load_model
from evalkit.embedders.options import whole, yes_or_no
from evalkit.embedders.towers import Towers
from evalkit.errors import ImageError, UsageError
from evalkit.items import Item, Side
from evalkit.items.images import MAX_PIXELS

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from evalkit.items.images import ImageFacts, ImageFile

# Parameters of the loss: no vector depends on them, and some conversions leave them out.
_LOSS_ONLY = frozenset({"logit_scale", "logit_bias"})
_MOST_PATCHES = 16_384


@dataclass(frozen=True)
class _LoadedTowers:
    """The model with its tokenizer and image processor."""

    model: Any
    tokens: TowerTokens
    processor: Any


class Clip(Towers):
    """A CLIP, MetaCLIP 2, SigLIP or SigLIP 2 in Hugging Face format: ``clip:PATH_OR_HUB_ID[@REVISION][?key=value]``.

    OpenCLIP's models are CLIPs where they come in this format, and a SigLIP 2 of fixed resolution is a SigLIP to its
    configuration.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        instruction: put an item's instruction before its text; the published baselines do not.
        dtype: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        max_num_patches: of an image, for a SigLIP 2 of any resolution (NaFlex) alone; what its image processor says
            where it is not given.

    Raises:
        UsageError: no such checkpoint, none of these, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "clip"
    CODE_VERSION: ClassVar[str] = "2"

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        instruction: bool | str = False,
        dtype: str = "auto",
        max_num_patches: str | None = None,
    ) -> None:
        self._instruction = yes_or_no("instruction", instruction)
        self._most_patches = whole("max_num_patches", max_num_patches, _MOST_PATCHES)
        super().__init__(path, revision, device, dtype)
        model_type = str(self._checkpoint.config().get("model_type"))
        file = self._checkpoint.folder / "config.json"
        if model_type not in KINDS:
            *some, last = KINDS
            raise UsageError(
                f"{file} is of model_type {model_type!r}; the family clip "
                f"takes {', '.join(some)} and {last}: name another family, or another checkpoint"
            )
        self._kind = KINDS[model_type]
        if self._most_patches is not None and not self._kind.patched:
            raise UsageError(
                f"option max_num_patches={max_num_patches}: {file} is of model_type {model_type}, whose images "
                "have one size; leave it out"
            )

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text and patches of the image. SigLIP reads its full length whatever the text."""
        text = self._text(item, "query")
        tokens = 0
        if image is None or text.strip():
            tokens = self._shape.text_length if self._kind.padded else self._tokens.count(text)
        return tokens + (self._patches if image is not None else 0)

    @property
    def _dimension(self) -> int:
        return self._shape.dimension

    @property
    def _attention(self) -> str:
        return str(self._loaded.model.config._attn_implementation)

    @property
    def _options(self) -> dict[str, str]:
        patches = {"max_num_patches": str(self._patches)} if self._kind.patched else {}
        return {"instruction": str(int(self._instruction))} | patches

    def _text(self, item: Item, side: Side) -> str:
        return f"{item.instruction} {item.text}".strip() if self._instruction else item.text

    @cached_property
    def _shape(self) -> TowerShape:
        return read_shape(self._kind, self._checkpoint)

    @cached_property
    def _patches(self) -> int:
        """Of an image."""
        return int(self._processor.max_num_patches) if self._kind.patched else self._shape.patches

    @cached_property
    def _processor(self) -> Any:
        return load_processor(self._kind, self._checkpoint, self._shape, self._most_patches)

    @cached_property
    def _tokens(self) -> TowerTokens:
        return TowerTokens(self._kind, self._checkpoint, self._shape)

    @cached_property
    def _loaded(self) -> _LoadedTowers:
        import torch
        import transformers

        tokens = self._tokens
        kind = getattr(transformers, self._kind.classes[1])
        model = load_model(kind, self._checkpoint, torch.float32, may_lack=_LOSS_ONLY)
        return _LoadedTowers(model.to(self._device), tokens, self._processor)

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        """Projected text features, shape ``(len(texts), dimension)``."""
        loaded = self._loaded
        ids, mask = loaded.tokens(texts)
        # SigLIP was trained without a mask: it attends to its padding, and pools at the last position.
        masked = {} if self._kind.padded else {"attention_mask": mask.to(self._device)}
        return _pooled(loaded.model.get_text_features(input_ids=ids.to(self._device), **masked))

    def _image_features(self, images: list[ImageFile]) -> torch.Tensor:
        """Projected image features, shape ``(len(images), dimension)``."""
        loaded = self._loaded
        pictures = [image.rgb() for image in images]
        edge = (loaded.processor.to_dict().get("size") or {}).get("shortest_edge")
        for image, picture in zip(images, pictures, strict=True):
            long, short = max(picture.size), min(picture.size)
            if edge and edge * edge * long // short > MAX_PIXELS:
                raise ImageError(
                    f"image {image.path} of {picture.width} x {picture.height} pixels is too narrow: with a "
                    f"short side of {edge} it would have more than {MAX_PIXELS:,} pixels; leave its row out",
                    image,
                )
        made = self._prepared(pictures)
        return _pooled(loaded.model.get_image_features(**{name: made[name].to(self._device) for name in made}))

    def _prepared(self, pictures: list[Image]) -> dict[str, torch.Tensor]:
        """What the image tower takes of pictures, made in threads: Pillow's resize is slower than a device.

        Beside the pixels, where images keep their proportions, which patches are padding and how many a row has.
        """
        import torch

        count = min(8, os.cpu_count() or 1, len(pictures))
        with ThreadPoolExecutor(count, "evalkit-pictures") as threads:
            parts = [pictures[len(pictures) * n // count : len(pictures) * (n + 1) // count] for n in range(count)]
            made = list(threads.map(lambda part: self._processor(images=part, return_tensors="pt"), parts))
        return {name: torch.cat([part[name] for part in made]) for name in made[0]}


def _pooled(features: Any) -> torch.Tensor:
    """transformers 5 returns an output object whose pooled state is projected; before, the tensor itself."""
    pooled: torch.Tensor = getattr(features, "pooler_output", features)
    return pooled

"""Qwen2-VL and its successors: a text with marks for its image, and the state of the last token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image

from evalkit.items import Item, Side
from plain.driver import ImageCounts, last_states, opened

MARK = "<|image_pad|>"


@dataclass(frozen=True)
class Pixels:
    """How many pixels an image is given.

    Attributes:
        least: one that has fewer is enlarged.
        most: one that has more is made smaller.
        factor: both sides become multiples of it.
    """

    least: int
    most: int
    factor: int = 28

    @classmethod
    def of_tokens(cls, least: int, most: int, factor: int = 28) -> Pixels:
        """By the tokens that an image has at least and at most."""
        return cls(least * factor**2, most * factor**2, factor)


@dataclass(frozen=True)
class QwenWay:
    """How a family's authors drive it.

    Attributes:
        kind: transformers' class, by name.
        write: an item as the model reads it, with ``<|image_pad|>`` for its image.
        first: the resize of ``fetch_image`` before the processor.
        limits: of the processor; those of its file where it is ``None``.
        positions: of one dimension, or the model's ``own``.
        longest: tokens that an item is cut off at.
    """

    kind: str
    write: Callable[[Item, Side], str]
    first: Pixels | None = None
    limits: Pixels | None = None
    positions: Literal["1d", "own"] = "1d"
    longest: int | None = None


class PlainQwen:
    """A checkpoint driven one way.

    Args:
        folder: the checkpoint.
        way: how.
    """

    def __init__(self, folder: Path, way: QwenWay) -> None:
        import transformers
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        kind = getattr(transformers, way.kind)
        self.model = kind.from_pretrained(folder, dtype=torch.float32).eval().model
        self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        given: dict[str, Any] = {}
        if way.limits is not None:
            size = {"shortest_edge": way.limits.least, "longest_edge": way.limits.most}
            given = {"size": size, "min_pixels": None, "max_pixels": None}
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder, **given)
        self.way = way
        self._counts = ImageCounts(lambda image: int(self._pixels([image])["image_grid_thw"].prod()) // 4)

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        texts, images = [self.way.write(item, side) for item in items], opened(items)
        given: dict[str, Any] = {}
        if images:
            given = self._pixels(images)
            counts = iter((given["image_grid_thw"].prod(dim=1) // 4).tolist())
            texts = [
                text if item.image is None else text.replace(MARK, MARK * next(counts))
                for text, item in zip(texts, items, strict=True)
            ]
        padded = self.tokenizer(
            texts,
            padding=True,
            padding_side="right",
            truncation=self.way.longest is not None,
            max_length=self.way.longest,
            return_tensors="pt",
        )
        ids, mask = padded["input_ids"], padded["attention_mask"]
        if self.way.positions == "1d":
            given["position_ids"] = torch.arange(mask.shape[1]).expand(3, len(items), -1)
        elif images:
            given["mm_token_type_ids"] = (ids == self.model.config.image_token_id).int()
        self.model.rope_deltas = None  # of the batch before
        states = self.model(input_ids=ids, attention_mask=mask, **given).last_hidden_state
        return last_states(states, mask)

    def tokens(self, item: Item, side: Side) -> int:
        count = len(self.tokenizer(self.way.write(item, side))["input_ids"])
        if item.image is not None:
            count += self._counts.of(item) - 1
        return min(count, self.way.longest or count)

    def _pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        return dict(self.processor(images=[self._fetched(image) for image in images], return_tensors="pt"))

    def _fetched(self, image: Image.Image) -> Image.Image:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        first = self.way.first
        if first is None:
            return image
        height, width = smart_resize(image.height, image.width, first.factor, first.least, first.most)
        return image.resize((width, height))

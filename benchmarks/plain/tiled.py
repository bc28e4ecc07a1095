"""Backbones that cut an image into tiles: LLaVA-NeXT by transformers' processor, Phi-3.5-V by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from evalkit.items import Item, Side
from plain.driver import ImageCounts, last_states, opened

TILE = 336  # of Phi-3.5-V
_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
_VISION = "model.vision_embed_tokens."


class PlainLlavaNext:
    """LLaVA-NeXT as its documentation has it: the processor, padding on the left, the last state.

    Args:
        folder: the checkpoint.
        write: an item as the model reads it, with ``<image>`` for its image.
        square: the size that an image is given before the processor.
    """

    def __init__(self, folder: Path, write: Callable[[Item, Side], str], square: tuple[int, int] | None = None) -> None:
        from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor, PreTrainedTokenizerFast
        from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

        whole = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.model = whole.model
        self.processor = LlavaNextProcessor(
            LlavaNextImageProcessorPil.from_pretrained(folder),
            PreTrainedTokenizerFast.from_pretrained(folder),
            patch_size=whole.config.vision_config.patch_size,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )
        self.write, self.square = write, square
        self._counts = ImageCounts(self._count)

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        images = [self._sized(image) for image in opened(items)]
        given = self.processor(
            text=[self.write(item, side) for item in items], images=images or None, return_tensors="pt", padding=True
        )
        given.pop("mm_token_type_ids", None)
        states: torch.Tensor = self.model(**given).last_hidden_state
        return states[:, -1]

    def tokens(self, item: Item, side: Side) -> int:
        count = len(self.processor.tokenizer(self.write(item, side))["input_ids"])
        return count if item.image is None else count - 1 + self._counts.of(item)

    def _sized(self, image: Image.Image) -> Image.Image:
        return image if self.square is None else image.resize(self.square)

    def _count(self, image: Image.Image) -> int:
        ids = self.processor(text=["<image>"], images=[self._sized(image)], return_tensors="pt")["input_ids"]
        return int((ids == self.model.config.image_token_id).sum())


class PlainPhi3V:
    """Phi-3.5-V, which transformers lacks: its Phi-3 and its CLIP, joined as the released code has it.

    Args:
        folder: the checkpoint.
        write: an item as the model reads it, with ``<image>`` for its image.
        longest_text: tokens that an item without an image is cut off at.
    """

    def __init__(self, folder: Path, write: Callable[[Item, Side], str], longest_text: int | None = None) -> None:
        from test_phi3v_families import models

        self.phi, self.clip, weights, self.tokenizer = models(folder)
        own = {name.removeprefix(_VISION): value for name, value in weights.items() if name.startswith(_VISION)}
        self.line_end, self.between = own["sub_GN"].reshape(1, 1, -1), own["glb_GN"].reshape(1, -1)
        width = own["img_projection.2.bias"].shape[0]
        self.projection = torch.nn.Sequential(
            torch.nn.Linear(self.between.shape[1], width), torch.nn.GELU(), torch.nn.Linear(width, width)
        )
        self.projection.load_state_dict(
            {name.removeprefix("img_projection."): value for name, value in own.items() if "img_projection" in name}
        )
        self.write, self.longest_text = write, longest_text
        self._counts = ImageCounts(lambda image: len(self._seen([image])[0]))

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        images = opened(items)
        seen = iter(self._seen(images) if images else ())
        rows = []
        for item in items:
            parts = [self.phi.embed_tokens(torch.tensor(ids)) for ids in self._ids(item, side)]
            rows.append(parts[0] if item.image is None else torch.cat([parts[0], next(seen), parts[1]]))
        embedded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(embedded.shape[1]) < lengths[:, None]).long()
        return last_states(self.phi(inputs_embeds=embedded, attention_mask=mask).last_hidden_state, mask)

    def tokens(self, item: Item, side: Side) -> int:
        return sum(map(len, self._ids(item, side))) + self._counts.of(item)

    def _ids(self, item: Item, side: Side) -> list[list[int]]:
        """Of the text, or of its two parts around the image, each a text of its own to the tokenizer."""
        text = self.write(item, side)
        if item.image is None:
            return [self.tokenizer(text)["input_ids"][: self.longest_text]]
        found: list[list[int]] = self.tokenizer(text.split("<image>"))["input_ids"]
        return found

    def _seen(self, images: Sequence[Image.Image]) -> list[torch.Tensor]:
        """What the language model gets of images."""
        cut = [tiles(image) for image in images]
        pixels = torch.cat([one for one, _, _ in cut])
        states = self.clip(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        parts = torch.split(states, [len(one) for one, _, _ in cut])
        return [self._joined(part, rows, columns) for part, (_, rows, columns) in zip(parts, cut, strict=True)]

    def _joined(self, states: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        tiled, whole = self._lines(states[1:], rows, columns), self._lines(states[:1], 1, 1)
        joined: torch.Tensor = self.projection(torch.cat([tiled, self.between, whole]))
        return joined

    def _lines(self, states: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Tiles put together, four neighbours side by side, and what ends each line after it."""
        half, width = math.isqrt(states.shape[1]) // 2, states.shape[2]
        grid = states.view(rows, columns, half, 2, half, 2, width).permute(0, 2, 1, 4, 3, 5, 6)
        lines = grid.reshape(rows * half, columns * half, 4 * width)
        return torch.cat([lines, self.line_end.expand(len(lines), -1, -1)], dim=1).flatten(0, 1)


def tiles(image: Image.Image, crops: int = 4) -> tuple[torch.Tensor, int, int]:
    """The whole of an image and its tiles as ``image_processing_phi3_v.py`` makes them, with their rows and columns."""
    upright = image.width < image.height
    laid = image.transpose(Image.Transpose.TRANSPOSE) if upright else image
    ratio, scale = laid.width / laid.height, 1
    while scale * math.ceil(scale / ratio) <= crops:
        scale += 1
    width = (scale - 1) * TILE
    resized = laid.resize((width, int(width / ratio)), Image.Resampling.BILINEAR)
    lacking = -resized.height % TILE
    padded = ImageOps.expand(resized, (0, lacking // 2, 0, lacking - lacking // 2), (255, 255, 255))
    padded = padded.transpose(Image.Transpose.TRANSPOSE) if upright else padded
    pixels = (torch.from_numpy(np.array(padded)).permute(2, 0, 1) / 255 - _MEAN) / _STD
    whole = torch.nn.functional.interpolate(pixels[None], (TILE, TILE), mode="bicubic")
    rows, columns = padded.height // TILE, padded.width // TILE
    cut: Any = pixels.reshape(3, rows, TILE, columns, TILE).permute(1, 3, 0, 2, 4).reshape(-1, 3, TILE, TILE)
    return torch.cat([whole, cut]), rows, columns

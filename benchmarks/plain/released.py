"""Families whose released files no class of transformers reads: UniIR and MagicLens.

evalkit's loader puts their weights into transformers' own towers, which are driven here as a script has them. Of
MagicLens's head, which transformers lacks, both sides have evalkit's few lines; ``tests/embedders/test_magiclens.py``
holds them to the published ones.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import torch
from PIL import Image

from evalkit.items import Item, Side
from plain.driver import opened
from plain.towers import summed
from plain.wordings import instructed, sentence

_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


class ClipTexts:
    """OpenAI's tokenizer by transformers' class, after OpenAI's ``basic_clean``, as both families' code has it."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPTokenizer

        self.tokenizer = CLIPTokenizer.from_pretrained(folder)

    def given(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """What the text tower gets."""
        clean = [html.unescape(html.unescape(ftfy.fix_text(text))).strip() for text in texts]
        return dict(self.tokenizer(clean, padding=True, truncation=True, max_length=77, return_tensors="pt"))

    def count(self, text: str) -> int:
        """Tokens of one text."""
        return int(self.given([text])["input_ids"].shape[1])


class PlainUniIrClip:
    """UniIR's CLIP_SF: ``CLIPModel``, features summed, images cut out of the middle by OpenAI's transform."""

    def __init__(self, file: Path) -> None:
        from evalkit.embedders.uniir.clipsf import UniIrClip

        loaded = UniIrClip(str(file), device="cpu", dtype="float32")._loaded
        self.model, self.side = loaded.model, loaded.side
        self.texts = ClipTexts(file.parent)
        self.patches = (loaded.side // loaded.model.config.vision_config.patch_size) ** 2

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        from test_uniir import centred

        return summed(
            items,
            [sentence(item, side) for item in items],
            lambda texts: self.model.get_text_features(**self.texts.given(texts)).pooler_output,
            lambda shown: (
                self.model.get_image_features(torch.stack([centred(image) for image in opened(shown)])).pooler_output
            ),
        )

    def tokens(self, item: Item, side: Side) -> int:
        text = sentence(item, side)
        return (self.texts.count(text) if text else 0) + (self.patches if item.image is not None else 0)


class PlainUniIrBlip:
    """UniIR's BLIP_FF: transformers' BLIP, whose reader attends to an image of zeros where an item has none."""

    def __init__(self, file: Path) -> None:
        from evalkit.embedders.uniir.blipff import UniIrBlip

        embedder = UniIrBlip(str(file), device="cpu", dtype="float32")
        parts, self.tokenizer = embedder._parts, embedder._tokens
        self.vision, self.text, self.side = parts.vision, parts.text, parts.side
        self.patches = (parts.side // parts.vision.config.patch_size) ** 2 + 1

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        pixels = torch.zeros(len(items), 3, self.side, self.side)
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        if pictured:
            size = (self.side, self.side)
            pixels[pictured] = normalised([image.resize(size, Image.Resampling.BICUBIC) for image in opened(items)])
        seen = self.vision(pixels).last_hidden_state
        given = self._texts([sentence(item, side) for item in items])
        vectors: torch.Tensor = self.text(**given, encoder_hidden_states=seen, is_decoder=False).pooler_output
        return vectors

    def tokens(self, item: Item, side: Side) -> int:
        return int(self._texts([sentence(item, side)])["input_ids"].shape[1] + self.patches)

    def _texts(self, texts: Sequence[str]) -> Any:
        given = self.tokenizer(list(texts), padding=True, truncation=True, max_length=100, return_tensors="pt")
        return {name: given[name] for name in ("input_ids", "attention_mask")}


class PlainMagicLens:
    """MagicLens: ``CLIPModel`` and the head; images squeezed linearly, their brightest number 1."""

    def __init__(self, file: Path) -> None:
        from evalkit.embedders.magiclens.lens import MagicLens

        embedder = MagicLens(str(file), device="cpu", dtype="float32")
        lens, sizes = embedder._lens, embedder._sizes
        self.model, self.head, self.layers, self.side = lens.clip, lens.head, sizes.layers, sizes.side
        self.patches = sizes.vision.positions
        self.texts = ClipTexts(file.parent)

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        from evalkit.embedders.magiclens.lenshead import fused

        words = self.model.get_text_features(**self.texts.given([instructed(item, side) for item in items]))
        pixels = torch.cat([self._squeezed(image) for image in opened(items)])
        pictures = self.model.get_image_features((pixels - _MEAN) / _STD)
        return fused(self.head, self.layers, pictures.pooler_output, words.pooler_output)

    def tokens(self, item: Item, side: Side) -> int:
        return self.texts.count(instructed(item, side)) + self.patches

    def _squeezed(self, image: Image.Image) -> torch.Tensor:
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        size = (self.side, self.side)
        return torch.nn.functional.interpolate(values / values.max(), size, mode="bilinear", antialias=True)


def normalised(images: Sequence[Image.Image]) -> torch.Tensor:
    """Images of one size, with CLIP's mean and standard deviation."""
    values = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
    return (values - _MEAN) / _STD

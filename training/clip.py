"""A tiny CLIP in training: two towers whose features share a space; text and image together are their sum.

As ``evalkit.embedders.clip`` has it: it reads a text without its instruction, and sees no region.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tokenizers import processors
from transformers import AutoImageProcessor, CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from evalkit.items import Item
from evalkit.miniature.drawings import Drawing
from evalkit.miniature.scenes import SIDE
from training.contrastive import TEMPERATURE
from training.pixels import CLIP_MEAN, CLIP_STD, PATCH, normalised, restored
from training.questions import Album
from training.tokenizer import of_one_length
from training.tokenizer import save as save_tokenizer
from training.tower import load

LENGTH = 64  # tokens of a text at most
# The text's vector is the state at the first end token. So padding comes after it, as places count from the left, and
# is another token than the end, so that a mask made of "is no padding" does not hide what is pooled.
_START, _END, _PADDING = "<|im_start|>", "<|endoftext|>", "<|vision_pad|>"
_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}


def config(vocabulary: int, start: int, end: int, padding: int) -> CLIPConfig:
    """A small CLIP.

    Args:
        vocabulary: tokens.
        start, end, padding: ids of the tokens that a text begins and ends with, and is filled up with. ``end`` is not
            2, for which transformers pools at the highest id instead.
    """
    shared = {"num_attention_heads": 4, "hidden_act": "quick_gelu", "projection_dim": 128}
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "max_position_embeddings": LENGTH,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": padding,
    }
    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    return CLIPConfig(text_config=text | shared, vision_config=vision | shared, projection_dim=128)


class ClipLearner(torch.nn.Module):
    """A CLIP of random weights.

    Args:
        tokenizer: its vocabulary; texts get a start and an end.
        drawings: what the images of the questions show, by path.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, drawings: Mapping[str, Drawing]) -> None:
        super().__init__()
        start, end, padding = tokenizer.convert_tokens_to_ids([_START, _END, _PADDING])
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{_START} $A {_END}", pair=f"{_START} $A $B {_END}", special_tokens=[(_START, start), (_END, end)]
        )
        tokenizer.bos_token, tokenizer.pad_token, tokenizer.padding_side = _START, _PADDING, "right"
        tokenizer.model_max_length = LENGTH
        self._tokenizer: Any = tokenizer
        self._whole: Any = CLIPModel(config(len(tokenizer), start, end, padding))
        with TemporaryDirectory() as folder:
            self._save_processors(Path(folder))
            processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
        self._album = Album(
            drawings, lambda image: restored(processor(images=[image.rgb()], return_tensors="np")["pixel_values"][0])
        )

    def see_with(self, folder: Path) -> None:
        """Take the vision tower that :mod:`training.tower` made."""
        load(ClipTower(self._whole.vision_model), folder)

    def forward(self, items: Sequence[Item]) -> torch.Tensor:
        """Vectors, shape ``(items, dimension)``, rows of length 1."""
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        written = [row for row, item in enumerate(items) if item.image is None or item.text.strip()]
        total = torch.zeros(len(items), self._whole.config.projection_dim)
        for part in of_one_length(written, lambda row: len(items[row].text)):
            ids = self._tokenizer([items[row].text for row in part], padding=True, return_tensors="pt")
            texts = self._whole.get_text_features(ids["input_ids"], ids["attention_mask"]).pooler_output
            total = total.index_add(0, torch.tensor(part), texts)
        if pictured:
            images = list(dict.fromkeys(items[row].image for row in pictured))
            pixels = normalised(np.stack([self._album(image) for image in images if image is not None]))
            seen = self._whole.get_image_features(pixels).pooler_output
            own = torch.tensor([images.index(items[row].image) for row in pictured])
            total = total.index_add(0, torch.tensor(pictured), seen[own])
        return torch.nn.functional.normalize(total, dim=-1)

    def save(self, folder: Path) -> None:
        """In Hugging Face's layout, weights in float16, with the scale of the logits that the loss had."""
        kept = copy.deepcopy(self._whole).half()  # a copy: the training goes on in float32
        torch.nn.init.constant_(kept.logit_scale, -math.log(TEMPERATURE))
        kept.save_pretrained(folder)
        self._save_processors(folder)

    def _save_processors(self, folder: Path) -> None:
        save_tokenizer(self._tokenizer, folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(_PROCESSOR, indent=1) + "\n")


def tower() -> ClipTower:
    """A vision tower of random weights, for any vocabulary."""
    whole: Any = CLIPModel(config(8, 0, 1, 2))
    return ClipTower(whole.vision_model)


class ClipTower:
    """The vision tower of a CLIP: a feature for each 14 x 14 pixels, before the projection.

    Args:
        module: the tower.
    """

    def __init__(self, module: Any) -> None:
        self.module: torch.nn.Module = module
        self.width: int = module.config.hidden_size

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels of shape ``(n, 3, side, side)`` to features, shape ``(n, width, side / 14, side / 14)``."""
        cells = pixels.shape[-1] // PATCH
        features: torch.Tensor = self.module(pixels).last_hidden_state[:, 1:]  # without the class token
        return features.transpose(1, 2).reshape(len(pixels), self.width, cells, cells)

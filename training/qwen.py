"""Tiny VIRTUE and VLM2Vec in training: a small Qwen2-VL, with SAM 2 in front of it or without.

The streams are the very modules that evaluation runs (``evalkit.embedders.virtue``), so nothing has to be kept
alike. SAM 2 stays as it is; what it makes of an image and a prompt is kept, as it never changes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLModel

from evalkit.embedders.checkpoint import resolve
from evalkit.embedders.virtue.sam_prompts import SamPrompt, grid, prompt_of
from evalkit.embedders.virtue.segmentation import CONNECTOR, SegmentationStream, connector
from evalkit.embedders.vlm.backbone import Seen
from evalkit.embedders.vlm.qwen2vl import IMAGE_TOKEN, Qwen2Vl, QwenVlm
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.embedders.vlm.vlm2vec import SIZINGS, mmeb_text
from evalkit.items import Item, Region
from evalkit.items.images import ImageFile
from evalkit.miniature.drawings import Drawing
from evalkit.miniature.scenes import SIDE
from training.pixels import CLIP_MEAN, CLIP_STD, FRAMES, MERGE, PATCH, normalised, patches, restored, square
from training.questions import Album
from training.sam import FRAME, WIDTH
from training.sam import save as save_sam
from training.tokenizer import of_one_length, tokenizer
from training.tokenizer import save as save_tokenizer
from training.tower import load

POINTS_PER_SIDE = 3
HIDDEN = 128
_PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "patch_size": PATCH,
    "merge_size": MERGE,
    "temporal_patch_size": FRAMES,
    "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
}


def config(tokenizer: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    """A small Qwen2-VL."""
    names = (IMAGE_TOKEN, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|endoftext|>")
    image_token, video_token, vision_start, vision_end, end = tokenizer.convert_tokens_to_ids(list(names))
    return Qwen2VLConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_scaling={"rope_type": "default", "type": "default", "mrope_section": [4, 6, 6]},
        tie_word_embeddings=True,
        image_token_id=image_token,
        video_token_id=video_token,
        vision_start_token_id=vision_start,
        vision_end_token_id=vision_end,
        bos_token_id=end,
        eos_token_id=end,
        vision_config={
            "depth": 3,
            "embed_dim": 96,
            "hidden_size": HIDDEN,
            "num_heads": 4,
            "mlp_ratio": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
        },
    )


class QwenLearner(torch.nn.Module):
    """Qwen2-VL of random weights, and where a SAM 2 is given the connector between the two.

    Args:
        tokenizer: its vocabulary.
        drawings: what the images of the questions show, by path.
        sam: stays as it is.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, drawings: Mapping[str, Drawing], sam: Any | None = None
    ) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._whole = Qwen2VLForConditionalGeneration(config(tokenizer))
        _begin(self._whole.model.language_model)
        token = int(self._whole.config.image_token_id)
        self._language = QwenVlm(self._whole.model, token, "cpu")
        with TemporaryDirectory() as folder:
            self._save_processors(Path(folder))
            checkpoint = resolve(folder, None)
            self._tokens = Tokens(checkpoint, IMAGE_TOKEN, token, Qwen2Vl.EMPTY)
            self._patching = Qwen2Vl().pictures(checkpoint, self._whole.config, SIZINGS["native"])
        self._album = Album(drawings, lambda image: restored(self._patching.prepare(image).pixels))
        self._segmentation: SegmentationStream | None = None
        if sam is not None:
            self._reducer, self._projector = connector(WIDTH, HIDDEN)
            self._segmentation = SegmentationStream(sam, self._reducer, self._projector, "cpu", torch.float32)
            self._sam = [sam]  # in a list, so that it is no part of what is trained
        self._fused: dict[tuple[object, ...], torch.Tensor] = {}

    def see_with(self, folder: Path) -> None:
        """Take the vision tower that :mod:`training.tower` made."""
        load(QwenTower(self._whole.model), folder)

    def start_from(self, folder: Path) -> None:
        """Take the weights of a Qwen2-VL that was saved, of the same vocabulary."""
        saved = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self._whole.load_state_dict(saved.state_dict())

    def forward(self, items: Sequence[Item]) -> torch.Tensor:
        """Vectors, shape ``(items, HIDDEN)``, rows of length 1."""
        rows: list[torch.Tensor] = [torch.empty(0)] * len(items)
        texts = [row for row, item in enumerate(items) if item.image is None]
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        for places, read in ((texts, self._texts), (pictured, self._pictured)):
            for part in of_one_length(places, lambda place: len(self._ids(items[place]))):
                for place, row in zip(part, read([items[place] for place in part]), strict=True):
                    rows[place] = row
        return torch.stack(rows)

    def _texts(self, items: Sequence[Item]) -> torch.Tensor:
        return self._language.read([self._ids(item) for item in items])

    def _ids(self, item: Item) -> list[int]:
        """Token ids of an item, its image one of them."""
        return self._tokens.ids([mmeb_text(item, "query")])[0]

    def _pictured(self, items: Sequence[Item]) -> torch.Tensor:
        images = list(dict.fromkeys(item.image for item in items if item.image is not None))
        pixels = [self._album(image) for image in images]
        seen = dict(zip(images, self._look(pixels), strict=True))
        features = [Seen(seen[item.image]) for item in items if item.image is not None]
        texts = [
            self._tokens.expanded(self._ids(item), len(own.features)) for item, own in zip(items, features, strict=True)
        ]
        if self._segmentation is None:
            return self._language.read(texts, features)
        fused = self._ask(self._segmentation, items, dict(zip(images, pixels, strict=True)))
        return self._language.read(texts, features, self._segmentation.connect(fused))

    def _look(self, pixels: Sequence[NDArray[np.uint8]]) -> Sequence[torch.Tensor]:
        """The vision tower's features of each image."""
        return _features(self._whole.model, [normalised(one[None]) for one in pixels])

    @torch.no_grad()
    def _ask(
        self, stream: SegmentationStream, items: Sequence[Item], pixels: Mapping[ImageFile, NDArray[np.uint8]]
    ) -> torch.Tensor:
        """What SAM 2 makes of the items, kept for the next time."""
        asked = [(item.image, item.region) for item in items if item.image is not None]
        keys = [(image.path, image.crop, region) for image, region in asked]
        new = {key: one for key, one in zip(keys, asked, strict=True) if key not in self._fused}
        if new:
            images = list(dict.fromkeys(image for image, _ in new.values()))
            whole = torch.cat([square(normalised(pixels[image][None]), FRAME) for image in images])
            sam = self._sam[0]
            maps = sam.vision_encoder(whole).fpn_hidden_states[-1] + sam.no_memory_embedding.view(1, -1, 1, 1)
            seen = dict(zip(images, maps, strict=True))
            prompts = [_prompt(region) for _, region in new.values()]
            fused = stream.fused([seen[image] for image, _ in new.values()], prompts)
            self._fused |= zip(new, fused.half(), strict=True)
        return torch.stack([self._fused[key] for key in keys]).float()

    def save(self, folder: Path) -> None:
        """In the layout that VIRTUE's and VLM2Vec's checkpoints were released in: weights in float16, tokenizer,
        processor, and where there is a segmentation stream SAM 2 and the connector.
        """
        kept = copy.deepcopy(self._whole).half()  # a copy: the training goes on in float32
        kept.generation_config.pad_token_id = self._tokenizer.pad_token_id
        kept.save_pretrained(folder)
        self._save_processors(folder)
        if self._segmentation is None:
            return
        parts = {"sam2_reducer": self._reducer, "sam2vlm_layer": self._projector}
        weights = {
            name: {key: value.half() for key, value in part.state_dict().items()} for name, part in parts.items()
        }
        torch.save(weights, folder / CONNECTOR)
        save_sam(self._sam[0], folder / "sam2")
        settings = json.loads((folder / "config.json").read_text())
        settings["virtue_sam"] = {
            "enabled": True,
            "checkpoint": "sam2",
            "points_per_side": POINTS_PER_SIDE,
            "feature_levels": 2,
            "box_frame": "sam",
        }
        (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")

    def _save_processors(self, folder: Path) -> None:
        save_tokenizer(self._tokenizer, folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(_PROCESSOR, indent=1) + "\n")


def _begin(language_model: Any) -> None:
    """Weights that a tiny model can leave: of its own beginning, all near nothing, attention is even and stays so."""
    for module in language_model.modules():
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    torch.nn.init.normal_(language_model.embed_tokens.weight, std=0.3)


def tower() -> QwenTower:
    """A vision tower of random weights, which is the same whatever the vocabulary."""
    return QwenTower(Qwen2VLModel(config(tokenizer([], 0))))


class QwenTower:
    """The vision tower of a Qwen2-VL: a feature of the language model's width for each 28 x 28 pixels.

    Args:
        model: of which it is a part.
    """

    width = HIDDEN

    def __init__(self, model: Any) -> None:
        self._model = model
        self.module: torch.nn.Module = model.visual

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels of shape ``(n, 3, side, side)`` to features, shape ``(n, width, side / 28, side / 28)``."""
        cells = pixels.shape[-1] // PATCH // MERGE
        features = torch.stack(list(_features(self._model, pixels[:, None])))
        return features.transpose(1, 2).reshape(len(pixels), HIDDEN, cells, cells)


def _features(model: Any, images: Iterable[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Those of each image, itself of shape ``(1, 3, height, width)``: shape ``(cells, HIDDEN)``."""
    each = list(images)
    sizes = torch.tensor([[1, one.shape[-2] // PATCH, one.shape[-1] // PATCH] for one in each])
    cut = torch.cat([patches(one) for one in each])
    features: Sequence[torch.Tensor] = model.get_image_features(cut, sizes).pooler_output
    return features


def _prompt(region: Region | None) -> SamPrompt:
    """What SAM is asked about a whole scene: a region of it, or the grid."""
    return grid(POINTS_PER_SIDE, FRAME) if region is None else prompt_of(region, (SIDE, SIDE), "sam", FRAME)

"""Tiny VIRTUE and VLM2Vec: contrastive training as the paper has it, the segmentation model frozen.

InfoNCE over the candidates of the whole batch, among them nine hard distractors a query; temperature 0.03. The
streams are the very modules that evaluation runs (``evalkit.embedders.virtue``), so nothing has to be kept alike.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from evalkit.embedders.virtue.language import IMAGE_TOKEN, LanguageStream
from evalkit.embedders.virtue.prompts import Prompt, grid, prompt_of
from evalkit.embedders.virtue.segmentation import SegmentationStream, connector
from evalkit.items import IMAGE_MARK
from evalkit.miniature import draw
from evalkit.miniature.scenes import SIDE
from training.examples import Example, Side
from training.pixels import normalised, patches, square
from training.record import Record
from training.sam import FRAME, WIDTH

TEMPERATURE = 0.03
POINTS_PER_SIDE = 3
TOKENS = (SIDE // 28) ** 2  # of an image
HIDDEN = 128


def config(vocabulary: int, image_token: int, end: int) -> Qwen2VLConfig:
    """A small Qwen2-VL."""
    return Qwen2VLConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_scaling={"rope_type": "default", "type": "default", "mrope_section": [4, 6, 6]},
        tie_word_embeddings=True,
        image_token_id=image_token,
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


class Learner(torch.nn.Module):
    """A model in training: Qwen2-VL, and SAM 2 with a connector where there is one."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, sam: Any | None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.image_token = int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))
        end = int(tokenizer.convert_tokens_to_ids("<|endoftext|>"))
        self.whole = Qwen2VLForConditionalGeneration(config(len(tokenizer), self.image_token, end))
        self.language = LanguageStream(self.whole.model, "cpu")
        self.segmentation: SegmentationStream | None = None
        if sam is not None:
            self.reducer, self.projector = connector(WIDTH, HIDDEN)
            self.segmentation = SegmentationStream(sam, self.reducer, self.projector, "cpu", torch.float32)
            self.sam = [sam]  # in a list, so that it is no part of what is trained
        self._ids: dict[str, list[int]] = {}

    def forward(self, sides: Sequence[Side]) -> torch.Tensor:
        """Vectors, shape ``(sides, HIDDEN)``, of sides that all have an image or all have none."""
        if sides[0].scene is None:
            return self.language.read([self.ids(side.text) for side in sides])
        scenes = list(dict.fromkeys(side.scene for side in sides if side.scene is not None))
        place = {scene: number for number, scene in enumerate(scenes)}
        pixels = normalised(np.stack([draw.pixels(scene) for scene in scenes]))
        sizes = torch.tensor([[1, SIDE // 14, SIDE // 14]] * len(scenes))
        features = self.whole.model.get_image_features(patches(pixels), sizes).pooler_output
        texts = [self.ids(side.text) for side in sides]
        numbers = [place[side.scene] for side in sides if side.scene is not None]
        segments = None
        if self.segmentation is not None:
            with torch.no_grad():
                maps = self._maps(pixels)
            segments = self.segmentation.tokens([maps[number] for number in numbers], [asked(side) for side in sides])
        return self.language.read(texts, [features[number] for number in numbers], segments)

    def _maps(self, pixels: torch.Tensor) -> torch.Tensor:
        sam = self.sam[0]
        maps: torch.Tensor = sam.vision_encoder(square(pixels, FRAME)).fpn_hidden_states[-1]
        maps = maps + sam.no_memory_embedding.view(1, -1, 1, 1)
        return maps

    def ids(self, text: str) -> list[int]:
        """Token ids, an image's 16 in the place of its mark."""
        if text not in self._ids:
            ids = self.tokenizer(text.replace(IMAGE_MARK, IMAGE_TOKEN, 1))["input_ids"]
            if self.image_token in ids:
                at = ids.index(self.image_token)
                ids = [*ids[:at], *([self.image_token] * TOKENS), *ids[at + 1 :]]
            if len(self._ids) > 200_000:
                self._ids.clear()
            self._ids[text] = ids
        return self._ids[text]


def asked(side: Side) -> Prompt:
    """What SAM is asked about a side: its box, or the grid."""
    if side.box is None:
        return grid(POINTS_PER_SIDE, FRAME)
    return prompt_of(side.box, (SIDE, SIDE), "sam", FRAME)


def train(
    learner: Learner,
    make: Callable[[random.Random, float], list[Example]],
    evaluate: Callable[[Learner], dict[str, float]],
    minutes: float,
    seed: int,
    record: Record,
    *,
    rate: float = 1e-3,
    every: int = 100,
    steps: int | None = None,
) -> int:
    """Train for some minutes of wall time, or some steps.

    Args:
        learner: what is trained.
        make: the examples of a batch, from a source of chance and the share of the training that is over.
        evaluate: scores on scenes of other seeds.
        minutes: as long, where ``steps`` is not given.
        seed: of the examples.
        record: gets losses and scores.
        rate: greatest learning rate; it rises over 200 steps and falls to nothing.
        every: steps between evaluations.
        steps: as many, whatever time it takes.

    Returns:
        Steps that were done.
    """
    rng = random.Random(f"contrastive {seed}")
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    began, step = time.monotonic(), 0
    losses: list[float] = []
    while True:
        share = step / steps if steps is not None else (time.monotonic() - began) / (minutes * 60)
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * share))
        loss = contrast(learner, make(rng, share))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        step += 1
        if step % every == 0:
            record.add(step, loss=float(np.mean(losses)), **evaluate(learner))
            losses.clear()
    record.add(step, **evaluate(learner))
    return step


def contrast(learner: Learner, examples: Sequence[Example]) -> torch.Tensor:
    """InfoNCE of the queries against all distinct candidates of the batch."""
    sides = list(dict.fromkeys(side for example in examples for side in example.candidates))
    place = {side: number for number, side in enumerate(sides)}
    queries = vectors(learner, [example.query for example in examples])
    candidates = vectors(learner, sides)
    right = torch.tensor([place[example.candidates[0]] for example in examples])
    return torch.nn.functional.cross_entropy(queries @ candidates.T / TEMPERATURE, right)


def vectors(learner: Learner, sides: Sequence[Side]) -> torch.Tensor:
    """Vectors of sides with and without images."""
    rows: list[torch.Tensor] = [torch.empty(0)] * len(sides)
    for with_image in (False, True):
        places = [number for number, side in enumerate(sides) if (side.scene is not None) == with_image]
        if places:
            for number, row in zip(places, learner([sides[place] for place in places]), strict=True):
                rows[number] = row
    return torch.stack(rows)


@torch.inference_mode()
def parts(learner: Learner, examples: Sequence[Example]) -> dict[str, float]:
    """Precision@1 over all candidates of examples of SCaR's kind, and over each kind of distractor by itself."""
    learner.eval()
    hits: dict[str, list[bool]] = {"p1": [], "object": [], "place": [], "relation": []}
    kinds = {"p1": slice(0, 9), "object": slice(0, 3), "place": slice(3, 6), "relation": slice(6, 9)}
    for start in range(0, len(examples), 32):
        some = examples[start : start + 32]
        sides = list(dict.fromkeys(side for example in some for side in example.candidates))
        place = {side: number for number, side in enumerate(sides)}
        queries, candidates = vectors(learner, [example.query for example in some]), vectors(learner, sides)
        for query, example in zip(queries, some, strict=True):
            right, *wrong = (candidates[[place[side] for side in example.candidates]] @ query).tolist()
            for kind, chosen in kinds.items():
                hits[kind].append(right > max(wrong[chosen]))
    learner.train()
    return {kind: float(np.mean(found)) for kind, found in hits.items()}

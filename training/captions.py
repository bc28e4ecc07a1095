"""Qwen2-VL in front of its contrastive training: taught to say what is in a box, and where a thing is.

The released models started from a Qwen2-VL that had read images and boxes for months. A tiny one of random weights
learns from candidates that are right or wrong as a whole too slowly to look a thing up by the digits of its box. From
sentences it learns word by word: ``Referring object bbox: [12, 40, 43, 71] small red circle left of the blue ring on
the beach`` and ``the blue ring: [60, 41, 91, 72]``.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast, Qwen2VLForConditionalGeneration

from evalkit.miniature import draw
from evalkit.miniature.scenes import Scene, Thing, ambiguous
from evalkit.miniature.words import AT, caption, description, name
from training import naming
from training.pixels import normalised
from training.qwen import WEIGHTS, QwenTower
from training.record import Record

SENTENCES = 4  # a scene
ASKED = "Referring object bbox: ["  # as the protocol's prompts have it
_SKIPPED = -100  # what cross entropy passes over


def train(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    steps: int,
    seed: int,
    record: Record,
    *,
    batch: int = 16,
    rate: float = 2e-3,
) -> None:
    """Train in place.

    Args:
        model: whose vision tower has been trained.
        tokenizer: its vocabulary.
        steps: batches.
        seed: of the scenes.
        record: gets the loss of a word, and at the end that of scenes of another seed and the share of words that
            are right, one by one, each after the true ones.
        batch: scenes a step.
        rate: greatest learning rate; it rises over the first 100 steps and falls to nothing.
    """
    rng = random.Random(f"captions {seed}")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    model.train()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))
        loss, right = _step(model, tokenizer, rng, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            record.add(step, loss=loss.item(), right=right)
    model.eval()
    with torch.inference_mode():
        loss, right = _step(model, tokenizer, random.Random("captions evaluation"), 100)
    record.add(steps, held_out_loss=loss.item(), held_out_right=right)


def save(model: Qwen2VLForConditionalGeneration, folder: Path) -> None:
    """The weights, in float32; the head that predicts words is the embedding of words, and not kept twice."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}, folder / WEIGHTS)


def _step(model: Any, tokenizer: PreTrainedTokenizerFast, rng: random.Random, batch: int) -> tuple[torch.Tensor, float]:
    scenes = [_scene(rng) for _ in range(batch)]
    pixels = normalised(np.stack([draw.pixels(scene) for scene, _ in scenes]))
    seen = QwenTower(model.model).look(pixels).flatten(2).transpose(1, 2)
    written = [_written(tokenizer, scene, fifth, rng) for scene, fifth in scenes]
    longest = max(len(ids) for ids, _ in written)
    ids = torch.tensor([own + [0] * (longest - len(own)) for own, _ in written])
    wanted = torch.tensor([own + [_SKIPPED] * (longest - len(own)) for _, own in written])
    embedded = torch.cat([seen, model.model.language_model.embed_tokens(ids)], dim=1)
    places = torch.arange(embedded.shape[1]).expand(3, batch, -1)
    states = model.model.language_model(
        inputs_embeds=embedded, position_ids=places, attention_mask=None, use_cache=False
    ).last_hidden_state[:, seen.shape[1] - 1 : -1]  # each predicts the word after it
    told = wanted != _SKIPPED
    scores = model.lm_head(states[told])
    loss = torch.nn.functional.cross_entropy(scores, wanted[told])
    return loss, float((scores.argmax(-1) == wanted[told]).float().mean())


def _scene(rng: random.Random) -> tuple[Scene, Thing | None]:
    """Half of them are like those of the questions about regions: four things on one side of a fifth, which is told."""
    if rng.random() < 0.5:
        return ambiguous(rng, more=rng.choice((0, 2, 4)))[:2]
    return naming.a_scene(rng), None


def _written(
    tokenizer: PreTrainedTokenizerFast, scene: Scene, fifth: Thing | None, rng: random.Random
) -> tuple[list[int], list[int]]:
    """Tokens of some sentences about a scene, and what is to be predicted: not what only chance knows."""
    parts = [(f" {AT[scene.place]}\n", True)]
    for _ in range(SENTENCES):
        thing, other = rng.sample(scene.things, 2)
        box = str(list(thing.box)).removeprefix("[")
        called = rng.choice((name, description))(thing)
        if rng.random() < 0.25:
            parts += [(f"the {name(thing)}: [", False), (f"{box}\n", True)]
        elif fifth is not None and thing in scene.things[:4]:
            said = str(caption(scene, thing, fifth)).removeprefix(name(thing))
            parts += [(f"{ASKED}{box}", False), (f" {called}{said}\n", True)]
        else:
            parts += [(f"{ASKED}{box}", False), (f" {called}", True), (f" and the {name(other)}:", False)]
            parts += [(f" {thing.is_from(other)}\n", True)]
    ids: list[int] = []
    wanted: list[int] = []
    for text, told in parts:
        own: list[int] = tokenizer(text)["input_ids"]
        ids += own
        wanted += own if told else [_SKIPPED] * len(own)
    return ids, wanted

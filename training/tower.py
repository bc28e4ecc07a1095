"""A vision tower that names the things of drawn scenes, each from the places where it is seen, and where each place is.

It is what the contrastive training starts from, as that of the released models starts from a tower that has seen a
great many images. Where a feature is in the image has to be learned, too: Qwen2-VL's tower knows how far apart two
places are, and not where they are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from evalkit.miniature import draw
from evalkit.miniature.scenes import PLACES, SIDE, Scene
from training import naming
from training.pixels import normalised
from training.record import Record

WEIGHTS = "tower.safetensors"


class Tower(Protocol):
    """A vision tower of a learner."""

    module: torch.nn.Module
    width: int

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels of shape ``(n, 3, side, side)`` to features of shape ``(n, width, rows, columns)``."""
        ...


def train(
    make: Callable[[], Tower], steps: int, seed: int, record: Record, *, batch: int = 16, rate: float = 2.5e-3
) -> Tower:
    """Train a tower.

    Args:
        make: gives one of random weights.
        steps: batches.
        seed: of weights and scenes.
        record: gets the losses, the share of things whose colour and kind are both right, and that of features whose
            row and column are; at the end those of scenes of another seed.
        batch: scenes a step.
        rate: greatest learning rate; it rises over the first 100 steps and falls to nothing.
    """
    torch.manual_seed(seed)
    tower = make()
    for part in tower.module.modules():  # transformers' own beginning is small, and takes a tiny model long to leave
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv3d):
            part.reset_parameters()
    rng = random.Random(f"tower {seed}")
    heads = Heads(tower)
    weights = [*tower.module.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    tower.module.train()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))
        loss, scores = _step(tower, heads, [naming.a_scene(rng) for _ in range(batch)])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 100 == 0:
            record.add(step, loss=loss.item(), **scores)
    tower.module.eval()
    other = random.Random("tower evaluation")
    with torch.inference_mode():
        loss, scores = _step(tower, heads, [naming.a_scene(other) for _ in range(100)])
    record.add(steps, loss=loss.item(), **{f"held_out_{name}": score for name, score in scores.items()})
    return tower


class Heads(torch.nn.Module):
    """What is read from the features; thrown away after the training.

    Args:
        tower: whose features.
    """

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.side = tower.look(torch.zeros(1, 3, SIDE, SIDE)).shape[-1]
        self.names = naming.head(tower.width)
        self.scene = torch.nn.Linear(tower.width, len(PLACES))
        self.row, self.column = (torch.nn.Linear(tower.width, self.side) for _ in range(2))


def _step(tower: Tower, heads: Heads, scenes: list[Scene]) -> tuple[torch.Tensor, dict[str, float]]:
    features = tower.look(normalised(np.stack([draw.pixels(scene) for scene in scenes])))
    things = [(number, thing) for number, scene in enumerate(scenes) for thing in scene.things]
    seen = torch.from_numpy(np.stack([draw.visible(scenes[number], thing) for number, thing in things])).float()
    own = naming.where(features[torch.tensor([number for number, _ in things])], seen)
    loss, named = naming.named(heads.names(own), [thing for _, thing in things])
    wanted = torch.tensor([PLACES.index(scene.place) for scene in scenes])
    loss = loss + torch.nn.functional.cross_entropy(heads.scene(features.mean((-1, -2))), wanted) / 4
    each = features.permute(0, 2, 3, 1)
    rows = torch.arange(heads.side)[:, None].expand(len(scenes), heads.side, heads.side)
    found = [heads.row(each).movedim(-1, 1), heads.column(each).movedim(-1, 1)]
    true = [rows, rows.transpose(1, 2)]
    loss = loss + sum(torch.nn.functional.cross_entropy(*pair) for pair in zip(found, true, strict=True)) / 4
    placed = torch.stack([scores.argmax(1) == wanted for scores, wanted in zip(found, true, strict=True)]).all(0)
    return loss, {"named": named, "placed": float(placed.float().mean())}


def save(tower: Tower, folder: Path) -> None:
    """The weights, in float32."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tower.module.state_dict(), folder / WEIGHTS)


def load(tower: Tower, folder: Path) -> None:
    """Weights of :func:`save`."""
    from safetensors.torch import load_file

    tower.module.load_state_dict(load_file(folder / WEIGHTS))

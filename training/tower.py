"""A vision tower that names the things of drawn scenes, each from the places where it is seen, and their place.

It is what the contrastive training starts from, as that of the released models starts from a tower that has seen a
great many images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from evalkit.miniature import draw
from evalkit.miniature.scenes import PLACES, Scene
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
        record: gets the losses and the shares of things whose colour and kind are both right, of scenes of another
            seed at the end.
        batch: scenes a step.
        rate: greatest learning rate; it rises over the first 100 steps and falls to nothing.
    """
    torch.manual_seed(seed)
    tower = make()
    for part in tower.module.modules():  # transformers' own beginning is small, and takes a tiny model long to leave
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Conv3d):
            part.reset_parameters()
    rng = random.Random(f"tower {seed}")
    heads, place = naming.head(tower.width), torch.nn.Linear(tower.width, len(PLACES))
    weights = [*tower.module.parameters(), *heads.parameters(), *place.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    tower.module.train()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))
        loss, right = _step(tower, heads, place, [naming.a_scene(rng) for _ in range(batch)])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 100 == 0:
            record.add(step, loss=loss.item(), named=right)
    tower.module.eval()
    other = random.Random("tower evaluation")
    with torch.inference_mode():
        loss, right = _step(tower, heads, place, [naming.a_scene(other) for _ in range(100)])
    record.add(steps, held_out_loss=loss.item(), held_out_named=right)
    return tower


def _step(tower: Tower, heads: Any, place: Any, scenes: list[Scene]) -> tuple[torch.Tensor, float]:
    features = tower.look(normalised(np.stack([draw.pixels(scene) for scene in scenes])))
    things = [(number, thing) for number, scene in enumerate(scenes) for thing in scene.things]
    seen = torch.from_numpy(np.stack([draw.visible(scenes[number], thing) for number, thing in things])).float()
    own = naming.where(features[torch.tensor([number for number, _ in things])], seen)
    loss, right = naming.named(heads(own), [thing for _, thing in things])
    wanted = torch.tensor([PLACES.index(scene.place) for scene in scenes])
    return loss + torch.nn.functional.cross_entropy(place(features.mean((-1, -2))), wanted) / 4, right


def save(tower: Tower, folder: Path) -> None:
    """The weights, in float32."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tower.module.state_dict(), folder / WEIGHTS)


def load(tower: Tower, folder: Path) -> None:
    """Weights of :func:`save`."""
    from safetensors.torch import load_file

    tower.module.load_state_dict(load_file(folder / WEIGHTS))

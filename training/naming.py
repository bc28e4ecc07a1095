"""Naming the things of drawn scenes: what SAM 2 and the vision towers learn beside or before their own task.

The models that the tiny ones stand for saw images and their texts by the million. Some thousand flat scenes do not
teach a tiny one what a heart is by a contrast of whole captions; being told each thing's name does. The heads that
say the names are thrown away.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from evalkit.miniature.scenes import COLOURS, KINDS, SIZES, TEXTURES, Scene, Thing, nested, scene

ATTRIBUTES = {"colour": COLOURS, "kind": KINDS, "texture": TEXTURES, "size": SIZES}


def a_scene(rng: random.Random) -> Scene:
    """One in four has things that lie on others, the rest have up to as many things as there are cells."""
    return nested(rng)[0] if rng.random() < 0.25 else scene(rng, rng.randint(2, 9))


def head(width: int) -> torch.nn.Linear:
    """From features of some width to scores of all words of :data:`ATTRIBUTES`."""
    return torch.nn.Linear(width, sum(map(len, ATTRIBUTES.values())))


def where(features: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """The mean of a map over the places of a thing.

    Args:
        features: shape ``(things, channels, rows, columns)``.
        seen: the things' masks, shape ``(things, height, width)``.

    Returns:
        Shape ``(things, channels)``.
    """
    share = torch.nn.functional.interpolate(seen[:, None], features.shape[-2:], mode="area")
    return (features * share).sum((-1, -2)) / share.sum((-1, -2)).clamp(min=1e-3)


def named(scores: torch.Tensor, things: Sequence[Thing]) -> tuple[torch.Tensor, float]:
    """The loss of naming things, and the share of them whose colour and kind are both right.

    Args:
        scores: of :func:`head`, shape ``(things, words)``.
        things: what is there.
    """
    parts = torch.split(scores, [len(words) for words in ATTRIBUTES.values()], dim=-1)
    loss, right = torch.zeros(()), torch.ones(len(things), dtype=torch.bool)
    for (attribute, words), part in zip(ATTRIBUTES.items(), parts, strict=True):
        # -100, which cross entropy passes over: a thing that lies on another is of a size that has no name.
        numbers = {word: number for number, word in enumerate(words)}
        wanted = torch.tensor([numbers.get(getattr(thing, attribute), -100) for thing in things])
        loss = loss + torch.nn.functional.cross_entropy(part, wanted) / len(ATTRIBUTES)
        if attribute in ("colour", "kind"):
            right &= part.argmax(-1) == wanted
    return loss, float(right.float().mean())

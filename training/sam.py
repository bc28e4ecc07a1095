"""A tiny SAM 2, trained on promptable segmentation of drawn scenes, whose masks are known.

A thing is asked about by a box, a point, several points or a rough mask; the mask decoder has to give its mask, as
for SAM 2. Beside it, colour, kind, texture and size of the thing have to be read from the image side of the two-way
transformer, which is what VIRTUE takes, where the thing is and from all of it: SAM 2 learned such features from a
billion masks, a tiny model from some thousand flat shapes does not.
"""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam2Config, Sam2Model
from transformers.models.sam2 import Sam2HieraDetConfig, Sam2MaskDecoderConfig, Sam2PromptEncoderConfig
from transformers.models.sam2.configuration_sam2 import Sam2VisionConfig

from evalkit.miniature import draw
from evalkit.miniature.scenes import SIDE, Scene, Thing
from training import naming
from training.pixels import normalised, square
from training.record import Record

FRAME = 192  # side of SAM's square: 12 x 12 places in its map, 3 x 3 tokens for the language model
WIDTH = 64
PROMPTS = 4  # a scene
Asked = tuple[list[tuple[float, float]], list[int]]


def model() -> Sam2Model:
    """A tiny SAM 2 of random weights."""
    backbone = Sam2HieraDetConfig(
        hidden_size=24,
        num_attention_heads=1,
        image_size=[FRAME, FRAME],
        window_positional_embedding_background_size=[6, 6],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[24, 48, 96, 192],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 12, 6],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[192, 96, 48, 24],
        backbone_feature_sizes=[[FRAME // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=WIDTH,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=WIDTH, image_size=FRAME),
        mask_decoder_config=Sam2MaskDecoderConfig(hidden_size=WIDTH, mlp_dim=256, num_attention_heads=4),
    )
    made = Sam2Model(config)
    # transformers keeps the matrix that places are encoded by twice; points and image must speak of places alike.
    made.prompt_encoder.shared_embedding.positional_embedding = made.shared_image_embedding.positional_embedding
    for module in made.modules():  # its own beginning, all weights near nothing, takes a tiny model long to leave
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.reset_parameters()
    return made


def train(steps: int, seed: int, record: Record, *, batch: int = 12) -> Sam2Model:
    """Train for some steps.

    Args:
        steps: batches.
        seed: of weights and scenes.
        record: gets the losses and the evaluations.
        batch: scenes a step.
    """
    torch.manual_seed(seed)
    rng = random.Random(f"sam {seed}")
    sam = model().train()
    heads = naming.head(WIDTH)
    weights = [*sam.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.01)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))
        loss, scores = _step(sam, heads, rng, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 50 == 0:
            record.add(step, loss=loss.item(), **scores)
    sam.eval()
    record.add(steps, **evaluate(sam))
    return sam


def _step(sam: Any, heads: torch.nn.Linear, rng: random.Random, batch: int) -> tuple[torch.Tensor, dict[str, float]]:
    scenes = [naming.a_scene(rng) for _ in range(batch)]
    chosen = [[rng.choice(one.things) for _ in range(PROMPTS)] for one in scenes]
    kind = rng.choice(("box", "box", "point", "points", "mask"))
    logits, fused, wanted = masks(sam, scenes, chosen, kind, rng)
    small = torch.nn.functional.interpolate(wanted, logits.shape[-2:], mode="area")
    cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, small)
    shown = logits.sigmoid()
    dice = 1 - (2 * (shown * small).sum((-1, -2)) + 1) / (shown.sum((-1, -2)) + small.sum((-1, -2)) + 1)
    flat = [thing for things in chosen for thing in things]
    # From the thing's own places, and from all places together: the one comes soon, the other has to be carried.
    near, seen = naming.named(heads(naming.where(fused, wanted.flatten(0, 1))), flat)
    far, right = naming.named(heads(fused.mean((-1, -2))), flat)
    named = near + far
    scores = {"iou": float(_overlap(logits, small).mean()), "seen": seen, "carried": right}
    return 5 * cross + dice.mean() + named, scores


def masks(
    sam: Any, scenes: list[Scene], things: list[list[Thing]], kind: str, rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """SAM's forward, in pieces because its own keeps no gradient.

    Returns:
        Logits of masks, shape ``(scenes, things, 48, 48)``; the image side of the two-way transformer, shape
        ``(scenes * things, channels, 12, 12)``; the true masks, shape ``(scenes, things, SIDE, SIDE)``.
    """
    pairs = zip(scenes, things, strict=True)
    true = np.stack([[draw.visible(scene, thing) for thing in row] for scene, row in pairs])
    pixels = normalised(np.stack([draw.pixels(scene) for scene in scenes]))
    sides: list[torch.Tensor] = []
    hook = sam.mask_decoder.transformer.register_forward_hook(lambda *call: sides.append(call[2][1]))
    try:
        logits = _masks(sam, pixels, things, true, kind, rng)
    finally:
        hook.remove()
    fused = sides[0].flatten(0, 1).transpose(1, 2)
    return logits, fused.reshape(*fused.shape[:2], FRAME // 16, FRAME // 16), torch.from_numpy(true).float()


def _masks(
    sam: Any,
    pixels: torch.Tensor,
    things: list[list[Thing]],
    true: NDArray[np.bool_],
    kind: str,
    rng: random.Random,
) -> torch.Tensor:
    images = sam.vision_encoder(square(pixels, FRAME)).fpn_hidden_states
    fine = [sam.mask_decoder.conv_s0(images[0]), sam.mask_decoder.conv_s1(images[1])]
    embedded = images[2] + sam.no_memory_embedding.view(1, -1, 1, 1)
    count = len(things[0])
    if kind == "mask":
        rough = torch.from_numpy(true).float()
        small = torch.nn.functional.interpolate(rough, (FRAME // 4, FRAME // 4), mode="area")
        dense = sam.prompt_encoder.mask_embed((20 * small - 10).flatten(0, 1)[:, None])
        empty = sam.prompt_encoder.not_a_point_embed.weight.expand(len(things) * count, 1, 2, -1)
        embedded, fine = embedded.repeat_interleave(count, 0), [part.repeat_interleave(count, 0) for part in fine]
        out = _decoded(sam, embedded, fine, empty, dense)
        return out.reshape(len(things), count, *out.shape[-2:])
    asked = [[prompt(*one, kind, rng) for one in zip(*row, strict=True)] for row in zip(things, true, strict=True)]
    points = torch.tensor([[one[0] for one in row] for row in asked])
    labels = torch.tensor([[one[1] for one in row] for row in asked])
    sparse, dense = sam.prompt_encoder(points, labels, None, None)
    return _decoded(sam, embedded, fine, sparse, dense)


def _decoded(
    sam: Any, embedded: torch.Tensor, fine: list[torch.Tensor], sparse: torch.Tensor, dense: torch.Tensor
) -> torch.Tensor:
    places = sam.get_image_wide_positional_embeddings().repeat(len(embedded), 1, 1, 1)
    logits: torch.Tensor = sam.mask_decoder(embedded, places, sparse, dense, False, fine)[0][:, :, 0]
    return logits


def prompt(thing: Thing, seen: NDArray[np.bool_], kind: str, rng: random.Random) -> Asked:
    """Points and labels in SAM's frame that ask about a thing, by its box or by pixels where it is seen."""
    scale = FRAME / SIDE
    x0, y0, x1, y1 = thing.box
    if kind == "box":
        near = [rng.uniform(-2, 2) for _ in range(4)]
        return (
            [((x0 + near[0]) * scale, (y0 + near[1]) * scale), ((x1 + near[2]) * scale, (y1 + near[3]) * scale)],
            [2, 3],
        )
    inside = np.argwhere(seen)
    picked = [inside[rng.randrange(len(inside))] for _ in range(1 if kind == "point" else 3)]
    return ([(float(x) * scale, float(y) * scale) for y, x in picked], [1] * len(picked))


@torch.inference_mode()
def evaluate(sam: Any, seed: str = "sam evaluation", count: int = 40) -> dict[str, float]:
    """Mean intersection over union on scenes of another seed, for each kind of prompt."""
    found = {}
    for kind in ("box", "point", "points", "mask"):
        rng = random.Random(f"{seed} {kind}")
        scenes = [naming.a_scene(rng) for _ in range(count)]
        things = [[rng.choice(one.things) for _ in range(PROMPTS)] for one in scenes]
        logits, _, wanted = masks(sam, scenes, things, kind, rng)
        small = torch.nn.functional.interpolate(wanted, logits.shape[-2:], mode="area")
        found[f"iou_{kind}"] = float(_overlap(logits, small).mean())
    return found


def _overlap(logits: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
    shown, wanted = logits > 0, small > 0.5
    both, either = (shown & wanted).sum((-1, -2)), (shown | wanted).sum((-1, -2))
    return both / either.clamp(min=1)


def save(sam: Sam2Model, folder: Path) -> None:
    """In Hugging Face's layout, float16."""
    copy.deepcopy(sam).half().save_pretrained(folder)

"""Contrastive training as the paper has it.

InfoNCE of each query over the candidates of the whole batch, among them the wrong ones of its own pool (for SCaR's
kind nine hard ones); temperature 0.03.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch

from training.plan import Plan
from training.questions import WITH_REGION, Batches, Question
from training.record import Record

TEMPERATURE = 0.03


def train(
    learner: torch.nn.Module,
    found: Sequence[Question],
    held_out: Sequence[Question],
    plan: Plan,
    seed: int,
    record: Record,
    *,
    every: int = 400,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Train.

    Args:
        learner: what is trained: from a sequence of items to vectors of length 1.
        found: what is asked.
        held_out: what the curve is measured on.
        plan: how long and how fast.
        seed: of the order of the questions.
        record: gets losses and scores.
        every: steps between evaluations; there is one at the end, too.
        keep: called after each evaluation.
    """
    source = Batches(found, random.Random(f"contrastive {seed}"))
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=0.02, betas=(0.9, 0.98))
    losses: list[float] = []
    learner.train()
    for step in range(plan.steps):
        falling = 0.5 + 0.5 * math.cos(math.pi * step / plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / plan.warm) * falling
        loss = contrast(learner, source.take(early=step < plan.early * plan.steps))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        done = step + 1
        if done % every == 0 or done == plan.steps:
            record.add(done, loss=float(np.mean(losses)), **scores(learner, held_out))
            losses.clear()
            keep()


def contrast(learner: torch.nn.Module, asked: Sequence[Question]) -> torch.Tensor:
    """InfoNCE of the queries against all distinct candidates of the batch."""
    candidates = list(dict.fromkeys(item for each in asked for item in each.candidates))
    place = {item: number for number, item in enumerate(candidates)}
    vectors = learner([*(each.query for each in asked), *candidates])
    queries, others = vectors[: len(asked)], vectors[len(asked) :]
    right = torch.tensor([place[each.candidates[0]] for each in asked])
    return torch.nn.functional.cross_entropy(queries @ others.T / TEMPERATURE, right)


@torch.inference_mode()
def scores(learner: torch.nn.Module, asked: Sequence[Question], batch: int = 64) -> dict[str, float]:
    """Precision@1 of each meta-task, and of each kind of wrong caption by itself; of equals none is right."""
    learner.eval()
    items = list(dict.fromkeys(item for each in asked for item in (each.query, *each.candidates)))
    vectors = dict(
        pair
        for start in range(0, len(items), batch)
        for pair in zip(items[start : start + batch], learner(items[start : start + batch]), strict=True)
    )
    hits: dict[str, list[bool]] = {}
    for each in asked:
        right, *wrong = (torch.stack([vectors[item] for item in each.candidates]) @ vectors[each.query]).tolist()
        hits.setdefault(each.card.meta_task, []).append(right > max(wrong))
        if each.card.meta_task == WITH_REGION:
            for kind in dict.fromkeys(each.kinds[1:]):
                own = [score for score, other in zip(wrong, each.kinds[1:], strict=True) if other == kind]
                hits.setdefault(kind, []).append(right > max(own))
    learner.train()
    return {kind: float(np.mean(found)) for kind, found in hits.items()}

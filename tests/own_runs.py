"""Real runs of people's own tasks: drawn colours, made into tasks as a stranger would, and answered by small models."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from evalkit.embedders.modeltext import parse_model
from evalkit.evaluate import Job, evaluate_all
from evalkit.example.palette import PALETTE
from evalkit.runs.manifest import Settings
from evalkit.suites.card import TaskCard
from evalkit.suites.task import DataFolder, Task

MODELS = ("example-colours", "random", "constant")
COLOURS = list(PALETTE)


def own_task(name: str = "my-task", queries: int = 24, *, seed: int = 0, noise: float = 0.0, **facts: Any) -> Task:
    """Which word names the colour of a drawn image: a share of the labels is wrong, and the images are of a seed.

    ``facts`` are the card's, which may say what a stranger's would.
    """
    draw = random.Random(f"{name} {seed}")
    rows = []
    for number in range(queries):
        colour, label = draw.choice(COLOURS), draw.choice(COLOURS)
        image = Image.new("RGB", (8, 8), PALETTE[colour])
        image.putpixel((number % 8, number // 8 % 8), (7, 7, 7 + seed % 200))
        rows.append({"id": f"q{number}", "image": image, "label": label if draw.random() < noise else colour})
    made = Task.from_rows(rows, name=name, candidates=COLOURS, instruction="Name its colour.")
    return replace(made, card=made.card.model_copy(update=facts))


def evaluated(
    runs: Path,
    tasks: Sequence[Task | TaskCard],
    models: Iterable[str] = MODELS,
    *,
    data: Path | None = None,
    **settings: Any,
) -> list[Path]:
    """The folders of real runs of these tasks."""
    jobs = [Job(parse_model(model), Settings(**settings)) for model in models]
    folder = None if data is None else DataFolder.at(data)
    done = []
    for outcome in evaluate_all(jobs, tasks, folder, runs):
        if isinstance(outcome, Exception):
            raise outcome
        done.append(outcome.folder)
    return done

"""Runs on disk with scores of the tests' own, for boards that are made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.results import (
    Environment,
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    Settings,
    TaskResult,
    averages,
    json_bytes,
)
from evalkit.stats import wilson
from evalkit.task import all_cards

CARDS = {card.name: card for card in all_cards()}
EXAMPLE = [card.name for card in all_cards() if card.suite == "example"]
MMEB = [card.name for card in all_cards() if card.suite == "mmeb"]
SCAR = [card.name for card in all_cards() if card.suite == "scar"]
REGIONS = "visual-interactive"

Run = tuple[Path, Manifest]


def coins(task: str, chance: float, seed: int = 0, *, ties: bool = False) -> np.ndarray:
    """Scores of as many queries as the card has: right with a chance, and with ties a tenth of them half right."""
    draw = np.random.default_rng([seed, *task.encode()])
    scores = (draw.random(CARDS[task].queries) < chance).astype(np.float64)
    if ties:
        scores[draw.random(len(scores)) < 0.1] = 0.5
    return scores


def ids_of(task: str, n: int) -> list[str]:
    return [f"{task}-{number}" for number in range(n)]


def result(task: str, scores: Sequence[float] | np.ndarray | str, *, chance: float = 0.1, **changes) -> TaskResult:
    """Of scores, or of a word for why there are none."""
    card = CARDS[task]
    facts = {
        "task": task,
        "task_version": card.version,
        "suite": card.suite,
        "meta_task": card.meta_task,
        "distribution": card.distribution,
        "prompting": "native" if card.meta_task == REGIONS else None,
    }
    if isinstance(scores, str):
        error = Failure(type="DataError", message=scores)
        return TaskResult(**(facts | {"status": "failed", "complete": False, "error": error} | changes))
    values = [float(score) for score in scores]
    mean = math.fsum(values) / len(values)
    low, high = wilson(mean, len(values))
    p1 = MetricResult(
        value=mean,
        optimistic=math.fsum(math.ceil(value) for value in values) / len(values),
        pessimistic=math.fsum(math.floor(value) for value in values) / len(values),
        chance=chance,
        n=len(values),
        n_ties=sum(0 < value < 1 for value in values),
        low=min(low, mean),
        high=max(high, mean),
        interval="wilson",
    )
    facts |= {
        "status": "done",
        "complete": len(values) == card.queries,
        "n_queries": len(values),
        "metrics": {"precision_at_1": p1},
        "signature": f"task:{task}@{card.version}",
        "samples": f"samples/{task}.parquet",
    }
    return TaskResult(**(facts | changes))


def manifest(
    name: str, results: Sequence[TaskResult], *, family: str = "clip", digit: str = "0", **changes
) -> Manifest:
    facts = {
        "run_id": digit * 12,
        "status": "done",
        "evalkit_version": "0.1.0",
        "model": ModelRecord(
            name=name,
            family=family,
            revision=None,
            fingerprint=digit * 64,
            dimension=8,
            modalities=("text",),
            regions=(),
            options={},
        ),
        "settings": Settings(),
        "environment": Environment(python="3.11.7", system="Linux x86_64", device="cpu", packages={}),
        "tasks": tuple(results),
        "averages": averages(results),
    }
    return Manifest(**(facts | changes))


def write_samples(folder: Path, of: TaskResult, scores: Sequence[float], ids: Sequence[str] | None = None) -> Path:
    """The two columns that boards read, with the signature that the result has."""
    table = pa.table({"id": list(ids or ids_of(of.task, len(scores))), "score": pa.array(scores, pa.float64())})
    path = folder / f"samples/{of.task}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"evalkit.signature": of.signature or ""}), path)
    return path


def save(
    runs: Path,
    name: str,
    scores: Mapping[str, Sequence[float] | np.ndarray | str],
    *,
    samples: bool = True,
    folder: str = "",
    order: np.random.Generator | None = None,
    **facts,
) -> Run:
    """A run on disk.

    Args:
        runs: folder of runs.
        name: of the model.
        scores: by task; a word for a task that failed.
        samples: whether there are per-query files.
        folder: of the model's runs, where its name cannot be one.
        order: shuffles the rows of the files.
        facts: of the manifest.
    """
    made = manifest(name, [result(task, own) for task, own in scores.items()], **facts)
    place = runs / (folder or name) / made.run_id
    place.mkdir(parents=True)
    (place / "run.json").write_bytes(json_bytes(made.model_dump(mode="json", by_alias=True)))
    for one in made.tasks:
        if samples and one.status == "done":
            own, ids = np.asarray(scores[one.task], dtype=float), ids_of(one.task, len(scores[one.task]))
            rows = order.permutation(len(own)) if order is not None else np.arange(len(own))
            write_samples(place, one, own[rows], [ids[row] for row in rows])
    return place, made

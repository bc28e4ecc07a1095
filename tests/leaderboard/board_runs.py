"""Runs on disk with scores of the tests' own, for boards that are made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.files import json_bytes
from evalkit.runs.manifest import (
    Environment,
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    Settings,
    TaskResult,
    averages,
)
from evalkit.scoring.stats import wilson
from evalkit.suites.selecting import all_cards

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
        "signature": signature_of(f"{task}@{card.version}", len(values), changes.get("prompting", facts["prompting"])),
        "samples": f"samples/{task}.parquet",
    }
    return TaskResult(**(facts | changes))


def signature_of(task: str, n: int, prompting: str | None = None) -> str:
    """All that a signature says of what was asked."""
    asked = "data:0|prompts:0|pool:0|metric:p@1|exif:apply|dedup:content"
    return f"task:{task}|n:{n}|{asked}|prompting:{prompting or '-'}"


def columns_of(scores: Sequence[float], chance: float = 0.1) -> dict[str, pa.Array]:
    """Columns of a per-query file that give these scores, and this chance: each has one right candidate."""
    ties = [round(1 / score) - 1 if score and 0 < score <= 1 else 0 for score in scores]
    right = [bool(score and 0 < score <= 1) for score in scores]
    tops = [[0.5] * min(5, tie + 1) if hit else [0.9, 0.5] for tie, hit in zip(ties, right, strict=True)]
    margins = [-0.4 if not hit else 0.0 if tie else 0.4 for tie, hit in zip(ties, right, strict=True)]
    tops = [top if (hit and tie) or not hit else [0.5, 0.1] for top, tie, hit in zip(tops, ties, right, strict=True)]
    ones = [1] * len(scores)
    return {
        "score": pa.array(scores, pa.float64()),
        "rank": pa.array([1 if hit else 2 for hit in right], pa.int32()),
        "ties": pa.array(ties, pa.int32()),
        "right": pa.array(ones, pa.int32()),
        "relevant": pa.array(ones, pa.int32()),
        "pool": pa.array([round(1 / chance)] * len(scores), pa.int32()),
        "label_score": pa.array([0.5] * len(scores), pa.float64()),
        "margin": pa.array(margins, pa.float64()),
        "top_scores": pa.array(tops, pa.list_(pa.float64())),
    }


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
    """What every version has written, with the signature and the chance that the result has."""
    chance = of.metrics["precision_at_1"].chance if of.metrics else 0.1
    table = pa.table({"id": list(ids or ids_of(of.task, len(scores))), **columns_of(list(scores), chance)})
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

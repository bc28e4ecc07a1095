"""Sides of comparisons, made in memory and on disk, for several test files."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.regression.comparand import Comparand, Number
from evalkit.runs.manifest import TaskResult, averages
from evalkit.runs.samples import Samples, clusters_of, where_shared
from evalkit.scoring.metrics import METRICS, measure
from evalkit.scoring.ranking import Ranking
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import select_tasks

LINE = (
    "task:{task}@1|n:{n}|data:d1|prompts:p1|pool:shared-10-x|metric:m|embedder:{model}|prompting:-|exif:apply|"
    "dedup:content"
)

Scores = NDArray[np.float64]


def scores(n: int, right: float = 0.6, seed: int = 0) -> Scores:
    """Scores of 0 and 1."""
    return (np.random.default_rng(seed).random(n) < right).astype(np.float64)


def changed(base: Scores, lost: int, won: int = 0) -> Scores:
    """The scores with so many right queries lost and wrong ones won."""
    new = base.copy()
    new[np.flatnonzero(base == 1)[:lost]] = 0
    new[np.flatnonzero(base == 0)[:won]] = 1
    return new


def number(name: str, found: Scores | float | None, clusters: Sequence[int] | None = None, **changes: Any) -> Number:
    """A task's number: of scores, without samples, or failed."""
    [card] = select_tasks([name])
    value = None if found is None else float(np.mean(found))
    samples = None
    if isinstance(found, np.ndarray):
        ids = [f"q{place}" for place in range(len(found))]
        samples = Samples(ids, found, np.arange(len(found)) if clusters is None else np.array(clusters))
    line = LINE.format(task=name, n=0 if samples is None else len(samples.ids), model="m")
    facts: dict[str, Any] = {"value": value, "signature": line, "samples": samples}
    facts |= {"failure": "it broke", "signature": None} if found is None else {}
    return Number(card.name, card.suite, card.meta_task, card.distribution, **facts | changes)


def side(
    numbers: Mapping[str, Scores | float | None] | Sequence[Number], name: str = "model", **changes: Any
) -> Comparand:
    """A side of these numbers."""
    found = [number(task, one) for task, one in numbers.items()] if isinstance(numbers, Mapping) else numbers
    facts: dict[str, Any] = {"path": Path(name), "kind": "run", "model": name, "facts": {"model": name}}
    return Comparand(numbers={one.task: one for one in found}, **facts | changes)


def whole(drops: Mapping[str, int] | None = None, n: int = 200) -> tuple[Comparand, Comparand]:
    """All 41 tasks, equal but for so many lost queries of some."""
    cards: tuple[TaskCard, ...] = select_tasks(["all"])
    base = {card.name: scores(n, seed=place) for place, card in enumerate(cards)}
    new = {name: changed(one, (drops or {}).get(name, 0)) for name, one in base.items()}
    return side(base, "base"), side(new, "new")


def copied(run: Path, to: Path) -> Path:
    """A copy of the one run at or below a path."""
    [file] = [run / "run.json"] if (run / "run.json").exists() else run.glob("**/run.json")
    return Path(shutil.copytree(file.parent, to))


def edited(run: Path, task: str, change: Any) -> None:
    """Change a task's samples (a table to a table), and all that the manifest says of them, as a run would."""
    path = run / f"samples/{task}.parquet"
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    data = json.loads((run / "run.json").read_text())
    for result in data["tasks"]:
        if result["task"] == task:
            result["metrics"] = measured(table)
            result["n_queries"] = table.num_rows
    results = [TaskResult.model_validate(result) for result in data["tasks"]]
    data["averages"] = [average.model_dump(mode="json") for average in averages(results)]
    (run / "run.json").write_text(json.dumps(data))


def measured(table: pa.Table) -> dict[str, Any]:
    """The metrics of a table of samples, as ``run.json`` has them."""
    counts = {name: table[name].to_numpy().astype(np.int64) for name in ("ties", "right", "relevant", "pool")}
    numbers = {name: np.array(table[name].to_pylist(), dtype=np.float64) for name in ("label_score", "margin")}
    ranking = Ranking(
        above=table["rank"].to_numpy().astype(np.int64) - 1,
        tied=counts.pop("ties"),
        top=[],
        top_scores=[],
        **counts,
        **numbers,
    )
    images = where_shared(clusters_of(table["image"].to_pylist())) if "image" in table.column_names else None
    found = (measure(metric, ranking, images=images) for metric in METRICS.values())
    return {one.metric: {k: v for k, v in dataclasses.asdict(one).items() if k != "metric"} for one in found}


def with_scores(found: Sequence[float]) -> Any:
    """A change of :func:`edited`: other scores, of right candidates that come first, second, or tie for the first."""

    def change(table: pa.Table) -> pa.Table:
        n = len(found)
        first = np.array(found) > 0
        right = table["label"].to_pylist()
        chosen = [next((name for name in top if name != label), label) for top, label in _tops(table)]
        columns = {
            "score": pa.array(found, pa.float64()),
            "rank": pa.array(np.where(first, 1, 2), pa.int32()),
            "ties": pa.array([round(1 / score) - 1 if score else 0 for score in found], pa.int32()),
            "right": pa.array([1] * n, pa.int32()),
            "label_score": pa.array([0.5] * n, pa.float64()),
            "margin": pa.array([0.25 if s == 1 else 0.0 if s else -0.25 for s in found], pa.float64()),
            "top": pa.array([[r, c] if f else [c, r] for r, c, f in zip(right, chosen, first, strict=True)]),
            "top_scores": pa.array([[0.5, 0.25] if s == 1 else [0.5, 0.5] if s else [0.75, 0.5] for s in found]),
        }
        for name, column in columns.items():
            table = table.set_column(table.column_names.index(name), name, column)
        return table

    return change


def _tops(table: pa.Table) -> zip[tuple[list[str], str]]:
    return zip(table["top"].to_pylist(), table["label"].to_pylist(), strict=True)

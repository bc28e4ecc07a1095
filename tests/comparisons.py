"""Sides of comparisons, made in memory and on disk, for several test files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.samples import Samples
from evalkit.sides import Number, Side
from evalkit.task import TaskCard, select_tasks

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


def side(numbers: Mapping[str, Scores | float | None] | Sequence[Number], name: str = "model", **changes: Any) -> Side:
    """A side of these numbers."""
    found = [number(task, one) for task, one in numbers.items()] if isinstance(numbers, Mapping) else numbers
    facts: dict[str, Any] = {"path": Path(name), "kind": "run", "model": name, "facts": {"model": name}}
    return Side(numbers={one.task: one for one in found}, **facts | changes)


def whole(drops: Mapping[str, int] | None = None, n: int = 200) -> tuple[Side, Side]:
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
    """Change a task's samples (a table to a table), and what the manifest says of them."""
    path = run / f"samples/{task}.parquet"
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    data = json.loads((run / "run.json").read_text())
    for result in data["tasks"]:
        if result["task"] == task:
            found = table["score"].to_pylist()
            result["metrics"]["precision_at_1"] |= {"value": math.fsum(found) / len(found), "n": len(found)}
            result["n_queries"] = len(found)
    (run / "run.json").write_text(json.dumps(data))


def with_scores(found: Sequence[float]) -> Any:
    """A change of :func:`edited`: other scores."""

    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index("score")
        return table.set_column(place, "score", pa.array(found, pa.float64()))

    return change

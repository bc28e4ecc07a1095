"""The queries of a task that one model has right and the other wrong, and what each chose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from evalkit.errors import NotComparableError, ResultsError, UsageError
from evalkit.regression.baseline import read_choices
from evalkit.regression.comparable import hindrances
from evalkit.regression.comparand import Comparand
from evalkit.runs.runfiles import queries_of, samples_path
from evalkit.runs.runfolder import one_run, read_run

_TOLD = ("label", "top", "image", "text")


@dataclass(frozen=True)
class Flip:
    """A query whose score changed.

    Attributes:
        id: of the query.
        image: of the query, relative to the images folder; ``None`` where it has none, or it is not known.
        text: of the query; ``None`` where it is not known.
        label: name of the right candidate; ``None`` where it is not known.
        base_choice: what the base put first; of equals, the first by appearance. ``None`` where it is not known.
        new_choice: what the new one put first.
        base_score: Precision@1 of the base.
        new_score: Precision@1 of the new one.
    """

    id: str
    image: str | None
    text: str | None
    label: str | None
    base_choice: str | None
    new_choice: str | None
    base_score: float
    new_score: float


def flips(base: Comparand, new: Comparand, task: str, allow: Collection[str] = ()) -> list[Flip]:
    """The flipped queries of a task, those that lost most first.

    Args:
        base: what is held against.
        new: what is looked at.
        task: its name.
        allow: which of :data:`evalkit.regression.comparable.ALLOWANCES` may differ.

    Raises:
        UsageError: the task is not in both, or one of them has no samples of it; or they cannot be read.
        NotComparableError: the two were asked different things, and their choices say nothing of each other.
    """
    before, after = _scores(base, task), _scores(new, task)
    if why := hindrances(base, new, task, allow):
        raise NotComparableError(f"--explain {task}: it cannot be compared: {'; '.join(why)}")
    if lone := sorted(before.keys() ^ after.keys()):
        raise NotComparableError(
            f"--explain {task}: it cannot be compared: samples differ: {len(lone)} queries are on one side alone, such "
            f"as {lone[0]}"
        )
    try:
        of_base, of_new = _rows(base, task), _rows(new, task)
    except ResultsError as error:
        raise UsageError(str(error)) from error
    found = []
    for query in before:
        if before[query] == after[query]:
            continue
        one, other = of_base.get(query, {}), of_new.get(query, {})
        told = {key: other.get(key) or one.get(key) for key in ("image", "text", "label")}
        label = told["label"]
        found.append(
            Flip(
                id=query,
                image=told["image"],
                text=told["text"],
                label=label,
                base_choice=_choice(one, label),
                new_choice=_choice(other, label),
                base_score=before[query],
                new_score=after[query],
            )
        )
    return sorted(found, key=lambda flip: flip.new_score - flip.base_score)


def _scores(comparand: Comparand, task: str) -> dict[str, float]:
    """What it got on each query of a task, by its id."""
    number = comparand.numbers.get(task)
    if number is None or number.samples is None:
        there = ", ".join(name for name, one in comparand.numbers.items() if one.samples is not None) or "none"
        raise UsageError(f"--explain {task}: {comparand.path} has no samples of it; it has those of {there}")
    return dict(zip(number.samples.ids, number.samples.scores.tolist(), strict=True))


def _choice(row: dict[str, Any], label: str | None) -> str | None:
    if "choice" in row:  # of a baseline, which leaves out what was right
        choice: str | None = row["choice"]
        return label if choice is None else choice
    top = row.get("top") or [None]
    first: str | None = top[0]
    return first


def _rows(comparand: Comparand, task: str) -> dict[str, dict[str, Any]]:
    """What it knows of each query, by its id."""
    if comparand.kind == "baseline":
        return {query: {"choice": choice} for query, choice in read_choices(comparand.path, task).items()}
    folder = one_run(comparand.path)
    [result] = [result for result in read_run(folder).tasks if result.task == task]
    path = samples_path(folder, result)
    if path is None:
        raise ResultsError(f"{folder}: the samples of {task} are gone")
    found = queries_of(path, result, wanted=_TOLD)
    rows = found.table.select([name for name in ("id", *_TOLD) if found.has(name)]).to_pylist()
    return {row["id"]: row for row in rows}

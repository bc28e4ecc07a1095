"""A task's numbers counted again from its per-query file, so that no edited record is believed.

What the columns of the file allow is counted: all metrics that are known here where they have the ranks, and
Precision@1 from the scores alone. Numbers are equal but for their last bits, as another order of addition may leave
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import ResultsError
from evalkit.runs.perquery import CLOSE, PerQuery
from evalkit.scoring.metrics import METRICS
from evalkit.scoring.stats import bootstrap, effective_queries, standard_error, wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.runs.manifest import MetricResult, TaskResult

    Floats = NDArray[np.float64]
    Images = NDArray[np.int64] | None

_ERRORS = 0.5
"""Standard errors that the end of a bootstrap interval may be off.

Its 1000 draws leave it with an error of 0.085 of them, and another version of numpy may draw others.
"""


def recounted(record: Path, result: TaskResult, found: PerQuery, images: Images) -> None:
    """Hold a result against its per-query file.

    Args:
        record: the file that has the result, for the error.
        result: of the task.
        found: its file.
        images: shape (n,), equal for queries that share an image; ``None`` where none do, or it is not known.

    Raises:
        ResultsError: the file is of another number, or of other queries, or gives other numbers; names both files, the
            field, its value and what it should be.
    """
    if found.signature != result.signature:
        raise ResultsError(
            f"{found.path} belongs to another number than {record} has (signature): run {result.task} again"
        )
    if result.n_queries is not None and result.n_queries != len(found):
        raise _differs(record, result, found.path, "n_queries", result.n_queries, len(found))
    if result.n_candidates is not None and found.has("pool"):
        largest = int(found.numbers("pool").max())
        if result.n_candidates < largest:
            raise _differs(record, result, found.path, "n_candidates", result.n_candidates, f"at least {largest}")
    if result.metrics is None:
        return
    p1 = result.metrics.get("precision_at_1")
    if p1 is not None:
        _compare(record, result, found.path, "precision_at_1", p1, by_scores(found.scores, p1, images))
    if not found.has("rank", "ties", "right"):
        return
    above, tied, right = (found.numbers(name).astype(np.int64) for name in ("rank", "ties", "right"))
    states, place, counts = _distinct(above - 1, tied, right)
    above, tied, right = states
    none, n_ties = np.zeros_like(above), int(counts[tied > 0].sum())
    pools = None
    if found.has("relevant", "pool"):
        pools = _distinct(*(found.numbers(name).astype(np.int64) for name in ("relevant", "pool")))
    for name, said in result.metrics.items():
        metric = METRICS.get(name)
        if metric is None:  # of a package that is not installed here
            continue
        if said.interval != metric.interval:
            field = f"metrics.{metric.name}.interval"
            raise _differs(record, result, found.path, field, said.interval, metric.interval)
        scores = metric.score(above, tied, right)
        wanted: dict[str, float] = {"n": len(found), "n_ties": n_ties, "value": _weighted(scores, counts)}
        wanted["optimistic"] = _weighted(metric.score(above, none, right), counts)
        wanted["pessimistic"] = _weighted(metric.score(above + tied, none, right), counts)
        if pools is not None:
            (relevant, pool), _, of_pools = pools
            chance = metric.score(np.zeros_like(pool), pool - relevant, relevant)
            wanted["chance"] = _weighted(chance, of_pools)
        _compare(record, result, found.path, metric.name, said, wanted)
        each = scores[place]
        if metric.interval == "wilson":
            _compare(record, result, found.path, metric.name, said, _wilson(said, each, images))
        else:
            _compare_bootstrap(record, result, found.path, metric.name, said, each, images)


def by_scores(scores: Floats, said: MetricResult, images: Images) -> dict[str, float]:
    """What Precision@1 is by the scores of the queries alone.

    A score between 0 and 1 is that of a right candidate at a tie for the first place; ties further down are not known.
    """
    between = int(((scores > 0) & (scores < 1)).sum())
    wanted: dict[str, float] = {"n": len(scores), "value": _mean(scores)}
    wanted["optimistic"] = _mean((scores > 0).astype(np.float64))
    wanted["pessimistic"] = _mean((scores == 1).astype(np.float64))
    if said.n_ties < between:
        wanted["n_ties"] = between
    return wanted | (_wilson(said, scores, images) if said.interval == "wilson" else {})


def differences(said: MetricResult, wanted: dict[str, float]) -> Iterator[tuple[str, float, float]]:
    """Fields of a metric that are not what they should be: name, value, and what it should be."""
    for field, value in wanted.items():
        found = getattr(said, field)
        if abs(found - value) > (0 if isinstance(value, int) else CLOSE):
            yield field, found, value


def _wilson(said: MetricResult, scores: Floats, images: Images) -> dict[str, float]:
    """The ends of Wilson's interval, and of early versions, which took all queries for independent ones."""
    value = _mean(scores)
    ends = []
    for n in dict.fromkeys((effective_queries(scores, images), float(len(scores)))):
        low, high = wilson(value, n)
        ends.append({"low": min(low, value), "high": max(high, value)})
    return next((one for one in ends if not any(differences(said, one))), ends[0])


def _compare(
    record: Path, result: TaskResult, where: Path, metric: str, said: MetricResult, wanted: dict[str, float]
) -> None:
    for field, found, value in differences(said, wanted):
        raise _differs(record, result, where, f"metrics.{metric}.{field}", found, value)


def _compare_bootstrap(
    record: Path, result: TaskResult, where: Path, metric: str, said: MetricResult, scores: Floats, images: Images
) -> None:
    """The ends of a bootstrap interval: near the normal ones, which is cheap to see, or near those drawn again."""
    value, wrong = _mean(scores), []
    for clusters in (images, None) if images is not None else (None,):  # early versions drew single queries
        error = standard_error(scores, clusters) or 0.0
        allowed = _ERRORS * error + CLOSE
        if max(abs(value - 1.96 * error - said.low), abs(value + 1.96 * error - said.high)) <= allowed:
            return
        low, high = bootstrap(scores, clusters)
        ends = (("low", said.low, min(low, value)), ("high", said.high, max(high, value)))
        off = [end for end in ends if abs(end[1] - end[2]) > allowed]
        if not off:
            return
        wrong += off
    field, found, wanted = wrong[0]
    raise _differs(record, result, where, f"metrics.{metric}.{field}", found, wanted)


def _differs(record: Path, result: TaskResult, where: Path, field: str, found: object, wanted: object) -> ResultsError:
    return ResultsError(
        f"{record}: {result.task}: {field} is {found}, and by {where} it is {wanted}: run the task again"
    )


def _distinct(*columns: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows of some columns of counts, the place of each row among them, and how often each is there.

    Queries of a task have few distinct ranks, and a metric is the same for all of one.
    """
    codes, sizes = np.zeros(len(columns[0]), dtype=np.int64), []
    for column in columns:
        values, places = np.unique(column, return_inverse=True)
        codes = codes * len(values) + places
        sizes.append(values)
    kinds, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    found = []
    for values in reversed(sizes):
        kinds, rest = np.divmod(kinds, len(values))
        found.append(values[rest])
    return found[::-1], place, counts


def _weighted(scores: Floats, counts: NDArray[np.int64]) -> float:
    return min(1.0, math.fsum((scores * counts).tolist()) / int(counts.sum()))


def _mean(scores: Floats) -> float:
    return min(1.0, math.fsum(scores.tolist()) / len(scores))

"""Results as pandas tables: what a record or a per-query file says, row by row, and nothing worked out.

Numbers are fractions, unrounded. What is missing is ``pandas.NA``, never 0. pandas' own ``mean`` and ``sum`` pass over
what is missing; nothing here calls them, and a number of several tasks is one of ``averages``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from evalkit.runs.manifest import Average, Manifest, MetricResult, TaskResult
from evalkit.runs.perquery import COUNTS, NUMBERS
from evalkit.scoring.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.runs.perquery import PerQuery

Kind = Literal["string", "Float64", "Int64", "bool", "object"]
"""Of a column. All but ``bool`` can hold ``pandas.NA``; a number that is missing stays apart from every number."""

RESULTS: Mapping[str, Kind] = {
    "model": "string",
    "task": "string",
    "suite": "string",
    "meta_task": "string",
    "metric": "string",
    "value": "Float64",
    "low": "Float64",
    "high": "Float64",
    "chance": "Float64",
    "optimistic": "Float64",
    "pessimistic": "Float64",
    "n_ties": "Int64",
    "n": "Int64",
    "complete": "bool",
    "prompting": "string",
    "status": "string",
    "error": "string",
    "signature": "string",
}
"""Columns of a table of results, in their order."""
AVERAGES: Mapping[str, Kind] = {"group": "string", "value": "Float64", "n_done": "Int64", "n_tasks": "Int64"}
"""Columns of a table of averages."""
QUERIES = (
    *("id", "score", "rank", "ties", "right", "relevant", "pool"),
    *("label", "label_score", "margin", "top", "top_scores", "image", "text"),
)
"""Columns of a table of queries: those of a per-query file."""


def typed(kinds: Mapping[str, Kind], columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    """A table of columns of one length.

    Args:
        kinds: the columns and what each is, in the order of the table.
        columns: their values; ``None`` where one is missing.
    """
    import pandas as pd

    return pd.DataFrame({name: pd.Series(list(columns[name]), dtype=kind) for name, kind in kinds.items()})


def results_frame(manifests: Iterable[Manifest], metric: str) -> pd.DataFrame:
    """One row a task of each manifest; columns :data:`RESULTS`.

    Args:
        manifests: in the order of the rows.
        metric: whose numbers; a task without it has none.

    Raises:
        UsageError: there is no such metric; names those that there are.
    """
    results = [(manifest, result) for manifest in manifests for result in manifest.tasks]
    if not any(metric in (result.metrics or ()) for _, result in results):
        METRICS.named(metric)
    columns: dict[str, list[object]] = {name: [] for name in RESULTS}
    for manifest, result in results:
        _add(columns, manifest, result, (result.metrics or {}).get(metric), metric)
    return typed(RESULTS, columns)


def _add(
    columns: Mapping[str, list[object]], manifest: Manifest, result: TaskResult, found: MetricResult | None, metric: str
) -> None:
    for name in ("task", "suite", "meta_task", "complete", "prompting", "status", "signature"):
        columns[name].append(getattr(result, name))
    for name in ("value", "low", "high", "chance", "optimistic", "pessimistic", "n_ties", "n"):
        columns[name].append(None if found is None else getattr(found, name))
    columns["model"].append(manifest.model.name)
    columns["metric"].append(metric)
    columns["error"].append(None if result.error is None else result.error.message)


def averages_frame(averages: Sequence[Average]) -> pd.DataFrame:
    """One row a group; columns :data:`AVERAGES`."""
    return typed(AVERAGES, {name: [getattr(one, name) for one in averages] for name in AVERAGES})


def queries_frame(found: PerQuery) -> pd.DataFrame:
    """One row a query, in the order of the file; columns :data:`QUERIES`, missing where the file lacks one."""
    kinds: dict[str, Kind] = {}
    for name in QUERIES:
        number: Kind = "Float64" if name in NUMBERS else "Int64" if name in COUNTS else "string"
        kinds[name] = "object" if name in ("top", "top_scores") else number
    return typed(kinds, {name: found.values(name) if found.has(name) else [None] * len(found) for name in QUERIES})

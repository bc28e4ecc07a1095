"""What in a run's record cannot be: fields that contradict each other, or the card of their task.

The schema says what a field may hold. This is about what it may hold beside the others, which an edited record gets
wrong; where per-query files are there, :mod:`evalkit.runs.recount` counts the numbers again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from evalkit.runs.perquery import CLOSE
from evalkit.runs.reducing import reducer_of
from evalkit.runs.signature import parts
from evalkit.scoring.metrics import METRICS
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.selecting import all_cards

if TYPE_CHECKING:
    from evalkit.runs.manifest import Manifest, MetricResult, TaskResult

AGAIN = "run it again, into another --out or with this run taken away"


def contradictions(manifest: Manifest) -> Iterator[str]:
    """What cannot be, one sentence each: task, field, value, and what it should be."""
    cards = {card.name: card for card in all_cards()}
    cut = manifest.settings.dimension
    if cut is not None and manifest.model.dimension != cut:
        yield f"settings.dimension is {cut}, and model.dimension is {manifest.model.dimension}"
    if cut is not None and not manifest.model.name.endswith(f"@{cut}"):
        yield f"settings.dimension is {cut}, and model.name is {manifest.model.name!r}, which does not end in @{cut}"
    for result in manifest.tasks:
        # A suite that is installed later may have a task of an own one's name, which is another task.
        card = (manifest.own_tasks if result.suite == OWN else cards).get(result.task)
        for said in _of_task(result, manifest, card):
            yield f"{result.task}: {said}"
    yield from _of_averages(manifest, cards)


def _of_task(result: TaskResult, manifest: Manifest, card: TaskCard | None) -> Iterator[str]:
    if result.status == "failed":
        numbers = ("metrics", "signature", "samples")
        for field in (field for field in numbers if getattr(result, field) is not None):
            yield f"status is failed, and there are {field} all the same, which a task that failed has none of"
        if result.complete:
            yield "status is failed, and complete is true, which it is of no task that failed"
    else:
        if result.error is not None:
            yield f"status is done, and there is an error all the same ({result.error.type})"
        if result.metrics is None:
            yield "status is done, and metrics is null"
        elif "precision_at_1" not in result.metrics:
            yield "it has no metric precision_at_1"
    if card is not None and result.task_version == card.version:
        for field in ("suite", "meta_task", "distribution"):
            found, wanted = getattr(result, field), getattr(card, field)
            if found != wanted:
                yield f"{field} is {found}, and its card says {wanted}"
        if result.complete and result.n_queries != card.queries:
            yield f"complete is true with n_queries {result.n_queries}, and its card promises {card.queries}"
    yield from _of_metrics(result)
    yield from _of_signature(result, manifest, known=card is not None)


def _of_metrics(result: TaskResult) -> Iterator[str]:
    metrics = result.metrics or {}
    for name, metric in metrics.items():
        yield from (f"metrics.{name}.{said}" for said in _of_metric(name, metric, result.n_queries))
    first = next(iter(metrics.items()), None)
    for name, metric in metrics.items():
        for field in ("n", "n_ties"):
            if first is not None and getattr(metric, field) != getattr(first[1], field):
                wanted = f"metrics.{first[0]}.{field} is {getattr(first[1], field)}"
                yield f"metrics.{name}.{field} is {getattr(metric, field)}, and {wanted}"


def _of_metric(name: str, metric: MetricResult, n_queries: int | None) -> Iterator[str]:
    if n_queries is not None and metric.n != n_queries:
        yield f"n is {metric.n}, and n_queries is {n_queries}"
    if metric.n_ties > metric.n:
        yield f"n_ties is {metric.n_ties}, more than the {metric.n} queries (n)"
    if (known := METRICS.get(name)) is not None and metric.interval != known.interval:
        yield f"interval is {metric.interval}, and such a metric has {known.interval}"
    if not metric.pessimistic - CLOSE <= metric.value <= metric.optimistic + CLOSE:
        yield f"value is {metric.value}, and pessimistic to optimistic is {metric.pessimistic} to {metric.optimistic}"
    elif not metric.n_ties and metric.optimistic - metric.pessimistic > 2 * CLOSE:
        yield f"n_ties is 0, and pessimistic {metric.pessimistic} is not optimistic {metric.optimistic}"
    if metric.low > metric.value + CLOSE:
        yield f"low is {metric.low}, above value, {metric.value}"
    if metric.high < metric.value - CLOSE:
        yield f"high is {metric.high}, below value, {metric.value}"


def _of_signature(result: TaskResult, manifest: Manifest, *, known: bool) -> Iterator[str]:
    said = parts(result.signature or "")
    for part, wanted in (
        ("task", f"{result.task}@{result.task_version}" if known else None),
        ("n", None if result.n_queries is None else str(result.n_queries)),
        ("prompting", result.prompting or "-"),
        ("fingerprint", manifest.model.fingerprint[:12]),
        ("exif", manifest.settings.exif),
        ("dedup", "official" if manifest.settings.official_dedup else "content"),
        ("dimension", str(manifest.settings.dimension or "whole")),
    ):
        if part == "prompting" and wanted == "-" and said.get(part) == "none":
            continue  # so the first versions had it where a task has no regions
        if part == "dimension" and said:
            said.setdefault(part, "whole")  # a line of whole vectors does not say so
        if wanted is not None and said.get(part, wanted) != wanted:
            yield f"signature has {part}:{said[part]}, and the record says {wanted}"


def _of_averages(manifest: Manifest, cards: Mapping[str, TaskCard]) -> Iterator[str]:
    suites = {result.suite for result in manifest.tasks}
    known: dict[str, int] = {}
    for card in cards.values():
        for group in card.groups if card.suite in suites else ():
            known[group] = known.get(group, 0) + 1
    seen: set[str] = set()
    groups = [(result, _groups(result, cards)) for result in manifest.tasks]
    for average in manifest.averages:
        where = f"averages of {average.group}"
        if average.group in seen or average.group.split("/")[0] not in suites:
            yield f"{where}: {'they are there twice' if average.group in seen else 'no task is of that suite'}"
        seen.add(average.group)
        members = [result for result, own in groups if average.group in own]
        scores = [
            result.metrics["precision_at_1"].value
            for result in members
            if result.complete and result.metrics is not None and "precision_at_1" in result.metrics
        ]
        if average.n_done != len(scores):
            yield f"{where}: n_done is {average.n_done}, and {len(scores)} of its tasks are done and complete"
        # A suite that has grown since has to be run again: its mean is over all of its tasks.
        least = known.get(average.group, len(members))
        if average.n_tasks < least:
            yield f"{where}: n_tasks is {average.n_tasks}, and it has {least}"
        whole = bool(scores) and len(scores) == average.n_tasks
        wanted = reducer_of([result.task for result in members]).reduce(scores) if whole else None
        if (average.value is None) != (wanted is None) or abs((average.value or 0) - (wanted or 0)) > CLOSE:
            yield f"{where}: value is {average.value}, and by its tasks it is {wanted}"


def _groups(result: TaskResult, cards: Mapping[str, TaskCard]) -> tuple[str, ...]:
    """The groups of a result: its card's, or those that it says."""
    if result.suite == OWN:
        return ()
    if result.task in cards:
        return cards[result.task].groups
    groups = (result.suite, f"{result.suite}/{result.meta_task}")
    return groups if result.distribution is None else (*groups, f"{result.suite}/{result.distribution}")

"""One task with one embedder: load, prompt, embed once; then cut, rank and measure at each dimension."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.encoding.checkedregions import with_checked_regions
from evalkit.encoding.conditions import Conditions, Made, mixed
from evalkit.encoding.encode import Encoder
from evalkit.encoding.forward import EncodingStats
from evalkit.encoding.given import prompted_views, prompting_of, require_modalities, rows_named
from evalkit.encoding.views import SideVectors, encode_views
from evalkit.errors import DataError, EvalkitError, ResultsError, StaleVectorsError, StoreError, TaskError, UsageError
from evalkit.runs.environment import without_places
from evalkit.runs.manifest import Failure, MetricResult, Settings, TaskResult
from evalkit.runs.samples import images_of, samples_table
from evalkit.runs.signature import at_dimension, signature
from evalkit.runs.timing import Clock
from evalkit.scoring.metrics import METRICS, Metric, measure
from evalkit.scoring.ranking import rank
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import load_task
from evalkit.suites.task import DataFolder, Task, card_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Embedded:
    """A task with its vectors.

    Attributes:
        task: as its rows have it.
        queries: of n items.
        candidates: of m items.
        metrics: what it is measured by.
        prompting: how regions reached the embedder.
        line: its signature, of whole vectors.
        stats: what encoding did.
        made: how its vectors were made.
        trusted: vectors were reused without making any of them again.
        warnings: what a reader of its numbers should know.
    """

    task: Task
    queries: SideVectors
    candidates: SideVectors
    metrics: Sequence[Metric]
    prompting: str | None
    line: str
    stats: EncodingStats
    made: Made
    trusted: bool
    warnings: tuple[str, ...]

    def again(self) -> Embedded:
        """For the next dimension: all vectors are there by now."""
        stats = self.stats
        reused = EncodingStats(items=stats.items, distinct=stats.distinct, reused=stats.distinct)
        return dataclasses.replace(self, stats=reused)


@dataclass(frozen=True)
class Evaluated:
    """What one task gave.

    Attributes:
        result: its result.
        encoding: what encoding did.
        samples: the per-query table, where it succeeded.
        conditions: by digest, those that its vectors were made under.
        error: why it failed, where it did.
    """

    result: TaskResult
    encoding: EncodingStats
    samples: pa.Table | None = None
    conditions: Mapping[str, Conditions] = field(default_factory=dict)
    error: EvalkitError | None = None


def embed_task(
    encoder: Encoder, chosen: TaskCard | Task, folder: DataFolder | None, settings: Settings, clock: Clock
) -> Embedded | EvalkitError:
    """One task: load, prompt, embed. What goes wrong with it is its failure, whatever raised it."""
    card = card_of(chosen)
    try:
        with _failure_of_the_task(card):
            return _embed_task(encoder, chosen, folder, settings, clock)
    except StaleVectorsError as error:
        return error
    except (StoreError, ResultsError):
        raise
    except EvalkitError as error:
        return error


def _embed_task(
    encoder: Encoder, chosen: TaskCard | Task, folder: DataFolder | None, settings: Settings, clock: Clock
) -> Embedded:
    card = card_of(chosen)
    metrics = metrics_of(card)
    task = load_task(chosen, folder, settings.load_options)
    clock.lap("load_s")
    prompting = prompting_of(task, encoder.loaded, settings.prompting)
    with rows_named(task):
        checked = with_checked_regions(task, encoder.images, settings.bad_regions)
    given, *more = [checked] if prompting is None else prompted_views(checked, prompting, encoder.images)
    require_modalities(given, encoder.loaded)
    queries, candidates = encode_views(given, encoder, more)
    encoder.probe()
    clock.lap("encode_s")
    stats = encoder.take_stats()
    made = encoder.take_made()
    trusted = encoder.trust_store and stats.reused > 0
    warnings = [
        *checked.warnings,
        *encoder.images.warnings((*task.queries, *task.candidates)),
        *([] if task.complete else [f"{len(task.queries)} of {card.queries} queries: no part of any average"]),
        *filter(None, [mixed(made.under, made.known)]),
        *([f"memory ran out: {made.shrunk} vectors were made in smaller batches"] if made.shrunk else []),
        *(["vectors were reused without making any of them again (--trust-store)"] if trusted else []),
    ]
    line = signature(task, given, encoder.images, encoder.loaded, prompting, settings)
    return Embedded(task, queries, candidates, metrics, prompting, line, stats, made, trusted, tuple(warnings))


def score_task(
    embedded: Embedded | EvalkitError,
    card: TaskCard,
    encoder: Encoder,
    folder: DataFolder | None,
    settings: Settings,
    clock: Clock,
) -> Evaluated:
    """A task whose items were embedded: cut, rank, measure. What goes wrong is its failure at this dimension."""
    if isinstance(embedded, EvalkitError):
        stats = encoder.take_stats()
        encoder.take_made()
    else:
        stats = embedded.stats
    clock.count(stats)
    try:
        if isinstance(embedded, EvalkitError):
            raise embedded
        with _failure_of_the_task(card):
            return _score_task(embedded, settings, clock)
    except EvalkitError as error:
        failure = Failure(type=type(error).__name__, message=without_places(str(error), folder))
        return Evaluated(TaskResult(**_facts(card), status="failed", complete=False, error=failure), stats, error=error)


def _score_task(embedded: Embedded, settings: Settings, clock: Clock) -> Evaluated:
    task, made = embedded.task, embedded.made
    queries, candidates = (side.at(settings.dimension) for side in (embedded.queries, embedded.candidates))
    ranking = rank(queries, candidates, task.pools, task.relevant)
    images = images_of(task.queries)
    values = {metric.name: measure(metric, ranking, images=images) for metric in embedded.metrics}
    clock.lap("rank_s")
    clock.batches(made.budgets)
    line = at_dimension(embedded.line, settings.dimension)
    result = TaskResult(
        **_facts(task.card),
        status="done",
        complete=task.complete,
        n_queries=len(task.queries),
        n_candidates=len(task.candidates),
        prompting=embedded.prompting,
        metrics={
            name: MetricResult(**{k: v for k, v in dataclasses.asdict(value).items() if k != "metric"})
            for name, value in values.items()
        },
        signature=line,
        samples=f"samples/{task.card.name}.parquet",
        made=made.under,
        trusted_store=embedded.trusted,
        warnings=embedded.warnings,
    )
    return Evaluated(result, embedded.stats, samples_table(task, ranking, line), made.known)


def metrics_of(card: TaskCard) -> list[Metric]:
    """The metrics that a card names, in its order.

    Raises:
        DataError: there is no metric of a name; names the card, the metrics that there are, and the nearest.
    """
    try:
        return [METRICS.named(name) for name in card.metrics]
    except UsageError as error:
        raise DataError(f"the card of task {card.name}: {error}") from error


@contextmanager
def _failure_of_the_task(card: TaskCard) -> Iterator[None]:
    """FAISS, numpy, or a fault of evalkit's own: the other tasks go on all the same."""
    try:
        yield
    except EvalkitError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})" if trace is not None else ""
        raise TaskError(f"task {card.name} cannot be evaluated: {type(error).__name__}: {error}{at}") from error


def _facts(card: TaskCard) -> dict[str, Any]:
    return {
        "task": card.name,
        "task_version": card.version,
        "suite": card.suite,
        "meta_task": card.meta_task,
        "distribution": card.distribution,
    }

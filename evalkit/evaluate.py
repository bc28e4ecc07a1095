"""The main job: one embedder over some tasks, from rows on disk to a run on disk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.device import device_name
from evalkit.embedders.modeltext import ModelSpec
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.batches import BATCH_TOKENS
from evalkit.encoding.checkedregions import with_checked_regions
from evalkit.encoding.conditions import Conditions, mixed
from evalkit.encoding.encode import Encoder
from evalkit.encoding.forward import EncodingStats
from evalkit.encoding.given import prompted_views, prompting_of, require_modalities, rows_named
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.store import VectorStore
from evalkit.encoding.views import encode_task
from evalkit.errors import (
    DataError,
    EvalkitError,
    ResultsError,
    StaleVectorsError,
    StoreError,
    TaskError,
    UsageError,
)
from evalkit.files import inside, json_bytes
from evalkit.progress import Progress
from evalkit.runs.environment import environment, without_places
from evalkit.runs.manifest import Failure, Manifest, MetricResult, ModelRecord, Settings, TaskResult, departs
from evalkit.runs.reducing import reducer_of
from evalkit.runs.runfiles import samples_of
from evalkit.runs.runfolder import RunFolder
from evalkit.runs.samples import images_of, samples_table
from evalkit.runs.signature import signature
from evalkit.runs.timing import Clock, Timing
from evalkit.scoring.metrics import METRICS, Metric, measure
from evalkit.scoring.ranking import rank
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import load_task
from evalkit.suites.task import DataFolder, Task, card_of
from evalkit.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Job:
    """A model, and the user's choices for it."""

    spec: ModelSpec
    settings: Settings


@dataclass(frozen=True)
class Ran:
    """A run on disk: whose it is, its folder and its manifest, and by task what encoding did in this command."""

    job: Job
    folder: Path
    manifest: Manifest
    encoding: Mapping[str, EncodingStats] = field(default_factory=dict)

    def failed(self, cards: Iterable[TaskCard]) -> list[TaskResult]:
        """The results of these tasks that are no numbers."""
        names = {card.name for card in cards}
        return [result for result in self.manifest.tasks if result.task in names and result.status == "failed"]


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


def evaluate_all(
    jobs: Iterable[Job],
    tasks: Sequence[TaskCard | Task],
    folder: DataFolder | None,
    runs: Path,
    *,
    store: Path | None = None,
    rebuild_store: bool = False,
    trust_store: bool = False,
    device: str = "auto",
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> Generator[Ran | EvalkitError, None, None]:
    """Run several models over the same tasks, with one vector store and each image file looked at once.

    Args:
        jobs: each is asked for when the one before is done.
        tasks: their cards, or tasks that were read already.
        folder: where the data of cards lies.
        runs: the RUNS folder.
        store: the vector store, ``runs/vectors.sqlite`` by default.
        rebuild_store: move a corrupt store away and begin anew, and make vectors in it that do not hold anew.
        trust_store: reuse vectors without making any of them again.
        device: what the models run on: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        batch_tokens: budget of a batch.
        progress: who is told.

    Yields:
        For each job its run, or why the model could not be run; the others go on.

    Raises:
        StoreError: the store cannot be read or written; no other job would do better.
        ResultsError: the runs cannot be written.
    """
    index, progress = ImageIndex(), progress or Progress(quiet=True)
    with ExitStack() as stack:
        kept: VectorStore | None = None
        for job in jobs:
            outcome: Ran | EvalkitError
            try:
                loaded = load_embedder(job.spec, device)
                if kept is None:  # a command of which no model can be loaded leaves no files
                    kept = stack.enter_context(
                        VectorStore(store or inside(runs, "vectors.sqlite"), rebuild=rebuild_store)
                    )
                encoder = Encoder(
                    loaded, kept, index, batch_tokens, job.settings.vectors, progress, device, trust_store
                )
                outcome = Ran(job, *evaluate(encoder, tasks, folder, runs, job.settings, device_name(device)))
            except StaleVectorsError as error:  # another model's vectors may hold
                outcome = error
            except (StoreError, ResultsError):
                raise
            except EvalkitError as error:
                outcome = error
            yield outcome


def evaluate(
    encoder: Encoder,
    tasks: Sequence[TaskCard | Task],
    folder: DataFolder | None,
    runs: Path,
    settings: Settings,
    device: str,
) -> tuple[Path, Manifest, Mapping[str, EncodingStats]]:
    """Run one embedder over tasks, writing each result as soon as it is there.

    A task that fails is recorded as failed and the others go on; a store or a results folder that cannot
    be written, or vectors in the store that the embedder would not make now, end the run as failed, and what was
    written stays valid.

    Args:
        encoder: the embedder with its store.
        tasks: their cards, or tasks that were read already; each is evaluated on its own.
        folder: where the data of cards lies.
        runs: the RUNS folder; the run goes to ``runs/<model>/<run id>``.
        settings: the user's choices.
        device: what the embedder runs on, for the record.

    Returns:
        The run's folder, its manifest, and by task what encoding did.
    """
    cards = [card_of(task) for task in tasks]
    if encoder.loaded.departs and encoder.loaded.card is not None:
        encoder.progress.say(departs(encoder.loaded.card.name, encoder.loaded.departs))
    run = open_run(encoder.loaded, cards, runs, settings, device)
    timing = Timing(device, encoder.batch_tokens, encoder.trust_store)
    encoding: dict[str, EncodingStats] = {}
    progress = encoder.progress
    try:
        with progress.run(encoder.loaded.info.name, len(cards)):
            for task, card in zip(tasks, cards, strict=True):
                with progress.task(card.name), timing.of(card.name) as clock:
                    evaluated = evaluate_task(encoder, task, folder, settings, clock)
                    run.record(evaluated.result, evaluated.samples, evaluated.conditions, card)
                    if encoder.distrusted:
                        disown(run, {card.name for card in cards})
                    encoding[card.name] = evaluated.encoding
                if isinstance(evaluated.error, StaleVectorsError):
                    raise evaluated.error
                if evaluated.error:
                    progress.say(f"{card.name}: failed: {evaluated.error}")
                else:
                    progress.result(summary(evaluated.result, evaluated.encoding))
        run.finish("done")
    except BaseException as error:
        with suppress(ResultsError):  # a full disk must not hide why the run ends
            if isinstance(error, StoreError | KeyboardInterrupt):
                run.finish("failed" if isinstance(error, StoreError) else "interrupted")
            run.write_timing(timing.report())
        raise
    run.write_timing(timing.report())
    return run.folder, run.manifest, encoding


def evaluate_task(
    encoder: Encoder, chosen: TaskCard | Task, folder: DataFolder | None, settings: Settings, clock: Clock
) -> Evaluated:
    """One task: load, prompt, embed, rank, measure. What goes wrong with it is its failure, whatever raised it."""
    card = card_of(chosen)
    try:
        with _failure_of_the_task(card):
            return _evaluate_task(encoder, chosen, folder, settings, clock)
    except StaleVectorsError as error:
        return _failed(encoder, card, folder, clock, error)
    except (StoreError, ResultsError):
        raise
    except EvalkitError as error:
        return _failed(encoder, card, folder, clock, error)


def _evaluate_task(
    encoder: Encoder, chosen: TaskCard | Task, folder: DataFolder | None, settings: Settings, clock: Clock
) -> Evaluated:
    card = card_of(chosen)
    metrics = metrics_of(card)
    task = load_task(chosen, folder, settings.load_options)
    clock.lap("load_s")
    prompting = prompting_of(task, encoder.loaded, settings.prompting)
    with rows_named(task):
        checked = with_checked_regions(task, encoder.images, settings.bad_regions)
    given, *more = [checked] if prompting is None else prompted_views(checked, prompting, encoder.images)
    require_modalities(given, encoder.loaded)
    queries, candidates = encode_task(given, encoder, more)
    encoder.probe()
    clock.lap("encode_s")
    stats = encoder.take_stats()
    clock.count(stats)
    ranking = rank(queries, candidates, task.pools, task.relevant)
    images = images_of(task.queries)
    values = {metric.name: measure(metric, ranking, images=images) for metric in metrics}
    clock.lap("rank_s")

    line = signature(task, given, encoder.images, encoder.loaded, prompting, settings)
    made = encoder.take_made()
    clock.batches(made.budgets)
    trusted = encoder.trust_store and stats.reused > 0
    warnings = [
        *checked.warnings,
        *encoder.images.warnings((*task.queries, *task.candidates)),
        *([] if task.complete else [f"{len(task.queries)} of {card.queries} queries: no part of any average"]),
        *filter(None, [mixed(made.under, made.known)]),
        *([f"memory ran out: {made.shrunk} vectors were made in smaller batches"] if made.shrunk else []),
        *(["vectors were reused without making any of them again (--trust-store)"] if trusted else []),
    ]
    result = TaskResult(
        **_facts(card),
        status="done",
        complete=task.complete,
        n_queries=len(task.queries),
        n_candidates=len(task.candidates),
        prompting=prompting,
        metrics={
            name: MetricResult(**{k: v for k, v in dataclasses.asdict(value).items() if k != "metric"})
            for name, value in values.items()
        },
        signature=line,
        samples=f"samples/{card.name}.parquet",
        made=made.under,
        trusted_store=trusted,
        warnings=tuple(warnings),
    )
    return Evaluated(result, stats, samples_table(task, ranking, line), made.known)


def metrics_of(card: TaskCard) -> list[Metric]:
    """The metrics that a card names, in its order.

    Raises:
        DataError: there is no metric of a name; names the card, the metrics that there are, and the nearest.
    """
    try:
        return [METRICS.named(name) for name in card.metrics]
    except UsageError as error:
        raise DataError(f"the card of task {card.name}: {error}") from error


def _failed(
    encoder: Encoder, card: TaskCard, folder: DataFolder | None, clock: Clock, error: EvalkitError
) -> Evaluated:
    stats = encoder.take_stats()
    clock.count(stats)
    encoder.take_made()
    failure = Failure(type=type(error).__name__, message=without_places(str(error), folder))
    result = TaskResult(**_facts(card), status="failed", complete=False, error=failure)
    return Evaluated(result, stats, error=error)


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


def open_run(
    loaded: LoadedEmbedder, cards: Sequence[TaskCard], runs: Path, settings: Settings, device: str
) -> RunFolder:
    """The folder of this embedder with these settings, new or as an earlier command left it.

    Raises:
        ResultsError: what it has of other tasks than these cannot be read, or is not what their samples give.
        UsageError: a suite names a reducer that there is none of.
    """
    for card in cards:  # said before anything is embedded
        reducer_of([card.name])
    info = loaded.info
    usual = {"bad_regions"} if settings.bad_regions == "refuse" else None  # as before there was this setting
    identity = [__version__, loaded.fingerprint, info.name, settings.model_dump(exclude=usual)]
    run_id = hashlib.sha256(json_bytes(identity)).hexdigest()[:12]
    manifest = Manifest(
        run_id=run_id,
        status="running",
        evalkit_version=__version__,
        model=ModelRecord(
            name=info.name,
            family=loaded.family,
            revision=info.revision,
            fingerprint=loaded.fingerprint,
            dimension=info.dimension,
            modalities=tuple(sorted(info.modalities)),
            regions=tuple(sorted(info.regions)),
            options=dict(sorted(info.options.items())),
            named=None if loaded.card is None else loaded.card.name,
            departs=loaded.departs,
        ),
        settings=settings,
        environment=environment(device),
    )
    folder = runs / loaded.folder / run_id
    run, asked = RunFolder(folder, manifest), {card.name for card in cards}
    for result in run.manifest.tasks:  # these go on into averages
        if result.task not in asked:
            samples_of(folder, result)
    return run


def disown(run: RunFolder, asked: Collection[str]) -> None:
    """Let results that this command does not make anew fail: their vectors were found to be another model's."""
    said = "its vectors were found to be another model's, and were taken out (--rebuild-store): run it again"
    failed = {"status": "failed", "complete": False, "n_queries": None, "n_candidates": None, "metrics": None}
    failed |= {"signature": None, "samples": None, "made": {}, "trusted_store": False, "warnings": ()}
    for result in run.manifest.tasks:
        if result.status == "done" and result.task not in asked:
            error = Failure(type="StaleVectorsError", message=said)
            run.record(result.model_copy(update=failed | {"error": error}))


def summary(result: TaskResult, encoding: EncodingStats) -> str:
    """A task's result in one line."""
    if result.metrics is None:
        return f"{result.task}: failed"
    p1 = result.metrics["precision_at_1"]
    ties = f", {p1.n_ties} ties: optimistic {p1.optimistic:.2%}" if p1.n_ties else ""
    regions = f", prompting {result.prompting}" if result.prompting else ""
    interval = f"[{p1.low:.2%}, {p1.high:.2%}]"
    reused = f", {reused_of(encoding)} vectors reused"
    return f"{result.task}: P@1 {p1.value:.2%} {interval} (chance {p1.chance:.2%}, n {p1.n}{ties}{regions}{reused})"


def reused_of(encoding: EncodingStats) -> str:
    """How many of a task's vectors were in the store, such as ``96 of 128``."""
    return f"{encoding.reused} of {encoding.distinct}"


def _facts(card: TaskCard) -> dict[str, Any]:
    return {
        "task": card.name,
        "task_version": card.version,
        "suite": card.suite,
        "meta_task": card.meta_task,
        "distribution": card.distribution,
    }

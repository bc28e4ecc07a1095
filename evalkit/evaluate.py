"""The main job: one embedder over some tasks, from rows on disk to a run on disk."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import __version__
from evalkit.checkedregions import with_checked_regions
from evalkit.device import device_name
from evalkit.embedders.registry import LoadedEmbedder, ModelSpec, load_embedder
from evalkit.encoding.batches import BATCH_TOKENS
from evalkit.encoding.encode import Encoder, ImageIndex, describe
from evalkit.encoding.store import VectorStore
from evalkit.environment import environment, without_places
from evalkit.errors import DataError, EmbedderError, EvalkitError, ItemError, ResultsError, StoreError, UsageError
from evalkit.items import Item, concerns, region_kind
from evalkit.metrics import METRICS, measure
from evalkit.progress import Progress
from evalkit.prompting import MODES, prompted
from evalkit.ranking import rank
from evalkit.results import (
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    RunFolder,
    Settings,
    TaskResult,
    json_bytes,
)
from evalkit.samples import images_of, samples_table
from evalkit.signature import signature
from evalkit.task import DataFolder, LoadOptions, Task, TaskCard, suites
from evalkit.timing import Clock, Timing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Job:
    """A model, and the user's choices for it."""

    spec: ModelSpec
    settings: Settings


@dataclass(frozen=True)
class Ran:
    """A run on disk: whose it is, its folder and its manifest."""

    job: Job
    folder: Path
    manifest: Manifest

    def failed(self, cards: Iterable[TaskCard]) -> list[TaskResult]:
        """The results of these tasks that are no numbers."""
        names = {card.name for card in cards}
        return [result for result in self.manifest.tasks if result.task in names and result.status == "failed"]


@dataclass(frozen=True)
class Evaluated:
    """What one task gave: its result, and the samples table where it succeeded, the error where it failed."""

    result: TaskResult
    samples: pa.Table | None = None
    error: EvalkitError | None = None


def evaluate_all(
    jobs: Iterable[Job],
    cards: Sequence[TaskCard],
    folder: DataFolder,
    runs: Path,
    *,
    store: Path | None = None,
    rebuild_store: bool = False,
    device: str = "auto",
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> Generator[Ran | EvalkitError, None, None]:
    """Run several models over the same tasks, with one vector store and each image file looked at once.

    Args:
        jobs: each is asked for when the one before is done.
        cards: the tasks.
        folder: where their data lies.
        runs: the RUNS folder.
        store: the vector store, ``runs/vectors.sqlite`` by default.
        rebuild_store: move a corrupt store away and begin anew.
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
                    kept = stack.enter_context(VectorStore(store or runs / "vectors.sqlite", rebuild=rebuild_store))
                encoder = Encoder(loaded, kept, index, batch_tokens, job.settings.vectors, progress)
                outcome = Ran(job, *evaluate(encoder, cards, folder, runs, job.settings, device_name(device)))
            except (StoreError, ResultsError):
                raise
            except EvalkitError as error:
                outcome = error
            yield outcome


def evaluate(
    encoder: Encoder,
    cards: Sequence[TaskCard],
    folder: DataFolder,
    runs: Path,
    settings: Settings,
    device: str,
) -> tuple[Path, Manifest]:
    """Run one embedder over tasks, writing each result as soon as it is there.

    A task that fails is recorded as failed and the others go on; a store or a results folder that cannot
    be written ends the run as failed, and what was written stays valid.

    Args:
        encoder: the embedder with its store.
        cards: the tasks, each evaluated on its own.
        folder: where their data lies.
        runs: the RUNS folder; the run goes to ``runs/<model>/<run id>``.
        settings: the user's choices.
        device: what the embedder runs on, for the record.

    Returns:
        The run's folder and its manifest.
    """
    run, timing = open_run(encoder.loaded, runs, settings, device), Timing(device, encoder.batch_tokens)
    progress = encoder.progress
    try:
        with progress.run(encoder.loaded.info.name, len(cards)):
            for card in cards:
                with progress.task(card.name), timing.of(card.name) as clock:
                    evaluated = evaluate_task(encoder, card, folder, settings, clock)
                    run.record(evaluated.result, evaluated.samples)
                if evaluated.error:
                    progress.say(f"{card.name}: failed: {evaluated.error}")
                else:
                    progress.result(summary(evaluated.result))
        run.finish("done")
    except BaseException as error:
        with suppress(ResultsError):  # a full disk must not hide why the run ends
            if isinstance(error, StoreError | KeyboardInterrupt):
                run.finish("failed" if isinstance(error, StoreError) else "interrupted")
            run.write_timing(timing.report())
        raise
    run.write_timing(timing.report())
    return run.folder, run.manifest


def evaluate_task(encoder: Encoder, card: TaskCard, folder: DataFolder, settings: Settings, clock: Clock) -> Evaluated:
    """One task: load, prompt, embed, rank, measure."""
    try:
        task = load_task(card, folder, settings)
        clock.lap("load_s")
        prompting = prompting_of(task, encoder.loaded, settings.prompting)
        with rows_named(task):
            checked = with_checked_regions(task, encoder.images, settings.bad_regions)
        given = checked if prompting is None else prompted_task(checked, prompting, encoder.images)
        require_modalities(given, encoder.loaded)
        encoder.progress.expect(len(given.queries) + len(given.candidates))
        queries, candidates = encode_task(given, encoder)
        clock.lap("encode_s")
        clock.count(encoder.take_stats())
        ranking = rank(queries, candidates, task.pools, task.relevant)
        images = images_of(task.queries)
        metrics = {metric.name: measure(metric, ranking, images=images) for metric in METRICS}
        clock.lap("rank_s")
    except (StoreError, ResultsError):
        raise
    except EvalkitError as error:
        clock.count(encoder.take_stats())
        failure = Failure(type=type(error).__name__, message=without_places(str(error), folder))
        return Evaluated(TaskResult(**_facts(card), status="failed", complete=False, error=failure), error=error)

    line = signature(task, given, encoder.images, encoder.loaded, prompting, settings)
    warnings = [*checked.warnings, *encoder.images.warnings((*task.queries, *task.candidates))]
    if not task.complete:
        warnings.append(f"{len(task.queries)} of {card.queries} queries: no part of any average")
    result = TaskResult(
        **_facts(card),
        status="done",
        complete=task.complete,
        n_queries=len(task.queries),
        n_candidates=len(task.candidates),
        prompting=prompting,
        metrics={
            name: MetricResult(**{k: v for k, v in dataclasses.asdict(value).items() if k != "metric"})
            for name, value in metrics.items()
        },
        signature=line,
        samples=f"samples/{card.name}.parquet",
        warnings=tuple(warnings),
    )
    return Evaluated(result, samples_table(task, ranking, line))


def load_task(card: TaskCard, folder: DataFolder, settings: Settings) -> Task:
    """Read a task with the user's choices.

    Raises:
        DataError: rows that cannot be read as this task.
    """
    options = LoadOptions(settings.limit, settings.official_dedup, upright=settings.exif == "apply")
    try:
        return suites()[card.suite].load(card, folder, options)
    except EvalkitError:
        raise
    # A suite may be other people's code; the other tasks go on all the same.
    except Exception as error:
        raise DataError(f"task {card.name} cannot be loaded: {type(error).__name__}: {error}") from error


def prompting_of(task: Task, loaded: LoadedEmbedder, wanted: str | None = None) -> str | None:
    """How the task's regions are to reach the embedder; ``None`` where it has no regions.

    Args:
        task: as it was loaded.
        loaded: the embedder.
        wanted: one of :data:`evalkit.prompting.MODES`; where it is ``None``, ``native`` if the embedder takes
            all kinds of region that the task has, else ``text``.

    Raises:
        EmbedderError: ``native`` is wanted, but the embedder does not take the task's regions.
        UsageError: there is no such mode.
    """
    if wanted is not None and wanted not in MODES:
        raise UsageError(f"prompting {wanted!r} is not one of {', '.join(MODES)}")
    kinds = {region_kind(item.region) for item in (*task.queries, *task.candidates) if item.region is not None}
    if not kinds:
        return None
    lacking = sorted(kinds - loaded.info.regions)
    if lacking and wanted == "native":
        raise EmbedderError(
            f"{task.card.name} has regions of {' and '.join(lacking)}; {loaded.info.name} takes "
            f"{', '.join(sorted(loaded.info.regions)) or 'none'} as an input of its own (info.regions): "
            "run it with --prompting text, crop or none"
        )
    return wanted or ("text" if lacking else "native")


def prompted_task(task: Task, prompting: str, images: ImageIndex) -> Task:
    """The task as the embedder gets it: its regions by one of :data:`evalkit.prompting.MODES`.

    Raises:
        ItemError: a region that cannot be prompted so, or an image or a mask that cannot be read, with its row.
    """

    def given(item: Item) -> Item:
        try:
            return prompted(item, prompting, images.facts)
        except ItemError as error:
            raise type(error)(f"{error} (item {describe(item)})", item) from error

    with rows_named(task):
        images.gather(item for items in (task.queries, task.candidates) for item in items if item.region is not None)
        queries, candidates = ([given(item) for item in items] for items in (task.queries, task.candidates))
    return dataclasses.replace(task, queries=queries, candidates=candidates)


def encode_task(task: Task, encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The vectors of a task's queries and of its candidates.

    Raises:
        ItemError: an image or a region that cannot be used, with its row.
    """
    with rows_named(task):
        return encoder.encode(task.queries, "query"), encoder.encode(task.candidates, "candidate")


@contextmanager
def rows_named(task: Task) -> Iterator[None]:
    """Errors about items of the task say which row."""
    try:
        yield
    except ItemError as error:
        if (row := row_of(task, error)) is None:
            raise
        raise type(error)(f"{error}, {row}") from error


def row_of(task: Task, error: ItemError) -> str | None:
    """Where the item that an error concerns comes first in a task: its side and row."""
    for row, (query, pool) in enumerate(zip(task.queries, task.pools, strict=True)):
        if concerns(error, query):
            return f"query of {task.where(row)}"
        if any(concerns(error, task.candidates[number]) for number in pool):
            return f"candidate of {task.where(row)}"
    return None


def require_modalities(task: Task, loaded: LoadedEmbedder) -> None:
    """A number that ignores half of the input is worse than none.

    Raises:
        EmbedderError: the task has items of a modality that the embedder does not say it takes.
    """
    needed = {item.modality for items in (task.queries, task.candidates) for item in items}
    if lacking := sorted(needed - loaded.info.modalities):
        raise EmbedderError(
            f"{task.card.name} has items of {' and '.join(lacking)}; {loaded.info.name} takes "
            f"{', '.join(sorted(loaded.info.modalities))} (info.modalities)"
        )


def open_run(loaded: LoadedEmbedder, runs: Path, settings: Settings, device: str) -> RunFolder:
    """The folder of this embedder with these settings, new or as an earlier command left it."""
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
        ),
        settings=settings,
        environment=environment(device),
    )
    return RunFolder(runs / loaded.folder / run_id, manifest)


def summary(result: TaskResult) -> str:
    """A task's result in one line."""
    if result.metrics is None:
        return f"{result.task}: failed"
    p1 = result.metrics["precision_at_1"]
    ties = f", {p1.n_ties} ties: optimistic {p1.optimistic:.2%}" if p1.n_ties else ""
    regions = f", prompting {result.prompting}" if result.prompting else ""
    interval = f"[{p1.low:.2%}, {p1.high:.2%}]"
    return f"{result.task}: P@1 {p1.value:.2%} {interval} (chance {p1.chance:.2%}, n {p1.n}{ties}{regions})"


def _facts(card: TaskCard) -> dict[str, Any]:
    return {
        "task": card.name,
        "task_version": card.version,
        "suite": card.suite,
        "meta_task": card.meta_task,
        "distribution": card.distribution,
    }

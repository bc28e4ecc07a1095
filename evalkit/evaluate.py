"""The main job: one embedder over some tasks, from rows on disk to a run on disk."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.device import device_name
from evalkit.embedders.modeltext import ModelSpec
from evalkit.embedders.registry import load_embedder
from evalkit.encoding.batches import BATCH_TOKENS
from evalkit.encoding.encode import Encoder
from evalkit.encoding.forward import EncodingStats
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.store import VectorStore
from evalkit.errors import EvalkitError, ResultsError, StaleVectorsError, StoreError
from evalkit.files import inside
from evalkit.onetask import Embedded, embed_task, score_task
from evalkit.preflight import require_some, told, unfit, unreadable
from evalkit.progress import Progress
from evalkit.runs.manifest import Manifest, Settings, TaskResult, departs
from evalkit.runs.opening import at_dimensions, disown, open_run
from evalkit.runs.runfolder import RunFolder
from evalkit.runs.timing import Timing
from evalkit.suites.card import TaskCard
from evalkit.suites.task import DataFolder, Task, card_of


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


@dataclass
class OpenedRun:
    """A run that is being written: one embedder at one dimension.

    Attributes:
        run: its folder and its manifest.
        settings: the user's choices, with the dimension.
        timing: of this command.
        encoding: by task, what encoding did in this command.
        errors: by task, why it failed in this command.
    """

    run: RunFolder
    settings: Settings
    timing: Timing
    encoding: dict[str, EncodingStats] = field(default_factory=dict)
    errors: dict[str, EvalkitError] = field(default_factory=dict)


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
        For each job its runs, one a dimension, or why the model could not be run; the others go on.

    Raises:
        UsageError: no task can be run, whatever the model is; nothing is loaded or written.
        StoreError: the store cannot be read or written; no other job would do better.
        ResultsError: the runs cannot be written.
    """
    index, progress = ImageIndex(), progress or Progress(quiet=True)
    missing = unreadable(tasks, folder)
    require_some(missing, tasks)
    told(missing, tasks, progress)
    with ExitStack() as stack:
        kept: VectorStore | None = None
        for job in jobs:
            outcomes: Sequence[Ran | EvalkitError]
            try:
                loaded = load_embedder(job.spec, device)
                cannot = unfit([task for task in tasks if card_of(task).name not in missing], job.settings, loaded)
                require_some(missing | cannot, tasks, loaded.info.name)
                told(cannot, tasks, progress, loaded.info.name)
                if kept is None:  # a command of which no model can be loaded leaves no files
                    kept = stack.enter_context(
                        VectorStore(store or inside(runs, "vectors.sqlite"), rebuild=rebuild_store)
                    )
                encoder = Encoder(
                    loaded, kept, index, batch_tokens, job.settings.vectors, progress, device, trust_store
                )
                written = evaluate(encoder, tasks, folder, runs, job.settings, device_name(device), missing | cannot)
                outcomes = [Ran(job, one.run.folder, one.run.manifest, one.encoding) for one in written]
            except StaleVectorsError as error:  # another model's vectors may hold
                outcomes = [error]
            except (StoreError, ResultsError):
                raise
            except EvalkitError as error:
                outcomes = [error]
            yield from outcomes


def evaluate(
    encoder: Encoder,
    tasks: Sequence[TaskCard | Task],
    folder: DataFolder | None,
    runs: Path,
    settings: Settings,
    device: str,
    refused: Mapping[str, EvalkitError] | None = None,
) -> list[OpenedRun]:
    """Run one embedder over tasks, writing each result as soon as it is there.

    Where the embedder is to be scored at several dimensions there is a run for each, of the same vectors: a task is
    embedded once, and ranked in all runs before the next one begins.

    A task that fails is recorded as failed and the others go on; a store or a results folder that cannot
    be written, or vectors in the store that the embedder would not make now, end the runs as failed, and what was
    written stays valid.

    Args:
        encoder: the embedder with its store.
        tasks: their cards, or tasks that were read already; each is evaluated on its own.
        folder: where the data of cards lies.
        runs: the RUNS folder; a run goes to ``runs/<model>/<run id>``.
        settings: the user's choices.
        device: what the embedder runs on, for the record.
        refused: by name, tasks that were found not to run before (:mod:`evalkit.preflight`), and why.

    Returns:
        For each dimension, in the order that they were asked for, what was written.
    """
    cards, refused = [card_of(task) for task in tasks], refused or {}
    progress, loaded = encoder.progress, encoder.loaded
    if loaded.departs and loaded.card is not None:
        progress.say(departs(loaded.card.name, loaded.departs))
    written = [
        OpenedRun(
            open_run(loaded, cards, runs, own, device), own, Timing(device, encoder.batch_tokens, encoder.trust_store)
        )
        for own in at_dimensions(loaded, settings)
    ]
    try:
        with progress.run(loaded.info.name, len(cards)):
            for task, card in zip(tasks, cards, strict=True):
                with progress.task(card.name):
                    _task_into(written, encoder, task, folder, refused.get(card.name))
                    if encoder.distrusted:
                        for one in written:
                            disown(one.run, {card.name for card in cards})
                failed = written[0].errors.get(card.name)
                if isinstance(failed, StaleVectorsError):
                    raise failed
                for one in written if card.name not in refused else ():  # of the others it was said before
                    _say(progress, one, card)
        for one in written:
            one.run.finish("done")
    except BaseException as error:
        with suppress(ResultsError):  # a full disk must not hide why the run ends
            for one in written:
                if isinstance(error, StoreError | KeyboardInterrupt):
                    one.run.finish("failed" if isinstance(error, StoreError) else "interrupted")
                one.run.write_timing(one.timing.report())
        raise
    for one in written:
        one.run.write_timing(one.timing.report())
    return written


def _task_into(
    written: Sequence[OpenedRun],
    encoder: Encoder,
    task: TaskCard | Task,
    folder: DataFolder | None,
    refused: EvalkitError | None,
) -> None:
    """Evaluate a task, and record what it gave in the run of each dimension."""
    card, embedded = card_of(task), None
    for one in written:
        with one.timing.of(card.name) as clock:
            if embedded is None:
                embedded = refused or embed_task(encoder, task, folder, one.settings, clock)
            evaluated = score_task(embedded, card, encoder, folder, one.settings, clock)
            one.run.record(evaluated.result, evaluated.samples, evaluated.conditions, card)
            one.encoding[card.name] = evaluated.encoding
            if evaluated.error is not None:
                one.errors[card.name] = evaluated.error
            if isinstance(embedded, Embedded):
                embedded = embedded.again()


def _say(progress: Progress, one: OpenedRun, card: TaskCard) -> None:
    """What a task gave in a run, in one line."""
    cut = one.settings.dimension
    at = "" if cut is None else f" at dimension {cut}"
    result = next(result for result in one.run.manifest.tasks if result.task == card.name)
    if (error := one.errors.get(card.name)) is not None:
        progress.say(f"{card.name}{at}: failed: {error}")
    else:
        progress.result(summary(result, one.encoding[card.name], at))


def summary(result: TaskResult, encoding: EncodingStats, at: str = "") -> str:
    """A task's result in one line; ``at`` is said after its name."""
    if result.metrics is None:
        return f"{result.task}{at}: failed"
    p1 = result.metrics["precision_at_1"]
    ties = f", {p1.n_ties} ties: optimistic {p1.optimistic:.2%}" if p1.n_ties else ""
    regions = f", prompting {result.prompting}" if result.prompting else ""
    interval = f"[{p1.low:.2%}, {p1.high:.2%}]"
    reused = f", {reused_of(encoding)} vectors reused"
    return f"{result.task}{at}: P@1 {p1.value:.2%} {interval} (chance {p1.chance:.2%}, n {p1.n}{ties}{regions}{reused})"


def reused_of(encoding: EncodingStats) -> str:
    """How many of a task's vectors were in the store, such as ``96 of 128``."""
    return f"{encoding.reused} of {encoding.distinct}"

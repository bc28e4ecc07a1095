"""Before a run begins: which of its tasks will not run, and why, as far as cards, files' names and a model's info say.

Nothing of this reads rows or loads weights. What only rows can say is found when a task is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.embedders.modeltext import ModelSpec
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.given import require_card, require_read
from evalkit.errors import EvalkitError, UsageError
from evalkit.onetask import metrics_of
from evalkit.progress import Progress
from evalkit.runs.manifest import Settings
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import load_task, require_rows
from evalkit.suites.task import DataFolder, Task, card_of

Refused = dict[str, EvalkitError]
"""By the task's name, why it will not run."""


def unreadable(tasks: Sequence[TaskCard | Task], folder: DataFolder | None) -> Refused:
    """Tasks that no model can be run on: no files of their rows, or a metric that there is none of.

    Args:
        tasks: their cards, or tasks that were read already.
        folder: where the data of cards lies.
    """

    def look(task: TaskCard | Task) -> None:
        metrics_of(card_of(task))
        if not isinstance(task, Task):
            require_rows(task, folder)

    return _refused(tasks, look)


def unfit(tasks: Sequence[TaskCard | Task], settings: Settings, loaded: LoadedEmbedder) -> Refused:
    """Tasks that this model cannot be run on with these settings: modalities or regions that it does not take.

    Args:
        tasks: their cards, or tasks that were read already.
        settings: the user's choices.
        loaded: the embedder.
    """

    def look(task: TaskCard | Task) -> None:
        if isinstance(task, Task):
            require_read(load_task(task, None, settings.load_options), loaded, settings.prompting)
        else:
            require_card(task, loaded, settings.prompting)

    return _refused(tasks, look)


def require_some(refused: Mapping[str, EvalkitError], tasks: Sequence[TaskCard | Task], model: str = "") -> None:
    """Whether there is anything to do.

    Args:
        refused: of :func:`unreadable` and :func:`unfit`.
        tasks: all that were asked for.
        model: its name, where it is the model that cannot be run on the rest.

    Raises:
        UsageError: no task can run; says of each why.
    """
    if tasks and len(refused) == len(tasks):
        whose = f"{model}: " if model else ""
        why = "; ".join(f"{name}: {error}" for name, error in refused.items())
        raise UsageError(f"{whose}no task can run, and nothing was done: {why}")


def told(
    refused: Mapping[str, EvalkitError], tasks: Sequence[TaskCard | Task], progress: Progress, model: str = ""
) -> None:
    """Say which tasks will not run and why, a line each below a line of how many; nothing where all will.

    Args:
        refused: of :func:`unreadable` or :func:`unfit`.
        tasks: all that were asked for.
        progress: who says it.
        model: its name, where it is its own doing.
    """
    if refused:
        whose = f"{model}: " if model else ""
        progress.say(f"{whose}{len(refused)} of {len(tasks)} tasks will not run:")
        for name, error in refused.items():
            progress.say(f"- {name}: {error}")


@dataclass(frozen=True)
class Rehearsed:
    """What a run of a model would do.

    Attributes:
        model: its name.
        dimensions: that it would be scored at.
        refused: tasks that would not run, and why.
    """

    model: str
    dimensions: tuple[int, ...]
    refused: Refused


def rehearse(
    specs: Iterable[ModelSpec],
    tasks: Sequence[TaskCard | Task],
    folder: DataFolder | None,
    settings: Settings,
    device: str = "auto",
) -> Iterator[Rehearsed | EvalkitError]:
    """What a run would do, without embedding or writing anything.

    Args:
        specs: of the models.
        tasks: their cards, or tasks that were read already.
        folder: where the data of cards lies.
        settings: the user's choices.
        device: what the models would run on.

    Yields:
        For each model what would be run, or why the model could not be.
    """
    missing = unreadable(tasks, folder)
    for spec in specs:
        try:
            loaded = load_embedder(spec, device)
            cannot = unfit([task for task in tasks if card_of(task).name not in missing], settings, loaded)
            yield Rehearsed(loaded.info.name, loaded.dimensions or (loaded.info.dimension,), missing | cannot)
        except EvalkitError as error:
            yield error


def _refused(tasks: Sequence[TaskCard | Task], look: Callable[[TaskCard | Task], None]) -> Refused:
    found: Refused = {}
    for task in tasks:
        try:
            look(task)
        except EvalkitError as error:
            found[card_of(task).name] = error
    return found

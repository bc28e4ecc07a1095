"""A task as an embedder gets it: loaded with the user's choices, its regions prompted, its errors with their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.contract import describe
from evalkit.encoding.imageindex import ImageIndex
from evalkit.errors import EmbedderError, ItemError
from evalkit.items import Item, concerns, region_kind
from evalkit.items.prompting import MODES, prompted
from evalkit.suites.card import TaskCard
from evalkit.suites.task import Task


def prompting_of(task: Task, loaded: LoadedEmbedder, wanted: str | None = None) -> str | None:
    """How the task's regions are to reach the embedder; ``None`` where it has no regions.

    Args:
        task: as it was loaded.
        loaded: the embedder.
        wanted: one of :data:`evalkit.items.prompting.MODES`; where it is ``None``, ``native`` if the embedder takes
            all kinds of region that the task has, else ``text``.

    Raises:
        EmbedderError: its own input is wanted (``native``), but the embedder does not take the task's regions.
        UsageError: there is no such mode.
    """
    if wanted is not None:
        MODES.named(wanted)
    kinds = {region_kind(item.region) for item in (*task.queries, *task.candidates) if item.region is not None}
    if not kinds:
        return None
    lacking = sorted(kinds - loaded.info.regions)
    if lacking and wanted is not None and MODES[wanted].region_input:
        raise _no_such_input(f"{task.card.name} has regions of {' and '.join(lacking)}", loaded)
    return wanted or ("text" if lacking else "native")


def _no_such_input(what: str, loaded: LoadedEmbedder) -> EmbedderError:
    *others, last = (mode.name for mode in MODES.values() if not mode.region_input)
    return EmbedderError(
        f"{what}; {loaded.info.name} takes {', '.join(sorted(loaded.info.regions)) or 'none'} as an input of its own "
        f"(info.regions): run it with --prompting {', '.join(others)} or {last}"
    )


def prompted_task(task: Task, prompting: str, images: ImageIndex) -> Task:
    """The task as the embedder gets it, of a mode with several views the first: :func:`prompted_views`.

    Raises:
        ItemError: a region that cannot be prompted so, or an image or a mask that cannot be read, with its row.
    """
    return prompted_views(task, prompting, images)[0]


def prompted_views(task: Task, prompting: str, images: ImageIndex) -> list[Task]:
    """The task as the embedder gets it: its regions by one of :data:`evalkit.items.prompting.MODES`.

    Returns:
        A task for each view of the mode. They differ in the items that have a region; others are the very same.

    Raises:
        ItemError: a region that cannot be prompted so, or an image or a mask that cannot be read, with its row.
    """

    def given(item: Item, view: int) -> Item:
        try:
            return prompted(item, prompting, images.facts, view)
        except ItemError as error:
            raise type(error)(f"{error} (item {describe(item)})", item) from error

    found = []
    with rows_named(task):
        images.gather(item for items in (task.queries, task.candidates) for item in items if item.region is not None)
        for view in range(len(MODES[prompting].views)):
            queries, candidates = ([given(item, view) for item in items] for items in (task.queries, task.candidates))
            found.append(dataclasses.replace(task, queries=queries, candidates=candidates))
    return found


def require_modalities(task: Task, loaded: LoadedEmbedder) -> None:
    """A number that ignores half of the input is worse than none.

    Raises:
        EmbedderError: the task has items of a modality that the embedder does not say it takes.
    """
    needed = {item.modality for items in (task.queries, task.candidates) for item in items}
    _require(needed, task.card.name, loaded)


def require_card(card: TaskCard, loaded: LoadedEmbedder, wanted: str | None = None) -> None:
    """The same as far as the card says it, before rows are read; what an item with a region becomes it does not say.

    Args:
        card: of the task.
        loaded: the embedder.
        wanted: how regions are to reach it, as :func:`prompting_of` has it.

    Raises:
        EmbedderError: its queries or candidates are of a modality that the embedder does not say it takes, or have
            regions that are to be its own input, and it takes none.
    """
    sides = {card.query_modality, card.candidate_modality}
    if "image+region" in sides and wanted is not None and MODES[wanted].region_input and not loaded.info.regions:
        raise _no_such_input(f"{card.name} has regions", loaded)
    needed = {str(side) for side in sides if side != "image+region"}
    if "image+region" in sides and not {"image", "image+text"} & loaded.info.modalities:
        needed.add("image")
    _require(needed, card.name, loaded)


def require_read(task: Task, loaded: LoadedEmbedder, wanted: str | None = None) -> None:
    """The same of a task that was read already, before anything else is made of it; arguments as of a card.

    Raises:
        EmbedderError: as :func:`require_card`, and for kinds of region that the embedder does not take.
    """
    prompting_of(task, loaded, wanted)
    items = [item for items in (task.queries, task.candidates) for item in items]
    needed = {item.modality for item in items if item.region is None}
    if not {"image", "image+text"} & loaded.info.modalities:
        needed |= {"image" for item in items if item.region is not None}
    _require(needed, task.card.name, loaded)


def _require(needed: Collection[str], task: str, loaded: LoadedEmbedder) -> None:
    if lacking := sorted({*needed} - loaded.info.modalities):
        raise EmbedderError(
            f"{task} has items of {' and '.join(lacking)}; {loaded.info.name} takes "
            f"{', '.join(sorted(loaded.info.modalities))} (info.modalities)"
        )


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

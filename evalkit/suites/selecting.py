"""The installed suites, and choosing tasks of them by name."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from functools import cache

from evalkit.errors import DataError, EvalkitError, UsageError
from evalkit.plugins import plugins
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.suite import Suite
from evalkit.suites.task import DataFolder, LoadOptions, Task

PUBLISHED = ("mmeb", "scar")  # the suites that ``all`` stands for


@cache
def suites() -> dict[str, Suite]:
    """All installed suites by name: the published ones first, then evalkit's others, then other packages'.

    Raises:
        UsageError: the suite of another package that cannot be imported.
    """
    found: dict[str, Suite] = {}
    points = plugins("evalkit.suites")
    for name in sorted(points, key=lambda name: name not in PUBLISHED):  # stable: mmeb, scar, then the rest
        point = points[name]
        if name == OWN:
            raise UsageError(f"suite {OWN!r} ({point.value}) has the name of people's own tasks: give it another one")
        try:
            found[name] = point.load()
        except Exception as error:
            raise UsageError(
                f"suite {name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}; "
                "repair or uninstall its package"
            ) from error
    return found


def all_cards() -> tuple[TaskCard, ...]:
    """The cards of all installed suites.

    Raises:
        DataError: a card of another suite's name, or two tasks of one name.
    """
    found: dict[str, TaskCard] = {}
    for name, suite in suites().items():
        for card in suite.cards():
            if card.suite != name:
                raise DataError(f"suite {name!r}: its card {card.name} says that it is of suite {card.suite!r}")
            if card.name in found:
                raise DataError(f"suites {found[card.name].suite!r} and {name!r} both have a task {card.name}")
            found[card.name] = card
    return tuple(found.values())


def suite_of(task: str) -> Suite | None:
    """The installed suite that has a task of this name; ``None`` where none has.

    Raises:
        UsageError: as :func:`suites`.
    """
    return next((suite for suite in suites().values() if any(card.name == task for card in suite.cards())), None)


def select_tasks(selectors: Iterable[str], cards: Sequence[TaskCard] | None = None) -> tuple[TaskCard, ...]:
    """Choose tasks: a suite, ``all`` (mmeb and scar), a group, a task name or a glob; no task twice.

    Args:
        selectors: any number; a comma separates several in one.
        cards: to choose from; the installed ones by default.

    Returns:
        The chosen cards, in the order of :func:`all_cards` whatever the order of the selectors.

    Raises:
        UsageError: a selector that chooses nothing, with the names nearest to it, or no selector at all.
    """
    cards = all_cards() if cards is None else cards
    chosen: set[str] = set()
    for selector in (part.strip() for text in selectors for part in text.split(",") if part.strip()):
        found = [card.name for card in cards if _answers(card, selector)]
        if not found:
            raise UsageError(f"no task, group or suite is called {selector!r}{_near(selector, cards)}")
        chosen.update(found)
    if not chosen:
        raise UsageError("no task is named (evalkit tasks lists them)")
    return tuple(card for card in cards if card.name in chosen)


def _answers(card: TaskCard, selector: str) -> bool:
    if selector == "all":
        return card.suite in PUBLISHED
    names = (card.name, f"{card.suite}/{card.name}", *card.groups)
    if any(c in selector for c in "*?["):
        return any(fnmatch.fnmatchcase(name, selector) for name in names[:2])
    return selector in names


def _near(selector: str, cards: Sequence[TaskCard]) -> str:
    names = sorted({name for card in cards for name in (card.name, *card.groups)} | {"all"})
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(selector.lower(), lower, n=3, cutoff=0.5)
    hint = f"; near: {', '.join(lower[n] for n in near)}" if near else ""
    return f"{hint} (evalkit tasks lists them)"


def load_task(task: TaskCard | Task, folder: DataFolder | None, options: LoadOptions) -> Task:
    """Read a task with the user's choices; one that was read already gets them.

    Args:
        task: its card, or itself.
        folder: where the data of cards lies.
        options: the choices.

    Raises:
        DataError: rows that cannot be read as this task, or no folder that would have them.
    """
    if isinstance(task, Task):
        return task.under(options)
    card = task
    if folder is None:
        raise DataError(f"task {card.name} is read from a data folder, and none is named")
    try:
        return suites()[card.suite].load(card, folder, options)
    except EvalkitError:
        raise
    # A suite may be other people's code; the other tasks go on all the same.
    except Exception as error:
        raise DataError(f"task {card.name} cannot be loaded: {type(error).__name__}: {error}") from error

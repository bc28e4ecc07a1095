"""The installed suites, and choosing tasks: of them by name, and people's own by their folders."""

from __future__ import annotations

import difflib
import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from evalkit.errors import DataError, EvalkitError, UsageError
from evalkit.plugins import plugins
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.suite import Suite
from evalkit.suites.task import DataFolder, LoadOptions, Task, card_of

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
            folder = f", and {selector} is no folder" if "/" in selector else ""
            raise UsageError(f"no task, group or suite is called {selector!r}{folder}{_near(selector, cards)}")
        chosen.update(found)
    if not chosen:
        raise UsageError("no task is named (evalkit tasks lists them)")
    return tuple(card for card in cards if card.name in chosen)


def chosen_tasks(
    selectors: Iterable[str | os.PathLike[str] | Task], *, follow_links: bool = False
) -> tuple[TaskCard | Task, ...]:
    """Choose tasks as :func:`select_tasks`, and people's own by their folders, which are read at once.

    A selector that begins with ``.``, ``/`` or ``~`` is a folder, or a glob of folders. Any other is a folder where
    nothing installed is called so and such a folder exists. Where a comma is part of a folder's name, the folder that
    exists is meant.

    Args:
        selectors: any number; a comma separates several in one. A path is a folder, and what is a task already is
            taken as it is.
        follow_links: links in own tasks' folders may lead out of them.

    Returns:
        The cards of installed tasks in their order, then own tasks in the order of the selectors, each once.

    Raises:
        UsageError: a selector that chooses nothing, or no selector at all; a folder that is no task's or cannot be
            read as one; two tasks of one name.
    """
    cards, named, folders, held = all_cards(), list[str](), dict[str, Path](), list[Task]()
    for selector in (part for given in selectors for part in _selected(given, cards)):
        if isinstance(selector, Task):
            held.append(selector)
        elif isinstance(selector, Path):
            folders.setdefault(os.path.realpath(selector), selector)
        else:
            named.append(selector)
    chosen = select_tasks(named, cards) if named or not (folders or held) else ()
    taken, own = taken_names(cards), []
    for folder in folders.values():
        try:
            task = Task.from_folder(folder, follow_links=follow_links)
        except DataError as error:  # on a command line it is the input that is bad
            raise UsageError(str(error)) from error
        if (other := taken.setdefault(task.card.name.casefold(), str(folder))) != str(folder):
            raise UsageError(
                f"{folder} is called {task.card.name!r}, and so is {other}: give it another name in its card.toml"
            )
        own.append(task)
    for task in held:
        if (name := task.card.name.casefold()) in taken:
            raise UsageError(f"a task is called {task.card.name!r}, and so is {taken[name]}: give it another name")
        taken[name] = "another one of these tasks"
    return (*chosen, *own, *held)


def taken_names(cards: Iterable[TaskCard]) -> dict[str, str]:
    """The names that no own task may have, in lower case, and what each is called already.

    Their case alone would not tell two files of one run apart on some disks.

    Args:
        cards: of the installed tasks.
    """
    taken = {"all": "the selector of all published tasks", OWN: "the suite of own tasks"}
    for card in cards:
        taken |= dict.fromkeys(map(str.casefold, card.groups), f"a group or suite of {card.suite}")
        taken[card.name.casefold()] = f"a task of {card.suite}"
    return taken


_MARKS = (".", "/", "~")  # of what is a folder, whatever is installed


def _selected(given: object, cards: Sequence[TaskCard]) -> Iterator[str | Path | Task]:
    if isinstance(given, str):
        yield from _parts(given, cards)
    elif isinstance(given, os.PathLike):
        yield Path(given)
    elif isinstance(given, Task):
        yield given
    else:
        raise UsageError(
            f"{given!r:.80} ({type(given).__name__}) is no task: give selectors, folders, or Tasks (of rows: "
            "Task.from_rows, from_pandas or from_dataset)"
        )


def _parts(text: str, cards: Sequence[TaskCard]) -> Iterator[str | Path]:
    """The selectors of a text with commas; those that are folders as paths."""
    pieces = text.split(",")
    while pieces:
        for count in range(len(pieces), 0, -1):
            joined = ",".join(pieces[:count]).strip()
            known = all(any(_answers(card, piece.strip()) for card in cards) for piece in pieces[:count])
            place = Path(joined).expanduser()
            if joined and (joined.startswith(_MARKS) or not known) and os.path.isdir(place):
                yield place
                break
        else:
            count, piece = 1, pieces[0].strip()
            place = Path(piece).expanduser()
            if piece.startswith(_MARKS) and glob.has_magic(piece) and (found := sorted(glob.glob(str(place)))):
                yield from (Path(one) for one in found if os.path.isdir(one))
            elif piece.startswith(_MARKS) or (not known and os.sep in piece and os.path.lexists(place)):
                yield place  # and say later what is wrong with it
            elif piece:
                yield piece
        del pieces[:count]


def as_selector(folder: Path) -> str:
    """A folder as a selector that is read as one, whatever is installed."""
    text = str(folder)
    return text if text.startswith(_MARKS) else f"./{text}"


def data_of(
    tasks: Iterable[TaskCard | Task],
    data: Path | None,
    images: Sequence[Path],
    *,
    follow_links: bool = False,
    said: str = "--",
) -> DataFolder | None:
    """The data folder that tasks are read from; ``None`` where none needs any.

    Args:
        tasks: cards, or tasks that were read already.
        data: the folder, if one is named.
        images: images folders that are named.
        follow_links: links of images may lead anywhere.
        said: what an error writes before ``data`` and ``images``.

    Raises:
        UsageError: it is needed and not named, or a folder that was named does not exist.
    """
    if data is not None:
        return DataFolder.at(data, images, follow_links=follow_links)
    names = [card_of(task).name for task in tasks if not isinstance(task, Task)]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UsageError(
            f"{said}data is missing: {names[0]}{more} {'are' if more else 'is'} read from a data folder (a task of "
            "your own in a folder needs none)"
        )
    if images:
        raise UsageError(f"{said}images {images[0]}: the images of your own tasks are in their folders; leave it out")
    return None


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


def require_rows(card: TaskCard, folder: DataFolder | None) -> None:
    """Look for the files of a card's rows, as far as its suite says which they are; nothing is read.

    Raises:
        DataError: they are not there, or no folder is named that would have them.
    """
    if folder is None:
        raise DataError(f"task {card.name} is read from a data folder, and none is named")
    try:
        look = getattr(suites()[card.suite], "require_files", None)
        if look is not None:
            look(card, folder)
    except EvalkitError:
        raise
    except Exception as error:
        raise DataError(f"task {card.name} cannot be loaded: {type(error).__name__}: {error}") from error

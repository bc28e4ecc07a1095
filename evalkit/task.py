"""Tasks: the card (frozen facts), the loaded task, and choosing tasks by name.

A card is a TOML file, ``tasks/<suite>/<name>.toml``. A task is what a suite makes of a card and the rows
on disk: queries, distinct candidates, and per query the pool that it is ranked against.
"""

from __future__ import annotations

import difflib
import fnmatch
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import DataError, UsageError
from evalkit.folders import ImageFolders
from evalkit.images import Held, ImageFile
from evalkit.items import Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MetaTask = Literal["classification", "vqa", "retrieval", "grounding", "visual-interactive"]
PUBLISHED = ("mmeb", "scar")  # the suites that ``all`` stands for
Modality = Literal["text", "image", "image+text", "image+region"]


class Source(BaseModel):
    """Where a task's rows come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str
    """Data set on the Hugging Face hub."""
    layout: Literal["mmeb-v1", "mmeb-v2", "scar", "generated"]
    """How the rows are laid out there."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Full git hash; null where none is known."""


class TaskCard(BaseModel):
    """The frozen facts of a task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?$")]
    """Name, as MMEB spells it; SCaR's begin with ``SCaR/``."""
    suite: str
    order: Annotated[int, Field(ge=1)]
    """Place in the suite's table, from 1."""
    version: Annotated[int, Field(ge=1)]
    """Goes up when prompts, pools or labels change."""
    title: str
    """One line for people."""
    meta_task: MetaTask
    distribution: Literal["ind", "ood"] | None = None
    """In- or out-of-distribution with respect to MMEB-train; null where the suite does not say."""
    family: str
    """How rows are read and prompts built (the official loader's name)."""
    query_modality: Modality
    candidate_modality: Modality
    pool: Literal["shared", "own"]
    """One pool for all queries, or one for each."""
    queries: Annotated[int, Field(ge=1)]
    """Number of queries."""
    candidates: Annotated[int, Field(ge=1)]
    """Candidates listed per query."""
    query_instruction: str = ""
    """The instruction of the queries, without image mark; splits v1 rows."""
    candidate_instruction: str = ""
    sources: tuple[Source, ...]
    licence: str
    """Licence of the rows as published, and of the images where it differs."""
    citation: str
    """BibTeX of the data set that the task is made of."""
    notes: tuple[str, ...] = ()

    @property
    def subset(self) -> str:
        """The name without that of its suite: what the data set calls it, and its files."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def groups(self) -> tuple[str, ...]:
        """The selectors that this task answers to, besides its name."""
        groups = [self.suite, f"{self.suite}/{self.meta_task}"]
        if self.distribution:
            groups.append(f"{self.suite}/{self.distribution}")
        return tuple(groups)


@dataclass(frozen=True)
class DataFolder:
    """Where data lies: rows below ``root``, images below ``images``, or else below one of ``more``.

    Attributes:
        root: the data folder.
        images: the first images folder.
        more: further ones, looked into in this order.
        follow_links: links of images may lead anywhere; otherwise into the images folders.
    """

    root: Path
    images: Path
    more: tuple[Path, ...] = ()
    follow_links: bool = False

    @classmethod
    def at(cls, root: Path, images: Path | Sequence[Path] | None = None, *, follow_links: bool = False) -> DataFolder:
        """With the images folders that are named, in this order, and last ``root/images``, or else ``root/../images``.

        Args:
            root: the data folder.
            images: one folder, any number of them, or none.
            follow_links: links of images may lead anywhere.

        Raises:
            UsageError: a folder that was named does not exist.
        """
        if not root.is_dir():
            raise UsageError(f"data folder {root} does not exist")
        named = () if images is None else (images,) if isinstance(images, Path) else tuple(images)
        for folder in named:
            if not folder.is_dir():
                raise UsageError(f"images folder {folder} does not exist")
        beside, own = root.resolve().parent / "images", root / "images"
        usual = beside if beside.is_dir() and not own.is_dir() else own
        if not named:
            return cls(root, usual, follow_links=follow_links)
        return cls(root, named[0], (*named[1:], *([usual] if usual.is_dir() else [])), follow_links)

    @cached_property
    def folders(self) -> ImageFolders:
        """All images folders."""
        return ImageFolders.of((self.images, *self.more), follow_links=self.follow_links)

    def image(self, path: str, *, upright: bool = True, held: Held | None = None) -> ImageFile:
        """An image of the rows, below the first images folder that has it.

        Args:
            path: as the rows have it.
            upright: apply the orientation that the camera recorded.
            held: its bytes, where the rows hold them themselves.
        """
        return ImageFile.below(self.folders, path, upright=upright, held=held)


@dataclass(frozen=True)
class LoadOptions:
    """Choices that change what a task is; each is part of the signature."""

    limit: int | None = None
    """Only the first queries."""
    official_dedup: bool = False
    """Merge candidates by the official key, even where the candidates differ."""
    upright: bool = True
    """Apply the camera's orientation to images (never to an item with a region)."""


@dataclass(frozen=True)
class Task:
    """A loaded task: n queries over m distinct candidates.

    Attributes:
        card: the facts.
        queries: n items.
        ids: n identifiers, made of the content of the rows: stable when rows move or prompts change.
        candidates: m items, distinct.
        names: m names, as the official loader calls the candidates; need not be distinct.
        pools: n arrays of candidate numbers, int32, in the order on disk, with what the rows repeat.
        relevant: n arrays of the candidate numbers that are right, int32, part of the pool, not empty.
        labels: n names, of the right candidates.
        warnings: what a reader of the number should know.
        where: where the row of a query is, by its number, for an error: ``FILE, row 3``.
    """

    card: TaskCard
    queries: Sequence[Item]
    ids: Sequence[str]
    candidates: Sequence[Item]
    names: Sequence[str]
    pools: Sequence[NDArray[np.int32]]
    relevant: Sequence[NDArray[np.int32]]
    labels: Sequence[str]
    options: LoadOptions = field(default_factory=LoadOptions)
    warnings: tuple[str, ...] = ()
    where: Callable[[int], str] = "row {}".format

    def __post_init__(self) -> None:
        import numpy as np

        n = len(self.queries)
        if n == 0:
            raise DataError(f"task {self.card.name} has no rows")
        if not len(self.ids) == len(self.pools) == len(self.relevant) == len(self.labels) == n:
            raise DataError(f"task {self.card.name}: queries, ids, pools, relevant and labels differ in number")
        if len(set(self.ids)) != n:
            raise DataError(f"task {self.card.name}: query ids are not distinct")
        if len(self.names) != len(self.candidates):
            raise DataError(f"task {self.card.name}: candidates and names differ in number")
        for row, (pool, right) in enumerate(zip(self.pools, self.relevant, strict=True)):
            if len(pool) == 0:
                raise DataError(f"task {self.card.name}, row {row}: the pool of candidates is empty")
            if pool.min() < 0 or pool.max() >= len(self.candidates):
                raise DataError(f"task {self.card.name}, row {row}: the pool names a candidate that does not exist")
            inside = (pool == right[0]).any() if len(right) == 1 else len(right) and np.isin(right, pool).all()
            if not inside:
                raise DataError(f"task {self.card.name}, row {row}: the label {self.labels[row]!r} is not in its pool")

    @property
    def complete(self) -> bool:
        """Whether these are all the queries that the card promises."""
        return len(self.queries) == self.card.queries


class Suite(Protocol):
    """What the entry-point group ``evalkit.suites`` holds: an object, not a class."""

    name: str

    def cards(self) -> Sequence[TaskCard]:
        """The cards of the suite, in the order of its paper."""
        ...

    def load(self, card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
        """Read a task.

        Raises:
            DataError: rows that cannot be read, with file, row and value.
        """
        ...


def read_cards(package: str, folder: str) -> tuple[TaskCard, ...]:
    """Read the cards of one folder of a data package, by their ``order``.

    Args:
        package: importable package that holds the folder, e.g. ``evalkit.tasks``.
        folder: folder in it, e.g. ``mmeb``.

    Raises:
        DataError: a card that does not parse, with the file and the field.
    """
    cards = []
    files = (f for f in resources.files(package).joinpath(folder).iterdir() if f.name.endswith(".toml"))
    for file in files:
        try:
            cards.append(TaskCard.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig"))))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise DataError(f"task card {folder}/{file.name}: {error}") from error
    return tuple(sorted(cards, key=lambda card: card.order))


def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, those of evalkit first; nobody can take one of their names."""
    points = sorted(entry_points(group=group), key=lambda p: (not p.value.startswith("evalkit."), p.name, p.value))
    found: dict[str, EntryPoint] = {}
    for point in points:
        found.setdefault(point.name, point)
    return found


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

"""A loaded task: what a suite makes of a card and the rows on disk.

Queries, distinct candidates, and per query the pool that it is ranked against.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import DataError, UsageError
from evalkit.items import Item
from evalkit.items.folders import ImageFolders
from evalkit.items.images import Held, ImageFile
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.own import own_parts
from evalkit.suites.table import TaskColumns, own_rows, table_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


@dataclass(frozen=True, repr=False)
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

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], *, follow_links: bool = False) -> Task:
        """Read a task of your own: ``card.toml``, ``queries.jsonl``, ``candidates.jsonl`` and images.

        Args:
            folder: as ``evalkit new task DIR`` writes one, and docs/tasks-of-your-own.md has it. Its images are looked
                for, and not opened.
            follow_links: links in it may lead out of it: for data that you trust.

        Raises:
            UsageError: there is no such folder, or it is no task's.
            DataError: a file, line or value that cannot be read as this task, or an image that is missing.

        Example:
            >>> import evalkit
            >>> from importlib.resources import files
            >>> task = evalkit.Task.from_folder(files("evalkit.tasks") / "skeleton")  # what evalkit new task writes
            >>> len(task.queries), len(task.candidates), task.labels[1]
            (9, 9, 'red-circle')
        """
        from evalkit.suites.folder import read_folder

        return cls(**read_folder(Path(folder).expanduser(), follow_links=follow_links))

    def __repr__(self) -> str:
        card = self.card
        pool = "one pool for all" if card.pool == "shared" else "own pools"
        queries = f"{len(self.queries)} queries ({card.query_modality})"
        return f"<Task {card.name}: {queries}, {len(self.candidates)} candidates ({card.candidate_modality}), {pool}>"

    @property
    def complete(self) -> bool:
        """Whether these are all the queries that the card promises."""
        return len(self.queries) == self.card.queries

    @classmethod
    def from_rows(
        cls,
        rows: Any,
        *,
        name: str,
        query_text: str | None = None,
        query_image: str | None = None,
        query_box: str | None = None,
        query_point: str | None = None,
        query_mask: str | None = None,
        query_prompt: str | None = None,
        candidates: str | Sequence[Any] | None = None,
        label: str = "label",
        id: str | None = None,
        images: str | os.PathLike[str] | None = None,
        instruction: str = "",
        candidate_instruction: str = "",
        title: str | None = None,
        version: int = 1,
        meta_task: str = OWN,
        metrics: Sequence[str] | None = None,
    ) -> Task:
        """A task of your own, of rows that you hold; ``from_pandas`` and ``from_dataset`` are the same.

        Args:
            rows: mappings of columns to values, a ``pandas.DataFrame``, or a ``datasets.Dataset``.
            name: of letters, digits and ``.``, ``_``, ``+``, ``-``; not that of an installed task.
            query_text: the column with the queries' texts.
            query_image: the column with their images: PIL images, paths, ``{"bytes": …, "path": …}``, or arrays of
                uint8, shape (height, width, 3). A data set's images are read as they are stored.
            query_box: the column with boxes of these images, ``[x0, y0, x1, y1]`` in pixels of the stored image,
                half open: origin top left, x to the right, y down.
            query_point: the column with points of them, ``[x, y]``.
            query_mask: the column with masks of them: images of the same size; what is not black belongs to the region.
            query_prompt: the column with the exact texts for models that follow instructions, ``<image>`` where the
                image goes. Where it is left out they are made as :class:`evalkit.Item` says.
                Where no ``query_…`` is given, columns are called as the keys of items are: ``text``, ``image``,
                ``box``, ``prompt``, ``id`` and so on.
            candidates: the column with each row's own list of candidates, or one list that is the pool of all rows:
                texts, images, or Items. Where it is left out: a column ``candidates``, or else the names of the
                label's ``datasets.ClassLabel``.
            label: the column with what is right: a candidate's number in its pool, from 0, its text, its id, or a list
                of such. Equal candidates are one, so all copies of what is right are right.
            id: the column with the queries' ids; made of their content where it is left out.
            images: the folder that paths of images are relative to, and that none may leave. Where it is left out they
                are relative to the current folder, and may be absolute.
            instruction: what models that follow instructions are told of every query.
            candidate_instruction: likewise of every candidate.
            title: one line for people; the name where it is left out.
            version: goes up when rows change.
            meta_task: one of MMEB's, such as ``retrieval``, if it is of that kind.
            metrics: by name; the first is ``precision_at_1``. Those of MMEB where it is left out.

        Returns:
            The task, read whole; images are opened when they are embedded.

        Raises:
            DataError: there is no such column (names those that are), a value that cannot be what it should be, a label
                that is not in its pool, no rows, or two rows of one id; names row, column and value.

        Example:
            >>> import evalkit
            >>> rows = [{"text": "a red thing", "label": "cherry"}, {"text": "a green thing", "label": 0}]
            >>> task = evalkit.Task.from_rows(rows, name="fruit", candidates=["lime", "cherry"])
            >>> task.labels
            ['cherry', 'lime']
        """
        columns = TaskColumns(
            query_text, query_image, query_box, query_point, query_mask, query_prompt, candidates, label, id, images
        )
        own, shared = own_rows(
            table_of(rows, columns), columns, instruction=instruction, candidate_instruction=candidate_instruction
        )
        facts = {
            "name": name,
            "title": title,
            "version": version,
            "meta_task": meta_task,
            "metrics": None if metrics is None else tuple(metrics),
            "query_instruction": instruction,
            "candidate_instruction": candidate_instruction,
        }
        return cls(**own_parts(facts, own, shared, card=f"task {name!r}"))

    from_pandas = from_rows
    from_dataset = from_rows

    def under(self, options: LoadOptions) -> Task:
        """The task with the user's choices, where it was made without any: it is what its rows would give with them.

        Args:
            options: of which ``limit`` keeps the first queries and the candidates of their pools, and ``upright`` says
                how images without a region are held.

        Raises:
            DataError: candidates are to be merged by an official key, which only official rows have.
        """
        import numpy as np

        if options == self.options:
            return self
        if options.official_dedup:
            raise DataError(f"task {self.card.name}: no official loader says which of its candidates are to be merged")
        pools = {
            id(pool): pool for pool in self.pools[: options.limit]
        }  # one that is shared is one array, and stays so
        used, places = np.unique(np.concatenate(list(pools.values())), return_inverse=True)
        parts = np.split(places.astype(np.int32), np.cumsum([len(pool) for pool in pools.values()])[:-1])
        renumbered = dict(zip(pools, parts, strict=True))
        number = np.zeros(len(self.candidates), dtype=np.int32)
        number[used] = np.arange(len(used), dtype=np.int32)
        return replace(
            self,
            queries=[_held(item, options.upright) for item in self.queries[: options.limit]],
            ids=self.ids[: options.limit],
            candidates=[_held(self.candidates[place], options.upright) for place in used.tolist()],
            names=[self.names[place] for place in used.tolist()],
            pools=[renumbered[id(pool)] for pool in self.pools[: options.limit]],
            relevant=[number[right] for right in self.relevant[: options.limit]],
            labels=self.labels[: options.limit],
            options=options,
        )


def _held(item: Item, upright: bool) -> Item:
    """The item with its image turned by what the camera recorded, or not; a region counts stored pixels."""
    if item.image is None or item.region is not None or item.image.upright == upright or item.image.changed:
        return item
    return replace(item, image=replace(item.image, upright=upright))


def card_of(task: TaskCard | Task) -> TaskCard:
    """The card of a task that was read already, or is still to be read."""
    return task.card if isinstance(task, Task) else task

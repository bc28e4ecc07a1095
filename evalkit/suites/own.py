"""Tasks of people's own: from queries, candidates and labels to what a task is made of.

Where they come from (a folder, rows in memory) is another module's question; what is asked of them is asked here.
"""

from __future__ import annotations

import difflib
import operator
import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from evalkit.errors import DataError
from evalkit.items import Item
from evalkit.items.images import ImageFile
from evalkit.suites import rows
from evalkit.suites.card import OWN, Modality, TaskCard

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILY = "own"
SAID = (
    "name", "title", "version", "meta_task", "licence", "citation", "notes", "metrics", "query_instruction",
    "candidate_instruction",
)  # fmt: skip
"""Facts of a card that its owner says."""
COUNTED = ("queries", "candidates", "pool", "query_modality", "candidate_modality")
"""Facts of a card that its rows say; where its owner says them, too, they have to be the same."""


@dataclass(frozen=True)
class OwnCandidate:
    """A candidate.

    Attributes:
        item: what is embedded.
        id: how labels and results may call it. Where there is none, or the same item has another one elsewhere, they
            call it by its text, or else its image.
    """

    item: Item
    id: str | None = None


@dataclass(frozen=True)
class OwnRow:
    """A query with what it is ranked against.

    Attributes:
        query: the item.
        label: which candidates of its pool are right: a number, counted from 0, an id, a text, or a list of such.
        where: where the row is, for an error.
        candidates: its own pool; ``None`` where it is that of all.
        id: how results call the query; made of its content where there is none.
    """

    query: Item
    label: object
    where: str
    candidates: Sequence[OwnCandidate] | None = None
    id: str | None = None


def own_parts(
    facts: Mapping[str, Any], own: Sequence[OwnRow], shared: Sequence[OwnCandidate], *, card: str = "the task"
) -> dict[str, Any]:
    """What a task is made of, by the names of :class:`evalkit.suites.task.Task`'s attributes.

    Candidates that are the same item are one candidate, and all copies of a right one are right.

    Args:
        facts: the card's, of :data:`SAID` and :data:`COUNTED`, at least ``name``.
        own: one a query.
        shared: the pool of the queries that have none of their own.
        card: where the facts are from, for an error.

    Raises:
        DataError: there are no rows, a pool is empty, a label is not in its pool, two queries have one id, or a fact is
            none or not what the rows say; names the row and the value.
    """
    name = facts.get("name")
    if not own:
        raise DataError(f"{card}: {name!r} has no queries")
    known = _Distinct()
    common = known.pool(shared)
    pools, relevant = [], []
    for row in own:
        pool = common if row.candidates is None else known.pool(row.candidates)
        if not len(pool.numbers):
            raise DataError(f"{row.where}: it has no candidates")
        pools.append(pool.numbers)
        relevant.append(np.unique(pool.right(row.label, row.where)).astype(np.int32))
    names = known.names()
    labels = [min(names[number] for number in right.tolist()) for right in relevant]
    queries = _below_one_folder([row.query for row in own])
    candidates = _below_one_folder(known.items)
    ids = _ids(own, queries, labels, pools, names)
    counted = {
        "queries": len(own),
        "candidates": max(len(pool) for pool in pools),
        "pool": "own" if any(row.candidates is not None for row in own) else "shared",
        "query_modality": _modality(queries),
        "candidate_modality": _modality(candidates),
    }
    return {
        "card": _card(facts, counted, card),
        "queries": queries,
        "ids": ids,
        "candidates": candidates,
        "names": names,
        "pools": pools,
        "relevant": relevant,
        "labels": labels,
        "where": [row.where for row in own].__getitem__,
    }


_SHORT = 100  # letters of a text that others are held against
_LONGEST_NAME = 200  # letters; a file's name has 255 bytes, of which some are its ending's
_SEVERAL = ""  # ids of one item, so that none is its name


class _Distinct:
    """The candidates of a task, each item once."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._ids: list[str | None] = []
        self._numbers: dict[Item, int] = {}

    def pool(self, candidates: Sequence[OwnCandidate]) -> _Pool:
        """A pool by its candidates' numbers."""
        numbers = np.empty(len(candidates), dtype=np.int32)
        for place, candidate in enumerate(candidates):
            number = self._numbers.setdefault(candidate.item, len(self.items))
            if number == len(self.items):
                self.items.append(candidate.item)
                self._ids.append(candidate.id)
            elif candidate.id is not None and candidate.id != self._ids[number]:
                self._ids[number] = _SEVERAL if self._ids[number] is not None else candidate.id
            numbers[place] = number
        return _Pool(candidates, numbers)

    def names(self) -> list[str]:
        """How results call them, in whatever order they came."""
        return [
            id_ or item.text or (item.image.path if item.image is not None else item.prompt)
            for id_, item in zip(self._ids, self.items, strict=True)
        ]


class _Pool:
    """What one query is ranked against, or several are.

    Attributes:
        numbers: of the candidates, int32, in their order.
    """

    def __init__(self, candidates: Sequence[OwnCandidate], numbers: NDArray[np.int32]) -> None:
        self.numbers = numbers
        self._ids: dict[str, int] = {}
        self._texts: dict[str, list[int]] = {}
        for candidate, number in zip(candidates, numbers.tolist(), strict=True):
            if candidate.id is not None:
                self._ids.setdefault(candidate.id, number)
            if candidate.item.text:
                self._texts.setdefault(candidate.item.text, []).append(number)

    def right(self, label: object, where: str) -> list[int]:
        """The numbers of the candidates that a label says are right; not empty.

        Raises:
            DataError: one is not in the pool, or the label is no label.
        """
        if hasattr(label, "tolist"):  # of numpy, torch, pandas
            label = label.tolist()
        if isinstance(label, list | tuple | set | frozenset):
            if not label:
                raise DataError(f"{where}: label is empty: name at least one candidate")
            return [number for one in label for number in self._one(one, where)]
        return self._one(label, where)

    def _one(self, label: object, where: str) -> list[int]:
        if isinstance(label, str):
            if label in self._ids:
                return [self._ids[label]]
            if label in self._texts:
                return self._texts[label]
            raise DataError(
                f"{where}: label {label!r:.200} is not in its pool of {len(self.numbers)}{self._near(label)}"
            )
        place = _whole(label)
        if place is None:
            raise DataError(
                f"{where}: label {label!r:.200} is no label: give a candidate's number in the pool (from 0), its id, "
                "its text, or a list of such"
            )
        if not 0 <= place < len(self.numbers):
            raise DataError(
                f"{where}: label {place} is not in its pool of {len(self.numbers)}: numbers are 0 to "
                f"{len(self.numbers) - 1}"
            )
        return [int(self.numbers[place])]

    def _near(self, label: str) -> str:
        named = list(dict.fromkeys([*self._ids, *self._texts]))
        short = [name for name in named[:10_000] if len(name) <= _SHORT]  # of long ones it would take hours
        near = difflib.get_close_matches(label, short, n=3, cutoff=0.5) if len(label) <= _SHORT else []
        said = [f"{name!r:.{_SHORT}}" for name in near or named[:3]]
        return f" ({'near' if near else 'such as'}: {', '.join(said)})" if said else ""


def _whole(label: object) -> int | None:
    """A label as a whole number; ``None`` where it is none. A column of numbers with gaps has them as 3.0."""
    if isinstance(label, bool | np.bool_):
        return None
    if isinstance(label, float | np.floating):
        return int(label) if float(label).is_integer() else None
    try:
        return operator.index(label)  # type: ignore[arg-type]
    except TypeError:
        return None


def _below_one_folder(items: Sequence[Item]) -> list[Item]:
    """The items with the paths of their images below one folder, so that no two images have one path."""
    roots = {image.root.absolute() for item in items for image in item.images if image.held is None}
    if len(roots) <= 1:
        return list(items)
    root = Path(os.path.commonpath(roots))

    def moved(image: ImageFile) -> ImageFile:
        path = os.path.relpath(image.root.absolute() / image.path, root)
        folders = None if image.folders is None else replace(image.folders, folders=(root,))
        return replace(image, root=root, path=Path(path).as_posix(), folders=folders)

    return [
        item if item.image is None or item.image.held is not None else replace(item, image=moved(item.image))
        for item in items
    ]


def _ids(
    own: Sequence[OwnRow],
    queries: Sequence[Item],
    labels: Sequence[str],
    pools: Sequence[NDArray[np.int32]],
    names: Sequence[str],
) -> list[str]:
    contents = [
        (
            query.image.path if query.image is not None else "",
            query.image.held.digest if query.image is not None and query.image.held is not None else "",
            query.text if query.text or query.image is not None else query.prompt,
            *([repr(query.region)] if query.region is not None else []),
            label,
        )
        for query, label in zip(queries, labels, strict=True)
    ]
    lacking = any(row.id is None for row in own)
    made = rows.sample_ids(contents, lambda row: (names[number] for number in pools[row].tolist())) if lacking else []
    ids, first = [], dict[str, str]()
    for number, row in enumerate(own):
        id_ = made[number] if row.id is None else row.id
        if first.setdefault(id_, row.where) != row.where or not id_:
            raise DataError(f"{row.where}: id {id_!r} is that of {first[id_]}, too: give each query an id of its own")
        ids.append(id_)
    return ids


def _modality(items: Iterable[Item]) -> Modality:
    """What items are, all together, as a card says it."""
    found = {"image+region" if item.region is not None else item.modality for item in items}
    modalities: tuple[Modality, ...] = ("text", "image", "image+text", "image+region")
    if len(found) == 1:
        return next(one for one in modalities if one in found)
    return "image+region" if "image+region" in found else "image+text"


def _card(facts: Mapping[str, Any], counted: Mapping[str, Any], where: str) -> TaskCard:
    for key in facts:
        if key not in (*SAID, *COUNTED):
            near = difflib.get_close_matches(key, (*SAID, *COUNTED), n=1, cutoff=0.5)
            hint = f"; near: {near[0]}" if near else ""
            raise DataError(
                f"{where}: {key!r} is no fact of an own task: they are {', '.join((*SAID, *COUNTED))}{hint}"
            )
    for key in COUNTED:
        if key in facts and facts[key] != counted[key]:
            raise DataError(f"{where}: {key} is {facts[key]!r}, and its rows say {counted[key]!r}: mend one of them")
    filled: dict[str, Any] = {"title": facts.get("name"), "version": 1, "meta_task": OWN, "licence": "", "citation": ""}
    filled |= {key: value for key, value in facts.items() if value is not None} | dict(counted)
    if isinstance(name := facts.get("name"), str) and max(map(len, name.split("/"))) > _LONGEST_NAME:
        raise DataError(f"{where}: name has {len(name)} letters, and files are called by it: {_LONGEST_NAME} at most")
    filled |= {"name": name, "suite": OWN, "order": 1, "family": FAMILY, "sources": ()}
    try:
        return TaskCard.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if key == "name" and first["type"] == "string_pattern_mismatch":
            said = "letters, digits and . _ + -, and at most one / between two parts, each begun by a letter or a digit"
            raise DataError(f"{where}: name is {name!r}: it is of {said}") from None
        raise DataError(f"{where}: {key} is {first['input']!r}: {first['msg']}") from None

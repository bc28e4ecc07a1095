"""What a row of the miniature is made of, and the ways in which the tasks put one together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from evalkit.miniature.drawings import Drawing, Picture
from evalkit.miniature.scenes import Scene

T = TypeVar("T")

POOL = 10
"""Candidates of a row with a pool of its own."""


class DrawnCandidate(NamedTuple):
    """A text, an image, or both."""

    text: str = ""
    drawing: Drawing | None = None


class Wrong(NamedTuple):
    """A candidate that is not right, and how it differs."""

    kind: str
    candidate: DrawnCandidate


@dataclass(frozen=True)
class Example:
    """A row: a query and its pool.

    Attributes:
        query_text: without the instruction.
        query: what the query's image shows.
        candidates: all different; the first is right, and none of the others is.
        kinds: of the candidates: ``right``, then how each differs from it.
        box: x0, y0, x1, y1 of the region that is meant, half open, in pixels of the query's image.
        category: the kind of thing in the box.
    """

    query_text: str
    query: Drawing | None
    candidates: tuple[DrawnCandidate, ...]
    kinds: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None
    category: str = ""


Maker = Callable[[random.Random], Iterator[Example]]
"""Makes the rows of a task, as many as are taken."""


def ranked(text: str, query: Drawing | None, right: DrawnCandidate, wrong: Iterable[Wrong]) -> Example:
    """An example of the right candidate and those of the others that differ from it and from each other."""
    kept = {right: "right"}
    for kind, candidate in wrong:
        if len(kept) < POOL:
            kept.setdefault(candidate, kind)
    return Example(text, query, tuple(kept), tuple(kept.values()))


def answered(text: str, query: Drawing | None, right: str, wrong: Iterable[tuple[str, str]]) -> Example:
    """An example whose candidates are texts; ``wrong`` are pairs of a kind and a text."""
    return ranked(text, query, DrawnCandidate(right), (Wrong(kind, DrawnCandidate(other)) for kind, other in wrong))


def labelled(text: str, query: Drawing | None, right: str, labels: Sequence[str]) -> Example:
    """An example with the pool that all queries of its task share."""
    texts = (right, *(label for label in labels if label != right))
    return Example(text, query, tuple(map(DrawnCandidate, texts)), ("right", *("other",) * (len(texts) - 1)))


def in_turn(rng: random.Random, values: Sequence[T]) -> Iterator[T]:
    """The values in another order each round, so that each comes as often as any other."""
    while True:
        yield from rng.sample(values, len(values))


def other_than(rng: random.Random, values: Iterable[T], *these: T) -> list[T]:
    """The values without some, shuffled."""
    left = [value for value in values if value not in these]
    rng.shuffle(left)
    return left


def pictures(kind: str, scenes: Iterable[Scene]) -> list[Wrong]:
    """Scenes as candidates that differ in one way."""
    return [Wrong(kind, DrawnCandidate("", Picture(scene))) for scene in scenes]


def as_random(scenes: Iterable[Scene], fits: Callable[[Scene], bool]) -> list[Wrong]:
    """Those of the scenes that do not fit, as candidates at random."""
    return pictures("random", (scene for scene in scenes if not fits(scene)))

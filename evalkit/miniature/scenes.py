"""Scenes: a place and some things in it, each where it is, all from a seed.

A scene is what images are drawn from (:mod:`evalkit.miniature.draw`) and what texts are about
(:mod:`evalkit.miniature.grammar`). Things lie in the cells of a grid, one in a cell, so none hides another, except
in :func:`nested`, where a smaller one lies on a larger one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

SIDE = 112
"""Width and height of a scene in pixels."""
GRID = 3
"""Cells of a scene in a row and in a column."""

Relation = Literal["left of", "right of", "above", "below"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
KINDS = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
PLACES = ("beach", "forest", "desert", "snow", "city", "night", "meadow", "kitchen")

# No text says that a thing is tiny, medium or huge.
_RADIUS = {"tiny": 7, "small": 10, "medium": 12, "large": 15, "huge": 24}
_JITTER = 2  # pixels that a thing may be off the middle of its cell
_OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
_ON_TOP = ("star", "cross", "heart", "triangle")  # kinds that leave some of a circle or square below them to see
# Cells (column, row) for a reference and four things on its left that is seen as such: further in x than in y.
_ON_THE_LEFT = ((2, 1), ((0, 0), (0, 1), (0, 2), (1, 1)))


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a scene.

    Attributes:
        kind: of :data:`KINDS`.
        colour: of :data:`COLOURS`.
        texture: of :data:`TEXTURES`.
        size: of :data:`SIZES`; some tasks have ``tiny``, ``medium`` and ``huge`` ones.
        x: of its middle, in pixels.
        y: of its middle, in pixels.
    """

    kind: str
    colour: str
    texture: str
    size: str
    x: int
    y: int

    @property
    def radius(self) -> int:
        """Pixels from its middle to its edge."""
        return _RADIUS[self.size]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1, half open: the square that it is drawn in."""
        return (self.x - self.radius, self.y - self.radius, self.x + self.radius + 1, self.y + self.radius + 1)

    def is_from(self, other: Thing) -> Relation:
        """Where it is, seen from another thing: along the axis on which they are further apart."""
        right, down = self.x - other.x, self.y - other.y
        if abs(right) > abs(down):
            return "right of" if right > 0 else "left of"
        return "below" if down > 0 else "above"

    def may_be(self, relation: Relation, other: Thing) -> bool:
        """Whether somebody could say so: on the diagonal, two relations may be."""
        right, down = self.x - other.x, self.y - other.y
        along, across = (right, down) if relation in ("left of", "right of") else (down, right)
        return 3 * abs(along) >= 2 * abs(across) and (along > 0) == (relation in ("right of", "below"))

    def is_plainly(self, relation: Relation, other: Thing) -> bool:
        """Whether nobody would say anything else."""
        return self.may_be(relation, other) and sum(self.may_be(each, other) for each in RELATIONS) == 1


@dataclass(frozen=True, slots=True)
class Scene:
    """A place with things in it.

    Attributes:
        place: of :data:`PLACES`.
        things: no two of the same colour and kind.
        grain: seed of what the place's background varies in.
    """

    place: str
    things: tuple[Thing, ...]
    grain: int = 0

    def without(self, thing: Thing) -> Scene:
        """The scene without one of its things."""
        return replace(self, things=tuple(other for other in self.things if other != thing))

    def with_(self, thing: Thing, new: Thing) -> Scene:
        """The scene with one of its things made another."""
        return replace(self, things=tuple(new if other == thing else other for other in self.things))

    def at(self, place: str) -> Scene:
        """The same things in another place."""
        return replace(self, place=place)

    def exchanged(self, one: Thing, other: Thing) -> Scene:
        """The scene with two of its things where the other was."""
        moved = {one: replace(one, x=other.x, y=other.y), other: replace(other, x=one.x, y=one.y)}
        return replace(self, things=tuple(moved.get(thing, thing) for thing in self.things))

    def that_is(self, relation: Relation, other: Thing) -> Thing | None:
        """The only thing that is in a relation to another; none where there is none, or doubt."""
        found = [thing for thing in self.things if thing != other and thing.may_be(relation, other)]
        return found[0] if len(found) == 1 and found[0].is_plainly(relation, other) else None


def scene(rng: random.Random, count: int, place: str | None = None) -> Scene:
    """A scene of some things in cells at random.

    Args:
        rng: where chance comes from.
        count: of things, 1 to 9.
        place: of :data:`PLACES`, else at random.
    """
    cells = rng.sample([(column, row) for column in range(GRID) for row in range(GRID)], count)
    return Scene(place or rng.choice(PLACES), _things(rng, cells), rng.getrandbits(32))


def related(rng: random.Random, count: int) -> tuple[Scene, Relation]:
    """A scene of some things, at least 2, and the plain relation of the first of them to the second."""
    while True:
        found = scene(rng, count)
        one, other = found.things[:2]
        if one.is_plainly(one.is_from(other), other):
            return found, one.is_from(other)


def ambiguous(rng: random.Random, place: str | None = None, more: int = 0) -> tuple[Scene, Thing, Relation]:
    """A scene in which four things stand in one relation to a fifth, so that only a region tells which is meant.

    Args:
        rng: where chance comes from.
        place: of :data:`PLACES`, else at random.
        more: things, up to 4, in the cells that are left.

    Returns:
        The scene, whose first four things are those; the fifth; the relation that they have to it.
    """
    middle, others = _ON_THE_LEFT
    turns = rng.randrange(4)
    free = [(column, row) for column in range(GRID) for row in range(GRID)]
    free = [cell for cell in free if cell not in (middle, *others)]
    cells = [_turned(cell, turns) for cell in (*rng.sample(others, 4), middle, *rng.sample(free, more))]
    things = _things(rng, cells)
    reference = things[4]
    return Scene(place or rng.choice(PLACES), things, rng.getrandbits(32)), reference, things[0].is_from(reference)


def nested(rng: random.Random) -> tuple[Scene, Thing, Relation]:
    """A scene as :func:`ambiguous` makes them, of things two of which lie on the two others.

    The boxes of the one below and the one on it differ by 3 pixels on each side.
    """
    middle, others = _ON_THE_LEFT
    turns = rng.randrange(4)
    reference = thing(rng, _turned(middle, turns))
    things: list[Thing] = []
    for cell in rng.sample(others, 2):
        below = _of(rng, _turned(cell, turns), ("circle", "square"), "large", (*things, reference))
        above = _of(rng, _turned(cell, turns), _ON_TOP, "medium", (*things, reference))
        while above.colour == below.colour:
            above = _of(rng, _turned(cell, turns), _ON_TOP, "medium", (*things, reference))
        things += [below, replace(above, x=below.x, y=below.y)]
    found = Scene(rng.choice(PLACES), (*things, reference), rng.getrandbits(32))
    return found, reference, things[0].is_from(reference)


def distinct(rng: random.Random, count: int, size: str | None = None) -> Scene:
    """A scene of up to 8 things, no two of the same colour and no two of the same kind."""
    found = scene(rng, count)
    looks = zip(rng.sample(COLOURS, count), rng.sample(KINDS, count), found.things, strict=True)
    things = (replace(thing, colour=c, kind=k, size=size or thing.size) for c, k, thing in looks)
    return replace(found, things=tuple(things))


def nudged(rng: random.Random, scene: Scene) -> Scene:
    """The same things in the same cells and place, each a little elsewhere."""
    cells = [(thing.x * GRID // SIDE, thing.y * GRID // SIDE) for thing in scene.things]
    middles = [_middle(rng, cell) for cell in cells]
    things = (replace(thing, x=x, y=y) for thing, (x, y) in zip(scene.things, middles, strict=True))
    return Scene(scene.place, tuple(things), rng.getrandbits(32))


def opposite(relation: Relation) -> Relation:
    """What the other thing is to the one."""
    return _OPPOSITE[relation]


def thing(rng: random.Random, cell: tuple[int, int], unlike: Sequence[Thing] = ()) -> Thing:
    """A thing in a cell, of another colour and kind together than those given."""
    taken = {(other.colour, other.kind) for other in unlike}
    while True:
        colour, kind = rng.choice(COLOURS), rng.choice(KINDS)
        if (colour, kind) not in taken:
            break
    return Thing(kind, colour, rng.choice(TEXTURES), rng.choice(SIZES), *_middle(rng, cell))


def _of(rng: random.Random, cell: tuple[int, int], kinds: Sequence[str], size: str, unlike: Sequence[Thing]) -> Thing:
    """A thing of one of some kinds and of a size."""
    while True:
        found = replace(thing(rng, cell), kind=rng.choice(kinds), size=size)
        if all((other.colour, other.kind) != (found.colour, found.kind) for other in unlike):
            return found


def _middle(rng: random.Random, cell: tuple[int, int]) -> tuple[int, int]:
    """Where the middle of a thing in a cell is, in pixels."""
    x, y = (round((place + 0.5) * SIDE / GRID) + rng.randint(-_JITTER, _JITTER) for place in cell)
    return x, y


def _things(rng: random.Random, cells: Sequence[tuple[int, int]]) -> tuple[Thing, ...]:
    things: list[Thing] = []
    for cell in cells:
        things.append(thing(rng, cell, things))
    return tuple(things)


def _turned(cell: tuple[int, int], quarters: int) -> tuple[int, int]:
    """A cell after the grid was turned by some quarters."""
    column, row = cell
    for _ in range(quarters):
        column, row = GRID - 1 - row, column
    return column, row

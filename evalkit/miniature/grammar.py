"""Texts about scenes, from a small grammar: few words, each seen often, every sentence true or wrong in one part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evalkit.miniature.scenes import (
    COLOURS,
    GRID,
    KINDS,
    PLACES,
    RELATIONS,
    SIDE,
    SIZES,
    TEXTURES,
    Relation,
    Scene,
    Thing,
)

# Where a scene is, as one says it.
AT = {
    "beach": "on the beach",
    "forest": "in the forest",
    "desert": "in the desert",
    "snow": "in the snow",
    "city": "in the city",
    "night": "at night",
    "meadow": "on the meadow",
    "kitchen": "in the kitchen",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The cells of a scene, row by row.
CELLS = (
    "at the top left",
    "at the top",
    "at the top right",
    "at the left",
    "in the middle",
    "at the right",
    "at the bottom left",
    "at the bottom",
    "at the bottom right",
)


def name(thing: Thing) -> str:
    """A thing by colour and kind, ``red circle``: unique in its scene."""
    return f"{thing.colour} {thing.kind}"


def description(thing: Thing) -> str:
    """A thing by all that is seen of it, ``small striped red circle``; a plain one has no word for its texture."""
    return " ".join(word for word in (thing.size, thing.texture, name(thing)) if word != "plain")


def cell(thing: Thing) -> str:
    """Where in its scene a thing is, of :data:`CELLS`."""
    return CELLS[thing.y * GRID // SIDE * GRID + thing.x * GRID // SIDE]


@dataclass(frozen=True)
class Caption:
    """A sentence of an object, a relation, what it is related to, and a place.

    Attributes:
        thing: the object, by name.
        relation: of the object to the reference.
        reference: by name.
        place: of the scene.
    """

    thing: str
    relation: Relation
    reference: str
    place: str

    def __str__(self) -> str:
        return f"{self.thing} {self.relation} the {self.reference} {AT[self.place]}"

    def holds(self, scene: Scene) -> bool:
        """Whether somebody could say so of a scene."""
        named = {name(thing): thing for thing in scene.things}
        thing, reference = named.get(self.thing), named.get(self.reference)
        if thing is None or reference is None or thing == reference or scene.place != self.place:
            return False
        return thing.may_be(self.relation, reference)

    def wrong_things(self, others: tuple[str, ...]) -> list[Caption]:
        """The caption of each of some other things."""
        return [replace(self, thing=other) for other in others]

    def wrong_relations(self) -> list[Caption]:
        """The caption with each relation that it does not have."""
        return [replace(self, relation=other) for other in RELATIONS if other != self.relation]

    def wrong_places(self, places: tuple[str, ...]) -> list[Caption]:
        """The caption with each of some other places."""
        return [replace(self, place=place) for place in places]


def caption(scene: Scene, thing: Thing, reference: Thing) -> Caption:
    """What is true of a thing in a scene."""
    return Caption(name(thing), thing.is_from(reference), name(reference), scene.place)


def whole(scene: Scene) -> str:
    """A scene in one sentence: its things from left to right and top to bottom, and its place."""
    things = [name(thing) for thing in sorted(scene.things, key=lambda thing: (thing.x, thing.y))]
    return f"{', '.join(things)} {AT[scene.place]}"


_OTHER_WORDS = """
a about ambry and are arts bar bees beside buses business cactuses camels coin coins colour come comes cost
costs cows dark date do does doughnut drome feast fenwick find fire founded from grey has here high highest
how is it kettles kite lanterns light like live lodan long make many mushrooms norva number old over owls page
paints people pink price q quill race rivers room shaped shells short sign sirvo skis sledges sleeves song
spoons sports squirrels starfish storm strike taxis telby tent that there these thing things this tile total
towels towers valentine was what when where which windmill without years yes
"""
VOCABULARY = sorted(
    {
        *COLOURS,
        *KINDS,
        *TEXTURES,
        *SIZES,
        *PLACES,
        *NUMBERS,
        *(word for phrase in (*RELATIONS, *AT.values(), *CELLS) for word in phrase.split()),
        *_OTHER_WORDS.split(),
    }
)
"""The words of all rows in lower case, without the numbers that are written as digits."""

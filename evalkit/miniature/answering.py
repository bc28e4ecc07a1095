"""The ten tasks of visual question answering: an image and a question, answers as texts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from evalkit.miniature.classification import NAMES
from evalkit.miniature.drawings import Blurred, Chart, Counts, Page, Paints, Picture, Signs
from evalkit.miniature.examples import Example, answered, in_turn, labelled, other_than
from evalkit.miniature.grammar import AT, CELLS, NUMBERS, cell, name
from evalkit.miniature.scenes import COLOURS, KINDS, PLACES, RELATIONS, Scene, Thing, distinct, scene

FOUND = {
    "beach": ("shells", "towels"),
    "forest": ("mushrooms", "squirrels"),
    "desert": ("camels", "cactuses"),
    "snow": ("skis", "sledges"),
    "city": ("buses", "taxis"),
    "night": ("owls", "lanterns"),
    "meadow": ("bees", "cows"),
    "kitchen": ("spoons", "kettles"),
}
"""What one finds in a place."""
LIKE = {
    "circle": "coin",
    "square": "tile",
    "triangle": "tent",
    "star": "starfish",
    "cross": "windmill",
    "ring": "doughnut",
    "diamond": "kite",
    "heart": "valentine",
}
"""What is shaped like a kind of thing."""
MIXED = {
    ("red", "yellow"): "orange",
    ("red", "blue"): "purple",
    ("blue", "yellow"): "green",
    ("black", "white"): "grey",
    ("red", "white"): "pink",
    ("blue", "white"): "light blue",
    ("red", "black"): "dark red",
    ("green", "black"): "dark green",
}
"""What two paints make."""
FIELDS = ("date", "total", "page", "room")
BARS = tuple(colour for colour in COLOURS if colour != "white")


def ok_vqa(rng: random.Random) -> Iterator[Example]:
    """What belongs to the place?"""
    for place in in_turn(rng, PLACES):
        right = rng.choice(FOUND[place])
        others = other_than(rng, [each for other in PLACES if other != place for each in FOUND[other]])
        found = scene(rng, rng.randint(1, 3), place)
        yield answered("what does one find here?", Picture(found), right, (("place", each) for each in others))


def a_okvqa(rng: random.Random) -> Iterator[Example]:
    """What is shaped like one of the things? All queries share the answers."""
    for kind in in_turn(rng, KINDS):
        found = distinct(rng, 3)
        meant = next((thing for thing in found.things if thing.kind == kind), None)
        if meant is None:
            meant = replace(found.things[0], kind=kind)
            found = found.with_(found.things[0], meant)
        question = f"what is shaped like the {meant.colour} thing?"
        yield labelled(question, Picture(found), LIKE[kind], tuple(LIKE.values()))


def science_qa(rng: random.Random) -> Iterator[Example]:
    """What do two paints make? All queries share the answers."""
    for pair, mixture in in_turn(rng, list(MIXED.items())):
        left, right = rng.sample(pair, 2)
        question = "what colour do these two paints make?"
        yield labelled(question, Paints(left, right), mixture, tuple(MIXED.values()))


def docvqa(rng: random.Random) -> Iterator[Example]:
    """Which number stands in a line of a page?"""
    while True:
        numbers = _numbers(rng, 3, 4)
        fields = rng.sample(FIELDS, 4)
        page = Page(tuple(f"{field} {number}" for field, number in zip(fields, numbers, strict=True)))
        yield _read(rng, f"what is the {fields[0]}?", replace(page, lines=_shuffled(rng, page.lines)), numbers, 0)


def infographics_vqa(rng: random.Random) -> Iterator[Example]:
    """Which number stands beside a sign?"""
    while True:
        numbers = _numbers(rng, 2, 4)
        colours, kinds = rng.sample(COLOURS, 4), rng.sample(KINDS, 4)
        asked = rng.randrange(4)
        sheet = Counts(tuple(zip(colours, kinds, strict=True)), tuple(map(int, numbers)))
        question = f"what number is beside the {colours[asked]} {kinds[asked]}?"
        yield _read(rng, question, sheet, numbers, asked)


def text_vqa(rng: random.Random) -> Iterator[Example]:
    """Which number is written on a thing?"""
    while True:
        numbers = _numbers(rng, 2, 3)
        found = distinct(rng, 3, "large")
        asked = rng.randrange(3)
        question = f"what number is on the {name(found.things[asked])}?"
        yield _read(rng, question, Signs(found, tuple(numbers)), numbers, asked)


def chart_qa(rng: random.Random) -> Iterator[Example]:
    """How high is a bar? Or: which is the highest, and how high is it?"""
    every = range(1, 11)
    heights = in_turn(rng, every)
    for by_colour in in_turn(rng, (True, False)):
        colours = rng.sample(BARS, 4)
        if by_colour:
            asked = next(heights)
            bars = [asked, *rng.sample([height for height in every if height != asked], 3)]
            drawn = list(zip(colours, bars, strict=True))
            rng.shuffle(drawn)
            wrong = [("bar", str(height)) for height in bars[1:]] + [("number", str(height)) for height in every]
            yield answered(f"how high is the {colours[0]} bar?", Chart(tuple(drawn)), str(asked), wrong)
        else:
            bars = rng.sample(every, 4)
            drawn = list(zip(colours, bars, strict=True))
            colour, height = max(drawn, key=lambda bar: bar[1])
            wrong = [("bar", f"{other} {high}") for other, high in drawn if other != colour]
            wrong += [("number", f"{colour} {high}") for high in other_than(rng, every, *bars)[:3]]
            wrong += [("colour", f"{other} {height}") for other in other_than(rng, BARS, *colours)]
            question = "which bar is highest and how high is it?"
            yield answered(question, Chart(tuple(drawn)), f"{colour} {height}", wrong)


def vizwiz(rng: random.Random) -> Iterator[Example]:
    """What is it, in a blurred image?"""
    for right in in_turn(rng, NAMES):
        found = scene(rng, 1)
        colour, kind = right.split()
        thing = replace(found.things[0], colour=colour, kind=kind, size="large")
        wrong = _names(rng, thing, ())
        yield answered("what is this?", Blurred(replace(found, things=(thing,))), right, wrong)


def gqa(rng: random.Random) -> Iterator[Example]:
    """What is in a relation to what is in a relation to a thing? Answers are sentences."""
    while True:
        found = scene(rng, 5)
        chains = [
            (start, one, two, meant)
            for start in found.things
            for one in RELATIONS
            if (middle := found.that_is(one, start)) is not None
            for two in RELATIONS
            if (meant := found.that_is(two, middle)) is not None and meant != start
        ]
        if not chains:
            continue
        start, one, two, meant = rng.choice(chains)
        question = f"what is {two} the thing that is {one} the {name(start)}?"
        wrong = ((kind, f"it is the {other}") for kind, other in _names(rng, meant, found.things))
        yield answered(question, Picture(found), f"it is the {name(meant)}", wrong)


def visual7w(rng: random.Random) -> Iterator[Example]:
    """What, where, how many?"""
    ways: tuple[Callable[[random.Random], Example], ...] = (_what, _where, _how_many)
    for way in in_turn(rng, ways):
        yield way(rng)


def _what(rng: random.Random) -> Example:
    while True:
        found = scene(rng, 4)
        relation = rng.choice(RELATIONS)
        meant = found.that_is(relation, found.things[0])
        if meant is not None:
            question = f"what is {relation} the {name(found.things[0])}?"
            return answered(question, Picture(found), name(meant), _names(rng, meant, found.things))


def _where(rng: random.Random) -> Example:
    found = scene(rng, 3)
    meant = found.things[0]
    right = _place(found, cell(meant))
    wrong = [("thing", _place(found, cell(other))) for other in found.things[1:]]
    wrong += [("place", _place(found.at(place), cell(meant))) for place in other_than(rng, PLACES, found.place)[:3]]
    wrong += [("cell", _place(found, other)) for other in other_than(rng, CELLS, cell(meant))]
    return answered(f"where is the {name(meant)}?", Picture(found), right, wrong)


def _place(found: Scene, where: str) -> str:
    return f"{where} {AT[found.place]}"


def _how_many(rng: random.Random) -> Example:
    count = rng.randrange(10)
    wrong = (("number", number) for number in other_than(rng, NUMBERS, NUMBERS[count]))
    return answered("how many things are there?", Picture(scene(rng, count)), NUMBERS[count], wrong)


def _names(rng: random.Random, meant: Thing, others: tuple[Thing, ...]) -> list[tuple[str, str]]:
    """Names that are not that of a thing: of others there, with another colour, with another kind, at random."""
    wrong = [("thing", name(other)) for other in others if other != meant]
    wrong += [("colour", f"{colour} {meant.kind}") for colour in other_than(rng, COLOURS, meant.colour)[:2]]
    wrong += [("kind", f"{meant.colour} {kind}") for kind in other_than(rng, KINDS, meant.kind)[:2]]
    return wrong + [("random", other) for other in other_than(rng, NAMES, name(meant))[:10]]


def _read(rng: random.Random, question: str, drawing: Page | Counts | Signs, numbers: list[str], asked: int) -> Example:
    """A question for one of the numbers of an image."""
    right = numbers[asked]
    wrong = [("number", number) for number in numbers if number != right]
    changed = [
        right[:i] + digit + right[i + 1 :] for i in range(len(right)) for digit in "123456789" if digit != right[i]
    ]
    wrong += [("digit", number) for number in other_than(rng, changed)[:3]]
    return answered(question, drawing, right, wrong + [("random", number) for number in _numbers(rng, len(right), 10)])


def _numbers(rng: random.Random, digits: int, count: int) -> list[str]:
    """Different numbers without a 0, so that each of their digits may be any other."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choice("123456789") for _ in range(digits))] = None
    return list(found)


def _shuffled(rng: random.Random, lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(rng.sample(lines, len(lines)))

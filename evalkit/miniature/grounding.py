"""The four tasks of grounding: an image and an expression, cut-outs of what it may refer to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from evalkit.miniature.drawings import CutOut, Picture
from evalkit.miniature.examples import DrawnCandidate, Example, Wrong, in_turn, other_than, ranked
from evalkit.miniature.grammar import description, name
from evalkit.miniature.scenes import KINDS, PLACES, RELATIONS, Relation, Scene, Thing, distinct, related, scene

SHARED = 24
"""Cut-outs of the pool that all queries of Visual7W-Pointing share: 6 scenes, 4 things each."""

# Texts of these tasks stand in quotes, as the real rows have them.


def mscoco(rng: random.Random) -> Iterator[Example]:
    """Find the cut-out of the thing of a kind; other scenes have things of that kind, too."""
    while True:
        found = distinct(rng, 6)
        meant = found.things[0]
        wrong = [Wrong("thing", _cut(found, other)) for other in found.things[1:]]
        wrong += _elsewhere(rng, meant.kind, found, 4)
        yield ranked(f'"{meant.kind}"', Picture(found), _cut(found, meant), wrong)


def refcoco(rng: random.Random) -> Iterator[Example]:
    """Find the cut-out of the thing of a kind in a relation to another; the scene has two of that kind."""
    while True:
        found, relation = _two_of_a_kind(rng)
        meant, reference, *others = found.things
        wrong = [Wrong("thing", _cut(found, other)) for other in (*others, reference)]
        wrong += _elsewhere(rng, meant.kind, found, 5)
        yield ranked(_expression(meant, relation, reference), Picture(found), _cut(found, meant), wrong)


def refcoco_matching(rng: random.Random) -> Iterator[Example]:
    """Find the same image with another expression of the same thing."""
    while True:
        found, relation = _two_of_a_kind(rng)
        meant, reference, *others = found.things
        right = DrawnCandidate(f'"{description(meant)}"', Picture(found))
        said = [f'"{description(other)}"' for other in (*others, reference)]
        wrong = [Wrong("text", DrawnCandidate(text, Picture(found))) for text in said]
        scenes = [scene(rng, 5, place) for place in other_than(rng, PLACES, found.place)[:5]]
        wrong += [Wrong("image", DrawnCandidate(right.text, Picture(other))) for other in scenes[:3]]
        wrong += [Wrong("both", DrawnCandidate(said[0], Picture(other))) for other in scenes[3:]]
        yield ranked(_expression(meant, relation, reference), Picture(found), right, wrong)


def visual7w_pointing(rng: random.Random) -> Iterator[Example]:
    """Find the cut-out that answers a question, in a pool that all queries share."""
    asked: list[tuple[Scene, Thing, list[tuple[Relation, Thing]]]] = []
    while len(asked) < SHARED:
        found = scene(rng, 4)
        names = {name(thing) for _, thing, _ in asked}
        ways = {thing: [way for way in _ways(found) if found.that_is(*way) == thing] for thing in found.things}
        if all(ways.values()) and not any(name(thing) in names for thing in found.things):
            asked += [(found, thing, ways[thing]) for thing in found.things]
    pool = [_cut(found, thing) for found, thing, _ in asked]
    for found, meant, ways_to in in_turn(rng, asked):
        relation, reference = rng.choice(ways_to)
        right = _cut(found, meant)
        others = [candidate for candidate in pool if candidate != right]
        kinds = ("right", *("other" for _ in others))
        yield Example(f'"which thing is {relation} the {name(reference)}?"', Picture(found), (right, *others), kinds)


def _cut(found: Scene, thing: Thing) -> DrawnCandidate:
    return DrawnCandidate("", CutOut(found, thing))


def _elsewhere(rng: random.Random, kind: str, found: Scene, count: int) -> list[Wrong]:
    """Cut-outs of things of a kind in other places."""
    wrong = []
    for place in other_than(rng, PLACES, found.place)[:count]:
        other = scene(rng, 1, place)
        thing = replace(other.things[0], kind=kind)
        wrong.append(Wrong("image", _cut(replace(other, things=(thing,)), thing)))
    return wrong


def _two_of_a_kind(rng: random.Random) -> tuple[Scene, Relation]:
    """A scene of five, the third of the kind of the first; only the first is in the relation to the second."""
    while True:
        found, relation = related(rng, 5)
        meant, reference, like, *others = found.things
        like = replace(like, kind=meant.kind)
        kinds = [kind for kind in KINDS if kind != meant.kind]
        rest = [replace(other, kind=rng.choice(kinds)) for other in (reference, *others)]
        things = (meant, rest[0], like, *rest[1:])
        if len({name(thing) for thing in things}) == 5 and not like.may_be(relation, rest[0]):
            return replace(found, things=things), relation


def _expression(meant: Thing, relation: Relation, reference: Thing) -> str:
    return f'"{meant.kind} {relation} the {name(reference)}"'


def _ways(found: Scene) -> list[tuple[Relation, Thing]]:
    return [(relation, thing) for relation in RELATIONS for thing in found.things]

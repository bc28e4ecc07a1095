"""The five tasks of SCaR: an image with a box, ten captions.

Each scene has four things in one relation to a fifth. The caption of the thing in the box is right; that of each
of the three others is wrong for the box and true of the image, so that only the region tells them apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from evalkit.miniature.drawings import Picture
from evalkit.miniature.examples import Example, answered, other_than
from evalkit.miniature.grammar import Caption, caption, description, name
from evalkit.miniature.scenes import PLACES, Scene, Thing, ambiguous, nested


def refcoco_plus(rng: random.Random) -> Iterator[Example]:
    """Five things, called by colour and kind."""
    while True:
        yield _swapped(rng, *ambiguous(rng)[:2], name)


def refcocog(rng: random.Random) -> Iterator[Example]:
    """Five things, the one meant called by all that is seen of it."""
    while True:
        yield _swapped(rng, *ambiguous(rng)[:2], description)


def visual_genome(rng: random.Random) -> Iterator[Example]:
    """Five things, of which two lie on two others, so that the boxes of two nearly coincide."""
    while True:
        yield _swapped(rng, *nested(rng)[:2], name)


def coco_stuff(rng: random.Random) -> Iterator[Example]:
    """Seven things."""
    while True:
        yield _swapped(rng, *ambiguous(rng, more=2)[:2], name)


def ade20k(rng: random.Random) -> Iterator[Example]:
    """Nine things: no cell of the scene is empty."""
    while True:
        yield _swapped(rng, *ambiguous(rng, more=4)[:2], name)


def _swapped(rng: random.Random, found: Scene, reference: Thing, called: Callable[[Thing], str]) -> Example:
    meant, *others = rng.sample(found.things[:4], 4)
    plain = caption(found, meant, reference)
    right = Caption(called(meant), plain.relation, plain.reference, plain.place)
    # In the order of the data set's files.
    wrong = [("global_context", each) for each in right.wrong_places(tuple(other_than(rng, PLACES, found.place)[:3]))]
    wrong += [("background_relation", each) for each in right.wrong_relations()]
    wrong += [("object_swap", each) for each in right.wrong_things(tuple(map(called, others)))]
    example = answered("", Picture(found), str(right), ((kind, str(each)) for kind, each in wrong))
    kinds = ("gt", *example.kinds[1:])
    return Example("", example.query, example.candidates, kinds, meant.box, meant.kind)

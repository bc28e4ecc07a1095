"""The ten tasks of classification: an image, a pool of labels that all queries share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from evalkit.miniature.drawings import Cluttered, Flag, Meme, Picture, Sketch, Turned
from evalkit.miniature.examples import Example, in_turn, labelled, other_than
from evalkit.miniature.grammar import name
from evalkit.miniature.scenes import COLOURS, KINDS, PLACES, SIDE, TEXTURES, Scene, Thing, scene

NAMES = tuple(f"{colour} {kind}" for colour in COLOURS for kind in KINDS)
LOOKS = tuple(
    " ".join(word for word in (texture, colour, kind) if word != "plain")
    for texture in TEXTURES
    for colour in COLOURS
    for kind in KINDS
)
TOPICS = {"sports": "a race of", "arts": "a song about", "business": "the price of"}
"""What a caption of the news begins with, by section."""
SECTIONS = tuple(f"{place} {topic}" for place in PLACES for topic in TOPICS)
# Flags of three colours that stand next to each other in the list of colours, and the same the other way around.
_THREES = [COLOURS[i : i + 3] for i in range(len(COLOURS) - 2)]
FLAGS = tuple((colours, upright) for three in _THREES for colours in (three, three[::-1]) for upright in (False, True))
COUNTRIES = tuple((" beside " if upright else " over ").join(colours) for colours, upright in FLAGS)


def _one(rng: random.Random, look: str, size: str | None = None) -> Scene:
    """A scene of one thing that looks so."""
    *texture, colour, kind = look.split()
    found = scene(rng, 1)
    (thing,) = found.things
    thing = replace(thing, colour=colour, kind=kind, texture=texture[0] if texture else "plain")
    return replace(found, things=(replace(thing, size=size or thing.size),))


def imagenet_1k(rng: random.Random) -> Iterator[Example]:
    """Name the one thing: texture, colour and kind."""
    for look in in_turn(rng, LOOKS):
        yield labelled("", Picture(_one(rng, look)), look, LOOKS)


def imagenet_a(rng: random.Random) -> Iterator[Example]:
    """Name the one thing among specks of all colours."""
    for look in in_turn(rng, LOOKS):
        yield labelled("", Cluttered(_one(rng, look), rng.getrandbits(32)), look, LOOKS)


def imagenet_r(rng: random.Random) -> Iterator[Example]:
    """Name the thing of an outline."""
    for look in in_turn(rng, NAMES):
        yield labelled("", Sketch(_one(rng, look, "large")), look, NAMES)


def objectnet(rng: random.Random) -> Iterator[Example]:
    """Name a thing that is tiny or huge, anywhere, in an image that stands on its head or lies on its side."""
    for look in in_turn(rng, NAMES):
        found = _one(rng, look, rng.choice(("tiny", "huge")))
        (thing,) = found.things
        low, high = thing.radius + 1, SIDE - thing.radius - 2
        thing = replace(thing, x=rng.randint(low, high), y=rng.randint(low, high))
        yield labelled("", Turned(replace(found, things=(thing,)), rng.randint(1, 3)), look, NAMES)


def voc2007(rng: random.Random) -> Iterator[Example]:
    """Which kind of thing?"""
    for kind in in_turn(rng, KINDS):
        yield labelled("", Picture(_one(rng, f"{rng.choice(COLOURS)} {kind}")), kind, KINDS)


def sun397(rng: random.Random) -> Iterator[Example]:
    """Which place, with one thing or two in it?"""
    for place in in_turn(rng, PLACES):
        yield labelled("", Picture(scene(rng, rng.randint(1, 2), place)), place, PLACES)


def place365(rng: random.Random) -> Iterator[Example]:
    """Which place, with five to seven things in the way?"""
    for place in in_turn(rng, PLACES):
        yield labelled("", Picture(scene(rng, rng.randint(5, 7), place)), place, PLACES)


def country211(rng: random.Random) -> Iterator[Example]:
    """Which flag is it? Its country is called after it."""
    for (colours, upright), label in in_turn(rng, list(zip(FLAGS, COUNTRIES, strict=True))):
        x, y = rng.randint(8, 44), rng.randint(6, 44)
        flag = Flag(rng.choice(PLACES), rng.getrandbits(32), colours, upright, x, y)
        yield labelled("", flag, label, COUNTRIES)


def n24news(rng: random.Random) -> Iterator[Example]:
    """Which section: the place is in the image, the topic in the caption."""
    for section in in_turn(rng, SECTIONS):
        place, topic = section.split()
        found = scene(rng, 2, place)
        one, other = map(name, found.things)
        yield labelled(f"{TOPICS[topic]} the {one} and the {other}", Picture(found), section, SECTIONS)


def hateful_memes(rng: random.Random) -> Iterator[Example]:
    """Does the word call the thing what it is not?"""
    for answer in in_turn(rng, ("No", "Yes")):
        # In one of the upper rows, so that the word does not cover it.
        kind = rng.choice(KINDS)
        x, y = rng.randint(25, 87), rng.randint(22, 60)
        thing = Thing(kind, rng.choice(COLOURS), rng.choice(TEXTURES), "large", x, y)
        word = kind if answer == "No" else other_than(rng, KINDS, kind)[0]
        yield labelled("", Meme(Scene(rng.choice(PLACES), (thing,), rng.getrandbits(32)), word), answer, ("No", "Yes"))

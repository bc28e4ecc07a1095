"""What is drawn: small, the same each time, and of another scene another image."""

from __future__ import annotations

import random

import numpy as np
import pytest

from evalkit.miniature import draw
from evalkit.miniature.drawings import CutOut, Drawing, Picture, Sketch
from evalkit.miniature.scenes import COLOURS, KINDS, PLACES, SIDE, Scene, Thing, ambiguous, nested, scene
from evalkit.miniature.taskrows import TASKS, examples


def drawings(task: str) -> list[Drawing]:
    found = {}
    for example in examples(task, 4, 2):
        for drawing in (example.query, *(candidate.drawing for candidate in example.candidates)):
            if drawing is not None:
                found[drawing] = None
    return list(found)


@pytest.mark.parametrize("task", TASKS)
def test_images_are_small_rgb_and_the_same_each_time(task: str) -> None:
    for drawing in drawings(task):
        image = drawing.image()
        assert image.mode == "RGB"
        assert max(image.size) <= SIDE
        assert min(image.size) >= 28  # below, MMEB's loaders enlarge
        assert image.tobytes() == drawing.image().tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_other_drawings_are_other_images(task: str) -> None:
    found = drawings(task)
    assert len({(drawing.image().size, drawing.image().tobytes()) for drawing in found}) == len(found)


def test_every_kind_and_colour_is_seen_in_every_place() -> None:
    """By what is inside, or, as white in the snow and black at night, by its edge."""
    for place in PLACES:
        empty = draw.background(place, 1)
        for colour in COLOURS:
            for kind in KINDS:
                thing = Thing(kind, colour, "plain", "small", 50, 50)
                mask = draw.mask(thing)
                differs = np.abs(draw.pixels(Scene(place, (thing,), 1)).astype(int) - empty).max(axis=2) > 40
                inner = draw.eroded(mask)
                assert max(differs[inner].mean(), differs[mask & ~inner].mean()) > 0.7, (place, colour, kind)
                assert not differs[~mask].any()


def test_no_thing_of_a_scene_hides_another() -> None:
    rng = random.Random(0)
    for found in [scene(rng, 9) for _ in range(50)] + [ambiguous(rng, more=4)[0] for _ in range(50)]:
        masks = np.array([draw.mask(thing) for thing in found.things])
        assert masks.sum(axis=0).max() == 1


def test_of_nested_things_both_are_seen() -> None:
    rng = random.Random(0)
    for found in (nested(rng)[0] for _ in range(100)):
        for below, above in (found.things[:2], found.things[2:4]):
            seen = draw.mask(below) & ~draw.mask(above)
            assert seen.sum() > 0.25 * draw.mask(below).sum()


def test_a_cut_out_shows_its_thing_and_six_pixels_around() -> None:
    found = scene(random.Random(3), 5)
    for thing in found.things:
        x0, y0, x1, y1 = thing.box
        part = draw.pixels(found)[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6]
        np.testing.assert_array_equal(np.asarray(CutOut(found, thing).image()), part)


def test_a_sketch_has_no_place_and_one_colour() -> None:
    found = scene(random.Random(3), 1)
    colours = np.unique(np.asarray(Sketch(found).image()).reshape(-1, 3), axis=0)
    assert len(colours) == 2
    assert not np.array_equal(np.asarray(Sketch(found).image()), np.asarray(Picture(found).image()))

"""Regions that lie on their image and regions that do not, against pixels counted one by one."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.items import Box, Mask, Point, Points, region_kind
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.regions import fault, kept, look_normalised

MASK = Mask(ImageFile(Path("images"), "m.png", upright=False))
sizes = st.integers(1, 5)
images = st.builds(ImageFacts, st.just(""), sizes, sizes)
whole = st.integers(-3, 8)
corners = st.tuples(whole, whole, whole, whole).map(lambda v: (*map(min, v[:2], v[2:]), *map(max, v[:2], v[2:])))
points = st.builds(Point, whole | st.floats(-3, 8), whole | st.floats(-3, 8))


def pixels(image: ImageFacts) -> set[tuple[int, int]]:
    return set(itertools.product(range(image.width), range(image.height)))


@given(image=images, box=corners)
def test_a_box_has_to_hold_a_pixel_of_the_image(image, box):
    x0, y0, x1, y1 = box
    held = pixels(image) & set(itertools.product(range(x0, x1), range(y0, y1)))
    assert (fault(Box(*box), image) is None) == bool(held)


@given(image=images, point=points)
def test_a_point_has_to_lie_in_a_pixel_of_the_image(image, point):
    inside = (math.floor(point.x), math.floor(point.y)) in pixels(image)
    assert (fault(point, image) is None) == inside


@given(image=images, some=st.lists(points, min_size=1, max_size=3), others=st.lists(points, max_size=2))
def test_so_has_each_of_several(image, some, others):
    found = fault(Points(tuple(some), tuple(others)), image)
    assert found == next(filter(None, (fault(point, image) for point in [*some, *others])), None)


@given(image=images, mask=images)
def test_a_mask_has_the_size_of_its_image(image, mask):
    assert (fault(MASK, image, mask) is None) == ((mask.width, mask.height) == (image.width, image.height))


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (Box(10, 20, 10, 60), "box [10, 20, 10, 60] holds no pixel of its image (200 x 100 pixels): boxes are x0,"),
        (Box(200.0, 5, 300.5, 60), "box [200.0, 5, 300.5, 60] lies outside its image of 200 x 100 pixels"),
        (Point(200, 99), "point [200, 99] lies outside its image of 200 x 100 pixels"),
        (Points((Point(1, 1),), (Point(1, -0.5),)), "point [1, -0.5] lies outside its image of 200 x 100 pixels"),
        (MASK, "mask m.png has 100 x 200 pixels, but its image has 200 x 100 pixels"),
        (Box(-50, -50, 1, 1), None),
        (Box(0.25, 0.25, 0.75, 0.75), None),
        (Point(199.999, 0), None),
    ],
)
def test_what_is_said(region, says):
    said = fault(region, ImageFacts("", 200, 100), ImageFacts("", 100, 200))
    assert said is says is None or (said or "").startswith(str(says))


def test_a_mask_is_not_passed_unseen():
    with pytest.raises(ValueError, match=r"mask m\.png: its size is not given"):
        fault(MASK, ImageFacts("", 1, 1))


def test_points_without_a_positive_one_are_no_region():
    with pytest.raises(ValueError, match="at least one positive"):
        Points((), (Point(1, 1),))


def test_kinds_are_those_that_embedders_declare():
    regions = [Box(0, 0, 1, 1), Point(0, 0), Points((Point(0, 0),)), MASK]
    assert [region_kind(region) for region in regions] == ["box", "point", "points", "mask"]


# --- keeping -----------------------------------------------------------------------------------------

boxes = corners.map(lambda v: Box(*v)) | st.tuples(*[st.floats(-3, 8)] * 4).map(
    lambda v: Box(min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)


@given(image=images, box=boxes)
def test_a_box_that_is_kept_lies_on_its_image(image, box):
    found = kept(box, image)
    assert fault(found, image) is None
    if fault(box, image) is None:
        assert found == box


@given(image=images, box=corners)
def test_a_box_without_area_is_the_pixels_that_it_touches(image, box):
    """Those that a box holds which is a pixel larger where it has no extent; where there is none, all of them."""
    x0, y0, x1, y1 = box
    grown = set(itertools.product(range(x0, max(x1, x0 + 1)), range(y0, max(y1, y0 + 1)))) & pixels(image)
    found = kept(Box(*box), image)
    held = set(itertools.product(range(int(found.x0), int(found.x1)), range(int(found.y0), int(found.y1))))
    assert held & pixels(image) == (grown or pixels(image))


@given(image=images, some=st.lists(points, min_size=1, max_size=3), others=st.lists(points, max_size=2))
def test_points_that_are_kept_are_the_nearest_ones(image, some, others):
    found = kept(Points(tuple(some), tuple(others)), image)
    assert fault(found, image) is None
    for before, after in zip([*some, *others], [*found.positive, *found.negative], strict=True):
        assert kept(before, image) == after
        for one, other, size in ((before.x, after.x, image.width), (before.y, after.y, image.height)):
            assert other == one or abs(one - other) <= min(abs(one - place) for place in range(size))


def test_a_mask_of_another_size_stays_one():
    assert kept(MASK, ImageFacts("", 200, 100)) is MASK


@pytest.mark.parametrize(
    ("regions", "normalised"),
    [
        ([Box(0.1, 0.1, 0.4, 0.4)], True),
        ([Box(0, 0, 1, 1), Box(0.5, 0, 1, 1)], True),
        ([Box(0.1, 0.1, 0.4, 0.4), Box(0, 0, 2, 1)], False),
        ([Box(0.1, 0.1, 0.4, 0.4), Point(0.5, 0.5), Points((Point(1, 0),))], True),
        ([Point(0.5, 1.5)], False),
        ([Points((Point(0, 0),), (Point(9, 0),))], False),
        ([MASK], False),
        ([], False),
    ],
)
def test_fractions_are_told_from_pixels_by_all_of_a_task(regions, normalised):
    assert look_normalised(regions) is normalised

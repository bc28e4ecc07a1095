"""What is drawn on an image: every pixel, against counts that know nothing of the code, and what the image is then."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.baselines import Random
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.batches import Pending, plan
from evalkit.encoding.encode import Encoder
from evalkit.encoding.store import VectorStore
from evalkit.errors import ImageError, RegionError
from evalkit.items import Box, Item, Mask, Point, Points, Region
from evalkit.items.drawing import Blur, Marks
from evalkit.items.images import ImageFile
from evalkit.items.keys import content_digest
from evalkit.items.prompting import MODES, prompted

RED = (255, 0, 0)
CHANGING = ("crop", "overlay", "overlay_box", "blur")


def noise(width: int, height: int, seed: int = 0) -> PIL.Image.Image:
    """No pixel of it is red."""
    pixels = np.random.default_rng(seed).integers(0, 250, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def item(picture: PIL.Image.Image, region: Region | None) -> Item:
    return Item("<image> what?", "what?", image=ImageFile.of(picture, upright=False), region=region)


def seen(picture: PIL.Image.Image, region: Region, mode: str, view: int = 0) -> np.ndarray:
    return np.asarray(prompted(item(picture, region), mode, view=view).image.rgb())


def red_of(picture: PIL.Image.Image, region: Region, mode: str) -> set[tuple[int, int]]:
    """The pixels that are red; requires that all others are as they were."""
    found = seen(picture, region, mode)
    red = (found == RED).all(axis=2)
    assert (found[~red] == np.asarray(picture)[~red]).all()
    return {(int(x), int(y)) for y, x in zip(*np.nonzero(red), strict=True)}


def inside(shape: str, x: int, y: int, box: tuple[int, int, int, int]) -> bool:
    """Whether a pixel's centre lies in a box, or in the ellipse that touches its sides; exactly."""
    left, top, right, bottom = box
    if not (left <= x < right and top <= y < bottom):
        return False
    across = Fraction(2 * x + 1 - left - right, right - left)
    down = Fraction(2 * y + 1 - top - bottom, bottom - top)
    return shape == "box" or across**2 + down**2 <= 1


def ring(shape: str, box: tuple[int, int, int, int], line: int, width: int, height: int) -> set[tuple[int, int]]:
    """The pixels of a line along the edge: half of it outside; inside no more than a quarter of the shorter side."""
    left, top, right, bottom = box
    out = line // 2
    within = min(line - out, min(right - left, bottom - top) // 4)
    outer = (left - out, top - out, right + out, bottom + out)
    inner = (left + within, top + within, right - within, bottom - within)
    return {
        (x, y)
        for x, y in itertools.product(range(width), range(height))
        if inside(shape, x, y, outer) and not inside(shape, x, y, inner)
    }


# Marks.


@pytest.mark.parametrize(("mode", "shape"), [("overlay", "circle"), ("overlay_box", "box")])
@pytest.mark.parametrize(
    ("size", "box", "line"),
    [
        ((40, 30), (5, 4, 25, 19), 1),
        ((40, 30), (0, 0, 40, 30), 1),
        ((40, 30), (39, 29, 40, 30), 1),
        ((330, 260), (20, 31, 203, 180), 3),
        ((260, 330), (250, 0, 260, 330), 3),
        ((200, 149), (7, 8, 12, 11), 1),  # 1.49
        ((200, 150), (7, 8, 12, 11), 2),  # 1.5
    ],
)
def test_the_mark_around_a_box(mode, shape, size, box, line):
    assert red_of(noise(*size), Box(*box), mode) == ring(shape, box, line, *size)


@given(
    shape=st.sampled_from(["circle", "box"]),
    box=st.tuples(st.integers(-9, 20), st.integers(-9, 15), st.integers(1, 25), st.integers(1, 25)),
    line=st.integers(1, 7),
)
def test_marks_of_any_width_anywhere(shape, box, line):
    left, top, wide, high = box
    part = (left, top, left + wide, top + high)
    found = np.asarray(Marks(shape, (part,), line).on(noise(24, 18), "it"))
    red = {(int(x), int(y)) for y, x in zip(*np.nonzero((found == RED).all(axis=2)), strict=True)}
    assert red == ring(shape, part, line, 24, 18)
    if wide * high > 1 and shape == "box" and 0 <= left < left + wide <= 24 and 0 <= top < top + high <= 18:
        assert any(inside("box", x, y, part) for x, y in set(itertools.product(range(24), range(18))) - red), "seen"


def test_a_box_over_the_edge_is_marked_as_far_as_it_is_seen():
    picture = noise(40, 30)
    assert red_of(picture, Box(-5.5, -2, 10.2, 12.7), "overlay") == ring("circle", (0, 0, 11, 13), 1, 40, 30)
    assert red_of(picture, Box(30, 20, 99, 99), "overlay_box") == ring("box", (30, 20, 40, 30), 1, 40, 30)


def test_a_circle_around_each_point_and_none_around_those_that_are_not_meant():
    picture = noise(120, 100)  # the radius is 6, the line 1
    around = {place: (place[0] - 6, place[1] - 6, place[0] + 7, place[1] + 7) for place in ((30, 40), (118, 1))}
    rings = {place: ring("circle", box, 1, 120, 100) for place, box in around.items()}
    assert red_of(picture, Point(30.9, 40.2), "overlay") == rings[30, 40]
    both = Points((Point(30, 40), Point(118.5, 1)), negative=(Point(80, 80),))
    assert red_of(picture, both, "overlay") == rings[30, 40] | rings[118, 1]
    assert red_of(picture, Point(30, 40), "overlay_box") == ring("box", around[30, 40], 1, 120, 100)


def test_of_a_mask_the_bounding_box_is_marked():
    marked = np.zeros((30, 40), dtype=bool)
    marked[5, 7] = marked[20, 9] = marked[9, 30] = True
    assert red_of(noise(40, 30), Mask(marked), "overlay") == ring("circle", (7, 5, 31, 21), 1, 40, 30)


# The blur.


@pytest.mark.parametrize(
    ("region", "part"),
    [(Box(5, 4, 25, 19), (5, 4, 25, 19)), (Box(4.5, -3, 8.1, 99), (4, 0, 9, 30)), (Box(0, 0, 40, 30), (0, 0, 40, 30))],
)
def test_all_but_the_region_is_blurred(region, part):
    picture = noise(40, 30)
    found, plain = seen(picture, region, "blur"), np.asarray(picture)
    blurred = np.asarray(picture.filter(PIL.ImageFilter.GaussianBlur(100)))
    left, top, right, bottom = part
    for x, y in itertools.product(range(40), range(30)):
        kept = left <= x < right and top <= y < bottom
        assert (found[y, x] == (plain if kept else blurred)[y, x]).all()


@given(places=st.sets(st.tuples(st.integers(0, 19), st.integers(0, 14)), min_size=1, max_size=9))
def test_a_mask_stays_sharp_where_it_marks_and_not_in_its_bounding_box(places):
    picture = noise(20, 15)
    marks = PIL.Image.new("RGB", (20, 15))
    for place in places:
        marks.putpixel(place, (0, 0, 1))  # as grey it would be black
    found, plain = seen(picture, Mask(ImageFile.of(marks, upright=False)), "blur"), np.asarray(picture)
    blurred = np.asarray(picture.filter(PIL.ImageFilter.GaussianBlur(100)))
    for x, y in itertools.product(range(20), range(15)):
        assert (found[y, x] == (plain if (x, y) in places else blurred)[y, x]).all()


def test_the_blur_spreads_a_line_over_a_hundred_pixels():
    """Against the bell curve itself, which Pillow comes near to: three averages in each direction, each in 8 bits."""
    picture = PIL.Image.new("RGB", (1201, 3))
    for x in range(580, 621):
        for y in range(3):
            picture.putpixel((x, y), (240, 240, 240))
    found = seen(picture, Box(0, 0, 1, 1), "blur")[1, :, 0].astype(float)
    xs = np.arange(1201)
    curve = sum(240 * np.exp(-((xs - x) ** 2) / (2 * 100**2)) for x in range(580, 621)) / (100 * np.sqrt(2 * np.pi))
    assert np.abs(found[1:] - curve[1:]).max() < 3
    assert curve.max() > 38


def test_a_mask_that_has_become_another_size(tmp_path):
    PIL.Image.new("L", (20, 15), 255).save(tmp_path / "m.png")
    blur = Blur(100, mask=ImageFile(tmp_path, "m.png", upright=False))
    with pytest.raises(ImageError, match=r"mask m\.png has 20 x 15 pixels, but its image a\.png has 9 x 9: mend it"):
        blur.on(noise(9, 9), "a.png")
    with pytest.raises(ValueError, match="give one of them"):
        Blur(100)


# What the image is then.


@pytest.mark.parametrize("mode", ["overlay", "overlay_box", "blur"])
def test_a_drawing_leaves_what_it_is_drawn_on_as_it_is(mode):
    picture = noise(40, 30)
    before = picture.tobytes()
    one = item(picture, Box(5, 4, 25, 19))
    decoded = replace(one, image=replace(one.image, pixels=one.image.rgb()))
    given_ = prompted(decoded, mode)
    assert given_.image.rgb().tobytes() != before, "not the pixels that were at hand"
    assert given_.image.rgb().tobytes() == given_.image.rgb().tobytes()
    assert picture.tobytes() == one.image.rgb().tobytes() == before
    assert given_.image.rgb().size == (given_.image.facts().width, given_.image.facts().height) == (40, 30)
    assert given_.image.whole == one.image
    assert (given_.region, given_.prompt, given_.text, given_.region_text) == (None, one.prompt, "what?", "")


def images_of_one_file(folder: Path) -> list[ImageFile]:
    """The same file as it is, cut and drawn on in all ways, with other boxes, and with other masks."""
    noise(40, 30).save(folder / "a.png")
    regions: list[Region] = [Box(5, 4, 25, 19), Box(5, 4, 25, 20)]
    for number in (9, 10):
        mask = PIL.Image.new("L", (40, 30))
        mask.putpixel((5, 4), 255)
        mask.putpixel((24, 18), 255)
        mask.putpixel((number, 10), 255)  # of one bounding box
        mask.save(folder / f"mask{number}.png")
    masks = [Mask(ImageFile(folder, f"mask{number}.png", upright=False)) for number in (9, 10)]
    plain = ImageFile(folder, "a.png", upright=False)
    queries = [Item("<image>", image=plain, region=region) for region in regions]
    found = [prompted(query, mode).image for query in queries for mode in CHANGING]
    found += [prompted(Item("<image>", image=plain, region=mask), "blur").image for mask in masks]
    found += [prompted(Item("<image>", image=plain, region=Point(9, 9)), "overlay").image]
    return [plain, *found]


def test_images_that_differ_in_pixels_differ_in_all_that_tells_them_apart(tmp_path):
    images = images_of_one_file(tmp_path)
    n = len(images)
    assert n == 12
    assert len({image.rgb().tobytes() for image in images}) == n
    assert len(set(images)) == len({image.identity() for image in images}) == n
    assert len({content_digest(Item("<image>", image=image)) for image in images}) == n
    assert sorted(image.identity() for image in images), "batches are ordered by it"
    copies = [replace(image, root=tmp_path / "..", path=f"{tmp_path.name}/a.png") for image in images]
    assert [copy.identity() for copy in copies] == [image.identity() for image in images], "wherever it lies"
    assert {image.facts().digest for image in images} == {images[0].sha256()}


def test_the_key_of_a_plain_image_is_what_it_was():
    """Vectors that are kept are found again: the keys of version 2, one by one."""
    plain = ImageFile(Path(), "a.png", upright=False, digest="0" * 64)
    cut = replace(plain, crop=(1, 2, 3, 4))
    assert [content_digest(Item("<image>", image=image)) for image in (plain, replace(plain, upright=True), cut)] == [
        "81389e99ffe6ea487528b3225d5f5d13d2da57ada504d5d45d00f0cfb15324ed",
        "36dcb649a3b1c29fb2894f6c5c75f1b00e9d7bb5b068956a3ead773178a0d149",
        "fd22afd1a145a84edb1912a82fb0a73140d298657f6e8b92bb7c0622d0121e6f",
    ]


def test_a_mask_is_told_by_what_it_holds(tmp_path):
    picture, marked = noise(20, 15), np.zeros((15, 20), dtype=bool)
    marked[3, 4] = True
    PIL.Image.fromarray(marked.astype(np.uint8) * 255).save(tmp_path / "one.png")
    (tmp_path / "two.png").write_bytes((tmp_path / "one.png").read_bytes())
    masks = (Mask(ImageFile(tmp_path, f"{name}.png", upright=False)) for name in ("one", "two"))
    one, two = (prompted(item(picture, mask), "blur") for mask in masks)
    assert content_digest(one) == content_digest(two)
    (tmp_path / "one.png").write_bytes(b"something else")
    assert content_digest(one) == content_digest(two), "of what it was when it was prompted"
    with pytest.raises(ImageError, match="has changed since"):
        one.image.rgb()


def test_an_image_is_drawn_on_once_as_it_is_stored(tmp_path):
    plain = ImageFile(tmp_path, "a.png", upright=False)
    marks = Marks("box", ((1, 1, 2, 2),), 1)
    for wrong in ({"upright": True}, {"crop": (0, 0, 1, 1)}):
        with pytest.raises(ValueError, match=r"a drawing on a\.png counts stored pixels"):
            replace(plain, drawing=marks, **wrong)
    noise(20, 15).save(tmp_path / "a.png")
    drawn = Item("<image>", image=replace(plain, drawing=marks), region=Box(0, 0, 5, 5))
    turned = Item("<image>", image=replace(plain, upright=True), region=Box(0, 0, 5, 5))
    for mode in ("crop", "overlay", "overlay_box", "blur", "reclip"):
        for one in (drawn, turned):
            with pytest.raises(RegionError, match=r"image a\.png is not as it is stored"):
                prompted(one, mode)
        with pytest.raises(RegionError, match="there is no image to "):
            prompted(replace(turned, image=None), mode)


@pytest.mark.parametrize("mode", ["overlay", "overlay_box", "blur"])
def test_the_stored_pixels_are_drawn_on_whatever_the_camera_recorded(mode, tmp_path):
    picture = noise(40, 30)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # held on its side
    picture.save(tmp_path / "turned.png", exif=exif)
    turned = Item("<image>", image=ImageFile(tmp_path, "turned.png", upright=False), region=Box(30, 5, 40, 12))
    assert (np.asarray(prompted(turned, mode).image.rgb()) == seen(picture, Box(30, 5, 40, 12), mode)).all()


@pytest.mark.parametrize("mode", ["overlay", "overlay_box", "blur", "reclip"])
@pytest.mark.parametrize(
    ("region", "says"),
    [
        (Box(40, 0, 44, 5), "lies outside its image of 40 x 30"),
        (Mask(np.zeros((30, 40), bool)), "black all over"),
    ],
)
def test_a_region_that_cannot_be_shown(mode, region, says):
    with pytest.raises(RegionError, match=says):
        prompted(item(noise(40, 30), region), mode)


def test_points_have_no_extent_and_the_way_out_is_a_way():
    for mode, said in (("blur", "blur its image around"), ("reclip", "cut its image to"), ("crop", "cut its image to")):
        for region in (Point(1, 1), Points((Point(1, 1),))):
            with pytest.raises(RegionError, match=f"has no extent to {said}: use --prompting (.*)") as caught:
                prompted(item(noise(40, 30), region), mode)
            ways = str(caught.value).partition("--prompting ")[2].replace(" or ", ", ").split(", ")
            assert all(prompted(item(noise(40, 30), region), way) for way in ways)
            assert {*ways} == {*MODES} - {"crop", "blur", "reclip"}


# Batches and the store.


class Looker(Random):
    """Keeps the pixels that it gets, by what tells images apart."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[object, bytes] = {}

    def encode(self, items, side):
        for one in items:
            pixels = one.image.rgb().tobytes()
            assert self.seen.setdefault(one.image.identity(), pixels) == pixels
        return super().encode(items, side)


def test_one_batch_of_one_file_in_all_ways(tmp_path):
    images = images_of_one_file(tmp_path)
    expected = {image.identity(): image.rgb().tobytes() for image in images}
    embedder = Looker()
    items = [Item("<image>", image=image) for image in images for _ in range(2)]
    with VectorStore(tmp_path / "store.sqlite") as store:
        encoder = Encoder(LoadedEmbedder(embedder, embedder.info, "0" * 64, "tests"), store)
        vectors = encoder.encode(items, "query")
        assert embedder.seen == expected
        assert (encoder.stats.distinct, encoder.stats.images) == (len(images), len(images))
        assert len({vector.tobytes() for vector in vectors}) == len(images)
        again = encoder.encode(items[::-1], "query")
        assert (again[::-1] == vectors).all()
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (len(images),)


def test_a_batch_is_planned_by_what_is_drawn(tmp_path):
    images = images_of_one_file(tmp_path)
    entries = [Pending(bytes([n]), Item("<image>", image=image), image.facts(), 5, 5) for n, image in enumerate(images)]
    (batch,) = plan(entries, 1000)
    assert len({entry.picture for entry in batch}) == len(images)
    assert [plan(entries[::-1], 1000), plan(entries, 1000)] == [[batch], [batch]]

"""Each mode of prompting: what becomes of an item, of its prompt character by character, of its pixels."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from builders import golden, load, write
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ImageError, RegionError
from evalkit.items import Box, Item, Mask, Point, Points, Region
from evalkit.items.drawing import Blur, Marks
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.keys import content_digest
from evalkit.items.prompting import MODES, prompted
from evalkit.items.prompting.placed import box_bounds, mask_bounds
from evalkit.items.regions import fault

SCAR = "SCaR/RefCOCOg"
WIDTH, HEIGHT = 12, 9
NAMED = "\nwhere: [1, 2, 5, 6]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of which no two pixels are alike, and masks of its size."""
    folder = tmp_path_factory.mktemp("images")
    numbers = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    PIL.Image.fromarray(np.stack([numbers, numbers + 1, 255 - numbers], axis=2).astype(np.uint8)).save(folder / "a.png")
    for name, places in (("mask", [(3, 1), (7, 4), (5, 6)]), ("black", []), ("dot", [(11, 8)])):
        mask = PIL.Image.new("L", (WIDTH, HEIGHT))
        for place in places:
            mask.putpixel(place, 1)  # not black, if only just
        mask.save(folder / f"{name}.png")
    PIL.Image.new("L", (HEIGHT, WIDTH), 255).save(folder / "turned.png")
    (folder / "broken.png").write_bytes((folder / "mask.png").read_bytes()[:45])
    return folder


def item(folder: Path, region: Region | None) -> Item:
    image = ImageFile(folder, "a.png", upright=False)
    return Item(f"<image>\nFind it.{NAMED}", NAMED.strip(), "Find it.", image, region, region_text=NAMED)


def mask(folder: Path, name: str) -> Mask:
    return Mask(ImageFile(folder, f"{name}.png", upright=False))


# What each mode leaves of an item.


@pytest.mark.parametrize("mode", MODES)
def test_an_item_without_a_region_stays_as_it_is(mode, folder):
    one = item(folder, None)
    assert prompted(one, mode) is one


def test_what_each_mode_leaves(folder):
    whole = item(folder, Box(1, 2, 5, 6))
    image = whole.image
    assert {mode: prompted(whole, mode) for mode in MODES} == {
        "native": whole,
        "text": replace(whole, region=None),
        "crop": replace(whole, region=None, image=replace(image, crop=(1, 2, 5, 6))),
        "overlay": replace(whole, region=None, image=replace(image, drawing=Marks("circle", ((1, 2, 5, 6),), 1))),
        "overlay_box": replace(whole, region=None, image=replace(image, drawing=Marks("box", ((1, 2, 5, 6),), 1))),
        "blur": replace(whole, region=None, image=replace(image, drawing=Blur(100, (1, 2, 5, 6)))),
        "reclip": replace(whole, region=None, image=replace(image, crop=(1, 2, 5, 6))),
        "none": Item("<image>\nFind it.", "", "Find it.", image),
    }


def test_what_the_model_sees_makes_the_key(folder):
    """Of native and of text it is what it was before there were modes."""
    whole = item(folder, Box(1, 2, 5, 6))
    keys = {mode: content_digest(prompted(whole, mode)) for mode in MODES}
    assert keys["reclip"] == keys["crop"], "its first view"
    assert content_digest(prompted(whole, "reclip", view=1)) == keys["blur"]
    assert len(set(keys.values())) == len(MODES) - 1
    plain = Item(whole.prompt, whole.text, whole.instruction, whole.image)
    assert keys["native"] == content_digest(replace(plain, region=whole.region))
    assert keys["text"] == content_digest(plain)
    assert keys["none"] == content_digest(Item("<image>\nFind it.", "", "Find it.", whole.image))
    same, other = (prompted(replace(whole, region=box), "crop") for box in (Box(1.5, 2, 4.5, 6), Box(1, 2, 5, 7)))
    assert content_digest(same) == keys["crop"], "the same pixels, by another box"
    assert content_digest(other) != keys["crop"]


@pytest.mark.parametrize(
    ("prompt", "text", "named", "left"),
    [
        ("<image>\nWhat? at 1", "What? at 1", " at 1", ("<image>\nWhat?", "What?")),
        ("<image>\nat 1\nWhat?", "at 1\nWhat?", "at 1\n", ("<image>\nWhat?", "What?")),
        ("<image>\nat 1: a cat\nat 1", "a cat at 1, at 1", "\nat 1", ("<image>\nat 1: a cat", "a cat at 1, ")),
        ("<image>\nWhat?\nat 1", "What?", "\nat 1", ("<image>\nWhat?", "What?")),
        ("<image>\nWhat?", "What?", "", ("<image>\nWhat?", "What?")),
        ("<image> ", " ", " ", ("<image>", "")),
    ],
)
def test_the_words_that_name_a_region_go_and_no_others(prompt, text, named, left):
    one = Item(prompt, text, region=Point(1, 1), region_text=named)
    found = prompted(one, "none")
    assert (found.prompt, found.text, found.region, found.region_text) == (*left, None, "")


def test_words_that_are_no_part_of_the_prompt_are_a_fault():
    with pytest.raises(ValueError, match=r"region_text 'at 2' is no part of the prompt 'at 1'"):
        Item("at 1", region_text="at 2")


# SCaR, character by character.


def test_prompts_of_scar(tmp_path):
    columns = golden(SCAR) | {"bbox": [[50.2, 64.58, 63.87, 150.21], [10, 20, 30, 40], [0, 0, 1, 1]]}
    columns["qry_text"][0] = "<|image_1|>\nFind the caption that best describes the segmented object."
    write(tmp_path, SCAR, columns)
    (tmp_path / "images").mkdir()
    query = load(tmp_path, SCAR).queries[0]
    sentence = "Referring object bbox: [50.2, 64.58, 114.07, 214.79000000000002]"
    assert query.region_text == f"\n{sentence}"

    def size(image: ImageFile) -> ImageFacts:
        return ImageFacts("", 640, 480)

    found = {mode: prompted(query, mode, size) for mode in MODES}
    question = "Find the caption that best describes the segmented object."
    whole = f"<image> \n{question}\n{sentence}"
    assert {mode: given.prompt for mode, given in found.items()} == {
        **dict.fromkeys(MODES, whole), "none": f"<image> \n{question}"
    }  # fmt: skip
    assert {mode: given.text for mode, given in found.items()} == {**dict.fromkeys(MODES, sentence), "none": ""}
    assert {given.instruction for given in found.values()} == {question}
    assert {mode: given.region for mode, given in found.items() if given.region is not None} == {"native": query.region}
    assert {mode: given.image.crop for mode, given in found.items()} == {
        **dict.fromkeys(MODES), "crop": (50, 64, 115, 215), "reclip": (50, 64, 115, 215)
    }  # fmt: skip


def test_the_sentence_of_every_query_of_scar_goes_whole(tmp_path):
    for name in ("SCaR/RefCOCO_plus", SCAR, "SCaR/VisualGenome", "SCaR/COCO_Stuff", "SCaR/ADE20K"):
        write(tmp_path, name, golden(name))
        for query in load(tmp_path, name).queries:
            without = prompted(query, "none")
            assert "bbox" not in without.prompt + without.text
            assert query.prompt == f"{without.prompt}\nReferring object bbox: {list(query.region.corners)}"


# The cut, against Pillow and against pixels counted one by one.


@pytest.mark.parametrize(
    ("region", "bounds"),
    [
        (Box(1, 2, 5, 6), (1, 2, 5, 6)),
        (Box(1.0, 2.9, 5.1, 6.0), (1, 2, 6, 6)),
        (Box(-3.5, -1, 4, 99.5), (0, 0, 4, HEIGHT)),
        (Box(11.2, 8.1, 11.3, 8.2), (11, 8, 12, 9)),
        (Box(-1, -1, 1e300, 1e300), (0, 0, WIDTH, HEIGHT)),
        ("mask", (3, 1, 8, 7)),
        ("dot", (11, 8, 12, 9)),
    ],
)
def test_the_image_is_cut_to_the_region(region, bounds, folder):
    region = mask(folder, region) if isinstance(region, str) else region
    cut = prompted(item(folder, region), "crop").image
    assert cut.crop == bounds
    with PIL.Image.open(folder / "a.png") as stored:
        assert cut.rgb().tobytes() == stored.convert("RGB").crop(bounds).tobytes()


def test_pixels_at_hand_are_those_of_the_whole(folder):
    one = item(folder, Box(1, 2, 5, 6))
    decoded = replace(one, image=replace(one.image, pixels=one.image.rgb()))
    assert prompted(decoded, "crop").image.rgb().size == (4, 4)


sides = st.integers(1, 30)
numbers = st.integers(-40, 70) | st.floats(-40, 70)


@given(width=sides, height=sides, corners=st.tuples(numbers, numbers, numbers, numbers))
def test_a_cut_lies_inside_has_a_pixel_and_all_that_the_box_covers(width, height, corners):
    x0, x1, y0, y1 = *sorted(corners[::2]), *sorted(corners[1::2])
    box = Box(x0, y0, x1, y1)
    if fault(box, ImageFacts("", width, height)) is not None:
        return
    left, top, right, bottom = box_bounds(box, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    covered = {
        (x, y)
        for x, y in itertools.product(range(width), range(height))
        if x < x1 and x + 1 > x0 and y < y1 and y + 1 > y0
    }
    assert covered == set(itertools.product(range(left, right), range(top, bottom)))


@given(marked=st.sets(st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)), max_size=5))
def test_a_mask_is_cut_to_all_that_it_marks(marked):
    image = PIL.Image.new("RGB", (WIDTH, HEIGHT))
    for place in marked:
        image.putpixel(place, (0, 0, 1))
    found = mask_bounds(Mask(ImageFile(Path(), "m.png", upright=False, pixels=image)))
    xs, ys = ({place[axis] for place in marked} for axis in (0, 1))
    assert found == ((min(xs), min(ys), max(xs) + 1, max(ys) + 1) if marked else None)


# What cannot be cut.


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (
            Point(1, 1),
            "a region of point has no extent to cut its image to: use --prompting native, text, overlay, overlay_box "
            "or none",
        ),
        (Points((Point(1, 1),)), "a region of points has no extent"),
        (Box(12, 0, 15, 5), r"box \[12, 0, 15, 5\] lies outside its image of 12 x 9 pixels; mend it or leave its row"),
        (Box(3, 3, 3, 5), r"box \[3, 3, 3, 5\] holds no pixel of its image"),
        ("turned", r"mask turned\.png has 9 x 12 pixels, but its image has 12 x 9 pixels; mend it"),
        ("black", "the mask is black all over"),
    ],
)
def test_a_region_that_cannot_be_cut_out(region, says, folder):
    one = item(folder, mask(folder, region) if isinstance(region, str) else region)
    with pytest.raises(RegionError, match=says) as caught:
        prompted(one, "crop")
    assert caught.value.about == one
    assert prompted(one, "text") == replace(one, region=None), "where nothing is cut, it is no more than words"


@pytest.mark.parametrize("name", ["absent", "broken"])
def test_a_mask_that_cannot_be_read(name, folder):
    with pytest.raises(ImageError, match=f"{name}.png"):
        prompted(item(folder, mask(folder, name)), "crop")


def test_an_image_that_is_not_as_stored_is_not_cut(folder):
    one = item(folder, Box(1, 2, 5, 6))
    for image in (replace(one.image, upright=True), replace(one.image, crop=(0, 0, 5, 5))):
        with pytest.raises(RegionError, match=r"image a\.png is not as it is stored"):
            prompted(replace(one, image=image), "crop")
    with pytest.raises(RegionError, match="no image to cut"):
        prompted(replace(one, image=None), "crop")


def test_every_mode_is_on_the_pages_that_explain_them() -> None:
    root = Path(__file__).parents[2]
    page, method = root / "docs/protocol.md", root / "reports/templates/method.html"
    for mode in MODES:
        assert f"\n| `{mode}` |" in page.read_text(encoding="utf-8")
        assert f'<th scope="row">{mode}</th>' in method.read_text(encoding="utf-8")

"""Images in memory: what is embedded is what their file would give, and nothing is believed that has changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ImageError
from evalkit.items import Box, Item, Mask
from evalkit.items.images import ImageFile
from evalkit.items.prompting import prompted

RANDOM = np.random.default_rng(0)


def noise(mode: str) -> PIL.Image.Image:
    shape = (9, 7) if mode in ("L", "I;16") else (9, 7, len(mode))
    if mode == "I;16":
        return PIL.Image.fromarray(RANDOM.integers(0, 65536, shape, dtype=np.uint16))
    image = PIL.Image.fromarray(RANDOM.integers(0, 256, shape, dtype=np.uint8), mode=None)
    return image


def held(mode: str) -> PIL.Image.Image:
    if mode == "P":
        return noise("RGB").quantize(9)
    if mode == "1":
        return noise("L").convert("1")
    if mode == "transparent":
        image = noise("RGB").quantize(9)
        image.info["transparency"] = 3
        return image
    if mode == "LA":
        return noise("RGBA").convert("LA")
    return noise(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "transparent"])
def test_pixels_in_memory_are_those_of_their_file(mode: str, tmp_path: Path) -> None:
    image = held(mode)
    image.save(tmp_path / "a.png")
    of_file, of_memory = ImageFile.of(tmp_path / "a.png").rgb(), ImageFile.of(image).rgb()
    assert of_memory.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(of_memory), np.asarray(of_file))
    of_bytes = ImageFile.of((tmp_path / "a.png").read_bytes())
    np.testing.assert_array_equal(np.asarray(of_bytes.rgb()), np.asarray(of_file))
    assert of_bytes.sha256() == ImageFile.of(tmp_path / "a.png").sha256()
    facts = ImageFile.of(image).facts()
    assert (facts.width, facts.height) == (7, 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_that_an_image_carries_is_applied_as_to_its_file(orientation: int, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    noise("RGB").save(tmp_path / "a.jpg", exif=exif)
    image = PIL.Image.open(tmp_path / "a.jpg")
    for upright in (True, False):
        of_file, of_memory = (ImageFile.of(one, upright=upright).rgb() for one in (tmp_path / "a.jpg", image))
        np.testing.assert_array_equal(np.asarray(of_memory), np.asarray(of_file))
    assert image.getexif()[0x0112] == orientation, "it is not ours to change"


def test_other_orientations_of_the_same_pixels_are_other_images() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    plain, turned = noise("RGB"), io.BytesIO()
    plain.save(turned, "PNG", exif=exif)
    assert ImageFile.of(plain) != ImageFile.of(PIL.Image.open(turned))
    assert ImageFile.of(plain) == ImageFile.of(plain.copy())
    assert hash(ImageFile.of(plain)) == hash(ImageFile.of(plain.copy()))


def test_an_image_that_is_written_to_after_it_was_handed_over_is_refused() -> None:
    image = noise("RGB")
    given_ = ImageFile.of(image)
    PIL.ImageDraw.Draw(image).point((0, 0), fill=tuple(255 - part for part in image.getpixel((0, 0))))  # type: ignore[union-attr]
    with pytest.raises(ImageError, match="changed since it was handed over"):
        given_.rgb()


def test_who_draws_on_what_a_model_gets_draws_on_a_copy() -> None:
    image = noise("RGB")
    before = np.asarray(image).copy()
    got = ImageFile.of(image).rgb()
    PIL.ImageDraw.Draw(got).rectangle((0, 0, 6, 8), fill="white")
    got.thumbnail((3, 3))
    np.testing.assert_array_equal(np.asarray(image), before)


def test_a_cut_of_an_image_in_memory() -> None:
    image = noise("RGB")
    item = prompted(Item(text="a", image=image, region=Box(1, 2, 5, 6)), "crop")
    assert item.image is not None
    np.testing.assert_array_equal(np.asarray(item.image.rgb()), np.asarray(image)[2:6, 1:5])
    assert (item.image.facts().width, item.image.facts().height) == (4, 4)


def test_what_it_writes_as_a_file_has_its_pixels() -> None:
    given_ = ImageFile.of(noise("RGBA"))
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(given_.read()))), np.asarray(given_.rgb()))


@given(st.integers(1, 6), st.integers(1, 6))
def test_a_mask_of_bools_marks_what_is_true(width: int, height: int) -> None:
    marked = np.random.default_rng(width * 7 + height).random((height, width)) < 0.5
    pixels = np.asarray(Mask(marked).image.rgb())  # type: ignore[arg-type]
    np.testing.assert_array_equal(pixels.any(axis=-1), marked)


@pytest.mark.parametrize(
    "value",
    [3, "", None, object(), {"a": 1}, {"bytes": None, "path": None}, np.zeros((3, 3)), np.zeros((2, 2, 4), np.uint8),
     [1, 2], noise("RGB").convert("F"), noise("RGB").convert("I").point(lambda v: v - 9)],
)  # fmt: skip
def test_what_is_no_image_is_refused(value: Any) -> None:
    with pytest.raises(ImageError):
        ImageFile.of(value)


@pytest.mark.parametrize(
    ("item", "prompt"),
    [
        (Item(text="a dog"), "a dog"),
        (Item(text="a dog", instruction="Find"), "Find a dog"),
        (Item(image=noise("RGB")), "<image>"),
        (Item(text="a dog", instruction="Find", image=noise("RGB")), "<image> Find a dog"),
        (
            Item(text="a dog", image=noise("RGB"), region=Box(1, 2, 3, 4.5)),
            "<image> a dog\nReferring object bbox: [1, 2, 3, 4.5]",
        ),
        (Item("", text="a dog"), ""),
    ],
)
def test_a_prompt_that_is_left_out_is_made_of_the_rest(item: Item, prompt: str) -> None:
    assert item.prompt == prompt


def test_the_sentence_that_names_a_box_goes_where_the_box_goes() -> None:
    item = Item(text="a dog", image=noise("RGB"), region=Box(1, 2, 3, 4))
    assert prompted(item, "none").prompt == "<image> a dog"
    assert prompted(item, "text").prompt == item.prompt
    assert prompted(item, "text").region is None


def test_an_image_of_an_item_with_a_region_is_as_it_is_stored() -> None:
    assert not Item(image=noise("RGB"), region=Box(0, 0, 2, 2)).image.upright  # type: ignore[union-attr]
    assert Item(image=noise("RGB")).image.upright  # type: ignore[union-attr]

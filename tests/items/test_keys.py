"""The key of a vector changes with everything that an embedder sees, and with nothing else."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evalkit.errors import ImageError
from evalkit.items import Box, Item, Mask, Point, Points
from evalkit.items.images import ImageFile
from evalkit.items.keys import content_digest, vector_key

ROOT = Path("images")
DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]

# Short strings of few characters, with those that a careless join would stumble over.
texts = st.text(st.sampled_from("a1:\0|\n é\ud800"), max_size=4)
LOOKS = ((True, None), (False, None), (False, (0, 0, 1, 1)), (False, (0, 0, 1, 11)), (False, (0, 0, 11, 1)))
images = st.builds(
    lambda digest, look: ImageFile(ROOT, "a.png", *look, digest=digest),
    st.sampled_from(DIGESTS),
    st.sampled_from(LOOKS),
)
numbers = st.sampled_from([0, 1, 2, 3, 0.5, 2.5])
points = st.builds(Point, numbers, numbers)
regions = st.one_of(
    points,
    st.builds(Points, st.lists(points, min_size=1, max_size=2).map(tuple), st.lists(points, max_size=1).map(tuple)),
    st.builds(lambda a, b, c, d: Box(min(a, c), min(b, d), max(a, c), max(b, d)), numbers, numbers, numbers, numbers),
    st.builds(Mask, images),
)
items = st.builds(Item, texts, texts, texts, st.none() | images, st.none() | regions)


def seen(item: Item) -> object:
    """All that an embedder sees, as a value to compare; ``repr`` tells 1 from 1.0."""

    def image(file: ImageFile) -> tuple[str | None, bool, object]:
        return file.digest, file.upright, file.crop

    region = item.region
    return (
        item.prompt,
        item.text,
        item.instruction,
        item.image and image(item.image),
        (Mask, image(region.image)) if isinstance(region, Mask) else repr(region),
    )


@given(items, items)
def test_equal_keys_mean_equal_content(one, other):
    assert (content_digest(one) == content_digest(other)) == (seen(one) == seen(other))


@given(items, st.data())
def test_every_field_counts(item, data):
    changed = {
        "prompt": texts,
        "text": texts,
        "instruction": texts,
        "image": st.none() | images,
        "region": st.none() | regions,
    }
    for field, values in changed.items():
        other = replace(item, **{field: data.draw(values, label=field)})
        assert (content_digest(other) == content_digest(item)) == (seen(other) == seen(item))


def test_parts_do_not_run_into_each_other():
    texts = ["", "a", "b", "ab", "1:a", "0:", "a0:", "0:1:a"]
    digests = {
        content_digest(Item(prompt, text, instruction)) for prompt in texts for text in texts for instruction in texts
    }
    assert len(digests) == len(texts) ** 3


def test_an_image_is_not_a_text_that_looks_like_it():
    image = ImageFile(ROOT, "a.png", digest=DIGESTS[0])
    digests = [
        content_digest(Item("p", image=image)),
        content_digest(Item("p", instruction=f"{DIGESTS[0]} True")),
        content_digest(Item("p", region=Mask(image))),
        content_digest(Item("p", image=image, region=Mask(image))),
        content_digest(Item("p")),
    ]
    assert len(set(digests)) == len(digests)


def test_regions_of_different_kinds_and_writing_are_apart():
    regions = [
        Point(1, 2),
        Point(1.0, 2),
        Point(2, 1),
        Points((Point(1, 2),)),
        Points((Point(1.0, 2),)),
        Points((Point(1, 2), Point(3, 4))),
        Points((Point(1, 2),), (Point(3, 4),)),
        Points((Point(1, 2), Point(3, 4)), (Point(5, 6),)),
        Points((Point(1, 2),), (Point(3, 4), Point(5, 6))),
        Box(1, 2, 1, 2),
        Box(1, 2, 3, 4),
        Box(1, 2, 3, 4.0),
        Box(1, 2, 3, 40),
        Box(1, 23, 4, 56),
        Box(12, 3, 45, 6),
        Box(12.3, 45, 60, 70),
    ]
    assert len({content_digest(Item("p", region=region)) for region in regions}) == len(regions)


def test_orientation_of_image_and_of_mask_count():
    upright, stored = (ImageFile(ROOT, "a.png", upright=value, digest=DIGESTS[0]) for value in (True, False))
    items = [
        Item("p", image=upright),
        Item("p", image=stored),
        Item("p", region=Mask(upright)),
        Item("p", region=Mask(stored)),
    ]
    assert len({content_digest(item) for item in items}) == 4


def test_what_a_prompt_says_of_the_region_counts_as_prompt_alone():
    item = Item("find it\nat 1", "at 1", region=Box(1, 2, 3, 4))
    assert content_digest(replace(item, region_text="\nat 1")) == content_digest(item)


def test_the_bytes_of_an_image_count_and_not_its_path(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    (tmp_path / "other" / "folder").mkdir(parents=True)
    shutil.copy(tmp_path / "a.png", tmp_path / "other" / "folder" / "b.jpg")
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "c.png")
    same = Item("p", image=ImageFile(tmp_path, "a.png"), region=Mask(ImageFile(tmp_path, "a.png")))
    moved = ImageFile(tmp_path / "other", "folder/b.jpg")
    assert content_digest(replace(same, image=moved)) == content_digest(same)
    assert content_digest(replace(same, region=Mask(moved))) == content_digest(same)
    assert content_digest(replace(same, image=ImageFile(tmp_path, "c.png"))) != content_digest(same)
    assert content_digest(replace(same, region=Mask(ImageFile(tmp_path, "c.png")))) != content_digest(same)


def test_pixels_at_hand_do_not_count(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    plain = ImageFile(tmp_path, "a.png")
    decoded = replace(plain, pixels=plain.rgb())
    assert content_digest(Item("p", image=decoded)) == content_digest(Item("p", image=plain))


def test_image_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png is missing"):
        content_digest(Item("p", image=ImageFile(tmp_path, "none.png")))
    with pytest.raises(ImageError, match=r"none\.png is missing"):
        content_digest(Item("p", region=Mask(ImageFile(tmp_path, "none.png"))))


names = st.text(st.sampled_from("ab1:|\0"), max_size=4)


@given(*[st.tuples(names, names, st.sampled_from(["query", "candidate"]), names)] * 2)
def test_embedder_storage_side_and_content_make_the_key(one, other):
    assert len(vector_key(*one)) == 32
    assert (vector_key(*one) == vector_key(*other)) == (one == other)


def test_keys_stay_what_they_are():
    # A store holds them for long: who changes them on purpose changes KEY_VERSION and these lines.
    item = Item("<image>\nFind it.", "Find it.", "Represent.", region=Box(1, 2, 3, 4.5))
    item = replace(item, image=ImageFile(ROOT, "a.png", upright=False, digest=DIGESTS[0]))
    parts = ["<image>\nFind it.", "Find it.", "Represent.", f"{DIGESTS[0]} False", "box 1 2 3 4.5"]
    content = hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
    assert content_digest(item) == content
    cut = replace(item, image=replace(item.image, crop=(1, 2, 30, 4)))
    parts[3] += " crop 1 2 30 4"
    assert content_digest(cut) == hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
    key = hashlib.sha256(f"1:22:fp7:float325:query64:{content}".encode()).digest()
    assert vector_key("fp", "float32", "query", content) == key

"""Embedders that know nothing must know nothing, and always the same nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evalkit.embedders.baselines import Constant, Random
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.errors import UsageError
from evalkit.items import Box, Item
from evalkit.items.images import ImageFile
from evalkit.items.keys import content_digest

ITEMS = [Item(text) for text in ("", "a", "b", "ab", "a\0b")]


@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.sampled_from(["query", "candidate"]))
def test_constant_is_one_unit_vector(texts, side):
    vectors = Constant().encode([Item(text) for text in texts], side)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), Constant.info.dimension)
    assert (vectors == vectors[0, 0]).all()
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6


@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.integers(1, 300), st.integers(0, 5))
def test_random_is_of_unit_length_in_any_dimension(texts, dimension, seed):
    vectors = Random(seed, dimension).encode([Item(text) for text in texts], "query")
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), dimension)
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6


def test_random_goes_by_content_alone():
    random = Random()
    together = random.encode(ITEMS, "query")
    assert (random.encode(ITEMS[::-1], "candidate")[::-1] == together).all()  # not by side, order or batch
    for item, vector in zip(ITEMS, together, strict=True):
        assert (Random().encode([item], "query") == vector).all()
    assert len({vector.tobytes() for vector in together}) == len(ITEMS)


def test_random_sees_images_and_regions(tmp_path: Path):
    for name, colour in (("a.png", "red"), ("same.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / name)
    a, same, b = (ImageFile(tmp_path, name) for name in ("a.png", "same.png", "b.png"))
    vectors = Random().encode([Item("p", image=image) for image in (a, same, b)], "query")
    assert (vectors[0] == vectors[1]).all()
    assert (vectors[0] != vectors[2]).any()
    regions = Random().encode([Item("p", image=a, region=r) for r in (None, Box(0, 0, 1, 1), Box(0, 0, 1, 2))], "query")
    assert len({vector.tobytes() for vector in regions}) == 3


def test_seeds_and_dimensions_are_other_embedders():
    embedders = [Random(), Random(1), Random(dimension=65), Random(6, 4), Random(64)]
    assert len({embedder.info.fingerprint for embedder in embedders}) == len(embedders)
    assert Random().info.fingerprint != Constant.info.fingerprint
    zero, one = Random(0).encode(ITEMS, "query"), Random(1).encode(ITEMS, "query")
    assert (zero != one).any(axis=1).all()


def test_random_vectors_point_everywhere():
    vectors = Random(dimension=32).encode([Item(str(number)) for number in range(2000)], "query")
    # The sum of n random unit vectors is about sqrt(n) long, and never more than five times that.
    assert np.linalg.norm(vectors.sum(axis=0)) < 5 * 2000**0.5
    cosines = vectors[:1000] @ vectors[1000:].T
    assert abs(cosines.mean()) < 0.01
    assert cosines.std() == pytest.approx(32**-0.5, rel=0.02)


def test_random_never_changes():
    # Published numbers of chance depend on it: who changes it on purpose changes its fingerprint, too.
    item = Item("<image>\nWhat is it?", "What is it?", "Answer.")
    (vector,) = Random(seed=7, dimension=4).encode([item], "query")
    drawn = hashlib.shake_256(f"7\0{content_digest(item)}".encode()).digest(8)
    expected = np.array([int.from_bytes(drawn[2 * at : 2 * at + 2], "little") - 32767.5 for at in range(4)])
    assert vector.tolist() == pytest.approx(expected / np.sqrt((expected**2).sum()), abs=1e-7)
    assert vector.tolist() == pytest.approx([0.745830595, -0.588070393, 0.136767775, 0.281433016], abs=1e-7)
    assert Random(seed=7, dimension=4).info.fingerprint == "evalkit random-1-7-4"


@pytest.mark.parametrize(
    ("written", "name", "dimension"),
    [("constant", "constant", 8), ("random", "random", 64), ("random?seed=3&dimension=5", "random", 5)],
)
def test_they_are_found_by_name(written, name, dimension):
    loaded = load_embedder(parse_model(written))
    assert (loaded.info.name, loaded.info.dimension) == (name, dimension)
    assert loaded.embedder.encode(ITEMS, "query").shape == (len(ITEMS), dimension)


@pytest.mark.parametrize("option", ["dimension=0", "dimension=-1", "dimension=many", "seed=", "seed=1.5"])
def test_options_that_are_no_numbers_are_bad_usage(option):
    with pytest.raises(UsageError, match=option.partition("=")[0]):
        load_embedder(parse_model(f"random?{option}"))

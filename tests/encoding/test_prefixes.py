"""Cut vectors: the first components, of length 1, whatever the vectors are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.encoding.prefixes import cut
from evalkit.errors import EmbedderError
from evalkit.items import Item


def vectors(seed: int, count: int, dimension: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def items(count: int) -> list[Item]:
    return [Item(text=f"item {number}") for number in range(count)]


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 40), st.data())
def test_the_first_components_of_length_1(seed, count, dimension, data):
    whole = vectors(seed, count, dimension)
    before, kept = whole.copy(), data.draw(st.integers(1, dimension))
    found = cut(whole, kept, items(count), "query")
    assert (found.shape, found.dtype) == ((count, kept), np.float32)
    assert np.array_equal(whole, before)
    for row, own in zip(found.tolist(), whole[:, :kept].tolist(), strict=True):
        length = math.sqrt(math.fsum(part * part for part in own))
        assert row == pytest.approx([part / length for part in own], abs=2e-7)
    assert np.array_equal(cut(whole, dimension, items(count), "query"), whole)
    # A vector depends on itself alone, and cutting twice is cutting once.
    assert np.array_equal(cut(whole[:1], kept, items(1), "query"), found[:1])
    again = data.draw(st.integers(1, kept))
    np.testing.assert_allclose(
        cut(found, again, items(count), "query"), cut(whole, again, items(count), "query"), atol=3e-7
    )


def test_a_prefix_of_zeros_names_its_item():
    whole = vectors(0, 3, 8)
    whole[1] = [0, 0, 0, 0, 1, 0, 0, 0]
    assert cut(whole, 5, items(3), "candidate").shape == (3, 5)
    with pytest.raises(EmbedderError, match=r"the first 4 of 8 components are 0 for candidate item 'item 1'"):
        cut(whole, 4, items(3), "candidate")


def test_the_smallest_numbers_have_a_direction():
    """Their squares are none in float32."""
    whole = np.float32([[3e-42, 4e-42, 1.0]])
    found = cut(whole, 2, items(1), "query")
    np.testing.assert_allclose(found, [[0.6, 0.8]], atol=1e-3)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)

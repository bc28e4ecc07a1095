"""Regions in SAM's frame, and SAM's reading of them against transformers' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.virtue.sam_prompts import grid, prompt_of
from evalkit.errors import ImageError
from evalkit.items import Box, Mask, Point, Points
from evalkit.items.images import ImageFile

places = st.floats(0, 2000, allow_nan=False)


def test_the_grid_is_the_middle_of_equal_squares() -> None:
    prompt = grid(3, 1024)
    third = 1024 / 3
    wanted = [(third * (column + 0.5), third * (row + 0.5)) for column in range(3) for row in range(3)]
    np.testing.assert_allclose(sorted(prompt.points), wanted)
    assert prompt.labels == (1,) * 9
    assert len(grid(16, 1024).points) == 256


@given(places, places, st.integers(1, 4000), st.integers(1, 4000))
def test_frames(x: float, y: float, width: int, height: int) -> None:
    raw, scaled = (prompt_of(Point(x, y), (width, height), frame, 1024) for frame in ("raw_pixels", "sam"))
    assert raw.points == ((x, y),)
    assert scaled.points[0] == pytest.approx((x * 1024 / width, y * 1024 / height))
    assert raw.labels == scaled.labels == (1,)
    assert prompt_of(Point(x, y), (1024, 1024), "sam", 1024) == raw
    single = prompt_of(Points((Point(x, y),)), (width, height), "sam", 1024)
    assert single == scaled


def test_corners_and_clicks_have_their_labels() -> None:
    box = prompt_of(Box(1, 2, 3, 4), (10, 10), "raw_pixels", 1024)
    assert (box.points, box.labels) == (((1, 2), (3, 4)), (2, 3))
    clicks = prompt_of(Points((Point(1, 2), Point(3, 4)), (Point(5, 6),)), (10, 20), "sam", 100)
    assert clicks.points == ((10, 10), (30, 20), (50, 30))
    assert clicks.labels == (1, 1, 0)


def mask_of(marked: np.ndarray, folder: Path) -> Mask:
    """A mask, as a file."""
    PIL.Image.fromarray(marked.astype(np.uint8) * 200).save(folder / "mask.png")
    return Mask(ImageFile(folder, "mask.png", upright=False))


def test_a_mask_becomes_logits_of_its_shares(tmp_path: Path) -> None:
    marked = np.zeros((80, 160), dtype=bool)
    marked[:40, 80:] = True  # the right upper quarter
    prompt = prompt_of(mask_of(marked, tmp_path), (160, 80), "raw_pixels", 64)
    assert prompt.mask is not None
    assert prompt.mask.shape == (16, 16)
    assert prompt.mask.dtype == np.float32
    inside, outside = prompt.mask[:7, 9:], np.concatenate([prompt.mask[9:].ravel(), prompt.mask[:, :7].ravel()])
    assert (inside == 10).all()
    assert (outside == -10).all()
    assert prompt.mask.mean() == pytest.approx(20 / 4 - 10, abs=0.2)
    assert (prompt.points, prompt.labels) == (((0, 0),), (-1,))


def test_a_mask_of_one_pixel_is_not_lost(tmp_path: Path) -> None:
    marked = np.zeros((640, 640), dtype=bool)
    marked[100, 200] = True
    prompt = prompt_of(mask_of(marked, tmp_path), (640, 640), "sam", 256)
    assert prompt.mask is not None
    assert prompt.mask.max() > -10


def test_a_black_mask_marks_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"mask mask.png is black all over") as caught:
        prompt_of(mask_of(np.zeros((4, 4), dtype=bool), tmp_path), (4, 4), "sam", 64)
    assert isinstance(caught.value.about, ImageFile)

"""What an item, and a region of one, is made of."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.items import Box, Item, Point, Points


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"text": None}, "text None of an item is no text"),
        ({"text": "a", "instruction": 3}, "instruction 3 of an item is no text"),
        ({"text": "a", "region": (1, 2, 3, 4)}, r"region \(1, 2, 3, 4\) of an item is no Box, Point, Points or Mask"),
    ],
)
def test_what_no_embedder_could_read_is_no_part_of_an_item(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Item(**said)


def test_points_may_be_lists_and_are_what_can_be_a_key() -> None:
    listed: Any = [Point(1, 2), Point(3, 4)]
    assert hash(Points(listed, [])) == hash(Points(tuple(listed)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"positive has \(1, 2\), which is no Point"):
        Points(((1, 2),))  # type: ignore[arg-type]
    assert Item(text="a", region=Box(1, 2, 3, 4)).region == Box(1, 2, 3, 4)

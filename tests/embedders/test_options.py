"""A model's options as text has them, and what is said of those that are none."""

from __future__ import annotations

import pytest

from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.options import one_of, whole, yes_or_no
from evalkit.embedders.registry import load_embedder
from evalkit.errors import UsageError

WORDS = ("official", "vlm2vec", "none")


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_is_known(word: str) -> None:
    assert one_of("protocol", word, WORDS) == word


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("offical", "; near: official"),
        ("vlm2vec-v2", "; near: vlm2vec"),
        ("non", "; near: none"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_a_word_that_is_none_of_them(word: str, end: str) -> None:
    with pytest.raises(UsageError) as caught:
        one_of("protocol", word, WORDS)
    assert str(caught.value) == f"option protocol={word!r} is not known: use official, vlm2vec or none{end}"


@pytest.mark.parametrize(
    ("value", "found"),
    [(True, True), (False, False), ("1", True), ("0", False), ("Yes", True), ("no", False), ("TRUE", True)],
)
def test_on_and_off(value: bool | str, found: bool) -> None:
    assert yes_or_no("instruction", value) is found


@pytest.mark.parametrize("value", ["", "2", "on", "maybe", " 1"])
def test_neither_on_nor_off(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        yes_or_no("instruction", value)
    assert str(caught.value) == f"option instruction={value!r} is not known: use 1 or 0"


def test_a_whole_number() -> None:
    assert [whole("num_crops", value, 64) for value in (None, 1, "1", "64", "007")] == [None, 1, 1, 64, 7]


@pytest.mark.parametrize("value", [0, 65, -1, "", "0", "65", "-1", "1.5", "many", "\u0664", "9" * 5000])
def test_no_whole_number_of_those(value: int | str) -> None:
    with pytest.raises(UsageError, match="write a whole number from 1 to 64"):
        whole("num_crops", value, 64)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gme:/nowhere?protocol=vlm2ve", "near: vlm2vec"),
        ("gme:/nowhere?positions=mropes", "near: mrope"),
        ("gme-2b?protocol=offical", "near: official"),
        ("lamra:/nowhere?protocol=vlm2ve", "near: vlm2vec"),
        ("lamra:/nowhere?positions=2d", "use 1d or mrope"),
        ("e5-v:/nowhere?pair=summery", "near: summary"),
        ("wemm:/nowhere?protocol=vlm2ve", "near: vlm2vec"),
        ("unime:/nowhere?protocol=vlm2ve", "near: vlm2vec"),
        ("unime:/nowhere?num_crops=0", "write a whole number from 1 to 64"),
        ("vlm2vec:/nowhere?resolution=hihg", "near: high"),
        ("vlm2vec:/nowhere?num_crops=65", "write a whole number from 1 to 64"),
        ("virtue:/nowhere?resolution=hihg", "near: high"),
        ("virtue:/nowhere?frame=raw_pixel", "near: raw_pixels"),
        ("clip:/nowhere?instruction=maybe", "use 1 or 0"),
        ("clip:/nowhere?max_num_patches=0", "write a whole number from 1 to 16384"),
        ("magiclens:/nowhere?text=clop", "near: clip"),
        ("magiclens:/nowhere?size=larg", "near: large"),
        ("uniir-clip:/nowhere?instruction=maybe", "use 1 or 0"),
        ("uniir-blip:/nowhere?instruction=maybe", "use 1 or 0"),
    ],
)
def test_an_option_is_read_before_the_checkpoint_is_looked_for(model: str, says: str) -> None:
    """Nobody is told to download weights for a run that would be refused after it."""
    with pytest.raises(UsageError) as caught:
        load_embedder(parse_model(model), "cpu")
    assert says in str(caught.value)

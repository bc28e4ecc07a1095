"""Options that are one of some words, and what is said of those that are none."""

from __future__ import annotations

import pytest

from evalkit.embedders.loading import one_of
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

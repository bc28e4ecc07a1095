"""The comparison of pages with outputs sees drift, and nothing but drift."""

from __future__ import annotations

import pytest
from printed import missing

PRINTED = "before\na 1\nb 2\nc 3\nd 4\nrun 0123456789ab\nafter\n"


@pytest.mark.parametrize(
    "shown", ["a 1\nb 2\n", "a 1\n…\nd 4\n", "a 1\n…\nb 2\n", "…\nc 3\n", "d 4\nrun ba9876543210\n"]
)
def test_what_is_printed_is_found(shown: str) -> None:
    assert missing(shown, PRINTED) is None


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("a 1\nb 3\n", "'b 3' is shown, 'b 2' printed"),
        ("a 1\nc 3\n", "'c 3' is shown, 'b 2' printed"),
        ("d 4\n…\na 1\n", "'a 1' is not printed"),
        ("a 1\n…\nb\n", "'b' is not printed"),
        ("run 0123\n", "'run 0123' is not printed"),
        ("after\nmore\n", "'more' is shown, '' printed"),
    ],
)
def test_drift_is_named(shown: str, said: str) -> None:
    assert missing(shown, PRINTED) == said

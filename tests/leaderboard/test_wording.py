"""Words and numbers as pages write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.leaderboard import wording as words
from evalkit.leaderboard.board import Facts


@pytest.mark.parametrize(
    ("parameters", "size", "millions", "kind"),
    [
        (None, "7B", 7000, "large"),
        (None, "4.2B", 4200, "middle"),
        (None, "0.5B", 500, "small"),
        (None, "400M", 400, "small"),
        (2208.9, "7B", 2208.9, "middle"),  # what is counted before what is called
        (None, None, None, "unknown"),
        (None, "large", None, "unknown"),
    ],
)
def test_a_size_is_the_number_of_parameters_or_what_the_name_says(parameters, size, millions, kind):
    facts = Facts(parameters=parameters, size=size)
    assert words.size(facts) == millions
    assert words.size_class(facts) == kind


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("https://example.org/a?b=c#d", True),
        ("HTTPS://example.org", True),
        ("https://example.org/\u202e", False),
        ("https://", False),
        ("https://[", False),
        ("https:\\\\example.org", False),
        ('https://example.org/"onclick="', False),
        (" https://example.org", False),
        ("java\nscript:alert(1)", False),
        ("", False),
    ],
)
def test_an_address_outside_is_https_or_nothing(url, there):
    assert (words.outside(url) == url) is there
    assert there or words.outside(url) is None


@given(st.text())
def test_shown_text_turns_nothing_around_and_is_shown_as_it_is_again(text):
    shown = words.shown(text)
    assert all(c.isprintable() or c in "\n\u200c\u200d" for c in shown)
    assert words.shown(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012, "+1.2"), (-0.012, "\N{MINUS SIGN}1.2"), (0.0004, "0.0"), (-0.0004, "0.0"), (0.0, "0.0"), (None, "—")],
)
def test_a_difference_has_its_sign(value, text):
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (6.9, "6.9 M"),
        (151.3, "151 M"),
        (999.4, "999 M"),
        (999.6, "1 B"),
        (2210.0, "2.21 B"),
        (72000, "72 B"),
    ],
)
def test_parameters_are_millions_or_billions(value, text):
    assert words.parameters(value) == text


def test_names_break_where_a_reader_would():
    assert words.breakable("RefCOCO-Matching") == "RefCOCO-<wbr>Matching"
    assert words.breakable("InfographicsVQA") == "Infographics<wbr>VQA"
    assert words.breakable("COCO_Stuff") == "COCO_<wbr>Stuff"
    assert words.breakable("ImageNet-1K") == "ImageNet-1K"
    assert words.breakable("<b>") == "&lt;b&gt;"

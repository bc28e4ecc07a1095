"""Words for people."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.terminal import escaped_json, json_text, one_line, percent, printable


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text):
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    if all(c.isprintable() or c == "\n" for c in text):
        assert shown == text


def test_what_is_escaped_can_be_read():
    assert printable("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\n"


@given(st.text() | st.text(alphabet=":# \n[ab"))
def test_one_line_is_one_and_no_command(text):
    shown = one_line(text)
    assert shown.splitlines() in ([shown], [])
    assert shown.isprintable()
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown
    assert one_line(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CUDA error\n::warning::x", "CUDA error ::warning::x"),
        (" ::error title=x::pwned", ": :error title=x::pwned"),
        ("a ##[error]b ##vso[task.complete]c #1 ## [d", "a ## [error]b ## vso[task.complete]c #1 ## [d"),
        ("a\u2028b\x85c\x1b[31m", "a b c\\x1b[31m"),
        ("evalkit.errors::x", "evalkit.errors::x"),
    ],
)
def test_what_a_ci_system_would_do_is_broken(text, shown):
    assert one_line(text) == shown


def test_percent():
    assert [percent(v) for v in (0.0, 0.12345, 1.0, None)] == ["0.0", "12.3", "100.0", "–"]


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())), st.sampled_from([None, 2]))
def test_json_to_print_parses_to_the_same_and_steers_no_terminal(value, indent):
    shown = json_text(value, indent)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert json.loads(shown) == value
    assert escaped_json(shown) == shown


def test_json_to_print_keeps_letters_and_escapes_the_rest():
    assert json_text(["猫é", "\x1b[31m\x9b\u202e\u2066\x7f\U000e0001"]) == (
        '["猫é", "\\u001b[31m\\u009b\\u202e\\u2066\\u007f\\udb40\\udc01"]'
    )

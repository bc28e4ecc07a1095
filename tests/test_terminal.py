"""Words for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.terminal import percent, printable


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text):
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    if all(c.isprintable() or c == "\n" for c in text):
        assert shown == text


def test_what_is_escaped_can_be_read():
    assert printable("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\n"


def test_percent():
    assert [percent(v) for v in (0.0, 0.12345, 1.0, None)] == ["0.0", "12.3", "100.0", "–"]

"""Text for people: numbers as percent, and strangers' words without what would steer a terminal."""

from __future__ import annotations

import json
import math
import re
from typing import Any


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    """A fraction with its interval in whole percent, which is never shown narrower than it is: ``86.2 (83 to 89)``."""
    # Outward, so that what is shown holds the value; rounded before, because 0.1 is no whole percent as a float.
    return f"{percent(value)} ({math.floor(round(100 * low, 6))} to {math.ceil(round(100 * high, 6))})"


def printable(text: str) -> str:
    """Text with everything escaped that is no character to be seen: colours, titles, reversed writing.

    File names, columns, and the words of an embedder's error come from strangers. Line ends stay.
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """A stranger's text as one line that no CI system takes for a command.

    GitHub does what a line says that begins with ``::``, spaces or not, and what follows ``##[`` anywhere in one;
    Azure and TeamCity have ``##vso[`` and ``##teamcity[``. A space breaks them.
    """
    line = printable(" ".join(text.split()))
    return re.sub(r"##(?=\w*\[)", "## ", re.sub(r"^:(?=:)", ": ", line))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON to print: the letters of all writings as they are, and what steers a terminal escaped.

    Raises:
        ValueError: a number that JSON does not have.
    """
    return escaped_json(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def escaped_json(text: str) -> str:
    """JSON with every character escaped that is none to be seen; it parses to the same. Line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)

"""A model's options as text has them, read before anything is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from evalkit.errors import UsageError
from evalkit.plugins import near_hint

T = TypeVar("T", bound=str)

_YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def one_of(option: str, value: str, allowed: Sequence[T]) -> T:
    """One of some words.

    Raises:
        UsageError: it is none of them; says which is near.
    """
    for word in allowed:
        if value == word:
            return word
    raise UsageError(
        f"option {option}={value!r} is not known: use {', '.join(allowed[:-1])} or {allowed[-1]}"
        f"{near_hint(value, allowed)}"
    )


def yes_or_no(option: str, value: bool | str) -> bool:
    """On or off, as Python or as text has it.

    Raises:
        UsageError: it is none of 1, true, yes, 0, false and no.
    """
    if isinstance(value, bool):
        return value
    if value.lower() not in _YES_NO:
        raise UsageError(f"option {option}={value!r} is not known: use 1 or 0")
    return _YES_NO[value.lower()]


def whole(option: str, value: int | str | None, most: int) -> int | None:
    """A whole number from 1 to ``most``; ``None`` where none is given.

    Raises:
        UsageError: it is no such number.
    """
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 1 <= int(text) <= most:
        raise UsageError(f"option {option}={value!r}: write a whole number from 1 to {most}")
    return int(text)

"""At which dimensions a model is scored: ``?dimensions=64,256`` of a MODEL, or the list of the model's own.

A Matryoshka model (Kusupati et al. 2022, arXiv:2205.13147) is trained so that the first components of its vectors are
vectors, too. It is scored, and not run, otherwise: the option is evalkit's, of every MODEL, and no class gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evalkit.embedders.base import EmbedderInfo
from evalkit.errors import UsageError

OPTION = "dimensions"
"""What the option is called in the text of a MODEL."""
ALL: Literal["all"] = "all"
"""The value that stands for all that the model lists."""

Asked = tuple[int, ...] | Literal["all"]
"""What a MODEL asks for: numbers in the order that they were written in; none of them is twice, and none below 1."""


def parse_dimensions(value: str, model: str) -> Asked:
    """The value of the option: ``all``, or numbers with commas.

    Args:
        value: after ``dimensions=``.
        model: text of the MODEL, for the error.

    Raises:
        UsageError: a part that is no whole number from 1 on, or one that is there twice.
    """
    if value == ALL:
        return ALL
    found: list[int] = []
    for part in value.split(","):
        digits = part.strip()
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
        if number < 1:
            raise UsageError(
                f"model {model!r}: dimension {part!r} is no whole number from 1 on: write ?{OPTION}=64,256, or "
                f"?{OPTION}={ALL}"
            )
        if number in found:
            raise UsageError(f"model {model!r}: dimension {number} is there twice: name each once")
        found.append(number)
    return tuple(found)


def chosen_dimensions(asked: Asked, info: EmbedderInfo, listed: Sequence[int], model: str) -> tuple[int, ...]:
    """The dimensions to score a model at; empty where nothing was asked for.

    Args:
        asked: of the MODEL.
        info: of the embedder.
        listed: those of the model's card; ``info.dimensions`` goes before.
        model: text of the MODEL, for the error.

    Returns:
        The numbers in the order that they were asked for; all that a model lists from the smallest to the whole, which
        is always among them, and the only one of a model that lists none.

    Raises:
        UsageError: one that is greater than the model's; names it and those that there are.
    """
    whole = info.dimension
    own = sorted({*(info.dimensions or listed), whole})
    if asked == ALL:
        return tuple(one for one in own if one <= whole)
    for one in asked:
        if one > whole:
            meant = [str(each) for each in own if each < whole]
            also = f"; it is meant to be cut to {', '.join(meant)}" if meant else ""
            raise UsageError(
                f"model {model!r}: dimension {one} is greater than the {whole} of {info.name}: name some from 1 to "
                f"{whole}{also}"
            )
    return asked


def dimension_faults(info: EmbedderInfo) -> list[str]:
    """What is wrong with the dimensions that an info lists."""
    given: object = info.dimensions
    if (
        not isinstance(given, tuple)
        or not all(type(one) is int and 1 <= one <= info.dimension for one in given)
        or len(set(given)) < len(given)
    ):
        return [f"info.dimensions is {given!r}, not a tuple of numbers from 1 to {info.dimension}, each once"]
    return []

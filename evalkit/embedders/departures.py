"""How a published model is run otherwise than its published numbers were made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.modelcards import ModelCard
from evalkit.embedders.modeltext import ModelSpec

_FREE = ("dtype", "dimensions")
"""Options that are no part of a published protocol: the one follows the device, by the other vectors are cut."""
_WORDS = {"true": "1", "yes": "1", "false": "0", "no": "0"}


def departures(card: ModelCard, spec: ModelSpec, factory: Callable[..., Any], info: EmbedderInfo) -> tuple[str, ...]:
    """What departs, one text each.

    An option does if it has another value than the card's, or, where the card does not say, than the family's own.
    Options that move no vector do not.

    Args:
        card: of the model.
        spec: what was asked for.
        factory: of the family.
        info: what came of it.
    """
    parameters = inspect.signature(factory).parameters
    usual = {name: parameter.default for name, parameter in parameters.items()}
    found = []
    for key, published in card.options.items():
        value = info.options.get(key, spec.options.get(key, str(usual.get(key))))
        if _plain(value) != _plain(published):
            found.append(f"{key}={value}, published {published}")
    for key, value in spec.options.items():
        moves = key in info.options and key not in card.options and key not in _FREE
        if moves and _plain(value) != _plain(str(usual.get(key))):
            found.append(f"{key}={value}")
    if spec.elsewhere and card.hub is not None:
        found.append(f"weights from a path, published {card.place}")
    return tuple(found)


def _plain(value: str) -> str:
    """A value as it is compared: of yes or no, 1 or 0."""
    return _WORDS.get(value.lower(), value)

"""The text of a MODEL, as it stands after ``--model``: a registered name, a family with its target, or a class.

Families are found through the entry-point group ``evalkit.embedders``; names are those of the cards
(:mod:`evalkit.embedders.modelcards`), and of the models that come along.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from urllib.parse import unquote

from evalkit.embedders import tiny
from evalkit.embedders.dimensions import OPTION, Asked, parse_dimensions
from evalkit.embedders.modelcards import ModelCard, model_cards
from evalkit.errors import UsageError
from evalkit.plugins import plugins


@dataclass(frozen=True)
class ModelSpec:
    """The parts of a MODEL.

    Attributes:
        text: as it was written.
        source: the family's name, a file ending in ``.py``, or a module.
        target: path or hub id after the family, or the class in a file or module; may be empty.
        revision: after ``@``.
        options: after ``?``; of a name also those of its published protocol, where the text gives no others.
        card: what is known of the model, where the text is a name.
        elsewhere: whether the text of a name says itself where the weights lie, by ``?path=``.
        dimensions: those that it is to be scored at, by ``?dimensions=``, which is none of the options; empty where the
            text does not say.
    """

    text: str
    source: str
    target: str
    revision: str | None
    options: dict[str, str]
    card: ModelCard | None = None
    elsewhere: bool = False
    dimensions: Asked = ()


def families() -> dict[str, EntryPoint]:
    """The installed families by name, those of evalkit first."""
    return plugins("evalkit.embedders")


def parse_model(text: str) -> ModelSpec:
    """Take a MODEL apart: a name, ``FAMILY:TARGET[@REVISION][?key=value&…]`` or ``FILE.py:Class``.

    A name runs its weights as their published numbers were made: ``NAME?key=value`` says otherwise of an option, and
    ``NAME?path=PATH`` of where the weights lie. ``?dimensions=64,256`` of any MODEL is at which it is scored
    (:mod:`evalkit.embedders.dimensions`).

    Raises:
        UsageError: a name that is not registered, with those nearest to it; options that are not
            ``key=value``, or an empty revision; a name whose weights are in no hub repository, without their path; a
            tiny model that is not whole; dimensions that are none.
    """
    name, _, query = text.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = map(unquote, part.partition("="))
        if not key or not equals or key in options:
            raise UsageError(f"model {text!r}: options are written ?key=value&key=value, each key once, not ?{query}")
        options[key] = value
    asked = parse_dimensions(options.pop(OPTION), text) if OPTION in options else ()
    spec = _spec(text, name, options)
    return replace(spec, dimensions=asked) if asked else spec


def _spec(text: str, name: str, options: dict[str, str]) -> ModelSpec:
    """The parts of a MODEL by what stands before the ``?``."""
    known = families()
    if name in tiny.MODELS:  # its path is not taken apart: it may have an @
        return ModelSpec(text, tiny.MODELS[name].family, str(tiny.folder(name)), None, options)
    if (card := model_cards().get(name)) is not None:
        return _named(text, card, options)
    source, colon, target = name.partition(":")
    if source in known:
        revision = None
        if "@" in target and not Path(target).exists():
            target, revision = target.rsplit("@", 1)
            if not target or not revision:
                raise UsageError(f"model {text!r}: write {source}:PATH@REVISION, or leave the @ out")
        return ModelSpec(text, source, target, revision, options)
    if colon and source and target:
        return ModelSpec(text, source, target, None, options)
    if source and Path(source).exists():
        write = f"{text}:Class" if source.endswith(".py") else f"FAMILY:{text}, such as clip:{text}"
        raise UsageError(f"{text} is there, but what of it is the model? write {write}")
    near = near_names(source)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise UsageError(
        f"no model is called {text!r}{hint} (evalkit models lists them; "
        "FAMILY:PATH, FILE.py:Class and package.module:Class load others)"
    )


def _named(text: str, card: ModelCard, options: Mapping[str, str]) -> ModelSpec:
    """A name: its weights where the card has them, and the options of the published protocol."""
    own = dict(options)
    place = own.pop("path", None)
    if place is None and card.hub is None:
        raise UsageError(
            f"model {text!r}: its weights are in no hub repository: get {card.elsewhere} and write "
            f"{card.name}?path=FILE"
        )
    target, revision = (card.hub or "", card.revision) if place is None else (place, None)
    return ModelSpec(text, card.family, target, revision, card.options | own, card, elsewhere=place is not None)


def names() -> dict[str, str]:
    """The registered names, and the MODEL that each stands for."""
    brought = {name: f"{model.family}:{tiny.home() / name}" for name, model in tiny.MODELS.items()}
    return {card.name: card.text for card in model_cards().values()} | brought


def near_names(word: str) -> list[str]:
    """Families and names like a word, or whose weights' repository is called like it; three at most."""
    known = {name.lower(): name for name in (*families(), *names())}
    hubs = {card.hub.rpartition("/")[2].lower(): card.name for card in model_cards().values() if card.hub}
    words = hubs | known
    found = difflib.get_close_matches(word.rpartition("/")[2].lower(), words, n=3, cutoff=0.5)
    return list(dict.fromkeys(words[match] for match in found))

"""The text of a MODEL, as it stands after ``--model``: a registered name, a family with its target, or a class.

Families are found through the entry-point group ``evalkit.embedders``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from urllib.parse import unquote

from evalkit.embedders import tiny
from evalkit.errors import UsageError
from evalkit.plugins import plugins

# Names for checkpoints that papers report; the published rows use these weights.
NAMED = {
    "virtue-2b": "virtue:Sony/VIRTUE-2B-SCaR@e98d03976ccbc7738c5ca14fab98d442a06c0530",
    "virtue-7b": "virtue:Sony/VIRTUE-7B-SCaR@e5280a7cb6a08961782b04a9753aa31351656b66",
    "clip-vit-large-patch14": "clip:openai/clip-vit-large-patch14",
    "siglip-so400m-patch14-384": "clip:google/siglip-so400m-patch14-384",
}


@dataclass(frozen=True)
class ModelSpec:
    """The parts of a MODEL.

    Attributes:
        text: as it was written.
        source: the family's name, a file ending in ``.py``, or a module.
        target: path or hub id after the family, or the class in a file or module; may be empty.
        revision: after ``@``.
        options: after ``?``.
    """

    text: str
    source: str
    target: str
    revision: str | None
    options: dict[str, str]


def families() -> dict[str, EntryPoint]:
    """The installed families by name, those of evalkit first."""
    return plugins("evalkit.embedders")


def parse_model(text: str) -> ModelSpec:
    """Take a MODEL apart: a name, ``FAMILY:TARGET[@REVISION][?key=value&…]`` or ``FILE.py:Class``.

    Raises:
        UsageError: a name that is not registered, with those nearest to it; options that are not
            ``key=value``, or an empty revision; a tiny model that is not whole.
    """
    name, _, query = text.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = map(unquote, part.partition("="))
        if not key or not equals or key in options:
            raise UsageError(f"model {text!r}: options are written ?key=value&key=value, each key once, not ?{query}")
        options[key] = value
    known = families()
    if name in tiny.MODELS:  # its path is not taken apart: it may have an @
        return ModelSpec(text, tiny.MODELS[name].family, str(tiny.folder(name)), None, options)
    source, colon, target = NAMED.get(name, name).partition(":")
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
    near = difflib.get_close_matches(source, [*known, *names()], n=3, cutoff=0.5)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise UsageError(
        f"no model is called {text!r}{hint} (evalkit models lists them; "
        "FAMILY:PATH, FILE.py:Class and package.module:Class load others)"
    )


def names() -> dict[str, str]:
    """The registered names, and the MODEL that each stands for."""
    return NAMED | {name: f"{model.family}:{tiny.home() / name}" for name, model in tiny.MODELS.items()}

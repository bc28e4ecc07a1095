"""A model as people hold it in Python: the text of a MODEL, an embedder, a sentence-transformers model, a function."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from evalkit.embedders.base import Embedder
from evalkit.embedders.function import FunctionEmbedder
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder, require_info
from evalkit.embedders.sentences import SentenceEmbedder, is_sentence_transformer
from evalkit.errors import EmbedderError, EvalkitError, UsageError
from evalkit.items import Item


@dataclass(frozen=True)
class HeldModel:
    """A model, ready to embed.

    Attributes:
        loaded: the embedder.
        kept: whether its vectors may be kept for later calls: what they depend on is known, or somebody vouches for it.
    """

    loaded: LoadedEmbedder
    kept: bool


def held_model(
    model: object,
    first: Callable[[], Sequence[Item]],
    *,
    name: str | None = None,
    fingerprint: str | None = None,
    device: str = "auto",
) -> HeldModel:
    """An embedder of whatever people hold as a model.

    Args:
        model: the text of a MODEL; an object with ``info`` and ``encode``; a sentence-transformers model; or a function
            (:class:`evalkit.embedders.function.FunctionEmbedder`).
        first: gives some of the items that are to be embedded, of which all have an image or none has; asked for a
            function alone.
        name: how the model is called; what it is called by itself where it is ``None``.
        fingerprint: the caller's word for all that its vectors depend on. Without it an object's are of one call.
        device: where the text of a MODEL runs.

    Raises:
        UsageError: it is none of these, or a text that names none.
        EmbedderError: it cannot be loaded, its info is none, or a function that does not return what it should.
    """
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        raise UsageError(f"fingerprint {fingerprint!r} is no text: give one that changes whenever vectors may change")
    if name is not None and not isinstance(name, str):
        raise UsageError(f"name {name!r} is no text")
    if isinstance(model, str):
        loaded = load_embedder(parse_model(model), device)
        return HeldModel(_called(loaded, name, fingerprint and f"{loaded.fingerprint}\0{fingerprint}"), kept=True)
    embedder, family = _embedder(model, name, first)
    try:
        info = require_info(embedder.info, f"model {family}")
    except EvalkitError:
        raise
    except Exception as error:
        raise EmbedderError(f"model {family}: its info raised {type(error).__name__}: {error}") from error
    torch = "torch" in sys.modules
    said = uuid.uuid4().hex if fingerprint is None else f"given\0{fingerprint}"
    parts = [said, info.revision or "", info.fingerprint]  # not how long they are: who vouches for them says that, too
    parts += [f"{key}={value}" for key, value in sorted(info.options.items())]
    loaded = LoadedEmbedder(embedder, info, "", family, torch)
    return HeldModel(_called(loaded, name, "\0".join(parts)), kept=fingerprint is not None)


def _called(loaded: LoadedEmbedder, name: str | None, said: str | None) -> LoadedEmbedder:
    info = loaded.info if name is None else require_info(replace(loaded.info, name=name), f"name {name!r}")
    digest = loaded.fingerprint if said is None else hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    return replace(loaded, info=info, fingerprint=digest)


def _embedder(model: object, name: str | None, first: Callable[[], Sequence[Item]]) -> tuple[Embedder, str]:
    """The embedder, and where it comes from."""
    kind = type(model)
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class: give an object of it, such as {model.__name__}()")
    if is_sentence_transformer(model):
        return SentenceEmbedder(model, name or ""), "sentence-transformers"
    if all(inspect.getattr_static(model, part, model) is not model for part in ("info", "encode")):
        return cast(Embedder, model), f"{kind.__module__}.{kind.__qualname__}"
    if callable(model):
        return FunctionEmbedder(model, name or _name_of(model), first()), "function"
    raise UsageError(
        f"{kind.__module__}.{kind.__qualname__} is no model: give the text of a MODEL, an object with info and encode, "
        "a sentence-transformers model, or a function encode(texts, images)"
    )


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return "lambda" if name == "<lambda>" else name

"""Files of published numbers to documents and facts of models, or to what is wrong with a file and where in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evalkit.errors import UsageError
from evalkit.files import LARGEST_TEXT, read_file
from evalkit.leaderboard.published.named import check_names, near, quoted
from evalkit.leaderboard.published.papers import ModelFacts, ModelFile, Printed, PublishedFile
from evalkit.terminal import printable

_MODELS = "models.json"  # what is known of models, of the package
_SCHEMAS: Mapping[str, type[PublishedFile] | type[ModelFile]] = {
    "evalkit.published": PublishedFile,
    "evalkit.published-models": ModelFile,
}
_FIELDS = {info.alias or name for part in Printed.__subclasses__() for name, info in part.model_fields.items()}

_Facts = TypeVar("_Facts", bound=Printed)


def read_files(
    extra: Sequence[Path], *, shipped: bool = True
) -> tuple[dict[str, PublishedFile], dict[str, ModelFacts]]:
    """Read the package's files and others, and check them against each other.

    Args:
        extra: files, or folders of ``.json`` files.
        shipped: with the package's documents; its models are there in any case.

    Returns:
        Documents by file, and models by id.

    Raises:
        UsageError: a file that cannot be read, is not of the schema, has a row twice, or names what is not there.
    """
    documents: dict[str, PublishedFile] = {}
    models: dict[str, ModelFacts] = {}
    said_in: dict[str, str] = {}
    for file, content in _contents(extra, shipped):
        parsed = _parse(file, content)
        if isinstance(parsed, PublishedFile):
            documents[file] = parsed
            continue
        for model, facts in parsed.models.items():
            known = models.get(model)
            models[model] = facts if known is None else _merged(f"models, {model}", known, said_in[model], facts, file)
            said_in[model] = file
    for file, document in documents.items():
        check_names(file, document, models)
    return documents, models


def _contents(extra: Sequence[Path], shipped: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file, each once: the package's, then others by path."""
    own = resources.files("evalkit.reports").joinpath("published")
    read = set()
    for entry in sorted(own.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json") and (shipped or entry.name == _MODELS):
            read.add(Path(str(entry)).resolve())
            yield f"evalkit's reports/published/{entry.name}", entry.read_bytes()
    paths: dict[Path, Path] = {}
    for path in extra:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"folder {path} holds no published numbers: put .json files into it, or leave it out")
        for file in files:
            paths.setdefault(file.resolve(), file)
    for place, file in sorted(paths.items()):
        if place not in read:
            try:
                yield printable(str(file)), read_file(file, LARGEST_TEXT)
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error


class _Object(dict[str, Any]):
    """A JSON object that remembers a key that stands in it twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        made.twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return made


def _twice(value: object, at: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Where a key stands twice in one object."""
    if isinstance(value, _Object) and value.twice is not None:
        return (*at, value.twice)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, inner in items if (found := _twice(inner, (*at, key)))), None)


def _parse(file: str, content: bytes) -> PublishedFile | ModelFile:
    try:
        data = json.loads(content, parse_float=Decimal, object_pairs_hook=_object)
        twice = _twice(data)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON, or not all of it ({error}): repair it or leave it out") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, str) or schema not in _SCHEMAS:
        raise UsageError(
            f"{file} holds no published numbers: its schema is {quoted(schema)}, not "
            f"{' or '.join(map(repr, _SCHEMAS))}: name another file"
        )
    if twice is not None:
        raise UsageError(f"{file}, {_where(twice, data)} stands twice: leave one out")
    try:
        return _SCHEMAS[schema].model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = tuple(part for part in first["loc"] if part != "[key]")
        value = "" if first["type"] == "missing" else f" ({quoted(first['input'])})"
        hint = near(str(at[-1]), _FIELDS) if first["type"] == "extra_forbidden" else ""
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{file}, {_where(at, data)}{value}: {message}{hint}; reports/README.md describes the file"
        ) from None


def _where(at: Sequence[str | int], data: Mapping[str, Any]) -> str:
    """A place in a file: ``row 4 (gme-2b), scores, ImageNet-1K``."""
    parts = [printable(str(part)) or "''" for part in at]
    if at[0] == "rows" and len(at) > 1 and isinstance(at[1], int):
        row = data["rows"][at[1]]
        called = f" ({printable(str(row['model']))})" if isinstance(row, dict) and "model" in row else ""
        parts[:2] = [f"row {at[1] + 1}{called}"]
    return ", ".join(parts)


def _merged(at: str, known: _Facts, first: str, more: _Facts, second: str) -> _Facts:
    """Facts of two files on one thing: what one leaves open the other may fill, and trainings may be added.

    Args:
        at: what they are about, for the error.
        known: what the ``first`` file says of it.
        first: file.
        more: what the ``second`` file says of it.
        second: file.
    """
    both = {}
    for name, field in type(known).model_fields.items():
        here, there = getattr(known, name), getattr(more, name)
        if isinstance(here, dict):
            added = {
                key: _merged(f"{at}, {name}, {key!r}", here[key], first, own, second) if key in here else own
                for key, own in there.items()
            }
            both[name] = here | added
        elif here != there and field.default not in (here, there):
            raise UsageError(
                f"{second}, {at}, {name} is {quoted(there)}, but {quoted(here)} in {first}: "
                "make them the same, or give your model an id of its own"
            )
        else:
            both[name] = there if here == field.default else here
    return known.model_copy(update=both)

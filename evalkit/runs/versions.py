"""Schema versions of the files that evalkit writes: older ones are migrated, newer ones refused by name."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""By a schema version: the function that makes a file of it one of the next version, ``schema_version`` and all."""


class VersionError(ValueError):
    """A file that is of no schema version that can be read, or says one thing in two ways."""


def in_version(text: bytes, schema: str, version: int, migrations: Migrations) -> bytes:
    """The JSON of a file, migrated to a schema version.

    Args:
        text: as read. What is no JSON, or not of this schema, comes back as it is: its reader says what is wrong.
        schema: what the file has to say that it is.
        version: the one to migrate to.
        migrations: of this schema.

    Raises:
        VersionError: the file is of a newer version, or of an older one that there is no migration from; or an object
            in it has a key twice, of which readers take one or the other.
    """
    text = text.removeprefix(codecs.BOM_UTF8)  # some editors put it before what they save
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except VersionError:
        raise
    except (ValueError, RecursionError):
        return text
    if not isinstance(data, dict) or data.get("schema") != schema or not _is_number(data.get("schema_version")):
        return text
    found = data["schema_version"]
    if found > version:
        raise VersionError(f"schema_version: it is {found}, written by a newer evalkit: update evalkit")
    if found == version:
        return text
    while data["schema_version"] < version:
        step = migrations.get(data["schema_version"])
        if step is None:
            raise VersionError(
                f"schema_version: it is {found}, which this evalkit cannot migrate to {version}: make the file anew"
            )
        data = step(data)
    return json.dumps(data).encode()


def reason_of(error: ValidationError | VersionError) -> str:
    """What is wrong with a file, in one line: the field and the fault."""
    if isinstance(error, VersionError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg'].removeprefix('Value error, ')}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise VersionError(f"the key {twice!r} is there twice in one object")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

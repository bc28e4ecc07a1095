"""A site on disk: its files written one by one, each whole; what an older site left over is removed, nothing else.

``evalkit-site.json`` lists the files with their digests. A file that somebody changed since, or that was never ours,
is not removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import ResultsError, UsageError
from evalkit.files import LARGEST_TEXT, json_bytes, read_file, write_atomically

MANIFEST = "evalkit-site.json"
Files = Mapping[str, Callable[[], bytes]]
"""Paths below the site's folder, with slashes, and what makes the content of each."""


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    what: Literal["evalkit.site"] = Field(default="evalkit.site", alias="schema")
    schema_version: Literal[1] = 1
    files: dict[str, str | None]
    """By path, the SHA-256 of the content; null while the file is being written."""


def publish(files: Files, folder: Path, tick: Callable[[str], None] = lambda name: None) -> None:
    """Write the files of a site, then remove those of an older one that it does not have.

    Args:
        files: of the site.
        folder: is made where it is missing. What else it holds stays.
        tick: is told of each file that is written.

    Raises:
        UsageError: where a file has to be, the folder has one that evalkit did not write; or its list of files
            cannot be read. Nothing has been written then.
        ResultsError: a file cannot be written.
    """
    if strange := sorted(name for name in files if not _inside(name)):
        raise ValueError(f"{strange[0]!r} is no path of a site")
    before = _listed(folder)
    for name in files:
        if name not in before and (folder / name).exists():
            raise UsageError(f"{folder / name} is there and was not written by evalkit: name another folder with --out")
    # The list comes first: what a process that was killed had written is known to the next.
    _list(folder, before | {name: before.get(name) for name in files})
    after: dict[str, str | None] = {}
    for name, make in files.items():
        content = make()
        after[name] = hashlib.sha256(content).hexdigest()
        if not _is(folder / name, after[name]):
            write_atomically(folder / name, content, durable=False)
        tick(name)
    _remove(folder, {name: digest for name, digest in before.items() if name not in after})
    _list(folder, after)


def _listed(folder: Path) -> dict[str, str | None]:
    path = folder / MANIFEST
    try:
        names = _List.model_validate_json(read_file(path, LARGEST_TEXT)).files if path.exists() else {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}): name another folder") from error
    except ValidationError as error:
        raise UsageError(
            f"{path} is not what evalkit writes ({error.errors()[0]['msg']}): name another folder"
        ) from None
    if strange := sorted(name for name in names if not _inside(name)):
        raise UsageError(f"{path} lists {strange[0]!r}, which is not in the folder: name another folder")
    return names


def _list(folder: Path, files: Mapping[str, str | None]) -> None:
    content = _List(files=dict(files)).model_dump(mode="json", by_alias=True)
    write_atomically(folder / MANIFEST, json_bytes(content))


def _remove(folder: Path, old: Mapping[str, str | None]) -> None:
    for name, digest in old.items():
        if digest is not None and _is(folder / name, digest):
            try:
                (folder / name).unlink()
            except OSError as error:
                raise ResultsError(f"{folder / name} cannot be removed: {error.strerror or error}") from error
    for parent in _folders(old):
        with suppress(OSError):  # not empty, or gone
            (folder / parent).rmdir()


def _folders(names: Iterable[str]) -> list[PurePosixPath]:
    """The folders of files below the site's own, deepest first."""
    found = {parent for name in names for parent in PurePosixPath(name).parents if parent.parts}
    return sorted(found, key=lambda parent: (-len(parent.parts), parent))


def _is(file: Path, digest: str | None) -> bool:
    try:
        return not file.is_symlink() and hashlib.sha256(read_file(file)).hexdigest() == digest
    except OSError:
        return False


def _inside(name: str) -> bool:
    """Whether a path stays below the site's folder and is written in one way only."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == name != MANIFEST

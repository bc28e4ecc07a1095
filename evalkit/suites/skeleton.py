"""What ``evalkit new task DIR`` writes: a small task of one's own that runs at once, to put one's own rows into.

Its files lie in ``tasks/skeleton/`` and are copied byte by byte, but for the task's name.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError, WriteError
from evalkit.suites.selecting import all_cards, taken_names

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAME = "my-task"  # of the skeleton, in its files
_NAMED = ("card.toml", "README.md")


def write_skeleton(folder: Path) -> str:
    """Write a task that runs at once.

    It is written into a folder of another name beside, or in an empty one that is there inside of it, and moved when
    it is whole.

    Args:
        folder: is made where it is missing; else it has to be empty.

    Returns:
        The task's name, made of the folder's.

    Raises:
        UsageError: there is a file in its place, or a folder that is not empty.
        WriteError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    place = Path(os.path.abspath(folder.expanduser()))
    name = task_name(place.name)
    try:
        there = os.path.lexists(place)
        if there and not place.is_dir():
            raise UsageError(f"{folder} is there and no folder: name another one for the task")
        if there and (held := sorted(os.listdir(place))):
            said = ", ".join(held[:3]) + (", …" if len(held) > 3 else "")
            raise UsageError(f"{folder} is not empty, it has {said}: name a folder that is empty, or not there yet")
        if not there:
            place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, place if there else place.parent, _files(name, place.name))
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}: name a folder that can be") from error
    return name


def task_name(folder: str) -> str:
    """A name that an own task may have, made of a folder's; ``my-task`` where nothing of that can stand in one."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", folder).strip("._+-") or _NAME
    return f"my-{plain}" if plain.casefold() in taken_names(all_cards()) else plain


def _files(name: str, folder: str) -> dict[str, bytes]:
    """The skeleton's files by their paths, with the task's name in them."""
    source = resources.files("evalkit.tasks").joinpath("skeleton")
    found = dict(_listed(source, ""))
    for path in _NAMED:
        text = found[path].decode()
        text = text.replace(f"./{_NAME}", shlex.quote(f"./{folder}")).replace(_NAME, name)
        found[path] = text.encode()
    return found


def _listed(folder: Traversable, above: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name == "__pycache__":
            continue
        path = f"{above}{entry.name}"
        found += _listed(entry, f"{path}/") if entry.is_dir() else [(path, entry.read_bytes())]
    return found


def _write(place: Path, above: Path, files: Mapping[str, bytes]) -> None:
    """Write the files into a temporary folder of ``above``, and make it the place, or move them to the place."""
    temporary = above / f".{place.name}.{secrets.token_hex(6)}"
    try:
        for path, data in files.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        if above != place:
            # Nobody's files are replaced: a folder that came meanwhile and is not empty makes this fail.
            temporary.rename(place)
            return
        moved: list[Path] = []
        try:
            for entry in sorted(temporary.iterdir()):
                entry.rename(place / entry.name)
                moved.append(place / entry.name)
            temporary.rmdir()
        except BaseException:
            for entry in moved:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise

"""Image folders: which of several holds a path, where links may lead, and what lies near a path that is missing."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

_LISTED = 100_000  # names of a folder that are looked through for a near one
_DRIVE = re.compile(r"[A-Za-z]:")
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})


def posix(path: str) -> str:
    r"""A path of a data set with ``/``: one that was written on Windows has ``\``, which no data set means as a letter.

    A drive (``C:\x``) or a share (``\\server\x``) stays as it is, to be refused: it names a place on one machine.
    """
    if "\\" not in path or re.match(r"[A-Za-z]:|\\\\", path):
        return path
    return path.replace("\\", "/")


def refusal(path: str) -> str | None:
    """Why a path of a data set is not looked up in an images folder, in words; ``None`` where it may be."""
    pure = PurePosixPath(path)
    if "\\" in path or _DRIVE.match(path):
        return "has a backslash or a drive, as on Windows, and names no place in"
    if pure.is_absolute() or ".." in pure.parts or "\0" in path or not pure.parts:
        return "leaves"
    return None


@dataclass(frozen=True)
class ImageFolders:
    """The folders that image paths are looked up in.

    Attributes:
        folders: in this order; a path is that of the first that has it.
        follow_links: links may lead anywhere. Otherwise they may lead into any of the folders.
    """

    folders: tuple[Path, ...]
    follow_links: bool = False

    @classmethod
    def of(cls, folders: Sequence[Path], *, follow_links: bool = False) -> ImageFolders:
        """Each folder once."""
        return cls(tuple(dict.fromkeys(folders)), follow_links)

    def holding(self, path: str) -> Path:
        """The first folder that has something of this path, or else a link to nothing; else the first of all."""
        if len(self.folders) > 1 and refusal(path) is None:
            for there in (os.path.exists, os.path.lexists):
                for folder in self.folders:
                    try:
                        if there(folder / path):
                            return folder
                    except ValueError:  # characters that no path has
                        return self.folders[0]
        return self.folders[0]

    def allow(self, real: str) -> bool:
        """Whether a link may lead to this place, which has no links in it."""
        return self.follow_links or any(
            os.path.commonpath((real, root)) == root for root in map(os.path.realpath, self.folders)
        )

    def near(self, path: str) -> str | None:
        """What lies below one of the folders under nearly the name of a missing path; its path.

        Nearly: in another case or Unicode form, or with another suffix of an image. Each folder on the way is listed
        once, and not beyond its first 100,000 names.
        """
        return next((found for folder in self.folders if (found := _near(folder, path)) is not None), None)


def _near(folder: Path, path: str) -> str | None:
    place, parts = folder, list(PurePosixPath(path).parts)
    for number, part in enumerate(parts):
        if not os.path.lexists(place / part):
            other = _nearest(place, part)
            if other is None:
                return None
            parts[number] = other
        place = place / parts[number]
    return "/".join(parts)


def _nearest(folder: Path, name: str) -> str | None:
    try:
        names = _listing(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return None
    wanted, stem = _folded(name), _stem(name)
    same = names.get(wanted)
    return same if same is not None or stem is None else names.get(stem)


@lru_cache(maxsize=4)
def _listing(folder: str, _changed: int) -> dict[str, str]:
    """The names in a folder, by what is alike in near ones; of two alike the first."""
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for _, entry in zip(range(_LISTED), entries, strict=False):
            found.setdefault(_folded(entry.name), entry.name)
            if (stem := _stem(entry.name)) is not None:
                found.setdefault(stem, entry.name)
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _stem(name: str) -> str | None:
    """What the names of one picture in other formats share; no file has a ``/`` in its name."""
    stem, suffix = os.path.splitext(_folded(name))
    return f"{stem}/" if suffix in _SUFFIXES else None

"""Some files of a folder as a checkpoint: weights that stand by themselves, or a tokenizer alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from evalkit.embedders.checkpoint import Checkpoint, file_digest


@dataclass(frozen=True)
class PickedFiles(Checkpoint):
    """Some files of a folder, of which alone vectors depend.

    Attributes:
        files: their POSIX paths below the folder; those that are not there do not count.
        origin: what to do about a missing or broken one, where the folder is no snapshot of a hub repository.
    """

    files: tuple[str, ...] = ()
    origin: str = "get it again"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files, in the form of :func:`evalkit.embedders.checkpoint.digest_files`."""
        found = [name for name in self.files if (self.folder / name).is_file()]
        lines = (f"{file_digest(self.folder / name)}  {name}\n" for name in found)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def way_out(self) -> str:
        """What to do about a missing or broken file."""
        return self.origin if self.revision is None else super().way_out

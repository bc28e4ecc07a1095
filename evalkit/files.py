"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from evalkit.errors import ResultsError


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file by way of a temporary one beside it, flushed to disk and renamed.

    Args:
        path: of the file.
        data: what it will hold.
        durable: wait until it is on the disk; not worth it for what can be made again.

    Raises:
        ResultsError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    path = Path(os.path.realpath(path))  # a link stays one, and what it leads to is written
    if os.path.exists(path) and not os.path.isfile(path):  # these say no where pathlib raises, and so does the writing
        raise ResultsError(f"{path} cannot be written: it is there and not a file")
    # Not by the tempfile module, whose files are for their owner alone: this one's mode follows the umask.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise ResultsError(f"{path} cannot be written: {error.strerror or error}") from error
        raise

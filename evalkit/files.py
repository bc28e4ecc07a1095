"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from evalkit.errors import ResultsError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one beside it, flushed to disk and renamed.

    Raises:
        ResultsError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise ResultsError(f"{path} cannot be written: {error.strerror or error}") from error
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    # There is no way to read it but to set it; temporary files are made for their owner alone.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

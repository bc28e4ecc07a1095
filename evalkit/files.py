"""Reading files with doubt, and writing them so that a reader sees the old one or the new one, never a part.

What a path names may be a stranger's: a pipe would be waited for without end, a device read without end, and a link
inside a folder that was downloaded leads wherever it likes.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import select
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evalkit.errors import WriteError

if TYPE_CHECKING:
    from io import BufferedReader

MIB = 1 << 20
LARGEST = 1024 * MIB
"""Bytes of a file that is read whole; the per-query file of a million queries has a tenth of it."""
LARGEST_TEXT = 256 * MIB
"""The same of JSON, TOML and source code, which take many times their size in memory."""


def open_file(path: Path | str, largest: int | None = None) -> BufferedReader:
    """Open a regular file for reading; nothing that is none is ever waited for.

    Args:
        path: of the file, or of a link to it.
        largest: bytes that it may have at most.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger.
    """
    # Without O_NONBLOCK the open of a pipe waits for a writer; on a regular file it does nothing.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, f"it is no file but {_kind(found.st_mode)}", str(path))
        if largest is not None and found.st_size > largest:
            size = f"{found.st_size / MIB:,.0f} MiB, and such a file has at most {largest / MIB:,.0f}"
            raise OSError(errno.EFBIG, f"it has {size}", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path | str, largest: int = LARGEST) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as :func:`open_file`; or it grows beyond ``largest`` while it is read.
    """
    with open_file(path, largest) as file:
        data = file.read(largest + 1)  # a file of /proc says that it has no bytes, and has
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest / MIB:,.0f} MiB", str(path))
    return data


def read_text(path: Path | str) -> str:
    """The content of a text file, UTF-8, without the byte-order mark that some editors put before it.

    Raises:
        OSError: as :func:`read_file`, with less room.
        UnicodeDecodeError: it is no UTF-8.
    """
    return as_text(read_file(path, LARGEST_TEXT))


def as_text(data: bytes) -> str:
    """UTF-8 as text, without a byte-order mark, all line ends as ``\\n``.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def read_given(path: Path | str, largest: int = LARGEST_TEXT, *, seconds: float = 5.0) -> bytes:
    """The content of a file that a user names, or of a pipe as a shell makes one: ``--config <(...)``, ``/dev/stdin``.

    Args:
        path: of either.
        largest: bytes that it may have at most.
        seconds: a pipe that nothing comes out of for so long is not waited for.

    Raises:
        OSError: as :func:`read_file`; or nobody writes to the pipe.
    """
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return read_file(path, largest)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data, watch = bytearray(), select.poll()
        watch.register(descriptor, select.POLLIN)
        while len(data) <= largest:
            if not watch.poll(1000 * seconds):
                raise OSError(errno.ETIMEDOUT, f"it is a pipe that nobody writes to for {seconds:g} s", str(path))
            part = os.read(descriptor, MIB)
            if not part:
                return bytes(data)
            data += part
        raise OSError(errno.EFBIG, f"it is a pipe that more than {largest / MIB:,.0f} MiB come out of", str(path))
    finally:
        os.close(descriptor)


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "a device")


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file by way of a temporary one beside it, flushed to disk and renamed.

    Args:
        path: of the file.
        data: what it will hold.
        durable: wait until it is on the disk; not worth it for what can be made again.

    Raises:
        WriteError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    path = Path(os.path.realpath(path))  # a link stays one, and what it leads to is written
    if os.path.exists(path) and not os.path.isfile(path):  # these say no where pathlib raises, and so does the writing
        raise WriteError(f"{path} cannot be written: it is there and not a file")
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
            raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error
        raise


def inside(folder: Path, name: str) -> Path:
    """Where a file of evalkit's lies in a folder of evalkit's, if no link on the way leads out of that folder.

    A user may link what they name on the command line; what lies below it may have come from elsewhere.

    Args:
        folder: a link itself, or below one, as the user likes.
        name: relative to the folder, with slashes.

    Raises:
        WriteError: the file or a folder on the way is a link, or the file is there and none.
    """
    path = folder
    for part in PurePosixPath(name).parts:
        path = path / part
        if os.path.islink(path):
            raise WriteError(f"{path} is a link, and nothing is written through one there: take it away")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise WriteError(f"{path} cannot be written: it is there and not a file")
    return path


def leads_out(folder: Path, path: Path) -> bool:
    """Whether links lead a path below a folder to somewhere outside of it; ``False`` where they lead nowhere.

    Raises:
        OSError: that cannot be found out.
    """
    return os.path.exists(path) and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def json_bytes(data: Any) -> bytes:
    """JSON as evalkit writes it: indented, UTF-8, keys in the order of the schema, no NaN."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

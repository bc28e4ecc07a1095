"""Standard output and standard error as commands need them: UTF-8, there, and honest about what was lost.

What goes to standard output is the answer: where it cannot be written the command has failed, and what it was to do is
done all the same. What goes to standard error is talk: where nobody listens the work goes on.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class ReaderGone(Exception):  # noqa: N818
    """Who read standard output has gone; no OSError, for which click has an exit code of its own."""


class Delivery:
    """What became of standard output.

    Attributes:
        lost: why something could not be written; ``None`` as long as all was.
        gone: its reader went away, as ``head`` does, which is nothing to speak of.
    """

    lost: str | None = None
    gone: bool = False


@contextmanager
def streams() -> Iterator[Delivery]:
    """Make the process's streams usable, whatever it was started with, and keep watch over standard output."""
    delivery = Delivery()
    _open_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale: JSON lines are UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if _is_the_process_s(sys.stdout, 1):
        sys.stdout = _text(_Watched(sys.stdout.fileno(), delivery), bool(sys.stdout.line_buffering))
    if _is_the_process_s(sys.stderr, 2):
        sys.stderr = _text(_Unheard(sys.stderr.fileno(), "w", closefd=False), True)
    try:
        yield delivery
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, ReaderGone):
                stream.flush()
        sys.stdout, sys.stderr = before


def _is_the_process_s(stream: TextIO, number: int) -> bool:
    """Whether it is the process's own stream, and not what a test, or who called main, has put in its place."""
    try:
        return type(stream) is io.TextIOWrapper and stream.fileno() == number
    except (OSError, ValueError):
        return False


def _open_closed() -> None:
    """Put something in the place of streams that were closed.

    Python has ``None`` for them, and the next file that is opened would get their number: what a library in C prints
    would go into it. To such a standard output nothing can be written; standard error takes what it is given.
    """
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)  # somebody else has the number by now
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        else:
            number = os.open(os.devnull, flags)
        if name == "stdin":
            sys.stdin = os.fdopen(number, "r", encoding="utf-8", closefd=False)
        else:
            setattr(sys, name, _text(io.FileIO(number, "w", closefd=False), False))


def _text(raw: io.FileIO, line_buffering: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=line_buffering
    )


class _Watched(io.FileIO):
    """Standard output: says what it could not take, and takes it nevertheless, so that the work goes on."""

    def __init__(self, number: int, delivery: Delivery) -> None:
        super().__init__(number, "w", closefd=False)
        self._delivery = delivery

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError as error:
            self._delivery.gone = True
            raise ReaderGone from error
        except OSError as error:
            self._delivery.lost = error.strerror or str(error)
            return _size(data)


class _Unheard(io.FileIO):
    """A stream whose words may be lost."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return _size(data)


def _size(data: object) -> int:
    return memoryview(data).nbytes  # type: ignore[arg-type]

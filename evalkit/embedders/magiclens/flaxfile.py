"""Weights as flax serialises them, in a pickle of one ``bytes``: read without running anything of it.

A pickle is a program. Of its instructions only those are known here that put bytes on the stack, remember them and
stop; a file with any other is refused at that one. What the bytes hold is msgpack (flax ``serialization.py``): maps
whose leaves are arrays as an extension type, ``[shape, name of the dtype, bytes]``. Nothing in it is taken for more
than it can be: not the sizes that it claims, nor its depth, nor its dtypes.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from evalkit.embedders.loading import said
from evalkit.errors import EmbedderError, UsageError
from evalkit.files import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Shapes = dict[str, tuple[int, ...]]

LARGEST = 16 << 30  # MagicLens-L has 1.9 GB
# Bytes of the argument, of instructions that put bytes on the stack: of their length, little-endian.
_BYTES = {pickle.SHORT_BINBYTES: 1, pickle.BINBYTES: 4, pickle.BINBYTES8: 8}
# Of those that are about the file alone.
_AROUND = {pickle.PROTO: 1, pickle.FRAME: 8, pickle.MEMOIZE: 0, pickle.BINPUT: 1, pickle.LONG_BINPUT: 4}
_MOST_INSTRUCTIONS = 16
_NAMES = {operation.code: operation.name for operation in pickletools.opcodes}

_ARRAY, _SCALAR = 1, 3  # flax's extension types; 2 is a complex number
_CHUNKED = "__msgpack_chunked_array__"  # how flax marks an array of more than a gigabyte
# Little-endian, as flax's names mean it; bfloat16 is the upper half of a float32.
_DTYPES = {"float32": "<f4", "float16": "<f2", "float64": "<f8", "bfloat16": "<u2"}
_MOST_NAMES = 1 << 16
_MOST_AXES = 8
_DEEPEST = 16


class _FlaxError(ValueError):
    """What is wrong with a file, without its name."""


@dataclass(frozen=True)
class _Leaf:
    """An array as it lies in the file; ``data`` is empty where shapes alone are wanted."""

    shape: tuple[int, ...]
    dtype: str
    data: bytes

    def array(self) -> NDArray[np.float32]:
        """Its numbers."""
        stored = np.frombuffer(self.data, dtype=_DTYPES[self.dtype])
        if self.dtype == "bfloat16":
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=False).reshape(self.shape)


def read_shapes(file: Path, way_out: str) -> Shapes:
    """The shapes of all arrays in a file, by their names with dots between; holds no array in memory.

    Args:
        file: a pickle of the ``bytes`` that ``flax.serialization.to_bytes`` gives.
        way_out: what to do where it is missing or broken, for the error.

    Raises:
        UsageError: the file is missing or cannot be read, or msgpack is not installed.
        EmbedderError: it holds anything else.
    """
    return {name: leaf.shape for name, leaf in _leaves(file, way_out, keep=False).items()}


def read_arrays(file: Path, way_out: str) -> dict[str, NDArray[np.float32]]:
    """All arrays in a file, by their names with dots between, as float32.

    They may be views of what was read: not to be written into.

    Args:
        file: as in :func:`read_shapes`.
        way_out: likewise.

    Raises:
        UsageError: as :func:`read_shapes`.
        EmbedderError: likewise.
    """
    return {name: leaf.array() for name, leaf in _leaves(file, way_out, keep=True).items()}


def _leaves(file: Path, way_out: str, *, keep: bool) -> dict[str, _Leaf]:
    try:
        with open_file(file, LARGEST) as stream:
            start, length = bytes_in_pickle(stream)
            # Mapped, not read: each array is copied out of it once.
            with (
                mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as view,
                view[start : start + length] as part,
            ):
                tree = _unpacked(part, keep=keep)
        return dict(_flat(tree, (), keep=keep))
    except FileNotFoundError:
        raise UsageError(f"{file} is missing: {way_out}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror or error}): {way_out}") from error
    except ImportError as error:
        raise UsageError(
            f"{file} is read with msgpack, which is not installed: pip install 'evalkit[magiclens]'"
        ) from error
    except (ValueError, OverflowError, MemoryError) as error:
        raise EmbedderError(f"{file} {_what(error)}: {way_out}") from error


def _what(error: Exception) -> str:
    return str(error) if isinstance(error, _FlaxError) else f"holds no weights as flax saves them ({said(error)})"


def bytes_in_pickle(stream: BinaryIO) -> tuple[int, int]:
    """Where in a pickle file the one ``bytes`` lies that it is made of.

    ``pickle`` writes bytes as such from protocol 3 on; of the older ones' it would have to call a function.

    Args:
        stream: a regular file, at its beginning.

    Returns:
        Where they begin, and how many they are.

    Raises:
        ValueError: it is no pickle, or one of anything else; nothing of it has been run.
    """
    end = os.fstat(stream.fileno()).st_size
    found: tuple[int, int] | None = None
    for _ in range(_MOST_INSTRUCTIONS):
        code = stream.read(1)
        if code == pickle.STOP and found is not None:
            return found
        if code in _BYTES and found is None:
            length = int.from_bytes(stream.read(_BYTES[code]), "little")
            found = (stream.tell(), length)
            if sum(found) > end:
                raise _FlaxError(f"is cut off: it has {end:,} bytes, and should have {sum(found):,} or more")
            stream.seek(length, os.SEEK_CUR)
        elif code in _AROUND:
            stream.seek(_AROUND[code], os.SEEK_CUR)
        elif not code:
            raise _FlaxError("is cut off")
        else:
            raise _FlaxError(
                "is no pickle of one bytes object, and nothing else is read from it, because a pickle can run any "
                f"code (instruction {_NAMES.get(code.decode('latin-1'), repr(code))} at byte {stream.tell() - 1})"
            )
    raise _FlaxError(f"is no pickle of one bytes object: it has more than {_MOST_INSTRUCTIONS} instructions")


def _unpacked(part: memoryview, *, keep: bool) -> Any:
    import msgpack

    names = 0

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal names
        names += 1 + len(found)
        if names > _MOST_NAMES:
            raise _FlaxError(f"holds more than {_MOST_NAMES:,} names")
        if not all(isinstance(key, str) for key, _ in found):
            raise _FlaxError("holds a name that is no text")
        table = dict(found)
        if len(table) < len(found):
            raise _FlaxError("holds a name twice")
        return table

    def leaf(kind: int, data: bytes) -> _Leaf:
        if kind not in (_ARRAY, _SCALAR):
            raise _FlaxError(f"holds a value of msgpack's extension type {kind}, which is no array of weights")
        return _leaf(data, keep=keep)

    # Text and maps alone, apart from the arrays; what a length claims is never believed beyond these.
    return msgpack.unpackb(
        part,
        ext_hook=leaf,
        object_pairs_hook=pairs,
        max_str_len=1024,
        max_map_len=_MOST_NAMES,
        max_array_len=0,
        max_bin_len=0,
    )


def _leaf(data: bytes, *, keep: bool) -> _Leaf:
    import msgpack

    parts = msgpack.unpackb(
        data, raw=True, max_str_len=64, max_array_len=_MOST_AXES, max_map_len=0, max_ext_len=0, max_bin_len=len(data)
    )
    if not isinstance(parts, list) or len(parts) != 3:
        raise _FlaxError("holds an array that is not its shape, its dtype and its bytes")
    shape, dtype, numbers = parts
    if not isinstance(shape, list) or not all(type(axis) is int and 0 <= axis < 1 << 40 for axis in shape):
        raise _FlaxError(f"holds an array of shape {shape!r:.80}, which is none")
    name = dtype.decode("utf-8", "replace") if isinstance(dtype, bytes) else repr(dtype)[:80]
    if name not in _DTYPES:
        raise _FlaxError(f"holds an array of dtype {name}; weights are {', '.join(_DTYPES)}")
    expected = math.prod(shape) * np.dtype(_DTYPES[name]).itemsize
    if not isinstance(numbers, bytes) or len(numbers) != expected:
        size = f"{len(numbers):,}" if isinstance(numbers, bytes) else "no"
        raise _FlaxError(f"holds an array of {name} and shape {tuple(shape)} with {size} bytes, not {expected:,}")
    return _Leaf(tuple(shape), name, numbers if keep else b"")


def _flat(tree: Any, place: tuple[str, ...], *, keep: bool) -> Iterator[tuple[str, _Leaf]]:
    """The leaves of a tree by their names, those that flax has cut in pieces made whole."""
    name = ".".join(place)
    if isinstance(tree, _Leaf):
        yield name, tree
    elif not isinstance(tree, dict) or len(place) > _DEEPEST:
        what = f"is a {type(tree).__name__}, no array" if len(place) <= _DEEPEST else "lies too deep"
        raise _FlaxError(f"holds no tree of weights: {name[:200] or 'all of it'} {what}")
    elif _CHUNKED in tree:
        yield name, _whole(tree, name, keep=keep)
    else:
        for key, value in tree.items():
            yield from _flat(value, (*place, key), keep=keep)


def _whole(cut: dict[str, Any], name: str, *, keep: bool) -> _Leaf:
    try:
        shape = tuple(cut["shape"][str(axis)] for axis in range(len(cut["shape"])))
        pieces = [cut["chunks"][str(number)] for number in range(len(cut["chunks"]))]
        (dtype,) = {piece.dtype for piece in pieces}
        count = sum(length for piece in pieces for (length,) in [piece.shape])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _FlaxError(f"holds {name[:200]} in pieces that make no array") from error
    if not all(type(axis) is int and axis >= 0 for axis in shape) or math.prod(shape) != count:
        raise _FlaxError(
            f"holds {name[:200]} in pieces of {count:,} numbers, which make no array of shape {shape!r:.80}"
        )
    return _Leaf(shape, dtype, b"".join(piece.data for piece in pieces) if keep else b"")

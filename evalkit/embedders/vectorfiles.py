"""Vectors that others made, on disk: the pairs of a folder, and the arrays of one pair.

A pair is ``NAME.jsonl`` with ``NAME.npz`` (``ids`` and ``vectors``, as ``evalkit embed`` writes them), or with
``NAME.npy``, one plain array, and ``NAME.ids.txt`` or ``NAME.ids.json``, which say whose vector each row is.
"""

from __future__ import annotations

import json
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.files import open_file, read_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-3  # by how much a length may differ from 1, and two vectors of one item from each other
IDS = (".ids.txt", ".ids.json")
_BLOCK = 1 << 22  # numbers that are looked at together: of a mapped file no more is in memory at once
_EMBED = "as evalkit embed writes them"


@dataclass(frozen=True)
class VectorPair:
    """The files of one name.

    Attributes:
        name: what they are called.
        items: ``NAME.jsonl``.
        vectors: ``NAME.npz`` or ``NAME.npy``.
        ids: whose vector each row of a ``NAME.npy`` is; ``None`` beside a ``NAME.npz``, which says so itself.
    """

    name: str
    items: Path
    vectors: Path
    ids: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.items, self.vectors, *([] if self.ids is None else [self.ids]))


def find_pairs(folder: Path, only: str | None = None) -> list[VectorPair]:
    """The pairs of a folder, by name.

    Args:
        folder: holds them; what else lies in it is not looked at.
        only: the one name that is wanted; all where it is ``None``.

    Raises:
        UsageError: a file without those that belong to it, a name whose vectors or ids are there twice.
    """
    kinds = (".jsonl", ".npz", ".npy", *IDS)
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir()):
        kind = next((kind for kind in kinds if file.name.endswith(kind) and file.name != kind), None)
        if kind is not None and file.is_file():
            found.setdefault(file.name.removesuffix(kind), {})[kind] = file
    return [_pair(folder, name, files) for name, files in sorted(found.items()) if only is None or name == only]


def _pair(folder: Path, name: str, files: dict[str, Path]) -> VectorPair:
    place = folder / name
    arrays, ids = [kind for kind in (".npz", ".npy") if kind in files], [kind for kind in IDS if kind in files]
    for kinds, what in ((arrays, "vectors"), (ids, "ids")):
        if len(kinds) > 1:
            raise UsageError(f"{place}{kinds[0]} and {name}{kinds[1]} are both there: take one of the two {what} away")
    if not arrays:
        has = ".jsonl" if ".jsonl" in files else ids[0]
        raise UsageError(
            f"{place}{has} has no {name}.npz beside it, and no {name}.npy: items and vectors come in pairs of one name "
            f"(evalkit embed --input {name}.jsonl --output {name}.npz)"
        )
    (array,) = arrays
    if ".jsonl" not in files:
        raise UsageError(
            f"{place}{array} has no {name}.jsonl beside it: items and vectors come in pairs of one name "
            "(evalkit inspect TASK --data DATA --items --output NAME.jsonl)"
        )
    if array == ".npz" and ids:
        raise UsageError(f"{place}.npz has its ids in itself: take {name}{ids[0]} away, or make the array {name}.npy")
    if array == ".npy" and not ids:
        raise UsageError(
            f"{place}.npy has no {name}.ids.txt beside it, which says whose vector each row is: one id of {name}.jsonl "
            f"a line, that of row 0 first; numpy.savetxt({str(place) + '.ids.txt'!r}, ids, fmt='%s', encoding='utf-8') "
            f"writes it ({name}.ids.json, a list, is read as well)"
        )
    return VectorPair(name, files[".jsonl"], files[array], files[ids[0]] if ids else None)


def read_vectors(pair: VectorPair) -> tuple[dict[str, int], NDArray[Any]]:
    """Row of each id, and the vectors: floating-point numbers, shape ``(n, dimension)``, finite, of length 1.

    An ``.npy`` is mapped and not read into memory: it may be larger.

    Raises:
        UsageError: a file is not what it should be, with row and value.
    """
    import numpy as np

    vectors: NDArray[Any]
    if pair.ids is None:
        ids, vectors = _archive(pair.vectors)
        whose = pair.vectors
    else:
        ids, vectors = (_listed if pair.ids.suffix == ".json" else _lines)(pair.ids), _array(pair.vectors)
        whose = pair.ids
    file = pair.vectors
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise UsageError(
            f"{file} has vectors of shape {vectors.shape} and type {vectors.dtype}: they are floating-point "
            "numbers of shape (items, dimension), float16, float32 or float64"
        )
    if len(ids) != len(vectors):
        said = "vectors: each vector has one id"
        if whose != file:
            said = f"vectors are in {file.name}: each row of the array has one id"
        raise UsageError(f"{whose} has {len(ids)} ids but {len(vectors)} {said}")
    for start, block in _blocks(vectors):
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        # Not a number compares as false, so it lands here too.
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= TOLERANCE))
        if len(wrong):
            length, row = lengths[wrong[0]], start + int(wrong[0])
            fault = f"is of length {length:.6g}, not 1" if np.isfinite(length) else "is not finite"
            raise UsageError(
                f"{file}, row {row}: the vector of id {ids[row]!r} {fault}: write finite vectors of length 1"
            )
    rows: dict[str, int] = {}
    for row, id in enumerate(ids):
        first = rows.setdefault(id, row)
        if first != row and not same(vectors[first], vectors[row]):
            raise UsageError(
                f"{whose}: id {id!r} has two vectors, in rows {first} and {row}: give each item its own id"
            )
    return rows, vectors


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two vectors may be of one item: a model's own arithmetic depends on the batch a little."""
    import numpy as np

    return bool(abs(one.astype(np.float64) - other).max() <= TOLERANCE)


def _blocks(vectors: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield start, vectors[start : start + step]


def _archive(file: Path) -> tuple[list[str], NDArray[Any]]:
    """``ids`` and ``vectors`` of an ``.npz``."""
    import numpy as np

    try:
        # Opened here, because numpy leaves a file open that is none of its own.
        with open_file(file) as stream:
            arrays = np.load(stream, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError(f"one array, not an archive of arrays: call it {file.stem}.npy")
            lacking = [name for name in ("ids", "vectors") if name not in arrays]
            if lacking:
                raise UsageError(f"{file} has no array {lacking[0]!r}: it needs ids and vectors, {_EMBED}")
            ids, vectors = arrays["ids"], arrays["vectors"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, tokenize.TokenError) as error:
        raise UsageError(f"{file} cannot be read ({error}): it needs ids and vectors, {_EMBED}") from error
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise UsageError(f"{file} has ids of shape {ids.shape} and type {ids.dtype}: they are strings")
    return ids.tolist(), vectors


def _array(file: Path) -> NDArray[Any]:
    """The array of an ``.npy``, mapped."""
    import numpy as np

    written = "it holds one array of floating-point numbers, as numpy.save(file, vectors) writes it"
    try:
        with open_file(file) as stream:
            magic = stream.read(6)
        if magic[:2] == b"PK":
            raise ValueError(f"an archive of arrays, not one array: call it {file.stem}.npz")
        if magic != np.lib.format.MAGIC_PREFIX:
            pickled = " but a pickle, and those are never loaded" if magic[:1] == b"\x80" else ""
            raise ValueError(f"it is no .npy file{pickled}")
        vectors: NDArray[Any] = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError, EOFError, OverflowError, tokenize.TokenError) as error:
        if "Python objects" in str(error):
            raise UsageError(
                f"{file} holds Python objects in a pickle, which is never loaded: save numbers, with "
                "numpy.save(file, numpy.stack(vectors).astype(numpy.float32))"
            ) from error
        raise UsageError(f"{file} cannot be read ({error}): {written}") from error
    return vectors


def _lines(file: Path) -> list[str]:
    """One id a line; the last line may end or not."""
    ids = _text(file).split("\n")
    if ids[-1] == "":
        ids.pop()
    for row, id in enumerate(ids):
        if not id.strip():
            raise UsageError(f"{file}, line {row + 1}: the line is blank, and row {row} has no id: write one a line")
    return ids


def _listed(file: Path) -> list[str]:
    """A JSON list of ids."""
    try:
        ids = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON ({error}): write a list of ids, one a row") from error
    if not isinstance(ids, list):
        raise UsageError(f"{file} holds a {type(ids).__name__}: write a list of ids, one a row")
    for row, id in enumerate(ids):
        if not isinstance(id, str) or not id.strip():
            raise UsageError(f"{file}: the id of row {row} is {id!r}: ids are strings that are not blank")
    return ids


def _text(file: Path) -> str:
    try:
        return read_text(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} cannot be read as UTF-8 text: {error}") from error

"""The vector store: one SQLite file, content-addressed, a transaction for each batch.

WAL mode lets several runs read and write it at once. It needs a local disk: SQLite's WAL does not work
over network file systems.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
_APPLICATION = 0x65766B74  # "evkt"
_AT_ONCE = 500  # variables per statement, below SQLite's smallest limit
_WAIT = 120  # seconds for another run's transaction


class VectorStore:
    """Vectors by key.

    Args:
        path: the file, made where it is missing; ``None`` keeps all in memory.
        rebuild: move an unreadable or corrupt file away and begin anew.

    Raises:
        StoreError: the file is no store of this version, or cannot be opened.
    """

    def __init__(self, path: Path | None, *, rebuild: bool = False) -> None:
        self.path = path
        try:
            self._open()
            if rebuild:
                self._check()
        except StoreError:
            if not rebuild or path is None:
                raise
            self._move_away(path)
            self._open()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        self._connection.close()

    def existing(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that have a vector."""
        found: set[bytes] = set()
        with self._errors():
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                found.update(
                    row[0] for row in self._connection.execute(f"SELECT key FROM vectors WHERE key IN ({marks})", part)
                )
        return found

    def put(self, keys: Sequence[bytes], vectors: NDArray[np.floating]) -> None:
        """Keep a batch, all or nothing. A key that has a vector already keeps that one.

        Args:
            keys: n keys.
            vectors: shape (n, d), float32 or float16; kept as they are, little-endian.
        """
        rows = []
        for key, vector in zip(keys, vectors, strict=True):
            data = vector.astype(vector.dtype.newbyteorder("<")).tobytes()
            rows.append((key, data, zlib.crc32(data)))
        with self._errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)

    def get(self, keys: Sequence[bytes], dimension: int, dtype: str) -> NDArray[np.float32]:
        """The vectors of the keys.

        Args:
            keys: n keys, each with a vector.
            dimension: d, of all of them.
            dtype: what they were kept as, ``float32`` or ``float16``.

        Returns:
            float32, shape (n, d).

        Raises:
            StoreError: a key without a vector, or a vector that is not what was kept.
        """
        import numpy as np

        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        stored = np.dtype(dtype).newbyteorder("<")
        vectors = np.empty((len(keys), dimension), dtype=np.float32)
        left = set(places)
        with self._errors():
            for part in _parts(list(places)):
                marks = ",".join("?" * len(part))
                query = f"SELECT key, vector, crc FROM vectors WHERE key IN ({marks})"
                for key, data, crc in self._connection.execute(query, part):
                    if zlib.crc32(data) != crc or len(data) != dimension * stored.itemsize:
                        raise self._corrupt(f"vector {key.hex()[:16]} is not what was written")
                    vectors[places[key]] = np.frombuffer(data, dtype=stored)
                    left.discard(key)
        if left:
            raise self._corrupt(f"{len(left)} vectors that were written are gone")
        return vectors

    def __len__(self) -> int:
        with self._errors():
            return int(self._connection.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def _open(self) -> None:
        with self._errors():
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path or ":memory:", timeout=_WAIT, isolation_level=None)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            application = self._connection.execute("PRAGMA application_id").fetchone()[0]
            if version == 0 and application == 0:
                self._create()
            elif (version, application) != (SCHEMA_VERSION, _APPLICATION):
                raise StoreError(
                    f"{self.path} is not a vector store of this version of evalkit (version {version}): "
                    "name another file with --store, or begin anew with --rebuild-store"
                )
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def _create(self) -> None:
        # A vector of 1536 float32 fills 6 KiB: pages that hold several are read more than twice as fast.
        self._connection.execute("PRAGMA page_size = 32768")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("BEGIN IMMEDIATE")
        # IF NOT EXISTS: another run may have been faster between our look and our lock.
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)"
        )
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._connection.execute("COMMIT")

    def _check(self) -> None:
        """Read everything; raise StoreError where something is not what was written."""
        with self._errors():
            said = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                raise self._corrupt(said)
            for data, crc in self._connection.execute("SELECT vector, crc FROM vectors"):
                if zlib.crc32(data) != crc:
                    raise self._corrupt("a vector is not what was written")

    def _move_away(self, path: Path) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()
        number = 1
        while (away := path.with_name(f"{path.name}.broken-{number}")).exists():
            number += 1
        path.rename(away)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _corrupt(self, what: str) -> StoreError:
        return StoreError(
            f"vector store {self.path} is corrupt: {what}. Run again with --rebuild-store: "
            "the file is moved away and its vectors are computed anew"
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors in the user's words."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise self._corrupt(str(error)) from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
                raise StoreError(
                    f"vector store {self.path} cannot be written: {error}. Is the disk full? Make room and run "
                    "again: the batches before this one are kept"
                ) from error
            if name.startswith("SQLITE_BUSY"):
                raise StoreError(
                    f"vector store {self.path} was locked by another run for {_WAIT} s: wait for it, or name "
                    "another file with --store"
                ) from error
            raise StoreError(f"vector store {self.path}: {error}") from error
        except OSError as error:
            raise StoreError(f"vector store {self.path}: {error.strerror or error}") from error


def _parts(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))

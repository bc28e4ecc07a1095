"""The vector store: one SQLite file, content-addressed, a transaction for each batch.

Beside each vector stands under which conditions it was made, and by which embedder. WAL mode lets several runs
read and write the file at once. It needs a local disk: SQLite's WAL does not work over network file systems.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from evalkit.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

SCHEMA_VERSION = 2
_APPLICATION = 0x65766B74  # "evkt"
_AT_ONCE = 500  # variables per statement, below SQLite's smallest limit
_WAIT = 120  # seconds for another run's transaction
_TABLES = (
    # The last column as ALTER TABLE adds it to a store of version 1; 0 stands for conditions that nobody recorded.
    "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL, "
    "made INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE conditions (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, record TEXT NOT NULL, "
    "UNIQUE (fingerprint, record))",
)
_TABLE_1 = "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)"


class UnusableStoreError(StoreError):
    """A store that is corrupt or of another version; ``rebuild`` moves it away."""


class VectorStore:
    """Vectors by key.

    Args:
        path: the file, made where it is missing; ``None`` for one that goes with it. What cannot be written is read.
        rebuild: read all of it, and where it is corrupt or of another version, move it away and begin anew.

    Attributes:
        rebuild: what does not hold is to be mended, rather than an error.
        writable: whether vectors can be put into it.

    Raises:
        StoreError: the file is no store of this version, or cannot be opened.
    """

    def __init__(self, path: Path | None, *, rebuild: bool = False) -> None:
        # SQLite's other files lie beside the file itself, and not beside a link to it.
        self.path = path = None if path is None else Path(os.path.realpath(path))
        self.rebuild = rebuild
        self.writable = True
        self._version = SCHEMA_VERSION
        try:
            self._open(check=rebuild)
        except UnusableStoreError:
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
                query = f"SELECT key FROM vectors WHERE key IN ({_marks(part)})"
                found.update(row[0] for row in self._connection.execute(query, part))
        return found

    def made(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """The numbers of the conditions that the vectors of the keys were made under (:meth:`records`)."""
        found: dict[bytes, int] = {}
        with self._errors():
            for part in _parts(keys):
                query = f"SELECT key, {self._numbers} FROM vectors WHERE key IN ({_marks(part)})"
                found.update(self._connection.execute(query, part))
        return found

    def put(self, keys: Sequence[bytes], vectors: NDArray[np.floating], made: int = 0) -> bool:
        """Keep a batch, all or nothing. A key that has a vector already keeps that one.

        Returns:
            Whether all of them are new: another run may have been faster.

        Args:
            keys: n keys.
            vectors: shape (n, d), float32 or float16; kept as they are, little-endian.
            made: number of their conditions, from :meth:`recorded`.
        """
        rows = []
        for key, vector in zip(keys, vectors, strict=True):
            data = vector.astype(vector.dtype.newbyteorder("<")).tobytes()
            rows.append((key, data, _checksum(key, data), made))
        with self._errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            done = self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", rows)
            return bool(done.rowcount == len(rows))

    def recorded(self, fingerprint: str, record: str) -> int:
        """The number of an embedder's conditions, new or as they were recorded before.

        Args:
            fingerprint: of the embedder.
            record: the conditions, in one line.
        """
        with self._errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT OR IGNORE INTO conditions (fingerprint, record) VALUES (?, ?)", (fingerprint, record)
            )
            asked = "SELECT id FROM conditions WHERE fingerprint = ? AND record = ?"
            return int(self._connection.execute(asked, (fingerprint, record)).fetchone()[0])

    def records(self, numbers: Iterable[int]) -> dict[int, str]:
        """The conditions of these numbers; 0, and what is not there, is left out."""
        if self._version != SCHEMA_VERSION:
            return {}
        wanted = list(numbers)
        with self._errors():
            found: dict[int, str] = {}
            for part in _parts(wanted):
                query = f"SELECT id, record FROM conditions WHERE id IN ({_marks(part)})"
                found.update(self._connection.execute(query, part))
        return found

    def drop(self, keys: Sequence[bytes]) -> None:
        """Take the vectors of these keys out."""
        with self._errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for part in _parts(keys):
                self._connection.execute(f"DELETE FROM vectors WHERE key IN ({_marks(part)})", part)

    def forget(self, fingerprint: str) -> None:
        """Take out all vectors that an embedder of this fingerprint is recorded to have made."""
        with self._errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            own = "SELECT id FROM conditions WHERE fingerprint = ?"
            self._connection.execute(f"DELETE FROM vectors WHERE made IN ({own})", (fingerprint,))

    def get(
        self, keys: Sequence[bytes], dimension: int, dtype: str, made: Counter[int] | None = None
    ) -> NDArray[np.float32]:
        """The vectors of the keys.

        Args:
            keys: n keys, each with a vector.
            dimension: d, of all of them.
            dtype: what they were kept as, ``float32`` or ``float16``.
            made: is told how many distinct vectors were made under which conditions, by their numbers.

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
        left, size, numbers = set(places), dimension * stored.itemsize, []
        with self._errors():
            for key, data, crc, number in self._rows(list(places)):
                if key not in left or not _intact(key, data, crc) or len(data) != size:
                    raise self._corrupt("a vector is not what was written")
                vectors[places[key]] = np.frombuffer(data, dtype=stored)
                left.discard(key)
                numbers.append(number)
        if left:
            raise self._corrupt(f"{len(left)} vectors that were written are gone")
        if made is not None:
            made.update(numbers)
        return vectors

    def broken(self, keys: Sequence[bytes], dimension: int, dtype: str) -> set[bytes]:
        """Those of the keys whose vector is not what was written, or of another size; arguments as of :meth:`get`."""
        import numpy as np

        size = dimension * np.dtype(dtype).itemsize
        with self._errors():
            rows = self._rows(keys)
            return {key for key, data, crc, _ in rows if not _intact(key, data, crc) or len(data) != size}

    def _rows(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Key, bytes of the vector, checksum, and the number of the conditions."""
        return itertools.chain.from_iterable(
            self._connection.execute(
                f"SELECT key, vector, crc, {self._numbers} FROM vectors WHERE key IN ({_marks(part)})", part
            )
            for part in _parts(keys)
        )

    @property
    def _numbers(self) -> str:
        return "made" if self._version == SCHEMA_VERSION else "0"

    def count(self) -> int:
        """How many vectors there are."""
        with self._errors():
            return int(self._connection.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def _open(self, check: bool = False) -> None:
        with self._errors():
            if self.path is not None:
                self._require_file(self.path)
            self._connection = self._connected()
            try:
                # What is no text any more must not keep SQLite's own word for the damage from being heard.
                self._connection.text_factory = lambda data: data.decode(errors="replace")
                version = self._laid_out()
                if version == 0:
                    self._lay_out()
                elif version < SCHEMA_VERSION and self.writable:
                    self._migrate()
                else:
                    self._version = version
                self._connection.execute("PRAGMA synchronous = NORMAL")
                if check:
                    self._check()
            except BaseException:
                self._connection.close()
                raise

    def _require_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # SQLite would wait for a pipe
            raise StoreError(f"vector store {path} is there and no file: name another one with --store")
        for beside in (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal")):
            with suppress(FileNotFoundError):
                mode = os.lstat(beside).st_mode
                if not stat.S_ISREG(mode):  # SQLite would use it
                    what = "is a link, and nothing is written through one there" if stat.S_ISLNK(mode) else "is no file"
                    raise StoreError(f"{beside} {what}: take it away")

    def _connected(self) -> sqlite3.Connection:
        """To read and write where that can be, else to read."""
        if self.path is None or not self.path.exists() or _may_write(self.path):
            return sqlite3.connect(self.path or "", timeout=_WAIT, isolation_level=None)  # "": SQLite's own file
        self.writable = False
        log = self.path.with_name(f"{self.path.name}-wal")
        # Without its log, the file is all there is; with one, SQLite needs to write beside it, and says so itself.
        way = "ro&immutable=1" if not log.exists() or not log.stat().st_size else "ro"
        name = quote(str(self.path.resolve()))
        return sqlite3.connect(f"file:{name}?mode={way}", uri=True, timeout=_WAIT, isolation_level=None)

    def _laid_out(self) -> int:
        """The version of the store that the file is; 0 where it is empty.

        Raises:
            StoreError: it is something else.
        """
        with self._connection:
            self._connection.execute("BEGIN")  # one look, though another run may be laying the file out
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            application = self._connection.execute("PRAGMA application_id").fetchone()[0]
            tables = [row[0] for row in self._connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
        if not (version or application or tables):
            return 0
        if application != _APPLICATION:
            raise StoreError(
                f"{self.path} is an SQLite database, but not a vector store of evalkit: name another file with --store"
            )
        if version not in (1, SCHEMA_VERSION):
            raise UnusableStoreError(
                f"{self.path} is not a vector store of this version of evalkit (version {version}, not "
                f"{SCHEMA_VERSION}): name another file with --store, or begin anew with --rebuild-store"
            )
        if sorted(tables) != sorted(_TABLES if version == SCHEMA_VERSION else [_TABLE_1]):
            raise self._corrupt("its tables are not those that were made")
        return version

    def _migrate(self) -> None:
        """Version 1 to 2: its vectors stay, and nobody knows under which conditions they were made."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._connection.execute("PRAGMA user_version").fetchone()[0] == 1:  # no other run was faster
                self._connection.execute("ALTER TABLE vectors ADD COLUMN made INTEGER NOT NULL DEFAULT 0")
                self._connection.execute(_TABLES[1])
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _lay_out(self) -> None:
        # A vector of 1536 float32 fills 6 KiB: pages that hold several are read more than twice as fast.
        self._connection.execute("PRAGMA page_size = 32768")
        give_up = time.monotonic() + _WAIT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                # Here SQLite does not wait for another run that does the same.
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            # Another run may have been faster between our look and our lock.
            for table in _TABLES:
                self._connection.execute(table.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self) -> None:
        """Read everything; raise StoreError where something is not what was written."""
        said = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise self._corrupt(said)
        for key, data, crc in self._connection.execute("SELECT key, vector, crc FROM vectors"):
            if not _intact(key, data, crc):
                raise self._corrupt("a vector is not what was written")

    def _move_away(self, path: Path) -> None:
        with self._errors():
            with closing(sqlite3.connect(path, timeout=0)) as connection:
                try:
                    # Only the last connection can do this. Another run would go on with the moved file, and at
                    # its end delete the new file's log, which it knows by name.
                    connection.execute("PRAGMA journal_mode = DELETE")
                except sqlite3.Error as error:
                    if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                        raise StoreError(
                            f"vector store {path} is in use by another run: rebuild it when that has ended"
                        ) from error
            number = 1
            while (away := path.with_name(f"{path.name}.broken-{number}")).exists():
                number += 1
            # The log, where SQLite left it, before the file: a new file must not find the log of the old one.
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(away.with_name(away.name + suffix))

    def _corrupt(self, what: str) -> UnusableStoreError:
        return UnusableStoreError(
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
            # SQLITE_ERROR: our own statements are right, so it is the file that they do not fit.
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")):
                raise self._corrupt(str(error)) from error
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
                raise StoreError(
                    f"vector store {self.path} cannot be read or written: {error}. Is the disk full? Make room and "
                    "run again: the batches before this one are kept"
                ) from error
            if name.startswith("SQLITE_BUSY"):
                raise StoreError(
                    f"vector store {self.path} was locked by another run for {_WAIT} s: wait for it, or name "
                    "another file with --store"
                ) from error
            if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) and not self.writable:
                raise StoreError(
                    f"vector store {self.path} cannot be written, and this needs it to be: copy it to where it can be, "
                    "and name the copy with --store"
                ) from error
            raise StoreError(f"vector store {self.path}: {error}. Name another file with --store") from error
        except UnicodeDecodeError as error:  # out of SQLite's message
            raise self._corrupt("a name in it is no text") from error
        except OSError as error:
            raise StoreError(
                f"vector store {self.path}: {error.strerror or error}. Name another file with --store"
            ) from error


def _checksum(key: bytes, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key))


def _intact(key: object, data: object, crc: object) -> bool:
    return isinstance(key, bytes) and isinstance(data, bytes) and _checksum(key, data) == crc


def _may_write(path: Path) -> bool:
    """Whether the file and its folder, where SQLite keeps its log, can be written; on a read-only disk root cannot."""
    return all(
        os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids) for place in (path, path.parent)
    )


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _parts(keys: Sequence[T]) -> Iterable[Sequence[T]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))

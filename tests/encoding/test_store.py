"""The vector store under damage, full disks, kills and rivals: real files, real processes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from evalkit.encoding.store import VectorStore
from evalkit.errors import StoreError

DIMENSION = 16


def keys_of(numbers) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in numbers]


def vectors_of(numbers, dimension: int = DIMENSION, dtype: str = "float32") -> np.ndarray:
    """A vector for each number, always the same one."""
    rows = [np.random.default_rng(number).normal(size=dimension) for number in numbers]
    return np.array(rows).reshape(-1, dimension).astype(dtype)


def fill(path: Path | None, count: int) -> VectorStore:
    store = VectorStore(path)
    store.put(keys_of(range(count)), vectors_of(range(count)))
    return store


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    (done,) = run_together(f"from test_store import begin\nbegin()\n{script}", [arguments])
    return done


def run_together(script: str, calls: Sequence[Sequence[object]]) -> list[subprocess.CompletedProcess[str]]:
    """Run a script several times at once; each goes on from ``begin()`` when all are there.

    Scripts find this folder's files as modules.
    """
    command = [sys.executable, "-c", script]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen([*command, *map(str, call)], text=True, env=environment, **pipes))
            for call in calls
        ]
        for process in processes:
            stack.callback(process.kill)
        there = [process.stdout.readline() for process in processes]
        if there != ["there\n"] * len(processes):
            raise RuntimeError([process.stderr.read() for process in processes if process.poll()])
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate() for process in processes]
    return [
        subprocess.CompletedProcess(command, process.returncode, out, err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


def begin() -> None:
    """In a script of ``run_together``: wait for the others."""
    print("there", flush=True)
    sys.stdin.readline()


# What goes in comes out.


@pytest.mark.parametrize("where", ["file", "memory"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_come_back_bit_by_bit(where, dtype, tmp_path):
    vectors = vectors_of(range(5), dtype=dtype)
    vectors[0] = [0.0, -0.0, 1e-7, -6e-8, 65504, np.inf, -np.inf, 1 / 3, *range(8)]
    with VectorStore(tmp_path / "v.sqlite" if where == "file" else None) as store:
        store.put(keys_of(range(5)), vectors)
        got = store.get(keys_of(range(5)), DIMENSION, dtype)
    assert got.dtype == np.float32
    assert got.tobytes() == vectors.astype(np.float32).tobytes()


def test_big_endian_and_strided_vectors_are_kept_by_value(tmp_path):
    vectors = vectors_of(range(6))
    with VectorStore(tmp_path / "v.sqlite") as store:
        store.put(keys_of([0, 1]), vectors[:2].astype(">f4"))
        store.put(keys_of([2, 4]), vectors[2::2])
        store.put(keys_of([3]), np.asfortranarray(vectors)[3:4])
        assert (store.get(keys_of(range(5)), DIMENSION, "float32") == vectors[:5]).all()


def test_a_file_outlives_its_process(tmp_path):
    path = tmp_path / "new" / "folder" / "v.sqlite"
    fill(path, 3).close()
    with VectorStore(path) as store:
        assert store.count() == 3
        assert (store.get(keys_of([2, 0]), DIMENSION, "float32") == vectors_of([2, 0])).all()
    assert [file.name for file in path.parent.iterdir()] == ["v.sqlite"]


def test_the_first_vector_of_a_key_stays(tmp_path):
    with fill(tmp_path / "v.sqlite", 3) as store:
        store.put(keys_of([2, 3, 1]), vectors_of([102, 3, 101]))
        assert store.count() == 4
        assert (store.get(keys_of(range(4)), DIMENSION, "float32") == vectors_of(range(4))).all()


def test_thousands_of_keys_in_any_order_and_more_than_once():
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(2500), 2)).tolist()
    with VectorStore(None) as store:
        store.put(keys_of(range(2500)), vectors_of(range(2500), 4))
        assert set(store.existing(keys_of(range(1000, 4000)))) == set(keys_of(range(1000, 2500)))
        assert (store.get(keys_of(order), 4, "float32") == vectors_of(order, 4)).all()


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1001])
def test_counts_about_the_size_of_a_statement(count):
    with VectorStore(None) as store:
        store.put(keys_of(range(count)), vectors_of(range(count), 2))
        assert store.count() == count == len(store.existing(keys_of(range(count))))
        got = store.get(keys_of(range(count)), 2, "float32")
        assert got.shape == (count, 2)
        assert (got == vectors_of(range(count), 2)).all()


def test_keys_and_vectors_must_be_equally_many():
    with VectorStore(None) as store:
        with pytest.raises(ValueError, match="zip"):
            store.put(keys_of([1, 2, 3]), vectors_of([1, 2]))
        assert store.count() == 0


@pytest.mark.parametrize(("missing", "said"), [([7], "1 vectors"), ([7, 8, 7], "2 vectors")])
def test_a_missing_vector_is_an_error_and_never_garbage(missing, said):
    with fill(None, 3) as store, pytest.raises(StoreError, match=f"{said} .* are gone.*--rebuild-store"):
        store.get(keys_of([0, *missing]), DIMENSION, "float32")


@pytest.mark.parametrize(("dimension", "dtype"), [(DIMENSION - 1, "float32"), (DIMENSION, "float16"), (8, "float32")])
def test_vectors_of_another_shape_are_not_read_as_if_they_fitted(dimension, dtype):
    with fill(None, 2) as store, pytest.raises(StoreError, match="not what was written"):
        store.get(keys_of([0]), dimension, dtype)


# Damage.


def use_all(path: Path, count: int) -> np.ndarray:
    """What a second run does with a store."""
    with VectorStore(path) as store:
        store.existing(keys_of(range(count)))
        store.put(keys_of(range(count)), vectors_of(range(count)))
        return store.get(keys_of(range(count)), DIMENSION, "float32")


def flip_in_vector(data: bytearray) -> None:
    data[data.index(vectors_of([5]).tobytes()) + 20] ^= 1


def random_bytes(data: bytearray) -> None:
    data[:] = random.Random(0).randbytes(len(data))


def text(data: bytearray) -> None:
    data[:] = b"key,vector\n" * 1000


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 :]


def cut_at_the_end(data: bytearray) -> None:
    del data[-5000:]


def spoil_the_schema(data: bytearray) -> None:
    at = data.index(b"crc INTEGER")
    data[at : at + 3] = b"src"


DAMAGES = [flip_in_vector, random_bytes, text, cut_in_half, cut_at_the_end, spoil_the_schema]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_rebuilding_helps(damage, tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 400).close()
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)

    with pytest.raises(StoreError, match=r"v\.sqlite is corrupt: .*--rebuild-store"):
        use_all(path, 400)
    path.write_bytes(data)
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 0
    assert (use_all(path, 400) == vectors_of(range(400))).all()
    # Moved, not deleted; the header says that nobody uses it any more.
    assert (tmp_path / "v.sqlite.broken-1").read_bytes()[100:] == data[100:]
    assert sorted(os.listdir(tmp_path)) == ["v.sqlite", "v.sqlite.broken-1"]


def test_whole_vectors_under_each_other_s_keys_are_found(tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 3).close()
    one, other = keys_of(range(2))
    connection = sqlite3.connect(path)
    rows = {key: (vector, crc) for key, vector, crc in connection.execute("SELECT key, vector, crc FROM vectors")}
    for key, wrong in ((one, other), (other, one)):
        connection.execute("UPDATE vectors SET vector = ?, crc = ? WHERE key = ?", [*rows[wrong], key])
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="corrupt"):
        use_all(path, 3)
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 0


def test_any_flipped_byte_is_found_or_does_no_harm(tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 60).close()
    whole = path.read_bytes()
    # Every byte of the header and of the schema would take long; so would the empty middle of the pages.
    used = [place for place, byte in enumerate(whole) if byte]
    right = vectors_of(range(60))
    places = random.Random(0)
    outcomes = []
    for place in places.sample(used, 150):
        data = bytearray(whole)
        data[place] ^= places.choice([1, 2, 8, 64, 128, 255])
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_bytes(data)
        try:
            assert (use_all(path, 60) == right).all(), place
        except StoreError as error:
            outcomes.append("--store" in str(error) or "--rebuild-store" in str(error))
    assert all(outcomes)
    assert len(outcomes) > 20


def test_rebuilding_leaves_a_healthy_store_alone(tmp_path):
    fill(tmp_path / "v.sqlite", 3).close()
    with VectorStore(tmp_path / "v.sqlite", rebuild=True) as store:
        assert store.count() == 3
    assert os.listdir(tmp_path) == ["v.sqlite"]
    with VectorStore(tmp_path / "new.sqlite", rebuild=True) as store:
        assert store.count() == 0


def test_rebuilding_twice_keeps_both_broken_files(tmp_path):
    path = tmp_path / "v.sqlite"
    for _ in range(2):
        path.write_bytes(b"no database at all")
        VectorStore(path, rebuild=True).close()
    assert sorted(os.listdir(tmp_path)) == ["v.sqlite", "v.sqlite.broken-1", "v.sqlite.broken-2"]


def test_a_new_store_does_not_find_the_log_of_the_broken_one(tmp_path):
    path = tmp_path / "v.sqlite"
    path.write_bytes(b"no database at all")
    (tmp_path / "v.sqlite-wal").write_bytes(b"its log")
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 0
        store.put(keys_of([1]), vectors_of([1]))
    assert (use_all(path, 3) == vectors_of(range(3))).all()


def test_a_broken_store_is_not_moved_away_from_under_another_run(tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 400).close()
    data = bytearray(path.read_bytes())
    flip_in_vector(data)
    path.write_bytes(data)
    with VectorStore(path) as other:
        other.put(keys_of([1000]), vectors_of([1000]))
        with pytest.raises(StoreError, match=r"v\.sqlite is in use by another run"):
            VectorStore(path, rebuild=True)
        assert (other.get(keys_of([1000]), DIMENSION, "float32") == vectors_of([1000])).all()
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 0
    assert sorted(os.listdir(tmp_path)) == ["v.sqlite", "v.sqlite.broken-1"]


def test_an_empty_file_is_a_new_store(tmp_path):
    (tmp_path / "v.sqlite").touch()
    assert (use_all(tmp_path / "v.sqlite", 3) == vectors_of(range(3))).all()


# Files of others.


def other_database(path: Path, *statements: str) -> bytes:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE photos (name TEXT)"],
        ["CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)"],
        ["PRAGMA application_id = 77"],
        ["PRAGMA user_version = 1", "CREATE TABLE photos (name TEXT)"],
    ],
    ids=["unnamed", "alike", "named", "with our version"],
)
@pytest.mark.parametrize("rebuild", [False, True])
def test_database_of_another_application_is_refused_and_left_alone(statements, rebuild, tmp_path):
    path = tmp_path / "photos.sqlite"
    before = other_database(path, *statements)
    with pytest.raises(StoreError, match=r"photos\.sqlite is an SQLite database, but not .* --store"):
        VectorStore(path, rebuild=rebuild)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["photos.sqlite"]


def test_store_of_another_version_is_refused_until_it_is_rebuilt(tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 3).close()
    before = other_database(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"version 99, not 2\).*--store.*--rebuild-store"):
        VectorStore(path)
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 0
    assert (tmp_path / "v.sqlite.broken-1").read_bytes()[100:] == before[100:]


@pytest.mark.parametrize("rebuild", [False, True])
def test_place_that_cannot_be_is_named(rebuild, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "v.sqlite", tmp_path / "folder"):
        with pytest.raises(StoreError, match=f"{path}.*--store"):
            VectorStore(path, rebuild=rebuild)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_folder_that_may_not_be_written_is_named():
    # In a process that is not root's, who may write everywhere.
    script = """
import os, shutil, tempfile
from pathlib import Path
import numpy as np
from evalkit.encoding.store import VectorStore
from evalkit.errors import StoreError
folder = Path(tempfile.mkdtemp())
try:
    VectorStore(folder / "old.sqlite").close()
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    for name in ("new.sqlite", "old.sqlite"):
        for rebuild in (False, True):
            try:
                with VectorStore(folder / name, rebuild=rebuild) as store:
                    store.put([bytes(32)], np.ones((1, 4), np.float32))
                print("written")
            except StoreError as error:
                print(error)
finally:
    os.seteuid(os.getuid())
    folder.chmod(0o755)
    print(sorted(os.listdir(folder)))
    shutil.rmtree(folder)
"""
    done = run(script)
    *errors, left = done.stdout.splitlines()
    assert len(errors) == 4, done.stderr
    assert all("--store" in error and ".sqlite" in error for error in errors)
    assert left == "['old.sqlite']"


# Full disks, kills and rivals.

FULL = """
import resource, sys
from pathlib import Path
from evalkit.encoding.store import VectorStore
from evalkit.errors import StoreError
from test_store import keys_of, vectors_of

# No file of this process may grow beyond 1 MiB: the kernel refuses to write, as it does on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
store = VectorStore(Path(sys.argv[1]))
for batch in range(100):
    numbers = range(batch * 10, batch * 10 + 10)
    try:
        store.put(keys_of(numbers), vectors_of(numbers, 2000))
    except StoreError as error:
        print(batch)
        print(error)
        break
kept = list(range(batch * 10))
assert (store.get(keys_of(kept), 2000, "float32") == vectors_of(kept, 2000)).all()
if sys.argv[2] == "room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.put(keys_of(numbers), vectors_of(numbers, 2000))
store.close()
"""


@pytest.mark.parametrize("then", ["room", "no room"])
def test_full_disk_keeps_the_batches_before(then, tmp_path):
    path = tmp_path / "v.sqlite"
    done = run(FULL, path, then)
    assert done.returncode == 0, done.stderr
    batch, message = done.stdout.strip().split("\n")
    assert str(path) in message
    assert "Is the disk full?" in message
    assert int(batch) >= 2  # some fitted
    kept = range((int(batch) + (then == "room")) * 10)
    with VectorStore(path, rebuild=True) as store:  # which checks every page and vector
        assert store.count() == len(kept)
        assert (store.get(keys_of(kept), 2000, "float32") == vectors_of(kept, 2000)).all()
        store.put(keys_of([5000]), vectors_of([5000], 2000))
    assert not (tmp_path / "v.sqlite.broken-1").exists()


def test_no_room_for_the_store_itself(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from evalkit.encoding.store import VectorStore
from evalkit.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for rebuild in (False, True):
    try:
        VectorStore(Path(sys.argv[1]), rebuild=rebuild)
    except StoreError as error:
        print(error)
"""
    lines = run(script, tmp_path / "v.sqlite").stdout.splitlines()
    assert len(lines) == 2
    assert all("Is the disk full?" in line for line in lines)
    assert (use_all(tmp_path / "v.sqlite", 3) == vectors_of(range(3))).all()  # once there is room


KILLED = """
import os, signal, sys
from pathlib import Path
from evalkit.encoding.store import VectorStore
from test_store import keys_of, vectors_of

store = VectorStore(Path(sys.argv[1]))
store.put(keys_of(range(20)), vectors_of(range(20), 20_000))
print("first", flush=True)
seen = 0
def die(statement):
    global seen
    seen += statement.startswith("INSERT")
    if seen == 150:
        print(os.path.getsize(sys.argv[1] + "-wal"), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
store._connection.set_trace_callback(die)
store._connection.execute("PRAGMA cache_size = 10")  # so that much of the batch is on disk by then
before = os.path.getsize(sys.argv[1] + "-wal")
print(before, flush=True)
store.put(keys_of(range(20, 220)), vectors_of(range(20, 220), 20_000))
"""


@pytest.mark.slow(0.7)
def test_kill_in_the_middle_of_a_batch_leaves_whole_batches(tmp_path):
    path = tmp_path / "v.sqlite"
    done = run(KILLED, path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    first, before, after = done.stdout.split()
    assert first == "first"
    assert int(after) > int(before) + 1_000_000  # a part of the second batch was written
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 20
        assert (store.get(keys_of(range(20)), 20_000, "float32") == vectors_of(range(20), 20_000)).all()
        store.put(keys_of(range(20, 220)), vectors_of(range(20, 220), 4))
    assert os.listdir(tmp_path) == ["v.sqlite"]


RIVAL = """
import sys
from pathlib import Path
import numpy as np
from evalkit.encoding.store import VectorStore
from test_store import begin, keys_of

path, own = Path(sys.argv[1]), float(sys.argv[2])
begin()
with VectorStore(path) as store:
    for batch in range(60):
        numbers = range(batch * 8, batch * 8 + 8)
        store.put(keys_of(numbers), np.full((8, 200), own, dtype=np.float32))
    got = store.get(keys_of(range(480)), 200, "float32")
print(got.tobytes().hex())
"""


@pytest.mark.slow(1)
def test_processes_at_once_agree_on_every_vector(tmp_path):
    results = run_together(RIVAL, [(tmp_path / "v.sqlite", number) for number in range(3)])
    assert [result.stderr for result in results] == [""] * 3
    first, *others = (result.stdout for result in results)
    assert others == [first, first]
    vectors = np.frombuffer(bytes.fromhex(first), dtype=np.float32).reshape(60, 8, 200)
    assert (vectors == vectors[:, :1, :1]).all()  # every batch is of one process
    with VectorStore(tmp_path / "v.sqlite", rebuild=True) as store:
        assert store.count() == 480
    assert os.listdir(tmp_path) == ["v.sqlite"]


MAKER = """
import sys
from pathlib import Path
from evalkit.encoding.store import VectorStore
from test_store import begin, keys_of, vectors_of

begin()
for number in range(60):
    with VectorStore(Path(sys.argv[1]) / f"{number}.sqlite") as store:
        store.put(keys_of([number]), vectors_of([number]))
"""


@pytest.mark.slow(2)
def test_processes_at_once_may_make_the_same_new_file(tmp_path):
    assert [result.stderr for result in run_together(MAKER, [[tmp_path]] * 4)] == [""] * 4
    for number in range(60):
        with VectorStore(tmp_path / f"{number}.sqlite") as store:
            assert (store.get(keys_of([number]), DIMENSION, "float32") == vectors_of([number])).all()


def test_store_that_another_run_reads_can_be_written(tmp_path):
    with fill(tmp_path / "v.sqlite", 2) as one, VectorStore(tmp_path / "v.sqlite") as other:
        one.put(keys_of([2]), vectors_of([2]))
        assert set(other.existing(keys_of(range(4)))) == set(keys_of(range(3)))
        other.put(keys_of([3]), vectors_of([3]))
        assert (one.get(keys_of(range(4)), DIMENSION, "float32") == vectors_of(range(4))).all()


# A store that cannot be written.


READ_ONLY = """
import os, sys
from pathlib import Path
from evalkit.encoding.store import VectorStore
from test_store import DIMENSION, keys_of, vectors_of, begin

begin()
with VectorStore(None) as store:  # what is imported on the way is imported now
    store.put(keys_of([0]), vectors_of([0]))
    store.get(keys_of([0]), DIMENSION, "float32")
if os.geteuid() == 0:
    os.seteuid(65534)  # who may read, and write nothing
store = VectorStore(Path(sys.argv[1]))
assert not store.writable
assert set(store.existing(keys_of(range(9)))) == set(keys_of(range(3)))
assert (store.get(keys_of(range(3)), DIMENSION, "float32") == vectors_of(range(3))).all()
store.put(keys_of([3]), vectors_of([3]))
"""


def test_a_store_that_cannot_be_written_is_read():
    folder = Path(tempfile.mkdtemp())  # where anybody may go once it is opened, unlike pytest's own
    try:
        fill(folder / "v.sqlite", 3).close()
        (folder / "v.sqlite").chmod(0o444)
        folder.chmod(0o555)
        done = run(READ_ONLY, folder / "v.sqlite")
    finally:
        folder.chmod(0o755)
        (folder / "v.sqlite").unlink()
        folder.rmdir()
    assert "StoreError" in done.stderr.splitlines()[-1]
    assert "cannot be written, and this needs it to be: copy it" in done.stderr
    assert "AssertionError" not in done.stderr


def test_a_pipe_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "v.sqlite")
    with pytest.raises(StoreError, match=r"v\.sqlite is there and no file.*--store"):
        VectorStore(tmp_path / "v.sqlite")


# Which conditions, and whose.


def test_conditions_are_kept_once_and_told_by_their_number(tmp_path):
    with VectorStore(tmp_path / "v.sqlite") as store:
        one, other = store.recorded("f", "a"), store.recorded("f", "b")
        assert store.recorded("f", "a") == one != other != store.recorded("g", "a")
        assert store.records([0, one, other, 99]) == {one: "a", other: "b"}
        store.put(keys_of([0, 1]), vectors_of([0, 1]), one)
        store.put(keys_of([2]), vectors_of([2]), store.recorded("g", "a"))
        store.put(keys_of([3]), vectors_of([3]))
        found = store.made(keys_of(range(5)))
        assert list(map(found.get, keys_of(range(5)))) == [one, one, store.recorded("g", "a"), 0, None]
        store.forget("f")
        assert set(store.existing(keys_of(range(5)))) == set(keys_of([2, 3]))
        store.drop(keys_of([2, 4]))
        assert set(store.existing(keys_of(range(5)))) == set(keys_of([3]))


def test_a_store_of_version_1_goes_on_as_one_of_version_2(tmp_path):
    path = tmp_path / "v.sqlite"
    fill(path, 3).close()
    other_database(
        path,
        "ALTER TABLE vectors RENAME TO old",
        "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)",
        "INSERT INTO vectors SELECT key, vector, crc FROM old",
        "DROP TABLE old",
        "DROP TABLE conditions",
        "PRAGMA user_version = 1",
    )
    for _ in range(2):
        with VectorStore(path) as store:
            assert set(store.made(keys_of(range(3))).values()) == {0}
            assert (store.get(keys_of(range(3)), DIMENSION, "float32") == vectors_of(range(3))).all()
            assert store.recorded("f", "a") == 1
    with VectorStore(path, rebuild=True) as store:
        assert store.count() == 3


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_nothing_is_written_through_a_link_beside_a_store(suffix, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / f"v.sqlite{suffix}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"is a link, and nothing is written through one"):
        VectorStore(tmp_path / "v.sqlite")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"

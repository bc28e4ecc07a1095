"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.errors import ResultsError, WriteError
from evalkit.files import inside, leads_out, open_file, read_file, read_given, read_text, write_atomically


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)


def test_content_in_new_folders(tmp_path):
    path = tmp_path / "a" / "b" / "run.json"
    write_atomically(path, b"\0one\r\n")
    assert path.read_bytes() == b"\0one\r\n"
    write_atomically(path, b"")
    assert path.read_bytes() == b""
    assert os.listdir(path.parent) == ["run.json"]


def test_file_is_replaced_and_not_overwritten(tmp_path):
    path = tmp_path / "run.json"
    write_atomically(path, b"old and long")
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old and long"  # who has the old file open reads all of it
    assert path.read_bytes() == b"new"


def test_two_names_at_once_do_not_meet(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    contents = [bytes([number]) * 10_000 for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda data: write_atomically(tmp_path / "run.json", data), contents))
    assert (tmp_path / "run.json").read_bytes() in contents
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(umask, mode, tmp_path):
    script = """
import os, sys
from pathlib import Path
from evalkit.files import write_atomically
os.umask(int(sys.argv[2]))
write_atomically(Path(sys.argv[1]), b"x")
print(os.umask(0))
"""
    done = run(script, str(tmp_path / "run.json"), str(umask))
    assert int(done.stdout) == umask  # and it is left as it was
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == mode


# No file of this process may grow beyond 64 KiB: the kernel refuses to write, as it does on a full disk.
FULL = """
import resource, sys
from pathlib import Path
from evalkit.errors import ResultsError
from evalkit.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    write_atomically(Path(sys.argv[1]), bytes(1 << 20))
except ResultsError as error:
    print(error)
"""


@pytest.mark.parametrize("before", [None, b"the old file"])
def test_full_disk_leaves_the_old_file_and_nothing_else(before, tmp_path):
    path = tmp_path / "run.json"
    if before is not None:
        path.write_bytes(before)
    done = run(FULL, str(path))
    assert f"{path} cannot be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ([] if before is None else ["run.json"])
    assert before is None or path.read_bytes() == before


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResultsError, match=r"file/run\.json cannot be written"):
        write_atomically(tmp_path / "file" / "run.json", b"x")
    (tmp_path / "folder" / "run.json").mkdir(parents=True)
    with pytest.raises(ResultsError, match=r"run\.json cannot be written: it is there and not a file"):
        write_atomically(tmp_path / "folder" / "run.json", b"x")
    assert os.listdir(tmp_path / "folder") == ["run.json"]


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    # The signal comes between the flush to disk and the renaming.
    script = """
import os, signal, sys
from pathlib import Path
from evalkit.files import write_atomically
real = os.fsync
def interrupted(descriptor):
    real(descriptor)
    print(len(os.listdir(Path(sys.argv[1]).parent)), flush=True)
    signal.raise_signal(signal.SIGINT)
os.fsync = interrupted
write_atomically(Path(sys.argv[1]), b"x")
"""
    done = run(script, str(tmp_path / "run.json"))
    assert done.stdout == "1\n"  # the temporary file was there
    assert done.returncode in (130, -signal.SIGINT)
    assert os.listdir(tmp_path) == []


def test_killed_writer_leaves_the_old_file(tmp_path):
    script = """
import os, signal, sys
from pathlib import Path
from evalkit.files import write_atomically
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"new")
"""
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    assert run(script, str(path)).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")  # what the killed one left does not stand in the way
    assert path.read_bytes() == b"new"


def test_path_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("run.json"), b"x")
    assert Path("run.json").read_bytes() == b"x"


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"new"


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResultsError, match="it is there and not a file"):
        write_atomically(tmp_path / "pipe", b"new")
    assert not (tmp_path / "pipe").is_file()


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_file_is_read_whole_and_a_link_to_one(tmp_path):
    (tmp_path / "file").write_bytes(b"\0one\r\n\xff")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert read_file(tmp_path / name) == read_given(tmp_path / name) == b"\0one\r\n\xff"
    (tmp_path / "text").write_bytes("é\r\nb\rc\n".encode())
    assert read_text(tmp_path / "text") == (tmp_path / "text").read_text(encoding="utf-8") == "é\nb\nc\n"
    assert read_file("/proc/self/stat")  # which says that it has no bytes


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: os.mkfifo(path), "it is no file but a pipe"),
        (lambda path: path.mkdir(), "it is no file but a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no file but a device"),
        (lambda path: path.write_bytes(bytes(3 << 20)), "it has 3 MiB, and such a file has at most 2"),
        (lambda path: None, "No such file or directory"),
    ],
)
def test_what_is_no_file_or_too_large_is_not_read(make, says, tmp_path):
    make(tmp_path / "x")
    before = os.listdir("/proc/self/fd")
    for read in (open_file, read_file):
        with pytest.raises(OSError, match=says) as raised:
            read(tmp_path / "x", 2 << 20)
        assert raised.value.filename == str(tmp_path / "x")
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_grows_is_read_to_its_limit(tmp_path):
    with pytest.raises(OSError, match="it has more than"):
        read_file("/proc/self/maps", 10)  # which says that it has no bytes


def test_a_pipe_that_is_given_is_read_while_somebody_writes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"a pipe that nobody writes to for 0\.1 s"):
        read_given(tmp_path / "pipe", seconds=0.1)
    script = "import sys, time\nwith open(sys.argv[1], 'wb') as file:\n"
    script += "    for _ in range(3): file.write(b'x' * 1000); file.flush(); time.sleep(0.05)"
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "pipe"]):
        assert read_given(tmp_path / "pipe", seconds=60) == b"x" * 3000
    with subprocess.Popen([sys.executable, "-c", "print('x' * (3 << 20))"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with pytest.raises(OSError, match="a pipe that more than 1 MiB come out of"):
            read_given(f"/dev/fd/{process.stdout.fileno()}", 1 << 20)


def test_what_lies_in_a_folder_of_evalkit_s_is_no_link(tmp_path):
    (tmp_path / "real/samples").mkdir(parents=True)
    (tmp_path / "run").symlink_to("real")  # the folder itself may be one
    assert inside(tmp_path / "run", "samples/a/b.parquet") == tmp_path / "run/samples/a/b.parquet"
    (tmp_path / "run/samples/a").symlink_to(tmp_path)
    (tmp_path / "run/run.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "run/pipe")
    for name, says in (
        ("samples/a/b.parquet", r"samples/a is a link, and nothing is written through one there: take it away"),
        ("run.json", r"run\.json is a link"),
        ("pipe", r"pipe cannot be written: it is there and not a file"),
    ):
        with pytest.raises(WriteError, match=says):
            inside(tmp_path / "run", name)


def test_where_links_lead(tmp_path):
    (tmp_path / "run/samples").mkdir(parents=True)
    (tmp_path / "run/a").touch()
    (tmp_path / "out").touch()
    for name, place, out in (("in", "a", False), ("up", "../out", True), ("gone", "nowhere", False)):
        (tmp_path / "run" / name).symlink_to(place)
        assert leads_out(tmp_path / "run", tmp_path / "run" / name) is out
    (tmp_path / "link").symlink_to("run")
    assert not leads_out(tmp_path / "link", tmp_path / "link/in")

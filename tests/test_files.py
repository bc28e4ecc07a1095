"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.errors import ResultsError
from evalkit.files import write_atomically


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

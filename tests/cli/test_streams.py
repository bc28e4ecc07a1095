"""Standard output and standard error that are full, closed, or have no reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from builders import EXAMPLE, manifest

SCRIPT = [sys.executable, "-c", "from evalkit.cli import main; main()"]
FULL = "evalkit: standard output cannot be written: No space left on device\n"


def shell(redirection: str, *args: object, env: str = "") -> subprocess.CompletedProcess[str]:
    """A command line with redirections, in a shell."""
    line = f'{env} exec "$@" {redirection}'
    command = ["sh", "-c", line, "sh", *SCRIPT, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow(0.5)
@pytest.mark.parametrize(
    "args", [["tasks"], ["tasks", "--json"], ["--help"], ["--version"], ["gate", "--help"], ["models"], ["doctor"]]
)
@pytest.mark.parametrize("env", ["", "PYTHONUNBUFFERED=1"])
def test_a_full_disk_under_standard_output_is_one_line(args, env):
    done = shell("> /dev/full", *args, env=env)
    assert done.returncode == 4
    assert done.stderr == FULL


@pytest.mark.slow(1)
def test_the_work_is_done_all_the_same(tmp_path: Path):
    done = shell("> /dev/full", "run", "--model", "random", "--tasks", "example", "--data", EXAMPLE, "--out", tmp_path)
    assert done.returncode == 4
    assert done.stderr.endswith(FULL)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert manifest(tmp_path)["status"] == "done"
    assert len(manifest(tmp_path)["tasks"]) == 4


def test_a_closed_standard_output_is_said():
    done = shell(">&-", "tasks")
    assert done.returncode == 4
    assert done.stderr == "evalkit: standard output cannot be written: Bad file descriptor\n"


@pytest.mark.slow(1)
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path):
    """What a library in C prints would go into it."""
    args = ["run", "--model", "random", "--tasks", "example", "--data", EXAMPLE, "--out", tmp_path]
    done = shell("<&- >&- 2>&-", *args)
    assert done.returncode == 4  # of the answer, which nobody could get
    assert manifest(tmp_path)["status"] == "done"


@pytest.mark.slow(2)
@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-"])
def test_nobody_has_to_listen_to_standard_error(redirection, tmp_path: Path):
    args = ["run", "--model", "random", "--tasks", "example", "--data", EXAMPLE, "--out", tmp_path]
    done = shell(redirection, *args)
    assert done.returncode == 0
    assert "written to" in done.stdout
    assert shell(redirection, "tasks", "nonsense").returncode == 2
    assert shell(f"> /dev/full {redirection}", "tasks").returncode == 4


@pytest.mark.parametrize("args", [["--help"], ["tasks", "--json"]])
def test_a_reader_that_goes_away_is_nothing_to_speak_of(args):
    with subprocess.Popen([*SCRIPT, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 4


def test_what_is_no_answer_has_its_own_code():
    done = shell("> /dev/full", "tasks", "nonsense")
    assert done.returncode == 2
    assert "standard output" not in done.stderr

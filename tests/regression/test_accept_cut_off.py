"""``evalkit baseline accept`` cut off at every step: the baseline is the old or the new one, and can be made again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builders import command, run
from comparisons import copied, edited, with_scores

from evalkit.regression.baseline import BASELINE, SAMPLES, read_baseline

pytestmark = pytest.mark.slow(0.8)

# Every call of these comes to the disk or changes a name on it. A process that is forked for each step, so that all is
# imported once, is gone at its k-th call, before or after; its code is printed, and 0 where it was done before.
KILLED = """
import io, os, shutil, sys
after, before, folder, arguments = sys.argv[1] == "after", sys.argv[2], sys.argv[3], sys.argv[4:]
calls = step = 0
def cut(module, name, counts=lambda args: True):
    real = getattr(module, name)
    def call(*args, **options):
        global calls
        counted = counts(args)
        calls += counted
        if counted and calls == step and not after:
            os._exit(77)
        here = calls
        try:
            return real(*args, **options)
        finally:
            if counted and here == step:
                os._exit(77)
    setattr(module, name, call)
import evalkit.cli.baseline, evalkit.regression.baseline, evalkit.regression.comparand, evalkit.suites.mmeb
import pyarrow.parquet, pyarrow.compute
from evalkit.cli import main
from evalkit.suites.selecting import all_cards
all_cards()
code = 77
while code == 77:
    step += 1
    if os.path.exists(before):
        shutil.copytree(before, f"{folder}/{step}")
    child = os.fork()
    if not child:
        for name in ("mkdir", "fsync", "replace", "rename", "unlink"):
            cut(os, name)
        cut(io, "open", lambda args: len(args) > 1 and args[1][0] in "xw")
        main([*arguments, "--out", f"{folder}/{step}"])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs whose samples differ."""
    out = tmp_path_factory.mktemp("pair")
    assert run(out / "runs", "random") == 0
    old, new = copied(out / "runs", out / "old"), copied(out / "runs", out / "new")
    n = pq.read_table(new / "samples/example/Shapes.parquet").num_rows
    edited(new, "example/Shapes", with_scores([float(place % 3 > 0) for place in range(n)]))
    return old, new


def state(folder: Path) -> tuple[list[str], float] | None:
    """The reasons and a value of a baseline that can be read whole; ``None`` where there is none."""
    if not (folder / BASELINE).exists():
        return None
    baseline, samples = read_baseline(folder)
    return [one.reason for one in baseline.history], float(samples["example/Shapes"].scores.mean())


@pytest.mark.slow(2)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["new folder", "same run", "other run", "early version"])
def test_a_kill_at_any_step_leaves_the_old_one_or_the_new_one(kind, when, pair, tmp_path):
    old, new = pair
    if kind == "same run":
        new = old
    before = tmp_path / "before"
    if kind != "new folder":
        assert command("baseline", "accept", old, "--reason", "old", "--out", before) == 0
    if kind == "early version":  # which said nothing of a digest
        data = json.loads((before / BASELINE).read_text())
        del data["samples_sha256"]
        (before / BASELINE).write_text(json.dumps(data))
    was, seen = state(before), set()
    args = [when, str(before), str(tmp_path), "baseline", "accept", str(new), "--reason", "new"]
    done = subprocess.run([sys.executable, "-c", KILLED, *args], capture_output=True, text=True, check=True)
    codes = [int(line) for line in done.stderr.splitlines()]
    assert codes == [*[77] * (len(codes) - 1), 0]
    assert len(codes) > 6  # both files are opened, flushed and renamed
    for step in range(1, len(codes) + 1):
        folder = tmp_path / f"{step}"
        found = state(folder)
        seen.add(None if found is None else tuple(found[0]))
        if found is not None and found[0][-1] == "new":
            assert found == ([*(was[0] if was else []), "new"], state_of_run(new))
        else:
            assert found == was
        # It can be made again, and then nothing is left of what was cut off.
        assert command("baseline", "accept", new, "--reason", "again", "--out", folder) == 0
        again = state(folder)
        assert again is not None
        assert again[0][-1] == "again"
        assert sorted(os.listdir(folder)) == [BASELINE, SAMPLES]
    assert len(seen) == 2  # some steps left the old one, some the new one


def state_of_run(folder: Path) -> float:
    return float(pq.read_table(folder / "samples/example/Shapes.parquet")["score"].to_numpy().mean())


FULL = """
import resource, sys
import evalkit.cli.baseline, evalkit.regression.baseline, evalkit.regression.comparand, pyarrow.parquet
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
from evalkit.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("size", [0, 100, 4000, 9000])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_the_old_one(there, size, pair, tmp_path):
    old, new = pair
    folder = tmp_path / "b"
    if there:
        assert command("baseline", "accept", old, "--reason", "old", "--out", folder) == 0
    was, files = state(folder), sorted(os.listdir(folder)) if there else None
    args = [str(size), "baseline", "accept", str(new), "--reason", "new", "--out", str(folder)]
    done = subprocess.run([sys.executable, "-c", FULL, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert state(folder) == was
    if there:
        assert read_baseline(folder)[0].history[-1].reason == "old"
        assert sorted(os.listdir(folder)) == files  # nothing is left of what could not be written
    else:
        assert not any(folder.iterdir())
    assert command("baseline", "accept", new, "--reason", "again", "--out", folder) == 0
    assert sorted(os.listdir(folder)) == [BASELINE, SAMPLES]


def test_what_an_early_version_left_half_made_is_made_again(pair, tmp_path):
    """It wrote the samples first: cut off there, its folder was neither a baseline nor empty."""
    old, _ = pair
    assert command("baseline", "accept", old, "--reason", "r", "--out", tmp_path / "b") == 0
    (tmp_path / "b" / BASELINE).unlink()
    assert command("baseline", "accept", old, "--reason", "again", "--out", tmp_path / "b") == 0
    assert state(tmp_path / "b") is not None


@pytest.mark.parametrize("name", [SAMPLES, "notes.txt", "samples.0.parquet"])
def test_files_of_somebody_else_are_not_replaced(name, pair, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).write_bytes(b"mine")
    assert command("baseline", "accept", pair[0], "--reason", "r", "--out", tmp_path / "b") == 2
    assert "is not empty and holds no baseline" in capsys.readouterr().err
    assert (tmp_path / "b" / name).read_bytes() == b"mine"


# --- samples that are another baseline's ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["swapped", "edited", "written again", "other signatures"])
def test_samples_are_those_that_were_accepted(how, pair, tmp_path, capsys):
    old, new = pair
    for place, one in (("a", old), ("b", new)):
        assert command("baseline", "accept", one, "--reason", "r", "--out", tmp_path / place) == 0
    file = tmp_path / "a" / SAMPLES
    table = pq.read_table(file)
    says = f"{file} is not the file that {tmp_path / 'a' / BASELINE} was accepted with"
    if how == "swapped":
        shutil.copy(tmp_path / "b" / SAMPLES, file)
    elif how == "edited":  # with the mean that it had
        pq.write_table(table.take(list(range(table.num_rows))[::-1]), file)
    elif how == "written again":
        pq.write_table(table, file)
    else:
        data = json.loads((tmp_path / "a" / BASELINE).read_text())
        task = data["run"]["tasks"][0]
        task["signature"] = task["signature"].replace("|data:", "|data:0")
        (tmp_path / "a" / BASELINE).write_text(json.dumps(data))
        says = f"{file} belongs to another number of example/Shapes than"
    for args in (
        ["gate", tmp_path / "a", new],
        ["compare", new, tmp_path / "a"],
        ["compare", tmp_path / "a", new, "--explain", "example/Shapes"],
    ):
        capsys.readouterr()
        assert command(*args) == 2
        assert says in capsys.readouterr().err
    # The way out that is named.
    assert command("baseline", "accept", old, "--reason", "again", "--out", tmp_path / "a") == 0
    assert command("gate", tmp_path / "a", old) == 0


def test_the_digest_is_that_of_the_file(pair, tmp_path):
    assert command("baseline", "accept", pair[0], "--reason", "r", "--out", tmp_path) == 0
    digest = hashlib.sha256((tmp_path / SAMPLES).read_bytes()).hexdigest()
    assert json.loads((tmp_path / BASELINE).read_text())["samples_sha256"] == digest


def test_a_baseline_of_an_early_version_is_read(pair, tmp_path):
    """It has no digest: its samples are held to their number and their mean, and to the intervals."""
    old, new = pair
    for place, one in (("a", old), ("b", new)):
        assert command("baseline", "accept", one, "--reason", "r", "--out", tmp_path / place) == 0
        data = json.loads((tmp_path / place / BASELINE).read_text())
        del data["samples_sha256"]
        (tmp_path / place / BASELINE).write_text(json.dumps(data))
        table = pq.read_table(tmp_path / place / SAMPLES)
        pq.write_table(table.replace_schema_metadata(None), tmp_path / place / SAMPLES)
    assert command("gate", tmp_path / "a", old) == 0
    shutil.copy(tmp_path / "b" / SAMPLES, tmp_path / "a" / SAMPLES)
    assert command("gate", tmp_path / "a", old) == 2


@pytest.mark.parametrize("path", ["example-colours", "virtue-tiny"])
def test_the_baselines_of_the_repository_are_read(path):
    folder = Path(__file__).parents[2] / "baselines" / path
    baseline, samples = read_baseline(folder)
    assert len(samples) == len(baseline.run.tasks)

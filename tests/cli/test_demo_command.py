"""``evalkit demo``: what it prints and leaves, going on, and what bad input gets."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import DEMO_SIZE, Demonstration, command, files_of

from evalkit import __version__
from evalkit.cli import demo as module
from evalkit.demo import ENTRANTS
from evalkit.miniature.write import LARGEST, SIZE

SAME = ("--size", str(DEMO_SIZE), "--device", "cpu")


def left(folder: Path) -> dict[str, bytes]:
    """All that depends on the inputs alone: everything but times, pages that show them, locks and the store."""
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {
        name: data
        for name, data in found.items()
        if not name.endswith(("timing.json", ".lock"))
        and ".sqlite" not in name
        and (name == "site/index.html" or not name.startswith("site/"))
    }


def embedded(folder: Path) -> int:
    """How many vectors the last command computed."""
    clocks = [json.loads(file.read_text())["tasks"] for file in folder.glob("runs/*/*/timing.json")]
    assert len(clocks) == len(ENTRANTS)
    return sum(clock["embedded"] for tasks in clocks for clock in tasks.values())


@pytest.fixture
def copy(demonstration: Demonstration, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demonstration.folder, tmp_path / "evalkit-demo"))


# --- what it prints and leaves ---------------------------------------------------------------------------


@pytest.mark.slow(60)
def test_it_prints_a_table_that_fits_and_where_the_pages_are(demonstration: Demonstration) -> None:
    done, folder = demonstration.process, demonstration.folder
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Precision@1 in percent")
    start = lines.index(next(line for line in lines if line.startswith("model ")))
    assert re.split("  +", lines[start])[2:] == [
        "classification",
        "vqa",
        "retrieval",
        "grounding",
        "visual-interactive",
    ]
    rows = [re.split("  +", line) for line in lines[start + 2 : start + 3 + len(ENTRANTS)]]
    assert [row[0] for row in rows] == [*(one.model for one in ENTRANTS), "chance"]
    assert [row[1] for row in rows[:4]] == ["native", "crop", "none", "text"]
    for row in rows[:-1]:
        assert all(re.fullmatch(r"\d+\.\d \(\d+ to \d+\)", cell) for cell in row[2:])
    assert sum(" minus " in line for line in lines) == 5
    assert "say nothing about MMEB or SCaR" in done.stdout
    assert lines[-2:] == [f"written: {folder / 'site/index.html'}", f"written: {folder / 'LEADERBOARD.md'}"]
    assert max(map(len, lines[:-2])) <= 120


@pytest.mark.slow(0)
def test_progress_says_which_run_is_on_and_nothing_of_each_task(demonstration: Demonstration) -> None:
    said = demonstration.process.stderr.splitlines()
    runs = [f"run {number} of {len(ENTRANTS)}: {one}" for number, one in enumerate(ENTRANTS, 1)]
    # On a slow machine, a line every 30 seconds.
    assert [line for line in said if not re.search(r" \(task \d+ of \d+\): ", line)] == runs


@pytest.mark.slow(9)
def test_it_leaves_what_data_run_and_report_leave(demonstration: Demonstration, tmp_path: Path) -> None:
    folder = demonstration.folder
    assert {file.name for file in folder.iterdir()} == {"demo.json", "data", "runs", "site", "LEADERBOARD.md"}
    assert json.loads((folder / "demo.json").read_text()) == {
        "schema": "evalkit.demo",
        "schema_version": 1,
        "evalkit_version": __version__,
        "size": DEMO_SIZE,
        "seed": 0,
    }
    data = tmp_path / "data"
    assert command("data", "miniature", "--out", data, "--size", str(DEMO_SIZE), "--quiet") == 0
    assert left(data) == left(folder / "data")
    run = ["run", "--model", "random", "--tasks", "miniature", "--data", data, "--out", tmp_path / "runs", "--quiet"]
    assert command(*run, "--device", "cpu") == 0
    mine = files_of(tmp_path / "runs")
    assert mine.items() <= files_of(folder / "runs").items()
    assert command("report", folder / "runs", "--out", tmp_path / "site", "--markdown", tmp_path / "L.md") == 0
    assert (tmp_path / "site/index.html").read_bytes() == (folder / "site/index.html").read_bytes()
    assert (tmp_path / "L.md").read_bytes() == (folder / "LEADERBOARD.md").read_bytes()
    assert "virtue-tiny (crop)" in (folder / "LEADERBOARD.md").read_text()


# --- going on --------------------------------------------------------------------------------------------


@pytest.mark.slow(20)
def test_what_was_cut_off_is_finished_from_what_is_there(
    demonstration: Demonstration, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data half made, one run lost, one in the middle, no pages: the same bytes, and nothing embedded again."""
    manifest = copy / "data/miniature.json"
    manifest.write_text(manifest.read_text().replace('"whole": true', '"whole": false'))
    for image in sorted((copy / "data/images/GQA").iterdir())[:5]:
        image.unlink()
    (copy / "data/SCaR_eval_RefCOCOg.parquet").unlink()
    shutil.rmtree(copy / "runs/clip-tiny")
    (run,) = copy.glob("runs/vlm2vec-tiny/*/run.json")
    cut = json.loads(run.read_text())
    run.write_text(json.dumps(cut | {"status": "interrupted", "tasks": cut["tasks"][:7], "averages": []}))
    shutil.rmtree(copy / "site")
    (copy / "LEADERBOARD.md").unlink()
    (copy / ".demo.json.0123456789ab").write_text("{")
    capsys.readouterr()
    assert command("demo", "--out", copy, *SAME, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == demonstration.process.stdout.replace(str(demonstration.folder), str(copy))
    (copy / ".demo.json.0123456789ab").unlink()
    assert left(copy) == left(demonstration.folder)
    assert embedded(copy) == 0


@pytest.mark.slow(9)
def test_interrupted_while_it_runs(tmp_path: Path) -> None:
    """Ctrl-C: 130, and what is there is a demo that goes on."""
    out = tmp_path / "demo"
    script = [sys.executable, "-c", "from evalkit.cli import main; main()", "demo", "--out", str(out), "--size", "6"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == "run 1 of 7: virtue-tiny\n"
        while not list(out.glob("runs/virtue-tiny/*/samples/miniature/*.parquet")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.stderr.read().splitlines()[-1] == "interrupted"
    assert process.returncode == 130
    (run,) = out.glob("runs/*/*/run.json")
    assert json.loads(run.read_text())["status"] == "interrupted"
    assert not (out / "site").exists()


@pytest.mark.slow(20)
def test_tasks_that_fail_are_told_and_exit_with_4(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other tasks go on, and so do the models."""
    image = sorted((copy / "data/images/GQA").iterdir())[0]
    image.write_bytes(image.read_bytes()[:100])
    capsys.readouterr()
    assert command("demo", "--out", copy, *SAME, "--quiet") == 4
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert len(errors) == len(ENTRANTS)
    for one, line in zip(ENTRANTS, errors, strict=True):
        assert line.startswith(f"evalkit: {one}: miniature/GQA failed: image GQA/{image.name}")
    rows = [re.split("  +", line) for line in captured.out.splitlines() if re.match(r"\S+ +(native|text) ", line)]
    assert len(rows) == 5
    assert all((row[3], row[4] != "–") == ("–", True) for row in rows)
    assert "failed" in (copy / "LEADERBOARD.md").read_text()


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["0", "-1", "1000", "many"])
def test_a_size_out_of_range_is_refused(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("demo", "--out", tmp_path / "new", "--size", size) == 2
    assert "--size" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_options_are_those_of_the_miniature() -> None:
    (size,) = (option for option in module.command.params if option.name == "size")
    assert (size.default, size.type.min, size.type.max) == (SIZE, 1, LARGEST)


def test_an_unknown_device_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("demo", "--out", tmp_path / "new", "--device", "gpu") == 2
    assert "device 'gpu' is not known" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.txt", "mine"),
        ("LEADERBOARD.md", "mine"),
        ("site/index.html", "mine"),
        ("data/miniature.json", "{}"),
        ("runs/model/000000000000/run.json", "{}"),
    ],
)
def test_a_folder_that_is_not_empty_and_no_demo_is_left_as_it_is(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert command("demo", "--out", tmp_path) == 2
    assert f"{tmp_path} is not empty and holds no demo: name another folder with --out" in capsys.readouterr().err
    assert left(tmp_path) == {name: text.encode()}


@pytest.mark.slow(0)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--size", "7"], "--size 7 --seed 0"),
        ([], f"--size {SIZE} --seed 0"),
        (["--size", str(DEMO_SIZE), "--seed", "1"], f"--size {DEMO_SIZE} --seed 1"),
    ],
)
def test_another_demo_is_left_as_it_is(
    options: list[str], says: str, demonstration: Demonstration, capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(demonstration.folder)
    assert command("demo", "--out", demonstration.folder, *options) == 2
    error = capsys.readouterr().err
    assert f"holds a demo with --size {DEMO_SIZE} --seed 0 by evalkit {__version__}, not with {says}" in error
    assert "name another folder with --out" in error
    assert left(demonstration.folder) == before


def test_a_demo_of_another_version_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"schema": "evalkit.demo", "schema_version": 1, "evalkit_version": "0.0.1", "size": SIZE, "seed": 0}
    (tmp_path / "demo.json").write_text(json.dumps(mark))
    assert command("demo", "--out", tmp_path) == 2
    assert f"by evalkit 0.0.1, not with --size {SIZE} --seed 0 by evalkit {__version__}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schema": "other"}', '{"schema_version": 2}'])
def test_a_mark_that_evalkit_did_not_write(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo.json").write_text(text)
    assert command("demo", "--out", tmp_path) == 2
    assert f"{tmp_path / 'demo.json'} is not what evalkit writes" in capsys.readouterr().err
    assert left(tmp_path) == {"demo.json": text.encode()}


def test_another_miniature_in_the_demo_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"schema": "evalkit.demo", "schema_version": 1, "evalkit_version": __version__, "size": 1, "seed": 0}
    (tmp_path / "demo.json").write_text(json.dumps(mark))
    assert command("data", "miniature", "--out", tmp_path / "data", "--size", "1", "--seed", "5", "--quiet") == 0
    before = left(tmp_path)
    assert command("demo", "--out", tmp_path, "--size", "1") == 2
    assert "data holds a miniature of size 1 and seed 5, not of size 1 and seed 0" in capsys.readouterr().err
    assert left(tmp_path) == before


def test_what_is_in_the_way_of_the_data_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"schema": "evalkit.demo", "schema_version": 1, "evalkit_version": __version__, "size": 1, "seed": 0}
    (tmp_path / "demo.json").write_text(json.dumps(mark))
    other = tmp_path / "data/GQA/test-00000-of-00001.parquet"
    other.parent.mkdir(parents=True)
    other.write_text("the real GQA")
    assert command("demo", "--out", tmp_path, "--size", "1") == 2
    assert "test-00000-of-00001.parquet is there and not of a miniature" in capsys.readouterr().err
    assert other.read_text() == "the real GQA"


def test_folders_that_cannot_be_written_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert command("demo", "--out", tmp_path / "file") == 2
    assert f"{tmp_path / 'file'} is a file, not a folder: name another folder with --out" in capsys.readouterr().err
    assert command("demo", "--out", tmp_path / "file" / "below") == 2
    assert "cannot be written: Not a directory: name a folder that can be with --out" in capsys.readouterr().err
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert command("demo", "--out", tmp_path / "nowhere") == 2
    assert "nowhere is a file, not a folder" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that nobody may write")
def test_where_nobody_may_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("demo", "--out", "/proc/evalkit-demo") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("where", [".", "runs"])
def test_a_demo_that_is_there_and_may_not_be_written(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    mark = {"schema": "evalkit.demo", "schema_version": 1, "evalkit_version": __version__, "size": 24, "seed": 0}
    (tmp_path / "demo.json").write_text(json.dumps(mark))
    (tmp_path / where).chmod(0o555)
    try:
        assert command("demo", "--out", tmp_path) == 2
    finally:
        (tmp_path / where).chmod(0o755)
    assert "cannot be written: name another folder with --out" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (tmp_path, tmp_path / "new"):
        tmp_path.chmod(0o555)
        try:
            assert command("demo", "--out", out) == 2
        finally:
            tmp_path.chmod(0o755)
        assert "cannot be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

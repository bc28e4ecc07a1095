"""Pipes, devices and links where files should be: nothing hangs, nothing is read without end or written elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import EXAMPLE, command, run
from comparisons import copied

Put = Callable[[Path], None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one run, and its baseline."""
    out = tmp_path_factory.mktemp("hostile")
    assert run(out / "runs", "random") == 0
    assert command("baseline", "accept", out / "runs", "--reason", "r", "--out", out / "baseline") == 0
    return out


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    """What waits for a pipe is interrupted, and fails the test."""

    def tell(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, tell)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def in_place_of(path: Path, put: Put) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    put(path)
    return path


SHAPES = "samples/example/Shapes.parquet"


def cases(runs: Path, out: Path, put: Put) -> dict[str, tuple[int, Path, list[Any]]]:
    """By what is no file: the code, the path that is named, and the command."""
    good = runs / "runs"
    place = {name: copied(runs / "runs", out / f"{name}/m/r") for name in ("run", "samples", "timing")}
    in_place_of(place["run"] / "run.json", put)
    in_place_of(place["samples"] / SHAPES, put)
    in_place_of(place["timing"] / "timing.json", put)
    baseline = {name: Path(shutil.copytree(runs / "baseline", out / name)) for name in ("base", "base-samples")}
    in_place_of(baseline["base"] / "baseline.json", put)
    in_place_of(baseline["base-samples"] / "samples.parquet", put)
    data = Path(shutil.copytree(EXAMPLE, out / "data"))
    [rows] = data.glob("**/*Shapes/*.parquet")
    in_place_of(rows, put)
    named = in_place_of(out / "named", put)
    checkpoint = in_place_of(out / "checkpoint/config.json", put)
    module = in_place_of(out / "model.py", put)
    item = '{"id": "a", "side": "query", "prompt": "x", "text": "x"}\n'
    vectors, items = (in_place_of(out / "precomputed/a.npz", put), in_place_of(out / "items/a.jsonl", put))
    vectors.with_suffix(".jsonl").write_text(item)
    np.savez(items.with_suffix(".npz"), ids=["a"], vectors=np.ones((1, 1), np.float32))
    example = ["--tasks", "example/Shapes", "--data", EXAMPLE, "--out", out / "o", "--quiet"]
    accepting = ["--reason", "r", "--out", out / "x"]
    return {
        "run of gate": (2, place["run"] / "run.json", ["gate", place["run"], good]),
        "run of compare": (2, place["run"] / "run.json", ["compare", good, out / "run"]),
        "run of accept": (2, place["run"] / "run.json", ["baseline", "accept", out / "run", *accepting]),
        "run of report": (4, place["run"] / "run.json", ["report", out / "run", "--out", out / "s1"]),
        "samples of gate": (2, place["samples"] / SHAPES, ["gate", place["samples"], good]),
        "samples of report": (4, place["samples"] / SHAPES, ["report", out / "samples", "--out", out / "s2"]),
        "timing of report": (0, out, ["report", out / "timing", "--out", out / "s3"]),
        "baseline": (2, baseline["base"], ["gate", baseline["base"], good]),
        "baseline shown": (2, baseline["base"], ["baseline", "show", baseline["base"]]),
        "its samples": (2, baseline["base-samples"] / "samples.parquet", ["gate", baseline["base-samples"], good]),
        "scores": (2, named, ["gate", named, good]),
        "configuration": (2, named, ["gate", good, good, "--config", named]),
        "published": (2, named, ["report", good, "--out", out / "s4", "--add", named]),
        "items": (2, named, ["embed", "--model", "random", "--input", named, "--output", out / "v.npz"]),
        "rows": (4, rows.relative_to(data), ["run", "--model", "random", *example, "--data", data]),
        "module": (2, module, ["check", f"{module}:Model"]),
        "checkpoint": (2, checkpoint, ["check", f"clip:{checkpoint.parent}"]),
        "vectors": (2, vectors.parent, ["run", "--model", f"precomputed:{vectors.parent}", *example]),
        "items of vectors": (2, items.parent, ["run", "--model", f"precomputed:{items.parent}", *example]),
    }  # fmt: skip


@pytest.mark.slow(1)
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("put", [pipe, device])
def test_what_is_no_file_is_named_and_not_waited_for(put, runs, tmp_path, capsys):
    for name, (code, path, args) in cases(runs, tmp_path, put).items():
        capsys.readouterr()
        found = command(*args)
        said = capsys.readouterr()
        assert found == code, (name, said.err)
        assert code == 0 or str(path) in said.err + said.out, (name, said.err)
        assert "Traceback" not in said.err, name


def test_what_a_shell_gives_as_a_file_is_read(runs, tmp_path):
    """``--config <(…)`` is a pipe that somebody writes to."""
    reader, writer = os.pipe()
    os.write(writer, b"alpha = 0.01\n")
    os.close(writer)
    assert command("gate", runs / "runs", runs / "runs", "--config", f"/dev/fd/{reader}") == 0
    os.close(reader)
    reader, writer = os.pipe()
    os.write(writer, b'{"id": "a", "side": "query", "prompt": "x", "text": "x"}\n')
    os.close(writer)
    vectors = tmp_path / "v.npz"
    assert command("embed", "--model", "random", "--input", f"/dev/fd/{reader}", "--output", vectors) == 0
    os.close(reader)
    assert np.load(vectors)["ids"].tolist() == ["a"]


def test_a_file_that_is_far_too_large_is_not_read(runs, tmp_path, capsys):
    bad = copied(runs / "runs", tmp_path / "bad")
    for name in ("run.json", SHAPES):
        with (bad / name).open("r+b") as file:
            file.truncate(1 << 36)  # a hole, which takes no room
        assert command("gate", runs / "runs", bad) == 2
        said = capsys.readouterr().err
        assert f"{bad / name} cannot be read" in said
        assert "it has 65,536 MiB, and such a file has at most" in said
        shutil.copy(next((runs / "runs").glob(f"*/*/{name}")), bad / name)


@pytest.mark.slow(0.7)
def test_a_small_file_that_says_it_is_a_large_one_is_not_read(runs, tmp_path, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = copied(runs / "runs", tmp_path / "bad")
    with pq.ParquetWriter(bad / SHAPES, pa.schema({"id": pa.string(), "score": pa.float64()})) as writer:
        part = pa.table({"id": ["a"] * 3_000_000, "score": [1.0] * 3_000_000})
        for _ in range(7):
            writer.write_table(part)
    assert (bad / SHAPES).stat().st_size < 1 << 20
    assert command("gate", runs / "runs", bad) == 2
    assert "it has 21000000 rows, more than 20000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 200_000, "is not a run of schema version 1"),
        (b'{"a":' * 200_000, "is not a run of schema version 1"),
        (b'{"schema": "\xff"}', "is not a run of schema version 1"),
        (b'{"schema": "evalkit.run", "schema_version": ' + b"9" * 5000 + b"}", "is not a run of schema version 1"),
        (b"", "is not a run of schema version 1"),
    ],
)
@pytest.mark.parametrize("name", ["report", "gate"])
def test_json_that_is_none(name, content, says, tmp_path, capsys):
    file = tmp_path / "runs/m/r/run.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    args = ["--out", tmp_path / "s"] if name == "report" else [tmp_path / "runs"]
    assert command(name, tmp_path / "runs", *args) == (4 if name == "report" else 2)
    assert says in capsys.readouterr().err


def test_a_key_that_is_there_twice_says_two_things(runs, tmp_path, capsys):
    bad = copied(runs / "runs", tmp_path / "bad")
    text = (bad / "run.json").read_text()
    for old, key in (('"status": "done",', "status"), ('"value": 0.', "value")):
        (bad / "run.json").write_text(text.replace(old, f'"{key}": 0, {old}', 1))
        assert command("gate", runs / "runs", bad) == 2
        assert f"the key '{key}' is there twice in one object" in capsys.readouterr().err
    base = Path(shutil.copytree(runs / "baseline", tmp_path / "base"))
    text = (base / "baseline.json").read_text()
    (base / "baseline.json").write_text(text.replace('"reason": "r"', '"reason": "q", "reason": "r"'))
    assert command("gate", base, runs / "runs") == 2
    assert "the key 'reason' is there twice in one object" in capsys.readouterr().err


# --- links inside a runs folder ----------------------------------------------------------------------------------


def again(out: Path) -> int:
    return run(out, "random")


@pytest.mark.parametrize("name", [".lock", "run.json", "timing.json", SHAPES])
def test_no_file_is_written_through_a_link_in_a_run(name, runs, tmp_path, capsys):
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [folder] = (file.parent for file in out.glob("*/*/run.json"))
    mine = tmp_path / "mine"
    content = (folder / name).read_bytes() or b"precious"
    mine.write_bytes(content)
    (folder / name).unlink()
    (folder / name).symlink_to(mine)
    assert again(out) == 4
    said = capsys.readouterr().err
    assert f"{folder / name} is a link" in said
    assert "Traceback" not in said
    assert mine.read_bytes() == content
    assert (folder / name).is_symlink()


@pytest.mark.parametrize("name", [".lock", SHAPES])
def test_a_link_to_nowhere_makes_no_file(name, runs, tmp_path, capsys):
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [folder] = (file.parent for file in out.glob("*/*/run.json"))
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "new")
    assert again(out) == 4
    assert f"{folder / name} is a link" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [".lock", "run.json", "timing.json", SHAPES])
def test_a_pipe_in_a_run_is_not_waited_for(name, runs, tmp_path, capsys):
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [folder] = (file.parent for file in out.glob("*/*/run.json"))
    in_place_of(folder / name, pipe)
    assert again(out) == 4
    assert str(folder / name) in capsys.readouterr().err


@pytest.mark.parametrize("depth", ["samples", "samples/example"])
def test_no_folder_of_samples_leads_out_of_the_run(depth, runs, tmp_path, capsys):
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [folder] = (file.parent for file in out.glob("*/*/run.json"))
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / depth, elsewhere)
    (folder / depth).symlink_to(elsewhere)
    (elsewhere / ".a.b.c").touch()
    before = {file: file.stat().st_mtime_ns for file in elsewhere.rglob("*")}
    assert again(out) == 4
    assert f"{folder / depth} is a link" in capsys.readouterr().err
    # Nor is a file removed there: a task that fails takes the samples of an earlier success away.
    for rows in (file for file in EXAMPLE.rglob("*.parquet")):
        broken = tmp_path / "data" / rows.relative_to(EXAMPLE)
        broken.parent.mkdir(parents=True, exist_ok=True)
        broken.write_bytes(b"words")
    assert run(out, "random", data=tmp_path / "data") == 4
    assert f"{folder / depth} is a link" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in elsewhere.rglob("*")} == before
    for code, *args in (
        (2, "gate", out, runs / "runs"),
        (2, "baseline", "accept", out, "--reason", "r", "--force", "--out", tmp_path / "b"),
        (4, "report", out, "--out", tmp_path / "s", "--quiet"),
    ):
        assert command(*args) == code
        assert "is a link that leads out of the run's folder" in capsys.readouterr().err


@pytest.mark.parametrize("depth", [0, 1])
def test_neither_the_run_s_folder_nor_the_model_s_is_a_link(depth, runs, tmp_path, capsys):
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [folder] = (file.parent for file in out.glob("*/*/run.json"))
    place = (folder, folder.parent)[depth]
    shutil.move(place, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "elsewhere").rglob("*")}
    assert again(out) == 4
    said = capsys.readouterr().err
    assert f"{place} is a link, and no run is written through one" in said
    assert "or link the runs folder as a whole" in said
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "elsewhere").rglob("*")} == before


@pytest.mark.slow(1)
def test_the_runs_folder_may_be_a_link_and_so_may_files_that_are_named(runs, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    assert again(tmp_path / "runs") == 0
    assert len(list(tmp_path.glob("disk/*/*/run.json"))) == 1
    (tmp_path / "link.md").symlink_to(tmp_path / "disk/real.md")
    assert command("report", runs / "runs", "--out", tmp_path / "s", "--markdown", tmp_path / "link.md", "--quiet") == 0
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "disk/real.md").exists()


def test_the_lock_is_not_emptied(runs, tmp_path):
    """Whatever lies there, as a link to it would have."""
    out = Path(shutil.copytree(runs / "runs", tmp_path / "runs"))
    [lock] = out.glob("*/*/.lock")
    lock.write_text("not empty")
    assert again(out) == 0
    assert lock.read_text() == "not empty"

"""From rows on disk to a run on disk: exact scores, equal bytes, and what is left when something fails."""

from __future__ import annotations

import getpass
import json
import random
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from builders import (
    EXAMPLE,
    Columns,
    as_v1,
    command,
    draw_images,
    files_of,
    golden,
    in_order,
    install,
    load,
    manifest,
    run,
    site_packages,
    tasks_of,
    write,
)

from evalkit.encoding.given import row_of
from evalkit.errors import ImageError, RegionError
from evalkit.items import Mask
from evalkit.items.images import ImageFile
from evalkit.runs.environment import without_places
from evalkit.suites.task import DataFolder

COLOURS = "evalkit.embedders.colours:Colours"
SHAPES, ASKED, SEARCH, REGIONS = (
    f"example/{name}" for name in ("Shapes", "ShapeColours", "ShapeSearch", "ShapeRegions")
)


def p1(task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = task["metrics"]["precision_at_1"]
    return found


def samples(out: Path, task: str) -> list[dict[str, Any]]:
    (file,) = out.glob(f"*/*/samples/{task}.parquet")
    found: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return found


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the example by the embedder that sees colours; nobody writes into it."""
    out = tmp_path_factory.mktemp("colours")
    assert run(out, COLOURS) == 0
    return out


# --- scores that are known exactly -------------------------------------------------------------------


def test_a_constant_scores_one_in_n(tmp_path):
    assert run(tmp_path, "constant") == 0
    for name, size in {SHAPES: 32, ASKED: 8, SEARCH: 16, REGIONS: 10}.items():
        task = tasks_of(tmp_path)[name]
        score = p1(task)
        assert score["value"] == score["chance"] == float(Fraction(1, size))
        assert (score["optimistic"], score["pessimistic"]) == (1, 0)
        assert score["n_ties"] == score["n"] == task["n_queries"]
        assert score["low"] <= score["chance"]
        assert {row["ties"] for row in samples(tmp_path, name)} == {size - 1}
    assert manifest(tmp_path)["averages"][0]["value"] == pytest.approx((1 / 32 + 1 / 8 + 1 / 16 + 1 / 10) / 4)


def test_colours_scores_as_they_are_known(colours):
    found = tasks_of(colours)
    scores = {name: Fraction(p1(task)["value"]).limit_denominator(100) for name, task in found.items()}
    quarter = Fraction(1, 4)
    assert scores == {SHAPES: quarter, ASKED: Fraction(1, 2), SEARCH: quarter, REGIONS: Fraction(1, 7)}
    assert all(p1(found[name])["value"] == float(score) for name, score in scores.items())
    assert [p1(found[name])["optimistic"] for name in (SHAPES, SEARCH, REGIONS)] == [1, 1, 1]
    assert {name: task["prompting"] for name, task in found.items() if task["prompting"]} == {REGIONS: "native"}
    average = manifest(colours)["averages"][0]
    assert average["value"] == pytest.approx(float(sum(scores.values()) / 4))
    assert (average["group"], average["n_done"], average["n_tasks"]) == ("example", 4, 4)


def test_samples_are_the_queries_behind_the_number(colours):
    for name, task in tasks_of(colours).items():
        rows = samples(colours, name)
        assert len(rows) == len({row["id"] for row in rows}) == task["n_queries"]
        assert sum(row["score"] for row in rows) / len(rows) == pytest.approx(p1(task)["value"])
        assert sum(row["ties"] > 0 for row in rows) == p1(task)["n_ties"]
        for row in rows:
            expected = row["right"] / (row["right"] + row["ties"]) if row["rank"] == 1 else 0
            assert row["score"] == pytest.approx(expected)
            assert row["top_scores"] == sorted(row["top_scores"], reverse=True)
            assert len(row["top"]) == len(row["top_scores"]) == min(5, row["pool"])
            if row["rank"] == 1:
                assert row["label_score"] == row["top_scores"][0]
            assert (row["margin"] < 0) == (row["rank"] > 1)
        (file,) = colours.glob(f"*/*/samples/{name}.parquet")
        assert pq.read_schema(file).metadata[b"evalkit.signature"].decode() == task["signature"]


def test_a_box_that_the_model_does_not_take_is_text(tmp_path):
    assert run(tmp_path, "random", tasks=REGIONS) == 0
    task = tasks_of(tmp_path)[REGIONS]
    assert task["prompting"] == "text"
    assert "|prompting:text|" in task["signature"]


# --- equal bytes -------------------------------------------------------------------------------------

TASKS = ("WebQA", "OK-VQA", "RefCOCO-Matching", "NIGHTS", "SCaR/RefCOCOg")


ROWS = 40


def rows_of(name: str) -> Columns:
    """Forty rows, some of them alike but for their pools, some in everything; pools of two to six."""
    columns = in_order(golden(name), (row % 3 for row in range(ROWS)))
    for row in range(ROWS):
        for column in {"tgt_text", "tgt_img_path"} & columns.keys():
            columns[column][row] = columns[column][row][: 2 + row * row % 5]
    if "bbox" in columns:  # on the images, which are small
        columns["bbox"] = [[1.0, row % 3 + 0.5, 4.0, 2.25] for row in range(ROWS)]
    return columns


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of several tasks with their images; nobody writes into it."""
    folder = tmp_path_factory.mktemp("data")
    for name in TASKS:
        write(folder, name, rows_of(name))
        draw_images(folder, rows_of(name))
    return folder


def metrics_and_signatures(out: Path) -> dict[str, Any]:
    return {name: (task["metrics"], task["signature"]) for name, task in tasks_of(out).items()}


@pytest.mark.parametrize("model", ["random", "constant"])
def test_both_layouts_give_the_same_run(model, data, tmp_path):
    tasks = ",".join(TASKS[:4])
    for name in TASKS[:4]:
        write(tmp_path / "data", name, as_v1(rows_of(name)))
    assert run(tmp_path / "v2", model, tasks=tasks, data=data) == 0
    more = ["--images", data / "images"]
    assert run(tmp_path / "v1", model, tasks=tasks, data=tmp_path / "data", more=more) == 0
    files = files_of(tmp_path / "v2")
    assert len(files) == 5
    assert files_of(tmp_path / "v1") == files


@pytest.mark.parametrize("model", ["random", "constant"])
@pytest.mark.slow(0.7)
def test_the_order_of_rows_does_not_matter(model, data, tmp_path):
    tasks = ",".join(TASKS)
    assert run(tmp_path / "first", model, tasks=tasks, data=data) == 0
    expected = metrics_and_signatures(tmp_path / "first")
    for seed in range(3):
        folder, out = tmp_path / f"data-{seed}", tmp_path / f"runs-{seed}"
        for name in TASKS:
            write(folder, name, in_order(rows_of(name), random.Random(seed).sample(range(ROWS), ROWS)))
        assert run(out, model, tasks=tasks, data=folder, more=["--images", data / "images"]) == 0
        assert metrics_and_signatures(out) == expected


def test_the_order_of_candidates_does_not_matter(data, tmp_path):
    """But for the first, which is the right one."""
    tasks = ",".join(TASKS)
    for name in TASKS:
        columns = rows_of(name)
        for row in range(ROWS):
            listed = [c for c in ("tgt_text", "tgt_img_path") if c in columns]
            order = [0, *range(len(columns["tgt_text"][row]) - 1, 0, -1)]
            for column in listed:
                columns[column][row] = [columns[column][row][place] for place in order]
        write(tmp_path / "data", name, columns)
    assert run(tmp_path / "first", "random", tasks=tasks, data=data) == 0
    more = ["--images", data / "images"]
    assert run(tmp_path / "other", "random", tasks=tasks, data=tmp_path / "data", more=more) == 0
    assert metrics_and_signatures(tmp_path / "other") == metrics_and_signatures(tmp_path / "first")


@pytest.mark.slow(0.6)
def test_the_same_command_again_embeds_nothing_and_writes_the_same_bytes(tmp_path):
    def counts(key: str) -> int:
        (file,) = tmp_path.glob("*/*/timing.json")
        return sum(task[key] for task in json.loads(file.read_text())["tasks"].values())

    assert run(tmp_path, COLOURS) == 0
    files, embedded = files_of(tmp_path), counts("embedded")
    assert embedded > 200
    assert embedded > counts("images_encoded") >= counts("images") > 0
    assert run(tmp_path, COLOURS) == 0
    assert files_of(tmp_path) == files
    assert counts("embedded") == 0
    assert counts("images_encoded") <= counts("spot_checked") <= 3 * 7, "three of each kind of item"
    assert counts("reused") == counts("distinct") > 200
    assert run(tmp_path, COLOURS, more=["--trust-store"]) == 0
    assert counts("embedded") == counts("images") == counts("images_encoded") == counts("spot_checked") == 0


def test_batches_do_not_change_a_run(colours, tmp_path):
    assert run(tmp_path, COLOURS, more=["--batch-tokens", "50"]) == 0
    assert files_of(tmp_path) == files_of(colours)


@pytest.mark.slow(0.9)
def test_another_model_or_setting_is_another_run(tmp_path):
    plain = ["--model", "random"]
    commands = [
        plain,
        ["--model", "random?seed=1"],
        ["--model", "constant"],
        *([*plain, *more] for more in (["--limit", "3"], ["--limit", "4"], ["--vectors", "float16"])),
        *([*plain, *more] for more in (["--official-dedup"], ["--exif", "ignore"])),
    ]
    for words in commands:
        assert run(tmp_path, tasks=SEARCH, more=words) == 0
    runs = {str(file.parent.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.glob("*/*/run.json")}
    assert len(runs) == len(commands)
    signatures = {json.loads(text)["tasks"][0]["signature"] for text in runs.values()}
    assert len(signatures) == len(commands)
    assert run(tmp_path, "random", tasks=SEARCH, more=["--batch-tokens", "99", "--device", "cpu"]) == 0
    again = {str(file.parent.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.glob("*/*/run.json")}
    assert again == runs


@pytest.mark.slow(0.6)
def test_selections_add_up_in_one_run(colours, tmp_path):
    for task in (REGIONS, SHAPES, SEARCH):
        assert run(tmp_path, COLOURS, tasks=task) == 0
    assert list(tasks_of(tmp_path)) == [SHAPES, SEARCH, REGIONS], "in the order of the suite's table"
    assert manifest(tmp_path)["averages"][0] == {"group": "example", "value": None, "n_done": 3, "n_tasks": 4}
    assert run(tmp_path, COLOURS, tasks=ASKED) == 0
    assert files_of(tmp_path) == files_of(colours)


def test_several_models_in_one_command(tmp_path):
    assert run(tmp_path, "constant", "random", "constant", tasks=SEARCH) == 0
    assert sorted(file.parent.parent.name for file in tmp_path.glob("*/*/run.json")) == ["constant", "random"]


def test_a_limit_is_no_part_of_an_average(tmp_path):
    assert run(tmp_path, COLOURS, more=["--limit", "5"]) == 0
    assert [task["complete"] for task in tasks_of(tmp_path).values()] == [False] * 4
    assert all(task["n_queries"] == 5 for task in tasks_of(tmp_path).values())
    assert manifest(tmp_path)["averages"][0] == {"group": "example", "value": None, "n_done": 0, "n_tasks": 4}
    assert all("5 of " in task["warnings"][-1] for task in tasks_of(tmp_path).values())


def test_official_dedup_ranks_merged_candidates(tmp_path):
    """The right caption is merged into the first one of its image, so the two can no longer be told apart."""
    columns = {name: values[:2] for name, values in golden("WebQA").items()}
    columns["tgt_img_path"] = [["x/1.jpg", "x/1.jpg", "x/2.jpg"], ["x/2.jpg", "x/1.jpg"]]
    columns["tgt_text"] = [["red", "blue", "green"], ["brown", "pink"]]
    write(tmp_path / "data", "WebQA", columns)
    draw_images(tmp_path / "data", columns)
    for name, more in (("apart", []), ("merged", ["--official-dedup"])):
        assert run(tmp_path / name, "constant", tasks="WebQA", data=tmp_path / "data", more=more) == 0
    assert [row["pool"] for row in samples(tmp_path / "apart", "WebQA")] == [3, 2]
    assert [row["pool"] for row in samples(tmp_path / "merged", "WebQA")] == [2, 2]
    signatures = [tasks_of(tmp_path / name)["WebQA"]["signature"] for name in ("apart", "merged")]
    assert ["|dedup:content|" in signatures[0], "|dedup:official|" in signatures[1]] == [True, True]


# --- two at once -------------------------------------------------------------------------------------

SLOW = """\
import time
import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random

class Slow:
    info = EmbedderInfo(name="slow", dimension=64)

    def encode(self, items, side):
        time.sleep(0.1)
        return Random().encode(items, side)
"""


@pytest.mark.slow(3)
def test_two_processes_at_once_both_end_up_in_the_run(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    model, out = f"{tmp_path / 'slow.py'}:Slow", tmp_path / "runs"
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from builders import *; "
    script += "sys.exit(run(Path(sys.argv[1]), sys.argv[2], tasks=sys.argv[3]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(Path(__file__).parent), out, model, tasks])
        for tasks in (f"{SHAPES},{SEARCH}", f"{REGIONS},{ASKED}", f"{SEARCH},{REGIONS}")
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert run(tmp_path / "alone", model) == 0
    assert {t: r["status"] for t, r in tasks_of(out).items()} == dict.fromkeys((SHAPES, ASKED, SEARCH, REGIONS), "done")
    assert manifest(out)["status"] == "done"
    assert files_of(out) == files_of(tmp_path / "alone")


# --- failures ----------------------------------------------------------------------------------------

FAULTY = """\
import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random

class Faulty:
    info = EmbedderInfo(name="faulty", dimension=64)

    def __init__(self, fault):
        self.fault = fault

    def encode(self, items, side):
        vectors = Random().encode(items, side)
        wrong = [i for i, item in enumerate(items) if item.prompt == "purple square"]
        if wrong:
            vectors = FAULTS[self.fault](vectors, wrong[0])
        return vectors

def put(value):
    def change(vectors, row):
        vectors[row] = value
        return vectors
    return change

def one(vectors, row):
    vectors[row, 5] = np.nan
    return vectors

def stop(error):
    raise error

FAULTS = {
    "nan": one, "inf": put(np.inf), "zero": put(0), "long": lambda v, row: v * 1.01, "rows": lambda v, row: v[:-1],
    "more": lambda v, row: np.concatenate([v, v]), "narrow": lambda v, row: v[:, :-1], "flat": lambda v, row: v.ravel(),
    "none": lambda v, row: None, "words": lambda v, row: ["a"] * len(v), "ragged": lambda v, row: [[1.0], [1.0, 2.0]],
    "value": lambda v, row: stop(ValueError("something broke at /home/someone/secret/weights.bin")),
    "key": lambda v, row: stop(KeyError("hidden")), "exit": lambda v, row: stop(RuntimeError("no such layer")),
}
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("faulty") / "faulty.py"
    file.write_text(FAULTY)
    return f"{file}:Faulty"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("nan", r"a vector that is not finite for candidate item 'purple square'"),
        ("inf", r"a vector that is not finite for candidate item 'purple square'"),
        ("zero", r"a zero vector for candidate item 'purple square'"),
        ("long", r"a vector of length 1\.01 .*for candidate item '"),
        ("rows", r"shape \(31, 64\) for 32 candidate items of dimension 64; the first is '"),
        ("more", r"shape \(64, 64\) for 32 candidate items"),
        ("narrow", r"shape \(32, 63\) for 32 candidate items of dimension 64"),
        ("flat", r"shape \(2048,\) for 32 candidate items"),
        ("none", r"returned .*None.* candidate items, the first '"),
        ("words", r"returned a list, not .* candidate items, the first '"),
        ("ragged", r"returned a list, not .* candidate items, the first '"),
        ("value", r"failed on 32 candidate items, the first '.*': ValueError: something broke at …/weights\.bin$"),
        ("key", r"failed on 32 candidate items, the first '.*': KeyError: 'hidden'"),
        ("exit", r"RuntimeError: no such layer"),
    ],
)
@pytest.mark.slow(0.3)
def test_a_faulty_embedder_fails_its_task_alone(fault, says, faulty, tmp_path):
    assert run(tmp_path, f"{faulty}?fault={fault}", tasks=f"{SHAPES},{SEARCH}") == 4
    failed, done = tasks_of(tmp_path)[SHAPES], tasks_of(tmp_path)[SEARCH]
    assert failed["status"] == "failed"
    assert failed["error"]["type"] == "EmbedderError"
    assert re.search(rf"^faulty .*{says}", failed["error"]["message"])
    assert (failed["complete"], failed["samples"], failed["signature"], failed["metrics"]) == (False, None, None, None)
    assert done["status"] == "done"
    assert p1(done)["n"] == 32
    assert manifest(tmp_path)["status"] == "failed"
    assert manifest(tmp_path)["averages"][0] == {"group": "example", "value": None, "n_done": 1, "n_tasks": 4}
    assert len(files_of(tmp_path)) == 2, "no samples of what failed"
    (timing,) = tmp_path.glob("*/*/timing.json")
    embedded = {name: task["embedded"] for name, task in json.loads(timing.read_text())["tasks"].items()}
    assert embedded == {SHAPES: 64, SEARCH: 64 + 32}, "each task's own items"


TEXT_ALONE = """
import numpy as np
from evalkit.embedders.base import EmbedderInfo

class Reader:
    info = EmbedderInfo(name="reader", dimension=2, modalities=frozenset({"text"}), fingerprint="reader")

    def encode(self, items, side):
        return np.tile(np.float32([1, 0]), (len(items), 1))
"""


def test_an_embedder_is_not_scored_on_what_it_does_not_take(tmp_path, capsys):
    """Images that are silently left out would give a number, and a wrong one."""
    (tmp_path / "reader.py").write_text(TEXT_ALONE)
    assert run(tmp_path / "runs", f"{tmp_path / 'reader.py'}:Reader", tasks=SHAPES) == 2
    assert "example/Shapes has items of image; reader takes text" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def half(data: Path, tmp_path: Path) -> Path:
    """Two tasks, of which one may be broken."""
    folder = tmp_path / "data"
    for name in ("WebQA", "OK-VQA"):
        shutil.copytree(data / name, folder / name)
        shutil.copytree(data / "images" / name, folder / "images" / name)
    return folder


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../../outside.png", "image path '../../outside.png' leaves the images folder"),
        ("/etc/hostname", "image path '…/hostname' leaves the images folder"),
        ("WebQA/../../secret.png", "leaves the images folder"),
        ("C:\\WebQA\\c1.jpg", "has a backslash or a drive, as on Windows, and names no place in the images folder"),
        ("WebQA\\..\\..\\secret.png", "leaves the images folder"),
        ("WebQA/link.png", "is a link that leads out of the images folder"),
        ("WebQA/missing.png", "missing.png is missing"),
        ("WebQA/" + "x" * 300 + ".png", "cannot be read: File name too long"),
        ("WebQA/text.png", "is not one of JPEG, PNG"),
        ("WebQA/cut.png", "truncated"),
    ],
)
def test_an_image_that_cannot_be_read_fails_its_task_alone(path, says, half, tmp_path):
    images = half / "images" / "WebQA"
    for outside in (tmp_path / "outside.png", tmp_path / "secret.png"):
        shutil.copy(images / "c0.jpg", outside)
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "text.png").write_text("not an image")
    (images / "cut.png").write_bytes((EXAMPLE / "images/Shapes/red-circle-1.png").read_bytes()[:70])
    columns = rows_of("WebQA")
    columns["tgt_img_path"][3][1] = path
    write(half, "WebQA", columns)
    assert run(tmp_path / "runs", "random", tasks="WebQA,OK-VQA", data=half) == 4
    found = tasks_of(tmp_path / "runs")
    assert found["WebQA"]["error"]["type"] == "ImageError"
    assert says in found["WebQA"]["error"]["message"]
    assert "(item " in found["WebQA"]["error"]["message"]
    assert found["OK-VQA"]["status"] == "done"


def test_rows_that_cannot_be_read_fail_their_task_alone(half, tmp_path, capsys):
    file = half / "WebQA" / "test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:200])
    assert run(tmp_path / "runs", "random", tasks="WebQA,OK-VQA,CIRR", data=half) == 4
    found = tasks_of(tmp_path / "runs")
    assert {name: task["status"] for name, task in found.items()} == {
        "WebQA": "failed",
        "OK-VQA": "done",
        "CIRR": "failed",
    }
    assert found["WebQA"]["error"]["message"].startswith(f"DATA/WebQA/{file.name} is not a whole parquet file")
    assert found["CIRR"]["error"] == {
        "type": "DataError",
        "message": "no file DATA/CIRR/test-*.parquet or DATA/mmeb/CIRR/test-*.parquet "
        "(put the rows there, or name another folder with --data)",
    }


def test_the_terminal_names_the_whole_path(half, tmp_path, capsys):
    args = ["--model", "random", "--tasks", "CIRR,WebQA", "--data", half, "--out", tmp_path / "runs"]
    assert command("run", *args) == 4
    assert f"- CIRR: no file {half / 'CIRR'}/test-*.parquet" in capsys.readouterr().err
    assert "DATA/CIRR/test-*.parquet" in tasks_of(tmp_path / "runs")["CIRR"]["error"]["message"]


def test_a_task_that_failed_and_then_does_not(half, tmp_path):
    """The run is failed as long as one of its tasks is, whichever command it failed in."""
    out = tmp_path / "runs"
    image = half / "images" / "WebQA" / "c8.jpg"
    image.rename(tmp_path / "away")
    assert run(out, "random", tasks="WebQA", data=half) == 4
    assert manifest(out)["status"] == "failed"
    assert run(out, "random", tasks="OK-VQA", data=half) == 0
    assert manifest(out)["status"] == "failed"
    (tmp_path / "away").rename(image)
    assert run(out, "random", tasks="WebQA", data=half) == 0
    assert manifest(out)["status"] == "done"
    assert run(tmp_path / "straight", "random", tasks="WebQA,OK-VQA", data=half) == 0
    assert files_of(out) == files_of(tmp_path / "straight")


def test_a_store_that_breaks_ends_the_run_and_leaves_it_valid(tmp_path, capsys):
    breaking = """\
import sqlite3
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random

class Breaking:
    info = EmbedderInfo(name="breaking", dimension=64)

    def __init__(self, store):
        self.store = store

    def encode(self, items, side):
        if any("shape is" in item.prompt or "colour is" in item.prompt for item in items):
            with sqlite3.connect(self.store) as store:
                store.execute("DROP TABLE vectors")
        return Random().encode(items, side)
"""
    (tmp_path / "breaking.py").write_text(breaking)
    out = tmp_path / "runs"
    model = f"{tmp_path / 'breaking.py'}:Breaking?store={out / 'vectors.sqlite'}"
    assert run(out, model, "constant") == 4
    assert "no such table" in capsys.readouterr().err
    assert manifest(out)["status"] == "failed"
    assert list(tasks_of(out)) == [SHAPES], "what was done before"
    assert tasks_of(out)[SHAPES]["status"] == "done"
    assert run(out, "random", more=["--store", tmp_path / "other.sqlite"]) == 0


def test_a_store_that_is_none_is_left_alone(tmp_path, capsys):
    store = tmp_path / "notes.txt"
    store.write_text("not a store, " * 100)
    assert run(tmp_path / "runs", "constant", more=["--store", store]) == 4
    assert str(store) in capsys.readouterr().err
    assert store.read_text().startswith("not a store")
    assert not list(tmp_path.glob("runs/*/*/run.json"))


def test_a_runs_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "constant").write_text("a file where a folder should be")
    assert run(tmp_path, "constant") == 4
    assert f"{tmp_path / 'constant'}" in capsys.readouterr().err


def test_a_run_that_is_none_is_left_alone(tmp_path, capsys):
    assert run(tmp_path, "constant", tasks=SEARCH) == 0
    (file,) = tmp_path.glob("*/*/run.json")
    file.write_text('{"mine": true}')
    assert run(tmp_path, "constant", tasks=SEARCH) == 4
    assert f"{file} is not a run of schema version 1" in capsys.readouterr().err
    assert file.read_text() == '{"mine": true}'


def test_a_model_that_is_none_leaves_no_files(tmp_path):
    assert run(tmp_path / "runs", "clip:nowhere", tasks=SEARCH) == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("place", ["import", "encode"])
def test_an_embedder_that_exits_does_not_end_the_command(place, tmp_path, capsys):
    """As a script does that is taken for a module; its 0 would say that all went well."""
    ends = {"import": "sys.exit(0)", "encode": ""}[place]
    (tmp_path / "ends.py").write_text(
        f"""
import sys
from evalkit.embedders.base import EmbedderInfo
{ends}
class Ends:
    info = EmbedderInfo(name="ends", dimension=2)
    def encode(self, items, side):
        sys.exit(0)
"""
    )
    assert run(tmp_path / "runs", f"{tmp_path / 'ends.py'}:Ends", "constant", tasks=SEARCH) == 4
    assert "SystemExit: 0" in "".join(capsys.readouterr())
    assert (tmp_path / "runs" / "constant").is_dir(), "the other model ran"


def test_the_samples_of_a_result_that_is_no_more_go(half, tmp_path):
    """They would be read as those of the number that is not there."""
    out = tmp_path / "runs"
    assert run(out, "random", tasks="OK-VQA", data=half) == 0
    assert len(list(out.glob("*/*/samples/OK-VQA.parquet"))) == 1
    next((half / "images" / "OK-VQA").iterdir()).write_bytes(b"broken")
    assert run(out, "random", tasks="OK-VQA", data=half) == 4
    assert not list(out.glob("*/*/samples/OK-VQA.parquet"))


def test_a_broken_image_is_named_with_its_row(half, tmp_path):
    (half / "images" / "OK-VQA" / "q2.png").unlink()
    assert run(tmp_path / "runs", "random", tasks="OK-VQA", data=half) == 4
    message = tasks_of(tmp_path / "runs")["OK-VQA"]["error"]["message"]
    assert message.endswith(", query of DATA/OK-VQA/test-00000-of-00001.parquet, row 2")


BOXER = """
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random

class Boxer(Random):
    def __init__(self):
        super().__init__()
        self.info = EmbedderInfo(name="boxer", dimension=64, regions=frozenset({"box"}))
"""


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([8.0, 1.0, 3.0, 3.0], "box [8.0, 1.0, 11.0, 4.0] lies outside its image of 8 x 6 pixels"),
        ([2.0, 1.0, 0.0, 3.0], "box [2.0, 1.0, 2.0, 4.0] holds no pixel of its image (8 x 6 pixels)"),
    ],
)
def test_a_box_that_is_not_on_its_image_is_named_with_its_row(box, says, tmp_path):
    """To an embedder that takes boxes, and to others, to which it is no more than words in the prompt."""
    name = "SCaR/RefCOCOg"
    columns = golden(name) | {"bbox": [[0.0, 0.0, 9.5, 2.0], box, [1.0, 1.0, 2.0, 2.0]]}
    write(tmp_path / "data", name, columns)
    draw_images(tmp_path / "data", columns)
    (tmp_path / "boxer.py").write_text(BOXER)
    found = []
    ways = [(f"{tmp_path / 'boxer.py'}:Boxer", "native"), *(("random", mode) for mode in ("text", "none", "crop"))]
    for model, mode in ways:
        out, more = tmp_path / mode, ["--prompting", mode]
        assert run(out, model, tasks=name, data=tmp_path / "data", more=more) == 4
        error = tasks_of(out)[name]["error"]
        assert error["type"] == "RegionError"
        assert error["message"].startswith(says)
        assert error["message"].endswith(", query of DATA/SCaR_eval_RefCOCOg.parquet, row 1")
        found.append(error)
        (timing,) = out.glob("*/*/timing.json")
        assert json.loads(timing.read_text())["tasks"][name]["embedded"] == 0  # it was found out before
        # With the option that the message names there is a number, and it says what was done.
        kept = tmp_path / f"{mode}-kept"
        assert run(kept, model, tasks=name, data=tmp_path / "data", more=[*more, "--bad-regions", "keep"]) == 0
        task = tasks_of(kept)[name]
        assert any(warning.startswith("1 of 3 regions hold no pixel of their image") for warning in task["warnings"])
        assert "|regions:bad kept|" in task["signature"]
    assert found == [found[0]] * 4


def test_a_mask_and_a_candidate_are_found_in_their_rows(tmp_path):
    task = load(EXAMPLE, SHAPES)
    mask = Mask(ImageFile(tmp_path, "mask.png"))
    queries = [replace(item, region=mask if row == 5 else None) for row, item in enumerate(task.queries)]
    task = replace(task, queries=queries, where="here, row {}".format)
    assert row_of(task, ImageError("", mask.image)) == "query of here, row 5"
    assert row_of(task, ImageError("", replace(mask.image, upright=False))) is None
    assert row_of(task, ImageError("")) is None
    candidate = task.candidates[task.pools[0][1]]
    assert row_of(task, RegionError("", replace(candidate))) == "candidate of here, row 0"
    assert row_of(task, RegionError("", replace(candidate, text="another"))) is None


FULL_DISK = """
import resource, sys
from evalkit.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
main(sys.argv[1:])
"""


@pytest.mark.slow(0.6)
def test_a_full_disk_says_so(tmp_path):
    arguments = ["run", "--model", "random?dimension=1024", "--tasks", SHAPES, "--data", str(EXAMPLE)]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *arguments, "--out", str(tmp_path / "runs"), "--quiet"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    assert "Is the disk full? Make room and run again" in done.stderr
    assert "Traceback" not in done.stderr


def test_strangers_words_do_not_steer_the_terminal(half, tmp_path, capsys):
    name = "OK-VQA/\x1b]0;title\x07\x1b[31mred.jpg"
    columns = rows_of("OK-VQA")
    columns["qry_img_path"][0] = name
    write(half, "OK-VQA", columns)
    assert run(tmp_path / "runs", "random", tasks="OK-VQA", data=half, more=[]) == 4
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "red.jpg" in shown


def test_a_model_that_cannot_be_loaded_leaves_the_others(faulty, tmp_path, capsys):
    file = faulty.partition(":")[0]
    assert run(tmp_path, f"{file}:Nothing", f"{faulty}", "constant", tasks=SEARCH) == 4
    errors = capsys.readouterr().err
    assert "has no class 'Nothing'; it has Faulty" in errors
    assert "missing 1 required positional argument: 'fault'" in errors
    assert tasks_of(tmp_path)[SEARCH]["status"] == "done"
    assert run(tmp_path / "usage", f"{file}:Nothing", "constant", tasks=SEARCH) == 2


def test_another_packages_suite_that_fails_fails_its_task_alone(tmp_path, monkeypatch):
    source = """\
from evalkit.suites.card import read_cards

class Odd:
    name = "odd"

    def cards(self):
        card = read_cards("evalkit.tasks", "mmeb")[0]
        return [card.model_copy(update={"name": "odd/One", "suite": "odd"})]

    def load(self, card, folder, options):
        return {}["nothing"]

SUITE = Odd()
"""
    with site_packages(tmp_path / "site", monkeypatch) as site:
        install(site, "odd", "[evalkit.suites]\nodd = odd_suite:SUITE\n", odd_suite=source)
        assert run(tmp_path / "runs", "constant", tasks=f"odd,{SEARCH}") == 4
    assert [task["status"] for task in manifest(tmp_path / "runs")["tasks"]] == ["done", "failed"]
    assert (
        "odd/One cannot be loaded: KeyError: 'nothing'" in manifest(tmp_path / "runs")["tasks"][1]["error"]["message"]
    )


# --- what is not recorded ----------------------------------------------------------------------------


def test_no_place_machine_or_person_is_recorded(half, faulty, tmp_path, monkeypatch):
    """Not in a number's record, and not in an error's either."""
    monkeypatch.setenv("SECRET_OF_A_TEST", "hunter2-of-a-test")
    (half / "images" / "OK-VQA" / "q1.png").unlink()
    out = tmp_path / "runs"
    for model, tasks, data in (
        ("random", "WebQA,OK-VQA,CIRR", half),
        (f"{faulty}?fault=value", "example", EXAMPLE),
        (f"precomputed:{tmp_path / 'vectors'}", "WebQA", half),
    ):
        if model.startswith("precomputed"):
            write_vectors(tmp_path / "vectors")
        run(out, model, tasks=tasks, data=data)
    texts = {}
    for file in (file for file in out.glob("*/*/**/*") if file.is_file()):
        text = file.read_bytes().decode("utf-8", errors="replace")
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            text += repr(table.to_pylist()) + repr(table.schema.metadata)
        texts[file] = text
    assert sum(file.name == "run.json" for file in texts) == 3
    assert any("CIRR" in text and "failed" in text for text in texts.values())
    places = {str(tmp_path), str(Path(faulty).parent), str(Path.cwd()), str(Path.home()), str(EXAMPLE), "/home/someone"}
    for file, text in texts.items():
        for place in (*places, "hunter2-of-a-test"):
            assert place not in text, file
        for word in (socket.gethostname(), getpass.getuser()):
            assert not re.search(rf"\b{re.escape(word)}\b", text), file


def write_vectors(folder: Path) -> None:
    import numpy as np

    folder.mkdir()
    np.savez(folder / "a.npz", ids=np.array(["1"]), vectors=np.float32([[1, 0]]))
    (folder / "a.jsonl").write_text('{"id": "1", "prompt": "nothing"}\n')


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no file {data}/a b/x.parquet or {data}/y", "no file DATA/a b/x.parquet or DATA/y"),
        ("image {images}/a.png is missing", "image IMAGES/a.png is missing"),
        ("'{images}/a.png'", "'IMAGES/a.png'"),
        ("see ({data}/a)", "see (DATA/a)"),
        ("{data}er/a", "…/a"),
        ("open('/opt/models/x/weights.bin') failed", "open('…/weights.bin') failed"),
        ("/opt/models/x: no such folder", "…/x: no such folder"),
        ("{home}/my models/x.bin", "~/my models/x.bin"),
        ("row 3 of a/b/c.parquet, 1/2 of it", "row 3 of a/b/c.parquet, 1/2 of it"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("and/or", "and/or"),
    ],
)
def test_places_in_messages(message, expected, tmp_path, monkeypatch):
    data = tmp_path / "data of mine"
    (data / "images").mkdir(parents=True)
    folder = DataFolder.at(data)
    text = message.format(data=data, images=data / "images", home=Path.home())
    if "data of mineer" in text:
        text = text.replace("data of mineer", "data-of-mine-er").replace(str(tmp_path), "/x/y")
    assert without_places(text, folder) == expected
    monkeypatch.chdir(data)
    relative = DataFolder.at(Path("../data of mine"))
    assert without_places("no file ../data of mine/x", relative) == "no file DATA/x"
    assert without_places(f"no file {data}/x", relative) == "no file DATA/x"
    assert without_places("no file x", DataFolder.at(Path())) == "no file x"


# --- failures that nobody foresaw ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [RuntimeError("Error in faiss: 'k <= ntotal' failed"), MemoryError(), OSError(5, "x")]
)
def test_what_a_library_raises_is_the_task_s_failure(error, tmp_path, monkeypatch, capsys):
    """FAISS raises RuntimeError from C++; here it cannot be made to, so its search is replaced by one that does."""
    import faiss

    real = faiss.IndexFlatIP.search

    def search(index, queries, k, **options):
        if index.ntotal == 32:  # the pool of Shapes
            raise error
        return real(index, queries, k, **options)

    monkeypatch.setattr(faiss.IndexFlatIP, "search", search)
    assert run(tmp_path, "random") == 4
    found = tasks_of(tmp_path)
    assert {name: task["status"] for name, task in found.items()} == {
        SHAPES: "failed", ASKED: "done", SEARCH: "done", REGIONS: "done",
    }  # fmt: skip
    said = found[SHAPES]["error"]
    assert said["type"] == "TaskError"
    assert f"{SHAPES} cannot be evaluated: {type(error).__name__}" in said["message"]
    assert "test_evaluate.py" in said["message"], "where it was raised"
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr(faiss.IndexFlatIP, "search", real)
    assert run(tmp_path, "random") == 0
    assert manifest(tmp_path)["status"] == "done"


def test_reused_vectors_and_warnings_are_printed_with_every_task(tmp_path, capsys):
    words = ["run", "--model", "random", "--tasks", f"{SHAPES},{SEARCH}", "--data", EXAMPLE, "--out", tmp_path]
    assert command(*words, "--limit", "10") == 0
    capsys.readouterr()
    assert command(*words, "--limit", "20") == 0
    said = capsys.readouterr()
    # Queries and candidates: 20 + 32 of Shapes; 10 of them and all candidates were there.
    assert "42 of 52 vectors reused" in said.err
    assert re.search(rf"^{SHAPES} .* 20 +42 of 52 ", said.out, re.MULTILINE)
    assert f"{SHAPES}: note: 20 of 64 queries: no part of any average" in said.out


def test_a_store_in_a_stranger_s_runs_folder_leads_nowhere_else(tmp_path, capsys):
    (tmp_path / "empty").write_bytes(b"")  # which SQLite would make a store of
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "vectors.sqlite").symlink_to(tmp_path / "empty")
    assert run(tmp_path / "runs", "random", tasks=SHAPES) == 4
    assert "vectors.sqlite is a link" in capsys.readouterr().err
    assert (tmp_path / "empty").read_bytes() == b""
    assert run(tmp_path / "runs", "random", tasks=SHAPES, more=["--store", tmp_path / "runs" / "vectors.sqlite"]) == 0

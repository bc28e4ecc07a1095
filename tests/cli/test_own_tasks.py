"""Own tasks from the command line: written, looked at, run, gone on with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, command, files_of, manifest, tasks_of
from ownfolders import Row, as_parquet, draw, write_folder, write_lines

from evalkit.embedders.baselines import Random
from evalkit.example.palette import PALETTE
from evalkit.items import Item
from evalkit.items.images import ImageFile

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text(encoding="utf-8"))


def lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def own_run(out: Path, *tasks: Path | str, model: str = "random", more: tuple[str | Path, ...] = ()) -> int:
    named = [part for task in tasks for part in ("--tasks", str(task))]
    return command("run", "--model", model, *named, "--out", out, "--quiet", *more)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The task that ``evalkit new`` writes."""
    assert command("new", "task", tmp_path / "my-task") == 0
    return tmp_path / "my-task"


# --- what a number is, by an oracle that reads the files itself --------------------------------------

Vectors = tuple[np.ndarray, np.ndarray]


def drawn(folder: Path) -> Vectors:
    """Of ``random``, of items that are put together here; a box is words in the prompt."""

    def item(row: Row, instruction: str) -> Item:
        image = ImageFile(folder, row["image"], upright="box" not in row) if "image" in row else None
        words = ["<image>"] * ("image" in row) + [instruction] * bool(instruction) + [row["text"]]
        named = f"\nReferring object bbox: {row['box']}" if "box" in row else ""
        return Item(" ".join(words) + named, row["text"], instruction, image)

    queries = [item(row, "Find the words that fit.") for row in lines(folder / "queries.jsonl")]
    candidates = [item(row, "") for row in lines(folder / "candidates.jsonl")]
    return Random().encode(queries, "query"), Random().encode(candidates, "candidate")


def coloured(folder: Path) -> Vectors:
    """Which of the eight colours a picture, or its box, has most of; texts by the colours that they name."""

    def counted(row: Row) -> np.ndarray:
        if "image" not in row:
            return np.array([row["text"].split().count(colour) for colour in PALETTE], dtype=float)
        picture = PIL.Image.open(folder / row["image"]).convert("RGB")
        seen = picture.crop(tuple(row["box"])) if "box" in row else picture
        counts = {colour: count for count, colour in seen.getcolors() or ()}
        return np.array([counts.get(colour, 0) for colour in PALETTE.values()], dtype=float)

    found = [np.array([counted(row) for row in lines(folder / f"{name}.jsonl")]) for name in ("queries", "candidates")]
    queries, candidates = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in found)
    return queries, candidates


@pytest.mark.parametrize(("model", "vectors_of"), [("random", drawn), ("example-colours", coloured)])
def test_the_written_task_runs_and_its_number_is_right(
    model: str, vectors_of: Callable[[Path], Vectors], task: Path, tmp_path: Path
) -> None:
    assert own_run(tmp_path / "runs", task, model=model) == 0
    queries, candidates = vectors_of(task)
    ids = [row["id"] for row in lines(task / "candidates.jsonl")]
    labels = [row["label"] for row in lines(task / "queries.jsonl")]
    first = [ids[place] for place in (queries @ candidates.T).argmax(axis=1)]
    expected = float(np.mean([one == label for one, label in zip(first, labels, strict=True)]))
    result = tasks_of(tmp_path / "runs")["my-task"]
    assert result["metrics"]["precision_at_1"]["value"] == pytest.approx(expected)
    assert result["metrics"]["precision_at_1"]["chance"] == pytest.approx(1 / 9)
    assert (expected == 1) == (model == "example-colours")
    (file,) = (tmp_path / "runs").glob("*/*/samples/my-task.parquet")
    samples = pq.read_table(file).to_pylist()
    assert [row["id"] for row in samples] == [row["id"] for row in lines(task / "queries.jsonl")]


def test_the_record(task, tmp_path):
    """The card goes with the run, as nobody else has it; the task is part of no average."""
    assert own_run(tmp_path / "runs", task) == 0
    record = manifest(tmp_path / "runs")
    jsonschema.validate(record, SCHEMA)
    (result,) = record["tasks"]
    assert (result["task"], result["suite"], result["status"], result["complete"]) == ("my-task", "own", "done", True)
    assert record["own_tasks"]["my-task"]["title"] == "Which words fit the picture, or what its box shows"
    assert record["averages"] == []
    assert str(tmp_path) not in json.dumps(record)


def test_the_next_step_is_what_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("my-task", "a b/c", str(tmp_path / "there")):
        assert command("new", "task", folder) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith(f"written to {folder}: the task ")
        step = said[1].removeprefix("next: evalkit ")
        assert command(*shlex.split(step), "--quiet") == 0
        assert "written to runs/random/" in capsys.readouterr().out


def test_new_refuses_what_is_there(task, capsys):
    capsys.readouterr()
    before = {file: file.read_bytes() for file in task.rglob("*") if file.is_file()}
    assert command("new", "task", task) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"evalkit: {task} is not empty, it has README.md")
    assert {file: file.read_bytes() for file in task.rglob("*") if file.is_file()} == before


def test_new_task_has_help_with_an_example(capsys):
    assert command("new", "task", "--help") == 0
    assert "  evalkit new task my-task\n    evalkit run " in capsys.readouterr().out


def test_tasks_shows_its_card(task, capsys):
    capsys.readouterr()
    assert command("tasks", task, "--json") == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["name"], card["suite"], card["queries"], card["pool"]) == ("my-task", "own", 9, "shared")
    assert command("tasks", task) == 0
    assert "query_instruction      Find the words that fit." in capsys.readouterr().out
    assert command("tasks", task, "example") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-2].split()[:2] == ["my-task", "own"]
    assert table[-1] == "5 tasks"


# --- the same rows, the same numbers -----------------------------------------------------------------


def signature(out: Path, task: Path, *more: str) -> str:
    assert own_run(out, task, more=tuple(more)) == 0
    (result,) = tasks_of(out).values()
    assert result["status"] == "done"
    return str(result["signature"])


def test_lines_and_parquet_have_one_signature(task, tmp_path):
    """Paths in either form, and images that are held in the rows."""
    plain = signature(tmp_path / "plain", task)
    queries, candidates = (lines(task / f"{name}.jsonl") for name in ("queries", "candidates"))
    as_parquet(task / "queries.parquet", queries)
    as_parquet(task / "candidates.parquet", candidates)
    assert signature(tmp_path / "parquet", task) == plain
    held = [row | {"image": {"bytes": (task / row["image"]).read_bytes(), "path": row["image"]}} for row in queries]
    as_parquet(task / "queries.parquet", held)
    for file in (task / "images").iterdir():
        file.unlink()
    assert signature(tmp_path / "held", task) == plain
    ran = [tasks_of(tmp_path / name)["my-task"]["metrics"] for name in ("plain", "parquet", "held")]
    assert ran[0] == ran[1] == ran[2]


def test_the_order_of_lines_changes_nothing(task, tmp_path):
    plain = signature(tmp_path / "plain", task)
    for name in ("queries", "candidates"):
        write_lines(task / f"{name}.jsonl", lines(task / f"{name}.jsonl")[::-1])
    assert signature(tmp_path / "other", task) == plain
    one, other = (tasks_of(tmp_path / name)["my-task"]["metrics"] for name in ("plain", "other"))
    assert one == other


def test_a_picture_that_changes_is_another_task(task, tmp_path):
    plain = signature(tmp_path / "plain", task)
    PIL.Image.new("RGB", (96, 64)).save(task / "images/table.png")
    assert signature(tmp_path / "other", task) != plain


def test_the_same_command_goes_on(task, tmp_path, capsys):
    write_folder(tmp_path / "second")
    assert own_run(tmp_path / "runs", task) == 0
    first = files_of(tmp_path / "runs")
    assert own_run(tmp_path / "runs", task) == 0
    assert files_of(tmp_path / "runs") == first
    capsys.readouterr()
    assert own_run(tmp_path / "runs", f"{task},{tmp_path / 'second'}") == 0
    assert "18 of 18" in capsys.readouterr().out
    assert list(tasks_of(tmp_path / "runs")) == ["mine", "my-task"]
    assert set(manifest(tmp_path / "runs")["own_tasks"]) == {"my-task", "mine"}


# --- choices -----------------------------------------------------------------------------------------


def test_beside_installed_tasks(task, tmp_path, capsys):
    assert own_run(tmp_path / "runs", task, "example/Shapes", more=("--data", EXAMPLE)) == 0
    assert list(tasks_of(tmp_path / "runs")) == ["example/Shapes", "my-task"]
    table = capsys.readouterr().out
    assert "my-task" in table
    assert "example/Shapes" in table


def test_a_baseline_shows_it(task, tmp_path, capsys):
    assert own_run(tmp_path / "runs", task) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("my-task "))
    assert command("baseline", "accept", tmp_path / "runs", "--reason", "r", "--out", tmp_path / "b") == 0
    assert command("baseline", "show", tmp_path / "b") == 0
    (shown,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("my-task "))
    assert shown.split()[:5] == row.split()[:5]


def test_a_limit_makes_it_partial(task, tmp_path):
    assert own_run(tmp_path / "runs", task, more=("--limit", "4")) == 0
    result = tasks_of(tmp_path / "runs")["my-task"]
    assert (result["n_queries"], result["complete"]) == (4, False)
    assert result["n_candidates"] == 9


def test_regions_reach_a_model_as_it_is_told(task, tmp_path):
    found = {}
    for mode in ("text", "crop", "none"):
        assert own_run(tmp_path / mode, task, more=("--prompting", mode)) == 0
        result = tasks_of(tmp_path / mode)["my-task"]
        assert result["prompting"] == mode
        found[mode] = result["signature"].split("|prompts:")[1].split("|")[0]
    assert found["text"] == found["crop"] != found["none"], "the sentence that names the box stays in a crop"


def test_the_orientation_of_a_camera(tmp_path):
    """An image alone is turned as its camera recorded, unless that is to be ignored; one with a region never is."""
    image = PIL.Image.new("RGB", (8, 4), PALETTE["red"])
    image.paste(PALETTE["blue"], (4, 0, 8, 4))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    folder = write_folder(
        tmp_path / "task",
        [{"id": "1", "image": "a.jpg", "label": "c"}, {"id": "2", "image": "a.jpg", "box": [0, 0, 4, 4], "label": "c"}],
    )
    image.save(folder / "a.jpg", exif=exif)
    signatures = {mode: signature(tmp_path / mode, folder, "--exif", mode) for mode in ("apply", "ignore")}
    assert signatures["apply"].replace("exif:apply", "exif:ignore") == signatures["ignore"]
    (tmp_path / "model.py").write_text(LOOKING)
    for mode, sizes in (("apply", [(4, 8), (8, 4)]), ("ignore", [(8, 4), (8, 4)])):
        model = f"{tmp_path / 'model.py'}:Looking?log={tmp_path / mode}.log"
        assert own_run(tmp_path / f"{mode}-seen", folder, model=model, more=("--exif", mode)) == 0
        seen = sorted(size for size in map(tuple, lines(tmp_path / f"{mode}.log")) if size != (96, 64))  # of the probe
        assert seen == sorted(sizes)


LOOKING = """\
import json
import numpy as np
from evalkit.embedders.base import EmbedderInfo

class Looking:
    def __init__(self, log):
        self.log = log
        self.info = EmbedderInfo(name="looking", dimension=2, regions=frozenset({"box"}))

    def encode(self, items, side):
        with open(self.log, "a") as file:
            for item in items:
                if item.image is not None:
                    file.write(json.dumps(item.image.rgb().size) + "\\n")
        return np.tile(np.array([1, 0], dtype=np.float32), (len(items), 1))
"""


def test_bad_regions_fail_or_are_kept(tmp_path, capsys):
    folder = write_folder(tmp_path / "task", [{"id": "1", "image": "a.png", "box": [50, 50, 60, 60], "label": "c"}])
    draw(folder / "a.png")
    assert own_run(tmp_path / "refused", folder) == 4
    assert "/queries.jsonl, line 1" in capsys.readouterr().out
    assert own_run(tmp_path / "kept", folder, more=("--bad-regions", "keep")) == 0
    assert "1 of 1 regions hold no pixel" in capsys.readouterr().out


# --- bad input ---------------------------------------------------------------------------------------

LOADED = """\
from pathlib import Path

class Loaded:
    def __init__(self):
        Path(__file__).with_suffix(".loaded").touch()
"""


def bad_line(folder: Path) -> None:
    write_lines(folder / "queries.jsonl", [{"id": "1", "text": "x", "label": "nobody"}])


def missing_image(folder: Path) -> None:
    (folder / "images/table.png").unlink()


def contradiction(folder: Path) -> None:
    (folder / "card.toml").write_text('name = "my-task"\ntitle = "t"\nqueries = 8\n')


def no_metric(folder: Path) -> None:
    (folder / "card.toml").write_text('name = "my-task"\ntitle = "t"\nmetrics = ["precision_at_1", "ndcg"]\n')


def name_of_another(folder: Path) -> None:
    (folder / "card.toml").write_text('name = "VOC2007"\ntitle = "t"\n')


def no_card(folder: Path) -> None:
    (folder / "card.toml").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bad_line, "queries.jsonl, line 1: label 'nobody' is not in its pool of 9"),
        (missing_image, "queries.jsonl, line 1: image 'images/table.png' is missing"),
        (contradiction, "card.toml: queries is 8, and its rows say 9"),
        (no_metric, "'ndcg'"),
        (name_of_another, "is called 'VOC2007', and so is a task of mmeb"),
        (no_card, "it has no card.toml (it has README.md, candidates.jsonl, images/, queries.jsonl)"),
    ],
)
def test_bad_input_exits_with_2_before_a_model_is_loaded(spoil, says, task, tmp_path, capsys):
    (tmp_path / "model.py").write_text(LOADED)
    spoil(task)
    capsys.readouterr()
    assert own_run(tmp_path / "runs", task, model=f"{tmp_path / 'model.py'}:Loaded") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.py", "my-task"]


def test_data_is_asked_for_where_it_is_needed(task, tmp_path, capsys):
    assert own_run(tmp_path / "runs", task, "example/Shapes") == 2
    assert "--data is missing: example/Shapes is read from a data folder" in capsys.readouterr().err
    assert own_run(tmp_path / "runs", task, more=("--images", tmp_path)) == 2
    assert "the images of your own tasks are in their folders" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_links_that_lead_out(task, tmp_path, capsys):
    (task / "images").rename(tmp_path / "elsewhere")
    (task / "images").symlink_to(tmp_path / "elsewhere")
    assert own_run(tmp_path / "runs", task) == 2
    assert "link that leads out" in capsys.readouterr().err
    assert own_run(tmp_path / "runs", task, more=("--follow-links",)) == 0


def test_a_broken_image_fails_its_task_alone(task, tmp_path, capsys):
    (task / "images/table.png").write_bytes(b"no picture")
    write_folder(tmp_path / "second")
    assert own_run(tmp_path / "runs", task, tmp_path / "second") == 4
    found: dict[str, Any] = tasks_of(tmp_path / "runs")
    assert (found["my-task"]["status"], found["mine"]["status"]) == ("failed", "done")
    assert "query of …/queries.jsonl, line" in found["my-task"]["error"]["message"]
    assert str(tmp_path) not in found["my-task"]["error"]["message"]

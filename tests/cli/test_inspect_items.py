"""What has to be embedded, listed, embedded by something else, and scored as the model itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from builders import EXAMPLE, command, draw_images, golden, run, tasks_of, write
from PIL import Image

NAMES = ("example/Shapes", "example/ShapeColours", "example/ShapeSearch", "example/ShapeRegions")
MODEL = "example-colours"


def items(*args: str | Path, data: Path = EXAMPLE, code: int = 0) -> None:
    assert command("inspect", *args, "--data", data, "--items") == code


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scores(out: Path) -> dict[str, Any]:
    """The metrics of a run, and how regions reached the model."""
    return {name: (task["metrics"], task["status"], task["prompting"]) for name, task in tasks_of(out).items()}


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the model itself gets."""
    out = tmp_path_factory.mktemp("direct")
    assert run(out, MODEL) == 0
    return scores(out)


@pytest.mark.slow(2)
def test_vectors_of_listed_items_score_as_the_model_itself(direct, tmp_path, capsys):
    """inspect --items, embed, and precomputed: of an npz, of a plain array, and of an array in another order."""
    file, images = tmp_path / "npz" / "items.jsonl", EXAMPLE / "images"
    items("example", "--output", file)
    said = capsys.readouterr()
    rows = read(file)
    assert said.out == f"{len(rows)} items written to {file}\n"
    assert f"evalkit embed --images {images}" in said.err
    to = ["--input", file, "--output", file.with_suffix(".npz"), "--images", images, "--quiet"]
    assert command("embed", "--model", MODEL, *to) == 0
    with np.load(file.with_suffix(".npz")) as arrays:
        ids, vectors = arrays["ids"].tolist(), arrays["vectors"]
    assert ids == [row["id"] for row in rows]
    for name, order in (("npy", np.arange(len(ids))), ("mixed", np.random.default_rng(0).permutation(len(ids)))):
        (tmp_path / name).mkdir()
        shutil.copy(file, tmp_path / name)
        np.save(tmp_path / name / "items.npy", vectors[order])
        np.savetxt(tmp_path / name / "items.ids.txt", [ids[row] for row in order], fmt="%s", encoding="utf-8")
    for name in ("npz", "npy", "mixed/items.npy"):  # without ?images: the lines have the digests
        out = tmp_path / "runs" / name
        assert run(out, f"precomputed:{tmp_path / name}?regions=box") == 0
        assert scores(out) == direct


@pytest.mark.slow(1)
def test_without_the_region_or_its_words(tmp_path):
    """Each mode's lines are what a model gets in it, and their vectors are found in a run of that mode."""
    for mode in ("native", "text", "none"):
        folder = tmp_path / mode
        items("example/ShapeRegions", "--output", folder / "items.jsonl", "--prompting", mode)
        queries = [row for row in read(folder / "items.jsonl") if row["side"] == "query"]
        assert all(("box" in row) == (mode == "native") for row in queries)
        assert all(("bbox" in row["prompt"]) == (mode != "none") for row in queries)
        to = ["--input", folder / "items.jsonl", "--output", folder / "items.npz", "--images", EXAMPLE / "images"]
        assert command("embed", "--model", MODEL, *to, "--quiet") == 0
        elsewhere = f"precomputed:{folder}{'?regions=box' if mode == 'native' else ''}"
        for name, model in (("direct", MODEL), ("elsewhere", elsewhere)):
            out = tmp_path / f"{name}-{mode}"
            assert run(out, model, tasks="example/ShapeRegions", more=["--prompting", mode]) == 0
        assert scores(tmp_path / f"elsewhere-{mode}") == scores(tmp_path / f"direct-{mode}")
    assert command("inspect", NAMES[3], "--data", EXAMPLE, "--items", "--prompting", "crop") == 2


def test_each_distinct_item_of_several_tasks_once(tmp_path):
    """Whatever else is listed, in whichever order, however many queries: an item has its one id."""
    alone = {}
    for name in NAMES:
        items(name, "--output", tmp_path / "alone.jsonl")
        for row in read(tmp_path / "alone.jsonl"):
            assert alone.setdefault(row["id"], row) == row
    items(*NAMES[::-1], "--output", tmp_path / "all.jsonl")
    together = {row["id"]: row for row in read(tmp_path / "all.jsonl")}
    assert together == alone
    assert len(together) == len(read(tmp_path / "all.jsonl"))
    contents = [json.dumps({key: value for key, value in row.items() if key != "id"}) for row in together.values()]
    assert len(set(contents)) == len(contents)
    items("example", "--limit", "2", "--output", tmp_path / "few.jsonl")
    few = {row["id"]: row for row in read(tmp_path / "few.jsonl")}
    assert few.items() < together.items()
    sides = {row["id"][0]: row["side"] for row in together.values()}
    assert sides == {"q": "query", "c": "candidate"}


def test_a_changed_image_is_another_item(tmp_path):
    data = Path(shutil.copytree(EXAMPLE, tmp_path / "data"))
    ids = []
    for _ in range(2):
        items("example/Shapes", "--output", tmp_path / "items.jsonl", data=data)
        row = read(tmp_path / "items.jsonl")[0]
        ids.append(row["id"])
        Image.new("RGB", (9, 9), "teal").save(tmp_path / row["image"])
    assert ids[0] != ids[1]


def test_paths_from_the_files_own_folder(tmp_path, monkeypatch, capsys):
    """Where the images lie below it; then neither --images nor anything else has to be said."""
    data = Path(shutil.copytree(EXAMPLE, tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    items("example/Shapes", "--output", "all.jsonl", data=Path("data"))
    assert "--images" not in capsys.readouterr().err
    rows = read(tmp_path / "all.jsonl")
    assert {row["image"].split("/")[:3][-1] for row in rows if "image" in row} == {"Shapes"}
    assert all((tmp_path / row["image"]).is_file() for row in rows if "image" in row)
    assert command("embed", "--model", MODEL, "--input", "all.jsonl", "--output", "all.npz", "--quiet") == 0
    # A link on the way leads out of the file's folder, and embed would refuse it.
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "images").symlink_to(data / "images")
    items("example/Shapes", "--images", "linked/images", "--output", "linked/all.jsonl", data=data)
    assert "evalkit embed --images linked/images" in capsys.readouterr().err
    assert {row["image"].split("/")[0] for row in read(tmp_path / "linked/all.jsonl") if "image" in row} == {"Shapes"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_copies_of_images_that_the_rows_hold(elsewhere, tmp_path, capsys):
    """Held in cells or as files: with --copy-images they are files of their own names, which embed reads."""
    columns = golden("RefCOCO-Matching")
    draw_images(tmp_path / "data", columns)
    write(tmp_path / "data", "RefCOCO-Matching", columns)
    held = tmp_path / "held"
    cells = {}
    for name in ("qry_img_path", "tgt_img_path"):
        as_cell = lambda path: {"bytes": (tmp_path / "data/images" / path).read_bytes(), "path": path}  # noqa: E731
        cells[name] = [as_cell(v) if isinstance(v, str) else [as_cell(path) for path in v] for v in columns[name]]
    write(held, "RefCOCO-Matching", pa.table(columns | cells))
    place = tmp_path / ("elsewhere" if elsewhere else "vectors") / "images"
    listed = []
    for data in (tmp_path / "data", held):
        file = tmp_path / "vectors" / "items.jsonl"
        items("RefCOCO-Matching", "--output", file, "--copy-images", place, data=data)
        listed.append(read(file))
    assert listed[0] == listed[1]
    said = capsys.readouterr().err
    assert ("--images" in said, "image_sha256" in said) == (elsewhere, False)
    root = place if elsewhere else file.parent
    for row in listed[0]:
        assert (root / row["image"]).stem == row["image_sha256"]
        assert (root / row["image"]).is_file()
    assert len(list(place.iterdir())) == len({row["image"] for row in listed[0]})
    images = ["--images", place] if elsewhere else []
    to = ["--input", file, "--output", file.with_suffix(".npz"), "--quiet", *images]
    assert command("embed", "--model", "random", *to) == 0
    for name, model in (("random", "random"), ("elsewhere", f"precomputed:{file.parent}")):
        assert run(tmp_path / name, model, tasks="RefCOCO-Matching", data=held) == 0
    assert scores(tmp_path / "elsewhere") == scores(tmp_path / "random")


@pytest.mark.slow(1)
def test_items_of_an_own_task(tmp_path, monkeypatch, capsys):
    """Beside an installed one, whose images lie elsewhere; and alone, with a file in its folder."""
    monkeypatch.chdir(tmp_path)
    assert command("new", "task", "my-task") == 0
    assert command("inspect", "./my-task", "--items", "--output", "my-task/items.jsonl") == 0
    assert "--images" not in capsys.readouterr().err
    alone = read(Path("my-task/items.jsonl"))
    assert {row["image"].split("/")[0] for row in alone if "image" in row} == {"images"}
    items("./my-task", "example/Shapes", "--output", "v/items.jsonl")
    assert f"evalkit embed --images {EXAMPLE / 'images'} --images my-task" in capsys.readouterr().err
    together = {row["id"] for row in read(Path("v/items.jsonl"))}
    assert {row["id"] for row in alone} < together
    to = ["--input", "v/items.jsonl", "--output", "v/items.npz", "--images", EXAMPLE / "images", "--images", "my-task"]
    assert command("embed", "--model", "random", *to, "--quiet") == 0
    for out, model in (("one", "random"), ("two", "precomputed:v")):
        more = ["--out", out, "--prompting", "text", "--quiet"]
        assert command("run", "--model", model, "--tasks", "./my-task", *more) == 0
    one, two = tasks_of(Path("one")), tasks_of(Path("two"))
    assert {name: task["n_queries"] for name, task in two.items()} == {"my-task": 9}
    assert [task["status"] for task in (*one.values(), *two.values())] == ["done", "done"]
    assert command("inspect", "./my-task", "--json") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {row["query"]["image"].split("/")[0] for row in shown if "image" in row["query"]} == {"images"}
    assert command("inspect", "example", "--items") == 2
    assert "--data is missing" in capsys.readouterr().err


def test_images_that_are_not_there(tmp_path, capsys):
    """Their lines stand without a digest, and it is said; they cannot be copied."""
    columns = golden("OK-VQA")
    write(tmp_path, "OK-VQA", columns)
    draw_images(tmp_path, {"qry_img_path": columns["qry_img_path"][1:]})
    items("OK-VQA", "--output", tmp_path / "items.jsonl", data=tmp_path)
    assert "warning: 1 images are not there or cannot be read" in capsys.readouterr().err
    lacking = [row for row in read(tmp_path / "items.jsonl") if "image" in row and "image_sha256" not in row]
    assert [row["image"] for row in lacking] == [f"images/{columns['qry_img_path'][0]}"]
    items("OK-VQA", "--copy-images", tmp_path / "copies", data=tmp_path, code=4)
    said = capsys.readouterr()
    assert said.out == ""
    assert "is missing" in said.err
    assert "row 0" in said.err


@pytest.mark.parametrize("path", ["/etc/passwd.png", "../up.png", "C:/a.png"])
def test_no_path_leads_anywhere_else(path, tmp_path, capsys):
    columns = golden("OK-VQA")
    draw_images(tmp_path, columns)
    columns["qry_img_path"][1] = path
    write(tmp_path, "OK-VQA", columns)
    (tmp_path / "items.jsonl").write_text("as it was")
    items("OK-VQA", "--output", tmp_path / "items.jsonl", data=tmp_path, code=4)
    said = capsys.readouterr().err
    assert f"image path {path!r}" in said
    assert "refused" in said
    assert "row 1" in said
    assert (tmp_path / "items.jsonl").read_text() == "as it was"


def test_nothing_is_copied_through_a_link(tmp_path, capsys):
    (tmp_path / "copies").mkdir()
    items("example/Shapes", "--output", tmp_path / "items.jsonl", "--copy-images", tmp_path / "copies")
    name = Path(next(row["image"] for row in read(tmp_path / "items.jsonl") if "image" in row)).name
    (tmp_path / "copies" / name).unlink()
    (tmp_path / "copies" / name).symlink_to(tmp_path / "target.png")
    items("example/Shapes", "--copy-images", tmp_path / "copies", code=4)
    assert "is a link, and nothing is written through one" in capsys.readouterr().err
    assert not (tmp_path / "target.png").exists()


def test_the_other_ways_to_show_a_task_in_a_file(tmp_path, capsys):
    for more in (["--json"], []):
        assert command("inspect", NAMES[0], "--data", EXAMPLE, *more) == 0
        shown = capsys.readouterr().out
        assert command("inspect", NAMES[0], "--data", EXAMPLE, *more, "--output", tmp_path / "shown") == 0
        assert capsys.readouterr().out == ""
        assert (tmp_path / "shown").read_text(encoding="utf-8") == shown


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["example/Shapes", "--items", "--json"], "--json and --items are two things to print"),
        (["example/Shapes", "--prompting", "none"], "--prompting goes with --items"),
        (["example/Shapes", "--json", "--copy-images", "x"], "--copy-images goes with --items"),
        (["example"], "'example' chooses 4 tasks; inspect shows one (--items lists several)"),
        (["example/Shapes", "nothing", "--items"], "no task, group or suite is called 'nothing'"),
    ],
)
def test_bad_usage(more, says, capsys):
    assert command("inspect", *more, "--data", EXAMPLE) == 2
    assert says in capsys.readouterr().err


def test_another_image_than_was_listed_is_not_embedded(tmp_path, capsys):
    """Vectors are found by the SHA-256 of the line, so those of another image would be taken for its."""
    for name, colour in (("a", "red"), ("b", "blue")):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        Image.new("RGB", (8, 8), colour).save(folder / "images" / "x.png")
        (folder / "card.toml").write_text(f'name = "own-{name}"\ntitle = "t"\n', encoding="utf-8")
        row = {"id": "q", "image": "images/x.png", "candidates": ["red", "blue"], "label": colour}
        (folder / "queries.jsonl").write_text(json.dumps(row), encoding="utf-8")
    file = tmp_path / "out" / "items.jsonl"
    assert command("inspect", tmp_path / "b", "--items", "--output", file) == 0
    to = ["embed", "--model", MODEL, "--input", file, "--output", file.with_suffix(".npz"), "--quiet"]
    assert command(*to, "--images", tmp_path / "a") == 4
    said = capsys.readouterr().err
    assert f"{file}, line 1: image 'images/x.png' is another one than was listed" in said
    assert not file.with_suffix(".npz").exists()
    assert command(*to, "--images", tmp_path / "b") == 0

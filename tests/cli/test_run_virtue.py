"""VIRTUE from rows on disk to results: SCaR with boxes as an input, MMEB without, and what goes wrong on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from builders import Columns, command, draw_images, golden, load, run, tasks_of, write

from evalkit.embedders.virtue.embedder import Virtue
from evalkit.items.images import ImageFile
from evalkit.items.prompting import prompted

SETS = ("SCaR/RefCOCO_plus", "SCaR/RefCOCOg", "SCaR/VisualGenome", "SCaR/COCO_Stuff", "SCaR/ADE20K")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white", "brown", "pink")
BOXES = ((5, 5, 30, 25), (40, 10, 35, 40), (10, 40, 20, 18))  # x, y, width, height


def scenes(folder: Path, name: str, seed: int) -> Columns:
    """Two images of three coloured boxes each, and a row for every box; the caption names its colour."""
    random = np.random.default_rng(seed)
    place = f"{name.rsplit('/', 1)[-1].lower()}_val"
    columns: Columns = {key: [] for key in ("qry_text", "qry_image_path", "tgt_text", "bbox", "neg_types")}
    (folder / "images" / place).mkdir(parents=True)
    for number in range(2):
        image = PIL.Image.new("RGB", (90, 70), "grey")
        colours = random.choice(COLOURS, len(BOXES), replace=False).tolist()
        for (x, y, width, height), colour in zip(BOXES, colours, strict=True):
            PIL.ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
        image.save(folder / "images" / place / f"{number}.png")
        for box, colour in zip(BOXES, colours, strict=True):
            others = [other for other in COLOURS if other != colour]
            columns["qry_text"].append("<|image_1|>\nFind the caption that best describes the segmented object.")
            columns["qry_image_path"].append(f"{place}/{number}.png")
            columns["tgt_text"].append([f"a {word} box on grey" for word in (colour, *others)])
            columns["bbox"].append(list(box))
            columns["neg_types"].append(["gt"] + ["object_swap"] * 9)
    return columns


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The five SCaR tasks, six rows each."""
    for seed, name in enumerate(SETS):
        write(tmp_path / "data", name, scenes(tmp_path / "data", name, seed))
    return tmp_path / "data"


@pytest.mark.slow(3)
def test_the_five_scar_tasks(data: Path, virtue_folder: Path, tmp_path: Path) -> None:
    models = (f"virtue:{virtue_folder}", f"virtue:{virtue_folder}?frame=sam", f"vlm2vec:{virtue_folder}")
    for place, model in enumerate(models):
        out = tmp_path / f"runs{place}"
        assert run(out, model, tasks="scar", data=data) == 0
        found = tasks_of(out)
        assert set(found) == set(SETS)
        native = model.startswith("virtue")
        for task in found.values():
            assert (task["status"], task["n_queries"], task["n_candidates"]) == ("done", 6, 10)
            assert task["prompting"] == ("native" if native else "text")
            assert 0 <= task["metrics"]["precision_at_1"]["value"] <= 1
            frame = {0: "frame=raw_pixels,", 1: "frame=sam,", 2: ""}[place]
            assert f"|options:dtype=float32,{frame}resolution=native|" in task["signature"]
            assert f"|prompting:{'native' if native else 'text'}|" in task["signature"]
        (file,) = out.glob("*/*/timing.json")
        timing = json.loads(file.read_text())["tasks"]
        # Six questions and ten captions about two images: each image went through the encoders once.
        for clock in timing.values():
            assert (clock["items"], clock["images_encoded"], clock["images"]) == (16, 2, 2)
        # A second time nothing is embedded but the images of what is made again as a check.
        before = (file.parent / "run.json").read_bytes()
        assert run(out, model, tasks="scar", data=data) == 0
        assert (file.parent / "run.json").read_bytes() == before
        again = [clock["images_encoded"] for clock in json.loads(file.read_text())["tasks"].values()]
        assert again[0] == 2
        assert set(again[1:]) <= {0, 1}, "of each kind one, and a few of the first task"


@pytest.mark.slow(0.8)
def test_parts_of_an_image_are_not_taken_for_each_other(data: Path, virtue_folder: Path, tmp_path: Path) -> None:
    """Six questions about two images are six images, once these are cut: against files that hold the cuts alone."""
    out = tmp_path / "runs"
    assert run(out, f"virtue:{virtue_folder}", tasks=SETS[0], data=data, more=["--prompting", "crop"]) == 0
    assert tasks_of(out)[SETS[0]]["prompting"] == "crop"
    (file,) = out.glob("*/*/timing.json")
    assert json.loads(file.read_text())["tasks"][SETS[0]]["images_encoded"] == 6

    embedder = Virtue(str(virtue_folder), device="cpu")
    cuts, files = [], []
    for place, query in enumerate(load(data, SETS[0]).queries):
        cuts.append(prompted(query, "crop"))
        name = f"{place}.png"
        cuts[-1].image.rgb().save(tmp_path / name)
        files.append(replace(query, image=ImageFile(tmp_path, name, upright=False), region=None))
    expected = np.concatenate([embedder.encode([item], "query") for item in files])
    assert np.abs(embedder.encode(cuts, "query") - expected).max() < 1e-5


@pytest.mark.slow(0.6)
def test_batches_of_any_size_give_the_same_result(data: Path, virtue_folder: Path, tmp_path: Path) -> None:
    """One item a batch, or all: an image that a batch's end cuts through is still encoded once."""
    found = []
    for tokens in (1, 10_000):
        out = tmp_path / f"runs{tokens}"
        assert run(out, f"virtue:{virtue_folder}", tasks=SETS[0], data=data, more=["--batch-tokens", str(tokens)]) == 0
        (file,) = out.glob("*/*/timing.json")
        assert json.loads(file.read_text())["tasks"][SETS[0]]["images_encoded"] == 2
        found.append(tasks_of(out)[SETS[0]]["metrics"])
    assert found[0] == found[1]


@pytest.mark.slow(1)
def test_mmeb_tasks_have_no_regions(virtue_folder: Path, tmp_path: Path) -> None:
    names = ("VOC2007", "OK-VQA", "WebQA", "RefCOCO")
    for name in names:
        columns = golden(name)
        write(tmp_path / "data", name, columns)
        draw_images(tmp_path / "data", columns)
    for model in ("virtue", "vlm2vec"):
        out = tmp_path / model
        chosen = [part for name in names[1:] for part in ("--tasks", name)]
        assert run(out, f"{model}:{virtue_folder}", tasks=names[0], data=tmp_path / "data", more=chosen) == 0
        found = tasks_of(out)
        assert {name: task["status"] for name, task in found.items()} == dict.fromkeys(names, "done")
        assert {task["prompting"] for task in found.values()} == {None}


def test_a_box_outside_its_image_names_its_row(
    data: Path, virtue_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = scenes(tmp_path / "other", SETS[0], 0)
    columns["bbox"][4] = [200, 5, 30, 25]
    write(data, SETS[0], columns)
    both = ["--tasks", SETS[1]]
    assert run(tmp_path / "runs", f"virtue:{virtue_folder}", tasks=SETS[0], data=data, more=both) == 4
    error = tasks_of(tmp_path / "runs")[SETS[0]]["error"]["message"]
    assert "box [200, 5, 230, 30] lies outside its image of 90 x 70 pixels" in error
    assert "SCaR_eval_RefCOCO_plus.parquet, row 4" in error
    assert tasks_of(tmp_path / "runs")[SETS[1]]["status"] == "done"


def test_a_bad_region_names_its_line(virtue_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PIL.Image.new("RGB", (50, 40), "red").save(tmp_path / "a.png")
    PIL.Image.new("L", (40, 50), 255).save(tmp_path / "mask.png")
    good = {
        "id": "0",
        "prompt": "<image>\nx",
        "image": "a.png",
        "points": [[3, 4], [5, 6]],
        "negative_points": [[40, 30]],
    }
    bad = (
        ({"box": [60, 1, 70, 9]}, "box [60, 1, 70, 9] lies outside its image of 50 x 40 pixels"),
        ({"box": [5, 1, 5, 9]}, "holds no pixel"),
        ({"box": [9, 1, 5, 9]}, "ends before it begins"),
        ({"point": [50, 1]}, "point [50, 1] lies outside"),
        ({"mask": "mask.png"}, "mask mask.png has 40 x 50 pixels"),
    )
    items = tmp_path / "items.jsonl"
    model = f"virtue:{virtue_folder}"
    for region, message in bad:
        row = {"id": "1", "prompt": "<image>\nx", "image": "a.png", **region}
        items.write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
        assert command("embed", "--model", model, "--input", items, "--output", tmp_path / "out.npz") in (2, 4)
        said = capsys.readouterr().err
        assert message in said
        assert "items.jsonl, line 2" in said
        assert not (tmp_path / "out.npz").exists()
    items.write_text(f"{json.dumps(good)}\n")
    assert command("embed", "--model", model, "--input", items, "--output", tmp_path / "out.npz") == 0

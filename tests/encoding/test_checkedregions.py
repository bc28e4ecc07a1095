"""Regions that do not lie on their images: the same for every way of prompting, for items and for tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from builders import command, golden, manifest, run, tasks_of, write

from evalkit.runs.signature import parts

SCAR = "SCaR/RefCOCOg"
MODES = ("text", "none", "crop")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three rows with one image of 80 x 60 pixels; their boxes are to come."""
    columns = golden(SCAR)
    columns["qry_image_path"] = ["refcocog_val/a.png"] * 3
    columns["bbox"] = [[1.0, 1.0, 20.0, 20.0]] * 3
    folder = tmp_path / "data"
    (folder / "images/refcocog_val").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(folder / "images/refcocog_val/a.png")
    write(folder, SCAR, columns)
    return folder


def with_boxes(folder: Path, *boxes: list[float]) -> None:
    columns = golden(SCAR) | {"bbox": list(boxes), "qry_image_path": ["refcocog_val/a.png"] * 3}
    write(folder, SCAR, columns)


WHOLE = [1.0, 1.0, 20.0, 20.0]
BAD = {
    "no width": ([2.0, 2.0, 0.0, 5.0], "holds no pixel of its image (80 x 60 pixels)"),
    "no height": ([2.0, 2.0, 5.0, 0.0], "holds no pixel"),
    "outside": ([500.0, 500.0, 10.0, 5.0], "lies outside its image of 80 x 60 pixels"),
    "beside": ([80.0, 0.0, 5.0, 5.0], "lies outside its image"),
    "above": ([0.0, -5.0, 5.0, 5.0], "lies outside its image"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", BAD)
def test_bad_boxes_are_refused_or_kept_whatever_the_prompting(case, mode, data, tmp_path):
    box, says = BAD[case]
    with_boxes(data, WHOLE, box, box)
    more = ["--prompting", mode]
    assert run(tmp_path / "runs", "random", tasks=SCAR, data=data, more=more) == 4
    message = tasks_of(tmp_path / "runs")[SCAR]["error"]["message"]
    assert says in message
    assert "keep such regions with --bad-regions keep; 2 of 3 regions are bad" in message
    assert message.endswith(", query of DATA/SCaR_eval_RefCOCOg.parquet, row 1")
    assert manifest(tmp_path / "runs")["settings"]["bad_regions"] == "refuse"
    assert run(tmp_path / "kept", "random", tasks=SCAR, data=data, more=[*more, "--bad-regions", "keep"]) == 0
    task = tasks_of(tmp_path / "kept")[SCAR]
    assert any(warning.startswith("2 of 3 regions hold no pixel of their image and") for warning in task["warnings"])
    assert parts(task["signature"])["regions"] == "bad kept"
    assert manifest(tmp_path / "kept")["settings"]["bad_regions"] == "keep"


@pytest.mark.parametrize("mode", MODES)
def test_good_boxes_have_the_same_number_either_way(mode, data, tmp_path):
    """And a box over the edge is a good one."""
    with_boxes(data, WHOLE, [70.0, 50.0, 100.0, 100.0], [-5.0, -5.0, 10.0, 10.0])
    found = []
    for way in ("refuse", "keep"):
        more = ["--prompting", mode, "--bad-regions", way]
        assert run(tmp_path / way, "random", tasks=SCAR, data=data, more=more) == 0
        task = tasks_of(tmp_path / way)[SCAR]
        assert not any("regions" in warning for warning in task["warnings"])
        found.append((task["metrics"], {k: v for k, v in parts(task["signature"]).items() if k != "regions"}))
        assert ("regions" in parts(task["signature"])) is (way == "keep")
    assert found[0] == found[1]


def test_the_usual_setting_leaves_the_run_id_as_it_was(data, tmp_path):
    """So that what an earlier version began is gone on with."""
    assert run(tmp_path / "one", "random", tasks=SCAR, data=data, more=["--bad-regions", "refuse"]) == 0
    assert run(tmp_path / "other", "random", tasks=SCAR, data=data) == 0
    assert run(tmp_path / "kept", "random", tasks=SCAR, data=data, more=["--bad-regions", "keep"]) == 0
    ids = [manifest(tmp_path / name)["run_id"] for name in ("one", "other", "kept")]
    assert ids[0] == ids[1] != ids[2]


def test_boxes_that_look_normalised_are_said(data, tmp_path):
    with_boxes(data, [0.1, 0.1, 0.3, 0.3], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.25])
    assert run(tmp_path / "runs", "random", tasks=SCAR, data=data) == 0
    warnings = tasks_of(tmp_path / "runs")[SCAR]["warnings"]
    assert any("all 3 regions lie between 0 and 1: they look normalised" in warning for warning in warnings)
    with_boxes(data, [0.1, 0.1, 0.3, 0.3], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.6, 0.25])
    assert run(tmp_path / "other", "random", tasks=SCAR, data=data) == 0
    assert not any("normalised" in warning for warning in tasks_of(tmp_path / "other")[SCAR]["warnings"])


# --- inspect and embed -------------------------------------------------------------------------------


def test_inspect_refuses_and_keeps_as_run_does(data, capsys):
    with_boxes(data, WHOLE, [2.0, 2.0, 0.0, 5.0], WHOLE)
    assert command("inspect", SCAR, "--data", data, "--json") == 4
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "box [2.0, 2.0, 2.0, 7.0] holds no pixel" in streams.err
    assert streams.err.rstrip().endswith("SCaR_eval_RefCOCOg.parquet, row 1")
    assert command("inspect", SCAR, "--data", data, "--json", "--limit", "1") == 0
    capsys.readouterr()
    assert command("inspect", SCAR, "--data", data, "--json", "--bad-regions", "keep") == 0
    streams = capsys.readouterr()
    assert "1 of 3 regions hold no pixel" in streams.err
    assert json.loads(streams.out.splitlines()[1])["query"]["box"] == [2.0, 2.0, 2.0, 7.0]  # as the rows have it


def test_inspect_shows_rows_whose_images_are_not_there(data, capsys):
    with_boxes(data, WHOLE, [2.0, 2.0, 0.0, 5.0], WHOLE)
    (data / "images/refcocog_val/a.png").unlink()
    assert command("inspect", SCAR, "--data", data, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("region", "says"),
    [
        ({"box": [2, 2, 2, 7]}, "box [2, 2, 2, 7] holds no pixel"),
        ({"box": [80, 2, 90, 7]}, "box [80, 2, 90, 7] lies outside"),
        ({"point": [80, 2]}, "point [80, 2] lies outside"),
        ({"points": [[1, 1], [1, 60]]}, "point [1, 60] lies outside"),
        ({"point": [1, 1], "negative_points": [[-1, 0]]}, "point [-1, 0] lies outside"),
    ],
)
def test_embed_refuses_and_keeps_as_run_does(region, says, data, tmp_path, capsys):
    """Of a model, too, that takes no regions."""
    row = {"id": "a", "prompt": "<image> x", "image": "refcocog_val/a.png"}
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in (row | {"id": "b"}, row | region)))
    arguments = ["embed", "--model", "random", "--input", file, "--output", tmp_path / "v.npz", "--quiet"]
    arguments += ["--images", data / "images"]
    assert command(*arguments) == 4
    assert f"items.jsonl, line 2: {says}" in capsys.readouterr().err
    assert not (tmp_path / "v.npz").exists()
    assert command(*arguments, "--bad-regions", "keep") == 0
    assert "1 of 1 regions hold no pixel" in capsys.readouterr().err
    with np.load(tmp_path / "v.npz") as arrays:
        assert arrays["vectors"].shape[0] == 2


def test_a_mask_of_another_size_is_refused_in_any_case(data, tmp_path, capsys):
    PIL.Image.new("L", (60, 80), 255).save(data / "images/m.png")
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps({"id": "a", "prompt": "<image>", "image": "refcocog_val/a.png", "mask": "m.png"}))
    arguments = ["embed", "--model", "random", "--input", file, "--output", tmp_path / "v.npz", "--quiet"]
    for more in ([], ["--bad-regions", "keep"]):
        assert command(*arguments, "--images", data / "images", *more) == 4
        says = capsys.readouterr().err
        assert "line 1: mask m.png has 60 x 80 pixels" in says
        assert "--bad-regions" not in says


def test_embed_looks_into_several_folders(data, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    PIL.Image.new("RGB", (5, 5)).save(tmp_path / "more/b.png")
    lines = [{"id": name, "prompt": "<image>", "image": name} for name in ("refcocog_val/a.png", "b.png")]
    file = tmp_path / "items.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\n".join(map(json.dumps, lines)).encode())  # as Windows saves UTF-8
    arguments = ["embed", "--model", "random", "--input", file, "--output", tmp_path / "v.npz", "--quiet"]
    assert command(*arguments, "--images", data / "images") == 4
    assert command(*arguments, "--images", data / "images", "--images", tmp_path / "more") == 0
    capsys.readouterr()

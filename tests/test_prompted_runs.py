"""Runs in each mode of prompting: what the embedder gets, what is recorded, and what is told when it cannot be."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, command, draw_images, golden, load, manifest, run, tasks_of, write

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.encode import Encoder
from evalkit.encoding.given import prompted_task, prompting_of
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.store import VectorStore
from evalkit.encoding.views import encode_task
from evalkit.errors import ImageError, ItemError, RegionError, UsageError
from evalkit.items import Box, Mask, Point, Region
from evalkit.items.images import ImageFile
from evalkit.items.prompting import MODES
from evalkit.suites.task import Task

REGIONS = "example/ShapeRegions"
SCAR = "SCaR/RefCOCOg"
COLOURS = "evalkit.embedders.colours:Colours"

# Keeps what it gets, one line an item; vectors are drawn by content, as random has them.
RECORDER = """
import hashlib, json
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random

class Recorder(Random):
    def __init__(self, log, regions="", modalities="text,image,image+text"):
        self.log = log
        self.info = EmbedderInfo(
            name="recorder", dimension=64, modalities=frozenset(modalities.split(",")),
            regions=frozenset(regions.split(",")) - {""}, options={"regions": regions, "modalities": modalities},
        )
        self._seed = 0

    def encode(self, items, side):
        with open(self.log, "a") as log:
            for item in items:
                pixels = item.image and hashlib.sha256(item.image.rgb().tobytes()).hexdigest()
                region = item.region and list(item.region.corners)
                print(json.dumps([side, item.prompt, item.text, item.instruction, pixels, region]), file=log)
        return super().encode(items, side)
"""


@pytest.fixture
def recorder(tmp_path: Path) -> str:
    (tmp_path / "recorder.py").write_text(RECORDER)
    return f"{tmp_path / 'recorder.py'}:Recorder?log={tmp_path / 'log'}"


def logged(folder: Path) -> list[list[Any]]:
    """What the recorder got since the last call, in any order: side, prompt, text, instruction, pixels, region."""
    text = (folder / "log").read_text()
    (folder / "log").unlink()
    return sorted(json.loads(line) for line in text.splitlines())


def parts(task: dict[str, Any]) -> dict[str, str]:
    return dict(part.split(":", 1) for part in task["signature"].split("|"))


def embedded(out: Path) -> dict[str, int]:
    """By task, how many vectors the last command computed."""
    (file,) = out.glob("*/*/timing.json")
    return {name: clock["embedded"] for name, clock in json.loads(file.read_text())["tasks"].items()}


# --- what the embedder gets ------------------------------------------------------------------------------


def pixels_in(mode: str, image: PIL.Image.Image, box: list[int]) -> PIL.Image.Image:
    """What the model sees, with Pillow alone; on the example's images a line is one pixel outside and one inside."""
    around, within = ([v + by * sign for v, sign in zip(box, (-1, -1, 1, 1), strict=True)] for by in (1, -1))
    if mode == "crop":
        return image.crop(tuple(box))
    if mode == "blur":
        blurred = image.filter(PIL.ImageFilter.GaussianBlur(100))
        blurred.paste(image.crop(tuple(box)), (box[0], box[1]))
        return blurred
    if mode == "overlay_box":
        PIL.ImageDraw.Draw(image).rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), outline="red", width=2)
    if mode == "overlay":
        for x, y in itertools.product(range(around[0], around[2]), range(around[1], around[3])):
            if in_ellipse(x, y, around) and not in_ellipse(x, y, within):
                image.putpixel((x, y), (255, 0, 0))
    return image


def in_ellipse(x: int, y: int, box: list[int]) -> bool:
    """Whether a pixel's centre lies in the ellipse that touches a box's sides."""
    width, height = box[2] - box[0], box[3] - box[1]
    across, down = 2 * x + 1 - box[0] - box[2], 2 * y + 1 - box[1] - box[3]
    return (across * height) ** 2 + (down * width) ** 2 <= (width * height) ** 2


def expected(mode: str) -> list[list[Any]]:
    """The distinct queries of the example's regions in a mode, made of its file and with Pillow alone."""
    if mode == "reclip":
        return sorted(expected("crop") + expected("blur"))
    found = set()
    for row in pq.read_table(EXAMPLE / "SCaR_eval_ShapeRegions.parquet").to_pylist():
        x, y, width, height = row["bbox"]
        box = [x, y, x + width, y + height]
        question = row["qry_text"].replace("<|image_1|>", "").strip()
        sentence = f"Referring object bbox: {box}"
        with PIL.Image.open(EXAMPLE / "images" / row["qry_image_path"]) as image:
            pixels = pixels_in(mode, image.convert("RGB"), box).tobytes()
        prompt = f"<image> \n{question}" + ("" if mode == "none" else f"\n{sentence}")
        seen = hashlib.sha256(pixels).hexdigest()
        region = box if mode == "native" else None
        found.add(json.dumps(["query", prompt, "" if mode == "none" else sentence, question, seen, region]))
    return sorted(json.loads(line) for line in found)


@pytest.mark.slow(1.1)
def test_the_example_in_every_mode(recorder, tmp_path, capsys):
    store = ["--store", tmp_path / "store.sqlite"]
    results, computed = {}, {}
    for mode in MODES:
        out = tmp_path / mode
        assert run(out, f"{recorder}&regions=box", more=["--prompting", mode, *store]) == 0
        assert manifest(out)["settings"]["prompting"] == mode
        results[mode], computed[mode] = tasks_of(out), embedded(out)
        mine = [line for line in logged(tmp_path) if "segmented object" in line[1] and line[0] == "query"]
        if mode == "reclip":  # a few of its views, all of which were kept by the modes before, are made again
            assert all(line in expected(mode) for line in mine)
        else:
            assert mine == expected(mode)
        shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("example/")]
        assert [line.rpartition("prompting ")[2].partition(",")[0] for line in shown if "prompting" in line] == [mode]

    assert len({results[mode][REGIONS]["metrics"]["precision_at_1"]["value"] for mode in MODES}) > 1
    kept = {"reclip": {REGIONS}}  # its views are those of crop and blur
    for mode, found in results.items():
        assert {name: task["prompting"] for name, task in found.items() if task["prompting"]} == {REGIONS: mode}
        signature = parts(found[REGIONS])
        assert signature["prompting"] == mode
        native = parts(results["native"][REGIONS])
        changed = {name for name in signature if signature[name] != native[name]}
        assert changed == {"native": set(), "none": {"prompting", "prompts"}}.get(mode, {"prompting"})
        # Tasks without regions are the same in every mode, and nothing of them is embedded twice.
        others = {name: task for name, task in found.items() if name != REGIONS}
        assert others == {name: task for name, task in results["native"].items() if name != REGIONS}
        assert {parts(task)["prompting"] for task in others.values()} == {"-"}
        if mode != "native":
            assert {name for name, count in computed[mode].items() if count} == {REGIONS} - kept.get(mode, set())
    assert {computed[mode][REGIONS] for mode in ("text", "crop", "overlay", "overlay_box", "blur")} == {64}
    assert computed["none"][REGIONS] == 16, "the four boxes of an image can no longer be told apart"


def test_scores_are_those_of_what_is_seen(tmp_path):
    """Colours cuts boxes out itself, so native and crop agree; of the sentence it understands nothing."""
    found = {}
    for mode in MODES:
        assert run(tmp_path / mode, COLOURS, tasks=REGIONS, more=["--prompting", mode]) == 0
        found[mode] = tasks_of(tmp_path / mode)[REGIONS]["metrics"]
        (file,) = (tmp_path / mode).glob("*/*/samples/**/*.parquet")
        found[mode]["samples"] = pq.read_table(file).to_pylist()
    assert found["native"] == found["crop"] != found["text"] == found["none"]
    assert found["native"]["precision_at_1"]["value"] == 1 / 7


@pytest.mark.parametrize(("regions", "mode"), [("", "text"), ("box", "native"), ("mask,point", "text")])
def test_the_mode_where_none_is_named(regions, mode, recorder, tmp_path):
    model = f"{recorder}&regions={regions}"
    assert run(tmp_path / "runs", model, tasks=REGIONS) == 0
    default = logged(tmp_path)
    assert run(tmp_path / "named", model, tasks=REGIONS, more=["--prompting", mode]) == 0
    assert logged(tmp_path) == default
    first, second = manifest(tmp_path / "runs"), manifest(tmp_path / "named")
    assert [first["settings"].pop("prompting"), second["settings"].pop("prompting")] == [None, mode]
    assert first["tasks"][0]["prompting"] == mode
    assert first.pop("run_id") != second.pop("run_id")
    assert first == second


def test_what_an_item_is_follows_its_mode(recorder, tmp_path):
    """Without the sentence a query is an image, to an embedder that would not take both."""
    model = f"{recorder}&modalities=text,image"
    assert run(tmp_path / "text", model, tasks=REGIONS, more=["--prompting", "text"]) == 4
    assert "has items of image+text" in tasks_of(tmp_path / "text")[REGIONS]["error"]["message"]
    assert run(tmp_path / "none", model, tasks=REGIONS, more=["--prompting", "none"]) == 0


# --- what goes wrong -------------------------------------------------------------------------------------


def test_native_needs_an_embedder_that_takes_regions(recorder, tmp_path, capsys):
    out = tmp_path / "runs"
    assert run(out, f"{recorder}&regions=point", more=["--prompting", "native"]) == 4
    found = tasks_of(out)
    assert found[REGIONS]["error"] == {
        "type": "EmbedderError",
        "message": f"{REGIONS} has regions of box; recorder takes point as an input of its own (info.regions): "
        "run it with --prompting text, crop, overlay, overlay_box, blur, reclip or none",
    }
    assert sorted(task["status"] for task in found.values()) == ["done"] * 3 + ["failed"]
    assert run(tmp_path / "random", "random", tasks=REGIONS, more=["--prompting", "native"]) == 2
    assert "random takes none as an input" in capsys.readouterr().err


def test_a_mode_that_is_none(tmp_path, capsys):
    args = ["run", "--model", "random", "--tasks", "example", "--data", EXAMPLE, "--out", tmp_path / "x"]
    assert command(*args, "--prompting", "blurred") == 2
    said = capsys.readouterr().err
    modes = ["native", "text", "crop", "overlay", "overlay_box", "blur", "reclip", "none"]
    assert f"'blurred' is not one of {', '.join(map(repr, modes))}" in said
    assert list(tmp_path.iterdir()) == []
    loaded = LoadedEmbedder(Constant(), Constant.info, "0" * 64, "tests")
    with pytest.raises(UsageError, match=f"prompting 'blurred' is not one of {', '.join(modes)}"):
        prompting_of(load(EXAMPLE, REGIONS), loaded, "blurred")


@pytest.fixture
def scar(tmp_path: Path) -> Path:
    """Three rows of SCaR with images of 8 x 6 pixels, the second row with a box outside its image."""
    columns = golden(SCAR) | {"bbox": [[0.0, 0.0, 9.5, 2.0], [8.0, 1.0, 3.0, 3.0], [1.0, 1.0, 2.0, 2.0]]}
    write(tmp_path / "data", SCAR, columns)
    draw_images(tmp_path / "data", columns)
    return tmp_path / "data"


def test_a_box_outside_its_image_is_named_with_its_row(scar, tmp_path):
    for mode in ("crop", "text", "none"):
        assert run(tmp_path / mode, "random", tasks=f"{SCAR},{REGIONS}", more=["--prompting", mode], data=scar) == 4
        task = tasks_of(tmp_path / mode)[SCAR]
        assert task["status"] == "failed"
        assert task["error"]["type"] == "RegionError"
        says = task["error"]["message"]
        assert says.startswith("box [8.0, 1.0, 11.0, 4.0] lies outside its image of 8 x 6 pixels; mend it or ")
        assert says.endswith(", query of DATA/SCaR_eval_RefCOCOg.parquet, row 1")


@pytest.mark.parametrize("fault", ["missing", "no image", "cut short"])
def test_an_image_that_cannot_be_cut_is_named_with_its_row(fault, scar, tmp_path):
    columns = golden(SCAR) | {"bbox": [[0.0, 0.0, 9.5, 2.0]] * 3}
    write(scar, SCAR, columns)
    name = columns["qry_image_path"][2]
    file = scar / "images" / name
    data = file.read_bytes()
    file.unlink()
    if fault != "missing":
        # Of the last of these, header and size can be read: it fails only when it is decoded, as a part.
        file.write_bytes(b"words" if fault == "no image" else data[:-20])
    assert run(tmp_path / "runs", "random", tasks=SCAR, data=scar, more=["--prompting", "crop"]) == 4
    error = tasks_of(tmp_path / "runs")[SCAR]["error"]
    assert error["type"] == "ImageError"
    assert name in error["message"]
    assert error["message"].count("(item ") == 1
    assert error["message"].endswith(", query of DATA/SCaR_eval_RefCOCOg.parquet, row 2")


def with_regions(queries: Sequence[Region | None], candidates: Sequence[Region | None], images: Path) -> Task:
    """The example's regions with others in the first rows and candidates; candidates get an image for it."""
    task = load(EXAMPLE, REGIONS)
    image = task.queries[0].image
    first = [replace(item, region=region) for item, region in zip(task.queries, queries, strict=False)]
    given = [
        replace(item, region=region, image=image) if region else item
        for item, region in zip(task.candidates, candidates, strict=False)
    ]
    return replace(
        task,
        queries=[*first, *task.queries[len(first) :]],
        candidates=[*given, *task.candidates[len(given) :]],
        where="here, row {}".format,
    )


def masks(folder: Path, size: tuple[int, int]) -> dict[str, Mask]:
    PIL.Image.new("L", size).save(folder / "black.png")
    image = PIL.Image.new("L", size)
    image.putpixel((3, 5), 255)
    image.save(folder / "dot.png")
    (folder / "short.png").write_bytes((folder / "dot.png").read_bytes()[:45])
    return {n: Mask(ImageFile(folder, f"{n}.png", upright=False)) for n in ("black", "dot", "short", "absent")}


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (Point(1, 1), RegionError, "a region of point has no extent"),
        (Box(-9, 0, 0, 5), RegionError, r"box \[-9, 0, 0, 5\] lies outside"),
        ("black", RegionError, "black all over"),
        ("short", ImageError, r"short\.png is truncated or broken"),
        ("absent", ImageError, r"absent\.png is missing"),
    ],
)
def test_what_cannot_be_cut_is_named_with_its_row_on_either_side(wrong, error, says, tmp_path):
    good = Box(1, 1, 3, 3)
    size = load(EXAMPLE, REGIONS).queries[0].image.rgb().size
    region = masks(tmp_path, size)[wrong] if isinstance(wrong, str) else wrong
    task = with_regions([good, good, region], [], tmp_path)
    with pytest.raises(error, match=rf"{says}.*\(item .*\), query of here, row 2$") as caught:
        prompted_task(task, "crop", ImageIndex())
    assert isinstance(caught.value, ItemError)
    place = int(task.pools[0][3])
    task = with_regions([], [region if number == place else None for number in range(place + 1)], tmp_path)
    with pytest.raises(error, match=rf"{says}.*\(item .*\), candidate of here, row 0$"):
        prompted_task(task, "crop", ImageIndex())


def test_both_sides_are_prompted_and_nothing_else_changes(tmp_path):
    box, size = Box(1, 1, 3, 3), load(EXAMPLE, REGIONS).queries[0].image.rgb().size
    task = with_regions([masks(tmp_path, size)["dot"]], [None, box], tmp_path)
    index = ImageIndex()
    index.gather([*task.queries, *task.candidates])
    given = prompted_task(task, "crop", index)
    assert (given.queries[0].image.crop, given.candidates[1].image.crop) == ((3, 5, 4, 6), (1, 1, 3, 3))
    assert not any(item.region for item in (*given.queries, *given.candidates))
    assert given.candidates[0] is task.candidates[0]
    assert replace(given, queries=task.queries, candidates=task.candidates) == task
    assert prompted_task(task, "native", index) == task
    info = EmbedderInfo("one", 8, regions=frozenset({"box"}))
    loaded = LoadedEmbedder(Constant(), info, "0" * 64, "tests")
    assert prompting_of(task, loaded) == "text", "it takes boxes, but not the mask"
    assert prompting_of(with_regions([], [None, box], tmp_path), loaded) == "native"


def test_rows_are_found_of_items_that_were_changed(tmp_path):
    task = with_regions([], [], tmp_path)
    given = prompted_task(task, "none", ImageIndex())
    broken = replace(given.queries[7], image=ImageFile(tmp_path, "absent.png", upright=False))
    given = replace(given, queries=[*given.queries[:7], broken, *given.queries[8:]])
    encoder = Encoder(LoadedEmbedder(Constant(), Constant.info, "0" * 64, "tests"), VectorStore(None))
    with pytest.raises(ImageError, match=r"absent\.png is missing.*, query of here, row 7$"):
        encode_task(given, encoder)

"""The command line: what it prints, what it reads, and what it exits with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import EXAMPLE, Columns, command, draw_images, evalkit, golden, run, tasks_of, write
from PIL import Image

from evalkit import __version__, doctor
from evalkit.cli import _COMMANDS
from evalkit.suites.selecting import all_cards, select_tasks

COLOURS = "evalkit.embedders.colours:Colours"
OFFICIAL = json.loads((Path(__file__).parents[1] / "golden" / "prompts-a.json").read_text(encoding="utf-8"))["golden"]
RUN = ("run", "--model", "constant", "--tasks", "example")
OUT = ("--data", EXAMPLE, "--out", "x")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- exit codes and help -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(["nothing"], "No such command 'nothing'", id="command"),
        pytest.param(["tasks", "--nothing"], "--nothing", id="option"),
        pytest.param([*RUN, "--data", EXAMPLE], "--out", id="no --out"),
        pytest.param(["run", "--tasks", "example", *OUT], "--model", id="no --model"),
        pytest.param([*RUN, "--data", "nowhere", "--out", "x"], "data folder nowhere does not exist", id="--data"),
        pytest.param([*RUN, *OUT, "--images", "nowhere"], "images folder nowhere", id="--images"),
        pytest.param([*RUN, *OUT, "--limit", "0"], "--limit", id="--limit"),
        pytest.param([*RUN, *OUT, "--batch-tokens", "0"], "--batch-tokens", id="--batch-tokens"),
        pytest.param([*RUN, *OUT, "--device", "gpu"], "device 'gpu' is not known", id="--device"),
        pytest.param([*RUN, *OUT, "--vectors", "int8"], "--vectors", id="--vectors"),
        pytest.param([*RUN, *OUT, "--prompting", "blurred"], "'overlay', 'overlay_box', 'blur'", id="--prompting"),
        pytest.param([*RUN[:3], "--tasks", "exmple", *OUT], "near: example", id="--tasks"),
        pytest.param([*RUN[:3], "--tasks", "", *OUT], "no task is named", id="empty --tasks"),
        pytest.param(["run", "--model", "randm", *RUN[3:], *OUT], "near: random", id="model"),
        pytest.param(["tasks", "nothing-of-that-name"], "no task, group or suite", id="tasks"),
        pytest.param(["check", "a.py:Mine"], "a.py does not exist", id="check"),
        pytest.param(["inspect", "mmeb", "--data", EXAMPLE], "chooses 36 tasks; inspect shows one", id="inspect"),
        pytest.param(["inspect", "VOC2007", "--data", "nowhere"], "data folder nowhere", id="inspect --data"),
        pytest.param(["embed", "--model", "random", "--input", "no", "--output", "x"], "no is missing", id="embed"),
    ],
)  # fmt: skip
def test_bad_usage_exits_with_2_and_leaves_nothing(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(*args) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_work_that_fails_exits_with_4(tmp_path, capsys):
    assert command("inspect", "VOC2007", "--data", tmp_path) == 4
    assert f"evalkit: no file {tmp_path / 'VOC2007'}" in capsys.readouterr().err
    (tmp_path / "VOC2007").mkdir()
    (tmp_path / "VOC2007" / "test-0.parquet").write_bytes(b"words")
    assert run(tmp_path / "runs", "constant", tasks="VOC2007", data=tmp_path) == 4


@pytest.mark.slow(2)
@pytest.mark.parametrize(("model", "code"), [("random", 0), (COLOURS, None), ("constant", 1)])
def test_check_answers_by_its_exit_code(model, code, capsys):
    found = command("check", model, "--json")
    findings = json.loads(capsys.readouterr().out)
    assert found == int(any(finding["passed"] is False for finding in findings))
    assert code is None or found == code
    assert command("check", model) == found
    assert f"of {len(findings)} checks failed" in capsys.readouterr().out


def test_a_fault_is_not_an_answer(monkeypatch, capsys):
    """Python exits with 1 after a traceback, which here says that the answer is no."""

    def fault() -> None:
        raise RuntimeError("never seen before")

    monkeypatch.setattr(doctor, "diagnose", fault)
    assert command("doctor") == 4
    assert "RuntimeError: never seen before" in capsys.readouterr().err


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert command(name, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: evalkit {name}")
    examples = text.split("Example", 1)[1]
    assert f"evalkit {name}" in examples
    assert command(name, "-h") == 0
    assert capsys.readouterr().out == text


def test_help_lists_the_commands(capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in _COMMANDS)
    assert "Example:\n    evalkit run" in text
    assert command("--version") == 0
    assert capsys.readouterr().out.strip() == f"evalkit, version {__version__}"


@pytest.mark.parametrize(("written", "near"), [("rum", "run"), ("taks", "tasks"), ("inspct", "inspect")])
def test_an_unknown_command_suggests_the_near_one(written, near, capsys):
    assert command(written) == 2
    assert f"Did you mean {near!r}?" in capsys.readouterr().err


def test_help_needs_no_library():
    """It has to answer at once."""
    script = """
import sys
from evalkit.cli import _COMMANDS, main
for args in [["--help"], ["--version"], ["rum"], *([name, "--help"] for name in _COMMANDS)]:
    try:
        main(args)
    except SystemExit:
        pass
heavy = "numpy torch pyarrow faiss pydantic transformers pandas PIL jinja2 tqdm huggingface_hub".split()
print("loaded:", [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert done.stdout.count("Usage: evalkit") == 1 + len(_COMMANDS)


# --- tasks and models --------------------------------------------------------------------------------


def test_tasks_as_json_are_whole_cards(capsys):
    assert command("tasks", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [card.model_dump(mode="json") for card in all_cards()]
    assert command("tasks", "mmeb/grounding", "SCaR/*", "--json") == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert names == [card.name for card in select_tasks(["mmeb/grounding", "scar"])]


def test_tasks_as_a_table(capsys):
    assert command("tasks", "all") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:4] == ["task", "suite", "meta-task", "dist"]
    assert [row.split()[0] for row in table[2:-1]] == [card.name for card in select_tasks(["all"])]
    assert table[-1] == "41 tasks"


def test_one_task_is_shown_whole(capsys):
    assert command("tasks", "RefCOCO-Matching") == 0
    text = capsys.readouterr().out
    (card,) = select_tasks(["RefCOCO-Matching"])
    for part in (card.title, card.query_instruction, card.licence, card.sources[0].hub, *card.notes, "ood"):
        assert part in text


def test_models(capsys):
    assert command("models", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    families = {family["write"]: family["options"] for family in found["families"]}
    assert families["random"] == ["dimension", "seed"]
    assert found["names"]["gme-2b"].startswith("gme:Alibaba-NLP/gme-Qwen2-VL-2B-Instruct@")
    assert found["names"]["gme-2b"].endswith("?protocol=vlm2vec&positions=1d")
    [virtue] = [model for model in found["models"] if model["name"] == "virtue-2b"]
    assert virtue["options"] == {"resolution": "high", "frame": "raw_pixels"}
    assert found["names"].keys() > {model["name"] for model in found["models"]}
    assert command("models") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*families, *found["names"]))
    table = text.partition("\n\n")[2]
    assert max(map(len, table.splitlines())) <= 112


def test_one_model_in_full(capsys):
    assert command("models", "virtue-2b") == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if "@" not in line) <= 112
    said = " ".join(text.split())
    assert "virtue:Sony/VIRTUE-2B-SCaR@e98d03976ccbc7738c5ca14fab98d442a06c0530?resolution=high" in said
    assert "published as virtue-2b, SCaR-train" in said
    assert "not verified its published weights, which could not be run here" in said
    assert command("models", "virtue-2b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trained_on"]["scar"]["answer"] == "yes"


def test_a_model_that_there_is_no_card_of(capsys):
    assert command("models", "BGE-VL-MLLM-S2") == 2
    assert "near: mmret-7b" in capsys.readouterr().err


# --- inspect -----------------------------------------------------------------------------------------


def expected_lines(name: str, columns: Columns) -> list[dict[str, Any]]:
    """What inspect has to print, of what the official loaders build and the texts of the rows."""

    def place(path: str | None) -> dict[str, str]:
        return {} if path is None else {"image": path.replace("ROOT/", "images/")}

    def plain(text: str) -> str:
        return text.replace("<|image_1|>", "").strip()

    scar = name.startswith("SCaR/")
    found = []
    for row, built in enumerate(OFFICIAL[name]):
        query = {"side": "query", "prompt": built["query_text"].replace("<|image_pad|>", "<image>")}
        if scar:
            sentence = f"Referring object bbox: {built['sam_bbox']}"
            query |= {"text": sentence, "instruction": plain(columns["qry_text"][row])}
        else:
            query |= {"text": columns["qry_text"][row], "instruction": plain(columns["qry_inst"][row])}
        query |= place(built["query_image"])
        if scar:
            query["box"] = built["sam_bbox"]
        candidates = []
        for prompt, image, text in zip(
            built["candidate_text"], built["candidate_image"], columns["tgt_text"][row], strict=True
        ):
            candidate = {"side": "candidate", "prompt": prompt.replace("<|image_pad|>", "<image>"), "text": text}
            candidate["instruction"] = "" if image is None else plain(columns["tgt_inst"][row])
            candidates.append(candidate | place(image))
        names, label = built["candidate_names"], built["label_name"]
        found.append({"query": query, "candidates": candidates, "names": names, "label": label})
    return found


@pytest.mark.parametrize("name", sorted(OFFICIAL))
def test_inspect_prints_what_the_official_loaders_build(name, tmp_path, capsys):
    columns = golden(name)
    write(tmp_path, name, columns)
    assert command("inspect", name, "--data", tmp_path, "--json") == 0
    captured = capsys.readouterr()
    found = lines(captured.out)
    assert captured.err == ""
    for line in found:
        assert list(line) == ["query", "candidates", "names", "label"]
        assert list(line["query"])[:5] == ["id", "side", "prompt", "text", "instruction"]
        assert re.fullmatch("[0-9a-f]{16}", line["query"].pop("id"))
        assert all(re.fullmatch(r"c\d+", candidate.pop("id")) for candidate in line["candidates"])
    assert found == expected_lines(name, columns)


def test_ids_of_candidates_are_those_of_the_task(tmp_path, capsys):
    """One candidate, one id, in whatever row it comes."""
    write(tmp_path, "MSCOCO_t2i", golden("MSCOCO_t2i"))
    assert command("inspect", "MSCOCO_t2i", "--data", tmp_path, "--json") == 0
    items = [c for line in lines(capsys.readouterr().out) for c in line["candidates"]]
    by_id = {c["id"]: c for c in items}
    assert len(by_id) < len(items)
    assert all(by_id[c["id"]] == c for c in items)
    assert len({json.dumps(c | {"id": ""}) for c in items}) == len(by_id)


def test_a_limit(tmp_path, capsys):
    write(tmp_path, "WebQA", golden("WebQA"))
    assert command("inspect", "WebQA", "--data", tmp_path, "--json") == 0
    whole = capsys.readouterr().out.splitlines()
    assert command("inspect", "WebQA", "--data", tmp_path, "--json", "--limit", "2") == 0
    assert capsys.readouterr().out.splitlines() == whole[:2]


@pytest.mark.parametrize("layout", ["inside", "beside", "elsewhere", "a link", "beside a link", "an inner link"])
def test_image_paths_are_relative_to_the_data(layout, tmp_path, capsys, monkeypatch):
    (tmp_path / "far" / "rows").mkdir(parents=True)
    rows = tmp_path / "far" / "rows"
    write(rows, "WebQA", golden("WebQA"))
    draw_images(tmp_path / "drawn", golden("WebQA"))
    where = {"inside": rows / "images", "elsewhere": tmp_path / "pictures"}.get(layout, tmp_path / "far" / "images")
    data, more, start = rows, [], {"inside": "images/", "elsewhere": "../../pictures/"}.get(layout, "../images/")
    if layout == "a link":
        where, start = rows / "images", "images/"
    if layout == "an inner link":
        where, start = tmp_path / "store", "images/"
        (rows / "images").symlink_to(where)
    if "a link" in layout:
        data = tmp_path / "link"
        data.symlink_to(rows)
    if layout == "elsewhere":
        more = ["--images", where]
    shutil.move(tmp_path / "drawn" / "images", where)
    monkeypatch.chdir(tmp_path)
    for written in (data, data.relative_to(tmp_path)):
        assert command("inspect", "WebQA", "--data", written, "--json", *more) == 0
        paths = [c["image"] for line in lines(capsys.readouterr().out) for c in line["candidates"]]
        assert all(path.startswith(start + "WebQA/") for path in paths)
        # As the system resolves it: what lies above a link is above what it leads to.
        assert all((written / path).read_bytes().startswith(b"\xff\xd8") for path in paths)


def test_inspect_in_words(tmp_path, capsys):
    write(tmp_path, "SCaR/ADE20K", golden("SCaR/ADE20K"))
    assert command("inspect", "SCaR/ADE20K", "--data", tmp_path, "--limit", "1") == 0
    text = capsys.readouterr().out
    built = OFFICIAL["SCaR/ADE20K"][0]
    assert repr(built["query_text"].replace("<|image_pad|>", "<image>")) in text
    assert repr(built["label_name"]) in text
    assert text.count("  candidate ") == 5
    assert "… 5 more candidates" in text


def test_inspect_tells_warnings(tmp_path, capsys):
    write(tmp_path, "OK-VQA", golden("OK-VQA") | {"qry_inst": ["Say:"] * 3})
    assert command("inspect", "OK-VQA", "--data", tmp_path) == 0
    assert "warning: 3 of 3 queries have another instruction" in capsys.readouterr().err


def test_official_dedup_shows_in_inspect(tmp_path, capsys):
    columns = {name: values[:1] for name, values in golden("WebQA").items()}
    columns |= {"tgt_text": [["one", "two"]], "tgt_img_path": [["a.jpg", "a.jpg"]]}
    write(tmp_path, "WebQA", columns)
    texts = []
    for more in ([], ["--official-dedup"]):
        assert command("inspect", "WebQA", "--data", tmp_path, "--json", *more) == 0
        (line,) = lines(capsys.readouterr().out)
        texts.append([candidate["text"] for candidate in line["candidates"]])
    assert texts == [["one", "two"], ["one", "one"]]


# --- items, vectors, scores --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tasks of a run of the example, by name."""
    out = tmp_path_factory.mktemp("colours")
    assert run(out, COLOURS) == 0
    return tasks_of(out)


@pytest.mark.slow(0.5)
def test_items_embedded_elsewhere_score_as_the_model_itself(colours, tmp_path, capsys):
    """inspect --items, embed, precomputed:DIR, run."""
    folder, images = tmp_path / "vectors", EXAMPLE / "images"
    folder.mkdir()
    for name in colours:
        file = folder / f"{name.rpartition('/')[2]}.jsonl"
        capsys.readouterr()
        assert command("inspect", name, "--data", EXAMPLE, "--items") == 0
        captured = capsys.readouterr()
        file.write_text(captured.out, encoding="utf-8")
        assert f"evalkit embed --images {images}" in captured.err
        options = ["--input", file, "--output", file.with_suffix(".npz"), "--images", images, "--quiet"]
        assert command("embed", "--model", COLOURS, *options) == 0
        with np.load(file.with_suffix(".npz")) as arrays:
            ids = arrays["ids"].tolist()
            assert arrays["vectors"].dtype == np.float32
            assert arrays["vectors"].shape == (len(ids), 9)
        assert ids == [line["id"] for line in lines(captured.out)]
        assert len(set(ids)) == len(ids) == colours[name]["n_queries"] + colours[name]["n_candidates"]
    assert run(tmp_path / "runs", f"precomputed:{folder}?images={images}") == 0
    found = tasks_of(tmp_path / "runs")
    assert {name: task["metrics"] for name, task in found.items()} == {
        name: task["metrics"] for name, task in colours.items()
    }


def test_embed_keeps_sides_apart_and_lines_in_order(tmp_path):
    sides = """\
import numpy as np
from evalkit.embedders.base import EmbedderInfo

class Sides:
    info = EmbedderInfo(name="sides", dimension=2)

    def encode(self, items, side):
        turn = [float(item.prompt) + (side == "query") for item in items]
        return np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
"""
    (tmp_path / "sides.py").write_text(sides)
    rows = [(i, "candidate" if i % 3 else "query") for i in (4, 0, 2, 3, 1)]
    items = [{"id": f"n{i}", "side": side, "prompt": str(i)} for i, side in rows]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    args = ["--input", tmp_path / "items.jsonl", "--output", tmp_path / "v.npz", "--quiet"]
    assert command("embed", "--model", f"{tmp_path / 'sides.py'}:Sides", *args) == 0
    with np.load(tmp_path / "v.npz") as arrays:
        assert arrays["ids"].tolist() == ["n4", "n0", "n2", "n3", "n1"]
        turns = np.array([i + (side == "query") for i, side in rows], dtype=np.float64)
        assert np.allclose(arrays["vectors"], np.stack([np.cos(turns), np.sin(turns)], axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ('\n{"id": "a", "prompt": "<image>", "image": "missing.png"}', 4, "items.jsonl, line 2: image "),
        ('{"id": "a", "prompt": "<image>", "image": "missing.png"}', 4, "missing.png is missing"),
        ('{"id": "a", "prompt": "<image>", "image": "../up.png"}', 4, "leaves the images folder"),
        ('{"id": "a"}', 2, "line 1: key 'prompt' is missing"),
        ("not json", 2, "line 1"),
    ],
)
def test_embed_leaves_nothing_when_it_fails(line, code, says, tmp_path, capsys):
    (tmp_path / "items.jsonl").write_text(line)
    args = ["--input", tmp_path / "items.jsonl", "--output", tmp_path / "v.npz", "--quiet"]
    assert command("embed", "--model", "random", *args) == code
    assert says in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["items.jsonl"]


REGIONS = [
    {"box": [0, 0, 3, 3]},
    {"point": [1, 2]},
    {"points": [[1, 2], [3, 4]]},
    {"points": [[1, 2], [3, 4]], "negative_points": [[5, 5]]},
    {"point": [1, 2], "negative_points": [[5, 5]]},
    {"mask": "mask.png"},
]


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """An item file in which an image has every kind of region."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    Image.new("L", (8, 6), 255).save(tmp_path / "mask.png")
    rows = [{"id": str(n), "prompt": "<image>", "image": "a.png"} | region for n, region in enumerate(REGIONS)]
    (tmp_path / "regions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "regions.jsonl"


def test_every_region_has_a_vector_of_its_own_and_is_found_again(regions, tmp_path):
    """By precomputed:DIR, too, which declares what the model behind it took."""
    kinds = "box,point,points,mask"
    found = []
    for model in ("random", f"precomputed:{tmp_path}?regions={kinds}"):
        args = ["--input", regions, "--output", tmp_path / "v.npz", "--quiet"]
        assert command("embed", "--model", model, *args) == 0
        (tmp_path / "v.npz").rename(regions.with_suffix(".npz"))
        with np.load(regions.with_suffix(".npz")) as arrays:
            found.append(arrays["vectors"])
    assert (found[0] == found[1]).all()
    assert len(np.unique(found[0], axis=0)) == len(REGIONS)


def test_embed_names_the_line_of_a_region_that_is_not_on_its_image(regions, tmp_path, capsys):
    assert command("embed", "--model", "random", "--input", regions, "--output", regions.with_suffix(".npz")) == 0
    Image.new("RGB", (5, 6), "red").save(tmp_path / "a.png")
    model = f"precomputed:{tmp_path}?regions=points"
    capsys.readouterr()
    assert command("embed", "--model", model, "--input", regions, "--output", tmp_path / "v.npz") == 4
    assert f"{regions}, line 4: point [5, 5] lies outside its image of 5 x 6 pixels" in capsys.readouterr().err
    assert not (tmp_path / "v.npz").exists()


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "items.jsonl").write_text('{"id": "a", "prompt": "x"}')
    (tmp_path / "file").touch()
    args = ["--input", tmp_path / "items.jsonl", "--output", tmp_path / "file" / "v.npz", "--quiet"]
    assert command("embed", "--model", "random", *args) == 4
    assert f"{tmp_path / 'file' / 'v.npz'} cannot be written" in capsys.readouterr().err


# --- what run prints ---------------------------------------------------------------------------------


def test_run_prints_a_table_and_where_it_wrote(tmp_path, capsys):
    assert command("run", "--model", COLOURS, "--tasks", "example", "--data", EXAMPLE, "--out", tmp_path) == 0
    captured = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in captured.out.splitlines() if line.startswith("example/")}
    assert {name.rpartition("/")[2]: row[0] for name, row in rows.items()} == {
        "Shapes": "25.0", "ShapeColours": "50.0", "ShapeSearch": "25.0", "ShapeRegions": "14.3",
    }  # fmt: skip
    assert "example: 28.6 (4 of 4 tasks)" in captured.out
    (folder,) = tmp_path.glob("*/*/run.json")
    assert f"written to {folder.parent}" in captured.out
    assert captured.err.count("P@1") == 4


def test_quiet_is_quiet(tmp_path, capsys):
    assert run(tmp_path, "constant") == 0
    assert capsys.readouterr().err == ""


# --- pipes and locales -------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_traceback():
    args = ["inspect", "example/Shapes", "--data", str(EXAMPLE), "--json"]
    script = ["-c", "from evalkit.cli import main; main()"]
    with subprocess.Popen(
        [sys.executable, *script, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["label"]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 4, "not 1, which says that the answer is no"


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    "locale",
    [
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C"),
        pytest.param({"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}, id="Latin-1"),
    ],
)
def test_output_is_utf8_whatever_the_locale(locale, tmp_path):
    columns = golden("OK-VQA")
    columns["qry_text"][0] = "Wie heißt das – 猫?"
    write(tmp_path, "OK-VQA", columns)
    draw_images(tmp_path, columns)
    done = evalkit("inspect", "OK-VQA", "--data", tmp_path, "--json", "--limit", "1", env=locale, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["query"]["text"] == "Wie heißt das – 猫?"
    args = ["--model", "random", "--tasks", "OK-VQA", "--data", tmp_path, "--out", tmp_path / "runs"]
    done = evalkit("run", *args, env=locale, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert tasks_of(tmp_path / "runs")["OK-VQA"]["status"] == "done"
    assert "OK-VQA" in done.stdout


CONTROLS = "a\x1b]0;owned\x07\x1b[31m \x9b31m \u202egnp.\u2066 \u200f \x7f é猫"


@pytest.mark.parametrize("more", [["--json"], ["--items"], []])
def test_inspect_prints_no_character_that_steers_a_terminal(more, tmp_path, capsys):
    columns = golden("OK-VQA")
    columns["qry_text"][0] = CONTROLS
    columns["tgt_text"][0][1] = CONTROLS
    write(tmp_path, "OK-VQA", columns)
    (tmp_path / "images").mkdir()
    assert command("inspect", "OK-VQA", "--data", tmp_path, *more) == 0
    shown = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in shown)
    if "--json" in more:
        row = json.loads(shown.splitlines()[0])
        assert row["query"]["text"] == CONTROLS
        assert CONTROLS in row["names"]
    if "--items" in more:
        assert CONTROLS in {json.loads(line)["text"] for line in shown.splitlines()}
    if more:
        assert "é猫" in shown

"""evalkit from Python: the same job as the command, on what people hold."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from datasets import Dataset

import evalkit
from evalkit import errors
from evalkit.cli import main
from evalkit.example import DATA

COLOURS = ["red", "green", "blue"]
Texts = list[str]
Images = list[Any]


def colours(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
    """How red, green and blue an image is, or which of them a text names."""
    rows = []
    for text, image in zip(texts, images, strict=True):
        seen = np.zeros(3) if image is None else np.asarray(image).reshape(-1, 3).mean(0) / 255
        rows.append([*(seen + [colour in text for colour in COLOURS]), 0.01])
    return np.array(rows)


def own(name: str = "mine", n: int = 3) -> evalkit.Task:
    shades = {"red": (200, 10, 20), "green": (5, 180, 20), "blue": (9, 20, 220)}
    rows = [{"image": PIL.Image.new("RGB", (8, 6), shades[colour]), "label": colour} for colour in COLOURS[:n]]
    return evalkit.Task.from_rows(rows, name=name, candidates=COLOURS)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a run leaves, but for when and how fast."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in ("timing.json", ".lock") and "sqlite" not in file.name
    }


# --- the same job -----------------------------------------------------------------------------------------------


def test_it_leaves_what_the_command_leaves(tmp_path: Path) -> None:
    options = ["--model", "example-colours", "--tasks", "example", "--data", str(DATA), "--limit", "5"]
    with pytest.raises(SystemExit) as ended:
        main(["run", *options, "--prompting", "crop", "--out", str(tmp_path / "shell"), "--quiet"])
    assert ended.value.code == 0
    run = evalkit.evaluate(
        "example-colours", "example", DATA, tmp_path / "python", limit=5, prompting="crop", quiet=True
    )
    assert files_of(tmp_path / "python") == files_of(tmp_path / "shell") != {}
    assert run.folder is not None
    assert run.folder.is_relative_to(tmp_path / "python")
    record = json.loads((run.folder / "run.json").read_text())
    assert [row["metrics"]["precision_at_1"]["value"] for row in record["tasks"]] == run.to_pandas()["value"].tolist()


def test_nothing_is_left_where_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    run = evalkit.evaluate(colours, own(), quiet=True)
    assert list(tmp_path.iterdir()) == []
    assert run.folder is None
    assert len(run.samples("mine")) == 3
    again = evalkit.evaluate(colours, own(), quiet=True)
    assert evalkit.compare(run, again).to_pandas()["difference"].tolist() == [0.0]
    assert list(tmp_path.iterdir()) == []


def test_a_function_on_tasks_of_ones_own() -> None:
    run = evalkit.evaluate(colours, [own(), own("other", 2)], quiet=True)
    frame = run.to_pandas()
    assert frame["task"].tolist() == ["mine", "other"]
    assert frame["value"].tolist() == [1.0, 1.0]
    assert frame["n"].tolist() == [3, 2]
    assert frame["chance"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert frame["suite"].unique().tolist() == ["own"]
    assert run.averages().empty
    assert run.wrong("mine").empty


def test_the_order_of_tasks_is_the_commands(tmp_path: Path) -> None:
    run = evalkit.evaluate("random", [own(), "example/ShapeSearch,example/Shapes"], DATA, quiet=True)
    assert run.to_pandas()["task"].tolist() == ["example/Shapes", "example/ShapeSearch", "mine"]


def test_an_embedder_of_ones_own_as_an_object() -> None:
    from evalkit.embedders.baselines import Random

    assert (
        evalkit.evaluate(Random(), "example", DATA, quiet=True)
        .to_pandas()
        .drop(columns="signature")
        .equals(evalkit.evaluate("random", "example", DATA, quiet=True).to_pandas().drop(columns="signature"))
    )


# --- whose vectors ----------------------------------------------------------------------------------------------


def counted(calls: list[int], *, blind: bool = False) -> Any:
    """As :func:`colours`; a blind one takes red for blue in images."""

    def colours_(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
        calls.append(len(texts))
        found = colours(texts, images)
        if blind and images[0] is not None:
            found[:, :3] = found[:, 2::-1]
        return found

    return colours_


def test_without_a_fingerprint_no_call_sees_the_vectors_of_another(tmp_path: Path) -> None:
    before, after = list[int](), list[int]()
    evalkit.evaluate(counted(before), own(), out=tmp_path / "runs", quiet=True)
    second = evalkit.evaluate(counted(after, blind=True), own(), out=tmp_path / "runs", quiet=True)
    assert sum(after) == sum(before)
    assert second.to_pandas()["value"][0] < 1
    values = sorted(evalkit.load_runs(tmp_path / "runs").to_pandas()["value"])
    assert values == [second.to_pandas()["value"][0], 1.0], "each call is a run of its own"


def test_under_a_fingerprint_they_are_kept_and_looked_at_again(tmp_path: Path) -> None:
    said: dict[str, Any] = {"out": tmp_path / "runs", "fingerprint": "weights 7", "quiet": True}
    before, again = list[int](), list[int]()
    first = evalkit.evaluate(counted(before), own(), **said)
    second = evalkit.evaluate(counted(again), own(), **said)
    assert sum(again) > 0
    assert files_of(second.folder or tmp_path) == files_of(first.folder or tmp_path)
    assert len(evalkit.load_runs(tmp_path / "runs")) == 1
    with pytest.raises(errors.StaleVectorsError, match="not what colours_ gives now"):
        evalkit.evaluate(counted([], blind=True), own(), **said)
    kept = evalkit.load_run(tmp_path / "runs")
    assert kept.status == "failed"
    mended = evalkit.evaluate(counted([], blind=True), own(), rebuild_store=True, **said)
    assert mended.to_pandas()["value"][0] < 1


def test_an_object_that_changed_between_calls_on_other_tasks_is_found(tmp_path: Path) -> None:
    said: dict[str, Any] = {"out": tmp_path / "runs", "fingerprint": "v1", "quiet": True}
    evalkit.evaluate(lambda texts, images: colours(texts, images), own(), **said)
    turned = evalkit.Task.from_rows([{"text": "green", "label": 0}], name="other", candidates=["red", "blue"])

    def changed(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
        return colours(texts, images)[:, ::-1]

    with pytest.raises(errors.StaleVectorsError):
        evalkit.evaluate(changed, turned, name="lambda", **said)


def test_an_object_of_which_the_images_alone_changed_is_found_on_other_tasks(tmp_path: Path) -> None:
    said: dict[str, Any] = {"out": tmp_path / "runs", "fingerprint": "v1", "name": "seer", "quiet": True}

    def pictures(name: str, *drawn: str) -> evalkit.Task:
        pool = [PIL.Image.new("RGB", (8, 8), colour) for colour in drawn]
        return evalkit.Task.from_rows([{"image": pool[0], "label": 0}], name=name, candidates=pool)

    def seer(sign: int) -> Any:
        def seen(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
            means = [np.asarray(image).mean(axis=(0, 1)) for image in images if image is not None]
            return np.stack(means)[:, ::sign] + 1  # of texts alone it raises

        return seen

    evalkit.evaluate(seer(1), pictures("first", "red", "blue"), **said)
    evalkit.evaluate(seer(1), pictures("second", "lime", "olive"), **said)
    with pytest.raises(errors.StaleVectorsError, match="'<image>' with image"):
        evalkit.evaluate(seer(-1), pictures("third", "navy", "teal"), **said)


def test_an_object_whose_vectors_got_another_length_is_found(tmp_path: Path) -> None:
    said: dict[str, Any] = {"out": tmp_path / "runs", "fingerprint": "v1", "name": "mine", "quiet": True}
    evalkit.evaluate(colours, own(), **said)

    def shorter(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
        return colours(texts, images)[:, :2] + 1

    with pytest.raises(errors.StaleVectorsError, match="another length than the 2"):
        evalkit.evaluate(shorter, own(), **said)
    assert evalkit.evaluate(shorter, own(), rebuild_store=True, **said).manifest.model.dimension == 2


# --- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "tasks", "said", "error", "message"),
    [
        (lambda texts, images: np.zeros(3), own(), {}, errors.EmbedderError, r"returned shape \(3,\)"),
        (lambda texts, images: np.ones((1, 3)), own(), {}, errors.EmbedderError, r"shape \(1, 3\) for 2 items"),
        (colours, [own(), own()], {}, errors.UsageError, "called 'mine', and so is another"),
        (colours, own("ImageNet-1K"), {}, errors.UsageError, "called 'ImageNet-1K', and so is a task of mmeb"),
        (colours, "scar", {}, errors.UsageError, "^data is missing: SCaR/"),
        (colours, "no-such-task", {"data": DATA}, errors.UsageError, "no task, group or suite is called"),
        (colours, 3, {}, errors.UsageError, "is no task"),
        (colours, [{"text": "a", "label": 0}], {}, errors.UsageError, r"is no task: .*Task\.from_rows"),
        (colours, pd.DataFrame({"text": ["a"]}), {}, errors.UsageError, r"a DataFrame: .*Task\.from_pandas"),
        (colours, Dataset.from_dict({"text": ["a"]}), {}, errors.UsageError, r"a Dataset: .*from_dataset"),
        (colours, [], {}, errors.UsageError, "no task is named"),
        (colours, "example", {"data": "no/such/folder"}, errors.UsageError, "does not exist"),
        (colours, own(), {"store": "kept.sqlite"}, errors.UsageError, "nobody vouches for its vectors"),
        (colours, own(), {"batch_tokens": 0}, errors.UsageError, "batch_tokens is 0"),
        (colours, own(), {"limit": 0}, errors.UsageError, "limit is 0"),
        (colours, own(), {"prompting": "shouted"}, errors.UsageError, "'shouted' is not one of native, text"),
        (colours, own(), {"vectors": "int8"}, errors.UsageError, "vectors is 'int8'"),
        ("clip:./no-such-checkpoint", own(), {}, errors.EvalkitError, "no-such-checkpoint"),
        ("random", own(), {"device": "tpu"}, errors.UsageError, "device 'tpu'"),
        (3, own(), {}, errors.UsageError, "is no model"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    model: Any, tasks: Any, said: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        evalkit.evaluate(model, tasks, out=tmp_path / "runs", quiet=True, **said)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", ["missing", "cut off"])
def test_an_image_that_cannot_be_used_fails_its_task_and_the_others_go_on(what: str, tmp_path: Path) -> None:
    place = tmp_path / "photo.png"
    if what == "cut off":
        PIL.Image.effect_noise((60, 60), 90).save(place)
        place.write_bytes(place.read_bytes()[:900])
    broken = evalkit.Task.from_rows([{"image": place, "label": 0}], name="broken", candidates=["red", "blue"])
    run = evalkit.evaluate(colours, [broken, own()], quiet=True)
    assert dict(zip(run.tasks, run.to_pandas()["status"], strict=True)) == {"broken": "failed", "mine": "done"}
    with pytest.raises(errors.ImageError, match=r"photo\.png.*query of row 0"):
        evalkit.evaluate(colours, broken, out=tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_an_out_that_holds_something_else(what: str, tmp_path: Path) -> None:
    place = tmp_path / "out"
    if what == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "thesis.tex").write_text("mine")
    before = files_of(tmp_path)
    with pytest.raises(errors.UsageError, match=r"out .*: name (one|a folder)"):
        evalkit.evaluate(colours, own(), out=place, quiet=True)
    assert files_of(tmp_path) == before


def test_a_home_folder_is_what_it_is_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    evalkit.evaluate(colours, own(), out="~/runs", quiet=True)
    assert evalkit.load_run("~/runs").folder == evalkit.load_runs(tmp_path / "runs")[0].folder


def test_a_hidden_file_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    evalkit.evaluate(colours, own(), out=tmp_path, quiet=True)
    evalkit.evaluate(colours, own(), out=tmp_path, quiet=True)


def test_where_no_task_gets_a_number_its_error_is_raised_and_the_run_says_so(tmp_path: Path) -> None:
    task = evalkit.Task.from_rows([{"image": "no/such.png", "label": 0}], name="gone", candidates=["x"])
    with pytest.raises(errors.ImageError, match=r"such\.png"):
        evalkit.evaluate("random", task, out=tmp_path / "runs", quiet=True)
    run = evalkit.load_run(tmp_path / "runs")
    assert run.to_pandas()["status"].tolist() == ["failed"]
    assert run.to_pandas()["value"].isna().all()


def test_where_one_task_fails_the_others_have_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    gone = evalkit.Task.from_rows([{"image": "no/such.png", "label": 0}], name="gone", candidates=["x"])
    run = evalkit.evaluate("random", [own(), gone], name="r")
    frame = run.to_pandas().set_index("task")
    assert frame["status"].to_dict() == {"gone": "failed", "mine": "done"}
    assert frame["value"].isna().to_dict() == {"gone": True, "mine": False}
    assert "no/such.png" not in (frame["value"].dropna().astype(str).tolist())
    assert "such.png" in frame["error"]["gone"]
    assert "gone: failed" in capsys.readouterr().err


def test_an_interrupt_leaves_a_valid_run_that_goes_on(tmp_path: Path) -> None:
    def tired(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
        if any("stop" in text for text in texts):
            raise KeyboardInterrupt
        return colours(texts, images)

    last = evalkit.Task.from_rows([{"text": "stop", "label": 0}], name="late", candidates=["x", "red"])
    said: dict[str, Any] = {"out": tmp_path / "runs", "fingerprint": "v1", "name": "m", "quiet": True}
    with pytest.raises(KeyboardInterrupt):
        evalkit.evaluate(tired, [own(), last], **said)
    run = evalkit.load_run(tmp_path / "runs")
    assert (run.status, run.to_pandas()["task"].tolist()) == ("interrupted", ["mine"])
    whole = evalkit.evaluate(colours, [own(), last], **said)
    assert (whole.status, whole.to_pandas()["task"].tolist()) == ("done", ["late", "mine"])


# --- embed and check --------------------------------------------------------------------------------------------


def test_embed_gives_the_vectors_of_a_run() -> None:
    red = PIL.Image.new("RGB", (4, 4), "red")
    made = evalkit.embed(colours, ["a red dog", evalkit.Item(text="green"), red, "a red dog"], quiet=True)
    wanted = colours(["a red dog", "green", "", "a red dog"], [None, None, red, None])
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(
    ("items", "side"),
    [
        ([], "query"),
        ("text", "query"),
        (["text"], "document"),
        ([3], "query"),
        (["text", None], "query"),
        (None, "query"),
        ({"text": 1}, "query"),
        (PIL.Image.new("RGB", (4, 4)), "query"),
        (np.zeros((4, 4, 3), dtype=np.uint8), "query"),  # an image, and no list of its rows
    ],
)
def test_embed_names_what_it_cannot_take(items: Any, side: Any) -> None:
    with pytest.raises(errors.EvalkitError):
        evalkit.embed(colours, items, side=side, quiet=True)


def test_check_tells_who_behaves() -> None:
    good = evalkit.check("random")
    assert good.passed
    assert not good.failures
    assert repr(good).startswith("<random: 0 of ")

    def by_batch(texts: Texts, images: Images) -> np.ndarray[Any, Any]:
        return colours(texts, images) + len(texts)

    bad = evalkit.check(by_batch)
    assert not bad.passed
    frame = bad.to_pandas()
    assert frame.columns.tolist() == ["check", "passed", "found"]
    assert frame[frame["passed"].fillna(True).eq(False)]["check"].tolist() == [one.name for one in bad.failures]


# --- the names --------------------------------------------------------------------------------------------------


def test_two_functions_are_called_as_modules_are_and_stay_functions() -> None:
    script = (
        "import evalkit.evaluate, evalkit.check, evalkit.demo, evalkit\n"
        "from evalkit.evaluate import Job\n"
        "assert evalkit.evaluate.__module__ == 'evalkit.api' == evalkit.check.__module__, evalkit.evaluate\n"
        "assert callable(evalkit.evaluate) and evalkit.errors.EvalkitError\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_import_brings_nothing_heavy() -> None:
    script = (
        "import sys, evalkit; dir(evalkit); "
        "found = {'numpy', 'pandas', 'torch', 'PIL', 'pydantic', 'pyarrow', 'click'} & set(sys.modules); "
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        evalkit.evalute  # noqa: B018
    assert set(evalkit.__all__) <= set(dir(evalkit))


def public() -> dict[str, str]:
    """Every public name with its signature, and those of the public methods of classes."""
    found = {}
    for name in evalkit.__all__:
        thing = getattr(evalkit, name)
        found[name] = re.sub(" at 0x[0-9a-f]+", "", str(inspect.signature(thing)))
        for part, value in inspect.getmembers(thing) if inspect.isclass(thing) else ():
            if not part.startswith("_"):
                routine = inspect.isfunction(value) or inspect.ismethod(value)
                found[f"{name}.{part}"] = str(inspect.signature(value)) if routine else "attribute"
    return found


def test_the_public_names_and_signatures_are_those_on_file() -> None:
    """To change one breaks somebody's notebook: say so in CHANGELOG.md, then write the file anew (EVALKIT_GOLDEN=1)."""
    file = Path(__file__).parent / "golden" / "public.json"
    if os.environ.get("EVALKIT_GOLDEN"):
        file.write_text(json.dumps(public(), indent=1) + "\n")
    assert public() == json.loads(file.read_text())


@pytest.mark.parametrize("name", evalkit.__all__)
def test_every_public_name_has_a_docstring_with_an_example_that_runs(
    name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    thing = getattr(evalkit, name)
    module = importlib.import_module(thing.__module__)
    monkeypatch.chdir(tmp_path)
    tests = [test for test in doctest.DocTestFinder().find(thing, name, module=module) if test.examples]
    assert any(test.name == name for test in tests) or inspect.isclass(thing)
    assert tests, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    for test in tests:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)

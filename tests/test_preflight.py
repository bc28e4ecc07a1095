"""Before anything is embedded a run says which tasks will not run, and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import EXAMPLE, command, manifest, run, tasks_of
from own_runs import own_task

import evalkit as ek

SHAPES, COLOURS, SEARCH, REGIONS = (
    f"example/{name}" for name in ("Shapes", "ShapeColours", "ShapeSearch", "ShapeRegions")
)

PARTIAL = '''\
"""Takes what it is told; weights are what it would load at its first batch."""

import os

import numpy as np
from evalkit.embedders.base import EmbedderInfo


class Partial:
    def __init__(self, takes: str = "text", regions: str = ""):
        listed = frozenset(filter(None, regions.split(",")))
        self.info = EmbedderInfo("partial", 2, modalities=frozenset(takes.split(",")), regions=listed)

    def encode(self, items, side):
        open(os.environ["WEIGHTS"], "w").close()
        return np.tile(np.float32([1, 0]), (len(items), 1))
'''


@pytest.fixture
def partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model; where it loads weights, the file is there."""
    (tmp_path / "partial.py").write_text(PARTIAL)
    monkeypatch.setenv("WEIGHTS", str(tmp_path / "weights"))
    return f"{tmp_path / 'partial.py'}:Partial"


def told(out: Path, model: str, tasks: str, capsys: Any, *more: str | Path, data: Path = EXAMPLE) -> tuple[int, str]:
    """The exit code of a run that is not quiet, and what it says on standard error."""
    code = command("run", "--model", model, "--tasks", tasks, "--data", data, "--out", out, *more)
    return code, capsys.readouterr().err


def test_what_will_not_run_is_said_in_one_block_before_anything_is_embedded(partial, tmp_path, capsys):
    """Captions and images it takes, and no query of both."""
    code, said = told(tmp_path / "runs", f"{partial}?takes=text,image", "example", capsys, "--prompting", "none")
    lines = said.splitlines()
    assert code == 4
    assert lines[0] == "partial: 1 of 4 tasks will not run:"
    why = f"{COLOURS} has items of image+text; partial takes image, text (info.modalities)"
    assert lines[1] == f"- {COLOURS}: {why}"
    assert sum(COLOURS in line for line in lines) == 1, "and once is enough"
    assert [line.partition(":")[0] for line in lines[2:]] == [SHAPES, SEARCH, REGIONS]
    found = tasks_of(tmp_path / "runs")
    assert found[COLOURS]["error"] == {"type": "EmbedderError", "message": why}
    assert [found[name]["status"] for name in (SHAPES, COLOURS, SEARCH, REGIONS)] == ["done", "failed", "done", "done"]
    assert manifest(tmp_path / "runs")["status"] == "failed"


@pytest.mark.parametrize(
    ("options", "more", "says"),
    [
        ("takes=image", [], "has items of text; partial takes image"),
        ("takes=text", [], "has items of image; partial takes text"),
        ("takes=text,image,image%2Btext", ["--prompting", "native"], "takes none as an input of its own"),
    ],
)
def test_where_no_task_can_run_nothing_is_done(options, more, says, partial, tmp_path, capsys):
    code, said = told(tmp_path / "runs", f"{partial}?{options}", REGIONS, capsys, *more)
    assert code == 2
    assert "partial: no task can run, and nothing was done: " in said
    assert says in said
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "weights").exists()


def test_rows_that_are_not_there_are_said_before_a_model_is_looked_for(partial, tmp_path, capsys):
    code, said = told(tmp_path / "runs", "clip:./nowhere", "WebQA,scar", capsys)
    assert code == 2
    assert said.count("no file ") == 6
    assert "nowhere" not in said
    assert not (tmp_path / "runs").exists()
    code, said = told(tmp_path / "runs", "random", f"WebQA,{SHAPES}", capsys)
    assert code == 4
    assert said.startswith(f"1 of 2 tasks will not run:\n- WebQA: no file {EXAMPLE / 'WebQA'}/test-*.parquet or ")
    assert tasks_of(tmp_path / "runs")["WebQA"]["error"]["type"] == "DataError"


def test_a_model_that_can_do_nothing_does_not_keep_another_from_it(partial, tmp_path, capsys):
    args = ["--model", f"{partial}?takes=text", "--model", "random", "--tasks", SHAPES, "--data", EXAMPLE]
    assert command("run", *args, "--out", tmp_path / "runs", "--quiet") == 2
    assert "partial: no task can run" in capsys.readouterr().err
    assert manifest(tmp_path / "runs")["model"]["name"] == "random"


def test_what_was_done_before_stays_where_a_task_cannot_run_any_more(tmp_path, capsys):
    data = Path(shutil.copytree(EXAMPLE, tmp_path / "data"))
    assert run(tmp_path / "runs", "random", tasks=f"{SHAPES},{SEARCH}", data=data) == 0
    shutil.rmtree(data / "Shapes")
    assert run(tmp_path / "runs", "random", tasks=SHAPES, data=data) == 2
    found = tasks_of(tmp_path / "runs")
    assert [found[name]["status"] for name in (SHAPES, SEARCH)] == ["done", "done"]


def test_an_own_task_is_known_by_its_rows(partial, tmp_path):
    """Its card says what all its items are together; its items say it one by one, with a limit of the first alone."""
    rows: list[dict[str, Any]] = [{"text": "red", "label": 0}, {"text": "blue", "image": "no.png", "label": 1}]
    image = ek.Task.from_rows([{**rows[0]}], name="plain", candidates=["a", "b"])
    assert image.card.query_modality == "text"
    from PIL import Image

    rows[1]["image"] = Image.new("RGB", (4, 4))
    mixed = ek.Task.from_rows(rows, name="mixed", candidates=["a", "b"])
    with pytest.raises(ek.errors.UsageError, match=r"mixed: mixed has items of image\+text; partial takes text"):
        ek.evaluate(partial, mixed, quiet=True)
    assert not (tmp_path / "weights").exists()
    assert ek.evaluate(partial, mixed, limit=1, quiet=True).status == "done"
    run = ek.evaluate(partial, [mixed, image], quiet=True)
    assert [result.status for result in run.manifest.tasks] == ["failed", "done"]


def test_python_says_it_as_well(partial, tmp_path, capsys):
    run = ek.evaluate(f"{partial}?takes=text,image", [SHAPES, COLOURS], EXAMPLE)
    assert [result.status for result in run.manifest.tasks] == ["done", "failed"]
    assert capsys.readouterr().err.startswith("partial: 1 of 2 tasks will not run:\n- example/ShapeColours: ")
    with pytest.raises(ek.errors.UsageError, match="no task can run"):
        ek.evaluate(f"{partial}?takes=text", own_task(), out=tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs").exists()


def test_a_rehearsal_does_nothing(partial, tmp_path, capsys):
    args = ["--tasks", f"{SHAPES},{COLOURS}", "--data", EXAMPLE, "--out", tmp_path / "runs", "--dry-run"]
    assert command("run", "--model", "random?dimensions=8,64", *args) == 0
    said = capsys.readouterr().out
    assert "random, dimension 8, 64: 2 of 2 tasks would run" in said
    assert command("run", "--model", f"{partial}?takes=text,image", *args) == 4
    said = capsys.readouterr().out
    assert "partial, dimension 2: 1 of 2 tasks would run" in said
    assert f"{COLOURS} would not run: {COLOURS} has items of image+text" in said
    assert command("run", "--model", partial, *args) == 2
    assert command("run", "--model", "clip:./nowhere", "--model", "random", *args) == 2
    assert "2 of 2 tasks would run" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "weights").exists()


def test_a_suite_that_does_not_say_where_its_rows_lie_is_run(tmp_path, monkeypatch):
    from evalkit.suites import selecting
    from evalkit.suites.task import DataFolder

    class Plain:
        name = "example"

        def cards(self) -> Any:
            return selecting.suites()["example"].cards()

    card = selecting.select_tasks([SHAPES])[0]
    (tmp_path / "empty").mkdir()
    empty = DataFolder.at(tmp_path / "empty")
    with pytest.raises(ek.errors.DataError, match="no file"):
        selecting.require_rows(card, empty)
    monkeypatch.setattr(selecting, "suites", lambda: {"example": Plain()})
    selecting.require_rows(card, empty)


def test_the_dry_run_is_in_the_help(capsys):
    assert command("run", "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--dry-run" in said
    assert "?dimensions=" in said
    assert json.dumps(said)

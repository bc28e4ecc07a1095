"""Records of own tasks: their cards travel with them, and a task that is installed later is another one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import evalkit
from evalkit.errors import ResultsError, UsageError
from evalkit.runs.manifest import averages
from evalkit.suites.selecting import select_tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"question {number}", "label": number % 3} for number in range(6)]
    task = evalkit.Task.from_rows(rows, name="mine", title="Mine", candidates=["a", "b", "c"])
    run = evalkit.evaluate("random", task, out=tmp_path / "runs", quiet=True)
    assert run.folder is not None
    return run.folder


def called(folder: Path, name: str) -> None:
    """The record as if the task had had another name when it was run."""
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"mine"', f'"{name}"').replace("task:mine@", f"task:{name}@"))


def test_the_card_is_in_the_record(folder: Path) -> None:
    card = evalkit.load_run(folder).manifest.own_tasks["mine"]
    assert (card.title, card.suite, card.queries, card.candidates, card.pool) == ("Mine", "own", 6, 3, "shared")


def test_a_suite_that_is_installed_later_takes_nothing_from_an_own_task_of_its_tasks_name(folder: Path) -> None:
    before = evalkit.load_run(folder).to_pandas()
    called(folder, "VOC2007")
    run = evalkit.load_run(folder, check=False)  # its per-query file has the name of before
    assert run.to_pandas()["value"].tolist() == before["value"].tolist()
    assert run.averages().empty


def test_an_own_number_counts_in_no_average_of_a_suite_with_a_task_of_its_name(folder: Path) -> None:
    called(folder, "VOC2007")
    [own] = evalkit.load_run(folder, check=False).manifest.tasks
    [card] = select_tasks(["ImageNet-A"])
    other = own.model_copy(update={"task": card.name, "suite": "mmeb", "complete": True})
    assert {average.group: average.n_done for average in averages([own, other])}["mmeb"] == 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda record: record["own_tasks"].clear(), "tasks has the own task 'mine', and own_tasks does not"),
        (lambda record: record["own_tasks"]["mine"].update(name="other"), "whose card says 'other' of suite 'own'"),
        (lambda record: record["own_tasks"]["mine"].update(suite="mmeb"), "own_tasks"),
        (lambda record: record["own_tasks"]["mine"].update(queries=7), "its card promises 7"),
        (lambda record: record["own_tasks"]["mine"].update(meta_task="vqa"), "its card says vqa"),
        (lambda record: record["tasks"].clear(), "own_tasks has the own task 'mine', and tasks does not"),
    ],
)
def test_a_record_and_its_cards_belong_together(folder: Path, edit: object, message: str) -> None:
    record = json.loads((folder / "run.json").read_text())
    edit(record)  # type: ignore[operator]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=message):
        evalkit.load_run(folder)


def test_a_failed_task_is_run_again_under_its_name(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "samples")
    task = evalkit.Task.from_rows([{"text": "q", "label": 0}], name="mine", version=2, candidates=["a", "b"])
    run = evalkit.evaluate("random", task, out=tmp_path / "runs", quiet=True)
    assert run.folder == folder
    assert (run.manifest.own_tasks["mine"].version, run.manifest.own_tasks["mine"].queries) == (2, 1)


@pytest.mark.parametrize("name", ["voc2007", "VOC2007", "MMEB", "All", "own"])
def test_a_name_that_only_its_case_tells_from_an_installed_one_is_refused(name: str) -> None:
    task = evalkit.Task.from_rows([{"text": "q", "label": 0}], name=name, candidates=["a", "b"])
    with pytest.raises(UsageError, match="give it another name"):
        evalkit.evaluate("random", task, quiet=True)


def test_two_names_that_only_their_case_tells_apart_are_refused() -> None:
    tasks = [
        evalkit.Task.from_rows([{"text": "q", "label": 0}], name=name, candidates=["a", "b"]) for name in ("t", "T")
    ]
    with pytest.raises(UsageError, match="is called 'T', and so is another one"):
        evalkit.evaluate("random", tasks, quiet=True)

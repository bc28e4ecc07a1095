"""The files of a run: their schema, averages, reading and writing."""

from __future__ import annotations

import copy
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import files_of, run, write
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ResultsError, UsageError
from evalkit.files import json_bytes
from evalkit.runs.manifest import (
    Environment,
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    Settings,
    TaskResult,
    averages,
    schema,
)
from evalkit.runs.runfolder import RunFolder, find_runs, read_run
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import all_cards, select_tasks

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "run.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def result(card: TaskCard, value: float = 0.5, **changes: Any) -> TaskResult:
    """A task that is done, unless the changes say otherwise."""
    metric = MetricResult(
        value=value,
        optimistic=1,
        pessimistic=0,
        chance=0.1,
        n=card.queries,
        n_ties=3,
        low=0,
        high=1,
        interval="wilson",
    )
    facts = {"task": card.name, "task_version": 1, "suite": card.suite, "meta_task": card.meta_task}
    facts |= {"distribution": card.distribution, "status": "done", "complete": True, "n_queries": card.queries}
    return TaskResult.model_validate(facts | {"metrics": {"precision_at_1": metric}} | changes)


def empty(**changes: Any) -> Manifest:
    model = ModelRecord(
        name="m", family="f", revision=None, fingerprint="0" * 64, dimension=2, modalities=(), regions=(), options={}
    )
    facts: dict[str, Any] = {"run_id": "0" * 12, "status": "running", "evalkit_version": "0", "model": model}
    environment = Environment(python="3", system="s", device="d", packages={})
    return Manifest(**facts | {"settings": Settings(), "environment": environment} | changes)


# --- the schema --------------------------------------------------------------------------------------


def test_the_schema_on_file_is_that_of_the_models():
    """``python -m evalkit.runs.manifest > docs/run.schema.json`` writes it again."""
    assert schema() == SCHEMA
    printed = subprocess.run([sys.executable, "-m", "evalkit.runs.manifest"], capture_output=True, check=True).stdout
    assert SCHEMA_FILE.read_bytes() == printed


def test_the_schema_says_what_every_field_is():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for kind in (SCHEMA, *SCHEMA["$defs"].values()):
        assert kind["additionalProperties"] is False
        assert set(kind["required"]) == set(kind["properties"]), "missing is null, not left out"
        for name, field in kind["properties"].items():
            described = field | SCHEMA["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            assert described.get("description", "").endswith("."), (kind["title"], name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that are done, partial and failed; nobody writes into it."""
    out = tmp_path_factory.mktemp("runs")
    broken = tmp_path_factory.mktemp("data")
    write(broken, "WebQA", {"qry_text": ["a"]})
    run(out, "random", "constant")
    run(out, "random", more=["--limit", "2"])
    run(out, "random?seed=1", tasks="WebQA", data=broken)
    run(out, "random?seed=1", tasks="example/Shapes")
    return out


def test_files_of_runs_are_as_the_schema_says(runs):
    files = sorted(runs.glob("*/*/run.json"))
    assert len(files) == 4
    validator = jsonschema.Draft202012Validator(SCHEMA)
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for data in found:
        validator.validate(data)
    assert {data["status"] for data in found} == {"done", "failed"}
    assert {task["status"] for data in found for task in data["tasks"]} == {"done", "failed"}


def change(path: str, value: Any) -> Callable[[Any], None]:
    def apply(data: Any) -> None:
        *places, last = path.split(".")
        for place in places:
            data = data[int(place) if place.isdigit() else place]
        if value is ...:
            del data[last]
        else:
            data[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("host", "a"), ("status", "complete"), ("status", None), ("schema", "evalkit"), ("schema_version", 2),
        ("run_id", "abc"), ("model.fingerprint", "abc"), ("model.dimension", 0), ("model.path", "/a"),
        ("settings.limit", 0), ("settings.exif", "turn"), ("tasks.0.metrics.precision_at_1.value", 1.5),
        ("tasks.0.metrics.precision_at_1.value", None), ("tasks.0.metrics.precision_at_1.low", -0.1),
        ("tasks.0.metrics.precision_at_1.n", 0), ("tasks.0.metrics.precision_at_1.interval", "normal"),
        ("tasks.0.distribution", "both"), ("tasks.0.n_queries", 0), ("tasks.0.status", "running"),
        ("tasks.0.warnings", "none"), ("tasks.0.started_at", "now"), ("averages.0.value", 100), ("averages.0.rank", 1),
        ("environment.hostname", "a"), ("environment", None), ("model", ...), ("tasks.0.complete", ...),
    ],
)  # fmt: skip
def test_what_is_no_run_is_refused_by_schema_and_reader(path, value, runs, tmp_path):
    file = next(iter(runs.glob("constant/*/run.json")))
    data = json.loads(file.read_text(encoding="utf-8"))
    changed = copy.deepcopy(data)
    change(path, value)(changed)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(changed)
    (tmp_path / "run.json").write_text(json.dumps(changed))
    with pytest.raises(ResultsError, match=r"run\.json is not a run of schema version 1") as error:
        read_run(tmp_path)
    assert path.split(".")[-1] in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"schema": "evalkit.run"}'])
def test_what_is_no_json_of_a_run_is_refused(text, tmp_path):
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ResultsError, match=str(tmp_path / "run.json")):
        read_run(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_no_number_that_is_none_is_read_or_written(number, runs, tmp_path):
    text = next(iter(runs.glob("constant/*/run.json"))).read_text()
    assert '"value": 0.03125' in text
    (tmp_path / "run.json").write_text(text.replace('"value": 0.03125', f'"value": {number}', 1))
    with pytest.raises(ResultsError):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"value": float(number.replace("Infinity", "inf"))})


def test_what_is_read_is_what_was_written(runs):
    for file in runs.glob("*/*/run.json"):
        assert json_bytes(read_run(file.parent).model_dump(mode="json", by_alias=True)) == file.read_bytes()


def test_missing_is_null_never_zero(runs):
    failed = [task for _, found in find_runs([runs]) for task in found.tasks if task.status == "failed"]
    assert [task.task for task in failed] == ["WebQA"]
    data = failed[0].model_dump()
    assert {name for name, value in data.items() if value is None} == {
        "n_queries", "n_candidates", "prompting", "metrics", "signature", "samples",
    }  # fmt: skip


# --- averages ----------------------------------------------------------------------------------------

MMEB, SCAR = select_tasks(["mmeb"]), select_tasks(["scar"])
GROUPS = {
    "mmeb": 36,
    "mmeb/classification": 10,
    "mmeb/vqa": 10,
    "mmeb/retrieval": 12,
    "mmeb/grounding": 4,
    "mmeb/ind": 20,
    "mmeb/ood": 16,
}


def scored(cards: tuple[TaskCard, ...]) -> dict[str, float]:
    return {card.name: (7 * place % 37) / 37 for place, card in enumerate(cards, start=1)}


def test_averages_are_unweighted_means_over_all_tasks():
    scores = scored(MMEB + SCAR)
    found = {a.group: a for a in averages([result(card, scores[card.name]) for card in reversed(MMEB + SCAR)])}
    assert {group: average.n_tasks for group, average in found.items()} == GROUPS | {"scar": 5}
    for group, average in found.items():
        members = [Fraction(scores[card.name]) for card in select_tasks([group])]
        assert average.n_done == average.n_tasks == len(members)
        assert average.value == pytest.approx(float(sum(members) / len(members)), abs=1e-15)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(None, id="missing"),
        pytest.param({"complete": False}, id="partial"),
        pytest.param(
            {"status": "failed", "complete": False, "metrics": None, "error": Failure(type="E", message="m")},
            id="failed",
        ),
    ],
)
@pytest.mark.parametrize("card", [MMEB[0], MMEB[20], MMEB[35]], ids=lambda card: card.name)
def test_one_task_less_and_there_is_no_average(card, changes):
    results = [result(other) for other in MMEB if other != card]
    if changes is not None:
        results.append(result(card, **changes))
    for average in averages(results):
        lacking = average.group in card.groups
        assert average.value == (None if lacking else 0.5)
        assert average.n_done == GROUPS[average.group] - lacking


@given(chosen=st.sets(st.sampled_from([card.name for card in MMEB])))
def test_there_is_an_average_exactly_where_all_are_done(chosen):
    for average in averages([result(card) for card in MMEB if card.name in chosen]):
        members = {card.name for card in select_tasks([average.group])}
        assert (average.n_done, average.n_tasks) == (len(members & chosen), len(members))
        assert (average.value is not None) == (members <= chosen)


def test_averages_are_of_the_suites_that_have_a_result():
    assert averages([]) == ()
    assert {average.group for average in averages([result(SCAR[2])])} == {"scar"}
    assert {average.group for average in averages([result(MMEB[2])])} == set(GROUPS)


def test_a_result_of_a_task_that_is_no_longer_there_does_not_count():
    gone = result(MMEB[0]).model_copy(update={"task": "CIFAR-100"})
    whole = averages([result(card) for card in MMEB])
    assert averages([gone, *(result(card) for card in MMEB)]) == whole
    assert averages([gone, *(result(card) for card in MMEB[1:])])[0].value is None


# --- writing -----------------------------------------------------------------------------------------


def test_tasks_stand_in_the_order_of_the_suites(tmp_path):
    cards = [all_cards()[place] for place in (40, 3, 17, 44, 0)]
    folder = RunFolder(tmp_path, empty())
    for card in cards:
        folder.record(result(card))
    names = [task.task for task in read_run(tmp_path).tasks]
    assert names == [card.name for card in all_cards() if card in cards]


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path):
    folder = RunFolder(tmp_path, empty())
    folder.record(result(MMEB[0], 0.25))
    folder.record(result(MMEB[1], 0.25))
    folder.record(result(MMEB[0], 0.75))
    values = [task.metrics["precision_at_1"].value for task in read_run(tmp_path).tasks if task.metrics]
    assert values == [0.75, 0.25]


def test_status(tmp_path):
    folder = RunFolder(tmp_path, empty())
    assert read_run(tmp_path).status == "running"
    folder.record(result(MMEB[0]))
    assert read_run(tmp_path).status == "running"
    for status in ("interrupted", "failed", "done"):
        folder.finish(status)
        assert read_run(tmp_path).status == status
    again = RunFolder(tmp_path, empty())
    assert read_run(tmp_path).status == "running"
    again.record(result(MMEB[1], status="failed", complete=False, metrics=None))
    again.finish("done")
    assert read_run(tmp_path).status == "failed"


def _record(folder: Path, names: list[str]) -> None:
    run = RunFolder(folder, empty())
    for name in names:
        run.record(result(select_tasks([name])[0]))
    run.finish("done")


@pytest.mark.slow(2)
def test_processes_at_once_lose_nothing(tmp_path):
    names = [card.name for card in MMEB[:20]]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_record, args=(tmp_path, names[start::2])) for start in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [task.task for task in read_run(tmp_path).tasks] == names
    assert read_run(tmp_path).averages[0].n_done == 20


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    RunFolder(tmp_path, empty()).record(result(MMEB[0]))
    (tmp_path / "samples" / "SCaR").mkdir(parents=True)
    left = [tmp_path / ".run.json.0123456789ab", tmp_path / "samples" / "SCaR" / ".RefCOCOg.parquet.0123456789ab"]
    kept = [tmp_path / "samples" / "A.b.parquet", tmp_path / ".my.notes.txt", tmp_path / ".lock"]
    for file in (*left, *kept):
        file.touch()
    RunFolder(tmp_path, empty())
    assert [file.exists() for file in left] == [False, False]
    assert [file.exists() for file in kept] == [True, True, True]
    assert len(read_run(tmp_path).tasks) == 1


# --- finding -----------------------------------------------------------------------------------------


@pytest.fixture
def some(tmp_path: Path) -> Path:
    for model, run_id in (("b", "1" * 12), ("a", "2" * 12), ("a", "1" * 12)):
        record = empty().model.model_copy(update={"name": model})
        RunFolder(tmp_path / model / run_id, empty(run_id=run_id, model=record))
    return tmp_path


def test_runs_are_found_at_every_level(some):
    everything = [f"{folder.parent.name}/{folder.name}" for folder, _ in find_runs([some])]
    assert everything == ["a/" + "1" * 12, "a/" + "2" * 12, "b/" + "1" * 12]
    assert [folder.name for folder, _ in find_runs([some / "a"])] == ["1" * 12, "2" * 12]
    assert [folder for folder, _ in find_runs([some / "b" / ("1" * 12)])] == [some / "b" / ("1" * 12)]
    assert len(find_runs([some, some / "a", some / "b"])) == 3


def test_a_folder_of_runs_whose_name_no_disk_takes_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"x{300} cannot be read: File name too long"):
        find_runs([tmp_path / ("x" * 300)])


@pytest.mark.parametrize("place", ["nowhere", "file"])
def test_where_no_run_is(place, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"{place} holds no run"):
        find_runs([tmp_path / place])


def test_a_broken_run_among_others_is_named(some):
    broken = some / "a" / ("2" * 12) / "run.json"
    broken.write_text("{")
    with pytest.raises(ResultsError, match=str(broken)):
        find_runs([some])


def test_files_are_those_that_are_promised(runs):
    """One parquet file for each task that is done, named by the manifest."""
    for folder, found in find_runs([runs]):
        named = {task.samples for task in found.tasks if task.samples}
        there = {str(f.relative_to(folder)) for f in folder.glob("samples/**/*.parquet")}
        assert there == named == {f"samples/{task.task}.parquet" for task in found.tasks if task.status == "done"}
        assert {f.name for f in folder.iterdir()} == {"run.json", "samples", "timing.json", ".lock"}
    assert len(files_of(runs)) == 4 + 4 + 4 + 4 + 1

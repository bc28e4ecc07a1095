"""Runs as people hold them: tables that say what the records say, queries held to their numbers, what is shown."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import run, write
from comparisons import copied
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ResultsError, UsageError
from evalkit.runs.manifest import (
    Average,
    Environment,
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    Settings,
    TaskResult,
    averages,
)
from evalkit.runs.run import Run, Runs, load_run, load_runs
from evalkit.scoring.metrics import METRICS

COLUMNS = [
    *("model", "task", "suite", "meta_task", "metric", "value", "low", "high", "chance", "optimistic", "pessimistic"),
    *("n_ties", "n", "complete", "prompting", "status", "error", "signature"),
]
NUMBERS = ("value", "low", "high", "chance", "optimistic", "pessimistic", "n_ties", "n")
SHAPES = "example/Shapes"
EVIL = "<script>alert('&amp;')</script>\x1b[31m"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two models, whole; a partial one; one with a failed task. Copy before changing a file."""
    out = tmp_path_factory.mktemp("runs")
    broken = tmp_path_factory.mktemp("data")
    write(broken, "WebQA", {"qry_text": ["a"]})
    assert run(out / "whole", "random", "example-colours") == 0
    assert run(out / "partial", "random", more=["--limit", "5"]) == 0
    run(out / "failed", "random?seed=1", tasks="WebQA", data=broken)
    assert run(out / "failed", "random?seed=1", tasks=SHAPES) == 0
    return out


@pytest.fixture(scope="module")
def colours(out: Path) -> Run:
    return load_run(out / "whole/example-colours")


def every(out: Path) -> Runs:
    return load_runs(out / "whole", out / "partial", out / "failed")


def record(found: Run) -> dict[str, Any]:
    """Its ``run.json`` as any reader of JSON has it."""
    assert found.folder is not None
    data: dict[str, Any] = json.loads((found.folder / "run.json").read_text(encoding="utf-8"))
    return data


def missing(value: object) -> bool:
    return value is pd.NA


# --- tables ------------------------------------------------------------------------------------------------


def test_a_row_says_of_its_task_what_the_record_says(out: Path) -> None:
    for found in every(out):
        data, frame = record(found), found.to_pandas()
        assert list(frame.columns) == COLUMNS
        assert len(frame) == len(data["tasks"])
        for row, task in zip(frame.to_dict("records"), data["tasks"], strict=True):
            number = (task["metrics"] or {}).get("precision_at_1", {})
            wanted = {name: number.get(name) for name in NUMBERS}
            wanted |= {name: task[name] for name in ("task", "suite", "meta_task", "complete", "prompting", "status")}
            wanted |= {"model": data["model"]["name"], "metric": "precision_at_1", "signature": task["signature"]}
            wanted["error"] = task["error"]["message"] if task["error"] else None
            assert {name: None if missing(value) else value for name, value in row.items()} == wanted


def test_a_task_that_failed_has_no_number(out: Path) -> None:
    frame = load_run(out / "failed").to_pandas().set_index("task")
    assert frame["status"].to_dict() == {"WebQA": "failed", SHAPES: "done"}
    failed = frame.loc["WebQA"]
    assert all(missing(failed[name]) for name in (*NUMBERS, "prompting", "signature"))
    assert failed["complete"] is False or not failed["complete"]
    assert "tgt_text" in failed["error"] or "qry_img_path" in failed["error"]
    assert missing(frame.loc[SHAPES, "error"])


def test_columns_are_of_kinds_that_can_be_missing(out: Path) -> None:
    for frame in (load_run(out / "failed").to_pandas(), Runs().to_pandas()):
        kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
        counts, texts = ("n_ties", "n"), set(COLUMNS) - {*NUMBERS, "complete"}
        assert {kinds[name] for name in NUMBERS if name not in counts} == {"Float64"}
        assert {kinds[name] for name in counts} == {"Int64"}
        assert {kinds[name] for name in texts} == {"string"}
        assert kinds["complete"] == "bool"


@pytest.mark.parametrize("metric", ["mrr", "hit_at_5"])
def test_other_metrics_of_a_run(colours: Run, metric: str) -> None:
    frame = colours.to_pandas(metric)
    assert set(frame["metric"]) == {metric}
    assert frame["value"].tolist() == [task["metrics"][metric]["value"] for task in record(colours)["tasks"]]


def test_a_metric_that_is_none_is_refused(colours: Run) -> None:
    with pytest.raises(UsageError, match=r"metric 'mr' is not one of precision_at_1, .*; near: mrr"):
        colours.to_pandas("mr")


def test_averages_are_those_of_the_record_and_missing_where_a_task_is(out: Path, colours: Run) -> None:
    frame = colours.averages()
    assert frame.to_dict("records") == record(colours)["averages"]
    assert frame["value"][0] == pytest.approx(sum(colours.to_pandas()["value"]) / 4, abs=1e-12)
    for place, n_done in (("partial", 0), ("failed", 1)):
        frame = load_run(out / place).averages().set_index("group")
        assert missing(frame.loc["example", "value"])
        assert frame.loc["example", "n_done"] == n_done
        assert frame.loc["example", "n_tasks"] == 4


def test_the_table_of_several_runs_is_theirs_one_after_the_other(out: Path) -> None:
    runs = every(out)
    frame = runs.to_pandas()
    pd.testing.assert_frame_equal(frame, pd.concat([one.to_pandas() for one in runs], ignore_index=True))
    by_run = runs.to_pandas(by_run=True)
    assert list(by_run.columns) == COLUMNS
    assert by_run.index.tolist() == [one.run_id for one in runs for _ in one.tasks]
    assert by_run.groupby("run").size().to_dict() == {one.run_id: len(one.tasks) for one in runs}
    averages = runs.averages()
    assert list(averages.columns) == ["model", "run", "group", "value", "n_done", "n_tasks"]
    assert list(zip(averages["model"], averages["run"], averages["group"], strict=True)) == [
        (one.model, one.run_id, average.group) for one in runs for average in one.manifest.averages
    ]


fractions = st.floats(0, 1)
metrics = st.builds(
    MetricResult,
    **dict.fromkeys(("value", "optimistic", "pessimistic", "chance", "low", "high"), fractions),
    n=st.integers(1, 10**12),
    n_ties=st.integers(0, 10**12),
    interval=st.sampled_from(["wilson", "bootstrap"]),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
results = st.builds(
    TaskResult,
    task=texts,
    task_version=st.integers(1, 9),
    suite=texts.filter(lambda suite: suite != "own"),
    meta_task=texts,
    distribution=st.sampled_from(["ind", "ood", None]),
    status=st.sampled_from(["done", "failed"]),
    complete=st.booleans(),
    prompting=st.sampled_from([None, "native", "not_of_this_version"]),
    metrics=st.none() | st.dictionaries(st.sampled_from(["precision_at_1", "mrr", "other"]), metrics, max_size=3),
    signature=st.none() | texts,
    error=st.none() | st.builds(Failure, type=texts, message=texts),
)


def manifest_of(tasks: tuple[TaskResult, ...] = (), model: str = "m", means: tuple[Average, ...] = ()) -> Manifest:
    return Manifest(
        run_id="0" * 12,
        status="done",
        evalkit_version="0",
        model=ModelRecord(
            name=model,
            family="f",
            revision=None,
            fingerprint="0" * 64,
            dimension=2,
            modalities=(),
            regions=(),
            options={},
        ),
        settings=Settings(),
        environment=Environment(python="3", system="s", device="d", packages={}),
        tasks=tasks,
        averages=means,
    )


@given(
    st.lists(st.lists(results, max_size=4, unique_by=lambda one: one.task).map(tuple), max_size=3),
    st.sampled_from(["precision_at_1", "mrr"]),
)
def test_any_record_is_its_table_and_no_number_comes_of_none(tasks: list[tuple[TaskResult, ...]], metric: str) -> None:
    frame = Runs(Run(manifest_of(one)) for one in tasks).to_pandas(metric)
    assert list(frame.columns) == COLUMNS
    every = [result for one in tasks for result in one]
    assert len(frame) == len(every)
    for (_, row), result in zip(frame.iterrows(), every, strict=True):
        found = (result.metrics or {}).get(metric)
        for name in NUMBERS:
            assert missing(row[name]) if found is None else row[name] == getattr(found, name)
        for name in ("task", "suite", "meta_task", "prompting", "status", "signature", "complete"):
            said = getattr(result, name)
            assert missing(row[name]) if said is None else row[name] == said
        assert missing(row["error"]) if result.error is None else row["error"] == result.error.message


# --- queries -----------------------------------------------------------------------------------------------


def test_the_queries_of_a_task_are_those_of_its_file(colours: Run) -> None:
    assert colours.folder is not None
    for task in colours.tasks:
        table = pq.read_table(colours.folder / f"samples/{task}.parquet")
        frame = colours.samples(task)
        assert list(frame.columns) == table.column_names
        for name in table.column_names:
            assert [None if value is pd.NA else value for value in frame[name]] == table[name].to_pylist()
        wrong = colours.wrong(task)
        pd.testing.assert_frame_equal(wrong, frame.loc[[score < 1 for score in table["score"].to_pylist()]])
        assert wrong.index.tolist() == [row for row, score in enumerate(table["score"].to_pylist()) if score < 1]


def test_a_tie_counts_as_wrong(colours: Run) -> None:
    wrong = colours.wrong(SHAPES)
    assert len(wrong) == 64
    assert set(wrong["score"]) == {0.25}


def test_what_files_of_early_versions_lack_is_missing(out: Path, tmp_path: Path) -> None:
    old = copied(out / "whole/random", tmp_path / "old")
    file = old / f"samples/{SHAPES}.parquet"
    table = pq.read_table(file)
    pq.write_table(table.select(["id", "score"]), file)
    frame = load_run(old).samples(SHAPES)
    assert frame["score"].tolist() == table["score"].to_pylist()
    assert all(frame[name].isna().all() for name in frame.columns if name not in ("id", "score"))
    assert {str(frame[name].dtype) for name in ("rank", "ties", "pool")} == {"Int64"}


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("example/Shape", r"has no task 'example/Shape'; it has example/Shapes, .*; near: example/Shapes"),
        (
            "",
            r"has no task ''; it has example/Shapes, example/ShapeColours, example/ShapeSearch, example/ShapeRegions$",
        ),
    ],
)
def test_a_task_that_the_run_has_not_is_named_with_those_that_it_has(colours: Run, task: str, says: str) -> None:
    for ask in (colours.samples, colours.wrong):
        with pytest.raises(UsageError, match=says):
            ask(task)


def test_a_task_without_queries_says_why(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"WebQA failed, so it has no queries: .*column"):
        load_run(out / "failed").samples("WebQA")
    gone = copied(out / "whole/random", tmp_path / "gone")
    (gone / f"samples/{SHAPES}.parquet").unlink()
    with pytest.raises(ResultsError, match=f"per-query file of {SHAPES} is not there"):
        load_run(gone).samples(SHAPES)


# --- what is believed --------------------------------------------------------------------------------------


def raised(folder: Path) -> None:
    """A value that the queries do not have, of all that has to agree with it."""
    data = json.loads((folder / "run.json").read_text())
    number = data["tasks"][0]["metrics"]["precision_at_1"]
    number["value"], number["high"] = number["optimistic"], 1
    means = averages([TaskResult.model_validate(task) for task in data["tasks"]])
    data["averages"] = [mean.model_dump(mode="json") for mean in means]
    (folder / "run.json").write_text(json.dumps(data))


def test_a_number_that_its_queries_do_not_bear_out_is_refused(out: Path, tmp_path: Path) -> None:
    edited = copied(out / "whole/example-colours", tmp_path / "edited")
    raised(edited)
    for load in (load_run, load_runs):
        with pytest.raises(ResultsError, match=f"{SHAPES}: metrics.precision_at_1.value is 1.0, and by .* it is 0.25"):
            load(edited)
    unread = load_run(edited, check=False)
    assert not unread.checked
    for shown in (repr(unread), unread._repr_html_(), repr(Runs([unread])), Runs([unread])._repr_html_()):
        assert "not held to its queries" in shown
    with pytest.raises(ResultsError, match=r"by .* it is 0\.25"):
        unread.samples(SHAPES)
    with pytest.raises(ResultsError, match=r"by .* it is 0\.25"):
        unread.in_memory()


def test_a_number_without_queries_is_called_a_claim(out: Path, tmp_path: Path, colours: Run) -> None:
    assert colours.claimed == ()
    gone = copied(out / "whole/example-colours", tmp_path / "gone")
    (gone / f"samples/{SHAPES}.parquet").unlink()
    found = load_run(gone)
    assert (found.checked, found.claimed) == (True, (SHAPES,))
    for shown in (repr(found), found._repr_html_(), repr(Runs([found])), Runs([found])._repr_html_()):
        assert "1 number is claimed" in shown
    assert found.in_memory().claimed == (SHAPES,)
    assert found.to_pandas().equals(colours.to_pandas())


def test_a_run_of_a_suite_that_is_not_installed_is_held_as_it_is(out: Path, tmp_path: Path) -> None:
    theirs = copied(out / "whole/random", tmp_path / "theirs")
    text = (theirs / "run.json").read_text().replace('"example', '"theirs').replace("samples/example", "samples/theirs")
    data = json.loads(text)
    data |= {"status": "interrupted", "averages": []}
    for task in data["tasks"]:
        task["metrics"] = {"precision_at_1": task["metrics"]["precision_at_1"], "theirs": task["metrics"]["mrr"]}
    (theirs / "run.json").write_text(json.dumps(data))
    (theirs / "samples/example").rename(theirs / "samples/theirs")
    found = load_run(theirs)
    assert set(found.to_pandas()["suite"]) == {"theirs"}
    assert found.to_pandas("theirs")["value"].notna().all()
    assert found.to_pandas("mrr")[list(NUMBERS)].isna().all(axis=None)
    assert len(found.wrong("theirs/Shapes")) > 0
    assert found.averages().empty
    assert repr(found).endswith(": interrupted; 4 tasks>")


@pytest.mark.parametrize("load", [load_run, load_runs])
def test_what_holds_no_run_is_refused(load: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path} holds no run"):
        load(tmp_path)
    with pytest.raises(UsageError):
        load(str(tmp_path / "nowhere"))


def test_one_run_is_loaded_from_a_folder_above_it_and_never_one_of_several(out: Path, tmp_path: Path) -> None:
    assert load_run(str(out / "partial")).folder == load_run(out / "partial/random").folder
    with pytest.raises(UsageError, match="holds 2 runs: name one of "):
        load_run(out / "whole")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file is a file: name a run's folder$"):
        load_run(tmp_path / "file")
    with pytest.raises(UsageError, match="name at least one"):
        load_runs()


# --- in memory ---------------------------------------------------------------------------------------------


def test_a_run_in_memory_is_the_same_without_its_folder(out: Path, tmp_path: Path) -> None:
    folder = copied(out / "whole/random", tmp_path / "run")
    on_disk = load_run(folder)
    frames = {task: on_disk.samples(task) for task in on_disk.tasks}
    tables = {task: pq.read_table(folder / f"samples/{task}.parquet") for task in on_disk.tasks}
    kept = on_disk.in_memory()
    for file in sorted(folder.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    made = Run.from_tables(on_disk.manifest, tables)
    sent = pickle.loads(pickle.dumps(kept))  # noqa: S301
    for found in (kept, made, sent, kept.in_memory()):
        assert (found.folder, found.checked, found.claimed) == (None, True, ())
        assert found.to_pandas().equals(on_disk.to_pandas())
        assert found.averages().equals(on_disk.averages())
        for task, frame in frames.items():
            pd.testing.assert_frame_equal(found.samples(task), frame)
    with pytest.raises(UsageError, match=r"run [0-9a-f]{12} of random has no task 'x'"):
        kept.samples("x")
    with pytest.raises(ResultsError, match="not there"):
        on_disk.samples(SHAPES)


def test_a_failed_run_can_be_held_in_memory(out: Path) -> None:
    found = load_run(out / "failed").in_memory()
    assert found.status == "failed"
    assert found.claimed == ()
    assert len(found.samples(SHAPES)) == 64
    with pytest.raises(UsageError, match="WebQA failed"):
        found.samples("WebQA")


def test_tables_that_do_not_bear_out_the_record_are_refused(colours: Run) -> None:
    assert colours.folder is not None
    tables = {task: pq.read_table(colours.folder / f"samples/{task}.parquet") for task in colours.tasks}
    with pytest.raises(ResultsError, match=f"samples/{SHAPES}.parquet belongs to another number"):
        Run.from_tables(colours.manifest, tables | {SHAPES: tables["example/ShapeSearch"]})
    with pytest.raises(UsageError, match="there is a table of x, and the manifest has no number of it"):
        Run.from_tables(colours.manifest, tables | {"x": tables[SHAPES]})
    some = Run.from_tables(colours.manifest, {SHAPES: tables[SHAPES]})
    assert some.claimed == colours.tasks[1:]
    lone = manifest_of((TaskResult(**failed_with_a_number(colours)),))
    with pytest.raises(ResultsError, match="contradicts itself"):
        Run.from_tables(lone, {})


def failed_with_a_number(found: Run) -> dict[str, Any]:
    return copy.deepcopy(record(found)["tasks"][0]) | {"status": "failed", "made": {}}


# --- held --------------------------------------------------------------------------------------------------


def test_runs_are_a_sequence_that_cannot_be_changed(out: Path) -> None:
    runs = load_runs(out / "whole")
    assert [one.model for one in runs] == ["example-colours", "random"]
    assert (len(runs), runs[-1].model, isinstance(runs[:1], Runs), len(runs[1:])) == (2, "random", True, 1)
    assert [one.model for one in reversed(runs)] == ["random", "example-colours"]
    assert runs[0] in runs
    with pytest.raises(IndexError):
        runs[2]
    with pytest.raises(TypeError):
        runs[0] = runs[1]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        runs[0].claimed = ()  # type: ignore[misc]


def test_no_table_is_of_the_run_itself(colours: Run) -> None:
    frame = colours.to_pandas()
    frame.loc[:, "value"] = 1.0
    assert set(colours.to_pandas()["value"]) != {1.0}


def test_pandas_is_imported_where_a_table_is_asked_for(out: Path) -> None:
    code = (
        "import gc, sys; from evalkit.runs.run import load_runs; import evalkit.regression.compared; "
        "assert 'pandas' not in sys.modules; assert len(load_runs(sys.argv[1]).to_pandas()) == 8; "
        "assert gc.isenabled()"
    )
    subprocess.run([sys.executable, "-c", code, out / "whole"], check=True)


# --- shown -------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows = 0
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.rows += tag == "tr"

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


ALLOWED = {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_run_is_shown_in_percent_with_its_ties_coverage_and_failures(out: Path, colours: Run) -> None:
    assert repr(colours) == (
        f"<Run example-colours {colours.run_id}: done; 4 tasks; P@1 % example 28.6 (4 of 4 tasks)>"
    )
    page = Page(colours._repr_html_())
    assert page.tags == ALLOWED
    assert page.rows == 5
    assert "example/Shapes 25.0 16.0 to 36.8 3.1 64 64" in page.text
    assert "prompting native, not above chance" in page.text
    partial = load_run(out / "partial")
    assert "4 tasks, 4 partial; P@1 % example – (0 of 4 tasks)" in repr(partial)
    assert Page(partial._repr_html_()).text.count("partial") == 5
    failed = load_run(out / "failed")
    assert "failed; 2 tasks, 1 failed; P@1 % " in repr(failed)
    assert "WebQA – – – – – failed: " in Page(failed._repr_html_()).text
    runs = Page(every(out)._repr_html_())
    assert runs.tags == ALLOWED
    assert runs.rows == 5
    assert "4 tasks, 4 partial" in runs.text
    assert "2 tasks, 1 failed" in runs.text


def test_no_word_of_a_record_is_html(colours: Run) -> None:
    task = colours.manifest.tasks[0].model_copy(
        update={"task": EVIL, "suite": EVIL, "prompting": "native", "complete": False, "made": {}}
    )
    failed = TaskResult(
        task=f"{EVIL}2",
        task_version=1,
        suite=EVIL,
        meta_task=EVIL,
        distribution=None,
        status="failed",
        complete=False,
        error=Failure(type=EVIL, message=EVIL * 20),
    )
    average = Average(group=EVIL, value=None, n_done=0, n_tasks=2)
    found = Run(manifest_of((task, failed), EVIL, (average,)), claimed=(EVIL,))
    for shown in (found._repr_html_(), Runs([found])._repr_html_()):
        assert Page(shown).tags == ALLOWED
        assert "<script" not in shown
        assert "\x1b" not in shown
        assert "alert('&amp;')" in Page(shown).text
    assert "\x1b" not in repr(found) + repr(Runs([found]))
    assert found.to_pandas()["model"].tolist() == [EVIL] * 2


def test_many_runs_are_shown_in_part_and_counted(colours: Run) -> None:
    runs = Runs([colours] * 100)
    page = Page(runs._repr_html_())
    assert page.rows == 61
    assert "100 runs" in page.text
    assert "and 40 more" in page.text
    assert "and 90 more" in repr(runs)
    assert repr(Runs()) == "<0 runs>"
    assert "0 runs" in Runs()._repr_html_()


def test_the_metric_by_default_is_the_one_that_ranks() -> None:
    assert next(iter(METRICS)) == "precision_at_1"

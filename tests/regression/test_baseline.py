"""Baselines: small, whole, with a history, and refused where they cannot be one."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import run
from comparisons import copied

from evalkit.errors import ResultsError, UsageError
from evalkit.files import json_bytes
from evalkit.regression.baseline import BASELINE, SAMPLES, accept, history, read_baseline, read_choices
from evalkit.regression.comparand import read_comparand
from evalkit.regression.compare import compare
from evalkit.runs.runfolder import read_run
from evalkit.runs.samples import clusters_of
from evalkit.scoring.stats import effective_queries, wilson
from evalkit.suites.selecting import select_tasks

DAY = date(2026, 7, 1)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder; copy it before changing a file."""
    out = tmp_path_factory.mktemp("runs")
    assert run(out, "example-colours") == 0
    [file] = out.glob("*/*/run.json")
    return file.parent


def test_a_baseline_is_the_run_that_it_was_made_of(colours: Path, tmp_path: Path) -> None:
    made = accept(colours, tmp_path / "b", " the first ", on=DAY)
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == [BASELINE, SAMPLES]
    baseline, samples = read_baseline(tmp_path / "b")
    assert baseline == made
    assert baseline.run == read_run(colours)
    [entry] = baseline.history
    assert (entry.on, entry.reason, entry.model, entry.tasks) == (DAY, "the first", "example-colours", 4)
    assert list(entry.means) == ["example"]
    side, again = read_comparand(colours), read_comparand(tmp_path / "b")
    assert again.kind == "baseline"
    for name, number in side.numbers.items():
        assert number.samples is not None
        assert list(samples[name].ids) == list(number.samples.ids)
        np.testing.assert_array_equal(samples[name].scores, number.samples.scores)
        assert samples[name].clusters is not None
        assert len(set(samples[name].clusters.tolist())) == len(set(number.samples.clusters.tolist()))  # type: ignore[union-attr]
    assert all(unit.paired is not None and unit.paired.unchanged for unit in compare(again, side).units)


def test_the_same_run_gives_the_same_bytes(colours: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        accept(colours, tmp_path / name, "r", on=DAY)
    assert (tmp_path / "a" / SAMPLES).read_bytes() == (tmp_path / "b" / SAMPLES).read_bytes()


def test_choices_are_kept_where_they_were_wrong(colours: Path, tmp_path: Path) -> None:
    accept(colours, tmp_path, "r", on=DAY)
    table = pq.read_table(colours / "samples/example/ShapeSearch.parquet")
    found = read_choices(tmp_path, "example/ShapeSearch")
    for query, label, top in zip(*(table[name].to_pylist() for name in ("id", "label", "top")), strict=True):
        assert found[query] == (None if top[0] == label else top[0])


def test_history_goes_on(colours: Path, tmp_path: Path) -> None:
    accept(colours, tmp_path, "one", on=DAY)
    accept(colours, tmp_path, "two", on=date(2026, 8, 1))
    assert [entry.reason for entry in history(tmp_path).history] == ["one", "two"]


def test_a_reason_is_needed_and_a_folder_of_its_own(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--reason"):
        accept(colours, tmp_path / "b", " ", on=DAY)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is not empty and holds no baseline: name another folder with --out"):
        accept(colours, tmp_path, "r", on=DAY)


def test_partial_and_failed_runs_and_those_without_samples_need_force(colours: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "runs", "random", more=["--limit", "3"]) == 0
    [partial] = (file.parent for file in (tmp_path / "runs").glob("*/*/run.json"))
    with pytest.raises(UsageError, match=r"run\.json: partial: example/Shapes and 3 more: .* with --force"):
        accept(partial, tmp_path / "b", "r", on=DAY)
    assert not (tmp_path / "b").exists()
    made = accept(partial, tmp_path / "b", "r", on=DAY, force=True)
    assert made.history[0].forced == ("partial: example/Shapes and 3 more",)
    bare = copied(colours, tmp_path / "bare")
    shutil.rmtree(bare / "samples")
    with pytest.raises(UsageError, match=r"without samples: example/Shapes and 3 more"):
        accept(bare, tmp_path / "c", "r", on=DAY)
    with pytest.raises(UsageError, match="no task has samples"):
        accept(bare, tmp_path / "c", "r", on=DAY, force=True)


def broken(folder: Path, change: dict[str, Any]) -> None:
    data = json.loads((folder / BASELINE).read_text())
    for path, value in change.items():
        *places, last = path.split(".")
        inner = data
        for place in places:
            inner = inner[place]
        inner[last] = value
    (folder / BASELINE).write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version: it is 2, written by a newer evalkit: update evalkit"),
        ({"run.schema_version": 7}, "schema_version: it is 7, written by a newer evalkit"),
        ({"run.schema_version": 0}, "it is 0, which this evalkit cannot migrate to 1"),
        ({"schema": "evalkit.run"}, "schema: "),
        ({"history": []}, "history: "),
        ({"run.status": "odd"}, "run.status: "),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_manifest_that_is_none_names_the_field(
    change: dict[str, Any], says: str, colours: Path, tmp_path: Path
) -> None:
    accept(colours, tmp_path, "r", on=DAY)
    broken(tmp_path, change)
    with pytest.raises(UsageError) as raised:
        history(tmp_path)
    assert says in str(raised.value)
    assert str(tmp_path / BASELINE) in str(raised.value)


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        "foreign",
        "duplicate",
        "nan",
        "other mean",
        "unknown task",
        "gone",
        "column twice",
        "no UTF-8",
        "lacking",
    ],
)
def test_samples_that_are_none_name_the_file(damage: str, colours: Path, tmp_path: Path) -> None:
    accept(colours, tmp_path, "r", on=DAY)
    file = tmp_path / SAMPLES
    table = pq.read_table(file)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    elif damage == "column twice":
        pq.write_table(table.append_column("id", table["id"]), file)
    elif damage == "no UTF-8":
        n = table.num_rows
        places = pa.py_buffer(np.arange(n + 1, dtype=np.int32).tobytes())
        wrong = pa.StringArray.from_buffers(n, places, pa.py_buffer(b"\xff" * n))
        pq.write_table(table.set_column(1, "id", wrong), file)
    elif damage == "lacking":  # not to be taken for a run that had none
        pq.write_table(table.filter(pa.array([task != "example/Shapes" for task in columns["task"]])), file)
    elif damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), file)
    else:
        if damage == "duplicate":
            columns["id"][1] = columns["id"][0]
        elif damage == "unknown task":
            columns["task"][0] = "elsewhere"
        else:
            columns["score"][0] = float("nan") if damage == "nan" else 1.0 - columns["score"][0] / 2
        pq.write_table(pa.table(columns, schema=table.schema), file)
    with pytest.raises(ResultsError, match=r"samples\.parquet"):
        read_baseline(tmp_path)
    with pytest.raises(UsageError, match=r"samples\.parquet"):
        read_comparand(tmp_path)


def test_a_number_of_thousands_of_digits_is_no_json(colours: Path, tmp_path: Path) -> None:
    accept(colours, tmp_path, "r", on=DAY)
    file = tmp_path / BASELINE
    file.write_text(file.read_text().replace('"tasks": 4', f'"tasks": {"9" * 5000}'))
    with pytest.raises(UsageError, match=r"baseline\.json is no JSON: "):
        history(tmp_path)
    with pytest.raises(UsageError, match=r"baseline\.json is no JSON: "):
        read_comparand(tmp_path)


def test_what_is_accepted_is_checked_as_what_is_compared(colours: Path, tmp_path: Path) -> None:
    """Samples of another model, or from outside the run, would be refused by the gate only later, or never."""
    assert run(tmp_path / "runs", "random") == 0
    [other] = (file.parent for file in (tmp_path / "runs").glob("*/*/run.json"))
    name = "samples/example/Shapes.parquet"
    stale = copied(colours, tmp_path / "stale")
    shutil.copy(other / name, stale / name)
    elsewhere = [copied(colours, tmp_path / f"elsewhere{number}") for number in range(2)]
    for folder, path in zip(elsewhere, ("../stale/" + name, str(other / name)), strict=True):
        (folder / "run.json").write_text((folder / "run.json").read_text().replace(f'"{name}"', f'"{path}"'))
    for folder, says in ((stale, "belongs to another number"), *((one, "lie outside the run") for one in elsewhere)):
        for force in (False, True):
            with pytest.raises(ResultsError, match=says):
                accept(folder, tmp_path / "b", "r", on=DAY, force=force)
    assert not (tmp_path / "b").exists()


def test_tasks_without_samples_that_were_forced_are_judged_by_size(colours: Path, tmp_path: Path) -> None:
    bare = copied(colours, tmp_path / "bare")
    (bare / "samples/example/Shapes.parquet").unlink()
    accept(bare, tmp_path / "b", "r", on=DAY, force=True)
    assert compare(read_comparand(tmp_path / "b"), read_comparand(colours)).mode == "mixed"


@pytest.mark.slow(3)
def test_a_whole_baseline_is_small(colours: Path, tmp_path: Path) -> None:
    """All 41 tasks with their 83,000 queries, ids as evalkit makes them, and captions that no two queries share."""
    folder = copied(colours, tmp_path / "run")
    data = json.loads((folder / "run.json").read_text())
    [template] = [task for task in data["tasks"] if task["task"] == "example/Shapes"]
    data["tasks"], data["averages"], draw, total = [], [], np.random.default_rng(0), 0
    for card in select_tasks(["all"]):
        n = card.queries
        total += n
        score = (draw.random(n) < 0.6).astype(float)
        words = draw.choice(["a", "the", "red", "dog", "street", "behind", "left", "small", "two", "horse"], (n, 9))
        captions = [f"{' '.join(row)} {place}" for place, row in enumerate(words)]
        images = [f"coco_stuff_val/{draw.integers(10**6):012d}.jpg" for _ in range(n // 3 + 1)]
        table = pa.table(
            {
                "id": [hashlib.sha256(f"{card.name} {place}".encode()).hexdigest()[:16] for place in range(n)],
                "score": score,
                "label": captions,
                "top": [[captions[place if score[place] else -place]] for place in range(n)],
                "image": [images[place // 3] for place in range(n)],
            }
        )  # fmt: skip
        line = f"task:{card.name}@{card.version}|n:{n}|data:0"
        table = table.replace_schema_metadata({"evalkit.signature": line})
        (folder / f"samples/{card.name}.parquet").parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / f"samples/{card.name}.parquet")
        task = json.loads(json.dumps(template))
        task |= {"task": card.name, "suite": card.suite, "meta_task": card.meta_task, "n_queries": n}
        task |= {"distribution": card.distribution, "samples": f"samples/{card.name}.parquet"}
        task |= {"task_version": card.version, "signature": line}
        value, clusters = score.sum() / n, clusters_of([images[place // 3] for place in range(n)])
        low, high = wilson(value, effective_queries(score, clusters))
        ends = {"low": low, "high": high, "optimistic": value, "pessimistic": value}
        task["metrics"] = {"precision_at_1": template["metrics"]["precision_at_1"] | ends}
        task["metrics"]["precision_at_1"] |= {"value": value, "n": n, "n_ties": 0}
        data["tasks"].append(task)
    (folder / "run.json").write_bytes(json_bytes(data))
    accept(folder, tmp_path / "b", "r", on=DAY)
    assert total > 83_000
    assert sum(file.stat().st_size for file in (tmp_path / "b").iterdir()) <= 6_000_000
    assert len(read_baseline(tmp_path / "b")[1]) == 41

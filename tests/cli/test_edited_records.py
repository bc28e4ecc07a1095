"""Records and samples that somebody edited: no command believes them, and each says what is wrong and where."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import command, run
from comparisons import copied

SHAPES = "samples/example/Shapes.parquet"
P1 = "tasks.0.metrics.precision_at_1"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with ties on every query but those of ShapeColours; its baseline; copy before changing a file."""
    out = tmp_path_factory.mktemp("edited")
    assert run(out / "runs", "example-colours") == 0
    copied(out / "runs", out / "good")
    assert command("baseline", "accept", out / "good", "--reason", "r", "--out", out / "baseline") == 0
    return out


def changed(path: str, value: Any) -> Callable[[Any], None]:
    """A change of one field; a function of what is there, or what is to be there."""

    def apply(data: Any) -> None:
        *places, last = path.split(".")
        for place in places:
            data = data[int(place) if place.isdigit() else place]
        data[last] = value(data.get(last)) if callable(value) else value

    return apply


def edited(file: Path, *changes: Callable[[Any], None], of: str | None = None) -> None:
    data = json.loads(file.read_text(encoding="utf-8"))
    for change in changes:
        change(data if of is None else data[of])
    file.write_text(json.dumps(data), encoding="utf-8")


# Of example/Shapes, value 0.25, optimistic 1, pessimistic 0, chance 1/32, 64 queries, all with ties; field, and what is
# said of it.
FIELDS: list[Any] = [
    pytest.param([(f"{P1}.low", 0.3)], "low is 0.3", id="interval above its value"),
    pytest.param([(f"{P1}.high", 0.2)], "high is 0.2", id="interval below its value"),
    pytest.param([(f"{P1}.low", -0.1)], "low", id="interval outside [0, 1]"),
    pytest.param([(f"{P1}.low", lambda low: low + 0.01)], "low is 0.17", id="interval too narrow"),
    pytest.param([(f"{P1}.low", lambda low: low - 0.01)], "low is 0.15", id="interval too wide"),
    pytest.param([(f"{P1}.high", lambda high: high - 1e-6)], "high is ", id="interval a millionth off"),
    pytest.param([("tasks.0.metrics.hit_at_5.high", 0.9)], "hit_at_5.high", id="interval of another metric"),
    pytest.param([("tasks.0.metrics.mrr.low", 0.0)], "metrics.mrr.low is 0.0", id="bootstrap interval"),
    pytest.param([(f"{P1}.interval", "bootstrap")], "interval is bootstrap", id="kind of interval"),
    pytest.param([(f"{P1}.chance", 0.5)], "precision_at_1.chance", id="chance"),
    pytest.param([(f"{P1}.chance", 0.03)], "chance is 0.03, and by ", id="chance a little off"),
    pytest.param([(f"{P1}.n_ties", 65)], "n_ties is 65", id="more ties than queries"),
    pytest.param([(f"{P1}.n_ties", 0)], "n_ties", id="no ties"),
    pytest.param(
        [(f"tasks.0.metrics.{name}.n_ties", 63) for name in ("precision_at_1", "hit_at_5", "hit_at_10", "mrr")],
        "n_ties is 63, and by ",
        id="one tie less everywhere",
    ),
    pytest.param([(f"{P1}.optimistic", 0.2)], "value is 0.25, and pessimistic to optimistic", id="optimistic below"),
    pytest.param([(f"{P1}.optimistic", 0.9)], "optimistic is 0.9, and by ", id="optimistic"),
    pytest.param([(f"{P1}.pessimistic", 0.1)], "pessimistic", id="pessimistic"),
    pytest.param([(f"{P1}.value", 0.2500001)], "averages of example: value is ", id="value"),
    pytest.param([("tasks.0.metrics.mrr.chance", 0.02)], "mrr.chance is 0.02, and by ", id="another chance"),
    pytest.param([("tasks.0.metrics.hit_at_5.value", 0.99)], "metrics.hit_at_5.", id="another metric"),
    pytest.param([(f"{P1}.n", 63)], "n is 63, and n_queries is 64", id="n"),
    pytest.param([("tasks.0.n_queries", 63)], "n_queries", id="n_queries"),
    pytest.param([("tasks.0.n_candidates", 3)], "n_candidates is 3, and by ", id="n_candidates"),
    pytest.param([("tasks.0.status", "failed")], "status is failed, and there are metrics", id="failed with numbers"),
    pytest.param(
        [("tasks.0.status", "failed"), ("tasks.0.metrics", None), ("tasks.0.complete", False)],
        "status is failed, and there are signature",
        id="failed with a signature",
    ),
    pytest.param([("tasks.0.metrics", None)], "status is done, and metrics is null", id="done without numbers"),
    pytest.param(
        [("tasks.0.error", {"type": "E", "message": "m"})], "there is an error all the same (E)", id="done and error"
    ),
    pytest.param([("tasks.0.metrics", lambda m: {"mrr": m["mrr"]})], "no metric precision_at_1", id="no Precision@1"),
    pytest.param([("tasks.0.suite", "mmeb")], "suite is mmeb, and its card says example", id="suite"),
    pytest.param([("tasks.0.meta_task", "vqa")], "meta_task is vqa, and its card says", id="meta-task"),
    pytest.param([("tasks.0.distribution", "ood")], "distribution is ood, and its card says None", id="distribution"),
    pytest.param([("tasks.0.prompting", "crop")], "signature has prompting:-", id="prompting"),
    pytest.param([("tasks.0.task_version", 9)], "signature has task:example/Shapes@1", id="task version"),
    pytest.param([("model.fingerprint", "0" * 64)], "signature has fingerprint:", id="fingerprint"),
    pytest.param([("tasks.0.signature", lambda s: s.replace("|data:", "|data:0"))], "another number", id="signature"),
    pytest.param([("averages.0.value", 0.9)], "averages of example: value is 0.9, and by its ", id="average"),
    pytest.param([("averages.0.value", None)], "averages of example: value is None", id="no average"),
    pytest.param([("averages.0.n_done", 3)], "n_done is 3, and 4 of its tasks", id="n_done"),
    pytest.param([("averages.0.n_tasks", 3)], "n_tasks is 3, and it has 4", id="n_tasks"),
    pytest.param([("averages.0.group", "mmeb")], "averages of mmeb: no task is of that suite", id="group"),
    pytest.param([("averages", lambda a: [a[0], a[0]])], "averages of example: they are there twice", id="twice"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), FIELDS)
@pytest.mark.slow(0.3)
def test_no_command_believes_a_record_that_was_edited(changes, says, runs, tmp_path, capsys):
    bad = copied(runs / "good", tmp_path / "runs/model/bad")
    edited(bad / "run.json", *(changed(path, value) for path, value in changes))
    commands = [
        (2, "gate", runs / "good", bad),
        (2, "gate", bad, runs / "good"),
        (2, "compare", runs / "good", bad),
        (2, "baseline", "accept", bad, "--reason", "r", "--force", "--out", tmp_path / "b"),
        (4, "report", tmp_path / "runs", "--out", tmp_path / "site", "--quiet"),
    ]
    for code, *args in commands:
        capsys.readouterr()
        assert command(*args) == code, args
        said = capsys.readouterr().err
        assert says in said
        assert str(bad) in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("tasks.0.status", "failed")], "status is failed, and there are metrics"),
        ([("averages.0.value", 0.9)], "value is 0.9"),
        ([(f"{P1}.low", 0.3)], "low is 0.3"),
    ],
)
def test_no_run_goes_on_with_a_record_that_was_edited(changes, says, runs, tmp_path, capsys):
    shutil.copytree(runs / "runs", tmp_path / "runs")
    [file] = tmp_path.glob("runs/*/*/run.json")
    edited(file, *(changed(path, value) for path, value in changes))
    before = file.read_bytes()
    assert run(tmp_path / "runs", "example-colours", tasks="example/ShapeSearch") == 4
    said = capsys.readouterr().err
    assert says in said
    assert f"{file} contradicts itself" in said
    assert "run it again, into another --out" in said
    assert file.read_bytes() == before


def test_complete_is_what_the_card_promises(tmp_path, capsys):
    assert run(tmp_path / "runs", "random", more=["--limit", "3"]) == 0
    [file] = tmp_path.glob("runs/*/*/run.json")
    edited(file, changed("tasks.0.complete", True), changed("averages", []))
    assert command("gate", tmp_path / "runs", tmp_path / "runs") == 2
    assert "complete is true with n_queries 3, and its card promises 64" in capsys.readouterr().err


def test_a_partial_result_is_held_against_its_samples_too(tmp_path, capsys):
    assert run(tmp_path / "runs", "random", more=["--limit", "30"]) == 0
    [file] = tmp_path.glob("runs/*/*/run.json")
    edited(file, changed(f"{P1}.chance", 0.02))
    assert command("report", tmp_path / "runs", "--out", tmp_path / "site", "--quiet") == 4
    assert "chance is 0.02, and by " in capsys.readouterr().err


@pytest.mark.slow(0.9)
def test_a_record_that_was_not_edited_is_believed(runs, tmp_path):
    assert command("gate", runs / "good", runs / "good") == 0
    assert command("gate", runs / "baseline", runs / "good") == 0
    assert command("report", runs / "runs", "--out", tmp_path / "site", "--quiet") == 0


def test_a_number_that_is_off_by_a_last_bit_is_believed(runs, tmp_path):
    """As another order of addition, or another version of a library, may leave it."""
    bad = copied(runs / "good", tmp_path / "run")
    edited(bad / "run.json", changed(f"{P1}.low", lambda v: v * (1 - 1e-15)), changed(f"{P1}.value", 0.25 + 1e-16))
    assert command("gate", runs / "good", bad) == 0


# --- samples -----------------------------------------------------------------------------------------------------


def column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        values = pa.array(change(table[name].to_pylist()), table.field(name).type)
        return table.set_column(place, table.field(name), values)

    return apply


def first(value: Any) -> Callable[[list[Any]], list[Any]]:
    """Another value in the first row."""
    return lambda old: [value(old[0]) if callable(value) else value, *old[1:]]


# Of example/ShapeColours, without ties: the first row is right, or a change names another.
SAMPLES: list[Any] = [
    pytest.param(column("rank", first(lambda r: r + 1)), "by its rank, ties and right it is", id="rank"),
    pytest.param(column("rank", first(0)), "rank of query .* is 0, below 1", id="rank below 1"),
    pytest.param(column("rank", first(1000)), "rank of query .* is 1000", id="rank beyond the pool"),
    pytest.param(column("ties", first(-1)), "ties of query .* is -1", id="ties below 0"),
    pytest.param(column("ties", first(1)), "of query", id="ties"),
    pytest.param(column("right", first(2)), "right of query .* is 2, more than the pool has right", id="right"),
    pytest.param(column("relevant", first(999)), "relevant of query .* is 999", id="relevant"),
    pytest.param(column("pool", first(1)), "of query", id="pool"),
    pytest.param(column("pool", lambda p: [one + 8 for one in p]), "n_candidates is 8, and by ", id="all pools"),
    pytest.param(column("margin", first(lambda m: -m)), "margin of query .* its sign", id="sign of a margin"),
    pytest.param(column("margin", first(None)), "margin of query .* is None", id="no margin"),
    pytest.param(column("label_score", first(lambda s: s - 0.5)), "label_score of query", id="score of the label"),
    pytest.param(column("top_scores", first(lambda s: s[::-1])), "top_scores of query .* from the best", id="order"),
    pytest.param(column("top_scores", first(lambda s: s[:-1])), "top of query", id="lengths"),
    pytest.param(column("score", lambda s: [1 - one for one in s]), "by its rank, ties and right it is", id="scores"),
    pytest.param(column("label", first("another")), "label of query", id="label"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), SAMPLES)
@pytest.mark.slow(0.3)
def test_samples_that_contradict_themselves_are_refused(change, says, tmp_path, capsys, good_colours):
    bad = copied(good_colours, tmp_path / "runs/model/bad")
    file = bad / "samples/example/ShapeColours.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    for code, *args in (
        (2, "baseline", "accept", bad, "--reason", "r", "--out", tmp_path / "b"),
        (4, "report", tmp_path / "runs", "--out", tmp_path / "site", "--quiet"),
        (2, "gate", good_colours, bad),
    ):
        if says in ("label of query", "top of query") and args[0] != "baseline":
            continue  # texts are read where they are shown or kept; pages of samples say so in their place
        capsys.readouterr()
        assert command(*args) == code, args
        said = capsys.readouterr().err
        assert re.search(says, said), said
        assert str(file) in said
        assert "run the task again" in said


@pytest.fixture(scope="module")
def good_colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first query of ShapeColours is right, alone in front, in a pool of others."""
    out = tmp_path_factory.mktemp("colours")
    assert run(out, "random?dimension=4") == 0
    [file] = out.glob("*/*/run.json")
    table = pq.read_table(file.parent / "samples/example/ShapeColours.parquet")
    states = zip(table["rank"].to_pylist(), table["ties"].to_pylist(), strict=True)
    place = next(row for row, state in enumerate(states) if state == (1, 0))
    order = [place, *(row for row in range(table.num_rows) if row != place)]
    pq.write_table(table.take(order), file.parent / "samples/example/ShapeColours.parquet")
    return file.parent

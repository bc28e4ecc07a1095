"""Comparisons and gates as people hold them in Python: the numbers of the commands, column by column."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, command, run
from comparisons import copied, edited, whole, with_scores

from evalkit.errors import NotComparableError, UsageError
from evalkit.regression.baseline import accept
from evalkit.regression.comparand import comparand_of, read_comparand
from evalkit.regression.compare import compare as comparison_of
from evalkit.regression.compared import ComparedRuns, GatedRuns, compare, gate
from evalkit.regression.config import GateConfig
from evalkit.regression.gate import judge
from evalkit.runs.run import load_run, load_runs

COLUMNS = ["task", "base", "new", "difference", "low", "high", "p_value", "verdict"]
SHAPES = "example/Shapes"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two models; ``bad``: one with fewer right; ``more`` and ``less``: tasks that the others lack or have."""
    out = tmp_path_factory.mktemp("holding")
    assert run(out / "random", "random") == 0
    assert run(out / "colours", "example-colours") == 0
    assert run(out / "partial", "random", more=["--limit", "9"]) == 0
    assert run(out / "partial-colours", "example-colours", more=["--limit", "9"]) == 0
    assert run(out / "less", "random", tasks="example/ShapeS*,example/ShapeRegions", more=["--limit", "7"]) == 0
    bad = copied(out / "colours", out / "bad")
    for task in ("Shapes", "ShapeColours"):
        n = pq.read_table(bad / f"samples/example/{task}.parquet").num_rows
        edited(bad, f"example/{task}", with_scores([float(place % 10 == 0) for place in range(n)]))
    data = Path(shutil.copytree(EXAMPLE, out / "data"))
    [file] = data.glob("**/*Shapes/*.parquet")
    pq.write_table(pq.read_table(file).slice(1), file)
    assert run(out / "other", "random", tasks=SHAPES, data=data) == 0
    return out


def printed(*args: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """What ``evalkit compare --json`` prints, and its exit code."""
    capsys.readouterr()
    code = command("compare", *args, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def require_equal(frame: pd.DataFrame, units: list[dict[str, Any]]) -> None:
    """The table has what the JSON has, to the last bit, and is missing where that is null."""
    assert list(frame.columns[1:8]) == COLUMNS[1:]
    wanted = []
    for unit in units:
        paired = unit["paired"] or {"interval": None, "p_value": None}
        low, high = paired["interval"] or (None, None)
        numbers = (unit["name"], unit["base"], unit["new"], unit["delta"], low, high, paired["p_value"])
        wanted.append([*numbers, unit["verdict"]])
    assert [[None if x is pd.NA else x for x in row[:8]] for row in frame.itertuples(index=False)] == wanted


def tasks_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [unit for unit in data["units"] if unit["level"] == "task"]


PAIRS = [("random", "colours"), ("colours", "random"), ("colours", "bad"), ("colours", "colours")]


@pytest.mark.parametrize(("base", "new"), PAIRS)
def test_a_comparison_has_the_numbers_of_the_command(
    base: str, new: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data = printed(runs / base, runs / new, capsys=capsys)
    assert code == 0
    loaded = load_run(runs / base), load_run(runs / new)
    kept = [one.in_memory() for one in loaded]
    for found in (compare(runs / base, str(runs / new)), compare(*loaded), compare(*kept), compare(loaded[0], kept[1])):
        frame = found.to_pandas()
        assert list(frame.columns) == COLUMNS
        require_equal(frame, tasks_of(data))
        groups = found.groups()
        require_equal(groups, [unit for unit in data["units"] if unit["level"] != "task"])
        assert groups[["n_done", "n_tasks"]].to_dict("records") == [
            {"n_done": unit["tasks"], "n_tasks": unit["of"]} for unit in data["units"] if unit["level"] != "task"
        ]
    assert json.loads(compare(*loaded).to_json()) == data


@pytest.mark.parametrize(("base", "new"), PAIRS)
def test_a_gate_has_the_numbers_and_the_answer_of_the_command(base: str, new: str, runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "gate.json"
    code = command("gate", runs / base, runs / new, "--json", file)
    data = json.loads(file.read_text())
    found = gate(load_run(runs / base).in_memory(), runs / new)
    require_equal(found.to_pandas(), tasks_of(data))
    assert (found.exit_code, found.passed, found.answer) == (code, code == 0, data["verdict"])
    assert dict(found.failures) == {u["name"]: f"{u['verdict']}: {u['why']}" for u in data["units"] if u["fails"]}
    assert bool(found.failures) == (new in ("bad", "random"))
    assert dict(found.differs) == {name: tuple(sides) for name, sides in data["differs"].items()}
    written = json.loads(gate(runs / base, runs / new).to_json())
    assert written == data


def test_kinds_of_columns_are_the_same_with_and_without_rows(runs: Path) -> None:
    lone = runs / "other", runs / "other"  # of one task, which makes no group
    for frame in (compare(runs / "random", runs / "colours").to_pandas(), compare(*lone, allow=["partial"]).groups()):
        kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
        assert {kinds[name] for name in COLUMNS[1:-1]} == {"Float64"}
        assert {kinds["verdict"], next(iter(kinds.values()))} == {"string"}


# --- what can be compared ----------------------------------------------------------------------------------


def test_a_baseline_and_a_file_of_scores_are_sides_too(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(load_run(runs / "random").folder or Path(), tmp_path / "baseline", "r", on=date(2026, 7, 1))
    scores = {"schema": "evalkit.scores", "schema_version": 1, "model": "m", "scores": {SHAPES: 0.5}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    for side in (tmp_path / "baseline", tmp_path / "scores.json"):
        _, data = printed(side, runs / "colours", capsys=capsys)
        found = compare(side, load_run(runs / "colours"))
        require_equal(found.to_pandas(), tasks_of(data))
        assert dict(found.unjudged) == data["unjudged"]
    frame = found.to_pandas()
    assert frame["difference"].tolist() == [-0.25]
    assert frame[["low", "high", "p_value"]].isna().all(axis=None)
    assert "threshold mode" in found._repr_html_()
    assert "not judged: the base has no such task" in found._repr_html_()


def test_where_nothing_can_be_compared_there_is_an_error_where_the_command_exits_with_3(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("random", "other"), ("random", "partial"), ("other", "less")]
    for base, new in pairs:
        assert command("compare", runs / base, runs / new) == 3
        assert command("gate", runs / base, runs / new) in (1, 3)
        with pytest.raises(NotComparableError) as error:
            compare(load_run(runs / base), load_run(runs / new).in_memory())
        said = str(error.value)
        assert ("no task in common" in said) == ((base, new) == ("other", "less"))
        assert str(runs) in said
    with pytest.raises(NotComparableError, match=f"cannot be compared: {SHAPES}: .*partial here; .*and 1 more tasks"):
        compare(runs / "random", runs / "partial")


def test_a_gate_that_fails_answers_even_where_nothing_was_compared(runs: Path) -> None:
    """``other`` has one task, on other data, and lacks three: that alone is a no."""
    assert command("gate", runs / "random", runs / "other") == 1
    found = gate(runs / "random", runs / "other")
    assert (found.passed, found.answer, found.exit_code) == (False, "failed", 1)
    assert set(found.failures) == {"example/ShapeColours", "example/ShapeSearch", "example/ShapeRegions"}
    assert set(found.blocked) == {SHAPES}
    with pytest.raises(NotComparableError):
        gate(runs / "random", runs / "other", {"allow_missing": True})


def test_what_cannot_be_compared_leaves_a_gate_without_an_answer(runs: Path, tmp_path: Path) -> None:
    mixed = copied(runs / "colours", tmp_path / "mixed")
    file = mixed / "run.json"
    text = file.read_text()
    signature = next(t["signature"] for t in json.loads(text)["tasks"] if t["task"] == SHAPES)
    other = signature.replace("|data:", "|data:0")
    file.write_text(text.replace(signature, other))
    table = pq.read_table(mixed / f"samples/{SHAPES}.parquet")
    pq.write_table(table.replace_schema_metadata({"evalkit.signature": other}), mixed / f"samples/{SHAPES}.parquet")
    assert command("gate", runs / "colours", mixed) == 3
    found = gate(runs / "colours", mixed)
    assert (found.passed, found.answer, dict(found.failures)) == (False, "not comparable", {})
    assert "data differs" in found.blocked[SHAPES]
    row = found.to_pandas().set_index("task").loc[SHAPES]
    assert row["verdict"] == "incomparable"
    assert row[["difference", "low", "high", "p_value"]].isna().all()
    assert gate(runs / "colours", mixed, {"allow_incomparable": True}).passed


def test_what_may_differ_can_be_allowed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = runs / "partial", runs / "partial-colours"
    _, data = printed(*sides, "--allow", "partial", capsys=capsys)
    for found in (
        compare(*sides, allow=["partial"]),
        compare(*sides, config={"allow": ["partial"]}),
        gate(*sides, GateConfig(), allow=("partial",)),
    ):
        require_equal(found.to_pandas(), tasks_of(data))
    with pytest.raises(UsageError, match=r"config: allow\.0: Input should be 'prompting' or 'partial', not 'data'"):
        compare(*sides, allow=["data"])


# --- configuration -----------------------------------------------------------------------------------------


def test_a_configuration_is_a_file_a_mapping_or_made_already(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = runs / "random", runs / "colours"
    floor = {"limit": [{"scope": SHAPES, "min": 0.9}]}
    (tmp_path / "gate.toml").write_text(f'[[limit]]\nscope = "{SHAPES}"\nmin = 0.9\n')
    for config in (tmp_path / "gate.toml", str(tmp_path / "gate.toml"), floor, GateConfig.model_validate(floor)):
        found = gate(*sides, config)
        assert list(found.failures) == [SHAPES]
        assert "below the floor of 90.0 %" in found.failures[SHAPES]
        assert compare(*sides, config=config).to_pandas()["verdict"][0] == "regressed"
    assert gate(*sides, allow=["prompting"]).passed
    (tmp_path / "pyproject.toml").write_text(f'[[tool.evalkit.gate.limit]]\nscope = "{SHAPES}"\nmin = 0.9\n')
    monkeypatch.chdir(tmp_path)
    assert command("gate", *sides) == 1
    assert list(gate(*sides).failures) == [SHAPES]
    assert gate(*sides, {"allow": ["prompting"]}).passed


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"min_efect": 0.1}, "config: there is no key min_efect; near: min_effect"),
        ({"alpha": 2}, "config: alpha: .*, not 2"),
        ({"alpha": 1e-9}, "config: alpha: 1e-09 is too small for "),
        ({"limit": [{"scope": "none", "min": 0}]}, r"limit\.0\.scope: 'none' is no suite, group or task"),
        ("nowhere.toml", "nowhere.toml cannot be read"),
    ],
)
def test_a_configuration_that_is_none_is_refused(config: Any, says: str, runs: Path) -> None:
    with pytest.raises(UsageError, match=says):
        gate(runs / "random", runs / "colours", config)


def test_a_side_that_is_none_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        compare(runs / "random", tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"holds no run .* and is not a baseline's folder"):
        compare(runs / "random", tmp_path)
    with pytest.raises(UsageError, match="Runs is neither a run nor the path of one; choose one of its 1 runs"):
        compare(load_runs(runs / "random"), runs / "random")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="NoneType is neither a run nor the path of one"):
        gate(runs / "random", None)  # type: ignore[arg-type]
    changed = copied(runs / "random", tmp_path / "changed")
    held = load_run(changed)
    table = pq.read_table(changed / f"samples/{SHAPES}.parquet")
    pq.write_table(table.slice(1), changed / f"samples/{SHAPES}.parquet")
    with pytest.raises(UsageError, match=r"n_queries is 64, and by .* it is 63"):
        compare(held, runs / "colours")


def test_a_run_and_its_folder_are_one_side(runs: Path) -> None:
    for name in ("random", "bad", "partial"):
        held, read = load_run(runs / name), read_comparand(runs / name)
        for found in (comparand_of(held), comparand_of(held.in_memory())):
            assert found.facts == read.facts
            for task, number in read.numbers.items():
                same = found.numbers[task]
                assert dataclasses.replace(same, samples=None) == dataclasses.replace(number, samples=None)
                assert number.samples is not None
                assert same.samples is not None
                assert same.samples.ids == number.samples.ids
                np.testing.assert_array_equal(same.samples.scores, number.samples.scores)
                np.testing.assert_array_equal(same.samples.clusters, number.samples.clusters)


# --- shown -------------------------------------------------------------------------------------------------


def test_it_is_shown_in_a_line_and_in_percent(runs: Path) -> None:
    found = compare(runs / "random", runs / "colours", allow=["prompting"])
    assert repr(found).startswith("<Comparison of example-colours against random: ")
    assert "improved" in repr(found)
    page = found._repr_html_()
    assert ">28.6</td>" in page
    assert "+21.9" in page
    passed, failed = gate(runs / "colours", runs / "colours"), gate(runs / "colours", runs / "bad")
    assert repr(passed).startswith("<Gate passed: example-colours against example-colours: 5 same>")
    assert "gate failed: " in failed._repr_html_()
    assert "REGRESSED" in failed._repr_html_()


def test_no_word_of_a_side_is_html() -> None:
    evil = "<script>alert(1)</script>\x1b[31m"
    base, new = whole()
    numbers = list(new.numbers.values())
    numbers[0] = dataclasses.replace(numbers[0], value=None, samples=None, failure=evil, signature=None)
    sides = (
        dataclasses.replace(base, model=evil),
        dataclasses.replace(new, model=evil, numbers={one.task: one for one in numbers}),
    )
    found = judge(comparison_of(*sides), GateConfig(), today=date(2026, 7, 1))
    for one in (ComparedRuns(found), GatedRuns(found)):
        assert "<script" not in one._repr_html_()
        assert "&lt;script&gt;" in one._repr_html_()
        assert "\x1b" not in one._repr_html_() + repr(one)
    assert len(ComparedRuns(found).to_pandas()) == 41

"""People's own tasks in compare, gate and baselines: query by query as others, and part of no group."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from builders import command
from comparisons import number, scores, side
from own_runs import evaluated, own_task

from evalkit.errors import NotComparableError, UsageError
from evalkit.example import DATA as EXAMPLE
from evalkit.regression.baseline import accept, read_baseline
from evalkit.regression.comparand import Comparand, Number, read_comparand
from evalkit.regression.compare import compare
from evalkit.regression.config import Expected, GateConfig, Limit
from evalkit.regression.gate import Gate, judge
from evalkit.regression.verdicts.comment import markdown
from evalkit.regression.verdicts.github import annotated
from evalkit.regression.verdicts.gitlab import metrics_text
from evalkit.regression.verdicts.junit import junit_xml
from evalkit.regression.verdicts.record import gate_json
from evalkit.suites.selecting import select_tasks

pytestmark = pytest.mark.slow(3)

TODAY = date(2026, 7, 1)
OWN = ("mine", "team/mine")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model that knows colours, and one that guesses, on four tasks of a suite and two own ones."""
    folder = tmp_path_factory.mktemp("runs")
    tasks = [*select_tasks(["example"]), own_task("mine", 48), own_task("team/mine", 24)]
    base, new = evaluated(folder, tasks, ["example-colours", "random"], data=EXAMPLE)
    return base, new


@pytest.fixture(scope="module")
def gate(sides: tuple[Path, Path]) -> Gate:
    return gated(*map(read_comparand, sides))


def gated(base: Comparand, new: Comparand, **config: object) -> Gate:
    return judge(compare(base, new), GateConfig.model_validate(config), today=TODAY)


def test_own_tasks_are_units_of_their_own_and_move_no_mean(gate: Gate, sides: tuple[Path, Path]) -> None:
    units = {unit.name: unit for unit in gate.comparison.units}
    assert [name for name, unit in units.items() if unit.level != "task"] == ["example"]
    assert units["example"].of == 4
    for name in OWN:
        assert units[name].groups == ()
        before, after = (pq.read_table(run / f"samples/{name}.parquet")["score"].to_pylist() for run in sides)
        unit = units[name]
        assert unit.delta == pytest.approx((sum(after) - sum(before)) / len(before))
        assert (unit.paired.won, unit.paired.lost) == (
            sum(b > a for a, b in zip(before, after, strict=True)),
            sum(b < a for a, b in zip(before, after, strict=True)),
        )
    alone = compare(*(only_installed(read_comparand(run)) for run in sides))
    assert {unit.name: unit.delta for unit in alone.units} == {
        name: unit.delta for name, unit in units.items() if name not in OWN
    }


def only_installed(side: Comparand) -> Comparand:
    kept = {name: own for name, own in side.numbers.items() if own.suite != "own"}
    return dataclasses.replace(side, numbers=kept)


def test_every_form_of_a_verdict_has_own_tasks(gate: Gate) -> None:
    root = ElementTree.fromstring(junit_xml(gate))
    suites = {suite.get("name"): [case.get("name") for case in suite] for suite in root}
    assert suites["evalkit.own"] == list(OWN)
    assert not set(OWN) & set(suites["evalkit.example"])
    units = {unit["name"]: unit for unit in json.loads(gate_json(gate))["units"]}
    assert units["mine"]["level"] == "task"
    assert units["mine"]["base_signature"].startswith("task:mine@1|n:48|")
    assert "| mine |" in markdown(gate)
    assert "title=mine%3A regressed" in annotated(gate)
    assert 'evalkit_precision_at_1{name="team/mine"}' in metrics_text(gate)


def test_the_command_line_shows_them(sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("compare", *sides) == 0
    said = capsys.readouterr().out
    assert "team/mine" in said
    assert command("compare", *sides, "--explain", "mine") == 0
    assert "queries lost" in capsys.readouterr().out
    assert command("gate", *sides) == 1


@pytest.mark.parametrize("scope", ["mine", "*mine", "team/*"])
def test_a_floor_and_what_is_expected_name_an_own_task_or_a_glob(scope: str, sides: tuple[Path, Path]) -> None:
    base, new = map(read_comparand, sides)
    chosen = {"mine": {"mine"}, "*mine": set(OWN), "team/*": {"team/mine"}}[scope]
    config = {"limit": (Limit(scope=scope, min=1.0),), "expected": (Expected(scope=scope, reason="r", expires=TODAY),)}
    floors = gated(base, new, limit=config["limit"], fail_on=())
    assert {one.unit.name for one in floors.failures} == chosen
    known = gated(base, new, expected=config["expected"])
    assert {one.unit.name for one in known.judged if one.verdict == "expected"} == chosen


def test_there_is_no_group_of_own_tasks_to_name(sides: tuple[Path, Path]) -> None:
    base, new = map(read_comparand, sides)
    with pytest.raises(UsageError, match="'own' is no suite, group or task"):
        gated(base, new, limit=(Limit(scope="own", min=0.5),))


def test_other_rows_or_another_version_cannot_be_compared(tmp_path: Path) -> None:
    [base] = evaluated(tmp_path / "a", [own_task("mine", 16)], ["example-colours"])
    [rows] = evaluated(tmp_path / "b", [own_task("mine", 16, seed=3)], ["example-colours"])
    [version] = evaluated(tmp_path / "c", [own_task("mine", 16, version=2)], ["example-colours"])
    for other, why in ((rows, "data differs"), (version, "task version differs: mine@1 and mine@2")):
        (unit,) = compare(read_comparand(base), read_comparand(other)).units
        assert unit.status == "incomparable"
        assert any(said.startswith(why) for said in unit.why)
    [title] = evaluated(tmp_path / "d", [own_task("mine", 16, title="Another title")], ["example-colours"])
    (unit,) = compare(read_comparand(base), read_comparand(title)).units
    assert (unit.status, unit.delta) == ("compared", 0)


def test_an_own_task_is_no_installed_one_of_its_name() -> None:
    """Were it compared, it would count in that suite's mean."""
    found = scores(20)
    installed = number("VOC2007", found)
    own: Number = dataclasses.replace(installed, suite="own", meta_task="own", distribution=None)
    (unit,) = compare(side([installed], "a"), side([own], "b")).units
    assert (unit.status, unit.why) == ("incomparable", ("suite differs: mmeb and own",))


def test_a_baseline_has_the_cards_and_later_runs_are_held_to_it(sides: tuple[Path, Path], tmp_path: Path) -> None:
    base, new = sides
    accepted = accept(base, tmp_path / "baseline", reason="first", on=TODAY)
    assert list(accepted.run.own_tasks) == list(OWN)
    kept, samples = read_baseline(tmp_path / "baseline")
    assert kept.run.own_tasks == read_own_cards(base)
    assert set(OWN) <= set(samples)
    by_baseline = compare(read_comparand(tmp_path / "baseline"), read_comparand(new))
    by_run = compare(read_comparand(base), read_comparand(new))
    assert by_baseline.units == by_run.units
    assert accepted.history[-1].means.keys() == {"example"}


def read_own_cards(run: Path) -> dict:
    from evalkit.runs.runfolder import read_run

    return read_run(run).own_tasks


def test_a_file_of_scores_cannot_say_what_an_own_task_is(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text(
        json.dumps({"schema": "evalkit.scores", "schema_version": 1, "model": "m", "scores": {"mine": 0.5}})
    )
    with pytest.raises(UsageError, match=r"'mine'.*numbers of an own task.*are compared by their runs"):
        read_comparand(file)


def test_runs_of_other_own_tasks_have_none_in_common(tmp_path: Path) -> None:
    [one] = evaluated(tmp_path / "a", [own_task("mine", 8)], ["random"])
    [other] = evaluated(tmp_path / "b", [own_task("yours", 8)], ["random"])
    with pytest.raises(NotComparableError, match="no task in common: the first has mine, the second yours"):
        compare(read_comparand(one), read_comparand(other))

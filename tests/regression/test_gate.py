"""Verdicts: what size, significance, floors and expectations make of a difference; the configuration of it."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparisons import changed, number, scores, side, whole

from evalkit.errors import UsageError
from evalkit.regression.comparand import Comparand
from evalkit.regression.compare import compare
from evalkit.regression.config import Expected, GateConfig, Limit, origin, read_config
from evalkit.regression.gate import Gate, Judged, judge
from evalkit.regression.units import Unit

TODAY = date(2026, 7, 1)
TASK = "VOC2007"


def gate(base: Comparand, new: Comparand, today: date = TODAY, **config: Any) -> Gate:
    chosen = GateConfig(**config)
    return judge(compare(base, new, alpha=chosen.alpha, allow=chosen.allow), chosen, today=today)


def by_name(found: Gate) -> dict[str, Judged]:
    return {one.unit.name: one for one in found.judged}


def one_task(lost: int, won: int = 0, n: int = 1000, **config: Any) -> Judged:
    base = scores(n)
    return by_name(gate(side({TASK: base}), side({TASK: changed(base, lost, won)}), **config))[TASK]


# --- verdicts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [
        (0, 0, "same"),
        (5, 5, "same"),  # 90 % interval well inside two points
        (40, 5, "regressed"),
        (5, 40, "improved"),
        (19, 0, "warn"),  # significant, less than two points, and not shown to be less
        (60, 45, "inconclusive"),
        (150, 150, "inconclusive"),
    ],
)
def test_verdicts_of_a_task(lost: int, won: int, verdict: str) -> None:
    found = one_task(lost, won)
    assert found.verdict == verdict
    assert found.fails == (verdict == "regressed")
    assert ("significant but less than 2 points" in found.why) == (verdict == "warn")


def test_a_regression_needs_both_size_and_significance() -> None:
    few = one_task(3, 0, n=24)  # 12 points, and three queries
    assert few.verdict == "inconclusive"
    assert "would have been seen" in few.why
    assert one_task(40, 5, task_min_effect=0.04).verdict != "regressed"
    assert one_task(40, 5, task_min_effect=0.035).verdict == "regressed"  # -35 of 1000 is -0.035, to the last bit


def test_what_is_significant_alone_and_not_among_all_is_a_warning() -> None:
    base, new = whole({TASK: 6})  # 3 points of 200: p 0.016 alone
    found = by_name(gate(base, new))[TASK]
    assert (found.verdict, found.fails) == ("warn", False)
    assert "not significant among all tests" in found.why
    assert one_task(6, n=200).verdict == "regressed"  # the only test of its gate


def test_a_drop_everywhere_is_seen_in_the_mean_and_in_no_task() -> None:
    base, new = whole(dict.fromkeys(whole()[0].numbers, 2), n=200)
    found = by_name(gate(base, new))
    assert found["mmeb"].verdict == "regressed"
    assert {one.verdict for name, one in found.items() if one.unit.level == "task"} <= {"inconclusive", "same"}


def test_a_run_against_itself_is_the_same_everywhere() -> None:
    base, _ = whole(n=7)
    found = gate(base, base)
    assert {one.verdict for one in found.judged} == {"same"}
    assert (found.exit_code, found.answer) == (0, "passed")


def test_one_query_and_few_queries_are_judged_without_a_fault() -> None:
    for n in (1, 2, 3):
        base = np.ones(n)
        found = by_name(gate(side({TASK: base, "EDIS": base}), side({TASK: np.zeros(n), "EDIS": base})))
        assert found[TASK].verdict == "inconclusive"
        assert found["EDIS"].verdict == "same"


def test_failed_collapsed_missing_and_incomparable() -> None:
    base = side({TASK: scores(50), "EDIS": scores(50), "WebQA": scores(50), "SUN397": scores(50)})
    broken = number("EDIS", scores(50), failure="it cannot tell any two candidates apart")
    partial = number("WebQA", scores(50), complete=False)
    new = side([number(TASK, None), broken, partial], "new")
    found = gate(base, new)
    verdicts = {name: (one.verdict, one.fails, one.blocks) for name, one in by_name(found).items()}
    assert verdicts == {
        TASK: ("new_failure", True, False),
        "EDIS": ("new_failure", True, False),
        "WebQA": ("incomparable", False, True),
        "SUN397": ("missing", True, False),
    }
    assert (found.exit_code, found.answer) == (1, "failed")
    # Two that are both at chance, and know nothing: nothing new.
    assert gate(side([broken]), side([broken])).exit_code == 0


def test_what_is_missing_or_incomparable_can_be_allowed() -> None:
    base = side({TASK: scores(50), "EDIS": scores(50)})
    fewer, partial = (
        side([number(TASK, scores(50))]),
        side([number(TASK, scores(50)), number("EDIS", scores(50), complete=False)]),
    )
    assert gate(base, fewer).exit_code == 1
    assert gate(base, fewer, allow_missing=True).exit_code == 0
    assert gate(base, partial).exit_code == 3
    assert gate(base, partial).answer == "not comparable"
    assert gate(base, partial, allow_incomparable=True).exit_code == 0
    assert gate(base, partial, allow=("partial",)).exit_code == 0


def all_incomparable(side_: Comparand) -> Comparand:
    """The side with every task partial."""
    return dataclasses.replace(
        side_, numbers={name: dataclasses.replace(one, complete=False) for name, one in side_.numbers.items()}
    )


def test_nothing_compared_is_no_pass() -> None:
    base, new = whole(n=9)
    failed = side(dict.fromkeys(base.numbers), "failed")
    for found in (gate(failed, new), gate(base, all_incomparable(new), allow_incomparable=True)):
        assert (found.exit_code, found.answer) == (3, "not comparable")
        assert found.notes[-1].startswith("nothing was compared: ")
    assert gate(base, failed).exit_code == 1
    assert gate(failed, failed).exit_code == 3
    assert gate(side({TASK: scores(9)}), side({TASK: scores(9), "EDIS": None})).exit_code == 0


@pytest.mark.parametrize("alpha", [0.05, 0.004, 0.0011])
@pytest.mark.slow(0.4)
def test_means_can_fail_at_every_level_that_is_taken(alpha: float) -> None:
    """A permutation test has a smallest p-value: with too few permutations no mean could ever regress."""
    base, new = whole(dict.fromkeys(whole(n=1)[0].numbers, 6))  # no task drops enough, and would leave them less to do
    found = by_name(gate(base, new, alpha=alpha))
    assert {one.verdict for one in found.values() if one.unit.level != "task"} == {"regressed"}


def test_a_level_that_takes_too_many_permutations_is_refused_by_name() -> None:
    base, new = whole(n=9)
    with pytest.raises(UsageError, match=r"--alpha: 0\.0009 is too small for 50 tests.* that works here is 0\.001$"):
        compare(base, new, alpha=0.0009, alpha_from="--alpha")
    compare(side({TASK: 0.5}), side({TASK: 0.5}), alpha=0.0001)  # without samples nothing is permuted


def test_levels_that_do_not_fail_are_still_named() -> None:
    base, new = whole({TASK: 60})
    assert gate(base, new).exit_code == 1
    found = by_name(gate(base, new, fail_on=("suite",), min_effect=0.05))
    assert (found[TASK].verdict, found[TASK].fails) == ("regressed", False)


def test_without_samples_size_decides_and_it_is_said() -> None:
    for new, verdict in ((0.5, "regressed"), (0.59, "same"), (0.7, "improved"), (0.58, "regressed")):
        found = by_name(gate(side({TASK: 0.6}), side({TASK: new})))[TASK]
        assert found.verdict == verdict
        assert "no samples to test it" in found.why


# --- floors and expectations -----------------------------------------------------------------------------


def test_floors_fail_whatever_the_base_had() -> None:
    base, new = whole()
    found = gate(
        base, new, limit=(Limit(scope="mmeb", min=0.99), Limit(scope="VOC*", min=0.99), Limit(scope="EDIS", min=0))
    )
    assert [one.unit.name for one in found.failures] == ["mmeb", TASK]
    assert found.failures[0].verdict == "regressed"
    assert "is below the floor of 99.0 %" in found.failures[0].why


FLOOR = (Limit(scope="mmeb", min=0.9), Limit(scope="mmeb/vqa", min=0.9), Limit(scope="scar", min=0.9))


def test_a_floor_of_what_could_not_be_compared_is_noted_and_changes_no_answer() -> None:
    base, new = whole(n=9)
    few = side({TASK: scores(9), "OK-VQA": scores(9)})
    one_left = side([number(TASK, scores(9)), number("OK-VQA", scores(9), complete=False)])
    for found, code, noted in (
        (gate(base, all_incomparable(new), limit=FLOOR), 3, 3),  # other data on all tasks
        (gate(base, side(dict.fromkeys(base.numbers)), limit=FLOOR), 1, 3),  # all tasks failed
        (gate(few, one_left, limit=FLOOR, allow_incomparable=True), 0, 3),  # a suite with one comparable task
        (gate(few, few, limit=FLOOR[1:]), 0, 2),
    ):
        notes = [note for note in found.notes if note.startswith("limit.")]
        assert (found.exit_code, len(notes)) == (code, noted)
        assert "is not among what was compared here" in notes[0]
    known = (Expected(scope="mmeb", reason="r", expires=TODAY), Expected(scope="EDIS", reason="r", expires=TODAY))
    assert gate(side({TASK: scores(9)}), side({TASK: scores(9)}), expected=known).exit_code == 0


@pytest.mark.parametrize("base", [{TASK: scores(50), "EDIS": None}, {TASK: scores(50)}], ids=["failed", "lacking"])
def test_a_floor_asks_nothing_of_the_base(base: dict[str, Any]) -> None:
    limit = (Limit(scope="ED*", min=0.9),)
    low, high, broken = (side({TASK: scores(50), "EDIS": one}) for one in (scores(50), np.ones(50), None))
    found = gate(side(base), low, limit=limit)
    assert found.exit_code == 1
    assert (found.judged[-1].unit.name, found.judged[-1].verdict) == ("EDIS", "regressed")
    assert "is below the floor of 90.0 %; " in found.judged[-1].why
    assert gate(side(base), high, limit=limit).exit_code == 0
    found = gate(side(base), broken, limit=limit)
    assert (found.exit_code, found.judged[-1].verdict) == (1, "new_failure")
    assert "it broke; there is no number for the floor of 90.0 %" in found.judged[-1].why
    known = (Expected(scope="EDIS", reason="r", expires=TODAY),)
    assert gate(side(base), low, limit=limit, expected=known).exit_code == 0


@pytest.mark.parametrize("table", ["limit", "expected"])
def test_a_scope_that_chooses_nothing_is_refused(table: str) -> None:
    base, new = whole(n=9)
    entry = Limit(scope="mmep", min=0.5) if table == "limit" else Expected(scope="mmep", reason="r", expires=TODAY)
    with pytest.raises(
        UsageError, match=rf"{table}\.0\.scope: 'mmep' is no suite, group or task.*there are mmeb, scar"
    ):
        gate(base, new, **{table: (entry,)})


def test_expected_regressions_pass_until_they_expire_and_fail_when_they_are_gone() -> None:
    base, new = whole({TASK: 60})
    names = [one.unit.name for one in gate(base, new).failures]
    known = tuple(Expected(scope=name, reason="new crop", expires=TODAY) for name in names)
    found = gate(base, new, expected=known)
    assert found.exit_code == 0
    assert {by_name(found)[name].verdict for name in names} == {"expected"}
    assert by_name(found)[TASK].why.startswith("expected until 2026-07-01: new crop; ")
    late = by_name(gate(base, new, expected=known, today=date(2026, 7, 2)))[TASK]
    assert (late.verdict, late.fails) == ("regressed", True)
    assert "it was expected until 2026-07-01" in late.why
    gone = by_name(gate(base, base, expected=known))[TASK]
    assert (gone.verdict, gone.fails) == ("same", True)
    assert "take it off the list" in gone.why


def test_expected_says_nothing_of_what_could_not_be_compared() -> None:
    one = number(TASK, scores(9))
    new = dataclasses.replace(one, complete=False)
    found = gate(side([one]), side([new]), expected=(Expected(scope=TASK, reason="r", expires=TODAY),))
    assert (found.judged[0].verdict, found.exit_code) == ("incomparable", 3)


def test_expected_leaves_alone_what_is_allowed_and_goes_by_the_verdict() -> None:
    known = (Expected(scope=TASK, reason="new crop", expires=TODAY),)
    both = {TASK: scores(200), "EDIS": scores(200)}
    partial = side([number(TASK, scores(200), complete=False), number("EDIS", scores(200))])
    lacking, worse = side({"EDIS": scores(200)}), side({TASK: changed(scores(200), 60), "EDIS": scores(200)})
    for new, options, verdict in (
        (partial, {"allow_incomparable": True}, "incomparable"),
        (lacking, {"allow_missing": True}, "missing"),
        (worse, {"fail_on": ("suite",), "min_effect": 0.5}, "expected"),
    ):
        found = gate(side(both), new, expected=known, **options)
        assert (found.exit_code, by_name(found)[TASK].verdict) == (0, verdict)
        assert "take it off" not in by_name(found)[TASK].why
    late = gate(side(both), worse, expected=known, fail_on=("suite",), min_effect=0.5, today=date(2026, 7, 2))
    assert (late.exit_code, by_name(late)[TASK].verdict) == (0, "regressed")


# --- configuration ---------------------------------------------------------------------------------------


def test_tables_of_pyproject_and_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, project = tmp_path / "gate.toml", tmp_path / "pyproject.toml"
    text = 'alpha = 0.01\nfail_on = ["suite"]\n[[limit]]\nscope = "mmeb"\nmin = 0.6\n'
    text += '[[expected]]\nscope = "EDIS"\nreason = "r"\nexpires = 2026-12-31\n'
    own.write_text(text)
    project.write_text("[tool.other]\n[tool.evalkit.gate]\n" + text.replace("[[", "[[tool.evalkit.gate."))
    found = read_config(own)
    assert found == read_config(project)
    assert (found.alpha, found.fail_on, found.limit[0].min) == (0.01, ("suite",), 0.6)
    assert found.expected[0].expires == date(2026, 12, 31)
    monkeypatch.chdir(tmp_path)
    assert read_config(None) == found
    project.unlink()
    assert read_config(None) == GateConfig()


def test_flags_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text("alpha = 0.01\nmin_effect = 0.1\n")
    found = read_config(file, {"alpha": 0.2, "min_effect": None, "allow_missing": True})
    assert (found.alpha, found.min_effect, found.allow_missing) == (0.2, 0.1, True)
    with pytest.raises(UsageError, match=r"^--alpha: .* not 2"):
        read_config(file, {"alpha": 2.0})
    with pytest.raises(UsageError, match=r"^--group-min-effect: "):
        read_config(None, {"group_min_effect": 0.0})
    assert origin("min_effect", file, {"min_effect": 0.1}) == "--min-effect"
    assert origin("alpha", file, {"alpha": None}) == f"{file}: alpha"
    assert origin("alpha", None) == "pyproject.toml: alpha"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alhpa = 0.1", "there is no key alhpa; near: alpha"),
        ("task_min_efect = 0.1", "near: task_min_effect"),
        ("[[limit]]\nscop = 'mmeb'\nscope = 'mmeb'\nmin = 0.1", "there is no key limit.0.scop; near: scope"),
        ("[[expected]]\nscope = 'a'\nreason = 'r'\nexpires = 'soon'", "expected.0.expires: "),
        ("[[expected]]\nscope = 'a'\nreason = 'r'", "expected.0.expires: Field required"),
        ("[[limit]]\nscope = 'a'\nmin = 60", "limit.0.min: "),
        ("alpha = nan", "alpha: "),
        ("min_effect = 0", "min_effect: "),
        ("fail_on = ['everything']", "fail_on.0: "),
        ("alpha = ", "is no TOML"),
        ("alpha = " + "[" * 5000, "is no TOML"),
        ("alpha = 1" + "0" * 5000, "is no TOML"),
        ("[[limit]]\nscope = 'mmeb'\nmni = 0.1", "there is no key limit.0.mni; near: min"),
    ],
)
def test_what_is_no_configuration_is_refused_by_key(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_config(file)
    assert str(file) in str(raised.value)
    assert says in str(raised.value)


def test_a_file_that_is_named_has_to_have_the_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_config(tmp_path / "gate.toml")
    (tmp_path / "pyproject.toml").write_text("[tool.evalkit]\n")
    with pytest.raises(UsageError, match=r"has no table \[tool\.evalkit\.gate\]"):
        read_config(tmp_path / "pyproject.toml")
    (tmp_path / "pyproject.toml").write_text("[tool.evalkit]\ngate = 1\n")
    with pytest.raises(UsageError, match=r"write \[tool\.evalkit\.gate\]"):
        read_config(tmp_path / "pyproject.toml")


def test_the_configuration_of_the_docs_is_read_whole(tmp_path: Path) -> None:
    """A floor in a table of another name would ask for nothing, without a word."""
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    file = tmp_path / "pyproject.toml"
    file.write_text(block, encoding="utf-8")
    found = read_config(file)
    assert [(floor.scope, floor.min) for floor in found.limit] == [("mmeb", 0.6)]
    assert [one.scope for one in found.expected] == ["ImageNet-1K"]


@pytest.mark.parametrize("table", ["gaet", "gates", "Gate"])
def test_a_table_that_is_nearly_called_gate_is_refused(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(f"[tool.evalkit.{table}]\nalpha = 0.9\n")
    with pytest.raises(UsageError, match=rf"pyproject\.toml: there is no table tool\.evalkit\.{table}; near: gate"):
        read_config(None)
    (tmp_path / "pyproject.toml").write_text("[tool.evalkit.other]\nalpha = 0.9\n")
    assert read_config(None) == GateConfig()


# --- the whole gate --------------------------------------------------------------------------------------


def rounds(count: int, disagree: float, drops: dict[str, float], n: int = 300) -> list[set[str]]:
    """What regressed in each of so many pairs of 41 tasks; benchmarks/gate_simulation.py has the long version."""
    draw = np.random.default_rng(17)
    names = list(whole(n=1)[0].numbers)
    found = []
    for _ in range(count):
        sides: list[dict[str, Any]] = [{}, {}]
        for name in names:
            luck, right, drop = draw.random(n), draw.random(n) < 0.6, drops.get(name, 0)
            won, lost = luck < (disagree - drop) / 2, luck > 1 - (disagree + drop) / 2
            sides[0][name] = np.where(won, 0.0, np.where(lost, 1.0, right))
            sides[1][name] = np.where(won, 1.0, np.where(lost, 0.0, right))
        judged = judge(
            compare(side(sides[0]), side(sides[1]), permutations=2000, resamples=200), GateConfig(), today=TODAY
        ).judged
        found.append({one.unit.name for one in judged if one.verdict == "regressed"})
    return found


@pytest.mark.slow(2)
@pytest.mark.parametrize("disagree", [0.05, 0.1])
def test_equal_models_raise_no_alarm(disagree: float) -> None:
    """At most 5 % in truth; of 40 rounds up to five are no surprise then, and six are one in 300."""
    assert sum(map(bool, rounds(40, disagree, {}))) <= 5


@pytest.mark.slow(2)
def test_a_true_drop_of_one_task_or_of_the_mean_is_seen() -> None:
    """At 300 queries a task the same power takes drops that are larger by the square root of 1000 / 300."""
    assert sum(TASK in found for found in rounds(20, 0.05, {TASK: 0.05})) >= 12
    everywhere = dict.fromkeys(whole(n=1)[0].numbers, 0.01)
    assert sum("mmeb" in found for found in rounds(20, 0.05, everywhere)) >= 12


def test_shuffled_answers_regress() -> None:
    base = {name: scores(200, seed=place) for place, name in enumerate(whole(n=1)[0].numbers)}
    draw = np.random.default_rng(1)
    new = {name: (draw.random(200) < 0.1).astype(float) for name in base}
    found = gate(side(base), side(new))
    assert found.exit_code == 1
    assert {one.verdict for one in found.judged} == {"regressed"}


def test_units_have_no_difference_unless_compared() -> None:
    unit = Unit("a", "task", ("s",), "missing", 0.5, None, ("a",))
    assert unit.delta is None

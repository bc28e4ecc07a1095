"""Two sides to a comparison: what can be compared, what the numbers are, and what is one family."""

from __future__ import annotations

import dataclasses
import json
import statistics
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from comparisons import LINE, changed, number, scores, side, whole

from evalkit.errors import NotComparableError, UsageError
from evalkit.regression.comparable import differing
from evalkit.regression.comparand import Comparand, read_comparand
from evalkit.regression.compare import compare, paired_of
from evalkit.regression.config import GateConfig
from evalkit.regression.gate import judge
from evalkit.regression.units import Unit
from evalkit.runs.samples import Samples
from evalkit.scoring.paired import holm, mcnemar_midp, newcombe
from evalkit.scoring.stats import stratified_bootstrap

TASK = "VOC2007"


def units(base: Comparand, new: Comparand, **options: object) -> dict[str, Unit]:
    return {unit.name: unit for unit in compare(base, new, **options).units}  # type: ignore[arg-type]


# --- what can be compared ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("task", f"{TASK}@2", "task version differs: VOC2007@1 and VOC2007@2"),
        ("data", "d2", "data differs: d1 and d2"),
        ("prompts", "p2", "prompts differs: p1 and p2"),
        ("pool", "own-4-y", "pools differs: shared-10-x and own-4-y"),
        ("metric", "other", "metric differs: m and other"),
        ("prompting", "crop", "prompting differs: - and crop"),
        ("exif", "ignore", "orientation of images differs: apply and ignore"),
        ("dedup", "official", "how candidates are merged differs: content and official"),
    ],
)
def test_a_signature_that_differs_is_incomparable(part: str, value: str, says: str) -> None:
    line = LINE.format(task=TASK, n=50, model="m")
    other = "|".join(f"{part}:{value}" if one.startswith(f"{part}:") else one for one in line.split("|"))
    found = number(TASK, scores(50))
    new = dataclasses.replace(found, signature=other)
    unit = units(side([found]), side([new]))[TASK]
    assert (unit.status, unit.why, unit.delta) == ("incomparable", (says,), None)


def test_another_embedder_and_version_is_what_is_compared() -> None:
    line = LINE.format(task=TASK, n=5, model="a") + "|fingerprint:1|options:-|vectors:float32|evalkit:0.1"
    other = LINE.format(task=TASK, n=5, model="b") + "|fingerprint:2|options:k=1|vectors:float16|evalkit:0.2"
    assert differing(line, other) == []


def test_a_model_cannot_change_what_it_was_asked_by_its_name() -> None:
    line = LINE.format(task=TASK, n=5, model="a|data:d9|no colon")
    assert differing(line, LINE.format(task=TASK, n=5, model="a")) == []


def test_prompting_may_differ_where_it_is_allowed_and_so_may_its_prompts() -> None:
    line = LINE.format(task=TASK, n=5, model="a")
    none = line.replace("prompting:-", "prompting:none").replace("prompts:p1", "prompts:p2")
    assert len(differing(line, none)) == 2
    assert differing(line, none, ["prompting"]) == []
    assert differing(line, line.replace("prompts:p1", "prompts:p2"), ["prompting"]) == ["prompts differs: p1 and p2"]


def test_other_samples_are_incomparable_and_another_order_is_not() -> None:
    found = scores(50)
    base = number(TASK, found)
    assert base.samples is not None
    turned = Samples(base.samples.ids[::-1], changed(found, 5)[::-1], np.arange(50))
    unit = units(side([base]), side([dataclasses.replace(base, samples=turned, value=0.5)]))[TASK]
    assert unit.paired is not None
    assert (unit.paired.won, unit.paired.lost) == (0, 5)
    other = Samples(["q0", "x", *base.samples.ids[2:]], found, np.arange(50))
    unit = units(side([base]), side([dataclasses.replace(base, samples=other)]))[TASK]
    assert (unit.status, unit.why) == (
        "incomparable",
        ("samples differ: 2 queries are on one side alone, such as q1",),
    )


@pytest.mark.parametrize("partial", ["base", "new"])
def test_a_partial_side_is_incomparable_unless_allowed(partial: str) -> None:
    one, other = number(TASK, scores(50)), number(TASK, scores(50), complete=False)
    base, new = (side([other], "a"), side([one], "b")) if partial == "base" else (side([one], "b"), side([other], "a"))
    assert units(base, new)[TASK].why == ("a is partial here",)
    assert units(base, new, allow=["partial"])[TASK].status == "compared"


def test_failed_missing_and_new_tasks() -> None:
    base = side({TASK: scores(9), "SUN397": scores(9), "WebQA": None})
    new = side({TASK: None, "WebQA": scores(9), "EDIS": scores(9)}, "new")
    found = compare(base, new)
    assert {unit.name: (unit.status, unit.why) for unit in found.units} == {
        TASK: ("failed", ("it broke",)),
        "SUN397": ("missing", ("new has no such task",)),
    }
    assert found.unjudged == {"EDIS": "the base has no such task", "WebQA": "it failed in the base"}


def test_no_task_in_common_names_both() -> None:
    with pytest.raises(NotComparableError, match=r"a and b have no task in common: the first has VOC2007, the second"):
        compare(side({TASK: scores(9)}, "a"), side({"EDIS": scores(9)}, "b"))


# --- numbers ---------------------------------------------------------------------------------------------


def test_a_task_of_zeros_and_ones_by_mcnemar_and_newcombe() -> None:
    base = scores(400)
    new = changed(base, 30, 10)
    found = paired_of(base, new)
    assert (found.n, found.won, found.lost, found.clusters, found.method) == (400, 10, 30, None, "mcnemar-midp")
    assert found.p_value == mcnemar_midp(10, 30)
    right = int(base.sum())
    assert found.interval == newcombe(right - 30, 10, 30, 400 - right - 10)
    assert found.equivalence_interval == newcombe(right - 30, 10, 30, 400 - right - 10, level=0.9)


def test_queries_that_share_an_image_count_as_one() -> None:
    base = np.ones(60)
    new = base.copy()
    new[:12] = 0
    apart = units(side([number(TASK, base)]), side([number(TASK, new)]))[TASK].paired
    images = list(np.repeat(range(20), 3))
    together = units(side([number(TASK, base, images)]), side([number(TASK, new, images)]))[TASK].paired
    assert apart is not None
    assert together is not None
    assert (apart.clusters, together.clusters) == (None, 20)
    assert together.p_value > 20 * apart.p_value
    assert together.error is not None
    assert apart.error is not None
    assert together.error > 1.5 * apart.error
    alone = [0] * 60
    single = units(side([number(TASK, base, alone)]), side([number(TASK, new, alone)]))[TASK].paired
    assert single is not None
    assert (single.interval, single.error, single.smallest_difference, single.p_value) == (None, None, None, 1.0)


@pytest.mark.parametrize(
    ("base", "new", "images"),
    [
        ([1, 0, 1, 1, 0, 0] * 4, [0, 1, 1, 1, 0, 0] * 4, list(np.repeat(range(12), 2))),  # won and lost on one image
        ([0.5] * 24, [0.51] * 24, None),
        ([0.125] * 24, [0.0] * 24, None),
    ],
)
def test_a_bootstrap_that_sees_no_spread_shows_nothing_to_be_the_same(
    base: list[float], new: list[float], images: list[int] | None
) -> None:
    one, other = (number(TASK, np.array(found, dtype=float), images) for found in (base, new))
    unit = units(side([one]), side([other]))[TASK]
    assert unit.paired is not None
    paired = unit.paired
    found = (paired.interval, paired.equivalence_interval, paired.error, paired.smallest_difference)
    assert found == (None,) * 4
    judged = judge(compare(side([one]), side([other])), GateConfig(), today=date(2026, 1, 1)).judged
    assert {found.verdict for found in judged} <= {"inconclusive", "regressed"}


def test_samples_that_name_no_images_are_compared_and_it_is_said() -> None:
    one = number(TASK, scores(30))
    assert one.samples is not None
    plain = dataclasses.replace(one, samples=dataclasses.replace(one.samples, clusters=None))
    unit = units(side([plain]), side([plain]))[TASK]
    assert unit.notes == ("the samples do not name images, so queries that share one count as independent",)
    assert unit.paired is not None


def test_groups_are_unweighted_means_over_their_tasks_in_one_family() -> None:
    base, new = whole({"VOC2007": 20, "DocVQA": 10})
    found = compare(base, new)
    names = [unit.name for unit in found.units]
    assert names[:8] == [
        "mmeb", "scar", "mmeb/classification", "mmeb/vqa", "mmeb/retrieval", "mmeb/grounding", "mmeb/ind", "mmeb/ood",
    ]  # fmt: skip
    assert len(names) == found.family == 49
    mmeb, classes = (
        next(unit for unit in found.units if unit.name == name) for name in ("mmeb", "mmeb/classification")
    )
    assert (mmeb.level, classes.level, len(classes.tasks), classes.of) == ("suite", "group", 10, 10)
    values = [base.numbers[task].value for task in classes.tasks]
    assert classes.base == pytest.approx(statistics.fmean(value for value in values if value is not None))
    assert classes.delta == pytest.approx(-0.1 / 10)
    tested = [unit.paired for unit in found.units if unit.paired is not None]
    assert [paired.p_holm for paired in tested] == holm([paired.p_value for paired in tested])
    differences = [
        new.numbers[task].samples.scores - base.numbers[task].samples.scores  # type: ignore[union-attr]
        for task in classes.tasks
    ]
    assert classes.paired is not None
    assert classes.paired.interval == pytest.approx(stratified_bootstrap(differences, seed=1), abs=0.001)
    assert (classes.paired.won, classes.paired.lost) == (0, 20)


@pytest.mark.slow(1)
def test_a_groups_p_value_is_the_share_of_all_flips_by_image() -> None:
    """A loop: flip whole images of three small tasks, each of its own weight, and take the mean of their means."""
    draw = np.random.default_rng(3)
    names, images = ("VOC2007", "SUN397", "Place365"), ([0, 0, 1, 2, 2, 3], None, [0, 1, 1, 2, 3, 4, 4])
    base = [draw.choice([0.0, 1.0], n, p=[0.7, 0.3]) for n in (6, 9, 7)]
    new = [draw.choice([0.0, 0.5, 1.0], n, p=[0.6, 0.2, 0.2]) for n in (6, 9, 7)]
    sides = [side([number(*one) for one in zip(names, scored, images, strict=True)]) for scored in (base, new)]
    found = units(*sides, permutations=20_000)["mmeb"].paired
    assert found is not None
    differences = [one - other for one, other in zip(new, base, strict=True)]
    clusters = [np.arange(len(d)) if i is None else np.array(i) for d, i in zip(differences, images, strict=True)]
    seen, reached = abs(statistics.fmean(d.mean() for d in differences)), 0
    for _ in range(20_000):
        signs = [draw.choice([-1, 1], c.max() + 1)[c] for c in clusters]
        flipped = statistics.fmean((d * s).mean() for d, s in zip(differences, signs, strict=True))
        reached += abs(flipped) >= seen - 1e-9
    assert found.p_value == pytest.approx(reached / 20_000, abs=0.01)


def test_a_group_is_over_what_can_be_compared_and_says_so() -> None:
    base, new = whole()
    fewer = side([one for one in new.numbers.values() if one.task != "VOC2007"], "new")
    found = units(base, fewer)
    assert found["mmeb"].notes == ("over 35 of 36 tasks",)
    assert (len(found["mmeb"].tasks), found["scar"].notes) == (35, ())


def test_a_suite_of_one_meta_task_has_no_group_and_one_task_no_mean() -> None:
    assert [name for name in units(*whole()) if name.startswith("scar")] == ["scar"]
    assert list(units(side({TASK: scores(9)}), side({TASK: scores(9)}))) == [TASK]


def test_equal_sides_are_equal_and_seeds_are_kept() -> None:
    base, _ = whole(n=40)
    found = compare(base, base, seed=5)
    assert found.seed == 5
    assert all(unit.delta == 0 and unit.paired is not None and unit.paired.unchanged for unit in found.units)
    base, new = whole({"VOC2007": 9}, n=40)
    assert compare(base, new) == compare(base, new)


def test_without_samples_size_alone_is_left() -> None:
    found = compare(side({TASK: 0.6, "SUN397": scores(9)}), side({TASK: 0.5, "SUN397": scores(9)}, "new"))
    assert found.mode == "mixed"
    assert "threshold mode" in found.notes[0]
    task, group = (next(unit for unit in found.units if unit.name == name) for name in (TASK, "mmeb"))
    assert (task.paired, task.notes) == (None, ("no samples in model and new",))
    assert task.delta == pytest.approx(-0.1)
    assert group.paired is None
    assert compare(side({TASK: 0.6}), side({TASK: 0.5})).mode == "threshold"


# --- files of scores ---------------------------------------------------------------------------------------

SCORES = {"schema": "evalkit.scores", "schema_version": 1, "model": "paper", "scores": {"mmeb/ImageNet-1K": 0.587}}


def test_a_file_of_scores_is_a_side(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(SCORES | {"source": "table 3", "scores": {"mmeb/ImageNet-1K": 0.587, TASK: 0.9}}))
    found = read_comparand(file)
    assert (found.kind, found.model, found.facts["source"]) == ("scores", "paper", "table 3")
    assert {name: one.value for name, one in found.numbers.items()} == {"ImageNet-1K": 0.587, TASK: 0.9}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "other"}, "schema: "),
        ({"schema_version": 2}, "schema_version: it is 2, written by a newer evalkit: update evalkit"),
        ({"schema_version": 0}, "schema_version: it is 0, which this evalkit cannot migrate"),
        ({"scores": {}}, "scores: "),
        ({"scores": {TASK: 58.7}}, f"scores.{TASK}: "),
        ({"scores": {TASK: None}}, f"scores.{TASK}: "),
        ({"scores": {"VOC2077": 0.5}}, "near: VOC2007"),
        ({"scores": {"mmeb": 0.5}}, "'mmeb' is 36 tasks"),
        ({"scores": {TASK: 0.5, f"mmeb/{TASK}": 0.5}}, "named twice"),
        ({"extra": 1}, "extra: "),
    ],
)
def test_what_is_no_file_of_scores_is_refused_by_name(change: dict[str, object], says: str, tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(SCORES | change))
    with pytest.raises(UsageError) as raised:
        read_comparand(file)
    assert str(file) in str(raised.value)
    assert says in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "evalkit.scores"', "\x00\xff", "[" * 100_000])
def test_truncated_and_foreign_json(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"scores\.json is no scores file"):
        read_comparand(file)

"""The demo's numbers against plain arithmetic on the files of its runs, and what it says of them."""

from __future__ import annotations

import json
import random
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builders import DEMO_SIZE, Demonstration

from evalkit.cli.tables import demo_summary
from evalkit.demo import (
    CLIP,
    COMPARED,
    CROP,
    ENTRANTS,
    INTERACTIVE,
    MMEB,
    NATIVE,
    NONE,
    VLM2VEC,
    Entrant,
    Estimate,
    Findings,
    Lead,
    Line,
    Scored,
    findings,
)
from evalkit.embedders.modeltext import parse_model
from evalkit.errors import EmbedderError, ResultsError
from evalkit.evaluate import Job, Ran
from evalkit.miniature import SUITE
from evalkit.runs.runfolder import find_runs

GROUPS = ("classification", "vqa", "retrieval", "grounding", INTERACTIVE)
Scores = dict[str, dict[str, float]]


def scored(folder: Path) -> list[Scored]:
    """The runs of a demo as it has them itself."""
    found = {(m.model.name, m.settings.prompting): (path, m) for path, m in find_runs([folder / "runs"])}
    assert len(found) == len(ENTRANTS)
    return [
        Scored(one, Ran(Job(parse_model(one.model), found[one.model, one.prompting][1].settings), *found[key]))
        for one in ENTRANTS
        for key in [(one.model, one.prompting)]
    ]


@pytest.fixture(scope="module")
def runs(demonstration: Demonstration) -> list[Scored]:
    return scored(demonstration.folder)


def scores_on_disk(folder: Path, one: Entrant) -> Scores:
    """By task and query id, read without evalkit."""
    for file in folder.glob(f"runs/{one.model}/*/run.json"):
        run = json.loads(file.read_text())
        if run["settings"]["prompting"] == one.prompting:
            tables = {task["task"]: pq.read_table(file.parent / task["samples"]) for task in run["tasks"]}
            return {
                task: dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))
                for task, table in tables.items()
            }
    raise AssertionError(f"no run of {one}")


def tasks_of(group: str) -> list[str]:
    return [card.name for card in SUITE.cards() if card.meta_task == group]


def loop(tasks: list[list[float]]) -> tuple[float, float]:
    """The interval, drawn query by query."""
    draw = random.Random(1)
    means = [
        statistics.fmean(statistics.fmean(draw.choices(task, k=len(task) - 1)) for task in tasks) for _ in range(1500)
    ]
    means.sort()
    return means[37], means[1462]


# --- numbers -------------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_means_are_those_of_the_scores_on_disk(demonstration: Demonstration, runs: list[Scored]) -> None:
    found = findings(runs, DEMO_SIZE)
    assert [line.model for line in found.lines] == [one.model for one in ENTRANTS]
    assert [line.regions for line in found.lines] == ["native", "crop", "none", "text", "text", "text", "text"]
    assert found.tasks == {"classification": 10, "vqa": 10, "retrieval": 12, "grounding": 4, INTERACTIVE: 5}
    for one, line in zip(ENTRANTS, found.lines, strict=True):
        disk = scores_on_disk(demonstration.folder, one)
        assert tuple(line.groups) == GROUPS
        for group, estimate in line.groups.items():
            tasks = [list(disk[task].values()) for task in tasks_of(group)]
            assert estimate is not None
            assert estimate.value == pytest.approx(statistics.fmean(statistics.fmean(task) for task in tasks))
            assert (estimate.low, estimate.high) == pytest.approx(loop(tasks), abs=0.05)
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.slow(1)
def test_constant_gets_chance(runs: list[Scored]) -> None:
    found = findings(runs, DEMO_SIZE)
    constant = found.lines[-1]
    assert constant.model == "constant"
    for group in GROUPS:
        estimate = constant.groups[group]
        assert estimate is not None
        assert estimate.value == pytest.approx(found.chance[group], abs=1e-12)
        expected = statistics.fmean(1 / card.candidates for card in SUITE.cards() if card.meta_task == group)
        assert found.chance[group] == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow(1)
def test_differences_are_those_of_the_same_queries(demonstration: Demonstration, runs: list[Scored]) -> None:
    found = findings(runs, DEMO_SIZE)
    assert [(d.tasks, d.new.model, d.base.model) for d in found.differences] == [
        (tasks, new.model, base.model) for tasks, new, base in COMPARED
    ]
    for difference, (tasks, new, base) in zip(found.differences, COMPARED, strict=True):
        after, before = (scores_on_disk(demonstration.folder, one) for one in (new, base))
        names = [
            name for group in GROUPS if (group == INTERACTIVE) == (tasks == INTERACTIVE) for name in tasks_of(group)
        ]
        assert len(names) == (5 if tasks == INTERACTIVE else 36)
        gains = [[after[name][query] - score for query, score in before[name].items()] for name in names]
        assert difference.estimate is not None
        assert difference.estimate.value == pytest.approx(statistics.fmean(map(statistics.fmean, gains)))
        assert (difference.estimate.low, difference.estimate.high) == pytest.approx(loop(gains), abs=0.05)


def test_what_is_compared() -> None:
    assert [str(one) for one in ENTRANTS] == [
        *("virtue-tiny", "virtue-tiny, regions by crop", "virtue-tiny, regions by none"),
        *("vlm2vec-tiny", "clip-tiny", "random", "constant"),
    ]
    assert [pair[1:] for pair in COMPARED if pair[0] == INTERACTIVE] == [(NATIVE, one) for one in (CROP, NONE, VLM2VEC)]
    assert [pair[1:] for pair in COMPARED if pair[0] == MMEB] == [(NATIVE, VLM2VEC), (NATIVE, CLIP)]


@pytest.mark.slow(1)
def test_prompting_changes_nothing_where_there_are_no_regions(runs: list[Scored]) -> None:
    native, crop, none = findings(runs, DEMO_SIZE).lines[:3]
    for group in GROUPS[:-1]:
        assert native.groups[group] == crop.groups[group] == none.groups[group]


# --- what is missing -----------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_a_group_without_all_its_tasks_has_no_mean(runs: list[Scored]) -> None:
    native = runs[0]
    assert isinstance(native.outcome, Ran)
    tasks = tuple(result for result in native.outcome.manifest.tasks if result.task != "miniature/GQA")
    lacking = replace(
        native, outcome=replace(native.outcome, manifest=native.outcome.manifest.model_copy(update={"tasks": tasks}))
    )
    whole, found = findings(runs, DEMO_SIZE), findings([lacking, *runs[1:]], DEMO_SIZE)
    assert found.lines[0].groups == {**whole.lines[0].groups, "vqa": None}
    assert found.lines[1:] == whole.lines[1:]
    assert found.chance == whole.chance
    assert [d.estimate is None for d in found.differences] == [d.tasks == MMEB for d in found.differences]
    assert re.search(r"^virtue-tiny +native .* – ", demo_summary(found), re.MULTILINE)
    assert demo_summary(found).count("minus vlm2vec-tiny       –\n") == 1


@pytest.mark.slow(1)
def test_a_model_that_could_not_be_run_has_no_numbers(runs: list[Scored]) -> None:
    gone = [Scored(one.entrant, EmbedderError("broken")) if one.entrant == VLM2VEC else one for one in runs]
    found = findings(gone, DEMO_SIZE)
    line = found.lines[3]
    assert (line.model, line.regions, set(line.groups.values())) == ("vlm2vec-tiny", "–", {None})
    assert [d.estimate is None for d in found.differences] == [VLM2VEC.model == d.base.model for d in found.differences]


@pytest.mark.slow(1)
def test_runs_on_other_queries_are_not_compared(runs: list[Scored]) -> None:
    crop = runs[1]
    other = Scored(crop.entrant, crop.outcome)
    other.__dict__["samples"] = {
        task: replace(samples, ids=[f"other {query}" for query in samples.ids])
        for task, samples in crop.samples.items()
    }
    with pytest.raises(
        ResultsError, match=r"by virtue-tiny, regions by crop and virtue-tiny: samples differ: \d+ quer"
    ):
        findings([runs[0], other, *runs[2:]], DEMO_SIZE)


# --- words ---------------------------------------------------------------------------------------------


def line(model: str, regions: str = "text", **groups: Estimate | None) -> Line:
    return Line(
        model, regions, {group: groups.get(group.replace("-", "_"), Estimate(0.5, 0.4, 0.6)) for group in GROUPS}
    )


@pytest.mark.parametrize(
    ("low", "value", "high", "says"),
    [
        (0.1, 0.2, 0.3, "one is ahead"),
        (-0.3, -0.2, -0.1, "other is ahead"),
        (-0.1, 0.2, 0.3, "too close to call"),
        (-0.3, -0.2, 0.1, "too close to call"),
        (0.0, 0.2, 0.3, "too close to call"),
        (0.0, 0.0, 0.0, "too close to call"),
    ],
)
def test_which_way_a_difference_falls(low: float, value: float, high: float, says: str) -> None:
    difference = Lead(MMEB, line("one"), line("other"), Estimate(value, low, high))
    found = Findings((line("one"),), dict.fromkeys(GROUPS, 0.1), (difference,), dict.fromkeys(GROUPS, 2), 24)
    (row,) = (row for row in demo_summary(found).splitlines() if " minus " in row)
    assert row.split("  ", 1)[0] == "MMEB's stand-ins"
    assert "one minus other" in row
    assert f"{100 * value:+.1f}  {100 * low:+.1f} to {100 * high:+.1f}" in row
    assert row.endswith(says)


def test_the_table_in_words() -> None:
    native = line(
        "virtue-tiny", "native", classification=Estimate(0.6249, 0.5801, 0.6599), vqa=Estimate(0.085, 0.085, 0.085)
    )
    crop = line("virtue-tiny", "crop", retrieval=Estimate(1.0, 1.0, 1.0), grounding=None)
    crop = replace(crop, groups={**crop.groups, INTERACTIVE: Estimate(0.1, 0.1, 0.1)})
    difference = Lead(INTERACTIVE, native, crop, Estimate(0.4, 0.3, 0.5))
    counts = dict(zip(GROUPS, (10, 10, 12, 4, 5), strict=True))
    text = demo_summary(Findings((native, crop), dict.fromkeys(GROUPS, 0.085), (difference,), counts, 24))
    assert (
        text
        == """\
Precision@1 in percent: mean over the tasks of a group, and its 95 % interval

model        regions  classification   vqa              retrieval           grounding        visual-interactive
-----------  -------  ---------------  ---------------  ------------------  ---------------  ------------------
virtue-tiny  native   62.5 (58 to 66)  8.5 (8 to 9)     50.0 (40 to 60)     50.0 (40 to 60)  50.0 (40 to 60)
virtue-tiny  crop     50.0 (40 to 60)  50.0 (40 to 60)  100.0 (100 to 100)  –                10.0 (10 to 10)
chance                8.5              8.5              8.5                 8.5              8.5

10, 10, 12, 4 and 5 tasks of 24 queries. Differences on the same queries:

tasks               difference                      points  95 % interval
------------------  ------------------------------  ------  --------------  ---------------
visual-interactive  virtue-tiny: native minus crop   +40.0  +30.0 to +50.0  native is ahead

The tasks are drawn stand-ins: these numbers say nothing about MMEB or SCaR."""
    )

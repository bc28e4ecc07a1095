"""Boards from runs and published rows: every number against one worked out here, nothing that depends on order."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from board_runs import CARDS, EXAMPLE, MMEB, SCAR, coins, ids_of, save, write_samples

from evalkit.errors import ResultsError
from evalkit.leaderboard.board import Board, Entry, Facts, Range
from evalkit.leaderboard.numbers.assemble import COMPARED, IMAGES_SHARED, boards
from evalkit.leaderboard.published import reported as published
from evalkit.runs.manifest import Settings
from evalkit.scoring.stats import stratified_bootstrap, wilson
from evalkit.suites.selecting import all_cards

GENERAL, (INTERACTIVE,) = EXAMPLE[:3], EXAMPLE[3:]


def example(chance: float = 0.5, seed: int = 0, *, ties: bool = False, tasks=EXAMPLE) -> dict[str, np.ndarray]:
    return {task: coins(task, chance, seed, ties=ties) for task in tasks}


def only(runs, rows=()) -> Board:
    (board,) = boards(runs, rows)
    return board


def entries(board: Board) -> dict[str, Entry]:
    return {entry.label: entry for entry in board.entries}


def mean_of(scores, tasks) -> float:
    return sum(sum(map(float, scores[task])) / len(scores[task]) for task in tasks) / len(tasks)


def plain(board: Board) -> Board:
    """The board without where its runs lie."""
    without = tuple(dataclasses.replace(e, run=(Path(), e.run[1]) if e.run else None) for e in board.entries)
    return dataclasses.replace(board, entries=without)


# --- which boards, groups and chance --------------------------------------------------------------------


def test_mmeb_and_scar_are_one_board_and_every_other_suite_its_own(tmp_path):
    runs = [
        save(
            tmp_path,
            "all",
            {MMEB[0]: coins(MMEB[0], 0.5), SCAR[1]: coins(SCAR[1], 0.5), EXAMPLE[0]: coins(EXAMPLE[0], 0.5)},
        )
    ]
    first, second = boards(runs)
    assert (first.key, second.key) == ("mmeb-scar", "example")
    assert [card.name for card in first.cards] == MMEB + SCAR
    assert [card.name for card in second.cards] == EXAMPLE
    assert [set(board.entries[0].scores) for board in (first, second)] == [{MMEB[0], SCAR[1]}, {EXAMPLE[0]}]
    assert (first.official_images, second.official_images) == (True, False)
    assert first.caution == ""
    assert "nothing about MMEB" in second.caution
    assert boards([]) == ()


def test_groups_are_those_of_the_cards():
    board = only([], published.read())
    groups = {group.key: group for group in board.groups}
    assert [*groups] == ["general", "interactive", "classification", "vqa", "retrieval", "grounding", "ind", "ood"]
    assert [group.label for group in board.groups][:2] == ["MMEB-36", "SCaR-5"]
    assert [len(group.tasks) for group in board.groups] == [36, 5, 10, 10, 12, 4, 20, 16]
    assert list(groups["general"].tasks) == MMEB
    assert list(groups["interactive"].tasks) == SCAR
    assert all(CARDS[task].distribution == "ood" for task in groups["ood"].tasks)


def test_a_board_has_no_group_without_tasks(tmp_path):
    board = only([save(tmp_path, "m", example())])
    assert [group.key for group in board.groups] == ["general", "interactive", "classification", "vqa", "retrieval"]
    assert {key: len(m.n_tasks * "x") for key, m in board.entries[0].means.items()} == {
        "general": 3,
        "interactive": 1,
        "classification": 1,
        "vqa": 1,
        "retrieval": 1,
    }


def test_the_miniature_is_a_board_of_its_own_with_names_of_its_own(tmp_path):
    task = "miniature/RefCOCOg"
    board = only([save(tmp_path, "m", {task: coins(task, 0.5)})])
    assert board.key == "miniature"
    assert [group.label for group in board.groups][:2] == ["36 stand-ins", "5 interactive stand-ins"]
    assert not board.official_images


def test_chance_is_what_runs_say_and_scars_card(tmp_path):
    whole = save(tmp_path, "whole", example(), digit="1")
    board = only([whole, save(tmp_path, "part", {EXAMPLE[0]: np.ones(3)}, digit="0")])
    assert board.chance == dict.fromkeys(EXAMPLE, 0.1)
    assert all(group.chance == pytest.approx(0.1) for group in board.groups)
    # A run of part of the queries is believed where there is no other, and one with merged candidates last.
    folder, manifest = save(tmp_path, "other", {EXAMPLE[0]: np.ones(3)}, digit="2")
    said = [manifest.tasks[0].metrics["precision_at_1"].model_copy(update={"chance": chance}) for chance in (0.4, 0.3)]
    with_chance = [
        manifest.model_copy(
            update={
                "tasks": (manifest.tasks[0].model_copy(update={"metrics": {"precision_at_1": one}}),),
                "settings": Settings(official_dedup=merged),
                "run_id": digit * 12,
            }
        )
        for one, merged, digit in zip(said, (False, True), "34", strict=True)
    ]
    assert only([(folder, one) for one in with_chance]).chance == {EXAMPLE[0]: 0.4}
    assert only([(folder, one) for one in with_chance] + [whole]).chance[EXAMPLE[0]] == 0.1
    board = only([], published.read())
    assert board.chance == dict.fromkeys(SCAR, 0.1)
    known = {group.key: group.chance for group in board.groups}
    assert known.pop("interactive") == pytest.approx(0.1)
    assert set(known.values()) == {None}


# --- means and intervals --------------------------------------------------------------------------------


def test_means_are_unweighted_over_all_tasks_and_scores_those_of_the_run(tmp_path):
    scores = example(0.6, ties=True)
    entry = only([save(tmp_path, "m", scores)]).entries[0]
    for task in EXAMPLE:
        own = entry.scores[task]
        assert own.value == pytest.approx(float(scores[task].mean()))
        assert (own.n, own.complete) == (len(scores[task]), True)
        assert (own.low, own.high) == pytest.approx(wilson(own.value, own.n))
        assert own.result.metrics["precision_at_1"].n_ties == (scores[task] == 0.5).sum()
    assert entry.means["general"].value == pytest.approx(mean_of(scores, GENERAL))
    assert entry.means["interactive"].value == pytest.approx(mean_of(scores, [INTERACTIVE]))
    assert entry.means["vqa"].value == pytest.approx(mean_of(scores, [EXAMPLE[1]]))
    assert all((mean.n_done == mean.n_tasks, mean.reported) == (True, False) for mean in entry.means.values())


@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_a_stratified_bootstrap(tmp_path, ties):
    scores = example(0.4, ties=ties)
    mean = only([save(tmp_path, "m", scores)]).entries[0].means["general"]
    assert (mean.low, mean.high) == pytest.approx(stratified_bootstrap([scores[t] for t in GENERAL]), abs=0.015)
    draw = np.random.default_rng(9)
    means = [
        np.mean([scores[task][draw.integers(len(scores[task]), size=len(scores[task]) - 1)].mean() for task in GENERAL])
        for _ in range(3000)
    ]
    assert (mean.low, mean.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.015)


@pytest.mark.parametrize("fault", ["missing", "failed", "partial", "version", "queries", "says so"])
def test_no_mean_and_no_rank_without_all_tasks(tmp_path, fault):
    scores = example(0.9)
    if fault == "missing":
        del scores[GENERAL[0]]
    if fault == "failed":
        scores[GENERAL[0]] = "no file"
    if fault == "partial":
        scores[GENERAL[0]] = np.ones(3)
    folder, manifest = save(tmp_path, "lacks", scores)
    changes = {"version": {"task_version": 99}, "queries": {"n_queries": 3}, "says so": {"complete": False}}.get(fault)
    if changes:
        first, *others = manifest.tasks
        manifest = manifest.model_copy(update={"tasks": (first.model_copy(update=changes), *others)})
    whole = save(tmp_path, "whole", example(0.2), digit="1")
    board = only([(folder, manifest), whole])
    assert [entry.label for entry in board.entries] == ["whole", "lacks"]  # a higher mean of fewer tasks does not lead
    lacks = board.entries[1]
    assert (lacks.means["general"].value, lacks.means["general"].n_done, lacks.ranks["general"]) == (None, 2, None)
    assert lacks.means["classification"].value is None
    assert lacks.means["vqa"].value == pytest.approx(float(scores[EXAMPLE[1]].mean()))
    assert lacks.ranks["interactive"] == Range(1, 1)
    if fault not in ("missing", "failed"):
        assert not lacks.scores[GENERAL[0]].complete
    assert not any(score.tied_with_best for task, score in lacks.scores.items() if task == GENERAL[0])


def test_what_a_run_says_of_its_averages_is_not_believed(tmp_path):
    folder, manifest = save(tmp_path, "m", example(0.3))
    boasting = tuple(average.model_copy(update={"value": 0.99}) for average in manifest.averages)
    assert only([(folder, manifest.model_copy(update={"averages": boasting}))]) == dataclasses.replace(
        only([(folder, manifest)]),
        entries=(
            dataclasses.replace(
                only([(folder, manifest)]).entries[0],
                run=(folder, manifest.model_copy(update={"averages": boasting})),
            ),
        ),
    )


# --- ranks ----------------------------------------------------------------------------------------------


@pytest.mark.slow(0.5)
def test_ranks_are_those_of_a_joint_bootstrap(tmp_path):
    """Against loops over draws of the same queries for all."""
    scores = {f"m{i}": example(0.4 + 0.03 * i, seed=i) for i in range(6)}
    board = only([save(tmp_path, name, own, digit=name[1]) for name, own in scores.items()])
    draw = np.random.default_rng(1)
    ranks = {name: [] for name in scores}
    for _ in range(1500):
        rows = {task: draw.integers(CARDS[task].queries, size=CARDS[task].queries - 1) for task in GENERAL}
        means = {name: np.mean([own[task][rows[task]].mean() for task in GENERAL]) for name, own in scores.items()}
        for name, mean in means.items():
            ranks[name].append(1 + sum(other > mean + 1e-12 for other in means.values()))
    for name, entry in entries(board).items():
        low, high = np.quantile(ranks[name], [0.025, 0.975], method="inverted_cdf")
        assert abs(entry.ranks["general"].best - low) <= 1
        assert abs(entry.ranks["general"].worst - high) <= 1
    assert any(entry.ranks["general"].best != entry.ranks["general"].worst for entry in board.entries)


def test_who_is_better_on_the_same_queries_is_ahead_though_intervals_overlap(tmp_path):
    base = example(0.5)
    better = {task: own.copy() for task, own in base.items()}
    for task in GENERAL:
        better[task][np.flatnonzero(better[task] == 0)[:5]] = 1
    board = only([save(tmp_path, "base", base), save(tmp_path, "better", better, digit="1")])
    first, second = board.entries
    assert (first.label, second.label) == ("better", "base")
    assert first.means["general"].low < second.means["general"].high
    assert (first.ranks["general"], second.ranks["general"]) == (Range(1, 1), Range(2, 2))


def test_equal_runs_share_a_place_and_baselines_have_none(tmp_path):
    runs = [save(tmp_path, name, example(0.5), digit=d) for name, d in (("b", "1"), ("a", "2"))]
    runs.append(save(tmp_path, "random", example(0.95), family="random", digit="3"))
    runs.append(save(tmp_path, "constant", example(0.1), family="constant", digit="4"))
    board = only(runs)
    assert [entry.label for entry in board.entries] == ["a", "b", "random", "constant"]
    assert [entry.ranks["general"] for entry in board.entries] == [Range(1, 1), Range(1, 1), None, None]
    assert [entry.knows_nothing for entry in board.entries] == [False, False, True, True]
    assert not any(score.tied_with_best for entry in board.entries[2:] for score in entry.scores.values())
    assert all(mean.low is not None for entry in board.entries for mean in entry.means.values())


def test_the_two_headlines_have_ranks_of_their_own(tmp_path):
    strong = example(0.95)
    strong[INTERACTIVE] = coins(INTERACTIVE, 0.1)
    weak = example(0.2, seed=1)
    weak[INTERACTIVE] = coins(INTERACTIVE, 0.9, 1)
    board = only([save(tmp_path, "strong", strong), save(tmp_path, "weak", weak, digit="1")])
    assert {label: (str(e.ranks["general"]), str(e.ranks["interactive"])) for label, e in entries(board).items()} == {
        "strong": ("1", "2"),
        "weak": ("2", "1"),
    }


@pytest.mark.slow(1)
def test_runs_and_published_rows_are_ranked_together(tmp_path):
    rows = published.read()
    good = {task: coins(task, 0.95) for task in MMEB}
    board = only([save(tmp_path, "good", good)], rows)
    assert board.entries[0].label == "good"
    assert board.entries[0].ranks == {"general": Range(1, 1), "interactive": None}
    alone = entries(only([], rows))
    with_run = entries(board)
    for label, entry in alone.items():
        one, other = entry.ranks["general"], with_run[label].ranks["general"]
        assert other == (one and Range(one.best + 1, one.worst + 1))
        assert entry.ranks["interactive"] == with_run[label].ranks["interactive"]


# --- published rows -------------------------------------------------------------------------------------


def test_published_rows_keep_their_means_and_get_intervals_where_their_tasks_are_known():
    rows = published.read()
    board = only([], rows)
    assert len(board.entries) == len(rows)
    by_slug = {entry.slug: entry for entry in board.entries}
    seen = set()
    for row in rows:
        entry = by_slug[f"published-{row.slug}"]
        assert (entry.kind, entry.run, entry.prompting) == ("published", None, row.prompting)
        assert entry.sources == row.sources
        for name, value in dataclasses.asdict(row.facts).items():  # a card may add what it leaves open
            own = getattr(entry.facts, name)
            assert own == value or (value in (None, "unknown") and entry.named is not None), (row.slug, name)
        assert {task: score.value for task, score in entry.scores.items()} == row.scores
        for task, score in entry.scores.items():
            assert (score.n, score.complete, score.tied_with_best, score.result) == (None, True, False, None)
            assert (score.low, score.high) == wilson(score.value, CARDS[task].queries)
        for key, mean in entry.means.items():
            assert (mean.value, mean.n_done, mean.reported) == (
                row.means[key].value,
                row.means[key].n_done,
                row.means[key].reported,
            )
            whole = mean.n_done == mean.n_tasks
            seen.add((whole, mean.reported))
            assert (mean.low is not None) == whole
            if whole:
                group = next(group for group in board.groups if group.key == key)
                variance = (
                    sum((p := row.scores[task]) * (1 - p) / (CARDS[task].queries - 1) for task in group.tasks)
                    / len(group.tasks) ** 2
                )
                half = 1.959964 * math.sqrt(variance)
                assert (mean.low, mean.high) == pytest.approx((mean.value - half, mean.value + half), abs=1e-7)
    assert seen == {(True, False), (False, True), (False, False)}
    assert board.comparisons == ()
    assert {entry.ranks["general"] is None for entry in board.entries} == {True, False}


def test_inconsistencies_of_papers_are_footnotes_of_their_means():
    rows = published.read()
    board = only([], rows)
    by_slug = {entry.slug: entry for entry in board.entries}
    shown = 0
    for row in rows:
        for key, mean in by_slug[f"published-{row.slug}"].means.items():
            said = [note for note in mean.notes if board.footnotes[note - 1] != IMAGES_SHARED]
            assert [board.footnotes[note - 1] for note in said] == sorted(
                row.footnotes.get(key, ()), key=board.footnotes.index
            )
            shown += len(said)
    assert shown > 10
    assert len(set(board.footnotes)) == len(board.footnotes)
    assert shown > len(board.footnotes)  # the same said twice is one footnote


def test_improvements_of_the_paper_come_out_of_its_rows():
    board = only([], published.read())
    by_slug = {entry.slug: entry for entry in board.entries}
    found = {(by_slug[i.entry].label, i.group): i for i in board.improvements}
    wanted = {
        ("VIRTUE-2B", "general"): ("VLM2Vec-2B", 0.085),
        ("VIRTUE-7B", "general"): ("UniME-7B", 0.030),
        ("VIRTUE-2B +SCaR-train", "interactive"): ("VLM2Vec-2B +SCaR-train", 0.203),
        ("VIRTUE-7B +SCaR-train", "interactive"): ("UniME-7B +SCaR-train", 0.152),
    }
    assert {k: (by_slug[i.baseline].label, round(i.relative, 3)) for k, i in found.items()} == wanted


def test_means_alone_rank_with_a_spread_that_is_no_smaller_than_with_their_tasks():
    def alone(row):
        if row.means["general"].value is None or row.means["general"].reported:
            return row
        value = Decimal(str(round(100 * row.means["general"].value, 6)))
        printed = row.general.printed.model_copy(update={"scores": {}, "aggregates": {"general": value}})
        return dataclasses.replace(row, general=dataclasses.replace(row.general, printed=printed))

    def widths(board):
        return {e.slug: r.worst - r.best for e in board.entries if (r := e.ranks["general"])}

    rows = published.read()
    before, after = only([], rows), only([], [alone(row) for row in rows])
    assert [entry.slug for entry in before.entries if entry.ranks["general"]] == [
        entry.slug for entry in after.entries if entry.ranks["general"]
    ]
    assert sum(mean.reported for entry in before.entries if (mean := entry.means["general"])) < 60
    assert all(entry.means["general"].reported for entry in after.entries if entry.ranks["general"])
    assert sum(widths(after).values()) > sum(widths(before).values())


# --- best of a task -------------------------------------------------------------------------------------


def test_best_of_a_task_are_marked_and_who_lacks_samples_is_no_part_of_the_contest(tmp_path):
    base = example(0.5)
    near = {task: np.where(np.arange(len(own)) == own.argmax(), 0.0, own) for task, own in base.items()}  # one less
    far = {task: own * (np.arange(len(own)) % 4 == 0) for task, own in base.items()}
    runs = [
        save(tmp_path, "base", base),
        save(tmp_path, "near", near, digit="1"),
        save(tmp_path, "far", far, digit="2"),
        save(tmp_path, "unsampled", near, digit="3", samples=False),
    ]
    marks = {label: {s.tied_with_best for s in e.scores.values()} for label, e in entries(only(runs)).items()}
    assert marks == {"base": {True}, "near": {True}, "far": {False}, "unsampled": {False}}
    # What is claimed to be the best is not the best.
    shutil.rmtree(runs[0][0] / "samples")
    marks = {label: {s.tied_with_best for s in e.scores.values()} for label, e in entries(only(runs)).items()}
    assert marks == {"base": {False}, "near": {True}, "far": {False}, "unsampled": {False}}
    # Nobody is best of one.
    assert not any(score.tied_with_best for score in only(runs[1:2]).entries[0].scores.values())


# --- comparisons ----------------------------------------------------------------------------------------


def test_pairs_are_compared_on_the_same_queries(tmp_path):
    base, new = example(0.4, ties=True), example(0.6, seed=1)
    board = only([save(tmp_path, "base", base), save(tmp_path, "new", new, digit="1")])
    (pair,) = board.comparisons
    assert (pair.base, pair.new, pair.incomparable) == ("base", "new", {})
    assert [d.where for d in pair.tasks] == EXAMPLE
    for difference in pair.tasks:
        one, other = base[difference.where], new[difference.where]
        assert difference.value == pytest.approx(other.mean() - one.mean())
        assert difference.low < difference.value < difference.high
        assert (difference.wins, difference.losses) == ((other > one).sum(), (other < one).sum())
        assert difference.p_value <= difference.adjusted <= 1
    assert [d.where for d in pair.groups] == [group.key for group in board.groups]
    for difference, group in zip(pair.groups, board.groups, strict=True):
        assert difference.value == pytest.approx(mean_of(new, group.tasks) - mean_of(base, group.tasks))
        wanted = stratified_bootstrap([new[task] - base[task] for task in group.tasks])
        assert (difference.low, difference.high) == pytest.approx(wanted, abs=0.025)
        moved = [new[task] - base[task] for task in group.tasks]
        assert difference.wins == sum((one > 0).sum() for one in moved)
        assert difference.losses == sum((one < 0).sum() for one in moved)
        assert difference.p_value <= difference.adjusted <= 1


def test_a_pair_says_why_it_is_not_compared_on_a_task(tmp_path):
    base, new = example(0.4), example(0.6, seed=1)
    new[EXAMPLE[0]], new[EXAMPLE[1]] = "image a.jpg is missing", np.ones(3)
    del base[EXAMPLE[3]]
    runs = [save(tmp_path, "base", base), save(tmp_path, "new", new, digit="1")]
    moved = runs[1][1].tasks[2]
    other = [f"other-{i}" for i in range(len(new[EXAMPLE[2]]))]
    write_samples(runs[1][0], moved, new[EXAMPLE[2]], other)
    (pair,) = only(runs).comparisons
    assert (pair.tasks, pair.groups) == ((), ())
    assert pair.incomparable == {
        EXAMPLE[0]: "new: failed: image a.jpg is missing",
        EXAMPLE[1]: "new: 3 of 64 queries",
        EXAMPLE[2]: "the two were not asked the same queries",
        EXAMPLE[3]: "base: not run",
    }
    (runs[0][0] / f"samples/{EXAMPLE[2]}.parquet").unlink()
    (pair,) = only(runs).comparisons
    assert pair.incomparable[EXAMPLE[2]] == (
        "base: claimed: its samples are not there, so the number cannot be checked"
    )


def test_one_task_less_leaves_the_groups_that_are_whole(tmp_path):
    base, new = example(0.4), example(0.6, seed=1)
    del base[EXAMPLE[1]]
    (pair,) = only([save(tmp_path, "base", base), save(tmp_path, "new", new, digit="1")]).comparisons
    assert {d.where for d in pair.groups} == {"interactive", "classification", "retrieval"}
    assert {d.where for d in pair.tasks} == {EXAMPLE[0], EXAMPLE[2], EXAMPLE[3]}


@pytest.mark.slow(0.7)
def test_the_best_are_compared_where_there_are_many(tmp_path):
    runs = [
        save(tmp_path, f"m{i:02d}", example(0.3 + 0.04 * i, seed=i, tasks=EXAMPLE[:1]), run_id=f"{i:012d}")
        for i in range(COMPARED + 2)
    ]
    board = only(runs)
    slugs = [entry.slug for entry in board.entries]
    assert len(board.comparisons) == COMPARED * (COMPARED - 1) // 2
    assert {slug for pair in board.comparisons for slug in (pair.base, pair.new)} == set(slugs[:COMPARED])
    assert all(slugs.index(pair.new) < slugs.index(pair.base) for pair in board.comparisons)
    assert f"Compared in pairs: the first {COMPARED} of {COMPARED + 2} measured entries with per-query scores." in (
        board.footnotes
    )
    assert not any("Compared" in note for note in only(runs[:COMPARED]).footnotes)
    assert len(only(runs[:COMPARED]).comparisons) == 66


# --- samples that are wrong -----------------------------------------------------------------------------


def test_a_file_that_is_not_the_results_stops_the_board_by_name(tmp_path):
    run = save(tmp_path, "m", example(0.4))
    write_samples(run[0], run[1].tasks[0], np.ones(64))
    with pytest.raises(ResultsError, match=rf"value is 0.375, and by .*samples/{EXAMPLE[0]}.parquet it is 1.0"):
        boards([run])


# --- what entries are called ----------------------------------------------------------------------------


def test_two_runs_of_one_model_are_told_apart(tmp_path):
    folder = tmp_path / "text"
    one, two = save(tmp_path, "model", example(0.5)), save(folder, "model", example(0.4), digit="1")
    manifest = two[1].model_copy(
        update={"tasks": tuple(t.model_copy(update={"prompting": t.prompting and "crop"}) for t in two[1].tasks)}
    )
    told = entries(only([one, (two[0], manifest)]))
    assert set(told) == {"model (native)", "model (crop)"}
    assert {entry.prompting for entry in told.values()} == {"native", "crop"}
    assert {entry.slug for entry in told.values()} == {"model-native", "model-crop"}
    assert {entry.model for entry in told.values()} == {"model"}
    # By their run ids where both had regions the same way.
    assert set(entries(only([one, two]))) == {"model (000000000000)", "model (111111111111)"}


def test_a_run_in_two_folders_stands_once_with_the_files_that_are_there(tmp_path):
    scores = example(0.5)
    bare = save(tmp_path / "a", "m", scores, samples=False)
    full = save(tmp_path / "b", "m", scores)
    for runs in ([bare, full], [full, bare]):
        board = only(runs)
        assert len(board.entries) == 1
        assert board.entries[0].run[0] == full[0]
    # Two states of one run are two entries, whichever comes first.
    part = save(tmp_path / "c", "m", {EXAMPLE[0]: scores[EXAMPLE[0]]})
    boards_of = [only(runs) for runs in ([part, full], [full, part])]
    assert boards_of[0] == boards_of[1]
    assert [entry.label for entry in boards_of[0].entries] in (
        ["m (000000000000), 1", "m (000000000000), 2"],
        ["m (000000000000), 2", "m (000000000000), 1"],
    )
    assert len({entry.slug for entry in boards_of[0].entries}) == 2


NASTY = [
    "</script><img src=x onerror=alert(1)>",
    "שלום \u202eevil",
    "👩\u200d🔬 embedder",
    "🦔",
    "two\nlines\tand\x1b[31m",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "x" * 500,
    "X" * 500 + "y",
    "",
    " ",
    "Ünïcode",
    "unicode",
    "con",
]


@pytest.mark.slow(0.5)
def test_names_of_strangers_become_text_in_one_line_and_slugs_of_their_own(tmp_path):
    runs = [
        save(tmp_path, name, {EXAMPLE[0]: coins(EXAMPLE[0], 0.5, i)}, folder=f"f{i}", run_id=f"{i:012d}")
        for i, name in enumerate(NASTY)
    ]
    board = only(runs)
    assert board == only(runs[::-1])
    slugs = [entry.slug for entry in board.entries]
    assert len(set(slugs)) == len(NASTY)
    for entry in board.entries:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.slug)
        assert len(entry.slug) <= 100
        for text in (entry.label, entry.model):
            assert not re.search(r"[\n\t\x1b\u202e]", text)
    labels = [entry.label for entry in board.entries]
    assert "</script><img src=x onerror=alert(1)>" in labels  # whoever shows it escapes it
    assert "👩\u200d🔬 embedder" in labels
    assert r"שלום \u202eevil" in labels


def test_an_entry_keeps_its_slug_when_others_come(tmp_path):
    one = save(tmp_path, "VIRTUE-2B", {MMEB[0]: coins(MMEB[0], 0.5)})
    other = save(tmp_path, "clip", {MMEB[0]: coins(MMEB[0], 0.4)}, digit="1")
    assert only([one]).entries[0].slug == "virtue-2b"
    assert entries(only([one, other], published.read()))["clip"].slug == "clip"
    found = [e.slug for e in only([one, other], published.read()).entries if e.label == "VIRTUE-2B"]
    assert sorted(found) == ["published-virtue-2b", "virtue-2b"]


# --- facts, warnings, footnotes -------------------------------------------------------------------------


def test_facts_are_the_runs_dimension_and_what_all_published_rows_of_the_model_agree_on(tmp_path):
    rows = published.read()
    task = {MMEB[0]: coins(MMEB[0], 0.5)}
    names = {"virtue-7b": "0", "GME-7B": "1", "somebody-else": "2", "clip-l14": "3"}
    found = entries(only([save(tmp_path, name, task, digit=digit) for name, digit in names.items()], rows))
    measured = {name: found[name].facts for name in names}
    assert {facts.dimension for facts in measured.values()} == {8}
    assert measured["somebody-else"] == Facts(dimension=8)
    own = {row.slug: row.facts for row in rows}
    assert measured["virtue-7b"].parameters == own["virtue-7b"].parameters is not None
    assert measured["virtue-7b"].trained_on_mmeb == "yes"
    assert measured["virtue-7b"].licence is None  # its two trainings differ in it
    # CLIP is published with and without MMEB-train: which one was run, its name does not say.
    assert {facts.trained_on_mmeb for slug, facts in own.items() if slug.startswith("clip-l14")} == {"yes", "no"}
    assert measured["clip-l14"].trained_on_mmeb == "unknown"


def test_a_name_means_nothing_on_another_board(tmp_path):
    facts = only([save(tmp_path, "virtue-7b", example())]).entries[0].facts
    assert facts == Facts(dimension=8)


def test_what_has_to_be_known_of_a_run_is_said(tmp_path):
    scores = example(0.5)
    folder, manifest = save(
        tmp_path, "m", scores, settings=Settings(official_dedup=True, exif="ignore", vectors="float16")
    )
    tasks = tuple(task.model_copy(update={"warnings": ("a \x1b warning", "another")}) for task in manifest.tasks)
    entry = only([(folder, manifest.model_copy(update={"tasks": tasks, "status": "interrupted"}))]).entries[0]
    assert entry.warnings == (
        "The run was interrupted.",
        "Candidates merged by the official key.",
        "Camera orientation ignored.",
        "Vectors kept as float16.",
        "example/Shapes, example/ShapeColours, example/ShapeSearch and 1 more: a \\x1b warning",
        "example/Shapes, example/ShapeColours, example/ShapeSearch and 1 more: another",
    )


def test_footnotes_say_what_is_behind_a_mean(tmp_path):
    failing = example(0.5)
    failing[GENERAL[0]], failing[GENERAL[1]] = "image\na.jpg \u202e is missing", np.ones(5)
    settings = Settings(official_dedup=True, vectors="float16")
    low = {task: np.zeros(CARDS[task].queries) for task in EXAMPLE}
    for own in low.values():
        own[0] = 0.5
    runs = [
        save(tmp_path, "failing", failing),
        save(tmp_path, "merged", example(0.9, ties=True), digit="1", settings=settings),
        save(tmp_path, "low", low, digit="2"),
        save(tmp_path, "random", low, digit="3", family="random"),
    ]
    board = only(runs)
    notes = {
        label: {key: [board.footnotes[n - 1] for n in mean.notes] for key, mean in entry.means.items() if mean.notes}
        for label, entry in entries(board).items()
    }
    ties = r"\d+\.\d if the right candidate came first among equal scores, the most that ties allow\."
    assert notes["failing"] == {
        "general": [
            "No part of any mean: example/ShapeColours (5 of 64 queries).",
            "Failed: example/Shapes (image a.jpg \\u202e is missing).",
        ]
    }
    assert notes["merged"]["general"][0] == "Candidates merged by the official key, vectors kept as float16."
    assert re.fullmatch(ties, notes["merged"]["general"][1])
    assert re.fullmatch(ties, notes["low"]["general"][0])
    assert notes["low"]["general"][1] == "Not above chance on 3 of 3 tasks, as far as their 95 % intervals say."
    assert notes["random"]["general"] == notes["low"]["general"][:1]  # that it knows nothing is no news
    assert set(notes["low"]) == {"general", "interactive"}
    assert len(set(board.footnotes)) == len(board.footnotes)
    assert entries(board)["failing"].failures == {GENERAL[0]: "image a.jpg \\u202e is missing"}
    optimistic = mean_of({task: np.ceil(own) for task, own in low.items()}, GENERAL)
    assert notes["low"]["general"][0].startswith(f"{100 * optimistic:.1f} if")


def test_long_lists_and_long_errors_are_cut(tmp_path):
    board = only([save(tmp_path, "m", {**dict.fromkeys(MMEB[:5], "e" * 900), **{t: np.ones(3) for t in MMEB[5:10]}})])
    parts, failed = board.footnotes
    assert failed.count("e" * 199 + "…") == 3
    assert "and 2 more" in failed
    assert parts.endswith("VOC2007 (3 of 1,000 queries) and 2 more.") or "and 2 more." in parts


def test_when_a_run_ended_is_read_from_its_timing(tmp_path):
    run = save(tmp_path, "m", example())
    timing = run[0] / "timing.json"
    assert only([run]).entries[0].seen is None
    timing.write_text(json.dumps({"finished_at": "2026-01-02T03:04:05Z"}))
    assert only([run]).entries[0].seen == "2026-01-02T03:04:05Z"
    for broken in (
        "{",
        "[]",
        "null",
        '{"finished_at": 5}',
        '{"finished_at": "2026-13-02T03:04:05Z"}',
        '{"finished_at": "2026-1-2T03:04:05Z"}',
        '{"finished_at": "yesterday"}',
        "[" * 100_000,
    ):
        timing.write_text(broken)
        assert only([run]).entries[0].seen is None


# --- few entries, any order -----------------------------------------------------------------------------


def test_a_model_that_answers_alike_in_several_ways_takes_one_place(tmp_path):
    best, worse = example(0.9), example(0.2, seed=1)
    runs = [save(tmp_path, "m", best, folder=f"m{digit}", digit=digit) for digit in "123"]
    runs.append(save(tmp_path, "other", worse, digit="4"))
    ranks = {entry.model: str(entry.ranks["general"]) for entry in only(runs).entries}
    assert ranks == {"m": "1", "other": "2"}
    # Two models that answer alike are two.
    twins = [save(tmp_path, f"twin{digit}", best, digit=digit) for digit in "56"]
    assert {str(entry.ranks["general"]) for entry in only([*twins, runs[-1]]).entries} == {"1", "3"}


def test_only_baselines_make_a_board_without_ranks(tmp_path):
    board = only(
        [
            save(tmp_path, "random", example(0.1), family="random"),
            save(tmp_path, "constant", example(0.1, seed=1), family="constant", digit="1"),
        ]
    )
    assert [entry.ranks for entry in board.entries] == [{"general": None, "interactive": None}] * 2
    assert board.comparisons == ()  # neither knows anything: there is nothing to tell apart


def test_without_full_coverage_who_has_more_tasks_stands_first(tmp_path):
    made = {
        "a": example(0.9, tasks=EXAMPLE[:1]),
        "b": example(0.1, tasks=EXAMPLE[:2]),
        "c": example(0.1, tasks=EXAMPLE[3:]),
    }
    board = only([save(tmp_path, name, own, digit=str(i)) for i, (name, own) in enumerate(made.items())])
    assert [entry.label for entry in board.entries] == ["c", "b", "a"]  # c has all of the second headline


def test_one_entry_makes_a_board(tmp_path):
    board = only([save(tmp_path, "m", example())])
    assert board.comparisons == ()
    assert board.entries[0].ranks == {"general": Range(1, 1), "interactive": Range(1, 1)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow(0.8)
def test_the_order_of_runs_rows_and_queries_does_not_matter(tmp_path, seed):
    draw = np.random.default_rng(seed)
    rows = published.read()
    partial = {EXAMPLE[0]: np.ones(3), EXAMPLE[1]: coins(EXAMPLE[1], 0.4, 9)}
    made = {
        "a": example(0.5, ties=True),
        "b": example(0.52, seed=1),
        "c": example(0.5, seed=2, ties=True),
        "part": partial,
        "random": example(0.1, seed=3),
        "gone": example(0.51, seed=4),
    }

    def saved(root: Path, order: np.random.Generator | None):
        return [
            save(
                root,
                name,
                scores,
                digit=str(i),
                samples=name != "gone",
                family="random" if name == "random" else "clip",
                order=order,
            )
            for i, (name, scores) in enumerate(made.items())
        ]

    first, shuffled = saved(tmp_path / "a", None), saved(tmp_path / "b", draw)
    shuffled = [shuffled[i] for i in draw.permutation(len(shuffled))]
    wanted = boards(first, rows)
    found = boards(shuffled, [rows[i] for i in draw.permutation(len(rows))])
    assert [plain(board) for board in found] == [plain(board) for board in wanted]
    assert boards(first, rows) == wanted


def test_ids_are_what_joins_and_not_places(tmp_path):
    """Each run's rows in an order of its own: wins and losses are those of the queries."""
    base, new = example(0.4, tasks=EXAMPLE[:1]), example(0.6, seed=1, tasks=EXAMPLE[:1])
    runs = [
        save(tmp_path, "base", base, order=np.random.default_rng(1)),
        save(tmp_path, "new", new, digit="1", order=np.random.default_rng(2)),
    ]
    assert ids_of(EXAMPLE[0], 2) == ["example/Shapes-0", "example/Shapes-1"]
    (pair,) = only(runs).comparisons
    (difference,) = pair.tasks
    own = [{"base": base, "new": new}[slug][EXAMPLE[0]] for slug in (pair.base, pair.new)]
    assert (difference.wins, difference.losses) == ((own[1] > own[0]).sum(), (own[1] < own[0]).sum())


def test_cards_of_all_installed_suites_have_a_board():
    assert {card.suite for card in all_cards()} >= {"mmeb", "scar", "example", "miniature"}

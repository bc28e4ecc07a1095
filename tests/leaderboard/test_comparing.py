"""Entries on the same queries: who is not told apart from the best, and differences of pairs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from comparisons import number, side
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, permutation_test

from evalkit.leaderboard.board import Difference
from evalkit.leaderboard.numbers.comparing import _bounds, compared, differences, not_told_apart
from evalkit.leaderboard.numbers.joined import Joined
from evalkit.regression.compare import compare
from evalkit.scoring.paired import holm, paired_test

SCORE = st.sampled_from([0.0, 1.0, 0.5, 1 / 3])


def midp(wins: int, losses: int) -> float:
    """McNemar's mid-p by scipy's binomial distribution."""
    n, few = wins + losses, min(wins, losses)
    return 1.0 if wins == losses else min(1.0, 2 * binom.cdf(few, n, 0.5) - binom.pmf(few, n, 0.5))


def kept(p_values: dict[str, float]) -> set[str]:
    """Whom Holm's procedure does not reject at 5 %, step by step."""
    left = sorted(p_values, key=p_values.get)
    while left and p_values[left[0]] * len(left) <= 0.05:
        left = left[1:]
    return set(left)


def joined(scores: np.ndarray) -> Joined:
    return Joined(tuple(f"e{row:03d}" for row in range(len(scores))), np.asarray(scores, dtype=float), b"")


def models(n: int, skills: list[float], seed: int, values=(0.0, 1.0)) -> np.ndarray:
    draw = np.random.default_rng(seed)
    hard = draw.normal(size=n)
    scores = np.array([hard + 0.5 * draw.normal(size=n) < skill for skill in skills], dtype=float)
    if len(values) > 2:
        scores[draw.random(scores.shape) < 0.1] = 0.5
    return scores


@pytest.mark.parametrize("seed", range(4))
def test_not_told_apart_is_what_mcnemar_and_holm_do_not_reject(seed):
    scores = models(400, list(np.linspace(-0.6, 0.6, 30)), seed)
    means = scores.mean(axis=1)
    best = int(means.argmax())
    p_values = {
        f"e{row:03d}": midp(int((scores[row] > scores[best]).sum()), int((scores[row] < scores[best]).sum()))
        for row in range(30)
        if row != best
    }
    names = joined(scores).entries
    wanted = kept(p_values) | {names[best]}
    assert not_told_apart(joined(scores), names[best], frozenset(names)) == wanted
    assert 1 < len(wanted) < 30


def test_with_ties_it_is_a_permutation_test():
    scores = models(60, [0.9, 0.7, 0.2, -0.5], 1, values=(0.0, 0.5, 1.0))
    best = int(scores.mean(axis=1).argmax())
    names = joined(scores).entries
    p_values = {}
    for row in range(4):
        if row != best:
            differences = scores[row] - scores[best]
            found = permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=20_000, rng=0)
            p_values[names[row]] = float(found.pvalue)
    assert all(abs(p - 0.05) > 0.01 for p in p_values.values())  # no close call that two samplings decide differently
    assert not_told_apart(joined(scores), names[best], frozenset(names)) == kept(p_values) | {names[best]}


def test_queries_about_one_image_are_tested_together():
    """Of 60 images with 5 queries each, answered alike: by scipy's permutations of the images' sums."""
    draw = np.random.default_rng(3)
    images = np.repeat(np.arange(60), 5)
    by_image = models(60, [0.9, 0.7, 0.5, 0.2, -0.5], 3)
    scores = np.repeat(by_image, 5, axis=1)
    noise = draw.random(scores.shape) < 0.05
    scores[noise] = 1 - scores[noise]
    order = draw.permutation(300)
    names, best = joined(scores).entries, int(scores.mean(axis=1).argmax())
    p_values = {}
    for row in range(5):
        if row != best:
            sums = (scores[row] - scores[best]).reshape(60, 5).sum(axis=1)
            found = permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=20_000, rng=0)
            p_values[names[row]] = float(found.pvalue)
    together = replace(joined(scores[:, order]), clusters=images[order])
    assert all(abs(p - 0.05 / k) > 0.002 for p in p_values.values() for k in (1, 2, 3, 4))
    assert not_told_apart(together, names[best], frozenset(names)) == kept(p_values) | {names[best]}
    # As if they were 300 images the same answers tell more apart.
    assert not_told_apart(joined(scores), names[best], frozenset(names)) < kept(p_values) | {names[best]}


def test_who_does_not_contend_is_not_in_it_and_changes_nothing():
    scores = models(200, [0.5, 0.5, 0.5, -1], 3)
    names = joined(scores).entries
    best = names[int(scores[:2].mean(axis=1).argmax())]
    assert not_told_apart(joined(scores), best, frozenset(names[:2])) == not_told_apart(
        joined(scores[:2]), best, frozenset(names[:2])
    )
    assert not_told_apart(joined(scores[:1]), names[0], frozenset(names)) == {names[0]}


def test_equal_scores_are_never_told_apart():
    scores = np.tile(models(500, [0.3], 0), (3, 1))
    assert not_told_apart(joined(scores), "e000", frozenset(joined(scores).entries)) == {"e000", "e001", "e002"}


@settings(max_examples=100)
@given(pairs=st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=80), whole=st.booleans())
def test_no_p_value_is_above_its_bound(pairs, whole):
    table = np.array(pairs).T
    table = np.floor(table) if whole else table
    (bound,) = _bounds(table, table[0], [1])
    # A permutation test's p-value is a count of random draws: five standard errors of it.
    p = paired_test(table[0], table[1]).p_value
    slack = 0.0 if whole else 5 * math.sqrt(p * (1 - p) / 10_000) + 1 / 10_000
    assert p <= bound + slack + 1e-12


def one(base: np.ndarray, new: np.ndarray, images: np.ndarray | None = None) -> Difference:
    """The two on a single task."""
    value = float(new.mean() - base.mean())
    ((), (found,)) = differences({"task": (value, compared(base, new, images))}, {})
    return found


def test_a_difference_has_its_wins_and_losses_by_hand():
    base, new = np.array([1, 1, 0, 0, 0, 1.0, 0, 0]), np.array([1, 0, 1, 1, 1, 1.0, 1, 0])
    found = one(base, new)
    assert (found.where, found.wins, found.losses, found.value) == ("task", 4, 1, 0.375)
    assert found.p_value == found.adjusted == pytest.approx(midp(4, 1))
    assert found.low < 0.375 < found.high


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_the_other_way_round_it_is_the_negative_and_the_order_of_queries_does_not_matter(pairs, random):
    base, new = np.array(pairs).T
    found, back = one(base, new), one(new, base)
    assert (back.value, back.wins, back.losses) == (-found.value, found.losses, found.wins)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert back.p_value == found.p_value
    random.shuffle(pairs)
    assert one(*np.array(pairs).T) == found


def test_ties_get_a_bootstrap_of_the_paired_differences():
    draw = np.random.default_rng(0)
    base = draw.choice([0.0, 0.5, 1.0], 300)
    new = np.clip(base + draw.choice([0.0, 0.5], 300), 0, 1)
    found = one(base, new)
    means = [(new - base)[draw.integers(300, size=299)].mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.006)
    assert found.losses == 0


@pytest.mark.parametrize(
    ("base", "new", "images"),
    [
        ([0.5], [1.0], None),
        ([0.5] * 9, [0.5] * 9, None),
        ([0.1] * 9, [0.4] * 9, None),
        ([1.0, 0.0] * 6, [0.0, 1.0] * 6, np.repeat(np.arange(6), 2)),
        ([1.0, 0.0] * 6, [0.0, 0.0] * 6, np.repeat(np.arange(6), 2)),
        ([1.0, 0.0, 1.0], [0.0, 1.0, 1.0], np.zeros(3)),
    ],
)
def test_where_a_bootstrap_sees_no_spread_none_is_claimed(base, new, images):
    """One query or image; no score that differs; all by as much; or images in which what is won is lost again."""
    found = one(np.array(base), np.array(new), images)
    assert (found.low, found.high) == (None, None)


def test_means_and_tasks_are_those_of_compare_with_holm_over_all_of_them():
    """By evalkit compare on the same scores: values, intervals, p-values, adjusted p-values."""
    draw, names = np.random.default_rng(3), ["VOC2007", "SUN397", "DocVQA", "A-OKVQA"]
    images = dict.fromkeys(names) | {"DocVQA": np.arange(60) // 3}
    base = {name: draw.integers(0, 2, 60).astype(float) for name in names}
    new = {name: np.where(draw.random(60) < 0.3, draw.integers(0, 2, 60), base[name]).astype(float) for name in names}
    base["SUN397"][:5] = 0.5
    of = {"mmeb": names, "mmeb/classification": names[:2], "mmeb/vqa": names[2:]}

    def sided(scores):
        return side([number(name, scores[name], images[name]) for name in names])

    wanted = {unit.name: unit for unit in compare(sided(base), sided(new)).units if unit.name in {*names, *of}}
    groups = {key: (float(np.mean([new[n].mean() - base[n].mean() for n in own])), own) for key, own in of.items()}
    tasks = {n: (new[n].mean() - base[n].mean(), compared(base[n], new[n], images[n])) for n in names}
    means, single = differences(tasks, groups)
    for found in (*means, *single):
        unit = wanted[found.where]
        assert found.value == pytest.approx(unit.delta)
        assert (found.low, found.high) == unit.paired.interval
        assert (found.wins, found.losses, found.p_value) == (unit.paired.won, unit.paired.lost, unit.paired.p_value)
    assert [d.adjusted for d in (*means, *single)] == holm([d.p_value for d in (*means, *single)])
    assert [d.where for d in means] == list(of)
    assert differences({}, {}) == ((), ())

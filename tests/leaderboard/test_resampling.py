"""The joint bootstrap against loops, formulas and the bootstrap of one model; ranks against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evalkit.leaderboard.board import Range
from evalkit.leaderboard.numbers.resampling import (
    RESAMPLES,
    interval,
    largest_variance,
    normal,
    rank_ranges,
    resampled,
    seed_of,
    variance_of_mean,
)
from evalkit.scoring.stats import stratified_bootstrap

TIED = [0.0, 1.0, 0.5, 1 / 3, 0.25, 2 / 3]
scores_of_entries = st.integers(1, 40).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from(TIED), min_size=n, max_size=n), min_size=1, max_size=6)
)


def test_each_resample_is_the_mean_of_the_queries_that_were_drawn():
    n, resamples = 37, 50
    scores = np.random.default_rng(0).choice([0.0, 1.0], (4, n))
    scores[2] = np.random.default_rng(1).choice(TIED, n)
    got = resampled(scores, 7, resamples)
    drawn = np.random.default_rng(7).integers(n, size=(resamples, n - 1))
    for row in range(4):
        for place in range(resamples):
            wanted = sum(scores[row, query] for query in drawn[place]) / (n - 1)
            # Of scores of 0 and 1 to the bit; of others what is rounded is a fraction of 2⁻¹⁷.
            assert got[row, place] == (wanted if row != 2 else pytest.approx(wanted, abs=2**-17))


def test_a_task_is_drawn_in_parts_where_its_weights_are_many():
    n = 30_000  # 133 resamples at a time
    scores = (np.random.default_rng(0).random((1, n)) < 0.3).astype(float)
    means = resampled(scores, 0, 300)
    assert means.shape == (1, 300)
    assert len(set(means[0].tolist())) > 100
    assert means.std() == pytest.approx(math.sqrt(0.21 / n), rel=0.2)


def test_spread_is_the_unbiased_one_of_a_mean():
    scores = np.stack([np.repeat([1.0, 0.0], [3, 7]), np.array([0.5, 1.0, 0.0, 0.25, 1 / 3] * 2)])
    draws = resampled(scores, 3, 200_000)
    for row in (0, 1):
        assert draws[row].mean() == pytest.approx(scores[row].mean(), abs=1e-3)
        assert draws[row].var() == pytest.approx(scores[row].var(ddof=1) / 10, rel=0.02)


def test_queries_about_one_image_are_drawn_together():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 12, 40)
    scores = np.stack([draw.choice([0.0, 1.0], 40), draw.choice(TIED, 40)])
    got = resampled(scores, 7, 50, clusters=images)
    own = [np.flatnonzero(images == image) for image in sorted(set(images.tolist()))]
    drawn = np.random.default_rng(7).integers(len(own), size=(50, len(own) - 1))
    for place in range(50):
        queries = np.concatenate([own[image] for image in drawn[place]])
        assert got[0, place] == scores[0, queries].sum() / len(queries)
        assert got[1, place] == pytest.approx(scores[1, queries].mean(), abs=2**-16)
    assert (resampled(scores[1:], 7, 50, clusters=images)[0] == got[1]).all()
    assert resampled(scores, 7, 2, clusters=np.zeros(40)).T.tolist() == [pytest.approx(scores.mean(axis=1))] * 2


@pytest.mark.parametrize("images", [None, np.arange(60) // 3])
def test_the_interval_is_that_of_the_bootstrap_of_one_model(images):
    tasks = [np.random.default_rng(i).choice([0.0, 0.5, 1.0], 60) for i in range(5)]
    means = np.mean([resampled(t[None], seed_of(i), clusters=images)[0] for i, t in enumerate(tasks)], axis=0)
    got, wanted = interval(means, np.mean([t.mean() for t in tasks])), stratified_bootstrap(tasks, [images] * 5)
    assert got == pytest.approx(wanted, abs=0.006)


@given(scores=scores_of_entries, data=st.data())
def test_draws_do_not_depend_on_who_else_is_there_or_in_which_order(scores, data):
    table = np.array(scores)
    order = data.draw(st.permutations(range(len(table))))
    draws = resampled(table, 5, 200)
    assert (resampled(table[list(order)], 5, 200) == draws[list(order)]).all()
    assert (resampled(table[:1], 5, 200) == draws[:1]).all()


def test_draws_are_the_same_to_the_bit_in_a_crowd():
    """Products of matrices of other shapes are summed in another order."""
    table = np.random.default_rng(0).choice(TIED, (300, 1000))
    crowd = resampled(table, 1)
    for row in (0, 7, 299):
        assert (resampled(table[row : row + 1], 1)[0] == crowd[row]).all()


def test_equal_scores_are_equal_in_every_draw_and_one_query_has_no_spread():
    table = np.tile(np.random.default_rng(0).choice(TIED, 500), (3, 1))
    draws = resampled(table, 1)
    assert (draws == draws[0]).all()
    alone = resampled(np.array([[1 / 3], [1.0]]), 0, 10)
    assert alone.tolist() == [pytest.approx([1 / 3] * 10, abs=1e-15), [1.0] * 10]


def test_variance_of_binary_scores_is_that_of_their_samples():
    values, queries, samples = [], [], []
    for right, n in ((3, 10), (50, 80), (0, 7), (1, 1)):
        samples.append(np.repeat([1.0, 0.0], [right, n - right]))
        values.append(right / n)
        queries.append(n)
    wanted = sum(s.var(ddof=1) / len(s) for s in samples[:3]) / 4**2  # of one query nothing is known
    assert variance_of_mean(values, queries) == pytest.approx(wanted, rel=1e-12)


@given(
    tasks=st.lists(st.tuples(st.floats(0, 1), st.integers(2, 20_000)), min_size=1, max_size=40),
)
def test_no_scores_of_a_mean_vary_more_than_the_bound(tasks):
    values, queries = [value for value, _ in tasks], [n for _, n in tasks]
    bound = largest_variance(sum(values) / len(values), queries)
    assert variance_of_mean(values, queries) <= bound + 1e-15
    equal = [sum(values) / len(values)] * len(values)
    assert variance_of_mean(equal, [queries[0]] * len(values)) == pytest.approx(
        largest_variance(equal[0], [queries[0]] * len(values)), abs=1e-15
    )


def test_a_bound_of_one_query_says_nothing():
    assert largest_variance(0.5, [1, 100]) == 0


def test_ranks_are_percentiles_of_the_ranks_of_draws():
    draw = np.random.default_rng(4)
    draws = draw.normal(size=(9, 400)) * 0.3 + np.arange(9)[:, None] * 0.2
    draws[4] = draws[3]  # equal in every draw
    ranks = np.stack([scipy_stats.rankdata(-draws[:, i], method="min") for i in range(400)], axis=1)
    for row, found in enumerate(rank_ranges(draws)):
        ordered = sorted(ranks[row])
        assert (found.best, found.worst) == (ordered[math.ceil(0.025 * 400) - 1], ordered[math.ceil(0.975 * 400) - 1])
    assert rank_ranges(draws)[3] == rank_ranges(draws)[4]


def test_ranks_of_clear_cases():
    apart = np.array([[0.9] * 10, [0.5] * 10, [0.1] * 10])
    assert rank_ranges(apart) == [Range(1, 1), Range(2, 2), Range(3, 3)]
    assert rank_ranges(np.tile([0.5], (3, 10))) == [Range(1, 1)] * 3
    assert rank_ranges(np.empty((0, 10))) == []
    rounded = np.array([[0.1 + 0.2] * 10, [0.3] * 10])  # sums in another order
    assert rank_ranges(rounded) == [Range(1, 1)] * 2


def test_seeds_are_of_what_is_drawn_for():
    assert seed_of("a", b"b") == seed_of("a", b"b")
    assert len({seed_of("a"), seed_of("b"), seed_of("a", ""), seed_of("ab"), seed_of("a", "b"), seed_of(b"a")}) == 6
    assert (normal(1) == normal(1)).all()
    assert normal(1).shape == (RESAMPLES,)


def test_an_interval_holds_its_value():
    assert interval(np.full(10, 0.5), 0.5000001) == (0.5, 0.5000001)

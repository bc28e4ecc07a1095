"""Intervals of one number against scipy, formulas and loops."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from evalkit.scoring.paired import paired_stratified_bootstrap
from evalkit.scoring.stats import (
    Z_95,
    bootstrap,
    effective_queries,
    mean_over_tasks,
    quantile_interval,
    resampled_means,
    standard_error,
    stratified_bootstrap,
    wilson,
)

Tasks = list[NDArray[np.float64]]


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (500, 1000), (1000, 1000), (17, 17903)])
def test_wilson_is_scipys(hits, n):
    oracle = scipy_stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits / n, n) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_bootstrap_is_close_to_scipys_and_seeded():
    scores = np.random.default_rng(0).random(400)
    oracle = scipy_stats.bootstrap((scores,), np.mean, method="percentile", rng=1).confidence_interval
    low, high = bootstrap(scores)
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=0.005)
    assert bootstrap(scores) == (low, high)
    assert bootstrap(scores, seed=1) != (low, high)


def test_bootstrap_of_equal_scores_is_that_score():
    assert bootstrap(np.full(7, 0.25)) == pytest.approx((0.25, 0.25))


# --- queries that share an image -------------------------------------------------------------------------


def test_queries_that_say_the_same_count_once_and_those_that_stand_alone_each():
    by_image = np.random.default_rng(0).integers(0, 2, 50).astype(float)
    images = np.repeat(np.arange(50), 4)
    # Their variance is that of 50, which is estimated with 49; of 200 it would be with 199.
    assert effective_queries(np.repeat(by_image, 4), images) == pytest.approx(200 * (49 / 50) * (199 / 200) ** -1 / 4)
    assert effective_queries(by_image, None) == 50 == pytest.approx(effective_queries(by_image, np.arange(50)))
    assert effective_queries(np.ones(200), images) == effective_queries(np.full(200, 0.1), images) == 50
    assert effective_queries(by_image, np.zeros(50)) == 1
    # Where one image has right and wrong answers alike, it says more than as many others, which is not believed.
    assert effective_queries(np.tile([0.0, 1.0], 30), np.repeat(np.arange(30), 2)) == 60


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.5, 1 / 3]), st.integers(0, 6)), min_size=1, max_size=40))
def test_effective_queries_are_from_one_to_all_in_whatever_order(queries):
    scores, images = (np.array(column) for column in zip(*queries, strict=True))
    found = effective_queries(scores, images)
    assert 1 <= found <= len(scores)
    order = np.random.default_rng(0).permutation(len(scores))
    assert effective_queries(scores[order], images[order]) == found


@pytest.mark.parametrize("interval", ["wilson", "bootstrap"])
@pytest.mark.slow(0.4)
def test_intervals_cover_the_truth_where_queries_share_images(interval):
    """Answers of one image that are right together more often than not: the naive interval is far too narrow."""
    draw, images = np.random.default_rng(1), np.repeat(np.arange(150), 4)
    inside = naive = 0
    for seed in range(600):
        skill = draw.beta(1.2, 0.8, 150)  # of images; mean 0.6
        scores = (draw.random(600) < skill[images]).astype(float)
        if interval == "wilson":
            (low, high), apart = wilson(scores.mean(), effective_queries(scores, images)), wilson(scores.mean(), 600)
        else:
            low, high = bootstrap(scores, images, resamples=400, seed=seed)
            apart = bootstrap(scores, resamples=400, seed=seed)
        inside += low <= 0.6 <= high
        naive += apart[0] <= 0.6 <= apart[1]
    assert 0.93 <= inside / 600 <= 0.97
    assert naive / 600 < 0.88


def test_a_bootstrap_of_images_is_a_loop_over_them():
    draw = np.random.default_rng(3)
    scores, images = draw.choice([0.0, 0.5, 1.0], 80), draw.integers(0, 30, 80)
    own = [scores[images == image] for image in set(images.tolist())]
    means = [np.concatenate([own[i] for i in draw.integers(len(own), size=len(own))]).mean() for _ in range(4000)]
    assert bootstrap(scores, images, resamples=4000) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.012)
    assert bootstrap(scores, np.arange(80)) == pytest.approx(bootstrap(scores), abs=1e-9)


def test_nothing_has_no_interval():
    with pytest.raises(ValueError, match="no Wilson"):
        wilson(0.5, 0)
    with pytest.raises(ValueError, match="no bootstrap"):
        bootstrap(np.array([]))


# --- means over tasks ----------------------------------------------------------------------------------


def drawn(sizes: list[int], seed: int = 0, *, ties: bool = False) -> Tasks:
    """Scores of tasks of these sizes, each with a mean of its own; with ties a quarter of them are fractions."""
    draw = np.random.default_rng(seed)
    tasks = [(draw.random(n) < draw.uniform(0.2, 0.8)).astype(np.float64) for n in sizes]
    for task in tasks if ties else []:
        task[::4] = draw.choice([1 / 2, 1 / 3, 1 / 10], len(task[::4]))
    return tasks


def test_a_task_counts_once_however_large() -> None:
    assert mean_over_tasks([np.array([1.0]), np.zeros(99)]) == 0.5
    tasks = drawn([3, 50, 7], ties=True)
    assert mean_over_tasks(tasks) == pytest.approx(statistics.fmean(statistics.fmean(task) for task in tasks))


@pytest.mark.parametrize("ties", [False, True])
def test_stratified_bootstrap_is_a_loop_over_queries(ties: bool) -> None:
    """Written out: query by query, with other draws."""
    tasks = drawn([24, 9, 60, 2, 33], ties=ties)
    generator = random.Random(5)
    means = sorted(
        statistics.fmean(statistics.fmean(generator.choices(task.tolist(), k=len(task) - 1)) for task in tasks)
        for _ in range(4000)
    )
    oracle = means[99], means[3899]
    assert stratified_bootstrap(tasks, resamples=4000) == pytest.approx(oracle, abs=0.012)


def test_stratified_bootstrap_of_the_same_draws_is_the_same_to_the_bit() -> None:
    tasks = drawn([24, 9, 60], ties=True)
    generator, means = np.random.default_rng(3), np.zeros(200)
    for task in tasks:
        values, counts = np.unique(task, return_counts=True)
        for place, times in enumerate(generator.multinomial(len(task) - 1, counts / len(task), size=200)):
            means[place] += np.repeat(values, times).mean() / len(tasks)
    oracle = tuple(np.quantile(means, [0.05, 0.95]))
    assert stratified_bootstrap(tasks, resamples=200, seed=3, level=0.9) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize(("count", "size"), [(41, 24), (5, 24), (12, 7)])
def test_its_width_is_that_of_the_unbiased_variance(count: int, size: int) -> None:
    """Normal theory: variance of the mean over tasks is the sum of s^2 / n, over the square of the tasks."""
    tasks = drawn([size] * count, seed=1)
    low, high = stratified_bootstrap(tasks, resamples=20_000)
    sigma = sum(statistics.variance(task.tolist()) / size for task in tasks) ** 0.5 / count
    assert high - low == pytest.approx(2 * Z_95 * sigma, rel=0.04)
    assert (high + low) / 2 == pytest.approx(mean_over_tasks(tasks), abs=0.2 * sigma)


@pytest.mark.slow(1)
def test_it_covers_the_truth() -> None:
    """Of many benchmarks of one model, 95 in 100 have its true mean in their interval."""
    draw = np.random.default_rng(7)
    for count, size in ((5, 24), (41, 24), (12, 12)):
        truth = draw.uniform(0.2, 0.8, count)
        inside = 0
        for seed in range(400):
            tasks: Tasks = [(draw.random(size) < p).astype(np.float64) for p in truth]
            low, high = stratified_bootstrap(tasks, resamples=400, seed=seed)
            inside += low <= truth.mean() <= high
        assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.slow(1)
def test_a_paired_interval_covers_the_true_difference_and_is_narrower_than_two_apart() -> None:
    draw = np.random.default_rng(8)
    hard = draw.uniform(0.1, 0.9, (20, 24))  # each query's own difficulty, the same for both models
    inside, narrower = 0, 0
    for seed in range(300):
        luck = draw.random((20, 24))
        base: Tasks = list((luck < hard).astype(np.float64))
        # The new one is as lucky as the base on most queries, and better by a little.
        again = np.where(draw.random((20, 24)) < 0.8, luck, draw.random((20, 24)))
        new: Tasks = list((again < hard + 0.05).astype(np.float64))
        low, high = paired_stratified_bootstrap(base, new, resamples=400, seed=seed)
        inside += low <= 0.05 <= high
        apart = [stratified_bootstrap(side, resamples=400, seed=seed) for side in (base, new)]
        narrower += high - low < np.hypot(*(one[1] - one[0] for one in apart))
    assert 0.92 <= inside / 300 <= 0.98
    assert narrower == 300


def test_a_paired_interval_is_a_loop_over_queries_that_both_sides_share() -> None:
    base, new = drawn([24, 9, 60], seed=2, ties=True), drawn([24, 9, 60], seed=3)
    generator = random.Random(6)
    differences = []
    for _ in range(4000):
        gains = []
        for one, other in zip(base, new, strict=True):
            places = generator.choices(range(len(one)), k=len(one) - 1)
            gains.append(statistics.fmean(other[p] for p in places) - statistics.fmean(one[p] for p in places))
        differences.append(statistics.fmean(gains))
    differences.sort()
    oracle = differences[99], differences[3899]
    assert paired_stratified_bootstrap(base, new, resamples=4000) == pytest.approx(oracle, abs=0.015)


@given(
    st.lists(hnp.arrays(np.float64, st.integers(1, 12), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1),
    st.integers(0, 9),
)
def test_the_order_of_queries_does_not_matter_and_the_ends_are_in_range(tasks: Tasks, seed: int) -> None:
    found = stratified_bootstrap(tasks, resamples=50, seed=seed)
    assert found == stratified_bootstrap([task[::-1] for task in tasks], resamples=50, seed=seed)
    # Of equal scores the mean is off by a last bit.
    assert -1e-12 <= found[0] <= found[1] <= 1 + 1e-12
    twice = paired_stratified_bootstrap(tasks, tasks, resamples=50, seed=seed)
    assert twice == (0.0, 0.0)


def test_seeds_and_levels() -> None:
    tasks = drawn([24] * 5)
    assert stratified_bootstrap(tasks) == stratified_bootstrap(tasks)
    assert stratified_bootstrap(tasks) != stratified_bootstrap(tasks, seed=1)
    widths = [np.diff(stratified_bootstrap(tasks, level=level))[0] for level in (0.5, 0.8, 0.95, 0.99)]
    assert all(one < other for one, other in itertools.pairwise(widths))


def test_what_shows_no_spread_has_no_width() -> None:
    assert stratified_bootstrap([np.ones(24), np.zeros(24)]) == (0.5, 0.5)
    assert stratified_bootstrap([np.array([1.0]), np.array([0.0])]) == (0.5, 0.5)


def test_no_interval_of_no_tasks_or_of_others() -> None:
    for nothing in ([], [np.array([])], [np.ones(3), np.array([])]):
        for function in (mean_over_tasks, stratified_bootstrap):
            with pytest.raises(ValueError, match="without tasks, or of a task without scores"):
                function(nothing)
    for other in ([np.ones(3)], [np.ones(3), np.ones(4)]):
        with pytest.raises(ValueError, match="not the same on both sides"):
            paired_stratified_bootstrap([np.ones(3), np.ones(3)], other)


def test_means_over_tasks_are_resampled_image_by_image() -> None:
    """Against a loop that draws images with all that is asked about them, one task of each kind."""
    draw = np.random.default_rng(2)
    tasks = [draw.choice([-1.0, 0.0, 0.5], n) for n in (24, 60, 1)]
    images = [None, draw.integers(0, 15, 60), None]
    tasks[1] = np.where(draw.random(60) < 0.8, draw.choice([-1.0, 0.5], 15)[images[1]], tasks[1])  # alike by image
    means = resampled_means(tasks, images, resamples=8000)
    of_image = [tasks[1][images[1] == image] for image in set(images[1].tolist())]
    oracle = [
        statistics.fmean(
            (
                tasks[0][draw.integers(24, size=23)].mean(),
                np.concatenate([of_image[i] for i in draw.integers(len(of_image), size=len(of_image) - 1)]).mean(),
                tasks[2][0],
            )
        )
        for _ in range(8000)
    ]
    assert quantile_interval(means) == pytest.approx(tuple(np.quantile(oracle, [0.025, 0.975])), abs=0.012)
    assert stratified_bootstrap(tasks, images, resamples=8000) == quantile_interval(means)
    assert np.std(means) > 1.1 * np.std(resampled_means(tasks, [None] * 3, resamples=8000))


def test_means_over_tasks_with_shared_images_cover_the_truth() -> None:
    draw = np.random.default_rng(6)
    images = np.repeat(np.arange(50), 3)
    inside = 0
    for seed in range(500):
        tasks = [np.repeat(draw.choice([-1.0, 0.0, 1.0], 50, p=[0.1, 0.8, 0.1]), 3) for _ in range(4)]
        means = resampled_means(tasks, [images] * 4, resamples=300, seed=seed)
        low, high = quantile_interval(means)
        inside += low <= 0 <= high
    assert 0.92 <= inside / 500 <= 0.98


def test_standard_error_is_numpys_and_that_of_cluster_sums() -> None:
    differences = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 80)
    assert standard_error(differences) == pytest.approx(differences.std(ddof=1) / math.sqrt(80))
    # Clusters of one size: the mean of their means.
    images = np.repeat(np.arange(20), 4)
    means = differences.reshape(20, 4).mean(axis=1)
    assert standard_error(differences, images) == pytest.approx(means.std(ddof=1) / math.sqrt(20))

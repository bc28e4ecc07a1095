"""Paired tests, their intervals and multiplicity against scipy, published examples, loops and simulations."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from evalkit.scoring.paired import (
    benjamini_hochberg,
    clustered_intervals,
    equivalent,
    holm,
    mcnemar_midp,
    newcombe,
    paired_intervals,
    paired_test,
    sign_flip,
    smallest_difference,
)
from evalkit.scoring.stats import standard_error

Scores = NDArray[np.float64]
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def pair(n: int, won: float, lost: float, seed: int = 0, right: float = 0.6) -> tuple[Scores, Scores]:
    """Scores of two models: shares of queries that the new one wins and loses; of the others ``right`` are right."""
    draw = np.random.default_rng(seed)
    kind, rest = draw.random(n), draw.random(n) < right
    base = np.where(kind < won, 0.0, np.where(kind < won + lost, 1.0, rest))
    return base, np.where(kind < won, 1.0, np.where(kind < won + lost, 0.0, rest))


# --- McNemar ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n01", "n10"), [(0, 1), (1, 7), (7, 1), (3, 3), (0, 0), (6, 16), (40, 20), (900, 1000)])
def test_mcnemar_is_the_exact_test_less_half_of_what_was_seen_twice(n01: int, n10: int) -> None:
    n = n01 + n10
    exact = scipy_stats.binomtest(min(n01, n10), n).pvalue if n else 1.0
    oracle = 1.0 if n01 == n10 else exact - scipy_stats.binom(n, 0.5).pmf(min(n01, n10))
    assert mcnemar_midp(n01, n10) == pytest.approx(oracle, rel=1e-9)


def test_mcnemar_of_published_tables() -> None:
    """Bentur et al. 2009 and Cavo et al. 2012, as Fagerland, Lydersen and Laake 2013 have them."""
    assert mcnemar_midp(7, 1) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar_midp(6, 16) == pytest.approx(0.0347, abs=5e-5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_has_no_side(n01: int, n10: int) -> None:
    found = mcnemar_midp(n01, n10)
    assert found == mcnemar_midp(n10, n01)
    assert 0 < found <= 1
    assert found >= mcnemar_midp(min(n01, n10), max(n01, n10) + 1)


def test_nothing_is_tested_of_fewer_than_none() -> None:
    with pytest.raises(ValueError, match="-1 and 3 changed"):
        mcnemar_midp(-1, 3)


# --- sign flips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "differences",
    [
        [0.5, 0.5, 1.0, -0.25, 0.0, 1 / 3],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [-0.1, -0.2, -0.3, 0.3, 0.2, 0.1],
        [0.7, -0.1, 0.2, 0.25, 0.5, 0.125, 0.9, -0.3, 0.05],
    ],
)
def test_sign_flip_is_the_share_of_all_permutations(differences: list[float]) -> None:
    seen = abs(math.fsum(differences))
    sums = [abs(math.fsum(d * s for d, s in zip(differences, signs, strict=True))) for signs in signs_of(differences)]
    exact = statistics.fmean(total >= seen - 1e-9 for total in sums)
    assert sign_flip(np.array(differences), permutations=20_000) == pytest.approx(exact, abs=0.012)


def signs_of(differences: list[float]) -> itertools.product[tuple[int, ...]]:
    return itertools.product((1, -1), repeat=len(differences))


def test_sign_flip_is_scipys() -> None:
    differences = np.random.default_rng(3).choice(
        [0, 0, 0.5, -0.5, 1, -1, 1 / 3], 60, p=[0.3, 0.2, 0.1, 0.1, 0.15, 0.1, 0.05]
    )
    oracle = scipy_stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=5000, rng=1, vectorized=False
    )
    assert sign_flip(differences) == pytest.approx(oracle.pvalue, abs=0.03)


def test_sign_flip_is_seeded_never_zero_and_does_not_care_about_order() -> None:
    differences = np.random.default_rng(0).choice([0.0, 0.5, 1.0, -1 / 3], 200)
    assert sign_flip(differences, permutations=999) == 1 / 1000
    mild = np.random.default_rng(1).choice([0.5, 1.0, -1.0], 40)
    assert sign_flip(mild) == sign_flip(mild[::-1])
    assert sign_flip(mild) != sign_flip(mild, seed=1)
    assert sign_flip(np.zeros(5)) == 1


def test_of_two_tests_the_scores_choose() -> None:
    base, new = pair(300, 0.05, 0.1)
    found = paired_test(base, new)
    assert found.method == "mcnemar-midp"
    assert found.p_value == mcnemar_midp(int((new > base).sum()), int((new < base).sum()))
    tied = new.copy()
    tied[0] = 0.5
    assert paired_test(base, tied).method == "sign-flip"
    # Both ask the same question of nearly the same scores.
    assert paired_test(base, tied).p_value == pytest.approx(found.p_value, abs=0.03)


def test_queries_of_one_image_are_flipped_together() -> None:
    base, new = np.zeros(12), np.ones(12)
    assert paired_test(base, new).p_value < 0.001
    together = paired_test(base, new, clusters=np.repeat(["a", "b", "c"], 4))
    assert (together.method, together.p_value) == ("sign-flip", pytest.approx(2 / 8, abs=0.02))
    assert paired_test(base, new, clusters=np.zeros(12)).p_value == 1


def test_clustered_tests_hold_their_level_where_others_do_not() -> None:
    """Four queries an image that change together, equal models: the naive test rejects far too often."""
    draw = np.random.default_rng(5)
    images, naive, clustered = np.repeat(np.arange(60), 4), 0, 0
    for seed in range(300):
        moved = np.repeat(draw.choice([-1, 0, 0, 0, 1], 60), 4)
        base = np.where(moved < 0, 1.0, np.where(moved > 0, 0.0, 1.0))
        naive += paired_test(base, base + moved).p_value < 0.05
        clustered += paired_test(base, base + moved, clusters=images, permutations=400, seed=seed).p_value < 0.05
    assert naive / 300 > 0.2
    assert 0.02 <= clustered / 300 <= 0.08


# --- multiplicity ----------------------------------------------------------------------------------------


def closed(p_values: list[float]) -> list[float]:
    """Holm by its closure: the worst Bonferroni test of all families that a hypothesis belongs to."""
    places = range(len(p_values))
    families = [family for size in places for family in itertools.combinations(places, size + 1)]
    return [
        max(min(1, len(family) * min(p_values[i] for i in family)) for family in families if place in family)
        for place in places
    ]


@given(P_VALUES)
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(closed(p_values), abs=1e-12)


@given(P_VALUES)
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    oracle = scipy_stats.false_discovery_control(p_values, method="bh")
    assert benjamini_hochberg(p_values) == pytest.approx(oracle.tolist(), abs=1e-12)


def test_multiplicity_of_nothing_and_of_what_is_none() -> None:
    assert holm([]) == benjamini_hochberg([]) == []
    for wrong in ([0.5, math.nan], [1.5], [-0.1]):
        with pytest.raises(ValueError, match="p-values"):
            holm(wrong)


# --- intervals -------------------------------------------------------------------------------------------


def newcombe_by_roots(n11: int, n01: int, n10: int, n00: int) -> tuple[float, float]:
    """Written out: Wilson's ends as roots of the score equation, the correlation of the two columns of scores."""
    n = n11 + n01 + n10 + n00
    base, new = np.repeat([1, 0, 1, 0], [n11, n01, n10, n00]), np.repeat([1, 1, 0, 0], [n11, n01, n10, n00])
    z2 = scipy_stats.chi2(1).isf(0.05)

    def ends(p: float) -> tuple[float, float]:
        def score(x: float) -> float:
            return n * (p - x) ** 2 - z2 * x * (1 - x)

        return (optimize.brentq(score, 0, p - 1e-12) if p else 0.0), (
            optimize.brentq(score, p + 1e-12, 1) if p < 1 else 1.0
        )

    (l1, u1), (l0, u0) = ends(new.mean()), ends(base.mean())
    phi = 0.0
    if base.std() and new.std():
        cross = n11 * n00 - n01 * n10
        phi = float(np.corrcoef(base, new)[0, 1])
        if cross > 0:
            phi *= max(cross - n / 2, 0) / cross
    d1, d0, e1, e0 = new.mean() - l1, u0 - base.mean(), u1 - new.mean(), base.mean() - l0
    delta = float(new.mean() - base.mean())
    below = math.sqrt(max(0, d1**2 - 2 * phi * d1 * d0 + d0**2))
    above = math.sqrt(max(0, e1**2 - 2 * phi * e1 * e0 + e0**2))
    return delta - below, delta + above


@pytest.mark.parametrize(
    "table", [(36, 2, 12, 0), (1, 7, 1, 12), (570, 25, 25, 380), (0, 0, 5, 3), (9, 1, 2, 0), (3, 9, 8, 2), (1, 0, 1, 0)]
)
def test_newcombe_is_its_definition(table: tuple[int, int, int, int]) -> None:
    assert newcombe(*table) == pytest.approx(newcombe_by_roots(*table), abs=1e-9)


def test_newcombe_of_published_tables() -> None:
    """Newcombe 1998, table II, method 10; Bentur et al. 2009 in Fagerland, Lydersen and Laake 2014."""
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


@pytest.mark.parametrize(("disagree", "drop"), [(0.02, 0.0), (0.05, 0.0), (0.1, 0.0), (0.05, 0.03), (0.1, 0.02)])
def test_newcombe_covers_the_truth(disagree: float, drop: float) -> None:
    """Not drawn but summed over all tables of 1000 queries that can come up."""
    n, won, lost = 1000, (disagree - drop) / 2, (disagree + drop) / 2
    inside = 0.0
    for n10 in range(140):
        likely = scipy_stats.binom(n, lost).pmf(n10) * scipy_stats.binom(n - n10, won / (1 - lost)).pmf(range(140))
        for n01 in np.flatnonzero(likely > 1e-8).tolist():
            right = round(0.6 * (n - n01 - n10))
            low, high = newcombe(right, n01, n10, n - n01 - n10 - right)
            inside += float(likely[n01]) * (low <= -drop <= high)
    assert 0.94 <= inside <= 0.96


@pytest.mark.slow(4)
def test_a_clustered_interval_covers_the_truth_where_others_do_not() -> None:
    draw = np.random.default_rng(4)
    sizes = draw.integers(1, 7, 1000)
    images = np.repeat(np.arange(1000), sizes)
    inside, naive = 0, 0
    for seed in range(1000):
        shift = np.repeat(draw.choice([-1, 0, 1], 1000, p=[0.1, 0.85, 0.05]), sizes)
        differences = np.where(draw.random(len(images)) < 0.8, shift, 0).astype(np.float64)
        [(low, high)] = clustered_intervals(differences, images, resamples=1000, seed=seed) or [(1, 1)]
        inside += low <= -0.04 <= high
        [(low, high)] = clustered_intervals(differences, None, resamples=100, seed=seed) or [(1, 1)]
        naive += low <= -0.04 <= high
    assert 0.935 <= inside / 1000 <= 0.965  # of 1000 draws: one point and a half
    assert naive / 1000 < 0.85


def test_a_clustered_interval_is_a_loop_over_images() -> None:
    draw = np.random.default_rng(9)
    images = draw.integers(0, 25, 90)
    differences = draw.choice([-1.0, 0.0, 0.5, 1 / 3, 1.0], 90)
    members = [differences[images == image].tolist() for image in sorted(set(images.tolist()))]
    generator, means = random.Random(1), []
    for _ in range(4000):
        drawn = generator.choices(members, k=len(members) - 1)
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    means.sort()
    [found] = clustered_intervals(differences, images, resamples=4000) or []
    assert found == pytest.approx((means[99], means[3899]), abs=0.02)
    assert [found] == clustered_intervals(differences[::-1], images[::-1], resamples=4000)


def test_one_cluster_says_nothing_and_not_zero() -> None:
    base, new = pair(20, 0.2, 0.4)
    alone = np.zeros(20)
    assert clustered_intervals(new - base, alone) is None
    assert paired_intervals(base, new, clusters=alone) is None
    assert standard_error(new - base, alone) is None
    assert clustered_intervals(np.array([1.0])) is None
    assert not equivalent(None, 0.5)
    assert smallest_difference(None) is None


def test_paired_intervals_choose_by_the_scores() -> None:
    base, new = pair(400, 0.06, 0.08)
    both = [((base == b) & (new == n)).sum() for b, n in ((1, 1), (0, 1), (1, 0), (0, 0))]
    [found, wider] = paired_intervals(base, new, (0.95, 0.99)) or []
    assert found == newcombe(*map(int, both))
    tied = np.where(np.arange(400) == 7, 0.5, new)
    # Newcombe's and the bootstrap ask the same; other queries make the difference of a fraction of a point.
    [by_draws, wider_by_draws] = paired_intervals(base, tied, (0.95, 0.99)) or []
    assert by_draws == pytest.approx(found, abs=0.006)
    assert wider_by_draws == pytest.approx(wider, abs=0.01)
    assert wider[0] < found[0] < found[1] < wider[1]


# --- equivalence and power -------------------------------------------------------------------------------


@given(st.floats(-0.05, 0.05), st.floats(0.001, 0.03), st.floats(0.001, 0.05))
def test_equivalence_is_two_one_sided_tests(delta: float, error: float, margin: float) -> None:
    normal = scipy_stats.norm(delta, error)
    above, below = normal.cdf(-margin), normal.sf(margin)
    interval = tuple(normal.ppf([0.05, 0.95]))
    if abs(max(above, below) - 0.05) > 1e-9:
        assert equivalent(interval, margin) == (max(above, below) < 0.05)


def test_the_smallest_difference_is_found_in_four_of_five() -> None:
    base, new = pair(4000, 0.03, 0.03, seed=3)
    found = smallest_difference(standard_error(new - base), tests=10)
    assert found is not None
    draw = np.random.default_rng(8)
    changed = float((new != base).mean())
    shares = [(changed - found) / 2, (changed + found) / 2, 1 - changed]
    counts = draw.multinomial(4000, shares, size=4000)
    rejected = statistics.fmean(mcnemar_midp(won, lost) < 0.005 for won, lost, _ in counts.tolist())
    assert rejected == pytest.approx(0.8, abs=0.03)
    assert smallest_difference(0.0) is None


@pytest.mark.parametrize("function", [standard_error, clustered_intervals])
def test_nothing_has_no_spread(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match="0 differences in"):
        function(np.array([]))
    with pytest.raises(ValueError, match="3 differences in 2 clusters"):
        function(np.zeros(3), np.zeros(2))

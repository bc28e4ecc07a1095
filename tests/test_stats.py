"""Intervals against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from evalkit.stats import bootstrap, wilson


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


def test_nothing_has_no_interval():
    with pytest.raises(ValueError, match="no Wilson"):
        wilson(0.5, 0)
    with pytest.raises(ValueError, match="no bootstrap"):
        bootstrap(np.array([]))

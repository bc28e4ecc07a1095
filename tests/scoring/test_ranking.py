"""Ranks against brute force, and the properties that they must keep."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit.scoring.shortlist as shortlist_module
from evalkit.scoring.metrics import METRICS, measure
from evalkit.scoring.ranking import rank
from evalkit.scoring.shortlist import float32_error
from evalkit.scoring.ties import exact_scores


def exact_fraction(a: np.ndarray, b: np.ndarray) -> Fraction:
    """The inner product without any rounding."""
    return sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)), Fraction(0))


def brute_force(queries, candidates, pools, relevant):
    """above, tied, right of every query by comparing exact scores one by one."""
    states = []
    for query, pool, right in zip(queries, pools, relevant, strict=True):
        scores = {int(c): exact_scores(query[None], candidates[c][None])[0] for c in set(pool.tolist())}
        best = max(scores[int(c)] for c in right)
        others = [s for c, s in scores.items() if c not in set(right.tolist())]
        states.append(
            (
                sum(s > best for s in others),
                sum(s == best for s in others),
                sum(scores[c] == best for c in set(right.tolist())),
            )
        )
    return states


# Few distinct values and few dimensions, so that ties and near-ties are common.
vectors = st.integers(1, 4).flatmap(
    lambda d: st.tuples(
        st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=1, max_size=4),
        st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=1, max_size=12),
    )
)


@st.composite
def problems(draw):
    queries, candidates = draw(vectors)
    scale = draw(st.sampled_from([1.0, 0.1, 1e-3]))
    queries = np.array(queries, dtype=np.float32) * np.float32(scale)
    candidates = np.array(candidates, dtype=np.float32)
    pools, relevant = [], []
    for _ in queries:
        pool = draw(st.lists(st.integers(0, len(candidates) - 1), min_size=1, max_size=16))
        pools.append(np.array(pool, dtype=np.int32))
        relevant.append(np.array(draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2)), dtype=np.int32))
    return queries, candidates, pools, relevant


def states(ranking):
    return list(zip(ranking.above.tolist(), ranking.tied.tolist(), ranking.right.tolist(), strict=True))


@given(problems(), st.sampled_from([1, 2, 3, 2048]))
def test_equals_brute_force_whatever_the_shortlist(problem, shortlist):
    assert states(rank(*problem, shortlist=shortlist)) == brute_force(*problem)


@given(problems(), st.randoms(use_true_random=False))
def test_order_of_a_pool_does_not_matter(problem, random):
    queries, candidates, pools, relevant = problem
    shuffled = [np.array(random.sample(pool.tolist(), len(pool)), dtype=np.int32) for pool in pools]
    assert states(rank(queries, candidates, shuffled, relevant)) == states(rank(*problem))


@given(problems(), st.randoms(use_true_random=False))
def test_numbering_of_candidates_does_not_matter(problem, random):
    queries, candidates, pools, relevant = problem
    places = np.array(random.sample(range(len(candidates)), len(candidates)), dtype=np.int32)
    moved = np.empty_like(candidates)
    moved[places] = candidates
    renumbered = rank(queries, moved, [places[pool] for pool in pools], [places[right] for right in relevant])
    assert states(renumbered) == states(rank(*problem))


@given(problems())
def test_duplicating_candidates_of_a_pool_changes_nothing(problem):
    queries, candidates, pools, relevant = problem
    doubled = [np.concatenate([pool, pool[::-1]]) for pool in pools]
    assert states(rank(queries, candidates, doubled, relevant)) == states(rank(*problem))


@given(problems(), st.integers(-20, 20))
def test_scaling_all_vectors_changes_nothing(problem, power):
    queries, candidates, pools, relevant = problem
    factor = np.float32(2.0**power)
    assert states(rank(queries * factor, candidates * factor, pools, relevant)) == states(rank(*problem))


@given(st.integers(1, 40), st.integers(1, 3))
def test_a_constant_embedder_scores_chance(n, d):
    same = np.full((1, d), 0.3, dtype=np.float32)
    pool = np.arange(n, dtype=np.int32)
    ranking = rank(same, np.repeat(same, n, axis=0), [pool], [pool[n // 2 : n // 2 + 1]])
    values = {name: measure(metric, ranking) for name, metric in METRICS.items()}
    assert values["precision_at_1"].value == 1 / n
    assert values["precision_at_1"].optimistic == 1.0
    assert values["precision_at_1"].pessimistic == (1.0 if n == 1 else 0.0)
    for value in values.values():
        assert value.value == value.chance


@pytest.mark.parametrize("n", [1, 999, 1000, 2047, 2048, 2049, 5000])
def test_constant_in_pools_around_the_shortlist(n):
    same = np.ones((1, 8), dtype=np.float32) / np.float32(np.sqrt(8))
    pool = np.arange(n, dtype=np.int32)
    ranking = rank(same, np.repeat(same, n, axis=0), [pool], [pool[:1]])
    assert states(ranking) == [(0, n - 1, 1)]


def test_real_vectors_equal_an_argsort_in_float64():
    """Random vectors of a model's size: no ties, so a plain float64 sort is the oracle."""
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((30, 384)).astype(np.float32)
    candidates = rng.standard_normal((3000, 384)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    pools = [rng.choice(3000, size, replace=False).astype(np.int32) for size in rng.integers(1, 2900, 30)]
    pools[0] = np.arange(3000, dtype=np.int32)
    relevant = [rng.choice(pool, 1) for pool in pools]
    ranking = rank(queries, candidates, pools, relevant)
    for row, (pool, right) in enumerate(zip(pools, relevant, strict=True)):
        scores = candidates[pool].astype(np.float64) @ queries[row].astype(np.float64)
        order = pool[np.argsort(-scores)]
        assert ranking.above[row] == list(order).index(right[0])
        assert ranking.top[row].tolist() == order[:5].tolist()
        others = scores[pool != right[0]]
        margin = scores[pool == right[0]][0] - others.max() if len(others) else np.nan
        np.testing.assert_allclose(ranking.margin[row], margin, atol=1e-12)


def test_near_ties_below_float32_are_told_apart():
    """Two candidates whose float32 scores are equal and whose float64 scores are not."""
    d = 512
    rng = np.random.default_rng(1)
    query = rng.standard_normal((1, d)).astype(np.float32)
    query /= np.linalg.norm(query)
    better = rng.standard_normal((1, d)).astype(np.float32)
    better /= np.linalg.norm(better)
    worse = better.copy()
    tiny = int(np.argmin(np.abs(query[0]) + 10 * (np.abs(better[0]) < 1e-3)))
    worse[0, tiny] = np.nextafter(better[0, tiny], np.float32(-np.sign(query[0, tiny]) * 10))
    assert exact_fraction(query[0], better[0]) > exact_fraction(query[0], worse[0])
    assert np.float32(query[0] @ better[0]) == np.float32(query[0] @ worse[0])
    pool = np.array([0, 1], dtype=np.int32)
    both = np.concatenate([worse, better])
    assert states(rank(query, both, [pool], [pool[1:]])) == [(0, 0, 1)]
    assert states(rank(query, both, [pool], [pool[:1]])) == [(1, 0, 1)]


def test_exact_scores_do_not_depend_on_the_batch():
    rng = np.random.default_rng(2)
    for d in (1, 7, 127, 128, 129, 1000, 1536):
        a, b = (rng.standard_normal((50, d)).astype(np.float32) for _ in range(2))
        whole = exact_scores(a, b)
        assert [exact_scores(a[i : i + 1], b[i : i + 1])[0] for i in range(50)] == whole.tolist()
        assert exact_scores(a[3:17], b[3:17]).tolist() == whole[3:17].tolist()
        oracle = np.array([float(exact_fraction(x, y)) for x, y in zip(a[:3], b[:3], strict=True)])
        np.testing.assert_allclose(whole[:3], oracle, rtol=0, atol=d * 1e-15)


def test_the_bound_holds_for_float32_sums():
    rng = np.random.default_rng(3)
    for d in (8, 768, 1536):
        a, b = (np.abs(rng.standard_normal((200, d))).astype(np.float32) for _ in range(2))
        in_order = np.zeros(200, dtype=np.float32)
        for column in range(d):  # the worst order there is: one after the other
            in_order += a[:, column] * b[:, column]
        lengths = np.linalg.norm(a.astype(np.float64), axis=1) * np.linalg.norm(b.astype(np.float64), axis=1)
        assert (np.abs(in_order - exact_scores(a, b)) <= float32_error(d) * lengths).all()


def crowded(n: int = 120, d: int = 8) -> tuple:
    """Candidates in pairs of equal ones, the pairs 2**-24 apart: far inside FAISS's error bound."""
    base = np.random.default_rng(0).standard_normal(d).astype(np.float32)
    base /= np.linalg.norm(base)
    candidates = np.repeat(base[None], n // 2, axis=0)
    candidates[:, 0] += np.arange(n // 2, dtype=np.float32) * np.float32(2.0**-24)
    pool = np.arange(n, dtype=np.int32)
    return (
        np.repeat(base[None], 20, 0),
        np.repeat(candidates, 2, 0),
        [pool] * 20,
        [pool[i * 3 : i * 3 + 1] for i in range(20)],
    )


def everything(ranking) -> tuple:
    return states(ranking), [top.tolist() for top in ranking.top], ranking.margin.tolist()


@pytest.mark.parametrize("way", ["up", "down", "by chance", "label down", "label up"])
@pytest.mark.parametrize("shortlist", [10, 4000])
def test_no_error_within_the_bound_changes_a_rank(way, shortlist, monkeypatch):
    """FAISS's own errors are far below the bound; any that keeps it has to lead to the same ranks."""
    queries, candidates, pools, relevant = crowded()
    expected = everything(rank(queries, candidates, pools, relevant))
    assert expected[0] == brute_force(queries, candidates, pools, relevant)
    exact = np.stack([exact_scores(np.repeat(q[None], len(candidates), 0), candidates) for q in queries])
    label = np.zeros(exact.shape, dtype=bool)
    label[np.arange(20), [right[0] for right in relevant]] = True
    off = {
        "up": np.where(np.arange(exact.shape[1]) % 2, 1.0, -1.0) * np.ones((20, 1)),
        "down": np.where(np.arange(exact.shape[1]) % 2, -1.0, 1.0) * np.ones((20, 1)),
        "by chance": np.random.default_rng(1).uniform(-1, 1, exact.shape),
        "label down": np.where(label, -1.0, 1.0),
        "label up": np.where(label, 1.0, -1.0),
    }[way]
    said = exact + 0.99 * off * shortlist_module.errors_of(queries, candidates)[:, None]

    def search(_queries, _candidates, k):
        order = np.argsort(-said, axis=1)[:, : min(k, said.shape[1])]
        return np.take_along_axis(said, order, axis=1), order

    monkeypatch.setattr(shortlist_module, "_search_all", search)
    assert everything(rank(queries, candidates, pools, relevant, shortlist=shortlist)) == expected


def test_a_build_that_breaks_the_bound_is_not_believed(monkeypatch):
    """As one would that rounds to TF32: all is rescored."""
    problem = crowded()
    expected = everything(rank(*problem))
    noise = np.random.default_rng(1).uniform(-1e-3, 1e-3, (20, 120))

    def search(queries, candidates, k):
        said = queries.astype(np.float64) @ candidates.T.astype(np.float64) + noise
        order = np.argsort(-said, axis=1)[:, :k]
        return np.take_along_axis(said, order, axis=1), order

    monkeypatch.setattr(shortlist_module, "_search_all", search)
    assert everything(rank(*problem)) == expected


def test_the_listed_top_is_right_where_the_shortlist_ends_in_a_crowd(monkeypatch):
    """The label stands clear of all others, so it is decided; the candidates after it are not."""
    queries, candidates, pools, _ = crowded()
    candidates[7] = queries[0]
    candidates[7, 1] += 0.5
    relevant = [np.array([7], dtype=np.int32)] * 20
    queries = np.repeat((candidates[7] / np.linalg.norm(candidates[7]))[None], 20, 0)
    expected = everything(rank(queries, candidates, pools, relevant))
    errors = shortlist_module.errors_of(queries, candidates)
    exact = np.stack([exact_scores(np.repeat(q[None], len(candidates), 0), candidates) for q in queries])
    said = exact - 0.99 * errors[:, None] * np.where(np.arange(120) > 100, 1, -1)  # the best of the crowd look worst

    def search(_queries, _candidates, k):
        order = np.argsort(-said, axis=1)[:, :k]
        return np.take_along_axis(said, order, axis=1), order

    monkeypatch.setattr(shortlist_module, "_search_all", search)
    assert everything(rank(queries, candidates, pools, relevant, shortlist=8)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.full((1, 2), np.nan, np.float32)}, "not finite"),
        ({"candidates": np.array([[1, np.inf]], np.float32)}, "not finite"),
        ({"candidates": np.ones((1, 3), np.float32)}, "do not fit"),
        ({"relevant": [np.array([], np.int32)]}, "not in its pool"),
        ({"relevant": [np.array([1], np.int32)]}, "not in its pool"),
        ({"pools": []}, "0 pools"),
    ],
)
def test_bad_input_is_refused(change, message):
    good = {
        "queries": np.ones((1, 2), np.float32),
        "candidates": np.ones((1, 2), np.float32),
        "pools": [np.array([0], np.int32)],
        "relevant": [np.array([0], np.int32)],
    }
    with pytest.raises(ValueError, match=message):
        rank(**(good | change))


def test_one_pool_of_all_queries_is_held_once():
    """A pool of 20,000 for 400 queries would take 64 MB as numbers of each."""
    rng = np.random.default_rng(0)
    candidates = rng.normal(size=(20_000, 8)).astype(np.float32)
    queries, pool = candidates[:400].copy() * np.float32(0.9), np.arange(20_000, dtype=np.int32)
    rights = [np.array([row], dtype=np.int32) for row in range(400)]
    tracemalloc.start()
    try:
        ranking = rank(queries, candidates, [pool] * 400, rights)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32_000_000
    same = rank(queries[:20], candidates, [pool.copy() for _ in range(20)], rights[:20])
    assert (same.above.tolist(), same.margin.tolist()) == (ranking.above[:20].tolist(), ranking.margin[:20].tolist())

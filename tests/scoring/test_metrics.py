"""Metrics against brute force over all orders of ties, and the properties that every metric keeps."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.plugins import Registry
from evalkit.scoring.metrics import METRICS, Metric, measure
from evalkit.scoring.metrics.precision_at_1 import PRECISION_AT_1, precision_at_1
from evalkit.scoring.ranking import Ranking, rank
from evalkit.scoring.reducers import REDUCERS

BY_PLACE: dict[str, Callable[[int], Fraction]] = {
    "precision_at_1": lambda place: Fraction(place == 1),
    "hit_at_5": lambda place: Fraction(place <= 5),
    "hit_at_10": lambda place: Fraction(place <= 10),
    "mrr": lambda place: Fraction(1, place),
}
"""What each metric is where nothing is tied: from the rank of the first relevant candidate to the score."""

SMALL = st.tuples(st.integers(0, 11), st.integers(0, 4), st.integers(1, 3))
"""above, tied, right."""

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def over_all_orders(above: int, tied: int, right: int, score: Callable[[int], Fraction]) -> Fraction:
    """Expectation of ``score(rank of the first relevant one)`` by listing every order of the tied ones."""
    orders = set(itertools.permutations("r" * right + "o" * tied))
    return sum((score(above + order.index("r") + 1) for order in orders), Fraction(0)) / len(orders)


def scores_of(metric: Metric, *states: tuple[int, int, int]) -> list[float]:
    """The scores of queries in these states: above, tied, right."""
    return metric.score(*(np.array(column, dtype=np.int64) for column in zip(*states, strict=True))).tolist()


@every_metric
@given(st.lists(SMALL, min_size=1, max_size=5))
def test_a_metric_is_its_mean_over_all_orders_of_ties(metric: Metric, states: list[tuple[int, int, int]]) -> None:
    expected = [float(over_all_orders(*state, BY_PLACE[metric.name])) for state in states]
    assert scores_of(metric, *states) == pytest.approx(expected, abs=1e-12)


@every_metric
@given(SMALL)
def test_what_is_better_scores_no_less_and_all_within_the_range(metric: Metric, state: tuple[int, int, int]) -> None:
    above, tied, right = state
    (score,) = scores_of(metric, state)
    assert metric.range[0] <= score <= metric.range[1]
    for worse in ((above + 1, tied, right), (above, tied + 1, right)):
        assert scores_of(metric, worse)[0] <= score + 1e-12
    assert scores_of(metric, (above, tied, right + 1))[0] >= score - 1e-12
    (first,), (last,) = scores_of(metric, (above, 0, right)), scores_of(metric, (above + tied, 0, right))
    assert last - 1e-12 <= score <= first + 1e-12


@every_metric
def test_a_metric_says_what_it_is_and_where_it_is_from(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert METRICS[metric.name] is metric
    assert metric.title
    assert re.fullmatch(r"[A-Z][^.]*\.", metric.definition), "one sentence"
    assert re.match(r"@\w+\{\w+,\n", metric.citation)
    assert {"title", "author", "year"} <= set(re.findall(r"^  (\w+) = \{", metric.citation, re.MULTILINE))
    assert 0 <= metric.range[0] < metric.range[1] <= 1
    assert all(str(value) in metric.name for value in metric.parameters.values())


def test_the_page_of_metrics_says_the_same() -> None:
    """docs/metrics.md has a row of each metric and reducer, in their order."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| `"]
    known = [*METRICS.values(), *REDUCERS.values()]
    assert [row[:2] for row in rows] == [[f"`{one.name}`", one.definition] for one in known]
    for (_, _, source), one in zip(rows, known, strict=True):
        author, year = (re.search(rf"{field} = \{{(\w+)", one.citation) for field in ("author", "year"))
        assert author
        assert year
        assert source.startswith(author[1])
        assert source.endswith(year[1])


def test_names_of_evalkit_are_taken_and_errors_name_the_near_ones() -> None:
    registry = Registry[Metric]("metric", *METRICS.values())
    assert list(registry) == ["precision_at_1", "hit_at_5", "hit_at_10", "mrr"]
    assert registry.named("mrr") is METRICS["mrr"]
    with pytest.raises(ValueError, match="evalkit has a metric 'mrr' itself"):
        registry.register(METRICS["mrr"])
    for _ in range(2):  # a module may be imported anew
        registry.register(replace(METRICS["mrr"], name="mrr_at_3"))
    with pytest.raises(UsageError, match=r"^metric 'hit_at_7' is not one of precision_at_1, .*, mrr_at_3; near: hit_"):
        registry.named("hit_at_7")
    with pytest.raises(UsageError, match=r"mrr_at_3$"):
        registry.named("zzz")


@pytest.mark.parametrize(
    "wrong", [lambda a, t, r: a + 2.0, lambda a, t, r: a - 0.5, lambda a, t, r: np.full(3, np.nan)]
)
def test_scores_outside_the_range_are_no_number(wrong: Callable[..., np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"metric precision_at_1 gives no score from 0\.0 to 1\.0 a query"):
        measure(replace(PRECISION_AT_1, score=wrong), three_queries())
    with pytest.raises(ValueError, match="a query"):
        measure(replace(PRECISION_AT_1, score=lambda a, t, r: np.ones(2)), three_queries())


def three_queries() -> Ranking:
    """Each in a pool of its own of three."""
    same, pool = np.ones((3, 2), np.float32), np.arange(3, dtype=np.int32)
    return rank(same, same, [pool] * 3, [pool[i : i + 1] for i in range(3)])


def test_precision_at_1_is_the_definition():
    above = np.array([0, 0, 1, 0, 0])
    tied = np.array([0, 1, 0, 9, 1])
    right = np.array([1, 1, 1, 1, 2])
    assert precision_at_1(above, tied, right).tolist() == [1.0, 0.5, 0.0, 0.1, 2 / 3]


def test_intervals_know_of_images_and_values_do_not():
    rng = np.random.default_rng(4)
    queries = np.repeat(rng.normal(size=(20, 3)), 4, axis=0).astype(np.float32)  # four alike about each image
    candidates, pool = rng.normal(size=(3, 3)).astype(np.float32), np.arange(3, dtype=np.int32)
    ranking = rank(queries, candidates, [pool] * 80, [pool[i // 4 % 3 : i // 4 % 3 + 1] for i in range(80)])
    for metric in METRICS.values():
        if metric.name.startswith("hit"):  # all within the first five
            continue
        plain, known = measure(metric, ranking), measure(metric, ranking, images=np.arange(80) // 4)
        assert dataclasses.replace(known, low=plain.low, high=plain.high) == plain
        assert known.high - known.low > 1.7 * (plain.high - plain.low)


def test_optimistic_and_pessimistic_enclose_the_value():
    rng = np.random.default_rng(4)
    queries = rng.integers(-1, 2, (50, 3)).astype(np.float32)
    candidates = rng.integers(-1, 2, (30, 3)).astype(np.float32)
    pool = np.arange(30, dtype=np.int32)
    ranking = rank(queries, candidates, [pool] * 50, [pool[i % 30 : i % 30 + 1] for i in range(50)])
    for metric in METRICS.values():
        value = measure(metric, ranking)
        assert value.pessimistic <= value.value <= value.optimistic
        assert value.pessimistic < value.optimistic
        assert value.low <= value.value <= value.high
        assert value.n == 50
        assert value.n_ties == int((ranking.tied > 0).sum()) > 0

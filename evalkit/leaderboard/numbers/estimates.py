"""Means of groups with their intervals, and ranges of ranks, of all entries of a board."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.leaderboard.board import Group, Mean, Range
from evalkit.leaderboard.numbers.drafts import Draft
from evalkit.leaderboard.numbers.evidence import Evidence
from evalkit.leaderboard.numbers.resampling import (
    interval,
    largest_variance,
    normal,
    rank_ranges,
    seed_of,
    variance_of_mean,
)
from evalkit.stats import Z_95

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def plain_mean(draft: Draft, group: Group) -> Mean:
    """The mean of a group without an interval: unweighted over its tasks, and only of all of them."""
    if group.key in draft.means:
        return draft.means[group.key]
    scores = draft.entry.scores
    done = [scores[task].value for task in group.tasks if task in scores and scores[task].complete]
    value = math.fsum(done) / len(done) if len(done) == len(group.tasks) else None
    return Mean(value, None, None, len(done), len(group.tasks))


class Estimates:
    """What queries of the same tasks might have given instead.

    Args:
        drafts: of one board, with their slugs.
        evidence: of their per-query scores.
        queries: of each task, by its name, as its card has them: those of an entry without per-query scores.
    """

    def __init__(self, drafts: Sequence[Draft], evidence: Evidence, queries: Mapping[str, int]) -> None:
        self._drafts = drafts
        self._evidence = evidence
        self._queries = queries

    def interval(self, draft: Draft, group: Group) -> tuple[float, float] | None:
        """The 95 % interval of a mean, ``None`` where there is no mean or it is all that is known.

        From the bootstrap where there are per-query scores, else from :func:`variance_of_mean`, cut at 0 and 1. A
        mean that a paper reports without its tasks has no interval: what could be said, that of
        :func:`largest_variance`, would be too wide by an unknown amount.
        """
        mean = plain_mean(draft, group)
        if mean.value is None or mean.n_done < mean.n_tasks:
            return None
        if draft.entry.slug in self._evidence.sums[group.key]:
            return interval(self.draws(draft, group), mean.value)
        half = Z_95 * math.sqrt(self._variance(draft, group))
        return max(0.0, mean.value - half), min(1.0, mean.value + half)

    def ranks(self, group: Group) -> dict[str, Range]:
        """Ranges of ranks by slug, of those that have all tasks of the group and know something.

        A model that stands on the board in several ways takes one place with those of them that have the same answers:
        how regions reach it changes nothing where there are none.
        """
        there = [d for d in self._drafts if not d.entry.knows_nothing and plain_mean(d, group).value is not None]
        if not there:
            return {}
        draws = [self.draws(draft, group) for draft in there]
        places = [(draft.entry.model, own.tobytes()) for draft, own in zip(there, draws, strict=True)]
        single = dict(zip(places, draws, strict=True))
        ranges = dict(zip(single, rank_ranges(np.stack(list(single.values()))), strict=True))
        return {draft.entry.slug: ranges[place] for draft, place in zip(there, places, strict=True)}

    def draws(self, draft: Draft, group: Group) -> Floats:
        """A mean as other queries would have had it, shape (resamples,); the group has to have one.

        Tasks with per-query scores are resampled, together with those of all other entries. The others add a normal
        distribution, of the entry's own.
        """
        mean = plain_mean(draft, group)
        if mean.value is None:
            raise ValueError(f"{draft.entry.label} has no mean of {group.label}")
        sums = self._evidence.sums[group.key].get(draft.entry.slug)
        spread = math.sqrt(self._variance(draft, group))
        if sums is None:
            return mean.value + spread * normal(seed_of(draft.identity, group.key))
        rest = math.fsum(draft.entry.scores[task].value for task in self._unsampled(draft, group))
        draws = (sums + rest) / len(group.tasks)
        return draws + spread * normal(seed_of(draft.identity, group.key)) if spread else draws

    def _unsampled(self, draft: Draft, group: Group) -> list[str]:
        return [task for task in group.tasks if task in draft.entry.scores and task not in draft.samples]

    def _variance(self, draft: Draft, group: Group) -> float:
        """Of the mean of a group, as far as tasks without per-query scores add to it."""
        mean = plain_mean(draft, group)
        if mean.value is not None and mean.n_done < mean.n_tasks:
            return largest_variance(mean.value, [self._queries[task] for task in group.tasks])
        tasks = self._unsampled(draft, group)
        if not tasks:
            return 0.0
        values = [draft.entry.scores[task].value for task in tasks]
        return variance_of_mean(values, [self._queries[task] for task in tasks]) * (len(tasks) / len(group.tasks)) ** 2

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
from evalkit.runs.reducing import reducer_of
from evalkit.scoring.stats import Z_95

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def plain_mean(draft: Draft, group: Group) -> Mean:
    """The mean of a group without an interval: unweighted over its tasks, and only of all of them.

    What is claimed is no part of any mean. A mean that holds a score on other data stands apart as that score does.
    """
    if group.key in draft.means:
        return draft.means[group.key]
    scores = [draft.entry.scores[task] for task in group.tasks if task in draft.entry.scores]
    done = [score for score in scores if score.complete and not score.claimed]
    whole = len(done) == len(group.tasks)
    value = reducer_of(group.tasks).reduce([score.value for score in done]) if whole else None
    apart = [score.apart for score in scores if score.apart]
    first = next((why for why in apart if why.kind == "claimed"), apart[0] if apart else None)
    return Mean(value, None, None, len(done), len(group.tasks), apart=first)


def ranked_mean(draft: Draft, group: Group) -> float | None:
    """The value of a mean that is ranked with those of others; ``None`` where there is none."""
    mean = plain_mean(draft, group)
    return None if mean.apart else mean.value


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

        From the bootstrap of a run, else from :func:`variance_of_mean`, cut at 0 and 1. A
        mean that a paper reports without its tasks has no interval: what could be said, that of
        :func:`largest_variance`, would be too wide by an unknown amount.
        """
        mean = plain_mean(draft, group)
        if mean.value is None or mean.n_done < mean.n_tasks or not reducer_of(group.tasks).is_mean:
            return None
        if draft.entry.slug in self._evidence.sums[group.key]:
            return interval(self.draws(draft, group), mean.value)
        half = Z_95 * math.sqrt(self._variance(draft, group))
        return max(0.0, mean.value - half), min(1.0, mean.value + half)

    def ranks(self, group: Group) -> dict[str, Range]:
        """Ranges of ranks by slug, of those that know something and have all tasks of the group, on the same data.

        A model that stands on the board in several ways takes one place with those of them that have the same answers:
        how regions reach it changes nothing where there are none.
        """
        there = [d for d in self._drafts if not d.entry.knows_nothing and ranked_mean(d, group) is not None]
        if not there or not reducer_of(group.tasks).is_mean:
            return {}
        draws = [self.draws(draft, group) for draft in there]
        places = [(draft.entry.model, own.tobytes()) for draft, own in zip(there, draws, strict=True)]
        single = dict(zip(places, draws, strict=True))
        ranges = dict(zip(single, rank_ranges(np.stack(list(single.values()))), strict=True))
        return {draft.entry.slug: ranges[place] for draft, place in zip(there, places, strict=True)}

    def draws(self, draft: Draft, group: Group) -> Floats:
        """A mean as other queries would have had it, shape (resamples,); the group has to have one.

        The queries of a run are resampled, together with those of all other runs. A published mean has none and gets
        a normal distribution of its own.
        """
        mean = plain_mean(draft, group)
        if mean.value is None:
            raise ValueError(f"{draft.entry.label} has no mean of {group.label}")
        sums = self._evidence.sums[group.key].get(draft.entry.slug)
        if sums is not None:
            return sums / len(group.tasks)
        spread = math.sqrt(self._variance(draft, group))
        return mean.value + spread * normal(seed_of(draft.identity, group.key))

    def _variance(self, draft: Draft, group: Group) -> float:
        """Of a published mean of a group."""
        mean = plain_mean(draft, group)
        queries = [self._queries[task] for task in group.tasks]
        if mean.value is not None and mean.n_done < mean.n_tasks:
            return largest_variance(mean.value, queries)
        return variance_of_mean([draft.entry.scores[task].value for task in group.tasks], queries)

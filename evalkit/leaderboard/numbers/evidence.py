"""What the per-query files of a board say, gathered task by task, so that one task's scores are in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from evalkit.leaderboard.board import Group
from evalkit.leaderboard.numbers.comparing import Member, compared, not_told_apart
from evalkit.leaderboard.numbers.drafts import Draft
from evalkit.leaderboard.numbers.joined import Joined, join
from evalkit.leaderboard.numbers.resampling import RESAMPLES, resampled, seed_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evalkit.runs.manifest import TaskResult

    Floats = NDArray[np.float64]

Pair = tuple[str, str]
"""Slugs of the base and the new one."""


@dataclass(frozen=True)
class Evidence:
    """What entries got on the same queries.

    Attributes:
        best: by the task's name, the slugs of the best measured entry and of those not told apart from it; of those
            whose scores count.
        sums: by the group's key and the slug, sums over the group's tasks of resampled means, shape (resamples,), over
            the tasks that the entry has samples of.
        pairs: by pair and task's name, what those that are compared got on it: on the same data.
    """

    best: Mapping[str, frozenset[str]]
    sums: Mapping[str, Mapping[str, Floats]]
    pairs: Mapping[Pair, Mapping[str, Member]]


def gather(drafts: Sequence[Draft], groups: Sequence[Group], tasks: Sequence[str], chosen: Sequence[str]) -> Evidence:
    """Read the samples of all drafts.

    Args:
        drafts: of one board, with their slugs, best first.
        groups: of the board.
        tasks: names, of the board.
        chosen: slugs of entries, best first; each is compared with all others, and is ``new`` to those behind it.

    Raises:
        ResultsError: a per-query file that cannot be read.
    """
    best = {}
    whole = {group.key: _with_all_tasks(drafts, group) for group in groups}
    sums: dict[str, dict[str, Floats]] = {group.key: {} for group in groups}
    pairs: dict[Pair, dict[str, Member]] = {(base, new): {} for new, base in combinations(chosen, 2)}
    for task in tasks:
        joint = _joined(task, drafts)
        best[task] = _best(task, drafts, joint)
        for joined in joint:
            rows = {slug: row for row, slug in enumerate(joined.entries)}
            for (base, new), found in pairs.items():
                if base in rows and new in rows:
                    found[task] = compared(joined.scores[rows[base]], joined.scores[rows[new]], joined.clusters)
            members = [group for group in groups if task in group.tasks]
            if not members:  # an own task is part of no mean
                continue
            means = resampled(joined.scores, seed_of(task, joined.digest), clusters=joined.clusters)
            for group in members:
                for slug in rows.keys() & whole[group.key]:
                    total = sums[group.key].setdefault(slug, np.zeros(RESAMPLES))
                    total += means[rows[slug]]
    return Evidence(best, sums, pairs)


def _joined(task: str, drafts: Sequence[Draft]) -> list[Joined]:
    """The samples of a task, those about the same data and of the same queries together."""
    files: dict[str | None, dict[str, tuple[Path, TaskResult]]] = {}
    for draft in drafts:
        if task in draft.samples:
            files.setdefault(draft.entry.scores[task].data, {})[draft.entry.slug] = draft.samples[task]
    return [joined for own in files.values() for joined in join(own)]


def _with_all_tasks(drafts: Sequence[Draft], group: Group) -> set[str]:
    return {draft.entry.slug for draft in drafts if all(task in draft.samples for task in group.tasks)}


def _best(task: str, drafts: Sequence[Draft], joint: Sequence[Joined]) -> frozenset[str]:
    """The best measured entries of a task, and who is not told apart; nobody where there is no contest.

    Of the scores that count: their data is the same.
    """
    scores = {
        draft.entry.slug: draft.entry.scores[task].value
        for draft in drafts
        if draft.entry.kind == "measured" and not draft.entry.knows_nothing
        if task in draft.entry.scores and draft.entry.scores[task].counts
    }
    if len(scores) < 2:
        return frozenset()
    highest = max(scores.values())
    top = {slug for slug, value in scores.items() if value == highest}
    found = set(top)
    for joined in joint:
        if leaders := sorted(top & set(joined.entries)):
            found |= not_told_apart(joined, leaders[0], frozenset(scores))
    return frozenset(found)

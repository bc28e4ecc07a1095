"""What a reducer is: from the numbers of a group's tasks to the group's, with what people ask about it.

That all tasks of the group are there is no matter of reducers: whoever calls them sees to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reducer:
    """A reducer as data.

    Attributes:
        name: as suites call it.
        title: as people call it.
        definition: one sentence: what it is of a group's tasks.
        citation: BibTeX of its source.
        reduce: from the tasks' numbers, each in [0, 1] and at least one, in whatever order, to one in [0, 1].
        is_mean: whether it is the unweighted mean. Tests, bootstraps and standard errors of groups
            (:func:`evalkit.regression.compare.paired_mean`, :mod:`evalkit.leaderboard.numbers.estimates`) add up what
            single queries change, each task with the same weight, and are right for no other: a group that is reduced
            in another way has its number, and no interval, test or range of ranks.
    """

    name: str
    title: str
    definition: str
    citation: str
    reduce: Callable[[Sequence[float]], float]
    is_mean: bool = False

"""Which reducer makes a group's number of its tasks': the one that their suite names."""

from __future__ import annotations

from collections.abc import Collection

from evalkit.errors import UsageError
from evalkit.scoring.reducers import REDUCERS, Reducer
from evalkit.suites.selecting import suite_of


def reducer_of(tasks: Collection[str]) -> Reducer:
    """The reducer of a group of tasks.

    Args:
        tasks: names of tasks of one suite; of a suite that is not installed here the mean is taken.

    Raises:
        UsageError: the suite names a reducer that there is none of.
    """
    suite = next(filter(None, map(suite_of, tasks)), None)
    named: str = getattr(suite, "reducer", "mean_over_tasks")  # suites of other packages need not say
    try:
        return REDUCERS.named(named)
    except UsageError as error:
        raise UsageError(f"suite {suite.name if suite else '-'}: {error}") from error

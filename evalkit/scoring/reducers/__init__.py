"""The reducers by name: a suite's or group's number of its tasks'; each is a file and a line in REDUCERS."""

from evalkit.plugins import Registry
from evalkit.scoring.reducers.mean_over_tasks import MEAN_OVER_TASKS
from evalkit.scoring.reducers.reducer import Reducer

REDUCERS = Registry[Reducer](
    "reducer",
    MEAN_OVER_TASKS,
)

__all__ = ["REDUCERS", "Reducer"]

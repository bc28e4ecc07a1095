"""The metrics by name: each is a file with its definition, source, parameters and range, and a line in METRICS.

A task's card names those that it is measured by. Another package registers its own when its suite is imported:
``METRICS.register(Metric(...))``.
"""

from evalkit.plugins import Registry
from evalkit.scoring.metrics.hit_at import HIT_AT_5, HIT_AT_10
from evalkit.scoring.metrics.metric import IntervalMethod, Metric
from evalkit.scoring.metrics.precision_at_1 import PRECISION_AT_1
from evalkit.scoring.metrics.reciprocal_rank import MRR
from evalkit.scoring.metrics.value import Value, measure

METRICS = Registry[Metric](
    "metric",
    PRECISION_AT_1,
    HIT_AT_5,
    HIT_AT_10,
    MRR,
)

__all__ = ["METRICS", "IntervalMethod", "Metric", "Value", "measure"]

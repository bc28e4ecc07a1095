"""The unweighted mean over tasks, as the papers of MMEB and SCaR have it: 36 tasks and 5."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalkit.scoring.reducers.reducer import Reducer


def _mean(numbers: Sequence[float]) -> float:
    """The same to the bit in whatever order the tasks come."""
    return math.fsum(numbers) / len(numbers)


MEAN_OVER_TASKS = Reducer(
    name="mean_over_tasks",
    title="mean over tasks",
    definition="The unweighted mean: a task counts once, however large.",
    citation="""\
@article{jiang2024vlm2vec,
  title = {VLM2Vec: Training Vision-Language Models for Massive Multimodal Embedding Tasks},
  author = {Jiang, Ziyan and Meng, Rui and Yang, Xinyi and Yavuz, Semih and Zhou, Yingbo and Chen, Wenhu},
  journal = {arXiv preprint arXiv:2410.05160},
  year = {2024},
}
""",
    reduce=_mean,
    is_mean=True,
)

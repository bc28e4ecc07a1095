"""Precision@1, which ranks models on MMEB and SCaR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.scoring.metrics.metric import Metric

if TYPE_CHECKING:
    from evalkit.scoring.metrics.metric import Counts, Scores


def precision_at_1(above: Counts, tied: Counts, right: Counts) -> Scores:
    """Probability that a relevant candidate comes first.

    0 where a candidate scores higher, else ``right / (right + tied)``.

    Args:
        above, tied, right: int64, shape (n,); ``right`` at least 1.

    Returns:
        float64, shape (n,), in [0, 1].
    """
    return np.where(above > 0, 0.0, right / (right + tied))


PRECISION_AT_1 = Metric(
    name="precision_at_1",
    title="Precision@1",
    definition="The chance that a right candidate comes first.",
    citation="""\
@article{jiang2024vlm2vec,
  title = {VLM2Vec: Training Vision-Language Models for Massive Multimodal Embedding Tasks},
  author = {Jiang, Ziyan and Meng, Rui and Yang, Xinyi and Yavuz, Semih and Zhou, Yingbo and Chen, Wenhu},
  journal = {arXiv preprint arXiv:2410.05160},
  year = {2024},
}
""",
    score=precision_at_1,
    interval="wilson",
    parameters={"k": 1},
)

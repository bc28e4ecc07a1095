"""How long a contrastive training is, and how fast."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    Attributes:
        steps: batches.
        rate: greatest learning rate; it rises over the first steps and falls to nothing.
        warm: steps that it rises over.
        early: share of the steps in which wrong captions of SCaR's kind are those of other things alone: which
            thing is meant is learned first, then all parts of the caption.
    """

    steps: int
    rate: float = 1e-3
    warm: int = 200
    early: float = 0.2

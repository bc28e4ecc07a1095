"""The store is not believed blindly: of the vectors that are reused, a few are made again and compared.

A fingerprint says what a vector depends on as far as anybody knows; this finds out. It also finds another library,
device or resize filter that moves vectors by more than rounding.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.embedders.base import BATCH_TOLERANCE
from evalkit.items import Item, Side, region_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SECONDS = 1.0
"""After so much time on more than the first of each kind, a run checks no more than that."""
_FIRST = 3  # of a kind, however few there are of it
_SHARE = 0.01  # of the reused vectors of a kind
_AT_ONCE = 8  # of a kind in one call
_SEED = 0

ItemKind = tuple[Side, str, str, bool]
"""Side, modality, kind of region, with an instruction. Where there is no region, ``crop`` says that the image is cut,
``drawn`` that it is drawn on."""


@dataclass
class SpotCheck:
    """Which vectors an encoder has checked.

    Attributes:
        reused: vectors by kind that were reused.
        checked: of them, made again.
        seconds: spent on more than the first of each kind.
    """

    reused: Counter[ItemKind] = field(default_factory=Counter)
    checked: Counter[ItemKind] = field(default_factory=Counter)
    seconds: float = 0.0

    def choose(self, items: Mapping[bytes, Item], side: Side) -> tuple[list[bytes], list[bytes]]:
        """Keys of the vectors to make again, by a seeded choice.

        Args:
            items: whose vectors are to be reused, by key.
            side: of all of them.

        Returns:
            The first of each kind that no vector was checked of yet, and more: three of a kind at first, one in a
            hundred, or one of each kind in every call.
        """
        by_kind: dict[ItemKind, list[bytes]] = defaultdict(list)
        for key, item in items.items():
            by_kind[kind_of(item, side)].append(key)
        first, more = [], []
        for kind, keys in by_kind.items():
            self.reused[kind] += len(keys)
            wanted = max(1, max(_FIRST, int(_SHARE * self.reused[kind])) - self.checked[kind])
            count = min(len(keys), _AT_ONCE, wanted)
            drawn = random.Random(_SEED).sample(keys, count)
            if not self.checked[kind]:
                first.append(drawn.pop(0))
            if self.seconds >= SECONDS:
                drawn = []
            more += drawn
            self.checked[kind] = max(1, self.checked[kind] + len(drawn))
        return first, more


def kind_of(item: Item, side: Side) -> ItemKind:
    """What an embedder may treat apart."""
    image = item.image
    changed = "" if image is None or not image.changed else "crop" if image.crop is not None else "drawn"
    return side, item.modality, changed if item.region is None else region_kind(item.region), bool(item.instruction)


def cosine_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far vectors are from those in the same rows.

    Args:
        first: shape (n, d).
        second: shape (n, d).

    Returns:
        1 - cosine, float64, shape (n,), in [0, 2]; 2 where there is none, as no cosine is as bad as any: a zero vector
        or one that is not finite must not pass. :data:`evalkit.embedders.base.BATCH_TOLERANCE` is allowed.
    """
    import numpy as np

    one, other = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)
    return np.asarray(np.clip(1 - np.nan_to_num(cosines, nan=-1.0), 0, 2))


def verdict(distances: NDArray[np.float64], names: Sequence[str]) -> str | None:
    """In words, which vectors are too far from what was kept and how far; ``None`` where all of them hold.

    Args:
        distances: of :func:`cosine_distances`, shape (n,).
        names: of the n items.
    """
    import numpy as np

    wrong = np.flatnonzero(~(distances <= BATCH_TOLERANCE))
    if not wrong.size:
        return None
    farthest = wrong[np.argsort(-distances[wrong], kind="stable")]
    listed = "; ".join(f"{names[place]} by {distances[place]:.2g}" for place in farthest[:3].tolist())
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return (
        f"of {len(distances)} that were made again {len(wrong)} are off by more than {BATCH_TOLERANCE:g} "
        f"(1 - cosine): {listed}{more}"
    )

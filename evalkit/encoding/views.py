"""Several views of one item: each is embedded and kept as any item is, and their sum is the item's vector."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.encoding.contract import describe
from evalkit.encoding.encode import Encoder
from evalkit.encoding.given import rows_named
from evalkit.encoding.prefixes import cut
from evalkit.errors import EmbedderError
from evalkit.items import Item, Side
from evalkit.suites.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NOTHING = 1e-6  # of the length of a sum: what is left of two float32 vectors that are opposite is their rounding


@dataclass(frozen=True)
class Views:
    """Items of which some are seen in several ways.

    Attributes:
        items: what is to be embedded: all first views, and then of each further way those views that are others.
        further: of each further way, by the place of the item, the place of its view among :attr:`items`.
    """

    items: list[Item]
    further: tuple[dict[int, int], ...]

    @classmethod
    def of(cls, ways: Sequence[Sequence[Item]]) -> Views:
        """Of the same items in one or several ways.

        Args:
            ways: one list for each, in the same order; what is the very same item in the first is one view.
        """
        first, *more = ways
        items, further = list(first), []
        for way in more:
            places: dict[int, int] = {}
            for place, (item, view) in enumerate(zip(first, way, strict=True)):
                if view is not item:
                    places[place] = len(items)
                    items.append(view)
            further.append(places)
        return cls(items, tuple(further))

    def combined(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors of the items.

        Args:
            vectors: of :attr:`items`, shape ``(len(items), dimension)``, rows of length 1.

        Returns:
            float32, a row for each item: of several views their sum, of length 1; of a single view its own.

        Raises:
            EmbedderError: the views of an item are opposite, so that their sum is nothing.
        """
        import numpy as np

        several = sorted({place for places in self.further for place in places})
        n = len(self.items) - sum(map(len, self.further))
        found = vectors[:n]
        if not several:
            return found
        sums = found[several].astype(np.float64)
        row = {place: number for number, place in enumerate(several)}
        for places in self.further:
            sums[[row[place] for place in places]] += vectors[list(places.values())]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        if (nothing := np.flatnonzero(lengths[:, 0] <= _NOTHING)).size:
            item = self.items[several[int(nothing[0])]]
            raise EmbedderError(
                f"the views of {describe(item)} have opposite vectors, whose sum has no direction: leave its row out, "
                "or use another --prompting"
            )
        found = found.copy()
        found[several] = sums / lengths
        return found


@dataclass(frozen=True)
class SideVectors:
    """The vectors of one side of a task.

    Attributes:
        views: of its items.
        vectors: of ``views.items``, whole; float32, shape ``(len(views.items), dimension of the embedder)``.
        side: which.
    """

    views: Views
    vectors: NDArray[np.float32]
    side: Side

    def at(self, dimension: int | None = None) -> NDArray[np.float32]:
        """The vectors of the items.

        Each view is cut and made of length 1 before they are added, as an embedder of so many dimensions gives them.

        Args:
            dimension: what they are cut to; ``None``: they are whole.

        Returns:
            float32, a row for each item, rows of length 1.

        Raises:
            EmbedderError: an item of which nothing is left, or whose views are opposite.
        """
        whole = self.vectors
        return self.views.combined(whole if dimension is None else cut(whole, dimension, self.views.items, self.side))


def encode_views(task: Task, encoder: Encoder, more: Sequence[Task] = ()) -> tuple[SideVectors, SideVectors]:
    """The vectors of a task's queries and of its candidates, each view on its own.

    Args:
        task: as the embedder gets it.
        encoder: of the run.
        more: further views of it: :func:`evalkit.encoding.given.prompted_views`.

    Raises:
        ItemError: an image or a region that cannot be used, with its row.
    """
    queries = Views.of([one.queries for one in (task, *more)])
    candidates = Views.of([one.candidates for one in (task, *more)])
    encoder.progress.expect(len(queries.items) + len(candidates.items))
    with ExitStack() as rows:
        for one in (*reversed(more), task):
            rows.enter_context(rows_named(one))
        return (
            SideVectors(queries, encoder.encode(queries.items, "query"), "query"),
            SideVectors(candidates, encoder.encode(candidates.items, "candidate"), "candidate"),
        )


def encode_task(
    task: Task, encoder: Encoder, more: Sequence[Task] = ()
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The vectors of a task's queries and of its candidates; arguments and errors as :func:`encode_views`.

    Raises:
        EmbedderError: the views of an item have opposite vectors.
    """
    queries, candidates = encode_views(task, encoder, more)
    return queries.at(), candidates.at()

"""Whether a vector is its item's alone: not its neighbours', not the batch's size or order, not the call's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.checking.calls import CALL, REPEAT_TOLERANCE, Calls, compared, named
from evalkit.items import IMAGE_MARK, Item, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.encoding.batches import Pending

_SAMPLE = 24  # items that tell what such items cost
PLANNED = 2048  # more than any batch holds


def repeated(calls: Calls, items: Sequence[Item], first: NDArray[np.float32], side: Side) -> tuple[bool, str]:
    """The same call again, after others, compared with the first one."""
    again = calls.vectors(items, side)
    if (first == again).all():
        return True, "equal bit for bit"
    return True, compared(first, {"again": again}, items, REPEAT_TOLERANCE, CALL)


def small(
    calls: Calls,
    items: Sequence[Item],
    first: NDArray[np.float32],
    side: Side,
    alone: NDArray[np.float32],
    others: Sequence[Item] = (),
) -> tuple[bool, str]:
    """Each alone, batches of 2 and 3, and all in another order, compared with all in order.

    Args:
        calls: to the embedder.
        items: of one modality.
        first: their vectors, all in one batch.
        side: of all of them.
        alone: their vectors, each in a batch of its own.
        others: items that a run may put into a batch with these; one batch has both.
    """
    import numpy as np

    random = np.random.default_rng(0)
    ways = {"alone": alone}
    for size in (2, 3, len(items)):
        order = random.permutation(len(items)).tolist()
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        way = f"{size} a batch" if size < len(items) else "all in another order"
        ways[way] = _restored([calls.vectors([items[row] for row in part], side) for part in parts], order)
    if others:
        both = [*items, *others]
        order = random.permutation(len(both)).tolist()
        vectors = _restored([calls.vectors([both[row] for row in order], side)], order)
        ways["in one batch with items without text"] = vectors[: len(items)]
    return True, compared(first, ways, items)


def largest(
    calls: Calls, many: Callable[[int], list[Item]], side: Side, size: Callable[[], int], batch_tokens: int
) -> tuple[bool | None, str]:
    """The largest batch that a run would make, every row of it compared with its vector in smaller batches.

    Every second row is one and the same item, so that a mean over the batch is far from any vector of it. The
    smaller batches are of growing sizes, so that chunks that an embedder makes of its batch do not come out even.

    Args:
        calls: to the embedder.
        many: makes as many items as are asked for, all unlike and of like cost.
        side: of all of them.
        size: of the batch, by :func:`largest_size`; asked for once.
        batch_tokens: the budget of a batch.
    """
    import numpy as np

    most = size()
    if most == 1:
        return None, f"not applicable: one item fills a budget of {batch_tokens:,} tokens"
    items = many(most // 2 + 2)
    rows, vectors = _as_large_as_memory(calls, items, side, most)
    used = sorted(set(rows))
    order = np.random.default_rng(1).permutation(used).tolist()
    parts, sizes, start = [], [1, 2], 0
    while start < len(order):
        part = order[start : start + min(sizes[-2], len(rows) - 1)]
        parts.append(calls.vectors([items[row] for row in part], side))
        sizes.append(sizes[-2] + sizes[-1])
        start += len(part)
    smaller = dict(zip(order, np.concatenate(parts), strict=True))
    batch = [items[row] for row in rows]
    expected = np.stack([smaller[row] for row in rows])
    detail = compared(expected, {f"{len(rows)} items at once": vectors}, batch)
    short = f"; memory did not hold {most}" if len(rows) < most else ""
    return True, f"{len(rows)} items at once: {detail}{short}"


def costs(calls: Calls, items: Sequence[Item]) -> tuple[bool, str]:
    """What a ``cost`` says of items, and of their images alone, which a run orders batches by."""
    from numbers import Integral

    from evalkit.embedders.base import Costed

    embedder = calls.embedder
    if not isinstance(embedder, Costed):
        raise TypeError("the embedder gives no costs")
    found: list[int] = []
    for item in map(calls.known, items):
        asked = [item] if item.image is None else [item, Item(IMAGE_MARK, image=item.image)]
        for one in asked:
            cost: object = embedder.cost(one, calls.facts(one.image) if one.image is not None else None)
            if not isinstance(cost, Integral) or cost < 1:
                return False, f"cost {cost!r} is not at least 1, a whole number, at {named(one)}"
            found.append(int(cost))
    return True, f"{min(found)} to {max(found)}"


def _restored(parts: Sequence[NDArray[np.float32]], order: Sequence[int]) -> NDArray[np.float32]:
    import numpy as np

    together = np.concatenate(parts)
    restored = np.empty_like(together)
    restored[list(order)] = together
    return restored


def largest_size(calls: Calls, many: Callable[[int], list[Item]], batch_tokens: int, most: int = PLANNED) -> int:
    """How many of such items a run puts into one batch, by its own plan, which is the same for both sides.

    Args:
        calls: to the embedder.
        many: makes as many items as are asked for.
        batch_tokens: the budget of a batch.
        most: items in a batch, where they are dear.
    """
    from evalkit.encoding.batches import plan

    entries = [_entry(calls, item) for item in many(_SAMPLE)]
    entries = [replace(entries[number % _SAMPLE], key=number.to_bytes(4, "big")) for number in range(PLANNED)]
    return min(max(len(batch) for batch in plan(entries, batch_tokens)), most)


def _entry(calls: Calls, item: Item) -> Pending:
    """As :class:`evalkit.encoding.encode.Encoder` makes it, without a key."""
    from evalkit.encoding.batches import Pending, estimator

    item, estimate = calls.known(item), estimator(calls.embedder)
    if item.image is None:
        return Pending(b"", item, None, estimate(item, None))
    facts = calls.facts(item.image)
    cost = estimate(item, facts)
    return Pending(b"", item, facts, cost, cost)


def _as_large_as_memory(
    calls: Calls, items: Sequence[Item], side: Side, size: int
) -> tuple[list[int], NDArray[np.float32]]:
    """Rows of a batch, as numbers of items, and its vectors; half as many where memory runs out, as in a run."""
    from evalkit.encoding.memory import free_memory, out_of_memory

    while True:
        # The last row and every second one from the first are unlike all others, so that no two neighbours are alike.
        rows = [len(items) - 1 if row % 2 and row < size - 1 else (row + 1) // 2 for row in range(size)]
        if side == "candidate":  # not what the queries were: what is written into their array then shows
            rows.reverse()
        try:
            return rows, calls.vectors([items[row] for row in rows], side)
        except Exception as error:
            if size <= 2 or not out_of_memory(error):
                raise
        size //= 2
        free_memory()

"""Whether all that an item holds reaches its vector: text, image, crop, orientation, region.

Every test compares vectors of items that were embedded alone, so that equal inputs give equal numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.checking.calls import CHANGE, FILE, Calls, Fault, compared, moved, named
from evalkit.checking.composition import largest
from evalkit.checking.probes import Instructed, Pair, Regional, Twins
from evalkit.embedders.base import BATCH_TOLERANCE
from evalkit.encoding.spotcheck import cosine_distances
from evalkit.items import Item, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

MOST_REGIONS = 40  # in a batch: a region may cost as much as its image, and there are four kinds of them


def distinguished(pair: Pair, one: NDArray[np.float32], other: NDArray[np.float32], noise: float) -> tuple[bool, str]:
    """Whether the vectors of a pair differ by more than noise.

    Args:
        pair: what they are vectors of.
        one: shape ``(dimension,)``.
        other: likewise.
        noise: greatest difference of a component between two calls with the same item.
    """
    least, found = max(CHANGE, 2 * noise), moved(one, other)
    detail = f"components move by {found:.1e} with another {pair.what} (at least {least:.0e})"
    if found > least:
        return True, detail
    return False, f"{detail}: the {pair.what} is not seen, or not kept apart, at {named(pair.one)}"


def with_instruction(calls: Calls, given: Instructed, side: Side) -> tuple[bool, str]:
    """Items with an instruction are embedded, alone as in a batch, and their text and image still count."""
    import numpy as np

    together = calls.vectors(given.items, side)
    rows = [calls.vectors([item], side)[0] for item in given.items]
    vectors = dict(zip(given.items, rows, strict=True))
    noise = moved(rows[0], calls.vectors(given.items[:1], side)[0])
    told = []
    for pair in given.pairs:
        passed, detail = distinguished(pair, vectors[pair.one], vectors[pair.other], noise)
        if not passed:
            return False, detail
        told.append(detail)
    compared(together, {"alone": np.stack(rows)}, given.items)
    if given.whole is not None and given.words is not None:
        one, verbatim, another = (vectors[item] for item in given.whole)
        bare, first, second = (calls.vectors([item], side)[0] for item in given.words)
        least = max(CHANGE, 2 * noise)
        known = min(moved(bare, first), moved(first, second)) > least
        if known and moved(one, verbatim) <= least and moved(one, another) <= least:
            return False, (
                f"another instruction does not move the vector, although {named(given.whole[0])} has that of its "
                "prompt: it is kept by the text alone, or the instruction that comes first is taken for all"
            )
    if given.files is not None:
        one, another, alike, again = (calls.vectors([item], side)[0] for item in given.files)
        least = max(CHANGE, 2 * noise)
        if moved(one, again) <= least < moved(another, alike):
            return False, (
                f"{named(given.files[1])}, after another instruction: another vector than that of a file with the same "
                "pixels, although with the first instruction both have one: it is kept by the image alone"
            )
    return True, "; ".join(told)


def same_file(calls: Calls, twins: Twins, side: Side) -> tuple[bool | None, str]:
    """Items of one file are told apart if those with the same pixels in files of their own are."""
    one, other = (calls.vectors([item], side)[0] for item in twins.items)
    left, right = (calls.vectors([item], side)[0] for item in twins.alone)
    again = moved(left, calls.vectors([twins.alone[0]], side)[0])
    together = calls.vectors([*reversed(twins.items), *twins.alone], side)
    least, expected = max(CHANGE, 2 * again), moved(left, right)
    if expected <= least:
        return None, "not applicable: not told apart in files of their own either, the embedder does not see it"
    for way, found in (("alone", moved(one, other)), ("in one batch", moved(together[0], together[1]))):
        if found <= least:
            raise Fault(
                FILE,
                f"{twins.what} have one vector {way}, but the same pixels in files of their own differ by "
                f"{expected:.1e}: something is kept by the file or its name (image.identity() tells them apart), or "
                "pixels are read past image.rgb()",
            )
    return True, f"components move by {moved(one, other):.1e}, by {expected:.1e} in files of their own"


def copied_file(calls: Calls, items: tuple[Item, Item], side: Side) -> tuple[bool, str]:
    """A file has the vector of its bytes, wherever it lies: a run embeds only one of two that are equal."""
    first, second = (calls.vectors([item], side) for item in items)
    distance = float(cosine_distances(first, second)[0])
    detail = f"1 - cosine {distance:.1e} (allowed {BATCH_TOLERANCE:g})"
    return (
        distance <= BATCH_TOLERANCE,
        detail if distance <= BATCH_TOLERANCE else f"{detail}: the path is in the vector",
    )


def region(calls: Calls, given: Regional, side: Side, size: Callable[[], int], batch_tokens: int) -> tuple[bool, str]:
    """A region moves the vector, another one moves it otherwise, image and text beside it still count.

    All that alone as in a batch, beside an instruction as without one.

    Args:
        calls: to the embedder.
        given: items with regions of one kind.
        side: of all of them.
        size: of the largest batch, as :func:`evalkit.checking.composition.largest` asks for it.
        batch_tokens: the budget of a batch.
    """
    import numpy as np

    rows = [calls.vectors([item], side)[0] for item in given.items]
    again = moved(rows[0], calls.vectors(given.items[:1], side)[0])
    least, seen, other = max(CHANGE, 2 * again), moved(rows[0], rows[1]), moved(rows[1], rows[2])
    detail = f"components move by {seen:.1e} with a region, by {other:.1e} with another one (at least {least:.0e})"
    if min(seen, other) <= least:
        return False, detail
    known = dict(zip(given.items, rows, strict=True))
    for pair in given.pairs:
        another = known[pair.other] if pair.other in known else calls.vectors([pair.other], side)[0]
        passed, said = distinguished(pair, known[pair.one], another, again)
        if not passed:
            beside = "an instruction" if pair.what == "region" else "a region"
            return False, f"beside {beside}, {said}"
    together = calls.vectors(given.items, side)
    compared(np.stack(rows), {"together in one batch": together}, given.items)
    largest(calls, given.many, side, size, batch_tokens)
    return True, detail


def self_retrieval(queries: NDArray[np.float32], candidates: NDArray[np.float32], least: float) -> tuple[bool, str]:
    """Precision@1 of every item as a query for itself among all items as candidates, with expected ties."""
    import numpy as np

    scores = queries.astype(np.float64) @ candidates.astype(np.float64).T
    own = np.diagonal(scores)[:, None]
    # Equal vectors may score differently in the last bits, by their place in the product.
    ties = np.abs(scores - own) <= 1e-9
    missed = ((scores > own) & ~ties).any(axis=1)
    hits = np.where(missed, 0.0, 1 / np.maximum(ties.sum(axis=1), 1))
    precision, chance = float(hits.mean()), 1 / len(scores)
    detail = f"P@1 {precision:.3f} of {len(scores)} items as their own queries; chance is {chance:.3f}"
    return precision >= least, f"{detail}, at least {least} is asked for"

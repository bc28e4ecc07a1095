"""Calling an embedder as a run does, watching what it does to its arguments, and comparing what it returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.embedders.base import BATCH_TOLERANCE, Embedder, EmbedderInfo
from evalkit.encoding.spotcheck import cosine_distances
from evalkit.errors import EmbedderError
from evalkit.items import Item, Mask, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from evalkit.items.images import ImageFacts, ImageFile

REPEAT_TOLERANCE = 1e-6
"""Greatest 1 - cosine between two equal calls: nothing but the order of sums may differ."""
CHANGE = 1e-6
"""Least difference of a component that counts as something having been seen."""

SIDES: tuple[Side, Side] = ("query", "candidate")
ITEMS_ALONE, RESULTS_ALONE = "items left alone", "results left alone"
BATCH, CALL, FILE = "batch", "call", "file"
"""What a vector fails with that depends on its batch, on the call, or on the file alone, wherever it shows."""
SHAPE, FINITE, LENGTH = "shape", "finite", "unit length"
"""What a run refuses a vector for."""
SHARED = (BATCH, CALL, FILE, SHAPE, FINITE, LENGTH)
_WATCHED = 4  # results of how many calls must stay as they are
_LARGE = 32  # rows of a result that is watched for good: few are as large, and some arrays are used for such alone

Vectors = dict[Side, "NDArray[np.float32]"]


class Fault(Exception):  # noqa: N818 - the embedder's, not evalkit's
    """What an embedder did wrong in one call.

    Attributes:
        label: the check that it concerns: one of :data:`SHARED`, what is left alone, or what was raised.
        detail: what was found.
    """

    def __init__(self, label: str, detail: str) -> None:
        super().__init__(detail)
        self.label = label
        self.detail = detail


@dataclass(frozen=True)
class _Result:
    returned: NDArray[Any]
    copied: NDArray[Any]


class Calls:
    """One embedder, called with what a run would give it.

    Digests are known and pixels decoded, once for all items of one image; each call gets objects of its own, so
    what an embedder keeps by an object's identity is found out.

    Attributes:
        info: what the embedder says of itself.
        dtype: of what it returned last, before it became float32.
        count: calls so far.
    """

    def __init__(self, embedder: Embedder, info: EmbedderInfo) -> None:
        from evalkit.embedders.registry import LoadedEmbedder

        self.info = info
        self.dtype = "float32"
        self.count = 0
        self._loaded = LoadedEmbedder(embedder, info, fingerprint="", family="")
        self._facts: dict[ImageFile, ImageFacts] = {}
        self._pixels: dict[ImageFile, Image] = {}
        self._results: deque[_Result] = deque(maxlen=_WATCHED)
        self._large: list[_Result] = []

    @property
    def embedder(self) -> Embedder:
        """The embedder."""
        return self._loaded.embedder

    def vectors(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Encode one batch; what a run accepts is accepted.

        Returns:
            float32, shape ``(len(items), dimension)``, a copy.

        Raises:
            Fault: the result is none, or the embedder changed its arguments or an earlier result.
            Exception: whatever the embedder raises.
        """
        import numpy as np

        from evalkit.encoding.contract import checked

        given = self._given(items)
        handed = list(given)
        self.count += 1
        raw: Any = self.embedder.encode(handed, side)
        self._look_at_items(handed, given, items)
        self._look_at_results()
        try:
            vectors = checked(raw, given, side, self._loaded)
        except EmbedderError as error:
            raise Fault(_label(raw, (len(items), self.info.dimension)), str(error)) from error
        self.dtype = str(raw.dtype)
        (self._large if len(items) >= _LARGE else self._results).append(_Result(raw, raw.copy()))
        return np.array(vectors)

    def known(self, item: Item) -> Item:
        """The item with its images' digests, as a new object."""
        image, region = item.image, item.region
        if image is not None:
            image = replace(image, digest=self.facts(image).digest)
        if isinstance(region, Mask):
            region = Mask(replace(region.image, digest=self.facts(region.image).digest))
        return replace(item, image=image, region=region)

    def facts(self, image: ImageFile) -> ImageFacts:
        """Digest and size of an image, read once."""
        if image not in self._facts:
            self._facts[image] = image.facts()
        return self._facts[image]

    def _given(self, items: Sequence[Item]) -> list[Item]:
        given, pixels = [], dict[Any, "Image"]()
        for item in map(self.known, items):
            if item.image is not None:
                picture = item.image.identity()
                if picture not in pixels:
                    pixels[picture] = self._decoded(item.image).copy()
                item = replace(item, image=replace(item.image, pixels=pixels[picture]))
            given.append(item)
        return given

    def _decoded(self, image: ImageFile) -> Image:
        if image not in self._pixels:
            self._pixels[image] = image.rgb()
        return self._pixels[image]

    def _look_at_items(self, handed: list[Item], given: list[Item], items: Sequence[Item]) -> None:
        if len(handed) != len(given) or any(one is not other for one, other in zip(handed, given, strict=True)):
            raise Fault(
                ITEMS_ALONE, f"encode changed the list of {len(given)} items that it was given: make a list of your own"
            )
        looked: set[int] = set()
        for item, was in zip(given, items, strict=True):
            if item != was:
                raise Fault(
                    ITEMS_ALONE, f"encode changed an item that it was given, {named(was)}: make one of your own"
                )
            if item.image is None or item.image.pixels is None or id(item.image.pixels) in looked:
                continue
            looked.add(id(item.image.pixels))
            before = self._decoded(item.image)
            if item.image.pixels.size != before.size or item.image.pixels.tobytes() != before.tobytes():
                raise Fault(
                    ITEMS_ALONE,
                    f"encode changed the pixels of an image that other items may share ({named(was)}): "
                    "work on image.rgb().copy()",
                )

    def _look_at_results(self) -> None:
        import numpy as np

        for result in (*self._results, *self._large):
            if not np.array_equal(result.returned, result.copied, equal_nan=True):
                self._results.clear()
                self._large.clear()
                raise Fault(
                    RESULTS_ALONE,
                    "a later call wrote into the array that an earlier one had returned: return a new one each time",
                )


def _label(raw: Any, shape: tuple[int, int]) -> str:
    """Which check an array that a run refuses belongs to."""
    import numpy as np

    from evalkit.encoding.contract import is_array

    if not is_array(raw) or raw.dtype.kind != "f" or raw.shape != shape:
        return SHAPE
    with np.errstate(over="ignore"):
        return LENGTH if np.isfinite(raw.astype(np.float32)).all() else FINITE


def own_words(embedder: Embedder) -> list[str]:
    """What is wrong with what an embedder says of how it computes, which a run asks for once it has embedded."""
    faults = []
    for name in ("computing", "images_encoded"):
        if not hasattr(type(embedder), name) and name not in getattr(embedder, "__dict__", {}):
            continue
        try:
            said: Any = getattr(embedder, name)
            if name == "images_encoded":
                int(said)
            elif not isinstance(said, Mapping) or not all(isinstance(key, str) for key in said):
                faults.append(f"computing is {said!r}, not a mapping of text by name")
        except (TypeError, ValueError):
            faults.append(f"{name} is {said!r}, not a whole number")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the embedder's, as in a call
            faults.append(f"{name} raises {type(error).__name__}: {error}")
    return faults


def on_both_sides(test: Callable[[Side], tuple[bool | None, str]]) -> tuple[bool | None, str]:
    """A test of each side as one: what both say is said once, and what is wrong is all that is said.

    Raises:
        Fault: as the test does; of what the embedder raises, with the side. One of :data:`SHARED` waits for the
            other side.
    """
    found: dict[Side, tuple[bool | None, str]] = {}
    label = ""
    for side in SIDES:
        try:
            found[side] = test(side)
        except Fault as fault:
            if fault.label not in SHARED:
                raise
            found[side], label = (False, fault.detail), fault.label
        except (Exception, SystemExit) as error:
            raise Fault(f"raises {type(error).__name__}", f"{type(error).__name__}: {error} ({side})") from error
    outcomes = [passed for passed, _ in found.values()]
    outcome = False if False in outcomes else True if True in outcomes else None
    told = {side: detail for side, (passed, detail) in found.items() if passed is outcome}
    names = {"query": "queries", "candidate": "candidates"}
    said = "; ".join(f"{names[side]}: {detail}" for side, detail in told.items())
    if len(told) == len(SIDES) and len(set(told.values())) == 1:
        said = told["query"]
    if label:
        raise Fault(label, said)
    return outcome, said


def moved(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Greatest difference of a component."""
    import numpy as np

    return float(np.abs(first.astype(np.float64) - second).max())


def compared(
    first: NDArray[np.float32],
    ways: dict[str, NDArray[np.float32]],
    items: Sequence[Item],
    allowed: float = BATCH_TOLERANCE,
    label: str = BATCH,
) -> str:
    """How far other vectors of the same items are.

    Args:
        first: shape ``(len(items), dimension)``.
        ways: other vectors of the same items, by how they came about.
        items: what they are vectors of.
        allowed: greatest 1 - cosine.
        label: of the fault.

    Raises:
        Fault: too far; says where, and why as far as it shows.
    """
    import numpy as np

    distances = {way: cosine_distances(first, vectors) for way, vectors in ways.items()}
    way = max(distances, key=lambda way: float(distances[way].max()))
    worst = int(np.argmax(distances[way]))
    furthest = float(distances[way][worst])
    most = max(moved(first, vectors) for vectors in ways.values())
    if furthest <= allowed:
        return f"1 - cosine at most {furthest:.1e} (allowed {allowed:g}), components at most {most:.1e}"
    wrong = np.flatnonzero(distances[way] > allowed)
    detail = (
        f"{way}: {len(wrong)} of {len(items)} vectors are others, 1 - cosine up to {furthest:.1e} "
        f"(allowed {allowed:g}), at {named(items[worst])}"
    )
    # What one call makes in order, and the same one again does not, has another cause.
    raise Fault(label, detail + (_why(first, ways[way], wrong, allowed) if label == BATCH else ""))


def _why(first: NDArray[np.float32], second: NDArray[np.float32], wrong: NDArray[np.int64], allowed: float) -> str:
    """The likely reason, where it shows: each wrong row is another item's, and none is gone."""
    import numpy as np

    if len(wrong) < 2:
        return ""
    nearest = (second[wrong].astype(np.float64) @ first.astype(np.float64).T).argmax(axis=1)
    exchanged = cosine_distances(first[nearest], second[wrong]) <= allowed
    # Where something is forgotten or kept under too little, several items get one vector; an order has all of them.
    if not exchanged.all() or _unlike(second, allowed) < _unlike(first, allowed):
        return ""
    return "; they are the vectors of other items of the batch: the order is lost"


def _unlike(vectors: NDArray[np.float32], allowed: float) -> int:
    """How many of them are unlike all that come before them."""
    import numpy as np

    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    return int((np.tril(cosines >= 1 - allowed, -1).sum(axis=1) == 0).sum())


def named(item: Item) -> str:
    """An item in a few words."""
    text = item.text if len(item.text) <= 40 else item.text[:40] + "…"
    parts = [f"text {text!r}"]
    if item.instruction:
        parts.append(f"instruction {item.instruction!r}")
    if item.image is not None:
        parts.append(f"image {item.image.path}")
    return ", ".join(parts)

"""Does an embedder keep its contract? The checks behind ``evalkit check MODEL``.

The contract is that of :mod:`evalkit.embedders.base`; what these checks add is that a vector belongs to its
item alone: not to its neighbours in the batch, not to the batch's size or order, not to the call. They take
some dozens of items of every modality that the embedder declares, made on the spot, so no data is needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.embedders.base import Costed, Embedder, EmbedderInfo
from evalkit.errors import EmbedderError
from evalkit.images import ImageFile
from evalkit.items import IMAGE_MARK, Box, Item, Mask, Point, Points, Region, Side

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODALITIES = ("text", "image", "image+text")
REGIONS = ("box", "point", "points", "mask")

UNIT_TOLERANCE = 1e-3
"""By how much a vector's length may differ from 1."""
BATCH_TOLERANCE = 1e-3
"""Greatest 1 - cosine between a vector alone and in a batch; bfloat16 models stay some times below it."""
REPEAT_TOLERANCE = 1e-6
"""Greatest 1 - cosine between two equal calls: nothing but the order of sums may differ."""
REGION_CHANGE = 1e-6
"""Least difference of a component that counts as a region having been seen."""
SELF_RETRIEVAL = 0.5
"""Least Precision@1 of items that look for themselves; chance is 1 in 20 with all modalities."""

_NOUNS = ("cat", "dog", "tree", "river", "bridge", "tower", "lamp", "chair", "bread", "apple", "cloud", "train")
_TEXTS = (
    "a photo of a cat",
    "two dogs on a red sofa, seen from above",
    "What is written on the sign?",
    "Ein Zug fährt über die Brücke.",
    "三个苹果",
    "42",
    "",  # blank candidates occur in OK-VQA
    # Far beyond CLIP's 77 tokens.
    " ".join(f"{first} and {second}" for first in _NOUNS for second in _NOUNS),
)
_SIZES = ((224, 224), (96, 64), (64, 640), (640, 48), (333, 500), (40, 40))  # width, height


_SIDES: tuple[Side, Side] = ("query", "candidate")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was checked, ``MODALITY: CHECK`` or ``region: KIND``.
        passed: the outcome; ``None`` where the check does not apply to this embedder.
        detail: what was found, with numbers.
    """

    name: str
    passed: bool | None
    detail: str


def check(embedder: Embedder) -> list[Finding]:
    """Run all checks.

    What the embedder raises becomes a failed finding; nothing it raises leaves this function.

    Args:
        embedder: anything with ``info`` and ``encode``.

    Returns:
        One finding a check, in a fixed order. The embedder keeps its contract if none has ``passed`` false.
    """
    import numpy as np

    said: list[EmbedderInfo] = []
    findings = [_tried("info", lambda: _info(embedder, said))]
    if not findings[0].passed:
        return findings
    info = said[0]
    # Vectors that are not finite are a finding, not a warning.
    with tempfile.TemporaryDirectory(prefix="evalkit-check-") as folder, np.errstate(all="ignore"):
        items = _items(Path(folder))
        for modality in MODALITIES:
            findings += _modality(embedder, info, modality, items[modality])
        findings += _regions(embedder, info, Path(folder))
        declared = [items[modality] for modality in MODALITIES if modality in info.modalities]
        findings.append(_tried("self-retrieval", lambda: _self_retrieval(embedder, info, declared)))
        findings.append(_cost(embedder, declared))
    return findings


def _tried(name: str, test: Callable[[], tuple[bool, str]]) -> Finding:
    try:
        return Finding(name, *test())
    # An embedder is other people's code and may raise anything: that it does is what the check found.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Finding(name, False, f"{type(error).__name__}: {error}")


def _info(embedder: Embedder, said: list[EmbedderInfo]) -> tuple[bool, str]:
    """``said`` gets what the embedder says of itself, so that it is asked once."""
    info = embedder.info
    said.append(info)
    faults = []
    if not info.name:
        faults.append("it has no name")
    if not isinstance(info.dimension, int) or info.dimension < 1:
        faults.append(f"dimension is {info.dimension!r}, not a positive whole number")
    unknown = sorted((set(info.modalities) - set(MODALITIES)) | (set(info.regions) - set(REGIONS)))
    if unknown:
        faults.append(f"{', '.join(map(repr, unknown))} is no modality or region that evalkit knows")
    if not info.modalities:
        faults.append("it declares no modality")
    if info.regions and not set(info.modalities) & {"image", "image+text"}:
        faults.append("it declares regions but takes no images")
    takes = ", ".join(name for name in MODALITIES if name in info.modalities)
    return not faults, "; ".join(faults) or f"{info.name}, dimension {info.dimension}, takes {takes}"


def _modality(embedder: Embedder, info: EmbedderInfo, modality: str, items: list[Item]) -> Iterator[Finding]:
    # What all checks start from: all items in one batch, in order. What it raises is raised again each time.
    first = cache(lambda: _vectors(embedder, info, items))
    checks = {
        "shape": lambda: _shape(embedder, info, items, first()),
        "finite": lambda: _finite(items, first()),
        "unit length": lambda: _unit_length(items, first()),
        "same call twice": lambda: _repeat(embedder, info, items, first()),
        "alone and in batches": lambda: _batches(embedder, info, items, first()),
    }
    for name, test in checks.items():
        if modality in info.modalities:
            yield _tried(f"{modality}: {name}", test)
        else:
            yield Finding(f"{modality}: {name}", None, f"not applicable: the embedder does not take {modality}")


def _shape(embedder: Embedder, info: EmbedderInfo, items: list[Item], first: NDArray[np.float32]) -> tuple[bool, str]:
    alone = _vectors(embedder, info, items[:1], "candidate")
    return True, f"{first.shape} for queries, {alone.shape} for one candidate, float32"


def _finite(items: list[Item], first: NDArray[np.float32]) -> tuple[bool, str]:
    import numpy as np

    wrong = np.flatnonzero(~np.isfinite(first).all(axis=1))
    if len(wrong):
        return False, f"{len(wrong)} of {len(items)} vectors are not, such as that of {_named(items[wrong[0]])}"
    return True, f"all {len(items)} vectors"


def _unit_length(items: list[Item], first: NDArray[np.float32]) -> tuple[bool, str]:
    import numpy as np

    off = np.abs(np.linalg.norm(first.astype(np.float64), axis=1) - 1)
    worst = int(np.argmax(off))
    passed = bool(off[worst] <= UNIT_TOLERANCE)
    detail = f"lengths differ from 1 by at most {off[worst]:.1e} (allowed {UNIT_TOLERANCE:g})"
    return passed, detail if passed else f"{detail}, at {_named(items[worst])}"


def _repeat(embedder: Embedder, info: EmbedderInfo, items: list[Item], first: NDArray[np.float32]) -> tuple[bool, str]:
    second = _vectors(embedder, info, items)
    if (first == second).all():
        return True, "equal bit for bit"
    return _compared(first, second, items, REPEAT_TOLERANCE)


def _batches(embedder: Embedder, info: EmbedderInfo, items: list[Item], first: NDArray[np.float32]) -> tuple[bool, str]:
    """All at once in order is compared with each alone, and with batches of 2, 3 and all in other orders."""
    import numpy as np

    again = [np.concatenate([_vectors(embedder, info, [item]) for item in items])]
    random = np.random.default_rng(0)
    for size in (2, 3, len(items)):
        order = random.permutation(len(items)).tolist()
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        shuffled = [_vectors(embedder, info, [items[row] for row in part]) for part in parts]
        restored = np.empty_like(first)
        restored[order] = np.concatenate(shuffled)
        again.append(restored)
    return _compared(np.tile(first, (len(again), 1)), np.concatenate(again), items, BATCH_TOLERANCE)


def _compared(
    first: NDArray[np.float32], second: NDArray[np.float32], items: list[Item], allowed: float
) -> tuple[bool, str]:
    """Compare vectors of the same items, row by row; ``items`` may be repeated in them."""
    import numpy as np

    apart = 1 - _cosines(first, second)
    worst = int(np.argmax(apart))
    difference = float(np.abs(first.astype(np.float64) - second).max())
    passed = bool(apart[worst] <= allowed)
    detail = f"1 - cosine at most {max(apart[worst], 0):.1e} (allowed {allowed:g}), components at most {difference:.1e}"
    return passed, detail if passed else f"{detail}, at {_named(items[worst % len(items)])}"


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    import numpy as np

    one, other = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: NDArray[np.float64] = (one * other).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)
    # No cosine is as bad as any: a zero vector or one that is not finite must not pass.
    return np.nan_to_num(cosines, nan=-1.0)


def _regions(embedder: Embedder, info: EmbedderInfo, folder: Path) -> Iterator[Finding]:
    """Prompt and image stay the same, so only the region can move the vector."""
    modality = "image+text" if "image+text" in info.modalities else "image"
    for kind, regions in _region_pairs(folder).items():
        name = f"region: {kind}"
        if kind not in info.regions:
            yield Finding(name, None, f"not applicable: the embedder does not take a {kind} as input")
            continue
        image = ImageFile(folder, "region.png", upright=False)
        text = "the object" if modality == "image+text" else ""
        items = [_item(text, image, region) for region in (None, *regions)]
        yield _tried(name, lambda items=items: _seen(embedder, info, items))  # type: ignore[misc]


def _seen(embedder: Embedder, info: EmbedderInfo, items: list[Item]) -> tuple[bool, str]:
    """``items``: without a region, with one, with another; one by one, so that batches play no part."""
    import numpy as np

    without, again, one, other = (_vectors(embedder, info, [item])[0].astype(np.float64) for item in (items[0], *items))
    pairs = ((without, again), (without, one), (one, other))
    noise, seen, told_apart = (float(np.abs(left - right).max()) for left, right in pairs)
    least = max(REGION_CHANGE, 2 * noise)
    detail = f"components move by {seen:.1e} with a region, by {told_apart:.1e} with another one"
    return min(seen, told_apart) > least, f"{detail} (at least {least:.0e})"


def _self_retrieval(embedder: Embedder, info: EmbedderInfo, groups: Sequence[list[Item]]) -> tuple[bool, str]:
    """Precision@1 of every item as a query for itself among all items as candidates, with expected ties."""
    import numpy as np

    queries, candidates = (
        np.concatenate([_vectors(embedder, info, items, side) for items in groups]).astype(np.float64)
        for side in _SIDES
    )
    scores = queries @ candidates.T
    own = np.diagonal(scores)[:, None]
    # Equal vectors may score differently in the last bits, by their place in the product.
    ties = np.abs(scores - own) <= 1e-9
    missed = ((scores > own) & ~ties).any(axis=1) | ~np.isfinite(own[:, 0])
    hits = np.where(missed, 0.0, 1 / np.maximum(ties.sum(axis=1), 1))
    precision, chance = float(hits.mean()), 1 / len(scores)
    detail = f"P@1 {precision:.3f} of {len(scores)} items as their own queries; chance is {chance:.3f}"
    return precision >= SELF_RETRIEVAL, f"{detail}, at least {SELF_RETRIEVAL} is asked for"


def _cost(embedder: Embedder, groups: Iterable[list[Item]]) -> Finding:
    if not isinstance(embedder, Costed):
        return Finding("cost", None, "not applicable: the embedder gives no costs, defaults are used")
    costed: Costed = embedder

    def test() -> tuple[bool, str]:
        items = [item for group in groups for item in group]
        costs = [costed.cost(item, item.image.facts() if item.image is not None else None) for item in items]
        wrong = [cost for cost in costs if not isinstance(cost, int) or cost < 1]
        return not wrong, f"cost {wrong[0]!r} is not at least 1" if wrong else f"{min(costs)} to {max(costs)}"

    return _tried("cost", test)


def _vectors(
    embedder: Embedder, info: EmbedderInfo, items: Sequence[Item], side: Side = "query"
) -> NDArray[np.float32]:
    """Encode one batch.

    Raises:
        EmbedderError: the result is no float32 array of shape ``(len(items), dimension)``.
    """
    import numpy as np

    vectors = embedder.encode(items, side)
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        dtype = f" of {vectors.dtype}" if hasattr(vectors, "dtype") else ""
        raise EmbedderError(f"encode returned a {type(vectors).__name__}{dtype}, not a numpy array of float32")
    if vectors.shape != (len(items), info.dimension):
        raise EmbedderError(
            f"encode returned shape {vectors.shape} for {len(items)} items of dimension {info.dimension}"
        )
    # A copy, so that an embedder which hands out its buffer again is found out.
    return vectors.copy()


def _items(folder: Path) -> dict[str, list[Item]]:
    """Items by modality. No call of ``encode`` gets items of two of these lists."""
    images = [
        _image(folder, f"{width}x{height}.png", (width, height), seed) for seed, (width, height) in enumerate(_SIZES)
    ]
    captions = (*_TEXTS[: len(images) - 1], _TEXTS[-1])
    return {
        "text": [_item(text) for text in _TEXTS],
        "image": [_item("", image) for image in images],
        "image+text": [_item(text, image) for text, image in zip(captions, images, strict=True)],
    }


def _item(text: str, image: ImageFile | None = None, region: Region | None = None) -> Item:
    prompt = f"{IMAGE_MARK}\n{text}" if image is not None else text
    return Item(prompt, text=text, image=image, region=region)


def _image(folder: Path, name: str, size: tuple[int, int], seed: int) -> ImageFile:
    """A picture of coarse random patches: unlike any other, and unlike itself elsewhere."""
    import numpy as np
    import PIL.Image

    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    PIL.Image.fromarray(patches).resize(size, PIL.Image.Resampling.BICUBIC).save(folder / name)
    return ImageFile(folder, name)


def _region_pairs(folder: Path) -> dict[str, tuple[Region, Region]]:
    """Two regions of each kind, at opposite corners of ``region.png``."""
    import PIL.Image

    _image(folder, "region.png", (256, 192), seed=100)
    masks = []
    for name, corners in (("mask-a.png", (16, 16, 96, 96)), ("mask-b.png", (144, 80, 240, 176))):
        mask = PIL.Image.new("L", (256, 192))
        mask.paste(255, corners)
        mask.save(folder / name)
        masks.append(Mask(ImageFile(folder, name, upright=False)))
    return {
        "box": (Box(16, 16, 96, 96), Box(144, 80, 240, 176)),
        "point": (Point(40, 40), Point(200, 128)),
        "points": (
            Points((Point(40, 40), Point(72, 64))),
            Points((Point(200, 128), Point(168, 152)), negative=(Point(40, 40),)),
        ),
        "mask": (masks[0], masks[1]),
    }


def _named(item: Item) -> str:
    text = item.text if len(item.text) <= 40 else item.text[:40] + "…"
    return f"text {text!r}" + (f", image {item.image.path}" if item.image is not None else "")

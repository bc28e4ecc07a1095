"""One line that pins a number: what would have to be equal for another number to mean the same.

Digests go over content, not files: layouts v1 and v2 of the same rows give the same signature, and so do
the same rows in another order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from evalkit.items import Item, Mask
from evalkit.items.images import ImageFile
from evalkit.scoring.ranking import distinct
from evalkit.version import __version__

if TYPE_CHECKING:
    from evalkit.embedders.registry import LoadedEmbedder
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.runs.manifest import Settings
    from evalkit.suites.task import Task

METRIC = "p@1,ties=expected,copies=merged"


def signature(
    task: Task, given: Task, images: ImageIndex, loaded: LoadedEmbedder, prompting: str | None, settings: Settings
) -> str:
    """The signature of a number.

    Args:
        task: as its rows have it. The data and the pools are the same however regions reach a model, so that
            two models can be compared of which one takes regions and the other does not.
        given: as the embedder got it; the prompts are of this one.
        images: facts of all images of the task.
        loaded: the embedder.
        prompting: how regions reached it.
        settings: the user's choices.
    """
    info = loaded.info
    pool_sizes = {len(pool) for pool in task.pools}
    size = str(pool_sizes.pop()) if len(pool_sizes) == 1 else f"{min(pool_sizes)}-{max(pool_sizes)}"
    parts = {
        "task": f"{task.card.name}@{task.card.version}",
        "n": str(len(task.queries)),
        "data": _data(task, images),
        "prompts": _digest(
            f"{side}\0{item.prompt}\0{item.text}\0{item.instruction}"
            for side, items in (("query", given.queries), ("candidate", given.candidates))
            for item in items
        ),
        "pool": f"{task.card.pool}-{size}-{_pools(task, images)}",
        "metric": METRIC,
        "embedder": info.name + (f"@{info.revision}" if info.revision else ""),
        "fingerprint": loaded.fingerprint[:12],
        "options": _options(info.options),
        "prompting": prompting or "-",
        "exif": settings.exif,
        "dedup": "official" if settings.official_dedup else "content",
        "vectors": settings.vectors,
        **({"regions": "bad kept"} if prompting is not None and settings.bad_regions == "keep" else {}),
        "evalkit": __version__,
    }
    return "|".join(f"{key}:{value}" for key, value in parts.items())


def at_dimension(line: str, dimension: int | None) -> str:
    """The signature of the same number of vectors that were cut.

    Args:
        line: of whole vectors.
        dimension: that they were cut to; ``None``: they were not, and the line stays as it is.
    """
    if dimension is None:
        return line
    head, mark, version = line.rpartition("|evalkit:")
    return f"{head}|dimension:{dimension}{mark}{version}"


def parts(line: str) -> dict[str, str]:
    """The parts of a signature by their names, as :func:`signature` joins them."""
    found: dict[str, str] = {}
    for part in line.split("|"):
        name, mark, value = part.partition(":")
        if mark:
            found.setdefault(name, value)  # what a model's name may hold comes later and is no part
    return found


def _options(options: dict[str, str]) -> str:
    # Escaped as in a MODEL's ?key=value, so that the line's own marks stay its own.
    return ",".join(f"{quote(key)}={quote(value)}" for key, value in sorted(options.items())) or "-"


def _data(task: Task, images: ImageIndex) -> str:
    queries = (
        f"{id_}\0{_seen(item, images)}\0{label}"
        for id_, item, label in zip(task.ids, task.queries, task.labels, strict=True)
    )
    candidates = (f"{name}\0{_seen(item, images)}" for name, item in zip(task.names, task.candidates, strict=True))
    return _digest([*queries, *candidates])


def _pools(task: Task, images: ImageIndex) -> str:
    candidates = np.array(
        [
            int.from_bytes(hashlib.sha256(f"{name}\0{item.prompt}\0{_seen(item, images)}".encode()).digest()[:8])
            for name, item in zip(task.names, task.candidates, strict=True)
        ],
        dtype=np.uint64,
    )
    shared = {id(pool): pool for pool in task.pools}  # of all queries it is one array
    digests = {
        place: hashlib.sha256(np.sort(candidates[distinct(pool)]).astype("<u8").tobytes()).hexdigest()
        for place, pool in shared.items()
    }
    return _digest(id_ + digests[id(pool)] for id_, pool in zip(task.ids, task.pools, strict=True))


def _seen(item: Item, images: ImageIndex) -> str:
    image = "" if item.image is None else _bytes(item.image, images)
    if item.region is None:
        return image
    # A mask by what it holds, as an image, and not by where it lies.
    region = f"Mask({_bytes(item.region.image, images)})" if isinstance(item.region, Mask) else repr(item.region)
    return f"{image}\0{region}"


def _bytes(image: ImageFile, images: ImageIndex) -> str:
    digest = images.facts(image).digest
    return digest if image.crop is None else f"{digest} crop {image.crop}"


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()[:12]

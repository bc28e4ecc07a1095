"""The regions of a task or an item file, looked at before anything is embedded: the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evalkit.encoding.contract import describe
from evalkit.encoding.imageindex import ImageIndex
from evalkit.errors import RegionError
from evalkit.items import Item, Mask
from evalkit.items.regions import fault, kept, look_normalised

if TYPE_CHECKING:
    from evalkit.suites.task import Task

BadRegions = Literal["refuse", "keep"]
"""What becomes of an item whose region holds no pixel of its image, or lies outside of it."""


@dataclass(frozen=True)
class CheckedRegions:
    """Items whose regions lie on their images.

    Attributes:
        items: as they were given; those with a bad region have :func:`evalkit.items.regions.kept` in its place.
        warnings: what a reader of their number should know.
    """

    items: Sequence[Item]
    warnings: tuple[str, ...] = ()


def checked_regions(
    items: Sequence[Item], images: ImageIndex, bad: BadRegions, *, without_images: bool = False
) -> CheckedRegions:
    """Items with regions that lie on their images.

    Args:
        items: with regions and without.
        images: reads the size of the images that have regions.
        bad: what becomes of those whose region does not.
        without_images: pass over items whose image or mask cannot be read.

    Raises:
        RegionError: a region without a pixel of its image, with its item, where such are refused; a mask of another
            size in any case.
        ImageError: an image of a region that cannot be read, with its item.
    """
    regioned = [item for item in items if item.region is not None and item.image is not None]
    images.gather(regioned, unread_allowed=without_images)
    wrong: dict[Item, str] = {}
    for item in dict.fromkeys(regioned):
        if (said := _fault(item, images)) is not None:
            wrong[item] = said
    count = sum(item in wrong for item in regioned) if wrong else 0
    given = {item: item for item in wrong}
    for item, said in wrong.items():
        mended = item
        if item.image is not None and item.region is not None:
            mended = replace(item, region=kept(item.region, images.facts(item.image)))
        if bad == "refuse" or _fault(mended, images) is not None:
            ways = "" if isinstance(item.region, Mask) else ", or keep such regions with --bad-regions keep"
            number = f"; {count} of {len(regioned)} regions are bad" if count > 1 else ""
            raise RegionError(f"{said}; mend it or leave its row out{ways}{number} (item {describe(item)})", item)
        given[item] = mended
    warnings = []
    if wrong:
        warnings.append(
            f"{count} of {len(regioned)} regions hold no pixel of their image and were kept: without area as the "
            "pixel that they touch, outside as the whole image"
        )
    if look_normalised(item.region for item in regioned if item.region is not None):
        warnings.append(
            f"the coordinates of all {len(regioned)} regions lie between 0 and 1: they look normalised, but count as "
            "pixels of the stored image"
        )
    # A task may have a million candidates, and none of them a region.
    return CheckedRegions([given.get(item, item) for item in items] if given else items, tuple(warnings))


def with_checked_regions(task: Task, images: ImageIndex, bad: BadRegions, *, without_images: bool = False) -> Task:
    """A task as :func:`checked_regions` has its items, with its warnings.

    Raises:
        RegionError: as there.
        ImageError: as there.
    """
    items = [*task.queries, *task.candidates]
    checked = checked_regions(items, images, bad, without_images=without_images)
    if checked.items is items and not checked.warnings:
        return task
    return replace(
        task,
        queries=checked.items[: len(task.queries)],
        candidates=checked.items[len(task.queries) :],
        warnings=(*task.warnings, *checked.warnings),
    )


def _fault(item: Item, images: ImageIndex) -> str | None:
    if item.image is None or item.region is None or not all(map(images.knows, item.images)):
        return None
    mask = images.facts(item.region.image) if isinstance(item.region, Mask) else None
    return fault(item.region, images.facts(item.image), mask)

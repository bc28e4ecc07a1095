"""Not at all: neither the region nor the words that name it."""

from __future__ import annotations

from dataclasses import replace

from evalkit.items.images import ImageFile
from evalkit.items.item import Item
from evalkit.items.prompting.mode import Facts, Mode


def without_region(item: Item, facts: Facts = ImageFile.facts) -> Item:
    """Without the region and without the words that name it: how far the rest of the item gets a model."""
    named = item.region_text
    return replace(
        item, prompt=_without(item.prompt, named), text=_without(item.text, named), region=None, region_text=""
    )


def _without(text: str, named: str) -> str:
    """The text without its last run of these characters; without their line break, where it has no such run."""
    for run in filter(None, (named, named.strip())):
        before, found, after = text.rpartition(run)
        if found:
            return before + after
    return text


NONE = Mode("none", by="not at all", given=without_region, keeps_words=False)

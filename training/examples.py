"""Training examples: prompts and pictures as the evaluation makes them, on scenes of seeds that no test uses.

An example is a query and its candidates, the right one first. Queries of SCaR's kind are put into words by the
suite's own reader, from the same rows that the files hold, so the model is trained on the very prompts it is
asked with.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.items import Box
from evalkit.miniature.scenes import PLACES, Scene, ambiguous
from evalkit.miniature.words import caption, name

SCAR = (
    "<image> \nFind the caption that best describes the segmented object, considering both local details and global "
    "context in the given image.\nReferring object bbox: "
)


@dataclass(frozen=True)
class Side:
    """A query or a candidate.

    Attributes:
        text: the prompt, with ``<image>`` where there is an image.
        scene: what the image shows, or none.
        box: the region, in pixels, or none.
    """

    text: str
    scene: Scene | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Example:
    """A query and its candidates, the right one first."""

    query: Side
    candidates: tuple[Side, ...]


def regions(rng: random.Random, level: int = 3) -> list[Example]:
    """Examples of SCaR's kind on one scene: one for each of the four things that stand alike.

    Args:
        rng: where chance comes from.
        level: of the curriculum. 1: which thing; 2: and where the scene is; 3: and how it stands to another.
    """
    scene, reference, _ = ambiguous(rng)
    found = []
    for thing in scene.things[:4]:
        right = caption(scene, thing, reference)
        others = [name(other) for other in scene.things[:4] if other != thing]
        wrong = right.wrong_things(tuple(others))
        if level >= 2:
            wrong += right.wrong_places(tuple(rng.sample([place for place in PLACES if place != scene.place], 3)))
        if level >= 3:
            wrong += right.wrong_relations()
        box = Box(*thing.box)
        query = Side(f"{SCAR}{list(box.corners)}", scene, box)
        found.append(Example(query, tuple(Side(str(one)) for one in (right, *wrong))))
    return found


def texts(examples: Sequence[Example]) -> list[str]:
    """All texts of some examples, for a tokenizer."""
    return [side.text for example in examples for side in (example.query, *example.candidates)]

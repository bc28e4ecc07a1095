"""Items of the lengths that MMEB's have, with images of the shapes of photos."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from evalkit.items import Item, Side
from evalkit.items.images import ImageFile

# Width and height of photos in COCO, Visual Genome and ADE20K.
SHAPES = ((640, 480), (480, 640), (640, 427), (427, 640), (500, 375), (640, 480), (683, 512), (640, 426))
_WORDS = (
    "a an the of in on at with and to is are man woman people child dog cat horse bird street city building house "
    "table kitchen water river mountain field tree flower grass red blue green white black small large old young "
    "wooden standing sitting walking holding looking riding playing near behind under between next president minister "
    "government official spokesman economic parliament demonstration international yesterday according announcement "
    "football championship stadium player season photographer restaurant refrigerator motorcycle umbrella skateboard"
)
WORDS = _WORDS.split()


@dataclass(frozen=True)
class Kind:
    """Items of one side of a task.

    Attributes:
        what: they are.
        side: of them.
        prompt: around the words.
        words: of an item, least and most; drawn so that short ones are more.
        pictured: whether they have an image.
    """

    what: str
    side: Side
    prompt: str
    words: tuple[int, int]
    pictured: bool = False

    @property
    def instruction(self) -> str:
        """What the prompt says beside the words, for models that want it apart."""
        return self.prompt.removeprefix("<image>").replace("{}", "").strip()


KINDS = (
    Kind("class names", "candidate", "{}", (1, 4)),
    Kind("answers", "candidate", "{}", (1, 3)),
    Kind("captions", "candidate", "{}", (10, 40)),
    Kind("captions to images", "query", "Find me an everyday image that matches the given caption: {}\n", (10, 40)),
    Kind("news captions", "candidate", "{}", (10, 100)),
    Kind("images to classes", "query", "<image>\nRepresent the given image for classification\n", (0, 0), True),
    Kind(
        "images, questions",
        "query",
        "<image>\nRepresent the given image with the following question: {}\n",
        (4, 20),
        True,
    ),
    Kind(
        "images, news captions",
        "query",
        "<image>\nRepresent the given news image with the following caption for domain classification: {}\n",
        (10, 100),
        True,
    ),
)


def made_items(kind: Kind, count: int, folder: Path, seed: int) -> list[Item]:
    """Items of a kind, each with an image of its own that lies in ``folder``."""
    draw = random.Random(seed)
    low, high = kind.words
    items = []
    for number in range(count):
        length = min(high, max(low, round(draw.lognormvariate(np.log(max(1, low + high) / 3), 0.5))))
        text = " ".join(draw.choices(WORDS, k=length))
        image = ImageFile(folder, f"{seed}-{number}.jpg") if kind.pictured else None
        items.append(Item(kind.prompt.format(text), text, kind.instruction, image))
    return items


def write_images(folder: Path, count: int, seed: int) -> None:
    """The images of :func:`made_items`, of the shapes of photos."""
    noise = np.random.default_rng(seed)
    for number in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        coarse.resize(SHAPES[number % len(SHAPES)]).save(folder / f"{seed}-{number}.jpg", quality=90)

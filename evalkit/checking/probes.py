"""What the checks embed: items of every modality and form that data holds, made on the spot.

Their prompts are built as the suites build them (:mod:`evalkit.suites.mmeb`, :mod:`evalkit.suites.scar`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.items import IMAGE_MARK, Box, Item, Mask, Point, Points, Region
from evalkit.items.drawing import Blur
from evalkit.items.images import ImageFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODALITIES = ("text", "image", "image+text")
REGIONS = ("box", "point", "points", "mask")

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
_FIND, _NAME = "Find the picture that shows this:", "Name the thing in the picture:"
_CAPTION = "Find the caption that best describes it."
_RED, _BLUE = "a red cat on a chair", "a blue train, far away"
_HUES = {  # those of evalkit.example.palette, so that it can be checked, too
    "red": (214, 39, 40),
    "yellow": (250, 222, 45),
    "green": (44, 160, 70),
    "blue": (38, 92, 210),
}


@dataclass(frozen=True)
class Pair:
    """Two items that differ in one thing.

    Attributes:
        what: they differ in, such as ``image``.
        one: the first.
        other: the second.
    """

    what: str
    one: Item
    other: Item


@dataclass(frozen=True)
class Instructed:
    """Items with an instruction, as data has them.

    Attributes:
        items: all of them.
        pairs: those that differ in text or image alone: a vector that does not differ forgot it.
        whole: an item, the same words as text without an instruction, and the first with another instruction.
            A model that reads the prompt has one vector for the first two, and so another one for the third.
        words: a text, and the same with the words of either instruction before it: whether the model knows them.
        files: one picture in three files: the first with one instruction, then with another, the second with the
            latter, the third with the former. Who has one vector for the former has one for the latter.
    """

    items: list[Item]
    pairs: list[Pair]
    whole: tuple[Item, Item, Item] | None
    words: tuple[Item, Item, Item] | None
    files: tuple[Item, Item, Item, Item] | None = None


@dataclass(frozen=True)
class Twins:
    """Two items of one file, or of files of one name, and items with the same pixels in files of their own.

    Who tells the latter apart has to tell the former apart.
    """

    what: str
    items: tuple[Item, Item]
    alone: tuple[Item, Item]


@dataclass(frozen=True)
class Regional:
    """Items with regions of one kind.

    Attributes:
        items: without a region, with one, with another; prompt, text and image are the same. After them any more.
        pairs: items of one region that differ in image or text alone, and items with an instruction that differ in
            their region alone.
        many: makes as many as are asked for, on few images, every third with an instruction; as :func:`many`.
    """

    items: list[Item]
    pairs: list[Pair]
    many: Callable[[int], list[Item]]


def plain(folder: Path) -> dict[str, list[Item]]:
    """Items by modality, without instructions; the first 8, 6 and 6 are unlike each other in all."""
    images = [
        picture(folder, f"{width}x{height}.png", (width, height), seed) for seed, (width, height) in enumerate(_SIZES)
    ]
    captions = (*_TEXTS[: len(images) - 1], _TEXTS[-1])
    first, second = _alike(folder)
    return {
        "text": [item(text) for text in _TEXTS],
        "image": [*(item("", image) for image in images), item("", first), item("", second)],
        "image+text": [
            *(item(text, image) for text, image in zip(captions, images, strict=True)),
            *(item(text, image) for text, image in ((_RED, first), (_BLUE, first), (_RED, second))),
        ],
    }


UNLIKE = {"text": len(_TEXTS), "image": len(_SIZES), "image+text": len(_SIZES)}
"""How many items of :func:`plain` are unlike each other in all, from the first on."""


TWINS = ("two crops of one file", "two orientations of one file", "two files of one name", "two drawings on one file")


def pairs(items: dict[str, list[Item]], modality: str) -> list[Pair]:
    """Items of :func:`plain` that differ in one thing."""
    own = items[modality]
    if modality == "text":
        return [Pair("text", own[0], own[1])]
    if modality == "image":
        return [Pair("image", own[-2], own[-1])]
    return [Pair("image", own[-3], own[-1]), Pair("text", own[-3], own[-2])]


def instructed(folder: Path, modality: str) -> Instructed:
    """Items with an instruction: of text-to-image queries, of classification, of questions about an image."""
    if modality == "image":
        first, second = (Item(f"{IMAGE_MARK} {_FIND}\n", "", _FIND, image) for image in _alike(folder))
        another = Item(f"{IMAGE_MARK} {_NAME}\n", "", _NAME, first.image)
        files = [_packed(folder, f"packed-{level}.png", level) for level in (1, 6, 9)]
        kept = (
            _asked(_FIND, "", files[0]),
            _asked(_NAME, "", files[0]),
            _asked(_NAME, "", files[1]),
            _asked(_FIND, "", files[2]),
        )
        return Instructed([first, second, another], [Pair("image", first, second)], None, None, kept)

    # Texts that nothing has seen before: what is kept by its text is then kept under the first instruction.
    red, blue = (f"{text}, with a lamp" for text in (_RED, _BLUE))
    image, other = _alike(folder) if modality == "image+text" else (None, None)
    one, longer, another = _asked(_FIND, red, image), _asked(_FIND, blue, image), _asked(_NAME, red, image)
    verbatim = Item(one.prompt, f"{_FIND} {red}", "", image)  # of an instruction that the card does not know
    # The verbatim one before the other of its prompt: a reader of texts may keep them by their prompts.
    items, found = [verbatim, one, another, longer], [Pair("text", one, longer)]
    if image is None:
        # WebQA and EDIS have the mark in queries without an image.
        items.append(Item(f"{IMAGE_MARK} {_FIND} {_NOUNS[3]}\n", _NOUNS[3], _FIND))
    else:
        items.append(_asked(_FIND, red, other))
        found.append(Pair("image", one, items[-1]))
    words = (item(_BLUE, image), item(f"{_FIND} {_BLUE}", image), item(f"{_NAME} {_BLUE}", image))
    return Instructed(items, found, (one, verbatim, another), words)


def many(folder: Path, modality: str, count: int) -> list[Item]:
    """Items that cost little, all unlike, in no order of length; of two counts the smaller are the first ones.

    Two of three have an instruction, which is one of two, and two texts share an image: what a large batch takes
    from its first item, or keeps within itself under too little, is then another item's.
    """
    import numpy as np

    random = np.random.default_rng(7)
    found = []
    for number in range(count):
        words = [str(number), *random.choice(_NOUNS, 4)[: 1 + random.integers(4)]]
        text = "" if modality == "image" else " ".join(words)
        which = number // 2 if modality == "image+text" else number
        name = f"small/{which}.png"
        image = None
        if modality != "text":
            known = (folder / name).exists()
            image = ImageFile(folder, name) if known else picture(folder, name, (32, 32), 1000 + which)
        asked = (_FIND, _NAME, "")[number % 3]
        found.append(_asked(asked, text, image) if asked else item(text, image))
    return found


def twins(folder: Path, modality: str) -> list[Twins]:
    """One file at two crops, two orientations and with two drawings, and two files of one name in two folders."""
    text = "the colours" if modality == "image+text" else ""

    def items(*images: ImageFile) -> tuple[Item, Item]:
        one, other = (item(text, image) for image in images)
        return one, other

    def own(*images: ImageFile) -> tuple[Item, Item]:
        return items(*(_own_file(image) for image in images))

    file = f"twins-{modality.replace('+', '-')}.png"
    # Left and right, top and bottom are of other hues, so that counting colours is enough to tell crops apart.
    pixels = _halves(np_seed=len(modality))
    whole = _saved(folder, file, pixels, orientation=6)
    height, width = pixels.shape[:2]
    stored = ImageFile(folder, file, upright=False)
    halves = ((0, 0, width // 2, height), (width // 2, 0, width, height))
    crops = [replace(stored, crop=half) for half in halves]
    drawings = [replace(stored, drawing=Blur(100, half)) for half in halves]
    names = []
    for part, place in ((pixels[:, : width // 2], "a"), (pixels[:, width // 2 :], "b")):
        (folder / place).mkdir(exist_ok=True)
        names.append(_saved(folder / place, file, part))
    images = (crops, (whole, stored), names, drawings)
    return [Twins(what, items(*two), own(*two)) for what, two in zip(TWINS, images, strict=True)]


def copied(folder: Path, modality: str) -> tuple[Item, Item]:
    """Items of an image and of a copy of its file under another name: to a run they are one."""
    text = "the colours" if modality == "image+text" else ""
    image = _alike(folder)[0]
    (folder / "elsewhere").mkdir(exist_ok=True)
    copy = ImageFile(folder / "elsewhere", "copy.png")
    copy.location().write_bytes(image.read())
    return item(text, image), item(text, copy)


def regions(folder: Path, text: str) -> dict[str, Regional]:
    """Items with regions, by kind.

    Args:
        folder: for the images.
        text: of the items; blank where they are images alone. With one, boxes have items in the form of SCaR.
    """
    size = (256, 192)
    image = _blocks(folder, "region.png", size, seed=100, upright=False)
    another = _blocks(folder, "region-b.png", size, seed=103, upright=False)
    masks = [
        _mask(folder, name, size, corners)
        for name, corners in (("mask-a.png", (16, 16, 96, 96)), ("mask-b.png", (144, 80, 240, 176)))
    ]
    two: dict[str, tuple[Region, Region]] = {
        "box": (Box(16, 16, 96, 96), Box(144, 80, 240, 176)),
        "point": (Point(40, 40), Point(200, 128)),
        "points": (
            Points((Point(40, 40), Point(72, 64))),
            Points((Point(200, 128), Point(168, 152)), negative=(Point(40, 40),)),
        ),
        "mask": (masks[0], masks[1]),
    }
    found = {}
    for kind, both in two.items():
        items = [item(text, image, region) for region in (None, *both)]
        pairs = [Pair("image", items[1], item(text, another, both[0]))]
        if text:
            pairs.append(Pair("text", items[1], item(_RED, image, both[0])))
        if text and kind == "box":
            sentence = "Referring object bbox: [16, 16, 96, 96]"
            prompt = f"{IMAGE_MARK}\n{_CAPTION}\n{sentence}"
            instructed = Item(prompt, sentence, _CAPTION, image, both[0], region_text=f"\n{sentence}")
        else:
            instructed = replace(_asked(_CAPTION, text, image), region=both[0])
        # Of one sentence: only the region as an input of its own can tell them apart.
        other = replace(instructed, region=both[1])
        items += [instructed, other]
        pairs.append(Pair("region", instructed, other))
        found[kind] = Regional(items, pairs, partial(_many_regions, folder, text, kind, (image, another), size))
    return found


def _many_regions(
    folder: Path, text: str, kind: str, images: Sequence[ImageFile], size: tuple[int, int], count: int
) -> list[Item]:
    """Items of one text and few images: only their regions are all unlike."""
    import numpy as np

    random = np.random.default_rng(11)
    found = []
    for number in range(count):
        x, y = (int(random.integers(0, side - 32)) for side in size)
        width, height = (int(side) for side in random.integers(8, 32, 2))
        ends = Point(x, y), Point(x + width, y + height)
        region: Region
        if kind == "box":
            region = Box(x, y, x + width, y + height)
        elif kind == "point":
            region = ends[0]
        elif kind == "points":
            region = Points(ends)
        else:
            region = _mask(folder, f"masks/{number}.png", size, (x, y, x + width, y + height))
        image = images[number % len(images)]
        asked = number % 3 == 1
        found.append(replace(_asked(_CAPTION, text, image) if asked else item(text, image), region=region))
    return found


def _asked(instruction: str, text: str, image: ImageFile | None) -> Item:
    """An item with an instruction."""
    ahead = "" if image is None else f"{IMAGE_MARK}\n"
    return Item(f"{ahead}{instruction} {text}".rstrip() + "\n", text, instruction, image)


def item(text: str, image: ImageFile | None = None, region: Region | None = None) -> Item:
    """An item without an instruction."""
    prompt = f"{IMAGE_MARK}\n{text}" if image is not None else text
    return Item(prompt, text=text, image=image, region=region)


def picture(folder: Path, name: str, size: tuple[int, int], seed: int) -> ImageFile:
    """A picture of coarse random patches: unlike any other, and unlike itself elsewhere."""
    import numpy as np
    import PIL.Image

    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    (folder / name).parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(patches).resize(size, PIL.Image.Resampling.BICUBIC).save(folder / name)
    return ImageFile(folder, name)


def _alike(folder: Path) -> tuple[ImageFile, ImageFile]:
    """Two pictures of one size."""
    return _blocks(folder, "alike-a.png", (96, 96), seed=101), _blocks(folder, "alike-b.png", (96, 96), seed=102)


def _blocks(folder: Path, name: str, size: tuple[int, int], seed: int, *, upright: bool = True) -> ImageFile:
    """A picture of 4 x 4 blocks of plain hues."""
    import numpy as np
    import PIL.Image

    hues = np.array(list(_HUES.values()), dtype=np.uint8)
    blocks = hues[np.random.default_rng(seed).integers(0, len(hues), (4, 4))]
    PIL.Image.fromarray(blocks).resize(size, PIL.Image.Resampling.NEAREST).save(folder / name)
    return ImageFile(folder, name, upright)


def _halves(np_seed: int) -> NDArray[np.uint8]:
    """Red and yellow blocks on the left, green and blue ones on the right, uint8, shape (64, 96, 3)."""
    import numpy as np

    hues = np.array(list(_HUES.values()), dtype=np.uint8)
    places = np.random.default_rng(np_seed).integers(0, 2, (4, 6))
    places[:, 3:] += 2
    pixels: NDArray[np.uint8] = np.repeat(np.repeat(hues[places], 16, axis=0), 16, axis=1)
    return pixels


def _saved(folder: Path, name: str, pixels: NDArray[np.uint8], orientation: int = 1) -> ImageFile:
    import PIL.Image
    from PIL.ExifTags import Base

    exif = PIL.Image.Exif()
    exif[Base.Orientation] = orientation
    PIL.Image.fromarray(pixels).save(folder / name, exif=exif)
    return ImageFile(folder, name)


def _packed(folder: Path, name: str, level: int) -> ImageFile:
    """One picture, in a file whose bytes depend on how hard it was packed."""
    import PIL.Image

    PIL.Image.fromarray(_halves(np_seed=77)).save(folder / name, compress_level=level)
    return ImageFile(folder, name)


def _own_file(image: ImageFile) -> ImageFile:
    """What an image shows, in a file of its own, called after its pixels."""
    pixels = image.rgb()
    name = f"own-{hashlib.sha256(pixels.tobytes()).hexdigest()[:12]}.png"
    pixels.save(image.root / name)
    return ImageFile(image.root, name, image.upright)


def _mask(folder: Path, name: str, size: tuple[int, int], corners: tuple[int, int, int, int]) -> Mask:
    import PIL.Image

    mask = PIL.Image.new("L", size)
    mask.paste(255, corners)
    (folder / name).parent.mkdir(exist_ok=True)
    mask.save(folder / name)
    return Mask(ImageFile(folder, name, upright=False))

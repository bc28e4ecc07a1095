"""Draw the example again: ``python -m evalkit.example.generate DIR``.

Every choice comes from the seed, every pixel from integer arithmetic: no antialiasing, and no drawing
library whose circles change with its version. The tables have the columns of MMEB v2 and of SCaR, with
the right candidate first as both have it.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.example.palette import PALETTE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
Row = dict[str, Any]
Columns = dict[str, str]

COLOURS = tuple(PALETTE)
KINDS = ("circle", "square", "triangle", "cross")
# None of these is a colour of the palette, so that the background never counts as a shape.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "grey": (190, 190, 190),
    "beige": (235, 220, 190),
    "black": (0, 0, 0),
}
LINE = (105, 105, 105)

IMAGE = "<|image_1|>\n"
CLASSIFY = IMAGE + "Identify the object shown in the image"
ANSWER = IMAGE + "Represent the given image with the following question:"
FIND = "Find me an everyday image that matches the given caption:"
SHOW = IMAGE + "Represent the given image."
DESCRIBE = (
    IMAGE + "Find the caption that best describes the segmented object, considering both local details "
    "and global context in the given image."
)

MMEB: Columns = {
    "qry_inst": "text",
    "qry_text": "text",
    "qry_img_path": "text",
    "tgt_inst": "text",
    "tgt_text": "texts",
    "tgt_img_path": "texts",
}
SCAR: Columns = {
    "qry_text": "text",
    "qry_image_path": "text",
    "tgt_text": "texts",
    "tgt_image_path": "texts",
    "original_caption": "text",
    "neg_types": "texts",
    "bbox": "numbers",
    "segmentation": "nothing",
    "category": "text",
    "image_id": "number",
}

# Where the line lies and where the shapes lie, both as x0, y0, x1, y1 in an image of 192 x 192 pixels.
SIDES = {
    "above": ((0, 158, 192, 164), (0, 0, 192, 156)),
    "below": ((0, 28, 192, 34), (0, 36, 192, 192)),
    "left of": ((158, 0, 164, 192), (0, 0, 156, 192)),
    "right of": ((28, 0, 34, 192), (36, 0, 192, 192)),
}


@dataclass(frozen=True)
class Shape:
    """A shape that touches all four sides of its box: a square of ``side`` pixels (even) at ``x``, ``y``."""

    colour: str
    kind: str
    x: int
    y: int
    side: int

    @property
    def name(self) -> str:
        """For example ``red circle``."""
        return f"{self.colour} {self.kind}"


def generate(folder: Path, seed: int = 0) -> None:
    """Write the rows and the images of the four tasks.

    Args:
        folder: is made where it is missing; files of the same names in it are replaced. Images go to
            ``folder/images/<Subset>``, rows to ``folder/<Subset>/test-00000-of-00001.parquet`` and
            ``folder/SCaR_eval_ShapeRegions.parquet``.
        seed: the shipped files have seed 0. The same seed gives the same pixels and the same tables.

    Raises:
        OSError: the folder cannot be written to.
    """
    images = folder / "images"
    shapes, pictures = _shapes(_dice(seed, "Shapes"), images)
    _write_rows(shapes, MMEB, folder / "Shapes" / "test-00000-of-00001.parquet")
    answers = _shape_colours(_dice(seed, "ShapeColours"), images)
    _write_rows(answers, MMEB, folder / "ShapeColours" / "test-00000-of-00001.parquet")
    searches = _shape_search(_dice(seed, "ShapeSearch"), pictures)
    _write_rows(searches, MMEB, folder / "ShapeSearch" / "test-00000-of-00001.parquet")
    regions = _shape_regions(_dice(seed, "ShapeRegions"), images)
    _write_rows(regions, SCAR, folder / "SCaR_eval_ShapeRegions.parquet")


def _shapes(dice: random.Random, images: Path) -> tuple[list[Row], dict[tuple[str, str], list[str]]]:
    """Two images of each of the 32 shapes: the rows, and the images' paths by colour and kind."""
    rows: list[Row] = []
    pictures: dict[tuple[str, str], list[str]] = {}
    names = [f"{colour} {kind}" for colour, kind in itertools.product(COLOURS, KINDS)]
    for colour, kind in itertools.product(COLOURS, KINDS):
        for number in (1, 2):
            shape = _placed(dice, colour, kind, cell=(0, 0, 96, 96), sides=(40, 80))
            path = f"Shapes/{colour}-{kind}-{number}.png"
            _write_image(_draw(96, _one(dice, BACKGROUNDS), [shape]), images / path)
            pictures.setdefault((colour, kind), []).append(path)
            others = _shuffled(dice, (name for name in names if name != shape.name))
            rows.append(_mmeb_row(CLASSIFY, image=path, texts=[shape.name, *others]))
    return _shuffled(dice, rows), pictures


def _shape_colours(dice: random.Random, images: Path) -> list[Row]:
    """32 images of two shapes, both asked for: the bigger one's colour is the answer half the time."""
    rows = []
    for (i, colour), (j, kind) in itertools.product(enumerate(COLOURS), enumerate(KINDS)):
        # These steps give every colour as often as every other, and never the same colour or kind twice.
        second_colour = COLOURS[(i + 2 * j + 1) % len(COLOURS)]
        second_kind = KINDS[(j + 1 + i % 3) % len(KINDS)]
        left, right = _shuffled(dice, [(colour, kind), (second_colour, second_kind)])
        shapes = [
            _placed(dice, *left, cell=(0, 0, 64, 128), sides=(28, 56)),
            _placed(dice, *right, cell=(64, 0, 128, 128), sides=(28, 56)),
        ]
        path = f"ShapeColours/{colour}-{kind}-{second_colour}-{second_kind}.png"
        _write_image(_draw(128, _one(dice, BACKGROUNDS), shapes), images / path)
        for shape in shapes:
            others = _shuffled(dice, (name for name in COLOURS if name != shape.colour))
            question = f"What colour is the {shape.kind}?"
            rows.append(_mmeb_row(ANSWER, text=question, image=path, texts=[shape.colour, *others]))
    return _shuffled(dice, rows)


def _shape_search(dice: random.Random, pictures: dict[tuple[str, str], list[str]]) -> list[Row]:
    """32 captions; of 16 images each, 1 fits, 3 have its colour only, 3 its kind only, 9 neither."""
    rows = []
    for colour, kind in itertools.product(COLOURS, KINDS):
        colours = [c for c in COLOURS if c != colour]
        kinds = [k for k in KINDS if k != kind]
        distractors = [
            *((colour, other) for other in kinds),
            *((other, kind) for other in _shuffled(dice, colours)[:3]),
            *_shuffled(dice, itertools.product(colours, kinds))[:9],
        ]
        right, *others = [_one(dice, pictures[key]) for key in [(colour, kind), *distractors]]
        caption = _with_article(f"{colour} {kind}")
        rows.append(_mmeb_row(FIND, text=caption, target=SHOW, images=[right, *_shuffled(dice, others)]))
    return _shuffled(dice, rows)


def _shape_regions(dice: random.Random, images: Path) -> list[Row]:
    """16 images, one for each background and side of a line, with four shapes; a box on each in turn.

    The object swaps are true of the image and wrong for the box only: without the box a model cannot
    tell them from the right caption.
    """
    rows = []
    colours: list[str] = []
    for number, (side, background) in enumerate(itertools.product(SIDES, BACKGROUNDS)):
        colours = colours or _shuffled(dice, COLOURS)  # four for this image, four for the next
        four, colours = colours[:4], colours[4:]
        line, (x0, y0, x1, y1) = SIDES[side]
        middle_x, middle_y = (x0 + x1) // 2, (y0 + y1) // 2
        cells = [
            (left, top, right, bottom)
            for top, bottom in ((y0, middle_y), (middle_y, y1))
            for left, right in ((x0, middle_x), (middle_x, x1))
        ]
        shapes = [
            _placed(dice, colour, kind, cell=cell, sides=(36, 60))
            for colour, kind, cell in zip(four, _shuffled(dice, KINDS), cells, strict=True)
        ]
        path = f"ShapeRegions/{side.replace(' ', '-')}-{background}.png"
        _write_image(_draw(192, background, shapes, line), images / path)
        for shape in shapes:
            caption = _caption(shape.name, side, background)
            swaps = {
                "global_context": [_caption(shape.name, side, b) for b in BACKGROUNDS if b != background],
                "background_relation": [_caption(shape.name, s, background) for s in SIDES if s != side],
                "object_swap": [_caption(o.name, side, background) for o in shapes if o != shape],
            }
            captions, kinds = [caption], ["gt"]
            for kind, wrong in swaps.items():
                captions += _shuffled(dice, wrong)
                kinds += [kind] * len(wrong)
            rows.append(
                {
                    "qry_text": DESCRIBE,
                    "qry_image_path": path,
                    "tgt_text": captions,
                    "tgt_image_path": [""] * len(captions),
                    "original_caption": caption,
                    "neg_types": kinds,
                    "bbox": [shape.x, shape.y, shape.side, shape.side],
                    "segmentation": None,
                    "category": shape.kind,
                    "image_id": number,
                }
            )
    return _shuffled(dice, rows)


def _caption(name: str, side: str, background: str) -> str:
    return f"{_with_article(name)} {side} the line on a {background} background"


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _mmeb_row(
    instruction: str,
    *,
    text: str = "",
    image: str = "",
    target: str = "",
    texts: Sequence[str] = (),
    images: Sequence[str] = (),
) -> Row:
    """A row as MMEB v2 has it; candidates are texts or images, the right one first."""
    return {
        "qry_inst": instruction,
        "qry_text": text,
        "qry_img_path": image,
        "tgt_inst": target,
        "tgt_text": list(texts) or [""] * len(images),
        "tgt_img_path": list(images) or [""] * len(texts),
    }


def _dice(seed: int, task: str) -> random.Random:
    """Dice of its own for each task, so that a change to one leaves the others as they are."""
    return random.Random(f"{seed} {task}")


# Only ``Random.random`` is promised to give the same numbers in every version of Python, so these use
# nothing else of it.


def _between(dice: random.Random, low: int, high: int) -> int:
    return low + int(dice.random() * (high - low + 1))


def _one(dice: random.Random, values: Iterable[T]) -> T:
    every = list(values)
    return every[_between(dice, 0, len(every) - 1)]


def _shuffled(dice: random.Random, values: Iterable[T]) -> list[T]:
    return sorted(values, key=lambda _: dice.random())


def _placed(
    dice: random.Random, colour: str, kind: str, *, cell: tuple[int, int, int, int], sides: tuple[int, int]
) -> Shape:
    """A shape of a drawn size (even) at a drawn place, at least 4 pixels inside its cell."""
    x0, y0, x1, y1 = cell
    side = 2 * _between(dice, sides[0] // 2, sides[1] // 2)
    x = _between(dice, x0 + 4, x1 - 4 - side)
    y = _between(dice, y0 + 4, y1 - 4 - side)
    return Shape(colour, kind, x, y, side)


def _draw(
    size: int, background: str, shapes: Iterable[Shape], line: tuple[int, int, int, int] | None = None
) -> NDArray[np.uint8]:
    """The picture, shape ``(size, size, 3)``, 8-bit RGB."""
    import numpy as np

    picture = np.full((size, size, 3), BACKGROUNDS[background], dtype=np.uint8)
    if line is not None:
        x0, y0, x1, y1 = line
        picture[y0:y1, x0:x1] = LINE
    for shape in shapes:
        box = picture[shape.y : shape.y + shape.side, shape.x : shape.x + shape.side]
        box[_filled(shape.kind, shape.side)] = PALETTE[shape.colour]
    return picture


def _filled(kind: str, side: int) -> NDArray[np.bool_]:
    """Which pixels of its box a shape fills, ``(side, side)``; some in each outer row and column."""
    import numpy as np

    # Twice the distance of the pixels' centres from the box's centre: odd integers.
    steps = 2 * np.arange(side) + 1 - side
    x, y = np.abs(steps)[None, :], steps[:, None]
    filled: dict[str, NDArray[np.bool_]] = {
        "circle": x * x + y * y <= side * side,
        "square": x + abs(y) >= 0,
        "triangle": 2 * x <= y + side + 1,
        "cross": (3 * x <= side) | (3 * abs(y) <= side),
    }
    return filled[kind]


def _write_image(pixels: NDArray[np.uint8], place: Path) -> None:
    import PIL.Image

    place.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(place, format="PNG", compress_level=9)


def _write_rows(rows: Sequence[Row], columns: Columns, place: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "number": pa.int64(),
        "numbers": pa.list_(pa.int64()),
        "nothing": pa.null(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), place, compression="snappy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the example to the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m evalkit.example.generate",
        description="Draw evalkit's example: generated shapes, in the layouts of MMEB v2 and SCaR.",
        epilog="example: python -m evalkit.example.generate shapes",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where rows and images go")
    parser.add_argument("--seed", type=int, default=0, help="the shipped files have 0 (default)")
    options = parser.parse_args(arguments)
    generate(options.folder, options.seed)


if __name__ == "__main__":
    main()

"""Scenes to pixels: flat shapes with an edge, on backgrounds that are told apart by colour and pattern.

Shapes are painted from masks that integer arithmetic makes, so that the same scene has the same pixels with any
version of Pillow. Words and digits (:func:`page`) use the font that Pillow brings, and may change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from evalkit.miniature.scenes import SIDE, Scene, Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

INK = {
    "red": (214, 39, 40),
    "green": (40, 150, 60),
    "blue": (38, 92, 210),
    "yellow": (250, 222, 45),
    "purple": (140, 60, 190),
    "orange": (255, 140, 20),
    "white": (250, 250, 250),
    "black": (25, 25, 25),
}
_EDGE = (60, 60, 60)
_EDGE_OF_BLACK = (150, 150, 150)  # at night, black things would not be seen without it


def image(scene: Scene) -> Image:
    """A scene as an image, RGB, :data:`~evalkit.miniature.scenes.SIDE` pixels square."""
    import PIL.Image

    return PIL.Image.fromarray(pixels(scene))


def pixels(scene: Scene) -> NDArray[np.uint8]:
    """A scene's pixels, uint8, shape ``(SIDE, SIDE, 3)``."""
    canvas = background(scene.place, scene.grain)
    for thing in scene.things:
        paint(canvas, thing)
    return canvas


def mask(thing: Thing) -> NDArray[np.bool_]:
    """Where a thing is, bool, shape ``(SIDE, SIDE)``."""
    canvas = np.zeros((SIDE, SIDE), dtype=bool)
    x0, y0, x1, y1 = thing.box
    canvas[y0:y1, x0:x1] = shape(thing.kind, thing.radius)
    return canvas


def visible(scene: Scene, thing: Thing) -> NDArray[np.bool_]:
    """Where a thing of a scene is seen, bool, shape ``(SIDE, SIDE)``: not where another lies on it."""
    seen = mask(thing)
    for other in scene.things[scene.things.index(thing) + 1 :]:
        seen &= ~mask(other)
    return seen


def paint(canvas: NDArray[np.uint8], thing: Thing) -> None:
    """Paint a thing over what is there; it has to lie inside."""
    x0, y0, x1, y1 = thing.box
    fill(canvas[y0:y1, x0:x1], shape(thing.kind, thing.radius), thing.colour, thing.texture)


def fill(canvas: NDArray[np.uint8], inside: NDArray[np.bool_], colour: str, texture: str) -> None:
    """Paint what is inside of a mask of the canvas's height and width, with an edge."""
    ink = np.array(INK[colour], dtype=np.uint8)
    dark = (ink.astype(int) * 11 // 20).astype(np.uint8) if ink.sum() > 150 else np.array([120] * 3, np.uint8)
    down, across = np.mgrid[0 : inside.shape[0], 0 : inside.shape[1]]
    if texture == "striped":
        marked = (across + down) % 8 < 3
    elif texture == "dotted":
        marked = ((across % 6 - 2) ** 2 + (down % 6 - 2) ** 2) <= 2
    else:
        marked = np.zeros_like(inside)
    canvas[inside] = ink
    canvas[inside & marked] = dark
    canvas[inside & ~eroded(inside)] = _EDGE_OF_BLACK if colour == "black" else _EDGE


@cache
def shape(kind: str, radius: int) -> NDArray[np.bool_]:
    """A shape in its square, bool, shape ``(2 * radius + 1, 2 * radius + 1)``."""
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    if kind == "circle":
        return x * x + y * y <= radius * radius
    if kind == "ring":
        inner = radius * 11 // 20
        return (x * x + y * y <= radius * radius) & (x * x + y * y >= inner * inner)
    if kind == "square":
        edge = radius * 17 // 20
        return (abs(x) <= edge) & (abs(y) <= edge)
    if kind == "triangle":
        return (2 * abs(x) <= y + radius) & (y <= radius * 4 // 5)
    if kind == "diamond":
        return abs(x) * 4 + abs(y) * 3 <= radius * 3
    if kind == "cross":
        arm = radius * 3 // 10
        return (abs(x) <= arm) | (abs(y) <= arm)
    if kind == "heart":
        lobe = radius // 2
        lobes = (abs(x) - lobe) ** 2 + (y + lobe) ** 2 <= (lobe + 1) ** 2
        return lobes | ((abs(x) + y <= radius) & (y >= -lobe))
    # A star: an upright and an upside-down triangle.
    up = (2 * abs(x) <= y + radius) & (y <= radius // 2)
    return up | up[::-1]


def eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without the pixels that touch what is outside."""
    wide = np.pad(inside, 1)
    return inside & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]


def background(place: str, grain: int) -> NDArray[np.uint8]:
    """A place without things, uint8, shape ``(SIDE, SIDE, 3)``; ``grain`` is the seed of what varies in it."""
    rng = np.random.default_rng(grain)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    shift = int(rng.integers(-8, 9))
    if place == "beach":
        line = SIDE * 2 // 5 + shift
        canvas[:] = (240, 215, 160)
        canvas[:line] = (110, 190, 225)
        canvas[:line][(y[:line] + shift) % 12 < 2] = (170, 220, 240)
    elif place == "forest":
        canvas[:] = (58, 92, 64)
        canvas[(x + shift * 3) % 28 < 7] = (105, 75, 50)
    elif place == "desert":
        canvas[:] = (235, 190, 110)
        dunes = (y + abs((x + shift * 5) % 56 - 28) // 2) % 24 < 4
        canvas[dunes] = (205, 150, 80)
    elif place == "snow":
        canvas[:] = (228, 236, 245)
        flakes = rng.integers(0, SIDE - 2, (60, 2))
        for row, column in flakes:
            canvas[row : row + 2, column : column + 2] = (165, 190, 215)
    elif place == "city":
        canvas[:] = (175, 178, 185)
        blocks = ((x + shift * 2) % 28 < 18) & (y % 28 < 22)
        canvas[blocks] = (125, 128, 140)
        canvas[blocks & (x % 7 < 3) & (y % 7 < 3)] = (225, 215, 150)
    elif place == "night":
        canvas[:] = (28, 32, 70)
        for row, column in rng.integers(0, SIDE - 2, (35, 2)):
            canvas[row : row + 2, column : column + 2] = (235, 235, 190)
    elif place == "meadow":
        canvas[:] = (150, 205, 110)
        for row, column in rng.integers(0, SIDE - 3, (30, 2)):
            canvas[row : row + 3, column : column + 3] = (245, 180, 215)
    else:  # kitchen
        canvas[:] = (245, 240, 230)
        canvas[((x + shift) // 14 + (y + shift) // 14) % 2 == 0] = (205, 195, 180)
    light = int(rng.integers(-10, 11))
    lit: NDArray[np.uint8] = np.clip(canvas.astype(int) + light, 0, 255).astype(np.uint8)
    return lit


def page(lines: Sequence[str], *, paper: tuple[int, int, int] = (252, 250, 244), size: int = 16) -> Image:
    """Lines of text on paper, an image of ``SIDE`` pixels square.

    Args:
        lines: from top to bottom; what does not fit on the paper is cut off.
        paper: its colour.
        size: of the letters in pixels.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    sheet = PIL.Image.new("RGB", (SIDE, SIDE), paper)
    pen, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(size)
    for number, line in enumerate(lines):
        pen.text((6, 6 + number * (size + 4)), line, fill=(20, 20, 20), font=font)
    return sheet


def write(image: Image, text: str, middle: tuple[int, int], *, size: int, board: bool = False) -> None:
    """Write on an image, on a white board or on what is there.

    Args:
        image: is changed.
        text: one line.
        middle: of the text, in pixels.
        size: of the letters in pixels.
        board: put a white board below it.
    """
    import PIL.ImageDraw
    import PIL.ImageFont

    pen, font = PIL.ImageDraw.Draw(image), PIL.ImageFont.load_default(size)
    if board:
        x0, y0, x1, y1 = pen.textbbox(middle, text, font=font, anchor="mm")
        pen.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), fill=(255, 255, 255), outline=_EDGE)
    pen.text(middle, text, fill=(20, 20, 20), font=font, anchor="mm")


def chart(bars: Sequence[tuple[str, int]], highest: int = 10) -> Image:
    """A bar chart, an image of ``SIDE`` pixels square: each bar in the colour that it is named after.

    Args:
        bars: colours of :data:`INK` and heights, from left to right.
        highest: the height that fills the image; a line stands at each whole number.
    """
    import PIL.Image

    canvas = np.full((SIDE, SIDE, 3), 250, dtype=np.uint8)
    floor, width = SIDE - 8, (SIDE - 16) // len(bars)
    for step in range(1, highest + 1):
        canvas[floor - step * (SIDE - 20) // highest, 4:-4] = 215
    for number, (colour, height) in enumerate(bars):
        left, top = 8 + number * width, floor - height * (SIDE - 20) // highest
        canvas[top:floor, left : left + width - 6] = INK[colour]
    canvas[floor : floor + 2, 4:-4] = 20
    return PIL.Image.fromarray(canvas)

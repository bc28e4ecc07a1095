"""What an image of the miniature shows, as a value: equal drawings are one image, drawn where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evalkit.miniature import draw
from evalkit.miniature.scenes import SIDE, Scene, Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

_PAPER = (200, 200, 200)
_MARGIN = 6  # pixels around a thing that its cut-out shows, too
_SPECKS = 60


class Drawing(Protocol):
    """A frozen value that says all about an image."""

    def image(self) -> Image:
        """The image, RGB, at most 112 x 112 pixels; the same each time."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene as it is."""

    scene: Scene

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        return draw.image(self.scene)


@dataclass(frozen=True, slots=True)
class Sketch:
    """The outlines of a scene's things in their colours, on paper."""

    scene: Scene

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        canvas = np.full((SIDE, SIDE, 3), _PAPER, dtype=np.uint8)
        for thing in self.scene.things:
            mask = inner = draw.mask(thing)
            for _ in range(3):
                inner = draw.eroded(inner)
            canvas[mask & ~inner] = draw.INK[thing.colour]
        return _image(canvas)


@dataclass(frozen=True, slots=True)
class Blurred:
    """A scene as somebody photographed it who could not see it."""

    scene: Scene

    def image(self) -> Image:
        """The image, 112 x 112 pixels, no finer than 4 pixels."""
        blocks = draw.pixels(self.scene).reshape(SIDE // 4, 4, SIDE // 4, 4, 3)
        means = blocks.astype(int).sum(axis=(1, 3)) // 16
        return _image(means.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1))


@dataclass(frozen=True, slots=True)
class Cluttered:
    """A scene with specks of all colours beside its things."""

    scene: Scene
    grain: int

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        rng = np.random.default_rng(self.grain)
        canvas = draw.pixels(self.scene)
        things = np.zeros((SIDE, SIDE), dtype=bool)
        for thing in self.scene.things:
            things |= draw.mask(thing)
        inks = list(draw.INK.values())
        for y, x, ink in rng.integers(0, (SIDE - 5, SIDE - 5, len(inks)), (_SPECKS, 3)):
            if not things[y : y + 5, x : x + 5].any():
                canvas[y : y + 5, x : x + 5] = inks[ink]
        return _image(canvas)


@dataclass(frozen=True, slots=True)
class Turned:
    """A scene that lies on its side or stands on its head."""

    scene: Scene
    quarters: int

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        return _image(np.rot90(draw.pixels(self.scene), self.quarters))


@dataclass(frozen=True, slots=True)
class CutOut:
    """A thing cut out of its scene, with a little of what is around it."""

    scene: Scene
    thing: Thing

    def image(self) -> Image:
        """The image, its thing's box and 6 pixels on each side, as far as the scene goes."""
        x0, y0, x1, y1 = self.thing.box
        rows, columns = (slice(max(0, low - _MARGIN), high + _MARGIN) for low, high in ((y0, y1), (x0, x1)))
        return _image(draw.pixels(self.scene)[rows, columns])


@dataclass(frozen=True, slots=True)
class Meme:
    """A scene with a word written at its foot."""

    scene: Scene
    word: str

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        image = draw.image(self.scene)
        draw.write(image, self.word.upper(), (SIDE // 2, SIDE - 14), size=18, board=True)
        return image


@dataclass(frozen=True, slots=True)
class Signs:
    """A scene with a text on each of its things.

    Attributes:
        texts: as many as there are things.
    """

    scene: Scene
    texts: tuple[str, ...]

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        image = draw.image(self.scene)
        for thing, text in zip(self.scene.things, self.texts, strict=True):
            draw.write(image, text, (thing.x, thing.y), size=12, board=True)
        return image


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of stripes at a place.

    Attributes:
        place: of :data:`evalkit.miniature.scenes.PLACES`.
        grain: seed of what the place's background varies in.
        colours: of the stripes, from the top or from the left.
        upright: the stripes stand beside each other.
        x: of its left edge, in pixels, up to 50.
        y: of its upper edge, in pixels, up to 50.
    """

    place: str
    grain: int
    colours: tuple[str, ...]
    upright: bool
    x: int
    y: int

    def image(self) -> Image:
        """The image, 112 x 112 pixels, the flag 60 x 48."""
        canvas = draw.background(self.place, self.grain)
        canvas[self.y - 2 :, self.x - 5 : self.x] = 90
        canvas[self.y - 1 : self.y + 49, self.x - 1 : self.x + 61] = 90
        flag = canvas[self.y : self.y + 48, self.x : self.x + 60]
        step = (60 if self.upright else 48) // len(self.colours)
        for number, colour in enumerate(self.colours):
            part = slice(number * step, (number + 1) * step)
            flag[(slice(None), part) if self.upright else part] = draw.INK[colour]
        return _image(canvas)


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of text."""

    lines: tuple[str, ...]

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        return draw.page(self.lines)


@dataclass(frozen=True, slots=True)
class Counts:
    """Signs below each other, a number beside each.

    Attributes:
        signs: up to 4, each a colour and a kind.
        numbers: as many.
    """

    signs: tuple[tuple[str, str], ...]
    numbers: tuple[int, ...]

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        middles = [14 + 28 * number for number in range(len(self.signs))]
        signs = zip(self.signs, middles, strict=True)
        things = [Thing(kind, colour, "plain", "small", 24, y) for (colour, kind), y in signs]
        canvas = np.full((SIDE, SIDE, 3), _PAPER, dtype=np.uint8)
        for thing in things:
            draw.paint(canvas, thing)
        image = _image(canvas)
        for number, y in zip(self.numbers, middles, strict=True):
            draw.write(image, str(number), (74, y), size=20)
        return image


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, each in the colour that it is named after.

    Attributes:
        bars: colours and heights, 1 to 10, from left to right.
    """

    bars: tuple[tuple[str, int], ...]

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        return draw.chart(self.bars)


@dataclass(frozen=True, slots=True)
class Paints:
    """Two pots of paint."""

    left: str
    right: str

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        canvas = np.full((SIDE, SIDE, 3), _PAPER, dtype=np.uint8)
        for x, colour in ((10, self.left), (62, self.right)):
            canvas[34:84, x : x + 40] = 90
            canvas[38:82, x + 2 : x + 38] = draw.INK[colour]
        return _image(canvas)


@dataclass(frozen=True, slots=True)
class Shirt:
    """A shirt on a hanger.

    Attributes:
        colour: of :data:`evalkit.miniature.draw.INK`, not white.
        texture: of :data:`evalkit.miniature.scenes.TEXTURES`.
        sleeves: ``long`` or ``short``.
        badge: the kind of the white sign on it.
    """

    colour: str
    texture: str
    sleeves: str
    badge: str

    def image(self) -> Image:
        """The image, 112 x 112 pixels."""
        down, across = np.mgrid[0:SIDE, 0:SIDE]
        side = abs(across - SIDE // 2)
        body = (side <= 26) & (down >= 18) & (down < 100)
        reach = 88 if self.sleeves == "long" else 44
        arms = (side > 27) & (side <= 44) & (down >= 18 + (side - 27) // 2) & (down < reach)
        neck = (side <= 9) & (down < 24)
        canvas = np.full((SIDE, SIDE, 3), _PAPER, dtype=np.uint8)
        draw.fill(canvas, (body | arms) & ~neck, self.colour, self.texture)
        draw.paint(canvas, Thing(self.badge, "white", "plain", "large", SIDE // 2, 56))
        return _image(canvas)


def _image(canvas: NDArray[np.uint8]) -> Image:
    import PIL.Image

    return PIL.Image.fromarray(np.ascontiguousarray(canvas))

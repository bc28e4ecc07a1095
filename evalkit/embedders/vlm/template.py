"""What a model reads of an item: a template of the family with the item's words in it.

Templates are written as the families' own code has them, with their special tokens, such as ``<|im_start|>user``. What
the data says stays apart from them to the end, because its words may look like special tokens and are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evalkit.items import IMAGE_MARK, Item, Side

Kind = Literal["template", "words", "image"]
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of what is read.

    Attributes:
        kind: of the template, whose special tokens are such; words of the data, in which there are none; or the mark
            of the image, whose text is blank.
        text: its characters.
    """

    kind: Kind
    text: str = ""


Prompt = tuple[Piece, ...]
"""What is read, run by run."""
IMAGE = Piece("image")


class Template:
    """A text with fields: ``{image}`` is the image's mark, ``{prompt}`` a text that has marks in it, others are words.

    Args:
        text: with fields in braces.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _FIELD.split(text)  # text, field, text, field, …, text

    def filled(self, fields: Mapping[str, str]) -> Prompt:
        """With the words in it.

        Args:
            fields: the words, by field; ``image`` needs none. Of ``prompt`` the first ``<image>`` is the mark, and
                another one the data's own text.

        Raises:
            KeyError: a field has no words.
        """
        pieces: list[Piece] = []
        for place, part in enumerate(self._parts):
            if place % 2 == 0:
                pieces.append(Piece("template", part))
            elif part == "image":
                pieces.append(IMAGE)
            elif part == "prompt":
                before, mark, after = fields[part].partition(IMAGE_MARK)
                pieces += [Piece("words", before), *([IMAGE] if mark else []), Piece("words", after)]
            else:
                pieces.append(Piece("words", fields[part]))
        return tuple(piece for piece in pieces if piece.text or piece is IMAGE)


def given(item: Item, side: Side) -> dict[str, str]:
    """The item's own words, by field."""
    return {"text": item.text, "instruction": item.instruction, "prompt": item.prompt}


@dataclass(frozen=True)
class Wording:
    """What a family writes of an item.

    Attributes:
        both: of an image with a text.
        image: of an image whose text is blank.
        text: of a text alone.
        fields: the words of an item on its side, by field. Whether the text is blank is told by its ``text``.
    """

    both: Template
    image: Template
    text: Template
    fields: Callable[[Item, Side], dict[str, str]] = given

    def __call__(self, item: Item, side: Side) -> Prompt:
        """What is read of an item."""
        fields = self.fields(item, side)
        if item.image is None:
            return self.text.filled(fields)
        return (self.both if fields["text"].strip() else self.image).filled(fields)

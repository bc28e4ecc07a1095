"""OpenAI's CLIP outside transformers: its tokenizer, as its own code uses it, and how images are made for its kind."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.embedders.checkpoint import Checkpoint, resolve
from evalkit.embedders.loading import said
from evalkit.embedders.pickedfiles import PickedFiles
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.items.images import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
OFFICIAL = ("openai/clip-vit-large-patch14", "openai/clip-vit-base-patch16")
"""Where its tokenizer is on the hub; they are one and the same."""
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def prepared(image: ImageFile, side: int) -> NDArray[np.float32]:
    """An image as ``clip.load``'s transform makes it: the short side resized, and the square in the middle.

    Args:
        image: the image.
        side: of the square.

    Returns:
        float32, shape ``(3, side, side)``.

    Raises:
        ImageError: it cannot be decoded, or is so narrow that it would have too many pixels.
    """
    import PIL.Image

    picture = image.rgb()
    width, height = picture.size
    if side * side * max(width, height) // min(width, height) > MAX_PIXELS:
        raise ImageError(
            f"image {image.path} of {width} x {height} pixels is too narrow: with a short side of {side} it would "
            f"have more than {MAX_PIXELS:,} pixels; leave its row out",
            image,
        )
    if width <= height:
        width, height = side, int(side * height / width)
    else:
        width, height = int(side * width / height), side
    resized = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2) for length in (width, height))  # torchvision's, half to even
    cut = resized.crop((left, top, left + side, top + side))
    return normalised(np.asarray(cut, dtype=np.float32) / np.float32(255))


def squeezed(image: ImageFile, side: int) -> NDArray[np.float32]:
    """All of an image in a square, whatever its proportions, bicubic, as BLIP and BLIP-2 have it.

    Args:
        image: the image.
        side: of the square.

    Returns:
        float32, shape ``(3, side, side)``, with CLIP's mean and standard deviation.

    Raises:
        ImageError: it cannot be decoded.
    """
    import PIL.Image

    picture = image.rgb().resize((side, side), PIL.Image.Resampling.BICUBIC)
    return normalised(np.asarray(picture, dtype=np.float32) / np.float32(255))


def normalised(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers from 0 to 1, shape ``(height, width, 3)``, less CLIP's mean, by its deviation, channels first."""
    return np.ascontiguousarray(((scaled - _MEAN) / _STD).transpose(2, 0, 1))


def cleaned(text: str) -> str:
    """A text as OpenAI's CLIP cleans it before it looks for tokens (``simple_tokenizer.py``).

    Raises:
        UsageError: ftfy is not installed.
    """
    try:
        import ftfy
    except ImportError as error:
        raise UsageError(
            "OpenAI's CLIP cleans its texts with ftfy, which is not installed: pip install 'evalkit[openai-clip]'"
        ) from error
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", mended).strip().lower()


@dataclass(frozen=True)
class OpenAiTokens:
    """The tokenizer of OpenAI's CLIP, in any of the files that the hub has it in.

    Attributes:
        tokenizer: transformers' object.
        start: the token that texts begin with.
        end: the token that they end with; the highest of all, since that is where the tower pools.
        length: of the longest text, both of these included.
    """

    tokenizer: Any
    start: int
    end: int
    length: int

    @classmethod
    def load(cls, place: Checkpoint, words: int, length: int) -> OpenAiTokens:
        """Read it from a folder.

        Args:
            place: the folder.
            words: tokens that the model has an embedding for.
            length: of the longest text.

        Raises:
            EmbedderError: it is broken, or not the one that belongs to the model.
        """
        from transformers import CLIPTokenizer, PreTrainedTokenizerFast

        folder = place.folder
        kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else CLIPTokenizer
        try:
            tokenizer = kind.from_pretrained(folder, local_files_only=True)
            vocabulary: dict[str, int] = tokenizer.get_vocab()
        except Exception as error:  # the tokenizers library raises no narrower class
            raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {place.way_out}") from error
        start, end, highest = vocabulary.get(START), vocabulary.get(END), max(vocabulary.values(), default=0)
        if start is None or end is None or end != highest or end >= words:
            raise EmbedderError(
                f"the tokenizer of {folder} is not the one of this model: it has {START} {start}, {END} {end} and "
                f"ids up to {highest}; the model has {words:,} and pools at the highest, which has to be {END}: name "
                "the folder of OpenAI's with ?base=PATH"
            )
        return cls(tokenizer, start, end, length)

    def count(self, text: str) -> int:
        """Tokens that the model reads of a text."""
        return len(self._rows([text])[0])

    def ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of texts, padded with 0 to the longest of them, shape ``(len(texts), at most length)``.

        Longer texts are cut. What looks like a start or an end among the data's words is text.
        """
        rows = self._rows(texts)
        padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        for at, row in enumerate(rows):
            padded[at, : len(row)] = row
        return padded

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        inner = self.tokenizer(
            [cleaned(text) for text in texts], add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        return [[self.start, *row[: self.length - 2], self.end] for row in inner]


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in TOKENIZER_FILES[-2:])


def find_tokenizer(base: str | None, beside: Path, model: str) -> PickedFiles:
    """Where OpenAI's CLIP tokenizer is.

    Args:
        base: folder or hub repository that the user names.
        beside: the folder of the weights, which may have it, too.
        model: whose tokenizer it is to be, for the error.

    Raises:
        UsageError: it is nowhere, or what ``base`` names has none.
    """
    if base is None and has_tokenizer(beside):
        base = str(beside)
    for place in [base] if base is not None else list(OFFICIAL):
        try:
            checkpoint = resolve(place)
        except UsageError:
            if base is not None:
                raise
            continue
        if has_tokenizer(checkpoint.folder):
            return PickedFiles(checkpoint.name, checkpoint.folder, checkpoint.revision, TOKENIZER_FILES)
    lacking = f"{base} has none" if base is not None else f"none lies in {beside}, and neither is in the hub's cache"
    raise UsageError(
        f"{model} needs the tokenizer of OpenAI's CLIP ({' or '.join(OFFICIAL)}), and {lacking}: run "
        f"`hf download {OFFICIAL[0]} --include '*.json' '*.txt'`, or name a folder that has tokenizer.json with "
        "?base=PATH"
    )

"""What MagicLens's towers get: pixels as its own evaluation makes them, and the tokens of OpenAI's CLIP."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import said
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
# As scenic's CLIP has them.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def pixels(picture: Image, side: int) -> NDArray[np.float32]:
    """A picture as the image tower gets it (google-deepmind/magiclens, ``data_utils.py``, ``model.py``).

    All of it is squeezed into a square, whatever its proportions, by linear interpolation with antialiasing, and its
    brightest number becomes 1: a dark picture is brightened. The square crop that follows there takes nothing away.

    Args:
        picture: mode RGB.
        side: of the square.

    Returns:
        float32, shape ``(3, side, side)``, with CLIP's mean and standard deviation.
    """
    import PIL.Image

    brightest = max(high for _, high in picture.getextrema())  # type: ignore[misc] # RGB has one pair for each band
    bilinear = PIL.Image.Resampling.BILINEAR
    # Bands of floating-point numbers: as bytes Pillow would round, which jax.image.resize does not.
    bands = [np.asarray(band.convert("F").resize((side, side), bilinear)) for band in picture.split()]
    scaled: NDArray[np.float32] = np.stack(bands, axis=-1).astype(np.float32) / np.float32(brightest or 1)
    return normalised(scaled)


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
            "MagicLens's texts are cleaned with ftfy, which is not installed: pip install 'evalkit[magiclens]'"
        ) from error
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", mended).strip().lower()


@dataclass(frozen=True)
class LensTokens:
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
    def load(cls, place: Checkpoint, words: int, length: int) -> LensTokens:
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
                f"the tokenizer of {folder} is not the one of this MagicLens: it has {START} {start}, {END} {end} and "
                f"ids up to {highest}; the model has {words:,} and pools at the highest, which has to be {END}: name "
                "the folder of OpenAI's with ?base=PATH"
            )
        return cls(tokenizer, start, end, length)

    def ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of texts, padded with 0 to the longest of them, shape ``(len(texts), at most length)``.

        Longer texts are cut. What looks like a start or an end among the data's words is text.
        """
        inner = self.tokenizer(
            [cleaned(text) for text in texts], add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        rows = [[self.start, *row[: self.length - 2], self.end] for row in inner]
        padded = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        for at, row in enumerate(rows):
            padded[at, : len(row)] = row
        return padded


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return (folder / "tokenizer.json").is_file() or all((folder / name).is_file() for name in TOKENIZER_FILES[-2:])

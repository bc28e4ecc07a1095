"""Pixels against the processor's arithmetic done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from checkpoints import VIRTUE

from evalkit.embedders.vlm.patching import Patching
from evalkit.embedders.vlm.vlm2vec import SIZINGS
from evalkit.errors import EmbedderError, UsageError
from evalkit.items.images import ImageFile

MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])


def picture(folder: Path, width: int, height: int) -> ImageFile:
    """Noise of a size."""
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
    return ImageFile(folder, f"{width}x{height}.png")


@pytest.mark.parametrize(
    ("size", "resolution", "steps"),
    [
        ((100, 60), "native", [(112, 56)]),
        ((27, 300), "native", [(56, 56)]),  # under 28 on a side: 56 x 56, without the ratio
        ((28, 28), "native", [(56, 56)]),  # the least that the processor makes
        ((3000, 300), "native", [(2996, 308)]),
        ((2000, 1500), "native", [(1148, 840)]),  # over 1280 tokens
        ((5900, 29), "native", [(980, 980)]),  # over 200 times as long as wide: a square
        ((6000, 30), "native", [(5992, 28)]),
        ((100, 60), "high", [(1344, 1344), (980, 980)]),
        ((27, 300), "high", [(1344, 1344), (980, 980)]),
    ],
)
@pytest.mark.slow(0.3)
def test_sizes_and_pixels(size: tuple[int, int], resolution: str, steps: list[tuple[int, int]], tmp_path: Path) -> None:
    image = picture(tmp_path, *size)
    pictures = Patching(VIRTUE, SIZINGS["high" if resolution == "high" else "native"], "")
    found = pictures.prepare(image)
    width, height = steps[-1]
    assert (found.rows, found.columns) == (height // 14, width // 14)
    assert pictures.tokens(*size) == found.rows * found.columns // 4
    by_hand = image.rgb()
    for step in steps:
        by_hand = by_hand.resize(step, PIL.Image.Resampling.BICUBIC)
    wanted = ((np.asarray(by_hand) / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(found.pixels, wanted, atol=1e-5)
    # The first four patches are the corner's square of two by two, each pixel twice (for two frames of video).
    corner = [wanted[:, y : y + 14, x : x + 14] for y in (0, 14) for x in (0, 14)]
    np.testing.assert_allclose(
        found.patches[:4], [np.repeat(patch[:, None], 2, axis=1).ravel() for patch in corner], atol=1e-5
    )


def test_limits_are_the_released_ones_whatever_the_file_says(tmp_path: Path) -> None:
    text = (VIRTUE / "preprocessor_config.json").read_text()
    assert "1003520" in text
    (tmp_path / "preprocessor_config.json").write_text(text.replace("1003520", "12845056").replace("3136", "784"))
    image = picture(tmp_path, 2000, 1500)
    pictures = Patching(tmp_path, SIZINGS["native"], "")
    assert pictures.prepare(image).patches.shape[0] == 82 * 60
    assert pictures.tokens(28, 28) == 4


def test_a_processor_that_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"preprocessor_config.json is missing: get it"):
        Patching(tmp_path, SIZINGS["native"], "get it")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(EmbedderError, match="is no Qwen2-VL image processor"):
        Patching(tmp_path, SIZINGS["native"], "get it")

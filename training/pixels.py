"""Images as the embedders' own processors make them, many at once.

What the processor resized is kept as bytes, and normalised and cut up again each time; a test holds these few lines
against the processor itself.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SAM_MEAN, SAM_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH, MERGE, FRAMES = 14, 2, 2


def normalised(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 of shape ``(n, height, width, 3)`` to float32 of shape ``(n, 3, height, width)``."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (pixels - _channels(CLIP_MEAN)) / _channels(CLIP_STD)


def restored(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Undo :func:`normalised` for one image: shape ``(3, height, width)`` to ``(height, width, 3)``."""
    whole = pixels.transpose(1, 2, 0) * np.array(CLIP_STD) + np.array(CLIP_MEAN)
    back: NDArray[np.uint8] = np.round(whole * 255).astype(np.uint8)
    return back


def patches(pixels: torch.Tensor) -> torch.Tensor:
    """Qwen2-VL's patches, shape ``(n * patches, 3 * 2 * 14 * 14)``, in the vision tower's order."""
    count, channels, height, width = pixels.shape
    cut = pixels.reshape(
        count, channels, height // PATCH // MERGE, MERGE, PATCH, width // PATCH // MERGE, MERGE, PATCH
    ).permute(0, 2, 5, 3, 6, 1, 4, 7)
    doubled = cut.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, FRAMES, -1, -1)
    return doubled.reshape(count * (height // PATCH) * (width // PATCH), -1)


def square(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """What SAM 2 sees of them: its square, normalised a second time, as VIRTUE has it."""
    resized = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    return (resized - _channels(SAM_MEAN)) / _channels(SAM_STD)


def _channels(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)

"""Two towers, one for text and one for images, whose features share a space and are summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.embedders.checkpointed import Checkpointed

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from evalkit.items import Item, Side
    from evalkit.items.images import ImageFile


class Towers(Checkpointed):
    """An embedder of two towers; the vector of an item with an image and a text is the sum of their features.

    The features are summed with weight 1 and not normalised before, as the published baselines have it (VLM2Vec v1,
    ``evaluation/eval_clip.py``, ``eval_siglip.py`` and ``eval_blip.py``; UniIR, ``clip_sf.py``). A family adds the
    towers, and what of an item its text tower reads.
    """

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed a batch.

        An item with an image and blank text is its image alone; an item without an image is its text, even
        where that is blank. Regions are not seen.

        Args:
            items: the batch.
            side: query or candidate.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            UsageError: a file of the checkpoint is missing.
            EmbedderError: a file of the checkpoint is broken or does not fit the others.
            ImageError: an image is missing, broken or too narrow.
        """
        import torch

        texts = [self._text(item, side) for item in items]
        pictures = {row: item.image for row, item in enumerate(items) if item.image is not None}
        written = [row for row, text in enumerate(texts) if row not in pictures or text.strip()]
        device = self._device
        total = torch.zeros(len(items), self._dimension, device=device)
        half = torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=self._dtype == "bfloat16")
        with torch.inference_mode(), half:
            if written:
                total[written] += self._text_features([texts[row] for row in written]).float()
            if pictures:
                total[list(pictures)] += self._image_features(list(pictures.values())).float()
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(total, dim=-1).cpu().numpy()
        return vectors

    def _text(self, item: Item, side: Side) -> str:
        """What of an item the text tower reads; blank where it has no say."""
        raise NotImplementedError

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        """Features of texts, shape ``(len(texts), dimension)``."""
        raise NotImplementedError

    def _image_features(self, images: list[ImageFile]) -> torch.Tensor:
        """Features of images, shape ``(len(images), dimension)``."""
        raise NotImplementedError

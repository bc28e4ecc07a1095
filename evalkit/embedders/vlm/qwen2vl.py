"""Qwen2-VL and Qwen2.5-VL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import load_model
from evalkit.embedders.vlm.adapters import merged
from evalkit.embedders.vlm.backbone import Backbone, Seen, Vlm, read_config
from evalkit.embedders.vlm.patching import PatchedImage, Patching, Sizing

if TYPE_CHECKING:
    import torch

IMAGE_TOKEN = "<|image_pad|>"


class QwenVlm(Vlm):
    """Qwen2-VL's tower and language model; Qwen2.5-VL has the same interface."""

    def look(self, pictures: Sequence[PatchedImage]) -> list[Seen]:
        """Features of images, through the vision tower together."""
        merge = pictures[0].merge
        return [
            Seen(one, picture.rows // merge, picture.columns // merge)
            for one, picture in zip(self._features(pictures).pooler_output, pictures, strict=True)
        ]

    def _features(self, pictures: Sequence[PatchedImage]) -> Any:
        """What the tower gives; its ``pooler_output`` has a tensor an image."""
        import torch

        sizes = torch.tensor([[1, picture.rows, picture.columns] for picture in pictures], device=self._device)
        patches = torch.cat([torch.from_numpy(picture.patches) for picture in pictures]).to(self._device)
        return self._model.get_image_features(patches, sizes)


class Qwen2Vl(Backbone):
    """Qwen2-VL (arXiv 2409.12191)."""

    TYPE: ClassVar[str] = "qwen2_vl"
    MARK: ClassVar[str] = IMAGE_TOKEN
    EMPTY: ClassVar[str | None] = "<|endoftext|>"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``Qwen2VLConfig``."""
        from transformers import Qwen2VLConfig

        return read_config(Qwen2VLConfig, checkpoint)

    def pictures(self, checkpoint: Checkpoint, config: Any, sizing: Sizing) -> Patching:
        """Patches of 14 pixels, merged two by two."""
        return Patching(checkpoint.folder, sizing, checkpoint.way_out)

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> QwenVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        from transformers import Qwen2VLForConditionalGeneration

        return load_qwen(Qwen2VLForConditionalGeneration, checkpoint, base, device, dtype)


class Qwen25Vl(Qwen2Vl):
    """Qwen2.5-VL (arXiv 2502.13923)."""

    TYPE: ClassVar[str] = "qwen2_5_vl"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``Qwen2_5_VLConfig``."""
        from transformers import Qwen2_5_VLConfig

        return read_config(Qwen2_5_VLConfig, checkpoint)

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> QwenVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        return load_qwen(Qwen2_5_VLForConditionalGeneration, checkpoint, base, device, dtype)


def load_qwen(
    kind: Any,
    checkpoint: Checkpoint,
    base: Checkpoint | None,
    device: str,
    dtype: torch.dtype,
    vlm: type[QwenVlm] = QwenVlm,
) -> QwenVlm:
    """A model of the Qwen family with its weights.

    Args:
        kind: transformers' class with the head that predicts words.
        checkpoint: the model, or an adapter.
        base: what the adapter was trained on; ``None`` where ``checkpoint`` is the model.
        device: where it runs.
        dtype: what it computes in.
        vlm: what reads with it.
    """
    # The head is loaded with the rest and let go: no vector depends on it.
    whole: Any = load_model(kind, base or checkpoint, dtype, may_lack=("lm_head.",))
    if base is not None:
        whole = merged(whole, checkpoint)
    return vlm(whole.model.to(device), int(whole.config.image_token_id), device)

"""Qwen3-VL and Qwen3.5: Qwen2-VL's image processor with patches of 16 pixels, positions on three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.vlm.backbone import Seen, read_config
from evalkit.embedders.vlm.patching import PatchedImage
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl, QwenVlm, load_qwen

if TYPE_CHECKING:
    import torch

PIXELS_OF_A_TOKEN = 32 * 32


class DeepQwenVlm(QwenVlm):
    """Qwen3-VL: features of the tower's lower layers are added to the first layers of the language model."""

    def look(self, pictures: Sequence[PatchedImage]) -> list[Seen]:
        """Features of images, with those of the lower layers, through the vision tower together."""
        made = self._features(pictures)
        deep = zip(*made.deepstack_features, strict=True)
        merge = pictures[0].merge
        return [
            Seen(one, picture.rows // merge, picture.columns // merge, layers)
            for one, picture, layers in zip(made.pooler_output, pictures, deep, strict=True)
        ]

    def _states(
        self, embedded: torch.Tensor, places: torch.Tensor, mark: torch.Tensor | None, seen: Sequence[Seen]
    ) -> torch.Tensor:
        import torch

        layers = zip(*(one.deep for one in seen), strict=True)
        states: torch.Tensor = self._language(
            inputs_embeds=embedded,
            position_ids=places,
            attention_mask=None,
            use_cache=False,
            visual_pos_masks=mark,
            deepstack_visual_embeds=[torch.cat(layer) for layer in layers] if seen else None,
        ).last_hidden_state
        return states


class Qwen3Vl(Qwen2Vl):
    """Qwen3-VL (arXiv 2511.21631)."""

    TYPE: ClassVar[str] = "qwen3_vl"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``Qwen3VLConfig``."""
        from transformers import Qwen3VLConfig

        return read_config(Qwen3VLConfig, checkpoint)

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> QwenVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        from transformers import Qwen3VLForConditionalGeneration

        return load_qwen(Qwen3VLForConditionalGeneration, checkpoint, base, device, dtype, DeepQwenVlm)


class Qwen35(Qwen2Vl):
    """Qwen3.5, most of whose layers attend by a recurrent state; what pads on the right comes after it."""

    TYPE: ClassVar[str] = "qwen3_5"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``Qwen3_5Config``."""
        from transformers import Qwen3_5Config

        return read_config(Qwen3_5Config, checkpoint)

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> QwenVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        from transformers import Qwen3_5ForConditionalGeneration

        return load_qwen(Qwen3_5ForConditionalGeneration, checkpoint, base, device, dtype)

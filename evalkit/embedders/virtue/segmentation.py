"""The segmentation stream: SAM 2, a reducer and a connector, from pixels and a prompt to tokens.

What the language model gets is not a mask but the image side of SAM's two-way transformer, that is the map
after it has attended to the prompt (``mask_decoder.py``, ``compute_fused_image_point_embeddings``), cut down by
a convolution and projected by two layers (``model.py``, ``SAM2VLM``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import read_tensors
from evalkit.embedders.virtue.sam_files import find_sam
from evalkit.embedders.virtue.sam_prompts import FRAMES, NO_POINT, Frame, SamPrompt, grid, prompt_of
from evalkit.embedders.virtue.sam_weights import load_sam
from evalkit.errors import EmbedderError, RegionError, UsageError
from evalkit.items import Item, Mask
from evalkit.items.images import ImageFacts
from evalkit.items.regions import fault

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from transformers import Sam2Model

CONNECTOR = "sam2_reducer_and_vlm_layer.pth"
STRIDE = 4  # of the reducer: 64 x 64 places become 16 x 16 tokens
_AT_ONCE = 8  # images of 1024 x 1024 pixels in SAM's encoder, whatever the batch holds
# What SAM 2 takes its pixels for; VIRTUE's are normalised once already, and were in training.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Segmentation:
    """The segmentation stream of a checkpoint, as far as it is known without its weights.

    Args:
        checkpoint: of a VIRTUE.
        frame: the user's choice, or none.
        sam: where SAM 2 is, if the user says so.

    Raises:
        UsageError: the checkpoint has no segmentation stream, or asks for one that is not known.
    """

    REGIONS = frozenset({"box", "point", "points", "mask"})

    def __init__(self, checkpoint: Checkpoint, frame: Frame | None, sam: str | None) -> None:
        self._checkpoint = checkpoint
        self._connector = checkpoint.folder / CONNECTOR
        file = checkpoint.folder / "config.json"
        settings = (checkpoint.config().get("virtue_sam") or {}) if file.is_file() else {}
        if not isinstance(settings, dict) or not settings.get("enabled", True):
            raise UsageError(f"{file} has virtue_sam {settings!r}, so it has no segmentation stream: use vlm2vec:")
        if not self._connector.is_file():
            raise UsageError(
                f"{self._connector} is missing, VIRTUE's connector between SAM 2 and the language model: "
                f"{checkpoint.way_out}, or use vlm2vec: for a Qwen2-VL without it"
            )
        self._points_per_side = settings.get("points_per_side", 3)
        if not isinstance(self._points_per_side, int) or not 1 <= self._points_per_side <= 64:
            raise UsageError(f"{file} has virtue_sam.points_per_side {self._points_per_side!r}: use 1 to 64")
        said_by_file = settings.get("box_frame", FRAMES[0])
        if said_by_file not in FRAMES:
            raise UsageError(f"{file} has virtue_sam.box_frame {said_by_file!r}: use {' or '.join(FRAMES)}")
        self._frame: Frame = frame or said_by_file
        self._files = find_sam(checkpoint, settings, sam)
        self.options = {"frame": self._frame}
        self.digest = self._files.digest

    @property
    def token_count(self) -> int:
        """Tokens that stand in front of an item with an image."""
        return (self._files.frame_size // 16 // STRIDE) ** 2

    def prompt(self, item: Item) -> SamPrompt:
        """What SAM 2 is asked about an item.

        Raises:
            RegionError: the region is not on the item's image.
            ImageError: the image or the mask cannot be read, or the mask is black all over.
        """
        if item.region is None or item.image is None:
            return grid(self._points_per_side, self._files.frame_size)
        region, mask, size = item.region, None, item.image.rgb().size
        if isinstance(region, Mask):
            pixels = region.image.rgb()
            region, mask = Mask(replace(region.image, pixels=pixels)), ImageFacts("", *pixels.size)
        if wrong := fault(region, ImageFacts("", *size), mask):
            raise RegionError(f"{wrong} (item {item.prompt!r})", item)
        return prompt_of(region, size, self._frame, self._files.frame_size)

    def load(self, hidden_size: int, device: str, dtype: torch.dtype) -> SegmentationStream:
        """With its weights.

        Args:
            hidden_size: length of the language model's vectors.
            device: where it runs.
            dtype: what it computes in.

        Raises:
            UsageError: a file is missing.
            EmbedderError: a file is broken, or does not fit the others.
        """
        sam = load_sam(self._files)
        reducer, projector = connector(sam.config.vision_config.fpn_hidden_size, hidden_size)
        saved = read_tensors(self._connector, self._checkpoint.way_out)
        for name, module in (("sam2_reducer", reducer), ("sam2vlm_layer", projector)):
            _fill(module, saved.get(name), f"{name} of {self._connector}", self._checkpoint.way_out)
        return SegmentationStream(sam, reducer, projector, device, dtype)


def connector(width: int, hidden_size: int) -> tuple[nn.Module, nn.Module]:
    """The reducer and the projector between SAM 2 and a language model, of random weights.

    Args:
        width: channels of SAM's map.
        hidden_size: length of the language model's vectors.
    """
    from torch import nn

    reducer = nn.Conv2d(width, width, kernel_size=STRIDE, stride=STRIDE)
    return reducer, nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, hidden_size))


class SegmentationStream:
    """SAM 2 with VIRTUE's reducer and connector.

    Args:
        sam: SAM 2.
        reducer: from its map to fewer places.
        projector: from these to the language model's width.
        device: where it runs.
        dtype: what it computes in. The places of prompts are encoded in float32 at any rate: in bfloat16
            they would be off by pixels.
    """

    def __init__(
        self, sam: Sam2Model, reducer: nn.Module, projector: nn.Module, device: str, dtype: torch.dtype
    ) -> None:
        self._sam: Any = sam.to(device, dtype)
        for part in (sam.prompt_encoder, sam.shared_image_embedding):
            part.float()
        self._reducer, self._projector = reducer.eval().to(device, dtype), projector.eval().to(device, dtype)
        self._device, self._dtype = device, dtype
        self._size = sam.prompt_encoder.input_image_size
        self._places = sam.get_image_wide_positional_embeddings().to(dtype)

    def look(self, pixels: Sequence[NDArray[np.float32]]) -> list[torch.Tensor]:
        """SAM's maps of images, which go through its encoder together; do not depend on the prompt.

        Args:
            pixels: each of shape ``(3, height, width)``, normalised as Qwen2-VL has them.

        Returns:
            Each of shape ``(channels, side, side)``.
        """
        import torch

        mean, std = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        # torchvision's Resize on a tensor: bilinear, averaging over what a pixel covers, without the ratio.
        squares = [
            torch.nn.functional.interpolate(
                torch.from_numpy(whole).to(self._device)[None],
                (self._size, self._size),
                mode="bilinear",
                antialias=True,
            )
            for whole in pixels
        ]
        seen: list[torch.Tensor] = []
        for start in range(0, len(squares), _AT_ONCE):
            batch = (torch.cat(squares[start : start + _AT_ONCE]) - mean) / std
            maps = self._sam.vision_encoder(batch.to(self._dtype)).fpn_hidden_states[-1]
            seen += (maps + self._sam.no_memory_embedding.view(1, -1, 1, 1)).unbind()
        return seen

    def tokens(self, seen: Sequence[torch.Tensor], prompts: Sequence[SamPrompt]) -> torch.Tensor:
        """Tokens of images under prompts.

        Args:
            seen: from :meth:`look`, one an item.
            prompts: one an item.

        Returns:
            Shape ``(items, (side / 4) ** 2, hidden_size)``.
        """
        return self.connect(self.fused(seen, prompts))

    def fused(self, seen: Sequence[torch.Tensor], prompts: Sequence[SamPrompt]) -> torch.Tensor:
        """SAM's maps after they have attended to their prompts.

        Args:
            seen: from :meth:`look`, one an item.
            prompts: one an item.

        Returns:
            Shape ``(items, channels, side, side)``.
        """
        import torch

        rows: list[torch.Tensor] = [torch.empty(0)] * len(prompts)
        lengths = {len(prompt.points) for prompt in prompts}
        for length in lengths:  # prompts of as many points go through the transformer together
            places = [place for place, prompt in enumerate(prompts) if len(prompt.points) == length]
            maps = torch.stack([seen[place] for place in places])
            for place, row in zip(places, self._attended(maps, [prompts[place] for place in places]), strict=True):
                rows[place] = row
        return torch.stack(rows)

    def connect(self, fused: torch.Tensor) -> torch.Tensor:
        """From such maps to tokens, shape ``(items, (side / 4) ** 2, hidden_size)``."""
        tokens: torch.Tensor = self._projector(self._reducer(fused).flatten(2).transpose(1, 2))
        return tokens

    def _attended(self, seen: torch.Tensor, prompts: Sequence[SamPrompt]) -> torch.Tensor:
        import torch

        decoder = self._sam.mask_decoder
        own = torch.cat([decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight])
        asked = self._sparse(prompts).to(self._dtype)
        tokens = torch.cat([own.expand(len(prompts), -1, -1), asked], dim=1)
        _, image_side = decoder.transformer(
            point_embeddings=tokens[:, None],
            image_embeddings=seen + self._dense(prompts).to(self._dtype),
            image_positional_embeddings=self._places.expand(len(prompts), -1, -1, -1),
            attention_similarity=None,
        )
        attended: torch.Tensor = image_side[:, 0].transpose(1, 2).reshape(seen.shape)
        return attended

    def _sparse(self, prompts: Sequence[SamPrompt]) -> torch.Tensor:
        """Embeddings of points and corners, with one empty point after them; (items, points + 1, channels).

        A box goes in as two points with labels of their own, so it gets the empty point, too, as in the
        released code; SAM's own way with boxes in transformers comes to the same.
        """
        import torch

        encoder = self._sam.prompt_encoder
        points = torch.tensor([[*prompt.points, (0.0, 0.0)] for prompt in prompts], device=self._device)
        labels = torch.tensor([[*prompt.labels, NO_POINT] for prompt in prompts], device=self._device)
        where = encoder.shared_embedding((points + 0.5) / self._size)
        what = encoder.point_embed(labels.clamp(min=0))
        embedded: torch.Tensor = torch.where(labels[..., None] < 0, encoder.not_a_point_embed.weight, where + what)
        return embedded

    def _dense(self, prompts: Sequence[SamPrompt]) -> torch.Tensor:
        """Embeddings of masks, or of there being none; (items, channels, side, side) or with sides of 1."""
        import torch

        encoder = self._sam.prompt_encoder
        none: torch.Tensor = encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        if all(prompt.mask is None for prompt in prompts):
            return none.expand(len(prompts), -1, -1, -1)
        side = self._size // 16
        rows = [
            none.expand(-1, -1, side, side)
            if prompt.mask is None
            else encoder.mask_embed(torch.from_numpy(prompt.mask).to(self._device)[None, None])
            for prompt in prompts
        ]
        return torch.cat(rows)


def _fill(module: torch.nn.Module, saved: Any, name: str, way_out: str) -> None:
    """Load a part of the connector, all of it."""
    if not isinstance(saved, dict):
        raise EmbedderError(f"{name} is not there, or holds no weights: {way_out}")
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in saved.items() if hasattr(value, "shape")}
    if found != wanted:
        raise EmbedderError(
            f"{name} has weights of shape {found}; with this SAM 2 and this language model "
            f"they would be {wanted}: {way_out}"
        )
    module.load_state_dict(saved)

"""The family ``virtue:``, a VLM2Vec with a segmentation stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.options import one_of
from evalkit.embedders.virtue.sam_prompts import FRAMES
from evalkit.embedders.virtue.segmentation import Segmentation, SegmentationStream
from evalkit.embedders.vlm.backbone import Backbone, Seen
from evalkit.embedders.vlm.qwen2vl import Qwen2Vl
from evalkit.embedders.vlm.vlm2vec import Vlm2Vec

if TYPE_CHECKING:
    import torch

    from evalkit.items import Item, Side
    from evalkit.items.images import ImageFacts


class Virtue(Vlm2Vec):
    """A VIRTUE checkpoint, Qwen2-VL with SAM 2 in front, regions as its input: ``virtue:PATH_OR_HUB_ID[@REVISION]``.

    Without a region SAM 2 gets a grid of points, as released. An adapter is merged into its base, with peft.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        resolution: ``native``, or ``high`` for the published protocol: a square of 1344 pixels first, then
            the processor's limit.
        frame: how boxes and points reach SAM 2: ``sam``, scaled to its square, or ``raw_pixels``, as they
            are. Where it is not given: what the checkpoint says (``virtue_sam.box_frame``), else
            ``raw_pixels``, as the released SCaR checkpoints were trained and scored.
        sam: SAM 2's ``.pt`` file, folder or hub repository, where it does not lie in the checkpoint.
        base: the model that an adapter was trained on, where it is not the one that the adapter names.

    Raises:
        UsageError: no such checkpoint, not a VIRTUE, a file of it or its SAM 2 is missing, no such device, or an
            option that is not known.
    """

    FAMILY: ClassVar[str] = "virtue"
    BACKBONES: ClassVar[tuple[Backbone, ...]] = (Qwen2Vl(),)
    REGIONS: ClassVar[frozenset[str]] = Segmentation.REGIONS

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        resolution: str = "native",
        frame: str | None = None,
        sam: str | None = None,
        base: str | None = None,
    ) -> None:
        chosen = None if frame is None else one_of("frame", frame, FRAMES)
        super().__init__(path, revision=revision, device=device, dtype=dtype, resolution=resolution, base=base)
        self._segmentation = Segmentation(self._checkpoint, chosen, sam)

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens that the language model reads: text (estimated), image, segmentation.

        Raises:
            UsageError: a file of the checkpoint is missing.
        """
        pictured = item.image is not None and image is not None
        return super().cost(item, image) + (self._segmentation.token_count if pictured else 0)

    def _read_pictured(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        seen = self._look([item.image for item in items if item.image is not None])
        prompts = [self._segmentation.prompt(item) for item in items]
        segments = self._stream.tokens([one.map for one in seen if one.map is not None], prompts)
        return self._vlm.read(self._pictured_ids(items, seen, side), seen, segments)

    def _encoded(self, prepared: Sequence[Any]) -> list[Seen]:
        maps = self._stream.look([picture.pixels for picture in prepared])
        return [replace(one, map=seen) for one, seen in zip(super()._encoded(prepared), maps, strict=True)]

    @property
    def _options(self) -> dict[str, str]:
        return super()._options | self._segmentation.options

    @property
    def _digests(self) -> list[str]:
        return [*super()._digests, self._segmentation.digest]

    @cached_property
    def _stream(self) -> SegmentationStream:
        return self._segmentation.load(self._dimension, self._device, self._torch_dtype)

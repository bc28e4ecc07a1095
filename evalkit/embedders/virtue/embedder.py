"""The families ``virtue:`` and ``vlm2vec:``: one language model, with and without a segmentation stream."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evalkit.device import pick_device, pick_dtype, torch_facts
from evalkit.embedders.base import OURS, EmbedderInfo
from evalkit.embedders.checkpoint import Checkpoint, resolve
from evalkit.embedders.loading import one_of
from evalkit.embedders.virtue.adapters import base_of
from evalkit.embedders.virtue.language import LanguageStream, Vocabulary, read_config
from evalkit.embedders.virtue.patching import RESOLUTIONS, Patching
from evalkit.embedders.virtue.segmentation import Segmentation, SegmentationStream
from evalkit.items import IMAGE_MARK

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import Qwen2VLConfig

    from evalkit.items import Item, Side
    from evalkit.items.images import Identity, ImageFacts, ImageFile

CODE_VERSION = "2"  # raise it when this package begins to give other vectors for the same checkpoint
KEPT_BYTES = 256 << 20
"""Bytes of image features that outlive their batch; VIRTUE-2B has 6 MB an image of 1225 tokens in bfloat16."""


@dataclass(frozen=True)
class _Seen:
    """One image through the image encoders.

    Attributes:
        features: of Qwen2-VL's vision tower, shape (tokens, hidden size).
        map: of SAM 2, shape (channels, side, side), where there is a segmentation stream.
    """

    features: torch.Tensor
    map: torch.Tensor | None

    @property
    def bytes(self) -> int:
        parts = (self.features, self.map)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


class _Qwen2VlEmbedder:
    """What both families share.

    Args:
        path: a folder, or a hub repository in the local cache.
        revision: of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``auto``, ``float32`` or ``bfloat16``.
        resolution: ``native`` or ``high``.
        base: what an adapter was trained on.

    Attributes:
        images_encoded: images that the image encoders ran on since the embedder was made.
    """

    def __init__(
        self, path: str, revision: str | None, device: str, dtype: str, resolution: str, base: str | None
    ) -> None:
        self._device = pick_device(device)
        self._dtype = pick_dtype(dtype, self._device)
        self._resolution = one_of("resolution", resolution, RESOLUTIONS)
        self._checkpoint: Checkpoint = resolve(path, revision)
        self._base = base_of(self._checkpoint, base)
        self._config: Qwen2VLConfig = read_config(self._holder("config.json"))
        self._segmentation: Segmentation | None = None
        self._kept: OrderedDict[Identity, _Seen] = OrderedDict()
        self.images_encoded = 0

    @cached_property
    def info(self) -> EmbedderInfo:
        """Read from the configuration; reads every file once for the fingerprint, loads no weights.

        Raises:
            UsageError: a file is missing.
        """
        options = {"dtype": self._dtype, "resolution": self._resolution}
        digests = [self._checkpoint.digest, *([self._base.digest] if self._base is not None else [])]
        if self._segmentation is not None:
            options |= self._segmentation.options
            digests.append(self._segmentation.digest)
        depends_on = [type(self).__name__, CODE_VERSION, digests, self._device.partition(":")[0], options]
        return EmbedderInfo(
            name=self._checkpoint.name,
            dimension=self._hidden_size,
            revision=self._checkpoint.revision or self._checkpoint.digest,
            regions=Segmentation.REGIONS if self._segmentation is not None else frozenset(),
            fingerprint=OURS + hashlib.sha256(json.dumps(depends_on).encode()).hexdigest(),
            options=options,
        )

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed a batch; both sides are treated alike.

        Each image goes through the image encoders by itself and once, however many items of the batch and of
        the batch before it ask about it. A vector depends on its item alone.

        Args:
            items: the batch. Items with an image and without are embedded apart where they come together.
            side: query or candidate.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            UsageError: a file of the checkpoint is missing.
            EmbedderError: a file of the checkpoint is broken or does not fit the others, or a prompt does not
                say where its image goes.
            ImageError: an image or a mask is missing or broken, or the mask is black all over.
            RegionError: a region is not on its image.
        """
        import numpy as np
        import torch

        vectors = np.empty((len(items), self._hidden_size), dtype=np.float32)
        texts = [row for row, item in enumerate(items) if item.image is None]
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        with torch.inference_mode():
            if texts:
                vectors[texts] = self._read_texts([items[row] for row in texts]).cpu().numpy()
            if pictured:
                vectors[pictured] = self._read_pictured([items[row] for row in pictured]).cpu().numpy()
        return vectors

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens that the language model reads: text (estimated), image, segmentation.

        Raises:
            UsageError: a file of the checkpoint is missing.
        """
        tokens = len(item.prompt) // 3 + 2
        if item.image is None or image is None:
            return tokens
        in_front = self._segmentation.token_count if self._segmentation is not None else 0
        return tokens + self._patching.tokens(image.width, image.height) + in_front

    @property
    def computing(self) -> Mapping[str, str]:
        """Its attention kernel, and the state of torch."""
        return {"attention": str(self._language.config._attn_implementation)} | torch_facts()

    def _read_texts(self, items: Sequence[Item]) -> torch.Tensor:
        # A text that begins with the mark itself has it in its prompt, too.
        marked = [not item.text.startswith(IMAGE_MARK) for item in items]
        prompts = [item.prompt for item in items]
        ids = self._vocabulary.ids
        return self._language.read([ids(p, None, marked=mark) for p, mark in zip(prompts, marked, strict=True)])

    def _read_pictured(self, items: Sequence[Item]) -> torch.Tensor:
        seen = self._look([item.image for item in items if item.image is not None])
        features = [one.features for one in seen]
        texts = [self._vocabulary.ids(item.prompt, len(one)) for item, one in zip(items, features, strict=True)]
        if self._stream is None or self._segmentation is None:
            return self._language.read(texts, features)
        prompts = [self._segmentation.prompt(item) for item in items]
        maps = [one.map for one in seen if one.map is not None]
        return self._language.read(texts, features, self._stream.tokens(maps, prompts))

    def _look(self, images: Sequence[ImageFile]) -> list[_Seen]:
        """The images through the image encoders, those that are not kept from before."""
        keys = [image.identity() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self._kept}
        try:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "evalkit-pictures") as threads:
                for key, picture in zip(new, threads.map(self._patching.prepare, new.values()), strict=True):
                    seen_by_sam = self._stream.look(picture.pixels) if self._stream is not None else None
                    self._kept[key] = _Seen(self._language.look(picture), seen_by_sam)
                    self.images_encoded += 1
            return [self._kept[key] for key in keys]
        finally:
            for key in keys:  # those of this batch last: the next one may begin with the last of them
                if key in self._kept:
                    self._kept.move_to_end(key)
            size = sum(one.bytes for one in self._kept.values())
            while size > KEPT_BYTES:
                size -= self._kept.popitem(last=False)[1].bytes

    @property
    def _hidden_size(self) -> int:
        return int(self._config.text_config.hidden_size)

    @cached_property
    def _torch_dtype(self) -> torch.dtype:
        import torch

        return torch.float32 if self._dtype == "float32" else torch.bfloat16

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._holder("tokenizer.json", "vocab.json"), int(self._config.image_token_id))

    @cached_property
    def _patching(self) -> Patching:
        holder = self._holder("preprocessor_config.json")
        return Patching(holder.folder, self._resolution, holder.way_out)

    @cached_property
    def _language(self) -> LanguageStream:
        return LanguageStream.load(self._checkpoint, self._base, self._device, self._torch_dtype)

    @cached_property
    def _stream(self) -> SegmentationStream | None:
        if self._segmentation is None:
            return None
        return self._segmentation.load(self._hidden_size, self._device, self._torch_dtype)

    def _holder(self, *names: str) -> Checkpoint:
        """Where a file lies: a trainer does not copy all of them beside an adapter; the rest are its base's."""
        here = any((self._checkpoint.folder / name).is_file() for name in names)
        return self._checkpoint if here or self._base is None else self._base


class Vlm2Vec(_Qwen2VlEmbedder):
    """A VLM2Vec checkpoint, Qwen2-VL with the last token as its vector: ``vlm2vec:PATH_OR_HUB_ID[@REVISION]``.

    A region reaches it through its prompt alone. An adapter (LoRA, DoRA) is merged into its base, with peft.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        resolution: ``native``, or ``high`` for the published protocol: a square of 1344 pixels first, then
            the processor's limit.
        base: the model that an adapter was trained on, where it is not the one that the adapter names.

    Raises:
        UsageError: no such checkpoint, not a Qwen2-VL, no such device, or an option that is not known.
    """

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        resolution: str = "native",
        base: str | None = None,
    ) -> None:
        super().__init__(path, revision, device, dtype, resolution, base)


class Virtue(_Qwen2VlEmbedder):
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
        super().__init__(path, revision, device, dtype, resolution, base)
        self._segmentation = Segmentation(self._checkpoint, frame, sam)

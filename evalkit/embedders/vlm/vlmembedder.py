"""An embedder made of a vision-language model: items are written, their images looked at, and read to a vector."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.checkpointed import Checkpointed
from evalkit.embedders.vlm.adapters import base_of
from evalkit.embedders.vlm.backbone import Backbone, Pictures, Positions, Seen, Vlm
from evalkit.embedders.vlm.patching import Sizing
from evalkit.embedders.vlm.template import IMAGE, Prompt
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from evalkit.items.images import Identity, ImageFacts, ImageFile

KEPT_BYTES = 256 << 20
"""Bytes of image features that outlive their batch; VIRTUE-2B has 6 MB an image of 1225 tokens in bfloat16."""


@dataclass(frozen=True)
class Recipe:
    """What makes a family of a backbone, a row of the table of families.

    Attributes:
        wording: what is written of an item on its side.
        sizing: how large images are made.
        positions: what the language model counts its tokens by.
        longest: tokens that a query and a candidate are cut off at, counted with those of the image; ``None`` for no
            limit.
        longest_text: those that an item without an image is cut off at on either side; ``longest`` where it is
            ``None``, and the tokenizer's own limit where that is, too.
    """

    wording: Callable[[Item, Side], Prompt]
    sizing: Sizing
    positions: Positions = "1d"
    longest: tuple[int | None, int | None] = (None, None)
    longest_text: int | None = None


class VlmEmbedder(Checkpointed):
    """What all families of vision-language models share.

    The vector is the state of the last token after the final norm. An adapter (LoRA, DoRA) is merged into its base,
    with peft.

    A family says what it writes and how large it makes images (:attr:`_recipe`); one that has options of its own takes
    them beside these.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        base: the model that an adapter was trained on, where it is not the one that the adapter names.

    Attributes:
        BACKBONES: the architectures that it takes.
        images_encoded: images that the image encoders ran on since the embedder was made.

    Raises:
        UsageError: no such checkpoint, one of another architecture, no such device, or a dtype that is not known.
    """

    BACKBONES: ClassVar[tuple[Backbone, ...]]

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        base: str | None = None,
    ) -> None:
        super().__init__(path, revision, device, dtype)
        self._base = base_of(self._checkpoint, base)
        self._backbone = self._find_backbone()
        self._config: Any = self._backbone.config(self._holder("config.json"))
        self._kept: OrderedDict[Identity, Seen] = OrderedDict()
        self.images_encoded = 0

    @property
    def _recipe(self) -> Recipe:
        """The family's, for this backbone and these options."""
        raise NotImplementedError

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed a batch.

        The images of a batch go through the image encoders together and each of them once, however many items of the
        batch and of the batch before it ask about it. A vector depends on its item alone.

        Args:
            items: the batch. Items with an image and without are embedded apart where they come together.
            side: query or candidate.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            UsageError: a file of the checkpoint is missing.
            EmbedderError: a file of the checkpoint is broken or does not fit the others, or a prompt does not
                say where its image goes, or is cut before its image ends.
            ImageError: an image or a mask is missing or broken, or the mask is black all over.
            RegionError: a region is not on its image.
        """
        import numpy as np
        import torch

        vectors = np.empty((len(items), self._dimension), dtype=np.float32)
        texts = [row for row, item in enumerate(items) if item.image is None]
        pictured = [row for row, item in enumerate(items) if item.image is not None]
        with torch.inference_mode():
            if texts:
                vectors[texts] = self._read_texts([items[row] for row in texts], side).cpu().numpy()
            if pictured:
                vectors[pictured] = self._read_pictured([items[row] for row in pictured], side).cpu().numpy()
        return vectors

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens that the language model reads: what is written of a query, image.

        Raises:
            UsageError: a file of the checkpoint is missing.
            EmbedderError: its tokenizer is broken.
        """
        written = "".join(piece.text for piece in self._recipe.wording(item, "query") if piece.kind != "image")
        tokens = max(1, self._tokens.count(written))
        if item.image is None or image is None:
            return tokens
        return tokens + self._pictures.tokens(image.width, image.height)

    def prompt(self, item: Item, side: Side) -> Prompt:
        """What is read of an item.

        Raises:
            EmbedderError: a prompt with an image that has no mark for it.
        """
        prompt = self._recipe.wording(item, side)
        if item.image is not None and IMAGE not in prompt:
            raise EmbedderError(f"prompt {item.prompt!r} does not say where its image goes: write <image> into it")
        return prompt

    def _read_texts(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        rows = self._tokens.ids([self.prompt(item, side) for item in items])
        limit = self._recipe.longest_text or self._recipe.longest[side == "candidate"] or self._tokens.longest
        return self._vlm.read([self._tokens.cut(ids, limit) for ids in rows])

    def _read_pictured(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        seen = self._look([item.image for item in items if item.image is not None])
        return self._vlm.read(self._pictured_ids(items, seen, side), seen, positions=self._recipe.positions)

    def _pictured_ids(self, items: Sequence[Item], seen: Sequence[Seen], side: Side) -> list[list[int]]:
        """Token ids of items with images, an image as many tokens as it has features."""
        rows = self._tokens.ids([self.prompt(item, side) for item in items])
        limit = self._recipe.longest[side == "candidate"]
        whole = [self._tokens.expanded(ids, len(one.features)) for ids, one in zip(rows, seen, strict=True)]
        cut = [self._tokens.cut(ids, limit) for ids in whole]
        for item, ids, one in zip(items, cut, seen, strict=True):
            if self._tokens.marks(ids) < len(one.features):
                raise EmbedderError(
                    f"prompt {item.prompt[:80]!r}… is cut at {limit} tokens, before its image of {len(one.features)} "
                    "tokens ends: make shorter what stands before the image"
                )
        return cut

    def _look(self, images: Sequence[ImageFile]) -> list[Seen]:
        """The images through the image encoders, those that are not kept from before."""
        keys = [image.identity() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self._kept}
        try:
            if new:
                with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "evalkit-pictures") as threads:
                    prepared = list(threads.map(self._pictures.prepare, new.values()))
                self._kept |= zip(new, self._encoded(prepared), strict=True)
                self.images_encoded += len(new)
            return [self._kept[key] for key in keys]
        finally:
            for key in keys:  # those of this batch last: the next one may begin with the last of them
                if key in self._kept:
                    self._kept.move_to_end(key)
            size = sum(one.bytes for one in self._kept.values())
            while size > KEPT_BYTES:
                size -= self._kept.popitem(last=False)[1].bytes

    def _encoded(self, prepared: Sequence[Any]) -> list[Seen]:
        """Prepared images through the image encoders, together."""
        return self._vlm.look(prepared)

    @property
    def _dimension(self) -> int:
        return self._backbone.hidden_size(self._config)

    @property
    def _attention(self) -> str:
        return self._vlm.attention

    @property
    def _digests(self) -> list[str]:
        return [*super()._digests, *([self._base.digest] if self._base is not None else [])]

    @cached_property
    def _torch_dtype(self) -> torch.dtype:
        import torch

        return torch.float32 if self._dtype == "float32" else torch.bfloat16

    @cached_property
    def _tokens(self) -> Tokens:
        return self._backbone.tokens(self._holder("tokenizer.json", "vocab.json"), self._config)

    @cached_property
    def _pictures(self) -> Pictures:
        holder = self._holder("preprocessor_config.json", "processor_config.json")
        return self._backbone.pictures(holder, self._config, self._recipe.sizing)

    @cached_property
    def _vlm(self) -> Vlm:
        return self._backbone.load(self._checkpoint, self._base, self._device, self._torch_dtype)

    def _find_backbone(self) -> Backbone:
        holder = self._holder("config.json")
        kind = holder.config().get("model_type")
        for backbone in self.BACKBONES:
            if kind == backbone.TYPE:
                return backbone
        raise UsageError(
            f"{holder.folder / 'config.json'} is of model_type {kind!r}; the family {self.FAMILY} takes "
            f"{' and '.join(backbone.TYPE for backbone in self.BACKBONES)}: name another family, or another checkpoint"
        )

    def _holder(self, *names: str) -> Checkpoint:
        """Where a file lies: a trainer does not copy all of them beside an adapter; the rest are its base's."""
        here = any((self._checkpoint.folder / name).is_file() for name in names)
        return self._checkpoint if here or self._base is None else self._base

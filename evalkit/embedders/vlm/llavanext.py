"""LLaVA-NeXT: a CLIP tower over the whole image and over its tiles, in front of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import load_model, said
from evalkit.embedders.vlm.adapters import merged
from evalkit.embedders.vlm.backbone import Backbone, Seen, Vlm, read_config
from evalkit.embedders.vlm.patching import Sizing
from evalkit.errors import EmbedderError, ImageError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFile

_MOST_TILES = 64  # in the tower at once, whatever the batch holds


@dataclass(frozen=True)
class TiledImage:
    """One image, ready for the vision tower.

    Attributes:
        tiles: float32, shape ``(tiles, 3, side, side)``: the whole image, then its tiles row by row.
        size: height and width of the image before it was cut.
        tokens: that the language model reads of it.
    """

    tiles: NDArray[np.float32]
    size: tuple[int, int]
    tokens: int


class Tiling:
    """Prepares images; threads may share one.

    Args:
        checkpoint: where ``preprocessor_config.json`` lies.
        config: of the model.
        sizing: what comes before the processor; limits it has none.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it does not describe LLaVA-NeXT's image processor, or tiles of another size than the tower's.
    """

    def __init__(self, checkpoint: Checkpoint, config: Any, sizing: Sizing) -> None:
        from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

        file, way_out = checkpoint.folder / "preprocessor_config.json", checkpoint.way_out
        if not file.is_file():
            raise UsageError(f"{file} is missing: {way_out}")
        try:
            # The grid is the model's: it undoes the cut by its own.
            self._processor: Any = LlavaNextImageProcessorPil.from_pretrained(
                checkpoint.folder, local_files_only=True, image_grid_pinpoints=config.image_grid_pinpoints
            )
            side = int(self._processor.crop_size["height"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EmbedderError(f"{file} is no LLaVA-NeXT image processor ({said(error)}): {way_out}") from error
        vision = config.vision_config
        if side != vision.image_size:
            raise EmbedderError(f"{file} makes tiles of {side} pixels, the model takes {vision.image_size}: {way_out}")
        self._pinpoints, self._side = config.image_grid_pinpoints, side
        self._per_side = vision.image_size // vision.patch_size
        self._whole = self._per_side**2 + (config.vision_feature_select_strategy == "full")
        self._first = sizing.first

    def prepare(self, image: ImageFile) -> TiledImage:
        """Decode, resize, cut and normalise one image.

        Raises:
            ImageError: it cannot be decoded, or is too narrow.
        """
        decoded = image.rgb()
        try:
            size = self._first(*decoded.size)
            if size is not None:
                decoded = decoded.resize(size)  # Pillow's default for RGB, bicubic, as released
            made = self._processor(images=[decoded], return_tensors="np")
        except ValueError as error:
            raise ImageError(
                f"image {image.path} of {decoded.width} x {decoded.height} pixels cannot be cut into tiles "
                f"({said(error)}): leave its row out",
                image,
            ) from error
        return TiledImage(made["pixel_values"][0], (decoded.height, decoded.width), self._count(*decoded.size))

    def tokens(self, width: int, height: int) -> int:
        """Tokens of an image of this stored size, for batching."""
        return self._count(*(self._first(width, height) or (width, height)))

    def _count(self, width: int, height: int) -> int:
        """Tokens of the whole, and of the tiles with a newline a row, without what only pads the image to the grid."""
        from transformers.image_processing_utils import select_best_resolution

        down, across = select_best_resolution((height, width), self._pinpoints)
        rows, columns = (self._per_side * (length // self._side) for length in (down, across))
        if width / height > columns / rows:
            rows -= (rows - int(round(height * columns / width, 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * rows / height, 7))) // 2 * 2
        return int(self._whole + rows * columns + rows)


class LlavaNextVlm(Vlm):
    """LLaVA-NeXT's tower and language model; its positions are of one dimension."""

    def look(self, pictures: Sequence[TiledImage]) -> list[Seen]:
        """Features of images, as many tiles through the tower together as it takes."""
        import torch

        seen: list[Seen] = []
        batch: list[TiledImage] = []
        for picture in (*pictures, None):
            if batch and (picture is None or sum(len(one.tiles) for one in (*batch, picture)) > _MOST_TILES):
                tiles = torch.cat([torch.from_numpy(one.tiles) for one in batch]).to(self._device, self._dtype)
                sizes = torch.tensor([one.size for one in batch], device=self._device)
                seen += [Seen(one) for one in self._model.get_image_features(tiles, sizes).pooler_output]
                batch = []
            if picture is not None:
                batch.append(picture)
        return seen

    def _states(
        self, embedded: torch.Tensor, places: torch.Tensor, mark: torch.Tensor | None, seen: Sequence[Seen]
    ) -> torch.Tensor:
        return super()._states(embedded, places[0], mark, seen)

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._model.dtype
        return dtype


class LlavaNext(Backbone):
    """LLaVA-NeXT (LLaVA 1.6) with a CLIP tower and a Llama or Mistral."""

    TYPE: ClassVar[str] = "llava_next"
    MARK: ClassVar[str] = "<image>"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``LlavaNextConfig``."""
        from transformers import LlavaNextConfig

        return read_config(LlavaNextConfig, checkpoint)

    def pictures(self, checkpoint: Checkpoint, config: Any, sizing: Sizing) -> Tiling:
        """The whole image and tiles of 336 pixels."""
        return Tiling(checkpoint, config, sizing)

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> LlavaNextVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        from transformers import LlavaNextForConditionalGeneration

        whole: Any = load_model(LlavaNextForConditionalGeneration, base or checkpoint, dtype, may_lack=("lm_head.",))
        if base is not None:
            whole = merged(whole, checkpoint)
        return LlavaNextVlm(whole.model.to(device), int(whole.config.image_token_id), device)

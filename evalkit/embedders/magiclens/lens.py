"""MagicLens: an image and a text become one vector, that of the image that the text asks for.

What is embedded is always an image with a text, blank or not: the published evaluation (``inference.py`` and
``data_utils.py`` of google-deepmind/magiclens) has a query's image with what is asked of it in words ("find … but …",
"find this object in cartoon"), and candidate images with the blank text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.checkpointed import Checkpointed
from evalkit.embedders.magiclens.flaxfile import read_arrays, read_shapes
from evalkit.embedders.magiclens.lenshead import fused
from evalkit.embedders.magiclens.lenslayout import LensSizes, clip_config, clip_weights, head_weights, sizes_of
from evalkit.embedders.magiclens.lenspixels import pixels
from evalkit.embedders.openaiclip import OpenAiTokens, find_tokenizer, normalised
from evalkit.embedders.options import one_of, yes_or_no
from evalkit.embedders.pickedfiles import PickedFiles
from evalkit.errors import ItemError, UsageError
from evalkit.items import Item, Side

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from evalkit.items.images import ImageFacts

_ORIGIN = "get it again; the released ones are in gs://gresearch/magiclens/models"


@dataclass(frozen=True)
class _Lens:
    """The loaded model: transformers' CLIP, the head's weights."""

    clip: Any
    head: dict[str, torch.Tensor]


class MagicLens(Checkpointed):
    """A MagicLens as it was released, ``magic_lens_clip_base.pkl`` or ``_large.pkl``: ``magiclens:PATH[?key=value]``.

    The pickle is read, not run. Weights are flax's; its CLIP and its head are computed with torch.

    Args:
        path: the file, a folder that holds it, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        base: where OpenAI's CLIP tokenizer is, a folder or a hub repository in the local cache. Left out: beside the
            weights, else ``openai/clip-vit-large-patch14`` or ``openai/clip-vit-base-patch16``, whose tokenizers are
            one.
        size: ``base`` or ``large``, where a folder holds both.
        instruction: put a query's instruction before its text; candidates have none.
        text: what becomes of items without an image, of which the authors say nothing: ``none``, they are refused, or
            ``clip``, the text beside a black image, which the model was never trained on.
        dtype: ``float32``, ``bfloat16`` (autocast, of the two towers alone), or ``auto``: bfloat16 on CUDA, float32 on
            the CPU.

    Raises:
        UsageError: no such file or tokenizer, not a MagicLens, no such device, an option that is not known, or msgpack
            is not installed.
        EmbedderError: the file is broken, or holds anything but weights as flax saves them.
    """

    FAMILY: ClassVar[str] = "magiclens"
    CODE_VERSION: ClassVar[str] = "1"
    MODALITIES: ClassVar[frozenset[str]] = frozenset({"image", "image+text"})

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        base: str | None = None,
        size: str | None = None,
        instruction: bool | str = True,
        text: str = "none",
        dtype: str = "auto",
    ) -> None:
        self._told = yes_or_no("instruction", instruction)
        self._text_alone = one_of("text", text, ("none", "clip"))
        if size is not None:
            one_of("size", size, ("base", "large"))
        file = Path(path).expanduser()
        folder = str(file.parent) if file.is_file() else path
        super().__init__(folder, revision, device, dtype)
        self._checkpoint = weights = _weights(self._checkpoint, file if file.is_file() else None, size)
        self._file = weights.folder / weights.files[0]
        self._tokenizer = find_tokenizer(base, weights.folder, "MagicLens")
        self._sizes: LensSizes = self._measured()

    def _measured(self) -> LensSizes:
        shapes = read_shapes(self._file, self._checkpoint.way_out)
        try:
            return sizes_of(shapes)
        except ValueError as error:
            raise UsageError(f"{self._file} is no MagicLens: it {error}; {self._checkpoint.way_out}") from error

    @cached_property
    def info(self) -> EmbedderInfo:
        """Reads every file once for the fingerprint and the arrays' shapes, keeps no weights."""
        info = super().info
        return replace(info, modalities=info.modalities | {"text"}) if self._text_alone == "clip" else info

    @property
    def computing(self) -> Mapping[str, str]:
        """Its attention kernel, the state of torch, and the version of what mends its texts."""
        return {**super().computing, "ftfy": version("ftfy")}

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text and patches of the image."""
        return self._tokens.count(self._words(item, "query")) + self._sizes.vision.positions

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed a batch.

        Args:
            items: the batch. Regions are not seen.
            side: query or candidate.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            ItemError: an item without an image, unless ``text`` is ``clip``.
            UsageError: ftfy is not installed.
            EmbedderError: a file is broken or does not fit the others.
            ImageError: an image is missing or broken.
        """
        import torch

        self._require_images(items)
        texts = [self._words(item, side) for item in items]
        distinct = {text: at for at, text in enumerate(dict.fromkeys(texts))}  # most candidates have the blank one
        half = torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self._dtype == "bfloat16")
        with torch.inference_mode():
            with half:
                words = self._text_features(list(distinct)).float()
                pictures = self._image_features(items).float()
            lens = self._lens
            vectors = fused(lens.head, self._sizes.layers, pictures, words[[distinct[text] for text in texts]])
        found: NDArray[np.float32] = vectors.cpu().numpy()
        return found

    def _require_images(self, items: Sequence[Item]) -> None:
        if self._text_alone == "none" and (lacking := next((item for item in items if item.image is None), None)):
            raise ItemError(
                "MagicLens embeds images, with or without a text, and this item has no image; ?text=clip puts the text "
                "beside a black one, for which the model was not trained",
                lacking,
            )

    def _words(self, item: Item, side: Side) -> str:
        told = self._told and side == "query"
        return f"{item.instruction} {item.text}".strip() if told else item.text

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        import torch

        ids = torch.from_numpy(self._tokens.ids(texts)).to(self._device)
        # scenic takes token 0 for padding wherever it stands, so that a "!" inside a word is not attended to.
        found = self._lens.clip.get_text_features(input_ids=ids, attention_mask=(ids > 0).long())
        features: torch.Tensor = found.pooler_output
        return features

    def _image_features(self, items: Sequence[Item]) -> torch.Tensor:
        import numpy as np
        import torch

        side = self._sizes.side
        black = normalised(np.zeros((side, side, 3), dtype=np.float32))
        batch = np.stack([black if item.image is None else pixels(item.image.rgb(), side) for item in items])
        found = self._lens.clip.get_image_features(pixel_values=torch.from_numpy(batch).to(self._device))
        features: torch.Tensor = found.pooler_output
        return features

    @cached_property
    def _lens(self) -> _Lens:
        import torch
        from transformers import CLIPModel
        from transformers.initialization import no_init_weights

        sizes = self._sizes
        with no_init_weights():  # all of them come from the file
            clip = CLIPModel(clip_config(sizes))
        arrays = read_arrays(self._file, self._checkpoint.way_out)
        clip.load_state_dict(
            {name: torch.tensor(array) for name, array in clip_weights(sizes, arrays).items()}, assign=True
        )
        head = {name: torch.tensor(array, device=self._device) for name, array in head_weights(sizes, arrays).items()}
        return _Lens(clip.eval().to(self._device), head)

    @cached_property
    def _tokens(self) -> OpenAiTokens:
        return OpenAiTokens.load(self._tokenizer, self._sizes.words, self._sizes.text.positions)

    @property
    def _dimension(self) -> int:
        return self._sizes.dimension

    @property
    def _attention(self) -> str:
        return str(self._lens.clip.config._attn_implementation)

    @property
    def _options(self) -> dict[str, str]:
        return {"instruction": str(int(self._told)), "text": self._text_alone}

    @property
    def _digests(self) -> list[str]:
        return [self._checkpoint.digest, self._tokenizer.digest]


def _weights(checkpoint: Checkpoint, file: Path | None, size: str | None) -> PickedFiles:
    """The one file of a folder that the weights are in.

    Raises:
        UsageError: there is none, or several of which none is meant.
    """
    found = [file] if file is not None else sorted(checkpoint.folder.glob("*.pkl"))
    named = [one for one in found if size is None or one.stem.endswith(f"_{size}")]
    if len(named) != 1:
        held = ", ".join(one.name for one in found) or "no .pkl file"
        wanted = f" of size {size}" if size else ""
        raise UsageError(
            f"{file or checkpoint.folder} should be or hold one MagicLens{wanted}, such as magic_lens_clip_large.pkl; "
            f"there is {held}: name the file, or say which with ?size=base or ?size=large"
        )
    name = named[0].stem if checkpoint.revision is None else checkpoint.name
    return PickedFiles(name, checkpoint.folder, checkpoint.revision, (named[0].name,), _ORIGIN)

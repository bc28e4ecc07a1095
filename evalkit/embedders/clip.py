"""CLIP and SigLIP: two towers, one for text and one for images, whose features share a space.

The convention for an item that has both is that of the published baselines (VLM2Vec v1,
``evaluation/eval_clip.py`` and ``eval_siglip.py``): the sum of the two projected features with weight 1,
not normalised before, and the text alone without its instruction. With instructions the paper's own CLIP
row falls from 37.8 to 26.7 (VLM2Vec, table 4).

Two things of those scripts are not repeated, because the models were not trained that way. They derived
CLIP's attention mask from ``input_ids != pad``, which hides the end token where padding and end are one
token; it is the token that is pooled. And they padded SigLIP's texts to the longest of the batch instead of
to the model's length, so that a vector depended on its neighbours.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import read_json
from evalkit.embedders.loading import load_model, said
from evalkit.embedders.towers import Towers
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.items import Item, Side
from evalkit.items.images import MAX_PIXELS

if TYPE_CHECKING:
    import torch

    from evalkit.items.images import ImageFacts, ImageFile

MODEL_TYPES = ("clip", "siglip")
_YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
# Parameters of the loss: no vector depends on them, and some conversions leave them out.
_LOSS_ONLY = frozenset({"logit_scale", "logit_bias"})


@dataclass(frozen=True)
class _Shape:
    """What of the configuration matters outside the model."""

    dimension: int
    text_length: int
    pixels: tuple[int, int]
    patches: int
    end_token: int | None


@dataclass(frozen=True)
class _Parts:
    """The loaded model with its tokenizer and image processor."""

    model: Any
    tokenizer: Any
    processor: Any
    clean: Callable[[str], str]


class Clip(Towers):
    """A CLIP or SigLIP checkpoint in Hugging Face format: ``clip:PATH_OR_HUB_ID[@REVISION][?key=value]``.

    SigLIP 2 of fixed resolution is a SigLIP to its configuration and works; the variable-resolution kind
    (``model_type`` siglip2, NaFlex) is refused.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        instruction: put an item's instruction before its text; the published baselines do not.
        dtype: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on CUDA, float32 on the CPU.

    Raises:
        UsageError: no such checkpoint, not a CLIP or SigLIP, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "clip"
    CODE_VERSION: ClassVar[str] = "2"

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        instruction: bool | str = False,
        dtype: str = "auto",
    ) -> None:
        if isinstance(instruction, str):
            if instruction.lower() not in _YES_NO:
                raise UsageError(f"clip option instruction={instruction!r}: use 1 or 0")
            instruction = _YES_NO[instruction.lower()]
        super().__init__(path, revision, device, dtype)
        self._instruction = instruction
        self._kind = str(self._checkpoint.config().get("model_type"))
        if self._kind not in MODEL_TYPES:
            raise UsageError(
                f"{self._checkpoint.folder / 'config.json'} is of model_type {self._kind!r}; the family clip "
                f"takes {' and '.join(MODEL_TYPES)}: name another family, or another checkpoint"
            )

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text and patches of the image. SigLIP reads its full length whatever the text."""
        text = self._text(item, "query")
        tokens = 0
        if image is None or text.strip():
            length = self._shape.text_length
            tokens = length if self._kind == "siglip" else min(length, len(text) // 3 + 2)
        return tokens + (self._shape.patches if image is not None else 0)

    @property
    def _dimension(self) -> int:
        return self._shape.dimension

    @property
    def _attention(self) -> str:
        return str(self._parts.model.config._attn_implementation)

    @property
    def _options(self) -> dict[str, str]:
        return {"instruction": str(int(self._instruction))}

    def _text(self, item: Item, side: Side) -> str:
        return f"{item.instruction} {item.text}".strip() if self._instruction else item.text

    @cached_property
    def _shape(self) -> _Shape:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import CLIPConfig, SiglipConfig

        file = self._checkpoint.folder / "config.json"
        kind = CLIPConfig if self._kind == "clip" else SiglipConfig
        try:
            config = kind.from_pretrained(self._checkpoint.folder, local_files_only=True)
        except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError) as error:
            raise UsageError(f"{file} is no {self._kind} configuration ({said(error)}): {self._way_out}") from error
        text, vision = config.text_config, config.vision_config
        dimension = config.projection_dim if self._kind == "clip" else text.projection_size
        if self._kind == "siglip" and (dimension != vision.hidden_size or not vision.vision_use_head):
            pooled = "" if vision.vision_use_head else " that are not pooled"
            raise UsageError(
                f"{file} has text vectors of length {dimension} and image vectors of length "
                f"{vision.hidden_size}{pooled}: they share no space; {self._way_out}"
            )
        height, width = _pair(vision.image_size)
        patch_height, patch_width = _pair(vision.patch_size)
        patches = (height // patch_height) * (width // patch_width)
        end = text.eos_token_id if self._kind == "clip" else None
        return _Shape(int(dimension), int(text.max_position_embeddings), (height, width), patches, end)

    @property
    def _way_out(self) -> str:
        return self._checkpoint.way_out

    @cached_property
    def _parts(self) -> _Parts:
        tokenizer, clean = self._load_tokenizer()
        return _Parts(self._load_model(), tokenizer, self._load_processor(), clean)

    def _load_model(self) -> torch.nn.Module:
        import torch
        from transformers import CLIPModel, SiglipModel

        kind = CLIPModel if self._kind == "clip" else SiglipModel
        model: torch.nn.Module = load_model(kind, self._checkpoint, torch.float32, may_lack=_LOSS_ONLY)
        return model.to(self._device)

    def _load_tokenizer(self) -> tuple[Any, Callable[[str], str]]:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        folder = self._checkpoint.folder
        whole = (folder / "tokenizer.json").is_file()
        # Without its files transformers would make up a CLIP tokenizer of three tokens, and say nothing.
        if not whole and not any((folder / name).is_file() for name in ("vocab.json", "spiece.model")):
            raise UsageError(
                f"checkpoint {folder} has no tokenizer: none of tokenizer.json, vocab.json, spiece.model; "
                f"{self._way_out}"
            )
        # SigLIP's own class needs sentencepiece; its tokenizer.json says the same, apart from the cleaning.
        kind = PreTrainedTokenizerFast if whole and self._kind == "siglip" else AutoTokenizer
        try:
            tokenizer = kind.from_pretrained(folder, local_files_only=True)
        except ImportError as error:
            raise UsageError(
                f"the tokenizer of {folder} needs a package that is not installed ({said(error).split('. ')[0]}): "
                "install sentencepiece and protobuf, or get the checkpoint's tokenizer.json"
            ) from error
        except Exception as error:  # the tokenizers library raises no narrower class
            raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {self._way_out}") from error
        if self._kind == "clip":
            self._check_end_token(tokenizer)
            return tokenizer, str
        file = folder / "tokenizer_config.json"
        return tokenizer, _cleaning(read_json(file, way_out=self._way_out) if file.is_file() else {})

    def _check_end_token(self, tokenizer: Any) -> None:
        """CLIP's text vector is the state at the end token; where that is not found, silently at the first.

        transformers looks for the highest id of the text where the configuration says 2 (as the first
        published ones do, whatever the tokenizer says), else for the first token with the configured id.
        """
        wanted, end = self._shape.end_token, tokenizer.eos_token_id
        pooled = max(tokenizer.get_vocab().values()) if wanted == 2 else wanted
        if end != pooled:
            raise EmbedderError(
                f"{self._checkpoint.folder / 'config.json'} has text_config.eos_token_id {wanted}, for which "
                f"the model pools at token {pooled}, but the tokenizer ends texts with {end}: set it to "
                f"{end}, or get the tokenizer that belongs to the model"
            )

    def _load_processor(self) -> Any:
        import PIL.Image
        from transformers import AutoImageProcessor

        folder = self._checkpoint.folder
        file = folder / "preprocessor_config.json"
        if not file.is_file() and not (folder / "processor_config.json").is_file():
            raise UsageError(f"{file} is missing: {self._way_out}")
        try:
            # Pillow's resize is what the models were evaluated with; torchvision's differs and is not needed.
            processor = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
            probe = processor(images=[PIL.Image.new("RGB", (9, 7))], return_tensors="pt")["pixel_values"]
        except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
            raise EmbedderError(f"{file} is no image processor ({said(error)}): {self._way_out}") from error
        if tuple(probe.shape[-2:]) != self._shape.pixels:
            raise EmbedderError(
                f"{file} makes images of {tuple(probe.shape[-2:])} pixels (height, width), the model takes "
                f"{self._shape.pixels}: {self._way_out}"
            )
        return processor

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        """Projected text features, shape ``(len(texts), dimension)``."""
        parts = self._parts
        tokens = parts.tokenizer(
            [parts.clean(text) for text in texts],
            padding="longest" if self._kind == "clip" else "max_length",
            padding_side="right",
            truncation=True,
            max_length=self._shape.text_length,
            split_special_tokens=True,  # ``<|endoftext|>`` among the data's words is text, and not where to pool
            return_tensors="pt",
        ).to(self._device)
        # SigLIP was trained without a mask: it attends to its padding, and pools at the last position.
        mask = {"attention_mask": tokens["attention_mask"]} if self._kind == "clip" else {}
        return _pooled(parts.model.get_text_features(input_ids=tokens["input_ids"], **mask))

    def _image_features(self, images: list[ImageFile]) -> torch.Tensor:
        """Projected image features, shape ``(len(images), dimension)``."""
        parts = self._parts
        pictures = [image.rgb() for image in images]
        edge = parts.processor.to_dict().get("size", {}).get("shortest_edge")
        for image, picture in zip(images, pictures, strict=True):
            long, short = max(picture.size), min(picture.size)
            if edge and edge * edge * long // short > MAX_PIXELS:
                raise ImageError(
                    f"image {image.path} of {picture.width} x {picture.height} pixels is too narrow: with a "
                    f"short side of {edge} it would have more than {MAX_PIXELS:,} pixels; leave its row out",
                    image,
                )
        pixels = parts.processor(images=pictures, return_tensors="pt")["pixel_values"]
        return _pooled(parts.model.get_image_features(pixel_values=pixels.to(self._device)))


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _pooled(features: Any) -> torch.Tensor:
    """transformers 5 returns an output object whose pooled state is projected; before, the tensor itself."""
    pooled: torch.Tensor = getattr(features, "pooler_output", features)
    return pooled


def _cleaning(settings: dict[str, Any]) -> Callable[[str], str]:
    """What the tokenizer class that a SigLIP names does to a text before it looks at its tokens.

    Done here because ``tokenizer.json`` does it in part or not at all. SigLIP: lower case, no ASCII
    punctuation, single spaces (transformers ``SiglipTokenizer.canonicalize_text``, from big_vision's
    prompt_engineering.py). SigLIP 2 of fixed resolution, which names Gemma's class: lower case, as its
    training had it (transformers ``Siglip2Tokenizer``). Doing it twice changes nothing.
    """
    name = str(settings.get("tokenizer_class", "")).removesuffix("Fast")
    if name in ("GemmaTokenizer", "Siglip2Tokenizer"):
        return str.lower
    if name != "SiglipTokenizer":
        return str
    lower = settings.get("do_lower_case", True)
    without = str.maketrans("", "", string.punctuation)

    def canonical(text: str) -> str:
        return re.sub(r"\s+", " ", (text.lower() if lower else text).translate(without)).strip()

    return canonical

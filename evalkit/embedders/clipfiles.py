"""What lies in a checkpoint of two towers beside its weights: which kind it is, its tokenizer, its image processor."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evalkit.embedders.checkpoint import read_json
from evalkit.embedders.loading import said
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import torch

    from evalkit.embedders.checkpoint import Checkpoint

_UNLIKELY = -1e6
"""Log probability of a piece that no text is made of."""


@dataclass(frozen=True)
class TowerKind:
    """A ``model_type`` that is two towers.

    Attributes:
        model_type: as ``config.json`` has it.
        classes: what transformers calls its configuration and its model.
        vocabulary: where the words of its tokenizer are if there is no ``tokenizer.json``.
        padded: its texts are filled up to the full length, and the filling is read without a mask, as in training;
            the last position is pooled. Otherwise what is pooled stands at the end token, and nothing after that
            moves it.
        patched: its images keep their proportions and become patches, whose number differs (NaFlex).
    """

    model_type: str
    classes: tuple[str, str]
    vocabulary: str
    padded: bool
    patched: bool = False


KINDS = {
    kind.model_type: kind
    for kind in (
        TowerKind("clip", ("CLIPConfig", "CLIPModel"), "vocab.json", padded=False),
        TowerKind("metaclip_2", ("MetaClip2Config", "MetaClip2Model"), "sentencepiece.bpe.model", padded=False),
        TowerKind("siglip", ("SiglipConfig", "SiglipModel"), "spiece.model", padded=True),
        TowerKind("siglip2", ("Siglip2Config", "Siglip2Model"), "tokenizer.model", padded=True, patched=True),
    )
}


@dataclass(frozen=True)
class TowerShape:
    """What of the configuration matters outside the model.

    Attributes:
        dimension: length of its vectors.
        text_length: tokens that it reads at most.
        pixels: height and width of its images; of one patch where those are of any size.
        patches: of an image; 0 where the image processor says it.
        end_token: that texts are pooled at, by the configuration; ``None`` where it is the last position.
    """

    dimension: int
    text_length: int
    pixels: tuple[int, int]
    patches: int
    end_token: int | None


def read_shape(kind: TowerKind, checkpoint: Checkpoint) -> TowerShape:
    """The shape of a checkpoint's towers, from its ``config.json``.

    Raises:
        UsageError: it is no configuration of that kind, or its towers share no space.
    """
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    file = checkpoint.folder / "config.json"
    try:
        config = getattr(transformers, kind.classes[0]).from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise UsageError(
            f"{file} is no {kind.model_type} configuration ({said(error)}): {checkpoint.way_out}"
        ) from error
    text, vision = config.text_config, config.vision_config
    dimension = text.projection_size if kind.padded else config.projection_dim
    if kind.padded and (dimension != vision.hidden_size or not vision.vision_use_head):
        pooled = "" if vision.vision_use_head else " that are not pooled"
        raise UsageError(
            f"{file} has text vectors of length {dimension} and image vectors of length "
            f"{vision.hidden_size}{pooled}: they share no space; {checkpoint.way_out}"
        )
    patch = _pair(vision.patch_size)
    pixels = patch if kind.patched else _pair(vision.image_size)
    patches = 0 if kind.patched else (pixels[0] // patch[0]) * (pixels[1] // patch[1])
    end = None if kind.padded else text.eos_token_id
    return TowerShape(int(dimension), int(text.max_position_embeddings), pixels, patches, end)


class TowerTokens:
    """The tokenizer of a checkpoint of two towers.

    Args:
        kind: of the checkpoint.
        checkpoint: where it is.
        shape: of its towers.

    Raises:
        UsageError: it has no tokenizer, or one that needs a package which is not there.
        EmbedderError: the tokenizer is broken, has no padding that the model needs, or ends its texts with another
            token than the model pools at.
    """

    def __init__(self, kind: TowerKind, checkpoint: Checkpoint, shape: TowerShape) -> None:
        self._padded = kind.padded
        self._length = shape.text_length
        self.tokenizer = _load_tokenizer(kind, checkpoint)
        self.clean: Callable[[str], str] = str
        if not kind.padded:
            _check_end_token(kind, checkpoint, shape, self.tokenizer)
            return
        if self.tokenizer.pad_token_id is None:
            raise EmbedderError(
                f"the tokenizer of {checkpoint.folder} names no pad_token, which the model reads: {checkpoint.way_out}"
            )
        file = checkpoint.folder / "tokenizer_config.json"
        if file.is_file():
            self.clean = _cleaning(read_json(file, way_out=checkpoint.way_out))

    def __call__(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Texts as the text tower takes them: ids, and 1 where they are no padding, int64, a row for each.

        Words of a text that look like a special token are text: the end token among them would be where it is pooled.
        """
        import torch

        cleaned = [self.clean(text) for text in texts]
        rows = self._encoded(self.tokenizer, cleaned)
        if self._finds_special:
            usual = self._special(self._encoded(self.tokenizer, [""])[0])
            for number, (row, text) in enumerate(zip(rows, cleaned, strict=True)):
                if self._special(row) != usual:
                    rows[number] = self._encoded(self._guarded, [text])[0]
        length = self._length if self._padded else max(map(len, rows))
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        return ids, mask

    def count(self, text: str) -> int:
        """Tokens that the text tower reads of a text, without padding."""
        return len(self._encoded(self.tokenizer, [self.clean(text)])[0])

    def _encoded(self, tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
        rows: list[list[int]] = tokenizer(
            list(texts), truncation=True, max_length=self._length, split_special_tokens=True
        )["input_ids"]
        return rows

    def _special(self, row: Sequence[int]) -> list[int]:
        known = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        return [token for token in row if token in known]

    @cached_property
    def _finds_special(self) -> bool:
        """Whether special tokens are found even in a text that is split without them, as pieces of a Unigram are."""
        from tokenizers.models import Unigram

        return isinstance(self.tokenizer.backend_tokenizer.model, Unigram)

    @cached_property
    def _guarded(self) -> Any:
        """The same tokenizer, which never makes a special token of words."""
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        special = set(self.tokenizer.all_special_tokens)
        state["model"]["vocab"] = [
            [piece, _UNLIKELY if piece in special else score] for piece, score in state["model"]["vocab"]
        ]
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)))


def load_processor(kind: TowerKind, checkpoint: Checkpoint, shape: TowerShape, patches: int | None) -> Any:
    """The image processor of a checkpoint of two towers, transformers' with Pillow.

    Args:
        kind: of the checkpoint.
        checkpoint: where it is.
        shape: of its towers.
        patches: that an image of any size becomes at most; ``None`` for what the file says.

    Raises:
        UsageError: it has none.
        EmbedderError: it is broken, or makes other images than the model takes.
    """
    import PIL.Image
    from transformers import AutoImageProcessor

    folder = checkpoint.folder
    file = folder / "preprocessor_config.json"
    if not file.is_file() and not (folder / "processor_config.json").is_file():
        raise UsageError(f"{file} is missing: {checkpoint.way_out}")
    options = {} if patches is None else {"max_num_patches": patches}
    try:
        # Pillow's resize is what the models were evaluated with; torchvision's differs and is not needed.
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True, **options)
        probe = processor(images=[PIL.Image.new("RGB", (9, 7))], return_tensors="pt")
        made = tuple(probe["pixel_values"].shape)
        if kind.patched != ("spatial_shapes" in probe):
            raise ValueError(f"{type(processor).__name__} is that of another kind of model")
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise EmbedderError(f"{file} is no image processor ({said(error)}): {checkpoint.way_out}") from error
    height, width = shape.pixels
    if kind.patched and made[-1] != 3 * height * width:
        raise EmbedderError(
            f"{file} makes patches of {made[-1]} numbers, the model takes {3 * height * width} "
            f"({height} x {width} pixels in three colours): {checkpoint.way_out}"
        )
    if not kind.patched and made[-2:] != shape.pixels:
        raise EmbedderError(
            f"{file} makes images of {made[-2:]} pixels (height, width), the model takes "
            f"{shape.pixels}: {checkpoint.way_out}"
        )
    return processor


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _load_tokenizer(kind: TowerKind, checkpoint: Checkpoint) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = checkpoint.folder
    whole = (folder / "tokenizer.json").is_file()
    # Without its files transformers would make up a tokenizer of a few tokens, and say nothing.
    if not whole and not (folder / kind.vocabulary).is_file():
        raise UsageError(
            f"checkpoint {folder} has no tokenizer: none of tokenizer.json, {kind.vocabulary}; {checkpoint.way_out}"
        )
    # The others' own classes need sentencepiece, or build the rules anew; tokenizer.json has them as they were, apart
    # from the cleaning.
    loader = PreTrainedTokenizerFast if whole and kind.model_type != "clip" else AutoTokenizer
    try:
        return loader.from_pretrained(folder, local_files_only=True)
    except ImportError as error:
        raise UsageError(
            f"the tokenizer of {folder} needs a package that is not installed ({said(error).split('. ')[0]}): "
            "install sentencepiece and protobuf, or get the checkpoint's tokenizer.json"
        ) from error
    except Exception as error:  # the tokenizers library raises no narrower class
        raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {checkpoint.way_out}") from error


def _check_end_token(kind: TowerKind, checkpoint: Checkpoint, shape: TowerShape, tokenizer: Any) -> None:
    """The text vector is the state at the end token; where that is not found, silently at the first.

    For a CLIP transformers looks for the highest id of the text where the configuration says 2 (as the first
    published ones do, whatever the tokenizer says), else for the first token with the configured id.
    """
    wanted, end = shape.end_token, tokenizer.eos_token_id
    legacy = kind.model_type == "clip" and wanted == 2
    pooled = max(tokenizer.get_vocab().values()) if legacy else wanted
    if end != pooled:
        raise EmbedderError(
            f"{checkpoint.folder / 'config.json'} has text_config.eos_token_id {wanted}, for which "
            f"the model pools at token {pooled}, but the tokenizer ends texts with {end}: set it to "
            f"{end}, or get the tokenizer that belongs to the model"
        )


def _cleaning(settings: dict[str, Any]) -> Callable[[str], str]:
    """What the tokenizer class that a SigLIP names does to a text before it looks at its tokens.

    Done here because ``tokenizer.json`` does it in part or not at all. SigLIP: lower case, no ASCII
    punctuation, single spaces (transformers ``SiglipTokenizer.canonicalize_text``, from big_vision's
    prompt_engineering.py). SigLIP 2, which names Gemma's class: lower case, as its training had it
    (transformers ``Siglip2Tokenizer``). Doing it twice changes nothing.
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

"""The family ``uniir-blip:``, UniIR's BLIP_FF: BERT reads the text and attends to the image in every layer.

As released (TIGER-AI-Lab/UniIR 98dc570, ``blip_ff.py``, ``med.py``, ``vit.py``, ``mbeir_dataset.py``): a query's
instruction before its text, candidates without one, both made a sentence, padded to 100 tokens; an image squeezed into
a square of 224 pixels. The image is always attended to: in place of one that is not there stand zeros, which are mean
grey after the normalisation, and in place of a text the two tokens around it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint, resolve
from evalkit.embedders.checkpointed import Checkpointed
from evalkit.embedders.loading import said
from evalkit.embedders.mbeir import words_of
from evalkit.embedders.openaiclip import squeezed
from evalkit.embedders.options import yes_or_no
from evalkit.embedders.pickedfiles import PickedFiles
from evalkit.embedders.uniir.released import fill, find_weights, first_of, read_weights
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from evalkit.items import Item, Side
    from evalkit.items.images import ImageFacts, ImageFile

USUAL = "checkpoint/BLIP_FF/blip_ff_large.pth"
BERT = "bert-base-uncased"
LONGEST = 100
_VISION = {
    r"^cls_token$": "embeddings.class_embedding",
    r"^pos_embed$": "embeddings.position_embedding",
    r"^patch_embed\.proj\.": "embeddings.patch_embedding.",
    r"^blocks\.": "encoder.layers.",
    r"^norm\.": "post_layernorm.",
    r"\.norm(\d)\.": r".layer_norm\1.",
    r"\.attn\.qkv\.": ".self_attn.qkv.",
    r"\.attn\.proj\.": ".self_attn.projection.",
}
"""From the names of timm's ViT to those of transformers, as patterns."""
_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


@dataclass(frozen=True)
class _Blip:
    vision: Any
    text: Any
    side: int


class UniIrBlip(Checkpointed):
    """UniIR's BLIP_FF from its released ``blip_ff_large.pth``: ``uniir-blip:PATH_OR_HUB_ID[@REVISION][?key=value]``.

    A region reaches it through its text alone.

    Args:
        path: the file, a folder that holds it, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        instruction: put a query's instruction before its text, as the model was trained.
        base: where BERT's tokenizer is, a folder or a hub repository in the local cache; ``bert-base-uncased`` where
            there is none beside the weights.

    Raises:
        UsageError: no such file or tokenizer, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "uniir-blip"
    CODE_VERSION: ClassVar[str] = "1"

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        instruction: bool | str = True,
        base: str | None = None,
    ) -> None:
        self._told = yes_or_no("instruction", instruction)
        self._weights = find_weights(path, revision, USUAL)
        super().__init__(path, revision, device, dtype, self._weights)
        self._tokenizer = _tokenizer(base, self._weights)

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Embed a batch.

        Args:
            items: the batch. Regions are not seen.
            side: query or candidate.

        Returns:
            float32, shape ``(len(items), info.dimension)``, rows of length 1.

        Raises:
            EmbedderError: a file is broken or does not fit the others.
            ImageError: an image is missing or broken.
        """
        import torch

        texts = [self._text(item, side) for item in items]
        # What pads is masked: it moves nothing, be it up to 100 tokens as released or not.
        tokens = self._tokenized(texts, padding="longest", return_tensors="pt").to(self._device)
        half = torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self._dtype == "bfloat16")
        with torch.inference_mode(), half:
            seen = self._seen([item.image for item in items])
            pooled = self._parts.text(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                encoder_hidden_states=seen,
                is_decoder=False,  # attends to the image, and to the text in both directions
            ).pooler_output
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
        return vectors

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text, and of the image that is always attended to."""
        return len(self._tokenized([self._text(item, "query")])["input_ids"][0]) + self._image_tokens

    def _text(self, item: Item, side: Side) -> str:
        return words_of(item, side, self._told)

    def _tokenized(self, texts: list[str], **given: Any) -> Any:
        return self._tokens(texts, truncation=True, max_length=LONGEST, split_special_tokens=True, **given)

    def _seen(self, images: Sequence[ImageFile | None]) -> torch.Tensor:
        """What the image tower makes of images, each different one once; shape ``(items, tokens, width)``."""
        import numpy as np
        import torch

        side = self._parts.side
        keys = [None if image is None else image.identity() for image in images]
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        batch = np.zeros((len(first), 3, side, side), dtype=np.float32)
        for row, place in enumerate(first.values()):
            image = images[place]
            if image is not None:
                batch[row] = squeezed(image, side)
        rows = {key: row for row, key in enumerate(first)}
        states = self._parts.vision(pixel_values=torch.from_numpy(batch).to(self._device)).last_hidden_state
        seen: torch.Tensor = states[[rows[key] for key in keys]]
        return seen

    @cached_property
    def _parts(self) -> _Blip:
        from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

        file = self._weights.folder / self._weights.files[0]
        vision = {_name(name): value for name, value in read_weights(self._weights, "visual_encoder.").items()}
        text = read_weights(self._weights, "text_encoder.")
        try:
            patch, places = vision["embeddings.patch_embedding.weight"], vision["embeddings.position_embedding"]
            words, width = text["embeddings.word_embeddings.weight"].shape
            length = text["embeddings.position_embeddings.weight"].shape[0]
            inner = text["encoder.layer.0.intermediate.dense.weight"].shape[0]
            wide = vision["encoder.layers.0.mlp.fc1.weight"].shape[0]
        except KeyError as error:
            raise EmbedderError(f"{file} is no BLIP_FF: it has no {error.args[0]}; {self._weights.way_out}") from error
        side = int((places.shape[1] - 1) ** 0.5) * int(patch.shape[-1])
        see = BlipVisionConfig(
            hidden_size=patch.shape[0],
            intermediate_size=wide,
            num_hidden_layers=len({name.split(".")[2] for name in vision if name.startswith("encoder.layers.")}),
            num_attention_heads=max(1, patch.shape[0] // 64),
            image_size=side,
            patch_size=patch.shape[-1],
            layer_norm_eps=1e-6,
        )
        read = BlipTextConfig(
            vocab_size=words,
            hidden_size=width,
            encoder_hidden_size=patch.shape[0],
            intermediate_size=inner,
            num_hidden_layers=len({name.split(".")[2] for name in text if name.startswith("encoder.layer.")}),
            num_attention_heads=max(1, width // 64),
            max_position_embeddings=length,
            is_decoder=True,  # so that there is attention to the image
        )
        tower = fill(BlipVisionModel(see), vision, self._weights).to(self._device)
        reader = fill(BlipTextModel(read, add_pooling_layer=True), text, self._weights).to(self._device)
        return _Blip(tower, reader, side)

    @cached_property
    def _image_tokens(self) -> int:
        return int(first_of(self._weights, "visual_encoder.", "pos_embed").shape[1])

    @cached_property
    def _tokens(self) -> Any:
        from transformers import BertTokenizer, PreTrainedTokenizerFast

        words = int(first_of(self._weights, "text_encoder.", "embeddings.word_embeddings.weight").shape[0])
        folder, way_out = self._tokenizer.folder, self._tokenizer.way_out
        kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else BertTokenizer
        try:
            tokenizer = kind.from_pretrained(folder, local_files_only=True)
            ends = tokenizer("")["input_ids"]
        except Exception as error:  # the tokenizers library raises no narrower class
            raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {way_out}") from error
        # The model has two more words than BERT, [DEC] and [ENC], which no text has.
        if len(ends) != 2 or len(tokenizer) > words:
            raise EmbedderError(
                f"the tokenizer of {folder} has {len(tokenizer)} tokens, of which {len(ends)} stand around a text; "
                f"{self._weights.files[0]} is made for {words}, with two around: name BERT's with ?base=PATH"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = "[PAD]"
        return tokenizer

    @cached_property
    def _dimension(self) -> int:
        return int(first_of(self._weights, "text_encoder.", "pooler.dense.weight").shape[0])

    @property
    def _attention(self) -> str:
        return str(self._parts.vision.config._attn_implementation)

    @property
    def _options(self) -> dict[str, str]:
        return {"instruction": str(int(self._told))}

    @property
    def _digests(self) -> list[str]:
        return [self._weights.digest, self._tokenizer.digest]


def _name(name: str) -> str:
    for pattern, replacement in _VISION.items():
        name = re.sub(pattern, replacement, name)
    return name


def _tokenizer(base: str | None, weights: PickedFiles) -> PickedFiles:
    """Where BERT's tokenizer is.

    Raises:
        UsageError: it is nowhere, or what ``base`` names has none.
    """
    beside = any((weights.folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    try:
        held: Checkpoint = resolve(base or (str(weights.folder) if beside else BERT))
    except UsageError as error:
        if base is not None:
            raise
        raise UsageError(
            f"BLIP_FF needs the tokenizer of {BERT}, which is not in the hub's cache: run `hf download {BERT} "
            "--include '*.json' '*.txt'`, or name a folder that has it with ?base=PATH"
        ) from error
    if not any((held.folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise UsageError(f"{held.folder} has no tokenizer: neither tokenizer.json nor vocab.txt; {held.way_out}")
    return PickedFiles(held.name, held.folder, held.revision, _FILES)

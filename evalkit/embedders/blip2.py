"""BLIP-2's feature extractor: the Q-Former's first states for texts and images, summed (arXiv 2301.12597).

What the published row ran is LAVIS's ``blip2_feature_extractor`` of kind ``pretrain`` (VLM2Vec v1,
``evaluation/eval_blip.py``; LAVIS, ``blip2_qformer.py`` and ``blip_processors.py``): ViT-g and the Q-Former, without a
language model. Vectors are 768 wide, before the projection to the space that images and texts were compared in, and
not normalised before they are summed; texts are cleaned and cut at 50 words first. The text stands alone, without its
instruction, as for the other dual encoders of those scripts.

That the hub's ``Salesforce/blip2-itm-vit-g`` has the very weights of ``blip2_pretrained.pth`` is not known.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.loading import load_model, said
from evalkit.embedders.openaiclip import squeezed
from evalkit.embedders.towers import Towers
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import torch

    from evalkit.items import Item, Side
    from evalkit.items.images import ImageFacts, ImageFile

MOST_WORDS = 50
_NO_VECTOR = frozenset({"vision_projection.", "text_projection.", "itm_head."})
"""Heads that compare; no vector depends on them."""


class Blip2(Towers):
    """A BLIP-2 with Q-Former and no language model, in Hugging Face format: ``blip2:PATH_OR_HUB_ID[@REVISION]``.

    Args:
        path: a folder, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on CUDA, float32 on the CPU.

    Raises:
        UsageError: no such checkpoint, not a BLIP-2 that embeds texts, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "blip2"
    CODE_VERSION: ClassVar[str] = "1"

    def __init__(self, path: str, *, revision: str | None = None, device: str = "auto", dtype: str = "auto") -> None:
        super().__init__(path, revision, device, dtype)
        settings, file = self._checkpoint.config(), self._checkpoint.folder / "config.json"
        if settings.get("model_type") != "blip-2":
            raise UsageError(
                f"{file} is of model_type {settings.get('model_type')!r}; the family blip2 takes blip-2: name another "
                "family, or another checkpoint"
            )
        made_for = settings.get("architectures") or ["an unnamed class"]
        if "Blip2ForImageTextRetrieval" not in made_for:
            raise UsageError(
                f"{file} is of {made_for[0]}, a BLIP-2 with a language model, whose Q-Former reads no texts: "
                "the family blip2 takes Blip2ForImageTextRetrieval, such as Salesforce/blip2-itm-vit-g"
            )

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text, and patches and query tokens of the image."""
        tokens = (
            0 if image is not None and not item.text.strip() else self._tokenized([item.text])["input_ids"].shape[1]
        )
        vision = self._config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2 + self._config.num_query_tokens
        return int(tokens + (patches if image is not None else 0))

    def _text(self, item: Item, side: Side) -> str:
        return item.text

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        model = self._model
        tokens = self._tokenized(texts).to(self._device)
        embedded = model.embeddings(input_ids=tokens["input_ids"])
        read = model.qformer(query_embeds=embedded, query_length=0, attention_mask=tokens["attention_mask"])
        first: torch.Tensor = read.last_hidden_state[:, 0]
        return first

    def _tokenized(self, texts: list[str]) -> Any:
        """Ids and mask of texts, padded to the longest of them."""
        return self._tokenizer(
            [cleaned_caption(text) for text in texts],
            padding="longest",
            padding_side="right",
            truncation=True,
            max_length=self._config.qformer_config.max_position_embeddings,
            split_special_tokens=True,
            return_tensors="pt",
        )

    def _image_features(self, images: list[ImageFile]) -> torch.Tensor:
        import numpy as np
        import torch

        model, side = self._model, int(self._config.vision_config.image_size)
        batch = torch.from_numpy(np.stack([squeezed(image, side) for image in images])).to(self._device)
        seen = model.vision_model(pixel_values=batch).last_hidden_state
        asked = model.query_tokens.expand(len(images), -1, -1)
        first: torch.Tensor = model.qformer(query_embeds=asked, encoder_hidden_states=seen).last_hidden_state[:, 0]
        return first

    @cached_property
    def _config(self) -> Any:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import Blip2Config

        try:
            return Blip2Config.from_pretrained(self._checkpoint.folder, local_files_only=True)
        except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError) as error:
            file = self._checkpoint.folder / "config.json"
            raise UsageError(
                f"{file} is no blip-2 configuration ({said(error)}): {self._checkpoint.way_out}"
            ) from error

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import Blip2ForImageTextRetrieval

        model = load_model(Blip2ForImageTextRetrieval, self._checkpoint, torch.float32, may_lack=_NO_VECTOR)
        return model.to(self._device)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        folder, way_out = self._checkpoint.folder, self._checkpoint.way_out
        whole = (folder / "tokenizer.json").is_file()
        if not whole and not (folder / "vocab.txt").is_file():
            raise UsageError(f"checkpoint {folder} has no tokenizer: neither tokenizer.json nor vocab.txt; {way_out}")
        kind = PreTrainedTokenizerFast if whole else AutoTokenizer
        try:
            tokenizer = kind.from_pretrained(folder, local_files_only=True)
            if tokenizer.pad_token is None:
                tokenizer.pad_token = "[PAD]"
            return tokenizer
        except Exception as error:  # the tokenizers library raises no narrower class
            raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {way_out}") from error

    @property
    def _dimension(self) -> int:
        return int(self._config.qformer_config.hidden_size)

    @property
    def _attention(self) -> str:
        return str(self._model.config._attn_implementation)


def cleaned_caption(text: str) -> str:
    """A text as LAVIS's ``BlipCaptionProcessor`` makes it: lower case, ``.!"()*#:;~`` away, at most 50 words."""
    spaced = re.sub(r"\s{2,}", " ", re.sub(r'[.!"()*#:;~]', " ", text.lower()))
    words = spaced.rstrip("\n").strip(" ").split(" ")
    return " ".join(words[:MOST_WORDS])

"""Two towers whose features are summed: CLIP and its successors, BLIP-2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from evalkit.items import Item, Side
from plain.driver import opened


def summed(
    items: Sequence[Item],
    texts: Sequence[str],
    read: Callable[[list[str]], torch.Tensor],
    look: Callable[[Sequence[Item]], torch.Tensor],
) -> torch.Tensor:
    """Features of texts and images of items, summed; a blank text beside an image is left out.

    Args:
        items: the batch.
        texts: of each.
        read: features of texts.
        look: features of the images of items.
    """
    written = [row for row, item in enumerate(items) if item.image is None or texts[row].strip()]
    pictured = [row for row, item in enumerate(items) if item.image is not None]
    parts = []
    if written:
        parts.append((written, read([texts[row] for row in written])))
    if pictured:
        parts.append((pictured, look(items)))
    total = torch.zeros(len(items), parts[0][1].shape[1])
    for rows, features in parts:
        total[rows] += features
    return total


class PlainTowers:
    """CLIP, SigLIP and their successors by ``AutoModel``; texts as their documentation pads them."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

        # SigLIP's own class needs sentencepiece; what it cleans away these texts do not have.
        words = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
        self.model = AutoModel.from_pretrained(folder).eval()
        self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.tokenizer = words.from_pretrained(folder)
        self.full = self.model.config.model_type.startswith("siglip")
        vision = self.model.config.vision_config
        side = getattr(vision, "image_size", 0)
        self.patches = (side // vision.patch_size) ** 2 or int(self.processor.max_num_patches)

    def _texts(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        length = self.model.config.text_config.max_position_embeddings
        given = dict(
            self.tokenizer(
                list(texts),
                padding="max_length" if self.full else True,
                padding_side="right",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
        )
        return {"input_ids": given["input_ids"]} if self.full else given

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        return summed(
            items,
            [item.text for item in items],
            lambda texts: self.model.get_text_features(**self._texts(texts)).pooler_output,
            lambda shown: (
                self.model.get_image_features(**self.processor(opened(shown), return_tensors="pt")).pooler_output
            ),
        )

    def tokens(self, item: Item, side: Side) -> int:
        text = int(self._texts([item.text])["input_ids"].shape[1]) if item.image is None or item.text.strip() else 0
        return text + (self.patches if item.image is not None else 0)


class PlainBlip2:
    """BLIP-2 by the two towers of transformers, before their projections; the words of these items need no cleaning."""

    def __init__(self, folder: Path) -> None:
        from transformers import Blip2ForImageTextRetrieval, PreTrainedTokenizerFast
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        self.model = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        vision = self.model.config.vision_config
        self.processor = BlipImageProcessorPil(size={"height": vision.image_size, "width": vision.image_size})
        self.patches = (vision.image_size // vision.patch_size) ** 2 + self.model.config.num_query_tokens

    def _texts(self, texts: Sequence[str]) -> Any:
        cut = [" ".join(text.split(" ")[:50]) for text in texts]
        length = self.model.config.qformer_config.max_position_embeddings
        return self.tokenizer(cut, padding=True, truncation=True, max_length=length, return_tensors="pt")

    def _read(self, texts: list[str]) -> torch.Tensor:
        given = self._texts(texts)
        embedded = self.model.embeddings(input_ids=given["input_ids"])
        states: torch.Tensor = self.model.qformer(
            query_embeds=embedded, query_length=0, attention_mask=given["attention_mask"]
        ).last_hidden_state
        return states[:, 0]

    def _look(self, items: Sequence[Item]) -> torch.Tensor:
        seen = self.model.vision_model(**self.processor(opened(items), return_tensors="pt")).last_hidden_state
        asked = self.model.query_tokens.expand(len(seen), -1, -1)
        states: torch.Tensor = self.model.qformer(query_embeds=asked, encoder_hidden_states=seen).last_hidden_state
        return states[:, 0]

    def embed(self, items: Sequence[Item], side: Side) -> torch.Tensor:
        return summed(items, [item.text for item in items], self._read, self._look)

    def tokens(self, item: Item, side: Side) -> int:
        text = int(self._texts([item.text])["input_ids"].shape[1]) if item.image is None or item.text.strip() else 0
        return text + (self.patches if item.image is not None else 0)

"""The language stream: Qwen2-VL as an embedder, the last token's state after the final norm.

Positions are those that the released code has in all of its calls but the first of a process: one dimension,
counted from 0, because its prompts lack the marks that Qwen2-VL's three-dimensional ones are found by; tokens
of segmentation stand in front, all of them at position 0, and what follows counts on from their number
(``modeling_qwen2_vl.py``). There are no marks, no system turn and no end token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import load_model, said
from evalkit.embedders.virtue.adapters import merged
from evalkit.embedders.virtue.patching import PatchedImage
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import IMAGE_MARK

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLModel

IMAGE_TOKEN = "<|image_pad|>"
_EMPTY = "<|endoftext|>"  # stands for a text of no token


class Vocabulary:
    """Prompts to token ids.

    Args:
        checkpoint: where the tokenizer's files are.
        image_token: the id that the model puts image features in place of.

    Raises:
        UsageError: there is no tokenizer.
        EmbedderError: it is broken, or its image token is another one.
    """

    def __init__(self, checkpoint: Checkpoint, image_token: int) -> None:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        folder, way_out = checkpoint.folder, checkpoint.way_out
        whole = (folder / "tokenizer.json").is_file()
        if not whole and not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
            raise UsageError(
                f"checkpoint {folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt; {way_out}"
            )
        kind = PreTrainedTokenizerFast if whole else AutoTokenizer
        try:
            self._tokenizer: Any = kind.from_pretrained(folder, local_files_only=True)
            found = self._tokenizer.convert_tokens_to_ids([IMAGE_TOKEN, _EMPTY])
        except Exception as error:  # the tokenizers library raises no narrower class
            raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {way_out}") from error
        if found[0] != image_token or found[1] is None:
            raise EmbedderError(
                f"the tokenizer of {folder} has {IMAGE_TOKEN} as {found[0]} and {_EMPTY} as {found[1]}, config.json "
                f"has image_token_id {image_token}: {way_out}"
            )
        self._image_token, self._empty = image_token, int(found[1])
        self._special = frozenset(
            number for number, token in self._tokenizer.added_tokens_decoder.items() if token.special
        ) | {image_token}

    def ids(self, prompt: str, image_tokens: int | None, *, marked: bool = True) -> list[int]:
        """Token ids of a prompt; at least one.

        A text that tokenises to nothing is the one token ``<|endoftext|>``: the released code means to put it
        there, and fails. A text without an image is cut off at the tokenizer's ``model_max_length``; where it
        begins with the mark all the same (queries of WebQA and EDIS do), the model reads the mark as a word.

        The mark is the one special token of a prompt. What looks like one in the data's own words
        (``<|image_pad|>``, ``<|endoftext|>``) is text like any other.

        Args:
            prompt: with ``<image>`` where the image goes; a second one is the data's own text.
            image_tokens: of the image; ``None`` where there is none.
            marked: whether ``<image>`` at the head of a text without an image is the protocol's mark, and not text.

        Raises:
            EmbedderError: a prompt with an image that has no mark for it.
        """
        alone = image_tokens is None
        if not alone and IMAGE_MARK not in prompt:
            raise EmbedderError(f"prompt {prompt!r} does not say where its image goes: write {IMAGE_MARK} into it")
        has_mark = marked and prompt.startswith(IMAGE_MARK) if alone else True
        words = prompt.split(IMAGE_MARK, 1) if has_mark else [prompt]
        ids = list(self._tokenizer(IMAGE_TOKEN.join(words), truncation=alone)["input_ids"])
        if [token for token in ids if token in self._special] != [self._image_token] * has_mark:
            before, *after = (self._tokenizer(part, split_special_tokens=True)["input_ids"] for part in words)
            ids = [*before, *(token for part in after for token in (self._image_token, *part))]
            ids = ids[: self._tokenizer.model_max_length] if alone else ids
        if image_tokens is None:
            return ids or [self._empty]
        place = ids.index(self._image_token)
        return [*ids[:place], *([self._image_token] * image_tokens), *ids[place + 1 :]]


class LanguageStream:
    """Qwen2-VL: its vision tower and its language model.

    Args:
        model: transformers' ``Qwen2VLModel``, on the device.
        device: where it runs.
    """

    def __init__(self, model: Qwen2VLModel, device: str) -> None:
        self._model: Any = model
        self._image_token = int(model.config.image_token_id)
        self._device = device

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self._model.config

    @classmethod
    def load(cls, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> LanguageStream:
        """With the weights of a checkpoint.

        Args:
            checkpoint: the model, or an adapter.
            base: what the adapter was trained on; ``None`` where ``checkpoint`` is the model.
            device: where it runs.
            dtype: what it computes in.

        Raises:
            UsageError: weights are missing, or peft where there is an adapter.
            EmbedderError: weights are broken, or are not those that ``config.json`` asks for.
        """
        from transformers import Qwen2VLForConditionalGeneration

        # The head that predicts words is loaded with the rest and let go: no vector depends on it.
        whole: Any = load_model(Qwen2VLForConditionalGeneration, base or checkpoint, dtype, may_lack=("lm_head.",))
        if base is not None:
            whole = merged(whole, checkpoint)
        return cls(whole.model.to(device), device)

    def look(self, picture: PatchedImage) -> torch.Tensor:
        """Features of one image, shape ``(tokens, hidden size)``; do not depend on the prompt."""
        import torch

        sizes = torch.tensor([[1, picture.rows, picture.columns]], device=self._device)
        patches = torch.from_numpy(picture.patches).to(self._device)
        seen: torch.Tensor = self._model.get_image_features(patches, sizes).pooler_output[0]
        return seen

    def read(
        self,
        texts: Sequence[Sequence[int]],
        seen: Sequence[torch.Tensor] | None = None,
        segments: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Vectors of a batch that has images throughout or not at all.

        Padding comes after the text: attention looks back only, so nothing sees it, and no position moves.

        Args:
            texts: token ids, one list an item.
            seen: features of the items' images, from :meth:`look`.
            segments: tokens of segmentation, shape ``(items, tokens, hidden size)``.

        Returns:
            float32, shape ``(items, hidden size)``, rows of length 1.
        """
        import torch

        model = self._model.language_model
        lengths = torch.tensor([len(ids) for ids in texts], device=self._device)
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in texts], batch_first=True)
        embedded = model.embed_tokens(padded.to(self._device))
        if seen is not None:
            mark = (padded == self._image_token).to(self._device)
            mark &= torch.arange(padded.shape[1], device=self._device) < lengths[:, None]
            embedded[mark] = torch.cat(list(seen)).to(embedded.dtype)
        front = 0
        if segments is not None:
            front = segments.shape[1]
            embedded = torch.cat([segments.to(embedded.dtype), embedded], dim=1)
        places = torch.arange(embedded.shape[1], device=self._device)
        places[:front] = 0
        # Three equal axes. Without a fourth, and without a mask, transformers looks for no packed sequences.
        states = model(
            inputs_embeds=embedded,
            position_ids=places.expand(3, len(texts), -1),
            attention_mask=None,
            use_cache=False,
        ).last_hidden_state
        last = states[torch.arange(len(texts), device=self._device), front + lengths - 1]
        return torch.nn.functional.normalize(last.float(), dim=-1)


def read_config(checkpoint: Checkpoint) -> Qwen2VLConfig:
    """``config.json`` of a Qwen2-VL.

    Raises:
        UsageError: it is missing, or is no Qwen2-VL's.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Qwen2VLConfig

    file, kind = checkpoint.folder / "config.json", checkpoint.config().get("model_type")
    if kind != "qwen2_vl":
        raise UsageError(
            f"{file} is of model_type {kind!r}; the families virtue and vlm2vec take qwen2_vl: name another family, "
            "or another checkpoint"
        )
    try:
        return Qwen2VLConfig.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise UsageError(f"{file} is no qwen2_vl configuration ({said(error)}): {checkpoint.way_out}") from error

"""A small byte-level BPE in the files that Qwen2's tokenizer comes in, its merges learned from given texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# Those that the model's configuration names, with the spelling of Qwen2-VL.
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Qwen2's: words with the space before them, each digit by itself.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer(texts: Iterable[str], size: int, sentences: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """Learn a vocabulary.

    Args:
        texts: that merges are learned from.
        size: tokens at most, without those of ``sentences``.
        sentences: that are one token each, such as instructions: a tiny model has no use for their words.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(sentence, normalized=False) for sentence in dict.fromkeys(sentences) if sentence])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=2048,
        additional_special_tokens=list(SPECIAL[1:]),
    )


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write its files for other people's code: no padding left over from training, and the words that transformers had
    before version 5 and still reads.
    """
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    file.write_text(json.dumps(settings, indent=2) + "\n")


def of_one_length(rows: Sequence[int], length: Callable[[int], int], most: int = 64) -> list[list[int]]:
    """Rows in parts of about one length, which leaves little to pad.

    Args:
        rows: numbers of texts.
        length: of one.
        most: rows a part.
    """
    ordered = sorted(rows, key=length)
    return [ordered[start : start + most] for start in range(0, len(ordered), most)]

"""Tiny random checkpoints in Hugging Face format, with real configuration, tokenizer and processor files.

Every file is laid out as the published checkpoints have it (openai/clip-vit-*, google/siglip-*): safetensors
weights, ``vocab.json`` and ``merges.txt`` or ``tokenizer.json``, ``preprocessor_config.json``.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

VIRTUE = Path(__file__).parents[1] / "golden" / "virtue-tiny-a"
"""The golden VIRTUE, of known vectors."""
IMAGE_SIZE = 32
PATCH = 8
CLIP_WORDS = ("cat", "dog", "photo", "red", "the")
SIGLIP_WORDS = ("▁cat", "▁dog", "▁photo", "▁red", "▁the", "▁a", "▁of")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def clip_tokenizer(folder: Path) -> dict[str, int]:
    """A byte-level BPE as CLIP has it: 256 bytes, 256 bytes at the end of a word, merges, begin, end.

    Returns:
        The vocabulary; the end token has the highest id, as in the published checkpoints.
    """
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in CLIP_WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            if " ".join(pieces[:2]) not in merges:
                merges.append(" ".join(pieces[:2]))
                tokens.append("".join(pieces[:2]))
            pieces[:2] = ["".join(pieces[:2])]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special},
    )
    write_json(folder / "special_tokens_map.json", special)
    return vocabulary


def clip_checkpoint(folder: Path, *, eos_token_id: int | None = None, seed: int = 0) -> Path:
    """A tiny CLIP.

    Args:
        folder: where to write; made if missing.
        eos_token_id: what the text configuration says: 2 as the first published checkpoints have it, ``None``
            for the tokenizer's own id as the later ones have it.
        seed: of the random weights.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = clip_tokenizer(folder)
    end = vocabulary["<|endoftext|>"]
    tower: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = CLIPConfig(
        projection_dim=24,
        text_config={
            **tower,
            "hidden_size": 16,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": 77,
            "bos_token_id": end - 1,
            "eos_token_id": end if eos_token_id is None else eos_token_id,
            "pad_token_id": end,
        },
        vision_config={**tower, "hidden_size": 20, "image_size": IMAGE_SIZE, "patch_size": PATCH},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config)
        widened(model)
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": IMAGE_SIZE,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "size": IMAGE_SIZE,
        },
    )
    return folder


def siglip_tokenizer(folder: Path, *, canonical: bool = True) -> int:
    """A Unigram tokenizer as SigLIP has it (T5's kind): ``<unk>`` 2, ``</s>`` 1 as end and as padding.

    Args:
        folder: where to write.
        canonical: let ``tokenizer.json`` itself lower the case and strip punctuation, as the published file
            does; otherwise only the class that ``tokenizer_config.json`` names would.

    Returns:
        The size of the vocabulary.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(word, -2.0) for word in SIGLIP_WORDS]
    pieces += [(letter, -6.0) for letter in ("▁", *string.ascii_letters, *string.digits, *string.punctuation)]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=2))
    if canonical:
        punctuation = "[" + "".join("\\" + sign for sign in string.punctuation) + "]"
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Lowercase(),
                normalizers.Replace(Regex(punctuation), ""),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Strip(),
            ]
        )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "SiglipTokenizer",
            "model_input_names": ["input_ids"],
            "model_max_length": 16,
            "do_lower_case": True,
            **special,
        },
    )
    write_json(folder / "special_tokens_map.json", special)
    return len(pieces)


def siglip_checkpoint(folder: Path, *, canonical: bool = True, seed: int = 0) -> Path:
    """A tiny SigLIP with 16 text positions.

    Args:
        folder: where to write; made if missing.
        canonical: see :func:`siglip_tokenizer`.
        seed: of the random weights.
    """
    import torch
    from transformers import SiglipConfig, SiglipModel

    folder.mkdir(parents=True, exist_ok=True)
    tower: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    config = SiglipConfig(
        text_config={
            **tower,
            "vocab_size": siglip_tokenizer(folder, canonical=canonical),
            "max_position_embeddings": 16,
            "bos_token_id": 1,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**tower, "image_size": IMAGE_SIZE, "patch_size": PATCH},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SiglipModel(config)
        widened(model)
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        },
    )
    return folder


def widened(model: Any, std: float = 0.5) -> Any:
    """The model with weights of a spread at which each input moves the output: the usual start is almost constant."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "norm" not in name:
                weight.normal_(std=std)
            elif name.endswith("class_embedding") or name.endswith(".bias"):
                weight.normal_(std=0.1)
    return model

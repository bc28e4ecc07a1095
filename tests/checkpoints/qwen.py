"""Tiny random Qwen2-VL and Qwen2.5-VL in the format of the published embedders: GME, LamRA, RzenEmbed, Ops-MM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from checkpoints import VIRTUE, widened, write_json

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "preprocessor_config.json")
_LANGUAGE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "rope_scaling": {"rope_type": "default", "type": "default", "mrope_section": [2, 3, 3]},
    "tie_word_embeddings": True,
}
_VISION = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}


def qwen2_vl_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny Qwen2-VL: the language model's head is tied and not saved, as in the published 2B checkpoints."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {**_VISION, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    config = Qwen2VLConfig(**_LANGUAGE, **_tokens(folder), vision_config=vision)
    return _saved(Qwen2VLForConditionalGeneration, config, folder, seed)


def qwen2_5_vl_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny Qwen2.5-VL, with window attention in its first block."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        **_VISION,
        "hidden_size": 16,
        "out_hidden_size": 32,
        "intermediate_size": 24,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(**_LANGUAGE, **_tokens(folder), vision_config=vision)
    return _saved(Qwen2_5_VLForConditionalGeneration, config, folder, seed)


def _tokens(folder: Path) -> dict[str, Any]:
    """Write the tokenizer; its ids for the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER:
        shutil.copy(VIRTUE / name, folder / name)
    # As some published ones have it: limits of their own, which no family goes by.
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    write_json(folder / "preprocessor_config.json", settings | {"max_pixels": 12845056, "size": None})
    given = json.loads((VIRTUE / "config.json").read_text())
    names = ("vocab_size", "image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {name: given[name] for name in (*names, "bos_token_id", "eos_token_id")}


def _saved(kind: Any, config: Any, folder: Path, seed: int) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widened(kind(config), std=0.15).save_pretrained(folder)
    return folder

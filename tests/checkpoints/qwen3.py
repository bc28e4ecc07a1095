"""Tiny random Qwen3-VL and Qwen3.5 in the format of the published embedders: Qwen3-VL-Embedding, WeMM-Embedding."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from checkpoints import VIRTUE, widened, write_json

_PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "patch_size": 16,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
}
_VISION = {
    "depth": 3,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_heads": 2,
    "patch_size": 16,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}


def qwen3_vl_checkpoint(folder: Path, *, appended: bool = True, seed: int = 0) -> Path:
    """A tiny Qwen3-VL.

    Args:
        folder: where to write; made if missing.
        appended: let ``tokenizer.json`` put ``<|endoftext|>`` after each text.
        seed: of the random weights.
    """
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    ids = _tokenizer(folder, _append if appended else None)
    write_json(folder / "preprocessor_config.json", _PROCESSOR)
    text = {
        "vocab_size": ids.pop("vocab_size"),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "rope_scaling": {"rope_type": "default", "mrope_section": [4, 2, 2], "mrope_interleaved": True},
        "tie_word_embeddings": True,
    }
    vision = {**_VISION, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    return _saved(Qwen3VLForConditionalGeneration, config, folder, seed)


def qwen3_5_checkpoint(folder: Path, *, appended: bool = True, seed: int = 0) -> Path:
    """A tiny Qwen3.5: its processor in ``processor_config.json``, a tokenizer with a rule against a last newline.

    Args:
        folder: where to write; made if missing.
        appended: let ``tokenizer.json`` put ``<embedding>`` after each text; otherwise it only has that token.
        seed: of the random weights.
    """
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    ids = _tokenizer(folder, partial(_embedding, appended=appended))
    write_json(folder / "processor_config.json", {"processor_class": "Qwen3VLProcessor", "image_processor": _PROCESSOR})
    text = {
        "vocab_size": ids.pop("vocab_size"),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [1, 1, 0],
            "mrope_interleaved": True,
            "partial_rotary_factor": 0.25,
        },
        "tie_word_embeddings": True,
    }
    config = Qwen3_5Config(text_config=text, vision_config=_VISION, tie_word_embeddings=True, **ids)
    return _saved(Qwen3_5ForConditionalGeneration, config, folder, seed)


def _append(settings: dict[str, Any], end: str = "<|endoftext|>") -> None:
    number = next(one["id"] for one in settings["added_tokens"] if one["content"] == end)
    template = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {end: {"id": end, "ids": [number], "tokens": [end]}},
    }
    settings["post_processor"] = template


def _embedding(settings: dict[str, Any], appended: bool) -> None:
    last = settings["added_tokens"][-1]
    settings["added_tokens"].append(last | {"id": last["id"] + 1, "content": "<embedding>"})
    if appended:
        _append(settings, "<embedding>")
    rule = {"type": "Replace", "pattern": {"Regex": "\\n$"}, "content": ""}
    settings["normalizer"] = {"type": "Sequence", "normalizers": [settings["normalizer"], rule]}


def _tokenizer(folder: Path, change: Any) -> dict[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(VIRTUE / "tokenizer_config.json", folder)
    settings = json.loads((VIRTUE / "tokenizer.json").read_text())
    if change is not None:
        change(settings)
    write_json(folder / "tokenizer.json", settings)
    given = json.loads((VIRTUE / "config.json").read_text())
    names = ("vocab_size", "image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {name: given[name] for name in names}


def _saved(kind: Any, config: Any, folder: Path, seed: int) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widened(kind(config), std=0.15).save_pretrained(folder)
    return folder

"""Trained models on disk, in the layout that VIRTUE's and VLM2Vec's checkpoints were released in."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from evalkit.embedders.virtue.segmentation import CONNECTOR
from training.contrastive import POINTS_PER_SIDE, Learner
from training.pixels import CLIP_MEAN, CLIP_STD, FRAMES, MERGE, PATCH
from training.sam import save as save_sam


def save(learner: Learner, folder: Path) -> None:
    """Weights in float16, tokenizer, processor, and where there is a segmentation stream SAM 2 and the connector."""
    learner.whole.half().save_pretrained(folder)
    learner.whole.float()
    learner.tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
    }
    _write(folder / "preprocessor_config.json", processor)
    if learner.segmentation is None:
        return
    parts = {"sam2_reducer": learner.reducer, "sam2vlm_layer": learner.projector}
    weights = {name: {key: value.half() for key, value in part.state_dict().items()} for name, part in parts.items()}
    torch.save(weights, folder / CONNECTOR)
    save_sam(learner.sam[0], folder / "sam2")
    config = json.loads((folder / "config.json").read_text())
    config["virtue_sam"] = {
        "enabled": True,
        "checkpoint": "sam2",
        "points_per_side": POINTS_PER_SIDE,
        "feature_levels": 2,
        "box_frame": "sam",
    }
    _write(folder / "config.json", config)


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n")

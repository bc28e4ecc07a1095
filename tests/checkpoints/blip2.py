"""Tiny random BLIP-2 in the format of Salesforce/blip2-itm-vit-g."""

from __future__ import annotations

from pathlib import Path

from checkpoints import widened, write_json
from checkpoints.uniir import bert_tokenizer

SIDE = 28


def blip2_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny BLIP-2 with a Q-Former that reads texts and asks images."""
    import torch
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    folder.mkdir(parents=True, exist_ok=True)
    words = bert_tokenizer(folder)
    vision = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
    }
    asking = {
        "vocab_size": words,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "encoder_hidden_size": 24,
        "use_qformer_text_input": True,
        "max_position_embeddings": 128,
    }
    config = Blip2Config(vision_config=vision, qformer_config=asking, num_query_tokens=4, image_text_hidden_size=16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = widened(Blip2ForImageTextRetrieval(config), std=0.3)
        with torch.no_grad():
            model.query_tokens.normal_(std=0.5)
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {"image_processor_type": "BlipImageProcessor", "size": {"height": SIDE, "width": SIDE}},
    )
    return folder

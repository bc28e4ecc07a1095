"""A tiny random MagicLens, as google-deepmind/magiclens releases them: a pickle of the bytes that flax gives.

The tree, its names and its axes are those of its ``model.py`` and ``layers.py`` and of scenic's ``clip/layers.py``.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from checkpoints import clip_tokenizer

SIDE, PATCH, LENGTH = 32, 8, 77
DIMENSION, LAYERS, HEADS = 12, 2, 3
VISION, TEXT = (24, 2, 3), (16, 2, 2)  # width, layers, heads

Tree = dict[str, Any]


class _Drawn:
    """Random arrays, each with a spread at which it moves the output."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, *shape: int, spread: float = 0.5, middle: float = 0.0) -> np.ndarray:
        return self._random.normal(middle, spread, shape).astype(np.float32)

    def norm(self, width: int, middle: float) -> Tree:
        return {"scale": self(width, spread=0.2, middle=middle), "bias": self(width, spread=0.2)}

    def dense(self, inputs: int, outputs: int) -> Tree:
        return {"kernel": self(inputs, outputs), "bias": self(outputs, spread=0.1)}

    def attention(self, width: int, heads: int) -> Tree:
        split = (heads, width // heads)
        parts = {
            name: {"kernel": self(width, *split), "bias": self(*split, spread=0.1)}
            for name in ("query", "key", "value")
        }
        return parts | {"out": {"kernel": self(*split, width), "bias": self(width, spread=0.1)}}

    def transformer(self, width: int, layers: int, heads: int) -> Tree:
        return {
            f"resblocks_{number}": {
                "ln_1": self.norm(width, 1),
                "attn": self.attention(width, heads),
                "ln_2": self.norm(width, 1),
                "mlp": {"c_fc": self.dense(width, 4 * width), "c_proj": self.dense(4 * width, width)},
            }
            for number in range(layers)
        }

    def projections(self, d: int, heads: int, width: int, spread: float) -> Tree:
        parts: Tree = {
            name: {"w": self(d, heads, width, spread=spread), "b": self(heads, width, spread=0.1)}
            for name in ("query", "key", "value")
        }
        return parts | {"post": {"w": self(d, heads, width), "b": self(d, spread=0.1)}}

    def linear(self, inputs: int, outputs: int) -> Tree:
        return {"linear": {"w": self(inputs, outputs)}, "bias": {"b": self(outputs, spread=0.1)}}


def magiclens_tree(words: int, seed: int = 0) -> Tree:
    """The parameters of a tiny MagicLens of so many words.

    Its head's attention is so wide apart that the cap of the logits shows.
    """
    drawn, d = _Drawn(seed), DIMENSION
    (vision, vision_layers, vision_heads), (text, text_layers, text_heads) = VISION, TEXT
    visual = {
        "conv1": {"kernel": drawn(PATCH, PATCH, 3, vision)},
        "class_embedding": drawn(vision),
        "positional_embedding": drawn((SIDE // PATCH) ** 2 + 1, vision),
        "ln_pre": drawn.norm(vision, 1),
        "transformer": drawn.transformer(vision, vision_layers, vision_heads),
        "ln_post": drawn.norm(vision, 1),
        "proj": {"kernel": drawn(vision, d)},
    }
    textual = {
        "token_embedding": {"embedding": drawn(words, text)},
        "positional_embedding": drawn(LENGTH, text),
        "transformer": drawn.transformer(text, text_layers, text_heads),
        "ln_final": drawn.norm(text, 1),
        "text_projection": {"kernel": drawn(text, d)},
    }
    encoder = {
        f"x_layers_{number}": {
            "layer_norm": drawn.norm(d, 0.3),
            "self_attention": drawn.projections(d, HEADS, d // HEADS, spread=1.5),
            "ff_layer": {
                "layer_norm": drawn.norm(d, 0.3),
                "ffn_layer1": drawn.linear(d, 4 * d),
                "ffn_layer2": drawn.linear(4 * d, d),
            },
        }
        for number in range(LAYERS)
    }
    attention = drawn.projections(d, HEADS, 4 * d // HEADS, spread=1.0)
    pooler = {
        "pool_attn": attention | {"per_dim_scale": {"per_dim_scale": drawn(4 * d // HEADS, middle=1)}},
        "pool_attn_ln": drawn.norm(d, 0.3),
        "pooling_attn_query": drawn(1, d),
    }
    clip = {"visual": visual, "text": textual, "logit_scale": np.asarray(4.6, dtype=np.float32)}
    return {"params": {"clip": clip, "multimodal_encoder": encoder, "contrastive_multimodal_pooler": pooler}}


def flax_bytes(tree: Any) -> bytes:
    """A tree as ``flax.serialization.to_bytes`` has it: arrays are extension type 1, of shape, dtype and bytes."""
    import msgpack

    def packed(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            raise TypeError(repr(value))
        parts = (value.shape, value.dtype.name, value.tobytes())
        return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))

    data: bytes = msgpack.packb(tree, default=packed, strict_types=True)
    return data


def magiclens_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny MagicLens-B beside CLIP's tokenizer, in files as the hub has them.

    Args:
        folder: where to write; made if missing.
        seed: of the random weights.

    Returns:
        The pickle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = len(clip_tokenizer(folder))
    file = folder / "magic_lens_clip_base.pkl"
    file.write_bytes(pickle.dumps(flax_bytes(magiclens_tree(words, seed))))
    return file

"""MagicLens's head: from a CLIP's features of an image and of a text to one vector.

The convention is that of google-deepmind/magiclens, ``model.py`` and ``layers.py``. It departs from the usual
transformer in four places: a layer norm's scale is kept as its distance from 1; attention logits are capped by
``50 tanh(x / 50)``; the pooler scales its query by a learned factor for each number of a head; and the pooler's heads
are wider than its states have room for, together four times in the released ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CAP = 50.0
_PER_SOFTPLUS_OF_0 = 1.442695041  # 1 / ln 2, as the published code rounds it


def fused(weights: Mapping[str, Tensor], layers: int, image: Tensor, text: Tensor) -> Tensor:
    """Vectors of length 1.

    Args:
        weights: the head's, by flax's names.
        layers: of its encoder.
        image: features, float32, shape ``(n, dimension)``, not normalised.
        text: likewise.

    Returns:
        float32, shape ``(n, dimension)``.
    """
    import torch

    states = torch.stack([image, text], dim=1)
    for number in range(layers):
        states = _layer(weights, f"multimodal_encoder.x_layers_{number}", states)
    pooler = "contrastive_multimodal_pooler"
    query = weights[f"{pooler}.pooling_attn_query"].expand(len(states), -1, -1)
    factor = weights[f"{pooler}.pool_attn.per_dim_scale.per_dim_scale"]
    factor = torch.nn.functional.softplus(factor) * (_PER_SOFTPLUS_OF_0 / math.sqrt(len(factor)))
    pooled = _attended(weights, f"{pooler}.pool_attn", query, states, factor)
    vectors = _norm(weights, f"{pooler}.pool_attn_ln", pooled)[:, 0]
    return vectors / (vectors.square().sum(dim=-1, keepdim=True) + 1e-12).sqrt()


def _layer(weights: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    """Attention and two linear layers, each after a norm and added to what went in."""
    normed = _norm(weights, f"{name}.layer_norm", states)
    factor = weights[f"{name}.self_attention.query.w"].shape[-1] ** -0.5
    states = states + _attended(weights, f"{name}.self_attention", normed, normed, factor)
    inner = _norm(weights, f"{name}.ff_layer.layer_norm", states)
    for part in ("ffn_layer1", "ffn_layer2"):
        inner = inner @ weights[f"{name}.ff_layer.{part}.linear.w"] + weights[f"{name}.ff_layer.{part}.bias.b"]
        inner = inner.relu() if part == "ffn_layer1" else inner
    return states + inner


def _attended(
    weights: Mapping[str, Tensor], name: str, queries: Tensor, states: Tensor, factor: Tensor | float
) -> Tensor:
    """Attention of queries ``(n, q, d)`` to states ``(n, s, d)``, shape ``(n, q, d)``."""
    import torch

    def read(part: str, what: Tensor) -> Tensor:
        return torch.einsum("btd,dnh->btnh", what, weights[f"{name}.{part}.w"]) + weights[f"{name}.{part}.b"]

    logits = torch.einsum("btnh,bsnh->bnts", read("query", queries) * factor, read("key", states))
    share = (_CAP * (logits / _CAP).tanh()).softmax(dim=-1)
    seen = torch.einsum("bnts,bsnh->btnh", share, read("value", states))
    return torch.einsum("btnh,dnh->btd", seen, weights[f"{name}.post.w"]) + weights[f"{name}.post.b"]


def _norm(weights: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    centred = states - states.mean(dim=-1, keepdim=True)
    normed = centred * (centred.square().mean(dim=-1, keepdim=True) + 1e-6).rsqrt()
    return normed * (1 + weights[f"{name}.scale"]) + weights[f"{name}.bias"]

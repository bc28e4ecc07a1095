"""What a MagicLens consists of, read off its arrays: sizes, names and shapes.

The names are those that google-deepmind/magiclens (``model.py``, ``layers.py``) and scenic's CLIP (``layers.py``) give
their flax modules. The numbers of layers and heads and all widths follow from shapes, since flax keeps an attention's
heads apart; so a checkpoint needs no configuration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.embedders.magiclens.flaxfile import Shapes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VISION, _TEXT = "params.clip.visual", "params.clip.text"
ENCODER, POOLER = "params.multimodal_encoder", "params.contrastive_multimodal_pooler"
_SCALE = "params.clip.logit_scale"  # of the loss; no vector depends on it


@dataclass(frozen=True)
class TowerSizes:
    """The sizes of one of CLIP's transformers.

    Attributes:
        width: of its states.
        layers: how many.
        heads: of each layer's attention.
        inner: width of each layer's feed-forward part.
        positions: how many it has an embedding for.
    """

    width: int
    layers: int
    heads: int
    inner: int
    positions: int


@dataclass(frozen=True)
class LensSizes:
    """The sizes of a MagicLens.

    Attributes:
        dimension: of the features of both towers, of the head, and of the vectors.
        text: the text tower.
        words: tokens that it has an embedding for.
        vision: the image tower.
        patch: side of a patch in pixels.
        layers: of the head's encoder.
        heads: of each of them.
        inner: width of their feed-forward part.
        pool_heads: of the head's pooler.
        pool_width: of each of these.
    """

    dimension: int
    text: TowerSizes
    words: int
    vision: TowerSizes
    patch: int
    layers: int
    heads: int
    inner: int
    pool_heads: int
    pool_width: int

    @property
    def side(self) -> int:
        """Side of the square image in pixels."""
        return self.patch * math.isqrt(self.vision.positions - 1)


def sizes_of(shapes: Shapes) -> LensSizes:
    """The sizes of the MagicLens that has these arrays.

    Args:
        shapes: the arrays' shapes by their names.

    Raises:
        ValueError: they are not those of a MagicLens, and which is not.
    """
    vision, text = _tower(shapes, _VISION), _tower(shapes, _TEXT)
    patch = _shape(shapes, f"{_VISION}.conv1.kernel", 4)[0]
    words, _ = _shape(shapes, f"{_TEXT}.token_embedding.embedding", 2)
    _, dimension = _shape(shapes, f"{_TEXT}.text_projection.kernel", 2)
    _, heads, _ = _shape(shapes, f"{ENCODER}.x_layers_0.self_attention.query.w", 3)
    _, inner = _shape(shapes, f"{ENCODER}.x_layers_0.ff_layer.ffn_layer1.linear.w", 2)
    _, pool_heads, pool_width = _shape(shapes, f"{POOLER}.pool_attn.query.w", 3)
    layers = _count(shapes, f"{ENCODER}.x_layers_")
    sizes = LensSizes(dimension, text, words, vision, patch, layers, heads, inner, pool_heads, pool_width)
    _check(sizes, shapes)
    return sizes


def _tower(shapes: Shapes, tower: str) -> TowerSizes:
    block = f"{tower}.transformer.resblocks_0"
    positions, width = _shape(shapes, f"{tower}.positional_embedding", 2)
    _, heads, _ = _shape(shapes, f"{block}.attn.query.kernel", 3)
    _, inner = _shape(shapes, f"{block}.mlp.c_fc.kernel", 2)
    return TowerSizes(width, _count(shapes, f"{tower}.transformer.resblocks_"), heads, inner, positions)


def _shape(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None:
        has = ", ".join(sorted(shapes)[:2]) or "nothing"
        raise ValueError(f"has no {name}, as a MagicLens has; it has {len(shapes):,} arrays, such as {has}")
    if len(found) != axes or 0 in found:
        raise ValueError(f"has {name} of shape {found}; a MagicLens's has {axes} axes, none of them empty")
    return found


def _count(shapes: Shapes, beginning: str) -> int:
    return len({found[1] for name in shapes if (found := re.match(rf"{re.escape(beginning)}(\d+)\.", name))})


def _check(sizes: LensSizes, shapes: Shapes) -> None:
    heads = (
        ("image tower", sizes.vision.width, sizes.vision.heads),
        ("text tower", sizes.text.width, sizes.text.heads),
        ("head", sizes.dimension, sizes.heads),
    )
    for part, width, count in heads:
        if width % count:
            raise ValueError(f"has {count} attention heads for the {width} numbers of the {part}'s states")
    if math.isqrt(sizes.vision.positions - 1) ** 2 != sizes.vision.positions - 1:
        raise ValueError(f"has {sizes.vision.positions} positions of images, not one more than a square number")
    expected = {name: shape for name, _, shape in _arrays(sizes)}
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            has, should = (str(found.get(name, "missing")) for found in (shapes, expected))
            if name not in expected:
                raise ValueError(f"has {name} of shape {has}, which a MagicLens of these sizes has not")
            raise ValueError(f"has {name} {has}; a MagicLens of these sizes has it of shape {should}")


def _arrays(sizes: LensSizes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """All arrays of a MagicLens: name, its name in transformers' CLIP (blank in the head), shape."""
    yield _SCALE, "logit_scale", ()
    vision, text, d = sizes.vision, sizes.text, sizes.dimension
    images = "vision_model.embeddings"
    patches = (sizes.patch, sizes.patch, 3, vision.width)
    yield f"{_VISION}.conv1.kernel", f"{images}.patch_embedding.weight", patches
    yield f"{_VISION}.class_embedding", f"{images}.class_embedding", (vision.width,)
    yield f"{_VISION}.positional_embedding", f"{images}.position_embedding.weight", (vision.positions, vision.width)
    yield from _norm(f"{_VISION}.ln_pre", "vision_model.pre_layrnorm", vision.width)
    yield from _blocks(_VISION, "vision_model", vision)
    yield from _norm(f"{_VISION}.ln_post", "vision_model.post_layernorm", vision.width)
    yield f"{_VISION}.proj.kernel", "visual_projection.weight", (vision.width, d)

    tokens = "text_model.embeddings"
    yield f"{_TEXT}.token_embedding.embedding", f"{tokens}.token_embedding.weight", (sizes.words, text.width)
    yield f"{_TEXT}.positional_embedding", f"{tokens}.position_embedding.weight", (text.positions, text.width)
    yield from _blocks(_TEXT, "text_model", text)
    yield from _norm(f"{_TEXT}.ln_final", "text_model.final_layer_norm", text.width)
    yield f"{_TEXT}.text_projection.kernel", "text_projection.weight", (text.width, d)

    for layer in (f"{ENCODER}.x_layers_{number}" for number in range(sizes.layers)):
        yield from _norm(f"{layer}.layer_norm", "", d)
        yield from _attention(f"{layer}.self_attention", d, sizes.heads, d // sizes.heads)
        yield from _norm(f"{layer}.ff_layer.layer_norm", "", d)
        for name, inputs, outputs in (("ffn_layer1", d, sizes.inner), ("ffn_layer2", sizes.inner, d)):
            yield f"{layer}.ff_layer.{name}.linear.w", "", (inputs, outputs)
            yield f"{layer}.ff_layer.{name}.bias.b", "", (outputs,)
    yield from _attention(f"{POOLER}.pool_attn", d, sizes.pool_heads, sizes.pool_width)
    yield f"{POOLER}.pool_attn.per_dim_scale.per_dim_scale", "", (sizes.pool_width,)
    yield f"{POOLER}.pooling_attn_query", "", (1, d)
    yield from _norm(f"{POOLER}.pool_attn_ln", "", d)


def _norm(flax: str, torch: str, width: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    yield f"{flax}.scale", f"{torch}.weight" if torch else "", (width,)
    yield f"{flax}.bias", f"{torch}.bias" if torch else "", (width,)


def _blocks(flax: str, torch: str, tower: TowerSizes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """CLIP's layers. Its attention has the heads before the width where it reads and where it writes."""
    width, split = tower.width, (tower.heads, tower.width // tower.heads)
    for number in range(tower.layers):
        here, there = f"{flax}.transformer.resblocks_{number}", f"{torch}.encoder.layers.{number}"
        yield from _norm(f"{here}.ln_1", f"{there}.layer_norm1", width)
        for name in ("query", "key", "value"):
            yield f"{here}.attn.{name}.kernel", f"{there}.self_attn.{name[0]}_proj.weight", (width, *split)
            yield f"{here}.attn.{name}.bias", f"{there}.self_attn.{name[0]}_proj.bias", split
        yield f"{here}.attn.out.kernel", f"{there}.self_attn.out_proj.weight", (*split, width)
        yield f"{here}.attn.out.bias", f"{there}.self_attn.out_proj.bias", (width,)
        yield from _norm(f"{here}.ln_2", f"{there}.layer_norm2", width)
        for name, target, inputs, outputs in (
            ("c_fc", "fc1", width, tower.inner),
            ("c_proj", "fc2", tower.inner, width),
        ):
            yield f"{here}.mlp.{name}.kernel", f"{there}.mlp.{target}.weight", (inputs, outputs)
            yield f"{here}.mlp.{name}.bias", f"{there}.mlp.{target}.bias", (outputs,)


def _attention(name: str, d: int, heads: int, width: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """The head's attention: the width of its states comes first where it reads, and where it writes, too."""
    for part in ("query", "key", "value"):
        yield f"{name}.{part}.w", "", (d, heads, width)
        yield f"{name}.{part}.b", "", (heads, width)
    yield f"{name}.post.w", "", (d, heads, width)
    yield f"{name}.post.b", "", (d,)


def clip_config(sizes: LensSizes) -> Any:
    """The configuration of transformers' CLIP that computes what scenic's does.

    ``eos_token_id`` 2 stands for: pool at the highest token, as scenic does (``text.argmax``).
    """
    from transformers import CLIPConfig

    def tower(part: TowerSizes) -> dict[str, Any]:
        return {
            "hidden_size": part.width,
            "intermediate_size": part.inner,
            "num_hidden_layers": part.layers,
            "num_attention_heads": part.heads,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        }

    words = {"vocab_size": sizes.words, "max_position_embeddings": sizes.text.positions}
    special = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
    return CLIPConfig(
        projection_dim=sizes.dimension,
        text_config=tower(sizes.text) | words | special,
        vision_config=tower(sizes.vision) | {"image_size": sizes.side, "patch_size": sizes.patch},
    )


def clip_weights(sizes: LensSizes, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """CLIP's weights by the names, and in the axes' order, of transformers.

    flax has a convolution's inputs and outputs last and multiplies a state by a kernel from the right, so that what
    torch has first comes last.
    """
    weights = {}
    for name, target, _ in _arrays(sizes):
        if not target:
            continue
        array = arrays[name]
        if name.endswith("conv1.kernel"):
            array = array.transpose(3, 2, 0, 1)
        elif name.endswith("attn.out.kernel"):
            array = array.reshape(-1, array.shape[-1]).T
        elif name.endswith(".kernel"):
            array = array.reshape(array.shape[0], -1).T
        elif name.endswith(".bias"):
            array = array.reshape(-1)
        weights[target] = array
    return weights


def head_weights(sizes: LensSizes, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The head's weights by their names in the file without ``params``, as they are."""
    return {name.removeprefix("params."): arrays[name] for name, target, _ in _arrays(sizes) if not target}

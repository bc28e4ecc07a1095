"""Tiny random Phi-3.5-V in the format of the published embedders: VLM2Vec-Full, UniME-Phi3.5-V."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from checkpoints import write_json
from checkpoints.llava import pieces_tokenizer

HIDDEN, VISION, PATCH, LAYERS = 32, 64, 84, 3
TOKENS = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")


def phi3_v_checkpoint(folder: Path, *, trained_for: int = 4096, seed: int = 0) -> Path:
    """A tiny Phi-3.5-V under the released names; four tokens a tile in place of 144.

    Args:
        folder: where to write; made if missing.
        trained_for: positions above which the frequencies are others.
        seed: of the random weights.
    """
    import torch
    from safetensors.torch import save_file

    # As in the released tokenizer these swallow the blanks after them.
    ids = pieces_tokenizer(folder, ["<unk>", "<s>", "</s>", *TOKENS], "<s>", swallowing=TOKENS[1:])
    config: dict[str, Any] = {
        "architectures": ["Phi3VForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_phi3_v.Phi3VConfig"},
        "model_type": "phi3_v",
        "vocab_size": ids["size"],
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": trained_for,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "su", "short_factor": [1.0, 1.1, 1.2, 1.5], "long_factor": [1.0, 2.0, 4.0, 8.0]},
        "rms_norm_eps": 1e-5,
        "sliding_window": 262144,
        "tie_word_embeddings": False,
        "bos_token_id": ids["<s>"],
        "eos_token_id": ids["</s>"],
        "pad_token_id": ids["<|endoftext|>"],
        "embd_layer": {
            "embedding_cls": "image",
            "hd_transform_order": "sub_glb",
            "projection_cls": "mlp",
            "use_hd_transform": True,
            "with_learnable_separator": True,
        },
        "img_processor": {
            "image_dim_out": VISION,
            "model_name": "openai/clip-vit-large-patch14-336",
            "name": "clip_vision_model",
            "num_img_tokens": (336 // PATCH // 2) ** 2,
        },
    }
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", {"image_processor_type": "Phi3VImageProcessor", "num_crops": 16})
    weights = _shapes(ids["size"])
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in weights.items():
        norm = name.endswith("norm.weight") or (
            ("layer_norm" in name or "layrnorm" in name) and name.endswith("weight")
        )
        noise = torch.randn(shape, generator=generator)
        made[name] = 1 + 0.1 * noise if norm else 0.2 * noise
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _shapes(words: int) -> dict[str, tuple[int, ...]]:
    vision = "model.vision_embed_tokens."
    tower = f"{vision}img_processor.vision_model."
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (words, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (words, HIDDEN),
        f"{vision}glb_GN": (1, 1, 4 * VISION),
        f"{vision}sub_GN": (1, 1, 1, 4 * VISION),
        f"{vision}img_projection.0.weight": (HIDDEN, 4 * VISION),
        f"{vision}img_projection.0.bias": (HIDDEN,),
        f"{vision}img_projection.2.weight": (HIDDEN, HIDDEN),
        f"{vision}img_projection.2.bias": (HIDDEN,),
        f"{tower}embeddings.class_embedding": (VISION,),
        f"{tower}embeddings.patch_embedding.weight": (VISION, 3, PATCH, PATCH),
        f"{tower}embeddings.position_embedding.weight": ((336 // PATCH) ** 2 + 1, VISION),
    }
    for layer in range(2):
        own = f"model.layers.{layer}."
        shapes |= {
            f"{own}input_layernorm.weight": (HIDDEN,),
            f"{own}post_attention_layernorm.weight": (HIDDEN,),
            f"{own}self_attn.qkv_proj.weight": (3 * HIDDEN, HIDDEN),
            f"{own}self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            f"{own}mlp.gate_up_proj.weight": (96, HIDDEN),
            f"{own}mlp.down_proj.weight": (HIDDEN, 48),
        }
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{tower}{norm}.weight": (VISION,), f"{tower}{norm}.bias": (VISION,)}
    for layer in range(LAYERS):
        own = f"{tower}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{own}{norm}.weight": (VISION,), f"{own}{norm}.bias": (VISION,)}
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{own}self_attn.{part}.weight": (VISION, VISION), f"{own}self_attn.{part}.bias": (VISION,)}
        for part, out, into in (("fc1", 96, VISION), ("fc2", VISION, 96)):
            shapes |= {f"{own}mlp.{part}.weight": (out, into), f"{own}mlp.{part}.bias": (out,)}
    return shapes

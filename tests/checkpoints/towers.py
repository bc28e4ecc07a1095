"""Tiny random MetaCLIP 2, SigLIP 2 (NaFlex) and OpenCLIP, in the format of their published checkpoints."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

from checkpoints import IMAGE_SIZE, PATCH, clip_checkpoint, widened, write_json

TEXT_LENGTH = 16
"""Of SigLIP 2; the published ones have 64."""
MOST_PATCHES = 12
TRAINED_PATCHES = 16
_TOWER: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_SIGNS = (*string.ascii_letters, *string.digits, *string.punctuation)


def metaclip2_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny MetaCLIP 2: the words of an XLM-V, ``</s>`` with id 2 as end, images squeezed into a square."""
    import torch
    from transformers import MetaClip2Config, MetaClip2Model

    folder.mkdir(parents=True, exist_ok=True)
    config = MetaClip2Config(
        projection_dim=24,
        text_config={
            **_TOWER,
            "hidden_size": 16,
            "vocab_size": _xlm_tokenizer(folder),
            "max_position_embeddings": 77,
            "eos_token_id": 2,
        },
        vision_config={**_TOWER, "hidden_size": 20, "image_size": IMAGE_SIZE, "patch_size": PATCH},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        widened(MetaClip2Model(config)).save_pretrained(folder)
    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": square,
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": square,
        },
    )
    return folder


def naflex_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny SigLIP 2 of any resolution: position embeddings of 4 x 4 patches, images of at most 12."""
    import torch
    from transformers import Siglip2Config, Siglip2Model

    folder.mkdir(parents=True, exist_ok=True)
    config = Siglip2Config(
        text_config={
            **_TOWER,
            "hidden_size": 16,
            "vocab_size": _gemma_tokenizer(folder),
            "max_position_embeddings": TEXT_LENGTH,
            "projection_size": 20,
        },
        vision_config={**_TOWER, "hidden_size": 20, "patch_size": PATCH, "num_patches": TRAINED_PATCHES},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = widened(Siglip2Model(config))
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Siglip2ImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_num_patches": MOST_PATCHES,
            "patch_size": PATCH,
            "processor_class": "Siglip2Processor",
            "resample": 2,
            "rescale_factor": 1 / 255,
        },
    )
    return folder


def openclip_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A tiny OpenCLIP as LAION publishes them: GELU, the settings of the towers twice, open_clip's own files beside."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    tokens = clip_checkpoint(folder, eos_token_id=2, seed=seed)
    AutoTokenizer.from_pretrained(tokens).backend_tokenizer.save(str(folder / "tokenizer.json"))
    given = json.loads((folder / "config.json").read_text())
    words, pictures = given["text_config"], given["vision_config"]
    towers = {
        f"{name}_config{twice}": {**settings, "hidden_act": "gelu", "projection_dim": 24}
        for name, settings in (("text", words), ("vision", pictures))
        for twice in ("", "_dict")
    }
    write_json(
        folder / "config.json",
        {
            "architectures": ["CLIPModel"],
            "initializer_factor": 1.0,
            "logit_scale_init_value": 2.6592,
            "model_type": "clip",
            "projection_dim": 24,
            **towers,
        },
    )
    model = CLIPModel(CLIPConfig.from_pretrained(folder))
    assert model.config.text_config.hidden_act == "gelu"
    shutil.copy(folder / "model.safetensors", folder / "open_clip_model.safetensors")
    write_json(folder / "open_clip_config.json", {"model_cfg": {"embed_dim": 24}})
    return folder


def _xlm_tokenizer(folder: Path) -> int:
    """A Unigram with XLM-V's four first tokens and the mask last; special tokens are pieces like any other."""
    from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    first = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(token, 0.0) for token in first]
    pieces += [(word, -2.0) for word in ("▁cat", "▁dog", "▁photo", "▁red", "▁the", "▁a", "▁of", "▁猫", "▁Hund")]
    pieces += [(letter, -6.0) for letter in ("▁", *_SIGNS)]
    pieces += [("<mask>", 0.0)]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([*first, AddedToken("<mask>", lstrip=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, **special},
    )
    write_json(folder / "special_tokens_map.json", special)
    return len(pieces)


def _gemma_tokenizer(folder: Path) -> int:
    """A BPE with Gemma's four first tokens, bytes for what it lacks, an end and no beginning."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE

    first = ["<pad>", "<eos>", "<bos>", "<unk>"]
    signs = ("▁", *_SIGNS)
    merges = [("c", "a"), ("ca", "t"), ("▁", "cat"), ("d", "o"), ("do", "g"), ("C", "A"), ("CA", "T")]
    tokens = [*first, *(f"<0x{byte:02X}>" for byte in range(256)), *signs, *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    model = BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)]
    )
    tokenizer.add_special_tokens(first)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GemmaTokenizer",
            "add_bos_token": False,
            "add_eos_token": True,
            "model_input_names": ["input_ids"],
            "model_max_length": TEXT_LENGTH,
            "padding_side": "right",
            **special,
        },
    )
    write_json(folder / "special_tokens_map.json", special)
    return len(tokens)

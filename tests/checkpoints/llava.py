"""Tiny random LLaVA-NeXT in the format of the published embedders: on Llama 3 (E5-V) and on Mistral (the others)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checkpoints import widened, write_json

SIDE, PATCH = 28, 14
PINPOINTS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
LLAMA_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def llama_tokenizer(folder: Path) -> dict[str, int]:
    """Llama 3's kind: byte-level pieces, a token before each text, ``<image>`` added as LLaVA does.

    Returns:
        The ids of the special tokens.
    """
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import BPE

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("S", "u"), ("Su", "m"), ("i", "n"), ("Ġ", "a"), ("o", "n"), ("on", "e"), ("ĊĊ"[0], "Ċ"), (":", "Ġ")]
    words = [*letters, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return _with_specials(tokenizer, processors, folder, [*LLAMA_TOKENS, "<image>", "<pad>"], LLAMA_TOKENS[0])


def pieces_tokenizer(folder: Path, names: Sequence[str], first: str, swallowing: Sequence[str] = ()) -> dict[str, int]:
    """Llama 2's and Mistral's kind: pieces that begin with the blank, bytes for the rest, a token before each text.

    Args:
        folder: where to write; made if missing.
        names: the special tokens.
        first: the one before each text.
        swallowing: those of them that swallow the blanks after them.
    """
    from tokenizers import Tokenizer, normalizers, processors
    from tokenizers.models import BPE

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    merges = [("▁", "a"), ("▁", "i"), ("▁i", "n"), ("o", "n"), ("on", "e"), ("▁", "[")]
    words = [*pieces, *("".join(pair) for pair in merges)]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _with_specials(tokenizer, processors, folder, names, first, swallowing)


def _with_specials(
    tokenizer: Any, processors: Any, folder: Path, names: Sequence[str], first: str, swallowing: Sequence[str] = ()
) -> dict[str, int]:
    from tokenizers import AddedToken

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.add_special_tokens([AddedToken(name, rstrip=name in swallowing, special=True) for name in names])
    ids = {name: tokenizer.token_to_id(name) for name in names}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, ids[first])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": first, "pad_token": "<pad>"}
    write_json(folder / "tokenizer_config.json", settings | {"padding_side": "left"})
    return ids | {"size": tokenizer.get_vocab_size()}


def llava_next_checkpoint(folder: Path, language: str, *, seed: int = 0) -> Path:
    """A tiny LLaVA-NeXT.

    Args:
        folder: where to write; made if missing.
        language: ``llama`` or ``mistral``.
        seed: of the random weights.
    """
    import torch
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    if language == "llama":
        ids = llama_tokenizer(folder)
    else:
        ids = pieces_tokenizer(folder, ["<unk>", "<s>", "</s>", "<image>", "<pad>"], "<s>")
    config = LlavaNextConfig(
        text_config={
            "model_type": language,
            "vocab_size": ids["size"],
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 4096,
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "projection_dim": 16,
        },
        image_token_index=ids["<image>"],
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = widened(LlavaNextForConditionalGeneration(config), std=0.2)
        with torch.no_grad():
            model.model.image_newline.normal_(std=0.5)
    model.save_pretrained(folder)
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "LlavaNextImageProcessor",
            "processor_class": "LlavaNextProcessor",
            "crop_size": {"height": SIDE, "width": SIDE},
            "size": {"shortest_edge": SIDE},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_grid_pinpoints": PINPOINTS,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "rescale_factor": 1 / 255,
        },
    )
    return folder

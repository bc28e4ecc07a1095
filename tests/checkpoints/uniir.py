"""Tiny random UniIR files in their released format: ``.pth``, with the state of a training beside the model."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from checkpoints import clip_tokenizer, write_json

WIDTH, SIDE, PATCH, LAYERS = 64, 32, 8, 2
BERT_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "red", "find", "the", ".", "?", "##s", "##t")


def _saved(weights: dict[str, tuple[int, ...]], file: Path, seed: int) -> Path:
    import torch

    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Any] = {}
    for name, shape in weights.items():
        noise = torch.randn(shape, generator=generator)
        norm = ("ln_" in name or "norm" in name or "LayerNorm" in name) and name.endswith("weight")
        made[name] = 1 + 0.1 * noise if norm else 0.2 * noise
    file.parent.mkdir(parents=True, exist_ok=True)
    with _omegaconf() as configuration:
        torch.save({"model": made, **_training(), "config": configuration}, file)
    return file


def written(file: Path) -> dict[str, Any]:
    """All that such a file holds, read as the authors read it: the pickle is run. For files of this module alone."""
    import torch

    with _omegaconf():
        saved: dict[str, Any] = torch.load(file, weights_only=False)
    return saved


def _training() -> dict[str, Any]:
    """The states of torch's own objects after a step, as the authors' ``train.py`` saves them."""
    import torch

    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=1e-5, betas=(0.9, 0.98), eps=1e-6)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=0)
    weight.grad = torch.ones(3)
    optimizer.step()
    scheduler.step()
    scaler = torch.amp.GradScaler("cpu")
    states: dict[str, Any] = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    return {"epoch": 7} | {name: one.state_dict() for name, one in states.items()}


@contextmanager
def _omegaconf() -> Iterator[Any]:
    """A configuration that pickles as one of OmegaConf 2.4 does: the same classes, states and types as values."""
    made: dict[str, Any] = {}
    modules = {"omegaconf": ModuleType("omegaconf")}
    for path in (
        "dictconfig.DictConfig",
        "listconfig.ListConfig",
        "nodes.AnyNode",
        "base.Metadata",
        "base.ContainerMetadata",
    ):
        module, name = f"omegaconf.{path}".rsplit(".", 1)
        made[name] = type(name, (), {"__module__": module, "__reduce__": _as_omegaconf_does})
        setattr(modules.setdefault(module, ModuleType(module)), name, made[name])

    def node(kind: str, content: Any, parent: Any, key: Any) -> Any:
        one = made[kind]()
        told = {"ref_type": Any, "object_type": None, "optional": True, "key": key, "flags": None}
        told |= {"flags_root": False, "resolver_cache": defaultdict(dict)}
        if kind != "AnyNode":
            told |= {"object_type": type(content), "key_type": Any, "element_type": Any}
        one.__dict__ = {"_metadata": made["Metadata" if kind == "AnyNode" else "ContainerMetadata"]()}
        one._metadata.__dict__ = told
        one._parent, one._flags_cache = parent, None
        if isinstance(content, dict):
            one._content = {name: of(value, one, name) for name, value in content.items()}
        elif isinstance(content, list):
            one._content = [of(value, one, place) for place, value in enumerate(content)]
        else:
            one._val = content
        return one

    def of(value: Any, parent: Any = None, key: Any = None) -> Any:
        kind = "DictConfig" if isinstance(value, dict) else "ListConfig" if isinstance(value, list) else "AnyNode"
        return node(kind, value, parent, key)

    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield of({"seed": 2023, "model": {"short_name": "tiny", "sizes": [224, 224]}, "lr": 1e-5, "gpu": None})
    finally:
        for name, there in before.items():
            sys.modules.pop(name)
            if there is not None:
                sys.modules[name] = there


def _as_omegaconf_does(one: Any) -> Any:
    """An empty object, then its state: NEWOBJ and BUILD."""
    import copyreg

    return copyreg.__newobj__, (type(one),), one.__dict__  # type: ignore[attr-defined]


def clip_sf_file(folder: Path, *, seed: int = 0) -> Path:
    """A tiny CLIP_SF under OpenAI's names, with CLIP's tokenizer beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = len(clip_tokenizer(folder))
    own = "clip_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{own}positional_embedding": (77, WIDTH),
        f"{own}text_projection": (WIDTH, 24),
        f"{own}logit_scale": (),
        f"{own}token_embedding.weight": (words, WIDTH),
        f"{own}ln_final.weight": (WIDTH,),
        f"{own}ln_final.bias": (WIDTH,),
        f"{own}visual.class_embedding": (WIDTH,),
        f"{own}visual.positional_embedding": ((SIDE // PATCH) ** 2 + 1, WIDTH),
        f"{own}visual.proj": (WIDTH, 24),
        f"{own}visual.conv1.weight": (WIDTH, 3, PATCH, PATCH),
    }
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{own}visual.{norm}.weight": (WIDTH,), f"{own}visual.{norm}.bias": (WIDTH,)}
    for tower in ("transformer", "visual.transformer"):
        for layer in range(LAYERS):
            block = f"{own}{tower}.resblocks.{layer}."
            for norm in ("ln_1", "ln_2"):
                shapes |= {f"{block}{norm}.weight": (WIDTH,), f"{block}{norm}.bias": (WIDTH,)}
            shapes |= {
                f"{block}attn.in_proj_weight": (3 * WIDTH, WIDTH),
                f"{block}attn.in_proj_bias": (3 * WIDTH,),
                f"{block}attn.out_proj.weight": (WIDTH, WIDTH),
                f"{block}attn.out_proj.bias": (WIDTH,),
                f"{block}mlp.c_fc.weight": (96, WIDTH),
                f"{block}mlp.c_fc.bias": (96,),
                f"{block}mlp.c_proj.weight": (WIDTH, 96),
                f"{block}mlp.c_proj.bias": (WIDTH,),
            }
    return _saved(shapes, folder / "clip_sf_large.pth", seed)


def blip_ff_file(folder: Path, *, seed: int = 0) -> Path:
    """A tiny BLIP_FF with its momentum encoders and queues, and BERT's tokenizer beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = bert_tokenizer(folder)
    shapes: dict[str, tuple[int, ...]] = {"temp": (), "query_queue": (WIDTH, 5), "idx_queue": (1, 5)}
    for extra in ("", "_m"):
        shapes |= _vit(f"visual_encoder{extra}.") | _bert(f"text_encoder{extra}.", words + 2)
    return _saved(shapes, folder / "blip_ff_large.pth", seed)


def _vit(own: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{own}cls_token": (1, 1, WIDTH),
        f"{own}pos_embed": (1, (SIDE // PATCH) ** 2 + 1, WIDTH),
        f"{own}patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        f"{own}patch_embed.proj.bias": (WIDTH,),
        f"{own}norm.weight": (WIDTH,),
        f"{own}norm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        block = f"{own}blocks.{layer}."
        for name, out, into in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 96, WIDTH),
            ("mlp.fc2", WIDTH, 96),
        ):
            shapes |= {f"{block}{name}.weight": (out, into), f"{block}{name}.bias": (out,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}{norm}.weight": (WIDTH,), f"{block}{norm}.bias": (WIDTH,)}
    return shapes


def _bert(own: str, words: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{own}embeddings.position_ids": (1, 128),
        f"{own}embeddings.word_embeddings.weight": (words, WIDTH),
        f"{own}embeddings.position_embeddings.weight": (128, WIDTH),
        f"{own}embeddings.LayerNorm.weight": (WIDTH,),
        f"{own}embeddings.LayerNorm.bias": (WIDTH,),
        f"{own}pooler.dense.weight": (WIDTH, WIDTH),
        f"{own}pooler.dense.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        block = f"{own}encoder.layer.{layer}."
        linear = [("intermediate.dense", 96, WIDTH), ("output.dense", WIDTH, 96)]
        for kind in ("attention", "crossattention"):
            linear += [(f"{kind}.self.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")]
            linear.append((f"{kind}.output.dense", WIDTH, WIDTH))
        for name, out, into in linear:
            shapes |= {f"{block}{name}.weight": (out, into), f"{block}{name}.bias": (out,)}
        for norm in ("attention.output", "crossattention.output", "output"):
            shapes |= {f"{block}{norm}.LayerNorm.weight": (WIDTH,), f"{block}{norm}.LayerNorm.bias": (WIDTH,)}
    return shapes


def bert_tokenizer(folder: Path) -> int:
    """BERT's kind of tokenizer, with letters for what it has no word for."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = list(dict.fromkeys([*BERT_WORDS, *letters, *(f"##{letter}" for letter in letters)]))
    tokenizer = Tokenizer(WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(BERT_WORDS[:5]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 512})
    return len(words)

"""UniIR's CLIP_SF and BLIP_FF against their architectures written out with torch's functions."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints.uniir import PATCH, SIDE, blip_ff_file, clip_sf_file, written
from torch.nn import functional
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from evalkit.check import check
from evalkit.embedders.base import Costed, Embedder
from evalkit.embedders.mbeir import as_sentence
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFile

TOLERANCE = 1e-5
MEAN, STD = (
    torch.tensor(v).view(3, 1, 1) for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
)
Weights = dict[str, torch.Tensor]


def made(model: str) -> Embedder:
    """The embedder of a MODEL."""
    return load_embedder(parse_model(model), "cpu").embedder


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_sf_file(tmp_path_factory.mktemp("uniir") / "clip")


@pytest.fixture(scope="session")
def blip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blip_ff_file(tmp_path_factory.mktemp("uniir") / "blip", seed=1)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    folder = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
        return ImageFile(folder, f"{width}x{height}.png")

    return of


def weights_of(file: Path, prefix: str) -> Weights:
    saved: Weights = written(file)["model"]
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}


def linear(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(x: torch.Tensor, w: Weights, name: str, eps: float) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """One head of width 64: softmax of scaled products."""
    scores = q @ k.T / 8
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ v


# --- CLIP_SF -----------------------------------------------------------------------------------------


def clip_blocks(x: torch.Tensor, w: Weights, tower: str, causal: bool) -> torch.Tensor:
    mask = torch.ones(len(x), len(x), dtype=torch.bool).tril() if causal else None
    for layer in range(2):
        own = f"{tower}resblocks.{layer}."
        inner = norm(x, w, f"{own}ln_1", 1e-5)
        q, k, v = functional.linear(inner, w[f"{own}attn.in_proj_weight"], w[f"{own}attn.in_proj_bias"]).chunk(3, -1)
        x = x + linear(attend(q, k, v, mask), w, f"{own}attn.out_proj")
        wide = linear(norm(x, w, f"{own}ln_2", 1e-5), w, f"{own}mlp.c_fc")
        x = x + linear(wide * torch.sigmoid(1.702 * wide), w, f"{own}mlp.c_proj")
    return x


def clip_text(w: Weights, ids: list[int]) -> torch.Tensor:
    """OpenAI's encode_text of a row padded with 0 to 77; the highest id is where it pools."""
    row = torch.tensor([*ids, *[0] * (77 - len(ids))])
    x = clip_blocks(w["token_embedding.weight"][row] + w["positional_embedding"], w, "transformer.", causal=True)
    return norm(x, w, "ln_final", 1e-5)[row.argmax()] @ w["text_projection"]


def clip_image(w: Weights, pixels: torch.Tensor) -> torch.Tensor:
    grid = functional.conv2d(pixels[None], w["visual.conv1.weight"], stride=8)[0].flatten(1).T
    x = torch.cat([w["visual.class_embedding"][None], grid]) + w["visual.positional_embedding"]
    x = clip_blocks(norm(x, w, "visual.ln_pre", 1e-5), w, "visual.transformer.", causal=False)
    return norm(x[0], w, "visual.ln_post", 1e-5) @ w["visual.proj"]


def centred(image: PIL.Image.Image) -> torch.Tensor:
    """torchvision's Resize and CenterCrop of a picture, and its ToTensor and Normalize."""
    w, h = image.size
    size = (SIDE, int(SIDE * h / w)) if w <= h else (int(SIDE * w / h), SIDE)
    image = image.resize(size, PIL.Image.Resampling.BICUBIC)
    left, top = round((size[0] - SIDE) / 2.0), round((size[1] - SIDE) / 2.0)
    image = image.crop((left, top, left + SIDE, top + SIDE))
    return (torch.tensor(np.asarray(image).transpose(2, 0, 1)) / 255 - MEAN) / STD


def test_clip_sf(clip_file: Path, picture: Callable[[int, int], ImageFile]) -> None:
    w = weights_of(clip_file, "clip_model.")
    tokenizer = made(f"uniir-clip:{clip_file}")._tokens.tokenizer  # type: ignore[attr-defined]
    start, end = (tokenizer.convert_tokens_to_ids(f"<|{name}oftext|>") for name in ("start", "end"))

    def text(words: str) -> torch.Tensor:
        ids = tokenizer(words.lower(), add_special_tokens=False)["input_ids"][:75]
        return clip_text(w, [start, *ids, end])

    wide, tall = picture(57, 40), picture(33, 90)
    cases = [
        (Item("x", text="the red dog", instruction="find a cat", image=wide), "query", "Find a cat the red dog.", wide),
        (Item("x", text="the red dog", instruction="find", image=tall), "candidate", "The red dog.", tall),
        (Item("x", text="", instruction="find a cat", image=tall), "query", "Find a cat.", tall),
        (Item("x", text="", instruction="find a cat", image=tall), "candidate", "", tall),
        (Item("x", text=' "why?" ', instruction=""), "query", "Why?", None),
        (Item("x", text="cat " * 200, instruction=""), "candidate", "Cat" + " cat" * 199 + ".", None),
    ]
    embedder = made(f"uniir-clip:{clip_file.parent}")
    for item, side, words, image in cases:
        wanted = torch.zeros(24)
        if words:
            wanted = wanted + text(words)
        if image is not None:
            wanted = wanted + clip_image(w, centred(image.rgb()))
        found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, functional.normalize(wanted, dim=0).numpy(), rtol=0, atol=TOLERANCE)


def test_what_an_item_costs_clip_sf(clip_file: Path, picture: Callable[[int, int], ImageFile]) -> None:
    """As many tokens as transformers' tokenizer finds, and the patches of the image."""
    embedder, image = made(f"uniir-clip:{clip_file}"), picture(57, 40)
    assert isinstance(embedder, Costed)
    tokenizer, patches = CLIPTokenizer.from_pretrained(clip_file.parent), (SIDE // PATCH) ** 2
    told = Item("x", text="the red dog", instruction="find a cat", image=image)
    tokens = len(tokenizer("Find a cat the red dog.")["input_ids"])
    assert embedder.cost(replace(told, image=None), None) == tokens
    assert embedder.cost(told, image.facts()) == tokens + patches
    assert embedder.cost(Item("x", image=image), image.facts()) == patches
    assert embedder.cost(Item("x", text="cat " * 200), None) == 77


# --- BLIP_FF -----------------------------------------------------------------------------------------


def blip_image(w: Weights, pixels: torch.Tensor) -> torch.Tensor:
    """timm's ViT, as BLIP has it."""
    grid = functional.conv2d(pixels[None], w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=8)
    x = torch.cat([w["cls_token"][0], grid[0].flatten(1).T]) + w["pos_embed"][0]
    for layer in range(2):
        own = f"blocks.{layer}."
        q, k, v = linear(norm(x, w, f"{own}norm1", 1e-6), w, f"{own}attn.qkv").chunk(3, -1)
        x = x + linear(attend(q, k, v), w, f"{own}attn.proj")
        x = x + linear(functional.gelu(linear(norm(x, w, f"{own}norm2", 1e-6), w, f"{own}mlp.fc1")), w, f"{own}mlp.fc2")
    return norm(x, w, "norm", 1e-6)


def blip_fused(w: Weights, ids: list[int], image: torch.Tensor) -> torch.Tensor:
    """med.py's BertModel: attention to the text, to the image, and two layers; the first state pooled."""
    words = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(words, w, "embeddings.LayerNorm", 1e-12)
    for layer in range(2):
        own = f"encoder.layer.{layer}."
        for kind, source in (("attention", None), ("crossattention", image)):
            q, k, v = (
                linear(x if part == "query" or source is None else source, w, f"{own}{kind}.self.{part}")
                for part in ("query", "key", "value")
            )
            out = linear(attend(q, k, v), w, f"{own}{kind}.output.dense")
            x = norm(out + x, w, f"{own}{kind}.output.LayerNorm", 1e-12)
        inner = functional.gelu(linear(x, w, f"{own}intermediate.dense"))
        x = norm(linear(inner, w, f"{own}output.dense") + x, w, f"{own}output.LayerNorm", 1e-12)
    return torch.tanh(linear(x[0], w, "pooler.dense"))


def test_blip_ff(blip_file: Path, picture: Callable[[int, int], ImageFile]) -> None:
    see, read = weights_of(blip_file, "visual_encoder."), weights_of(blip_file, "text_encoder.")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(blip_file.parent)
    wide = picture(57, 40)
    cases = [
        (Item("x", text="the red dog", instruction="find a cat", image=wide), "query", "Find a cat the red dog.", wide),
        (Item("x", text="the red dog", instruction="find a cat", image=wide), "candidate", "The red dog.", wide),
        (Item("x", text="", instruction="find", image=wide), "candidate", "", wide),
        (Item("x", text="a dog", instruction=""), "query", "A dog.", None),
        (Item("x", text="dogs " * 150, instruction=""), "candidate", "Dogs" + " dogs" * 149 + ".", None),
    ]
    embedder = made(f"uniir-blip:{blip_file.parent}")
    for item, side, words, image in cases:
        pixels = torch.zeros(3, SIDE, SIDE)
        if image is not None:
            squeezed = image.rgb().resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)
            pixels = (torch.tensor(np.asarray(squeezed).transpose(2, 0, 1)) / 255 - MEAN) / STD
        ids = tokenizer(words, truncation=True, max_length=100)["input_ids"]
        wanted = functional.normalize(blip_fused(read, ids, blip_image(see, pixels)), dim=0)
        found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=TOLERANCE)


def test_what_an_item_costs_blip_ff(blip_file: Path, picture: Callable[[int, int], ImageFile]) -> None:
    """As many tokens as transformers' tokenizer finds, and those of the image, be there one or not."""
    embedder, image = made(f"uniir-blip:{blip_file}"), picture(57, 40)
    assert isinstance(embedder, Costed)
    tokenizer, seen = PreTrainedTokenizerFast.from_pretrained(blip_file.parent), (SIDE // PATCH) ** 2 + 1
    told = Item("x", text="the red dog", instruction="find a cat", image=image)
    tokens = len(tokenizer("Find a cat the red dog.")["input_ids"])
    assert embedder.cost(replace(told, image=None), None) == tokens + seen
    assert embedder.cost(told, image.facts()) == tokens + seen
    assert embedder.cost(Item("x", image=image), image.facts()) == 2 + seen
    assert embedder.cost(Item("x", text="dogs " * 150), None) == 100 + seen


# --- both --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a dog", "A dog."),
        (' "a dog?" \r\n', "A dog?"),
        ("A dog!", "A dog!"),
        ("über", "Über."),
        ("3 dogs", "3 dogs."),
        ("", ""),
        ('""', ""),
    ],
)
def test_sentences(text: str, wanted: str) -> None:
    assert as_sentence(text) == wanted


@pytest.mark.parametrize("family", ["uniir-clip", "uniir-blip"])
def test_a_vector_is_the_same_alone_and_in_any_batch(
    family: str, clip_file: Path, blip_file: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    embedder = made(f"{family}:{clip_file if family == 'uniir-clip' else blip_file}")
    images = [picture(57, 40), picture(33, 90), picture(3, 2), None]
    items = [
        Item("x", text=text, image=image) for image in images for text in ("", "a dog", "the red dogs, the red cat")
    ]
    together = embedder.encode(items, "query")
    one_by_one = np.concatenate([embedder.encode([one], "query") for one in items])
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=TOLERANCE)


@pytest.mark.slow(3)
@pytest.mark.parametrize("family", ["uniir-clip", "uniir-blip"])
def test_the_contract_is_kept(family: str, clip_file: Path, blip_file: Path) -> None:
    findings = check(made(f"{family}:{clip_file if family == 'uniir-clip' else blip_file}"))
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_where_the_file_may_lie(clip_file: Path, tmp_path: Path) -> None:
    """The file, its folder, or the authors' repository with the tokenizer elsewhere: one fingerprint of one content."""
    usual = tmp_path / "UniIR" / "checkpoint" / "CLIP_SF" / "clip_sf_large.pth"
    usual.parent.mkdir(parents=True)
    shutil.copy(clip_file, usual)
    item = [Item("x", text="a dog")]
    models = [f"{clip_file}", f"{clip_file.parent}", f"{tmp_path / 'UniIR'}?base={clip_file.parent}"]
    found = [made(f"uniir-clip:{model}").encode(item, "query") for model in models]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    with pytest.raises(
        UsageError, match=r"should hold checkpoint/BLIP_FF/blip_ff_large.pth, or one .pth file; there is no"
    ):
        made(f"uniir-blip:{tmp_path / 'UniIR'}")
    with pytest.raises(UsageError, match=r"BLIP_FF needs the tokenizer of bert-base-uncased.*\?base=PATH"):
        made(f"uniir-blip:{usual}")


def test_the_configuration_in_a_file_is_not_made(clip_file: Path) -> None:
    """It is an object of OmegaConf, as the authors save it: read without that package, and left empty."""
    assert type(written(clip_file)["config"]).__module__ == "omegaconf.dictconfig"
    with pytest.raises(pickle.UnpicklingError, match=r"omegaconf\.dictconfig\.DictConfig"):
        torch.load(clip_file, weights_only=True)
    before = set(torch.serialization.get_safe_globals())
    assert made(f"uniir-clip:{clip_file}").info.dimension == 24
    assert "omegaconf" not in sys.modules
    assert set(torch.serialization.get_safe_globals()) == before, "what is let through is let through here alone"


def test_bad_files(clip_file: Path, blip_file: Path, tmp_path: Path) -> None:
    item = [Item("x", text="a dog")]
    with pytest.raises(EmbedderError, match=r"is of another model: it has no clip_model\.text_projection"):
        made(f"uniir-clip:{blip_file}?base={clip_file.parent}").encode(item, "query")

    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "attacked",))

    hostile = tmp_path / "clip_sf_large.pth"
    hostile.write_bytes(pickle.dumps({"model": Attack()}))
    with pytest.raises(EmbedderError, match="is no file of plain weights"):
        made(f"uniir-clip:{hostile}?base={clip_file.parent}").encode(item, "query")
    assert not (tmp_path / "attacked").exists()
    lacking = written(clip_file)["model"]
    del lacking["clip_model.visual.transformer.resblocks.1.mlp.c_fc.bias"]
    torch.save({"model": lacking}, hostile)
    with pytest.raises(
        EmbedderError, match=r"1 are missing or of another shape, such as vision_model\.encoder\.layers\.1"
    ):
        made(f"uniir-clip:{hostile}?base={clip_file.parent}").encode(item, "query")
    with pytest.raises(UsageError, match="option instruction='maybe' is not known"):
        made(f"uniir-clip:{clip_file}?instruction=maybe")

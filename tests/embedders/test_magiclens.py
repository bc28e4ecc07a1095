"""MagicLens against its published layers written down once more in numpy, in float64, from the tree that was saved."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from checkpoints import clip_tokenizer
from checkpoints.magiclens import DIMENSION, HEADS, LAYERS, LENGTH, PATCH, SIDE, magiclens_checkpoint, magiclens_tree

from evalkit.check import check
from evalkit.embedders.magiclens.lens import MagicLens
from evalkit.embedders.magiclens.lenslayout import LensSizes, TowerSizes, _arrays, sizes_of
from evalkit.embedders.magiclens.lenspixels import pixels
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.errors import EmbedderError, ItemError, UsageError
from evalkit.items import Box, Item
from evalkit.items.images import ImageFile

TEXTS = ("find the red dog", "", "cat, but in a photo!!", "a!b &amp;amp; “it’s” ﬁne", "the cat " * 60)
SIZES = ((40, 30), (1, 1), (200, 3), (32, 32), (17, 333))  # width, height

Array = np.ndarray


def resized(picture: PIL.Image.Image, side: int) -> Array:
    """``jax.image.resize(…, 'bilinear')``: triangles as wide as a new pixel is, of the brightest number."""
    values = np.asarray(picture, dtype=np.float64)
    values = values / (values.max() + 1e-12)

    def triangles(old: int) -> Array:
        scale = old / side
        places = (np.arange(side) + 0.5) * scale - 0.5
        weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)) / max(scale, 1))
        return weights / weights.sum(axis=1, keepdims=True)

    return np.einsum("yh,hwc,xw->yxc", triangles(values.shape[0]), values, triangles(values.shape[1]), optimize=True)


def whitened(image: Array) -> Array:
    """Less CLIP's mean, by its deviation."""
    return (image - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def norm(p: Any, x: Array, epsilon: float, *, offset: float = 0) -> Array:
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * (p["scale"] + offset) + p["bias"]


def block(p: Any, x: Array, mask: Array | None) -> Array:
    """scenic's ResidualAttentionBlock, of one sequence."""
    n = norm(p["ln_1"], x, 1e-5)
    q, k, v = (
        np.einsum("td,dnh->tnh", n, p["attn"][name]["kernel"]) + p["attn"][name]["bias"]
        for name in ("query", "key", "value")
    )
    logits = np.einsum("tnh,snh->nts", q, k) / np.sqrt(q.shape[-1])
    logits = logits if mask is None else np.where(mask, logits, -1e30)
    seen = np.einsum("nts,snh->tnh", softmax(logits), v)
    x = x + np.einsum("tnh,nhd->td", seen, p["attn"]["out"]["kernel"]) + p["attn"]["out"]["bias"]
    y = norm(p["ln_2"], x, 1e-5) @ p["mlp"]["c_fc"]["kernel"] + p["mlp"]["c_fc"]["bias"]
    return x + (y / (1 + np.exp(-1.702 * y))) @ p["mlp"]["c_proj"]["kernel"] + p["mlp"]["c_proj"]["bias"]


def transformer(p: Any, x: Array, mask: Array | None = None) -> Array:
    for number in range(len(p)):
        x = block(p[f"resblocks_{number}"], x, mask)
    return x


def image_feature(p: Any, image: Array) -> Array:
    grid = SIDE // PATCH
    patches = image.reshape(grid, PATCH, grid, PATCH, 3).transpose(0, 2, 1, 3, 4)
    x = np.einsum("yxabc,abcf->yxf", patches, p["conv1"]["kernel"]).reshape(grid * grid, -1)
    x = np.concatenate([p["class_embedding"][None], x]) + p["positional_embedding"]
    x = transformer(p["transformer"], norm(p["ln_pre"], x, 1e-5))
    return norm(p["ln_post"], x[0], 1e-5) @ p["proj"]["kernel"]


def text_feature(p: Any, ids: Sequence[int]) -> Array:
    padded = np.zeros(LENGTH, dtype=int)
    padded[: len(ids)] = ids
    x = p["token_embedding"]["embedding"][padded] + p["positional_embedding"]
    mask = np.tril(np.ones((LENGTH, LENGTH), dtype=bool)) & (padded > 0)
    x = norm(p["ln_final"], transformer(p["transformer"], x, mask), 1e-5)
    return x[padded.argmax()] @ p["text_projection"]["kernel"]


def attended(p: Any, queries: Array, states: Array) -> Array:
    """``DotProductAttention`` of ``layers.py``, of one sequence."""
    q = np.einsum("td,dnh->tnh", queries, p["query"]["w"]) + p["query"]["b"]
    k, v = (np.einsum("td,dnh->tnh", states, p[name]["w"]) + p[name]["b"] for name in ("key", "value"))
    width = q.shape[-1]
    if "per_dim_scale" in p:
        q = q * 1.442695041 / np.sqrt(width) * np.log1p(np.exp(p["per_dim_scale"]["per_dim_scale"]))
    else:
        q = q * width**-0.5
    share = softmax(50 * np.tanh(np.einsum("tnh,snh->nts", q, k) / 50))
    return np.einsum("tnh,dnh->td", np.einsum("nts,snh->tnh", share, v), p["post"]["w"]) + p["post"]["b"]


def head(p: Any, image: Array, text: Array) -> Array:
    x = np.stack([image, text])
    for number in range(LAYERS):
        layer = p["multimodal_encoder"][f"x_layers_{number}"]
        n = norm(layer["layer_norm"], x, 1e-6, offset=1)
        x = x + attended(layer["self_attention"], n, n)
        feed = layer["ff_layer"]
        y = norm(feed["layer_norm"], x, 1e-6, offset=1)
        y = np.maximum(0, y @ feed["ffn_layer1"]["linear"]["w"] + feed["ffn_layer1"]["bias"]["b"])
        x = x + y @ feed["ffn_layer2"]["linear"]["w"] + feed["ffn_layer2"]["bias"]["b"]
    pooler = p["contrastive_multimodal_pooler"]
    pooled = attended(pooler["pool_attn"], pooler["pooling_attn_query"], x)
    vector = norm(pooler["pool_attn_ln"], pooled, 1e-6, offset=1)[0]
    return vector / np.sqrt((vector**2).sum() + 1e-12)


def oracle(tree: Any, image: ImageFile | None, ids: Sequence[int]) -> Array:
    """The vector of an image, black where there is none, and a text's tokens."""
    p = tree["params"]
    square = np.zeros((SIDE, SIDE, 3)) if image is None else resized(image.rgb(), SIDE)
    return head(p, image_feature(p["clip"]["visual"], whitened(square)), text_feature(p["clip"]["text"], ids))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny MagicLens beside its tokenizer; copy it before changing a file."""
    return magiclens_checkpoint(tmp_path_factory.mktemp("magiclens")).parent


@pytest.fixture(scope="module")
def vocabulary(folder: Path) -> dict[str, int]:
    """Tokens by their text."""
    found: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def tree(vocabulary: dict[str, int]) -> Any:
    """What was saved."""
    return magiclens_tree(len(vocabulary))


@pytest.fixture(scope="module")
def lens(folder: Path) -> MagicLens:
    """The tiny MagicLens."""
    return MagicLens(str(folder), device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    """Noise of several sizes and of several brightnesses."""
    place, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, (width, height) in enumerate(SIZES):
        noise = random.integers(0, 256 - 40 * number, (height, width, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(place / f"{width}x{height}.png")
    return [ImageFile(place, f"{width}x{height}.png") for width, height in SIZES]


def ids_of(vocabulary: dict[str, int], *tokens: str) -> list[int]:
    """Tokens by hand, between start and end."""
    return [vocabulary[token] for token in ("<|startoftext|>", *tokens, "<|endoftext|>")]


def test_vectors_are_those_of_the_published_layers(
    lens: MagicLens, tree: Any, vocabulary: dict[str, int], images: list[ImageFile]
) -> None:
    tokens = [
        ids_of(vocabulary, *"fin", "d</w>", "the</w>", "red</w>", "dog</w>"),
        ids_of(vocabulary),
        ids_of(vocabulary, "cat</w>", ",</w>", *"bu", "t</w>", "i", "n</w>", "a</w>", "photo</w>", "!", "!</w>"),
        # Token 0 is padding to scenic, and hidden; marks of HTML and curly quotes are mended before.
        ids_of(
            vocabulary,
            *("a</w>", "!</w>", "b</w>", "&</w>", '"</w>', "i", "t</w>", "'", "s</w>", '"</w>', *"fin", "e</w>"),
        ),
        ids_of(vocabulary, *["the</w>", "cat</w>"] * 37, "the</w>"),
    ]
    assert vocabulary["!"] == 0
    assert len(tokens[-1]) == LENGTH
    items = [Item(text=text, image=image) for text, image in zip(TEXTS, images, strict=True)]
    found = lens.encode(items, "query")
    expected = np.stack([oracle(tree, image, ids) for image, ids in zip(images, tokens, strict=True)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    assert np.abs(found[:, None] - found[None])[~np.eye(len(found), dtype=bool)].max(axis=-1).min() > 0.05


def test_the_cap_of_logits_shows(
    tree: Any, vocabulary: dict[str, int], images: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are such that a head without it would be found out."""
    ids = ids_of(vocabulary, *"fin", "d</w>")
    right = oracle(tree, images[0], ids)
    monkeypatch.setattr(np, "tanh", lambda x: x)
    assert np.abs(oracle(tree, images[0], ids) - right).max() > 1e-3


@pytest.mark.parametrize("size", [(7, 5), (1, 1), (640, 480), (3, 900), (32, 32), (50, 20)])
def test_pixels_are_stretched_to_the_brightest_and_resized_linearly(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 180, (size[1], size[0], 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    np.testing.assert_allclose(pixels(picture, 32), whitened(resized(picture, 32)).transpose(2, 0, 1), atol=1e-5)
    black = PIL.Image.new("RGB", size)
    np.testing.assert_allclose(pixels(black, 32), whitened(np.zeros((32, 32, 3))).transpose(2, 0, 1), atol=1e-6)


def test_only_a_querys_instruction_is_read(lens: MagicLens, folder: Path, images: list[ImageFile]) -> None:
    item = Item("…", text="the cat", instruction="find", image=images[0])
    joined, plain = (Item("…", text=text, image=images[0]) for text in ("find the cat", "the cat"))
    assert (lens.encode([item], "query") == lens.encode([joined], "query")).all()
    assert (lens.encode([item], "candidate") == lens.encode([plain], "query")).all()
    alone = Item("…", instruction="find", image=images[0])
    assert (lens.encode([alone], "query") != lens.encode([alone], "candidate")).any()
    untold = MagicLens(str(folder), device="cpu", instruction=False)
    assert untold.info == MagicLens(str(folder), device="cpu", instruction="0").info
    assert (untold.encode([item], "query") == lens.encode([plain], "query")).all()


def test_an_item_without_an_image_is_refused_or_beside_a_black_one(
    lens: MagicLens, folder: Path, tree: Any, vocabulary: dict[str, int], images: list[ImageFile]
) -> None:
    assert lens.info.modalities == {"image", "image+text"}
    words = Item(text="the dog")
    with pytest.raises(ItemError, match=r"has no image; \?text=clip puts the text beside a black one") as raised:
        lens.encode([Item(image=images[0]), words], "query")
    assert raised.value.about == words

    told = MagicLens(str(folder), device="cpu", text="clip")
    assert told.info.modalities == {"text", "image", "image+text"}
    assert told.info.options["text"] == "clip"
    assert told.info.fingerprint != lens.info.fingerprint
    found = told.encode([words, Item(text="the dog", image=images[0])], "candidate")
    ids = ids_of(vocabulary, "the</w>", "dog</w>")
    np.testing.assert_allclose(found[0], oracle(tree, None, ids), atol=1e-5)
    np.testing.assert_allclose(found[1], oracle(tree, images[0], ids), atol=1e-5)


def test_a_vector_depends_on_its_item_alone(lens: MagicLens, images: list[ImageFile]) -> None:
    items = [Item(text=text, image=image) for text, image in zip(TEXTS, images, strict=True)]
    together = lens.encode(items, "query")
    alone = np.concatenate([lens.encode([item], "query") for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(lens.encode(items[::-1], "query")[::-1], together, atol=1e-5)
    boxed = replace(items[0], region=Box(0, 0, 5, 5))
    assert (lens.encode([boxed], "query") == alone[0]).all()


def test_what_looks_like_a_special_token_is_text(lens: MagicLens, images: list[ImageFile]) -> None:
    texts = ("a photo <|endoftext|> of the dog", "a photo <|endoftext|> of the cat", "a photo of the dog")
    first, second, third = lens.encode([Item(text=text, image=images[0]) for text in texts], "query")
    assert np.abs(first - second).max() > 1e-4
    assert np.abs(first - third).max() > 1e-4


def test_tokenizer_json_gives_the_same_vectors(
    lens: MagicLens, folder: Path, tmp_path: Path, images: list[ImageFile]
) -> None:
    from transformers import CLIPTokenizerFast

    CLIPTokenizerFast.from_pretrained(folder).save_pretrained(tmp_path / "base")
    assert (tmp_path / "base" / "tokenizer.json").is_file()
    other = MagicLens(str(folder), device="cpu", base=str(tmp_path / "base"))
    items = [Item(text=text, image=image) for text, image in zip(TEXTS, images, strict=True)]
    assert (other.encode(items, "query") == lens.encode(items, "query")).all()
    assert other.info.fingerprint != lens.info.fingerprint


def test_info_says_what_vectors_depend_on(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first = MagicLens(str(copy), device="cpu")
    assert (first.info.name, first.info.dimension) == ("magic_lens_clip_base", DIMENSION)
    assert first.info.options == {"dtype": "float32", "instruction": "1", "text": "none"}
    assert "_lens" not in vars(first)

    def fingerprint(**options: str) -> str:
        return MagicLens(str(copy / "magic_lens_clip_base.pkl"), device="cpu", **options).info.fingerprint

    prints = [
        first.info.fingerprint,
        fingerprint(instruction="0"),
        fingerprint(text="clip"),
        fingerprint(dtype="bfloat16"),
    ]
    assert fingerprint() == fingerprint(size="base") == prints[0]
    (copy / "config.json").write_text("{}")
    assert fingerprint() == prints[0]
    (copy / "merges.txt").write_text((copy / "merges.txt").read_text(encoding="utf-8") + "a b\n", encoding="utf-8")
    prints.append(fingerprint())
    magiclens_checkpoint(copy, seed=1)
    prints.append(fingerprint())
    assert len(set(prints)) == len(prints)


def test_bfloat16_is_near(folder: Path, lens: MagicLens, images: list[ImageFile]) -> None:
    half = MagicLens(str(folder), device="cpu", dtype="bfloat16")
    items = [Item(text="the dog", image=image) for image in images]
    found = half.encode(items, "query")
    assert found.dtype == np.float32
    assert ((found * lens.encode(items, "query")).sum(axis=1) > 0.98).all()


def test_a_model_is_written_by_its_file_or_its_folder(folder: Path, tmp_path: Path) -> None:
    file = folder / "magic_lens_clip_base.pkl"
    loaded = load_embedder(parse_model(f"magiclens:{file}?size=base"), "cpu")
    assert (loaded.family, loaded.info.name) == ("magiclens", "magic_lens_clip_base")
    both = Path(shutil.copytree(folder, tmp_path / "models"))
    shutil.copyfile(file, both / "magic_lens_clip_large.pkl")
    for size in ("base", "large"):
        assert MagicLens(str(both), device="cpu", size=size).info.name == f"magic_lens_clip_{size}"
    with pytest.raises(UsageError, match=r"there is magic_lens_clip_base.pkl, magic_lens_clip_large.pkl: name the"):
        MagicLens(str(both), device="cpu")
    with pytest.raises(UsageError, match="one MagicLens of size large, such as"):
        MagicLens(str(file), device="cpu", size="large")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"there is no \.pkl file"):
        MagicLens(str(tmp_path / "empty"), device="cpu")


@pytest.mark.parametrize(("option", "value"), [("text", "none?"), ("size", "huge"), ("instruction", "maybe")])
def test_an_option_that_is_not_known_is_refused(folder: Path, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"option {option}="):
        MagicLens(str(folder), device="cpu", **{option: value})


def test_a_tokenizer_that_is_missing_or_anothers_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: list[ImageFile]
) -> None:
    file = tmp_path / "alone" / "magic_lens_clip_base.pkl"
    file.parent.mkdir()
    shutil.copyfile(folder / file.name, file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"needs the tokenizer of OpenAI's CLIP .* neither is in the hub's cache: run"):
        MagicLens(str(file), device="cpu")
    with pytest.raises(UsageError, match=r"and .*alone has none"):
        MagicLens(str(file), device="cpu", base=str(file.parent))
    named = MagicLens(str(file), device="cpu", base=str(folder)).info
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "cache" / "models--openai--clip-vit-base-patch16"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(folder, cached / "snapshots" / commit)
    assert MagicLens(str(file), device="cpu").info == named

    short = tmp_path / "short"
    short.mkdir()
    clip_tokenizer(short)
    vocabulary = json.loads((short / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["<|endoftext|>"] = len(vocabulary) + 5
    (short / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(EmbedderError, match=r"is not the one of this model: .* pools at the highest"):
        MagicLens(str(file), device="cpu", base=str(short)).encode([Item(image=images[0])], "query")


def test_cost_is_tokens_and_patches(lens: MagicLens, images: list[ImageFile]) -> None:
    facts = images[0].facts()
    patches = (SIDE // PATCH) ** 2 + 1
    assert lens.cost(Item(image=images[0]), facts) == 2 + patches
    told = Item(text="the red dog", instruction="find", image=images[0])
    assert lens.cost(told, facts) == 2 + len("fin") + 4 + patches  # start, end, "fin", "d", three words
    assert lens.cost(Item(text="cat " * 999, image=images[0]), facts) == LENGTH + patches


@pytest.mark.slow(8)
@pytest.mark.parametrize("text", ["none", "clip"])
def test_it_behaves(folder: Path, text: str) -> None:
    findings = check(load_embedder(parse_model(f"magiclens:{folder}?text={text}"), "cpu").embedder)
    assert [finding for finding in findings if finding.passed is False] == []
    assert {f.passed for f in findings if f.name.startswith("text:")} == {None if text == "none" else True}


def test_heads_follow_from_shapes(lens: MagicLens) -> None:
    sizes = lens._sizes
    assert (sizes.heads, sizes.pool_heads, sizes.pool_width) == (HEADS, HEADS, 4 * DIMENSION // HEADS)
    assert (sizes.side, sizes.patch, sizes.layers) == (SIDE, PATCH, LAYERS)


def test_the_released_sizes_have_the_published_numbers_of_parameters() -> None:
    """166 M and 465 M (Zhang et al. 2024, tables 12 and 13), of which CLIP's are those of OpenAI's checkpoints."""
    base = LensSizes(
        512, TowerSizes(512, 12, 8, 2048, 77), 49408, TowerSizes(768, 12, 12, 3072, 197), 16, 4, 8, 2048, 8, 256
    )
    large = LensSizes(
        768, TowerSizes(768, 12, 12, 3072, 77), 49408, TowerSizes(1024, 24, 16, 4096, 257), 14, 4, 16, 3072, 16, 192
    )
    assert (base.side, large.side) == (224, 224)
    for sizes, count in ((base, (149_620_737, 166)), (large, (427_616_513, 465))):
        shapes = {name: shape for name, _, shape in _arrays(sizes)}
        assert sizes_of(shapes) == sizes
        clip = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("params.clip."))
        assert (clip, round(sum(map(math.prod, shapes.values())) / 1e6)) == count


def test_conditions_have_what_mends_texts(lens: MagicLens) -> None:
    assert lens.computing["attention"] == "sdpa"
    assert lens.computing["ftfy"] == version("ftfy")

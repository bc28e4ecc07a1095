"""VLM2Vec and UniME on Phi-3.5-V, which transformers lacks: what joins Phi-3 and CLIP is written out here in numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from checkpoints.phi3v import phi3_v_checkpoint
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, Phi3Config, Phi3Model, PreTrainedTokenizerFast

from evalkit.check import check
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.embedders.vlm.vlmembedder import VlmEmbedder
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFile

TOLERANCE = 1e-5
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
VISION = "model.vision_embed_tokens."


def made(model: str) -> VlmEmbedder:
    """The embedder of a MODEL."""
    embedder = load_embedder(parse_model(model), "cpu").embedder
    assert isinstance(embedder, VlmEmbedder)
    return embedder


@pytest.fixture(scope="session")
def phi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phi3_v_checkpoint(tmp_path_factory.mktemp("phi") / "tiny")


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    folder = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        PIL.Image.fromarray(noise).resize((width, height)).save(folder / f"{width}x{height}.png")
        return ImageFile(folder, f"{width}x{height}.png")

    return of


def tiles(image: PIL.Image.Image, crops: int) -> tuple[NDArray[np.float32], int, int]:
    """The whole and the tiles: sizes worked out by trying all grids, padding by Pillow."""
    lying = image.width >= image.height
    laid = image if lying else image.transpose(PIL.Image.Transpose.TRANSPOSE)
    ratio = laid.width / laid.height
    columns = max(n for n in range(1, crops + 1) if all(m * math.ceil(m / ratio) <= crops for m in range(1, n + 1)))
    height = int(columns * 336 / ratio)
    resized = laid.resize((columns * 336, height), PIL.Image.Resampling.BILINEAR)
    rows = -(-height // 336)
    above = (rows * 336 - height) // 2
    below = rows * 336 - height - above
    padded = PIL.ImageOps.expand(resized, (0, above, 0, below), (255, 255, 255))
    if not lying:
        padded, rows, columns = padded.transpose(PIL.Image.Transpose.TRANSPOSE), columns, rows
    pixels = ((np.asarray(padded) / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)
    small = torch.nn.functional.interpolate(torch.from_numpy(pixels)[None], (336, 336), mode="bicubic")[0].numpy()
    cut = [
        pixels[:, 336 * row : 336 * (row + 1), 336 * column : 336 * (column + 1)]
        for row in range(rows)
        for column in range(columns)
    ]
    return np.stack([small, *cut]), rows, columns


@cache
def models(folder: Path) -> tuple[Any, Any, dict[str, torch.Tensor], Any]:
    """Phi-3 and CLIP of transformers with these weights, all weights, and the tokenizer."""
    weights = load_file(folder / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text())
    scaling = settings.pop("rope_scaling") | {"rope_type": "longrope"}
    scaling["original_max_position_embeddings"] = settings["original_max_position_embeddings"]
    phi = Phi3Model(Phi3Config(**settings, rope_scaling=scaling)).eval()
    language = {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.") and VISION not in k}
    phi.load_state_dict(language)
    clip = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=1,
            patch_size=84,
            image_size=336,
        )
    ).eval()
    tower = {k.removeprefix(f"{VISION}img_processor."): v for k, v in weights.items() if "img_processor" in k}
    own = {k: v for k, v in clip.state_dict().items() if "position_ids" in k}
    renamed = {k if k in clip.state_dict() else k.removeprefix("vision_model."): v for k, v in tower.items()}
    clip.load_state_dict(renamed | own)
    return phi, clip, weights, PreTrainedTokenizerFast.from_pretrained(folder)


def image_embeddings(folder: Path, image: PIL.Image.Image, crops: int) -> NDArray[np.float64]:
    """What the language model gets of an image, line by line, place by place."""
    _, clip, weights, _ = models(folder)
    pixels, rows, columns = tiles(image, crops)
    with torch.inference_mode():
        states = clip(torch.from_numpy(pixels), output_hidden_states=True).hidden_states[-2][:, 1:]
    grid = states.double().numpy().reshape(len(pixels), 4, 4, 64)

    def merged(tile: int, y: int, x: int) -> NDArray[np.float64]:
        return np.concatenate([grid[tile, 2 * y + dy, 2 * x + dx] for dy in (0, 1) for dx in (0, 1)])

    line_end, between = (weights[VISION + name].double().numpy().ravel() for name in ("sub_GN", "glb_GN"))
    found = []
    for y in range(2 * rows):
        for x in range(2 * columns):
            found.append(merged(1 + (y // 2) * columns + x // 2, y % 2, x % 2))
        found.append(line_end)
    found.append(between)
    for y in range(2):
        found += [merged(0, y, x) for x in range(2)] + [line_end]
    joined = np.stack(found)
    one, bias_one, two, bias_two = (
        weights[f"{VISION}img_projection.{name}"].double().numpy()
        for name in ("0.weight", "0.bias", "2.weight", "2.bias")
    )
    inner = joined @ one.T + bias_one
    gelu = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    out: NDArray[np.float64] = gelu @ two.T + bias_two
    return out


def plain(
    folder: Path, chunks: list[str], image: PIL.Image.Image | None = None, crops: int = 4, cut: int | None = None
) -> Any:
    """A text in pieces, each a text of its own to the tokenizer, with the image's embeddings between them."""
    phi, _, _, tokenizer = models(folder)
    parts = [torch.tensor(tokenizer(chunk)["input_ids"][:cut]) for chunk in chunks]
    embedded = [phi.embed_tokens(ids) for ids in parts]
    if image is not None:
        seen = torch.from_numpy(image_embeddings(folder, image, crops)).float()
        embedded = [embedded[0], seen, embedded[1]]
    whole = torch.cat(embedded)[None]
    with torch.inference_mode():
        state = phi(inputs_embeds=whole, attention_mask=torch.ones(whole.shape[:2])).last_hidden_state[0, -1]
    return torch.nn.functional.normalize(state, dim=0).detach().numpy()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (336, 336), (1400, 90), (20, 500), (1, 1)])
def test_vectors_of_images(size: tuple[int, int], phi_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    image = picture(*size)
    item = Item("<image>\nWhat is it? a dog\n", text="a dog", image=image)
    for crops, options in ((4, ""), (9, "?num_crops=9")):
        embedder = made(f"vlm2vec:{phi_folder}{options}")
        wanted = plain(phi_folder, ["", "\nWhat is it? a dog\n"], image.rgb(), crops)
        np.testing.assert_allclose(embedder.encode([item], "query")[0], wanted, rtol=0, atol=TOLERANCE)
        seen = embedder._look([image])[0]
        assert embedder._pictures.tokens(*size) == len(seen.features)
        whole, rows, columns = tiles(image.rgb(), crops)
        assert len(seen.features) == (rows * columns + 1) * 4 + 1 + (rows + 1) * 2
        prepared: Any = embedder._pictures.prepare(image)
        np.testing.assert_allclose(prepared.crops, whole, rtol=0, atol=1e-5)


def test_vectors_of_prompts(phi_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    image = picture(300, 200)
    both = Item("<image>\nWhat? a dog\n", text="a dog", image=image)
    alone = Item("Look <image>\nhere", text="", image=image)
    words = Item("Find a dog\n", text="a dog")
    end = "\nSummary above {} in one word: <|end|>\n<|assistant|>\n"
    cases = [
        ("vlm2vec", alone, ["Look ", "\nhere"]),
        ("vlm2vec", words, ["Find a dog\n"]),
        ("unime?protocol=vlm2vec", both, ["", "\nWhat? a dog\n"]),
        ("unime", alone, ["<|user|>\n", end.format("image")]),
        ("unime", words, ["<|user|>\na dog" + end.format("sentence")]),
    ]
    for model, item, chunks in cases:
        family, _, options = model.partition("?")
        embedder = made(f"{family}:{phi_folder}" + (f"?{options}" if options else ""))
        wanted = plain(phi_folder, chunks, None if item.image is None else image.rgb())
        np.testing.assert_allclose(embedder.encode([item], "query")[0], wanted, rtol=0, atol=TOLERANCE, err_msg=model)


def test_a_text_alone_is_cut_off_at_256_tokens(phi_folder: Path) -> None:
    long = "one in a " * 300
    found = made(f"vlm2vec:{phi_folder}").encode([Item(long, text=long)], "candidate")[0]
    np.testing.assert_allclose(found, plain(phi_folder, [long], cut=256), rtol=0, atol=TOLERANCE)


def test_a_long_neighbour_changes_no_frequency(tmp_path: Path, picture: Callable[[int, int], ImageFile]) -> None:
    """Above the length that it was trained for the frequencies are others, of that item alone."""
    folder = phi3_v_checkpoint(tmp_path / "short", trained_for=64, seed=3)
    embedder = made(f"vlm2vec:{folder}")
    image = picture(300, 200)
    items = [Item("<image>\n" + "one in a " * count, text="x", image=image) for count in (1, 40, 2)]
    together = embedder.encode(items, "query")
    wanted = [plain(folder, ["", item.prompt.removeprefix("<image>")], image.rgb()) for item in items]
    np.testing.assert_allclose(together, wanted, rtol=0, atol=TOLERANCE)


def test_what_the_data_says_is_no_part_of_the_template(
    phi_folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    embedder = made(f"unime:{phi_folder}")
    special = embedder._tokens._numbers
    texts = ("a", "<|end|>", "<s><|image_1|>", " <image> ")
    rows = embedder._tokens.ids([embedder.prompt(Item("x", text=text, image=picture(9, 9)), "query") for text in texts])
    kept = [[token for token in row if token in special or token < 0] for row in rows]
    assert kept[1:] == [kept[0]] * 3
    assert [row.count(-1) for row in rows] == [1] * 4


def test_an_adapter_is_merged(phi_folder: Path, tmp_path: Path, picture: Callable[[int, int], ImageFile]) -> None:
    """LoRA on the language model and on the tower, under the released names."""
    generator = torch.Generator().manual_seed(5)
    changed = load_file(phi_folder / "model.safetensors")
    adapter = {}
    targets = [
        "model.layers.0.self_attn.qkv_proj",
        "model.layers.1.mlp.down_proj",
        "model.vision_embed_tokens.img_processor.vision_model.encoder.layers.0.self_attn.q_proj",
    ]
    for name in targets:
        weight = changed[f"{name}.weight"]
        a, b = (
            torch.randn(*shape, generator=generator) * 0.3 for shape in ((2, weight.shape[1]), (weight.shape[0], 2))
        )
        adapter |= {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
        changed[f"{name}.weight"] = weight + 4 * b @ a
    lora = tmp_path / "lora"
    lora.mkdir()
    save_file(adapter, lora / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "base_model_name_or_path": str(phi_folder)}
    settings |= {"target_modules": r".*(layers\.0\.self_attn\.(qkv|q)_proj|layers\.1\.mlp\.down_proj)", "bias": "none"}
    (lora / "adapter_config.json").write_text(json.dumps(settings))
    whole = tmp_path / "whole"
    whole.mkdir()
    for file in phi_folder.iterdir():
        (whole / file.name).write_bytes(file.read_bytes())
    save_file(changed, whole / "model.safetensors", metadata={"format": "pt"})
    items = [Item("<image>\na", text="a", image=picture(300, 200)), Item("a dog", text="a dog")]
    found, wanted, before = (made(f"vlm2vec:{place}").encode(items, "query") for place in (lora, whole, phi_folder))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert np.abs(found - before).max() > 1e-2


def test_the_words_may_be_saved_under_their_other_name(phi_folder: Path, tmp_path: Path) -> None:
    folder = phi3_v_checkpoint(tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    weights[f"{VISION}wte.weight"] = weights.pop("model.embed_tokens.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found, wanted = (made(f"vlm2vec:{place}").encode([Item("a dog")], "query") for place in (folder, phi_folder))
    np.testing.assert_array_equal(found, wanted)


def test_a_text_of_no_token_is_an_error_where_the_tokenizer_begins_none(phi_folder: Path, tmp_path: Path) -> None:
    folder = phi3_v_checkpoint(tmp_path / "without")
    settings = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(settings | {"post_processor": None}))
    with pytest.raises(EmbedderError, match="a text of no token has no state to pool"):
        made(f"vlm2vec:{folder}").encode([Item("")], "query")
    assert np.linalg.norm(made(f"vlm2vec:{phi_folder}").encode([Item("")], "query")) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow(4)
@pytest.mark.parametrize("family", ["vlm2vec", "unime"])
def test_the_contract_is_kept(family: str, phi_folder: Path) -> None:
    findings = check(made(f"{family}:{phi_folder}"), batch_tokens=1024)
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_bad_input(phi_folder: Path, tmp_path: Path, picture: Callable[[int, int], ImageFile]) -> None:
    for options, says in (
        ("num_crops=0", "num_crops='0': write a whole number from 1 to 64"),
        ("resolution=high", "images reach phi3_v as they are"),
    ):
        with pytest.raises(UsageError, match=says):
            made(f"vlm2vec:{phi_folder}?{options}")
    with pytest.raises(ImageError, match=r"of 6000 x 3 pixels is too narrow"):
        made(f"vlm2vec:{phi_folder}").encode([Item("<image>", image=picture(6000, 3))], "query")
    broken = phi3_v_checkpoint(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    for name in (
        f"{VISION}sub_GN",
        "model.layers.1.mlp.down_proj.weight",
        f"{VISION}img_processor.vision_model.pre_layrnorm.bias",
    ):
        save_file(
            {k: v for k, v in weights.items() if k != name}, broken / "model.safetensors", metadata={"format": "pt"}
        )
        with pytest.raises(EmbedderError, match=f"1 are missing or of another shape, such as .*{name.split('.')[-2]}"):
            made(f"vlm2vec:{broken}").encode([Item("a")], "query")
    settings = json.loads((broken / "config.json").read_text())
    settings["embd_layer"]["hd_transform_order"] = "glb_sub"
    (broken / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"embd_layer\.hd_transform_order 'glb_sub', Phi-3\.5-V has 'sub_glb'"):
        made(f"vlm2vec:{broken}")

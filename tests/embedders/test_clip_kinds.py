"""OpenCLIP, MetaCLIP 2 and SigLIP 2 of any resolution against transformers' own towers, an item at a time."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints import IMAGE_SIZE, PATCH, write_json
from checkpoints.towers import (
    MOST_PATCHES,
    TEXT_LENGTH,
    metaclip2_checkpoint,
    naflex_checkpoint,
    openclip_checkpoint,
)
from tokenizers import Tokenizer
from transformers import CLIPModel, MetaClip2Model, Siglip2Model

from evalkit.check import check
from evalkit.embedders.clip import Clip
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.errors import EmbedderError, EvalkitError, UsageError
from evalkit.items import Item, Side
from evalkit.items.images import ImageFacts, ImageFile

TEXTS = ("a photo of the red dog", "CAT", "", " ", "猫 & 3 signs!", "the  cat " * 60)
SIZES = ((40, 30), (17, 96), (200, 24), (32, 32), (3, 3), (3, 90), (90, 3), (1, 300), (64, 64))  # width, height
TOLERANCE = 1e-5
CLIP_PIXELS = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
WRITERS: dict[str, Callable[[Path], Path]] = {
    "metaclip2": metaclip2_checkpoint,
    "naflex": naflex_checkpoint,
    "openclip": openclip_checkpoint,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind; copy it before changing a file."""
    place = tmp_path_factory.mktemp("towers")
    return {name: write(place / name) for name, write in WRITERS.items()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    """Noise of several sizes; the last one with a palette and see-through."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for width, height in SIZES:
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = PIL.Image.fromarray(noise)
        if (width, height) == SIZES[-1]:
            picture = picture.quantize(32)
            picture.info["transparency"] = 3
        picture.save(folder / f"{width}x{height}.png")
    return [ImageFile(folder, f"{width}x{height}.png") for width, height in SIZES]


@pytest.fixture(params=sorted(WRITERS))
def kind(request: pytest.FixtureRequest) -> str:
    """One of the kinds."""
    return str(request.param)


@torch.inference_mode()
def text_state(kind: str, folder: Path, text: str) -> torch.Tensor:
    """The features of one text, from ids that the tokenizers library made of ``tokenizer.json``."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if kind == "naflex":
        ids = tokenizer.encode(text.lower()).ids
        ids = ids if len(ids) <= TEXT_LENGTH else [*ids[: TEXT_LENGTH - 1], 1]
        padded = torch.tensor([ids + [0] * (TEXT_LENGTH - len(ids))])
        model = Siglip2Model.from_pretrained(folder).eval()
        return model.text_model.head(model.text_model(input_ids=padded).last_hidden_state[:, -1])
    ids = tokenizer.encode(text).ids
    ids = ids if len(ids) <= 77 else [*ids[:76], ids[-1]]
    model = (MetaClip2Model if kind == "metaclip2" else CLIPModel).from_pretrained(folder).eval()
    hidden = model.text_model(input_ids=torch.tensor([ids])).last_hidden_state
    return model.text_projection(hidden[:, -1])


def grid(width: int, height: int, most: int) -> tuple[int, int]:
    """Rows and columns of patches: of the largest scale that needs no more than ``most``, by exact fractions."""
    scales = [Fraction(count * PATCH, side) for side in (width, height) for count in range(1, most + 1)]
    fitting = []
    for scale in scales:
        rows, columns = (max(1, math.ceil(side * scale / PATCH)) for side in (height, width))
        if rows * columns <= most:
            fitting.append((scale, rows, columns))
    return max(fitting)[1:]


def scaled(values: PIL.Image.Image, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Channels last."""
    return (np.asarray(values, dtype=np.float64) / 255 - np.array(mean)) / np.array(std)


@torch.inference_mode()
def image_state(kind: str, folder: Path, image: ImageFile, most: int = MOST_PATCHES) -> torch.Tensor:
    """The features of one image, prepared with Pillow and numpy alone, without any padding."""
    picture = image.rgb()
    if kind == "naflex":
        rows, columns = grid(*picture.size, most)
        resized = picture.resize((columns * PATCH, rows * PATCH), PIL.Image.Resampling.BILINEAR)
        pixels = scaled(resized, [0.5] * 3, [0.5] * 3)
        corners = [(y * PATCH, x * PATCH) for y in range(rows) for x in range(columns)]
        cut = [pixels[y : y + PATCH, x : x + PATCH] for y, x in corners]
        patches = torch.from_numpy(np.stack([patch.ravel() for patch in cut]).astype(np.float32))[None]
        vision = Siglip2Model.from_pretrained(folder).eval().vision_model
        every = torch.ones(1, len(cut), dtype=torch.int64)
        state = vision(patches, pixel_attention_mask=every, spatial_shapes=torch.tensor([[rows, columns]]))
        return vision.head(state.last_hidden_state)
    if kind == "metaclip2":
        picture = picture.resize((IMAGE_SIZE, IMAGE_SIZE), PIL.Image.Resampling.BICUBIC)
    else:
        ratio = max(picture.size) / min(picture.size)
        sides = [IMAGE_SIZE if side == min(picture.size) else int(IMAGE_SIZE * ratio) for side in picture.size]
        picture = picture.resize((sides[0], sides[1]), PIL.Image.Resampling.BICUBIC)
        left, top = ((side - IMAGE_SIZE) // 2 for side in picture.size)
        picture = picture.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))
    pixels = torch.from_numpy(scaled(picture, *CLIP_PIXELS).astype(np.float32)).permute(2, 0, 1)[None]
    model = (MetaClip2Model if kind == "metaclip2" else CLIPModel).from_pretrained(folder).eval()
    hidden = model.vision_model(pixel_values=pixels).last_hidden_state
    return model.visual_projection(model.vision_model.post_layernorm(hidden[:, 0]))


def normalised(features: torch.Tensor) -> np.ndarray:
    """Rows of length 1."""
    return (features / features.norm(dim=-1, keepdim=True)).numpy()


def test_vectors_are_those_of_the_towers(kind: str, folders: dict[str, Path], images: list[ImageFile]) -> None:
    folder = folders[kind]
    embedder = Clip(str(folder), device="cpu")
    texts = torch.cat([text_state(kind, folder, text) for text in TEXTS])
    seen = torch.cat([image_state(kind, folder, image) for image in images])
    written = [Item("x", text=text, instruction="Find:") for text in TEXTS]
    shown = [Item("<image>", image=image, instruction="Find:") for image in images]
    both = [Item("<image>\nx", text=text, image=image) for text, image in zip(TEXTS, images, strict=False)]
    said = torch.tensor([[float(bool(text.strip()))] for text in TEXTS])
    assert embedder.info.dimension == texts.shape[1]
    side: Side
    for side in ("query", "candidate"):
        for items, wanted in (
            (written, texts),
            (shown, seen),
            (both, seen[: len(TEXTS)] + said * texts),
            ([*written, *shown], torch.cat([texts, seen])),
        ):
            found = embedder.encode(items, side)
            np.testing.assert_allclose(found, normalised(wanted), rtol=0, atol=TOLERANCE)
            alone = np.concatenate([embedder.encode([item], side) for item in items])
            np.testing.assert_allclose(found, alone, rtol=0, atol=TOLERANCE)


@pytest.mark.slow(4)
def test_the_contract_is_kept(kind: str, folders: dict[str, Path]) -> None:
    findings = check(Clip(str(folders[kind]), device="cpu"))
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_bfloat16_is_near(kind: str, folders: dict[str, Path], images: list[ImageFile]) -> None:
    items = [Item("x", text="cat", image=image) for image in images]
    exact = Clip(str(folders[kind]), device="cpu").encode(items, "query")
    rounded = Clip(str(folders[kind]), device="cpu", dtype="bfloat16").encode(items, "query")
    assert rounded.dtype == np.float32
    assert (exact * rounded).sum(axis=1).min() > 0.99


def test_pieces_that_are_special_tokens_are_text(folders: dict[str, Path]) -> None:
    """A Unigram finds ``</s>`` in a text even where special tokens are not split off: the text would end there."""
    embedder = Clip(str(folders["metaclip2"]), device="cpu")
    for token in ("</s>", "<s>", "<pad>", "<mask>"):
        texts = [f"a photo {token} of the dog", f"a photo {token} of the cat", f"{token}", "a photo of the dog"]
        ids, mask = embedder._loaded.tokens(texts)
        for row, kept in zip(ids, mask, strict=True):
            inside = row[: int(kept.sum())][1:-1].tolist()
            assert not {0, 1, 2, 108} & set(inside)
            assert (row[0], row[int(kept.sum()) - 1]) == (0, 2)
        pieces = embedder._loaded.tokens.tokenizer.convert_ids_to_tokens(ids[2][: int(mask[2].sum())].tolist())
        assert pieces == ["<s>", "▁", *token, "</s>"]
        vectors = embedder.encode([Item("x", text=text) for text in texts], "query")
        apart = np.abs(vectors[:, None] - vectors[None]).max(axis=-1)
        assert apart[np.triu_indices(len(texts), 1)].min() > 1e-4


def test_special_tokens_of_siglip_2_are_text(folders: dict[str, Path]) -> None:
    tokens = Clip(str(folders["naflex"]), device="cpu")._loaded.tokens
    ids, _ = tokens(["a <eos> b", "<pad>", "a"])
    assert [row.tolist().count(1) for row in ids] == [1, 1, 1]
    assert ids[1][:6].tolist() == [*(tokens.tokenizer.convert_tokens_to_ids(list("<pad>"))), 1]


def test_lower_case_is_siglip_2s(folders: dict[str, Path]) -> None:
    embedder = Clip(str(folders["naflex"]), device="cpu")
    shouted, spoken = embedder.encode([Item("x", text=text) for text in ("A CAT.", "a cat.")], "query")
    assert (shouted == spoken).all()


@pytest.mark.parametrize("most", [1, 5, 16, 40])
def test_the_number_of_patches_is_an_option(most: int, folders: dict[str, Path], images: list[ImageFile]) -> None:
    folder = folders["naflex"]
    loaded = load_embedder(parse_model(f"clip:{folder}?max_num_patches={most}"), "cpu")
    assert loaded.info.options == {"dtype": "float32", "instruction": "0", "max_num_patches": str(most)}
    assert loaded.info.fingerprint != Clip(str(folder), device="cpu").info.fingerprint
    wanted = torch.cat([image_state("naflex", folder, image, most) for image in images])
    found = loaded.embedder.encode([Item("<image>", image=image) for image in images], "query")
    np.testing.assert_allclose(found, normalised(wanted), rtol=0, atol=TOLERANCE)


def test_what_the_image_processor_says_is_the_same_as_the_option(folders: dict[str, Path]) -> None:
    folder = str(folders["naflex"])
    said, given = Clip(folder, device="cpu"), Clip(folder, device="cpu", max_num_patches=str(MOST_PATCHES))
    assert said.info == given.info
    assert said.info.options["max_num_patches"] == str(MOST_PATCHES)


def test_costs(folders: dict[str, Path], images: list[ImageFile]) -> None:
    facts = ImageFacts("", 40, 30)
    naflex, metaclip2 = (Clip(str(folders[name]), device="cpu") for name in ("naflex", "metaclip2"))
    assert naflex.cost(Item("x"), None) == TEXT_LENGTH
    assert naflex.cost(Item("x", text="cat", image=images[0]), facts) == MOST_PATCHES + TEXT_LENGTH
    assert metaclip2.cost(Item("x", image=images[0]), facts) == (IMAGE_SIZE // PATCH) ** 2
    assert metaclip2.cost(Item("x", text="a" * 3000), None) == 77


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("openclip", {"max_num_patches": "64"}, r"max_num_patches=64: .* is of model_type clip, whose images have one"),
        ("naflex", {"max_num_patches": "0"}, r"max_num_patches='0': write a whole number from 1 to"),
        ("naflex", {"max_num_patches": "-3"}, r"max_num_patches='-3': write a whole number"),
        ("naflex", {"max_num_patches": "many"}, r"max_num_patches='many': write a whole number"),
    ],
)
def test_options_that_are_none(name: str, options: dict[str, str], says: str, folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=says):
        Clip(str(folders[name]), device="cpu", **options)


def changed(name: str, **keys: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file."""

    def spoil(folder: Path) -> None:
        write_json(folder / name, {**json.loads((folder / name).read_text()), **keys})

    return spoil


def without(*names: str) -> Callable[[Path], None]:
    """Remove files."""

    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "error", "says"),
    [
        ("metaclip2", without("tokenizer.json"), UsageError, "none of tokenizer.json, sentencepiece.bpe.model"),
        ("naflex", without("tokenizer.json"), UsageError, "none of tokenizer.json, tokenizer.model"),
        (
            "metaclip2",
            changed("special_tokens_map.json", eos_token="<pad>"),
            EmbedderError,
            "eos_token_id 2, for which the model pools at token 2, but the tokenizer ends texts with 1",
        ),
        ("naflex", changed("preprocessor_config.json", patch_size=16), EmbedderError, "makes patches of 768 numbers"),
        (
            "naflex",
            changed("preprocessor_config.json", image_processor_type="SiglipImageProcessor", size=IMAGE_SIZE),
            EmbedderError,
            "SiglipImageProcessorPil is that of another kind of model",
        ),
        (
            "openclip",
            changed("preprocessor_config.json", image_processor_type="Siglip2ImageProcessor", do_center_crop=False),
            EmbedderError,
            "Siglip2ImageProcessorPil is that of another kind of model",
        ),
        ("naflex", changed("config.json", text_config={"projection_size": 7}), UsageError, "they share no space"),
        ("naflex", changed("config.json", model_type="siglip"), EmbedderError, "does not hold the weights"),
        ("metaclip2", changed("config.json", model_type="xlm-v"), UsageError, "'xlm-v'; the family clip takes clip"),
    ],
)
def test_broken_checkpoints_are_named(
    name: str,
    spoil: Callable[[Path], None],
    error: type[EvalkitError],
    says: str,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    copy = Path(shutil.copytree(folders[name], tmp_path / "copy"))
    spoil(copy)
    picture = PIL.Image.new("RGB", (9, 7))
    picture.save(tmp_path / "a.png")
    with pytest.raises(EvalkitError, match=says) as caught:
        Clip(str(copy), device="cpu").encode([Item("x", text="cat", image=ImageFile(tmp_path, "a.png"))], "query")
    assert caught.type is error

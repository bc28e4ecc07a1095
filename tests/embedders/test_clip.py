"""CLIP and SigLIP vectors against transformers' own towers, put together by hand."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints import IMAGE_SIZE, PATCH, clip_checkpoint, siglip_checkpoint, write_json

from evalkit.embedders.base import Costed
from evalkit.embedders.clip import Clip
from evalkit.errors import EmbedderError, EvalkitError, ImageError, UsageError
from evalkit.items import Box, Item
from evalkit.items.images import ImageFacts, ImageFile

TEXTS = ("a photo of the red dog", "cat", "", "Zwei Wörter & 3 signs!", "the cat " * 60)
SIZES = ((40, 30), (17, 96), (200, 24), (32, 32), (3, 3))  # width, height


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    """Noise of several sizes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for width, height in SIZES:
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
    return [ImageFile(folder, f"{width}x{height}.png") for width, height in SIZES]


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    """The tiny CLIP."""
    return Clip(str(clip_folder), device="cpu")


@pytest.fixture(scope="module")
def siglip(siglip_folder: Path) -> Clip:
    """The tiny SigLIP."""
    return Clip(str(siglip_folder), device="cpu")


def text_items(texts: Sequence[str] = TEXTS) -> list[Item]:
    """Items of text alone; prompt and instruction are there to be left unread."""
    return [Item(f"Find this: {text}", text=text, instruction="Find this:") for text in texts]


def pixels(image: ImageFile, *, square: bool, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """The published preprocessing with Pillow and numpy alone, shape (1, 3, 32, 32)."""
    picture = image.rgb()
    if square:
        picture = picture.resize((IMAGE_SIZE, IMAGE_SIZE), PIL.Image.Resampling.BICUBIC)
    else:
        width, height = picture.size
        short, long = min(width, height), max(width, height)
        scaled = (IMAGE_SIZE, int(IMAGE_SIZE * long / short))
        picture = picture.resize(scaled if width <= height else scaled[::-1], PIL.Image.Resampling.BICUBIC)
        left, top = (picture.width - IMAGE_SIZE) // 2, (picture.height - IMAGE_SIZE) // 2
        picture = picture.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))
    values = (np.asarray(picture, dtype=np.float64) / 255 - np.array(mean)) / np.array(std)
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]


def normalised(features: torch.Tensor) -> np.ndarray:
    """Rows of length 1."""
    return (features / features.norm(dim=-1, keepdim=True)).numpy()


@torch.inference_mode()
def clip_text(folder: Path, texts: Sequence[str]) -> torch.Tensor:
    """One text at a time, so without any padding: the state at the end token, projected."""
    from transformers import CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        ids = ids if len(ids) <= 77 else [*ids[:76], ids[-1]]
        hidden = model.text_model(input_ids=torch.tensor([ids])).last_hidden_state
        rows.append(model.text_projection(hidden[:, -1]))
    return torch.cat(rows)


@torch.inference_mode()
def clip_image(folder: Path, images: Sequence[ImageFile]) -> torch.Tensor:
    """The class token's state, projected."""
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    rows = []
    for image in images:
        state = model.vision_model(pixel_values=pixels(image, square=False, mean=mean, std=std)).last_hidden_state
        rows.append(model.visual_projection(model.vision_model.post_layernorm(state[:, 0])))
    return torch.cat(rows)


@torch.inference_mode()
def siglip_text(folder: Path, texts: Sequence[str], *, longest: bool = False) -> torch.Tensor:
    """Sixteen positions, padded with the end token; the state at the last one through the head."""
    from tokenizers import Tokenizer
    from transformers import SiglipModel

    model, tokenizer = SiglipModel.from_pretrained(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokenizer.encode(text).ids for text in texts]
    ids = [row if len(row) <= 16 else [*row[:15], 1] for row in ids]
    length = max(map(len, ids)) if longest else 16
    padded = torch.tensor([row + [1] * (length - len(row)) for row in ids])
    return model.text_model.head(model.text_model(input_ids=padded).last_hidden_state[:, -1])


@torch.inference_mode()
def siglip_image(folder: Path, images: Sequence[ImageFile]) -> torch.Tensor:
    """The attention pool's output."""
    from transformers import SiglipModel

    model = SiglipModel.from_pretrained(folder).eval()
    half = [0.5, 0.5, 0.5]
    batch = torch.cat([pixels(image, square=True, mean=half, std=half) for image in images])
    return model.vision_model.head(model.vision_model(pixel_values=batch).last_hidden_state)


ORACLES: dict[str, tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]] = {
    "clip": (clip_text, clip_image),
    "siglip": (siglip_text, siglip_image),
}


@pytest.fixture(params=sorted(ORACLES))
def family(request: pytest.FixtureRequest) -> tuple[Clip, Path, Any, Any]:
    """An embedder, its folder, and the oracles of its two towers."""
    name = request.param
    embedder, folder = request.getfixturevalue(name), request.getfixturevalue(f"{name}_folder")
    return (embedder, folder, *ORACLES[name])


def test_vectors_are_those_of_the_towers(family: Any, images: list[ImageFile]) -> None:
    embedder, folder, text_tower, image_tower = family
    expected = normalised(text_tower(folder, TEXTS))
    found = embedder.encode(text_items(), "query")
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), embedder.info.dimension)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6

    # The processor rounds to 8 bits after resizing as Pillow does, and computes in another precision.
    expected = normalised(image_tower(folder, images))
    found = embedder.encode([Item("<image>", image=image) for image in images], "candidate")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_image_and_text_are_summed_before_they_are_normalised(family: Any, images: list[ImageFile]) -> None:
    embedder, folder, text_tower, image_tower = family
    texts = ["a cat", "", "the red dog", "   ", "photo"]
    items = [Item("<image>\n…", text=text, image=image) for text, image in zip(texts, images, strict=True)]
    # Blank text beside an image is no text: the image alone.
    counts = torch.tensor([[1.0], [0.0], [1.0], [0.0], [1.0]])
    expected = normalised(image_tower(folder, images) + counts * text_tower(folder, texts))
    np.testing.assert_allclose(embedder.encode(items, "query"), expected, atol=1e-5)


def test_a_vector_depends_on_its_item_alone(family: Any, images: list[ImageFile]) -> None:
    embedder, *_ = family
    with_images = [Item("<image>", text=text, image=image) for text, image in zip(TEXTS, images, strict=True)]
    for items in (text_items(), with_images):
        together = embedder.encode(items, "query")
        alone = np.concatenate([embedder.encode([item], "query") for item in items])
        np.testing.assert_allclose(alone, together, atol=1e-5)
        np.testing.assert_allclose(embedder.encode(items[::-1], "candidate")[::-1], together, atol=1e-5)


def test_items_with_and_without_image_may_share_a_batch(family: Any, images: list[ImageFile]) -> None:
    embedder, *_ = family
    items = [Item("x", text="cat"), Item("x", image=images[0]), Item("x", text="dog", image=images[1]), Item("x")]
    alone = np.concatenate([embedder.encode([item], "query") for item in items])
    np.testing.assert_allclose(embedder.encode(items, "query"), alone, atol=1e-5)


def test_regions_and_prompts_are_not_read(clip: Clip, images: list[ImageFile]) -> None:
    plain = Item("<image>", text="cat", image=images[0])
    other = Item("<image>\nelse", text="cat", instruction="Find", image=images[0], region=Box(0, 0, 5, 5))
    assert (clip.encode([plain], "query") == clip.encode([other], "query")).all()
    assert clip.info.regions == frozenset()


def test_instructions_are_an_option(clip: Clip, clip_folder: Path, images: list[ImageFile]) -> None:
    told = Clip(str(clip_folder), device="cpu", instruction="1")
    item = Item("…", text="the cat", instruction="a photo of")
    joined = Item("…", text="a photo of the cat")
    assert (told.encode([item], "query") == clip.encode([joined], "query")).all()
    assert not np.allclose(told.encode([item], "query"), clip.encode([item], "query"))
    # With an instruction, an image without text is an image with text.
    item = Item("…", instruction="a photo", image=images[0])
    joined = Item("…", text="a photo", image=images[0])
    assert (told.encode([item], "query") == clip.encode([joined], "query")).all()
    blank = Item("…", image=images[0])
    assert (told.encode([blank], "query") == clip.encode([blank], "query")).all()


def test_siglip_needs_its_full_length(siglip: Clip, siglip_folder: Path) -> None:
    """Padded to the longest of the batch, as the published script has it, vectors are others."""
    found = siglip.encode(text_items(["cat", "the red dog"]), "query")
    longest = normalised(siglip_text(siglip_folder, ["cat", "the red dog"], longest=True))
    assert np.abs(found - longest).max() > 0.05


def test_siglip_text_is_canonical_whatever_tokenizer_json_does(
    siglip: Clip, siglip_folder: Path, tmp_path: Path
) -> None:
    """The class that the checkpoint names lowers the case and drops punctuation before it tokenizes."""
    bare = siglip_checkpoint(tmp_path / "bare", canonical=False)
    shutil.copyfile(siglip_folder / "model.safetensors", bare / "model.safetensors")
    clean, rough = text_items(["a red cat the dog"]), text_items(["  A red,\tcat!  The (DOG)? "])
    for embedder in (siglip, Clip(str(bare), device="cpu")):
        assert (embedder.encode(clean, "query") == embedder.encode(rough, "query")).all()
    write_json(bare / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "</s>"})
    untouched = Clip(str(bare), device="cpu")
    assert not np.allclose(untouched.encode(clean, "query"), untouched.encode(rough, "query"))
    # SigLIP 2 of fixed resolution names Gemma's class, and was trained on lower case.
    write_json(bare / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizerFast", "pad_token": "</s>"})
    gemma = Clip(str(bare), device="cpu")
    shouted, spoken = gemma.encode(text_items(["CAT", "cat"]), "query")
    assert (shouted == spoken).all()
    dotted, plain = gemma.encode(text_items(["a cat.", "a cat"]), "query")
    assert not np.allclose(dotted, plain)


def test_clip_pools_at_the_end_token_in_both_kinds_of_configuration(
    clip: Clip, clip_folder: Path, tmp_path: Path
) -> None:
    legacy = clip_checkpoint(tmp_path / "legacy", eos_token_id=2)
    shutil.copyfile(clip_folder / "model.safetensors", legacy / "model.safetensors")
    assert json.loads((legacy / "config.json").read_text())["text_config"]["eos_token_id"] == 2
    found = Clip(str(legacy), device="cpu").encode(text_items(), "query")
    np.testing.assert_allclose(found, clip.encode(text_items(), "query"), atol=1e-6)


def test_clip_does_not_hide_the_end_token(clip: Clip, clip_folder: Path) -> None:
    """The published script's mask, ids other than the padding's, makes other vectors where padding is the end."""
    from transformers import CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(clip_folder).eval(), CLIPTokenizer.from_pretrained(clip_folder)
    ids = tokenizer(["the red dog", "cat"], padding="longest", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        features = model.get_text_features(input_ids=ids, attention_mask=ids.ne(tokenizer.pad_token_id))
    hidden = normalised(features.pooler_output)
    assert np.abs(clip.encode(text_items(["the red dog", "cat"]), "query") - hidden).max() > 0.01


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_what_looks_like_a_special_token_is_text(family: str, request: pytest.FixtureRequest) -> None:
    """The end token in the middle of a text would cut it off there, or be what is pooled."""
    embedder: Clip = request.getfixturevalue(family)
    tokenizer, clean = embedder._loaded.tokens.tokenizer, embedder._loaded.tokens.clean
    for token in sorted(set(tokenizer.all_special_tokens)):
        for written in (token, token.upper()):
            texts = [f"a photo {written} of the dog", f"a photo {written} of the cat", "a photo of the dog"]
            if clean(texts[0]) == clean(texts[0].replace(written, written[1:-1])):
                continue  # SigLIP's cleaning takes the brackets away
            said = tokenizer([clean(text) for text in texts], split_special_tokens=True)["input_ids"]
            ordinary = tokenizer("a photo of the dog")["input_ids"]
            assert said[2] == ordinary
            special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id if family == "siglip" else None}
            assert [i for i in said[0] if i in special] == [i for i in ordinary if i in special]
            vectors = embedder.encode(text_items(texts), "query")
            assert np.abs(vectors[0] - vectors[1]).max() > 1e-5
            assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


def test_an_end_token_that_the_model_would_miss_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    """transformers would pool such a model at its first token, which is the same for every text."""
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    for wrong in (49407, 3):
        config = json.loads((copy / "config.json").read_text())
        config["text_config"]["eos_token_id"] = wrong
        write_json(copy / "config.json", config)
        with pytest.raises(EmbedderError, match=f"eos_token_id {wrong}, for which the model pools at token {wrong}"):
            Clip(str(copy), device="cpu").encode(text_items(), "query")


def test_info_reads_no_weights(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "my clip"))
    first = Clip(str(copy), device="cpu")
    assert (first.info.name, first.info.dimension) == ("my clip", 24)
    assert first.info.options == {"dtype": "float32", "instruction": "0"}
    assert first.info.modalities == {"text", "image", "image+text"}
    assert first.info.revision is not None
    assert len(first.info.revision) == 64
    assert "_loaded" not in vars(first)

    def fingerprint(**options: Any) -> str:
        return Clip(str(copy), device="cpu", **options).info.fingerprint

    prints = [
        first.info.fingerprint,
        fingerprint(instruction=True),
        fingerprint(dtype="bfloat16"),
    ]
    assert fingerprint() == fingerprint(instruction="0", dtype="float32") == prints[0]
    (copy / "README.md").write_text("words")
    assert fingerprint() == prints[0]
    monkeypatch.setattr("evalkit.embedders.clip.Clip.CODE_VERSION", "next")
    prints.append(fingerprint())
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes() + b"\0")
    prints.append(fingerprint())
    assert len(set(prints)) == len(prints)


def test_the_revision_is_the_snapshots(clip_folder: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--owner--tiny" / "snapshots" / commit
    shutil.copytree(clip_folder, place)
    info = Clip(str(place), device="cpu").info
    assert (info.name, info.revision) == ("owner/tiny", commit)


def test_bfloat16_is_near(family: Any, images: list[ImageFile]) -> None:
    embedder, folder, *_ = family
    half = Clip(str(folder), device="cpu", dtype="bfloat16")
    items = [Item("x", text="cat", image=image) for image in images]
    exact, rounded = embedder.encode(items, "query"), half.encode(items, "query")
    assert rounded.dtype == np.float32
    assert np.abs(np.linalg.norm(rounded, axis=1) - 1).max() < 1e-6
    cosines = (exact * rounded).sum(axis=1)
    assert cosines.min() > 0.995
    assert not (exact == rounded).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_uses_bfloat16_unless_told_otherwise(family: Any, images: list[ImageFile]) -> None:
    embedder, folder, *_ = family
    items = [Item("x", text="cat", image=image) for image in images]
    automatic, exact = Clip(str(folder), device="cuda"), Clip(str(folder), device="cuda", dtype="float32")
    assert automatic.info.options["dtype"] == "bfloat16"
    assert automatic.info.fingerprint != exact.info.fingerprint != embedder.info.fingerprint
    expected = embedder.encode(items, "query")
    np.testing.assert_allclose(exact.encode(items, "query"), expected, atol=5e-3)
    assert (automatic.encode(items, "query") * expected).sum(axis=1).min() > 0.99


def test_costs(clip: Clip, siglip: Clip, images: list[ImageFile]) -> None:
    patches = (IMAGE_SIZE // PATCH) ** 2
    facts = ImageFacts("", 40, 30)
    assert isinstance(clip, Costed)
    assert clip.cost(Item("x", text="the red dog a!"), None) == 7  # begin, three words, two letters, end
    assert clip.cost(Item("x", text="a" * 3000), None) == 77
    assert clip.cost(Item("x"), None) == 2
    assert clip.cost(Item("x", image=images[0]), facts) == patches
    assert clip.cost(Item("x", text="the red dog a!", image=images[0]), facts) == patches + 7
    assert siglip.cost(Item("x"), None) == 16
    assert siglip.cost(Item("x", text="cat", image=images[0]), facts) == patches + 16


def test_loading_leaves_the_process_as_it_was(clip_folder: Path) -> None:
    threads, seed, grad = torch.get_num_threads(), torch.initial_seed(), torch.is_grad_enabled()
    state = torch.random.get_rng_state()
    Clip(str(clip_folder), device="cpu").encode(text_items(), "query")
    assert (torch.get_num_threads(), torch.initial_seed(), torch.is_grad_enabled()) == (threads, seed, grad)
    assert (torch.random.get_rng_state() == state).all()


def test_an_image_too_narrow_to_scale_is_refused(clip: Clip, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (1, 2_000)).save(tmp_path / "thin.png")
    thin = Item("x", image=ImageFile(tmp_path, "thin.png"))
    assert clip.encode([thin], "query").shape == (1, 24)  # at 32 x 64,000 pixels
    PIL.Image.new("RGB", (1, 100_000)).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=r"thin\.png of 1 x 100000 pixels is too narrow"):
        clip.encode([thin], "query")


def test_pickled_weights_are_read_without_running_them(clip: Clip, clip_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    found = Clip(str(copy), device="cpu").encode(text_items(), "query")
    assert (found == clip.encode(text_items(), "query")).all()

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))
    with pytest.raises(EmbedderError, match=r"pytorch_model\.bin cannot be loaded"):
        Clip(str(copy), device="cpu").encode(text_items(), "query")
    assert not (tmp_path / "sprung").exists()


def rewrite(name: str, **changes: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file."""

    def spoil(folder: Path) -> None:
        write_json(folder / name, {**json.loads((folder / name).read_text()), **changes})

    return spoil


def remove(*names: str) -> Callable[[Path], None]:
    """Remove files."""

    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def truncate(folder: Path) -> None:
    """Cut the weights short."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-64])


def drop_tensor(folder: Path) -> None:
    """Leave one weight out."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (remove("config.json"), UsageError, r"config\.json is missing: pass the folder of a whole checkpoint"),
        (lambda folder: (folder / "config.json").write_text("{"), UsageError, r"config\.json is not readable JSON"),
        (
            rewrite("config.json", model_type="bert"),
            UsageError,
            r"config\.json is of model_type 'bert'.* takes clip, metaclip_2, siglip and siglip2: name",
        ),
        (rewrite("config.json", model_type="siglip2"), UsageError, "they share no space"),
        (rewrite("config.json", text_config=7), UsageError, r"config\.json is no clip configuration"),
        (
            rewrite("config.json", text_config={"hidden_size": "x"}),
            UsageError,
            r"config\.json is no clip configuration",
        ),
        (
            rewrite("config.json", projection_dim=7),
            EmbedderError,
            "does not hold the weights that config.json asks for",
        ),
        (drop_tensor, EmbedderError, "1 are missing or of another shape, such as text_projection.weight"),
        (remove("model.safetensors"), UsageError, "has no weights"),
        (truncate, EmbedderError, r"model\.safetensors is truncated or broken .*pass the folder of a whole checkpoint"),
        (remove("vocab.json", "merges.txt"), UsageError, r"has no tokenizer: none of tokenizer\.json, vocab\.json"),
        (lambda folder: (folder / "vocab.json").write_text("["), EmbedderError, "the tokenizer of .* is broken"),
        (remove("preprocessor_config.json"), UsageError, r"preprocessor_config\.json is missing"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), EmbedderError, "is no image processor"),
        (
            rewrite("preprocessor_config.json", crop_size=48, size=48),
            EmbedderError,
            r"preprocessor_config\.json makes images of \(48, 48\) pixels .*, the model takes \(32, 32\)",
        ),
    ],
)
def test_broken_checkpoints_are_named(
    clip_folder: Path, tmp_path: Path, spoil: Callable[[Path], object], kind: type[EvalkitError], says: str
) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    spoil(copy)
    with pytest.raises(EvalkitError, match=says) as caught:
        Clip(str(copy), device="cpu").encode([Item("x", text="cat")], "query")
    assert caught.type is kind


def test_broken_siglips_are_named(siglip_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(siglip_folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    for change in ({"projection_size": 8}, {}):
        vision = {**config["vision_config"], "vision_use_head": bool(change)}
        write_json(
            copy / "config.json",
            {**config, "text_config": {**config["text_config"], **change}, "vision_config": vision},
        )
        with pytest.raises(UsageError, match=r"config\.json has text vectors of length \d+ and image vectors"):
            _ = Clip(str(copy), device="cpu").info
    write_json(copy / "config.json", config)
    (copy / "tokenizer.json").rename(copy / "spiece.model")
    with pytest.raises(EvalkitError, match=r"tokenizer of .*copy"):
        Clip(str(copy), device="cpu").encode(text_items(), "query")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"instruction": "maybe"}, r"option instruction='maybe' is not known: use 1 or 0"),
        ({"dtype": "float8"}, r"dtype='float8' is not known: use auto, float32 or bfloat16"),
        ({"revision": "main"}, "a plain folder, which has no revisions"),
    ],
)
def test_options_that_are_none(clip_folder: Path, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Clip(str(clip_folder), **options)


def test_a_hub_name_that_was_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"run `hf download openai/clip-vit-large-patch14` first"):
        Clip("openai/clip-vit-large-patch14")

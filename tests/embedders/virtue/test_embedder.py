"""The two families: layouts of weights, images once, regions, options, bad input."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints import VIRTUE
from safetensors.torch import load_file

from evalkit.check import check
from evalkit.embedders.base import Costed, CountsImages
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.embedders.virtue.embedder import Virtue
from evalkit.embedders.vlm import vlmembedder as module
from evalkit.embedders.vlm.template import Piece
from evalkit.embedders.vlm.vlm2vec import Vlm2Vec
from evalkit.errors import EmbedderError, EvalkitError, ImageError, RegionError, UsageError
from evalkit.items import Box, Item, Mask, Point, Points, Region
from evalkit.items.images import ImageFile


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    """Noise of several sizes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    sizes = ((90, 60), (20, 100), (64, 64))
    for width, height in sizes:
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
    return [ImageFile(folder, f"{width}x{height}.png", upright=False) for width, height in sizes]


@pytest.fixture(scope="module")
def virtue(virtue_folder: Path) -> Virtue:
    """The small VIRTUE; a test that counts images makes its own."""
    return Virtue(str(virtue_folder), device="cpu")


def about(image: ImageFile, region: Region | None = None, text: str = "the thing") -> Item:
    """An item of an image."""
    return Item(f"<image>\n{text}", text=text, image=image, region=region)


def copied(folder: Path, to: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(folder, to))


@pytest.mark.slow(14)
def test_evalkit_check_passes(virtue: Virtue) -> None:
    findings = check(virtue, batch_tokens=1024)
    assert [finding for finding in findings if finding.passed is False] == []
    assert {finding.name for finding in findings if finding.passed} >= {
        *(f"region: {kind}" for kind in ("box", "point", "points", "mask")),
        "image+text: alone and in batches",
    }


# --- weights in every layout -------------------------------------------------------------------------


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")


def as_shards(folder: Path) -> None:
    """Two parts with an index, as ``save_pretrained(safe_serialization=False)`` wrote large models."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for part, held in parts.items():
        torch.save({name: weights[name] for name in held}, folder / part)
    table = {name: part for part, held in parts.items() for name in held}
    index = {"metadata": {}, "weight_map": table}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("rewrite", [as_pickle, as_shards])
def test_pickled_weights(
    rewrite: Callable[[Path], None], virtue: Virtue, virtue_folder: Path, images: list[ImageFile], tmp_path: Path
) -> None:
    folder = copied(virtue_folder, tmp_path / "copy")
    rewrite(folder)
    (folder / "model.safetensors").unlink()
    items = [about(images[0], Box(1, 2, 30, 40)), about(images[1])]
    found = Virtue(str(folder), device="cpu").encode(items, "query")
    np.testing.assert_allclose(found, virtue.encode(items, "query"), atol=1e-6, rtol=0)


# --- encode once, prompt many ------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_an_image_is_encoded_once(virtue_folder: Path, images: list[ImageFile]) -> None:
    embedder = Virtue(str(virtue_folder), device="cpu")
    assert isinstance(embedder, CountsImages)
    boxes = [Box(x, 5, x + 9, 30) for x in range(8)]
    items = [about(image, box) for image in images[:2] for box in boxes]
    together = embedder.encode(items, "query")
    assert embedder.images_encoded == 2
    # The next batch goes on with the last image of the one before.
    again = embedder.encode([about(images[1], boxes[0]), about(images[2], boxes[0])], "query")
    assert embedder.images_encoded == 3
    np.testing.assert_allclose(again[0], together[8], atol=1e-6, rtol=0)
    alone = np.concatenate(
        [Virtue(str(virtue_folder), device="cpu").encode([items[place]], "query") for place in (0, 9)]
    )
    np.testing.assert_allclose(alone, together[[0, 9]], atol=1e-6, rtol=0)
    assert len(np.unique(together.round(4), axis=0)) == len(items)


def test_what_is_kept_is_bounded(virtue_folder: Path, images: list[ImageFile], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    embedder = Virtue(str(virtue_folder), device="cpu")
    items = [about(image) for image in images]
    first = embedder.encode(items, "query")
    assert (embedder.images_encoded, len(embedder._kept)) == (3, 0)
    assert (embedder.encode(items, "query") == first).all()
    assert embedder.images_encoded == 6
    # Room for two, with four tokens each or more, and a map of 64 x 16 x 16: the last ones stay.
    monkeypatch.setattr(module, "KEPT_BYTES", 2 * 4 * 64 * (8 + 16 * 16))
    embedder.encode(items, "query")
    assert [key[0] for key in embedder._kept] == [image.sha256() for image in images[1:]]


def test_an_error_leaves_no_more_behind_than_a_batch(
    virtue_folder: Path, images: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    embedder = Virtue(str(virtue_folder), device="cpu")
    broken = about(ImageFile(images[0].root, "missing.png"))
    with pytest.raises(ImageError):
        embedder.encode([about(images[0]), broken], "query")
    assert not embedder._kept


def test_texts_and_images_in_one_call_are_embedded_apart(virtue: Virtue, images: list[ImageFile]) -> None:
    """The released code gives the text of such a batch another vector, and says nothing."""
    items = [Item("A cat", text="A cat"), about(images[0]), Item("", text=""), about(images[1], Point(3, 4))]
    apart = np.concatenate([virtue.encode([item], "query") for item in items])
    np.testing.assert_allclose(virtue.encode(items, "query"), apart, atol=1e-6, rtol=0)


# --- texts -------------------------------------------------------------------------------------------


def test_a_text_of_no_token_has_the_vector_of_the_end_of_text(virtue: Virtue) -> None:
    empty, said = virtue.encode([Item("", text=""), Item("<|endoftext|>", text="x")], "candidate")
    assert np.linalg.norm(empty) == pytest.approx(1)
    assert virtue._tokens.ids([()]) == [virtue._tokens._tokenizer("<|endoftext|>")["input_ids"]]
    assert np.abs(empty - said).max() > 1e-4  # where it is the data's own text, it is text


def test_a_prompt_must_say_where_its_image_goes(virtue: Virtue, images: list[ImageFile]) -> None:
    with pytest.raises(EmbedderError, match="'no mark' does not say where its image goes: write <image> into it"):
        virtue.encode([Item("no mark", image=images[0])], "query")
    # The model's own mark is no mark, but the data's own text.
    with pytest.raises(EmbedderError, match="does not say where its image goes"):
        virtue.encode([Item("<|image_pad|>", image=images[0])], "query")
    own, none = virtue.encode([about(images[0], text="<|image_pad|>"), about(images[0], text="")], "query")
    assert np.abs(own - none).max() > 1e-4
    # A second mark is the data's own text.
    twice, once = virtue.encode([about(images[0], text="an <image> tag"), about(images[0], text="an tag")], "query")
    assert np.abs(twice - once).max() > 1e-4


def test_a_text_is_cut_off_at_the_tokenizers_length(virtue_folder: Path, tmp_path: Path) -> None:
    folder = copied(virtue_folder, tmp_path / "copy")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 8}))
    embedder = Vlm2Vec(str(folder), device="cpu")
    whole, cut = embedder._tokens.ids([(Piece("words", text),) for text in ("a b c d e f g", "a b c d e")])
    assert len(whole) > 8
    assert whole[:8] == cut[:8]
    with torch.inference_mode():
        wanted = embedder._vlm.read([whole[:8]]).numpy()
    np.testing.assert_allclose(embedder.encode([Item("a b c d e f g")], "query"), wanted, rtol=0, atol=1e-6)


# --- regions -----------------------------------------------------------------------------------------


def test_vlm2vec_sees_regions_in_its_prompt_alone(virtue_folder: Path, images: list[ImageFile]) -> None:
    embedder = Vlm2Vec(str(virtue_folder), device="cpu")
    assert embedder.info.regions == frozenset()
    with_box, without = embedder.encode([about(images[0], Box(1, 2, 30, 40)), about(images[0])], "query")
    assert (with_box == without).all()


def test_frames_and_what_the_checkpoint_says(
    virtue: Virtue, virtue_folder: Path, images: list[ImageFile], tmp_path: Path
) -> None:
    folder = copied(virtue_folder, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["virtue_sam"]["box_frame"] = "sam"
    (folder / "config.json").write_text(json.dumps(config))
    says = Virtue(str(folder), device="cpu")
    asked = Virtue(str(virtue_folder), device="cpu", frame="sam")
    assert (virtue.info.options["frame"], says.info.options["frame"]) == ("raw_pixels", "sam")
    assert Virtue(str(folder), device="cpu", frame="raw_pixels").info.options["frame"] == "raw_pixels"
    item = about(images[0], Box(1, 2, 30, 40))
    one, other = says.encode([item], "query"), asked.encode([item], "query")
    np.testing.assert_allclose(one, other, atol=1e-6, rtol=0)
    assert np.abs(one - virtue.encode([item], "query")).max() > 1e-4
    # In the square's own size both frames are one: 90 x 60 scaled to 256 x 256.
    scaled = about(images[0], Box(1 * 256 / 90, 2 * 256 / 60, 30 * 256 / 90, 40 * 256 / 60))
    np.testing.assert_allclose(virtue.encode([scaled], "query"), one, atol=1e-5, rtol=0)


def test_every_kind_of_region_moves_the_vector(virtue: Virtue, images: list[ImageFile], tmp_path: Path) -> None:
    marked = np.zeros((60, 90), dtype=np.uint8)
    marked[10:30, 20:50] = 255
    PIL.Image.fromarray(marked).save(tmp_path / "mask.png")
    regions: list[Region | None] = [
        None,
        Box(20, 10, 50, 30),
        Point(35, 20),
        Points((Point(35, 20), Point(40, 25))),
        Points((Point(35, 20), Point(40, 25)), (Point(80, 50),)),
        Mask(ImageFile(tmp_path, "mask.png", upright=False)),
    ]
    vectors = virtue.encode([about(images[0], region) for region in regions], "query")
    apart = np.abs(vectors[:, None] - vectors[None]).max(axis=2) + np.eye(len(regions))
    assert apart.min() > 1e-4


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Box(100, 5, 120, 30), r"box \[100, 5, 120, 30\] lies outside its image of 90 x 60 pixels"),
        (Box(5, 5, 5, 30), "holds no pixel"),
        (Point(90, 3), r"point \[90, 3\] lies outside"),
        (Points((Point(3, 3),), (Point(3, 60),)), r"point \[3, 60\] lies outside"),
    ],
)
def test_a_region_that_is_not_on_its_image(
    region: Region, message: str, virtue: Virtue, images: list[ImageFile]
) -> None:
    item = about(images[0], region)
    with pytest.raises(RegionError, match=message) as caught:
        virtue.encode([item], "query")
    assert caught.value.about == item


def test_a_mask_of_another_size_or_black(virtue: Virtue, images: list[ImageFile], tmp_path: Path) -> None:
    PIL.Image.new("L", (60, 90), 255).save(tmp_path / "turned.png")
    PIL.Image.new("L", (90, 60), 0).save(tmp_path / "black.png")
    with pytest.raises(RegionError, match=r"turned.png has 60 x 90 pixels, but its image has 90 x 60"):
        virtue.encode([about(images[0], Mask(ImageFile(tmp_path, "turned.png")))], "query")
    with pytest.raises(ImageError, match=r"black.png is black all over"):
        virtue.encode([about(images[0], Mask(ImageFile(tmp_path, "black.png")))], "query")


# --- what it says of itself --------------------------------------------------------------------------


def test_info_reads_no_weights(virtue_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(virtue_folder, tmp_path / "my model")
    loaded = load_embedder(parse_model(f"virtue:{folder}"), "cpu")
    info = loaded.info
    assert (info.name, info.dimension, loaded.family) == ("my model", 64, "virtue")
    assert info.options == {"dtype": "float32", "resolution": "native", "frame": "raw_pixels"}
    assert info.regions == {"box", "point", "points", "mask"}
    assert info.modalities == {"text", "image", "image+text"}
    assert not {"_vlm", "_stream"} & set(vars(loaded.embedder))

    def fingerprint(kind: type[Any] = Virtue, **options: str) -> str:
        return str(kind(str(folder), device="cpu", **options).info.fingerprint)

    prints = [
        info.fingerprint,
        fingerprint(Vlm2Vec),
        fingerprint(frame="sam"),
        fingerprint(resolution="high"),
        fingerprint(dtype="bfloat16"),
    ]
    assert fingerprint() == fingerprint(frame="raw_pixels") == prints[0]
    # Another SAM 2, elsewhere: told apart by its bytes.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("sam2_tiny.pt", "sam2_tiny.yaml"):
        shutil.copy(folder / name, elsewhere / name)
    settings = elsewhere / "sam2_tiny.yaml"
    settings.write_text(settings.read_text().replace("image_size: 256", "image_size: 128"))
    prints.append(fingerprint(sam=str(elsewhere / "sam2_tiny.pt")))
    monkeypatch.setattr(Virtue, "CODE_VERSION", "next")
    prints.append(fingerprint())
    assert len(set(prints)) == len(prints)


def test_costs_are_the_tokens_that_are_read(virtue: Virtue, virtue_folder: Path, images: list[ImageFile]) -> None:
    assert isinstance(virtue, Costed)
    vlm2vec = Vlm2Vec(str(virtue_folder), device="cpu")
    for image in images:
        facts = image.facts()
        picture = virtue._pictures.prepare(image)
        seen = picture.rows * picture.columns // 4
        item = about(image)
        assert vlm2vec.cost(item, facts) - vlm2vec.cost(Item(item.prompt), None) == seen
        assert virtue.cost(item, facts) - vlm2vec.cost(item, facts) == 16  # (256 / 64) ** 2


# --- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": "pixels"}, "option frame='pixels' is not known: use raw_pixels or sam"),
        ({"resolution": "low"}, "option resolution='low' is not known: use native or high"),
        ({"dtype": "int8"}, "option dtype='int8' is not known: use auto, float32 or bfloat16"),
        ({"device": "cuda:99"}, "device cuda:99 is not available"),
        ({"sam": "no/where/at/all"}, "no/where/at/all"),
        ({"revision": "main"}, "leave @main out"),
    ],
)
def test_options_that_are_none(options: dict[str, str], message: str, virtue_folder: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Virtue(str(virtue_folder), **options)


class Attack:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("attacked"),))


def attack(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Attack(), file, protocol=2)


def configure(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda f: (f / "config.json").unlink(), UsageError, "config.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), UsageError, "has no weights"),
        (lambda f: (f / "preprocessor_config.json").unlink(), UsageError, "preprocessor_config.json is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{"), EmbedderError, "the tokenizer of .* is broken"),
        (configure(model_type="clip"), UsageError, "model_type 'clip'; the family virtue takes qwen2_vl"),
        (configure(hidden_size=96), EmbedderError, "sam2vlm_layer of .* would be"),
        (configure(num_hidden_layers=4), EmbedderError, "config.json asks for"),
        (configure(hidden_size="wide"), UsageError, "is no qwen2_vl configuration"),
        (configure(image_token_id=5), EmbedderError, "config.json has image_token_id 5"),
        (attack, EmbedderError, "cannot be loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b"cut"), EmbedderError, "truncated or broken"),
    ],
)
def test_broken_checkpoints_are_named(
    spoil: Callable[[Path], None],
    kind: type[EvalkitError],
    message: str,
    virtue_folder: Path,
    images: list[ImageFile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = copied(virtue_folder, tmp_path / "copy")
    spoil(folder)
    with pytest.raises(kind, match=message):
        Virtue(str(folder), device="cpu").encode([about(images[0])], "query")
    assert not (tmp_path / "attacked").exists()


def test_a_tokenizer_of_two_files(virtue: Virtue, virtue_folder: Path, tmp_path: Path) -> None:
    folder = copied(virtue_folder, tmp_path / "copy")
    (folder / "tokenizer.json").unlink()
    items = [Item("A cat"), Item("a red box left of the blue ball in the kitchen")]
    again = Virtue(str(folder), device="cpu").encode(items, "query")
    np.testing.assert_allclose(again, virtue.encode(items, "query"), atol=1e-6, rtol=0)
    (folder / "merges.txt").unlink()
    with pytest.raises(UsageError, match=r"neither tokenizer.json nor vocab.json and merges.txt"):
        Virtue(str(folder), device="cpu").encode(items, "query")


def test_the_golden_checkpoint_is_whole() -> None:
    assert Virtue(str(VIRTUE), device="cpu").info.dimension == 64

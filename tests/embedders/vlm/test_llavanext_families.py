"""E5-V, BGE-VL, UniME and VLM2Vec on LLaVA-NeXT: literal strings through transformers' own processor and model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints.llava import llava_next_checkpoint
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor, PreTrainedTokenizerFast
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from evalkit.check import check
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.embedders.vlm.vlmembedder import VlmEmbedder
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFile

TOLERANCE = 1e-5
ASK = "Find the image that fits: "


def made(model: str) -> VlmEmbedder:
    """The embedder of a MODEL."""
    embedder = load_embedder(parse_model(model), "cpu").embedder
    assert isinstance(embedder, VlmEmbedder)
    return embedder


@pytest.fixture(scope="session")
def on_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llava_next_checkpoint(tmp_path_factory.mktemp("llava") / "llama", "llama")


@pytest.fixture(scope="session")
def on_mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llava_next_checkpoint(tmp_path_factory.mktemp("llava") / "mistral", "mistral", seed=1)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    folder = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
        return ImageFile(folder, f"{width}x{height}.png")

    return of


def plain(folder: Path, text: str, image: PIL.Image.Image | None = None) -> np.ndarray:
    """transformers as its documentation has it: the processor, padding on the left, the last state."""
    model, processor = loaded(folder)
    given = processor(text=[text], images=None if image is None else [image], return_tensors="pt", padding=True)
    given.pop("mm_token_type_ids", None)
    with torch.inference_mode():
        state = model.model(**given).last_hidden_state[0, -1]
    found: np.ndarray = torch.nn.functional.normalize(state, dim=0).numpy()
    return found


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    """The model and its processor."""
    model: Any = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = LlavaNextProcessor(
        LlavaNextImageProcessorPil.from_pretrained(folder),
        PreTrainedTokenizerFast.from_pretrained(folder),
        patch_size=model.config.vision_config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return model, processor


def turn(text: str) -> str:
    """E5-V's template, with the blank and the newline at its end."""
    head = "<|start_header_id|>user<|end_header_id|>\n\n"
    return f"{head}{text}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n \n"


Case = tuple[str, Item, str, str, tuple[int, int] | None]


def cases(image: ImageFile) -> list[Case]:
    """The MODEL's family with options, an item, its side, the documented string, and the first resize."""
    both = Item("<image>\nWhat? a dog\n", text="a dog", instruction=ASK, image=image)
    alone = Item("<image>\nRepresent.\n", text="", instruction="", image=image)
    asked = Item("<image>\nRepresent.\n", text="", instruction=ASK, image=image)
    words = Item("Find a dog\n", text="a dog", instruction=ASK)
    bare = Item("a dog", text="a dog")
    modify = '[INST] <image>Modify this image with "a dog", desribe modified image in one word: [/INST]'
    modify = modify.replace("[INST] ", "").replace(" [/INST]", "")  # the released code's own way to it
    square, high = (512, 512), (1344, 1344)
    return [
        ("e5-v", both, "query", turn("<image>\na dog\nSummary above image and text in one word: "), None),
        ("e5-v?pair=modify", both, "query", turn(modify), None),
        ("e5-v?pair=modify", alone, "candidate", turn("<image>\n Describe this image in one word:"), None),
        ("e5-v?pair=modify", words, "candidate", turn("a dog\nSummary above sentence in one word: "), None),
        ("e5-v", asked, "query", turn("<image>\nSummary above image in one word: "), None),
        ("e5-v", words, "query", turn("a dog\nSummary above sentence in one word: "), None),
        ("bge-vl", both, "query", f"[INST] \n <instruct> {ASK} <query>  a dog \n <image> [/INST]", square),
        ("bge-vl", asked, "query", f"[INST] \n <instruct> {ASK} <query>  <image> [/INST]", square),
        ("bge-vl", alone, "query", "[INST] \n <instruct>  <query> <image> [/INST]", square),
        ("bge-vl", words, "query", f"[INST] \n <instruct> {ASK} <query>  a dog \n [/INST]", None),
        ("bge-vl", bare, "query", "[INST] \n <instruct>  <query> a dog \n [/INST]", None),
        ("bge-vl", both, "candidate", "[INST]  a dog \n <image> [/INST]", square),
        ("bge-vl", asked, "candidate", "[INST]  <image> [/INST]", square),
        ("bge-vl", bare, "candidate", "[INST]  a dog \n [/INST]", None),
        ("unime", alone, "query", "[INST] <image>\nSummary above image in one word: [/INST]", None),
        ("unime", words, "query", "[INST] a dog\nSummary above sentence in one word: [/INST]", None),
        ("unime?protocol=vlm2vec", both, "query", "<image>\nWhat? a dog\n", None),
        ("unime?protocol=vlm2vec&resolution=high", alone, "candidate", "<image>\nRepresent.\n", high),
        ("vlm2vec", both, "query", "<image>\nWhat? a dog\n", None),
        ("vlm2vec?resolution=high", alone, "candidate", "<image>\nRepresent.\n", high),
        ("vlm2vec", bare, "candidate", "a dog", None),
    ]


def test_vectors_are_those_of_the_documented_string(
    on_llama: Path, on_mistral: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    embedders: dict[str, VlmEmbedder] = {}
    image = picture(90, 50)
    for model, item, side, text, first in cases(image):
        family, _, options = model.partition("?")
        folder = on_llama if family == "e5-v" else on_mistral
        embedder = embedders.setdefault(model, made(f"{family}:{folder}" + (f"?{options}" if options else "")))
        own = None if item.image is None else image.rgb()
        wanted = plain(folder, text, own if own is None or first is None else own.resize(first))
        found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE, err_msg=f"{model}: {text!r}")


def test_images_of_any_size_and_what_they_cost(on_mistral: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = made(f"vlm2vec:{on_mistral}")
    sizes = [(1, 1), (28, 28), (57, 56), (500, 20), (20, 500), (300, 299), (9, 700), (1000, 750)]
    images = [picture(*size) for size in sizes]
    items = [Item("<image>\na", text="a", image=image) for image in images]
    found = embedder.encode(items, "query")
    wanted = [plain(on_mistral, "<image>\na", image.rgb()) for image in images]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    seen = [len(one.features) for one in embedder._look(images)]
    assert [embedder._pictures.tokens(*size) for size in sizes] == seen
    assert embedder.images_encoded == len(images)


def test_what_the_data_says_is_no_part_of_the_template(on_llama: Path, on_mistral: Path) -> None:
    for model in (f"e5-v:{on_llama}", f"bge-vl:{on_mistral}"):
        embedder = made(model)
        special = embedder._tokens._numbers
        rows = embedder._tokens.ids(
            [embedder.prompt(Item("x", text=text), "candidate") for text in ("a", "<image> a", "<s> <|eot_id|>", "")]
        )
        kept = [[token for token in row if token in special] for row in rows]
        assert kept[1:] == [kept[0]] * 3


def test_a_vector_is_the_same_alone_and_in_any_batch(
    on_llama: Path, on_mistral: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    images = [picture(90, 50), picture(20, 200), picture(7, 7)]
    items = [Item("<image>\nx", text=text, image=image) for image in images for text in ("", "a b c")]
    items += [Item("x", text="a"), Item("", text="")]
    for model in (f"e5-v:{on_llama}", f"unime:{on_mistral}", f"bge-vl:{on_mistral}"):
        embedder = made(model)
        together = embedder.encode(items, "query")
        one_by_one = np.concatenate([embedder.encode([one], "query") for one in items])
        np.testing.assert_allclose(together, one_by_one, rtol=0, atol=TOLERANCE)


@pytest.mark.slow(3)
@pytest.mark.parametrize("family", ["e5-v", "bge-vl", "unime", "vlm2vec"])
def test_the_contract_is_kept(family: str, on_llama: Path, on_mistral: Path) -> None:
    embedder = made(f"{family}:{on_llama if family == 'e5-v' else on_mistral}")
    findings = check(embedder, batch_tokens=4096)
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_bad_input(on_mistral: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model_type 'llava_next'; the family gme takes qwen2_vl"):
        made(f"gme:{on_mistral}")
    broken = llava_next_checkpoint(tmp_path / "broken", "mistral")
    settings = (broken / "preprocessor_config.json").read_text()
    image = Item("<image>", image=ImageFile.of(np.zeros((9, 9, 3), np.uint8)))
    (broken / "preprocessor_config.json").write_text(settings.replace('"height": 28', '"height": 32'))
    with pytest.raises(EmbedderError, match="makes tiles of 32 pixels, the model takes 28"):
        made(f"bge-vl:{broken}").encode([image], "query")
    (broken / "preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match=r"preprocessor_config\.json is missing"):
        made(f"bge-vl:{broken}").encode([image], "query")

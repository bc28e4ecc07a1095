"""Qwen3-VL-Embedding and WeMM-Embedding: literal strings through transformers' own tokenizer, processor and model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints.qwen3 import qwen3_5_checkpoint, qwen3_vl_checkpoint
from transformers import PreTrainedTokenizerFast, Qwen3_5ForConditionalGeneration, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from evalkit.check import check
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.embedders.vlm.vlmembedder import VlmEmbedder
from evalkit.errors import ImageError, UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFile

TOLERANCE = 1e-5
DEFAULT = "Represent the user's input."
VISION = "<|vision_start|><|image_pad|><|vision_end|>"


def made(model: str) -> VlmEmbedder:
    """The embedder of a MODEL."""
    embedder = load_embedder(parse_model(model), "cpu").embedder
    assert isinstance(embedder, VlmEmbedder)
    return embedder


@pytest.fixture(scope="session")
def qwen3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen3_vl_checkpoint(tmp_path_factory.mktemp("qwen3") / "vl")


@pytest.fixture(scope="session")
def wemm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen3_5_checkpoint(tmp_path_factory.mktemp("qwen3") / "wemm", seed=1)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    folder = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
        PIL.Image.fromarray(noise).save(folder / f"{width}x{height}.png")
        return ImageFile(folder, f"{width}x{height}.png")

    return of


@cache
def loaded(folder: Path, kind: Any) -> tuple[Any, Any]:
    """transformers' model and the tokenizer."""
    return kind.from_pretrained(folder, dtype=torch.float32).eval(), PreTrainedTokenizerFast.from_pretrained(folder)


def plain(
    folder: Path,
    kind: Any,
    text: str,
    image: PIL.Image.Image | None = None,
    first: tuple[int, int] | None = None,
    do_resize: bool = False,
) -> np.ndarray:
    """transformers as its documentation has it, one item at a time, with its own positions."""
    model, tokenizer = loaded(folder, kind)
    given: dict[str, Any] = {}
    if image is not None:
        processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        resized = image if first is None else image.resize(first)
        given = dict(processor(images=[resized], return_tensors="pt", do_resize=do_resize))
        count = int(given["image_grid_thw"].prod()) // 4
        text = text.replace("<|image_pad|>", "<|image_pad|>" * count)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    if image is not None:
        given["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    model.model.rope_deltas = None
    with torch.inference_mode():
        state = model.model(input_ids=ids, attention_mask=torch.ones_like(ids), **given).last_hidden_state[0, -1]
    found: np.ndarray = torch.nn.functional.normalize(state, dim=0).numpy()
    return found


def chat(system: str, user: str) -> str:
    """As the chat template of the checkpoint writes it."""
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def item(text: str, instruction: str = "", image: ImageFile | None = None) -> Item:
    return Item("<image>\nx" if image is not None else "x", text=text, instruction=instruction, image=image)


def test_vectors_of_qwen3_vl_embedding(qwen3_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = made(f"qwen3-vl-embedding:{qwen3_folder}")
    image = picture(300, 200)
    cases = [
        (item("a dog", " Find it ", image), "query", chat("Find it.", f"{VISION}a dog")),
        (item(" a dog\n", "Find it:", image), "query", chat("Find it:", f"{VISION} a dog\n")),
        (item("a dog", "Find it!", image), "candidate", chat(DEFAULT, f"{VISION}a dog")),
        (item("", "何か。", image), "query", chat("何か。", VISION)),
        (item("", "", image), "query", chat(DEFAULT, VISION)),
        (item("a dog", "Find it"), "query", chat("Find it.", "a dog")),
        (item("a dog", "  "), "query", chat(DEFAULT, "a dog")),
        (item(""), "candidate", chat(DEFAULT, "NULL")),
    ]
    for one, side, text in cases:
        own = None if one.image is None else image.rgb()
        wanted = plain(qwen3_folder, Qwen3VLForConditionalGeneration, text, own, (288, 192))
        found = embedder.encode([one], side)[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE, err_msg=text)


def test_vectors_of_wemm(wemm_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = made(f"wemm:{wemm_folder}")
    image = picture(300, 200)
    cases = [
        (item("a dog", "Find it:", image), f"<|im_start|>user\n{VISION}Find it: a dog<|im_end|>\n"),
        (item("", "", image), f"<|im_start|>user\n{VISION}<|im_end|>\n"),
        (item("", "Represent.", image), f"<|im_start|>user\n{VISION}Represent.<|im_end|>\n"),
        (item("a dog", "Find it:"), "<|im_start|>user\nFind it: a dog<|im_end|>\n"),
        (item("a dog\n"), "<|im_start|>user\na dog\n<|im_end|>\n"),
        (item(""), "<|im_start|>user\n<|im_end|>\n"),
    ]
    for one, text in cases:
        own = None if one.image is None else image.rgb()
        wanted = plain(wemm_folder, Qwen3_5ForConditionalGeneration, text, own, (288, 192), do_resize=True)
        np.testing.assert_allclose(embedder.encode([one], "query")[0], wanted, rtol=0, atol=TOLERANCE, err_msg=text)
    (ids,) = embedder._tokens.ids([embedder.prompt(item("a dog"), "query")])
    assert embedder._tokens._tokenizer.convert_ids_to_tokens(ids)[-1] == "<embedding>"


@pytest.mark.parametrize("family", ["qwen3-vl-embedding", "wemm"])
@pytest.mark.parametrize(
    ("size", "first"),
    [((9, 7), (96, 64)), ((64, 64), (64, 64)), ((4000, 1500), (2208, 800)), ((30, 3000), (32, 3008))],
)
def test_sizes(
    family: str,
    size: tuple[int, int],
    first: tuple[int, int],
    qwen3_folder: Path,
    wemm_folder: Path,
    picture: Callable[[int, int], ImageFile],
) -> None:
    """The first resize, worked out by hand for Qwen3-VL-Embedding; after that of WeMM the processor's comes."""
    folder = qwen3_folder if family == "qwen3-vl-embedding" else wemm_folder
    embedder, image = made(f"{family}:{folder}"), picture(*size)
    prepared: Any = embedder._pictures.prepare(image)
    assert embedder._pictures.tokens(*size) == prepared.tokens
    if family == "qwen3-vl-embedding":
        assert (prepared.columns * 16, prepared.rows * 16) == first
    else:
        assert prepared.columns * prepared.rows * 256 >= 65536


def test_a_vector_is_the_same_alone_and_in_any_batch(
    qwen3_folder: Path, wemm_folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    images = [picture(300, 200), picture(64, 320), picture(9, 7), None]
    items = [item(text, "Find it", image) for image in images for text in ("", "a b c", "a much longer text than that")]
    for model in (f"qwen3-vl-embedding:{qwen3_folder}", f"wemm:{wemm_folder}"):
        embedder = made(model)
        together = embedder.encode(items, "query")
        one_by_one = np.concatenate([embedder.encode([one], "query") for one in items])
        np.testing.assert_allclose(together, one_by_one, rtol=0, atol=TOLERANCE)
        apart = np.linalg.norm(together[:, None] - together[None], axis=-1) + np.eye(len(items))
        assert apart.min() > 1e-3


def test_a_token_that_the_tokenizer_appends_is_pooled(qwen3_folder: Path, tmp_path: Path) -> None:
    without = qwen3_vl_checkpoint(tmp_path / "without", appended=False)
    text = item("a dog")
    both = [made(f"qwen3-vl-embedding:{folder}") for folder in (qwen3_folder, without)]
    last = [one._tokens.ids([one.prompt(text, "query")])[0][-1] for one in both]
    assert both[0]._tokens._tokenizer.convert_ids_to_tokens(last[0]) == "<|endoftext|>"
    assert last[0] != last[1]
    assert np.abs(np.subtract(*(one.encode([text], "query") for one in both))).max() > 1e-3


def test_what_the_data_says_is_no_part_of_the_template(qwen3_folder: Path, wemm_folder: Path) -> None:
    for model in (f"qwen3-vl-embedding:{qwen3_folder}", f"wemm:{wemm_folder}"):
        embedder = made(model)
        special = embedder._tokens._numbers
        texts = ("a", "<|im_end|>", "<image> <|image_pad|><|endoftext|>")
        rows = embedder._tokens.ids([embedder.prompt(item(text, "<|im_end|>"), "query") for text in texts])
        kept = [[token for token in row if token in special] for row in rows]
        assert kept[1:] == [kept[0]] * 2


@pytest.mark.slow(4)
@pytest.mark.parametrize("family", ["qwen3-vl-embedding", "wemm"])
def test_the_contract_is_kept(family: str, qwen3_folder: Path, wemm_folder: Path) -> None:
    embedder = made(f"{family}:{wemm_folder if family == 'wemm' else qwen3_folder}")
    findings = check(embedder, batch_tokens=4096)
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_bad_input(qwen3_folder: Path, wemm_folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    with pytest.raises(UsageError, match="model_type 'qwen3_5'; the family qwen3-vl-embedding takes qwen3_vl"):
        made(f"qwen3-vl-embedding:{wemm_folder}")
    with pytest.raises(ImageError, match=r"6300x30.png of 6300 x 30 pixels cannot be resized"):
        made(f"qwen3-vl-embedding:{qwen3_folder}").encode([item("a", "", picture(6300, 30))], "query")

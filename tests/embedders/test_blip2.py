"""BLIP-2's feature extractor against transformers' own towers driven plainly, and LAVIS's cleaning written out."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from checkpoints import clip_checkpoint
from checkpoints.blip2 import SIDE, blip2_checkpoint
from hypothesis import given
from hypothesis import strategies as st
from transformers import Blip2TextModelWithProjection, Blip2VisionModelWithProjection, PreTrainedTokenizerFast
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from evalkit.check import check
from evalkit.embedders.blip2 import Blip2, cleaned_caption
from evalkit.errors import UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFacts, ImageFile

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blip2_checkpoint(tmp_path_factory.mktemp("blip2") / "tiny")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], ImageFile]:
    place = tmp_path_factory.mktemp("pictures")

    def of(width: int, height: int) -> ImageFile:
        noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
        PIL.Image.fromarray(noise).save(place / f"{width}x{height}.png")
        return ImageFile(place, f"{width}x{height}.png")

    return of


def text_state(folder: Path, text: str) -> torch.Tensor:
    """The state at [CLS], taken from the text tower before its projection."""
    model = Blip2TextModelWithProjection.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with torch.inference_mode():
        read: Any = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
    return read.last_hidden_state[0, 0]


def image_state(folder: Path, image: PIL.Image.Image) -> torch.Tensor:
    """The first query's state, from the image tower before its projection."""
    model = Blip2VisionModelWithProjection.from_pretrained(folder).eval()
    processor = BlipImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    caught = {}
    model.qformer.register_forward_hook(lambda *given: caught.update(states=given[-1][0]))
    with torch.inference_mode():
        model(**processor(images=[image], return_tensors="pt"))
    return caught["states"][0, 0]


def test_vectors(folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = Blip2(str(folder), device="cpu")
    image = picture(50, 31)
    text, seen = text_state(folder, "the red dog s"), image_state(folder, image.rgb())
    cases = [
        (Item("x", text="The (red) dog: s!", instruction="Find"), text),
        (Item("x", text="", image=image, instruction="Find"), seen),
        (Item("x", text="The red dog  s.", image=image), text + seen),
    ]
    for item, wanted in cases:
        wanted = torch.nn.functional.normalize(wanted, dim=0)
        for side in ("query", "candidate"):
            found = embedder.encode([item], side)[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=TOLERANCE)
    assert embedder.info.dimension == 32


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A dog.", "a dog"),
        ("A  dog\n", "a dog\n"),
        ("(What?) It's #1: *here* ~ now!", "what? it's 1 here now"),
        ("", ""),
        (" ".join(map(str, range(60))), " ".join(map(str, range(50)))),
    ],
)
def test_texts_are_cleaned(text: str, wanted: str) -> None:
    assert cleaned_caption(text).split() == wanted.split()


@given(st.text(alphabet=string.printable, max_size=80))
def test_cleaning_leaves_none_of_the_signs_and_few_words(text: str) -> None:
    found = cleaned_caption(text)
    assert not set('.!"()*#:;~') & set(found)
    assert found == found.lower()
    assert len(found.split(" ")) <= 50


def test_a_vector_is_the_same_alone_and_in_any_batch(folder: Path, picture: Callable[[int, int], ImageFile]) -> None:
    embedder = Blip2(str(folder), device="cpu")
    images = [picture(50, 31), picture(3, 90), None]
    items = [Item("x", text=text, image=image) for image in images for text in ("", "a dog", "the red dogs find a cat")]
    together = embedder.encode(items, "query")
    one_by_one = np.concatenate([embedder.encode([one], "query") for one in items])
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=TOLERANCE)


@pytest.mark.slow(2)
def test_the_contract_is_kept(folder: Path) -> None:
    findings = check(Blip2(str(folder), device="cpu"))
    assert {one.name: one.detail for one in findings if one.passed is False} == {}


def test_other_checkpoints_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of model_type 'clip'; the family blip2 takes blip-2"):
        Blip2(str(clip_checkpoint(tmp_path / "clip")), device="cpu")
    settings = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"architectures": ["Blip2ForConditionalGeneration"]}))
    with pytest.raises(UsageError, match=r"is of Blip2ForConditionalGeneration, a BLIP-2 with a language.*itm-vit-g"):
        Blip2(str(tmp_path), device="cpu")


def test_a_text_costs_its_tokens_and_an_image_its_patches_and_queries(
    folder: Path, picture: Callable[[int, int], ImageFile]
) -> None:
    embedder, facts = Blip2(str(folder), device="cpu"), ImageFacts("", 50, 31)
    tokens = len(PreTrainedTokenizerFast.from_pretrained(folder)("the red dog")["input_ids"])
    assert embedder.cost(Item("x", text="The (red) dog!"), None) == tokens
    assert embedder.cost(Item("x", image=picture(50, 31)), facts) == (SIDE // 14) ** 2 + 4
    assert embedder.cost(Item("x", text="the red dog", image=picture(50, 31)), facts) == (SIDE // 14) ** 2 + 4 + tokens

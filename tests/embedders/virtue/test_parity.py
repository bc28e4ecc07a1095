"""Vectors against those that the released code gave for the same weights (float32, one item at a time)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import command
from checkpoints import VIRTUE

from evalkit.embedders.checkpoint import resolve
from evalkit.embedders.virtue.embedder import Virtue
from evalkit.embedders.vlm.qwen2vl import IMAGE_TOKEN, Qwen2Vl
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.embedders.vlm.vlm2vec import mmeb_text
from evalkit.items import Item
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import ItemRow, read_items

pytestmark = pytest.mark.slow(0.6)

TOLERANCE = 1e-5  # a tenth of what is asked for; found: 1.2e-7
GOLDEN = dict(np.load(VIRTUE / "golden.npz"))
ROWS = read_items(VIRTUE / "cases.jsonl")


def expected(row: ItemRow, *kinds: str) -> np.ndarray:
    """The released code's vector of a case, of the first of these kinds that the case has."""
    found: np.ndarray = next(GOLDEN[key] for kind in kinds if (key := f"{row.id}/{kind}/B") in GOLDEN)
    return found


def test_every_golden_vector_is_compared() -> None:
    kinds = {key.split("/")[1] for key in GOLDEN}
    assert kinds == {"plain", "raw_pixels", "sam_frame", "no_segmentation"}
    assert {key.split("/")[0] for key in GOLDEN} == {row.id for row in ROWS}
    frames = np.array(
        [GOLDEN[f"{row.id}/raw_pixels/B"] - GOLDEN[f"{row.id}/sam_frame/B"] for row in ROWS if row.item.region]
    )
    assert np.abs(frames).max(axis=1).min() > 100 * TOLERANCE  # so a frame taken for the other shows


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("virtue", ("plain", "raw_pixels")),
        ("virtue?frame=sam", ("plain", "sam_frame")),
        ("vlm2vec", ("no_segmentation",)),
    ],
)
def test_evalkit_embed_gives_the_released_vectors(model: str, kinds: tuple[str, ...], tmp_path: Path) -> None:
    family, _, options = model.partition("?")
    place = f"{family}:{VIRTUE}" + (f"?{options}" if options else "")
    output = tmp_path / "vectors.npz"
    cases = VIRTUE / "cases.jsonl"
    assert command("embed", "--model", place, "--input", cases, "--output", output, "--device", "cpu") == 0
    found = np.load(output)
    wanted = np.stack([expected(row, *kinds) for row in ROWS])
    assert found["ids"].tolist() == [row.id for row in ROWS]
    np.testing.assert_allclose(found["vectors"], wanted, rtol=0, atol=TOLERANCE)


def test_a_vector_is_the_same_alone_and_in_any_batch() -> None:
    embedder = Virtue(str(VIRTUE), device="cpu")
    items = [row.item for row in ROWS]
    wanted = np.stack([expected(row, "plain", "raw_pixels") for row in ROWS])
    alone = np.concatenate([embedder.encode([item], "query") for item in items])
    order = np.random.default_rng(0).permutation(len(items))
    shuffled = embedder.encode([items[place] for place in order], "candidate")
    np.testing.assert_allclose(alone, wanted, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(shuffled, wanted[order], rtol=0, atol=TOLERANCE)
    # Three images, each upright (without a region) and as stored (with one).
    assert embedder.images_encoded == 6


def tokens_of_the_golden() -> Tokens:
    """Its tokenizer."""
    return Tokens(resolve(str(VIRTUE)), IMAGE_TOKEN, 293, Qwen2Vl.EMPTY)


def ids(tokens: Tokens, prompt: str, count: int | None, text: str = "") -> list[int]:
    """Token ids of a prompt with an image of as many tokens, or without one."""
    image = None if count is None else ImageFile(VIRTUE, "image.png")
    row = tokens.ids([mmeb_text(Item(prompt, text=text, image=image), "query")])[0]
    return row if count is None else tokens.expanded(row, count)


def test_token_ids_are_the_released_ones() -> None:
    image_token = json.loads((VIRTUE / "config.json").read_text())["image_token_id"]
    tokens = tokens_of_the_golden()
    assert image_token == 293
    cases = json.loads((VIRTUE / "tokens.json").read_text())
    assert len(cases) == len(ROWS)
    for row in ROWS:
        case = cases[row.id]
        count = None if case["grid"] is None else case["grid"][1] * case["grid"][2] // 4
        found = ids(tokens, row.item.prompt, count)
        assert [token for token in found if token != image_token] == case["ids"]
        assert found.count(image_token) == (count or 0)
    # A query of WebQA or EDIS: the mark without an image is one token, as the released code leaves it.
    assert ids(tokens, "<image>\nFind", None)[0] == image_token
    assert image_token not in ids(tokens, "about the <image> tag", None)
    # The model's own mark is text like any other: only evalkit puts it there.
    assert image_token not in ids(tokens, f"{IMAGE_TOKEN}\nFind", None)
    # And so is the protocol's mark where it is not the protocol that put it there.
    assert image_token not in ids(tokens, "<image>\nFind", None, text="<image>\nFind")


SPECIAL = tuple(token["content"] for token in json.loads((VIRTUE / "tokenizer.json").read_text())["added_tokens"])


@pytest.mark.parametrize("token", SPECIAL)
def test_what_looks_like_a_special_token_in_the_words_of_the_data_is_text(token: str) -> None:
    """The same tokens with an image and without, and none of them special but the one mark of the image."""
    tokens = tokens_of_the_golden()
    special = set(tokens._tokenizer.added_tokens_decoder)
    text = f" What does {token} mean? {token}{token}\n"
    words = ids(tokens, text, None)
    assert not special & set(words)
    assert tokens._tokenizer.decode(words) == text
    pictured = ids(tokens, "<image>" + text, 3)
    assert pictured == [293] * 3 + words
    assert ids(tokens, "<image>" + text, None) == [293, *words]
    # Without it nothing differs from what the tokenizer makes of the whole, with the mark in its place.
    plain = "What does\n\nthis  mean?  <image> \t <|image|> <|imag"
    assert ids(tokens, "<image>" + plain, 1) == tokens._tokenizer("<|image_pad|>" + plain)["input_ids"]

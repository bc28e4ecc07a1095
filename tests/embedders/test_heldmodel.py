"""Models as people hold them: functions, objects, models of sentence-transformers."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit.embedders import tiny
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant, Random
from evalkit.embedders.function import text_of, unit_rows
from evalkit.embedders.heldmodel import HeldModel, held_model
from evalkit.encoding.encode import Encoder
from evalkit.encoding.store import VectorStore
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Box, Item
from evalkit.items.images import ImageFile

RED = PIL.Image.new("RGB", (6, 4), "red")
ITEMS = [Item(text="a dog"), Item(text="a cat", instruction="Find:")]


def held(model: object, items: Sequence[Item] = ITEMS, **said: Any) -> HeldModel:
    return held_model(model, lambda: items, **said)


def lengths(texts: list[str], images: list[PIL.Image.Image | None]) -> NDArray[np.float64]:
    """A vector that tells the length of a text, and how red its image is."""
    red = [0.0 if image is None else float(np.asarray(image)[..., 0].mean()) for image in images]
    return np.array([[len(text), one, 1.0] for text, one in zip(texts, red, strict=True)])


# --- functions --------------------------------------------------------------------------------------------------


def test_a_function_gets_texts_without_the_mark_and_images() -> None:
    got: list[tuple[list[str], list[Any]]] = []

    def spy(texts: list[str], images: list[PIL.Image.Image | None]) -> NDArray[np.float64]:
        got.append((texts, images))
        return lengths(texts, images)

    loaded = held(spy).loaded
    assert got == [(["a dog", "Find: a cat"], [None, None])]
    boxed = Item(text="a dog", image=RED, region=Box(1, 1, 2, 2))
    loaded.embedder.encode([Item(image=RED), boxed, Item("<image>\nFind it\n", text="it", image=RED)], "query")
    texts, images = got[1]
    assert texts == ["", "a dog\nReferring object bbox: [1, 1, 2, 2]", "Find it"]
    assert [image.size for image in images] == [(6, 4)] * 3
    assert loaded.info == EmbedderInfo("spy", 3)
    assert loaded.family == "function"


def test_its_rows_are_made_of_length_1_in_their_order() -> None:
    found = held(lengths).loaded.embedder.encode(ITEMS, "query")
    wanted = lengths([text_of(item) for item in ITEMS], [None, None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted / np.sqrt((wanted**2).sum(1))[:, None], rtol=1e-6)


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_rows_of_length_1_point_where_they_did(values: list[list[float]]) -> None:
    made = unit_rows(np.array(values))
    for row, one in zip(values, made, strict=True):
        length = float(np.sqrt(sum(value * value for value in row)))
        wanted = [value / length for value in row] if length else row
        np.testing.assert_allclose(one, wanted, atol=1e-6)


def test_what_torch_returns_is_taken_from_any_graph_and_precision() -> None:
    import torch

    def half(texts: list[str], images: list[Any]) -> torch.Tensor:
        return torch.tensor(lengths(texts, images)).to(torch.bfloat16).requires_grad_()

    assert held(half).loaded.embedder.encode(ITEMS, "query").shape == (2, 3)
    rows = held(lambda texts, images: list(half(texts, images))).loaded.embedder.encode(ITEMS, "query")
    assert np.array_equal(rows, held(half).loaded.embedder.encode(ITEMS, "query"))
    with pytest.raises(EmbedderError, match="numbers are wanted"):
        held(lambda texts, images: half(texts, images).to(torch.complex64))


def test_a_function_that_writes_to_its_inputs_writes_to_its_own() -> None:
    seen: list[tuple[int, ...]] = []

    def careless(texts: list[str], images: list[Any]) -> NDArray[np.float64]:
        found = lengths(texts, images)
        for image in images:
            if image is not None:
                seen.append(image.getpixel((0, 0)))
                image.paste((0, 0, 255), (0, 0, 6, 4))
        texts.clear()
        images.clear()
        return found

    embedder = held(careless).loaded.embedder
    decoded = ImageFile.of(RED)
    same = dataclasses.replace(decoded, pixels=decoded.rgb())  # as a batch has it, decoded once
    embedder.encode([Item(text="a", image=same), Item(text="b", image=same)], "query")
    assert seen == [(255, 0, 0)] * 2
    assert RED.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(3), r"returned shape \(3,\) for 2 items"),
        (np.zeros((3, 4)), r"returned shape \(3, 4\) for 2 items"),
        (np.zeros((2, 0)), r"returned shape \(2, 0\)"),
        (np.zeros((2, 3, 1)), r"returned shape \(2, 3, 1\)"),
        (None, r"returned shape \(\) for 2 items"),
        ([[1, 2], [3]], "no array"),
        (np.array([["a", "b"]] * 2), "numbers are wanted"),
        (np.array([[1j, 2]] * 2), "numbers are wanted"),
    ],
)
def test_what_is_no_array_of_vectors_is_said_before_anything_else(returned: Any, message: str) -> None:
    with pytest.raises(EmbedderError, match=f"function wrong .*{message}|{message}"):
        held(lambda texts, images: returned, name="wrong")


def test_a_function_that_raises_says_at_which_item() -> None:
    with pytest.raises(EmbedderError, match=r"function table raised KeyError: 'a dog' .*2 items, .* 'a dog'"):
        held(lambda texts, images: [{}[text] for text in texts], name="table")
    with pytest.raises(EmbedderError, match="function leave raised SystemExit: 3"):
        held(lambda texts, images: texts.clear() or sys.exit(3), name="leave")


def test_a_function_whose_memory_runs_out_gets_smaller_batches() -> None:
    sizes: list[int] = []

    def narrow(texts: list[str], images: list[PIL.Image.Image | None]) -> NDArray[np.float64]:
        sizes.append(len(texts))
        if len(texts) > 5:
            raise MemoryError
        return lengths(texts, images)

    items = [Item(text="a" * count) for count in range(1, 13)]
    with VectorStore(None) as memory:
        found = Encoder(held(narrow).loaded, memory).encode(items, "query")
    assert np.array_equal(found, held(lengths).loaded.embedder.encode(items, "query"))
    assert max(sizes) == 12


def test_vectors_of_another_length_than_before() -> None:
    model = held(lambda texts, images: np.ones((len(texts), len(texts[0]))), name="grows").loaded.embedder
    with pytest.raises(EmbedderError, match="length 8, and of length 5 before"):
        model.encode([Item(text="a string")], "query")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lengths, "lengths"),
        (functools.partial(lengths), "lengths"),
        (lambda texts, images: lengths(texts, images), "lambda"),
    ],
)
def test_a_function_is_called_by_its_name(function: Any, name: str) -> None:
    assert held(function).loaded.info.name == name
    assert held(function, name="mine").loaded.info.name == "mine"


# --- whose vectors are kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [lengths, Constant(), Random()])
def test_vectors_of_an_object_are_kept_under_the_callers_fingerprint_alone(model: object) -> None:
    """Also where it has one: in a notebook its class may have been edited since."""
    one, other = held(model), held(model)
    assert not one.kept
    assert one.loaded.fingerprint != other.loaded.fingerprint
    one, other = held(model, fingerprint="v1"), held(model, fingerprint="v1")
    assert one.kept
    assert one.loaded.fingerprint == other.loaded.fingerprint != held(model, fingerprint="v2").loaded.fingerprint
    assert one.loaded.fingerprint == held(model, fingerprint="v1", name="other").loaded.fingerprint


def test_other_options_are_other_vectors_under_one_fingerprint() -> None:
    one, other = (held(Random(seed=seed), fingerprint="v1").loaded.fingerprint for seed in (0, 1))
    assert one != other


def test_the_text_of_a_model_is_what_the_command_loads() -> None:
    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder

    wanted = load_embedder(parse_model("random?seed=3"))
    found = held("random?seed=3")
    assert found.kept
    assert (found.loaded.info, found.loaded.fingerprint) == (wanted.info, wanted.fingerprint)
    assert held("random?seed=3", fingerprint="v1").loaded.fingerprint != wanted.fingerprint
    renamed = held("random?seed=3", name="mine").loaded
    assert (renamed.info.name, renamed.fingerprint) == ("mine", wanted.fingerprint)


class _Broken:
    encode = None

    @property
    def info(self) -> EmbedderInfo:
        raise RuntimeError("no info")


class _Strange:
    info = {"name": "x"}  # noqa: RUF012
    encode = None


@pytest.mark.parametrize(
    ("model", "said", "error", "message"),
    [
        (3, {}, UsageError, "builtins.int is no model"),
        (None, {}, UsageError, "is no model"),
        (Constant, {}, UsageError, r"Constant is a class: give an object of it, such as Constant\(\)"),
        (_Broken(), {}, EmbedderError, "its info raised RuntimeError: no info"),
        (_Strange(), {}, EmbedderError, "not an EmbedderInfo"),
        (lengths, {"fingerprint": ""}, UsageError, "fingerprint '' is no text"),
        (lengths, {"fingerprint": 3}, UsageError, "fingerprint 3 is no text"),
        (lengths, {"name": 3}, UsageError, "name 3 is no text"),
        (lengths, {"name": "a|b"}, EmbedderError, "is no name"),
        ("no-such-model", {}, UsageError, "no model is called 'no-such-model'"),
    ],
)
def test_what_is_no_model_is_named(model: object, said: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        held(model, **said)


# --- sentence-transformers --------------------------------------------------------------------------------------


@pytest.mark.optional
def test_a_model_of_sentence_transformers() -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(tiny.home() / "clip-tiny"), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
    )
    found = held(model).loaded
    assert found.info == EmbedderInfo(
        "clip-tiny", 128, modalities=frozenset({"text", "image"}), options={"instruction": "none"}
    )
    assert found.family == "sentence-transformers"
    texts = [Item("Find: a red circle", text="a red circle", instruction="Find:"), Item(text="a blue square")]
    wanted = model.encode(["a red circle", "a blue square"], normalize_embeddings=True)
    np.testing.assert_allclose(found.embedder.encode(texts, "query"), wanted, atol=1e-6)
    seen = found.embedder.encode([Item(image=RED)], "candidate")
    np.testing.assert_allclose(seen, model.encode([RED], normalize_embeddings=True), atol=1e-6)


@pytest.mark.optional
def test_a_model_with_prompts_gets_the_tasks_instruction_in_their_place() -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(tiny.home() / "clip-tiny"),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
        prompts={"query": "q ", "document": "d "},
    )
    found = held(model, name="prompted").loaded
    assert found.info.options == {"instruction": "prompt"}
    items = [
        Item("x", text="a dog", instruction="Find"),
        Item("x", text="a cat"),
        Item("x", text="a cow", instruction="Find"),
    ]
    for side, own in (("query", "q "), ("candidate", "d ")):
        wanted = model.encode(["Find a dog", f"{own}a cat", "Find a cow"], normalize_embeddings=True)
        np.testing.assert_allclose(found.embedder.encode(items, side), wanted, atol=1e-6)  # type: ignore[arg-type]

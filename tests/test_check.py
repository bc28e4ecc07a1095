"""Each way to break the contract is found, by one line that names it; embedders that keep it pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import (
    Change,
    Honest,
    Planted,
    after_images,
    backwards,
    beyond,
    buffer,
    by_length,
    cached,
    cached_whole,
    call_before,
    chunks,
    drawn,
    draws_on_images,
    drift,
    dropout,
    empties_its_argument,
    first_instruction,
    first_region,
    first_text_of_an_image,
    images_alone_kept_by_image,
    instructed_backwards,
    instruction_for_text,
    large_buffer,
    last_two,
    later,
    mean,
    noisy,
    normalised,
    of_items,
    on,
    padding,
    place,
    prompts_kept_by_text,
    raises_if,
    reads_the_file,
    right,
    scaled_where,
    sorts_its_argument,
    unit,
    without_image,
    without_instruction,
    without_region,
    without_region_beside_an_instruction,
    without_text,
    without_text_beside_an_instruction,
)

from evalkit.check import Finding, check
from evalkit.cli import main
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant, Random
from evalkit.embedders.clip import Clip
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.items import Box, Item, Side
from evalkit.items.images import ImageFacts
from evalkit.items.keys import content_digest

TEXTS = frozenset({"text"})
IMAGES = frozenset({"image"})
KINDS = ("box", "point", "points", "mask")
FEW = 300
"""Budget of a batch where the largest one is not what is looked at."""


def failed(findings: Sequence[Finding]) -> list[str]:
    """Names of the failed findings."""
    return [finding.name for finding in findings if finding.passed is False]


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    """Findings by name; names are unique."""
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


# --- what keeps the contract ---------------------------------------------------------------------------


@pytest.mark.slow(0.6)
def test_random_passes() -> None:
    found = by_name(check(Random()))
    assert failed(list(found.values())) == []
    assert found["text: same call twice"].detail == "equal bit for bit"
    assert found["self-retrieval"].detail.startswith("P@1 1.000 of 20 items")
    assert found["text: largest batch"].detail.startswith("512 items at once")
    for kind in KINDS:
        assert found[f"region: {kind}"].passed is None
        assert found[f"region: {kind}"].detail == f"not applicable: the embedder does not take a {kind} as input"


def prompt_reader(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """The prompt alone, whatever text and instruction are; the sides apart by a little."""
    rows = [drawn("prompt", *item.prompt.split()) + self.shown(item) for item in items]
    return unit(np.stack(rows) + (0.01 if side == "query" else 0))


def text_reader(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Without the instruction, as the published CLIP rows."""
    return right(self, [dataclasses.replace(item, instruction="") for item in items], side)


def texts_kept_by_prompt(self: Honest, items: Sequence[Item], side: Side) -> Any:
    """Reads the text alone, and keeps what it made of it under the prompt: of one prompt there is one text."""
    return unit(
        np.stack([self.kept.setdefault(item.prompt, drawn("text", item.text)) + self.shown(item) for item in items])
    )


GOOD: dict[str, tuple[Change, dict[str, Any]]] = {
    "honest": (right, {}),
    "reads prompts": (prompt_reader, {}),
    "reads texts": (text_reader, {}),
    "as noisy as bfloat16": (noisy(0.004), {}),
    "texts alone": (right, {"modalities": TEXTS, "regions": frozenset()}),
    "images alone": (right, {"modalities": IMAGES}),
    "both alone": (right, {"modalities": frozenset({"image+text"})}),
    "keeps by identity": (
        cached(lambda item: (item.image and item.image.identity(), item.region)),
        {},
    ),
    "texts kept by their prompts": (texts_kept_by_prompt, {}),
    "float16": (lambda self, items, side: right(self, items, side).astype(np.float16), {}),
    "float64": (lambda self, items, side: right(self, items, side).astype(np.float64), {}),
    "a view": (lambda self, items, side: np.repeat(right(self, items, side), 2, axis=0)[::2], {}),
    "repeats": (lambda self, items, side: np.ascontiguousarray(right(self, items, side)), {}),
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_passes(name: str) -> None:
    change, said = GOOD[name]
    found = by_name(check(Planted(change, **said)))
    assert failed(list(found.values())) == []
    assert all(finding.detail for finding in found.values())
    assert not [finding for finding in found.values() if finding.detail.startswith("skipped")]
    if name in ("float16", "float64"):
        shape = next(found[f"{modality}: shape"] for modality in ("text", "image"))
        assert shape.detail.endswith(f"{name}, which a run takes and makes float32")


def test_constant_fails_with_its_expected_ties() -> None:
    findings = check(Constant())
    assert failed(findings) == ["self-retrieval"]
    assert by_name(findings)["self-retrieval"].detail.startswith(
        "P@1 0.050 of 20 items as their own queries; chance is 0.050"
    )


@pytest.mark.slow(1)
def test_colours_find_too_little_and_nothing_else_is_wrong() -> None:
    findings = check(load_embedder(parse_model("example-colours")).embedder)
    assert failed(findings) == ["self-retrieval"]
    turned = by_name(findings)["image: two orientations of one file"]
    # Counting colours cannot tell which way up an image is: no fault, and not checked.
    assert (turned.passed, turned.detail[:14]) == (None, "not applicable")


@pytest.mark.slow(2)
@pytest.mark.parametrize("family", ["clip_folder", "siglip_folder"])
def test_clip_passes(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(family)
    findings = check(Clip(str(folder), device="cpu"), 2048)
    assert failed(findings) == []
    assert by_name(findings)["cost"].passed is True


# --- what breaks it: a fault, the one line that has to fail, and words in it --------------------------------

SMALL, LARGE, TWICE = "text: alone and in batches", "text: largest batch", "text: same call twice"
MIXED = "image+text: alone and in batches"
PAIR_IMAGE, PAIR_TEXT = "image+text: image moves the vector", "image+text: text moves the vector"
CROPS, TURNED, NAMES, DRAWINGS = (
    f"image: two {what}"
    for what in ("crops of one file", "orientations of one file", "files of one name", "drawings on one file")
)


def path_of(item: Item) -> Any:
    return item.image and (
        str(item.image.location()),
        item.image.crop,
        item.image.upright,
        item.image.drawing,
        item.region,
    )


FAULTS: dict[str, tuple[Change, str, str]] = {
    # Batches.
    "backwards": (backwards, SMALL, "the order is lost"),
    "sorted by length": (by_length, SMALL, "the order is lost"),
    "backwards beyond 8": (beyond(8, backwards), MIXED, "the order is lost"),
    "backwards beyond 32": (beyond(32, backwards), LARGE, "the order is lost"),
    "backwards beyond 100": (beyond(100, backwards), LARGE, "the order is lost"),
    "backwards beyond 500": (beyond(500, backwards), LARGE, "the order is lost"),
    "last two exchanged beyond 200": (beyond(200, last_two), LARGE, "2 of 512 vectors"),
    "candidates backwards beyond 100": (on("candidate", beyond(100, backwards)), LARGE, "candidates: 512 items"),
    "mean": (mean(0.2), SMALL, "1 - cosine"),
    "mean beyond 8": (beyond(8, mean(0.2)), MIXED, "1 - cosine"),
    "mean beyond 100": (beyond(100, mean(0.2)), LARGE, "512 items at once"),
    "less mean beyond 300": (beyond(300, mean(-0.15)), LARGE, "512 items at once"),
    "batch norm of candidates": (on("candidate", normalised), SMALL, "candidates: "),
    "the last chunk": (chunks(32), LARGE, "others"),
    "padding": (padding, SMALL, "1 - cosine"),
    "place": (place, SMALL, "1 - cosine"),
    "too noisy": (noisy(0.1), SMALL, "1 - cosine"),
    "images beyond 20 backwards": (
        beyond(20, lambda self, items, side: (right if items[0].image is None else backwards)(self, items, side)),
        "image: largest batch",
        "the order is lost",
    ),
    "images with text beyond 100": (
        beyond(
            100,
            lambda self, items, side: (backwards if items[0].modality == "image+text" else right)(self, items, side),
        ),
        "image+text: largest batch",
        "the order is lost",
    ),
    "images with and without text": (
        lambda self, items, side: (backwards if len({item.modality for item in items}) > 1 else right)(
            self, items, side
        ),
        MIXED,
        "in one batch with items without text",
    ),
    # Batches of more than a handful, with instructions or regions.
    "instructed backwards beyond 8": (beyond(8, instructed_backwards), LARGE, "the order is lost"),
    "instruction lost beyond 16": (beyond(16, of_items(without_instruction)), LARGE, "512 items at once"),
    "text lost beside an instruction beyond 16": (
        beyond(16, of_items(without_text_beside_an_instruction)),
        LARGE,
        "512 items at once",
    ),
    "the first instruction beyond 8": (beyond(8, first_instruction), LARGE, "512 items at once"),
    "the first text of an image beyond 32": (
        beyond(32, first_text_of_an_image),
        "image+text: largest batch",
        "512 items at once",
    ),
    "image lost beyond 20": (
        beyond(20, of_items(lambda item: dataclasses.replace(item, image=None))),
        "image: largest batch",
        "512 items at once",
    ),
    # What is forgotten.
    "image beside a text": (of_items(without_image), PAIR_IMAGE, "image is not seen"),
    "text beside an image": (of_items(without_text), PAIR_TEXT, "text is not seen"),
    "image of candidates": (on("candidate", of_items(without_image)), PAIR_IMAGE, "candidates: "),
    "text of candidates": (on("candidate", of_items(without_text)), PAIR_TEXT, "candidates: "),
    "image of queries": (on("query", of_items(without_image)), PAIR_IMAGE, "queries: "),
    "image beside an instruction": (
        of_items(lambda item: dataclasses.replace(item, image=None) if item.instruction else item),
        "image: with an instruction",
        "image is not seen",
    ),
    "image beside text and instruction": (
        of_items(lambda item: without_image(item) if item.instruction else item),
        "image+text: with an instruction",
        "image is not seen",
    ),
    "instruction for text": (of_items(instruction_for_text), "text: with an instruction", "text is not seen"),
    "instruction for text of candidates": (
        on("candidate", of_items(instruction_for_text)),
        "text: with an instruction",
        "candidates: ",
    ),
    "text, where there is a region": (
        of_items(lambda item: dataclasses.replace(item, text="") if item.region else item),
        "region: box",
        "beside a region",
    ),
    "sizes of images alone": (
        lambda self, items, side: unit(
            np.stack([drawn(i.text, i.instruction, i.image and i.image.rgb().size) for i in items])
        ),
        "image: image moves the vector",
        "image is not seen",
    ),
    "sides of no common space": (
        on("query", lambda self, items, side: np.roll(right(self, items, side), 5, axis=1)),
        "self-retrieval",
        "P@1",
    ),
    # What is kept under too little.
    "kept by the file": (cached(lambda item: item.image.sha256()), CROPS, "one vector alone"),  # type: ignore[union-attr]
    "kept by the file within a batch": (
        cached(lambda item: item.image.sha256(), within=True),  # type: ignore[union-attr]
        CROPS,
        "one vector in one batch",
    ),
    "kept by file and crop": (
        cached(lambda item: (item.image.sha256(), item.image.crop)),  # type: ignore[union-attr]
        TURNED,
        "one vector alone",
    ),
    "kept by file and orientation": (
        cached(lambda item: (item.image.sha256(), item.image.upright)),  # type: ignore[union-attr]
        CROPS,
        "one vector alone",
    ),
    "kept by path, crop and orientation": (
        cached(lambda item: (item.image.path, item.image.crop, item.image.upright)),  # type: ignore[union-attr]
        NAMES,
        "one vector alone",
    ),
    "kept by file, crop and orientation": (
        cached(lambda item: (item.image.sha256(), item.image.crop, item.image.upright)),  # type: ignore[union-attr]
        DRAWINGS,
        "one vector alone",
    ),
    "path for pixels": (
        lambda self, items, side: unit(np.stack([self.said(item) + drawn(path_of(item)) for item in items])),
        "image: a copy of the file",
        "the path is in the vector",
    ),
    "kept by its place on disk": (cached(lambda item: item.image.location()), CROPS, "one vector alone"),  # type: ignore[union-attr]
    "reads the file itself": (reads_the_file, CROPS, "past image.rgb()"),
    "kept by identity without region": (
        cached(lambda item: item.image.identity()),  # type: ignore[union-attr]
        "region: box",
        "move by 0.0e+00 with a region",
    ),
    "kept by text": (cached_whole(lambda item: item.text), "image: image moves the vector", "image is not seen"),
    "kept by prompt": (cached_whole(lambda item: item.prompt), "image: image moves the vector", "image is not seen"),
    "kept by image": (
        cached_whole(lambda item: item.image.identity() if item.image else item.prompt),
        PAIR_TEXT,
        "text is not seen",
    ),
    "images alone kept by image": (
        images_alone_kept_by_image,
        "image: with an instruction",
        "kept by the image alone",
    ),
    "prompts kept by text": (prompts_kept_by_text, "text: with an instruction", "kept by the text alone"),
    # What is returned, by candidates alone.
    "length": (
        on("candidate", lambda self, items, side: 2 * right(self, items, side)),
        "text: unit length",
        "candidate item",
    ),
    "not finite": (
        on("candidate", lambda self, items, side: right(self, items, side) * np.float32("nan")),
        "text: finite",
        "candidate item",
    ),
    "integers": (
        on("candidate", lambda self, items, side: np.sign(right(self, items, side)).astype(np.int64)),
        "text: shape",
        "an array of int64",
    ),
    "a list": (on("candidate", lambda self, items, side: right(self, items, side).tolist()), "text: shape", "a list"),
    "squeezed": (
        on("candidate", lambda self, items, side: right(self, items, side).squeeze()),
        "text: shape",
        "returned shape (32,) for 1 candidate items",
    ),
    "a matrix": (
        on("candidate", lambda self, items, side: right(self, items, side).view(np.matrix)),
        "text: shape",
        "returned a matrix",
    ),
    "length of some": (
        scaled_where(lambda item: bool(item.instruction), 1.01),
        "text: with an instruction",
        "divide by its length",
    ),
    "some not finite": (
        scaled_where(lambda item: item.prompt.split()[-1:] == ["lamp"], float("nan")),
        "text: with an instruction",
        "not finite",
    ),
    "zeros of some": (
        scaled_where(lambda item: item.text.startswith("17 "), 0.0),
        LARGE,
        "a zero vector",
    ),
    "zeros for nothing": (
        lambda self, items, side: right(self, items, side) * [[bool(item.text or item.image)] for item in items],
        "text: unit length",
        "a zero vector",
    ),
    # Calls.
    "drop-out": (dropout, TWICE, "1 - cosine"),
    "drop-out of candidates": (on("candidate", dropout), TWICE, "candidates: "),
    "the call before": (call_before, TWICE, "1 - cosine"),
    "other vectors later": (drift, MIXED, "1 - cosine"),
    "another space after 20 calls": (later(20), SMALL, "again: 8 of 8"),
    "another space after 50 calls": (later(50), "image: alone and in batches", "again: 8 of 8"),
    "another space after 150 calls": (later(150), LARGE, "again: 8 of 8"),
    "other texts after images": (after_images, "text: same call at the end", "1 - cosine"),
    "its buffer again": (buffer, "results left alone", "return a new one"),
    "its buffer again for a hundred items": (large_buffer, "results left alone", "seen in text: largest batch"),
    "sorts its argument": (sorts_its_argument, "items left alone", "changed the list"),
    "empties its argument": (empties_its_argument, "items left alone", "changed the list"),
    "draws on images": (draws_on_images, "items left alone", "changed the pixels"),
    # What is raised.
    "always": (raises_if(lambda items: True, RuntimeError("no weights")), "text: shape", "RuntimeError: no weights"),
    "ends itself": (raises_if(lambda items: True, SystemExit(3)), "text: shape", "SystemExit: 3"),
    "blank text": (
        raises_if(lambda items: any(not item.text and not item.image for item in items), KeyError("nothing")),
        "text: shape",
        "KeyError: 'nothing' (query, text '')",
    ),
    "any instruction": (
        raises_if(lambda items: any(item.instruction for item in items), ValueError("what is that?")),
        "text: with an instruction",
        "ValueError: what is that? (query, text 'a red cat",
    ),
    "a mark without an image": (
        raises_if(lambda items: any("<image>" in i.prompt and not i.image for i in items), ValueError("no image")),
        "text: with an instruction",
        "no image",
    ),
    "an instruction beside a region": (
        raises_if(lambda items: any(item.instruction and item.region for item in items), ValueError("both")),
        "region: box",
        "ValueError: both",
    ),
    "large batches": (
        raises_if(lambda items: len(items) > 256, IndexError("position 256")),
        LARGE,
        "IndexError: position 256",
    ),
}


@pytest.mark.slow(0.4)
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_found_and_named_once(name: str) -> None:
    change, line, words = FAULTS[name]
    found = by_name(check(Planted(change), None if "largest batch" in f"{line} {words}" else FEW))
    assert failed(list(found.values())) == [line]
    assert words in found[line].detail


def test_what_is_kept_by_the_identity_of_an_object_is_found() -> None:
    # Objects go with their call, and later ones may get their place.
    def change(self: Honest, items: Sequence[Item], side: Side) -> Any:
        return unit(np.stack([self.kept.setdefault(id(item), self.one(item)) for item in items]))

    assert failed(check(Planted(change)))


@pytest.mark.slow(2)
@pytest.mark.parametrize("kind", KINDS)
def test_regions_must_move_the_vector(kind: str) -> None:
    def sees_presence(self: Honest, items: Sequence[Item], side: Side) -> Any:
        return right(self, [item if item.region is None else placed(item) for item in items], side)

    def placed(item: Item) -> Item:
        return dataclasses.replace(item, region=Box(0, 0, 1, 1))

    def blind(item: Item) -> Item:
        return dataclasses.replace(item, region=None)

    name, regions, both = f"region: {kind}", frozenset({kind}), frozenset({"image+text"})
    assert by_name(check(Planted(right, regions=regions, modalities=both), FEW))[name].passed is True
    ignored = check(Planted(on("candidate", of_items(blind)), regions=regions), FEW)
    assert failed(ignored) == [name]
    assert "candidates: components move by 0.0e+00 with a region" in by_name(ignored)[name].detail
    # That there is a region is not enough: which one it is must count.
    assert failed(check(Planted(sees_presence, regions=regions, modalities=both), FEW)) == [name]
    others = frozenset(KINDS) - regions
    assert by_name(check(Planted(right, regions=others, modalities=both), FEW))[name].passed is None
    images_only = Planted(right, regions=regions, modalities=IMAGES)
    assert by_name(check(images_only, FEW))[name].passed is True


@pytest.mark.slow(0.8)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (beyond(5, of_items(without_region)), "40 items at once"),
        (beyond(5, first_region), "40 items at once"),
        (
            beyond(
                4, lambda self, items, side: (backwards if all(i.region for i in items) else right)(self, items, side)
            ),
            "the order is lost",
        ),
        (of_items(without_region_beside_an_instruction), "beside an instruction"),
    ],
    ids=["lost", "first", "order", "instruction"],
)
def test_regions_count_in_large_batches_and_beside_an_instruction(kind: str, change: Change, words: str) -> None:
    embedder = Planted(change, modalities=frozenset({"image+text"}), regions=frozenset({kind}))
    found = by_name(check(embedder))
    assert failed(list(found.values())) == [f"region: {kind}"]
    assert words in found[f"region: {kind}"].detail


@pytest.mark.slow(0.6)
def test_an_image_that_is_forgotten_is_no_order() -> None:
    forgets = beyond(20, of_items(lambda item: dataclasses.replace(item, image=None)))
    assert "order" not in by_name(check(Planted(forgets)))["image: largest batch"].detail


def test_faults_of_several_causes_are_as_many_lines() -> None:
    def both(self: Honest, items: Sequence[Item], side: Side) -> Any:
        return beyond(64, backwards)(self, [without_text(item) for item in items], side)

    assert failed(check(Planted(both))) == [LARGE, PAIR_TEXT]


# --- what it says of itself --------------------------------------------------------------------------------


def test_only_declared_modalities_are_tried() -> None:
    found = by_name(check(Planted(right, modalities=TEXTS, regions=frozenset())))
    tried = {name for name, finding in found.items() if finding.passed}
    assert {name.partition(": ")[0] for name in tried} == {
        *("info", "text", "self-retrieval", "items left alone", "results left alone")
    }
    assert found["image: shape"].detail == "not applicable: the embedder does not take image"


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"dimension": 0}, "dimension is 0"),
        ({"name": ""}, "it has no name"),
        ({"modalities": frozenset()}, "it declares no modality"),
        ({"modalities": frozenset({"video", "text"})}, "'video' is no modality or region"),
        ({"modalities": TEXTS, "regions": frozenset({"box"})}, "regions but takes no images"),
        ({"modalities": ["text"]}, "info.modalities is ['text'], not a frozenset of text"),
        ({"modalities": "text"}, "info.modalities is 'text', not a frozenset of text"),
        ({"regions": None}, "info.regions is None, not a frozenset of text"),
        ({"options": {"a": 1}}, "info.options has 'a': 1, not text by name"),
        ({"options": None}, "info.options is None, not a dict"),
        ({"revision": 3}, "info.revision is 3, not text"),
    ],
)
def test_info_must_make_sense(said: dict[str, Any], detail: str) -> None:
    embedder = Planted(right, **said)
    [finding] = check(embedder)
    assert (finding.name, finding.passed) == ("info", False)
    assert detail in finding.detail
    assert embedder.calls == 0


def test_info_that_raises() -> None:
    class Silent:
        @property
        def info(self) -> EmbedderInfo:
            raise FileNotFoundError("weights")

        def encode(self, items: Sequence[Item], side: Side) -> np.ndarray:
            return np.zeros((len(items), 4), dtype=np.float32)

    assert check(Silent()) == [Finding("info", False, "FileNotFoundError: weights")]


@pytest.mark.parametrize(
    ("name", "said", "detail"),
    [
        ("computing", None, "computing is None, not a mapping"),
        ("computing", {1: "x"}, "not a mapping of text by name"),
        ("images_encoded", None, "images_encoded is None, not a whole number"),
        ("images_encoded", RuntimeError("boom"), "images_encoded raises RuntimeError: boom"),
        ("computing", RuntimeError("boom"), "computing raises RuntimeError: boom"),
    ],
)
@pytest.mark.slow(0.4)
def test_what_it_says_of_its_work_must_make_sense(name: str, said: Any, detail: str) -> None:
    def get(self: Honest) -> Any:
        assert self.calls, "asked before anything was embedded"
        if isinstance(said, Exception):
            raise said
        return said

    embedder = type("Telling", (Planted,), {name: property(get)})(right)
    findings = check(embedder, FEW)
    assert failed(findings) == ["info"]
    assert detail in by_name(findings)["info"].detail


class Costing(Random):
    """Random vectors at a price."""

    def __init__(self, price: Any) -> None:
        super().__init__()
        self.price = price
        self.largest = 0

    def cost(self, item: Item, image: ImageFacts | None) -> Any:
        """The price."""
        assert (item.image is None) == (image is None)
        return self.price(item) if callable(self.price) else self.price

    def encode(self, items: Sequence[Item], side: Side) -> Any:
        """Random's own vectors."""
        self.largest = max(self.largest, len(items))
        return super().encode(items, side)


def per_character(item: Item) -> int:
    return len(item.text)  # 0 for an image alone


@pytest.mark.parametrize(
    ("price", "passed"),
    [(1, True), (np.int64(3), True), (0, False), (1.5, False), ("7", False), (per_character, False)],
)
@pytest.mark.slow(0.3)
def test_costs(price: Any, passed: bool) -> None:
    findings = check(Costing(price), FEW)
    assert by_name(findings)["cost"].passed is passed
    assert failed(findings) == ([] if passed else ["cost"])


@pytest.mark.parametrize(("price", "budget", "largest"), [(1, 16_384, 512), (100, 16_384, 163), (1, 40, 40)])
@pytest.mark.slow(0.4)
def test_the_largest_batch_is_that_of_a_run(price: int, budget: int, largest: int) -> None:
    embedder = Costing(price)
    found = by_name(check(embedder, budget))
    assert found["image: largest batch"].detail.startswith(f"{largest} items at once")
    assert embedder.largest == largest


@pytest.mark.slow(5)
def test_a_batch_that_memory_does_not_hold_is_halved_as_in_a_run() -> None:
    short = raises_if(lambda items: len(items) > 200, RuntimeError("CUDA out of memory. Tried to allocate"))
    found = by_name(check(Planted(short)))
    assert failed(list(found.values())) == []
    assert found["text: largest batch"].detail.startswith("128 items at once")
    assert found["text: largest batch"].detail.endswith("memory did not hold 512")


@pytest.mark.slow(1)
def test_items_cover_what_data_holds() -> None:
    seen: dict[str, Item] = {}
    sides: dict[str, set[Side]] = {}

    def keep(self: Honest, items: Sequence[Item], side: Side) -> Any:
        for item in items:
            digest = content_digest(item)
            seen[digest] = item
            sides.setdefault(digest, set()).add(side)
            if item.image is not None:
                assert item.image.pixels is not None
                assert item.image.digest is not None
                shapes.add(item.image.rgb().size)
        return right(self, items, side)

    shapes: set[tuple[int, int]] = set()
    check(Planted(keep))
    items = list(seen.values())
    assert {item.modality for item in items} == {"text", "image", "image+text"}
    texts = [item.text for item in items]
    assert "" in texts
    assert max(len(text.split()) for text in texts) > 77
    assert max(width / height for width, height in shapes) > 8
    assert max(height / width for width, height in shapes) > 8
    assert len(shapes) >= 5
    # All of it is tried on both sides.
    assert set(map(frozenset, sides.values())) == {frozenset({"query", "candidate"})}
    # The prompt is what base.Item promises: an image mark where there is an image; WebQA has one without.
    assert all("<image>" in item.prompt for item in items if item.image is not None)
    assert {item.instruction != "" for item in items if "<image>" in item.prompt and item.image is None} == {True}
    # With and without an instruction, of each modality; and the prompt holds both.
    assert {(item.modality, bool(item.instruction)) for item in items} == {
        (modality, instruction) for modality in ("text", "image", "image+text") for instruction in (True, False)
    }
    assert all(item.instruction in item.prompt and item.text in item.prompt for item in items)


# --- from the command line ---------------------------------------------------------------------------------

SOURCE = """
import hashlib
import numpy as np
from evalkit.embedders.base import EmbedderInfo

class Embedder:
    def __init__(self):
        self.info = EmbedderInfo(name="own", dimension=16)
    def encode(self, items, side):
        seeds = [int(hashlib.sha256((i.text + (i.image.rgb().tobytes().hex() if i.image else "")).encode())
                     .hexdigest()[:8], 16) for i in items]
        v = np.stack([np.random.default_rng(seed).normal(size=16) for seed in seeds])
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        {fault}
        return v.astype(np.float32)
"""


def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, *options: str) -> tuple[int, str]:
    """Exit code and what is printed for a class in a file."""
    file = tmp_path / "own.py"
    file.write_text(SOURCE.replace("{fault}", fault))
    with pytest.raises(SystemExit) as ended:
        main(["check", f"{file}:Embedder", *options])
    return int(ended.value.code or 0), capsys.readouterr().out


@pytest.mark.slow(0.8)
def test_the_command_names_the_fault_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = command(tmp_path, capsys, "v = v[::-1] if len(v) > 64 and side == 'candidate' else v")
    assert code == 1
    [line] = [line for line in said.splitlines() if "FAILED" in line]
    assert line.startswith("text: largest batch")
    assert "candidates: 512 items at once" in line
    assert "the order is lost" in line
    assert "skipped: fails as text: largest batch does" in said
    assert said.splitlines()[-1] == "own: 1 of 47 checks failed"


@pytest.mark.slow(1)
def test_the_command_checks_the_batches_that_a_run_is_told_to_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = "v = v[::-1] if len(v) > 64 else v"
    assert command(tmp_path, capsys, fault)[0] == 1
    code, said = command(tmp_path, capsys, fault, "--batch-tokens", "60")
    assert (code, "FAILED" in said) == (0, False)


@pytest.mark.slow(1)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_run_and_check_agree_about_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str) -> None:
    code, said = command(tmp_path, capsys, f"return v.astype(np.{dtype})", "--json")
    findings = json.loads(said)
    assert code == 0
    assert {frozenset(finding) for finding in findings} == {frozenset({"name", "passed", "detail"})}
    assert not [finding for finding in findings if finding["passed"] is False]
    assert f"{dtype}, which a run takes" in said
    from evalkit.example import DATA

    with pytest.raises(SystemExit) as ended:
        main(
            [
                *("run", "--model", f"{tmp_path / 'own.py'}:Embedder", "--tasks", "example/Shapes", "--quiet"),
                *("--data", str(DATA), "--out", str(tmp_path / "runs")),
            ]
        )
    assert not ended.value.code

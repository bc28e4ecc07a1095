"""Each way to break the contract is found; embedders that keep it pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.check import Finding, check
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant, Random
from evalkit.embedders.clip import Clip
from evalkit.images import ImageFacts
from evalkit.items import Item, Side
from evalkit.keys import content_digest

Encode = Callable[[Random, Sequence[Item], Side], Any]


class Broken(Random):
    """Random vectors by content, with one thing changed."""

    def __init__(self, change: Encode, **said: Any) -> None:
        super().__init__(dimension=16)
        self.info = dataclasses.replace(self.info, **said)
        self.change = change
        self.calls = 0

    def encode(self, items: Sequence[Item], side: Side) -> Any:
        """What the change makes of the right vectors."""
        self.calls += 1
        assert len({item.image is None for item in items}) == 1, "a batch mixes items with and without image"
        return self.change(self, items, side)


def right(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
    """Random's own vectors."""
    return Random.encode(self, items, side)


def failed(findings: Sequence[Finding]) -> set[str]:
    """Names of the failed findings, without their modality."""
    return {finding.name.rpartition(": ")[2] for finding in findings if finding.passed is False}


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    """Findings by name; names are unique."""
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def test_random_passes() -> None:
    found = by_name(check(Random()))
    assert failed(list(found.values())) == set()
    assert found["text: same call twice"].detail == "equal bit for bit"
    assert found["self-retrieval"].detail.startswith("P@1 1.000 of 20 items")
    for kind in ("box", "point", "points", "mask"):
        assert found[f"region: {kind}"].passed is None
        assert found[f"region: {kind}"].detail == f"not applicable: the embedder does not take a {kind} as input"


def test_constant_fails_with_its_expected_ties() -> None:
    findings = check(Constant())
    assert failed(findings) == {"self-retrieval"}
    assert by_name(findings)["self-retrieval"].detail.startswith(
        "P@1 0.050 of 20 items as their own queries; chance is 0.050"
    )


@pytest.mark.parametrize("family", ["clip_folder", "siglip_folder"])
def test_clip_passes(family: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(family)
    findings = check(Clip(str(folder), device="cpu"))
    assert failed(findings) == set()
    assert by_name(findings)["cost"].passed is True


def batch_mean(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
    vectors = right(self, items, side)
    vectors = vectors + 0.2 * vectors.mean(axis=0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def padding(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
    """A vector that depends on the longest text of its batch."""
    vectors = right(self, items, side)
    vectors[:, 0] += max(len(item.text) for item in items) / 2000
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def noise(self: Any, items: Sequence[Item], side: Side) -> np.ndarray:
    vectors = right(self, items, side) + 0.01 * np.random.default_rng(self.calls).normal(size=(len(items), 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def apart(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
    """The two sides share no space."""
    vectors = right(self, items, side)
    return np.roll(vectors, 5, axis=1) if side == "query" else vectors


def one_bad(value: float) -> Encode:
    def change(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
        vectors = right(self, items, side)
        vectors[[not item.text for item in items]] = value
        return vectors

    return change


def breaks(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
    if any(not item.text and item.image is None for item in items):
        raise RuntimeError("cannot embed nothing")
    return right(self, items, side)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (right, set()),
        (batch_mean, {"alone and in batches"}),
        (padding, {"alone and in batches"}),
        (lambda self, items, side: right(self, items, side)[::-1], {"alone and in batches"}),
        (noise, {"same call twice", "alone and in batches"}),
        (apart, {"self-retrieval"}),
        (lambda self, items, side: 2 * right(self, items, side), {"unit length"}),
        (one_bad(0.0), {"unit length", "alone and in batches"}),
        (one_bad(np.nan), {"finite", "unit length", "same call twice", "alone and in batches"}),
    ],
)
def test_what_is_wrong_is_found(change: Encode, names: set[str]) -> None:
    findings = check(Broken(change))
    assert failed(findings) == names
    assert all(finding.detail for finding in findings)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (
            lambda self, items, side: right(self, items, side).astype(np.float64),
            "ndarray of float64, not a numpy array",
        ),
        (lambda self, items, side: right(self, items, side).tolist(), "returned a list, not a numpy array"),
        (lambda self, items, side: right(self, items, side)[:, :8], r"shape (8, 8) for 8 items of dimension 16"),
        (lambda self, items, side: right(self, items, side)[0], r"shape (16,) for 8 items"),
        (breaks, "RuntimeError: cannot embed nothing"),
    ],
)
def test_what_is_raised_or_misshapen_becomes_a_finding(change: Encode, detail: str) -> None:
    found = by_name(check(Broken(change)))
    assert found["text: shape"].passed is False
    assert detail in found["text: shape"].detail
    assert found["text: alone and in batches"].passed is False
    assert found["self-retrieval"].passed is False


def test_only_declared_modalities_are_tried() -> None:
    embedder = Broken(right, modalities=frozenset({"text"}))
    found = by_name(check(embedder))
    assert {name for name, finding in found.items() if finding.passed} == {
        "info",
        *(f"text: {name}" for name in ("shape", "finite", "unit length", "same call twice", "alone and in batches")),
        "self-retrieval",
    }
    assert found["image: shape"].detail == "not applicable: the embedder does not take image"


@pytest.mark.parametrize("kind", ["box", "point", "points", "mask"])
def test_regions_must_move_the_vector(kind: str) -> None:
    def ignores(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
        return right(self, [dataclasses.replace(item, region=None) for item in items], side)

    def sees_presence(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
        vectors = ignores(self, items, side)
        rows = [item.region is not None for item in items]
        vectors[rows] = np.roll(vectors[rows], 1, axis=1)
        return vectors

    name = f"region: {kind}"
    regions = frozenset({kind})
    assert by_name(check(Broken(right, regions=regions)))[name].passed is True
    ignored = by_name(check(Broken(ignores, regions=regions)))[name]
    assert ignored.passed is False
    assert "move by 0.0e+00 with a region" in ignored.detail
    # That there is a region is not enough: which one it is must count.
    assert by_name(check(Broken(sees_presence, regions=regions)))[name].passed is False
    others = frozenset({"box", "point", "points", "mask"}) - regions
    assert by_name(check(Broken(right, regions=others)))[name].passed is None
    images_only = Broken(right, regions=regions, modalities=frozenset({"image"}))
    assert by_name(check(images_only))[name].passed is True


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"dimension": 0}, "dimension is 0"),
        ({"name": ""}, "it has no name"),
        ({"modalities": frozenset()}, "it declares no modality"),
        ({"modalities": frozenset({"video", "text"})}, "'video' is no modality or region"),
        ({"modalities": frozenset({"text"}), "regions": frozenset({"box"})}, "regions but takes no images"),
    ],
)
def test_info_must_make_sense(said: dict[str, Any], detail: str) -> None:
    embedder = Broken(right, **said)
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


@pytest.mark.parametrize(("cost", "passed"), [(1, True), (0, False), (1.5, False)])
def test_costs(cost: Any, passed: bool) -> None:
    class Costing(Random):
        def cost(self, item: Item, image: ImageFacts | None) -> Any:
            assert (item.image is None) == (image is None)
            return cost

    assert by_name(check(Costing()))["cost"].passed is passed


def test_items_cover_what_data_holds() -> None:
    seen: dict[str, Item] = {}

    def keep(self: Random, items: Sequence[Item], side: Side) -> np.ndarray:
        for item in items:
            seen[content_digest(item)] = item
            if item.image is not None:
                shapes.add(item.image.rgb().size)
        return right(self, items, side)

    shapes: set[tuple[int, int]] = set()
    check(Broken(keep))
    items = list(seen.values())
    assert {item.modality for item in items} == {"text", "image", "image+text"}
    texts = [item.text for item in items]
    assert "" in texts
    assert max(len(text.split()) for text in texts) > 77
    assert max(width / height for width, height in shapes) > 8
    assert max(height / width for width, height in shapes) > 8
    assert len(shapes) >= 5
    # The prompt is what base.Item promises: an image mark where there is an image, and only there.
    assert all(("<image>" in item.prompt) == (item.image is not None) for item in items)

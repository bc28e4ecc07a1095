"""Vectors found again by what an item holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.precomputed import Precomputed
from evalkit.errors import EmbedderError, ImageError, UsageError
from evalkit.items import Box, Item, Mask, Point, Side
from evalkit.items.drawing import Marks
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import item_json

DIMENSION = 6


def unit(count: int, seed: int = 0) -> np.ndarray:
    """Random vectors of length 1."""
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def write_pair(folder: Path, name: str, rows: list[dict[str, Any]], vectors: Any, ids: Any = None) -> None:
    """Write NAME.jsonl and NAME.npz."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    np.savez(folder / f"{name}.npz", ids=np.array([row["id"] for row in rows]) if ids is None else ids, vectors=vectors)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three pictures; c.png is b.png again."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c.png", "blue")):
        PIL.Image.new("RGB", (8, 8), colour).save(folder / name)
    return folder


@pytest.fixture
def items(images: Path) -> list[tuple[Side, Item]]:
    """Items that differ in one thing each."""
    a, b = ImageFile(images, "a.png"), ImageFile(images, "b.png")
    mask = Mask(ImageFile(images, "b.png", upright=False))
    return [
        ("query", Item("x", text="x")),
        ("candidate", Item("x", text="x")),
        ("query", Item("y", text="y")),
        ("query", Item("x", image=a)),
        ("query", Item("x", image=b)),
        ("query", Item("x", image=a, region=Box(1, 2, 3, 4))),
        ("query", Item("x", image=a, region=Box(1, 2, 3, 5))),
        ("query", Item("x", image=a, region=Point(1, 2))),
        ("query", Item("x", image=a, region=mask)),
    ]


def rows_of(items: list[tuple[Side, Item]]) -> list[dict[str, Any]]:
    """The items as lines."""
    return [item_json(item, f"i{number}", side) for number, (side, item) in enumerate(items)]


def test_items_are_found_by_content(tmp_path: Path, images: Path, items: list[tuple[Side, Item]]) -> None:
    vectors = unit(len(items))
    order = np.random.default_rng(1).permutation(len(items))
    rows = rows_of(items)
    # The two files need not be in one order: ids link them.
    write_pair(tmp_path / "mine", "items", rows, vectors[order], np.array([rows[i]["id"] for i in order]))
    embedder = Precomputed(str(tmp_path / "mine"), images=str(images))
    for number, (side, item) in enumerate(items):
        found = embedder.encode([item], side)
        assert found.dtype == np.float32
        assert found.shape == (1, DIMENSION)
        assert (found[0] == vectors[number]).all()
    queries = [number for number, (side, _) in enumerate(items) if side == "query"]
    assert (embedder.encode([items[number][1] for number in queries], "query") == vectors[queries]).all()


def test_an_image_is_its_bytes_not_its_path(tmp_path: Path, images: Path, items: list[tuple[Side, Item]]) -> None:
    write_pair(tmp_path / "mine", "items", rows_of(items), unit(len(items)))
    embedder = Precomputed(str(tmp_path / "mine"), images=str(images))
    again = Item("x", image=ImageFile(images, "c.png"))
    assert (embedder.encode([again], "query") == unit(len(items))[4:5]).all()


def test_digests_make_images_needless(tmp_path: Path, images: Path) -> None:
    digest = hashlib.sha256((images / "a.png").read_bytes()).hexdigest()
    row = {"id": "1", "prompt": "x", "image_sha256": digest, "box": [1, 2, 3, 4]}
    write_pair(tmp_path / "mine", "items", [row], unit(1))
    embedder = Precomputed(str(tmp_path / "mine"))
    item = Item("x", image=ImageFile(images, "a.png"), region=Box(1.0, 2.0, 3.0, 4.0))
    assert (embedder.encode([item], "query") == unit(1)).all()
    assert embedder.info.regions == frozenset()  # whether the model saw the box, only its maker knows
    assert Precomputed(str(tmp_path / "mine"), regions="box,mask").info.regions == {"box", "mask"}
    with pytest.raises(UsageError, match="'boxes' is none of box, point, mask"):
        Precomputed(str(tmp_path / "mine"), regions="boxes")


def test_several_pairs_and_info(tmp_path: Path, images: Path, items: list[tuple[Side, Item]]) -> None:
    rows, vectors = rows_of(items), unit(len(items))
    folder = tmp_path / "my model"
    write_pair(folder, "a", rows[:4], vectors[:4])
    write_pair(folder, "b", rows[4:], vectors[4:].astype(np.float64))
    embedder = Precomputed(str(folder), images=str(images))
    for number, (side, item) in enumerate(items):
        assert (embedder.encode([item], side) == vectors[number]).all()
    info = embedder.info
    assert (info.name, info.dimension) == ("my model", DIMENSION)
    again = Precomputed(str(folder), images=str(images)).info
    assert (info.fingerprint, info.revision) == (again.fingerprint, again.revision)
    write_pair(folder, "b", rows[4:], -vectors[4:])
    assert Precomputed(str(folder), images=str(images)).info.fingerprint != info.fingerprint


def test_image_paths_are_relative_to_the_item_file(tmp_path: Path, images: Path) -> None:
    write_pair(images, "items", [{"id": "1", "prompt": "x", "text": "y", "image": "a.png"}], unit(1))
    embedder = Precomputed(str(images))
    assert (embedder.encode([Item("x", image=ImageFile(images, "a.png"))], "query") == unit(1)).all()


def test_what_is_not_there_is_named(tmp_path: Path, images: Path, items: list[tuple[Side, Item]]) -> None:
    write_pair(tmp_path / "mine", "items", rows_of(items), unit(len(items)))
    embedder = Precomputed(str(tmp_path / "mine"), images=str(images))
    box = Item("x", image=ImageFile(images, "b.png"), region=Box(1, 2, 3, 4))
    with pytest.raises(EmbedderError, match=r"no vector for the query 'x' with image b\.png and Box\(x0=1"):
        embedder.encode([items[0][1], box], "query")
    with pytest.raises(EmbedderError, match="no vector for the candidate 'y'"):
        embedder.encode([Item("y")], "candidate")
    with pytest.raises(ImageError, match=r"absent\.png is missing"):
        embedder.encode([Item("x", image=ImageFile(images, "absent.png"))], "query")


def test_a_region_that_the_model_did_not_take_may_be_lacking(tmp_path: Path, images: Path) -> None:
    """It was told in words, and an evaluation gives it no region; the lines have it all the same."""
    image = ImageFile(images, "a.png", upright=False)
    boxes = [Item("one", image=image, region=Box(1, 2, 3, 4)), Item("two", image=image, region=Box(1, 2, 3, 5))]
    write_pair(tmp_path / "mine", "items", rows_of([("query", item) for item in boxes]), unit(2))
    told, took = (Precomputed(str(tmp_path / "mine"), images=str(images), regions=kinds) for kinds in ("", "box"))
    without = [replace(item, region=None) for item in boxes]
    assert (told.encode(without, "query") == unit(2)).all()
    assert (told.encode(boxes, "query") == unit(2)).all()
    assert (took.encode(boxes, "query") == unit(2)).all()
    with pytest.raises(EmbedderError, match="no vector for the query 'one'"):
        took.encode(without, "query")
    with pytest.raises(EmbedderError, match="no vector for the candidate 'one'"):
        told.encode(without, "candidate")
    assert told.info.fingerprint != took.info.fingerprint, "they know vectors of different items"


def test_a_region_that_alone_tells_vectors_apart_may_not(tmp_path: Path, images: Path) -> None:
    image = ImageFile(images, "a.png", upright=False)
    items = [Item(prompt, image=image, region=Point(1, y)) for prompt in ("same", "plain") for y in (2, 3, 4)]
    lines = [("query", item) for item in [*items, Item("plain", image=image)]]
    write_pair(tmp_path / "mine", "items", rows_of(lines), unit(7))
    embedder = Precomputed(str(tmp_path / "mine"), images=str(images))
    assert (embedder.encode(items, "query") == unit(7)[:6]).all()
    with pytest.raises(EmbedderError, match="no vector for the query 'same'"):
        embedder.encode([replace(items[0], region=None)], "query")
    assert (embedder.encode([Item("plain", image=image)], "query") == unit(7)[6:]).all()


def test_the_vector_of_an_image_is_not_that_of_a_part_of_it(tmp_path: Path, images: Path) -> None:
    image = ImageFile(images, "a.png", upright=False)
    write_pair(tmp_path / "mine", "items", rows_of([("query", Item("x", image=image))]), unit(1))
    embedder = Precomputed(str(tmp_path / "mine"), images=str(images))
    assert (embedder.encode([Item("x", image=image)], "query") == unit(1)).all()
    with pytest.raises(EmbedderError, match=r"no vectors of images that are cut or drawn on, .*'x' with image a\.png"):
        embedder.encode([Item("x", image=replace(image, crop=(0, 0, 4, 4)))], "query")
    marks = Marks("box", ((0, 0, 4, 4),), 1)
    with pytest.raises(EmbedderError, match=r"drawn on, .*: use --prompting native, text or none"):
        embedder.encode([Item("x", image=replace(image, drawing=marks))], "query")


@given(st.permutations(range(5)))
def test_the_order_of_a_batch_does_not_matter(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    write_pair(folder, "items", [{"id": str(i), "prompt": f"p{i}"} for i in range(5)], unit(5))
    found = Precomputed(str(folder)).encode([Item(f"p{i}") for i in order], "query")
    assert (found == unit(5)[order]).all()


ROWS: list[dict[str, Any]] = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}]


@pytest.mark.parametrize(
    ("rows", "ids", "vectors", "says"),
    [
        (ROWS, ["a"], unit(1), r"items\.jsonl, line 2, id 'b': items\.npz has no vector of this id"),
        (ROWS, ["a", "b", "a"], unit(3), r"items\.npz: id 'a' has two vectors, in rows 0 and 2"),
        (ROWS, ["a", "b"], unit(3), r"has 2 ids but 3 vectors"),
        (ROWS, ["a", "b"], unit(2)[0], r"vectors of shape \(6,\) and type float32"),
        (ROWS, ["a", "b"], np.ones((2, 6), dtype=int), r"vectors of shape \(2, 6\) and type int64"),
        (ROWS, [1, 2], unit(2), r"ids of shape \(2,\) and type int64: they are strings"),
        (ROWS, ["a", "b"], unit(2) * [[1], [2]], r"row 1: the vector of id 'b' is of length 2, not 1"),
        (ROWS, ["a", "b"], unit(2) * [[1], [0]], r"row 1: the vector of id 'b' is of length 0, not 1"),
        (ROWS, ["a", "b"], unit(2) * [[np.nan], [1]], r"row 0: the vector of id 'a' is not finite"),
        (ROWS, ["a", "b"], unit(2) * [[np.inf], [1]], r"row 0: the vector of id 'a' is not finite"),
        (
            [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}],
            ["a", "b"],
            unit(2),
            r"line 2, id 'b': it is the same item as .*items\.jsonl, line 1, id 'a', but has another vector",
        ),
        (
            [{"id": "a", "prompt": "x", "image": "absent.png"}],
            ["a"],
            unit(1),
            r"items\.jsonl, line 1, id 'a': image .*absent\.png is missing.*relative to the item file, or to \?images",
        ),
        ([{"id": "a"}], ["a"], unit(1), r"items\.jsonl, line 1: key 'prompt' is missing"),
    ],
)
def test_errors_name_file_line_and_value(tmp_path: Path, rows: Any, ids: Any, vectors: Any, says: str) -> None:
    write_pair(tmp_path, "items", rows, vectors, np.array(ids))
    with pytest.raises(UsageError, match=says):
        _ = Precomputed(str(tmp_path)).info


def test_equal_vectors_of_one_item_are_no_conflict(tmp_path: Path) -> None:
    vectors = np.repeat(unit(1), 3, axis=0)
    vectors[2, 0] += 1e-5  # as a model's own arithmetic may do in another batch
    rows = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}]
    write_pair(tmp_path, "items", rows, vectors, np.array(["a", "a", "b"]))
    assert (Precomputed(str(tmp_path)).encode([Item("x")], "query") == vectors[:1]).all()


def test_pairs_of_different_models_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", ROWS, unit(2))
    shorter = np.eye(2, 3, dtype=np.float32)
    write_pair(tmp_path, "b", [{"id": "c", "prompt": "z"}, {"id": "d", "prompt": "w"}], shorter)
    with pytest.raises(UsageError, match=r"b\.npz has vectors of length 3, a\.npz of length 6"):
        _ = Precomputed(str(tmp_path)).info


def test_npz_files_that_are_none(tmp_path: Path) -> None:
    write_pair(tmp_path, "items", ROWS, unit(2))
    file = tmp_path / "items.npz"
    np.savez(file, ids=np.array(["a", "b"]))
    with pytest.raises(UsageError, match=r"items\.npz has no array 'vectors'"):
        _ = Precomputed(str(tmp_path)).info
    np.savez(file, ids=np.array(["a", "b"], dtype=object), vectors=unit(2))
    with pytest.raises(UsageError, match=r"items\.npz cannot be read \(.*allow_pickle"):
        _ = Precomputed(str(tmp_path)).info
    with file.open("wb") as stream:
        np.save(stream, unit(2))
    array = file.read_bytes()
    for content in (b"", b"PK\x03\x04 not a zip", b"words", np.lib.format.magic(1, 0), array):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=r"items\.npz cannot be read"):
            _ = Precomputed(str(tmp_path)).info


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folder .*absent does not exist"):
        Precomputed(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="holds no pair"):
        Precomputed(str(tmp_path))
    write_pair(tmp_path, "items", ROWS, unit(2))
    with pytest.raises(UsageError, match=r"images folder .*absent does not exist"):
        Precomputed(str(tmp_path), images=str(tmp_path / "absent"))
    (tmp_path / "other.npz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"other\.npz has no other\.jsonl beside it"):
        Precomputed(str(tmp_path))

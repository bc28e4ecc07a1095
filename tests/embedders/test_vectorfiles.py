"""Plain arrays with ids beside them: what is read, and what is said of what cannot be."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.precomputed import Precomputed
from evalkit.embedders.vectorfiles import _BLOCK
from evalkit.errors import UsageError
from evalkit.items import Item
from evalkit.items.images import ImageFile

DIMENSION = 6
ROWS: list[dict[str, Any]] = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}]


def unit(count: int, seed: int = 0) -> np.ndarray:
    """Random vectors of length 1."""
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def write_items(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write(folder: Path, vectors: Any, ids: list[str], name: str = "items", rows: list[dict[str, Any]] = ROWS) -> None:
    """NAME.jsonl, NAME.npy and NAME.ids.txt, as the page says to write them."""
    write_items(folder, name, rows)
    np.save(folder / f"{name}.npy", vectors)
    np.savetxt(folder / f"{name}.ids.txt", ids, fmt="%s", encoding="utf-8")


def found(folder: Path, *prompts: str) -> np.ndarray:
    """The vectors of queries."""
    return Precomputed(str(folder)).encode([Item(prompt) for prompt in prompts], "query")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_row_i_belongs_to_line_i(dtype: Any, order: Any, tmp_path: Path) -> None:
    stored = np.asarray(unit(2), dtype=dtype, order=order)
    write(tmp_path, stored, ["b", "a"])
    vectors = found(tmp_path, "x", "y")
    assert vectors.dtype == np.float32
    assert (vectors == stored[::-1].astype(np.float32)).all()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.ids.txt", b"b\na"),
        ("items.ids.txt", b"b\r\na\r\n"),
        ("items.ids.txt", b"\xef\xbb\xbfb\na\n"),
        ("items.ids.json", b'["b", "a"]'),
        ("items.ids.json", b'\xef\xbb\xbf[\r\n"b",\r\n"a"]'),
    ],
)
def test_ids_as_editors_leave_them(name: str, content: bytes, tmp_path: Path) -> None:
    """Without an end of the last line, with line ends of Windows, with a byte-order mark, as a list."""
    write(tmp_path, unit(2), [])
    (tmp_path / "items.ids.txt").unlink()
    (tmp_path / name).write_bytes(content)
    assert (found(tmp_path, "y", "x") == unit(2)).all()


def test_ids_of_any_writing(tmp_path: Path) -> None:
    """What other readers of lines take for an end is a letter here; what a line cannot hold a list can."""
    ids = ["ein Bär", "熊", "a\u2028b", " led"]
    rows = [{"id": id, "prompt": str(number)} for number, id in enumerate(ids)]
    write(tmp_path, unit(4), ids, rows=rows)
    assert (found(tmp_path, *"0123") == unit(4)).all()
    (tmp_path / "items.ids.txt").unlink()
    rows[0]["id"] = "a\nb"
    write_items(tmp_path, "items", rows)
    (tmp_path / "items.ids.json").write_text(json.dumps([row["id"] for row in rows]))
    assert (found(tmp_path, *"0123") == unit(4)).all()


def test_both_forms_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, unit(2)[:1].astype(np.float64), ["a"], "one", ROWS[:1])
    write_items(tmp_path, "two", ROWS[1:])
    np.savez(tmp_path / "two.npz", ids=np.array(["b"]), vectors=unit(2)[1:])
    assert (found(tmp_path, "y", "x") == unit(2)[::-1]).all()


def test_one_pair_of_a_folder(tmp_path: Path) -> None:
    """By its vectors' name; the others may be of another model."""
    write(tmp_path, unit(2), ["a", "b"], "mine")
    write_items(tmp_path, "other", ROWS)
    np.savez(tmp_path / "other.npz", ids=np.array(["a", "b"]), vectors=np.eye(2, 3, dtype=np.float32))
    mine, other = (Precomputed(str(tmp_path / name)) for name in ("mine.npy", "other.npz"))
    assert (mine.info.name, mine.info.dimension) == ("mine", DIMENSION)
    assert (other.info.name, other.info.dimension) == ("other", 3)
    assert (mine.encode([Item("y")], "query") == unit(2)[1:]).all()
    with pytest.raises(UsageError, match=r"other\.npz has vectors of length 3, mine\.npy of length 6"):
        _ = Precomputed(str(tmp_path)).info
    with pytest.raises(UsageError, match=r"mine\.jsonl is a file, and no \.npz or \.npy: name its folder"):
        Precomputed(str(tmp_path / "mine.jsonl"))
    np.savez(tmp_path / "mine.npz", ids=np.array(["a", "b"]), vectors=unit(2))
    with pytest.raises(UsageError, match=r"mine\.npz and mine\.npy are both there: take one of the two vectors away"):
        Precomputed(str(tmp_path / "mine.npy"))


def test_the_digest_covers_all_files(tmp_path: Path) -> None:
    prints = set()
    for change in ("", "items.jsonl", "items.npy", "items.ids.txt"):
        write(tmp_path, unit(2, seed=change == "items.npy"), ["b", "a"] if change == "items.ids.txt" else ["a", "b"])
        if change == "items.jsonl":
            write_items(tmp_path, "items", ROWS[::-1])
        prints.add(Precomputed(str(tmp_path)).info.fingerprint)
    assert len(prints) == 4


def test_an_array_is_mapped_and_not_read(tmp_path: Path) -> None:
    """In blocks, all of it; what is found is taken from the file."""
    dimension = 4096
    count = 3 * _BLOCK // dimension + 1
    write_items(tmp_path, "items", ROWS)
    array = np.lib.format.open_memmap(tmp_path / "items.npy", "w+", np.float16, (count, dimension))
    array[:, 0] = 1
    array[-1] = np.roll(array[-1], 1)
    array.flush()
    ids = [f"n{row}" for row in range(count)]
    ids[0], ids[-1] = "a", "b"
    (tmp_path / "items.ids.json").write_text(json.dumps(ids))
    embedder = Precomputed(str(tmp_path))
    assert (embedder.encode([Item("x"), Item("y")], "query") == np.eye(2, dimension)).all()
    assert all(isinstance(array, np.memmap) for array in embedder._table.vectors.arrays)
    array[-2, 0] = 2
    array.flush()
    with pytest.raises(
        UsageError, match=rf"items\.npy, row {count - 2}: the vector of id 'n{count - 2}' is of length 2"
    ):
        _ = Precomputed(str(tmp_path)).info


@pytest.mark.parametrize(
    ("ids", "vectors", "says"),
    [
        (["a", "b"], unit(3), r"items\.ids\.txt has 2 ids but 3 vectors are in items\.npy: each row of the array"),
        (["a"], unit(1), r"items\.jsonl, line 2, id 'b': items\.ids\.txt has no vector of this id"),
        (["a", "b", "a"], unit(3), r"items\.ids\.txt: id 'a' has two vectors, in rows 0 and 2: give each item its own"),
        (["a", " ", "b"], unit(3), r"items\.ids\.txt, line 2: the line is blank, and row 1 has no id"),
        (["a", "b"], unit(2)[0], r"items\.npy has vectors of shape \(6,\) and type float32.*\(items, dimension\)"),
        (["a", "b"], unit(2)[None], r"items\.npy has vectors of shape \(1, 2, 6\)"),
        (["a", "b"], np.ones((2, 6), dtype=int), r"items\.npy has vectors of shape \(2, 6\) and type int64"),
        (["a", "b"], np.zeros((2, 6), dtype="V2"), r"type \|V2: they are floating-point.*float16, float32 or float64"),
        (["a", "b"], np.ones((2, 0)), r"items\.npy has vectors of shape \(2, 0\)"),
        ([], np.ones((0, 6)), r"items\.jsonl, line 1, id 'a': items\.ids\.txt has no vector of this id"),
        (["a", "b"], unit(2) * [[1], [2]], r"items\.npy, row 1: the vector of id 'b' is of length 2, not 1"),
        (["a", "b"], unit(2) * [[1], [0]], r"items\.npy, row 1: the vector of id 'b' is of length 0, not 1"),
        (["a", "b"], unit(2) * [[np.nan], [1]], r"items\.npy, row 0: the vector of id 'a' is not finite"),
        (["a", "b"], (unit(2) * [[1], [np.inf]]).astype(np.float16), r"row 1: the vector of id 'b' is not finite"),
        (["a", "b"], np.array([1, "x"], dtype=object), r"items\.npy holds Python objects in a pickle, .* never loaded"),
    ],
)
def test_errors_name_file_row_and_value(ids: list[str], vectors: Any, says: str, tmp_path: Path) -> None:
    write(tmp_path, vectors, ids)
    with pytest.raises(UsageError, match=says):
        _ = Precomputed(str(tmp_path)).info


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no .npy file"),
        (b"words", "no .npy file"),
        (pickle.dumps(unit(2)), "no .npy file but a pickle, and those are never loaded"),
        (b"PK\x03\x04", r"an archive of arrays, not one array: call it items\.npz"),
        (np.lib.format.magic(1, 0), ""),
        (np.lib.format.magic(9, 0) + bytes(8), ""),
    ],
)
def test_npy_files_that_are_none(content: bytes, says: str, tmp_path: Path) -> None:
    write(tmp_path, unit(2), ["a", "b"])
    (tmp_path / "items.npy").write_bytes(content)
    with pytest.raises(UsageError, match=rf"items\.npy cannot be read \(.*{says}.*as numpy\.save\(file, vectors\)"):
        _ = Precomputed(str(tmp_path)).info


@given(st.data())
def test_damage_of_any_kind_is_the_files_fault(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A file that was cut, or has other bytes in its header, is refused with its name, or is good all the same."""
    folder = tmp_path_factory.mktemp("damaged")
    write(folder, unit(2), ["a", "b"])
    content = bytearray((folder / "items.npy").read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, 100))] = data.draw(st.integers(0, 255))
    (folder / "items.npy").write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        assert Precomputed(str(folder)).info.dimension > 0
    except UsageError as error:
        assert "items.npy" in str(error)  # noqa: PT017  (it need not be raised)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[", r"items\.ids\.json is no JSON \(.*: write a list of ids"),
        ("[" * 100_000, r"items\.ids\.json is no JSON"),
        ('{"a": 0}', r"items\.ids\.json holds a dict: write a list of ids"),
        ('["a", 2]', r"items\.ids\.json: the id of row 1 is 2: ids are strings"),
        ('["a", ""]', r"items\.ids\.json: the id of row 1 is ''"),
    ],
)
def test_lists_that_are_none(content: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, unit(2), [])
    (tmp_path / "items.ids.txt").unlink()
    (tmp_path / "items.ids.json").write_text(content)
    with pytest.raises(UsageError, match=says):
        _ = Precomputed(str(tmp_path)).info


def refused(change: Callable[[Path], object], folder: Path) -> str:
    """What is said of a folder after a change."""
    write(folder, unit(2), ["a", "b"])
    change(folder)
    with pytest.raises(UsageError) as error:
        _ = Precomputed(str(folder)).info
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: np.savez(f / "items.npz", vectors=unit(2)), r"items\.npz and items\.npy are both there: take one"),
        (lambda f: (f / "items.ids.json").write_text("[]"), r"items\.ids\.txt and items\.ids\.json are both there"),
        (lambda f: (f / "items.npy").unlink(), r"items\.jsonl has no items\.npz beside it, and no items\.npy"),
        (
            lambda f: (f / "items.npy").rename(f / "items.npz"),
            r"items\.npz has its ids in itself: take items\.ids\.txt",
        ),
        (lambda f: (f / "items.jsonl").unlink(), r"items\.npy has no items\.jsonl beside it.*evalkit inspect TASK"),
        (lambda f: (f / "b.ids.txt").write_text("a"), r"b\.ids\.txt has no b\.npz beside it"),
        (lambda f: (f / "items.ids.txt").write_bytes(b"\xff\xfe"), r"items\.ids\.txt cannot be read as UTF-8"),
        (
            lambda f: ((f / "items.npy").unlink(), os.mkfifo(f / "items.npy")),
            r"items\.jsonl has no items\.npz beside it, and no items\.npy",
        ),
    ],
)
def test_files_that_do_not_belong_together(change: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    assert re.search(says, refused(change, tmp_path))


def test_without_ids_the_error_says_how_to_write_them(tmp_path: Path) -> None:
    said = refused(lambda folder: (folder / "items.ids.txt").unlink(), tmp_path)
    assert re.search(
        r"items\.npy has no items\.ids\.txt beside it, .*one id of items\.jsonl a line, that of row 0", said
    )
    (call,) = re.findall(r"numpy\.savetxt\(.*?\)(?= writes)", said)
    exec(call, {"numpy": np, "ids": ["a", "b"]})  # noqa: S102
    assert (found(tmp_path, "x", "y") == unit(2)).all()


def test_several_images_folders(tmp_path: Path) -> None:
    """As --images may be given again: the first that has a path."""
    for folder, name, colour in (("one", "a.png", "red"), ("two", "a.png", "blue"), ("two", "b.png", "green")):
        (tmp_path / folder).mkdir(exist_ok=True)
        PIL.Image.new("RGB", (8, 8), colour).save(tmp_path / folder / name)
    rows = [{"id": name, "prompt": "x", "image": f"{name}.png"} for name in "ab"]
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine", unit(2), ["a", "b"], rows=rows)
    embedder = Precomputed(str(tmp_path / "mine"), images=f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}")
    items = [
        Item("x", image=ImageFile(tmp_path / folder, f"{name}.png")) for folder, name in (("one", "a"), ("two", "b"))
    ]
    assert (embedder.encode(items, "query") == unit(2)).all()
    with pytest.raises(UsageError, match=r"images folder .*absent does not exist"):
        Precomputed(str(tmp_path / "mine"), images=f"{tmp_path / 'one'}:{tmp_path / 'absent'}")

"""Distinct items as lines: what makes them distinct, and where their images are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.itemlines import item_lines
from evalkit.errors import UsageError
from evalkit.items import Box, Item, Mask, Point, Points
from evalkit.items.folders import ImageFolders
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import read_items
from evalkit.suites.task import Task


def task_of(queries: list[Item], name: str = "mine") -> Task:
    """A task of these queries, each with two candidates."""
    base = Task.from_rows([{"text": str(i), "label": 0} for i in range(len(queries))], name=name, candidates=["a", "b"])
    return Task(**{field: getattr(base, field) for field in base.__dataclass_fields__} | {"queries": queries})


@pytest.fixture
def folders(tmp_path: Path) -> ImageFolders:
    """Two folders that both have an a.png, of other pixels; one has a mask."""
    for folder, name, colour in (
        ("one", "a", "red"),
        ("two", "a", "blue"),
        ("two", "b", "green"),
        ("two", "m", "white"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        PIL.Image.new("RGB", (8, 8), colour).save(tmp_path / folder / f"{name}.png")
    return ImageFolders((tmp_path / "one", tmp_path / "two"))


def listed(queries: list[Item], **options: Any) -> Any:
    return item_lines([task_of(queries)], ImageIndex(), **options)


def test_lines_read_back_are_the_items(folders: ImageFolders, tmp_path: Path) -> None:
    """Of every kind of region; looked for in the folders that are named."""
    import json

    a, b = (ImageFile.below(folders, f"{name}.png", upright=False) for name in "ab")
    mask = Mask(ImageFile.below(folders, "m.png", upright=False))
    regions = [Box(1, 2, 3, 4), Point(1, 2), Points((Point(1, 2),), (Point(3.5, 4),)), mask]
    queries = [Item("x", "x", image=b, region=region) for region in regions]
    queries += [Item("x", "t", "i", a, Box(1, 2, 3, 4)), Item("only text", "text")]
    found = listed(queries)
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found.rows))
    back = read_items(tmp_path / "items.jsonl", found.folders)
    assert [row.item for row in back if row.side == "query"] == queries
    assert [row.item.text for row in back if row.side == "candidate"] == ["a", "b"]
    assert found.folders == folders.folders
    assert (found.held, found.unread) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["", "t"]), st.sampled_from([None, (1, 2), (2, 2)]))))
def test_an_item_is_listed_once(made: list[tuple[str, str, tuple[int, int] | None]]) -> None:
    """Queries of any number of tasks; the oracle is a set of what they hold."""
    from evalkit.items.inmemory import BytesInMemory

    pixels = ImageFile.in_memory(BytesInMemory.of(PNG), "a.png", False)
    queries = [
        Item(prompt, text, image=None if at is None else pixels, region=None if at is None else Point(*at))
        for prompt, text, at in made
    ]
    tasks = [task_of(queries[start : start + 3], f"t{start}") for start in range(0, len(queries), 3)]
    found = item_lines(tasks, ImageIndex())
    rows = [row for row in found.rows if row["side"] == "query"]
    assert [(row["prompt"], row["text"], tuple(row["point"]) if "point" in row else None) for row in rows] == list(
        dict.fromkeys(made)
    )
    assert len({row["id"] for row in found.rows}) == len(found.rows)
    assert found.held == sum("image_sha256" in row for row in rows) == len({m for m in made if m[2] is not None})


def png() -> bytes:
    import io

    buffer = io.BytesIO()
    PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def test_one_image_of_two_paths_is_one(folders: ImageFolders, tmp_path: Path) -> None:
    (tmp_path / "two" / "again.png").write_bytes((tmp_path / "two" / "b.png").read_bytes())
    found = listed([Item("x", image=ImageFile.below(folders, name)) for name in ("b.png", "again.png")])
    assert [row["image"] for row in found.rows if row["side"] == "query"] == ["b.png"]


def test_one_path_in_two_folders_is_two_images(folders: ImageFolders, tmp_path: Path) -> None:
    """Looked for in both, the first would hide the second: copied they have names of their own."""
    queries = [Item("x", image=ImageFile(tmp_path / folder, "a.png")) for folder in ("one", "two")]
    with pytest.raises(UsageError, match=r"image 'a\.png' is there twice, below .*one and below .*two: --copy-images"):
        listed(queries)
    found = listed(queries, copies=tmp_path / "copies")
    names = [row["image"] for row in found.rows if row["side"] == "query"]
    assert len(set(names)) == 2
    assert found.folders == (tmp_path / "copies",)
    for query, name in zip(queries, names, strict=True):
        assert query.image is not None
        assert (tmp_path / "copies" / name).read_bytes() == query.image.read()
    below = listed(queries, file=tmp_path / "items.jsonl")
    assert [row["image"] for row in below.rows if row["side"] == "query"] == ["one/a.png", "two/a.png"]
    assert below.folders == ()


def test_a_mask_in_memory_has_to_be_copied(folders: ImageFolders, tmp_path: Path) -> None:
    image = ImageFile.below(folders, "b.png", upright=False)
    mask = Mask(ImageFile.of(np.eye(8, dtype=bool), upright=False))
    queries = [Item("x", image=image, region=mask)]
    with pytest.raises(UsageError, match=r"mask .* is held in the rows, .*: --copy-images DIR writes one"):
        listed(queries)
    (row, *_) = listed(queries, copies=tmp_path / "v", file=tmp_path / "items.jsonl").rows
    assert row["mask"].startswith("v/")
    pixels = np.asarray(PIL.Image.open(tmp_path / row["mask"]).convert("L"))
    assert ((pixels > 0) == np.eye(8, dtype=bool)).all()


@pytest.mark.parametrize("mode", ["crop", "overlay", "overlay_box", "blur", "reclip"])
def test_an_image_that_is_cut_or_drawn_on_is_no_line(folders: ImageFolders, mode: str) -> None:
    query = Item("x", image=ImageFile.below(folders, "b.png", upright=False), region=Box(1, 2, 3, 4))
    with pytest.raises(UsageError, match=r"cannot say how one is cut or .*: use --prompting native, text or none"):
        listed([query], prompting=mode)


def test_copies_are_called_as_what_they_hold(folders: ImageFolders, tmp_path: Path) -> None:
    """Whatever the data set calls them."""
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "one" / "photo", "JPEG")
    found = listed([Item("x", image=ImageFile.below(folders, "photo"))], copies=tmp_path / "v")
    assert found.rows[0]["image"].endswith(".jpg")

"""Items as JSON lines, read and written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.items import Box, Item, Mask, Point, Points, Side
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import item_json, read_items

PROMPT = "<image>\nFind …\nReferring object bbox: [1, 2, 3, 4]"


def write(path: Path, *rows: Any) -> Path:
    """Write rows as JSON lines; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_documented_line(tmp_path: Path) -> None:
    line = {
        "id": "q7",
        "side": "query",
        "prompt": PROMPT,
        "text": "a dog",
        "instruction": "Find …",
        "image": "images/a.jpg",
        "box": [1, 2, 3, 4],
    }
    [row] = read_items(write(tmp_path / "items.jsonl", line))
    image = ImageFile(tmp_path, "images/a.jpg", upright=False)
    assert (row.id, row.side, row.line) == ("q7", "query", 1)
    assert row.item == Item(PROMPT, "a dog", "Find …", image, Box(1, 2, 3, 4))
    written = item_json(row.item, "q7", "query")
    assert written == line
    assert list(written) == list(line), "keys in the documented order"
    assert json.dumps(written["box"]) == "[1, 2, 3, 4]", "whole numbers stay whole"


def test_defaults_and_blank_lines(tmp_path: Path) -> None:
    rows = read_items(write(tmp_path / "items.jsonl", {"id": "a", "prompt": "x"}, "", "  ", {"id": "b", "prompt": ""}))
    assert [(row.id, row.side, row.line, row.item) for row in rows] == [
        ("a", "query", 1, Item("x")),
        ("b", "query", 4, Item("")),
    ]
    assert item_json(rows[0].item, "a", "query") == {
        "id": "a",
        "side": "query",
        "prompt": "x",
        "text": "",
        "instruction": "",
    }


def test_regions_and_orientation(tmp_path: Path) -> None:
    row = {"prompt": "x", "image": "a.png"}
    rows = read_items(
        write(
            tmp_path / "items.jsonl",
            {"id": "none", **row},
            {"id": "box", **row, "box": [0, 1.5, 2, 3]},
            {"id": "point", **row, "point": [4, 5.5]},
            {"id": "points", **row, "points": [[4, 5.5], [6, 7]]},
            {"id": "not there", **row, "points": [[4, 5.5]], "negative_points": [[0, 1], [2, 3]]},
            {"id": "one, not there", **row, "point": [4, 5.5], "negative_points": [[0, 1]]},
            {"id": "mask", **row, "mask": "m.png", "side": "candidate"},
        ),
        tmp_path / "elsewhere",
    )
    root = tmp_path / "elsewhere"
    point = Point(4, 5.5)
    regions = [
        None,
        Box(0, 1.5, 2, 3),
        point,
        Points((point, Point(6, 7))),
        Points((point,), (Point(0, 1), Point(2, 3))),
        Points((point,), (Point(0, 1),)),
        Mask(ImageFile(root, "m.png", upright=False)),
    ]
    assert [row.item.region for row in rows] == regions
    # The camera's orientation is applied only where no region counts pixels of the stored image.
    assert [row.item.image.upright for row in rows if row.item.image] == [True] + [False] * 6
    assert {row.item.image.root for row in rows if row.item.image} == {root}
    assert [row.side for row in rows] == ["query"] * 6 + ["candidate"]


coordinates = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(Point, coordinates, coordinates)


@given(
    text=st.text(),
    side=st.sampled_from(["query", "candidate"]),
    region=st.sampled_from([None, Box(0, 0, 7, 8), Box(0.5, 1, 2, 3), Point(3, 4.25), "mask"])
    | st.builds(Points, st.lists(points, min_size=1, max_size=3).map(tuple), st.lists(points, max_size=2).map(tuple)),
    image=st.booleans(),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, side: Side, region: Any, image: bool
) -> None:
    folder = tmp_path_factory.mktemp("items")
    if region == "mask":
        region = Mask(ImageFile(folder, "masks/m.png", upright=False))
    if not image:
        region = None
    picture = ImageFile(folder, "a b/é.jpg", upright=region is None) if image else None
    item = Item(text, text=text[::-1], instruction=text[:3], image=picture, region=region)
    [row] = read_items(write(folder / "items.jsonl", json.dumps(item_json(item, "id", side))))
    assert (row.item, row.side) == (item, side)
    assert repr(row.item.region) == repr(item.region), "whole numbers stay whole"


def test_another_path_may_be_written(tmp_path: Path) -> None:
    item = Item("x", image=ImageFile(tmp_path, "a.png"))
    assert item_json(item, "1", "query", "../images/a.png")["image"] == "../images/a.png"


IMAGE = {"id": "1", "prompt": "a", "image": "x"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nope", r"line 2: Invalid JSON: .*: write one JSON object a line"),
        ('{"id": "1", "prompt": "a", "id": "2"}', r"line 2: key 'id' is there twice"),
        ('{"id": "1", "prompt": "a", "pro\\u006dpt": "a"}', r"line 2: key 'prompt' is there twice"),
        ("[" * 100_000, r"line 2: Invalid JSON"),
        ("[1]", r"line 2: Input should be an object"),
        ({"id": "1"}, r"line 2: key 'prompt' is missing"),
        ({"prompt": "a"}, r"key 'id' is missing"),
        ({"id": 7, "prompt": "a"}, r"id is 7: Input should be a valid string"),
        ({"id": "", "prompt": "a"}, r"id is ''"),
        ({"id": "1", "prompt": None}, r"prompt is None"),
        ({"id": "1", "prompt": "a", "images": "x"}, r"key 'images' is not known: the keys are id, side, prompt"),
        ({"id": "1", "prompt": "a", "side": "q"}, r"side is 'q': Input should be 'query' or 'candidate'"),
        ({"id": "1", "prompt": "a", "image": ""}, r"image is ''"),
        ({"id": "1", "prompt": "a", "box": [1, 2, 3, 4]}, r"box is given without an image"),
        ({**IMAGE, "box": [1, 2, 3]}, r"key 'box\[3\]' is missing"),
        ({**IMAGE, "box": [1, 2, 3, "4"]}, r"box\[3\] is '4'"),
        ({**IMAGE, "box": [1, 2, 3, True]}, r"box\[3\] is True"),
        ('{"id": "1", "prompt": "a", "image": "x", "box": [1, 2, NaN, 4]}', r"box\[2\] is nan"),
        ({**IMAGE, "box": [3, 2, 1, 4]}, r"box \[3, 2, 1, 4\] ends before it begins"),
        ({**IMAGE, "box": [1, 2, 3, 4], "point": [1, 2]}, r"box and point are given: .* at most one region"),
        ({**IMAGE, "points": [[1, 2]], "point": [1, 2]}, r"point and points are given: .* at most one region"),
        ({**IMAGE, "points": [[1, 2]], "mask": "m.png"}, r"points and mask are given"),
        ({**IMAGE, "points": []}, r"points need at least one positive point"),
        ({**IMAGE, "points": [], "negative_points": [[1, 2]]}, r"points need at least one positive point"),
        ({**IMAGE, "points": [1, 2]}, r"points\[0\] is 1"),
        ({**IMAGE, "points": [[1, 2], [3, "4"]]}, r"points\[1\]\[1\] is '4'"),
        ({**IMAGE, "negative_points": [[1, 2]]}, r"negative_points are given without point or points"),
        ({**IMAGE, "box": [1, 2, 3, 4], "negative_points": []}, r"negative_points are given without point or points"),
        ({"id": "1", "prompt": "a", "points": [[1, 2]]}, r"points is given without an image"),
        ({"id": "1", "prompt": "a", "image_sha256": "ABC"}, r"image_sha256 is 'ABC'"),
        ({"id": "1", "prompt": "a", "image_sha256": "0" * 64}, r"has an image_sha256 but no image"),
        ({"id": "0", "prompt": "another"}, r"id '0' is that of line 1 too, which is another item"),
    ],
)
def test_errors_name_file_line_and_value(tmp_path: Path, line: Any, says: str) -> None:
    file = write(tmp_path / "items.jsonl", {"id": "0", "prompt": "first"}, line)
    with pytest.raises(UsageError, match=says) as caught:
        read_items(file)
    assert str(caught.value).startswith(f"{file}, line 2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.jsonl is missing"):
        read_items(tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        read_items(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"pipe cannot be read: it is a pipe that nobody writes to"):
        read_items(tmp_path / "pipe")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9", "prompt": ""}')
    with pytest.raises(UsageError, match="cannot be read as UTF-8"):
        read_items(tmp_path / "latin.jsonl")
    with pytest.raises(UsageError, match="has no items"):
        read_items(write(tmp_path / "empty.jsonl", "", " "))


def test_the_same_row_may_come_twice(tmp_path: Path) -> None:
    row = {"id": "1", "prompt": "a"}
    assert len(read_items(write(tmp_path / "items.jsonl", row, row))) == 2


def test_digests_stand_for_images_where_asked(tmp_path: Path) -> None:
    digest = "0" * 64
    file = write(tmp_path / "items.jsonl", {"id": "1", "prompt": "a", "image_sha256": digest, "box": [1, 2, 3, 4]})
    [row] = read_items(file, digests=True)
    assert (row.image_sha256, row.item.image, row.item.region) == (digest, None, Box(1, 2, 3, 4))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes('\ufeff{"id": "a", "prompt": "\ufeffx"}\n{"id": "b", "prompt": "y"}\n'.encode())
    assert [row.item.prompt for row in read_items(path)] == ["\ufeffx", "y"]  # in a text it stays


def test_paths_written_on_windows(tmp_path):
    path = tmp_path / "items.jsonl"
    lines = [{"id": "a", "prompt": "<image>", "image": "images\\a.jpg", "mask": "masks\\m.png"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    (row,) = read_items(path)
    assert [image.path for image in row.item.images] == ["images/a.jpg", "masks/m.png"]

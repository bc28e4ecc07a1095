"""SCaR rows to tasks: file names, boxes, captions."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from builders import golden, in_order, load, write
from hypothesis import given
from hypothesis import strategies as st

from evalkit.items import Box

NAME = "SCaR/RefCOCOg"


def boxes(folder: Path, values: object) -> list[Box]:
    write(folder, NAME, golden(NAME) | {"bbox": values})
    found = [query.region for query in load(folder, NAME).queries]
    assert all(isinstance(box, Box) for box in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    "file",
    [
        "SCaR_eval_RefCOCOg.parquet",
        "scar/SCaR_eval_RefCOCOg.parquet",
        "SCAR_RefCOCOg_val_filtered.parquet",
        "scar/SCAR_RefCOCOg_val_filtered.parquet",
    ],
)
def test_rows_are_found_under_every_name(file, tmp_path):
    place = write(tmp_path, NAME, golden(NAME))
    ids = load(tmp_path, NAME).ids
    place.rename(tmp_path / "moved")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / "moved").rename(tmp_path / file)
    assert load(tmp_path, NAME).ids == ids


def test_the_published_name_comes_first(tmp_path):
    published = write(tmp_path, NAME, in_order(golden(NAME), [0]))
    published.rename(tmp_path / "SCAR_RefCOCOg_val_filtered.parquet")
    write(tmp_path, NAME, golden(NAME))
    assert len(load(tmp_path, NAME).queries) == 3


def test_width_and_height_become_corners(tmp_path):
    found = boxes(tmp_path, [[10, 20, 30, 40], [0, 0, 1, 1], [5, 5, 0, 0]])
    assert found == [Box(10, 20, 40, 60), Box(0, 0, 1, 1), Box(5, 5, 5, 5)]
    assert all(isinstance(corner, int) for box in found for corner in box.corners)
    task = load(tmp_path, NAME)
    assert task.queries[0].prompt.endswith("\nReferring object bbox: [10, 20, 40, 60]")
    assert task.queries[0].text == "Referring object bbox: [10, 20, 40, 60]"


@given(box=st.tuples(*[st.floats(0, 5000) | st.integers(0, 5000).map(float)] * 4).map(list))
def test_the_prompt_prints_the_corners_that_the_model_gets(box, tmp_path_factory):
    """As Python prints a list, with the noise of the addition: reading it gives the numbers back exactly."""
    folder = tmp_path_factory.mktemp("rows")
    (found, *_) = boxes(folder, [box] * 3)
    x, y, width, height = box
    assert found.corners == (x, y, x + width, y + height)
    prompt = load(folder, NAME).queries[0].prompt
    assert ast.literal_eval(prompt.rsplit("bbox: ", 1)[1]) == list(found.corners)


@pytest.mark.parametrize("kind", [pa.float32(), pa.int32(), pa.int64(), pa.float64()])
def test_boxes_of_other_number_types(kind, tmp_path):
    """float32 is read as it was stored, 0.1 as 0.10000000149011612: so does the official loader."""
    values = [[0.1, 2.5, 3.75, 4.0], [1, 2, 3, 4], [7.0, 8.0, 9.0, 10.0]]
    if pa.types.is_integer(kind):
        values = [[int(v) for v in row] for row in values]
    found = boxes(tmp_path, pa.array(values, pa.list_(kind)))
    stored = [np.array(row, kind.to_pandas_dtype()).tolist() for row in values]
    assert [box.corners for box in found] == [(x, y, x + width, y + height) for x, y, width, height in stored]
    assert all(type(v) is type(stored[0][0]) for box in found for v in box.corners)


def test_images_are_never_turned_upright(tmp_path):
    write(tmp_path, NAME, golden(NAME))
    for upright in (True, False):
        assert not any(query.image.upright for query in load(tmp_path, NAME, upright=upright).queries if query.image)


def test_the_first_caption_is_right_wherever_it_comes_again(tmp_path):
    columns = golden(NAME)
    columns["tgt_text"][0][7] = columns["tgt_text"][0][0]
    columns["tgt_text"][1][5] = columns["tgt_text"][1][4]
    columns["tgt_text"][2][3] = columns["tgt_text"][0][0]
    write(tmp_path, NAME, columns)
    task = load(tmp_path, NAME)
    assert [len(pool) for pool in task.pools] == [10] * 3
    assert [len(set(pool.tolist())) for pool in task.pools] == [9, 9, 10]
    assert [right.tolist() for right in task.relevant] == [[pool[0]] for pool in task.pools]
    assert task.pools[2][3] == task.pools[0][0], "one caption is one candidate in all rows"
    assert task.labels == [texts[0] for texts in columns["tgt_text"]]
    assert len(task.candidates) == len({text for texts in columns["tgt_text"] for text in texts})


def test_captions_are_embedded_as_they_are(tmp_path):
    columns = golden(NAME)
    columns["tgt_text"][0][:3] = ["", " a  cat\n", "Ünïcödé ☃"]
    write(tmp_path, NAME, columns)
    task = load(tmp_path, NAME)
    found = [task.candidates[c] for c in task.pools[0][:3]]
    assert [c.prompt for c in found] == [c.text for c in found] == ["", " a  cat\n", "Ünïcödé ☃"]
    assert task.relevant[0].tolist() == [task.pools[0][0]]


def test_a_limit_takes_the_first_rows(tmp_path):
    write(tmp_path, NAME, golden(NAME))
    assert load(tmp_path, NAME, limit=2).ids == load(tmp_path, NAME).ids[:2]
    assert len(load(tmp_path, NAME, limit=1).candidates) == 10


def test_ids_hold_still_when_rows_move_and_know_the_box(tmp_path):
    columns = in_order(golden(NAME), [0, 1, 2, 0, 0])
    columns["bbox"][3] = [1.0, 2.0, 3.0, 4.0]  # the same image and caption, another object
    columns["tgt_text"][4] = [*columns["tgt_text"][4][:9], "something else"]
    write(tmp_path, NAME, columns)
    task = load(tmp_path, NAME)
    assert len({id_.partition("-")[0] for id_ in task.ids}) == 4
    assert {task.ids[0], task.ids[4]} == {task.ids[0].partition("-")[0], task.ids[0].partition("-")[0] + "-2"}
    of = dict(zip(task.ids, zip(task.queries, map(list, task.pools), strict=True), strict=True))
    captions = {id_: [task.candidates[c].text for c in pool] for id_, (_, pool) in of.items()}
    for seed in range(5):
        folder = tmp_path / str(seed)
        write(folder, NAME, in_order(columns, random.Random(seed).sample(range(5), 5)))
        moved = load(folder, NAME)
        assert {
            id_: [moved.candidates[c].text for c in pool] for id_, pool in zip(moved.ids, moved.pools, strict=True)
        } == captions

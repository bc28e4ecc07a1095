"""Rows that cannot be read: each error names the file, the row or column, and the value."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import Columns, as_v1, file_of, golden, load, write

from evalkit.errors import DataError

TEXT, SEARCH, PAIR, BOXES = "OK-VQA", "WebQA", "RefCOCO-Matching", "SCaR/RefCOCOg"
ALL = (TEXT, SEARCH, PAIR, BOXES)


def refused(folder: Path, name: str, *parts: object) -> str:
    """The message, on one line, that names all the parts."""
    with pytest.raises(DataError) as error:
        load(folder, name)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    return message


def changed(name: str, column: str, row: int, value: Any) -> Columns:
    columns = golden(name)
    columns[column][row] = value
    return columns


# --- files -------------------------------------------------------------------------------------------


def test_a_missing_file_names_every_place_that_was_looked_at(tmp_path):
    refused(tmp_path, TEXT, tmp_path / "OK-VQA/test-*.parquet", tmp_path / "mmeb/OK-VQA/test-*.parquet")
    places = [
        tmp_path / sub / file
        for sub in ("", "scar")
        for file in ("SCaR_eval_RefCOCOg.parquet", "SCAR_RefCOCOg_val_filtered.parquet")
    ]
    refused(tmp_path, BOXES, *places)


@pytest.mark.parametrize("name", [TEXT, BOXES])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="first half"),
        pytest.param(lambda data: data[:-1], id="last byte missing"),
        pytest.param(lambda data: data[len(data) // 2 :], id="second half"),
        pytest.param(lambda data: b"version https://git-lfs.github.com/spec/v1\n", id="a pointer of Git LFS"),
        pytest.param(lambda data: data[:4] + bytes(len(data) - 200) + data[-196:], id="zeros inside"),
    ],
)
def test_a_broken_file_is_named(name, damage, tmp_path):
    file = write(tmp_path, name, golden(name))
    file.write_bytes(damage(file.read_bytes()))
    refused(tmp_path, name, f"{file} is not a whole parquet file")


@pytest.mark.slow(0.7)
def test_whatever_happens_to_the_bytes_is_a_data_error(tmp_path):
    """Broken headers, lengths, names, encodings: 600 files, each with a few bytes changed or cut off."""
    file = write(tmp_path, SEARCH, golden(SEARCH))
    good, draw, outcomes = file.read_bytes(), random.Random(0), Counter()
    for turn in range(600):
        data = bytearray(good)
        if turn % 3 == 0:
            del data[draw.randrange(len(data)) :]
        for _ in range(draw.choice([1, 1, 5])):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        file.write_bytes(data)
        try:
            load(tmp_path, SEARCH)
        except DataError as error:
            outcomes["refused" if str(file) in str(error) else "refused, but what?"] += 1
        else:
            outcomes["read"] += 1  # a changed letter is a letter
    assert outcomes.keys() == {"refused", "read"}
    assert min(outcomes.values()) > 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path):
    file = write(tmp_path, TEXT, golden(TEXT))
    file.chmod(0)
    refused(tmp_path, TEXT, f"{file} cannot be read: Permission denied")


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    file = file_of(tmp_path, TEXT)
    file.parent.mkdir()
    file.symlink_to(tmp_path / "nowhere.parquet")
    message = refused(tmp_path, TEXT, file, "cannot be read")
    assert "fetch it again" not in message


def test_a_folder_for_a_file_is_refused(tmp_path):
    file_of(tmp_path, TEXT).mkdir(parents=True)
    refused(tmp_path, TEXT, file_of(tmp_path, TEXT))


@pytest.mark.parametrize("name", ALL)
def test_no_rows(name, tmp_path):
    file = write(tmp_path, name, pa.table(golden(name)).slice(0, 0))
    refused(tmp_path, name, f"{file} has no rows")


# --- columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column"),
    [(SEARCH, column) for column in ("qry_text", "qry_img_path", "tgt_text", "tgt_img_path")]
    + [(SEARCH, "qry_inst"), (SEARCH, "tgt_inst"), (TEXT, "tgt_inst")]
    + [(BOXES, column) for column in ("qry_text", "qry_image_path", "tgt_text", "bbox")],
)
def test_a_missing_column_is_named_with_those_that_are_there(name, column, tmp_path):
    columns = golden(name) | {"note": ["of mine"] * 3}
    del columns[column]
    file = write(tmp_path, name, columns)
    refused(tmp_path, name, f"{file}: column {column} is missing", f"there are {', '.join(columns)}")


def test_a_misspelt_column_is_among_those_that_are_there(tmp_path):
    columns = golden(SEARCH)
    columns["qry_txt"] = columns.pop("qry_text")
    write(tmp_path, SEARCH, columns)
    refused(tmp_path, SEARCH, "column qry_text is missing", "qry_txt")


@pytest.mark.parametrize(
    ("name", "column", "values", "kind"),
    [
        pytest.param(TEXT, "qry_text", [1, 2, 3], "int64", id="numbers for texts"),
        pytest.param(TEXT, "qry_text", [["a"], ["b"], ["c"]], "list<", id="lists for texts"),
        pytest.param(TEXT, "qry_img_path", [b"a", b"b", b"c"], "binary", id="bytes for texts"),
        pytest.param(TEXT, "qry_inst", [True, False, True], "bool", id="truths for texts"),
        pytest.param(TEXT, "tgt_text", ["a", "b", "c"], "string", id="texts for lists"),
        pytest.param(TEXT, "tgt_text", [[1], [2], [3]], "int64", id="lists of numbers"),
        pytest.param(SEARCH, "tgt_img_path", [{"a": "b"}] * 3, "struct", id="records for lists"),
        pytest.param(SEARCH, "tgt_img_path", [[["a"]]] * 3, "list<", id="lists of lists"),
        pytest.param(BOXES, "qry_image_path", [1.5, 2.5, 3.5], "double", id="fractions for texts"),
        pytest.param(BOXES, "tgt_text", ["a", "b", "c"], "string", id="SCaR: texts for lists"),
        pytest.param(BOXES, "neg_types", ["gt", "gt", "gt"], "string", id="SCaR: kinds that are no list"),
    ],
)
def test_a_column_of_another_type_is_named_with_its_type(name, column, values, kind, tmp_path):
    file = write(tmp_path, name, golden(name) | {column: values})
    refused(tmp_path, name, f"{file}: column {column} is of type", kind)


@pytest.mark.parametrize("convert", ["large_string", "large_list", "dictionary", "fixed list", "dictionary in list"])
@pytest.mark.parametrize("name", ALL)
def test_other_spellings_of_the_same_types_are_read(name, convert, tmp_path):
    table = pa.table(golden(name))
    fields = []
    for field in table.schema:
        kind = field.type
        listed = pa.types.is_list(kind) and pa.types.is_string(kind.value_type)
        if convert == "dictionary" and pa.types.is_string(kind):
            kind = pa.dictionary(pa.int32(), kind)
        elif convert == "large_string" and (listed or pa.types.is_string(kind)):
            kind = pa.list_(pa.large_string()) if listed else pa.large_string()
        elif convert == "large_list" and listed:
            kind = pa.large_list(pa.string())
        elif convert == "fixed list" and listed:
            kind = pa.list_(pa.string(), len(table[field.name][0]))
        elif convert == "dictionary in list" and listed:
            kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
        fields.append(pa.field(field.name, kind))
    assert fields != list(table.schema)
    columns = [
        pa.array(table[field.name].to_pylist(), field.type)
        if convert == "dictionary in list"
        else table[field.name].cast(field.type)
        for field in fields
    ]
    write(tmp_path / "plain", name, table)
    write(tmp_path / "other", name, pa.table(columns, schema=pa.schema(fields)))
    assert_same(load(tmp_path / "plain", name), load(tmp_path / "other", name))


def assert_same(one: Any, other: Any) -> None:
    """All but where it was read from."""
    assert (one.ids, one.labels, one.names) == (other.ids, other.labels, other.names)
    for left, right in ((one.queries, other.queries), (one.candidates, other.candidates)):
        assert [(i.prompt, i.text, i.instruction, i.region) for i in left] == [
            (i.prompt, i.text, i.instruction, i.region) for i in right
        ]
        assert [i.image and i.image.path for i in left] == [i.image and i.image.path for i in right]
    for left, right in ((one.pools, other.pools), (one.relevant, other.relevant)):
        assert [part.tolist() for part in left] == [part.tolist() for part in right]


@pytest.mark.parametrize("name", ALL)
def test_columns_that_are_not_needed_are_ignored(name, tmp_path):
    extra = {"category": [None] * 3, "segmentation": [[[1.0]], None, [[2.0]]], "original_caption": ["", "a", "b"]}
    write(tmp_path / "plain", name, golden(name))
    write(tmp_path / "extra", name, golden(name) | extra)
    assert_same(load(tmp_path / "plain", name), load(tmp_path / "extra", name))


def test_text_candidates_need_no_image_paths(tmp_path):
    columns = golden(TEXT)
    write(tmp_path / "whole", TEXT, columns)
    del columns["tgt_img_path"]
    write(tmp_path / "less", TEXT, columns)
    assert_same(load(tmp_path / "whole", TEXT), load(tmp_path / "less", TEXT))


# --- values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column"), [(TEXT, "tgt_text"), (SEARCH, "tgt_text"), (SEARCH, "tgt_img_path"), (BOXES, "tgt_text")]
)
def test_a_null_list_names_its_row(name, column, tmp_path):
    file = write(tmp_path, name, changed(name, column, 1, None))
    refused(tmp_path, name, f"{file}, row 1: {column} is null")


@pytest.mark.parametrize("name", [TEXT, SEARCH, BOXES])
def test_a_null_among_texts_names_its_row(name, tmp_path):
    texts = golden(name)["tgt_text"][2]
    file = write(tmp_path, name, changed(name, "tgt_text", 2, [*texts[:-1], None]))
    refused(tmp_path, name, f"{file}, row 2: tgt_text holds a null")


@pytest.mark.parametrize("name", ALL)
def test_an_empty_pool_names_its_row(name, tmp_path):
    columns = changed(name, "tgt_text", 1, [])
    if "tgt_img_path" in columns:
        columns["tgt_img_path"][1] = []
    file = write(tmp_path, name, columns)
    refused(tmp_path, name, f"{file}, row 1: the pool of candidates is empty")


@pytest.mark.parametrize("name", [SEARCH, PAIR])
def test_texts_and_images_of_different_number(name, tmp_path):
    file = write(tmp_path, name, changed(name, "tgt_img_path", 1, ["a.jpg", "b.jpg"]))
    refused(tmp_path, name, f"{file}, row 1: tgt_text has 6 entries, tgt_img_path has 2")


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(
    ("name", "column"), [(TEXT, "qry_img_path"), (PAIR, "qry_img_path"), (BOXES, "qry_image_path")]
)
def test_a_query_without_its_image_names_its_row(name, column, empty, tmp_path):
    file = write(tmp_path, name, changed(name, column, 2, empty))
    refused(tmp_path, name, f"{file}, row 2: {column} is empty")


def test_a_query_of_text_alone_needs_no_image(tmp_path):
    write(tmp_path, SEARCH, golden(SEARCH) | {"qry_img_path": [None, "", "never/read.jpg"]})
    assert all(query.image is None for query in load(tmp_path, SEARCH).queries)


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("name", [SEARCH, PAIR])
def test_a_candidate_without_its_image_names_row_and_place(name, empty, tmp_path):
    paths = golden(name)["tgt_img_path"][1]
    file = write(tmp_path, name, changed(name, "tgt_img_path", 1, [*paths[:3], empty, *paths[4:]]))
    refused(tmp_path, name, f"{file}, row 1: tgt_img_path holds an empty path at 3")


@pytest.mark.parametrize(("name", "column"), [(TEXT, "qry_text"), (SEARCH, "qry_inst"), (TEXT, "tgt_text")])
def test_text_that_is_not_utf8_names_its_row(name, column, tmp_path):
    file = write(tmp_path, name, golden(name))
    table = pq.read_table(file)
    wrong = [b"fine"] * 5 + [b"caf\xe9"]
    if column == "tgt_text":
        words = pa.Array.from_buffers(pa.string(), 6, pa.array(wrong).buffers())
        values = pa.ListArray.from_arrays(pa.array([0, 2, 6, 6], pa.int32()), words)
    else:
        values = pa.Array.from_buffers(pa.string(), 3, pa.array([b"fine", b"caf\xe9", b"fine"]).buffers())
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values), file)
    refused(tmp_path, name, f"{file}, row 1: {column} is not UTF-8")


@pytest.mark.parametrize(
    ("box", "says"),
    [
        pytest.param([1.0, 2.0, 3.0], "[1.0, 2.0, 3.0], not 4 numbers", id="three numbers"),
        pytest.param([1.0] * 5, "not 4 numbers", id="five numbers"),
        pytest.param([], "[], not 4 numbers", id="no numbers"),
        pytest.param(None, "None, not 4 numbers", id="null"),
        pytest.param([1.0, 2.0, None, 4.0], "[1.0, 2.0, None, 4.0], not 4 numbers", id="a null inside"),
        pytest.param([1.0, 2.0, float("nan"), 4.0], "[1.0, 2.0, nan, 4.0]", id="NaN"),
        pytest.param([1.0, 2.0, float("inf"), 4.0], "inf", id="infinite"),
        pytest.param([10.0, 2.0, -3.0, 4.0], "[10.0, 2.0, -3.0, 4.0]", id="negative width"),
        pytest.param([10.0, 2.0, 3.0, -4.0], "ends before it begins", id="negative height"),
    ],
)
def test_a_wrong_box_names_its_row_and_value(box, says, tmp_path):
    file = write(tmp_path, BOXES, changed(BOXES, "bbox", 1, box))
    refused(tmp_path, BOXES, f"{file}, row 1: bbox", says)


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([["1", "2", "3", "4"]] * 3, id="texts"),
        pytest.param(["[1, 2, 3, 4]"] * 3, id="a list as text"),
        pytest.param([[True] * 4] * 3, id="truths"),
        pytest.param([{"x": 1}] * 3, id="records"),
    ],
)
def test_a_box_that_is_no_numbers(boxes, tmp_path):
    file = write(tmp_path, BOXES, golden(BOXES) | {"bbox": boxes})
    refused(tmp_path, BOXES, f"{file}, row 0: bbox is", "not 4 numbers")


def test_the_right_caption_comes_first(tmp_path):
    kinds = ["gt"] + ["object_swap"] * 9
    write(tmp_path, BOXES, golden(BOXES) | {"neg_types": [kinds] * 3})
    assert len(load(tmp_path, BOXES).queries) == 3
    file = write(tmp_path, BOXES, golden(BOXES) | {"neg_types": [kinds, kinds, kinds[::-1]]})
    refused(tmp_path, BOXES, f"{file}, row 2: neg_types begins with 'object_swap'")


# --- several files -----------------------------------------------------------------------------------


def shards(folder: Path, name: str, change: Callable[[Columns], object], to: int = 1) -> list[Path]:
    """Three files of three rows; one of them is changed."""
    files = []
    for number in range(3):
        columns = golden(name)
        if number == to:
            change(columns)
        files.append(write(folder, name, columns, f"test-0000{number}-of-00003"))
    return files


def test_errors_count_rows_in_their_own_file(tmp_path):
    files = shards(tmp_path, SEARCH, lambda c: c["tgt_text"].__setitem__(2, None))
    refused(tmp_path, SEARCH, f"{files[1]}, row 2: tgt_text is null")


def test_a_task_knows_the_file_of_each_of_its_rows(tmp_path):
    files = shards(tmp_path, SEARCH, lambda c: None)
    task = load(tmp_path, SEARCH)
    assert list(map(task.where, range(9))) == [f"{file}, row {row}" for file in files for row in range(3)]
    assert load(write(tmp_path, BOXES, golden(BOXES)).parent, BOXES).where(1).endswith("RefCOCOg.parquet, row 1")


def test_errors_count_rows_past_a_file_without_rows(tmp_path):
    files = shards(tmp_path, SEARCH, lambda c: c["tgt_img_path"].__setitem__(0, ["one.jpg"]), to=2)
    pq.write_table(pa.table(golden(SEARCH)).slice(0, 0), files[1])
    refused(tmp_path, SEARCH, f"{files[2]}, row 0: tgt_text has 6 entries, tgt_img_path has 1")


def test_a_broken_file_among_several_is_named(tmp_path):
    files = shards(tmp_path, SEARCH, lambda c: None)
    files[2].write_bytes(files[2].read_bytes()[:100])
    refused(tmp_path, SEARCH, f"{files[2]} is not a whole parquet file")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda c: c.pop("qry_text"), id="one column less"),
        pytest.param(lambda c: [c.pop("qry_inst"), c.pop("tgt_inst"), c.update(as_v1(golden(SEARCH)))], id="layout v1"),
    ],
)
def test_files_whose_columns_differ_are_refused(change, tmp_path):
    """Else the missing values would read as empty texts."""
    files = shards(tmp_path, SEARCH, change)
    refused(tmp_path, SEARCH, files[1], files[0], "has the columns")


def test_files_whose_types_differ_are_refused(tmp_path):
    files = shards(tmp_path, SEARCH, lambda c: c.update(qry_text=[1, 2, 3]))
    refused(tmp_path, SEARCH, files[0], "different types", "qry_text")


def test_nothing_of_a_row_is_said_beyond_the_limit(tmp_path):
    """``limit`` reads the first rows only, whatever comes after them."""
    write(tmp_path, SEARCH, changed(SEARCH, "tgt_text", 2, None))
    assert len(load(tmp_path, SEARCH, limit=2).queries) == 2
    refused(tmp_path, SEARCH, "row 2: tgt_text is null")

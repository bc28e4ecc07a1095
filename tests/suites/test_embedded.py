"""Images that the rows hold themselves, as the hub's Image feature has them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pytest
from builders import Columns, draw_images, golden, load, run, tasks_of, write

from evalkit.errors import DataError, ImageError
from evalkit.runs.signature import parts

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCAR = "SCaR/RefCOCOg"
NAMES = ("WebQA", "OK-VQA", "RefCOCO-Matching", SCAR)


def columns_of(name: str) -> Columns:
    columns = golden(name)
    if "bbox" in columns:
        columns["bbox"] = [[1.0, 1.0, 2.0, 2.0]] * 3
    return columns


def embedded(folder: Path, columns: Columns, *, paths: bool = True, held: Any = lambda path: True) -> pa.Table:
    """The rows with their images inside; those that are not ``held`` stay paths."""

    def cell(path: str) -> dict[str, Any] | None:
        if not path:
            return None
        data = (folder / "images" / path).read_bytes() if held(path) else None
        return {"bytes": data, "path": path if paths or data is None else None}

    made: dict[str, Any] = {}
    for column, values in columns.items():
        if not column.endswith(("img_path", "image_path")):
            made[column] = pa.array(values)
        elif isinstance(values[0], str):
            made[column] = pa.array([cell(value) for value in values], STRUCT)
        else:
            made[column] = pa.array([[cell(value) for value in pool] for pool in values], pa.list_(STRUCT))
    return pa.table(made)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", ["all", "some"])
def test_images_in_the_rows_give_the_numbers_of_their_files(name, kept, tmp_path):
    columns = columns_of(name)
    draw_images(tmp_path / "files", columns)
    write(tmp_path / "files", name, columns)
    table = embedded(tmp_path / "files", columns, held=lambda path: kept == "all" or ord(path[-5]) % 2)
    write(tmp_path / "rows", name, table)
    more = [] if kept == "all" else ["--images", tmp_path / "files/images"]
    assert run(tmp_path / "one", "random", tasks=name, data=tmp_path / "files") == 0
    assert run(tmp_path / "other", "random", tasks=name, data=tmp_path / "rows", more=more) == 0
    assert tasks_of(tmp_path / "one") == tasks_of(tmp_path / "other")


@pytest.mark.parametrize("name", NAMES)
def test_without_paths_the_images_are_the_same_but_called_by_their_digests(name, tmp_path):
    columns = columns_of(name)
    draw_images(tmp_path / "files", columns)
    write(tmp_path / "rows", name, embedded(tmp_path / "files", columns, paths=False))
    write(tmp_path / "files", name, columns)
    anonymous, named = load(tmp_path / "rows", name), load(tmp_path / "files", name)
    for one, other in zip(
        (*anonymous.queries, *anonymous.candidates), (*named.queries, *named.candidates), strict=True
    ):
        assert (one.prompt, one.text) == (other.prompt, other.text)
        assert (one.image is None) == (other.image is None)
        if one.image is not None and other.image is not None:
            assert one.image.read() == other.image.read()
            assert one.image.path == hashlib.sha256(one.image.read()).hexdigest()[:16]
            assert one.image.facts() == other.image.facts()
    assert run(tmp_path / "runs", "random", tasks=name, data=tmp_path / "rows") == 0


def test_two_images_of_one_name_are_two(tmp_path):
    """As ``image.jpg`` in each row; the names do not depend on the order of the rows."""
    columns = columns_of("OK-VQA")
    draw_images(tmp_path, columns)
    files = [(tmp_path / "images" / path).read_bytes() for path in columns["qry_img_path"]]
    assert len(set(files)) == 3
    signatures = []
    for order in ([0, 1, 2], [2, 0, 1]):
        made = {column: [values[row] for row in order] for column, values in columns.items()}
        cells = pa.array([{"bytes": files[row], "path": "image.jpg"} for row in order], STRUCT)
        write(tmp_path / f"{order}", "OK-VQA", pa.table(made | {"qry_img_path": cells}))
        task = load(tmp_path / f"{order}", "OK-VQA")
        assert [query.image.read() for query in task.queries] == [files[row] for row in order]
        assert all(query.image.path.startswith("image.jpg#") for query in task.queries)
        assert run(tmp_path / f"runs{order}", "random", tasks="OK-VQA", data=tmp_path / f"{order}") == 0
        signatures.append(parts(tasks_of(tmp_path / f"runs{order}")["OK-VQA"]["signature"])["data"])
    assert signatures[0] == signatures[1]


def test_a_held_image_is_looked_at_as_files_are(tmp_path):
    columns = columns_of("OK-VQA")
    draw_images(tmp_path / "files", columns)
    table = embedded(tmp_path / "files", columns)
    cells = table.column("qry_img_path").to_pylist()
    for data, says in ((b"words", "is not one of JPEG"), (b"", "(0 bytes) is not one of")):
        cells[1] = {"bytes": data, "path": "OK-VQA/bad.png"}
        write(tmp_path / "rows", "OK-VQA", table.set_column(2, "qry_img_path", pa.array(cells, STRUCT)))
        assert run(tmp_path / f"runs{len(data)}", "random", tasks="OK-VQA", data=tmp_path / "rows") == 4
        error = tasks_of(tmp_path / f"runs{len(data)}")["OK-VQA"]["error"]
        assert error["type"] == "ImageError"
        assert says in error["message"]
        assert "bad.png" in error["message"]
        assert error["message"].endswith("row 1")


def test_a_path_without_bytes_is_looked_up_with_all_care(tmp_path):
    columns = columns_of("OK-VQA")
    draw_images(tmp_path, columns)
    cells = pa.array([{"bytes": None, "path": "../secret.png"}] * 3, STRUCT)
    write(tmp_path, "OK-VQA", pa.table(columns | {"qry_img_path": cells}))
    with pytest.raises(ImageError, match="leaves the images folder"):
        load(tmp_path, "OK-VQA").queries[0].image.read()
    cells = pa.array([{"bytes": None, "path": None}] * 3, STRUCT)
    write(tmp_path, "OK-VQA", pa.table(columns | {"qry_img_path": cells}))
    with pytest.raises(DataError, match="row 0: qry_img_path is empty"):
        load(tmp_path, "OK-VQA")


def test_inspect_shows_held_images_by_their_digests(tmp_path, capsys):
    from builders import command

    columns = columns_of("RefCOCO-Matching")
    draw_images(tmp_path / "files", columns)
    write(tmp_path / "rows", "RefCOCO-Matching", embedded(tmp_path / "files", columns))
    assert command("inspect", "RefCOCO-Matching", "--data", tmp_path / "rows", "--json", "--limit", "1") == 0
    row = json.loads(capsys.readouterr().out)
    data = (tmp_path / "files/images" / columns["qry_img_path"][0]).read_bytes()
    assert row["query"]["image_sha256"] == hashlib.sha256(data).hexdigest()
    assert "image" not in row["query"]
    assert all("image_sha256" in candidate for candidate in row["candidates"])
    assert command("inspect", "RefCOCO-Matching", "--data", tmp_path / "rows", "--limit", "1") == 0
    assert f"{columns['qry_img_path'][0]} (held in the rows)" in capsys.readouterr().out


def test_a_column_of_other_structs_is_refused(tmp_path):
    columns = columns_of("OK-VQA")
    write(tmp_path, "OK-VQA", pa.table(columns | {"qry_img_path": pa.array([{"url": "x"}] * 3)}))
    with pytest.raises(DataError, match="column qry_img_path is of type struct"):
        load(tmp_path, "OK-VQA")


def test_inspect_says_what_items_of_held_images_are_for(tmp_path, capsys):
    from builders import command

    columns = columns_of("OK-VQA")
    draw_images(tmp_path / "files", columns)
    write(tmp_path / "rows", "OK-VQA", embedded(tmp_path / "files", columns))
    assert command("inspect", "OK-VQA", "--data", tmp_path / "rows", "--items") == 0
    printed = capsys.readouterr()
    assert "precomputed: finds vectors by it" in printed.err
    (tmp_path / "items.jsonl").write_text(printed.out, encoding="utf-8")
    to = ["--output", tmp_path / "vectors.npz"]
    assert command("embed", "--model", "random", "--input", tmp_path / "items.jsonl", *to) == 2
    assert "a digest alone is for the items of precomputed:" in capsys.readouterr().err
    write(tmp_path / "files", "OK-VQA", columns)
    assert command("inspect", "OK-VQA", "--data", tmp_path / "files", "--items") == 0
    assert "precomputed:" not in capsys.readouterr().err


# --- one name, several images ------------------------------------------------------------------------


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("path", ["a.png", "NIGHTS/a.png"])
def test_a_path_is_a_file_whatever_another_column_holds_under_it(path, tmp_path):
    columns = golden("NIGHTS")
    columns["tgt_img_path"], columns["tgt_text"] = [[path, "b.png", "c.png"]] * 3, [[""] * 3] * 3
    for name in (path, "b.png", "c.png"):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture("blue"))
    held = {"bytes": picture("red"), "path": path}
    write(tmp_path, "NIGHTS", pa.table(columns | {"qry_img_path": pa.array([held] * 3, STRUCT)}))
    task = load(tmp_path, "NIGHTS")
    assert [query.image.read() for query in task.queries] == [picture("red")] * 3
    assert [candidate.image.read() for candidate in task.candidates] == [picture("blue")] * 3


@pytest.mark.parametrize("name", ["OK-VQA", SCAR])
@pytest.mark.parametrize("path", ["a.png", "some/a.png"])
def test_a_path_without_bytes_is_a_file_whatever_another_row_holds_under_it(name, path, tmp_path):
    columns = columns_of(name)
    column = "qry_image_path" if name == SCAR else "qry_img_path"
    file = tmp_path / "images" / path
    file.parent.mkdir(parents=True)
    file.write_bytes(picture("blue"))
    cells = [{"bytes": data, "path": path} for data in (picture("red"), None, picture("red"))]
    write(tmp_path, name, pa.table(columns | {column: pa.array(cells, STRUCT)}))
    found = [query.image.read() for query in load(tmp_path, name).queries]
    assert found == [picture("red"), picture("blue"), picture("red")]


@pytest.mark.parametrize("path", ["a.png", "NIGHTS/a.png"])
def test_candidates_of_one_path_are_as_many_as_their_images(path, tmp_path):
    """Or each of them would be right."""
    columns = golden("NIGHTS")
    pool = [{"bytes": picture(colour), "path": path} for colour in ("red", "blue", "green")]
    made = {"tgt_img_path": pa.array([pool] * 3, pa.list_(STRUCT)), "tgt_text": [[""] * 3] * 3}
    draw_images(tmp_path, columns)
    write(tmp_path, "NIGHTS", pa.table(columns | made))
    task = load(tmp_path, "NIGHTS")
    assert [candidate.image.read() for candidate in task.candidates] == [picture(c) for c in ("red", "blue", "green")]
    assert [right.tolist() for right in task.relevant] == [[0]] * 3


@pytest.mark.parametrize("path", ["image.jpg", "all/image.jpg", None])
def test_ids_do_not_depend_on_the_rows_that_are_not_read(path, tmp_path):
    cells = [{"bytes": picture(colour), "path": path} for colour in ("red", "blue", "green")]
    write(tmp_path, "OK-VQA", pa.table(golden("OK-VQA") | {"qry_img_path": pa.array(cells, STRUCT)}))
    whole, part = load(tmp_path, "OK-VQA"), load(tmp_path, "OK-VQA", limit=1)
    assert part.ids[0] == whole.ids[0]
    assert part.queries[0].image.path == whole.queries[0].image.path
    assert part.names[0] == whole.names[0]

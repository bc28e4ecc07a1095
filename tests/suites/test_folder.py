"""Own tasks as folders: what is read, in either form, and what each bad file gets."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ownfolders import CARD, QUERIES, TEXTS, Row, as_parquet, draw, write_folder, write_lines

from evalkit.errors import DataError, EvalkitError, UsageError
from evalkit.items import Box, Item, Mask, Point, Points
from evalkit.items.images import ImageFile
from evalkit.suites.folderrows import QueryFields
from evalkit.suites.own import COUNTED, SAID
from evalkit.suites.task import LoadOptions, Task


def refused(folder: Path, *parts: object, kind: type[EvalkitError] = DataError) -> str:
    """The message, on one line, that names all the parts."""
    before = sorted(folder.rglob("*")) if folder.is_dir() else []
    with pytest.raises(kind) as error:
        Task.from_folder(folder)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    assert before == (sorted(folder.rglob("*")) if folder.is_dir() else [])
    return message


def right(task: Task) -> dict[str, set[str]]:
    """By the id of a query, the names of its right candidates."""
    return {
        id_: {task.names[number] for number in numbers.tolist()}
        for id_, numbers in zip(task.ids, task.relevant, strict=True)
    }


def pool(task: Task, query: str) -> list[str]:
    """The texts that a query is ranked against."""
    return [task.candidates[number].text for number in task.pools[task.ids.index(query)].tolist()]


# --- what is read ------------------------------------------------------------------------------------


def test_the_least_task(tmp_path):
    task = Task.from_folder(write_folder(tmp_path))
    assert task.queries == [Item("red", "red"), Item("yellow", "yellow")]
    assert task.ids == ["q1", "q2"]
    assert task.candidates == [Item(row["text"], row["text"]) for row in TEXTS]
    assert task.names == ["a", "b", "c"]
    assert [numbers.tolist() for numbers in task.pools] == [[0, 1, 2]] * 2
    assert right(task) == {"q1": {"c"}, "q2": {"b"}}
    assert task.where(1) == f"{tmp_path}/queries.jsonl, line 2"
    assert task.warnings == ()
    card = task.card
    assert (card.name, card.title, card.suite, card.groups, card.version) == ("mine", "Mine", "own", (), 1)
    assert (card.meta_task, card.pool, card.queries, card.candidates) == ("own", "shared", 2, 3)
    assert (card.query_modality, card.candidate_modality, card.sources) == ("text", "text", ())


def test_what_a_card_may_say(tmp_path):
    facts = {
        "version": 3, "meta_task": "retrieval", "licence": "MIT", "citation": "@misc{me}", "notes": ["One.", "Two."],
        "metrics": ["precision_at_1"], "query_instruction": "Find it.", "candidate_instruction": "Embed it.",
        "suite": "own", "queries": 2, "candidates": 3, "pool": "shared", "query_modality": "text",
        "candidate_modality": "text",
    }  # fmt: skip
    task = Task.from_folder(write_folder(tmp_path, card=facts))
    said = task.card.model_dump(mode="json")
    assert {key: said[key] for key in facts} == facts
    assert task.queries[0] == Item("Find it. red", "red", "Find it.")
    assert task.candidates[0] == Item("Embed it. an apple", "an apple", "Embed it.")


def test_an_instruction_of_the_card_is_for_rows_that_say_nothing(tmp_path):
    queries = [
        {"id": "1", "text": "red", "label": 0},
        {"id": "2", "text": "red", "instruction": "Mine.", "label": 0},
        {"id": "3", "text": "red", "instruction": "", "label": 0},
        {"id": "4", "text": "red", "prompt": "Mine: red", "label": 0},
    ]
    task = Task.from_folder(write_folder(tmp_path, queries, card={"query_instruction": "Find it."}))
    assert [(item.prompt, item.instruction) for item in task.queries] == [
        ("Find it. red", "Find it."),
        ("Mine. red", "Mine."),
        ("red", ""),
        ("Mine: red", ""),
    ]


def test_labels_of_all_kinds(tmp_path):
    labels = ["b", 1, "a banana", ["b"], [1], ["c", 0], ["a cherry", "a"]]
    rows = [{"id": str(number), "text": "x", "label": label} for number, label in enumerate(labels)]
    found = right(Task.from_folder(write_folder(tmp_path, rows)))
    assert list(found.values()) == [{"b"}] * 5 + [{"a", "c"}] * 2


def test_pools_of_all_kinds(tmp_path):
    """Ids, items, both, and all of the file; an item of one query is none of another's."""
    new = {"id": "d", "text": "a date"}
    rows = [
        {"id": "ids", "text": "x", "candidates": ["c", "a"], "label": "c"},
        {"id": "items", "text": "x", "candidates": [new, {"text": "an elder"}], "label": "an elder"},
        {"id": "both", "text": "x", "candidates": [new, "b"], "label": 0},
        {"id": "all", "text": "x", "label": "a"},
    ]
    task = Task.from_folder(write_folder(tmp_path, rows))
    assert pool(task, "ids") == ["a cherry", "an apple"]
    assert pool(task, "items") == ["a date", "an elder"]
    assert pool(task, "both") == ["a date", "a banana"]
    assert pool(task, "all") == ["an apple", "a banana", "a cherry"]
    assert right(task) == {"ids": {"c"}, "items": {"an elder"}, "both": {"d"}, "all": {"a"}}
    assert len(task.candidates) == 5, "each item once"
    assert (task.card.pool, task.card.candidates) == ("own", 3)


def test_ids_of_a_pool_are_its_own(tmp_path):
    """As answers of a multiple choice are called."""
    choices = [[{"id": "A", "text": text}, {"id": "B", "text": other}] for text, other in (("x", "y"), ("y", "z"))]
    rows = [{"id": str(i), "text": "?", "candidates": choice, "label": "B"} for i, choice in enumerate(choices)]
    task = Task.from_folder(write_folder(tmp_path, rows, None))
    assert [task.candidates[int(numbers[0])].text for numbers in task.relevant] == ["y", "z"]
    assert task.labels == ["y", "B"], "what is A to one and B to another is called by its text"


def test_without_a_file_of_candidates_strings_are_texts(tmp_path):
    rows = [{"id": "1", "text": "x", "candidates": ["y", "z"], "label": "z"}]
    task = Task.from_folder(write_folder(tmp_path, rows, None))
    assert (pool(task, "1"), right(task)) == (["y", "z"], {"1": {"z"}})


def test_candidates_in_no_pool_are_left_out_and_said(tmp_path):
    rows = [{"id": "1", "text": "x", "candidates": ["a", "c"], "label": "c"}]
    task = Task.from_folder(write_folder(tmp_path, rows))
    assert [item.text for item in task.candidates] == ["an apple", "a cherry"]
    assert task.warnings == ("1 of 3 candidates are in no query's pool",)


def test_regions_and_images(tmp_path):
    for name in ("a.png", "below/b.png"):
        draw(tmp_path / "images" / name)
    PIL.Image.new("L", (8, 6), 255).save(tmp_path / "m.png")
    image = {"image": "images/a.png", "label": "a"}
    rows = [
        {"id": "none", **image},
        {"id": "windows", "image": "images\\below\\b.png", "label": "a"},
        {"id": "box", **image, "box": [0, 1.0, 2.5, 3]},
        {"id": "point", **image, "point": [4, 5.5]},
        {"id": "points", **image, "points": [[1, 2]], "negative_points": [[3, 4.0]]},
        {"id": "mask", **image, "mask": "m.png"},
    ]
    candidates = [*TEXTS, {"id": "picture", "side": "candidate", "image": "images/a.png", "text": "an apple"}]
    task = Task.from_folder(write_folder(tmp_path, rows, candidates))
    assert [query.region for query in task.queries] == [
        None,
        None,
        Box(0, 1, 2.5, 3),
        Point(4, 5.5),
        Points((Point(1, 2),), (Point(3, 4),)),
        Mask(ImageFile(tmp_path, "m.png", upright=False)),
    ]
    assert task.queries[2].prompt == "<image>\nReferring object bbox: [0, 1, 2.5, 3]", "a pixel is 1, not 1.0"
    assert [query.image and query.image.upright for query in task.queries] == [True] * 2 + [False] * 4
    assert task.queries[1].image == ImageFile(tmp_path, "images/below/b.png")
    assert task.candidates[3] == Item(
        "<image> an apple", "an apple", image=ImageFile(tmp_path, "images/a.png", upright=True)
    )
    assert (task.card.query_modality, task.card.candidate_modality) == ("image+region", "image+text")
    turned = task.under(LoadOptions(limit=2, upright=False))
    assert [query.image and query.image.upright for query in turned.queries] == [False, False]
    assert (len(turned.queries), turned.complete) == (2, False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="byte-order mark"),
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda data: b"\n  \n" + data.replace(b"\n", b"\n\n\t\n"), id="blank lines"),
        pytest.param(lambda data: data.rstrip(b"\n"), id="no last line end"),
    ],
)
def test_other_spellings_of_the_same_files(change: Callable[[bytes], bytes], tmp_path):
    plain = Task.from_folder(write_folder(tmp_path / "plain"))
    other = write_folder(tmp_path / "other")
    for file in other.iterdir():
        file.write_bytes(change(file.read_bytes()))
    task = Task.from_folder(other)
    assert (task.queries, task.candidates, task.ids, right(task), task.card) == (
        plain.queries,
        plain.candidates,
        plain.ids,
        right(plain),
        plain.card,
    )


def test_null_is_left_out(tmp_path):
    """As pandas writes what is missing."""
    empty = dict.fromkeys(("prompt", "instruction", "image", "box", "point", "mask", "candidates", "side"))
    task = Task.from_folder(write_folder(tmp_path, [row | empty for row in QUERIES], [TEXTS[0] | empty, *TEXTS[1:]]))
    assert (task.queries, right(task)) == ([Item("red", "red"), Item("yellow", "yellow")], {"q1": {"c"}, "q2": {"b"}})


def test_a_folder_by_a_link_and_links_within_it(tmp_path):
    draw(tmp_path / "mine/images/a.png")
    (tmp_path / "mine/images/b.png").symlink_to("a.png")
    (tmp_path / "mine/pictures").symlink_to("images")
    rows = [{"id": str(i), "image": f"{place}.png", "label": 0} for i, place in enumerate(["images/b", "pictures/a"])]
    write_folder(tmp_path / "mine", rows)
    (tmp_path / "link").symlink_to("mine")
    for name in ("mine", "link"):
        task = Task.from_folder(tmp_path / name)
        assert [query.image is not None and query.image.rgb().size for query in task.queries] == [(8, 6)] * 2


def test_the_lines_that_the_page_shows_are_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs/tasks-of-your-own.md").read_text(encoding="utf-8")
    both, alone = re.findall(r"^```json\n(.*?)^```$", page, re.M | re.S)
    draw(tmp_path / "both/images/a.jpg")
    candidates = [{"id": "square", "text": "a square"}, {"id": "circle", "text": "a circle"}]
    task = Task.from_folder(write_folder(tmp_path / "both", both.splitlines(), candidates))
    assert task.queries[0].prompt == "<image> What is in it?\nReferring object bbox: [8, 18, 40, 50]"
    assert task.queries[0].region_text.strip() in page
    assert right(task) == {"q1": {"circle"}, "q2": {"circle"}}
    assert right(Task.from_folder(write_folder(tmp_path / "alone", alone.splitlines(), None))) == {"q3": {"blue"}}


def test_the_page_has_every_field_and_key():
    page = (Path(__file__).parents[2] / "docs/tasks-of-your-own.md").read_text(encoding="utf-8")
    cells = [name for cell in re.findall(r"^\| (`.*?`) \|", page, re.M) for name in re.findall(r"`(\w+)`", cell)]
    assert set(cells) == {*SAID, *COUNTED, *QueryFields.model_fields} - {"side"}


# --- parquet -----------------------------------------------------------------------------------------


def whole(task: Task) -> tuple[Any, ...]:
    """Everything but where it was read from."""

    def seen(items: Sequence[Item]) -> list[Any]:
        return [
            (i.prompt, i.text, i.instruction, i.region_text, *((image.upright, image.facts()) for image in i.images))
            for i in items
        ]

    numbers = [part.tolist() for part in (*task.pools, *task.relevant)]
    said = (task.card, task.ids, task.names, task.labels, task.warnings)
    return (*said, seen(task.queries), seen(task.candidates), numbers)


def test_parquet_says_the_same(tmp_path):
    draw(tmp_path / "lines/images/a.png")
    queries = [
        {"id": "1", "image": "images/a.png", "box": [0, 1, 2, 3], "text": "x", "candidates": ["a", "b"], "label": "a"},
        {"id": "2", "image": "images/a.png", "point": [1.5, 2.5], "candidates": ["b", "c"], "label": "c"},
        {"id": "3", "text": "y", "label": "b"},
    ]
    lines = Task.from_folder(write_folder(tmp_path / "lines", queries))
    draw(tmp_path / "parquet/images/a.png")
    folder = write_folder(tmp_path / "parquet", None)
    as_parquet(folder / "queries.parquet", queries)
    assert whole(lines) == whole(Task.from_folder(folder))
    as_parquet(folder / "candidates.parquet", TEXTS)
    other = Task.from_folder(folder)
    assert whole(lines) == whole(other)
    assert other.where(2) == f"{folder}/queries.parquet, row 2"


def held(path: Path) -> Row:
    """An image as the hub's Image feature has it."""
    return {"bytes": path.read_bytes(), "path": path.name}


def test_parquet_may_hold_images(tmp_path):
    """Of queries, of candidates in lists, and masks; others are paths all the same."""
    for number, name in enumerate(("a", "b", "c")):
        draw(tmp_path / f"files/images/{name}.png", number)
    mask = tmp_path / "files/m.png"
    PIL.Image.new("L", (8, 6), 255).save(mask)
    images = {name: tmp_path / f"files/images/{name}.png" for name in "abc"}
    choices = [{"id": name, "image": f"images/{name}.png"} for name in "bc"]
    queries = [
        {"id": "1", "image": "images/a.png", "mask": "m.png", "candidates": choices, "label": "b"},
        {"id": "2", "image": "images/b.png", "candidates": choices[::-1], "label": ["c", "b"]},
    ]
    files = Task.from_folder(write_folder(tmp_path / "files", queries, None))

    folder = write_folder(tmp_path / "held", None, None)
    draw(folder / "images/b.png", 1)
    in_rows = [
        {
            **query,
            "image": held(images["a"]) if query["id"] == "1" else {"bytes": None, "path": "images/b.png"},
            "mask": held(mask) if "mask" in query else None,
            "candidates": [choice | {"image": held(images[choice["id"]])} for choice in query["candidates"]],
            "label": query["label"] if isinstance(query["label"], list) else [query["label"]],
        }
        for query in queries
    ]
    as_parquet(folder / "queries.parquet", in_rows)
    task = Task.from_folder(folder)
    assert whole(files) == whole(task)
    first, second = (query.image for query in task.queries)
    assert first is not None
    assert first.held is not None
    assert second == ImageFile(folder, "images/b.png")


def test_a_table_of_pandas(tmp_path):
    """Its index is no column, whole numbers with gaps are fractions, and what is missing is null."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "id": ["1", "2", "3", "4"],
            "text": ["x", "y", None, "z"],
            "image": [None, None, "a.png", None],
            "box": [None, None, [0.0, 1.0, 2.0, 3.5], None],
            "label": [0, None, 2, 1],
        }
    ).iloc[[0, 2, 3]]
    draw(tmp_path / "a.png")
    folder = write_folder(tmp_path, None)
    frame.to_parquet(folder / "queries.parquet")
    assert "__index_level_0__" in pq.read_schema(folder / "queries.parquet").names
    from_parquet = Task.from_folder(folder)
    (folder / "queries.parquet").unlink()
    frame.to_json(folder / "queries.jsonl", orient="records", lines=True)
    assert whole(from_parquet) == whole(Task.from_folder(folder))
    assert right(from_parquet) == {"1": {"a"}, "3": {"c"}, "4": {"b"}}
    assert from_parquet.queries[1].region_text == "\nReferring object bbox: [0, 1, 2, 3.5]"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_other_spellings_of_text_in_parquet(kind, tmp_path):
    folder = write_folder(tmp_path, None)
    table = pa.table({name: [row[name] for row in QUERIES] for name in ("id", "text", "label")})
    fields = [pa.field(name, kind) for name in table.column_names]
    columns = [pa.array(table[name].to_pylist(), pa.string()).cast(kind) for name in table.column_names]
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), folder / "queries.parquet")
    assert right(Task.from_folder(folder)) == {"q1": {"c"}, "q2": {"b"}}


# --- properties --------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=8)


@st.composite
def tasks(draw: Callable[[Any], Any]) -> tuple[list[Row], list[Row]]:
    """Queries with pools of all kinds, of candidates that may be alike; labels by id."""
    candidates = [{"id": f"c{i}", "text": text} for i, text in enumerate(draw(st.lists(texts, min_size=1, max_size=6)))]
    ids = [row["id"] for row in candidates]
    queries = []
    for number in range(draw(st.integers(1, 5))):
        row: Row = {"id": f"q{number}", "text": draw(texts)}
        own = draw(st.none() | st.lists(st.sampled_from(ids), min_size=1, unique=True))
        if own is not None:
            row["candidates"] = [one if draw(st.booleans()) else candidates[ids.index(one)] for one in own]
        row["label"] = draw(st.lists(st.sampled_from(own or ids), min_size=1, max_size=2))
        queries.append(row)
    return queries, candidates


def facts(task: Task) -> dict[str, tuple[Any, ...]]:
    """By query: its item, its label, and the items and names of its pool and of what is right, whatever their order."""

    def called(numbers: Any) -> list[tuple[str, str]]:
        return sorted((task.candidates[c].text, task.names[c]) for c in set(numbers.tolist()))

    return {
        id_: (task.queries[row], task.labels[row], called(task.pools[row]), called(task.relevant[row]))
        for row, id_ in enumerate(task.ids)
    }


@pytest.mark.slow(2)
@given(made=tasks(), data=st.data())
def test_the_order_of_lines_and_candidates_never_matters(
    made: tuple[list[Row], list[Row]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries, candidates = made
    folder = tmp_path_factory.mktemp("own")
    one = Task.from_folder(write_folder(folder / "one", queries, candidates))
    shuffled = [
        row | ({"candidates": data.draw(st.permutations(row["candidates"]))} if "candidates" in row else {})
        for row in data.draw(st.permutations(queries))
    ]
    other = Task.from_folder(write_folder(folder / "other", shuffled, data.draw(st.permutations(candidates))))
    assert facts(one) == facts(other)
    assert one.card == other.card


@pytest.mark.slow(2)
@settings(max_examples=20)
@given(made=tasks())
def test_lines_and_parquet_say_the_same(
    made: tuple[list[Row], list[Row]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries, candidates = made
    folder = tmp_path_factory.mktemp("own")
    queries = [  # a column of parquet has one type
        row | {"candidates": [one if isinstance(one, str) else one["id"] for one in row["candidates"]]}
        if "candidates" in row
        else row
        for row in queries
    ]
    one = Task.from_folder(write_folder(folder / "one", queries, candidates))
    other = write_folder(folder / "other", None, None)
    as_parquet(other / "queries.parquet", queries)
    as_parquet(other / "candidates.parquet", candidates)
    assert whole(one) == whole(Task.from_folder(other))


@given(data=st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_whatever_stands_in_a_line_is_an_error_of_evalkit(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_folder(tmp_path_factory.mktemp("own"), [QUERIES[0], data, QUERIES[1]])
    try:
        Task.from_folder(folder)
    except DataError as error:
        assert f"{folder}/queries.jsonl, line" in str(error)  # noqa: PT017
    else:
        assert not data.strip(), "blank lines alone say nothing"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(key=st.sampled_from(["id", "side", "prompt", "text", "image", "box", "point", "points", "negative_points",
                            "mask", "candidates", "label", "instruction"]), value=json_values)  # fmt: skip
def test_whatever_a_key_says_is_read_or_an_error_of_evalkit(
    key: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write_folder(tmp_path_factory.mktemp("own"), [QUERIES[0], QUERIES[1] | {key: value}])
    try:
        Task.from_folder(folder)
    except DataError as error:
        assert f"{folder}/queries.jsonl, line 2" in str(error)  # noqa: PT017


# --- bad folders -------------------------------------------------------------------------------------


def test_no_folder(tmp_path):
    refused(tmp_path / "no", "does not exist", f"evalkit new task {tmp_path}/no", kind=UsageError)
    file = write_folder(tmp_path / "mine") / "card.toml"
    refused(file, "is a file", f"folder, {file.parent}", kind=UsageError)


def test_a_folder_that_is_no_task_is_named_with_what_it_has(tmp_path):
    for number in range(12):
        (tmp_path / f"file-{number:02}.txt").touch()
    (tmp_path / "below").mkdir()
    said = refused(tmp_path, "it has no card.toml", "below/, file-00.txt", "… (13 in all)", kind=UsageError)
    assert "file-11" not in said
    refused(write_folder(tmp_path / "new", card=None), "candidates.jsonl, queries.jsonl", kind=UsageError)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "(it has nothing)", "evalkit new task DIR", kind=UsageError)


def test_no_queries(tmp_path):
    write_folder(tmp_path, None)
    (tmp_path / "query.jsonl").touch()
    refused(tmp_path, "no queries.jsonl and no queries.parquet", "card.toml, query.jsonl", kind=UsageError)


@pytest.mark.parametrize("name", ["queries", "candidates"])
def test_both_forms_at_once(name, tmp_path):
    as_parquet(tmp_path / f"{name}.parquet", TEXTS)
    refused(write_folder(tmp_path), f"{tmp_path}/{name}.jsonl and {name}.parquet are both there: keep one")


@pytest.mark.parametrize("name", ["card.toml", "queries.jsonl", "candidates.jsonl", "images/a.png", "images"])
def test_a_link_that_leads_out_is_refused_and_may_be_let(name, tmp_path):
    rows = [{"id": "1", "image": "images/a.png", "label": 0}]
    draw(tmp_path / "mine/images/a.png")
    folder = write_folder(tmp_path / "mine", rows)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, Path(name).name, "link that leads out", tmp_path / "elsewhere", "--follow-links")
    (query,) = Task.from_folder(folder, follow_links=True).queries
    assert query.image is not None
    assert query.image.rgb().size == (8, 6)


def test_a_pipe_is_not_waited_for(tmp_path):
    folder = write_folder(tmp_path, None)
    os.mkfifo(folder / "queries.jsonl")
    refused(folder, folder / "queries.jsonl", "it is no file but a pipe")
    (folder / "queries.jsonl").unlink()
    (folder / "queries.parquet").mkdir()
    refused(folder, folder / "queries.parquet", "it is no file but a folder")
    (folder / "queries.parquet").rmdir()
    write_folder(folder, [{"id": "1", "image": "a.png", "label": 0}])
    os.mkfifo(folder / "a.png")
    refused(folder, "queries.jsonl, line 1", "image 'a.png' is no file")


def test_a_file_beyond_all_measure(tmp_path):
    folder = write_folder(tmp_path)
    with (folder / "queries.jsonl").open("ab") as file:
        file.truncate(300 << 20)  # without a byte on the disk
    refused(folder, folder / "queries.jsonl", "300 MiB", "at most 256", "parquet may be larger")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["card.toml", "queries.jsonl"])
def test_a_file_without_permission_says_so(name, tmp_path):
    (write_folder(tmp_path) / name).chmod(0)
    refused(tmp_path, tmp_path / name, "Permission denied")


# --- bad cards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "parts"),
    [
        pytest.param("", ["name is missing"], id="empty"),
        pytest.param('name = "mine"', ["title is missing"], id="no title"),
        pytest.param('name = "mine"\ntitle = " "', ["title is ' '"], id="blank title"),
        pytest.param('name = 7\ntitle = "t"', ["name is 7"], id="a number for a name"),
        pytest.param('name = "a b"\ntitle = "t"', ["name is 'a b'", "letters, digits and"], id="name"),
        pytest.param('name = "../x"\ntitle = "t"', ["name is '../x'"], id="name that climbs"),
        pytest.param('name = "mine"\ntitel = "t"', ["'titel' is not known", "near: title"], id="misspelt"),
        pytest.param(CARD + 'family = "x"', ["'family' is not known", "name, title, version"], id="unknown"),
        pytest.param(CARD + 'suite = "mmeb"', ["suite is not 'own'"], id="suite"),
        pytest.param(CARD + 'title = "u"', ["no TOML", "overwrite"], id="twice"),
        pytest.param("name: mine", ["no TOML", "line 1"], id="YAML"),
        pytest.param(CARD + "version = 0", ["version is 0"], id="version"),
        pytest.param(CARD + 'meta_task = "ocr"', ["meta_task is 'ocr'", "'retrieval'"], id="meta_task"),
        pytest.param(CARD + 'metrics = ["mrr"]', ["precision_at_1"], id="metrics"),
        pytest.param(CARD + "notes = 5", ["notes is 5"], id="notes"),
        pytest.param(CARD + "query_instruction = 5", ["query_instruction is 5"], id="instruction"),
        pytest.param(CARD + "queries = 3", ["queries is 3", "rows say 2"], id="queries"),
        pytest.param(CARD + "candidates = 2", ["candidates is 2", "rows say 3"], id="candidates"),
        pytest.param(CARD + 'pool = "own"', ["pool is 'own'", "rows say 'shared'"], id="pool"),
        pytest.param(CARD + 'query_modality = "image"', ["query_modality is 'image'", "'text'"], id="query_modality"),
        pytest.param(CARD + 'candidate_modality = "x"', ["candidate_modality is 'x'", "'text'"], id="modality"),
        pytest.param(CARD + "a = " + "[" * 5000, ["no TOML"], id="nested"),
    ],
)  # fmt: skip
def test_bad_cards(card, parts, tmp_path):
    refused(write_folder(tmp_path, card=card), f"{tmp_path}/card.toml", *parts)


def test_a_card_that_is_no_text(tmp_path):
    (write_folder(tmp_path) / "card.toml").write_bytes(b'name = "\xff"')
    refused(tmp_path, f"{tmp_path}/card.toml", "no UTF-8", "save the file as UTF-8")


# --- bad rows ----------------------------------------------------------------------------------------

Q: Row = {"id": "q", "text": "x", "label": "a"}


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("nonsense", ["no JSON (Expecting value at column 1)"]),
        ('{"id": "q", "text": "x", ', ["no JSON"]),
        ('{"id": "q"} {"id": "r"}', ["no JSON", "one JSON object a line"]),
        ("[1]", ["'[1]' is no JSON object"]),
        ("[" * 100_000, ["lists in lists"]),
        ('{"id": "q", "id": "r", "text": "x", "label": 0}', ["key 'id' is there twice"]),
        ('{"id": "q", "candidates": [{"text": "x", "text": "y"}], "label": 0}', ["key 'text' is there twice"]),
        ('{"id": "q", "text": "\\ud800", "label": 0}', ["'\\ud800' is half a letter"]),
        ('{"id": "q", "text": "x", "label": ' + "9" * 5000 + "}", ["no JSON"]),
        ({"text": "x", "label": "a"}, ["key 'id' is missing"]),
        (Q | {"id": ""}, ["id is ''"]),
        (Q | {"id": 7}, ["id is 7"]),
        (Q | {"id": "q1"}, ["id 'q1' is that of line 1"]),
        (Q | {"side": "candidate"}, ["side is 'candidate'", "'query'"]),
        (Q | {"lable": "a"}, ["key 'lable' is not known", "near: label", "id, side, prompt, text"]),
        ({"id": "q", "label": "a"}, ["nothing to embed"]),
        ({"id": "q", "instruction": "Find it.", "label": "a"}, ["nothing to embed"]),
        (Q | {"text": 5}, ["text is 5"]),
        (Q | {"text": ["x"] * 500}, ["text is ['x', 'x'", "…: Input should be a valid string"]),
        ({"id": "q", "text": "x"}, ["key 'label' is missing"]),
        (Q | {"label": None}, ["key 'label' is missing"]),
        (Q | {"label": "d"}, ["label 'd' is not in its pool of 3", "'a', 'b', 'c'"]),
        (Q | {"label": "an aple"}, ["label 'an aple' is not in its pool", "an apple"]),
        (Q | {"label": "x" * 100_000}, ["label 'xxx", "'a', 'b', 'c'"]),
        (Q | {"candidates": ["y" * 100_000]}, ["candidates[0] is 'yyy", "which is no id"]),
        (Q | {"z" * 100_000: 1}, ["key 'zzz"]),
        (Q | {"label": 3}, ["label 3 is not in its pool of 3", "0 to 2"]),
        (Q | {"label": -1}, ["label -1 is not in its pool of 3"]),
        (Q | {"label": True}, ["label True is no label"]),
        (Q | {"label": 1.5}, ["label 1.5 is no label"]),
        (Q | {"label": []}, ["label is empty"]),
        (Q | {"label": ["a", "z"]}, ["label 'z' is not in its pool"]),
        (Q | {"label": {"id": "a"}}, ["is no label"]),
        (Q | {"candidates": ["a", "b"], "label": "c"}, ["label 'c' is not in its pool of 2"]),
        (Q | {"candidates": []}, ["it has no candidates"]),
        (Q | {"candidates": "a"}, ["candidates is 'a'", "list"]),
        (Q | {"candidates": ["a", "aa"]}, ["candidates[1] is 'aa', which is no id in", "candidates.jsonl; near: a"]),
        (Q | {"candidates": ["a", 1]}, ["candidates[1] is 1", "give an item, or an id"]),
        (Q | {"candidates": ["a", ""]}, ["candidates[1] is ''"]),
        (Q | {"candidates": [None]}, ["candidates[0] is None"]),
        (Q | {"candidates": [{"text": "x", "txt": "y"}]}, ["candidates[0]: key 'txt' is not known", "near: text"]),
        (Q | {"candidates": [{"id": "a"}]}, ["candidates[0]: there is nothing to embed"]),
        (Q | {"candidates": [{"text": "x", "label": 1}]}, ["candidates[0]: key 'label' is not known"]),
        (Q | {"candidates": [{"id": "a", "text": "x"}, "a"]}, ["two of its candidates have the id 'a'"]),
        (Q | {"candidates": [{"text": "x", "side": "query"}]}, ["candidates[0]: side is 'query'"]),
        (Q | {"box": [1, 2, 3, 4]}, ["box is given without an image"]),
        (Q | {"image": "a.png", "box": [1, 2, 3]}, ["box"]),
        (Q | {"image": "a.png", "box": [3, 2, 1, 4]}, ["box [3, 2, 1, 4] ends before it begins"]),
        (Q | {"image": "a.png", "box": [1, 2, 3, "4"]}, ["box[3] is '4'"]),
        ('{"id": "q", "image": "a.png", "box": [1, 2, 3, NaN], "label": 0}', ["box[3] is nan", "finite"]),
        ('{"id": "q", "image": "a.png", "box": [1, 2, 3, 1' + "0" * 400 + '], "label": 0}', ["larger than any image"]),
        (Q | {"image": "a.png", "box": [1, 2, 3, 4], "point": [1, 2]}, ["box and point are given"]),
        (Q | {"image": "a.png", "points": []}, ["points need at least one"]),
        (Q | {"image": "b.png"}, ["image 'b.png' is missing", "put it there"]),
        (Q | {"image": "A.PNG"}, ["image 'A.PNG' is missing", "but 'a.png' is there"]),
        (Q | {"image": "a.png/x"}, ["image 'a.png/x' is missing"]),
        (Q | {"image": "a.png", "mask": "m.png"}, ["image 'm.png' is missing"]),
        (Q | {"image": ""}, ["image is ''"]),
        (Q | {"image": "../a.png"}, ["'../a.png' leaves", "refused"]),
        (Q | {"image": "/etc/passwd"}, ["'/etc/passwd' leaves", "refused"]),
        (Q | {"image": "C:\\a.png"}, ["drive", "refused"]),
        (Q | {"image": "\\\\server\\a.png"}, ["backslash", "refused"]),
        (Q | {"image": "a\0.png"}, ["refused"]),
        (Q | {"image": "."}, ["refused"]),
        (Q | {"image": "x" * 5000}, ["cannot be looked up"]),
    ],
)  # fmt: skip
def test_bad_queries(row, parts, tmp_path):
    """The one error names file, line and value, and nothing is written."""
    draw(tmp_path / "a.png")
    message = refused(
        write_folder(tmp_path, [*QUERIES, row]), f"{tmp_path}/queries.jsonl, line 3: ".rstrip(": "), *parts
    )
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"id": "a", "text": "again"}, ["id 'a' is that of line 1"]),
        (TEXTS[0], ["id 'a' is that of line 1"]),
        ({"id": "d"}, ["nothing to embed"]),
        ({"id": "d", "text": "x", "side": "query"}, ["side is 'query'", "'candidate'"]),
        ({"id": "d", "text": "x", "label": 1}, ["key 'label' is not known: the keys are id, side, prompt"]),
        ({"id": "d", "image": "no.png"}, ["image 'no.png' is missing"]),
        ("a date", ["no JSON"]),
        ('"a date"', ["is no JSON object"]),
    ],
)  # fmt: skip
def test_bad_candidates(row, parts, tmp_path):
    refused(write_folder(tmp_path, candidates=[*TEXTS, row]), f"{tmp_path}/candidates.jsonl, line 4", *parts)


@pytest.mark.parametrize("name", ["queries", "candidates"])
def test_files_without_rows_and_without_text(name, tmp_path):
    folder = write_folder(tmp_path)
    file = folder / f"{name}.jsonl"
    for data in (b"", b"\n \n", b"\xef\xbb\xbf"):
        file.write_bytes(data)
        refused(folder, f"{file} has no rows", "one JSON object a line")
    write_lines(file, [{"id": "z", "text": "z", "label": 0}, b"\xff\xfe"])
    refused(folder, f"{file}, line 2", "byte 0xff is no UTF-8 text")


def test_no_candidates_at_all(tmp_path):
    message = refused(write_folder(tmp_path, candidates=None), "queries.jsonl, line 1", "key 'candidates' is missing")
    assert "no candidates.jsonl" in message


def broken(file: Path) -> None:
    file.write_bytes(b"PAR1 this is no parquet file")


def not_utf8(file: Path) -> None:
    ids = pa.array([b"1", b"\xff"], pa.binary())
    pq.write_table(pa.table({"id": pa.Array.from_buffers(pa.string(), 2, ids.buffers()), "text": ["x", "y"]}), file)


def no_rows(file: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), file)


def two_columns(file: Path) -> None:
    pq.write_table(pa.table([["a"], ["b"]], names=["id", "id"]), file)


def table(**columns: Any) -> Callable[[Path], None]:
    return lambda file: pq.write_table(pa.table({"id": ["1"], "text": ["x"], "label": [0]} | columns), file)


@pytest.mark.parametrize(
    ("write", "parts"),
    [
        pytest.param(broken, ["not a whole parquet file"], id="broken"),
        pytest.param(lambda file: file.touch(), ["not a whole parquet file"], id="empty"),
        pytest.param(no_rows, ["has no rows"], id="no rows"),
        pytest.param(two_columns, ["two columns called id"], id="twice"),
        pytest.param(not_utf8, ["not UTF-8"], id="not UTF-8"),
        pytest.param(table(id=[7]), ["row 0", "id is 7"], id="numbers for ids"),
        pytest.param(table(id=[None]), ["row 0", "key 'id' is missing"], id="null"),
        pytest.param(table(split=["test"]), ["row 0", "key 'split' is not known"], id="another column"),
        pytest.param(table(image=[b"png"]), ["row 0", "image is b'png'"], id="bytes for an image"),
        pytest.param(table(image=[{"bytes": b"x", "size": 1}]), ["row 0", "image is {"], id="another struct"),
        pytest.param(table(image=["../x.png"]), ["row 0", "leaves", "refused"], id="a path out"),
        pytest.param(table(label=["z"]), ["row 0", "label 'z' is not in its pool"], id="label"),
    ],
)  # fmt: skip
def test_bad_parquet(write, parts, tmp_path):
    folder = write_folder(tmp_path, None)
    write(folder / "queries.parquet")
    refused(folder, folder / "queries.parquet", *parts)


def test_an_image_that_is_none_fails_when_it_is_read(tmp_path):
    """Images are looked for, and opened when they are embedded."""
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (2, 2)).save(buffer, "PNG")
    folder = write_folder(tmp_path, None)
    as_parquet(
        folder / "queries.parquet", [{"id": "1", "image": {"bytes": buffer.getvalue()[:20], "path": None}, "label": 0}]
    )
    (query,) = Task.from_folder(folder).queries
    assert query.image is not None
    with pytest.raises(DataError):
        query.image.rgb()


def test_inputs_stay_as_they_are(tmp_path):
    folder = write_folder(tmp_path)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    Task.from_folder(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert json.loads(before["queries.jsonl"].splitlines()[0]) == QUERIES[0]

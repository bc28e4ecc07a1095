"""Tasks of people's own from rows in memory: what becomes of queries, candidates and labels."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import DataError
from evalkit.items import Box, Item, Mask, Point
from evalkit.items.keys import content_digest
from evalkit.suites.card import OWN
from evalkit.suites.task import LoadOptions, Task

datasets = pytest.importorskip("datasets")
pd = pytest.importorskip("pandas")
COLOURS = ["red", "green", "blue", "white", "black", "yellow"]


def picture(colour: str, size: tuple[int, int] = (12, 8)) -> PIL.Image.Image:
    return PIL.Image.new("RGB", size, colour)


def encoded(image: PIL.Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def right(task: Task) -> list[list[str]]:
    """Names of the right candidates of each query."""
    return [[task.names[number] for number in numbers] for numbers in task.relevant]


def rows(n: int = 6) -> list[dict[str, Any]]:
    return [
        {"q": f"what is {number}?", "image": picture(colour), "answer": colour, "box": [1, 1, 5, 5]}
        for number, colour in enumerate(COLOURS[:n])
    ]


def as_dataset(kept: list[dict[str, Any]]) -> Any:
    features = datasets.Features(
        {
            "q": datasets.Value("string"),
            "image": datasets.Image(),
            "answer": datasets.Value("string"),
            "box": datasets.List(datasets.Value("int64")),
        }
    )
    return datasets.Dataset.from_list(kept, features=features)


def columns() -> dict[str, Any]:
    named = {"query_text": "q", "query_image": "image", "query_box": "box"}
    return {"name": "mine", **named, "candidates": COLOURS, "label": "answer"}


# --- the same rows, however they are held ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "held",
    [
        rows,
        lambda: pd.DataFrame(rows()),
        lambda: pd.DataFrame(rows(), index=list("zyxwvu")),
        lambda: as_dataset(rows()),
        lambda: as_dataset(rows()).with_format("numpy"),
        lambda: as_dataset(rows()[::-1]).select(range(5, -1, -1)),
        lambda: as_dataset(rows()).to_iterable_dataset(),
    ],
)
def test_rows_frames_and_data_sets_give_one_task(held: Any) -> None:
    task = Task.from_rows(held(), **columns())
    assert [item.text for item in task.queries] == [row["q"] for row in rows()]
    assert [item.region for item in task.queries] == [Box(1, 1, 5, 5)] * 6
    assert [item.image.rgb().getpixel((3, 3)) for item in task.queries if item.image] == [
        picture(colour).getpixel((3, 3)) for colour in COLOURS
    ]
    assert task.names == COLOURS
    assert right(task) == [[colour] for colour in COLOURS]
    card = task.card
    assert (card.suite, card.meta_task, card.queries, card.candidates, card.pool) == (OWN, "own", 6, 6, "shared")
    assert (card.query_modality, card.candidate_modality) == ("image+region", "text")
    assert card.groups == ()
    assert task.complete


def test_the_three_ways_are_one() -> None:
    assert Task.from_pandas.__func__ is Task.from_dataset.__func__ is Task.from_rows.__func__  # type: ignore[attr-defined]


def test_a_data_set_gives_the_files_that_it_holds_and_not_what_it_would_decode(tmp_path: Path) -> None:
    """Their digests are those of the files, so that their vectors are those of the same files in a folder."""
    files = []
    for number, kind in enumerate(("PNG", "JPEG", "PNG")):
        (tmp_path / f"{number}.img").write_bytes(encoded(picture(COLOURS[number]), kind))
        files.append(str(tmp_path / f"{number}.img"))
    held = datasets.Dataset.from_dict({"image": files, "label": [0, 1, 2]}).cast_column("image", datasets.Image())
    embedded = held.map(lambda row: row)  # writes the bytes into the table
    of_table = Task.from_dataset(embedded, name="t", query_image="image", candidates=COLOURS)
    of_paths = Task.from_rows([{"image": file, "label": n} for n, file in enumerate(files)], name="t",
                              query_image="image", candidates=COLOURS)  # fmt: skip
    for one, other in zip(of_table.queries, of_paths.queries, strict=True):
        assert one.image is not None
        assert other.image is not None
        assert one.image.sha256() == other.image.sha256()
        assert one.image.facts() == other.image.facts()


def test_the_classes_of_a_label_are_the_candidates_where_nothing_else_is_said() -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    held = datasets.Dataset.from_dict({"image": [picture("red"), picture("blue")], "label": [1, 0]}, features=features)
    task = Task.from_dataset(held, name="pets", query_image="image")
    assert task.names == ["cat", "dog"]
    assert right(task) == [["dog"], ["cat"]]


@pytest.mark.parametrize("own", [False, True], ids=["one pool", "own pools"])
def test_a_class_that_the_pool_has_at_another_number_is_no_label(own: bool) -> None:
    pool = ["dog", "cat", "eel"]
    kinds: dict[str, Any] = {"q": datasets.Value("string"), "label": datasets.ClassLabel(names=["cat", "dog", "eel"])}
    columns: dict[str, Any] = {"q": ["a", "b"], "label": [2, 1]}
    if own:
        kinds["pool"], columns["pool"] = datasets.List(datasets.Value("string")), [pool, pool]
    held = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
    with pytest.raises(DataError, match="row 1: label 1 is the class 'dog', and candidate 1 is 'cat'"):
        Task.from_dataset(held, name="pets", query_text="q", candidates="pool" if own else pool)
    named = [f"a photo of a {name}" for name in pool]  # what is called otherwise goes by its number
    assert right(Task.from_dataset(held, name="pets", query_text="q", candidates=named)) == [named[2:], named[1:2]]


def test_a_stream_of_images_that_somebodys_code_made_is_read() -> None:
    held = as_dataset(rows()).to_iterable_dataset()
    stream = held.map(lambda row: row | {"image": row["image"].rotate(180)})  # whose columns nobody knows
    turned = Task.from_dataset(stream, **columns())
    assert [item.image.rgb().size for item in turned.queries if item.image is not None] == [(12, 8)] * 6
    assert turned.labels == Task.from_dataset(held, **columns()).labels

    def none() -> Any:
        yield from ()

    with pytest.raises(DataError, match="there is no column"):
        Task.from_dataset(datasets.IterableDataset.from_generator(none), **columns())


def test_a_path_as_text_is_not_embedded_as_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("red").save(tmp_path / "red.png")
    asked = [{"text": "a", "label": 0}]
    texts = ["red.png", "blue.png"]
    said = r"candidate 0: 'red\.png' is a text, and an image of that name is there"
    with pytest.raises(DataError, match=said):
        Task.from_rows(asked, name="t", candidates=texts, images=tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=said):
        Task.from_rows(asked, name="t", candidates=texts)
    assert Task.from_rows(asked, name="t", candidates=["blue.png"]).card.candidate_modality == "text"
    assert Task.from_rows(asked, name="t", candidates=[{"text": "red.png"}]).card.candidate_modality == "text"
    assert Task.from_rows(asked, name="t", candidates=[Path("red.png")]).card.candidate_modality == "image"


def test_a_task_can_be_copied_and_sent_to_another_process() -> None:
    task = Task.from_dataset(as_dataset(rows()), **columns())
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):  # noqa: S301  (its own)
        assert (other.card, other.ids, other.labels) == (task.card, task.ids, task.labels)
        for mine, theirs in zip(task.queries, other.queries, strict=True):
            assert content_digest(mine) == content_digest(theirs)
            assert mine.image is not None
            assert theirs.image is not None
            assert mine.image.rgb() == theirs.image.rgb()


def test_a_transform_is_not_passed_over() -> None:
    held = as_dataset(rows())
    turned = held.with_transform(lambda batch: batch | {"image": [image.rotate(90) for image in batch["image"]]})
    with pytest.raises(DataError, match="has a transform"):
        Task.from_dataset(turned, **columns())
    assert (
        Task.from_dataset(turned.with_format(None), **columns()).queries == Task.from_dataset(held, **columns()).queries
    )


@pytest.mark.parametrize("pool", [pd.Series(["x", "y"]), pd.Series(["x", "y", "x"]).unique(), np.array(["x", "y"])])
def test_a_pool_may_be_a_column(pool: Any) -> None:
    assert Task.from_rows([{"text": "a", "label": "y"}], name="t", candidates=pool).names == ["x", "y"]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (1, ["green"]),
        (np.int64(2), ["blue"]),
        (2.0, ["blue"]),
        ("red", ["red"]),
        (["red", 2], ["red", "blue"]),
        (np.array([0, 1]), ["red", "green"]),
        (("blue", "blue"), ["blue"]),
        (pd.Series(["blue", "green"]), ["green", "blue"]),
    ],
)
def test_labels_are_numbers_texts_or_several(label: object, names: list[str]) -> None:
    task = Task.from_rows([{"text": "a", "label": label}], name="t", candidates=COLOURS)
    assert right(task) == [names]


@pytest.mark.parametrize(
    "label", [6, -1, "pink", [], ["red", "pink"], None, float("nan"), True, 1.5, {"a": 1}, [None], pd.NA, ""]
)
def test_a_label_that_is_none_names_its_row(label: object) -> None:
    kept = [{"text": "a", "label": 0}, {"text": "b", "label": label}]
    with pytest.raises(DataError, match=r"^row 1: "):
        Task.from_rows(kept, name="t", candidates=COLOURS)


def test_a_label_that_is_nearly_there_is_told_what_is() -> None:
    with pytest.raises(DataError, match=r"row 0: label 'yelow' is not in its pool of 6 \(near: 'yellow'"):
        Task.from_rows([{"text": "a", "label": "yelow"}], name="t", candidates=COLOURS)


def test_own_pools_ids_and_candidates_of_all_kinds(tmp_path: Path) -> None:
    picture("red").save(tmp_path / "red.png")
    kept = [
        {"text": "a", "candidates": ["x", picture("red"), tmp_path / "red.png"], "label": 1},
        {"text": "b", "candidates": [{"id": "k1", "text": "x"}, {"id": "k2", "image": picture("blue")}], "label": "k2"},
        {"text": "c", "candidates": [Item(text="y"), {"bytes": encoded(picture("red")), "path": "a.png"}], "label": 0},
    ]
    task = Task.from_rows(kept, name="t")
    assert task.card.pool == "own"
    assert [len(pool) for pool in task.pools] == [3, 2, 2]
    assert task.pools[0][0] == task.pools[1][0]  # the same text is one candidate, whatever calls it
    assert right(task)[1] == ["k2"]
    assert right(task)[2] == ["y"]
    assert task.card.candidate_modality == "image+text"


def test_copies_of_what_is_right_are_right() -> None:
    task = Task.from_rows([{"text": "a", "label": 0}], name="t", candidates=["x", "y", "x"])
    assert len(task.candidates) == 2
    assert task.pools[0].tolist() == [0, 1, 0]
    assert task.relevant[0].tolist() == [0]


@given(st.permutations(range(6)), st.permutations(COLOURS))
def test_the_order_of_rows_and_candidates_changes_no_id_and_no_answer(order: list[int], pool: list[str]) -> None:
    kept = [{"text": f"{number}", "label": COLOURS[number]} for number in range(6)]
    first = Task.from_rows(kept, name="t", candidates=COLOURS)
    other = Task.from_rows([kept[place] for place in order], name="t", candidates=pool)
    assert dict(zip(first.ids, right(first), strict=True)) == dict(zip(other.ids, right(other), strict=True))


def test_ids_are_those_given_and_each_is_one_querys() -> None:
    kept = [{"text": "a", "label": 0, "no": 7}, {"text": "b", "label": 0, "no": 8}]
    assert Task.from_rows(kept, name="t", candidates=["x"], id="no").ids == ["7", "8"]
    kept[1]["no"] = 7
    with pytest.raises(DataError, match="row 1: id '7' is that of row 0, too"):
        Task.from_rows(kept, name="t", candidates=["x"], id="no")


@pytest.mark.parametrize("hold", [list, pd.DataFrame, datasets.Dataset.from_list])
def test_rows_with_the_keys_of_items_have_their_ids_too(hold: Any) -> None:
    kept = [{"id": "q7", "text": "a", "label": 0}, {"id": "q8", "text": "b", "label": 0}]
    assert Task.from_rows(hold(kept), name="t", candidates=["x"]).ids == ["q7", "q8"]
    assert "q7" not in Task.from_rows(hold(kept), name="t", query_text="text", candidates=["x"]).ids


def test_two_images_of_one_file_name_are_two_images(tmp_path: Path) -> None:
    """What shares an image shares a cluster in every interval; the file name alone would say so of strangers."""
    for folder, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        picture(colour).save(tmp_path / folder / "1.png")
    kept = [{"image": tmp_path / folder / "1.png", "label": 0} for folder in ("a", "b")]
    task = Task.from_rows(kept, name="t", query_image="image", candidates=["x"])
    assert [item.image.path for item in task.queries if item.image] == ["a/1.png", "b/1.png"]
    assert [item.image.rgb().getpixel((0, 0)) for item in task.queries if item.image] == [(255, 0, 0), (0, 0, 255)]


def test_a_folder_for_images_may_not_be_left(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture("red").save(tmp_path / "out.png")
    for path in ("../out.png", str(tmp_path / "out.png")):
        task = Task.from_rows([{"image": path, "label": 0}], name="t", candidates=["x"], images=tmp_path / "in")
        with pytest.raises(DataError, match="refused"):
            task.queries[0].image.read()  # type: ignore[union-attr]


# --- what is asked of a table ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"query_image": "img"}, "there is no column 'img'; there are 'q', 'image', 'answer', 'box'"),
        ({"label": "ans"}, "there is no column 'ans'"),
        ({"label": [0, 1]}, r"label is \[0, 1\]: give the name of a column"),
        ({"query_text": 0}, "query_text is 0: give the name of a column"),
        ({"candidates": "pool"}, "there is no column 'pool'"),
        ({"candidates": "q"}, "row 0, column 'q': 'what is 0.' is no list of candidates"),
        ({"id": "no"}, "there is no column 'no'"),
        ({"query_image": "q"}, None),  # a path that is looked for when it is embedded
        ({"query_image": "box"}, "row 0, column 'box': .* is no image"),
        ({"query_text": "image"}, "row 0, column 'image': .* is no text"),
        ({"query_box": "answer"}, "row 0, column 'answer': 'red': 4 numbers are wanted"),
        ({"query_image": None}, "row 0, column 'box': box is given without an image"),
        ({"candidates": None}, "nothing says what the candidates are"),
        ({"candidates": []}, "row 0: it has no candidates"),
        ({"candidates": [3]}, "candidates, candidate 0: 3 is no candidate"),
        ({"candidates": ["a", ""]}, "candidates, candidate 1: there is nothing to embed"),
        ({"candidates": [Item()]}, "candidates, candidate 0: there is nothing to embed"),
        (
            {"candidates": ["a", {"id": "b", "text": None}], "candidate_instruction": "Find:"},
            "candidates, candidate 1: there is nothing to embed",
        ),
        ({"candidates": [{"txt": "a"}]}, "'txt' is no key of an item"),
        ({"candidates": "red"}, "there is no column 'red'"),
        ({"name": "my task"}, "name is 'my task': it is of letters, digits and"),
        ({"name": None}, "name is None"),
        ({"name": "x" * 201}, "name has 201 letters"),
        ({"metrics": ["mrr"]}, "precision_at_1"),
        ({"meta_task": "cooking"}, "meta_task is 'cooking'"),
    ],
)
@pytest.mark.parametrize("held", [rows, lambda: as_dataset(rows())], ids=["rows", "data set"])
def test_what_is_wrong_is_named(held: Any, said: dict[str, Any], message: str | None) -> None:
    if message is None:
        Task.from_rows(held(), **columns() | said)
        return
    with pytest.raises(DataError, match=message):
        Task.from_rows(held(), **columns() | said)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (7, "int is no table"),
        ("rows.csv", "str is no table"),
        ({"text": "a"}, "dict is no table"),
        ([], "there is no column 'label'"),
        ([3], "row 0: 3 is no mapping"),
        (datasets.DatasetDict({"train": datasets.Dataset.from_dict({"q": ["a"]})}), "splits 'train': choose one"),
        (pd.DataFrame([[1, 2, 0]], columns=["text", "text", "label"]), "column 'text' twice"),
        ([{"text": "", "label": 0}], "row 0: the query has neither text nor image"),
        ([{"image": None, "label": 0}], "row 0: the query has neither text nor image"),
        ([{"text": None, "instruction": "Find:", "label": 0}], "row 0: the query has neither text nor image"),
        ([{"text": "a", "negative_points": [[1, 1]], "label": 0}], "'negative_points': they are given without points"),
        (
            [{"image": picture("red"), "box": [0, 0, 1, 1], "negative_points": [[1, 1]], "label": 0}],
            "row 0, column 'negative_points': they are given without points",
        ),
        (
            [{"text": "a", "label": "7", "candidates": [{"id": 7, "text": "x"}, {"id": "7", "text": "y"}]}],
            "row 0, column 'candidates': two candidates have the id '7'",
        ),
        ([{"label": 0}], "nothing says what the queries are"),
        ([{"text": "half \ud800", "label": 0}], "row 0, column 'text': .* is no Unicode text"),
        (
            [{"text": "a", "label": 0, "candidates": ["\udfff"]}],
            "column 'candidates', candidate 0: .* no Unicode",
        ),
        ([{"image": picture("red"), "box": [5, 5, 1, 1], "label": 0}], "row 0, column 'box': .* ends before it begins"),
        ([{"image": picture("red"), "box": [0, 0, 1, 1], "point": [1, 1], "label": 0}], "at most one region"),
        ([{"image": np.zeros((4, 4)), "label": 0}], "array of float64, shape .4, 4. .* is no image"),
    ],
)
def test_what_is_no_table_of_queries_is_named(table: Any, message: str) -> None:
    own = isinstance(table, list) and any("candidates" in row for row in table if isinstance(row, dict))
    with pytest.raises(DataError, match=message):
        Task.from_rows(table, name="t", candidates=None if own else ["x"])


def test_regions_of_all_kinds() -> None:
    import torch

    mask = np.zeros((8, 12), dtype=bool)
    mask[2:4, 3:6] = True
    kept = [
        {"image": picture("red"), "point": [3, 4], "label": 0},
        {"image": picture("red"), "mask": mask, "label": 0},
        {"image": picture("red"), "points": [[1, 1], [2, 2]], "negative_points": [[5, 5]], "label": 0},
    ]
    kept += [
        {"image": picture("red"), key: region, "label": 0}
        for key, region in (
            ("box", Box(1, 1, 5, 5)),
            ("point", Point(3, 4)),
            ("mask", Mask(mask)),
            ("box", torch.tensor([1, 1, 5, 5])),
        )
    ]
    queries = Task.from_rows(kept, name="t", candidates=["x"]).queries
    assert [item.region for item in queries[3:]] == [Box(1, 1, 5, 5), Point(3, 4), queries[1].region, Box(1, 1, 5, 5)]
    assert queries[0].region == Point(3, 4)
    assert isinstance(queries[1].region, Mask)
    assert queries[1].region.image.rgb().getbbox() == (3, 2, 6, 4)
    assert all(item.image is not None and not item.image.upright for item in queries)


# --- the user's choices ---------------------------------------------------------------------------------------


def test_a_limit_keeps_the_first_queries_and_their_candidates_alone() -> None:
    kept = [{"text": str(n), "candidates": [f"{n} a", f"{n} b", "all"], "label": 1} for n in range(5)]
    whole = Task.from_rows(kept, name="t")
    few = whole.under(LoadOptions(limit=2))
    assert not few.complete
    assert few.names == ["0 a", "0 b", "all", "1 a", "1 b"]
    assert right(few) == [["0 b"], ["1 b"]]
    assert whole.under(LoadOptions()) is whole


def test_a_pool_of_all_queries_stays_one_under_a_limit() -> None:
    kept = [{"text": str(n), "label": n} for n in range(5)]
    few = Task.from_rows(kept, name="t", candidates=COLOURS).under(LoadOptions(limit=3))
    assert few.pools[0] is few.pools[2]
    assert (few.names, right(few)) == (COLOURS, [["red"], ["green"], ["blue"]])


def test_orientation_is_left_alone_where_it_is_asked_for() -> None:
    picture_ = picture("red")
    exif = picture_.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture_.save(buffer, "JPEG", exif=exif)
    kept = [{"image": buffer.getvalue(), "label": 0}, {"image": PIL.Image.open(buffer), "label": 0}]
    task = Task.from_rows(kept, name="t", candidates=["x"])
    assert [item.image.rgb().size for item in task.queries if item.image] == [(8, 12), (8, 12)]
    stored = task.under(LoadOptions(upright=False))
    assert [item.image.rgb().size for item in stored.queries if item.image] == [(12, 8), (12, 8)]


def test_no_official_key_merges_candidates_of_ones_own() -> None:
    task = Task.from_rows([{"text": "a", "label": 0}], name="t", candidates=["x"])
    with pytest.raises(DataError, match="no official loader"):
        task.under(LoadOptions(official_dedup=True))


def test_instructions_and_prompts() -> None:
    kept = [{"text": "a dog", "image": picture("red"), "label": 0, "p": "<image>\nexactly so "}]
    made = Task.from_rows(kept, name="t", candidates=["x"], instruction="Find it:", candidate_instruction="Say")
    assert made.queries[0].prompt == "<image> Find it: a dog"
    assert made.queries[0].instruction == "Find it:"
    assert made.candidates[0].prompt == "Say x"
    exact = Task.from_rows(kept, name="t", candidates=["x"], query_prompt="p", query_image="image", query_text="text")
    assert exact.queries[0].prompt == "<image>\nexactly so "

"""Parquet files as they come: more text than an array holds, two copies, foreign columns, surplus rows."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import draw_images, file_of, golden, in_order, load, run, tasks_of, write

from evalkit.errors import DataError
from evalkit.suites import rows

NAME, BOXES = "OK-VQA", "SCaR/RefCOCOg"


def repeated(rows: int, texts: int, letters: int) -> pa.Array:
    """A column of lists that all hold the same texts; in memory, and on disk, each text once."""
    words = pa.array([f"{number:08d}" + "x" * (letters - 8) for number in range(texts)])
    codes = pa.array(np.tile(np.arange(texts, dtype=np.int32), rows))
    offsets = pa.array(np.arange(0, rows * texts + 1, texts, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.DictionaryArray.from_arrays(codes, words))


READS = """
import resource, sys
from pathlib import Path
from evalkit.suites import rows
limit = 2 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
data = rows.read([Path(sys.argv[1])], ["tgt_text"], None)
found = data.lists("tgt_text")
print(len(data), len(found.values), found.codes.sum(), found.lengths.min())
"""


@pytest.mark.slow(1)
@pytest.mark.parametrize("group", [5, 1000], ids=["many row groups", "one row group"])
def test_more_text_than_an_array_holds_is_read_within_memory(group, tmp_path):
    """2.4 GB of candidates, which repeat from row to row; the process may have 2 GB of addresses in all."""
    file, count = tmp_path / "test.parquet", 600
    pq.write_table(pa.table({"tgt_text": repeated(count, 1000, 4000)}), file, row_group_size=group, store_schema=False)
    assert str(pq.read_schema(file).field("tgt_text").type.value_type) == "string"
    done = subprocess.run([sys.executable, "-c", READS, file], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(count), "1000", str(count * sum(range(1000))), "1000"]


@pytest.mark.parametrize("seed", range(5))
def test_how_a_file_keeps_its_texts_makes_no_difference(seed, tmp_path):
    """Row groups, dictionaries, large lists: the same texts with the same numbers, in the order they come in."""
    random = np.random.default_rng(seed)
    lists = [[f"t{random.integers(9)}" for _ in range(random.integers(0, 5))] for _ in range(40)]
    texts = pa.array(lists, pa.list_(pa.string()))
    large = pa.array(lists, pa.large_list(pa.large_string()))
    expected = list(dict.fromkeys(text for words in lists for text in words))
    for number, (column, more) in enumerate(
        [
            (texts, {}),
            (texts, {"row_group_size": 3}),
            (texts, {"use_dictionary": False}),
            (large, {"row_group_size": 7}),
        ]
    ):
        file = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"tgt_text": column}), file, **more)
        for limit in (None, 11):
            data = rows.read([file], ["tgt_text"], limit)
            found = data.lists("tgt_text")
            asked = lists[:limit]
            assert found.lengths.tolist() == list(map(len, asked))
            assert [found.values[code] for code in found.codes] == [text for words in asked for text in words]
            assert found.values == expected[: len(found.values)]
            assert len(data) == len(asked)


# --- columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, BOXES])
def test_a_file_of_foreign_columns_says_which_it_has_and_which_are_wanted(name, tmp_path):
    file = write(tmp_path, name, {"image": ["a"], "label": [1]})
    with pytest.raises(DataError) as error:
        load(tmp_path, name)
    says = str(error.value)
    assert says.startswith(f"{file}: column qry_text, ")
    assert "there are image, label; wanted are " in says
    assert "has no rows" not in says
    write(tmp_path, name, pa.table({"image": pa.array([], pa.string())}))
    with pytest.raises(DataError, match="has no rows"):
        load(tmp_path, name)


# --- copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("test-00000-of-00001", "test-00000-of-00001-0a1b2c3d"),
        ("test-00000-of-00001", "test-00000-of-00002"),
        ("test-00000-of-00002-aaaa", "test-00001-of-00002-bbbb", "test-00000-of-00001"),
        ("test-00000-of-00001", "test-copy"),
        ("test-a", "test-b"),
        ("test-00000-of-00001", "test-hard-00000-of-00001"),
    ],
)
def test_two_copies_of_the_rows_are_refused_by_name(names, tmp_path):
    files = [write(tmp_path, NAME, golden(NAME), shard) for shard in names]
    with pytest.raises(DataError, match=r"each (query )?would count twice") as error:
        load(tmp_path, NAME)
    assert str(files[0].parent) in str(error.value)
    assert sum(file.name in str(error.value) for file in files) == 2


def test_a_copy_of_a_part_in_another_order_is_one_too(tmp_path):
    write(tmp_path, NAME, golden(NAME), "test-all")
    write(tmp_path, NAME, in_order(golden(NAME), [2, 0]), "test-part")
    with pytest.raises(DataError, match=r"all 2 rows of .*test-part.parquet are in test-all.parquet, too"):
        load(tmp_path, NAME)


def test_files_that_overlap_are_refused_with_the_number_of_rows(tmp_path):
    write(tmp_path, NAME, in_order(golden(NAME), [0, 1]), "test-a")
    write(tmp_path, NAME, in_order(golden(NAME), [1, 2]), "test-b")
    with pytest.raises(DataError, match=r"1 of the 2 rows of .*/test-b.parquet are in test-a.parquet, too, and each"):
        load(tmp_path, NAME)


def test_a_copy_with_its_pools_in_another_order_is_one_too(tmp_path):
    columns = golden(NAME)
    write(tmp_path, NAME, columns, "test-a")
    other = [[pool[0], *reversed(pool[1:])] for pool in columns["tgt_text"]]
    assert other != columns["tgt_text"]
    write(tmp_path, NAME, columns | {"tgt_text": other}, "test-b")
    with pytest.raises(DataError, match=r"all 3 rows of .*/test-b.parquet are in test-a.parquet, too"):
        load(tmp_path, NAME)


def test_shards_that_overlap_are_said_with_the_number_of_rows(tmp_path):
    for number, chosen in enumerate(([0, 1], [1, 2], [2, 0])):
        write(tmp_path, NAME, in_order(golden(NAME), chosen), f"test-0000{number}-of-00003")
    (warning,) = (warning for warning in load(tmp_path, NAME).warnings if "twice" in warning)
    assert warning.startswith("1 of the 2 rows of ")
    assert "2 more pairs of files" in warning


def test_a_row_that_comes_again_in_one_file_counts_again(tmp_path):
    write(tmp_path, NAME, in_order(golden(NAME), [0, 0]), "test-a")
    write(tmp_path, NAME, in_order(golden(NAME), [1, 2]), "test-b")
    assert len(load(tmp_path, NAME).queries) == 4


def test_a_set_of_shards_is_read_whole(tmp_path):
    """The hub's older tools give each shard a suffix of its own."""
    for number in range(3):
        write(tmp_path, NAME, in_order(golden(NAME), [number]), f"test-0000{number}-of-00003-{number}abc")
    task = load(tmp_path, NAME)
    assert len(task.queries) == 3
    assert not any("twice" in warning for warning in task.warnings)


def test_shards_of_the_same_rows_are_what_was_published_and_said(tmp_path):
    for number in range(2):
        write(tmp_path, NAME, golden(NAME), f"test-0000{number}-of-00002")
    (warning,) = (warning for warning in load(tmp_path, NAME).warnings if "twice" in warning)
    assert "test-00000-of-00002.parquet" in warning


def test_the_copy_of_a_task_fails_it_alone(tmp_path):
    for name in (NAME, "WebQA"):
        write(tmp_path / "data", name, golden(name))
        draw_images(tmp_path / "data", golden(name))
    file = file_of(tmp_path / "data", NAME)
    shutil.copy(file, file.with_name("test-00000-of-00001-0a1b2c3d.parquet"))
    assert run(tmp_path / "runs", "random", tasks=f"{NAME},WebQA", data=tmp_path / "data") == 4
    found = tasks_of(tmp_path / "runs")
    assert (found[NAME]["status"], found["WebQA"]["status"]) == ("failed", "done")
    assert f"DATA/{NAME}/{file.name} and " in found[NAME]["error"]["message"]


def test_more_rows_than_the_card_has_are_said_with_numbers(tmp_path):
    columns = in_order(golden(NAME), [0] * 1001)
    columns["qry_text"] = [str(number) for number in range(1001)]
    write(tmp_path, NAME, columns)
    assert any(warning.startswith("1001 rows, the card has 1000") for warning in load(tmp_path, NAME).warnings)
    assert not any("the card has" in warning for warning in load(tmp_path, NAME, limit=5).warnings)

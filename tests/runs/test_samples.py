"""Per-query files read back: what is in them, and what is said where they are not what a run writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, run

from evalkit.errors import ResultsError
from evalkit.runs.perquery import read_per_query
from evalkit.runs.samples import clusters_of, places, read_samples


def test_scores_are_those_of_the_run(tmp_path: Path) -> None:
    assert run(tmp_path, "evalkit.embedders.colours:Colours") == 0
    files = sorted(tmp_path.glob("*/*/samples/example/*.parquet"))
    assert len(files) == 4
    for file in files:
        table = pq.read_table(file)
        found = read_samples(file)
        assert (found.ids, found.scores.tolist()) == (table["id"].to_pylist(), table["score"].to_pylist())


NO_UTF8 = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32).tobytes()), pa.py_buffer(b"\xff"))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": ["a", "b"]}, "cannot be read as a run's samples"),
        ({"id": pa.array([], pa.string()), "score": pa.array([], pa.float64())}, "it has no rows"),
        ({"id": ["a", "a"], "score": [0.0, 1.0]}, "the id 'a' twice"),
        ({"id": ["a", None], "score": [0.0, 1.0]}, "id of query None is None"),
        ({"id": ["a", "b"], "score": [0.0, float("nan")]}, r"score of query 'b' is nan, not in \[0, 1\]"),
        ({"id": ["a", "b"], "score": [0.0, 1.5]}, "score of query 'b' is 1.5"),
        ({"id": ["a", "b"], "score": [0.0, None]}, "score of query 'b' is None"),
        ({"id": ["a"], "score": [0.0], "image": [["x"]]}, r"column image is no text but list<"),
        ({"id": ["a"], "score": [0.0], "image": [{"path": "x"}]}, r"column image is no text but struct<path"),
        ({"id": [1], "score": [0.0]}, "column id is no text but int64"),
        ({"id": ["a"], "score": ["0"]}, "column score is no number but string"),
        (
            {"id": ["a"], "score": [0.0], "image": pa.array([2**62], pa.timestamp("ms"))},
            r"column image is no text but timestamp\[",  # whose value is no date that Python has
        ),
        ({"id": NO_UTF8, "score": [0.0]}, "Invalid UTF8"),
        ({"id": ["a"], "score": [0.0], "image": NO_UTF8}, "Invalid UTF8"),
    ],
)
def test_what_is_no_samples_file_names_itself(columns: dict[str, object], says: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    pq.write_table(pa.table(columns), file)
    with pytest.raises(ResultsError, match=says) as raised:
        read_samples(file)
    assert str(file) in str(raised.value)


def test_a_file_that_is_not_there_or_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as raised:
        read_samples(tmp_path / "missing.parquet")
    assert str(raised.value) == (
        f"{tmp_path / 'missing.parquet'} cannot be read as a run's samples: No such file or directory; run the "
        "task again"
    )
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(ResultsError, match=r"pipe\.parquet cannot be read as a run's samples: it is no file"):
        read_samples(tmp_path / "pipe.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ResultsError, match=r"text\.parquet cannot be read"):
        read_samples(tmp_path / "text.parquet")


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    pq.write_table(pa.table([["a"], [0.0], ["a"]], names=["id", "score", "id"]), file)
    with pytest.raises(ResultsError, match=r"samples\.parquet cannot be read .*: it has column id twice"):
        read_samples(file)


@pytest.mark.parametrize(
    ("top", "kind"), [([[1]], "list<.*int64>"), ([1], "int64"), (["a"], "string"), ([[{"a": "b"}]], "list<.*struct")]
)
def test_choices_are_lists_of_text(top: object, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    pq.write_table(pa.table({"id": ["a"], "score": [1.0], "top": top}), file)
    with pytest.raises(ResultsError, match=rf"column top is no list of text but {kind}"):
        read_per_query(file, ("id", "top"))


@pytest.mark.parametrize(("new", "wanted"), [("abc", [0, 1, 2]), ("cab", [1, 2, 0]), ("bca", [2, 0, 1])])
def test_queries_are_found_by_id_whatever_the_order(new: str, wanted: list[int]) -> None:
    found = places(list("abc"), list(new))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == wanted


@pytest.mark.parametrize(("new", "n", "which"), [("a", 1, "b"), ("abc", 1, "c"), ("ac", 2, "b")])
def test_queries_that_are_not_on_both_sides_are_named(new: str, n: int, which: str) -> None:
    assert places(["a", "b"], list(new)) == f"samples differ: {n} queries are on one side alone, such as {which}"


def test_samples_name_the_image_and_the_text_of_their_query(tmp_path: Path) -> None:
    assert run(tmp_path, "constant") == 0
    [regions] = tmp_path.glob("*/*/samples/example/ShapeRegions.parquet")
    table = pq.read_table(regions)
    assert all((EXAMPLE / "images" / path).is_file() for path in table["image"].to_pylist())
    assert all("Referring object bbox: [" in text for text in table["text"].to_pylist())
    found = read_samples(regions)
    assert found.signature is not None
    assert found.signature.startswith("task:example/ShapeRegions@")
    assert found.clusters is not None
    assert len(set(found.clusters.tolist())) == len(set(table["image"].to_pylist())) < len(found.ids)
    assert found.shared is found.clusters
    [search] = tmp_path.glob("*/*/samples/example/ShapeSearch.parquet")
    assert pq.read_table(search)["image"].null_count == len(read_samples(search).ids)
    assert read_samples(search).shared is None


def test_files_of_earlier_versions_name_no_images(tmp_path: Path) -> None:
    file = tmp_path / "samples.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "score": [0.0, 1.0]}), file)
    found = read_samples(file)
    assert (found.clusters, found.shared, found.signature) == (None, None, None)


def test_queries_without_an_image_stand_alone() -> None:
    assert clusters_of(["x", None, "y", "x", None]).tolist() == [0, 1, 2, 0, 4]

"""Per-query files of many entries put together by the queries' ids, and those that are refused."""

from __future__ import annotations

import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from board_runs import ids_of, result, write_samples

from evalkit.errors import ResultsError
from evalkit.leaderboard.numbers.joined import join
from evalkit.runs.runfiles import samples_path

TASK = "example/ShapeSearch"
SCORES = np.arange(32) % 2 * 1.0


def filed(folder, scores=SCORES, ids=None, **changes):
    made = result(TASK, scores, **changes)
    return write_samples(folder, made, scores, ids), made


def test_entries_are_joined_by_id_whatever_the_order_of_their_files(tmp_path):
    draw = np.random.default_rng(0)
    files, wanted = {}, {}
    for name in ("b", "a", "c"):
        own = dict(zip(ids_of(TASK, 32), draw.integers(0, 2, 32).astype(float), strict=True))
        shuffled = [list(own)[i] for i in draw.permutation(32)]
        files[name] = filed(tmp_path / name, [own[query] for query in shuffled], shuffled)
        wanted[name] = [own[query] for query in sorted(own)]
    (joined,) = join(files)
    assert joined.entries == ("a", "b", "c")
    assert joined.scores.tolist() == [wanted[name] for name in joined.entries]


def test_those_with_other_queries_are_apart_and_the_digest_is_that_of_the_set(tmp_path):
    other = [*ids_of(TASK, 31), "another"]
    files = {
        "a": filed(tmp_path / "a"),
        "b": filed(tmp_path / "b", SCORES, other),
        "c": filed(tmp_path / "c", SCORES[::-1], ids_of(TASK, 32)[::-1]),
    }
    first, second = join(files)
    assert (first.entries, second.entries) == (("a", "c"), ("b",))
    assert first.digest != second.digest
    assert join({"c": files["c"]})[0].digest == first.digest
    # Where one id ends and the next begins is part of it.
    parts = [filed(tmp_path / f"{i}", [1.0, 0.0], ids) for i, ids in enumerate((["ab", "c"], ["a", "bc"]))]
    assert len({join({"x": part})[0].digest for part in parts}) == 2


def test_queries_that_share_an_image_are_known_from_the_first_file_that_says(tmp_path):
    draw = np.random.default_rng(0)
    image = {query: f"{number // 4}.png" if number < 30 else None for number, query in enumerate(ids_of(TASK, 32))}
    files = {"a": filed(tmp_path / "a")}
    assert join(files)[0].clusters is None
    for name in ("b", "c"):
        ids = [ids_of(TASK, 32)[i] for i in draw.permutation(32)]
        files[name] = filed(tmp_path / name, SCORES, ids)
        path, _ = files[name]
        table = pq.read_table(path)
        pq.write_table(table.append_column("image", pa.array([image[query] for query in ids])), path)
    (found,) = join(files)
    assert found.entries == ("a", "b", "c")
    own = [image[query] for query in sorted(image)]
    for one in range(32):
        for other in range(32):
            together = one == other or (own[one] is not None and own[one] == own[other])
            assert (found.clusters[one] == found.clusters[other]) == together
    assert (join({"c": files["c"], "b": files["b"]})[0].scores == found.scores[1:]).all()


def test_images_of_another_kind_are_refused_by_name_and_distinct_ones_are_no_clusters(tmp_path):
    path, made = filed(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.append_column("image", pa.array(ids_of(TASK, 32))), path)
    assert join({"a": (path, made)})[0].clusters is None
    pq.write_table(table.append_column("image", pa.array([["x"]] * 32)), path)
    with pytest.raises(ResultsError, match=re.escape(f"{path} cannot be read as a run's samples: column image")):
        join({"a": (path, made)})


def test_nothing_is_joined_of_no_files():
    assert join({}) == ()


@pytest.mark.parametrize(
    ("scores", "ids", "changes", "message"),
    [
        (SCORES, ["same"] * 32, {}, r"has the id 'same' twice"),
        ([*SCORES[:31], 1.5], None, {}, r"score of query 'example/ShapeSearch-31' is 1.5, not in \[0, 1\]"),
        ([*SCORES[:31], float("nan")], None, {}, r"score of query 'example/ShapeSearch-31' is nan"),
        ([*SCORES[:31], None], None, {}, r"score of query 'example/ShapeSearch-31' is None"),
        (SCORES, [None, *ids_of(TASK, 31)], {}, r"id of query None is None"),
        (SCORES[:30], None, {}, r"run.json: .*: n_queries is 32, and by .* it is 30"),
        (SCORES * 0.5, None, {}, r"metrics.precision_at_1.value is 0.5, and by .* it is 0.25"),
        (SCORES, None, {"signature": "another"}, r"belongs to another number than .*run.json has"),
        ([], None, {}, r"has no rows"),
    ],
)
def test_a_file_that_is_not_that_of_the_result_is_refused_by_name(tmp_path, scores, ids, changes, message):
    right = result(TASK, SCORES)
    path = write_samples(tmp_path, right, scores, ids)
    with pytest.raises(ResultsError, match=message) as refused:
        join({"a": (path, right.model_copy(update=changes))})
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" * 10])
def test_a_broken_file_is_refused_by_name(tmp_path, content):
    path, made = filed(tmp_path)
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=re.escape(f"{path} cannot be read as a run's samples")):
        join({"a": (path, made)})


def test_columns_of_other_types_or_names_are_refused(tmp_path):
    path, made = filed(tmp_path)
    for columns in (
        {"id": [1, 2], "score": [0.0, 1.0]},
        {"id": ["a", "b"], "score": [0, 1]},
        {"id": ["a"], "x": [0.0]},
    ):
        pq.write_table(pa.table(columns), path)
        with pytest.raises(ResultsError, match=re.escape(str(path))):
            join({"a": (path, made)})


@pytest.mark.parametrize("name", ["/etc/hostname", "../other/samples/x.parquet", "samples/../../x.parquet", "a\0b"])
def test_no_file_outside_of_the_run_is_looked_at(tmp_path, name):
    with pytest.raises(ResultsError, match=r"run\.json: samples .* lie outside the run"):
        samples_path(tmp_path, result(TASK, SCORES, samples=name))


def test_a_missing_file_is_none_and_what_is_no_file_is_named(tmp_path):
    assert samples_path(tmp_path, result(TASK, SCORES)) is None
    assert samples_path(tmp_path, result(TASK, SCORES, samples=None)) is None
    path, made = filed(tmp_path)
    assert samples_path(tmp_path, made) == path
    path.unlink()
    for put in (path.mkdir, lambda: (path.rmdir(), os.mkfifo(path)), lambda: (path.unlink(), path.symlink_to("gone"))):
        put()
        assert samples_path(tmp_path, made) == path
        with pytest.raises(ResultsError, match=re.escape(f"{path} cannot be read as a run's samples")):
            join({"a": (path, made)})

"""Per-query files as they may be: of another version, of another run, broken, or a stranger's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ResultsError
from evalkit.leaderboard.samples.answers import Answers, read_answers
from evalkit.runs.manifest import TaskResult
from evalkit.scoring.stats import wilson

ROWS = 4
COLUMNS = {
    "id": ["a", "b", "c", "d"],
    "score": [1.0, 0.0, 0.5, 1.0],
    "rank": [1, 3, 1, 1],
    "ties": [0, 0, 1, 0],
    "right": [1, 1, 1, 1],
    "relevant": [1, 1, 1, 1],
    "pool": [9, 9, 9, 1],
    "label": ["cat", "<b>dog</b>", "كلب", "🦊"],
    "label_score": [0.9, 0.1, 0.5, 0.7],
    "margin": [0.3, -0.2, 0.0, None],
    "top": [["cat", "dog"], ["cat", "cow"], ["كلب", "cat"], ["🦊"]],
    "top_scores": [[0.9, 0.6], [0.3, 0.2], [0.5, 0.5], [0.7]],
}
KINDS = {"rank": pa.int32(), "ties": pa.int32(), "right": pa.int32(), "relevant": pa.int32(), "pool": pa.int32()}


def table(**changes) -> pa.Table:
    columns = {name: values for name, values in (COLUMNS | changes).items() if values is not None}
    arrays = {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    return pa.table(arrays).replace_schema_metadata({"evalkit.signature": "task:t@1"})


def result(**changes) -> TaskResult:
    facts = {
        "task": "t",
        "task_version": 1,
        "suite": "s",
        "meta_task": "vqa",
        "distribution": None,
        "status": "done",
        "complete": True,
        "n_queries": ROWS,
        "signature": "task:t@1",
        "samples": "samples/t.parquet",
    }
    return TaskResult(**(facts | changes))


def read(folder: Path, content: pa.Table | bytes | None, limit: int = 9, **changes) -> Answers:
    file = folder / "samples" / "t.parquet"
    file.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        pq.write_table(content, file)
    return read_answers(folder, result(**changes), limit)


def test_the_rows_are_those_of_the_file(tmp_path):
    answers = read(tmp_path, table())
    for name in ("id", "score", "rank", "ties", "relevant", "pool", "label", "label_score", "margin"):
        assert [getattr(row, name) for row in answers.rows] == COLUMNS[name]
    assert [list(row.top) for row in answers.rows] == COLUMNS["top"]
    assert [list(row.top_scores) for row in answers.rows] == COLUMNS["top_scores"]
    assert answers.ids.to_pylist() == COLUMNS["id"]
    assert (answers.right, answers.wrong, len(answers.scores)) == (2, 1, 4)


def test_all_are_counted_and_the_first_are_kept(tmp_path):
    answers = read(tmp_path, table(), limit=1)
    assert [row.id for row in answers.rows] == ["a"]
    assert (answers.right, answers.wrong, len(answers.scores), len(answers.ids)) == (2, 1, 4, 4)


def test_other_columns_and_other_types_of_the_same_values_do_not_matter(tmp_path):
    plain = read(tmp_path, table())
    more = {name: pa.array(COLUMNS[name], pa.int64()) for name in KINDS} | {"new": [1, 2, 3, 4]}
    more |= {"label": pa.array(COLUMNS["label"], pa.large_string()), "id": pa.array(COLUMNS["id"]).dictionary_encode()}
    assert read(tmp_path, table(**more)).rows == plain.rows


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "right"])
def test_a_column_that_is_missing_is_named(tmp_path, column):
    with pytest.raises(ResultsError, match=rf"t\.parquet cannot be read .*: it has no column {column};"):
        read(tmp_path, table(**{column: None}))


def test_a_column_that_is_there_twice_is_named(tmp_path):
    twice = table().append_column("score", pa.array([0.0] * ROWS))
    with pytest.raises(ResultsError, match=r"t\.parquet cannot be read .*: it has column score twice"):
        read(tmp_path, twice)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ["a", "b", "c", "b"]}, r"the id 'b' twice"),
        ({"id": ["a", None, "c", "d"]}, r"id of query None is None"),
        ({"score": [1.0, 0.0, 1.5, 1.0]}, r"score of query 'c' is 1\.5"),
        ({"score": [1.0, 0.0, math.nan, 1.0]}, r"score of query 'c' is nan"),
        ({"score": [1.0, None, 0.5, 1.0]}, r"score of query 'b' is None"),
        ({"score": ["1", "0", "x", "1"]}, r"cannot be read as a run's samples"),
        ({"rank": [1, 0, 1, 1]}, r"rank of query 'b' is 0"),
        ({"ties": [0, -1, 0, 0]}, r"ties of query 'b' is -1"),
        ({"pool": [9, 9, 9, 0]}, r"pool of query 'd' is 0"),
        ({"pool": [9, 9, 9, 2**40]}, r"cannot be read as a run's samples"),
        ({"label": ["x", "y", None, "z"]}, r"label of query 'c' is None"),
        ({"label_score": [1.0, math.inf, 0.0, 0.0]}, r"label_score of query 'b' is inf"),
        ({"margin": [1.0, math.nan, 0.0, 0.0]}, r"margin of query 'b' is nan"),
        ({"top": [["x"], ["a", "b"], ["a", "b"], ["a"]]}, r"top of query 'a' is \['x'\]"),
        ({"top": [[], [], [], []], "top_scores": [[], [], [], []]}, r"cannot be read|top of query 'a' is \[\]"),
        ({"top": [["a", "b"], ["a", None], ["a", "b"], ["a"]]}, r"top of query 'b' is \['a', None\]"),
        ({"top": [["a", "b"], ["a", "b"], None, ["a"]]}, r"top of query 'c' is None"),
        ({"top_scores": [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [math.nan]]}, r"top_scores of query 'd' is \[nan\]"),
        ({"top": ["a", "b", "c", "d"]}, r"cannot be read as a run's samples"),
        ({"label": pa.array([b"ok", b"\xff\xfe", b"ok", b"ok"]).view(pa.string())}, r"cannot be read .*UTF-?8"),
    ],
)
def test_a_value_that_no_such_file_has_is_refused(tmp_path, changes, message):
    with pytest.raises(ResultsError, match=message) as raised:
        read(tmp_path, table(**changes))
    assert str(tmp_path / "samples" / "t.parquet") in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_what_is_no_parquet_is_refused(tmp_path, content):
    with pytest.raises(ResultsError, match=r"t\.parquet cannot be read"):
        read(tmp_path, content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path, share):
    pq.write_table(table(), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    with pytest.raises(ResultsError, match=r"t\.parquet cannot be read"):
        read(tmp_path, content[: int(len(content) * share)])


def test_a_file_that_is_missing_or_none_is_refused(tmp_path):
    with pytest.raises(ResultsError, match=r"t\.parquet is missing or not a file"):
        read(tmp_path, None)
    (tmp_path / "samples" / "t.parquet").mkdir()
    with pytest.raises(ResultsError, match=r"t\.parquet cannot be read .*: it is no file but a folder"):
        read(tmp_path, None)


def test_a_file_of_another_result_is_refused(tmp_path):
    with pytest.raises(ResultsError, match=r"belongs to another number"):
        read(tmp_path, table(), signature="task:t@2")
    with pytest.raises(ResultsError, match=r"belongs to another number"):
        read(tmp_path, table(), signature=None)
    with pytest.raises(ResultsError, match=r"belongs to another number"):
        read(tmp_path, table().replace_schema_metadata(None))
    with pytest.raises(ResultsError, match=r"run\.json: t: n_queries is 5, and by .*t\.parquet it is 4"):
        read(tmp_path, table(), n_queries=5)
    with pytest.raises(ResultsError, match=r"it has no rows"):
        read(tmp_path, table().slice(0, 0), n_queries=None)
    metric = {"chance": 1 / 3, "n": 4, "n_ties": 1}
    metric |= dict(zip(("low", "high"), wilson(0.625, 4), strict=True))
    metric |= {"optimistic": 0.75, "pessimistic": 0.5}
    for value in (0.625, 0.626):
        metrics = {"precision_at_1": metric | {"value": value, "interval": "wilson"}}
        if value == 0.625:  # the mean of the scores
            read(tmp_path, table(), metrics=metrics)
            continue
        with pytest.raises(ResultsError, match=r"precision_at_1\.value is 0\.626, and by .* it is 0\.625"):
            read(tmp_path, table(), metrics=metrics)


@pytest.mark.parametrize("samples", ["../other/samples/t.parquet", "/etc/passwd", "", ".", "n\0.parquet"])
def test_run_json_names_no_file_outside_of_its_folder(tmp_path, samples):
    pq.write_table(table(), tmp_path / "t.parquet")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ResultsError, match=r"lie outside the run|is missing or not a file|it is no file but a folder"):
        read_answers(run, result(samples=samples), 9)


def test_no_link_leads_out_of_the_runs_folder(tmp_path):
    pq.write_table(table(), tmp_path / "t.parquet")
    (tmp_path / "run" / "samples").mkdir(parents=True)
    (tmp_path / "run" / "samples" / "t.parquet").symlink_to(tmp_path / "t.parquet")
    with pytest.raises(ResultsError, match=r"leads out of the run's folder"):
        read_answers(tmp_path / "run", result(), 9)


@pytest.mark.slow(1)
@given(margins=st.lists(st.floats(0.01, 1) | st.none(), min_size=1, max_size=45), wrong=st.integers(0, 5))
def test_low_margins_are_the_lowest_tenth_of_the_right_answers(margins, wrong, tmp_path_factory):
    n = len(margins) + wrong
    columns = {name: [values[0]] * n for name, values in COLUMNS.items()}
    columns |= {"id": [str(i) for i in range(n)], "score": [1.0] * len(margins) + [0.0] * wrong}
    columns |= {"margin": pa.array([*margins, *[-0.25] * wrong], pa.float64())}
    columns |= {"pool": [1 if margin is None else 9 for margin in margins] + [9] * wrong}
    columns |= {"rank": [1] * len(margins) + [2] * wrong, "label_score": [0.5] * n}
    columns |= {"top": [["cat"]] * n, "top_scores": [[0.5]] * len(margins) + [[0.75]] * wrong}
    answers = read(tmp_path_factory.mktemp("run"), table(**columns), n_queries=n)
    known = sorted(margin for margin in margins if margin is not None)
    low = [margin for margin in known if answers.is_low(margin)]
    assert not answers.is_low(None)
    assert len(low) >= len(known) / 10  # at least a tenth; more only if they are level with the last of it
    assert len([margin for margin in low if margin < max(low)]) < len(known) / 10 if low else not known
    assert low == known[: len(low)]


def file_of(ids: list[str], scores: list[float], rows: int) -> Answers:
    return Answers(pa.array(ids), np.array(scores), None, (None,) * rows)


def test_what_another_file_has_right_is_joined_by_id():
    mine = file_of(["a", "b", "c"], [0, 0, 0], rows=2)
    assert file_of(["a", "b", "c"], [1, 0, 1], 0).has_right(mine).tolist() == [True, False]
    assert file_of(["c", "b", "a"], [1, 0, 0.5], 0).has_right(mine).tolist() == [False, False]
    assert file_of(["c", "a", "b"], [0, 1, 0], 0).has_right(mine).tolist() == [True, False]


@pytest.mark.parametrize("ids", [["a", "b"], ["a", "b", "x"], ["a", "b", "c", "d"], ["x", "y", "z"]])
def test_files_of_other_queries_are_not_joined(ids):
    mine = file_of(["a", "b", "c"], [0, 0, 0], rows=3)
    assert file_of(ids, [1.0] * len(ids), 0).has_right(mine) is None

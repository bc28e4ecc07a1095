"""The one reader of per-query files: what it reads is what was written, and it holds columns against each other."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import run
from comparisons import copied, measured
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ResultsError
from evalkit.leaderboard.numbers.joined import join
from evalkit.leaderboard.samples.answers import read_answers
from evalkit.regression.baseline import accept, read_baseline
from evalkit.runs.manifest import MetricResult, TaskResult
from evalkit.runs.perquery import CHECKED, read_per_query
from evalkit.runs.recount import recounted
from evalkit.runs.runfiles import queries_of, samples_of, samples_path
from evalkit.runs.runfolder import read_run
from evalkit.runs.samples import clusters_of, where_shared
from evalkit.scoring.metrics import METRICS, measure
from evalkit.scoring.metrics.precision_at_1 import precision_at_1
from evalkit.scoring.ranking import rank


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, with ties and without, and with queries that share images."""
    out = tmp_path_factory.mktemp("runs")
    assert run(out, "example-colours") == 0
    [file] = out.glob("*/*/run.json")
    return file.parent


def test_all_who_read_a_file_have_the_same_of_it(folder: Path, tmp_path: Path) -> None:
    accept(folder, tmp_path, "r", on=date(2026, 7, 1))
    _, kept = read_baseline(tmp_path)
    for result in read_run(folder).tasks:
        path = samples_path(folder, result)
        assert path is not None
        samples = samples_of(folder, result)
        assert samples is not None
        answers = read_answers(folder, result, limit=10**6)
        [joined] = join({"a": (path, result)})
        table = pq.read_table(path)
        ids, scores = table["id"].to_pylist(), table["score"].to_numpy()
        for found, numbers in (
            (samples.ids, samples.scores),
            (answers.ids.to_pylist(), answers.scores),
            (kept[result.task].ids, kept[result.task].scores),
            ([row.id for row in answers.rows], [row.score for row in answers.rows]),
        ):
            assert list(found) == ids
            np.testing.assert_array_equal(numbers, scores)
        np.testing.assert_array_equal(joined.scores[0], scores[np.argsort(ids)])
        assert samples.clusters is not None
        assert samples.clusters.tolist() == clusters_of(table["image"].to_pylist()).tolist()


def test_columns_of_early_versions_are_read_as_far_as_they_are_there(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "samples/example/ShapeRegions.parquet")
    [result] = [result for result in read_run(folder).tasks if result.task == "example/ShapeRegions"]
    for lacking in ([], ["image", "text"], ["image", "text", "right"], [*CHECKED[1:], "image", "text", "label", "top"]):
        kept = [name for name in table.column_names if name not in lacking]
        file = tmp_path / "x.parquet"
        pq.write_table(table.select(kept), file)
        found = read_per_query(file, wanted=("image", "text"))
        assert found.ids.to_pylist() == table["id"].to_pylist()
        assert (found.clusters is None) == ("image" in lacking)
        assert set(found.table.column_names) == {"id", *(set(kept) & {*CHECKED, "image", "text"})}
        if "image" not in lacking:  # without images the interval of the run cannot be made again
            recounted(tmp_path / "run.json", result, found, where_shared(found.clusters))  # type: ignore[arg-type]


def test_intervals_of_early_versions_took_all_queries_for_independent(folder: Path, tmp_path: Path) -> None:
    path = folder / "samples/example/ShapeRegions.parquet"
    table = pq.read_table(path)
    [result] = [result for result in read_run(folder).tasks if result.task == "example/ShapeRegions"]
    early = {k: MetricResult(**v) for k, v in measured(table.drop_columns(["image"])).items()}
    assert early["precision_at_1"].low != result.metrics["precision_at_1"].low  # type: ignore[index]
    queries_of(path, result.model_copy(update={"metrics": early}))
    mixed = early["precision_at_1"].model_copy(update={"low": result.metrics["precision_at_1"].low})  # type: ignore[index]
    with pytest.raises(ResultsError, match=r"precision_at_1\.(low|high) is "):
        queries_of(path, result.model_copy(update={"metrics": early | {"precision_at_1": mixed}}))


@st.composite
def vectors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """A small problem of few distinct vectors, so that ties are common; pools of one kind and several right ones."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    seed = np.random.default_rng(draw(st.integers(0, 10**6)))
    make = lambda k: np.eye(3, dtype=np.float32)[seed.integers(0, 3, k)] * seed.choice([1, 0.5], (k, 1))  # noqa: E731
    pools = [np.unique(seed.integers(0, m, seed.integers(1, m + 1))).astype(np.int32) for _ in range(n)]
    right = [seed.choice(pool, seed.integers(1, len(pool) + 1), replace=False).astype(np.int32) for pool in pools]
    return make(n).astype(np.float32), make(m).astype(np.float32), pools, right


@given(problem=vectors(), shared=st.booleans())
@pytest.mark.slow(0.7)
def test_whatever_a_run_writes_is_believed(
    problem: Any, shared: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No ranking that there can be contradicts itself, and its numbers are counted again as they were."""
    ranking = rank(*problem)
    n = len(ranking.above)
    images = [f"{place // 3}" for place in range(n)] if shared else [None] * n
    metrics = {}
    clusters = where_shared(clusters_of(images))
    for metric in METRICS.values():
        value = dataclasses.asdict(measure(metric, ranking, images=clusters))
        name = value.pop("metric")
        metrics[name] = MetricResult(**value)
    columns = {
        "id": [f"{place}" for place in range(n)],
        "score": precision_at_1(ranking.above, ranking.tied, ranking.right),
        "rank": ranking.above + 1,
        "ties": ranking.tied,
        **{name: getattr(ranking, name) for name in ("right", "relevant", "pool", "label_score")},
        "margin": pa.array([None if margin != margin else margin for margin in ranking.margin.tolist()], pa.float64()),
        "top": [[str(c) for c in row] for row in ranking.top],
        "top_scores": [row.tolist() for row in ranking.top_scores],
        "label": [str(row[0]) if r == 1 else "x" for row, r in zip(ranking.top, ranking.relevant, strict=True)],
        "image": pa.array(images, pa.string()),
    }
    file = tmp_path_factory.mktemp("run") / "samples/t.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table(columns), file)
    result = TaskResult(
        task="t", task_version=1, suite="s", meta_task="m", distribution=None, status="done", complete=True,
        n_queries=n, metrics=metrics, samples="samples/t.parquet",
    )  # fmt: skip
    assert len(queries_of(file, result, ("top", "label"))) == n


def test_a_bootstrap_interval_of_another_numpy_is_believed_and_one_of_nowhere_is_not(tmp_path: Path) -> None:
    assert run(tmp_path, "random", tasks="example/ShapeRegions") == 0
    [path] = tmp_path.glob("*/*/samples/example/ShapeRegions.parquet")
    [result] = [result for result in read_run(path.parents[2]).tasks if result.task == "example/ShapeRegions"]
    assert result.metrics is not None
    mrr = result.metrics["mrr"]
    assert mrr.low < mrr.value < mrr.high
    for shift, good in ((0.1, True), (-0.1, True), (1.5, False), (-1.5, False)):
        width = (mrr.high - mrr.low) / 4
        other = result.metrics | {"mrr": mrr.model_copy(update={"low": mrr.low + shift * width})}
        changed = result.model_copy(update={"metrics": other})
        if good:
            queries_of(path, changed)
        else:
            with pytest.raises(ResultsError, match=r"metrics\.mrr\.low is "):
                queries_of(path, changed)


def test_links_within_a_run_are_followed_and_those_out_of_it_are_not(folder: Path, tmp_path: Path) -> None:
    own = copied(folder, tmp_path / "own")
    result = read_run(own).tasks[0]
    path = own / str(result.samples)
    path.rename(own / "samples/moved.parquet")
    path.symlink_to(own / "samples/moved.parquet")
    assert samples_of(own, result) is not None
    path.unlink()
    path.symlink_to(folder / str(result.samples))
    with pytest.raises(ResultsError, match=r"is a link that leads out of the run's folder: put the file there"):
        samples_of(own, result)
    path.unlink()
    assert samples_path(own, result) is None
    assert samples_of(own, result) is None

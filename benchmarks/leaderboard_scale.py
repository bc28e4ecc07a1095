"""How long it takes to make the boards of many models: run.json files, and optionally the per-query files, to boards.

Models are made up: each has a skill, each query a hardness that all models share, so that ranks and tests have
something to do. Tasks and numbers of queries are those of the cards of MMEB and SCaR: 36 tasks of 1,000 queries and
five of 47,145 together, which ask 3.2 times about an image. Files are written to a folder first, and are used again
where they are there; what is measured is reading and working out, step by step, and the downloads.

    python benchmarks/leaderboard_scale.py --models 500
    python benchmarks/leaderboard_scale.py --models 500 --samples --folder /tmp/scale
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.files import json_bytes
from evalkit.leaderboard.downloads import badges, exports, feed
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.published import reported as published
from evalkit.runs.manifest import Environment, Manifest, MetricResult, ModelRecord, Settings, TaskResult, averages
from evalkit.runs.runfolder import find_runs
from evalkit.runs.samples import clusters_of, where_shared
from evalkit.scoring.metrics import METRICS, measure
from evalkit.scoring.ranking import Ranking
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import select_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TIES = 0.02  # share of the queries that share their score with another candidate


def made_up(model: int, card: TaskCard) -> NDArray[np.float64]:
    """Precision@1 of a model on each query of a task; even models have ties."""
    hardness = np.random.default_rng([1, *card.name.encode()]).normal(size=card.queries)
    own = np.random.default_rng([2, model, *card.name.encode()])
    scores = (hardness + own.normal(size=card.queries) < 0.004 * model - 1).astype(np.float64)
    if model % 2 == 0:
        scores[own.random(card.queries) < TIES] = 0.5
    return scores


def ranking_of(scores: NDArray[np.float64]) -> Ranking:
    """A score of 1 is a right candidate that comes first, 0 one that comes second, 0.5 one that ties for the first."""
    n, one = len(scores), np.ones(len(scores), dtype=np.int64)
    return Ranking(
        above=(scores == 0).astype(np.int64),
        tied=(scores == 0.5).astype(np.int64),
        right=one,
        relevant=one,
        pool=10 * one,
        label_score=np.full(n, 0.5),
        margin=np.select([scores == 1, scores == 0], [0.25, -0.25], 0.0),
        top=[],
        top_scores=[np.array([0.75 if score == 0 else 0.5, 0.25 if score == 1 else 0.5]) for score in scores],
    )


def images_of(card: TaskCard) -> list[str]:
    return [f"{int(place / (3.2 if card.suite == 'scar' else 1))}.jpg" for place in range(card.queries)]


def signature_of(card: TaskCard) -> str:
    """All that says what was asked, the same for every model."""
    prompting = "native" if card.meta_task == "visual-interactive" else "-"
    asked = "data:0|prompts:0|pool:0|metric:0|exif:apply|dedup:content"
    return f"task:{card.name}@{card.version}|n:{card.queries}|{asked}|prompting:{prompting}"


def result_of(card: TaskCard, scores: NDArray[np.float64]) -> TaskResult:
    ranking, images = ranking_of(scores), where_shared(clusters_of(images_of(card)))
    found = {metric.name: asdict(measure(metric, ranking, images=images)) for metric in METRICS.values()}
    return TaskResult(
        task=card.name,
        task_version=card.version,
        suite=card.suite,
        meta_task=card.meta_task,
        distribution=card.distribution,
        status="done",
        complete=True,
        n_queries=len(scores),
        n_candidates=max(card.candidates, 10),  # as the pools of ranking_of have them
        prompting="native" if card.meta_task == "visual-interactive" else None,
        metrics={name: MetricResult(**{k: v for k, v in one.items() if k != "metric"}) for name, one in found.items()},
        signature=signature_of(card),
        samples=f"samples/{card.name}.parquet",
    )


def write(folder: Path, model: int, cards: tuple[TaskCard, ...], samples: bool) -> None:
    """A run as ``evalkit run`` leaves it; the texts are all the same."""
    name, results = f"made-up-{model:03d}", []
    run = folder / name / f"{model:012x}"
    for card in cards:
        scores = made_up(model, card)
        results.append(result_of(card, scores))
        if samples:
            file = run / f"samples/{card.name}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table_of(card, scores), file, compression="zstd")
    manifest = Manifest(
        run_id=f"{model:012x}",
        status="done",
        evalkit_version="0.1.0",
        model=ModelRecord(
            name=name,
            family="made-up",
            revision=None,
            fingerprint=f"{model:064x}",
            dimension=512,
            modalities=("text", "image"),
            regions=("box",),
            options={},
        ),
        settings=Settings(),
        environment=Environment(python="3.11", system="Linux x86_64", device="cpu", packages={}),
        tasks=tuple(results),
        averages=averages(results),
    )
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_bytes(json_bytes(manifest.model_dump(mode="json", by_alias=True)))


def table_of(card: TaskCard, scores: NDArray[np.float64]) -> pa.Table:
    n = len(scores)
    ids = [f"{value:016x}" for value in np.random.default_rng([*card.name.encode()]).integers(2**63, size=n)]
    ranking = ranking_of(scores)
    return pa.table(
        {
            "id": ids,
            "score": scores,
            "rank": pa.array(ranking.above + 1, pa.int32()),
            "ties": pa.array(ranking.tied, pa.int32()),
            **{name: pa.array(getattr(ranking, name), pa.int32()) for name in ("right", "relevant", "pool")},
            "label": ["a caption"] * n,
            "label_score": ranking.label_score,
            "margin": ranking.margin,
            "top": pa.array([["a caption"] * 2] * n, pa.list_(pa.string())),
            "top_scores": pa.array([row.tolist() for row in ranking.top_scores], pa.list_(pa.float64())),
            "image": images_of(card),
            "text": ["Which caption fits?"] * n,
        }
    ).replace_schema_metadata({"evalkit.signature": signature_of(card)})


@contextmanager
def timed(what: str) -> Iterator[None]:
    start, used = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    print(f"{what:<32} {wall:7.2f} s wall {cpu:7.2f} s CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--samples", action="store_true", help="with per-query files")
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those that are there")
    parser.add_argument("--tasks", default="all", help="selector of tasks")
    options = parser.parse_args()
    cards = select_tasks([options.tasks])
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        for model in range(options.models):
            if not (folder / f"made-up-{model:03d}" / f"{model:012x}" / "run.json").exists():
                write(folder, model, cards, options.samples)
        n = sum(card.queries for card in cards)
        print(f"{options.models} models, {len(cards)} tasks, {n:,} queries, samples: {options.samples}", flush=True)
        with timed("run.json files"):
            runs = find_runs([folder])
        with timed("published rows"):
            rows = published.read()
        with timed("boards"):
            found = boards(runs, rows)
        board = max(found, key=lambda board: len(board.entries))
        for file, make in (exports.files(board) | badges.files(board) | feed.files(found, {})).items():
            if "badges" not in file:
                with timed(file):
                    content = make()
                print(f"    {len(content):,} bytes")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{len(board.entries)} entries; peak memory {memory} MiB")


if __name__ == "__main__":
    main()

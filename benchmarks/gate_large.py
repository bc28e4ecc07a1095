"""The gate on two whole runs: 41 tasks with all their 83,000 queries, from files on disk to a verdict.

Makes the runs (made-up scores; ids, captions and images as long as the real ones), accepts one as a baseline, and times
``evalkit gate`` in processes of their own, imports and all.

    python benchmarks/gate_large.py
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from evalkit.files import json_bytes
from evalkit.runs.manifest import Environment, Manifest, MetricResult, ModelRecord, Settings, TaskResult
from evalkit.runs.samples import clusters_of, where_shared, write_samples
from evalkit.scoring.stats import effective_queries, wilson
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import select_tasks

CARDS = select_tasks(["all"])
WORDS = ["a", "the", "red", "dog", "street", "behind", "left", "small", "two", "horse", "of", "with"]


def table(card: TaskCard, changed: float, line: str) -> pa.Table:
    """Samples of a task; the share ``changed`` of the scores is drawn anew."""
    n, draw = card.queries, np.random.default_rng(card.order)
    scores = (draw.random(n) < 0.6).astype(float)
    captions = [f"{' '.join(row)} {place}" for place, row in enumerate(draw.choice(WORDS, (n, 9)))]
    shared = 3 if card.suite == "scar" else 1
    images = [f"{card.subset}/{draw.integers(10**6):012d}.jpg" for _ in range(n)]
    other = np.random.default_rng([card.order, 1])
    again = other.random(n) < changed
    scores[again] = (other.random(again.sum()) < 0.6).astype(float)
    columns = {
        "id": [hashlib.sha256(f"{card.name} {place}".encode()).hexdigest()[:16] for place in range(n)],
        "score": scores,
        "label": captions,
        "top": [[captions[place if scores[place] else -place]] for place in range(n)],
        "image": [images[place // shared] for place in range(n)],
        "text": captions,
    }
    return pa.table(columns).replace_schema_metadata({"evalkit.signature": line})


def make(folder: Path, changed: float) -> None:
    """A run on disk."""
    results = []
    for card in CARDS:
        asked = f"n:{card.queries}|data:0|prompts:0|pool:0|metric:0|exif:apply|dedup:content|prompting:-"
        line = f"task:{card.name}@{card.version}|{asked}"
        samples = table(card, changed, line)
        write_samples(folder / f"samples/{card.name}.parquet", samples)
        scores = samples["score"].to_numpy()
        value = float(np.mean(scores))
        images = where_shared(clusters_of(samples["image"].to_pylist()))
        low, high = wilson(value, effective_queries(scores, images))
        facts = {"optimistic": value, "pessimistic": value, "chance": 0.1, "n": card.queries, "n_ties": 0}
        facts |= {"low": low, "high": high}
        results.append(
            TaskResult(
                task=card.name,
                task_version=card.version,
                suite=card.suite,
                meta_task=card.meta_task,
                distribution=card.distribution,
                status="done",
                complete=True,
                n_queries=card.queries,
                n_candidates=1,
                metrics={"precision_at_1": MetricResult(value=value, interval="wilson", **facts)},
                signature=line,
                samples=f"samples/{card.name}.parquet",
            )
        )
    model = ModelRecord(
        name="made",
        family="made",
        revision=None,
        fingerprint="0" * 64,
        dimension=1,
        modalities=(),
        regions=(),
        options={},
    )
    manifest = Manifest(
        run_id="0" * 12,
        status="done",
        evalkit_version="0",
        model=model,
        settings=Settings(),
        environment=Environment(python="3", system="s", device="cpu", packages={}),
        tasks=tuple(results),
    )
    (folder / "run.json").write_bytes(json_bytes(manifest.model_dump(mode="json", by_alias=True)))


def timed(*args: str | Path) -> None:
    """Run a command line, say what it took."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    script = "import resource; from evalkit.cli import main\ntry: main()\nfinally: "
    script += "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MiB')"
    done = subprocess.run([sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall, peak = time.monotonic() - began, done.stdout.splitlines()[-1]
    print(f"{args[0]}: exit {done.returncode}, {wall:.1f} s, {cpu:.1f} s of CPU, {peak}")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "base", 0)
        make(folder / "new", 0.1)
        print(f"{len(CARDS)} tasks, {sum(card.queries for card in CARDS)} queries")
        timed("gate", folder / "base", folder / "new")
        timed("baseline", "accept", folder / "base", "--reason", "r", "--out", folder / "baseline")
        for file in sorted((folder / "baseline").iterdir()):
            print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
        timed("gate", folder / "baseline", folder / "new")


if __name__ == "__main__":
    main()

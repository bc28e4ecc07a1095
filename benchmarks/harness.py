"""Harness time without a model: evalkit against the plain loop that the official code runs.

One task of 1000 queries, each with a pool of 1000 of 20,000 candidates, at dimension 1536, with every
vector on disk already. Both sides read the rows, deduplicate the candidates, read the vectors, rank, and
write their results:

* evalkit: ``evalkit.evaluate.evaluate`` on a store that holds all vectors;
* the plain loop, as in TIGER-AI-Lab/VLM2Vec ``eval.py``: rows as Python lists, candidates deduplicated by
  name in a loop, pickled vectors into a dictionary, per query a stack of its candidates' vectors, a matrix
  product, an argsort, JSON lines of the ranking.

``harness`` is the time without reading vectors (evalkit: and without reading the query images, whose bytes
are part of the key; the plain loop does not look at them). ``whole`` is all of it, without imports.

    python benchmarks/harness.py
"""

from __future__ import annotations

import argparse
import importlib
import json
import pickle
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

QUERIES, POOL, CANDIDATES, DIMENSION = 1000, 1000, 20_000, 1536
TASK = "VisualNews_i2t"  # images against captions, own pools


def candidate_vectors(captions: list[str]) -> np.ndarray:
    """Made-up vectors, each by the number that its caption ends in."""
    return np.stack([drawn(int(caption.rsplit(" ", 1)[1])) for caption in captions])


def query_vectors(paths: list[str]) -> np.ndarray:
    """Vectors near those of their labels, whose numbers the paths carry: about half of them nearest."""
    numbers = [tuple(map(int, Path(path).stem.split("-"))) for path in paths]
    mixed = np.stack([drawn(label) + 11 * drawn(CANDIDATES + i) for i, label in numbers])
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def drawn(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION, dtype=np.float32)
    return vector / np.linalg.norm(vector)


class Made:
    """The model that is not timed: fills evalkit's store once, is never asked again."""

    def __init__(self) -> None:
        from evalkit.embedders.base import EmbedderInfo

        self.info = EmbedderInfo(name="made", dimension=DIMENSION, fingerprint="made-1")

    def encode(self, items, side):
        if side == "query":
            return query_vectors([item.image.path for item in items])
        return candidate_vectors([item.text for item in items])


def prepare(folder: Path) -> None:
    """Rows, images and the pickles of the plain loop."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(0)
    words = np.array(["a", "the", "red", "blue", "small", "large", "dog", "cat", "street", "table", "near", "runs"])
    captions = [f"{' '.join(rng.choice(words, 12))} {i}" for i in range(CANDIDATES)]
    pools = [rng.choice(CANDIDATES, POOL, replace=False) for _ in range(QUERIES)]
    paths = [f"{TASK}/{i}-{pool[0]}.png" for i, pool in enumerate(pools)]
    (folder / "images" / TASK).mkdir(parents=True)
    for i, path in enumerate(paths):
        Image.new("RGB", (64, 64), (i % 256, i // 256, 0)).save(folder / "images" / path)
    instruction = "<|image_1|>\nFind a caption for the news in the given photo."
    table = pa.table(
        {
            "qry_inst": [instruction] * QUERIES,
            "qry_text": [""] * QUERIES,
            "qry_img_path": paths,
            "tgt_inst": [""] * QUERIES,
            "tgt_text": [[captions[c] for c in pool] for pool in pools],
            "tgt_img_path": [[""] * POOL] * QUERIES,
        }
    )
    (folder / TASK).mkdir()
    pq.write_table(table, folder / TASK / "test-00000-of-00001.parquet")
    with (folder / "queries.pkl").open("wb") as file:
        pickle.dump((query_vectors(paths), paths), file, protocol=4)
    with (folder / "candidates.pkl").open("wb") as file:
        pickle.dump((candidate_vectors(captions), captions), file, protocol=4)


def evalkit_side(folder: Path) -> float:
    """Run evalkit; fills the store where it is empty. Returns Precision@1."""
    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder
    from evalkit.encoding.encode import Encoder
    from evalkit.encoding.store import VectorStore
    from evalkit.evaluate import evaluate
    from evalkit.runs.manifest import Settings
    from evalkit.suites.selecting import select_tasks
    from evalkit.suites.task import DataFolder

    loaded = load_embedder(parse_model(f"{Path(__file__)}:Made"))
    with VectorStore(folder / "vectors.sqlite") as store:
        [written] = evaluate(
            Encoder(loaded, store), select_tasks([TASK]), DataFolder.at(folder), folder / "runs", Settings(), "cpu"
        )
    result = written.run.manifest.tasks[0]
    if result.metrics is None:
        raise SystemExit(f"evalkit failed: {result.error}")
    return result.metrics["precision_at_1"].value


def plain_side(folder: Path) -> float:
    """The plain loop. Returns the share of labels ranked first."""
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / TASK / "test-00000-of-00001.parquet").to_pylist()
    queries, distinct, seen = [], [], set()
    for row in rows:
        instruction = row["qry_inst"].replace("<|image_1|>", "")
        queries.append(
            (f"<|image_pad|> {instruction} {row['qry_text']}".replace(" \n", "\n") + "\n", row["qry_img_path"])
        )
        for name in row["tgt_text"]:
            if name not in seen:
                seen.add(name)
                distinct.append(name)
    asked, _ = unpickled(folder / "queries.pkl")
    answers, names = unpickled(folder / "candidates.pkl")
    by_name = dict(zip(names, answers, strict=True))
    if len(distinct) != len(by_name):
        raise SystemExit("the plain loop found other candidates than there are")
    hits, lines = [], []
    for query, row in zip(asked, rows, strict=True):
        stacked = np.stack([by_name[name] for name in row["tgt_text"]])
        order = np.argsort(-(stacked @ query))
        ranked = [row["tgt_text"][i] for i in order]
        hits.append(ranked[0] == row["tgt_text"][0])
        lines.append(json.dumps({"prediction": ranked, "label": row["tgt_text"][0]}))
    (folder / "predictions.jsonl").write_text("\n".join(lines))
    return sum(hits) / len(hits)


def unpickled(path: Path) -> tuple[np.ndarray, list[str]]:
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - made by this script


class Reading:
    """Adds up the time spent in some functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, owner: object, name: str) -> None:
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, watched)


def timed(side: str, folder: Path) -> dict:
    """One side in a process of its own: seconds without imports, peak memory, Precision@1."""
    output = subprocess.run(
        [sys.executable, __file__, "--side", side, "--folder", str(folder)], check=True, capture_output=True, text=True
    )
    return json.loads(output.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["evalkit", "plain"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.side:
        for module in ("faiss", "pyarrow.parquet", "evalkit.evaluate", "evalkit.suites.mmeb"):
            importlib.import_module(module)  # imports are not what is measured
        from evalkit.encoding.imageindex import ImageIndex
        from evalkit.encoding.store import VectorStore
        from evalkit.suites.selecting import all_cards

        all_cards()
        reading = Reading()
        reading.watch(VectorStore, "get")
        reading.watch(ImageIndex, "gather")
        reading.watch(sys.modules[__name__], "unpickled")
        began = time.perf_counter()
        score = (evalkit_side if arguments.side == "evalkit" else plain_side)(arguments.folder)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"harness": seconds - reading.seconds, "whole": seconds, "peak_mib": peak, "score": score}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        timed("evalkit", folder)  # fills the store
        # By turns, so that both sides meet the same machine.
        results = {"evalkit": [], "plain": []}
        for _ in range(arguments.repeat):
            for side in results:
                results[side].append(timed(side, folder))
    print(f"{QUERIES} queries, own pools of {POOL} out of {CANDIDATES:,} candidates, dimension {DIMENSION}")
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, best of {arguments.repeat}"
    )
    best = {side: {key: min(run[key] for run in runs) for key in runs[0]} for side, runs in results.items()}
    for side, run in best.items():
        peak = max(r["peak_mib"] for r in results[side])
        print(
            f"{side:8} harness {run['harness']:5.2f} s  whole {run['whole']:5.2f} s  peak {peak:5.0f} MiB  "
            f"Precision@1 {run['score']:.4f}"
        )
    for key in ("harness", "whole"):
        print(f"{key}: evalkit is {best['plain'][key] / best['evalkit'][key]:.1f} times as fast")
    if best["plain"]["score"] != best["evalkit"]["score"]:
        raise SystemExit("the two sides disagree")


if __name__ == "__main__":
    main()

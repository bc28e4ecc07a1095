"""evalkit from Python against the same run through files: 1,000 images in memory and a function.

Three ways to the same numbers, interleaved, best of N each, in processes of their own:

* files: ``evalkit run`` on an own task's folder, with the function as the class of a file;
* memory: ``evalkit.evaluate`` with PIL images and the function;
* data set: ``evalkit.evaluate`` with a ``datasets.Dataset`` that holds the files' bytes, and the function.

Usage: python benchmarks/python.py [--images 1000] [--rounds 5] [--side 320]

Prints seconds of the job alone (without imports and making the data), and the ratios to files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

PREPARE = """
import json, sys
from pathlib import Path
import numpy as np, PIL.Image
folder, images, side = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
(folder / "task" / "images").mkdir(parents=True)
random = np.random.default_rng(0)
names = [f"thing {number}" for number in range(100)]
lines = []
for number in range(images):
    small = PIL.Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    small.resize((side * 4 // 3, side)).save(folder / "task" / "images" / f"{number}.jpg", quality=90)
    lines.append(json.dumps({"id": f"q{number}", "image": f"images/{number}.jpg", "label": names[number % 100]}))
(folder / "task" / "queries.jsonl").write_text("\\n".join(lines))
(folder / "task" / "candidates.jsonl").write_text("\\n".join(json.dumps({"text": name}) for name in names))
(folder / "task" / "card.toml").write_text('name = "benchmark"\\ntitle = "Benchmark"\\n')
(folder / "model.py").write_text(MODEL)
"""
MODEL = """
import numpy as np
from evalkit.embedders.base import EmbedderInfo

def encode(texts, images):
    rows = np.zeros((len(texts), 64))
    for row, (text, image) in enumerate(zip(texts, images)):
        if image is not None:
            rows[row] = np.asarray(image.resize((8, 8)).convert("L"), dtype=float).ravel() + 1
        else:
            rows[row] = np.random.default_rng(len(text) * 1000 + sum(map(ord, text))).random(64)
    return rows

class Model:
    info = EmbedderInfo(name="benchmark", dimension=64)
    def encode(self, items, side):
        vectors = encode([item.text for item in items], [item.image and item.image.rgb() for item in items])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
"""
RUN = """
import json, sys, time
from pathlib import Path
import evalkit, datasets, PIL.Image
import numpy, pandas, faiss, pyarrow.parquet, evalkit.api, evalkit.cli.run, evalkit.encoding.forward
way, folder, out = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, str(folder))
from model import encode
lines = [json.loads(line) for line in (folder / "task" / "queries.jsonl").read_text().splitlines()]
names = [json.loads(line)["text"] for line in (folder / "task" / "candidates.jsonl").read_text().splitlines()]
if way == "memory":
    rows = [line | {"image": PIL.Image.open(folder / "task" / line["image"]).convert("RGB")} for line in lines]
elif way == "data set":
    text = datasets.Value("string")
    rows = datasets.Dataset.from_list(
        [line | {"image": {"bytes": (folder / "task" / line["image"]).read_bytes(), "path": None}} for line in lines],
        features=datasets.Features({"id": text, "image": datasets.Image(), "label": text}))
began, busy = time.perf_counter(), time.process_time()
if way == "files":
    from evalkit.cli import main
    try:
        model, task = str(folder / "model.py") + ":Model", str(folder / "task")
        main(["run", "--model", model, "--tasks", task, "--out", out, "--quiet"])
    except SystemExit as ended:
        assert not ended.code
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    value = evalkit.load_run(out).to_pandas()["value"][0]
else:
    task = evalkit.Task.from_rows(rows, name="benchmark", query_image="image", candidates=names, label="label", id="id")
    run = evalkit.evaluate(encode, task, out=out, name="benchmark", quiet=True)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    value = run.to_pandas()["value"][0]
print(json.dumps([seconds, busy, value]))
"""


def main() -> None:
    """Time the three ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=320)
    said = parser.parse_args()
    best: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        prepare = f"MODEL = {MODEL!r}\n{PREPARE}"
        subprocess.run([sys.executable, "-c", prepare, place, str(said.images), str(said.side)], check=True)
        for number in range(said.rounds):
            values = set()
            for way in ("files", "memory", "data set"):
                out = f"{place}/runs-{way.replace(' ', '-')}-{number}"
                ran = subprocess.run([sys.executable, "-c", RUN, way, place, out], check=True, stdout=subprocess.PIPE)
                seconds, busy, value = json.loads(ran.stdout.splitlines()[-1])
                best.setdefault(way, []).append((seconds, busy))
                values.add(value)
                print(f"round {number}: {way} {seconds:.2f} s, {busy:.2f} s of processors", flush=True)
            if len(values) > 1:
                sys.exit(f"the ways give other numbers: {values}")
    least = {way: [min(column) for column in zip(*found, strict=True)] for way, found in best.items()}
    for way, (seconds, busy) in least.items():
        ratios = f"{seconds / least['files'][0]:.3f} and {busy / least['files'][1]:.3f} of files"
        print(f"{way}: {seconds:.2f} s, {busy:.2f} s of processors: {ratios}")


if __name__ == "__main__":
    main()

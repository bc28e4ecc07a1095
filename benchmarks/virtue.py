"""Encode once: VIRTUE on a set with SCaR's shape, by evalkit and with every item encoded by itself.

Images of photographic sizes with 3.2 boxes each on average (SCaR has 47,145 boxes on 14,799 images), made up by
this script and written as SCaR's rows; evalkit's suite builds their prompts. Captions are not part of the timing.
Both sides run the same embedder on the same items, from image files to vectors:

* evalkit: ``Encoder`` with a store in memory, as ``evalkit embed`` has it: the items of an image together, each
  image through the two image encoders once;
* alone: what the released code does (``eval.py`` of sony/virtue): batches in the order of the data, every item
  through both image encoders, nothing kept of one for another. The embedder is told that no two items have the
  same image, and to keep nothing. Its batches have as many items as evalkit's have on average; images are decoded
  by as many threads, a batch ahead. It is not the released code itself: both sides run evalkit's embedder, which
  leaves out the head that predicts words.

Each side runs in a process of its own, by turns; loading the model and a first call that warms it up are not
timed. The vectors of both sides have to be the same.

With the tiny weights of the tests most time goes into the image encoders, SAM's above all. The number of boxes an
image is what encoding once can give at most; a ratio above it says that something else disturbed the machine. The
ratio is not that of the released weights, whose language model is large beside their image encoders:
``benchmarks/virtue_operations.py`` counts what they would save. On a processor that is shared, two threads that
wait for each other distort the times by a multiple: use ``--threads 1``.

    python benchmarks/virtue.py
    python benchmarks/virtue.py --model virtue:PATH?resolution=high --device cuda --images 500
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evalkit.embedders.registry import LoadedEmbedder
    from evalkit.items import Item

TINY = Path(__file__).resolve().parents[1] / "tests" / "golden" / "virtue-tiny-a"
SIDES = ("evalkit", "alone")
SAME = 1e-5  # largest difference between two float32 vectors of the same item
# Width and height of photos in COCO, Visual Genome and ADE20K.
SHAPES = [(640, 480), (480, 640), (640, 427), (427, 640), (500, 375), (640, 480), (683, 512), (640, 426)]
QUESTION = (
    "<|image_1|>\nFind the caption that best describes the segmented object, considering both local details and "
    "global context in the given image."
)


def prepare(folder: Path, images: int, seed: int) -> None:
    """Images and rows: of every five images four have three boxes and one has four."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for number in range(images):
        width, height = SHAPES[number % len(SHAPES)]
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height))
        noise = rng.normal(0, 8, (height, width, 3))
        photo = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / "images" / f"{number}.jpg", quality=90)
        for box in range(4 if number % 5 == 4 else 3):
            x, y = (round(float(rng.uniform(0, 0.6 * side)), 2) for side in (width, height))
            across, down = (round(float(rng.uniform(0.1, 0.4) * side), 2) for side in (width, height))
            captions = [f"caption {choice} of box {box} on image {number}" for choice in range(10)]
            rows.append(
                {
                    "qry_text": QUESTION,
                    "qry_image_path": f"{number}.jpg",
                    "tgt_text": captions,
                    "bbox": [x, y, across, down],
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), folder / "SCaR_eval_RefCOCOg.parquet")


def items_of(folder: Path) -> list[Item]:
    """The queries, in the order of the data."""
    from evalkit.suites.selecting import select_tasks, suites
    from evalkit.suites.task import DataFolder, LoadOptions

    (card,) = select_tasks(["SCaR/RefCOCOg"])
    return list(suites()[card.suite].load(card, DataFolder.at(folder), LoadOptions()).queries)


def evalkit_side(loaded: LoadedEmbedder, items: Sequence[Item]) -> NDArray[np.float32]:
    """As ``evalkit embed`` does it."""
    from evalkit.encoding.encode import Encoder
    from evalkit.encoding.store import VectorStore

    with VectorStore(None) as store:
        return Encoder(loaded, store).encode(items, "query")


def alone_side(loaded: LoadedEmbedder, items: Sequence[Item], size: int) -> NDArray[np.float32]:
    """Every item by itself, in batches of ``size``, in the order given."""
    from evalkit.embedders.virtue import embedder

    embedder.KEPT_BYTES = 0
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    return np.concatenate([loaded.embedder.encode(batch, "query") for batch in decoded_ahead(batches)])


def decoded_ahead(batches: Sequence[Sequence[Item]]) -> Iterator[list[Item]]:
    """Batches with their pixels, which are decoded while the batch before is embedded."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        waiting: list[Future[Item]] = []
        for batch in (*batches, ()):
            started = [threads.submit(by_itself, item) for item in batch]
            if waiting:
                yield [future.result() for future in waiting]
            waiting = started


def by_itself(item: Item) -> Item:
    """The item with its pixels, and with a digest that no other item's image has."""
    if item.image is None:
        raise SystemExit(f"{item.prompt!r} has no image")
    image = dataclasses.replace(item.image, pixels=item.image.rgb(), digest=f"{item.image.path} {item.region}")
    return dataclasses.replace(item, image=image)


class Calls:
    """Counts the calls of a method."""

    def __init__(self, owner: object, name: str) -> None:
        self.count = 0
        function = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return function(*args, **kwargs)

        setattr(owner, name, watched)


class Busy:
    """Time that the GPU spends on the model's modules, by a pair of CUDA events around each outermost one.

    The gaps between the kernels of one module count as busy, so what is left of the wall time is the least that
    the GPU waits.
    """

    def __init__(self) -> None:
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

        self._pairs: list[tuple[Any, Any]] = []
        self._depth = 0
        register_module_forward_pre_hook(self._before)
        register_module_forward_hook(self._after, always_call=True)

    def reset(self) -> None:
        """Forget what was timed so far."""
        self._pairs.clear()

    def seconds(self) -> float:
        """Sum over all outermost calls; waits for the GPU."""
        import torch

        torch.cuda.synchronize()
        return sum(float(began.elapsed_time(ended)) for began, ended in self._pairs) / 1000

    def _before(self, *_: object) -> None:
        if self._depth == 0:
            self._pairs.append((self._now(), None))
        self._depth += 1

    def _after(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._pairs[-1] = (self._pairs[-1][0], self._now())

    @staticmethod
    def _now() -> Any:
        import torch

        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """One side, in this process."""
    import torch

    from evalkit.device import pick_device
    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(torch.device(device))
    loaded = load_embedder(parse_model(arguments.model), device)
    model: Any = loaded.embedder
    busy = Busy() if on_gpu else None
    model.encode(items_of(arguments.folder / "first"), "query")  # loads the weights
    items = items_of(arguments.folder / "data")
    calls, before = Calls(model, "encode"), model.images_encoded
    if on_gpu and busy is not None:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        busy.reset()
    alone = arguments.side == "alone"
    began, cpu_began = time.perf_counter(), time.process_time()
    vectors = alone_side(loaded, items, arguments.batch) if alone else evalkit_side(loaded, items)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    np.save(arguments.folder / f"{arguments.side}.npy", vectors)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "items": len(items),
        "images_encoded": model.images_encoded - before,
        "batches": calls.count,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gpu_peak_mib": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
        "gpu_waits": 1 - busy.seconds() / seconds if busy is not None else None,
        "dtype": loaded.info.options["dtype"],
        "machine": torch.cuda.get_device_name() if on_gpu else f"{processor()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }


def processor() -> str:
    """The processor's name, where the system says it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def in_process(side: str, folder: Path, arguments: argparse.Namespace, batch: int) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--batch", str(batch)]
    command += ["--model", arguments.model, "--device", arguments.device, "--threads", str(arguments.threads)]
    output = subprocess.run(command, check=False, capture_output=True, text=True)
    if output.returncode:
        raise SystemExit(f"the side {side!r} failed:\n{output.stderr}")
    result: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=f"virtue:{TINY}", help="virtue:PATH[?key=value]  [default: the tests' own]")
    parser.add_argument("--images", type=int, default=25, help="images with 3.2 boxes each  [default: 25]")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:I")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="[default: the device's]")
    parser.add_argument(
        "--threads", type=int, default=0, help="of torch, fewer where the processor is shared  [default: torch's]"
    )
    parser.add_argument("--rounds", type=int, default=5, help="times that each side runs  [default: 5]")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measured(arguments)))
        return
    if arguments.images < 1 or arguments.rounds < 1:
        parser.error("--images and --rounds are at least 1")
    if arguments.dtype:
        arguments.model += f"{'&' if '?' in arguments.model else '?'}dtype={arguments.dtype}"
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    batch, apart = 1, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder / "first", 2, seed=1)
        prepare(folder / "data", arguments.images, seed=0)
        for number in range(arguments.rounds):
            # By turns, so that both sides meet the same machine; evalkit first, whose batches the other takes over.
            for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                results[side].append(in_process(side, folder, arguments, batch))
                if len(results["evalkit"]) == 1:
                    batch = round(results["evalkit"][0]["items"] / results["evalkit"][0]["batches"])
            vectors = [np.load(folder / f"{side}.npy") for side in SIDES]
            apart.append(np.abs(vectors[0] - vectors[1]).max())
    report(arguments, results, float(np.max(apart)))


def report(arguments: argparse.Namespace, results: dict[str, list[dict[str, Any]]], apart: float) -> None:
    """Print both sides and how they compare; fail where they should not have been compared."""
    first = results["evalkit"][0]
    items = first["items"]
    print(f"{arguments.model}, {first['dtype']}")
    print(f"{first['machine']}, torch {first['torch']}, Python {platform.python_version()}")
    print(f"{items} items on {arguments.images} images, {arguments.rounds} rounds by turns, medians")
    for side, runs in results.items():
        seconds = [run["seconds"] for run in runs]
        line = (
            f"{side:8} {items / median(seconds):6.2f} items/s  {median(seconds):6.2f} s ({min(seconds):.2f} to "
            f"{max(seconds):.2f}; CPU {median(run['cpu_seconds'] for run in runs):.2f} s)  "
            f"{runs[0]['images_encoded']:5,} images encoded  {runs[0]['batches']:3} batches  "
            f"peak {max(run['peak_mib'] for run in runs):,.0f} MiB"
        )
        if first["gpu_waits"] is not None:
            waits = median(run["gpu_waits"] for run in runs)
            line += f", GPU {max(run['gpu_peak_mib'] for run in runs):,.0f} MiB, waits at least {waits:.0%}"
        print(line)
    # Of each round by itself: what else the machine does meets both sides of a round alike.
    pairs = zip(results["alone"], results["evalkit"], strict=True)
    ratios = [alone["seconds"] / once["seconds"] for alone, once in pairs]
    print(
        f"evalkit is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f} over the rounds; "
        f"encoding once gives at most {items / arguments.images:.2f})"
    )
    print(f"largest difference between the vectors: {apart:.1e}")
    if {run["images_encoded"] for run in results["evalkit"]} != {arguments.images}:
        raise SystemExit("evalkit did not encode each image once")
    if {run["images_encoded"] for run in results["alone"]} != {items}:
        raise SystemExit("the other side did not encode an image for every item")
    if first["dtype"] == "float32" and not apart <= SAME:  # nor may it be NaN
        raise SystemExit(f"the two sides disagree: vectors differ by {apart:.1e}, more than {SAME:.0e}")


if __name__ == "__main__":
    main()

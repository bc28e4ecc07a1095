"""Items per second of each model family, against the same model driven in the plain way; and what is padding.

Both sides embed the same items of the lengths that MMEB's have, from image files to vectors, with a tiny random
checkpoint in the family's published format, in one process and by turns:

* evalkit: ``Encoder`` with a store in memory, as ``evalkit embed`` has it;
* plain: transformers' own classes as a script of a user has them: batches of eight in the order given, padded. Where
  transformers has no class of a family, its towers and language models are joined by hand (``benchmarks/plain``).

No two items have an image in common, so that nothing is saved by looking at one once. The vectors of both sides have to
be the same. MagicLens gets the kinds that have images alone. Tiny checkpoints spend their time on what surrounds the
model: on reading images, on tokens, on calls. Times are of the processor, which another program on the machine moves
less than the clock; evalkit decodes images in threads, which by the clock shows where there is more than one core.

Padding is what a batch computes for no item: 1 - tokens of the items / (tokens of the longest x items), over the
batches that evalkit plans for the items of a task's side, and over the plain ones; of all kinds together, and of the
kind of which evalkit's is most. Tokens are the plain side's, of the text and of the image together, so that an estimate
of evalkit's that is wrong shows. Tiny tokenizers know few words, so texts are longer in tokens than with the published
ones.

    python benchmarks/families.py
    python benchmarks/families.py --families clip vlm2vec --items 50 --rounds 5 --kinds

A family on a backbone is a row of ``benchmarks/rows.py``; VIRTUE has ``benchmarks/virtue.py``.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from mmebitems import KINDS, Kind, made_items, write_images
from numpy.typing import NDArray
from plain.driver import Plain
from rows import Row, rows

from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.batches import BATCH_TOKENS, plan
from evalkit.encoding.encode import Encoder
from evalkit.encoding.forward import Forward
from evalkit.encoding.store import VectorStore
from evalkit.items import Item

BATCH = 8
SAME = 1e-4  # largest difference between two float32 vectors of the same item
MOST_PADDING = 0.05


@dataclass(frozen=True)
class Task:
    """Items of one kind.

    Attributes:
        kind: of them.
        items: themselves.
    """

    kind: Kind
    items: Sequence[Item]


@dataclass(frozen=True)
class Driven:
    """A row with its weights.

    Attributes:
        name: of the row.
        loaded: evalkit's side.
        plain: the other.
        texts: whether it takes items without an image.
    """

    name: str
    loaded: LoadedEmbedder
    plain: Plain
    texts: bool

    def takes(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of which it takes the items."""
        return [task for task in tasks if self.texts or task.kind.pictured]


def driven(name: str, row: Row, folder: Path) -> Driven:
    """A row, its checkpoint written into a folder."""
    checkpoint = row.write(folder / name)
    loaded = load_embedder(parse_model(f"{row.family}:{checkpoint}?dtype=float32"), "cpu")
    return Driven(name, loaded, row.plain(checkpoint), row.texts)


def evalkit_side(loaded: LoadedEmbedder, tasks: Sequence[Task]) -> NDArray[np.float32]:
    """As ``evalkit embed`` does it, with images that it has not seen."""
    kept: dict[Any, Any] = getattr(loaded.embedder, "_kept", {})
    kept.clear()
    with VectorStore(None) as store:
        encoder = Encoder(loaded, store)
        return np.concatenate([encoder.encode(task.items, task.kind.side) for task in tasks])


@torch.inference_mode()
def plain_side(model: Plain, tasks: Sequence[Task]) -> NDArray[np.float32]:
    """Batches in the order given."""
    found = [
        model.embed(task.items[start : start + BATCH], task.kind.side)
        for task in tasks
        for start in range(0, len(task.items), BATCH)
    ]
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(found), dim=-1).numpy()
    return vectors


def padding(batches: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Tokens of the items of batches, and with padding."""
    return sum(map(sum, batches)), sum(max(batch) * len(batch) for batch in batches)


def planned(loaded: LoadedEmbedder, items: Sequence[Item], lengths: Sequence[int]) -> list[list[int]]:
    """The items' lengths by the batches that evalkit plans."""
    forward = Forward(loaded, Encoder(loaded, VectorStore(None)).images)
    forward.images.gather(items)
    known = {number.to_bytes(4, "big"): forward.images.known(item) for number, item in enumerate(items)}
    entries = forward.entries(known, known.keys())
    return [[lengths[int.from_bytes(entry.key, "big")] for entry in batch] for batch in plan(entries, BATCH_TOKENS)]


def timed(side: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], float, float]:
    """What a side returns, its seconds, and those of the processor."""
    began, cpu_began = time.perf_counter(), time.process_time()
    vectors = side()
    return vectors, time.perf_counter() - began, time.process_time() - cpu_began


def speed(one: Driven, tasks: Sequence[Task], rounds: int) -> None:
    """Print a row of the first table."""
    sides: dict[str, Callable[[], NDArray[np.float32]]] = {
        "evalkit": lambda: evalkit_side(one.loaded, tasks),
        "plain": lambda: plain_side(one.plain, tasks),
    }
    for call in sides.values():
        call()  # loads weights and warms up
    seconds: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    vectors: dict[str, NDArray[np.float32]] = {}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            vectors[side], wall, cpu = timed(sides[side])
            seconds[side].append((wall, cpu))
    apart = float(np.abs(vectors["evalkit"] - vectors["plain"]).max())
    count = sum(len(task.items) for task in tasks)
    rate = {side: count / median(cpu for _, cpu in runs) for side, runs in seconds.items()}
    pairs = list(zip(seconds["plain"], seconds["evalkit"], strict=True))
    ratios = [plain[1] / ours[1] for plain, ours in pairs]
    clock = median(plain[0] / ours[0] for plain, ours in pairs)
    print(
        f"{one.name:19}{rate['evalkit']:11.1f}{rate['plain']:11.1f}{median(ratios):9.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}){clock:9.2f}{apart:12.1e}",
        flush=True,
    )
    if not apart <= SAME:  # nor may it be NaN
        raise SystemExit(f"the two sides of {one.name} disagree: vectors differ by {apart:.1e}, more than {SAME:.0e}")


def waste(one: Driven, samples: Sequence[Task], each: bool) -> bool:
    """Print the rows of the second table; whether padding is as little as it should be.

    Args:
        one: the family.
        samples: items of each kind.
        each: print every kind, and not the one alone of which most is padding.
    """
    ours: list[tuple[int, int]] = []
    plain: list[tuple[int, int]] = []
    lines: list[tuple[float, str]] = []
    for sample in samples:
        lengths = [one.plain.tokens(item, sample.kind.side) for item in sample.items]
        batches = planned(one.loaded, sample.items, lengths)
        eights = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
        ours.append(padding(batches))
        plain.append(padding(eights))
        shares = share(ours[-1:]), share(plain[-1:])
        line = (
            f"{one.name:19}{sample.kind.what:23}{min(lengths):5} to {max(lengths):4} tokens{shares[0]:10.1%}"
            f"{shares[1]:9.1%}{len(batches):9}{len(eights):9}"
        )
        lines.append((shares[0], line))
    for _, line in lines if each else [max(lines)]:
        print(line)
    print(f"{one.name:19}{'all':23}{'':19}{share(ours):10.1%}{share(plain):9.1%}", flush=True)
    return share(ours) <= MOST_PADDING


def share(batches: Sequence[tuple[int, int]]) -> float:
    """What of the padded tokens is padding."""
    return 1 - sum(real for real, _ in batches) / sum(padded for _, padded in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", help="rows, such as clip  [default: all]")
    parser.add_argument("--items", type=int, default=24, help="of each kind, for the times  [default: 24]")
    parser.add_argument("--sample", type=int, default=1000, help="of each kind, for the padding  [default: 1000]")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs  [default: 3]")
    parser.add_argument("--kinds", action="store_true", help="show the padding of every kind of items")
    parser.add_argument("--threads", type=int, default=1, help="of torch  [default: 1]")
    arguments = parser.parse_args()
    if min(arguments.items, arguments.sample, arguments.rounds, arguments.threads) < 1:
        parser.error("--items, --sample, --rounds and --threads are at least 1")
    known = rows()
    names = arguments.families or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no family {unknown[0]!r}; there are {', '.join(known)}")
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number, kind in enumerate(KINDS):
            if kind.pictured:
                write_images(folder, max(arguments.items, arguments.sample), number)
        tasks, samples = (
            [Task(kind, made_items(kind, count, folder, number)) for number, kind in enumerate(KINDS)]
            for count in (arguments.items, arguments.sample)
        )
        families = [driven(name, known[name], folder) for name in names]
        print(f"Python {platform.python_version()}, torch {torch.__version__}, {arguments.threads} threads")
        print(
            f"{arguments.items} items of {len(KINDS)} kinds each, {arguments.rounds} rounds by turns; items per second "
            "of processor, medians"
        )
        print(f"{'':19}{'evalkit':>11}{'plain':>11}{'ratio':>9}{'':15}{'by clock':>9}{'apart':>12}")
        for one in families:
            speed(one, one.takes(tasks), arguments.rounds)
        print(
            f"\npadding of {arguments.sample} items of a kind, batches of {BATCH_TOKENS:,} tokens or of {BATCH} items"
        )
        print(f"{'':61}{'evalkit':>10}{'plain':>9}{'batches':>9}{'':>9}")
        good = [waste(one, one.takes(samples), arguments.kinds) for one in families]
    if not all(good):
        raise SystemExit(f"more than {MOST_PADDING:.0%} of what is computed is padding")


if __name__ == "__main__":
    main()

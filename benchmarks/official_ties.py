"""What the official scorers make of equal scores: ``python benchmarks/official_ties.py``; needs numpy alone.

Both rank one query's candidates with the label in front. Version 1 takes ``np.argmax`` of the scores, which is the
first of the highest. Version 2 takes ``np.argsort`` of ``-np.dot(query, candidates.T)`` with numpy's default kind,
which is not stable: which of equals comes first depends on their number, on numpy's version and on what the CPU can
do. And equal vectors need not get equal scores: BLAS sums the last candidates of a matrix in another order.

Printed in percent of queries, a line per size of pool (MMEB's tasks, and SCaR's 10):

* ``equal``: everything has exactly the same score. One query says it: it is always 0 or 100.
* ``D, v1`` and ``D, v2``: an embedder that gives everything the same vector of D numbers, drawn anew for each query.
  Of one such embedder the whole task is 0 or 100; evalkit's ``constant`` is one with D 8.
* ``1 of K``: the label ties exactly with K - 1 others at the top, at random places; the rest is lower. Chance is
  100 / K. Only version 2: version 1 gives 100.

Neither scorer's code is used: those two lines are all there is to it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

POOLS = (2, 10, 20, 24, 200, 211, 313, 365, 397, 736, 1000)
DIMENSIONS = (8, 16, 1536)
SHARING = (2, 4, 11)


def version_1(scores: np.ndarray) -> bool:
    """Whether the label, the first, is right."""
    return int(np.argmax(scores)) == 0


def version_2(scores: np.ndarray) -> bool:
    """Whether the label, the first, is right."""
    return int(np.argsort(-scores)[0]) == 0


def constant(pool: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of a query by an embedder that gives everything one vector, shape ``(pool,)``."""
    vector = rng.standard_normal(dimension)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return np.dot(vector, np.stack([vector] * pool).T)


def sharing(pool: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of a query whose label shares the highest with ``count - 1`` others, shape ``(pool,)``."""
    scores = (rng.standard_normal(pool) - 20).astype(np.float32)
    scores[0] = 1
    scores[rng.choice(np.arange(1, pool), count - 1, replace=False)] = 1
    return scores


def percent(scorer: Callable[[np.ndarray], bool], draw: Callable[[], np.ndarray], rounds: int) -> str:
    return f"{100 * np.mean([scorer(draw()) for _ in range(rounds)]):.1f}"


def table(rounds: int, seed: int = 0) -> list[list[str]]:
    """A heading and a row for each size of pool."""
    head = ["pool", "equal, v1", "equal, v2"]
    head += [f"{dimension}, {version}" for dimension in DIMENSIONS for version in ("v1", "v2")]
    rows = [head + [f"1 of {count}, v2" for count in SHARING]]
    for pool in POOLS:
        equal = np.ones(pool, np.float32)
        row = [str(pool), *(f"{100 * scorer(equal)}" for scorer in (version_1, version_2))]
        for dimension in DIMENSIONS:
            for scorer in (version_1, version_2):
                rng = np.random.default_rng([seed, pool, dimension])  # both get the same scores
                row.append(percent(scorer, lambda: constant(pool, dimension, rng), rounds))  # noqa: B023
        for count in SHARING:
            rng = np.random.default_rng([seed, pool, count])
            draw = (lambda: sharing(pool, count, rng)) if count <= pool else None  # noqa: B023
            row.append(percent(version_2, draw, rounds) if draw else "–")
        rows.append(row)
    return rows


def machine() -> str:
    """numpy, what it finds in the CPU, and the CPU's name."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        np.show_runtime()
    found = re.search(r"'found': \[(.*?)\]", said.getvalue(), re.DOTALL)
    able = " ".join(re.findall(r"'(\w+)'", found[1])) if found else "unknown"
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return f"numpy {np.__version__}, finds {able or 'nothing'}; {named[1] if named else platform.processor()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="queries drawn for each number (default 1000)")
    rounds = parser.parse_args().rounds
    print(machine(), end="\n\n")
    rows = table(rounds)
    for row in rows:
        print("  ".join(cell.rjust(max(len(other[place]) for other in rows)) for place, cell in enumerate(row)))


if __name__ == "__main__":
    main()

"""How often the gate cries wolf, and how often it sees a true drop: 41 tasks of 1000 queries, many times over.

Two models are right on three queries of five and disagree on some share of all. The whole gate judges each pair:
36 tasks of MMEB with its groups and five of SCaR, every test in one family, size and significance, the defaults.

* equal: no difference in truth; an alarm is any verdict ``regressed``;
* one task: a drop of 3 points on one task of the 41;
* mean: a drop of 0.5 points on each of MMEB's 36 tasks;
* intervals: how often those of tasks, groups and suites hold the truth.

    python benchmarks/gate_simulation.py --rounds 400

With ``--margins`` the true drop is the margin, 1.5 times and twice it, of one task (2 points) and of MMEB's mean
(0.3 points): as a verdict needs a drop of the margin that is seen, half of those of the margin cannot fail.
"""

from __future__ import annotations

import argparse
import math
import time
from datetime import date
from pathlib import Path

import numpy as np

from evalkit.regression.comparand import Comparand, Number
from evalkit.regression.compare import compare
from evalkit.regression.config import GateConfig
from evalkit.regression.gate import judge
from evalkit.runs.samples import Samples
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import select_tasks

QUERIES, RIGHT = 1000, 0.6
IDS = tuple(f"{number:016x}" for number in range(QUERIES))
CARDS = select_tasks(["all"])
ONE = "VOC2007"
Case = tuple[str, float, dict[str, float]]
"""What it is called, the share of queries that the two disagree on, and the true drop of tasks."""


def scores(disagree: float, drop: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the two on one task."""
    luck, rest = draw.random(QUERIES), (draw.random(QUERIES) < RIGHT).astype(float)
    won = luck < (disagree - drop) / 2
    lost = ~won & (luck < disagree)
    return np.where(won, 0.0, np.where(lost, 1.0, rest)), np.where(won, 1.0, np.where(lost, 0.0, rest))


def number(card: TaskCard, found: np.ndarray) -> Number:
    samples = Samples(IDS, found, np.arange(QUERIES))
    line = f"task:{card.name}@{card.version}|n:{len(found)}|data:0|prompts:0|pool:0|metric:0|exif:apply|dedup:content"
    facts = (card.name, card.suite, card.meta_task, card.distribution)
    return Number(*facts, float(found.mean()), signature=f"{line}|prompting:-", samples=samples)


def gate(disagree: float, drops: dict[str, float], draw: np.random.Generator, seed: int):
    """One pair of models, judged."""
    sides: list[dict[str, Number]] = [{}, {}]
    for card in CARDS:
        for side, found in zip(sides, scores(disagree, drops.get(card.name, 0), draw), strict=True):
            side[card.name] = number(card, found)
    base, new = (
        Comparand(Path(name), "run", name, side, {}) for name, side in zip(("base", "new"), sides, strict=True)
    )
    return judge(compare(base, new, seed=seed), GateConfig(), today=date(2000, 1, 1))


def simulate(disagree: float, drops: dict[str, float], rounds: int, seed: int) -> dict[str, float]:
    """Shares of rounds."""
    draw = np.random.default_rng(seed)
    seen = {"alarm": 0, "one task": 0, "mmeb": 0}
    inside: dict[str, list[bool]] = {"suite": [], "group": [], "task": []}
    for place in range(rounds):
        found = gate(disagree, drops, draw, place)
        regressed = {one.unit.name for one in found.judged if one.verdict == "regressed"}
        seen["alarm"] += bool(regressed)
        seen["one task"] += ONE in regressed
        seen["mmeb"] += "mmeb" in regressed
        for one in found.judged:
            truth = -math.fsum(drops.get(task, 0) for task in one.unit.tasks) / len(one.unit.tasks)
            low, high = one.unit.paired.interval
            inside[one.unit.level].append(low <= truth <= high)
    return {name: count / rounds for name, count in seen.items()} | {k: float(np.mean(v)) for k, v in inside.items()}


def on_mmeb(drop: float) -> dict[str, float]:
    return {card.name: drop for card in CARDS if card.suite == "mmeb"}


def usual() -> list[Case]:
    return [
        *((f"equal, {100 * share:.0f} % disagree", share, {}) for share in (0.02, 0.05, 0.1)),
        ("3 points on one task, 5 % disagree", 0.05, {ONE: 0.03}),
        ("0.5 points on MMEB's mean, 5 % disagree", 0.05, on_mmeb(0.005)),
    ]


def at_the_margins() -> list[Case]:
    margins, times = GateConfig(), (1, 1.5, 2)
    tasks = [margins.task_min_effect * each for each in times]
    means = [margins.min_effect * each for each in times]
    shares = (0.05, 0.1)
    return [
        *((f"{100 * d:g} points on one task, {100 * s:.0f} % disagree", s, {ONE: d}) for s in shares for d in tasks),
        *((f"{100 * d:g} points on MMEB's mean, {100 * s:.0f} %", s, on_mmeb(d)) for s in shares for d in means),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--margins", action="store_true", help="true drops of the margin, 1.5 times and twice it")
    options = parser.parse_args()
    cases = at_the_margins() if options.margins else usual()
    print(f"{options.rounds} rounds of 41 tasks of {QUERIES} queries; shares in percent, +- standard error")
    print(f"{'truth':<42}{'gate fails':>14}{'the task':>14}{'mmeb mean':>14}   intervals hold: suites groups tasks")
    for place, (name, disagree, drops) in enumerate(cases):
        began = time.process_time()
        found = simulate(disagree, drops, options.rounds, options.seed + place)

        def shown(value: float) -> str:
            return f"{100 * value:.1f} +- {100 * math.sqrt(value * (1 - value) / options.rounds):.1f}"

        cover = " ".join(f"{100 * found[level]:.1f}" for level in ("suite", "group", "task"))
        print(
            f"{name:<42}{shown(found['alarm']):>14}{shown(found['one task']):>14}{shown(found['mmeb']):>14}   {cover}"
            f"   ({time.process_time() - began:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()

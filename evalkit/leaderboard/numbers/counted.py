"""The runs of a leaderboard, each once, with their results as the cards of today count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.leaderboard.board import Apart
from evalkit.runs.manifest import Manifest, MetricResult, TaskResult, as_promised
from evalkit.runs.runfiles import samples_path
from evalkit.suites.card import OWN, TaskCard

Run = tuple[Path, Manifest]


KNOW_NOTHING = ("random", "constant")
"""Families that stand at the foot of every table."""


@dataclass(frozen=True)
class Counted:
    """A run.

    Attributes:
        folder: of the run.
        manifest: as it is on disk.
        results: by the task's name, of the tasks that have a card, in the order of the cards; one is complete only
            where its task is the card's of today, or an own task that of the run's own card.
        data: by the task's name, what is equal for numbers about the same data; of the tasks of a board that have one.
        apart: by the task's name, why its number stands outside the ranking.
    """

    folder: Path
    manifest: Manifest
    results: Mapping[str, TaskResult]
    data: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, Apart] = field(default_factory=dict)


def counted(runs: Sequence[Run], cards: Sequence[TaskCard]) -> list[Counted]:
    """The runs, each once, in an order that is theirs and not that of the folders they were found in.

    Of copies of a run the one with the most per-query files stands for all, else the first path.
    """
    called: dict[tuple[str, str], list[Run]] = {}
    for folder, manifest in runs:
        called.setdefault((manifest.model.name, manifest.run_id), []).append((folder, manifest))
    found = []
    for name in sorted(called):
        copies: dict[str, list[Run]] = {}
        for run in called[name]:  # of one name and id, and still two states of a run that was continued
            copies.setdefault(run[1].model_dump_json() if len(called[name]) > 1 else "", []).append(run)
        found += [min(copies[content], key=_fewest_files) for content in sorted(copies)]
    return [Counted(folder, manifest, _results(manifest, cards)) for folder, manifest in found]


def regions_by(results: Iterable[TaskResult]) -> str | None:
    """How regions reached a model in these results: all ways, or ``None`` where there were no regions."""
    return ", ".join(sorted({result.prompting for result in results if result.prompting})) or None


def precision_at_1(result: TaskResult) -> MetricResult | None:
    """The number of a result, where it has one."""
    return (result.metrics or {}).get("precision_at_1")


def chance_levels(runs: Sequence[Counted], cards: Sequence[TaskCard]) -> dict[str, float]:
    """Chance level by the task's name, of the tasks where it is known.

    A run that can be checked says what it is for the pools that it was ranked in: one that is ranked before one that
    stands apart, one with all the card's queries before others, and one without the official merging of candidates
    before one with it. Where no run says, the card does if it is a task of SCaR, whose every query has the same number
    of distinct candidates; what other cards count may repeat.
    """
    chance = {}
    for card in cards:
        said = [
            (card.name in run.apart, not result.complete, run.manifest.settings.official_dedup, p1.chance)
            for run in runs
            if (result := run.results.get(card.name)) and (p1 := precision_at_1(result))
            if card.name not in run.apart or run.apart[card.name].kind != "claimed"
        ]
        if said:
            chance[card.name] = min(said)[3]
        elif card.pool == "own" and any(source.layout == "scar" for source in card.sources):
            chance[card.name] = 1 / card.candidates
    return chance


def _fewest_files(run: Run) -> tuple[int, str]:
    folder, manifest = run
    return -sum(samples_path(folder, result) is not None for result in manifest.tasks), str(folder)


def _results(manifest: Manifest, cards: Sequence[TaskCard]) -> dict[str, TaskResult]:
    """An own task may be called as one of a suite is, and is another one all the same."""
    found = {(result.task, result.suite == OWN): result for result in manifest.tasks}
    return {
        card.name: as_promised(result, manifest.own_tasks)
        for card in cards
        if (result := found.get((card.name, card.suite == OWN))) is not None
    }

"""The demo: the miniature, the tiny models that come with evalkit on all its tasks, and what came out.

Everything is done by what ``evalkit data miniature``, ``evalkit run`` and ``evalkit report`` do, in one folder, so it
can be looked at, continued and added to with them. ``demo.json`` says that the folder is a demo's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.device import pick_device
from evalkit.embedders.modeltext import parse_model
from evalkit.errors import EvalkitError, ResultsError, UsageError
from evalkit.evaluate import Job, Ran, evaluate_all
from evalkit.files import json_bytes, read_file, write_atomically
from evalkit.leaderboard.numbers.counted import regions_by
from evalkit.leaderboard.report import Choices, Reported, report
from evalkit.miniature import SUITE
from evalkit.miniature.write import LARGEST, MANIFEST, SIZE, write
from evalkit.miniature.write import MiniatureFile as Miniature
from evalkit.progress import Progress
from evalkit.runs.manifest import Settings
from evalkit.runs.runfiles import samples_of
from evalkit.runs.samples import Samples, places
from evalkit.scoring.paired import paired_stratified_bootstrap
from evalkit.scoring.stats import mean_over_tasks, stratified_bootstrap
from evalkit.suites.task import DataFolder
from evalkit.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARK = "demo.json"


@dataclass(frozen=True)
class Entrant:
    """A model and how regions reach it.

    Attributes:
        model: a registered name.
        prompting: as ``--prompting`` has it; ``None`` is the model's own way.
    """

    model: str
    prompting: str | None = None

    def __str__(self) -> str:
        return f"{self.model}, regions by {self.prompting}" if self.prompting else self.model


NATIVE, CROP, NONE = Entrant("virtue-tiny"), Entrant("virtue-tiny", "crop"), Entrant("virtue-tiny", "none")
VLM2VEC, CLIP = Entrant("vlm2vec-tiny"), Entrant("clip-tiny")
ENTRANTS = (NATIVE, CROP, NONE, VLM2VEC, CLIP, Entrant("random"), Entrant("constant"))

INTERACTIVE = "visual-interactive"
"""The meta-task of SCaR's stand-ins; all other tasks are MMEB's."""
MMEB = "MMEB's stand-ins"
COMPARED = (
    *((INTERACTIVE, NATIVE, CROP), (INTERACTIVE, NATIVE, NONE), (INTERACTIVE, NATIVE, VLM2VEC)),
    *((MMEB, NATIVE, VLM2VEC), (MMEB, NATIVE, CLIP)),
)


class DemoFile(BaseModel):
    """``demo.json``: whose folder this is, and of which demo."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    what: Literal["evalkit.demo"] = Field(default="evalkit.demo", alias="schema")
    schema_version: Literal[1] = 1
    evalkit_version: str
    size: int
    """Queries of each task."""
    seed: int
    """Of the miniature."""

    def __str__(self) -> str:
        return f"--size {self.size} --seed {self.seed} by evalkit {self.evalkit_version}"


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks, or a difference of two, as fractions, with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, interval: tuple[float, float]) -> Estimate:
        """An interval holds its value, whatever rounding did to the means of equal scores."""
        return cls(value, min(interval[0], value), max(interval[1], value))


@dataclass(frozen=True)
class Line:
    """What one entrant got.

    Attributes:
        model: its name.
        regions: how regions reached it, as its results have it.
        groups: by meta-task, in the order of the tasks; ``None`` where a task of the group has no result.
    """

    model: str
    regions: str
    groups: Mapping[str, Estimate | None]


@dataclass(frozen=True)
class Lead:
    """What one entrant got more than another on the same queries.

    Attributes:
        tasks: on which: :data:`INTERACTIVE` or :data:`MMEB`.
        new: the one.
        base: the other.
        estimate: ``None`` where one of them has no result for one of the tasks.
    """

    tasks: str
    new: Line
    base: Line
    estimate: Estimate | None

    @property
    def ahead(self) -> Line | None:
        """The better one, ``None`` where the interval holds 0 and it cannot be told."""
        if self.estimate is None or self.estimate.low <= 0 <= self.estimate.high:
            return None
        return self.new if self.estimate.value > 0 else self.base


@dataclass(frozen=True)
class Findings:
    """The numbers of a demo.

    Attributes:
        lines: one an entrant, in the order of :data:`ENTRANTS`.
        chance: by meta-task, what an embedder gets that cannot tell any two candidates apart.
        differences: one a pair of :data:`COMPARED`.
        tasks: by meta-task, how many.
        size: queries of each task.
    """

    lines: tuple[Line, ...]
    chance: Mapping[str, float | None]
    differences: tuple[Lead, ...]
    tasks: Mapping[str, int]
    size: int


@dataclass(frozen=True)
class Demo:
    """A demo that ran.

    Attributes:
        findings: its numbers.
        failures: what failed, one line each.
        pages: the files of the leaderboard.
        exit_code: as of ``evalkit run``: 0, or what the failures ask for.
    """

    findings: Findings
    failures: tuple[str, ...]
    pages: Reported
    exit_code: int


def demo(out: Path, *, size: int = SIZE, seed: int = 0, device: str = "auto", progress: Progress | None = None) -> Demo:
    """Make the miniature, run :data:`ENTRANTS` on all its tasks, and write their leaderboard.

    Args:
        out: is made where it is missing. A demo that is there goes on where it stopped: what is done is not done again.
        size: queries of each task.
        seed: of the miniature.
        device: what the models run on.
        progress: who is told.

    Raises:
        UsageError: a size out of range; a folder that holds something else, or a demo of another size, seed or
            version; a folder that cannot be written; a tiny model that is not whole; no such device.
        StoreError: the vector store cannot be read or written.
        ResultsError: results cannot be read or written.
    """
    if not 1 <= size <= LARGEST:
        raise UsageError(f"size {size}: a task has 1 to {LARGEST} queries, fewer than any real one")
    jobs = [Job(parse_model(one.model), Settings(prompting=one.prompting)) for one in ENTRANTS]
    if device != "auto":
        pick_device(device)
    progress = progress or Progress(quiet=True)
    _claim(out, DemoFile(evalkit_version=__version__, size=size, seed=seed))
    _make_miniature(out / "data", size, seed, progress)
    cards, data, runs = SUITE.cards(), DataFolder.at(out / "data"), out / "runs"
    with closing(evaluate_all(_announced(jobs, progress), cards, data, runs, device=device, progress=progress)) as all_:
        outcomes = list(all_)
    pages = report([runs], out / "site", out / "LEADERBOARD.md", Choices(data=data), progress)
    found = findings([Scored(one, ran) for one, ran in zip(ENTRANTS, outcomes, strict=True)], size)
    failures, exit_code = _failures(outcomes)
    return Demo(found, failures, pages, exit_code)


def _announced(jobs: Sequence[Job], progress: Progress) -> Iterator[Job]:
    for number, (one, job) in enumerate(zip(ENTRANTS, jobs, strict=True), 1):
        progress.say(f"run {number} of {len(jobs)}: {one}")
        yield job


def _claim(out: Path, mark: DemoFile) -> None:
    """Make the folder this demo's, or see that it is."""
    way_out = "name another folder with --out"
    path = out / MARK
    try:
        if os.path.lexists(out) and not out.is_dir():
            raise UsageError(f"{out} is a file, not a folder: {way_out}")
        # A mark that was being written when its process was killed is nobody's.
        there = [file for file in out.iterdir() if not file.name.startswith(f".{MARK}.")] if out.is_dir() else []
        if there and not path.is_file():
            raise UsageError(f"{out} is not empty and holds no demo: {way_out}")
        if there:
            found = DemoFile.model_validate_json(read_file(path))
            if found != mark:
                raise UsageError(f"{out} holds a demo with {found}, not with {mark}: {way_out}")
            for folder in (out, out / "runs"):  # where what is there already is added to
                if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
                    raise UsageError(f"{folder} cannot be written: {way_out}")
            return
        write_atomically(path, json_bytes(mark.model_dump(by_alias=True)))
    except ValidationError as error:
        raise UsageError(f"{path} is not what evalkit writes ({error.errors()[0]['msg']}): {way_out}") from None
    except ResultsError as error:
        raise UsageError(f"{error}: name a folder that can be with --out") from error
    except OSError as error:
        raise UsageError(f"{out} cannot be read ({error.strerror or error}): {way_out}") from error


def _make_miniature(folder: Path, size: int, seed: int, progress: Progress) -> None:
    """The data, if it is not there whole; what is a miniature's own is replaced, and nothing else."""
    path = folder / MANIFEST
    if path.is_file():
        try:
            there = Miniature.model_validate_json(read_file(path))
        except (OSError, ValidationError):
            pass  # what write says of it names the file and the reason
        else:
            if (there.size, there.seed) != (size, seed):
                raise UsageError(
                    f"{folder} holds a miniature of size {there.size} and seed {there.seed}, not of size {size} and "
                    f"seed {seed}: name another folder with --out"
                )
            if there.whole and all((folder / name).is_file() for name in there.files):
                return
    with progress.run("miniature", 1), progress.task("images"):
        write(folder, size=size, seed=seed, force=True, progress=progress)


def _failures(outcomes: Iterable[Ran | EvalkitError]) -> tuple[tuple[str, ...], int]:
    """What failed, a line for each reason of each entrant, and the exit code."""
    lines, exit_code = [], 0
    for one, outcome in zip(ENTRANTS, outcomes, strict=True):
        if isinstance(outcome, EvalkitError):
            lines.append(f"{one}: {outcome}")
            exit_code = max(exit_code, outcome.exit_code)
            continue
        reasons: dict[str, list[str]] = {}
        for result in outcome.failed(SUITE.cards()):
            reasons.setdefault(result.error.message if result.error else "", []).append(result.task)
        for reason, tasks in reasons.items():
            more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            lines.append(f"{one}: {tasks[0]}{more} failed: {reason}")
        if reasons:
            exit_code = 4
    return tuple(lines), exit_code


@dataclass(frozen=True)
class Scored:
    """An entrant with its run, or with why there is none."""

    entrant: Entrant
    outcome: Ran | EvalkitError

    @cached_property
    def samples(self) -> Mapping[str, Samples]:
        """By task that has a number, what happened to each query.

        Raises:
            ResultsError: samples that cannot be read.
        """
        if isinstance(self.outcome, EvalkitError):
            return {}
        own = {card.name for card in SUITE.cards()}
        results = [result for result in self.outcome.manifest.tasks if result.task in own]
        found = {result.task: samples_of(self.outcome.folder, result) for result in results}
        return {task: samples for task, samples in found.items() if samples is not None}

    @property
    def chance(self) -> Mapping[str, float]:
        """By task that has a number, its chance level."""
        if isinstance(self.outcome, EvalkitError):
            return {}
        return {
            result.task: result.metrics["precision_at_1"].chance
            for result in self.outcome.manifest.tasks
            if result.metrics is not None
        }

    @property
    def regions(self) -> str:
        """How regions reached the model, as the results have it."""
        return regions_by(() if isinstance(self.outcome, EvalkitError) else self.outcome.manifest.tasks) or "–"


def findings(scored: Sequence[Scored], size: int) -> Findings:
    """The numbers of a demo.

    Args:
        scored: one an entrant, in the order of :data:`ENTRANTS`.
        size: queries of each task.

    Raises:
        ResultsError: samples that cannot be read, or two entrants that were asked different queries.
    """
    groups: dict[str, list[str]] = {}
    for card in SUITE.cards():
        groups.setdefault(card.meta_task, []).append(card.name)
    lines = {
        one.entrant: Line(one.entrant.model, one.regions, {group: _mean(one, tasks) for group, tasks in groups.items()})
        for one in scored
    }
    chance = {task: value for one in scored for task, value in one.chance.items()}
    by_entrant = {one.entrant: one for one in scored}
    others = [card.name for card in SUITE.cards() if card.meta_task != INTERACTIVE]
    return Findings(
        lines=tuple(lines.values()),
        chance={
            group: math.fsum(chance[task] for task in tasks) / len(tasks) if chance.keys() >= {*tasks} else None
            for group, tasks in groups.items()
        },
        differences=tuple(
            Lead(
                tasks,
                lines[new],
                lines[base],
                _difference(by_entrant[new], by_entrant[base], others if tasks == MMEB else groups[tasks]),
            )
            for tasks, new, base in COMPARED
        ),
        tasks={group: len(tasks) for group, tasks in groups.items()},
        size=size,
    )


def _mean(one: Scored, tasks: Sequence[str]) -> Estimate | None:
    if not one.samples.keys() >= {*tasks}:
        return None
    scores = [one.samples[task].scores for task in tasks]
    interval = stratified_bootstrap(scores, [one.samples[task].shared for task in tasks])
    return Estimate.of(mean_over_tasks(scores), interval)


def _difference(new: Scored, base: Scored, tasks: Sequence[str]) -> Estimate | None:
    if not new.samples.keys() & base.samples.keys() >= {*tasks}:
        return None
    before = [base.samples[task].scores for task in tasks]
    after = [_in_order(base, new, task) for task in tasks]
    shared = [base.samples[task].shared for task in tasks]
    interval = paired_stratified_bootstrap(before, after, shared)
    return Estimate.of(mean_over_tasks(after) - mean_over_tasks(before), interval)


def _in_order(base: Scored, new: Scored, task: str) -> NDArray[np.float64]:
    """Scores of the new one in the order of the base's queries."""
    order = places(base.samples[task].ids, new.samples[task].ids)
    if isinstance(order, str):
        raise ResultsError(f"{task} by {base.entrant} and {new.entrant}: {order}; run both on the same data")
    return new.samples[task].scores[order]

"""What a leaderboard shows, with every number worked out: the one thing that pages, Markdown and downloads read.

Fractions in [0, 1], unrounded; percent only where they are shown. What is missing is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.suites.card import TaskCard

Kind = Literal["measured", "claimed", "published"]
Known = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Apart:
    """Why a number of a run stands outside the ranking.

    Attributes:
        kind: ``claimed``: its per-query file is not there, so that nobody can check the number; ``other data``: it is
            about other data than the numbers that are ranked, or was asked otherwise.
        why: the same in words, with what differs; no markup, in one line.
    """

    kind: Literal["claimed", "other data"]
    why: str


@dataclass(frozen=True)
class Score:
    """Precision@1 of one entry on one task.

    Attributes:
        value: the score; of a published one the printed percent / 100.
        low: lower end of the 95 % interval; ``None`` where it is not known.
        high: upper end.
        n: queries; ``None`` where a paper does not say.
        complete: all queries of the task, so that it counts in means.
        tied_with_best: the best entry of this task, or not told apart from it (paired test on the same queries,
            Holm over the entries); published scores are never, as their queries are not known.
        result: of a measured one, all that the run says; else ``None``.
        data: equal for scores of one task that are about the same data; empty for published ones.
        apart: why it is ranked, paired and compared with none of the others; ``None`` where it is.
    """

    value: float
    low: float | None
    high: float | None
    n: int | None
    complete: bool
    tied_with_best: bool = False
    result: TaskResult | None = None
    data: str = ""
    apart: Apart | None = None

    @property
    def counts(self) -> bool:
        """Whether it can be held against those of others: all queries, samples that bear it out, the same data."""
        return self.complete and self.apart is None

    @property
    def claimed(self) -> bool:
        """Whether there is nothing to check it by."""
        return self.apart is not None and self.apart.kind == "claimed"


@dataclass(frozen=True)
class Mean:
    """The unweighted mean over the tasks of a group.

    Attributes:
        value: ``None`` unless every task of the group is there (or a paper reports the mean itself) and none is
            claimed alone.
        low: lower end of the 95 % interval (stratified bootstrap over the queries); ``None`` where it is not known.
        high: upper end.
        n_done: tasks of the group with a complete score that can be checked.
        n_tasks: tasks of the group.
        reported: a paper's own number, and not all of its tasks are there to add it up again.
        notes: numbers of footnotes of the board that belong to it.
        apart: why it is ranked and compared with none of the others: one of its tasks is. Where that is claimed there
            is no value.
    """

    value: float | None
    low: float | None
    high: float | None
    n_done: int
    n_tasks: int
    reported: bool = False
    notes: tuple[int, ...] = ()
    apart: Apart | None = None


@dataclass(frozen=True)
class Range:
    """A rank, as sure as the queries make it: best and worst place in 95 % of the bootstrap's draws, from 1."""

    best: int
    worst: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@dataclass(frozen=True)
class Facts:
    """What is known of a model apart from its scores; ``None`` and ``unknown`` where it is not.

    Attributes:
        parameters: in millions.
        dimension: of its vectors.
        licence: of its weights.
        trained_on_mmeb: on MMEB-train, which shares 20 tasks' sources with MMEB.
        url: of its weights or page, https.
        size: as its name says it, such as ``7B``.
    """

    parameters: float | None = None
    dimension: int | None = None
    licence: str | None = None
    trained_on_mmeb: Known = "unknown"
    url: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Citation:
    """Where a published number comes from: words for people, and its address where it has one."""

    title: str
    url: str | None = None


@dataclass(frozen=True)
class Entry:
    """A row: a model and how regions reached it.

    Attributes:
        slug: names its page and files; letters, digits and hyphens, its own on this board.
        label: name, with what tells entries of one name apart.
        model: name.
        prompting: ``native``, ``text``, ``crop``, …; ``None`` where it has no task with regions.
        kind: measured by evalkit, claimed where no score of the run can be checked, or published by a paper.
        facts: of the model.
        scores: by the task's name; those that are there.
        means: by the group's key, of every group of the board.
        ranks: by ``general`` and ``interactive``; ``None`` without full coverage on the data of the ranked entries.
        knows_nothing: random and constant, which stand at the foot and have no rank.
        sources: of a published entry.
        run: of a measured or claimed one, its folder and manifest.
        failures: by the task's name, why it has no score.
        warnings: what a reader of its numbers should know.
        other_records: published numbers of the same model by other sources, for its page: source, group's label,
            value.
        seen: when it was measured or published, ``YYYY-MM-DDTHH:MM:SSZ``; ``None`` where that is not known.
    """

    slug: str
    label: str
    model: str
    prompting: str | None
    kind: Kind
    facts: Facts
    scores: Mapping[str, Score]
    means: Mapping[str, Mean]
    ranks: Mapping[str, Range | None]
    knows_nothing: bool = False
    sources: tuple[Citation, ...] = ()
    run: tuple[Path, Manifest] | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    other_records: tuple[tuple[Citation, str, float], ...] = ()
    seen: str | None = None

    @property
    def apart(self) -> Mapping[str, Apart]:
        """By the task's name, why its score stands outside the ranking; those that do."""
        return {task: score.apart for task, score in self.scores.items() if score.apart is not None}


@dataclass(frozen=True)
class Group:
    """Tasks that a mean is taken over.

    Attributes:
        key: ``general`` (MMEB's 36, or their stand-ins), ``interactive`` (SCaR's five), a meta-task, ``ind``, ``ood``.
        label: for people, such as ``MMEB-36``.
        tasks: names.
        chance: mean chance level; ``None`` where no run says.
    """

    key: str
    label: str
    tasks: tuple[str, ...]
    chance: float | None


@dataclass(frozen=True)
class Difference:
    """What one measured entry got more than another on the same queries, ``new`` less ``base``.

    Attributes:
        where: a task's name, or a group's key.
        value: difference of (mean) Precision@1.
        low: lower end of its 95 % interval; ``None`` where nothing is known of its spread, as where no score differs.
        high: upper end.
        wins: queries that ``new`` scores higher on.
        losses: queries that ``base`` scores higher on.
        p_value: two-sided, paired.
        adjusted: the same after Holm over the means and tasks of the comparison; ``None`` before.
    """

    where: str
    value: float
    low: float | None
    high: float | None
    wins: int
    losses: int
    p_value: float
    adjusted: float | None = None


@dataclass(frozen=True)
class Pairing:
    """Two measured entries, by slug, on all tasks and groups that both have whole, asked the same queries."""

    base: str
    new: str
    groups: tuple[Difference, ...]
    tasks: tuple[Difference, ...]
    incomparable: Mapping[str, str]
    """By the task's name, why the two cannot be compared on it."""

    @property
    def compared(self) -> bool:
        """Whether there is a task on which they can be compared, and so a page to show it."""
        return bool(self.tasks)


@dataclass(frozen=True)
class Improvement:
    """How far a model is ahead of the best baseline of its size in the paper that published both.

    Attributes:
        entry: slug of the model.
        baseline: slug of the best baseline.
        group: key of the group.
        relative: gain over the baseline, as a fraction of it.
    """

    entry: str
    baseline: str
    group: str
    relative: float


@dataclass(frozen=True)
class Board:
    """One benchmark and all its entries, best first.

    Attributes:
        key: ``mmeb-scar``, ``miniature``, ``example``, or another suite's name: part of file names.
        title: for people.
        caution: what its numbers do not say, such as that the miniature says nothing about MMEB; may be empty.
        cards: of its tasks, in the order of the papers.
        groups: headline first: ``general``, ``interactive``, then meta-tasks, ``ind``, ``ood``; those it has.
        chance: by the task's name; those that are known.
        entries: ranked, then on other data, then without full coverage, then those that know nothing.
        footnotes: numbered from 1.
        comparisons: of the best measured entries, pair by pair; a pair that has a task in common has a page.
        improvements: of published entries.
        official_images: whose images are somebody else's, so that pages show none unless asked to.
    """

    key: str
    title: str
    caution: str
    cards: tuple[TaskCard, ...]
    groups: tuple[Group, ...]
    chance: Mapping[str, float]
    entries: tuple[Entry, ...]
    footnotes: tuple[str, ...] = ()
    comparisons: tuple[Pairing, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    official_images: bool = True

"""What a leaderboard shows, with every number worked out: the one thing that pages, Markdown and downloads read.

A :class:`Board` is also what ``leaderboard.json`` has, field by field in this order, and the file's schema is made of
what is said here. Fractions in [0, 1], unrounded; percent only where they are shown. What is missing is ``None`` (null
in the file), never 0. Strangers' words are as they are shown, in one line each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_serializer

from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.suites.card import OWN, TaskCard
from evalkit.written import Proportion, Unwritten, Written, written

Kind = Literal["measured", "claimed", "published"]
Known = Literal["yes", "no", "unknown"]
Gain = Annotated[float, Field(ge=-1, le=1)]


@written()
class Apart:
    """Why a number of a run is neither ranked nor compared with those of others."""

    kind: Literal["claimed", "other data"]
    """Claimed: its samples are not there, so it cannot be checked. Other data: than that of the ranked entries."""
    why: str
    """In words, with what differs."""


@written()
class Score:
    """Precision@1 on one task."""

    value: Proportion
    """Mean over the queries, expectation over ties; of a published one, the printed percent / 100."""
    low: Proportion | None
    """Lower end of the 95 % interval; null of a claimed one. Of a published one: Wilson's, for as many queries as the
    card has, as if no two shared an image."""
    high: Proportion | None
    """Upper end."""
    n: int | None
    """Queries; null of a published one."""
    complete: bool
    """All queries of the task, so that it counts in means."""
    tied_with_best: bool = False
    """The best measured entry of this task, or not told apart from it on the same queries (Holm, 5 %)."""
    optimistic: Proportion | None = None
    """With the right candidate first among equal scores, the most that ties allow; null of a published or claimed
    one."""
    n_ties: int | None = None
    """Queries whose right candidate shares its score with another one; null of a published or claimed one."""
    prompting: str | None = None
    """How the task's regions reached the model; null where it has none, or the number is published."""
    signature: str | None = None
    """One line that pins the number; null of a published one."""
    data: str | None = None
    """Equal for scores of this task that are about the same data, asked alike; null of a published one."""
    apart: Apart | None = None
    """Null where it is ranked and compared with the others."""
    result: Unwritten[TaskResult | None] = None
    """All that the run says of the task; null of a published one."""

    @property
    def counts(self) -> bool:
        """Whether it can be held against those of others: all queries, samples that bear it out, the same data."""
        return self.complete and self.apart is None

    @property
    def claimed(self) -> bool:
        """Whether there is nothing to check it by."""
        return self.apart is not None and self.apart.kind == "claimed"


@written()
class Mean:
    """Unweighted mean over the tasks of a group."""

    value: Proportion | None
    """Null unless every task of the group is there and none is claimed alone, or its source reports the mean itself."""
    low: Proportion | None
    """Lower end of the 95 % interval; null where there is none."""
    high: Proportion | None
    """Upper end."""
    n_done: int
    """Tasks of the group with a complete score that can be checked."""
    n_tasks: int
    """Tasks of the group."""
    reported: bool = False
    """The source's own number, as its tasks are not known."""
    notes: Annotated[tuple[int, ...], Field(alias="footnotes")] = ()
    """Numbers of footnotes, from 1."""
    apart: Apart | None = None
    """Null where it is ranked and compared with the others."""


@written()
class Range:
    """Best and worst place in 95 % of the bootstrap's draws, from 1."""

    best: int
    worst: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@written()
class Facts:
    """What is known of a model apart from its scores."""

    parameters: Annotated[float | None, Field(alias="parameters_millions")] = None
    """Null where it is not known."""
    size: str | None = None
    """As its name says it, such as 7B."""
    dimension: int | None = None
    """Of its vectors."""
    licence: str | None = None
    """Of its weights."""
    trained_on_mmeb: Known = "unknown"
    """On MMEB-train."""
    url: str | None = None
    """Of its weights or page."""


@written()
class Citation:
    """Where published numbers come from."""

    title: str
    url: str | None = None


@written()
class OtherRecord:
    """A number of the same model by another source."""

    source: Citation
    of: str
    """Label of a group, or name of a task."""
    value: Proportion


class RunRecord(Written):
    """The run that measured."""

    run_id: str
    evalkit_version: str
    family: str
    """Of the embedder."""
    revision: str | None
    """Of the checkpoint."""
    fingerprint: str
    """Digest of all that its vectors depend on."""


@written(kw_only=True)
class Entry:
    """A model and how regions reached it."""

    slug: str
    """Its own on this board; names its page and its badges."""
    label: str
    """Name, with what tells entries of one name apart."""
    model: str
    """Name."""
    prompting: str | None
    """How regions reached it; null where it has no task with regions."""
    kind: Kind
    """Measured by evalkit, claimed by a run without samples, or published by a paper."""
    knows_nothing: bool = False
    """Random and constant, which have no rank."""
    facts: Facts
    means: Mapping[str, Mean]
    """By the group's key."""
    ranks: Mapping[str, Range | None]
    """By ``general`` and ``interactive``; null without full coverage on the data of the ranked entries. Own tasks have
    none."""
    scores: Mapping[str, Score]
    """By the task's name; those that are there."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """By the task's name, why it has no score."""
    warnings: tuple[str, ...] = ()
    """What a reader of its numbers should know."""
    sources: tuple[Citation, ...] = ()
    """Of a published one."""
    other_records: tuple[OtherRecord, ...] = ()
    """Published numbers of the same model by other sources."""
    run: tuple[Path, Manifest] | None = None
    """Of a measured or claimed one."""
    seen: str | None = None
    """When it was measured or published, UTC."""
    named: str | None = None
    """Name for ``--model`` that runs its weights as their published numbers were made; null where none is known."""
    unnamed: str | None = None
    """Why no name runs a published one; null where one does, or where nothing says why."""
    same_weights: tuple[str, ...] = ()
    """Slugs of the other entries whose weights are the same name's: what is published of a measured one, and the
    other way round."""

    @property
    def apart(self) -> Mapping[str, Apart]:
        """By the task's name, why its score stands outside the ranking; those that do."""
        return {task: score.apart for task, score in self.scores.items() if score.apart is not None}

    @field_serializer("run")
    def _run(self, run: tuple[Path, Manifest] | None) -> RunRecord | None:
        """Five lines of a manifest and its model: the others, and where it lies, are not for the file."""
        if run is None:
            return None
        manifest, model = run[1], run[1].model
        return RunRecord(
            run_id=manifest.run_id,
            evalkit_version=manifest.evalkit_version,
            family=model.family,
            revision=model.revision,
            fingerprint=model.fingerprint,
        )


HEADLINES = ("general", "interactive")
"""Keys of the groups that entries are ranked by: MMEB's 36 tasks, or their stand-ins, and SCaR's five."""


@written()
class Group:
    """Tasks that a mean is taken over."""

    key: str
    """``general``, ``interactive``, a meta-task, ``ind`` or ``ood``."""
    label: str
    """For people."""
    tasks: tuple[str, ...]
    """Names."""
    chance: Proportion | None
    """Mean chance level; null where it is not known of every task."""


@written()
class Difference:
    """Precision@1 of the new entry less that of the base, on the same queries."""

    where: str
    """A task's name, or a group's key."""
    value: Gain
    low: Gain | None
    """Lower end of the 95 % interval; null where nothing is known of the spread, as where no score differs."""
    high: Gain | None
    """Upper end."""
    wins: int
    """Queries that the new one did better."""
    losses: int
    """Queries that the base did better."""
    p_value: Proportion
    """Two-sided, paired."""
    adjusted: Proportion | None = None
    """The same after Holm over the means and tasks of this comparison."""


@written()
class Pairing:
    """Two measured entries on all tasks and groups that both have whole, asked the same queries."""

    base: str
    """Slug."""
    new: str
    """Slug."""
    groups: tuple[Difference, ...]
    tasks: tuple[Difference, ...]
    incomparable: Mapping[str, str]
    """By the task's name, why the two cannot be compared on it."""

    @property
    def compared(self) -> bool:
        """Whether there is a task on which they can be compared, and so a page to show it."""
        return bool(self.tasks)


@written()
class Improvement:
    """How far a published model is ahead of the best baseline of its size, as the paper of both has it."""

    entry: str
    """Slug."""
    baseline: str
    """Slug."""
    group: str
    """Key."""
    relative: float
    """Gain over the baseline, as a fraction of it."""


class TaskRecord(Written):
    """A task of the board."""

    name: str
    """Of the card."""
    version: int
    """Of the card."""
    title: str
    """One line for people."""
    meta_task: str
    """Classification, vqa, retrieval, grounding or visual-interactive; ``own`` where an own task does not say."""
    distribution: Literal["ind", "ood"] | None
    """In- or out-of-distribution with respect to MMEB-train; null where the suite does not say."""
    queries: int
    """How many the card promises."""
    chance: Proportion | None
    """What an embedder gets that cannot tell any two candidates apart."""


@written(kw_only=True, title="Document")
class Board:
    """``leaderboard.json``: one benchmark and all its entries, best first."""

    schema_: Annotated[Literal["evalkit.leaderboard"], Field(alias="schema")] = "evalkit.leaderboard"
    """What this file is."""
    schema_version: Literal[1] = 1
    """Goes up when a field changes its meaning or goes away."""
    key: Annotated[str, Field(alias="board")]
    """Key."""
    title: str
    """For people."""
    caution: str
    """What its numbers do not say; may be empty."""
    cards: Annotated[tuple[TaskCard, ...], Field(alias="tasks")]
    """In the order of the papers; own tasks by their names."""
    groups: tuple[Group, ...]
    """Headline first; own tasks have none, and so no means."""
    entries: tuple[Entry, ...]
    """Ranked, then on other data, then without full coverage, then those that know nothing. On own tasks, which nobody
    is ranked by: by how many tasks they are first on, then second, and so on."""
    footnotes: tuple[str, ...] = ()
    """Numbered from 1."""
    comparisons: tuple[Pairing, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    chance: Unwritten[Mapping[str, float]]
    """By the task's name; those that are known."""
    official_images: Unwritten[bool] = True
    """Whose images are somebody else's, so that pages show none unless asked to."""

    @property
    def own(self) -> bool:
        """Whether its tasks are people's own: described by the runs, and without any group or mean."""
        return self.key == OWN

    @field_serializer("cards")
    def _tasks(self, cards: tuple[TaskCard, ...]) -> tuple[TaskRecord, ...]:
        """What a reader of numbers needs of the cards, and what chance is there."""
        return tuple(
            TaskRecord(
                name=card.name,
                version=card.version,
                title=card.title,
                meta_task=card.meta_task,
                distribution=card.distribution,
                queries=card.queries,
                chance=self.chance.get(card.name),
            )
            for card in cards
        )

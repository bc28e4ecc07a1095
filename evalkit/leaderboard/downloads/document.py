"""``leaderboard.json``: everything that a board says, for other programs; its schema and how it is made.

Fractions in [0, 1], unrounded; what is not known is null. Strangers' words are as they are shown, in one line each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from evalkit.leaderboard import board as of
from evalkit.runs.manifest import Fraction, Written

SCHEMA_VERSION: Literal[1] = 1
Difference = Annotated[float, Field(ge=-1, le=1)]


class TaskRecord(Written):
    """A task of the board."""

    name: str
    """Of the card."""
    version: int
    """Of the card."""
    title: str
    """One line for people."""
    meta_task: str
    """Classification, vqa, retrieval, grounding or visual-interactive."""
    distribution: Literal["ind", "ood"] | None
    """In- or out-of-distribution with respect to MMEB-train; null where the suite does not say."""
    queries: int
    """How many the card promises."""
    chance: Fraction | None
    """What an embedder gets that cannot tell any two candidates apart."""


class GroupRecord(Written):
    """Tasks that a mean is taken over."""

    key: str
    """``general``, ``interactive``, a meta-task, ``ind`` or ``ood``."""
    label: str
    """For people."""
    tasks: tuple[str, ...]
    """Names."""
    chance: Fraction | None
    """Mean chance level; null where it is not known of every task."""


class ApartRecord(Written):
    """Why a number of a run is neither ranked nor compared with those of others."""

    kind: Literal["claimed", "other data"]
    """Claimed: its samples are not there, so it cannot be checked. Other data: than that of the ranked entries."""
    why: str
    """In words, with what differs."""


class ScoreRecord(Written):
    """Precision@1 on one task."""

    value: Fraction
    """Mean over the queries, expectation over ties; of a published one, the printed percent / 100."""
    low: Fraction | None
    """Lower end of the 95 % interval; null of a claimed one. Of a published one: Wilson's, for as many queries as the
    card has, as if no two shared an image."""
    high: Fraction | None
    """Upper end."""
    n: int | None
    """Queries; null of a published one."""
    complete: bool
    """All queries of the task, so that it counts in means."""
    tied_with_best: bool
    """The best measured entry of this task, or not told apart from it on the same queries (Holm, 5 %)."""
    optimistic: Fraction | None
    """With the right candidate first among equal scores, the most that ties allow; null of a published or claimed
    one."""
    n_ties: int | None
    """Queries whose right candidate shares its score with another one; null of a published or claimed one."""
    prompting: str | None
    """How the task's regions reached the model; null where it has none, or the number is published."""
    signature: str | None
    """One line that pins the number; null of a published one."""
    data: str | None
    """Equal for scores of this task that are about the same data, asked alike; null of a published one."""
    apart: ApartRecord | None
    """Null where it is ranked and compared with the others."""


class MeanRecord(Written):
    """Unweighted mean over the tasks of a group."""

    value: Fraction | None
    """Null unless every task of the group is there and none is claimed alone, or its source reports the mean itself."""
    low: Fraction | None
    """Lower end of the 95 % interval; null where there is none."""
    high: Fraction | None
    """Upper end."""
    n_done: int
    """Tasks of the group with a complete score that can be checked."""
    n_tasks: int
    """Tasks of the group."""
    reported: bool
    """The source's own number, as its tasks are not known."""
    footnotes: tuple[int, ...]
    """Numbers of footnotes, from 1."""
    apart: ApartRecord | None
    """Null where it is ranked and compared with the others."""


class RankRecord(Written):
    """Best and worst place in 95 % of the bootstrap's draws, from 1."""

    best: int
    worst: int


class FactsRecord(Written):
    """What is known of a model apart from its scores."""

    parameters_millions: float | None
    """Null where it is not known."""
    size: str | None
    """As its name says it, such as 7B."""
    dimension: int | None
    """Of its vectors."""
    licence: str | None
    """Of its weights."""
    trained_on_mmeb: Literal["yes", "no", "unknown"]
    """On MMEB-train."""
    url: str | None
    """Of its weights or page."""


class SourceRecord(Written):
    """Where published numbers come from."""

    title: str
    url: str | None


class OtherRecord(Written):
    """A number of the same model by another source."""

    source: SourceRecord
    of: str
    """Label of a group, or name of a task."""
    value: Fraction


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


class EntryRecord(Written):
    """A model and how regions reached it."""

    slug: str
    """Its own on this board; names its page and its badges."""
    label: str
    """Name, with what tells entries of one name apart."""
    model: str
    """Name."""
    prompting: str | None
    """How regions reached it; null where it has no task with regions."""
    kind: Literal["measured", "claimed", "published"]
    """Measured by evalkit, claimed by a run without samples, or published by a paper."""
    knows_nothing: bool
    """Random and constant, which have no rank."""
    facts: FactsRecord
    means: dict[str, MeanRecord]
    """By the group's key."""
    ranks: dict[str, RankRecord | None]
    """By ``general`` and ``interactive``; null without full coverage on the data of the ranked entries."""
    scores: dict[str, ScoreRecord]
    """By the task's name; those that are there."""
    failures: dict[str, str]
    """By the task's name, why it has no score."""
    warnings: tuple[str, ...]
    """What a reader of its numbers should know."""
    sources: tuple[SourceRecord, ...]
    """Of a published one."""
    other_records: tuple[OtherRecord, ...]
    """Published numbers of the same model by other sources."""
    run: RunRecord | None
    """Of a measured or claimed one."""
    seen: str | None
    """When it was measured or published, UTC."""


class DifferenceRecord(Written):
    """Precision@1 of the new entry less that of the base, on the same queries."""

    where: str
    """A task's name, or a group's key."""
    value: Difference
    low: Difference | None
    """Lower end of the 95 % interval; null where nothing is known of the spread, as where no score differs."""
    high: Difference | None
    """Upper end."""
    wins: int
    """Queries that the new one did better."""
    losses: int
    """Queries that the base did better."""
    p_value: Fraction
    """Two-sided, paired."""
    adjusted: Fraction | None
    """The same after Holm over the means and tasks of this comparison."""


class ComparisonRecord(Written):
    """Two measured entries on all tasks and groups that both have whole, asked the same queries."""

    base: str
    """Slug."""
    new: str
    """Slug."""
    groups: tuple[DifferenceRecord, ...]
    tasks: tuple[DifferenceRecord, ...]
    incomparable: dict[str, str]
    """By the task's name, why the two cannot be compared on it."""


class ImprovementRecord(Written):
    """How far a published model is ahead of the best baseline of its size, as the paper of both has it."""

    entry: str
    """Slug."""
    baseline: str
    """Slug."""
    group: str
    """Key."""
    relative: float
    """Gain over the baseline, as a fraction of it."""


class LeaderboardFile(Written):
    """``leaderboard.json``: one benchmark and all its entries, best first."""

    model_config = ConfigDict(populate_by_name=True, title="Document")

    schema_: Annotated[Literal["evalkit.leaderboard"], Field(alias="schema")] = "evalkit.leaderboard"
    """What this file is."""
    schema_version: Literal[1] = SCHEMA_VERSION
    """Goes up when a field changes its meaning or goes away."""
    board: str
    """Key."""
    title: str
    """For people."""
    caution: str
    """What its numbers do not say; may be empty."""
    tasks: tuple[TaskRecord, ...]
    """In the order of the papers."""
    groups: tuple[GroupRecord, ...]
    """Headline first."""
    entries: tuple[EntryRecord, ...]
    """Ranked, then on other data, then without full coverage, then those that know nothing."""
    footnotes: tuple[str, ...]
    """Numbered from 1."""
    comparisons: tuple[ComparisonRecord, ...]
    improvements: tuple[ImprovementRecord, ...]


def document(board: of.Board) -> LeaderboardFile:
    """A board as its JSON file has it."""
    return LeaderboardFile(
        board=board.key,
        title=board.title,
        caution=board.caution,
        tasks=tuple(
            TaskRecord(
                name=card.name,
                version=card.version,
                title=card.title,
                meta_task=card.meta_task,
                distribution=card.distribution,
                queries=card.queries,
                chance=board.chance.get(card.name),
            )
            for card in board.cards
        ),
        groups=tuple(GroupRecord(key=g.key, label=g.label, tasks=g.tasks, chance=g.chance) for g in board.groups),
        entries=tuple(_entry(entry) for entry in board.entries),
        footnotes=board.footnotes,
        comparisons=tuple(
            ComparisonRecord(
                base=pair.base,
                new=pair.new,
                groups=tuple(_difference(difference) for difference in pair.groups),
                tasks=tuple(_difference(difference) for difference in pair.tasks),
                incomparable=dict(pair.incomparable),
            )
            for pair in board.comparisons
        ),
        improvements=tuple(
            ImprovementRecord(entry=i.entry, baseline=i.baseline, group=i.group, relative=i.relative)
            for i in board.improvements
        ),
    )


def schema() -> dict[str, Any]:
    """JSON Schema of ``leaderboard.json``."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return head | LeaderboardFile.model_json_schema(mode="serialization")


def _entry(entry: of.Entry) -> EntryRecord:
    facts = entry.facts
    return EntryRecord(
        slug=entry.slug,
        label=entry.label,
        model=entry.model,
        prompting=entry.prompting,
        kind=entry.kind,
        knows_nothing=entry.knows_nothing,
        facts=FactsRecord(
            parameters_millions=facts.parameters,
            size=facts.size,
            dimension=facts.dimension,
            licence=facts.licence,
            trained_on_mmeb=facts.trained_on_mmeb,
            url=facts.url,
        ),
        means={key: _mean(mean) for key, mean in entry.means.items()},
        ranks={
            key: RankRecord(best=rank.best, worst=rank.worst) if rank else None for key, rank in entry.ranks.items()
        },
        scores={task: _score(score) for task, score in entry.scores.items()},
        failures=dict(entry.failures),
        warnings=entry.warnings,
        sources=tuple(_source(source) for source in entry.sources),
        other_records=tuple(
            OtherRecord(source=_source(source), of=label, value=value) for source, label, value in entry.other_records
        ),
        run=_run(entry),
        seen=entry.seen,
    )


def _mean(mean: of.Mean) -> MeanRecord:
    return MeanRecord(
        value=mean.value,
        low=mean.low,
        high=mean.high,
        n_done=mean.n_done,
        n_tasks=mean.n_tasks,
        reported=mean.reported,
        footnotes=mean.notes,
        apart=_apart(mean.apart),
    )


def _apart(apart: of.Apart | None) -> ApartRecord | None:
    return None if apart is None else ApartRecord(kind=apart.kind, why=apart.why)


def _score(score: of.Score) -> ScoreRecord:
    metrics = score.result.metrics if score.result and not score.claimed else None
    p1 = metrics["precision_at_1"] if metrics else None
    return ScoreRecord(
        value=score.value,
        low=score.low,
        high=score.high,
        n=score.n,
        complete=score.complete,
        tied_with_best=score.tied_with_best,
        optimistic=p1.optimistic if p1 else None,
        n_ties=p1.n_ties if p1 else None,
        prompting=score.result.prompting if score.result else None,
        signature=score.result.signature if score.result else None,
        data=score.data or None,
        apart=_apart(score.apart),
    )


def _source(source: of.Citation) -> SourceRecord:
    return SourceRecord(title=source.title, url=source.url)


def _run(entry: of.Entry) -> RunRecord | None:
    if entry.run is None:
        return None
    manifest = entry.run[1]
    return RunRecord(
        run_id=manifest.run_id,
        evalkit_version=manifest.evalkit_version,
        family=manifest.model.family,
        revision=manifest.model.revision,
        fingerprint=manifest.model.fingerprint,
    )


def _difference(difference: of.Difference) -> DifferenceRecord:
    return DifferenceRecord(
        where=difference.where,
        value=difference.value,
        low=difference.low,
        high=difference.high,
        wins=difference.wins,
        losses=difference.losses,
        p_value=difference.p_value,
        adjusted=difference.adjusted,
    )

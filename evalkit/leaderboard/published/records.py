"""What published numbers become: the records of documents, and the rows of the board that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache

from evalkit.leaderboard.board import Citation, Facts, Group, Mean
from evalkit.leaderboard.layout import OFFICIAL, layouts
from evalkit.leaderboard.published.papers import PublishedFile, PublishedNumbers
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import PUBLISHED, all_cards

HEADLINE_OF: Mapping[str, str] = {"mmeb": "general", "scar": "interactive"}
"""By suite, the group of all its tasks."""


@cache
def groups() -> Mapping[str, Group]:
    """The groups that documents print means of: those of the board of MMEB and SCaR, by their keys."""
    official = next(layout for layout in layouts(all_cards()) if layout.key == OFFICIAL)
    return {group.key: group for group in official.groups({})}


@cache
def tasks() -> Mapping[str, TaskCard]:
    """The tasks that documents print scores of: those of MMEB and SCaR, by their names."""
    return {card.name: card for card in all_cards() if card.suite in PUBLISHED}


def suite_of_group(group: str) -> str:
    """The suite that a group's tasks are of."""
    return "scar" if group == "interactive" else "mmeb"


def is_about(printed: PublishedNumbers, suite: str) -> bool:
    """Whether a row of a document has a number of the suite."""
    own = groups()[HEADLINE_OF[suite]].tasks
    of_groups = {suite_of_group(key) for key in printed.aggregates}
    return suite in of_groups or any(task in own for task in printed.scores)


@dataclass(frozen=True)
class Record:
    """A row of a document, and where it stands.

    Attributes:
        file: that the document was read from; for errors, not for pages.
        document: all of it.
        number: of the row in the file, from 1.
        printed: the row.
    """

    file: str
    document: PublishedFile
    number: int
    printed: PublishedNumbers

    @property
    def own(self) -> bool:
        """Whether the document presents this model; all others are its baselines."""
        return self.printed.model in self.document.own

    @property
    def source(self) -> Citation:
        """Document and table, with address."""
        return Citation(f"{self.document.title} ({self.printed.table})", self.printed.url or self.document.url)

    @property
    def place(self) -> str:
        """Document and table in a few words."""
        return f"{self.document.name} ({self.printed.table})"

    def mean(self, group: str) -> Mean:
        """The mean of a group: as printed, else of its tasks where all are there, else none."""
        names, scores = groups()[group].tasks, self.printed.scores
        done = [scores[task] for task in names if task in scores]
        whole, printed = len(done) == len(names), self.printed.aggregates.get(group)
        value = None if printed is None else fraction(printed)
        if value is None and whole:
            value = float(weighted_mean((score, 1) for score in done) / 100)
        return Mean(value, None, None, len(done), len(names), reported=printed is not None and not whole)


@dataclass(frozen=True)
class PublishedRow:
    """A row of the board: a model, its training, and how regions reached it.

    Attributes:
        model: id; the same for all trainings and promptings of it.
        name: of the model, as people know it. A stranger's word: escape it.
        label: name, with what tells rows of one name apart.
        slug: made of ids, its own among all published rows; lower-case letters, digits and hyphens.
        training: such as ``SCaR-train``; empty for none to tell apart.
        prompting: how regions reached the model; ``None`` where it has no number of a task with regions.
        facts: of the model after this training.
        records: all that is published of it, those that are shown first.
        general: the record whose MMEB numbers are shown.
        interactive: the record whose SCaR numbers are shown.
        notes: what a reader should know of model and numbers.
        footnotes: by the group's key; what does not fit in the numbers of that group.
    """

    model: str
    name: str
    label: str
    slug: str
    training: str
    prompting: str | None
    facts: Facts
    records: tuple[Record, ...]
    general: Record | None
    interactive: Record | None
    notes: tuple[str, ...] = ()
    footnotes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def primary(self) -> tuple[Record, ...]:
        """The records that are shown: one or two."""
        return tuple(record for record in self.records if record is self.general or record is self.interactive)

    @property
    def scores(self) -> dict[str, float]:
        """By the task's name, fractions: the printed percent / 100."""
        return {
            task: fraction(record.printed.scores[task])
            for record, suite in ((self.general, "mmeb"), (self.interactive, "scar"))
            if record is not None
            for task in groups()[HEADLINE_OF[suite]].tasks
            if task in record.printed.scores
        }

    @property
    def means(self) -> dict[str, Mean]:
        """By the group's key, of all groups; as reported, else added from the tasks where all are there."""
        found = {key: self._of(key) for key in groups()}
        return {k: r.mean(k) if r else Mean(None, None, None, 0, len(groups()[k].tasks)) for k, r in found.items()}

    @property
    def sources(self) -> tuple[Citation, ...]:
        """Of the numbers that are shown."""
        return tuple(dict.fromkeys(record.source for record in self.primary))

    @property
    def other(self) -> tuple[tuple[Citation, str, float], ...]:
        """What else is published of it: source, label of the group (or name of the task), fraction.

        Means where a record has any, else its tasks.
        """
        found: list[tuple[Citation, str, float]] = []
        for record in self.records:
            for suite in PUBLISHED:
                if not is_about(record.printed, suite) or record is self._of(HEADLINE_OF[suite]):
                    continue
                members = {key: own for key, own in groups().items() if suite_of_group(key) == suite}
                means = {own.label: record.mean(key).value for key, own in members.items()}
                scores = record.printed.scores
                whole = {task: fraction(scores[task]) for task in groups()[HEADLINE_OF[suite]].tasks if task in scores}
                values = {label: value for label, value in means.items() if value is not None} or whole
                found += [(record.source, label, value) for label, value in values.items()]
        return tuple(found)

    @property
    def seen(self) -> str | None:
        """The newest day that is known of the shown documents, ``YYYY-MM-DDTHH:MM:SSZ``; ``None`` if none is."""
        days = [r.document.date for r in self.primary if r.document.date and len(r.document.date) == 10]
        return f"{max(days)}T00:00:00Z" if days else None

    def _of(self, group: str) -> Record | None:
        return self.interactive if suite_of_group(group) == "scar" else self.general


def weighted_mean(parts: Iterable[tuple[Decimal, int]]) -> Fraction:
    """Exact mean of numbers with weights; six decimals at most, so that their sum is exact."""
    weighted = list(parts)
    return Fraction(sum((number * weight for number, weight in weighted), Decimal(0))) / sum(w for _, w in weighted)


def fraction(percent: Decimal) -> float:
    """The float nearest to percent / 100."""
    return float(percent.scaleb(-2))

"""The values that published numbers become: documents, their records, and the rows of the board made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Literal

from evalkit.leaderboard.board import Citation, Facts, Mean
from evalkit.leaderboard.published.papers import HeadlineComparison
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import PUBLISHED, all_cards

GROUPS: Mapping[str, str] = {
    "general": "MMEB-36",
    "interactive": "SCaR-5",
    "classification": "Classification",
    "vqa": "VQA",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
    "ind": "IND",
    "ood": "OOD",
}
"""Groups that documents print means of, by the key they have on the board."""
HEADLINES: Mapping[str, str] = {"mmeb": "general", "scar": "interactive"}
"""By suite, the group of all its tasks."""


@cache
def groups() -> Mapping[str, tuple[TaskCard, ...]]:
    """The tasks of MMEB and SCaR by the key of their group, from the cards."""
    cards = {suite: tuple(card for card in all_cards() if card.suite == suite) for suite in PUBLISHED}
    found = {HEADLINES[suite]: own for suite, own in cards.items()}
    for card in cards["mmeb"]:
        for key in (card.meta_task, card.distribution):
            if key is not None:
                found[key] = (*found.get(key, ()), card)
    return found


@dataclass(frozen=True)
class Document:
    """What reports numbers.

    Attributes:
        file: that it was read from; for errors, not for pages.
        name: short, for footnotes.
        title: for people.
        url: https.
        date: ``YYYY-MM-DD`` or ``YYYY-MM`` of its first version; ``None`` where that is not known.
        kind: ``scores`` (official score files), ``paper``, ``leaderboard`` or ``page``.
        own: ids of the models that it presents; all others are its baselines.
        comparisons: those that its headline is about.
    """

    file: str
    name: str
    title: str
    url: str
    date: str | None
    kind: Literal["scores", "paper", "leaderboard", "page"]
    own: frozenset[str]
    comparisons: tuple[HeadlineComparison, ...]


@dataclass(frozen=True)
class Record:
    """A row of a document, as printed.

    Attributes:
        document: that it stands in.
        number: of the row in the file, from 1.
        own: whether the document presents this model.
        table: of the document.
        training: what the model was trained on besides what it always is; empty for nothing.
        called: what the document calls the model.
        variant: what it says of it besides.
        scores: percent by the task's name.
        aggregates: percent by the group's key.
        origin: where exactly the numbers were read.
        url: of this row, where it has one of its own.
        protocol: how they were made.
        note: what a reader should know.
    """

    document: Document
    number: int
    own: bool
    table: str
    training: str
    called: str
    variant: str
    scores: Mapping[str, Decimal]
    aggregates: Mapping[str, Decimal]
    origin: str
    url: str | None
    protocol: str
    note: str

    @property
    def source(self) -> Citation:
        """Document and table, with address."""
        return Citation(f"{self.document.title} ({self.table})", self.url or self.document.url)

    @property
    def place(self) -> str:
        """Document and table in a few words."""
        return f"{self.document.name} ({self.table})"

    def about(self, suite: str) -> bool:
        """Whether it has a number of the suite."""
        tasks = {card.name for card in groups()[HEADLINES[suite]]}
        return any(task in tasks for task in self.scores) or any(suite_of(key) == suite for key in self.aggregates)

    def mean(self, group: str) -> Mean:
        """The mean of a group: as printed, else of its tasks where all are there, else none."""
        tasks = [card.name for card in groups()[group]]
        done = [self.scores[task] for task in tasks if task in self.scores]
        whole, printed = len(done) == len(tasks), self.aggregates.get(group)
        value = None if printed is None else fraction(printed)
        if value is None and whole:
            value = float(average((score, 1) for score in done) / 100)
        return Mean(value, None, None, len(done), len(tasks), reported=printed is not None and not whole)


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
        size: class of size, such as ``7B``; ``None`` where its name does not say.
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
    size: str | None
    facts: Facts
    records: tuple[Record, ...]
    general: Record | None
    interactive: Record | None
    notes: tuple[str, ...] = ()
    footnotes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def primary(self) -> tuple[Record, ...]:
        """The records that are shown: one or two."""
        there = [record for record in (self.general, self.interactive) if record is not None]
        return tuple(there[:1] if self.general is self.interactive else there)

    @property
    def scores(self) -> dict[str, float]:
        """By the task's name, fractions: the printed percent / 100."""
        return {
            card.name: fraction(record.scores[card.name])
            for record, suite in ((self.general, "mmeb"), (self.interactive, "scar"))
            if record is not None
            for card in groups()[HEADLINES[suite]]
            if card.name in record.scores
        }

    @property
    def reported(self) -> dict[str, float]:
        """By the group's key, fractions: means that the shown records print, whatever their tasks give."""
        found = ((key, self._of(key)) for key in GROUPS)
        return {k: fraction(record.aggregates[k]) for k, record in found if record and k in record.aggregates}

    @property
    def means(self) -> dict[str, Mean]:
        """By the group's key, of all groups; as reported, else added from the tasks where all are there."""
        found = {key: self._of(key) for key in GROUPS}
        return {k: r.mean(k) if r else Mean(None, None, None, 0, len(groups()[k])) for k, r in found.items()}

    @property
    def sources(self) -> tuple[Citation, ...]:
        """Of the numbers that are shown."""
        return tuple(dict.fromkeys(record.source for record in self.primary))

    @property
    def protocols(self) -> tuple[str, ...]:
        """How the numbers that are shown were made."""
        return tuple(dict.fromkeys(record.protocol for record in self.primary if record.protocol))

    @property
    def other(self) -> tuple[tuple[Citation, str, float], ...]:
        """What else is published of it: source, label of the group (or name of the task), fraction.

        Means where a record has any, else its tasks.
        """
        found: list[tuple[Citation, str, float]] = []
        for record in self.records:
            for suite in PUBLISHED:
                if not record.about(suite) or record is self._of(HEADLINES[suite]):
                    continue
                means = {GROUPS[key]: record.mean(key).value for key in GROUPS if suite_of(key) == suite}
                cards = groups()[HEADLINES[suite]]
                tasks = {c.name: fraction(record.scores[c.name]) for c in cards if c.name in record.scores}
                values = {label: value for label, value in means.items() if value is not None} or tasks
                found += [(record.source, label, value) for label, value in values.items()]
        return tuple(found)

    @property
    def seen(self) -> str | None:
        """The newest day that is known of the shown documents, ``YYYY-MM-DDTHH:MM:SSZ``; ``None`` if none is."""
        days = [r.document.date for r in self.primary if r.document.date and len(r.document.date) == 10]
        return f"{max(days)}T00:00:00Z" if days else None

    def _of(self, group: str) -> Record | None:
        return self.interactive if suite_of(group) == "scar" else self.general


def suite_of(group: str) -> str:
    """The suite that a group's tasks are of."""
    return "scar" if group == "interactive" else "mmeb"


def average(parts: Iterable[tuple[Decimal, int]]) -> Fraction:
    """Exact mean of numbers with weights; six decimals at most, so that their sum is exact."""
    weighted = list(parts)
    return Fraction(sum((number * weight for number, weight in weighted), Decimal(0))) / sum(w for _, w in weighted)


def fraction(percent: Decimal) -> float:
    """The float nearest to percent / 100."""
    return float(percent.scaleb(-2))

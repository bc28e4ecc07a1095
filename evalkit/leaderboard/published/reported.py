"""Published numbers: what papers, leaderboards and score files report, one row for each model, training and prompting.

``reports/published/<document>.json`` holds one document each, number by number as it prints them;
``reports/published/models.json`` what is known of the models. ``reports/README.md`` describes both. Numbers are never
repaired: what does not follow from its own parts gets a footnote (:func:`inconsistencies`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count
from pathlib import Path

from evalkit.leaderboard.board import Facts
from evalkit.leaderboard.published.checks import Doubt, inconsistencies, permuted
from evalkit.leaderboard.published.paperfiles import read_files
from evalkit.leaderboard.published.papers import ModelFacts
from evalkit.leaderboard.published.records import HEADLINE_OF, PublishedRow, Record, is_about

__all__ = ["Gain", "PublishedRow", "improvements", "read"]

_KINDS = ("scores", "paper", "leaderboard", "page")  # who is believed first
_OWN_PROMPTINGS = ("native", "text")  # by which MMEB, which has no regions, stands in the row of
_SHOWN = {"crop": "cropped", "reclip": "ReCLIP", "red_circle": "red circle", "text": "box as text"}


@dataclass(frozen=True)
class Gain:
    """How far a document says that its model is ahead of the best baseline of its size.

    Attributes:
        row: of the model.
        baseline: row of the baseline.
        group: key of the group.
        relative: gain over the baseline's printed mean, as a fraction of it.
    """

    row: PublishedRow
    baseline: PublishedRow
    group: str
    relative: float


def read(extra: Sequence[Path] = (), *, shipped: bool = True) -> tuple[PublishedRow, ...]:
    """All published rows, those of the package and of other files.

    Documents that print numbers of one model, training and prompting make one row: shown is, for MMEB and for SCaR
    apart, the record with scores of all tasks before one with means alone before one with some tasks; of several
    official score files (kind ``scores``) before papers, leaderboards and pages; of score files the newest version;
    then the document that presents the model, the one with more numbers, the earlier one. MMEB has no regions: its
    numbers stand in the row of the model's own prompting, ``native`` or else ``text``.

    Args:
        extra: files of published numbers or of models, or folders of such files.
        shipped: with the package's own numbers; what it knows of models is known in any case.

    Returns:
        Rows by slug; the order of ``extra`` does not matter.

    Raises:
        UsageError: a file that cannot be read as what it is to be, with file, row, field, value and the way out.
    """
    files, models = read_files(extra, shipped=shipped)
    found: dict[tuple[str, str], list[Record]] = {}
    for file, document in files.items():
        for number, printed in enumerate(document.rows, 1):
            record = Record(file, document, number, printed)
            found.setdefault((printed.model, printed.training), []).append(record)
    rows: list[PublishedRow] = []
    for (model, training), records in sorted(found.items(), key=lambda item: item[0]):
        told = {record.printed.prompting for record in records} - {None}
        home = next((p for p in _OWN_PROMPTINGS if p in told), next(iter(told)) if len(told) == 1 else None)
        by_prompting: dict[str | None, list[Record]] = {}
        for record in records:
            by_prompting.setdefault(record.printed.prompting or home, []).append(record)
        for prompting, own in by_prompting.items():
            rows.append(_row(model, models[model], training, prompting, own, usual=prompting == home))
    rows = _told_apart(rows)
    return tuple(replace(row, footnotes=_footnotes((*inconsistencies(row), *permuted(row, rows)))) for row in rows)


def _row(
    model: str, known: ModelFacts, training: str, prompting: str | None, records: Sequence[Record], *, usual: bool
) -> PublishedRow:
    trained = known.trainings[training]
    general, interactive = (_preferred(records, suite) for suite in ("mmeb", "scar"))
    shown_first = sorted(records, key=lambda record: (record is not general, record is not interactive))
    shown = (record for record in shown_first if record is general or record is interactive)
    notes = (known.note, trained.note, *(record.printed.note for record in shown))
    told = prompting if prompting and not usual else None  # where the model's usual prompting goes without saying
    return PublishedRow(
        model=model,
        name=known.name,
        label=_label(known.name, training, told),
        slug="-".join(filter(None, (model, _slug(training), _slug(told or "")))),
        training=training,
        prompting=prompting,
        facts=Facts(
            parameters=None if known.parameters is None else float(known.parameters),
            size=known.size,
            dimension=known.dimension,
            licence=trained.licence,
            trained_on_mmeb=trained.trained_on_mmeb,
            url=trained.url,
        ),
        records=tuple(shown_first),
        general=general,
        interactive=interactive,
        notes=tuple(dict.fromkeys(note for note in notes if note)),
    )


def _preferred(records: Sequence[Record], suite: str) -> Record | None:
    """The record that is shown for a suite; :func:`read` has the rule. Of equals the first: the package's own."""
    there = [record for record in records if is_about(record.printed, suite)]
    return min(there, key=lambda record: _precedence(record, suite), default=None)


def _precedence(record: Record, suite: str) -> tuple[object, ...]:
    headline = record.mean(HEADLINE_OF[suite])
    whole = headline.n_done == headline.n_tasks
    document = record.document
    version = (
        [-int(number) for number in re.findall(r"\d+", record.printed.table)][:8] if document.kind == "scores" else []
    )
    return (
        0 if whole else 1 if headline.reported else 2,
        _KINDS.index(document.kind),
        (*version, *[0] * (8 - len(version))),
        not record.own,
        -len(record.printed.scores) - len(record.printed.aggregates),
        document.date or "9999",
    )


def _label(name: str, training: str, prompting: str | None) -> str:
    """The name with training and prompting: ``VIRTUE-2B +SCaR-train``, ``GME-2B, cropped``."""
    trained = f" +{training}" if training.endswith("-train") else f", {training}" if training else ""
    shown = "" if prompting is None else f", {_SHOWN.get(prompting, prompting.replace('_', ' '))}"
    return f"{name}{trained}{shown}"


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def _told_apart(rows: Iterable[PublishedRow]) -> list[PublishedRow]:
    """Rows by slug, no two of one slug or label."""
    ordered = sorted(rows, key=lambda row: (row.slug, row.model, row.training, row.prompting or ""))
    labels = Counter(row.label for row in ordered)
    taken: set[str] = set()
    found = []
    for row in ordered:
        names = chain([row.slug], (f"{row.slug}-{number}" for number in count(2)))
        slug = next(name for name in names if name not in taken)
        taken.add(slug)
        found.append(replace(row, slug=slug, label=row.label if labels[row.label] == 1 else f"{row.label} ({slug})"))
    return found


def _footnotes(flags: Iterable[Doubt]) -> dict[str, tuple[str, ...]]:
    by_group: dict[str, tuple[str, ...]] = {}
    for flag in flags:
        by_group[flag.group] = (*by_group.get(flag.group, ()), flag.text)
    return by_group


def improvements(rows: Iterable[PublishedRow]) -> tuple[Gain, ...]:
    """How far documents say that their models are ahead of the best baseline of their size, in printed numbers.

    A document says which of its tables, and which training in it, it compares. A model or baseline without a class of
    size has no part in it; of baselines with the same mean the first row counts.
    """
    placed = [(record, row) for row in rows for record in row.records]
    placed.sort(key=lambda pair: (pair[0].file, pair[0].number))
    documents = {record.file: record.document for record, _ in placed}
    gains = []
    for file, document in documents.items():
        for comparison in document.comparisons:
            there = [
                (printed.aggregates[comparison.group], record.own, row)
                for record, row in placed
                if record.file == file and (printed := record.printed).table == comparison.table
                if comparison.training in (None, printed.training) and comparison.group in printed.aggregates
            ]
            for value, own, row in there:
                size = row.facts.size
                rivals = [(v, other) for v, others, other in there if not others and size and other.facts.size == size]
                if own and rivals:
                    best, baseline = max(rivals, key=lambda rival: rival[0])
                    if best:
                        gains.append(Gain(row, baseline, comparison.group, float(Fraction(value) / Fraction(best) - 1)))
    return tuple(gains)

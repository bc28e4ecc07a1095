"""The downloads of a board: CSV and JSON for programs, LaTeX and Markdown for papers and pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from evalkit.files import json_bytes
from evalkit.leaderboard.board import HEADLINES, Board, Entry, Score
from evalkit.leaderboard.downloads.latex import latex
from evalkit.leaderboard.downloads.markdown import markdown
from evalkit.suites.card import OWN
from evalkit.written import schema_of

Value = str | float | int | None

# Some spreadsheets read the wide forms of East Asian writing (U+FF1D and so on) as the others.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_SAY_NOTHING = ("trained_on_mmeb", "sources")
"""Columns that say nothing beside own tasks, which are no part of MMEB and which no paper has numbers of."""


@dataclass(frozen=True)
class CsvColumn:
    """A column of ``leaderboard.csv``.

    Attributes:
        name: in the header.
        meaning: for people.
        of: its value for an entry.
    """

    name: str
    meaning: str
    of: Callable[[Entry], Value]


def files(board: Board) -> dict[str, Callable[[], bytes]]:
    """The downloads, by their path below the site's folder, and what makes each."""
    return {
        f"{board.key}/leaderboard.csv": lambda: leaderboard_csv(board),
        f"{board.key}/leaderboard.json": lambda: leaderboard_json(board),
        f"{board.key}/leaderboard.schema.json": lambda: json_bytes(schema()),
        f"{board.key}/leaderboard.tex": lambda: latex(board).encode(),
        f"{board.key}/leaderboard.md": lambda: markdown([board]).encode(),
    }


def leaderboard_json(board: Board) -> bytes:
    """Everything that the board says; ``leaderboard.schema.json`` beside it says what each field is."""
    return json_bytes(TypeAdapter(Board).dump_python(board, mode="json", by_alias=True))


def schema() -> dict[str, Any]:
    """JSON Schema of ``leaderboard.json``."""
    return schema_of(Board)


def leaderboard_csv(board: Board) -> bytes:
    """One row an entry, best first; UTF-8, RFC 4180; the header is that of :func:`columns`.

    Fractions are unrounded, and what is not known is empty. Text that a spreadsheet would take for a formula gets a
    single quote in front (OWASP, CSV Injection): names come from strangers.
    """
    found = columns(board)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_guarded(column.name) for column in found)
    writer.writerows([_guarded(column.of(entry)) for column in found] for entry in board.entries)
    return text.getvalue().encode()


def columns(board: Board) -> tuple[CsvColumn, ...]:
    """The columns of ``leaderboard.csv``: the entry, ranks, means of groups, facts, then scores by the task's name."""
    found = [
        CsvColumn("slug", "names the entry's page and badges", lambda entry: entry.slug),
        CsvColumn("label", "name, with what tells entries of one name apart", lambda entry: entry.label),
        CsvColumn("model", "name", lambda entry: entry.model),
        CsvColumn("prompting", "how regions reached the model", lambda entry: entry.prompting),
        CsvColumn(
            "kind", "measured by evalkit, claimed by a run without samples, or published by a paper", lambda e: e.kind
        ),
        CsvColumn("knows_nothing", "random and constant, which have no rank", lambda entry: int(entry.knows_nothing)),
    ]
    for group in board.groups:
        found += _of_group(group.key, group.label)
    facts = [
        CsvColumn("parameters_millions", "weights, in millions", lambda entry: entry.facts.parameters),
        CsvColumn("dimension", "of the vectors", lambda entry: entry.facts.dimension),
        CsvColumn("licence", "of the weights", lambda entry: entry.facts.licence),
        CsvColumn("trained_on_mmeb", "on MMEB-train: yes, no or unknown", lambda entry: entry.facts.trained_on_mmeb),
        CsvColumn("url", "of the weights or the model's page", lambda entry: entry.facts.url),
        CsvColumn("sources", "of published numbers", lambda entry: "; ".join(_source(entry)) or None),
        CsvColumn("run_id", "of measured numbers", lambda entry: entry.run[1].run_id if entry.run else None),
        CsvColumn("seen", "when it was measured or published, UTC", lambda entry: entry.seen),
        CsvColumn(
            "incomplete_tasks", "with a score of part of their queries", lambda entry: _incomplete(entry) or None
        ),
        CsvColumn(
            "other_data_tasks",
            "whose score is on other data than the ranked entries', so not to be compared with theirs",
            lambda entry: _apart(entry, "other data") or None,
        ),
        CsvColumn(
            "claimed_tasks",
            "whose samples are not there; their scores are left out",
            lambda e: _apart(e, "claimed") or None,
        ),
    ]
    if board.own:
        facts = [column for column in facts if column.name not in _SAY_NOTHING]
        return (*found, *facts, *(column for card in board.cards for column in _of_own_task(card.name)))
    return (*found, *facts, *(_of_task(card.name) for card in board.cards))


def _of_group(key: str, label: str) -> list[CsvColumn]:
    """Columns of a group; a default argument keeps each function's own key."""
    found = [
        CsvColumn(key, f"{label}: mean Precision@1", lambda entry: entry.means[key].value),
        CsvColumn(f"{key}_low", "lower end of its 95 % interval", lambda entry: entry.means[key].low),
        CsvColumn(f"{key}_high", "upper end", lambda entry: entry.means[key].high),
        CsvColumn(f"{key}_tasks", "tasks of it with a complete score", lambda entry: entry.means[key].n_done),
        CsvColumn(f"{key}_reported", "1 for the source's own mean", lambda entry: int(entry.means[key].reported)),
        CsvColumn(
            f"{key}_other_data",
            "1 where a task of it is on other data than the ranked entries'",
            lambda entry: int(entry.means[key].apart is not None and entry.means[key].value is not None),
        ),
    ]
    if key in HEADLINES:
        found += [
            CsvColumn(f"{key}_rank_best", "best place in 95 % of the draws", lambda entry: _rank(entry, key, 0)),
            CsvColumn(f"{key}_rank_worst", "worst place", lambda entry: _rank(entry, key, 1)),
        ]
    return found


def _of_task(task: str) -> CsvColumn:
    def score(entry: Entry) -> float | None:
        found = entry.scores.get(task)
        return found.value if found and found.complete and not found.claimed else None

    return CsvColumn(task, "Precision@1, of all queries of the task, where there are samples to check it by", score)


def _of_own_task(task: str) -> list[CsvColumn]:
    """Columns of an own task, whose name may be that of any other column: these begin with ``own/`` and no other does.

    There is no mean, whose interval could say how sure the scores are.
    """

    def of(value: Callable[[Score], Value]) -> Callable[[Entry], Value]:
        def found(entry: Entry) -> Value:
            score = entry.scores.get(task)
            return value(score) if score and score.complete and not score.claimed else None

        return found

    name, score = f"{OWN}/{task}", _of_task(task)
    return [
        CsvColumn(name, score.meaning, score.of),
        CsvColumn(f"{name}:low", "lower end of its 95 % interval", of(lambda own: own.low)),
        CsvColumn(f"{name}:high", "upper end", of(lambda own: own.high)),
        CsvColumn(f"{name}:n", "queries", of(lambda own: own.n)),
        CsvColumn(f"{name}:ties", "queries whose right candidate shares its score", of(lambda own: own.n_ties)),
    ]


def _rank(entry: Entry, key: str, end: int) -> int | None:
    rank = entry.ranks.get(key)
    return None if rank is None else (rank.best, rank.worst)[end]


def _incomplete(entry: Entry) -> str:
    return " ".join(task for task, score in entry.scores.items() if not score.complete)


def _apart(entry: Entry, kind: str) -> str:
    return " ".join(task for task, apart in entry.apart.items() if apart.kind == kind)


def _source(entry: Entry) -> Iterable[str]:
    return (f"{source.title} {source.url}" if source.url else source.title for source in entry.sources)


def _guarded(value: Value) -> Value:
    """Text that no spreadsheet computes; numbers are evalkit's own, and none is below 0."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value


def meanings(board: Board) -> Mapping[str, str]:
    """What the columns of ``leaderboard.csv`` mean, by their names."""
    return {column.name: column.meaning for column in columns(board)}

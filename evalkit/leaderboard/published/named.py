"""What a document of published numbers names has to be there (models, trainings, tasks, groups), and no row twice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal

from evalkit.errors import UsageError
from evalkit.leaderboard.published.papers import ModelFacts, PublishedFile, PublishedNumbers
from evalkit.leaderboard.published.records import HEADLINE_OF, groups, is_about, tasks
from evalkit.terminal import printable


def check_names(file: str, document: PublishedFile, models: Mapping[str, ModelFacts]) -> None:
    """What the schema cannot say of a document.

    Args:
        file: that it was read from.
        document: any.
        models: all that are known, by id.

    Raises:
        UsageError: it names what is not there, or has a row twice; with file, row, value and the way out.
    """
    tables = {row.table for row in document.rows}
    for place, comparison in enumerate(document.comparisons, 1):
        if comparison.group not in groups():
            raise UsageError(f"{file}, comparison {place}: {_no_group(comparison.group)}")
        if comparison.table not in tables:
            raise UsageError(
                f"{file}, comparison {place}: no row is of the table {quoted(comparison.table)}"
                f"{near(comparison.table, tables)}"
            )
    for model in document.own:
        if model not in models:
            raise UsageError(f"{file}, own: {_no_model(model, models)}")
    seen: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(document.rows, 1):
        where = f"{file}, row {number} ({row.model})"
        _check_row(where, row, models)
        first = seen.setdefault((row.model, row.training, row.prompting, row.table), number)
        if first != number:
            raise UsageError(
                f"{where} stands there already as row {first}, with the same model, training, prompting and table: "
                "leave one out, or tell them apart by training or table"
            )


def _check_row(where: str, row: PublishedNumbers, models: Mapping[str, ModelFacts]) -> None:
    if row.model not in models:
        raise UsageError(f"{where}, model: {_no_model(row.model, models)}")
    trainings = models[row.model].trainings
    if row.training not in trainings:
        raise UsageError(
            f"{where}, training: no file of models has {quoted(row.training)} among the trainings of {row.model} "
            f"({', '.join(map(repr, trainings))}): add it there, or correct it"
        )
    if not row.scores and not row.aggregates:
        raise UsageError(f"{where} has neither scores nor aggregates: give it some, or leave it out")
    for task in row.scores:
        if task not in tasks():
            subsets = {name: card.subset for name, card in tasks().items()}
            raise UsageError(
                f"{where}, scores: {quoted(task)} is no task of MMEB or SCaR{near(task, subsets, subsets)} "
                "(evalkit tasks mmeb scar lists them)"
            )
    for group in row.aggregates:
        if group not in groups():
            raise UsageError(f"{where}, aggregates: {_no_group(group)}")
    if is_about(row, "scar") != (row.prompting is not None):
        raise UsageError(
            f"{where}, prompting: it must say how regions reached the model (native, text, crop, ...)"
            if row.prompting is None
            else f"{where}, prompting ({row.prompting}): the row has no numbers of SCaR, so it must be null"
        )
    headline = [row.aggregates[key] for key in HEADLINE_OF.values() if key in row.aggregates]
    if any(0 < value <= 1 for value in headline):
        raise UsageError(
            f"{where}, aggregates: a mean of {max(headline)} percent is below chance: is it a fraction? "
            "Numbers are in percent"
        )


def _no_model(model: str, models: Iterable[str]) -> str:
    return (
        f"no file of models has {quoted(model)}{near(model, models)}: add it to a file with the schema "
        "'evalkit.published-models' and name that file, too"
    )


def _no_group(group: str) -> str:
    return f"{quoted(group)} is no group{near(group, groups())} (groups: {', '.join(groups())})"


def near(word: str, known: Iterable[str], also: Mapping[str, str] | None = None) -> str:
    """A hint at the nearest names, to be appended to an error; empty where none is near.

    Args:
        word: that is not known.
        known: names.
        also: other words that names go by, by name.
    """
    spelled = {name.lower(): name for name in known}
    spelled |= {word.lower(): name for name, word in (also or {}).items()}
    found = difflib.get_close_matches(word.lower(), spelled, n=3, cutoff=0.6)
    return f"; near: {', '.join(dict.fromkeys(spelled[match] for match in found))}" if found else ""


def quoted(value: object) -> str:
    """A value of a file, in an error."""
    text = printable(str(value) if isinstance(value, Decimal) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."

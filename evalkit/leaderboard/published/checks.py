"""Published numbers that do not fit: means that do not follow from their parts, scores below chance, swapped columns.

Nothing is corrected: each becomes a footnote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import sqrt
from statistics import NormalDist

from evalkit.leaderboard.published.papers import decimals
from evalkit.leaderboard.published.records import PublishedRow, Record, groups, tasks, weighted_mean
from evalkit.terminal import percent

_METAS = "the four meta-tasks"
_PARTS = {_METAS: ("classification", "vqa", "retrieval", "grounding"), "IND and OOD": ("ind", "ood")}
_Z_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Doubt:
    """A number that does not fit.

    Attributes:
        group: key of the group whose mean the footnote belongs to.
        text: the footnote.
    """

    group: str
    text: str


def inconsistencies(row: PublishedRow) -> tuple[Doubt, ...]:
    """Numbers of a row's records that do not fit, those of records that are not shown included.

    A printed mean is off if numbers that are printed as its parts are cannot give it: each is at most half a unit of
    its last decimal from what was printed, so the mean of the parts is off by at most the mean of these halves, and
    the printed mean by its own half. Parts are the tasks where all are there; else, of MMEB-36, the meta-tasks, and
    IND and OOD, weighted by their tasks. A mean that is shown is below chance if it is so by more than 1.96 standard
    errors of guessing on all queries of its tasks, one right candidate each.
    """
    flags = [
        Doubt(group, f"{row.label}: {finding.text(group, places)}")
        for group in groups()
        for finding, places in _findings(row.records, group)
    ]
    for group, mean in row.means.items():
        chance, error = _chance(group)
        if mean.value is not None and mean.value < chance - _Z_95 * error:
            text = (
                f"Below chance ({percent(chance)}) by more than guessing can be, which a weak model does not explain: "
                "prompt or evaluation may be at fault."
            )
            flags.append(Doubt(group, text))
    return tuple(flags)


def permuted(row: PublishedRow, rows: Iterable[PublishedRow]) -> tuple[Doubt, ...]:
    """Scores that are those of the same model by another prompting in the same table, three or more in another order.

    Args:
        row: that is looked at.
        rows: all; a pair of them gets the same footnote.
    """
    flags = []
    for other in rows:
        if (other.model, other.training) != (row.model, row.training) or other.prompting == row.prompting:
            continue
        first, second = sorted((row, other), key=lambda r: r.slug)
        for a, b in product(first.records, second.records):
            moved = _moved(a.printed.scores, b.printed.scores)
            if not moved or (a.file, a.printed.table) != (b.file, b.printed.table):
                continue
            here, there = (", ".join(str(one.printed.scores[task]) for task in moved) for one in (a, b))
            text = (
                f"On {', '.join(moved)} the scores of {first.label} are {here}, and those of {second.label} {there}: "
                f"the same in another order. So in {a.place}."
            )
            groups_of = {"interactive" if task.startswith("SCaR/") else "general" for task in moved}
            flags += [Doubt(group, text) for group in sorted(groups_of)]
    return tuple(flags)


@dataclass(frozen=True)
class _Finding:
    """A printed mean that does not follow from its parts: what these give, and whether it follows from that."""

    printed: Decimal
    given: Mapping[str, tuple[Fraction, bool]]
    unweighted: bool

    def agrees_with(self, other: _Finding) -> bool:
        """Whether it is the same finding, on the parts that both have."""
        shared = self.given.keys() & other.given.keys()
        same = bool(shared) and all(self.given[parts] == other.given[parts] for parts in shared)
        return same and self.printed == other.printed

    def text(self, group: str, places: Sequence[str]) -> str:
        """The footnote."""
        words = {parts: f"{parts} ({_two(value)})" for parts, (value, _) in self.given.items()}
        off = [words[parts] for parts, (_, follows) in self.given.items() if not follows]
        kept = [words[parts] for parts, (_, follows) in self.given.items() if follows]
        label = groups()[group].label
        text = f"{self.printed} is printed for {label}, which does not follow from {' nor from '.join(off)}"
        text += f", but does from {kept[0]}" if kept else ""
        text += "; it is the mean of the meta-tasks without weights" if self.unweighted else ""
        return f"{text}. So in {', '.join(places)}."


def _findings(records: Iterable[Record], group: str) -> list[tuple[_Finding, list[str]]]:
    """What is off with a mean, each with all places that print it so: documents copy from one another."""
    found: list[tuple[_Finding, list[str]]] = []
    for record in records:
        finding = _finding(record, group)
        if finding is None:
            continue
        for place, (known, places) in enumerate(found):
            if known.agrees_with(finding):
                both = replace(known, given={**known.given, **finding.given})
                found[place] = (both, [*places, record.place])
                break
        else:
            found.append((finding, [record.place]))
    return found


def _finding(record: Record, group: str) -> _Finding | None:
    """What is off with a mean of one record, or ``None``."""
    scores, means = record.printed.scores, record.printed.aggregates
    printed = means.get(group)
    if printed is None:
        return None
    own = groups()[group].tasks
    ways: dict[str, list[tuple[Decimal, int]]] = {}
    if all(task in scores for task in own):
        ways[f"its {len(own)} tasks"] = [(scores[task], 1) for task in own]
    elif group == "general":
        ways = {
            words: [(means[key], len(groups()[key].tasks)) for key in keys]
            for words, keys in _PARTS.items()
            if all(key in means for key in keys)
        }
    given = {words: (weighted_mean(parts), _follows(printed, parts)) for words, parts in ways.items()}
    if all(follows for _, follows in given.values()):
        return None
    unweighted = [(number, 1) for number, _ in ways.get(_METAS, ())]
    return _Finding(printed, given, bool(unweighted) and _follows(printed, unweighted))


def _follows(printed: Decimal, parts: Sequence[tuple[Decimal, int]]) -> bool:
    """Whether rounding explains the difference between a printed mean and that of its printed parts."""
    rounding = weighted_mean((_half(number), weight) for number, weight in parts) + Fraction(_half(printed))
    return abs(weighted_mean(parts) - Fraction(printed)) <= rounding


def _moved(a: Mapping[str, Decimal], b: Mapping[str, Decimal]) -> list[str]:
    """The tasks, three or more, on which two rows differ everywhere but have the same scores taken together."""
    tasks = [task for task in a if task in b and a[task] != b[task]]
    while True:
        left, right = {a[task] for task in tasks}, {b[task] for task in tasks}
        kept = [task for task in tasks if a[task] in right and b[task] in left]
        if kept == tasks:
            break
        tasks = kept
    same = Counter(a[task] for task in tasks) == Counter(b[task] for task in tasks)
    return tasks if same and len(tasks) >= 3 else []


def _chance(group: str) -> tuple[float, float]:
    """Mean Precision@1 of guessing on a group's tasks, and its standard error over all their queries."""
    chances = [(1 / card.candidates, card.queries) for card in (tasks()[name] for name in groups()[group].tasks)]
    error = sqrt(sum(chance * (1 - chance) / queries for chance, queries in chances)) / len(chances)
    return sum(chance for chance, _ in chances) / len(chances), error


def _half(number: Decimal) -> Decimal:
    """Half a unit of the last decimal: how far a rounded number can be from what it stands for."""
    return Decimal("0.5").scaleb(-decimals(number))


def _two(value: Fraction) -> str:
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.2f}"

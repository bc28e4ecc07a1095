"""Numbers of a comparison as short texts, the same in every form."""

from __future__ import annotations

from evalkit.regression.config import LEVELS
from evalkit.regression.gate import ORDER, Gate, Judged
from evalkit.regression.units import Unit
from evalkit.terminal import percent

HEADER = ("", "base", "new", "points", "interval", "won", "lost", "p (Holm)", "q (BH)", "verdict")
"""Of the columns of :func:`cells`."""


def points(value: float | None) -> str:
    """A difference of fractions in points, signed; a dash where there is none."""
    return "–" if value is None else f"{100 * value:+.1f}"


def interval(unit: Unit) -> str:
    """The interval of a unit's difference in points; a dash where there is none."""
    if unit.paired is None or unit.paired.interval is None:
        return "–"
    low, high = unit.paired.interval
    return f"{points(low)} to {points(high)}"


def p_value(value: float) -> str:
    """A p-value with as many digits as are worth reading."""
    return "<.001" if value < 0.001 else f"{value:.3f}"


def cells(one: Judged) -> tuple[str, ...]:
    """The cells of a unit, by :data:`HEADER`; a verdict that fails in capitals."""
    unit, paired = one.unit, one.unit.paired
    verdict = one.verdict.upper() if one.fails else one.verdict
    head = (unit.name, percent(unit.base), percent(unit.new), points(unit.delta), interval(unit))
    if paired is None:
        return (*head, "–", "–", "–", "–", verdict)
    return (*head, str(paired.won), str(paired.lost), p_value(paired.p_holm), p_value(paired.q_value), verdict)


def counted(gate: Gate) -> str:
    """How many units got which verdict, the worst first."""
    found = {verdict: sum(one.verdict == verdict for one in gate.judged) for verdict in ORDER}
    return ", ".join(f"{count} {verdict}" for verdict, count in found.items() if count)


def worst_first(judged: tuple[Judged, ...]) -> list[Judged]:
    """Suites before groups before tasks, the largest drop first within each."""
    return sorted(judged, key=lambda one: (LEVELS.index(one.unit.level), one.unit.delta or 0))

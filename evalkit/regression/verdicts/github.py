"""Annotations for GitHub Actions: workflow commands, within what GitHub shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import ResultsError
from evalkit.regression.gate import Gate, Judged
from evalkit.regression.verdicts.brief import worst_first
from evalkit.terminal import printable

SHOWN = 10
"""GitHub shows ten errors and ten warnings of a step (docs/problem-matchers.md of actions/toolkit)."""


def annotated(gate: Gate) -> str:
    """``::error`` for what fails or could not be compared, ``::warning`` for what is worth a look; the worst first.

    Where there are more than GitHub shows, the last one says how many.
    """
    errors = [one for one in worst_first(gate.judged) if one.fails or one.blocks]
    loud = ("warn", "expected", "missing", "incomparable", "regressed")
    lines = _lines("error", errors)
    if gate.answer == "not comparable" and not errors:
        lines.append(annotation("error", "evalkit gate: not comparable", "; ".join(gate.notes)))
    warnings = [one for one in worst_first(gate.judged) if not (one.fails or one.blocks) and one.verdict in loud]
    return "".join(f"{line}\n" for line in (*lines, *_lines("warning", warnings)))


def _lines(kind: str, judged: Sequence[Judged]) -> list[str]:
    shown = judged if len(judged) <= SHOWN else judged[: SHOWN - 1]
    lines = [annotation(kind, f"{one.unit.name}: {one.verdict}", one.why) for one in shown]
    if more := len(judged) - len(shown):
        lines.append(annotation(kind, "evalkit gate", f"and {more} more: the step's summary has them all"))
    return lines


def annotation(kind: str, title: str, message: str) -> str:
    """One annotation, ``error`` or ``warning``; title and message may be strangers' texts."""
    title = _data(printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_data(printable(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def write_summary(path: Path, text: str) -> None:
    """Add a summary to the file that GitHub names in ``GITHUB_STEP_SUMMARY``.

    Raises:
        ResultsError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ResultsError(f"{path} (GITHUB_STEP_SUMMARY) cannot be written: {error.strerror or error}") from error

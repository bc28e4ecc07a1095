"""Markdown for a step summary or a comment, within a limit of bytes."""

from __future__ import annotations

import re

from evalkit.regression.gate import Gate, Judged
from evalkit.regression.verdicts.brief import HEADER, cells, counted, worst_first
from evalkit.terminal import printable

SUMMARY_BYTES = 900 * 1024
"""GitHub refuses a step's summary of more than 1 MiB; other commands of the step may write some of it."""
_QUIET = ("same", "inconclusive", "improved")


def markdown(gate: Gate, limit: int = SUMMARY_BYTES) -> str:
    """The gate as Markdown: its verdict, what needs attention, then all units in a table that folds.

    Args:
        gate: what was judged.
        limit: bytes; what does not fit is counted.
    """
    comparison = gate.comparison
    loud = [one for one in worst_first(gate.judged) if one.fails or one.blocks or one.verdict not in _QUIET]
    lines = [
        f"## evalkit gate: {gate.answer}",
        "",
        f"{_escaped(comparison.new.model)} against {_escaped(comparison.base.model)} ({comparison.base.kind}): "
        f"{counted(gate)}. Precision@1 in percent, differences in points.",
        "",
        *(f"> {_escaped(note)}\n" for note in gate.notes),
        *(f"* **{_escaped(one.unit.name)}**: {one.verdict}: {_escaped(one.why)}" for one in loud),
    ]
    if loud:
        lines.append("")
    text = "\n".join(lines)
    if len(text.encode()) > limit:
        text = text.encode()[: max(0, limit - 40)].decode(errors="ignore").rpartition("\n")[0] + "\n\n…and more\n"
        return text
    rows = [_row(one) for one in gate.judged]
    head = ["<details><summary>all tasks</summary>", "", _line(("task", *HEADER[1:])), _line(["---"] * len(HEADER))]
    foot = ["", "</details>", ""]
    while rows:
        body = "\n".join([text, *head, *rows, *foot])
        if len(body.encode()) <= limit:
            return body
        kept = len(rows) * 9 // 10
        left = len(gate.judged) - kept
        rows, foot = rows[:kept], ["", f"{left} more do not fit here", "</details>", ""]
    return text


def _row(one: Judged) -> str:
    return _line([_escaped(cell) for cell in cells(one)])


def _line(found: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(found)} |"


def _escaped(text: str) -> str:
    """Text without meaning for Markdown or HTML: names and messages come from strangers."""
    text = re.sub(r"\s+", " ", printable(text)).strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~#!@])", r"\\\1", text)

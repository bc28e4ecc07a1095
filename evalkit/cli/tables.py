"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.terminal import percent, printable

if TYPE_CHECKING:
    from evalkit.results import Manifest
    from evalkit.task import TaskCard


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows in columns, the first row a header; ``right`` are the columns to align to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def run_summary(folder: Path, manifest: Manifest, cards: Sequence[TaskCard]) -> str:
    """What a run found on these tasks, as text."""
    wanted = {card.name for card in cards}
    rows = [["task", "P@1", "95 % interval", "optimistic", "chance", "ties", "n", ""]]
    for result in manifest.tasks:
        if result.task not in wanted:
            continue
        if result.metrics is None:
            rows.append([result.task, "failed", "", "", "", "", "", result.error.type if result.error else ""])
            continue
        p1 = result.metrics["precision_at_1"]
        interval = f"{percent(p1.low)} to {percent(p1.high)}"
        notes = (
            f"prompting {result.prompting}" if result.prompting else "",
            "" if p1.above_chance else "not above chance",
            "" if result.complete else "partial",
        )
        rows.append(
            [
                result.task,
                percent(p1.value),
                interval,
                percent(p1.optimistic),
                percent(p1.chance),
                str(p1.n_ties),
                str(p1.n),
                ", ".join(filter(None, notes)),
            ]
        )
    averages = [
        f"  {a.group}: {percent(a.value)} ({a.n_done} of {a.n_tasks} tasks)"
        for a in manifest.averages
        if a.n_done and a.n_tasks > 1
    ]
    parts = [f"\n{manifest.model.name} (P@1 in percent)", aligned(rows, right=(1, 2, 3, 4, 5, 6))]
    parts += [
        printable(f"{result.task} failed: {result.error.message}")
        for result in manifest.tasks
        if result.task in wanted and result.error is not None
    ]
    if averages:
        parts.append("averages (only over all tasks of a group):\n" + "\n".join(averages))
    return "\n".join([*parts, f"written to {folder}"])

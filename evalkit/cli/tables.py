"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.terminal import one_line, percent, with_interval

if TYPE_CHECKING:
    from evalkit.demo import Estimate, Findings, Lead, Line
    from evalkit.encoding.forward import EncodingStats
    from evalkit.preflight import Rehearsed
    from evalkit.runs.manifest import Manifest
    from evalkit.suites.card import TaskCard


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows in columns, the first row a header; ``right`` are the columns to align to the right.

    Cells may be strangers' texts.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def run_summary(
    folder: Path, manifest: Manifest, cards: Sequence[TaskCard] | None, encoding: Mapping[str, EncodingStats]
) -> str:
    """What a run found on these tasks, as text.

    Args:
        folder: of the run.
        manifest: its numbers.
        cards: the tasks to show; ``None``: all that the run has, also those that nothing here has a card of.
        encoding: by task, what encoding did just now; without it nothing is said about reused vectors.
    """
    from evalkit.evaluate import reused_of

    wanted = {result.task for result in manifest.tasks} if cards is None else {card.name for card in cards}
    rows = [
        ["task", "P@1", "95 % interval", "optimistic", "chance", "ties", "n", *(["reused"] if encoding else []), ""]
    ]
    for result in manifest.tasks:
        if result.task not in wanted:
            continue
        if result.metrics is None:
            blank = [""] * (len(rows[0]) - 3)
            rows.append([result.task, "failed", *blank, result.error.type if result.error else ""])
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
                *([reused_of(encoding[result.task]) if result.task in encoding else ""] if encoding else []),
                ", ".join(filter(None, notes)),
            ]
        )
    averages = [
        f"  {one_line(a.group)}: {percent(a.value)} ({a.n_done} of {a.n_tasks} tasks)"
        for a in manifest.averages
        if a.n_done and a.n_tasks > 1
    ]
    parts = [f"\n{one_line(manifest.model.name)} (P@1 in percent)", aligned(rows, right=range(1, len(rows[0]) - 1))]
    parts += [
        one_line(f"{result.task} failed: {result.error.message}")
        for result in manifest.tasks
        if result.task in wanted and result.error is not None
    ]
    parts += [
        one_line(f"{result.task}: note: {warning}")
        for result in manifest.tasks
        if result.task in wanted
        for warning in result.warnings
    ]
    if averages:
        parts.append("averages (only over all tasks of a group):\n" + "\n".join(averages))
    return "\n".join([*parts, f"written to {one_line(str(folder))}"])


def rehearsal(found: Rehearsed, cards: Sequence[TaskCard]) -> str:
    """What a run of a model would do with these tasks, as text."""
    rows = [["task", "queries", ""]]
    for card in cards:
        rows.append([card.name, str(card.queries), "would not run" if card.name in found.refused else "would run"])
    title = f"{one_line(found.model)}, dimension {', '.join(map(str, found.dimensions))}"
    why = [one_line(f"{name} would not run: {error}") for name, error in found.refused.items()]
    said = f"\n{title}: {len(cards) - len(found.refused)} of {len(cards)} tasks would run"
    return "\n".join([said, aligned(rows, right=(1,)), *why])


def demo_summary(found: Findings) -> str:
    """What a demo found, as text."""
    groups = list(found.tasks)
    rows = [["model", "regions", *groups]]
    rows += [
        [line.model, line.regions, *(_with_interval(line.groups[group]) for group in groups)] for line in found.lines
    ]
    rows.append(["chance", "", *(percent(found.chance[group]) for group in groups)])
    compared = [["tasks", "difference", "points", "95 % interval", ""]]
    compared += [_compared(difference) for difference in found.differences]
    counts = [str(count) for count in found.tasks.values()]
    tasks = (
        f"{', '.join(counts[:-1])} and {counts[-1]} tasks of {found.size} {'query' if found.size == 1 else 'queries'}"
    )
    return "\n\n".join(
        [
            "Precision@1 in percent: mean over the tasks of a group, and its 95 % interval",
            aligned(rows),
            f"{tasks}. Differences on the same queries:",
            aligned(compared, right=(2,)),
            "The tasks are drawn stand-ins: these numbers say nothing about MMEB or SCaR.",
        ]
    )


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return with_interval(estimate.value, estimate.low, estimate.high)


def _compared(difference: Lead) -> list[str]:
    new, base, estimate = difference.new, difference.base, difference.estimate
    same = new.model == base.model

    def name(line: Line) -> str:
        return line.regions if same else line.model

    what = f"{f'{new.model}: ' if same else ''}{name(new)} minus {name(base)}"
    if estimate is None:
        return [difference.tasks, what, "–", "", ""]
    ahead = difference.ahead
    return [
        difference.tasks,
        what,
        f"{100 * estimate.value:+.1f}",
        f"{100 * estimate.low:+.1f} to {100 * estimate.high:+.1f}",
        "too close to call" if ahead is None else f"{name(ahead)} is ahead",
    ]

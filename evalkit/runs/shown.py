"""Runs as people see them: in a line, and in a notebook as a small table. Percent, and nobody's words as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.terminal import one_line, percent

_MOST_ROWS = 60
_LONGEST = 200  # characters of an error

Shown = tuple[Manifest, tuple[str, ...], bool]
"""A run's record, its claimed tasks, and whether its numbers were held to its queries."""


def html_table(
    title: str, rows: Sequence[Sequence[str]], right: Iterable[int] = (), notes: Iterable[str] = (), more: int = 0
) -> str:
    """A table for notebooks.

    Args:
        title: above it.
        rows: the first one is its header; cells may be strangers' words.
        right: columns to align to the right.
        notes: lines below it.
        more: rows that are left out.
    """
    aligned = frozenset(right)
    head, *body = [
        "".join(
            f'<{tag} style="text-align:{"right" if place in aligned else "left"}">{_safe(cell)}</{tag}>'
            for place, cell in enumerate(row)
        )
        for tag, row in zip(["th", *["td"] * (len(rows) - 1)], rows, strict=True)
    ]
    below = [*notes, *([f"and {more} more"] if more else [])]
    return "".join(
        [
            f"<div><p>{_safe(title)}</p>",
            f"<table><thead><tr>{head}</tr></thead><tbody>",
            *(f"<tr>{row}</tr>" for row in body),
            "</tbody></table>",
            *(f"<p>{_safe(note)}</p>" for note in below),
            "</div>",
        ]
    )


def run_line(manifest: Manifest, claimed: Sequence[str], *, checked: bool) -> str:
    """A run in one line."""
    said = [manifest.status, _counted(manifest), *_averages(manifest), *_doubts(claimed, checked=checked)]
    return one_line(f"Run {manifest.model.name} {manifest.run_id}: {'; '.join(said)}")


def run_html(manifest: Manifest, claimed: Sequence[str], *, checked: bool) -> str:
    """A run as a table of its tasks."""
    rows: list[tuple[str, ...]] = [("task", "P@1 %", "95 % interval", "chance", "ties", "n", "")]
    rows += [_row(result, result.task in claimed) for result in manifest.tasks[:_MOST_ROWS]]
    notes = [*_averages(manifest), *_doubts(claimed, checked=checked)]
    title = f"{manifest.model.name} {manifest.run_id}: {manifest.status}, {_counted(manifest)}"
    return html_table(title, rows, range(1, 6), notes, max(0, len(manifest.tasks) - _MOST_ROWS))


def runs_line(runs: Sequence[Shown]) -> str:
    """Runs in a line each, a few of them."""
    few = [f"  {run_line(manifest, claimed, checked=checked)}" for manifest, claimed, checked in runs[:10]]
    more = [f"  and {len(runs) - len(few)} more"] if len(runs) > len(few) else []
    return "\n".join([f"<{len(runs)} {'run' if len(runs) == 1 else 'runs'}{':' if runs else ''}", *few, *more]) + ">"


def runs_html(runs: Sequence[Shown]) -> str:
    """Runs as a table of a row each."""
    rows = [("model", "run", "status", "tasks", "P@1 %", "")]
    for manifest, claimed, checked in runs[:_MOST_ROWS]:
        means, doubts = "; ".join(_averages(manifest)), "; ".join(_doubts(claimed, checked=checked))
        name = (manifest.model.name, manifest.run_id, manifest.status)
        rows.append((*name, _counted(manifest), means.removeprefix("P@1 % "), doubts))
    title = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    return html_table(title, rows, (), (), max(0, len(runs) - _MOST_ROWS))


def _counted(manifest: Manifest) -> str:
    """How many tasks, and how many of them failed or are partial."""
    n = len(manifest.tasks)
    failed = sum(result.status == "failed" for result in manifest.tasks)
    partial = sum(result.status == "done" and not result.complete for result in manifest.tasks)
    said = [f"{n} {'task' if n == 1 else 'tasks'}"]
    said += [f"{failed} failed"] if failed else []
    return ", ".join([*said, *([f"{partial} partial"] if partial else [])])


def _averages(manifest: Manifest) -> list[str]:
    """The suites' averages with their coverage, in one line."""
    said = [
        f"{one.group} {percent(one.value)} ({one.n_done} of {one.n_tasks} tasks)"
        for one in manifest.averages
        if "/" not in one.group
    ]
    return [f"P@1 % {', '.join(said)}"] if said else []


def _doubts(claimed: Sequence[str], *, checked: bool) -> list[str]:
    said = []
    if claimed:
        n = len(claimed)
        said.append(f"{n} {'number is' if n == 1 else 'numbers are'} claimed: there are no queries that bear them out")
    if not checked:
        said.append("not held to its queries")
    return said


def _row(result: TaskResult, claimed: bool) -> tuple[str, ...]:
    found = (result.metrics or {}).get("precision_at_1")
    if found is None:
        why = result.error.message if result.error else "no number"
        why = why if len(why) <= _LONGEST else f"{why[: _LONGEST - 1]}…"
        return (result.task, *("–",) * 5, f"{result.status}: {why}")
    notes = (
        f"prompting {result.prompting}" if result.prompting else "",
        "" if found.above_chance else "not above chance",
        "" if result.complete else "partial",
        "claimed" if claimed else "",
    )
    interval = f"{percent(found.low)} to {percent(found.high)}"
    counts = (str(found.n_ties), str(found.n))
    return (result.task, percent(found.value), interval, percent(found.chance), *counts, ", ".join(filter(None, notes)))


def _safe(text: str) -> str:
    return escape(one_line(text))

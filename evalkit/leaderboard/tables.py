"""Runs to tables: every number and every word of the pages is decided here, none in a template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.results import Manifest, MetricResult, TaskResult, as_promised, averages
from evalkit.task import TaskCard, all_cards
from evalkit.terminal import percent, printable

KNOW_NOTHING = ("random", "constant")  # families that stand at the foot of every table

_WIDEST = 12  # columns of scores that one table holds; MMEB's retrieval has as many tasks

_SUITES = {
    "mmeb": "MMEB: 36 image tasks",
    "scar": "SCaR: five visual-interactive tasks",
    "miniature": "Miniature: drawn stand-ins for all 41 tasks; says nothing about MMEB or SCaR",
    "example": "Example: generated shapes, shipped with evalkit; says nothing about MMEB or SCaR",
}
_REGIONS_BY = "Regions by"  # header of what a result calls its prompting
_NO_REGIONS = "–"
_METRICS = {"precision_at_1": "Precision@1", "hit_at_5": "hit@5", "hit_at_10": "hit@10", "mrr": "MRR"}
_GROUPS = {
    "classification": "Classification",
    "vqa": "VQA",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
    "visual-interactive": "Visual-interactive",
    "ind": "In-distribution",
    "ood": "Out-of-distribution",
}


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: as it is printed.
        title: what stands behind it, in one line; may be empty.
        best: the highest of its column.
        number: align it to the right.
    """

    text: str
    title: str = ""
    best: bool = False
    number: bool = True


@dataclass(frozen=True)
class Row:
    """A row: its header and its cells."""

    header: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``header`` names the columns, the first that of the row headers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Section:
    """All tables of a suite, never mixed with another's, and the notes to them."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    details: Table
    """All metrics of every result: interval, chance, ties."""
    signatures: tuple[tuple[str, str, str], ...]
    """Model, task and signature of every number."""


@dataclass(frozen=True)
class _Line:
    """A run as one suite sees it."""

    label: str
    run: Manifest
    tasks: dict[str, TaskResult]
    means: dict[str, float | None]
    coverage: str

    @property
    def knows_nothing(self) -> bool:
        return self.run.model.family in KNOW_NOTHING


def sections(runs: Sequence[Manifest]) -> tuple[Section, ...]:
    """One section for each suite that any run has a task of, in the order of the suites.

    Args:
        runs: of any models; those of one model in one suite are told apart by how regions reached it, where that is
            enough, else by their run ids.
    """
    cards = all_cards()
    found = []
    for suite in dict.fromkeys(card.suite for card in cards):
        own = [card for card in cards if card.suite == suite]
        there = [run for i, run in enumerate(runs) if run not in runs[:i] and any(r.suite == suite for r in run.tasks)]
        labels = _labels(there, suite)
        lines = [_line(run, label, suite, len(own)) for run, label in zip(there, labels, strict=True)]
        if lines:
            found.append(_section(suite, own, sorted(lines, key=lambda line: _place(line, suite))))
    return tuple(found)


def _labels(runs: Sequence[Manifest], suite: str) -> list[str]:
    """The models' names, with what tells the runs of one model apart."""
    names = [printable(run.model.name) for run in runs]
    regions = [regions_by(result for result in run.tasks if result.suite == suite) for run in runs]
    labels = []
    for run, name, own in zip(runs, names, regions, strict=True):
        same = [other for other, called in zip(regions, names, strict=True) if called == name]
        told_apart = len(set(same)) == len(same) and _NO_REGIONS not in same
        labels.append(name if len(same) == 1 else f"{name} ({own if told_apart else run.run_id})")
    return labels


def _line(run: Manifest, label: str, suite: str, n_tasks: int) -> _Line:
    # Means are made here of what the cards promise, not taken from the run's file.
    tasks = {result.task: as_promised(result) for result in run.tasks if result.suite == suite}
    means = {a.group: a.value for a in averages(list(tasks.values()))}
    done = sum(result.complete for result in tasks.values())
    return _Line(label, run, tasks, means, f"{done}/{n_tasks}")


def _place(line: _Line, suite: str) -> tuple[bool, bool, float, str]:
    """Baselines at the foot, runs without full coverage after those with it, the best mean first."""
    mean = line.means.get(suite)
    return (line.knows_nothing, mean is None, -(mean or 0.0), line.label)


def _section(suite: str, cards: Sequence[TaskCard], lines: Sequence[_Line]) -> Section:
    groups = [group for line in lines[:1] for group in line.means if group != suite]
    tables = [_overview(suite, groups, lines)]
    for title, members in _split(cards).items():
        if any(card.name in line.tasks for card in members for line in lines):
            tables.append(_tasks(title, members, lines))
    return Section(
        title=_SUITES.get(suite, suite),
        tables=tuple(tables),
        notes=tuple(_notes(lines)),
        details=_details(lines),
        signatures=tuple(
            (line.label, task.task, task.signature)
            for line in lines
            for task in line.tasks.values()
            if task.signature is not None
        ),
    )


def _split(cards: Sequence[TaskCard]) -> dict[str, list[TaskCard]]:
    """A suite's tasks by meta-task, or all at once where they fit into one table."""
    if len(cards) <= _WIDEST:
        return {"Tasks": list(cards)}
    members: dict[str, list[TaskCard]] = {}
    for card in cards:
        members.setdefault(_GROUPS[card.meta_task], []).append(card)
    return members


def _overview(suite: str, groups: Sequence[str], lines: Sequence[_Line]) -> Table:
    names = [group.split("/")[1] for group in groups]
    columns = [[line.means.get(group) for line in lines] for group in (suite, *groups)]
    best = [_best(column, lines) for column in columns]
    place, rows = 0, []
    for i, line in enumerate(lines):
        ranked = columns[0][i] is not None and not line.knows_nothing
        place += ranked
        cells = [Cell(str(place) if ranked else "–")]
        cells += [Cell(percent(column[i]), best=i == top) for column, top in zip(columns, best, strict=True)]
        cells += [Cell(line.coverage), Cell(regions_by(line.tasks.values()), number=False)]
        rows.append(Row(line.label, tuple(cells)))
    header = ("Model", "Rank", "Mean", *(_GROUPS.get(name, name) for name in names), "Tasks", _REGIONS_BY)
    return Table("Mean Precision@1 over tasks, in percent; a mean needs all tasks of its group", header, tuple(rows))


def _tasks(title: str, cards: Sequence[TaskCard], lines: Sequence[_Line]) -> Table:
    results = [[line.tasks.get(card.name) for line in lines] for card in cards]
    best = [_best([_value(result) for result in column], lines) for column in results]
    by_region = any(result.prompting for column in results for result in column if result is not None)
    rows = []
    for i, line in enumerate(lines):
        cells = [_cell(column[i], i == top) for column, top in zip(results, best, strict=True)]
        if by_region:
            own = [result for column in results if (result := column[i]) is not None]
            cells.append(Cell(regions_by(own), number=False))
        rows.append(Row(line.label, tuple(cells)))
    header = ("Model", *(card.subset for card in cards), *([_REGIONS_BY] if by_region else []))
    return Table(f"{title}: Precision@1 in percent", header, tuple(rows))


def _cell(result: TaskResult | None, best: bool) -> Cell:
    if result is None:
        return Cell("–", "not run")
    if result.metrics is None:
        return Cell("failed", printable(result.error.message) if result.error else "")
    p1 = result.metrics["precision_at_1"]
    marks = ("" if p1.above_chance else "*") + ("" if result.complete else "†")
    optimistic = f" ({percent(p1.optimistic)})" if percent(p1.optimistic) != percent(p1.value) else ""
    return Cell(percent(p1.value) + marks + optimistic, _behind(p1, result.prompting), best)


def _behind(p1: MetricResult, prompting: str | None) -> str:
    regions = f"regions by {prompting}; " if prompting else ""
    ties = f"; {p1.n_ties} ties, {percent(p1.optimistic)} if the label won them" if p1.n_ties else ""
    interval = f"95 % interval {percent(p1.low)} to {percent(p1.high)}"
    return f"{regions}{interval}, n {p1.n}, chance {percent(p1.chance)}{ties}"


def _details(lines: Sequence[_Line]) -> Table:
    by_region = any(task.prompting for line in lines for task in line.tasks.values())
    rows = []
    for line in lines:
        for task in line.tasks.values():
            for name, m in (task.metrics or {}).items():
                numbers = (m.value, m.low, m.high, m.optimistic, m.pessimistic, m.chance)
                cells = [Cell(task.task, number=False), Cell(_METRICS.get(name, name), number=False)]
                cells += [Cell(percent(number)) for number in numbers]
                cells += [Cell(str(m.n_ties)), Cell(str(m.n)), Cell(m.interval, number=False)]
                cells += [Cell(regions_by([task]), number=False)] if by_region else []
                rows.append(Row(line.label, tuple(cells)))
    header = ("Model", "Task", "Metric", "Value", "From", "To", "Optimistic", "Pessimistic", "Chance", "Ties", "n")
    last = ("Interval", _REGIONS_BY) if by_region else ("Interval",)
    return Table("All metrics in percent, with 95 % intervals", (*header, *last), tuple(rows))


def _value(result: TaskResult | None) -> float | None:
    return result.metrics["precision_at_1"].value if result and result.metrics and result.complete else None


def _best(column: Sequence[float | None], lines: Sequence[_Line]) -> int | None:
    """Row of the highest value, of those that have to know something; none where there is no contest."""
    places = [i for i, value in enumerate(column) if value is not None and not lines[i].knows_nothing]
    return max(places, key=lambda i: column[i] or 0.0) if len(places) > 1 else None


def regions_by(results: Iterable[TaskResult]) -> str:
    """How regions reached a model in these results: all ways, or a dash where there were no regions."""
    return ", ".join(sorted({result.prompting for result in results if result.prompting})) or _NO_REGIONS


def _notes(lines: Sequence[_Line]) -> list[str]:
    shown = [task for line in lines for task in line.tasks.values() if task.metrics is not None]
    p1 = [task.metrics["precision_at_1"] for task in shown if task.metrics is not None]
    notes = [
        "Precision@1 is the chance that the right candidate comes first when equal scores are put in random order."
    ]
    if any(percent(value.optimistic) != percent(value.value) for value in p1):
        notes.append(
            "(In brackets) the optimistic value, where ties change it: the right candidate first among equals, as the "
            "official ranking has it."
        )
    if not all(value.above_chance for value in p1):
        notes.append("* not above chance: the 95 % interval reaches down to what an embedder gets that knows nothing.")
    if not all(task.complete for task in shown):
        notes.append("† only part of the task's queries, or another version of the task: no part of any mean.")
    if any(line.knows_nothing for line in lines):
        notes.append("random and constant know nothing; they are there to compare with and have no rank.")
    for line in lines:
        own = sorted({warning for task in line.tasks.values() for warning in task.warnings})
        notes += [f"{line.label}: {printable(warning)}" for warning in own]
        failed = {task.task: task.error.message for task in line.tasks.values() if task.error}
        notes += [f"{line.label}, {task}: failed: {printable(message)}" for task, message in failed.items()]
        settings = line.run.settings
        choices = [
            *(["candidates merged by the official key"] if settings.official_dedup else []),
            *(["camera orientation ignored"] if settings.exif == "ignore" else []),
            *(["vectors kept as float16"] if settings.vectors == "float16" else []),
            *([f"regions by {settings.prompting} asked for"] if settings.prompting else []),
        ]
        notes += [f"{line.label}: {', '.join(choices)}."] if choices else []
    return notes

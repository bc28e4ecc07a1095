"""What a model's page shows: its facts, its scores beside chance and the median, and where they come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group, Mean, Pairing, Score
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.comparison_page import pair_path
from evalkit.leaderboard.pages.grid import Cell, Column, Grid, attributes, heads, plain, plot, words
from evalkit.leaderboard.pages.listing import Standing, notes, point, samples, top_of, why_no_mean, why_no_score
from evalkit.leaderboard.pages.provenance import command, provenance
from evalkit.leaderboard.wording import (
    MISSING,
    breakable,
    interval,
    link,
    mark,
    origin,
    outside,
    parameters,
    percent,
    shown,
    signed,
)
from evalkit.suites.card import TaskCard

_MOST = 5  # strengths, and weaknesses
_META_TASKS = {
    "classification": "Classification",
    "vqa": "VQA",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
    "visual-interactive": "Visual-interactive",
}


@dataclass(frozen=True)
class Against:
    """A task on which an entry is far from the median, in words: its name as HTML, the difference, both scores."""

    task: Markup
    difference: str
    value: str
    median: str


@dataclass(frozen=True)
class ModelPage:
    """A model's page.

    Attributes:
        entry: whose.
        facts: names, and texts or HTML.
        means: of all groups.
        grid: of all tasks; ``None`` where it has a score on none of them.
        strengths: the tasks on which it is the most above the median.
        weaknesses: likewise below.
        command: that measured it; ``None`` for a published entry.
        provenance: names and texts of a measured entry.
        signatures: task and line.
        sources: of a published entry: text and address or ``None``.
        records: other published numbers: source as HTML, group, value.
        comparisons: with whom it is compared, as HTML, and the page.
        apart: tasks whose score is neither ranked nor compared, and why.
        failures: task and reason.
        warnings: what a reader should know.
        notes: the board's footnotes that belong to it.
    """

    entry: Entry
    facts: tuple[tuple[str, Markup | str], ...]
    means: Grid
    grid: Grid | None
    strengths: tuple[Against, ...]
    weaknesses: tuple[Against, ...]
    command: str | None
    provenance: tuple[tuple[str, str], ...]
    signatures: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str | None], ...]
    records: tuple[tuple[Markup, str, str], ...]
    comparisons: tuple[tuple[Markup, str], ...]
    apart: tuple[tuple[Markup, str], ...]
    failures: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    notes: tuple[tuple[int, str], ...]


def model_page(board: Board, entry: Entry, median: Mapping[str, float], pages: Collection[str]) -> ModelPage:
    """All about an entry.

    Args:
        board: that it is a row of.
        entry: the row.
        median: score of each task, over the board's entries.
        pages: paths of all pages of samples.
    """
    standing = Standing(board)
    far = sorted(_against(standing, entry, median), key=lambda pair: pair[0])
    run = entry.run[1] if entry.run else None
    used = sorted({note for mean in entry.means.values() for note in mean.notes})
    pairs = [pair for pair in board.comparisons if pair.compared and entry.slug in (pair.base, pair.new)]
    return ModelPage(
        entry=entry,
        facts=tuple(_facts(entry)),
        means=_means(standing, entry),
        grid=_tasks(standing, entry, median, pages) if entry.scores or entry.failures else None,
        strengths=tuple(against for value, against in reversed(far[-_MOST:]) if value > 0),
        weaknesses=tuple(against for value, against in far[:_MOST] if value < 0),
        command=command(run, board.cards) if run else None,
        provenance=provenance(run) if run else (),
        signatures=tuple(_signatures(board, entry)),
        sources=tuple((shown(source.title), outside(source.url)) for source in entry.sources),
        records=tuple(
            (link(one.source.title, outside(one.source.url)), shown(one.of), percent(one.value))
            for one in entry.other_records
        ),
        comparisons=tuple((_other(pair, board, entry), pair_path(pair)) for pair in pairs),
        apart=tuple(
            (Markup('<a href="{}">{}</a>').format(standing.task(card), card.subset), f"{why.kind}: {shown(why.why)}.")
            for card in board.cards
            if (why := entry.apart.get(card.name)) is not None
        ),
        failures=tuple((shown(task), shown(why)) for task, why in entry.failures.items()),
        warnings=tuple(shown(warning) for warning in entry.warnings),
        notes=tuple((note, shown(board.footnotes[note - 1])) for note in used),
    )


def _facts(entry: Entry) -> list[tuple[str, Markup | str]]:
    facts = entry.facts
    address = outside(facts.url)
    found: list[tuple[str, Markup | str]] = [
        ("Model", link(entry.model, None)),
        ("Numbers", origin(entry)),
        ("Regions by", shown(entry.prompting or MISSING)),
        ("Trained on MMEB-train", facts.trained_on_mmeb),
        ("Parameters", parameters(facts.parameters)),
        ("Dimension", MISSING if facts.dimension is None else f"{facts.dimension:,}"),
        ("Licence of the weights", shown(facts.licence or MISSING)),
    ]
    if address:
        found.append(("Page", Markup('<a href="{0}">{0}</a>').format(address)))
    if entry.seen:
        found.append(("Date", shown(entry.seen.partition("T")[0])))
    return found


def _signatures(board: Board, entry: Entry) -> list[tuple[str, str]]:
    results = [(card, own.result) for card in board.cards if (own := entry.scores.get(card.name)) is not None]
    return [(card.subset, shown(result.signature)) for card, result in results if result and result.signature]


def _other(comparison: Pairing, board: Board, entry: Entry) -> Markup:
    slug = comparison.new if comparison.base == entry.slug else comparison.base
    return link(next(other for other in board.entries if other.slug == slug).label, None)


# --- its numbers ----------------------------------------------------------------------------------------


def _means(standing: Standing, entry: Entry) -> Grid:
    groups = standing.board.groups
    means = [entry.means.get(group.key) for group in groups]
    scale = charts.scale_of_scores([*(top_of(mean) for mean in means), *(group.chance for group in groups)])
    linked = [Markup('<a href="{}">{}</a>').format(standing.group(group), group.label) for group in groups]
    drawn = [point(entry, mean, group.chance) for mean, group in zip(means, groups, strict=True)]
    described = "Dots: mean Precision@1 in percent. Whiskers: 95 % interval. Dashed line: mean chance."
    hint = "range in 95 % of the bootstrap's draws"
    ranks = [entry.ranks.get(group.key) for group in groups]
    values = [
        Cell(
            _mean(mean, standing.board),
            attributes({"class": "main", "title": _why(mean, group)}),
        )
        for mean, group in zip(means, groups, strict=True)
    ]
    columns = (
        Column("group", "Mean over", heads(linked), None, classes="name"),
        Column("mean", "Mean", values, None),
        Column("interval", "95 % interval", plain([interval(m.low, m.high) if m else MISSING for m in means]), None),
        plot(scale, drawn, described),
        Column("chance", "Chance", plain([percent(group.chance) for group in groups]), None),
        Column("rank", "Rank", plain([str(rank) if rank else MISSING for rank in ranks]), None, hint=hint),
        Column(
            "tasks",
            "Tasks",
            plain([f"{mean.n_done}/{mean.n_tasks}" if mean else MISSING for mean in means]),
            None,
            hint="with a number of their own",
        ),
    )
    return Grid("means", "Means over tasks, in percent", columns, tuple(Markup() for _ in groups), looks="plots")


def _why(mean: Mean | None, group: Group) -> str:
    if mean is None or mean.value is None:
        return why_no_mean(mean, group)
    return f"{mean.apart.kind}: {shown(mean.apart.why)}" if mean.apart else ""


def _mean(mean: Mean | None, board: Board) -> Markup:
    if mean is None:
        return Markup(MISSING)
    signs = ("°" if mean.reported else "") + mark(mean) if mean.value is not None else ""
    return Markup(percent(mean.value) + signs) + notes(mean.notes, board)


def _tasks(standing: Standing, entry: Entry, median: Mapping[str, float], pages: Collection[str]) -> Grid:
    cards = standing.board.cards
    scores = [entry.scores.get(card.name) for card in cards]
    chance = [standing.board.chance.get(card.name) for card in cards]
    middle = [median.get(card.name) for card in cards]
    scale = charts.scale_of_scores([*(top_of(own) for own in scores), *chance, *middle])
    linked = [Markup('<a href="{}">{}</a>').format(standing.task(card), breakable(card.subset)) for card in cards]
    metas = [_META_TASKS[card.meta_task] for card in cards]
    drawn = [point(entry, own, c, m) for own, c, m in zip(scores, chance, middle, strict=True)]
    described = (
        "Dots: Precision@1 in percent. Whiskers: 95 % interval. Dashed line: chance. Short line: median of the board."
    )
    above = [_above(own, m) for own, m in zip(scores, middle, strict=True)]
    columns = [
        Column("task", "Task", heads(linked), "asc", classes="name"),
        Column("kind", "Meta-task", words(metas, order=[metas.index(meta) for meta in metas]), "asc", classes="t"),
        Column("score", "P@1", _scores(entry, cards, scores), hint="Precision@1, in percent"),
        Column("interval", "95 % interval", plain([interval(s.low, s.high) if s else MISSING for s in scores]), None),
        plot(scale, drawn, described),
        Column("chance", "Chance", words([percent(c) for c in chance], order=chance, classes="")),
        Column("median", "Median", words([percent(m) for m in middle], order=middle, classes=""), hint="of the board"),
        Column(
            "above",
            "Above it",
            words([signed(a) for a in above], order=above, classes=""),
            hint="percentage points above the median",
        ),
    ]
    if entry.run is not None:
        columns += _of_results(scores)
    seen = [samples(standing, card, entry, pages, card.subset) for card in cards]
    if any(seen):
        columns.append(Column("samples", "Samples", plain(seen, "t"), None, classes="t"))
    caption = "All tasks: Precision@1 in percent, against chance and the median of the board"
    return Grid("tasks", caption, tuple(columns), tuple(Markup() for _ in cards), noun=("task", "tasks"), looks="plots")


def _scores(entry: Entry, cards: Collection[TaskCard], scores: list[Score | None]) -> list[Cell]:
    texts = [MISSING if own is None else percent(own.value) + mark(own) for own in scores]
    cells = words(texts, order=[own.value if own and own.counts else None for own in scores], classes="main")
    titles = [_title(entry, own, card) for own, card in zip(scores, cards, strict=True)]
    return [
        cell._replace(attributes=cell.attributes + attributes({"title": title}))
        for cell, title in zip(cells, titles, strict=True)
    ]


def _title(entry: Entry, own: Score | None, card: TaskCard) -> str:
    """What stands behind a score, or why there is none."""
    if own is None:
        return why_no_score(entry, card)
    return f"{own.apart.kind}: {shown(own.apart.why)}" if own.apart else "" if own.complete else "not all queries"


def _of_results(scores: list[Score | None]) -> list[Column]:
    """What only a run says."""
    results = [own.result if own else None for own in scores]
    metrics = [
        result.metrics["precision_at_1"] if own and not own.claimed and result and result.metrics else None
        for own, result in zip(scores, results, strict=True)
    ]
    ties = words(
        [f"{m.n_ties:,}" if m else MISSING for m in metrics],
        order=[m.n_ties if m else None for m in metrics],
        classes="",
    )
    hint = "queries whose right candidate shares its score with another"
    columns = [
        Column("ties", "Ties", ties, hint=hint),
        Column("n", "Queries", plain([f"{s.n:,}" if s and s.n is not None else MISSING for s in scores]), None),
    ]
    regions = [result.prompting if result else None for result in results]
    if any(regions):
        columns.append(Column("prompting", "Regions by", words([r or MISSING for r in regions]), "asc", classes="t"))
    return columns


def _above(own: Score | None, median: float | None) -> float | None:
    return own.value - median if own is not None and own.counts and median is not None else None


def _against(standing: Standing, entry: Entry, median: Mapping[str, float]) -> list[tuple[float, Against]]:
    """How far each score is from the median, where it is not the only one."""
    if entry.knows_nothing:
        return []
    others = [other for other in standing.ranked if other is not entry]
    found = []
    for card in standing.board.cards:
        own = entry.scores.get(card.name)
        above = _above(own, median.get(card.name))
        if own is None or above is None or not any(card.name in other.scores for other in others):
            continue
        name = Markup('<a href="{}">{}</a>').format(standing.task(card), card.subset)
        found.append((above, Against(name, signed(above), percent(own.value), percent(median[card.name]))))
    return found

"""What the page of a task shows: its card, and all entries that have a score on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Score
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.grid import Column, Grid, numbers, plain, plot, words
from evalkit.leaderboard.pages.headline import score
from evalkit.leaderboard.pages.listing import Standing, choices, names, point, row, samples, top_of
from evalkit.leaderboard.wording import MISSING, count, interval, link, outside, percent, shown
from evalkit.runs.manifest import MetricResult
from evalkit.suites.card import TaskCard

MODALITIES = {
    "image": "image",
    "text": "text",
    "image+text": "image and text",
    "image+region": "image with a region",
}
META_TASKS = {
    "classification": "Classification",
    "vqa": "Visual question answering",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
    "visual-interactive": "Visual-interactive",
}
DISTRIBUTIONS = {"ind": "in-distribution", "ood": "out-of-distribution", None: "not said"}
_POOLS = {"shared": "one for all queries", "own": "its own for each query"}
_PUBLISHED_ALONE = (
    "Intervals of published entries are as if no two queries shared an image, as what is published does not say which "
    "do: they are too narrow as far as answers about one image are alike. Those of measured entries allow for it."
)
_MOST = 12  # names in a sentence
_SEARCHED = 10  # rows from which on there is something to search


@dataclass(frozen=True)
class TaskPage:
    """A task's page.

    Attributes:
        card: of the task.
        kind: its meta-task, in words.
        facts: of the card, as names and texts.
        sources: of its rows: name, revision (may be empty), address or ``None``.
        chance: in percent; empty where it is not known.
        groups: that it is part of: label and address.
        best: the best entry, or entries, as HTML; may be empty.
        tied: measured entries that are not told apart from the best measured one; may be empty.
        without: how many have no score, in words; may be empty.
        note: what has to be known of the intervals; may be empty.
        apart: entries whose score is neither ranked nor compared, as HTML, and why.
        grid: all entries that have one.
        failures: name as HTML, and reason.
    """

    card: TaskCard
    kind: str
    facts: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str, str | None], ...]
    chance: str
    groups: tuple[tuple[str, str], ...]
    best: Markup
    tied: Markup
    without: str
    note: str
    apart: tuple[tuple[Markup, str], ...]
    grid: Grid
    failures: tuple[tuple[Markup, str], ...]


def task_page(board: Board, card: TaskCard, pages: Collection[str]) -> TaskPage:
    """All about a task.

    Args:
        board: that it is part of.
        card: of the task.
        pages: paths of all pages of samples.
    """
    known = [entry for entry in board.entries if card.name in entry.scores or card.name in entry.failures]
    standing = Standing(replace(board, entries=tuple(sorted(known, key=lambda entry: _place(entry, card)))))
    whole = [(e, own) for e in standing.ranked if (own := e.scores.get(card.name)) is not None and own.counts]
    top = max((own.value for _, own in whole), default=None)
    failed = [entry for entry in standing.board.entries if card.name in entry.failures]
    return TaskPage(
        card=card,
        kind=META_TASKS[card.meta_task],
        facts=_facts(card),
        sources=tuple(_source(source.hub, source.revision) for source in card.sources),
        chance=percent(board.chance[card.name]) if card.name in board.chance else "",
        groups=tuple((group.label, standing.group(group)) for group in board.groups if card.name in group.tasks),
        best=_names([e for e, own in whole if own.value == top], standing),
        tied=_names([e for e, own in whole if own.value != top and own.tied_with_best], standing),
        without=_without(len(Standing(board).ranked) - len(standing.ranked)),
        note=_PUBLISHED_ALONE if _shares_images(card) and any(e.kind == "published" for e in known) else "",
        apart=tuple(_apart(entry, standing, card) for entry in known if card.name in entry.apart),
        grid=_grid(standing, card, top, pages),
        failures=tuple((link(e.label, standing.model(e)), shown(e.failures[card.name])) for e in failed),
    )


def _place(entry: Entry, card: TaskCard) -> tuple[bool, bool, float]:
    """The best first, then what stands outside the ranking or has not all queries, then what failed."""
    own = entry.scores.get(card.name)
    return (own is None, own is not None and not own.counts, -own.value if own else 0.0)


def _names(entries: Sequence[Entry], standing: Standing) -> Markup:
    found = [link(entry.label, standing.model(entry)) for entry in entries[:_MOST]]
    more = [Markup(f"{len(entries) - _MOST:,} more")] if len(entries) > _MOST else []
    return Markup(", ").join([*found, *more])


def _shares_images(card: TaskCard) -> bool:
    return card.meta_task == "visual-interactive"


def _apart(entry: Entry, standing: Standing, card: TaskCard) -> tuple[Markup, str]:
    apart = entry.apart[card.name]
    lead = "claimed, not measured" if apart.kind == "claimed" else "on other data than the ranked entries"
    return link(entry.label, standing.model(entry)), f"{lead}: {shown(apart.why)}."


def _without(n: int) -> str:
    if not n:
        return ""
    return f"{count(n, 'entry has', 'entries have')} no score of {'its' if n == 1 else 'their'} own on this task."


def _facts(card: TaskCard) -> tuple[tuple[str, str], ...]:
    return (
        ("Family", card.family),
        ("Distribution", DISTRIBUTIONS[card.distribution]),
        ("Queries", f"{card.queries:,}, {MODALITIES[card.query_modality]}"),
        ("Candidates", f"{card.candidates:,} a query, {MODALITIES[card.candidate_modality]}"),
        ("Pool", _POOLS[card.pool]),
        ("Instruction", card.query_instruction or MISSING),
        ("Licence", card.licence),
        ("Version", str(card.version)),
    )


def _source(hub: str, revision: str | None) -> tuple[str, str, str | None]:
    """A data set on the hub; what is generated has no revision, and no address."""
    if revision is None:
        return hub, "", None
    return hub, revision[:12], outside(f"https://huggingface.co/datasets/{hub}/tree/{revision}")


# --- the table ------------------------------------------------------------------------------------------


def _grid(standing: Standing, card: TaskCard, top: float | None, pages: Collection[str]) -> Grid:
    ranked, baselines = standing.ranked, standing.baselines
    chance = standing.board.chance.get(card.name)
    entries = (*ranked, *baselines)
    scores = [entry.scores.get(card.name) for entry in entries]
    scale = charts.scale_of_scores([*(top_of(own) for own in scores), chance])

    def column(
        key: str,
        label: str,
        texts: list[str],
        order: list[float | int | str | None] | None = None,
        *,
        last: str = "",
        hint: str = "",
        classes: str = "",
    ) -> Column:
        """``texts`` of all entries; ``order`` of the ranked ones, without which nothing is sorted by it."""
        body, foot = texts[: len(ranked)], texts[len(ranked) :]
        cells = words(body, order=order, classes=classes) if order is not None else plain(body, classes)
        made = standing.column(cells, plain(foot, classes), plain([last], classes)[0])
        first: Literal["asc", "desc"] | None = None if order is None else "asc" if classes == "t" else "desc"
        return Column(key, label, made, first, hint=hint, classes="t" if classes == "t" else "")

    metrics = [_metric(own) for own in scores]
    verdicts = [_verdict(own, top) for own in scores[: len(ranked)]] + [""] * len(baselines)
    regions = [_regions(entry, own, card) for entry, own in zip(entries, scores, strict=True)]
    described = [
        "Dots: Precision@1 in percent. Whiskers: 95 % interval.",
        *(["Dashed line: chance."] if chance is not None else []),
        *(["Open dots: published."] if any(entry.kind == "published" for entry in ranked) else []),
        *(["Grey open dots: outside the ranking."] if any(card.name in entry.apart for entry in entries) else []),
    ]
    drawn = [point(entry, own, chance) for entry, own in zip(entries, scores, strict=True)]
    columns = [
        names(standing),
        Column(
            "score",
            "P@1",
            standing.column(
                numbers([score(entry, card) for entry in ranked], chance, classes="main"),
                plain([score(entry, card).text for entry in baselines], "main"),
                plain([percent(chance)], "main")[0],
            ),
            hint="Precision@1, in percent",
        ),
        column("interval", "95 % interval", [interval(s.low, s.high) if s else MISSING for s in scores]),
        plot(scale, drawn, " ".join(described), last=[charts.StripDot(chance=chance)] if standing.board.chance else []),
        column("best", "Best", verdicts, list(verdicts[: len(ranked)]), classes="t"),
        column("prompting", "Regions by", regions, list(regions[: len(ranked)]), classes="t"),
    ]
    if any(metrics):
        columns[-1:-1] = [
            column(
                "optimistic",
                "Optimistic",
                [percent(m.optimistic) if m else MISSING for m in metrics],
                [m.optimistic if m else None for m in metrics[: len(ranked)]],
                hint="the right candidate first among equals",
            ),
            column(
                "ties",
                "Ties",
                [f"{m.n_ties:,}" if m else MISSING for m in metrics],
                [m.n_ties if m else None for m in metrics[: len(ranked)]],
                hint="queries whose right candidate shares its score with another",
            ),
            column("n", "Queries", [f"{s.n:,}" if s and s.n is not None else MISSING for s in scores]),
        ]
    seen = [samples(standing, card, entry, pages, entry.label) for entry in entries]
    if any(seen):
        columns.append(column("samples", "Samples", list(seen), classes="t"))
    return Grid(
        id="scores",
        caption=f"{card.subset}: Precision@1 of all entries, in percent",
        columns=tuple(columns),
        rows=tuple(row(entry) for entry in ranked),
        choices=choices(ranked),
        search=len(ranked) > _SEARCHED,
        looks="plots",
    )


def _metric(own: Score | None) -> MetricResult | None:
    if own is None or own.result is None or own.claimed:
        return None
    return (own.result.metrics or {}).get("precision_at_1")


def _verdict(own: Score | None, top: float | None) -> str:
    if own is not None and own.apart is not None:
        return own.apart.kind
    if own is None or not own.complete:
        return ""
    return "best" if own.value == top else "not told apart" if own.tied_with_best else ""


def _regions(entry: Entry, own: Score | None, card: TaskCard) -> str:
    """How regions reached the model in this task, which may have none."""
    if own is not None and own.result is not None:
        return own.result.prompting or MISSING
    return shown(entry.prompting or MISSING) if card.query_modality == "image+region" else MISSING

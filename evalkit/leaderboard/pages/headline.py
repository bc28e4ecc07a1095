"""The tables of all entries of a board: the headline table, and one of each group of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group
from evalkit.leaderboard.pages import charts
from evalkit.leaderboard.pages.grid import (
    Cell,
    Column,
    Grid,
    NumberCell,
    Section,
    attributes,
    fold,
    heads,
    numbers,
    plain,
    words,
)
from evalkit.leaderboard.pages.listing import HEADLINE, Standing, choices, names, notes, row, why_no_mean, why_no_score
from evalkit.leaderboard.wording import (
    APART,
    MISSING,
    PARTIAL,
    breakable,
    coverage,
    interval,
    key,
    link,
    mark,
    minus,
    parameters,
    percent,
    shown,
)
from evalkit.suites.card import TaskCard

_DISTRIBUTION = ("ind", "ood")


def marks(board: Board) -> Markup:
    """What the marks of a board's tables mean, as far as there are any."""
    entries = board.entries
    apart = {why.kind for entry in entries for why in entry.apart.values()}
    found: list[str] = [Markup("<b>Bold</b>: the highest of its column.")]
    if any(score.tied_with_best for entry in entries for score in entry.scores.values()):
        found.append(
            Markup(
                "<i>Slanted and dotted</i>: the best measured entry of a task, and those not told apart from it on the "
                "same queries."
            )
        )
    found.append(Markup("—: no number; its title says why."))
    if any(mean.reported for entry in entries for mean in entry.means.values()):
        found.append("°: a mean as its source reports it, without its tasks.")
    if not all(score.complete for entry in entries for score in entry.scores.values()):
        found.append(f"{PARTIAL}: not all queries of the task, part of no mean.")
    if "other data" in apart:
        found.append(
            f"{APART['other data']}: on other data than the ranked entries; neither ranked nor compared with them."
        )
    if "claimed" in apart:
        found.append(f"{APART['claimed']}: claimed, not measured: its samples are not there; part of no mean.")
    return Markup(" ").join(found)


def headline(board: Board, home: str) -> Grid:
    """The table of the index: all entries, all means, and all tasks in sections that fold.

    Args:
        board: whose.
        home: what leads from the index to the folder of the board's pages.
    """
    standing = Standing(board, home)
    groups = {group.key: group for group in board.groups}
    cards = {card.name: card for card in board.cards}
    general, interactive = groups.get("general"), groups.get("interactive")
    head = [*([_ranks(standing, general)] if general else []), names(standing)]
    sections = [(Section("head", ""), head)]
    sections.append(
        (Section("headline", "Mean"), [_headline_mean(standing, g, g.label) for g in (general, interactive) if g])
    )
    for group in board.groups:
        if group.key not in (*HEADLINE, *_DISTRIBUTION):
            tasks = [_task(standing, cards[name], group.key) for name in group.tasks]
            section = Section(group.key, group.label, folds=True, link=standing.group(group))
            sections.append((section, [_mean(standing, group, "Mean"), *tasks]))
    distribution = [groups[name] for name in _DISTRIBUTION if name in groups]
    sections.append((Section("distribution", "By distribution"), [_linked_mean(standing, g) for g in distribution]))
    if interactive:
        tasks = [_ranks(standing, interactive), *(_task(standing, cards[name]) for name in interactive.tasks)]
        section = Section("interactive", f"{interactive.label} by task", link=standing.group(interactive))
        sections.append((section, tasks))
    placed = {name for group in board.groups if group.key not in ("general", *_DISTRIBUTION) for name in group.tasks}
    rest = [_task(standing, card) for card in board.cards if card.name not in placed]
    sections += [(Section("tasks", "Tasks"), rest), (Section("about", "About the model"), _about(standing))]
    return Grid(
        id=board.key,
        caption=f"{shown(board.title)}: mean Precision@1 in percent",
        columns=tuple(replace(column, section=section.key) for section, own in sections for column in own),
        rows=tuple(row(entry) for entry in standing.ranked),
        sections=tuple(section for section, _ in sections),
        choices=choices(standing.ranked),
        heat=True,
        search=True,
        note=marks(board),
        looks="pinned",
    )


def of_group(board: Board, group: Group) -> Grid:
    """The table of a group's page: all entries on all its tasks."""
    standing = Standing(board)
    cards = {card.name: card for card in board.cards}
    columns = [
        *([_ranks(standing, group)] if group.key in HEADLINE else []),
        names(standing),
        replace(_headline_mean(standing, group, "Mean"), link=None),
        *(_task(standing, cards[name]) for name in group.tasks),
    ]
    return Grid(
        id="scores",
        caption=f"{group.label}: Precision@1 in percent",
        columns=tuple(columns),
        rows=tuple(row(entry) for entry in standing.ranked),
        choices=choices(standing.ranked),
        heat=True,
        search=True,
        note=marks(board),
        looks="pinned",
    )


# --- columns --------------------------------------------------------------------------------------------


def _ranks(standing: Standing, group: Group) -> Column:
    """The ranks as ranges, of a headline group."""
    ranks = [entry.ranks.get(group.key) for entry in standing.ranked]
    # Ranges that begin and end alike are ordered as the board has them.
    order = [(rank.best, rank.worst, place) if rank else None for place, rank in enumerate(ranks)]
    body = words([str(rank) if rank else MISSING for rank in ranks], order=order, classes="rank")
    foot, chance = plain([MISSING] * len(standing.baselines), "rank"), plain([MISSING], "rank")[0]
    hint = f"places by the mean of {group.label} in 95 % of the bootstrap's draws; without a mean there is none"
    cells = standing.column(body, foot, chance)
    return Column(f"rank-{group.key}", "Rank", cells, "asc", hint=hint, classes="rank")


def _headline_mean(standing: Standing, group: Group, label: str) -> Column:
    return replace(_mean(standing, group, label, bar=True), link=standing.group(group))


def _linked_mean(standing: Standing, group: Group) -> Column:
    return replace(_mean(standing, group, group.label), link=standing.group(group))


def _mean(standing: Standing, group: Group, label: str, *, bar: bool = False) -> Column:
    """Means over a group's tasks, with interval and bar where they are the headline."""
    classes = "mean wide" if bar else "mean"
    body = [_mean_of(entry, group, standing.board, bar) for entry in standing.ranked]
    foot = [_mean_of(entry, group, standing.board, bar).text for entry in standing.baselines]
    chance = _value(group.chance, None, None) if bar else percent(group.chance)
    cells = standing.column(
        numbers(body, group.chance, classes=classes), plain(foot, classes), plain([chance], classes)[0]
    )
    hint = f"mean Precision@1 over {len(group.tasks)} tasks, in percent"
    return Column(f"mean-{group.key}", label, cells, hint=hint, about=group.label, classes=classes)


def _mean_of(entry: Entry, group: Group, board: Board, bar: bool) -> NumberCell:
    mean = entry.means.get(group.key)
    if mean is None or mean.value is None:
        beside = notes(mean.notes, board) if mean else Markup()
        return NumberCell(None, Markup(MISSING) + beside, title=why_no_mean(mean, group))
    signs = Markup(("°" if mean.reported else "") + mark(mean)) + notes(mean.notes, board)
    text = _value(mean.value, mean.low, mean.high, signs) if bar else Markup(percent(mean.value)) + signs
    if mean.apart is not None:
        return NumberCell(None, text, title=f"{mean.apart.kind}: {shown(mean.apart.why)}")
    return NumberCell(mean.value, text, title="as its source reports it" if mean.reported else "")


def _value(value: float | None, low: float | None, high: float | None, signs: str = "") -> Markup:
    """A mean with its marks and footnotes, its interval, and its bar."""
    if value is None:
        return Markup(percent(value))
    span = "" if low is None else f" <small>{interval(low, high)}</small>"
    return Markup(f'<span class="v">{percent(value)}</span>{signs}{span}{charts.bar(value, low, high)}')


def _task(standing: Standing, card: TaskCard, section: str | None = None) -> Column:
    """Scores on a task, the numbers alone: there are many of these columns. Those of a section fold with it."""
    chance = standing.board.chance.get(card.name)
    classes = fold(section) if section else ""
    body = numbers([score(entry, card) for entry in standing.ranked], chance, classes=classes)
    foot = plain([score(entry, card).text for entry in standing.baselines], classes)
    return Column(
        f"task-{key(card.subset)}",
        breakable(card.subset),
        standing.column(body, foot, plain([percent(chance)], classes)[0]),
        link=standing.task(card),
        about=card.subset,
        folds=section is not None,
    )


def score(entry: Entry, card: TaskCard) -> NumberCell:
    """An entry's score on a task, or why it has none."""
    found = entry.scores.get(card.name)
    if found is None:
        return NumberCell(None, MISSING, title=why_no_score(entry, card))
    if found.apart is not None:
        return NumberCell(
            None, percent(found.value) + mark(found), title=f"{found.apart.kind}: {shown(found.apart.why)}"
        )
    if not found.complete:
        return NumberCell(None, percent(found.value) + mark(found), title="not all queries of the task")
    return NumberCell(found.value, percent(found.value), tied=found.tied_with_best)


def _about(standing: Standing) -> list[Column]:
    """What is known of the models apart from their scores."""
    ranked, baselines, n = standing.ranked, standing.baselines, len(standing.board.cards)

    def column(
        name: str,
        label: str,
        text: Any,
        order: Any = None,
        first: Literal["desc", "asc"] = "desc",
        classes: str = "",
        hint: str = "",
    ) -> Column:
        """``text`` and ``order`` are functions of an entry."""
        body = words([text(e) for e in ranked], order=[order(e) for e in ranked] if order else None, classes=classes)
        foot = plain([text(entry) for entry in baselines], classes)
        cells = standing.column(body, foot, Cell("", attributes({"class": classes})))
        return Column(name, label, cells, first, hint=hint, classes=classes)

    def done(entry: Entry) -> int:
        return sum(own.complete and not own.claimed for own in entry.scores.values())

    def dimension(entry: Entry) -> str:
        return MISSING if entry.facts.dimension is None else f"{entry.facts.dimension:,}"

    return [
        column("coverage", "Tasks", lambda e: coverage(e, n), done, hint="with a number of their own"),
        column("prompting", "Regions by", lambda e: shown(e.prompting or MISSING), first="asc", classes="t"),
        column(
            "trained",
            "MMEB-train",
            lambda e: e.facts.trained_on_mmeb,
            first="asc",
            classes="t",
            hint="whether it was trained on MMEB-train",
        ),
        column("parameters", "Parameters", lambda e: parameters(e.facts.parameters), lambda e: e.facts.parameters),
        column("dimension", "Dimension", dimension, lambda e: e.facts.dimension),
        column(
            "licence", "Licence of the weights", lambda e: shown(e.facts.licence or MISSING), first="asc", classes="t"
        ),
    ]


# --- gains ----------------------------------------------------------------------------------------------


def improvements(board: Board, home: str) -> Grid | None:
    """How far published models are ahead of the best baseline of their size, or ``None`` where the board has none."""
    if not board.improvements:
        return None
    standing = Standing(board, home)
    entries = {entry.slug: entry for entry in board.entries}
    labels = {group.key: group.label for group in board.groups}

    def named(slugs: Sequence[str]) -> list[Markup]:
        return [link(entries[slug].label, standing.model(entries[slug])) for slug in slugs]

    def mean(slug: str, group: str) -> str:
        found = entries[slug].means.get(group)
        return Markup(percent(found.value)) + notes(found.notes, board) if found else MISSING

    rows = board.improvements
    columns = (
        Column("model", "Model", heads(named([r.entry for r in rows])), None, classes="name"),
        Column("group", "Mean over", plain([labels.get(r.group, r.group) for r in rows], "t"), None, classes="t"),
        Column("mean", "Mean", plain([mean(r.entry, r.group) for r in rows]), None),
        Column(
            "baseline",
            "Best baseline of its size in the same paper",
            plain(named([r.baseline for r in rows]), "t"),
            None,
            classes="t",
        ),
        Column("base", "Its mean", plain([mean(r.baseline, r.group) for r in rows]), None),
        Column("gain", "Relative gain", plain([minus(f"{100 * r.relative:+.1f} %") for r in rows], "main"), None),
    )
    caption = "Published gains over the best baseline of the same size in the same paper, as it prints them"
    return Grid(f"{board.key}-improvements", caption, columns, tuple(Markup() for _ in rows))

"""Entries as rows of tables: their names, where they come from, what filters them, why a number is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from markupsafe import Markup

from evalkit.leaderboard.board import Board, Entry, Group, Mean, Score
from evalkit.leaderboard.pages.charts import StripDot
from evalkit.leaderboard.pages.columns import heads
from evalkit.leaderboard.pages.grid import Cell, Choice, Column, attributes
from evalkit.leaderboard.pages.provenance import NEAREST
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.samples.sheets import sheet_path
from evalkit.leaderboard.wording import SIZES, count, outside, shown, size_class
from evalkit.runs.manifest import MetricResult
from evalkit.suites.card import TaskCard

HEADLINE = ("general", "interactive")
"""Keys of the groups that entries are ranked by."""
KINDS = ("measured", "claimed", "published")
"""Where the numbers of a row are from."""
_MODES = {"no-regions": "no regions"}


def names(standing: Standing) -> Column:
    """The names, with what tells where a row's numbers come from."""
    ranked = standing.ranked
    body = heads([name(entry, standing) for entry in ranked], [entry.label.casefold() for entry in ranked])
    foot = heads([name(entry, standing) for entry in standing.baselines], [None] * len(standing.baselines))
    title = "what an embedder gets that cannot tell any two candidates apart"
    chance = Cell("Chance", attributes({"class": "name", "scope": "row", "title": title}), "th")
    cells = [*body, *foot, *([chance] if standing.board.chance else [])]
    return Column("model", "Model", cells, "asc", classes="name")


def name(entry: Entry, standing: Standing) -> Markup:
    """An entry's name with a link to its page, and its marks."""
    found = standing.link(entry)
    if entry.kind == "published":
        found += Markup(" ") + published(entry)
    found += outside_ranking(entry)
    found += same_weights(entry, standing)
    if entry.prompting is not None:
        title = "how regions reached the model"
        found += Markup(' <span class="badge" title="{}">{}</span>').format(title, shown(entry.prompting))
    return found


def same_weights(entry: Entry, standing: Standing) -> Markup:
    """A link to what was measured of a published row's weights, or is published of a measured one's."""
    published = entry.kind == "published"
    there = (standing.entries.get(slug) for slug in entry.same_weights)  # a task's page has some entries alone
    others = [one for one in there if one is not None and (one.kind == "published") != published]
    if not others:
        return Markup()
    mode = NEAREST.get(entry.prompting or "", entry.prompting)
    other = next((one for one in others if NEAREST.get(one.prompting or "", one.prompting) == mode), others[0])
    what, label = ("measured", "measured") if published else ("published", "paper")
    text = Markup(' <a class="badge" href="{}" title="{} of the same weights: {}">{}</a>')
    return text.format(standing.model(other), what, shown(other.label), label)


def outside_ranking(entry: Entry) -> Markup:
    """The marks of a row whose numbers, or some of them, stand outside the ranking, with why as a title."""
    found = Markup()
    for kind in ("other data", "claimed"):
        why = {task: apart.why for task, apart in entry.apart.items() if apart.kind == kind}
        if why:
            task, reason = next(iter(why.items()))
            more = f" ({count(len(why) - 1, 'more task')})" if len(why) > 1 else ""
            label = "partly claimed" if kind == "claimed" and entry.kind != "claimed" else kind
            title = f"{shown(task)}: {shown(reason)}{more}"
            found += Markup(' <span class="badge apart" title="{}">{}</span>').format(title, label)
    return found


def published(entry: Entry) -> Markup:
    """The mark of a published row, with a link to its source where that has an address."""
    title = "; ".join(shown(source.title) for source in entry.sources)
    href = next((url for source in entry.sources if (url := outside(source.url))), None)
    if href is None:
        return Markup('<span class="badge" title="{}">published</span>').format(title)
    return Markup('<a class="badge" href="{}" title="{}">published</a>').format(href, title)


def row(entry: Entry) -> Markup:
    """What a page filters a row by."""
    return attributes(
        {
            "data-kind": entry.kind,
            "data-prompting": " ".join(_modes(entry)),
            "data-trained": entry.facts.trained_on_mmeb,
            "data-size": size_class(entry.facts),
        }
    )


def _modes(entry: Entry) -> list[str]:
    """How regions reached a model, which may be in several ways, one a task."""
    return (entry.prompting or "no-regions").split(", ")


def choices(entries: Iterable[Entry]) -> tuple[Choice, ...]:
    """The filters that tell any of these rows apart."""
    rows = list(entries)
    modes = sorted({mode for entry in rows for mode in _modes(entry)})
    trained = {entry.facts.trained_on_mmeb for entry in rows}
    sizes = {size_class(entry.facts) for entry in rows}
    every = (
        ("kind", "Numbers", [(kind, kind) for kind in KINDS if any(e.kind == kind for e in rows)]),
        ("prompting", "Regions by", [(mode, _MODES.get(mode, shown(mode))) for mode in modes]),
        (
            "trained",
            "Trained on MMEB-train",
            [(known, known) for known in ("yes", "no", "unknown") if known in trained],
        ),
        ("size", "Size", [(size, label) for size, label in SIZES.items() if size in sizes]),
    )
    return tuple(Choice(key, label, tuple(options)) for key, label, options in every if len(options) > 1)


def samples(standing: Standing, card: TaskCard, entry: Entry, pages: Collection[str], about: str) -> Markup:
    """A link to the page of samples, where there is one.

    Args:
        standing: of the board whose page it is.
        card: of the task.
        entry: the row.
        pages: paths of all pages of samples, below the site's folder.
        about: what tells the link from others of its page.
    """
    page = sheet_path(standing.board, card, entry)
    if page not in pages:
        return Markup()
    href = page.removeprefix(f"{standing.board.key}/")
    return Markup('<a href="{}" aria-label="samples of {}">samples</a>').format(href, shown(about))


def notes(numbers: Iterable[int], board: Board) -> Markup:
    """Links to footnotes, which stand on the same page."""
    return Markup("").join(
        Markup('<sup><a href="#{0}-note-{1}" aria-label="footnote {1}">{1}</a></sup>').format(board.key, number)
        for number in numbers
    )


def footnotes(board: Board, means: Iterable[Mean]) -> list[tuple[int, str]]:
    """The footnotes of these means, with their numbers."""
    return [(number, board.footnotes[number - 1]) for number in sorted({n for mean in means for n in mean.notes})]


def why_apart(number: Score | Mean) -> str:
    """Why a number stands outside the ranking; empty for one that does not."""
    return f"{number.apart.kind}: {shown(number.apart.why)}" if number.apart else ""


def why_no_mean(mean: Mean | None, group: Group) -> str:
    """Why there is no mean."""
    if mean is not None and mean.apart is not None and mean.apart.kind == "claimed":
        return f"claimed on some of its tasks: {mean.apart.why}; a mean needs all"
    if mean is None or not mean.n_done:
        return "no number"
    return f"{mean.n_done} of {group.label}'s {mean.n_tasks} tasks: a mean needs all"


def why_no_score(entry: Entry, card: TaskCard) -> str:
    """Why an entry has no score on a task."""
    if (message := entry.failures.get(card.name)) is not None:
        return f"failed: {shown(message)}"
    return "not reported" if entry.kind == "published" else "not run"


def point(entry: Entry, own: Score | Mean | None, chance: float | None, median: float | None = None) -> StripDot:
    """A score or a mean as it is drawn."""
    if own is None:
        return StripDot(chance=chance, median=median)
    if own.apart is not None or (isinstance(own, Score) and not own.complete):
        kind = "partial"
    else:
        kind = "knows-nothing" if entry.knows_nothing else "published" if entry.kind == "published" else ""
    return StripDot(own.value, own.low, own.high, kind, chance, median)


def top_of(own: Score | Mean | None) -> float | None:
    """How far to the right something is drawn."""
    return None if own is None else own.value if own.high is None else own.high


def metric(own: Score | None) -> MetricResult | None:
    """What the samples of a measured score say besides, such as ties; ``None`` for a claimed or published one."""
    if own is None or own.result is None or own.claimed:
        return None
    return (own.result.metrics or {}).get("precision_at_1")

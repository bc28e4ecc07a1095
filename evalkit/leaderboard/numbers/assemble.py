"""Runs and published rows to boards: every number of the leaderboard is worked out below this module, and once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from evalkit.leaderboard.board import (
    HEADLINES,
    Board,
    Entry,
    Facts,
    Group,
    Improvement,
    Mean,
    OtherRecord,
    Pairing,
    Score,
)
from evalkit.leaderboard.layout import OFFICIAL, Layout, layouts, own_layout
from evalkit.leaderboard.numbers.apart import set_apart, unlike
from evalkit.leaderboard.numbers.comparing import differences
from evalkit.leaderboard.numbers.counted import Counted, Run, chance_levels, counted
from evalkit.leaderboard.numbers.drafts import Draft, plain_line, with_slugs
from evalkit.leaderboard.numbers.estimates import Estimates, plain_mean, ranked_mean
from evalkit.leaderboard.numbers.evidence import Evidence, Pair, gather
from evalkit.leaderboard.numbers.measured import WHOLE, measured, why_not
from evalkit.leaderboard.numbers.owntasks import by_places, own_cards, shown_cards
from evalkit.leaderboard.numbers.weights import card_of_row, facts_of, filled, joined, why_unnamed
from evalkit.leaderboard.published.reported import PublishedRow, improvements
from evalkit.runs.reducing import reducer_of
from evalkit.scoring.stats import wilson
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import all_cards

IMAGES_SHARED = (
    "Interval and rank are as if no two queries shared an image. SCaR asks about one 1.2 (RefCOCOg) to 4.7 times "
    "(ADE20K), but what is published does not say which queries do, nor how alike the answers are, so nothing is added "
    "for it. Measured entries draw whole images. If all answers about an image were alike, and all images asked about "
    "equally often, the interval of a mean over the five sets would be 1.4 times as wide, and that of one set 1.1 to "
    "2.2 times."
)
"""Of published means over SCaR that have an interval."""
COMPARED = 12
"""Measured entries of a board that are compared with one another: 66 pairs."""


def boards(runs: Sequence[Run], published: Sequence[PublishedRow] = ()) -> tuple[Board, ...]:
    """The boards that have an entry: MMEB and SCaR together, other suites by their own names, then people's own tasks.

    Args:
        runs: folders and manifests, as :func:`evalkit.runs.runfolder.find_runs` gives them, in any order.
        published: rows of papers; they belong to the board of MMEB and SCaR.

    Returns:
        Boards in the order of the suites; equal for the same runs and rows in whatever order.

    Raises:
        ResultsError: a per-query file of a run that is there and cannot be read, or is not the one that ``run.json``
            is about; names the file. One that is missing is no error: what the run says is then claimed, and stands
            outside the ranking (:mod:`evalkit.leaderboard.numbers.apart`).
    """
    cards = all_cards()
    own = counted(runs, cards)
    rows = sorted(published, key=lambda row: row.slug)
    found = [_board(layout, own, rows if layout.key == OFFICIAL else []) for layout in layouts(cards)]
    if of_people := own_cards(runs):
        found.append(_own_board(counted(runs, of_people), of_people))
    return tuple(board for board in found if board.entries)


def _own_board(runs: Sequence[Counted], cards: Sequence[TaskCard]) -> Board:
    """What is held against each other does not depend on the cards, and says which of them is shown."""
    shown = shown_cards(set_apart(runs, cards), [card.name for card in cards])
    return _board(own_layout(shown), runs, [])


def _board(layout: Layout, runs: Sequence[Counted], rows: Sequence[PublishedRow]) -> Board:
    runs = set_apart(runs, layout.cards)
    chance = chance_levels(runs, layout.cards)
    groups = layout.groups(chance)
    cards = {card.name: card for card in layout.cards}
    found = measured(runs, layout.cards, groups, _facts(rows)) + [_published(row, cards) for row in rows]
    drafts = joined(with_slugs(found))
    drafts = sorted(drafts, key=lambda draft: _place(draft, groups)) if groups else by_places(drafts, list(cards))
    able = [draft.entry.slug for draft in drafts if draft.samples and not draft.entry.knows_nothing]
    evidence = gather(drafts, groups, list(cards), able[:COMPARED])
    estimates = Estimates(drafts, evidence, {name: card.queries for name, card in cards.items()})
    footnotes: dict[str, int] = {}
    ranks = {group.key: estimates.ranks(group) for group in groups if group.key in HEADLINES}
    entries = []
    for draft in drafts:
        slug = draft.entry.slug
        entries.append(
            replace(
                draft.entry,
                scores=_marked(draft, evidence),
                means={group.key: _mean(draft, group, estimates, footnotes) for group in groups},
                ranks={key: own.get(slug) for key, own in ranks.items()},
            )
        )
        for note in () if groups else draft.notes.get(WHOLE, ()):  # there is no mean that it could stand beside
            footnotes.setdefault(f"{draft.entry.label}: {note}", len(footnotes) + 1)
    comparisons = [_comparison(pair, drafts, groups, cards, evidence) for pair in evidence.pairs]
    if len(able) > COMPARED:
        text = f"Compared in pairs: the first {COMPARED} of {len(able)} measured entries with per-query scores."
        footnotes.setdefault(text, len(footnotes) + 1)
    slugs = {draft.identity: draft.entry.slug for draft in drafts}
    return Board(
        key=layout.key,
        title=layout.title,
        caution=layout.caution,
        cards=layout.cards,
        groups=groups,
        chance=chance,
        entries=tuple(entries),
        footnotes=tuple(footnotes),
        comparisons=tuple(comparisons),
        improvements=tuple(
            Improvement(slugs[_identity(gain.row)], slugs[_identity(gain.baseline)], gain.group, gain.relative)
            for gain in improvements(rows)
        ),
        official_images=layout.official_images,
    )


def _facts(rows: Sequence[PublishedRow]) -> dict[str, Facts]:
    """What published rows say of models, by id and by name in lower case, as far as all rows of a model agree."""
    said: dict[str, list[Facts]] = {}
    for row in rows:
        for name in {row.model.casefold(), plain_line(row.name).casefold()}:
            said.setdefault(name, []).append(row.facts)
    return {name: _agreed(facts) for name, facts in said.items()}


def _agreed(facts: Sequence[Facts]) -> Facts:
    said = {one.name: {getattr(own, one.name) for own in facts} for one in fields(Facts)}
    return Facts(**{name: values.pop() for name, values in said.items() if len(values) == 1})


def _identity(row: PublishedRow) -> str:
    return f"published {row.slug}"


def _published(row: PublishedRow, cards: Mapping[str, TaskCard]) -> Draft:
    """A row of papers; the interval of a score is that of as many queries as the card has, all right or wrong."""
    card, doubt = card_of_row(row.model, row.training)
    notes = [*row.notes, *([f"Whether {card.name} runs its weights is in doubt: {doubt}."] if card and doubt else [])]
    scores = {
        name: Score(value, *wilson(value, cards[name].queries), n=None, complete=True)
        for name, value in row.scores.items()
    }
    entry = Entry(
        slug=f"published-{row.slug}",
        label=plain_line(row.label),
        model=plain_line(row.name),
        prompting=row.prompting,
        kind="published",
        facts=row.facts if card is None or doubt else filled(row.facts, facts_of(card)),
        scores=scores,
        means={},
        ranks={},
        sources=row.sources,
        warnings=tuple(plain_line(note) for note in notes),
        other_records=tuple(OtherRecord(*one) for one in row.other),
        seen=row.seen,
        named=None if card is None else card.name,
        unnamed=why_unnamed(row.model, row.training),
    )
    return Draft(entry, _identity(row), means=row.means, notes=row.footnotes)


def _place(draft: Draft, groups: Sequence[Group]) -> tuple[object, ...]:
    """The best mean first, then means on other data, then who has no full coverage; at the foot who knows nothing."""
    headlines = [group for group in groups if group.key in HEADLINES]
    means = [ranked_mean(draft, group) for group in headlines]
    first = next((place for place, mean in enumerate(means) if mean is not None), len(means))
    best = tuple(0.0 if mean is None else -mean for mean in means)
    plain = [plain_mean(draft, group) for group in headlines]
    lacking = all(mean.value is None for mean in plain)
    done = sum(mean.n_done for mean in plain)
    return draft.entry.knows_nothing, first, best, lacking, -done, draft.entry.label, draft.entry.slug


def _marked(draft: Draft, evidence: Evidence) -> dict[str, Score]:
    slug = draft.entry.slug
    return {
        task: replace(score, tied_with_best=True) if slug in evidence.best[task] else score
        for task, score in draft.entry.scores.items()
    }


def _mean(draft: Draft, group: Group, estimates: Estimates, footnotes: dict[str, int]) -> Mean:
    """A mean with its interval and its notes, which get the next numbers where they are new."""
    low, high = estimates.interval(draft, group) or (None, None)
    said = [plain_line(note) for note in draft.notes.get(group.key, ())]
    if draft.entry.kind == "published" and group.key == "interactive" and low is not None:
        said.append(IMAGES_SHARED)
    notes = [footnotes.setdefault(note, len(footnotes) + 1) for note in said]
    return replace(plain_mean(draft, group), low=low, high=high, notes=tuple(sorted(set(notes))))


def _comparison(
    pair: Pair,
    drafts: Sequence[Draft],
    groups: Sequence[Group],
    cards: Mapping[str, TaskCard],
    evidence: Evidence,
) -> Pairing:
    by_slug = {draft.entry.slug: draft for draft in drafts if draft.entry.slug in pair}
    sides = (by_slug[pair[0]], by_slug[pair[1]])
    found = evidence.pairs[pair]
    incomparable = {}
    for task, card in cards.items():
        if task not in found and (reason := _why_not(task, card, sides, evidence)):
            incomparable[task] = reason
    base, new = (side.entry.scores for side in sides)
    of_groups, of_tasks = differences(
        {task: (new[task].value - base[task].value, found[task]) for task in cards if task in found},
        {
            group.key: (_mean_value(sides[1], group) - _mean_value(sides[0], group), group.tasks)
            for group in groups
            if found.keys() >= set(group.tasks) and reducer_of(group.tasks).is_mean
        },
    )
    return Pairing(pair[0], pair[1], of_groups, of_tasks, incomparable)


def _mean_value(draft: Draft, group: Group) -> float:
    value = plain_mean(draft, group).value
    if value is None:
        raise ValueError(f"{draft.entry.label} has no mean of {group.label}")
    return value


def _why_not(task: str, card: TaskCard, sides: tuple[Draft, Draft], evidence: Evidence) -> str | None:
    """Why two entries cannot be compared on a task; nothing to be said where neither has it."""
    if all(task not in side.entry.scores and task not in side.entry.failures for side in sides):
        return None
    reasons = [f"{side.entry.label}: {reason}" for side in sides if (reason := why_not(side, card))]
    if reasons:
        return "; ".join(reasons)
    # The new one first, as the pair is named on its page.
    base, new = (side.entry.scores[task].signature for side in sides)
    return unlike(new, base) or "the two were not asked the same queries"

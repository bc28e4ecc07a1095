"""People's own tasks, which only runs describe: whose card is shown, and in which order models stand without a mean.

Runs may disagree about a task of one name: about its rows, its title, its version. Which numbers are about the same
data is said by their signatures, as everywhere (:mod:`evalkit.leaderboard.numbers.apart`). The card that is shown is
that of the numbers that are held against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from evalkit.leaderboard.board import Entry
from evalkit.leaderboard.numbers.counted import Counted, Run, precision_at_1
from evalkit.leaderboard.numbers.drafts import Draft, plain_line
from evalkit.leaderboard.wording import shown
from evalkit.suites.card import TaskCard


def own_cards(runs: Sequence[Run]) -> tuple[TaskCard, ...]:
    """A card of each own task of any run, in the order of the board: by name, capitals aside."""
    known = {name: card for _, manifest in runs for name, card in manifest.own_tasks.items()}
    return tuple(known[name] for name in sorted(known, key=lambda name: (name.casefold(), name)))


def shown_cards(runs: Sequence[Counted], names: Collection[str]) -> tuple[TaskCard, ...]:
    """The card of each task that its page describes it by.

    Of the runs whose number is held against others; where there are none, of those on other data, of those with a part
    of the queries, of those that claim a number, of those that failed. Where their cards differ, the one that most of
    their models have, then that of the highest version, then the first by what it says: whatever folder it was read
    from, and whatever the scores are. Its words are a stranger's, and returned as they can be shown.

    Args:
        runs: from :func:`evalkit.leaderboard.numbers.apart.set_apart`.
        names: of the tasks; each is of one of the runs.
    """
    found = []
    for name in names:
        said: dict[int, dict[str, set[str]]] = {}
        cards: dict[str, TaskCard] = {}
        for run in runs:
            if name in run.results:
                card = run.manifest.own_tasks[name]
                text = card.model_dump_json()
                cards[text] = card
                said.setdefault(_doubt(run, name), {}).setdefault(text, set()).add(run.manifest.model.name)
        best = said[min(said)]
        found.append(_showable(cards[min(best, key=lambda text: (-len(best[text]), -cards[text].version, text))]))
    return tuple(found)


def _showable(card: TaskCard) -> TaskCard:
    words = {name: plain_line(getattr(card, name)) for name in ("title", "licence", "query_instruction")}
    return card.model_copy(
        update={**words, "notes": tuple(map(plain_line, card.notes)), "citation": shown(card.citation)}
    )


def _doubt(run: Counted, name: str) -> int:
    """How little a run's number of a task says of what the task is, from 0."""
    result, apart = run.results[name], run.apart.get(name)
    if precision_at_1(result) is None:
        return 4
    if apart is not None:
        return 1 if apart.kind == "other data" else 3
    return 0 if result.complete else 2


def by_places(drafts: Sequence[Draft], tasks: Collection[str]) -> list[Draft]:
    """Drafts in the order of a medal table: by how many tasks they are first on, then second, and so on, then by name.

    So one task alone orders them by its score. Of scores that count; equal ones share a place, and no score is added to
    that of another task. Who knows nothing stands at the foot.

    Args:
        drafts: of one board.
        tasks: names, of the board.
    """
    contenders = [draft.entry for draft in drafts if not draft.entry.knows_nothing]
    places = {entry.slug: Counter[int]() for entry in contenders}
    for task in tasks:
        scores = {entry.slug: score for entry in contenders if (score := _counted(entry, task)) is not None}
        for slug, score in scores.items():
            places[slug][sum(other > score for other in scores.values())] += 1
    last = max((place for own in places.values() for place in own), default=-1)

    def key(draft: Draft) -> tuple[object, ...]:
        own: Mapping[int, int] = places.get(draft.entry.slug, {})
        medals = tuple(-own.get(place, 0) for place in range(last + 1))
        return draft.entry.knows_nothing, medals, draft.entry.label, draft.entry.slug

    return sorted(drafts, key=key)


def _counted(entry: Entry, task: str) -> float | None:
    score = entry.scores.get(task)
    return score.value if score is not None and score.counts else None

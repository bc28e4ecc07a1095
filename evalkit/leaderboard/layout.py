"""Which boards there are, what they are called, and which tasks their means are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.leaderboard.board import Group
from evalkit.runs.reducing import reducer_of
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.selecting import PUBLISHED

OFFICIAL = "mmeb-scar"
"""The board of MMEB and SCaR together, which published numbers are of."""
DRAWN = ("miniature", "example")
"""Suites whose images are evalkit's own."""

_INTERACTIVE = "visual-interactive"
_META_TASKS = {
    "classification": "Classification",
    "vqa": "VQA",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
}
_DISTRIBUTIONS = {"ind": "IND", "ood": "OOD"}
_OF_OWN = (
    "Tasks of people's own, as the cards in their runs describe them. No mean is taken over them, as nothing says "
    "which tasks one would need, so nobody has a rank over all of them."
)
_SAYS_NOTHING = "A score here says nothing about MMEB or SCaR."


@dataclass(frozen=True)
class Layout:
    """A board before anything is on it; the attributes are those of :class:`evalkit.leaderboard.board.Board`."""

    key: str
    title: str
    caution: str
    cards: tuple[TaskCard, ...]
    official_images: bool

    def groups(self, chance: Mapping[str, float]) -> tuple[Group, ...]:
        """Groups of tasks, headline first; a meta-task that is all of ``general`` has none of its own.

        Tasks of people's own are in none.
        """
        if self.key == OWN:
            return ()
        general = tuple(card.name for card in self.cards if card.meta_task != _INTERACTIVE)
        found = {
            "general": (self._headline("general", len(general)), general),
            "interactive": (
                self._headline("interactive", len(self.cards) - len(general)),
                tuple(card.name for card in self.cards if card.meta_task == _INTERACTIVE),
            ),
        }
        for key, label in _META_TASKS.items():
            tasks = tuple(card.name for card in self.cards if card.meta_task == key)
            if tasks != general:
                found[key] = label, tasks
        for key, label in _DISTRIBUTIONS.items():
            found[key] = label, tuple(card.name for card in self.cards if card.distribution == key)
        return tuple(Group(key, label, tasks, _mean(tasks, chance)) for key, (label, tasks) in found.items() if tasks)

    def _headline(self, key: str, n_tasks: int) -> str:
        if self.key == OFFICIAL:
            return {"general": "MMEB-36", "interactive": "SCaR-5"}[key]
        if self.key == "miniature":
            return f"{n_tasks} stand-ins" if key == "general" else f"{n_tasks} interactive stand-ins"
        return "All tasks" if n_tasks == len(self.cards) else "General" if key == "general" else "Visual-interactive"


def layouts(cards: Sequence[TaskCard]) -> tuple[Layout, ...]:
    """The boards in the order of the suites: MMEB and SCaR as one, every other suite by its own name.

    Args:
        cards: as :func:`evalkit.suites.selecting.all_cards` gives them.
    """
    keys = {card.suite: OFFICIAL if card.suite in PUBLISHED else card.suite for card in cards}
    titles = {OFFICIAL: "MMEB and SCaR", "miniature": "Miniature", "example": "Example"}
    cautions = {
        "miniature": f"Drawn stand-ins for all 41 tasks, to try things on. {_SAYS_NOTHING}",
        "example": f"Generated shapes, shipped with evalkit to see that it works. {_SAYS_NOTHING}",
    }
    return tuple(
        Layout(
            key=key,
            title=titles.get(key, key),
            caution=cautions.get(key, ""),
            cards=tuple(card for card in cards if keys[card.suite] == key),
            official_images=key not in DRAWN,
        )
        for key in dict.fromkeys(keys.values())
    )


def own_layout(cards: Sequence[TaskCard]) -> Layout:
    """The board of people's own tasks.

    Args:
        cards: of all of them, from the runs.
    """
    return Layout(OWN, "Own tasks", _OF_OWN, tuple(cards), official_images=True)


def _mean(tasks: Sequence[str], chance: Mapping[str, float]) -> float | None:
    known = [chance[task] for task in tasks if task in chance]
    whole = len(known) == len(tasks) and reducer_of(tasks).is_mean
    return sum(known) / len(known) if known and whole else None

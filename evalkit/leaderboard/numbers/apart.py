"""Which numbers of runs can be held against each other: those of the same data, with samples that bear them out.

**The same data.** Two numbers of a task are about the same data where all parts of their signatures are equal that
:mod:`evalkit.regression.comparable` asks for but the way of prompting: a board shows a model's ways side by side. Words
count all the same: ways that leave them alone have to have the same, and a way that does not has to have them among its
own.

**Which data is ranked.** Of each task that on which the most models were measured, by their names: many runs of one
model are one voice, and models that know nothing have one only among equals. Where two have as many it is that of
the run that comes first in this order: by the protocol's own settings (orientation applied, candidates told apart by
content), with more tasks, with the smaller digests. The order is one for all tasks, so that of two copies of a
benchmark neither gets half of the tasks. It knows no scores, no names of models and no folders. Which data is right
cannot be told from runs.

**Claimed.** A number without its per-query file is what the run says of itself, and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.leaderboard.board import Apart
from evalkit.leaderboard.numbers.counted import KNOW_NOTHING, Counted, precision_at_1
from evalkit.leaderboard.numbers.drafts import cut, plain_line
from evalkit.regression.comparable import BLOCKING, DATA, keeps_words
from evalkit.runs.manifest import TaskResult
from evalkit.runs.runfiles import samples_path
from evalkit.runs.signature import parts
from evalkit.suites.card import TaskCard

UNSAID = "its signature does not say what it is about"
CLAIMED = Apart("claimed", "its samples are not there, so the number cannot be checked")

_LONGEST = 80  # characters of a part of a signature that are shown


def set_apart(runs: Sequence[Counted], cards: Sequence[TaskCard]) -> list[Counted]:
    """The runs, each with what its numbers are about, and why some of them stand outside the ranking.

    Args:
        runs: any.
        cards: of a board.

    Returns:
        The same runs, with ``data`` and ``apart`` of the board's tasks.

    Raises:
        ResultsError: samples that would lie outside of their run.
    """
    numbers = [
        {card.name: _Number.of(run.results[card.name], run) for card in cards if _has_number(run, card.name)}
        for run in runs
    ]
    order = sorted(range(len(runs)), key=lambda i: _place(runs[i], numbers[i], cards))
    found = [(dict[str, str](), dict[str, Apart]()) for _ in runs]
    for card in cards:
        there = {i: numbers[i][card.name] for i in order if card.name in numbers[i]}
        keys = _keys(list(there.values()))
        voters = [
            (key, own)
            for key, own in zip(keys, there.values(), strict=True)
            if own.complete and not own.claimed and None not in own.asked and own.words is not None
        ]
        ranked = _most(
            [(key, own.model) for key, own in voters if not own.knows_nothing],
            [(key, own.model) for key, own in voters],
        )
        standard = [own for key, own in voters if key == ranked]
        for (i, own), key in zip(there.items(), keys, strict=True):
            data, apart = found[i]
            data[card.name] = key
            if own.claimed:
                apart[card.name] = CLAIMED
            elif own.complete and key != ranked:
                # One of the same way where there is one: its prompts would have to be equal.
                against = next((one for one in standard if one.way == own.way), next(iter(standard), None))
                why = "" if against is None else unlike(against.signature, own.signature)
                apart[card.name] = Apart("other data", why or UNSAID)
    return [replace(run, data=data, apart=apart) for run, (data, apart) in zip(runs, found, strict=True)]


def unlike(one: str | None, other: str | None) -> str:
    """What keeps the numbers of two signatures of a task from being about the same data, in words, in one line.

    Returns:
        Empty where nothing in them says so.
    """
    first, second = parts(one or ""), parts(other or "")
    same_way = _way(first) == _way(second)
    return "; ".join(
        f"{BLOCKING[part]} differs: {_shown(first.get(part, 'none'))} and {_shown(second.get(part, 'none'))}"
        for part in DATA
        if first.get(part) != second.get(part) and (part != "prompts" or same_way)
    )


def _shown(value: str) -> str:
    """A part of a signature, which is a stranger's, as far as one that evalkit writes is long."""
    return cut(plain_line(value), _LONGEST)


@dataclass(frozen=True)
class _Number:
    """What is to be known of a number to tell whether it can be held against others.

    Attributes:
        signature: of the number.
        asked: the values of :data:`evalkit.regression.comparable.DATA` without prompts; ``None`` where there is none.
        words: digest of the prompts.
        way: equal where equal data has equal prompts.
        model: its name, the same at all dimensions, so that it has one voice.
        complete: all queries of the task.
        claimed: its samples are not there.
        knows_nothing: of a family that does, such as random.
    """

    signature: str | None
    asked: tuple[str | None, ...]
    words: str | None
    way: str
    model: str
    complete: bool
    claimed: bool
    knows_nothing: bool

    @classmethod
    def of(cls, result: TaskResult, run: Counted) -> _Number:
        said = parts(result.signature or "")
        return cls(
            signature=result.signature,
            asked=tuple(said.get(part) for part in DATA if part != "prompts"),
            words=said.get("prompts"),
            way=_way(said),
            model=run.manifest.whole_model,
            complete=result.complete,
            claimed=samples_path(run.folder, result) is None,
            knows_nothing=run.manifest.model.family in KNOW_NOTHING,
        )


def _has_number(run: Counted, task: str) -> bool:
    return task in run.results and precision_at_1(run.results[task]) is not None


def _way(said: Mapping[str, str]) -> str:
    """The way of prompting; one word for all that leave the prompts as they are."""
    way = said.get("prompting", "-")
    return "-" if keeps_words(way) else way


def _place(run: Counted, numbers: Mapping[str, _Number], cards: Sequence[TaskCard]) -> tuple[object, ...]:
    """The run comes first whose data is ranked where as many models were measured on others."""
    settings = run.manifest.settings
    whole = sum(own.complete and not own.claimed for own in numbers.values())
    return (
        settings.official_dedup or settings.exif != "apply",
        -whole,
        [repr((own.asked, own.way, own.words)) if (own := numbers.get(card.name)) else "" for card in cards],
    )


def _keys(numbers: Sequence[_Number]) -> list[str]:
    """What is equal for numbers about the same data, one each; the numbers are of one task, in their order."""
    words: dict[tuple[object, ...], list[tuple[str, str]]] = {}
    for own in numbers:
        words.setdefault((own.asked, own.way), []).append((own.words or "", own.model))
    usual = {place: _most(said, said) for place, said in words.items()}
    return [
        _digest(own.asked, None if (own.words or "") == usual[own.asked, own.way] else (own.way, own.words))
        for own in numbers
    ]


def _most(votes: Sequence[tuple[str, str]], every: Sequence[tuple[str, str]]) -> str | None:
    """What the most models say; of equals what the most of all say, then the first; ``None`` of nothing.

    Args:
        votes: pairs of what is said and the model.
        every: the same of all models, in order.
    """
    said: dict[str, tuple[set[str], set[str]]] = {}
    for what, model in every:
        said.setdefault(what, (set(), set()))[1].add(model)
    for what, model in votes:
        said[what][0].add(model)
    return max(said, key=lambda what: tuple(map(len, said[what])), default=None)


def _digest(*said: object) -> str:
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]

"""Runs to drafts of entries: what counts by the cards of today, what the runs are called, what failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from evalkit.embedders.modelcards import model_cards
from evalkit.files import LARGEST_TEXT, read_file
from evalkit.leaderboard.board import HEADLINES, Apart, Entry, Facts, Group, Score
from evalkit.leaderboard.numbers.apart import CLAIMED
from evalkit.leaderboard.numbers.counted import KNOW_NOTHING, Counted, precision_at_1, regions_by
from evalkit.leaderboard.numbers.drafts import Draft, cut, plain_line, slug_of
from evalkit.leaderboard.numbers.weights import facts_of, filled
from evalkit.runs.manifest import Manifest, MetricResult, TaskResult, departs
from evalkit.runs.reducing import reducer_of
from evalkit.runs.runfiles import samples_path
from evalkit.scoring.reducers import Reducer
from evalkit.suites.card import OWN, TaskCard
from evalkit.terminal import percent

OTHER_DATA = "On other data than the ranked entries (theirs is named first), so neither ranked nor compared with them"

WHOLE = "all"
"""Key of what has to be said of an entry where a board has no means."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
"""How times are written, always in UTC."""

_NAMED = 3  # tasks that a footnote names before it counts the others
_LONGEST = 200  # characters of an error that a footnote has


def measured(
    runs: Sequence[Counted], cards: Sequence[TaskCard], groups: Sequence[Group], known: Mapping[str, Facts]
) -> list[Draft]:
    """Drafts of the runs that have a task of a board.

    Args:
        runs: from :func:`evalkit.leaderboard.numbers.apart.set_apart`.
        cards: of the board.
        groups: of the board.
        known: what is known of models, by their names in lower case.
    """
    promised = {card.name: card for card in cards}
    own = [replace(run, results={task: r for task, r in run.results.items() if task in promised}) for run in runs]
    there = [run for run in own if run.results]
    drafts, seen = [], Counter[str]()
    for run, label in zip(there, _labels(there), strict=True):
        name = f"run {run.manifest.model.name} {run.manifest.run_id}"
        seen[name] += 1
        identity = name if seen[name] == 1 else f"{name} {seen[name]}"
        drafts.append(_draft(run, label, identity, promised, groups, known))
    return drafts


def _labels(runs: Sequence[Counted]) -> list[str]:
    """The models' names, with what tells the runs of one model apart."""
    names = [plain_line(run.manifest.model.name) for run in runs]
    regions = [regions_by(run.results.values()) for run in runs]
    called: dict[str, list[str | None]] = {}
    for name, own in zip(names, regions, strict=True):
        called.setdefault(name, []).append(own)
    labels = []
    for run, name, own in zip(runs, names, regions, strict=True):
        same = called[name]
        told_apart = len(set(same)) == len(same) and None not in same
        labels.append(name if len(same) == 1 else f"{name} ({own if told_apart else run.manifest.run_id})")
    # Two states of one run, of which one is not whole: what is left to tell them apart is their order.
    counts, seen = Counter(labels), Counter[str]()
    for place, label in enumerate(labels):
        seen[label] += 1
        labels[place] = f"{label}, {seen[label]}" if counts[label] > 1 else label
    return labels


def _draft(
    run: Counted,
    label: str,
    identity: str,
    cards: Mapping[str, TaskCard],
    groups: Sequence[Group],
    known: Mapping[str, Facts],
) -> Draft:
    manifest, model = run.manifest, run.manifest.model
    scores, failures, samples = {}, {}, {}
    for name, result in run.results.items():
        p1 = precision_at_1(result)
        if p1 is None:
            failures[name] = plain_line(result.error.message) if result.error else "the run does not say why"
            continue
        scores[name] = _score(result, p1, run.data[name], run.apart.get(name))
        if result.complete and (path := samples_path(run.folder, result)):
            samples[name] = (path, result)
    facts = known.get(plain_line(manifest.whole_model).casefold(), Facts())
    card = model_cards().get(model.named or "")
    if card is not None:
        of_rows = [known[one.model] for one in card.published if one.model in known]
        facts = filled(filled(facts, facts_of(card)), of_rows[0] if of_rows else Facts())
    entry = Entry(
        slug=slug_of(label),
        label=label,
        model=plain_line(model.name),
        prompting=regions_by(run.results.values()),
        kind="claimed" if scores and all(score.claimed for score in scores.values()) else "measured",
        facts=replace(facts, dimension=model.dimension),
        scores=scores,
        means={},
        ranks={},
        knows_nothing=model.family in KNOW_NOTHING,
        run=(run.folder, manifest),
        failures=failures,
        warnings=(*outside_ranking(scores), *_warnings(manifest, run.results)),
        seen=_finished(run.folder),
        named=None if card is None else card.name,
    )
    return Draft(entry, identity, samples, notes=_notes(manifest, entry, cards, groups))


def _score(result: TaskResult, p1: MetricResult, data: str, apart: Apart | None) -> Score:
    """What a run says of a task; an interval of what cannot be checked would make it look as sure as the others."""
    claimed = apart == CLAIMED
    return Score(
        value=p1.value,
        low=None if claimed else p1.low,
        high=None if claimed else p1.high,
        n=p1.n,
        complete=result.complete,
        optimistic=None if claimed else p1.optimistic,
        n_ties=None if claimed else p1.n_ties,
        prompting=result.prompting,
        signature=result.signature,
        data=data,
        apart=apart,
        result=result,
    )


def outside_ranking(scores: Mapping[str, Score]) -> tuple[str, ...]:
    """In sentences, which of an entry's scores stand outside the ranking, and why."""
    claimed = [task for task, score in scores.items() if score.claimed]
    others = _others(scores)
    every = len(claimed) == len(scores)
    return (
        *([f"Claimed{'' if every else f' on {_some(claimed)}'}, not measured: {CLAIMED.why}."] if claimed else []),
        *([f"{OTHER_DATA}: {by_reason(others)}."] if others else []),
    )


def _others(scores: Mapping[str, Score]) -> dict[str, str]:
    """By the task's name, what differs from the data of the ranked entries."""
    return {task: score.apart.why for task, score in scores.items() if score.apart and not score.claimed}


def _warnings(manifest: Manifest, results: Mapping[str, TaskResult]) -> tuple[str, ...]:
    unfinished = {"running": "The run has not ended.", "interrupted": "The run was interrupted."}
    found = [unfinished[manifest.status]] if manifest.status in unfinished else []
    found += [f"{choice[0].upper()}{choice[1:]}." for choice in _choices(manifest)]
    if manifest.model.departs:
        found.append(f"{plain_line(departs(manifest.model.named or 'It', manifest.model.departs))}.")
    tasks: dict[str, list[str]] = {}
    for name, result in results.items():
        for warning in result.warnings:
            tasks.setdefault(plain_line(warning), []).append(name)
    return (*found, *(f"{_some(names)}: {warning}" for warning, names in tasks.items()))


def _choices(manifest: Manifest) -> list[str]:
    """What the user chose that changes numbers."""
    settings = manifest.settings
    return [
        *(["candidates merged by the official key"] if settings.official_dedup else []),
        *(["camera orientation ignored"] if settings.exif == "ignore" else []),
        *(["vectors kept as float16"] if settings.vectors == "float16" else []),
        *([f"regions by {settings.prompting} asked for"] if settings.prompting else []),
        *(["regions off their images kept"] if settings.bad_regions == "keep" else []),
    ]


def _notes(
    manifest: Manifest, entry: Entry, cards: Mapping[str, TaskCard], groups: Sequence[Group]
) -> dict[str, tuple[str, ...]]:
    """What has to be said of the means, by the group's key; where there are none, of all tasks as :data:`WHOLE`."""
    choices = [choice for choice in _choices(manifest) if not choice.startswith("regions by")]
    notes: dict[str, tuple[str, ...]] = {}
    headlines = [group for group in groups if group.key in HEADLINES]
    for group in headlines or [Group(WHOLE, "", tuple(cards), None)]:
        scores = {task: entry.scores[task] for task in group.tasks if task in entry.scores}
        failed = {task: cut(entry.failures[task], _LONGEST) for task in group.tasks if task in entry.failures}
        parts = {
            task: _missing(score, _own_card(entry, cards[task])) for task, score in scores.items() if not score.complete
        }
        own = [f"{', '.join(choices).capitalize()}."] if choices and scores else []
        own += outside_ranking(scores)
        own += [f"{'No part of any mean' if headlines else 'In part'}: {_some(parts, parts)}."] if parts else []
        own += [f"Failed: {_some(failed, failed)}."] if failed else []
        if (
            headlines
            and len(scores) == len(group.tasks)
            and not parts
            and not any(score.claimed for score in scores.values())
        ):
            own += _ties(scores.values(), reducer_of(group.tasks))
            own += _no_better(scores.values()) if not entry.knows_nothing else []
        if own:
            notes[group.key] = tuple(own)
    return notes


def _ties(scores: Iterable[Score], reducer: Reducer) -> list[str]:
    values = [(score.value, p1.optimistic) for score in scores if score.result and (p1 := precision_at_1(score.result))]
    value, optimistic = (reducer.reduce(column) for column in zip(*values, strict=True))
    if percent(value) == percent(optimistic):
        return []
    return [f"{percent(optimistic)} if the right candidate came first among equal scores, the most that ties allow."]


def _no_better(scores: Iterable[Score]) -> list[str]:
    """On how many tasks of a mean an entry may know as little as chance."""
    above = [p1.above_chance for score in scores if score.result and (p1 := precision_at_1(score.result))]
    low = above.count(False)
    return [f"Not above chance on {low} of {len(above)} tasks, as far as their 95 % intervals say."] if low else []


def why_not(draft: Draft, card: TaskCard) -> str | None:
    """Why an entry cannot be compared on a task, whoever with; ``None`` where it can."""
    if card.name in draft.entry.failures:
        return f"failed: {cut(draft.entry.failures[card.name], _LONGEST)}"
    if card.name not in draft.entry.scores:
        return "not run"
    score = draft.entry.scores[card.name]
    if score.claimed:
        return f"claimed: {CLAIMED.why}"
    return None if score.complete else _missing(score, _own_card(draft.entry, card))


def _own_card(entry: Entry, card: TaskCard) -> TaskCard:
    """The card that an entry's number is held to: of an own task that of its own run, which may differ from others'."""
    return card if entry.run is None or card.suite != OWN else entry.run[1].own_tasks[card.name]


def _missing(score: Score, card: TaskCard) -> str:
    """Why a score counts in no mean."""
    if score.result is not None and score.result.task_version != card.version:
        return f"version {score.result.task_version} of the task, not {card.version}"
    return f"{score.n:,} of {card.queries:,} queries" if score.n != card.queries else "not complete"


def _some(tasks: Iterable[str], why: Mapping[str, str] | None = None) -> str:
    """The first tasks, with the reason where there is one, and how many others."""
    names = list(tasks)
    shown = [f"{name} ({why[name]})" if why else name for name in names[:_NAMED]]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join(shown) + (f" and {more[0]}" if more else "")


def by_reason(why: Mapping[str, str]) -> str:
    """The tasks with their reasons, those of one reason together; the first reasons, and how many tasks have others."""
    tasks: dict[str, list[str]] = {}
    for task, reason in why.items():
        tasks.setdefault(reason, []).append(task)
    found = [f"{_some(own)} ({reason})" for reason, own in list(tasks.items())[:_NAMED]]
    rest = sum(len(own) for own in list(tasks.values())[_NAMED:])
    return ", ".join(found) + (f" and {rest} more" if rest else "")


def _finished(folder: Path) -> str | None:
    """When the run was last worked on, from ``timing.json``; it is no part of the results and may be missing."""
    try:
        said = json.loads(read_file(folder / "timing.json", LARGEST_TEXT))
    except (OSError, ValueError, RecursionError):
        return None
    when = said.get("finished_at") if isinstance(said, dict) else None
    return when if isinstance(when, str) and _is_time(when) else None


def _is_time(text: str) -> bool:
    try:
        return datetime.strptime(text, TIME).strftime(TIME) == text
    except ValueError:
        return False

"""Boards that no run made: as many entries as a test wants, with numbers that hang together, from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

from evalkit.leaderboard.board import (
    Board,
    Citation,
    Difference,
    Entry,
    Facts,
    Group,
    Improvement,
    Known,
    Mean,
    OtherRecord,
    Pairing,
    Range,
    Score,
)
from evalkit.leaderboard.samples.answers import Answer
from evalkit.leaderboard.samples.media import Mark, ShownImage
from evalkit.leaderboard.samples.sheets import Query, Sheet, Sheets, ShownCandidate
from evalkit.runs.manifest import Environment, Manifest, MetricResult, ModelRecord, Settings, TaskResult
from evalkit.scoring.stats import wilson
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import all_cards

HOSTILE = "</script><img src=x onerror=alert(1)>"
"""What a model may be called."""
SCRIPT = "javascript:alert(1)"
RTL = "נמוד\u202eevil"
EMOJI = "👩‍🔬 embedder 🦔"
_META = {"classification": "Classification", "vqa": "VQA", "retrieval": "Retrieval", "grounding": "Grounding"}
_HEADLINE = {"mmeb-scar": ("MMEB-36", "SCaR-5"), "miniature": ("36 stand-ins", "5 interactive stand-ins")}


@cache
def cards_of(*suites: str) -> tuple[TaskCard, ...]:
    """The cards of suites."""
    return tuple(card for card in all_cards() if card.suite in suites)


def board(entries: int = 8, published: int = 4, *, key: str = "mmeb-scar", seed: int = 0, pairs: int = 4) -> Board:
    """A board.

    Args:
        entries: measured ones, each with all tasks but the last, which lacks one.
        published: further ones: the first with all scores, the others with means alone.
        key: ``mmeb-scar`` or ``miniature``.
        seed: of the numbers.
        pairs: measured entries of which any two are compared.
    """
    draw = random.Random(seed)
    cards = cards_of("mmeb", "scar") if key == "mmeb-scar" else cards_of("miniature")
    groups, chance = groups_of(cards, key)
    hard = {card.name: draw.uniform(0.25, 0.9) for card in cards}
    made = [_measured(i, entries, cards, groups, hard, chance, draw) for i in range(entries)]
    made += [_published(i, cards, groups, hard, chance, draw) for i in range(published)]
    made = _ranked(_marked(made, cards))
    made += [_knowing_nothing(name, cards, groups, chance, draw) for name in ("random", "constant")]
    measured = [entry for entry in made if entry.kind == "measured" and not entry.knows_nothing]
    reported = [entry.slug for entry in made if entry.kind == "published"]
    return Board(
        key=key,
        title="MMEB and SCaR" if key == "mmeb-scar" else "Miniature",
        caution="" if key == "mmeb-scar" else "Drawn stand-ins for all 41 tasks. A score here says nothing about MMEB.",
        cards=cards,
        groups=groups,
        chance=chance,
        entries=tuple(made),
        footnotes=("The reported mean is one over the four meta-tasks.", "Its parts add up to another mean: 44.3."),
        comparisons=tuple(_compared(one, other, groups, draw) for one, other in combinations(measured[:pairs], 2)),
        improvements=tuple(
            Improvement(reported[0], reported[1], group, gain)
            for group, gain in (("general", 0.085), ("interactive", 0.203))
        )
        if len(reported) > 1
        else (),
        official_images=key == "mmeb-scar",
    )


def demo() -> Board:
    """What a demo's board looks like: three ways of prompting one model, two others, and who knows nothing."""
    made = board(5, 0, key="miniature", seed=3, pairs=5)
    names = (("virtue-tiny", "native"), ("virtue-tiny", "crop"), ("virtue-tiny", "none"), ("vlm2vec-tiny", "text"))
    measured = sorted((e for e in made.entries if not e.knows_nothing), key=lambda entry: entry.slug)
    renamed = {}
    for entry, (name, mode) in zip(measured, (*names, ("clip-tiny", "text")), strict=True):
        label = f"{name} ({mode})" if name == "virtue-tiny" else name
        facts = Facts(
            parameters=6.9 if name != "clip-tiny" else 1.2, dimension=128, licence="Apache-2.0", trained_on_mmeb="no"
        )
        renamed[entry.slug] = replace(entry, label=label, model=name, prompting=mode, facts=facts)
    return replace(made, entries=tuple(renamed.get(entry.slug, entry) for entry in made.entries))


def hostile() -> Board:
    """A board whose every word is an attack, or hard to set."""
    made = board(4, 2, seed=5, pairs=3)
    words = (HOSTILE, RTL, EMOJI, "a" * 120, "<b>bold</b>", "{{ 7 * 7 }} & <!--")
    facts = Facts(parameters=2200.0, dimension=1536, licence=HOSTILE, url=SCRIPT)
    named = [e for e in made.entries if not e.knows_nothing]
    new = {
        entry.slug: replace(
            entry,
            label=word,
            model=word,
            facts=facts,
            sources=(Citation(word, SCRIPT),) if entry.sources else (),
            warnings=(word,),
            failures={made.cards[0].name: word} if made.cards[0].name not in entry.scores else {},
            other_records=(OtherRecord(Citation(word, SCRIPT), "MMEB-36", 0.5),),
        )
        for entry, word in zip(named, words, strict=True)
    }
    comparisons = tuple(replace(c, incomparable={made.cards[-1].name: HOSTILE}) for c in made.comparisons)
    return replace(
        made,
        title=HOSTILE,
        caution=HOSTILE,
        entries=tuple(new.get(entry.slug, entry) for entry in made.entries),
        footnotes=(HOSTILE, RTL),
        comparisons=comparisons,
    )


def groups_of(cards: Sequence[TaskCard], key: str) -> tuple[tuple[Group, ...], dict[str, float]]:
    """The groups of a board, and chance of its tasks."""
    chance = {card.name: 1 / card.candidates for card in cards}
    general = [card.name for card in cards if card.meta_task != "visual-interactive"]
    members = {
        "general": (_HEADLINE[key][0], general),
        "interactive": (_HEADLINE[key][1], [card.name for card in cards if card.name not in general]),
        **{meta: (label, [card.name for card in cards if card.meta_task == meta]) for meta, label in _META.items()},
        "ind": ("IND", [card.name for card in cards if card.distribution == "ind"]),
        "ood": ("OOD", [card.name for card in cards if card.distribution == "ood"]),
    }
    groups = tuple(
        Group(name, label, tuple(tasks), math.fsum(chance[task] for task in tasks) / len(tasks))
        for name, (label, tasks) in members.items()
        if tasks
    )
    return groups, chance


def score(task: TaskCard, value: float, chance: float, prompting: str | None = None) -> Score:
    """A measured score with its interval and result."""
    low, high = wilson(value, task.queries)
    metric = MetricResult(
        value=value,
        optimistic=min(1.0, value + 0.01),
        pessimistic=max(0.0, value - 0.01),
        chance=chance,
        n=task.queries,
        n_ties=round(task.queries * 0.02),
        low=low,
        high=high,
        interval="wilson",
    )
    result = TaskResult(
        task=task.name,
        task_version=task.version,
        suite=task.suite,
        meta_task=task.meta_task,
        distribution=task.distribution,
        status="done",
        complete=True,
        n_queries=task.queries,
        n_candidates=task.candidates,
        prompting=prompting if task.query_modality == "image+region" else None,
        metrics={"precision_at_1": metric},
        signature=f"task:{task.name}@{task.version}|n:{task.queries}|prompting:{prompting or '-'}",
        samples=f"samples/{task.name}.parquet",
    )
    return Score(
        value,
        low,
        high,
        n=task.queries,
        complete=True,
        optimistic=metric.optimistic,
        n_ties=metric.n_ties,
        prompting=result.prompting,
        signature=result.signature,
        result=result,
    )


def _measured(
    i: int,
    n: int,
    cards: Sequence[TaskCard],
    groups: Sequence[Group],
    hard: dict[str, float],
    chance: dict[str, float],
    draw: random.Random,
) -> Entry:
    mode = ("native", "text", "crop", "none")[i % 4]
    skill = 0.55 + 0.45 * (1 - i / max(1, n))
    there = cards if i < n - 1 or n == 1 else cards[1:]
    scores = {c.name: score(c, _value(hard[c.name] * skill, c, draw), chance[c.name], mode) for c in there}
    family, size = ("virtue", "vlm2vec", "clip")[i % 3], (2200.0, 8300.0, 428.0, None)[i % 4]
    name = f"{family}-{i:03d}"
    known: Known = ("yes", "no", "unknown")[i % 3]
    return Entry(
        slug=f"{name}-{mode}",
        label=name,
        model=name,
        prompting=mode,
        kind="measured",
        facts=Facts(
            parameters=size,
            dimension=1536,
            licence="Apache-2.0",
            trained_on_mmeb=known,
            url=f"https://huggingface.co/example/{name}",
        ),
        scores=scores,
        means=_means(groups, scores),
        ranks={},
        run=(Path("runs") / name / f"{i:012x}", manifest(name, family, f"{i:012x}", scores.values(), mode)),
        failures={} if there is cards else {cards[0].name: "image ImageNet-1K/a.jpg is missing"},
        warnings=("ran in bfloat16",) if i == 1 else (),
        seen=f"2026-01-{i % 28 + 1:02d}T00:00:00Z",
    )


def manifest(name: str, family: str, run_id: str, scores: Iterable[Score], mode: str | None) -> Manifest:
    """A run's."""
    return Manifest(
        run_id=run_id,
        status="done",
        evalkit_version="0.1.0",
        model=ModelRecord(
            name=name,
            family=family,
            revision=None,
            fingerprint=run_id.rjust(64, "0"),
            dimension=1536,
            modalities=("text", "image", "image+text"),
            regions=("box",),
            options={"dtype": "float32", "resolution": "native"},
        ),
        settings=Settings(prompting=mode),
        environment=Environment(python="3.11.7", system="Linux x86_64", device="cpu", packages={"torch": "2.6.0"}),
        tasks=tuple(own.result for own in scores if own.result is not None),
    )


def _published(
    i: int,
    cards: Sequence[TaskCard],
    groups: Sequence[Group],
    hard: dict[str, float],
    chance: dict[str, float],
    draw: random.Random,
) -> Entry:
    whole = i % 3 == 0
    skill = draw.uniform(0.4, 1.0)
    scores = {
        card.name: Score(round(_value(hard[card.name] * skill, card, draw), 3), None, None, None, True)
        for card in cards
        if whole or (i % 3 == 1 and card.meta_task == "visual-interactive")
    }
    means = _means(groups, scores)
    if not whole:
        for group in groups:
            if means[group.key].value is None:
                value = round(math.fsum(hard[task] for task in group.tasks) / len(group.tasks) * skill, 3)
                notes = (1,) if group.key == "general" and i == 1 else ()
                means[group.key] = Mean(value, None, None, 0, len(group.tasks), True, notes)
    known: Known = ("no", "yes", "unknown")[i % 3]
    return Entry(
        slug=f"paper-{i:03d}",
        label=f"Paper-{i:03d}-{(2, 7)[i % 2]}B",
        model=f"Paper-{i:03d}",
        prompting=("text", None)[i % 2],
        kind="published",
        facts=Facts(
            parameters=(2000.0, 7000.0)[i % 2] * draw.uniform(0.5, 1.3),
            dimension=(1536, 3584)[i % 2],
            licence="cc-by-nc-4.0",
            trained_on_mmeb=known,
        ),
        scores=scores,
        means=means,
        ranks={},
        sources=(Citation("arXiv:2510.00523, table 1", "https://arxiv.org/abs/2510.00523"),),
        other_records=(
            OtherRecord(Citation("the model's own page", "https://huggingface.co/example"), "MMEB-36", 0.612),
        ),
        seen="2025-10-01T00:00:00Z",
    )


def _knowing_nothing(
    name: str, cards: Sequence[TaskCard], groups: Sequence[Group], chance: dict[str, float], draw: random.Random
) -> Entry:
    spread = 0.01 if name == "random" else 0.0
    scores = {
        card.name: score(card, max(0.0, chance[card.name] + draw.uniform(-spread, spread)), chance[card.name], "text")
        for card in cards
    }
    return Entry(
        slug=name,
        label=name,
        model=name,
        prompting="text",
        kind="measured",
        facts=Facts(dimension=64, trained_on_mmeb="no"),
        scores=scores,
        means=_means(groups, scores),
        ranks={},
        knows_nothing=True,
        run=(Path("runs") / name / ("f" * 12), manifest(name, name, "f" * 12, scores.values(), None)),
    )


def _value(middle: float, card: TaskCard, draw: random.Random) -> float:
    """A fraction of the task's queries."""
    return round(max(0.0, min(1.0, draw.gauss(middle, 0.06))) * card.queries) / card.queries


def _means(groups: Sequence[Group], scores: dict[str, Score]) -> dict[str, Mean]:
    found = {}
    for group in groups:
        own = [scores[task] for task in group.tasks if task in scores]
        if len(own) < len(group.tasks):
            found[group.key] = Mean(None, None, None, len(own), len(group.tasks))
            continue
        value = math.fsum(score.value for score in own) / len(own)
        half = 0.02 if all(score.low is not None for score in own) else None
        low, high = (None, None) if half is None else (max(0.0, value - half), min(1.0, value + half))
        found[group.key] = Mean(value, low, high, len(own), len(group.tasks))
    return found


def _ranked(entries: Sequence[Entry]) -> list[Entry]:
    def mean(entry: Entry, group: str) -> float:
        own = entry.means.get(group)
        return own.value if own is not None and own.value is not None else -1.0

    ranks: dict[str, dict[str, Range | None]] = {entry.slug: {} for entry in entries}
    for group in ("general", "interactive"):
        there = sorted((e for e in entries if mean(e, group) >= 0), key=lambda entry: -mean(entry, group))
        for entry in entries:
            ranks[entry.slug][group] = None
        for place, entry in enumerate(there, 1):
            ranks[entry.slug][group] = Range(max(1, place - 1), min(len(there), place + 1))
    ordered = sorted(entries, key=lambda entry: (-mean(entry, "general"), entry.slug))
    return [replace(entry, ranks=ranks[entry.slug]) for entry in ordered]


def _marked(entries: Sequence[Entry], cards: Sequence[TaskCard]) -> list[Entry]:
    """The same, with what cannot be told from the best of each task: measured and within two points of it."""
    top = {
        card.name: max(e.scores[card.name].value for e in entries if card.name in e.scores and e.kind == "measured")
        for card in cards
    }
    return [
        replace(
            entry,
            scores={
                task: replace(own, tied_with_best=entry.kind == "measured" and own.value >= top[task] - 0.02)
                for task, own in entry.scores.items()
            },
        )
        for entry in entries
    ]


def _compared(one: Entry, other: Entry, groups: Sequence[Group], draw: random.Random) -> Pairing:
    tasks = []
    for task in one.scores:
        if task in other.scores:
            value = one.scores[task].value - other.scores[task].value
            p = min(1.0, math.exp(-abs(value) * 60))
            tasks.append(
                Difference(task, value, max(-1.0, value - 0.03), min(1.0, value + 0.03), 40, 30, p, min(1.0, p * 41))
            )
    means = []
    for group in groups:
        a, b = one.means[group.key].value, other.means[group.key].value
        if a is not None and b is not None:
            half = draw.uniform(0.005, 0.03)
            p = min(1.0, math.exp(-abs(a - b) / half))
            means.append(Difference(group.key, a - b, a - b - half, a - b + half, 400, 300, p, p))
    lacking = {task: "one of the two was not asked it" for task in other.scores if task not in one.scores}
    return Pairing(other.slug, one.slug, tuple(means), tuple(tasks), lacking)


# --- samples --------------------------------------------------------------------------------------------


def candidate(name: str, score: float, right: bool | None, image: ShownImage | None = None) -> ShownCandidate:
    """A candidate."""
    return ShownCandidate(name, score, right, None, image)


def query(number: int, state: str = "right", **changes: object) -> Query:
    """A query of five candidates."""
    right = state == "right"
    facts = {
        "number": number,
        "id": f"q{number}",
        "prompt": "<image>\nFind the caption that best describes the object\nReferring object bbox: [10, 20, 60, 80]",
        "image": ShownImage("images/a.jpg", None, None, None, "not embedded (--media none)"),
        "marks": (),
        "label": candidate("a fork on the table", 0.71, True),
        "rank": 1 if state != "wrong" else 3,
        "ties": 1 if state == "tied" else 0,
        "pool": 10,
        "margin": {"right": 0.02, "tied": 0.0, "wrong": -0.04}[state],
        "score": {"right": 1.0, "tied": 0.5, "wrong": 0.0}[state],
        "top": (
            candidate("a fork on the table" if right else "a spoon on the table", 0.75, right),
            *(candidate(f"a thing number {i}", 0.7 - i / 100, False) for i in range(4)),
        ),
        "low_margin": right and number % 3 == 0,
        "right_in": (),
    }
    facts |= changes
    said = {name: facts.pop(name) for name in ("id", "rank", "ties", "pool", "margin", "score")}
    answer = Answer(**said, label="", label_score=0.0, relevant=1, top=(), top_scores=())  # type: ignore[arg-type]
    return Query(answer=answer, **facts)  # type: ignore[arg-type]


def sheet(board: Board, queries: Sequence[Query], task: str = "SCaR/RefCOCOg") -> Sheet:
    """A page of samples of the board's best measured entry."""
    entries = [entry for entry in board.entries if task in entry.scores and entry.kind == "measured"]
    states = [query.answer.state for query in queries]
    return Sheet(
        board=board.key,
        card=next(card for card in board.cards if card.name == task),
        entry=entries[0],
        score=entries[0].scores[task],
        n=len(queries),
        queries=tuple(queries),
        right=states.count("right"),
        wrong=states.count("wrong"),
        tied=states.count("tied"),
        low_margin=0.02,
        others=tuple((entry.slug, entry.label) for entry in entries[1:3]),
        notes=(),
    )


def sheets(*made: Sheet) -> Sheets:
    """The pages of sheets, without media."""
    pages = {f"{s.board}/samples-{s.card.subset}-{s.entry.slug}.html": (lambda own=s: own) for s in made}
    return Sheets(pages, {}, ())


def box(x0: float, y0: float, x1: float, y1: float) -> Mark:
    """A region."""
    return Mark(box=(x0, y0, x1, y1))

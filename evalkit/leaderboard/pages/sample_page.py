"""What a page of samples shows: queries with their images and regions, the right candidate, and what came first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.pages.grid import Choice, attributes
from evalkit.leaderboard.pages.picture import picture
from evalkit.leaderboard.samples.sheets import Query, Sheet, ShownCandidate
from evalkit.leaderboard.wording import MISSING, count, interval, link, minus, percent, shown
from evalkit.suites.card import OWN, TaskCard

_LARGE, _SMALL = 320, 112  # pixels of the longer side of a query's picture, and of a candidate's


@dataclass(frozen=True)
class Row:
    """A candidate.

    Attributes:
        place: in the query's pool, from 1; candidates of one score share theirs, as a range.
        text: what it says, or what the task calls it; empty where its picture is all there is.
        score: as text.
        right: ``right``, ``wrong`` or empty where that is not known.
        marked: right, and not level with what may be wrong.
        picture: as HTML; may be empty.
    """

    place: str
    text: str
    score: str
    right: str
    marked: bool
    picture: Markup


@dataclass(frozen=True)
class Sample:
    """A query on its page.

    Attributes:
        query: what it is made of.
        attributes: what the page filters by.
        facts: rank, ties, margin and so on, in words.
        picture: the image with its region, as HTML; may be empty.
        label: the right candidate.
        top: the first candidates.
        flips: against whom, as HTML; may be empty.
    """

    query: Query
    attributes: Markup
    facts: tuple[str, ...]
    picture: Markup
    label: Row
    top: tuple[Row, ...]
    flips: Markup


def sample_page(sheet: Sheet) -> dict[str, Any]:
    """All about the samples of an entry on a task, as ``samples.html`` takes it."""
    labels = dict(sheet.others)
    numbers = [
        (state, sum(query.answer.state == state for query in sheet.queries)) for state in ("right", "wrong", "tied")
    ]
    choices = [Choice("state", "Answer", tuple((state, f"{state} ({n})") for state, n in numbers if n))]
    if any(query.low_margin for query in sheet.queries):
        choices.append(Choice("margin", "Margin", (("low", "low"),)))
    flipped = [slug for slug in labels if any(slug in _flips(query, labels) for query in sheet.queries)]
    if flipped:
        choices.append(Choice("flipped", "Flipped against", tuple((slug, shown(labels[slug])) for slug in flipped)))
    return {
        "sheet": sheet,
        "summary": _summary(sheet),
        "samples": [_sample(query, labels, sheet.card) for query in sheet.queries],
        "choices": choices,
        "count": count(len(sheet.queries), "query", "queries"),
    }


def _summary(sheet: Sheet) -> list[str]:
    """Numbers of the whole task, in sentences."""
    score = sheet.score
    span = "" if score.low is None else f" (95 % interval {interval(score.low, score.high)})"
    queries = count(sheet.n, "query", "queries")
    answers = f"{sheet.right:,} right, {sheet.wrong:,} wrong, {sheet.tied:,} tied"
    found = [f"Precision@1 {percent(score.value)}{span}: of {queries} {answers}."]
    if len(sheet.queries) < sheet.n:
        found.append(f"Here are the first {len(sheet.queries):,} of the run's file.")
    if sheet.low_margin is not None:
        found.append(f"A margin is low up to {sheet.low_margin:.4f}: the lowest tenth of all right answers.")
    if score.result and score.result.prompting:
        found.append(f"How regions reached the model: {score.result.prompting}.")
    return found


def _flips(query: Query, labels: dict[str, str]) -> list[str]:
    right = query.answer.state == "right"
    return [slug for slug in labels if (slug in query.right_in) != right]


def _sample(query: Query, labels: dict[str, str], card: TaskCard) -> Sample:
    answer, flips = query.answer, _flips(query, labels)
    facts = [f"rank {_range(answer.rank, answer.rank + answer.ties)} of {answer.pool:,}"]
    if answer.ties:
        facts.append(count(answer.ties, "other candidate", "other candidates") + " at its score")
    if answer.state == "tied":
        facts.append(f"counts {percent(answer.score)} %")
    facts.append(f"margin {MISSING if answer.margin is None else minus(f'{answer.margin:+.4f}')}")
    if query.low_margin:
        facts.append("low margin")
    verdict = "Not right by" if answer.state == "right" else "Right by"

    def row(candidate: ShownCandidate, place: str, number: int) -> Row:
        level = candidate.score == query.label.score and answer.ties > 0 and answer.state != "right"
        return Row(
            place=place,
            text=_said(candidate, card),
            score=minus(f"{candidate.score:.4f}"),
            right="" if candidate.right is None else "right" if candidate.right else "wrong",
            marked=candidate.right is True and not level,
            picture=picture(candidate.image, candidate.marks, _SMALL, f"q{query.number}c{number}"),
        )

    return Sample(
        query=query,
        attributes=attributes(
            {
                "data-state": answer.state,
                "data-margin": "low" if query.low_margin else "",
                "data-flipped": " ".join(flips),
            }
        ),
        facts=tuple(facts),
        picture=picture(query.image, query.marks, _LARGE, f"q{query.number}"),
        label=row(query.label, _range(answer.rank, answer.rank + answer.ties), 0),
        top=tuple(row(query.top[i], place, i + 1) for i, place in enumerate(_places(query))),
        flips=Markup("{} {}.").format(verdict, _and(labels[slug] for slug in flips)) if flips else Markup(),
    )


def _and(labels: Iterable[str]) -> Markup:
    return Markup(", ").join(link(label, None) for label in labels)


def _places(query: Query) -> Iterator[str]:
    """The places of the first candidates: equal scores come in the order of the task's files, which says nothing."""
    scores = [candidate.score for candidate in query.top]
    for score in scores:
        first = 1 + scores.index(score)
        last = first + scores.count(score) - 1
        if score == query.label.score:
            yield _range(query.answer.rank, query.answer.rank + query.answer.ties)
        elif first < last == len(scores) < query.answer.pool:
            yield f"from {first}"  # how many more there are of this score, the run's file does not say
        else:
            yield _range(first, last)


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _said(candidate: ShownCandidate, card: TaskCard) -> str:
    """A candidate's words. What the task calls it is a key where it is an image: shown where there is nothing else."""
    if candidate.image is not None:
        return shown(candidate.text or "")
    if "image" in card.candidate_modality:
        return shown(candidate.name.removesuffix(":"))  # path and caption, of which there may be none
    if card.suite == OWN and candidate.text and candidate.text != candidate.name:  # it is called by its id
        return shown(f"{candidate.name}: {candidate.text}")
    return shown(candidate.name)

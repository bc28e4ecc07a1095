"""What a page of samples shows: queries with their images and regions, the right candidate, and what came first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evalkit.leaderboard.pages.grid import Choice, attributes
from evalkit.leaderboard.samples.media import Mark, Picture
from evalkit.leaderboard.samples.sheets import Query, Sheet, ShownCandidate
from evalkit.leaderboard.wording import MISSING, count, interval, link, minus, percent, shown
from evalkit.suites.card import TaskCard

_LARGE, _SMALL = 320, 112  # pixels of the longer side of a query's picture, and of a candidate's
_ENLARGED = 4  # times, at most
_STATES = {"right": "right", "wrong": "wrong", "tied": "tied"}


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
    """A query.

    Attributes:
        number: from 1.
        id: text.
        attributes: what the page filters by.
        state: ``right``, ``wrong`` or ``tied``.
        facts: rank, ties, margin and so on, in words.
        picture: the image with its region, as HTML; may be empty.
        region: the region, in words; may be empty.
        prompt: text; ``None`` without data.
        label: the right candidate.
        top: the first candidates.
        flips: against whom, as HTML; may be empty.
    """

    number: int
    id: str
    attributes: Markup
    state: str
    facts: tuple[str, ...]
    picture: Markup
    region: str
    prompt: str | None
    label: Row
    top: tuple[Row, ...]
    flips: Markup


@dataclass(frozen=True)
class SamplePage:
    """A page of samples.

    Attributes:
        sheet: what it is made of.
        summary: numbers of the whole task, in sentences.
        notes: for the reader.
        samples: the queries.
        choices: filters.
        count: how many queries are shown.
    """

    sheet: Sheet
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]
    choices: tuple[Choice, ...]
    count: str


def sample_page(sheet: Sheet) -> SamplePage:
    """All about the samples of an entry on a task."""
    labels = dict(sheet.others)
    states = [(state, f"{_STATES[state]} ({n})") for state, n in _states(sheet) if n]
    choices = [Choice("state", "Answer", tuple(states))]
    if any(query.low_margin for query in sheet.queries):
        choices.append(Choice("margin", "Margin", (("low", "low"),)))
    flipped = [slug for slug in labels if any(slug in _flips(query, labels) for query in sheet.queries)]
    if flipped:
        choices.append(Choice("flipped", "Flipped against", tuple((slug, shown(labels[slug])) for slug in flipped)))
    return SamplePage(
        sheet=sheet,
        summary=tuple(_summary(sheet)),
        notes=tuple(shown(note) for note in sheet.notes),
        samples=tuple(_sample(query, labels, sheet.card) for query in sheet.queries),
        choices=tuple(choices),
        count=count(sheet.shown, "query", "queries"),
    )


def _states(sheet: Sheet) -> list[tuple[str, int]]:
    return [(state, sum(query.state == state for query in sheet.queries)) for state in _STATES]


def _summary(sheet: Sheet) -> list[str]:
    score = sheet.score
    span = "" if score.low is None else f" (95 % interval {interval(score.low, score.high)})"
    queries = count(sheet.n, "query", "queries")
    answers = f"{sheet.right:,} right, {sheet.wrong:,} wrong, {sheet.tied:,} tied"
    found = [f"Precision@1 {percent(score.value)}{span}: of {queries} {answers}."]
    if sheet.shown < sheet.n:
        found.append(f"Here are the first {sheet.shown:,} of the run's file.")
    if sheet.low_margin is not None:
        found.append(f"A margin is low up to {sheet.low_margin:.4f}: the lowest tenth of all right answers.")
    return found


def _flips(query: Query, labels: dict[str, str]) -> list[str]:
    right = query.state == "right"
    return [slug for slug in labels if (slug in query.right_in) != right]


def _sample(query: Query, labels: dict[str, str], card: TaskCard) -> Sample:
    flips = _flips(query, labels)
    facts = [f"rank {_range(query.rank, query.rank + query.ties)} of {query.pool:,}"]
    if query.ties:
        facts.append(count(query.ties, "other candidate", "other candidates") + " at its score")
    if query.state == "tied":
        facts.append(f"counts {percent(query.score)} %")
    facts.append(f"margin {MISSING if query.margin is None else minus(f'{query.margin:+.4f}')}")
    if query.low_margin:
        facts.append("low margin")
    verdict = "Not right by" if query.state == "right" else "Right by"

    def row(candidate: ShownCandidate, place: str, number: int) -> Row:
        level = candidate.score == query.label.score and query.ties > 0 and query.state != "right"
        return Row(
            place=place,
            text=_said(candidate, card),
            score=minus(f"{candidate.score:.4f}"),
            right="" if candidate.right is None else "right" if candidate.right else "wrong",
            marked=candidate.right is True and not level,
            picture=picture(candidate.image, candidate.marks, _SMALL, f"q{query.number}c{number}"),
        )

    return Sample(
        number=query.number,
        id=shown(query.id),
        attributes=attributes(
            {
                "data-state": query.state,
                "data-margin": "low" if query.low_margin else "",
                "data-flipped": " ".join(flips),
            }
        ),
        state=query.state,
        facts=tuple(facts),
        picture=picture(query.image, query.marks, _LARGE, f"q{query.number}"),
        region=_region(query.marks),
        prompt=None if query.prompt is None else shown(query.prompt),
        label=row(query.label, _range(query.rank, query.rank + query.ties), 0),
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
            yield _range(query.rank, query.rank + query.ties)
        elif first < last == len(scores) < query.pool:
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
    return shown(candidate.name)


def _region(marks: Sequence[Mark]) -> str:
    found = []
    for mark in marks:
        if mark.missing is not None:
            found.append(f"Region not drawn: {shown(mark.missing)}.")
        elif mark.box is not None:
            found.append("Box " + ", ".join(f"{value:g}" for value in mark.box) + " (left, top, right, bottom).")
        elif mark.mask is not None:
            found.append("Mask: what it leaves out is dimmed.")
        else:
            inside = [f"({x:g}, {y:g})" for x, y, positive in mark.points if positive]
            outside = [f"({x:g}, {y:g})" for x, y, positive in mark.points if not positive]
            found.append("Points " + ", ".join(inside) + (f", not {', '.join(outside)}" if outside else "") + ".")
    return " ".join(found)


# --- pictures -------------------------------------------------------------------------------------------


def picture(image: Picture | None, marks: Sequence[Mark], longest: int, name: str) -> Markup:
    """An image with its regions drawn on it, as HTML; an empty frame where it is not embedded and its size is known.

    Args:
        image: to be shown.
        marks: its regions, in pixels of ``image.width`` and ``image.height``.
        longest: the longer side, in pixels of the page; images are enlarged at most :data:`_ENLARGED` times.
        name: its own in the page, of letters and digits.
    """
    if image is None:
        return Markup()
    if image.width is None or image.height is None:
        return Markup('<p class="no-picture">Image <bdi>{}</bdi>: {}</p>').format(
            shown(image.path), shown(image.missing or "not there")
        )
    wide, high = image.width, image.height
    factor = min(longest / max(wide, high), _ENLARGED)
    drawn = Markup("").join(_drawn(mark, wide, high, 1 / factor, f"{name}-{i}", image) for i, mark in enumerate(marks))
    svg = Markup(
        '<svg viewBox="0 0 {wide} {high}" width="{w:.2f}" height="{h:.2f}" preserveAspectRatio="none" '
        'aria-hidden="true">{drawn}</svg>'
    ).format(wide=wide, high=high, w=wide * factor, h=high * factor, drawn=drawn)
    alt = shown(image.path) + (", with the region drawn on it" if drawn else "")
    if image.href is None:
        label = f"{alt}: {shown(image.missing or 'not there')}"
        frame = '<span class="picture frame" role="img" aria-label="{0}" title="{0}">{1}</span>'
        return Markup(frame).format(label, svg)
    whole = '<span class="picture"><img src="{}" alt="{}" title="{}" loading="lazy" decoding="async">{}</span>'
    return Markup(whole).format(image.href, alt, shown(image.path), svg)


def _drawn(mark: Mark, wide: int, high: int, unit: float, name: str, image: Picture) -> Markup:
    """A region as SVG in two tones, of which one is seen on any ground; ``unit`` is a pixel of the page."""
    if mark.box is not None:
        x0, y0, x1, y1 = mark.box
        at = f'x="{x0:g}" y="{y0:g}" width="{max(0.0, x1 - x0):g}" height="{max(0.0, y1 - y0):g}"'
        return Markup(f'<rect class="halo" {at}/><rect class="line" {at}/>')
    if mark.mask is not None:
        over = f'width="{wide}" height="{high}"'
        again = Markup('<image href="{}" {} preserveAspectRatio="none" mask="url(#{})"/>').format(
            image.href or "", Markup(over), name
        )
        return Markup(
            '<mask id="{name}"><image href="{mask}" {over} preserveAspectRatio="none"/></mask>'
            '<rect class="dim" {over}/>{again}<rect class="tint" {over} mask="url(#{name})"/>'
        ).format(name=name, mask=mark.mask, over=Markup(over), again=again if image.href else "")
    return Markup("").join(_point(x, y, positive, unit) for x, y, positive in mark.points)


def _point(x: float, y: float, positive: bool, unit: float) -> Markup:
    arm = 7 * unit
    if positive:
        at = f'cx="{x:g}" cy="{y:g}"'
        ring = f'{at} r="{arm:.3f}"'
        spot = f'<circle class="spot" {at} r="{2 * unit:.3f}"/>'
        return Markup(f'<circle class="halo" {ring}/><circle class="line" {ring}/>{spot}')
    left, right, top, bottom = (f"{value:.3f}" for value in (x - arm, x + arm, y - arm, y + arm))
    d = f"M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"
    return Markup(f'<path class="halo" d="{d}"/><path class="line" d="{d}"/>')

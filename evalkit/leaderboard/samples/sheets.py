"""Sample pages' data: what each measured entry did with each query of a task, beside what the data folder shows of it.

A sheet is made when it is asked for and not kept: a benchmark has thousands of queries for each of many models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from evalkit.items import Item
from evalkit.items.prompting.none import without_region
from evalkit.leaderboard.board import Board, Entry, Score
from evalkit.leaderboard.samples.answers import Answer
from evalkit.leaderboard.samples.media import Gallery, Mark, MediaMode, ShownImage
from evalkit.leaderboard.samples.taskfiles import NamedTask, TaskFiles
from evalkit.leaderboard.wording import file_part
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.task import DataFolder, Task

LIMIT = 200


@dataclass(frozen=True)
class ShownCandidate:
    """A candidate of a query, as a page names it. All texts are strangers' and may hold any characters.

    Attributes:
        name: as the task calls it: a label, an answer, a caption, or an image's path (with its caption).
        score: inner product of the vectors, in [-1, 1] but for rounding.
        right: whether it is a right one; ``None`` where that cannot be told, because candidates of this name are
            both right and wrong (one image with several captions).
        text: the text that comes with its image, where it has both; of an own task's, which may be named by an id,
            any text; else ``None``.
        image: where the candidate is one and the data folder is there; else ``None``.
        marks: its region, drawn on the image: none or one (none of evalkit's own suites has such candidates).
    """

    name: str
    score: float
    right: bool | None
    text: str | None = None
    image: ShownImage | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Query:
    """One query and what the model made of it.

    Attributes:
        number: place in the run's file, from 1.
        answer: what the run's file says of it.
        prompt: the exact text that an instruction-following model got, with ``<image>`` where the image went;
            ``None`` without data.
        image: of the query; ``None`` where it has none, or without data.
        marks: its region, drawn on the image: none or one.
        label: the right candidate, best of them where there are several.
        top: the best candidates, best first, at most five; the label is not among them where it ranks lower.
        low_margin: right, and by a margin of at most the sheet's ``low_margin``.
        right_in: slugs of those of the sheet's ``others`` that have this query right, in their order.
    """

    number: int
    answer: Answer
    prompt: str | None
    image: ShownImage | None
    marks: tuple[Mark, ...]
    label: ShownCandidate
    top: tuple[ShownCandidate, ...]
    low_margin: bool
    right_in: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """The sample page of one entry on one task.

    Attributes:
        board: its key.
        card: of the task.
        entry: the measured entry.
        score: of the entry on the task; ``score.result`` has how regions reached the model, and the signature.
        n: queries of the run's file.
        queries: the first of them in the file's order, at most as many as were asked for.
        right: how many of all ``n`` are right.
        wrong: how many of all are wrong.
        tied: how many of all are tied; right + wrong + tied = n.
        low_margin: the margin that the lowest tenth of all right answers does not exceed; ``None`` where no answer is
            right or has a margin.
        others: the other measured entries of the board that were asked the same queries on the same data, as slug and
            label, in the board's order: ``Query.right_in`` speaks of these, so a query is flipped against one of them
            where exactly one of the two has it right.
        notes: for the reader, in sentences: why there are no texts or no images, and how to get them. No markup; may
            hold strangers' words.
    """

    board: str
    card: TaskCard
    entry: Entry
    score: Score
    n: int
    queries: tuple[Query, ...]
    right: int
    wrong: int
    tied: int
    low_margin: float | None
    others: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sheets:
    """All sample pages of a board, task by task, and the images that they show.

    Attributes:
        pages: by the page's path below the site's folder (``<board>/samples-<subset>-<slug>.html``), what makes its
            sheet. Fastest in this order: what the sheets of a task share is read once, and kept until the next task.
        media: by path (``<board>/media/<digest>.<ext>``), what makes the file's content.
        warnings: which pages are left out, and why: for the terminal, one line an entry, naming the first file that
            cannot be read. May hold strangers' words.
    """

    pages: Mapping[str, Callable[[], Sheet]]
    media: Mapping[str, Callable[[], bytes]]
    warnings: tuple[str, ...]


def sheet_path(board: Board, card: TaskCard, entry: Entry) -> str:
    """The page's path below the site's folder."""
    # Slugs hold no two hyphens together, so no two of own tasks and entries have one name.
    return f"{board.key}/samples-{file_part(card)}{'--' if board.own else '-'}{entry.slug}.html"


def sheets(
    board: Board,
    data: DataFolder | None,
    *,
    media: MediaMode = "none",
    limit: int = LIMIT,
    own: Sequence[Task] = (),
) -> Sheets:
    """The sample pages of a board's measured entries.

    All of them are made once in this call where images are embedded, because a site has to know its files beforehand.

    Args:
        board: any.
        data: where the tasks' data lies; ``None`` for pages of what the runs' files alone have. What is not the runs'
            own data (other query ids) is not shown; the sheet says so.
        media: how images of somebody else's data set are embedded: not at all, as WebP of at most 256 pixels a side,
            or with all their pixels. Those of evalkit's own suites always are, with all their pixels.
        limit: queries a page, at least 1: the first of the run's file.
        own: own tasks, whose data lies in no data folder.
    """
    if limit < 1:
        raise ValueError(f"limit {limit}: a page has at least one query")
    given = {task.card.name: task for task in own if board.own}
    known = bool(given) if board.own else data is not None
    gallery = Gallery(media if board.official_images else "full", None if board.own else data) if known else None
    cards = {card.name: card for card in board.cards}

    @lru_cache(maxsize=1)
    def opened(name: str) -> TaskFiles:
        return TaskFiles(cards[name], board, data, limit, given.get(name))

    def sheet(name: str, entry: Entry) -> Sheet:
        return _sheet(opened(name), entry, gallery)

    pages: dict[str, Callable[[], Sheet]] = {}
    left_out: dict[str, list[str]] = {}
    for card in board.cards:
        files = opened(card.name)
        for label, fault in files.faults.items():
            left_out.setdefault(label, []).append(f"{card.name}: {fault}")
        for entry in files.entries:
            path = sheet_path(board, card, entry)
            if path in pages:  # of task A by B-C, and of task A-B by C
                left_out.setdefault(entry.label, []).append(f"{card.name}: {path} is the page of another task")
                continue
            pages[path] = partial(sheet, card.name, entry)
            if gallery is not None and gallery.mode != "none":
                pages[path]()  # from now on the gallery has what it shows
    media_files = {} if gallery is None else {f"{board.key}/{href}": make for href, make in gallery.files.items()}
    return Sheets(pages, media_files, tuple(_warning(label, faults) for label, faults in left_out.items()))


def _warning(label: str, faults: Sequence[str]) -> str:
    more = f" ({len(faults) - 1} more of its tasks have none either)" if len(faults) > 1 else ""
    return f"{label} has no sample page of {faults[0]}{more}"


def _sheet(files: TaskFiles, entry: Entry, gallery: Gallery | None) -> Sheet:
    card, answers, score = files.card, files.answers[entry.slug], entry.scores[files.card.name]
    found = files.rows(entry)
    rows = found if isinstance(found, NamedTask) else None
    others, right_in = [], []
    for other in files.entries:
        if other.slug == entry.slug or other.scores[card.name].data != score.data:
            continue
        if (right := files.answers[other.slug].has_right(answers)) is not None:
            others.append((other.slug, other.label))
            right_in.append(right)
    queries = []
    for place, answer in enumerate(answers.rows):
        low = answer.state == "right" and answers.is_low(answer.margin)
        also = tuple(slug for (slug, _), right in zip(others, right_in, strict=True) if right[place])
        queries.append(_query(place + 1, answer, score, rows, gallery, low, also))
    return Sheet(
        board=files.board.key,
        card=card,
        entry=entry,
        score=score,
        n=len(answers.scores),
        queries=tuple(queries),
        right=answers.right,
        wrong=answers.wrong,
        tied=len(answers.scores) - answers.right - answers.wrong,
        low_margin=answers.low_margin,
        others=tuple(others),
        notes=(found,) if isinstance(found, str) else tuple(_notes(card, score, gallery)),
    )


def _notes(card: TaskCard, score: Score, gallery: Gallery | None) -> list[str]:
    """What a reader of a sheet with texts should know of them, and of the images."""
    notes = []
    if score.apart is not None:
        notes.append(f"This score is on other data than that of the ranked entries: {score.apart.why}.")
    if gallery is not None and gallery.mode == "none" and "image" in card.query_modality + card.candidate_modality:
        notes.append(
            "Images are not shown, as they are somebody else's: pages made with --media thumbnails or --media full "
            "show them."
        )
    if score.result is not None and score.result.task_version != card.version:
        notes.append(
            f"The run was made of version {score.result.task_version} of the task; its prompts are shown as version "
            f"{card.version} has them."
        )
    return notes


def _query(
    number: int,
    answer: Answer,
    score: Score,
    rows: NamedTask | None,
    gallery: Gallery | None,
    low_margin: bool,
    right_in: tuple[str, ...],
) -> Query:
    item = rows.query(answer.id) if rows else None
    picture, marks = gallery.shown(item) if gallery and item else (None, ())
    if item and item.region and score.result and score.result.prompting == "none":
        item = without_region(item)
    return Query(
        number=number,
        answer=answer,
        prompt=item.prompt if item else None,
        image=picture,
        marks=marks,
        label=_label(answer, rows, gallery),
        top=tuple(_top(answer, place, rows, gallery) for place in range(len(answer.top))),
        low_margin=low_margin,
        right_in=right_in,
    )


def _label(answer: Answer, rows: NamedTask | None, gallery: Gallery | None) -> ShownCandidate:
    found = rows.candidates(answer.id, answer.label) if rows else []
    items = [item for item, right in found if right]
    return _candidate(answer.label, answer.label_score, True, items, gallery, own=_is_own(rows))


def _top(answer: Answer, place: int, rows: NamedTask | None, gallery: Gallery | None) -> ShownCandidate:
    name, score = answer.top[place], answer.top_scores[place]
    found = rows.candidates(answer.id, name) if rows else []
    # Without data the name has to do, where it is that of one candidate.
    rights = {right for _, right in found} or ({name == answer.label} if answer.top.count(name) == 1 else set())
    right = _is_right(answer, score, rights.pop() if len(rights) == 1 else None)
    items = [item for item, fits in found if right in (None, fits)]
    return _candidate(name, score, right, items, gallery, own=_is_own(rows))


def _is_own(rows: NamedTask | None) -> bool:
    return rows is not None and rows.task.card.suite == OWN


def _is_right(answer: Answer, score: float, said: bool | None) -> bool | None:
    """Whether a candidate is right, by its score where that is enough, else by what is ``said`` of its name."""
    if score > answer.label_score:
        return False
    if score == answer.label_score and not answer.ties:
        return True
    if score < answer.label_score and answer.relevant == 1:
        return False
    return said


def _candidate(
    name: str, score: float, right: bool | None, items: Sequence[Item], gallery: Gallery | None, *, own: bool
) -> ShownCandidate:
    """A candidate that may be any of these items: shown is what they have in common."""
    texts = {item.text for item in items}
    text = texts.pop() or None if len(texts) == 1 else None
    if gallery is None or len({(item.image, item.region) for item in items}) != 1 or items[0].image is None:
        return ShownCandidate(name, score, right, text if own else None)
    return ShownCandidate(name, score, right, text, *gallery.shown(items[0]))

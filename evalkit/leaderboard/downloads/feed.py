"""An Atom feed (RFC 4287) of what came onto the boards: runs as they ended, published sources as they appeared."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from evalkit.errors import UsageError
from evalkit.leaderboard.board import HEADLINES, Board, Entry, Score
from evalkit.leaderboard.wording import MISSING, count, percent

_ATOM = "http://www.w3.org/2005/Atom"
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "evalkit.leaderboard")  # ids are made of names below it, the same for ever
_NAMED = 20  # entries of a published source that are named

_SCORES = 5  # of an entry without means that are named


@dataclass(frozen=True)
class _News:
    """An entry of the feed: what its id is made of, when it was, where its page is, and what it says."""

    name: str
    when: str
    title: str
    summary: str
    page: str


def files(boards: Sequence[Board], environment: Mapping[str, str]) -> dict[str, Callable[[], bytes]]:
    """``feed.xml``; see :func:`feed` and :func:`undated`.

    Raises:
        UsageError: ``SOURCE_DATE_EPOCH`` is no number of seconds.
    """
    when = undated(environment)
    return {"feed.xml": lambda: feed(boards, when)}


def undated(environment: Mapping[str, str]) -> str:
    """The time of what has none: ``SOURCE_DATE_EPOCH`` in seconds, else the beginning of 1970. No clock is read.

    Raises:
        UsageError: it is no number of seconds that is a date.
    """
    text = environment.get("SOURCE_DATE_EPOCH", "0")
    try:
        return datetime.fromtimestamp(int(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}: give whole seconds since 1970, or unset it") from error


def feed(boards: Sequence[Board], when: str) -> bytes:
    """The feed, newest first: one entry a run and board, and one a published source.

    Addresses are relative to the feed, as nobody has said where the site will be; ids are ``urn:uuid:`` of names, so
    they stay the same wherever it is and whenever it is made again.

    Args:
        boards: all of a site.
        when: the time of what has none, ``YYYY-MM-DDTHH:MM:SSZ``.
    """
    news = [item for board in boards for item in (*_runs(board, when), *_sources(board, when))]
    news.sort(key=lambda item: item.name)
    news.sort(key=lambda item: item.when, reverse=True)
    ET.register_namespace("", _ATOM)
    root = ET.Element(f"{{{_ATOM}}}feed")
    _add(root, "id", _id("feed", *(board.key for board in boards)))
    _add(root, "title", "evalkit leaderboard")
    _add(root, "updated", news[0].when if news else when)
    _add(_add(root, "author"), "name", "evalkit")
    _add(root, "link", rel="self", href="feed.xml", type="application/atom+xml")
    _add(root, "link", rel="alternate", href="index.html", type="text/html")
    for item in news:
        entry = _add(root, "entry")
        _add(entry, "id", _id(item.name))
        _add(entry, "title", item.title)
        _add(entry, "updated", item.when)
        _add(entry, "link", rel="alternate", href=item.page, type="text/html")
        _add(entry, "summary", item.summary)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _runs(board: Board, when: str) -> list[_News]:
    return [
        _News(
            # Two states of a run, of other days, are told apart by their slugs.
            name=f"run {board.key} {entry.model} {entry.run[1].run_id} {entry.slug}",
            when=entry.seen or when,
            title=f"{entry.label} on {board.title}",
            summary=_summary(board, entry),
            page=f"{board.key}/model-{entry.slug}.html",
        )
        for entry in board.entries
        if entry.run is not None
    ]


def _sources(board: Board, when: str) -> list[_News]:
    """Published sources, tables of one address as one, with their entries.

    The day of a source is that of the entries that have no other one.
    """
    members: dict[str, dict[str, Entry]] = {}
    titles: dict[str, list[str]] = {}
    for entry in board.entries:
        for source in entry.sources:
            address = source.url or source.title
            titles.setdefault(address, []).append(source.title)
            members.setdefault(address, {})[entry.slug] = entry
    found = []
    for address, by_slug in members.items():
        entries = list(by_slug.values())
        days = [e.seen for e in entries if e.seen and all((s.url or s.title) == address for s in e.sources)]
        lines = [_summary(board, entry) for entry in entries[:_NAMED]]
        more = [f"and {count(len(entries) - _NAMED, 'more', 'more')}"] if len(entries) > _NAMED else []
        found.append(
            _News(
                name=f"published {board.key} {address}",
                when=max(days, default=when),
                title=f"{count(len(entries), 'published row')} on {board.title}: {_common(titles[address])}",
                summary="\n".join([*lines, *more]),
                page="index.html",
            )
        )
    return found


def _common(titles: Sequence[str]) -> str:
    """What titles begin with that differ in their last brackets: the document's of "document (table)"."""
    heads = {title.rpartition(" (")[0] or title for title in titles}
    return heads.pop() if len(heads) == 1 and len(set(titles)) > 1 else min(titles)


def _summary(board: Board, entry: Entry) -> str:
    if entry.kind == "claimed":
        return f"{entry.label}: claimed, not measured: its samples are not there"
    if board.own:
        return f"{entry.label}: {_scores(entry)}"
    numbers = [
        f"{group.label} {text}{' (on other data than the ranked entries)' if entry.means[group.key].apart else ''}"
        for group in board.groups
        if group.key in HEADLINES and (text := percent(entry.means[group.key].value)) != MISSING
    ]
    return f"{entry.label}: {', '.join(numbers) or 'no mean, as not all tasks are there'}"


def _scores(entry: Entry) -> str:
    """The first scores of an entry that has no means."""
    numbers = [
        f"{task} {percent(score.value)}{_doubted(score)}" for task, score in list(entry.scores.items())[:_SCORES]
    ]
    more = [count(len(entry.scores) - _SCORES, "more task")] if len(entry.scores) > _SCORES else []
    return ", ".join([*numbers, *more]) or "no score"


def _doubted(score: Score) -> str:
    if score.apart is not None:
        return f" ({'claimed' if score.claimed else 'on other data than the ranked entries'})"
    return "" if score.complete else " (not all queries)"


def _id(*parts: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_IDS, chr(0).join(parts))}"


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    element.text = text
    return element

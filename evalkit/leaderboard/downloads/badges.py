"""Badges of ranked entries: an SVG file, and the JSON that shields.io draws one from."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from evalkit.files import json_bytes
from evalkit.leaderboard.board import HEADLINES, Board, Entry, Group
from evalkit.leaderboard.wording import percent

_GREY, _COLOUR = "#555555", "#1f5fa8"  # white on either has a contrast of more than 6:1
_HEIGHT, _MARGIN = 20, 7
_WIDTHS = {
    character: width
    for width, characters in ((3.5, "ijl.,:;|!'()[] "), (5.0, "frt-/–"), (9.5, "mwMW%@+"), (7.6, "ABCDEGHKNOPQRSUVXYZ"))
    for character in characters
}
_USUAL, _WIDE = 6.9, 12.0  # pixels of other characters at 11 pixels, Verdana's, and of those beyond Latin


def files(board: Board) -> dict[str, Callable[[], bytes]]:
    """``badges/<slug>.svg`` and ``.json`` of each ranked entry, below the board's folder."""
    found: dict[str, Callable[[], bytes]] = {}
    for entry in board.entries:
        if group := _group(board, entry):
            path = f"{board.key}/badges/{entry.slug}"
            found[f"{path}.svg"] = _making(svg, board, entry, group)
            found[f"{path}.json"] = _making(endpoint, board, entry, group)
    return found


def svg(board: Board, entry: Entry, group: Group) -> bytes:
    """A badge that loads nothing: the group's label and the entry's mean with its rank, named for screen readers."""
    label, message = group.label, _message(entry, group)
    left, right = _width(label) + 2 * _MARGIN, _width(message) + 2 * _MARGIN
    source = "" if entry.kind == "measured" else " (not measured by evalkit)"
    title = f"{entry.label} on {board.title}: {label} {message}{source}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
        'aria-labelledby="title">',
        f'<title id="title">{_text(title)}</title>',
        f'<rect width="{left + right}" height="{_HEIGHT}" rx="3" fill="{_GREY}"/>',
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v{_HEIGHT - 6}a3 3 0 0 1-3 3h-{right - 3}z" fill="{_COLOUR}"/>',
        '<g fill="#ffffff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" aria-hidden="true">',
        f'<text x="{_MARGIN}" y="14" textLength="{left - 2 * _MARGIN}">{_text(label)}</text>',
        f'<text x="{left + _MARGIN}" y="14" textLength="{right - 2 * _MARGIN}">{_text(message)}</text>',
        "</g>",
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def endpoint(board: Board, entry: Entry, group: Group) -> bytes:
    """What https://shields.io/badges/endpoint-badge reads."""
    return json_bytes(
        {"schemaVersion": 1, "label": group.label, "message": _message(entry, group), "color": _COLOUR.lstrip("#")}
    )


def _making(
    make: Callable[[Board, Entry, Group], bytes], board: Board, entry: Entry, group: Group
) -> Callable[[], bytes]:
    return lambda: make(board, entry, group)


def _group(board: Board, entry: Entry) -> Group | None:
    """The first headline that an entry is ranked by."""
    return next((group for group in board.groups if group.key in HEADLINES and entry.ranks.get(group.key)), None)


def _message(entry: Entry, group: Group) -> str:
    published = " published" if entry.kind == "published" else ""
    return f"{percent(entry.means[group.key].value)} %{published}, rank {entry.ranks[group.key]}"


def _width(text: str) -> int:
    return round(sum(_WIDTHS.get(c, _USUAL if c.isascii() else _WIDE) for c in text))


def _text(text: str) -> str:
    return escape(text, quote=True)

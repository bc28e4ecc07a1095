"""Boards as GitHub-flavoured Markdown: LEADERBOARD.md, and a download of each board."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.downloads.tabular import Table, TextCell, legend, tables
from evalkit.version import __version__


def markdown(boards: Sequence[Board]) -> str:
    """All boards, one after the other: headline table, tables of the meta-tasks, what the marks mean, footnotes.

    The same boards give the same text; there is no date in it.
    """
    parts = ["# Leaderboard"]
    for board in boards:
        parts += _board(board)
    parts.append(f"Made by evalkit {__version__}.")
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text without meaning for Markdown or HTML: names come from strangers."""
    text = re.sub(r"\s+", " ", text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A colon, an @ or www. would let GitHub make a link of an address.
    text = re.sub(r"(?<=\w):(?=//)|(?<!\w)@(?=\w)|(?<=www)\.", lambda found: f"&#{ord(found[0])};", text)
    return re.sub(r"([\\`*_{}\[\]|~$]|#(?!\d+;)|!)", r"\\\1", text)


def _board(board: Board) -> list[str]:
    parts = [f"## {escaped(board.title)}"]
    if board.caution:
        parts.append(f"> {escaped(board.caution)}")
    first, *others = tables(board)
    parts.append(_table(first))
    for table in others:
        parts += [f"### {escaped(table.caption)}", _table(table)]
    parts += ["### Notes", "\n".join(f"- {_item(line)}" for line in legend(board))]
    if board.footnotes:
        lines = (f"{number}. {_item(note)}" for number, note in enumerate(board.footnotes, 1))
        parts += ["### Footnotes", "\n".join(lines)]
    return parts


def _table(table: Table) -> str:
    lines = [
        _line([escaped(column.header) for column in table.columns]),
        _line(["--:" if column.number else ":--" for column in table.columns]),
    ]
    lines += [_line([_cell(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: TextCell) -> str:
    marks = "*" * (2 * cell.strong + cell.slanted)
    text = f"{marks}{escaped(cell.text)}{marks}"
    if cell.href:
        text = f"[{text}](<{re.sub('[<>|]', '', cell.href)}>)"
    return f"{text} <sup>{', '.join(map(str, cell.notes))}</sup>" if cell.notes else text


def _item(text: str) -> str:
    """Text of a list's item, which would begin a list or a heading of its own with these."""
    return re.sub(r"^([-+=]|\d+(?=[.)](?:\s|$)))", _no_list, escaped(text))


def _no_list(found: re.Match[str]) -> str:
    return f"{found[0]}&#8203;" if found[0].isdigit() else f"\\{found[0]}"

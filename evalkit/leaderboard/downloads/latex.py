"""A board as LaTeX: the same tables as the Markdown's, for a paper that loads booktabs."""

from __future__ import annotations

import re

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.downloads.tabular import Table, TextCell, legend, tables
from evalkit.version import __version__

_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    # A row that begins with one of these would be an argument of the row before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "–": "--",
    "°": r"\textdegree{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\textsection{}",
} | {character: f"\\{character}" for character in "{}$&#_%"}


def latex(board: Board) -> str:
    """Each table as a ``tabular`` of its own, then what the marks mean and the footnotes.

    It can be read into any document that loads the packages booktabs and textcomp; names that are not Latin need
    XeLaTeX or LuaLaTeX, and a font that has them.
    """
    parts = [
        f"% {_one_line(board.title)}: made by evalkit {__version__}\n% \\usepackage{{booktabs,textcomp}}",
        *(_table(table) for table in tables(board)),
    ]
    notes = [escaped(line) for line in legend(board)]
    notes += [rf"\textsuperscript{{{number}}} {escaped(note)}" for number, note in enumerate(board.footnotes, 1)]
    caution = [escaped(board.caution)] if board.caution else []
    parts.append("{\\footnotesize\n" + "\n\n".join([*caution, *notes]) + "\n\\par}")
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text in which no character is a command: names come from strangers."""
    return "".join(_CHARACTERS.get(character, character) for character in _one_line(text))


def _table(table: Table) -> str:
    shape = "".join("r" if column.number else "l" for column in table.columns)
    rows = [" & ".join(_cell(cell) for cell in row) + r" \\" for row in table.rows]
    body = rows[: len(rows) - table.foot]
    lines = [
        f"% {_one_line(table.caption)}",
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        " & ".join(escaped(column.header) for column in table.columns) + r" \\",
        r"\midrule",
        *body,
        *([r"\midrule"] if table.foot and body else []),
        *rows[len(body) :],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _cell(cell: TextCell) -> str:
    text = escaped(cell.text)
    text = rf"\emph{{{text}}}" if cell.slanted else text
    text = rf"\textbf{{{text}}}" if cell.strong else text
    return rf"{text}\textsuperscript{{{','.join(map(str, cell.notes))}}}" if cell.notes else text


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

"""What the index shows of a board: what it holds, its headline table, score against size, and published gains."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.pages.columns import fixed, heads, plain
from evalkit.leaderboard.pages.grid import Column, Grid
from evalkit.leaderboard.pages.headline import headline
from evalkit.leaderboard.pages.listing import KINDS, notes
from evalkit.leaderboard.pages.scatter import chart
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.wording import MISSING, count, minus, path, percent


def index_view(board: Board) -> dict[str, Any]:
    """A board on the index."""
    home = f"{path(board.key)}/"
    return {
        "board": board,
        "home": home,
        "facts": _facts(board),
        "grid": headline(board, home),
        "chart": chart(board),
        "improvements": _improvements(board, home),
        "notes": list(enumerate(board.footnotes, 1)),
    }


def _facts(board: Board) -> list[str]:
    """What a board holds, in a few words each."""
    entries = [entry for entry in board.entries if not entry.knows_nothing]
    found = [count(len(board.cards), "task"), count(len(entries), "entry", "entries")]
    found += [f"{n:,} {kind}" for kind in KINDS if (n := sum(entry.kind == kind for entry in entries))]
    if others := sum(any(apart.kind == "other data" for apart in entry.apart.values()) for entry in entries):
        found.append(f"{others:,} on other data")
    return found


def _improvements(board: Board, home: str) -> Grid | None:
    """How far published models are ahead of the best baseline of their size, or ``None`` where the board has none."""
    if not board.improvements:
        return None
    standing = Standing(board, home)
    labels = {group.key: group.label for group in board.groups}

    def mean(slug: str, group: str) -> str:
        found = standing.entries[slug].means.get(group)
        return Markup(percent(found.value)) + notes(found.notes, board) if found else MISSING

    rows = board.improvements
    named = [standing.link(standing.entries[r.entry]) for r in rows]
    baselines = [standing.link(standing.entries[r.baseline]) for r in rows]
    gains = [minus(f"{100 * r.relative:+.1f} %") for r in rows]
    columns = (
        Column("model", "Model", heads(named), None, classes="name"),
        fixed("group", "Mean over", [labels.get(r.group, r.group) for r in rows], classes="t"),
        fixed("mean", "Mean", [mean(r.entry, r.group) for r in rows]),
        fixed("baseline", "Best baseline of its size in the same paper", baselines, classes="t"),
        fixed("base", "Its mean", [mean(r.baseline, r.group) for r in rows]),
        Column("gain", "Relative gain", plain(gains, "main"), None),
    )
    caption = "Published gains over the best baseline of the same size in the same paper, as it prints them"
    return Grid(f"{board.key}-improvements", caption, columns)

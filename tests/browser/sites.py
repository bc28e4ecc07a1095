"""Sites on disk for the browser to look at."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import PIL.ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "leaderboard"))

import synthetic_boards as boards

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.pages.html import site
from evalkit.leaderboard.samples.media import Mark, ShownImage
from evalkit.leaderboard.samples.sheets import Query

KINDS = {
    "index": "index.html",
    "tasks": "mmeb-scar/tasks.html",
    "group": "mmeb-scar/group-general.html",
    "task": "mmeb-scar/task-RefCOCOg.html",
    "model": "mmeb-scar/model-virtue-000-native.html",
    "published model": "mmeb-scar/model-paper-001.html",
    "compare": "mmeb-scar/compare.html",
    "pair": "mmeb-scar/compare-vlm2vec-001-text-and-virtue-000-native.html",
    "samples": "mmeb-scar/samples-RefCOCOg-virtue-000-native.html",
    "method": "method.html",
    "downloads": "downloads.html",
}
"""One page of each kind."""
WIDTH, HEIGHT = 200, 120
"""Of the pictures on the page of samples."""
BOX = (40.0, 30.0, 120.0, 90.0)
GROUND = (90, 140, 60)


@dataclass(frozen=True)
class Site:
    """A site on disk and what it was made of."""

    folder: Path
    board: Board

    def uri(self, page: str, state: str = "") -> str:
        return (self.folder / page).as_uri() + (f"#{state}" if state else "")


def write(folder: Path, *made: Board, queries: tuple[Query, ...] = ()) -> Site:
    """The pages of boards in a folder; queries are samples of the first board."""
    sheets = [boards.sheets(boards.sheet(made[0], queries))] if queries else []
    for name, make in site(made, version="0.1.0", sheets=sheets).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(make())
    return Site(folder, made[0])


def samples(folder: Path) -> tuple[Query, ...]:
    """Queries with a box, points, a mask and no embedded image, on pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (WIDTH, HEIGHT), GROUND).save(folder / "a.png")
    mask = PIL.Image.new("1", (WIDTH, HEIGHT))
    PIL.ImageDraw.Draw(mask).rectangle((40, 30, 119, 89), fill=1)
    mask.save(folder / "a-mask.png", transparency=0)
    shown = ShownImage("images/a.jpg", "media/a.png", WIDTH, HEIGHT)
    hidden = ShownImage("images/b.jpg", None, WIDTH, HEIGHT, "not embedded (--media none)")
    marks = (
        (shown, Mark(box=BOX)),
        (shown, Mark(points=((50.0, 40.0, True), (150.0, 100.0, False)))),
        (shown, Mark(mask="media/a-mask.png")),
        (hidden, Mark(box=BOX)),
    )
    states = ("right", "wrong", "tied", "right", "wrong", "right")
    return tuple(
        boards.query(number, state, image=marks[number % 4][0], marks=(marks[number % 4][1],), right_in=others)
        for number, (state, others) in enumerate(
            zip(states, ((), ("clip-002-crop",), (), ("clip-002-crop",), (), ()), strict=True), 4
        )
    )

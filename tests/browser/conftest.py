"""Sites on disk, and headless Chromium to look at them; without either these tests are skipped and say so."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "leaderboard"))

import synthetic_boards as boards

from evalkit.leaderboard.board import Board
from evalkit.leaderboard.html import site
from evalkit.leaderboard.media import Mark, Picture
from evalkit.leaderboard.sheets import Query

PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine."""
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: Debian's, or the one that CHROMIUM names."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (evalkit[test])")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium (apt install chromium, or CHROMIUM=PATH)")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


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
    shown = Picture("images/a.jpg", "media/a.png", WIDTH, HEIGHT)
    hidden = Picture("images/b.jpg", None, WIDTH, HEIGHT, "not embedded (--media none)")
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


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site of two boards; nobody writes into it."""
    folder = tmp_path_factory.mktemp("site")
    queries = samples(folder / "mmeb-scar" / "media")
    return write(folder, boards.board(8, 4, pairs=3), boards.demo(), queries=queries)


@dataclass
class Visit:
    """A page in a browser, and what it did."""

    page: Any
    errors: list[str]
    requests: list[str]
    dialogs: list[str]


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Open an address in a browser of its own; in the end nothing may have gone wrong there."""
    visits: list[Visit] = []

    @contextmanager
    def closing() -> Iterator[None]:
        try:
            yield
        finally:
            for one in visits:
                one.page.context.close()

    def start(uri: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        found = Visit(page, [], [], [])
        visits.append(found)
        page.on("console", lambda said: said.type in ("error", "warning") and found.errors.append(said.text))
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(uri, timeout=PATIENCE)
        return found

    with closing():
        yield start
        for one in visits:
            assert one.errors == []
            assert one.dialogs == []
            assert [url for url in one.requests if not url.startswith("file:")] == []

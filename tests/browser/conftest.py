"""Headless Chromium, and a site for it to look at; without it these tests are skipped and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sites import Site, boards, samples, write

PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine."""


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

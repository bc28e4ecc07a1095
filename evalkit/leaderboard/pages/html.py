"""Boards to the pages of a site: HTML through templates that escape everything and hold no arithmetic.

A page loads the site's own style and script and, on pages of samples, its images: no network, no server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from evalkit.leaderboard.board import Board, Entry, Group, Pairing
from evalkit.leaderboard.pages.comparison_page import matrices, not_compared, pair_page
from evalkit.leaderboard.pages.headline import of_group
from evalkit.leaderboard.pages.index_page import index_view
from evalkit.leaderboard.pages.listing import HEADLINE, footnotes
from evalkit.leaderboard.pages.model_page import model_page
from evalkit.leaderboard.pages.picture import region
from evalkit.leaderboard.pages.sample_page import sample_page
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.pages.task_list import medians, task_list
from evalkit.leaderboard.pages.task_page import task_page
from evalkit.leaderboard.samples.sheets import Sheet, Sheets
from evalkit.leaderboard.wording import called, cite, count, path, percent, shown, signed
from evalkit.suites.card import TaskCard

STATIC = ("site.css", "site.js")
POLICY = "; ".join(
    (
        "default-src 'none'",
        # Whether 'self' of a page that was opened from a disk holds the files beside it, browsers do not agree.
        "script-src 'self' file:",
        "style-src 'self' file:",
        "img-src 'self' file:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
_DOWNLOADS = (
    ("leaderboard.csv", "CSV", "one row for each entry, with all means, scores and facts"),
    ("leaderboard.json", "JSON", "everything that the pages show"),
    ("leaderboard.schema.json", "JSON Schema", "what each field of the JSON is"),
    ("leaderboard.tex", "LaTeX", "the headline table and one of each meta-task, for a paper with booktabs"),
    ("leaderboard.md", "Markdown", "the same tables, for a README"),
)
_OF_OWN = {
    "leaderboard.csv": "one row for each entry, with all scores, their intervals and ties",
    "leaderboard.tex": "the table of all tasks, for a paper with booktabs",
    "leaderboard.md": "the same table, for a README",
}


def site(boards: Sequence[Board], *, version: str, sheets: Sequence[Sheets] = ()) -> dict[str, Callable[[], bytes]]:
    """All pages of a site and what they load but images; the same boards give the same bytes.

    Args:
        boards: in the order of the index; keys that are their own.
        version: of evalkit.
        sheets: pages of samples, by the boards' keys in their paths.

    Returns:
        By path below the site's folder, what makes the content.

    Raises:
        ValueError: a key or slug that cannot be part of a file's name, or two of one name.
    """
    return _Site(tuple(boards), version, {name: make for own in sheets for name, make in own.pages.items()}).files()


@dataclass(frozen=True)
class _Site:
    boards: tuple[Board, ...]
    version: str
    samples: Mapping[str, Callable[[], Sheet]]

    def files(self) -> dict[str, Callable[[], bytes]]:
        found: dict[str, Callable[[], bytes]] = {"index.html": self.index}

        def add(name: str, make: Callable[[], bytes]) -> None:
            if name in found:
                raise ValueError(f"two pages are called {name}")
            found[name] = make

        for board in self.boards:
            of = Standing(board, f"{path(board.key)}/")
            add(f"{of.home}tasks.html", partial(self.tasks, board))
            for group in board.groups:
                add(of.group(group), partial(self.group, board, group))
            for card in board.cards:
                add(of.task(card), partial(self.task, board, card))
            for entry in board.entries:
                add(of.model(entry), partial(self.model, board, entry))
            add(f"{of.home}compare.html", partial(self.compare, board))
            for comparison in board.comparisons:
                if comparison.compared:
                    add(of.pair(comparison), partial(self.pair, board, comparison))
        known = {board.key: board for board in self.boards}
        for name, make in self.samples.items():
            add(name, partial(self.sheet, known[name.partition("/")[0]], make))
        add("method.html", self.method)
        add("downloads.html", self.downloads)
        for name in STATIC:
            add(name, resources.files("evalkit.reports").joinpath("static", name).read_bytes)
        return found

    # --- pages --------------------------------------------------------------------------------------

    def index(self) -> bytes:
        return self._page("index.html", None, "Leaderboard", views=[index_view(board) for board in self.boards])

    def tasks(self, board: Board) -> bytes:
        table = task_list(board, self._medians[board.key])
        title = board.title if board.own else f"Tasks of {board.title}"
        return self._page("tasks.html", board, title, ("Tasks",), table=table)

    def group(self, board: Board, group: Group) -> bytes:
        facts = [count(len(group.tasks), "task")]
        if group.chance is not None:
            facts.append(f"mean chance {percent(group.chance)}")
        means = [entry.means[group.key] for entry in board.entries if group.key in entry.means]
        return self._page(
            "group.html",
            board,
            group.label,
            (("Tasks", "tasks.html"), group.label),
            group=group,
            table=of_group(board, group),
            notes=footnotes(board, means),
            facts=facts,
        )

    def task(self, board: Board, card: TaskCard) -> bytes:
        view = task_page(board, card, self.samples)
        return self._page("task.html", board, called(card), (("Tasks", "tasks.html"), called(card)), **view)

    def model(self, board: Board, entry: Entry) -> bytes:
        view = model_page(board, entry, self._medians[board.key], self.samples)
        return self._page("model.html", board, entry.label, (entry.label,), **view)

    def compare(self, board: Board) -> bytes:
        return self._page(
            "compare.html",
            board,
            f"Comparisons: {board.title}",
            ("Compare",),
            matrices=matrices(board),
            pairs=any(pair.compared for pair in board.comparisons),
            apart=not_compared(board),
        )

    def pair(self, board: Board, comparison: Pairing) -> bytes:
        view = pair_page(board, comparison)
        title = f"{view['new'].label} against {view['base'].label}"
        return self._page("pair.html", board, title, (("Compare", "compare.html"), title), **view)

    def sheet(self, board: Board, make: Callable[[], Sheet]) -> bytes:
        sheet = make()
        subset, label = called(sheet.card), sheet.entry.label
        crumbs = (("Tasks", "tasks.html"), (subset, Standing(board).task(sheet.card)), f"Samples: {label}")
        return self._page("samples.html", board, f"Samples of {subset} by {label}", crumbs, **sample_page(sheet))

    def method(self) -> bytes:
        licences = [(board, said) for board in self.boards if (said := _licences(board))]
        own = any(board.own for board in self.boards)
        return self._page("method.html", None, "Method", ("Method",), boards=licences, own=own)

    def downloads(self) -> bytes:
        views = [
            {
                "board": board,
                "files": [
                    (f"{path(board.key)}/{name}", label, (_OF_OWN if board.own else {}).get(name, what))
                    for name, label, what in _DOWNLOADS
                ],
                "badges": [
                    (entry, *(f"{path(board.key)}/badges/{path(entry.slug)}.{kind}" for kind in ("svg", "json")))
                    for entry in board.entries
                    if any(entry.ranks.get(name) for name in HEADLINE)  # others have none
                ],
            }
            for board in self.boards
        ]
        return self._page("downloads.html", None, "Downloads", ("Downloads",), views=views)

    # --- what they have in common -------------------------------------------------------------------

    @cached_property
    def environment(self) -> Environment:
        folder = resources.files("evalkit.reports").joinpath("templates")
        environment = Environment(
            loader=FunctionLoader(lambda name: (folder.joinpath(name).read_text(encoding="utf-8"), name, None)),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= {
            "called": called,
            "cite": cite,
            "percent": percent,
            "region": region,
            "shown": shown,
            "signed": signed,
        }
        environment.globals |= {"policy": POLICY, "version": self.version}
        return environment

    @cached_property
    def _medians(self) -> dict[str, dict[str, float]]:
        return {board.key: medians(board) for board in self.boards}

    def _page(
        self,
        template: str,
        board: Board | None,
        title: str,
        way: Sequence[str | tuple[str, str]] = (),
        **values: Any,
    ) -> bytes:
        """A page.

        Args:
            template: file in ``reports/templates``.
            board: whose folder it lies in, ``None`` at the top.
            title: of the page.
            way: that leads to it from its board, or from the top: names with addresses, and its own name.
            values: what the template takes.
        """
        root = "" if board is None else "../"
        shelf = board or (self.boards[0] if self.boards else None)
        near = "" if board is not None or shelf is None else f"{path(shelf.key)}/"
        menu = [("index.html", "Leaderboard", f"{root}index.html")]
        if shelf is not None:
            menu += [("tasks.html", "Tasks", f"{near}tasks.html"), ("compare.html", "Compare", f"{near}compare.html")]
        menu += [
            ("method.html", "Method", f"{root}method.html"),
            ("downloads.html", "Downloads", f"{root}downloads.html"),
        ]
        crumbs = [(step, None) if isinstance(step, str) else step for step in way]
        if board is not None:
            crumbs.insert(0, (board.title, f"{root}index.html#{path(board.key)}"))
        if crumbs:
            crumbs.insert(0, ("Leaderboard", f"{root}index.html"))
        page = self.environment.get_template(template).render(
            title=title,
            root=root,
            menu=menu,
            here=template,
            crumbs=crumbs,
            board=board,
            standing=board and Standing(board),
            **values,
        )
        return page.encode()


def _licences(board: Board) -> list[tuple[str, list[str]]]:
    """Which tasks are under which licence, the most first."""
    tasks: dict[str, list[str]] = {}
    for card in board.cards:
        if card.licence or not board.own:
            tasks.setdefault(card.licence, []).append(called(card))
    return sorted(tasks.items(), key=lambda pair: (-len(pair[1]), pair[0]))

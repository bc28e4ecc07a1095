"""Boards to the pages of a site: HTML through templates that escape everything and hold no arithmetic.

A page loads the site's own style and script and, on pages of samples, its images: no network, no server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from evalkit.leaderboard.board import Board, Entry, Group, Pairing
from evalkit.leaderboard.pages.listing import HEADLINE, KINDS
from evalkit.leaderboard.wording import count, path, percent, shown, size
from evalkit.suites.card import TaskCard

if TYPE_CHECKING:
    from jinja2 import Environment

    from evalkit.leaderboard.pages.charts import Dot
    from evalkit.leaderboard.samples.sheets import Sheet, Sheets

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
class Crumb:
    """A step of the way to a page: its name, and its address unless it is the page itself."""

    name: str
    href: str | None = None


@dataclass(frozen=True)
class _Site:
    boards: tuple[Board, ...]
    version: str
    samples: Mapping[str, Callable[[], Sheet]]

    @cached_property
    def environment(self) -> Environment:
        from jinja2 import Environment, FunctionLoader, StrictUndefined

        folder = resources.files("evalkit.reports").joinpath("templates")
        environment = Environment(
            loader=FunctionLoader(lambda name: (folder.joinpath(name).read_text(encoding="utf-8"), name, None)),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters["percent"] = percent
        environment.filters["shown"] = shown
        environment.globals["policy"] = POLICY
        return environment

    def files(self) -> dict[str, Callable[[], bytes]]:
        found: dict[str, Callable[[], bytes]] = {"index.html": self.index}

        def add(name: str, make: Callable[[], bytes]) -> None:
            if name in found:
                raise ValueError(f"two pages are called {name}")
            found[name] = make

        for board in self.boards:
            home = path(board.key)
            add(f"{home}/tasks.html", partial(self.tasks, board))
            for group in board.groups:
                add(f"{home}/group-{path(group.key)}.html", partial(self.group, board, group))
            for card in board.cards:
                add(f"{home}/task-{path(card.subset)}.html", partial(self.task, board, card))
            for entry in board.entries:
                add(f"{home}/model-{path(entry.slug)}.html", partial(self.model, board, entry))
            add(f"{home}/compare.html", partial(self.compare, board))
            for comparison in board.comparisons:
                if not comparison.compared:
                    continue
                name = f"compare-{path(comparison.base)}-and-{path(comparison.new)}.html"
                add(f"{home}/{name}", partial(self.pair, board, comparison))
        known = {board.key: board for board in self.boards}
        for name, make in self.samples.items():
            add(name, partial(self.sheet, known[name.partition("/")[0]], make))
        add("method.html", self.method)
        add("downloads.html", self.downloads)
        for name in STATIC:
            add(name, partial(_static, name))
        return found

    # --- pages --------------------------------------------------------------------------------------

    def index(self) -> bytes:
        from evalkit.leaderboard.pages import headline

        views = [
            {
                "board": board,
                "facts": _facts(board),
                "grid": headline.headline(board, f"{path(board.key)}/"),
                "improvements": headline.improvements(board, f"{path(board.key)}/"),
                "chart": _chart(board),
                "home": f"{path(board.key)}/",
                "notes": [(n, shown(text)) for n, text in enumerate(board.footnotes, 1)],
            }
            for board in self.boards
        ]
        return self._page("index.html", None, "Leaderboard", (), views=views)

    def tasks(self, board: Board) -> bytes:
        from evalkit.leaderboard.pages.task_list import task_list

        grid = task_list(board, self._medians[board.key])
        groups = [(group, f"group-{path(group.key)}.html") for group in board.groups]
        return self._page("tasks.html", board, f"Tasks of {board.title}", (Crumb("Tasks"),), table=grid, groups=groups)

    def group(self, board: Board, group: Group) -> bytes:
        from evalkit.leaderboard.pages import headline

        grid = headline.of_group(board, group)
        used = sorted({n for e in board.entries if group.key in e.means for n in e.means[group.key].notes})
        notes = [(n, shown(board.footnotes[n - 1])) for n in used]
        crumbs = (Crumb("Tasks", "tasks.html"), Crumb(group.label))
        facts = [count(len(group.tasks), "task")]
        if group.chance is not None:
            facts.append(f"mean chance {percent(group.chance)}")
        return self._page("group.html", board, group.label, crumbs, group=group, table=grid, notes=notes, facts=facts)

    def task(self, board: Board, card: TaskCard) -> bytes:
        from evalkit.leaderboard.pages import task_page

        view = task_page.task_page(board, card, self.samples)
        crumbs = (Crumb("Tasks", "tasks.html"), Crumb(card.subset))
        return self._page("task.html", board, card.subset, crumbs, view=view)

    def model(self, board: Board, entry: Entry) -> bytes:
        from evalkit.leaderboard.pages import model_page

        view = model_page.model_page(board, entry, self._medians[board.key], self.samples)
        return self._page("model.html", board, entry.label, (Crumb(entry.label),), view=view)

    def compare(self, board: Board) -> bytes:
        from evalkit.leaderboard.pages import comparison_page

        matrices = comparison_page.matrices(board)
        return self._page(
            "compare.html",
            board,
            f"Comparisons: {board.title}",
            (Crumb("Compare"),),
            matrices=matrices,
            pairs=sum(pair.compared for pair in board.comparisons),
            apart=comparison_page.not_compared(board),
        )

    def pair(self, board: Board, comparison: Pairing) -> bytes:
        from evalkit.leaderboard.pages import comparison_page

        view = comparison_page.pair_page(board, comparison)
        title = " against ".join(view.title)
        return self._page("pair.html", board, title, (Crumb("Compare", "compare.html"), Crumb(title)), view=view)

    def sheet(self, board: Board, make: Callable[[], Sheet]) -> bytes:
        from evalkit.leaderboard.pages import sample_page

        sheet = make()
        view = sample_page.sample_page(sheet)
        task = path(f"task-{sheet.card.subset}.html")
        model = path(f"model-{sheet.entry.slug}.html")
        title = f"Samples of {sheet.card.subset} by {sheet.entry.label}"
        crumbs = (Crumb("Tasks", "tasks.html"), Crumb(sheet.card.subset, task), Crumb(f"Samples: {sheet.entry.label}"))
        return self._page("samples.html", board, title, crumbs, view=view, task=task, model=model)

    def method(self) -> bytes:
        return self._page("method.html", None, "Method", (Crumb("Method"),), boards=[_licences(b) for b in self.boards])

    def downloads(self) -> bytes:
        views = [
            {
                "board": board,
                "files": [(f"{path(board.key)}/{name}", label, what) for name, label, what in _DOWNLOADS],
                "badges": [
                    (entry, *(f"{path(board.key)}/badges/{path(entry.slug)}.{kind}" for kind in ("svg", "json")))
                    for entry in board.entries
                    if any(entry.ranks.get(name) for name in HEADLINE)  # others have none
                ],
            }
            for board in self.boards
        ]
        return self._page("downloads.html", None, "Downloads", (Crumb("Downloads"),), views=views)

    # --- what they have in common -------------------------------------------------------------------

    @cached_property
    def _medians(self) -> dict[str, dict[str, float]]:
        from evalkit.leaderboard.pages.task_list import medians

        return {board.key: medians(board) for board in self.boards}

    def _page(self, template: str, board: Board | None, title: str, crumbs: tuple[Crumb, ...], **values: Any) -> bytes:
        """A page; ``board`` is whose folder it lies in, ``None`` at the top."""
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
        way = list(crumbs)
        if board is not None:
            way.insert(0, Crumb(board.title, f"{root}index.html#{path(board.key)}"))
        if way:
            way.insert(0, Crumb("Leaderboard", f"{root}index.html"))
        page = self.environment.get_template(template).render(
            title=shown(title),
            root=root,
            menu=menu,
            here=template,
            crumbs=way,
            version=self.version,
            the_board=board,
            **values,
        )
        return page.encode()


def _static(name: str) -> bytes:
    return resources.files("evalkit.reports").joinpath("static", name).read_bytes()


def _facts(board: Board) -> list[str]:
    """What a board holds, in a few words each."""
    entries = [entry for entry in board.entries if not entry.knows_nothing]
    found = [count(len(board.cards), "task"), count(len(entries), "entry", "entries")]
    found += [f"{n:,} {kind}" for kind in KINDS if (n := sum(entry.kind == kind for entry in entries))]
    if others := sum(any(apart.kind == "other data" for apart in entry.apart.values()) for entry in entries):
        found.append(f"{others:,} on other data")
    return found


def _chart(board: Board) -> Any:
    """Score against size, or ``None`` where too few sizes are known for a picture."""
    from evalkit.leaderboard.pages import charts

    if not board.groups:
        return None
    group = board.groups[0]
    dots: list[Dot] = []
    for entry in board.entries:
        mean = entry.means.get(group.key)
        millions = size(entry.facts)
        if entry.knows_nothing or mean is None or mean.value is None or mean.apart is not None:
            continue
        if millions is None or millions <= 0:
            continue
        kind = "published" if entry.kind == "published" else ""
        dots.append(charts.Dot(entry.label, millions, mean.value, mean.low, mean.high, kind))
    if len({dot.size for dot in dots}) < 3:
        return None
    return charts.scatter(
        dots,
        f"{group.label} against size",
        f"{count(len(dots), 'entry', 'entries')} whose size is known: the number of parameters, or else the size that "
        "the model's name says. The same scores stand in the table above.",
        "parameters, on a logarithmic axis",
        f"mean Precision@1 over {group.label} in percent",
    )


def _licences(board: Board) -> dict[str, Any]:
    """Which tasks are under which licence, for the page about method."""
    tasks: dict[str, list[str]] = {}
    for card in board.cards:
        tasks.setdefault(card.licence, []).append(card.subset)
    return {"board": board, "licences": sorted(tasks.items(), key=lambda pair: (-len(pair[1]), pair[0]))}

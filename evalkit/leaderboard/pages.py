"""Tables to pages: HTML through a template that escapes everything, and GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from evalkit import __version__
from evalkit.files import write_atomically
from evalkit.leaderboard.tables import Cell, Section, Table, sections
from evalkit.results import find_runs


def report(runs: Sequence[Path], site: Path, markdown_file: Path | None = None) -> tuple[Path, ...]:
    """Write the pages of runs.

    Args:
        runs: folders of runs, or folders that hold them (``RUNS/<model>/<run id>``).
        site: folder of the page, ``index.html``.
        markdown_file: for the same tables as Markdown, where they are wanted.

    Returns:
        The files that were written.

    Raises:
        UsageError: a path that does not exist or holds no run.
        ResultsError: a run that cannot be read, or a file that cannot be written.
    """
    found = sections([manifest for _, manifest in find_runs(runs)])
    page = write_site(found, site)
    if markdown_file is None:
        return (page,)
    write_atomically(markdown_file, markdown(found).encode())
    return page, markdown_file


def write_site(sections: Sequence[Section], site: Path) -> Path:
    """Write ``index.html``; the same sections give the same bytes.

    Returns:
        The page's path.

    Raises:
        ResultsError: the folder cannot be written.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    templates = resources.files("evalkit.reports").joinpath("templates")
    environment = Environment(
        loader=FunctionLoader(lambda name: templates.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("index.html").render(sections=sections, version=__version__)
    path = site / "index.html"
    write_atomically(path, page.encode())
    return path


def markdown(sections: Sequence[Section]) -> str:
    """The same tables as GitHub-flavoured Markdown."""
    parts = ["# Leaderboard"]
    for section in sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [_markdown_table(table) for table in section.tables]
        parts.append("\n".join(f"- {_escaped(note)}" for note in section.notes))
        parts += ["<details>\n<summary>All metrics</summary>", _markdown_table(section.details), "</details>"]
    parts.append(f"Made by evalkit {__version__}.")
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    numbers = [all(row.cells[i].number for row in table.rows) for i in range(len(table.header) - 1)]
    lines = [
        f"**{_escaped(table.caption)}**",
        "",
        _line([_escaped(name) for name in table.header]),
        _line([":--", *("--:" if number else ":--" for number in numbers)]),
    ]
    lines += [_line([_escaped(row.header), *(_cell(cell) for cell in row.cells)]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    return f"**{text}**" if cell.best else text


def _escaped(text: str) -> str:
    """Text without meaning for Markdown or HTML: names come from strangers."""
    text = re.sub(r"\s+", " ", text).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A colon, an @ or www. would let GitHub make a link of an address.
    text = re.sub(r"(?<=\w):(?=//)|(?<!\w)@(?=\w)|(?<=www)\.", lambda found: f"&#{ord(found[0])};", text)
    return re.sub(r"([\\`*_{}\[\]|~]|#(?!\d+;)|!)", r"\\\1", text)

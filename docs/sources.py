"""What the site is made of beside the pages of this folder: files of other folders, and notebooks.

Links between all of them are the ones that GitHub follows; here they lead to the pages of the site.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
ELSEWHERE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "published": "reports/README.md",
    "task-cards": "tasks/README.md",
    "training": "training/README.md",
}
"""Pages that stand in another folder, by the stub that stands here in their place."""
_PAGES = {(ROOT / path).resolve(): DOCS / f"{name}.md" for name, path in ELSEWHERE.items()}
_PAGES |= {ROOT / "README.md": DOCS / "index.md", DOCS / "README.md": DOCS / "index.md"}
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Put the file of another folder in its stub's place, and lead links to the site's pages."""
    here = DOCS / f"{name}.md"
    file = here
    if name in ELSEWHERE:
        file = ROOT / ELSEWHERE[name]
        app.env.note_dependency(str(file))
        content[0] = file.read_text(encoding="utf-8")

    def led(link: re.Match[str]) -> str:
        opening, target, rest = link.groups()
        found = (file.parent / target).resolve()
        if re.match(r"[a-z]+:", target) or not found.exists():
            return link[0]  # what leads nowhere is for the builder to report
        return f"{opening}{os.path.relpath(_PAGES.get(found, found), here.parent)}{rest}"

    parts = _FENCED.split(content[0])
    content[0] = "".join(part if index % 2 else _LINK.sub(led, part) for index, part in enumerate(parts))


def examples(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Show the examples of a command's help as the shell gets them."""
    shown: list[str] = []
    for line in (line.removeprefix("| ") for line in lines):
        if line.startswith("  ") and not (shown and shown[-1].startswith("  ")):
            shown += ["", ".. code-block:: sh", ""]
        shown.append(line if line.strip("|") else "")
    lines[:] = shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("sphinx-click-process-epilog", examples)
    return {"version": "1", "parallel_read_safe": True}

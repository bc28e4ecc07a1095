"""What the site is made of beside the pages of this folder: files of other folders, and notebooks.

Links between all of them are the ones that GitHub follows; here they lead to the pages of the site.
"""

from __future__ import annotations

import html
import json
import os.path
import re
from pathlib import Path
from typing import Any

import click
from docutils import nodes
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
_FIELDS = re.compile(r"^<!-- fields of ([a-z-]+)\.schema\.json -->$", re.MULTILINE)
_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Put the file of another folder in its stub's place, and lead links to the site's pages."""
    here = file = Path(app.env.doc2path(name))
    if name in ELSEWHERE:
        file = ROOT / ELSEWHERE[name]
        app.env.note_dependency(str(file))
        content[0] = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        content[0] = notebook(json.loads(content[0]))

    def led(link: re.Match[str]) -> str:
        opening, target, rest = link.groups()
        found = (file.parent / target).resolve()
        if re.match(r"[a-z]+:", target) or not found.exists():
            return link[0]  # what leads nowhere is for the builder to report
        page = _PAGES.get(found, found)
        kind = "" if page.is_relative_to(DOCS) else "path:"  # of a file that is no page of the site
        return f"{opening}{kind}{os.path.relpath(page, here.parent)}{rest}"

    content[0] = _FIELDS.sub(lambda mark: fields(app, mark[1]), content[0])
    parts = _FENCED.split(content[0])
    content[0] = "".join(part if index % 2 else _LINK.sub(led, part) for index, part in enumerate(parts))


def notebook(content: dict[str, Any]) -> str:
    """A notebook as a page, with the outputs that are kept in it (``tests/test_tutorial_notebook.py``)."""
    parts = []
    for cell in content["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            found = {kind: "".join(lines) for kind, lines in output["data"].items()}
            if "image/png" in found:
                shown = f'<img alt="what the code shows" src="data:image/png;base64,{found["image/png"].strip()}">'
            else:
                shown = found.get("text/html") or f"<pre>{html.escape(found['text/plain'])}</pre>"
            parts.append(f'```{{raw}} html\n<div class="output">\n{shown}\n</div>\n```')
    return "\n\n".join(parts)


def fields(app: Sphinx, name: str) -> str:
    """The fields of a file, by its JSON Schema, as tables."""
    file = DOCS / f"{name}.schema.json"
    app.env.note_dependency(str(file))
    schema = json.loads(file.read_text(encoding="utf-8"))
    run = {} if name == "run" else json.loads((DOCS / "run.schema.json").read_text(encoding="utf-8"))["$defs"]
    parts = {"": schema} | {title: part for title, part in schema.get("$defs", {}).items() if part != run.get(title)}
    return "\n\n".join(_table(title, part) for title, part in parts.items() if "properties" in part)


def _table(title: str, part: dict[str, Any]) -> str:
    rows = ["| field | | |", "|---|---|---|"]
    for name, field in part["properties"].items():
        needed = "" if name in part.get("required", ()) else ", may be left out"
        meaning = _ROLE.sub(r"`\1`", field.get("description", "")).replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(field)}{needed} | {meaning} |")
        inner = field.get("additionalProperties")
        if isinstance(inner, dict) and "properties" in inner:
            rows += [f"| `{name}.*.{row[3:]}" for row in _table("", inner).split("\n")[2:]]
    return "\n".join([f"**{title}**", "", *rows] if title else rows)


def _kind(field: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "const" in field or "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(one) for one in field["anyOf"]))
    kinds = field.get("type", "anything")
    if kinds == "array":
        of = [_kind(one) for one in field.get("prefixItems", [field.get("items", {})])]
        return f"list of {of[0]}" if len(of) == 1 else f"list: {', '.join(of)}"
    if kinds == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"{_kind(field['additionalProperties'])} by name"
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def examples(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Show the examples of a command's help as the shell gets them."""
    shown: list[str] = []
    for line in (line.removeprefix("| ") for line in lines):
        if line.startswith("  ") and not (shown and shown[-1].startswith("  ")):
            shown += ["", ".. code-block:: sh", ""]
        shown.append(line if line.strip("|") else "")
    lines[:] = shown


def dashes(app: Sphinx, doctree: nodes.document) -> None:
    """Between a parameter and what it is: Sphinx writes two hyphens, as options do."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("doctree-read", dashes)
    app.connect("sphinx-click-process-epilog", examples)
    return {"version": "1", "parallel_read_safe": True}

"""The rooms of the package: the picture in CONTRIBUTING.md is what the code does, and every name is one thing's."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((ROOT / "evalkit").rglob("*.py"))
}
"""Every module of the package by its name."""


COMMON = frozenset({"errors", "terminal", "progress", "files", "plugins", "device", "written", "version"})
"""What all rooms use."""


def imports(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, wherever it does, also for types alone."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom) and node.module in FILES:
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in FILES else str(node.module)


IMPORTS = {module: {found for found in imports(module) if found != "evalkit"} for module in FILES}


def room_of(module: str) -> str:
    """The room of a module: the first part of its name below ``evalkit``."""
    return module.split(".")[1]


def room_imports() -> dict[str, set[str]]:
    """By its name, the rooms that a room imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, imported in IMPORTS.items():
        if module != "evalkit":
            found[room_of(module)] |= {room_of(one) for one in imported} - {room_of(module)}
    return found


def layers() -> list[set[str]]:
    """The contract of pyproject.toml, from the last room to the first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    assert contract["containers"] == ["evalkit"]
    assert contract["exhaustive"]
    return [{room.strip() for room in layer.split("|")} for layer in contract["layers"]]


def picture() -> dict[str, tuple[str, str, str]]:
    """By its name, what CONTRIBUTING says of a room: what comes in, what goes out, what it must not know."""
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    found = re.findall(r"\* `([a-z]+)`: In: (.+?) Out: (.+?) Must not know: ((?:`[a-z]+`(?:, |\.))+)", text)
    return {name: (comes_in, goes_out, hidden) for name, comes_in, goes_out, hidden in found}


def test_no_import_points_back() -> None:
    """What import-linter holds in CI, found in another way."""
    order = {room: number for number, layer in enumerate(reversed(layers())) for room in layer}
    back = {
        (module, imported)
        for module in FILES
        for imported in IMPORTS[module]
        if module != "evalkit" and room_of(module) != room_of(imported)
        if order[room_of(imported)] >= order[room_of(module)]
    }
    assert not back


def test_no_circle_anywhere() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises a CycleError that names the circle


def test_the_picture_has_the_rooms_of_the_contract_in_their_order() -> None:
    named = list(picture())
    for layer in [layer for layer in reversed(layers()) if layer != {"__main__"} and not layer <= COMMON]:
        here, named = named[: len(layer)], named[len(layer) :]
        assert set(here) == layer
    assert not named


@pytest.mark.parametrize("common", sorted(COMMON))
def test_what_all_rooms_use_knows_no_room(common: str) -> None:
    assert room_imports()[common] <= COMMON


@pytest.mark.parametrize("room", picture())
def test_a_room_knows_nothing_of_what_the_picture_says_it_must_not(room: str) -> None:
    _, _, hidden = picture()[room]
    rooms = {name for layer in layers() for name in layer}
    said = set(re.findall(r"`([a-z_]+)`", hidden))
    assert said
    assert said <= rooms
    assert not said & room_imports()[room]


@pytest.mark.parametrize("room", [room for room in picture() if (ROOT / "evalkit" / room).is_dir()])
def test_a_room_says_at_its_door_what_the_picture_says(room: str) -> None:
    docstring = ast.get_docstring(ast.parse(FILES[f"evalkit.{room}"].read_text(encoding="utf-8"))) or ""
    comes_in, goes_out, hidden = picture()[room]
    said = f"In: {comes_in} Out: {goes_out} Must not know: {hidden}".replace("`", "")
    assert said in " ".join(docstring.replace("``", "").split())


def test_every_class_and_every_file_has_a_name_of_its_own() -> None:
    """But for packages' faces, and commands, whose files have the name of what they call."""
    files = Counter(
        name.rpartition(".")[2] for name in FILES if not name.startswith("evalkit.cli.") and name != "evalkit"
    )
    packages = {name.rpartition(".")[2] for name, file in FILES.items() if file.name == "__init__.py"}
    assert {name for name, count in files.items() if count > 1 and name not in packages} == set()
    classes = Counter(
        node.name
        for file in FILES.values()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in classes.items() if count > 1} == set()


@pytest.mark.parametrize("module", FILES)
def test_a_module_can_be_read_in_one_go(module: str) -> None:
    lines = FILES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= 420


def test_what_breaks_the_contract_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: an import that points back, and a circle."""
    monkeypatch.setitem(IMPORTS, "evalkit.scoring.stats", {"evalkit.runs.manifest"})
    with pytest.raises(AssertionError):
        test_no_import_points_back()
    monkeypatch.setitem(IMPORTS, "evalkit.errors", {"evalkit.files"})
    with pytest.raises(ValueError, match="cycle"):
        test_no_circle_anywhere()

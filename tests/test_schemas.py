"""The schemas of ``docs/``: made of the code, on file as made, on the page, and true of the files that there are."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from builders import Demonstration, command, run
from test_docs import DOCS, ROOT, blocks

from evalkit.embedders.modelcards import model_cards
from evalkit.example import DATA

SCHEMAS: dict[str, dict[str, Any]] = runpy.run_path(str(DOCS / "schemas.py"))["schemas"]()
SKELETON = ROOT / "tasks/skeleton"
COLUMN_TYPES = {
    "string": {"type": "string"},
    "double": {"type": "number"},
    "int32": {"type": "integer"},
    "list<element: string>": {"type": "array", "items": {"type": "string"}},
    "list<element: double>": {"type": "array", "items": {"type": "number"}},
}


def parsed(text: str) -> Any:
    """A TOML document as JSON has it: a day is text."""
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def files(name: str) -> Iterator[Any]:
    """Those of the repository that the schema of a name is about, and what the docs show of them."""
    published = [json.loads(file.read_text()) for file in sorted((ROOT / "reports/published").glob("*.json"))]
    published += [json.loads(block) for block in blocks(ROOT / "reports/README.md", "json")]
    match name:
        case "published" | "published-models":
            yield from (found for found in published if found["schema"] == f"evalkit.{name}")
        case "card":
            yield from (
                parsed(file.read_text())
                for file in sorted((ROOT / "tasks").glob("*/*.toml"))
                if file.parent != SKELETON
            )
        case "model-card":
            yield from (card.model_dump(mode="json") for card in model_cards().values())
        case "own-card":
            yield parsed((SKELETON / "card.toml").read_text())
        case "queries" | "candidates":
            yield from map(json.loads, (SKELETON / f"{name}.jsonl").read_text().splitlines())
        case "gate-config":
            for block in blocks(DOCS / "compare.md", "toml"):
                yield parsed(block)["tool"]["evalkit"]["gate"]
        case "scores":
            yield from map(json.loads, blocks(DOCS / "compare.md", "json"))
        case "baseline-samples":
            for file in sorted(ROOT.glob("baselines/*/samples.parquet")):
                yield from pq.read_table(file).to_pylist()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_on_file_is_that_of_the_code(name: str) -> None:
    """``python docs/schemas.py`` writes them again."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert json.loads((DOCS / f"{name}.schema.json").read_text()) == SCHEMAS[name]
    assert f"<!-- fields of {name}.schema.json -->" in (DOCS / "files.md").read_text()


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "leaderboard"])
def test_every_field_says_what_it_is(name: str) -> None:
    """The board's says it of most."""
    parts = SCHEMAS[name].get("$defs", {})
    for part in (SCHEMAS[name], *parts.values()):
        for field, said in part.get("properties", {}).items():
            words = said | parts.get(said.get("$ref", "").rpartition("/")[2], {})
            assert words.get("description", "").endswith((".", ")")), field


def test_there_are_no_others() -> None:
    assert {file.name for file in DOCS.glob("*.schema.json")} == {f"{name}.schema.json" for name in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_unknown_is_allowed(name: str) -> None:
    for part in (SCHEMAS[name], *SCHEMAS[name].get("$defs", {}).values()):
        assert "properties" not in part or part["additionalProperties"] is False, part["title"]


@pytest.mark.parametrize(
    "name", ["published", "published-models", "model-card", "card", "gate-config", "scores", "baseline-samples"]
)
def test_files_of_the_repository_are_as_their_schema_says(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    found = list(files(name))
    assert found
    for one in found:
        validator.validate(one)


def test_files_of_a_demo_are_as_their_schemas_say(demonstration: Demonstration) -> None:
    folder = demonstration.folder
    places = {
        "run": "runs/*/*/run.json",
        "timing": "runs/*/*/timing.json",
        "leaderboard": "site/*/leaderboard.json",
        "miniature": "data/miniature.json",
        "demo": "demo.json",
        "site": "site/evalkit-site.json",
    }
    for name, place in places.items():
        validator = jsonschema.Draft202012Validator(SCHEMAS[name])
        found = sorted(folder.glob(place))
        assert found, name
        for file in found:
            validator.validate(json.loads(file.read_text()))
    validator = jsonschema.Draft202012Validator(SCHEMAS["samples"])
    tables = [pq.read_table(file) for file in sorted(folder.glob("runs/virtue-tiny/*/samples/**/*.parquet"))]
    for table in tables:
        for row in table.to_pylist():
            validator.validate(row)


@pytest.mark.parametrize("name", ["samples", "baseline-samples"])
def test_columns_are_those_of_the_files(name: str, demonstration: Demonstration) -> None:
    """In their order, of their types; null only where the schema says so."""
    places = {"samples": demonstration.folder.glob("runs/*/*/samples/**/*.parquet")}
    file = next(places.get(name, ROOT.glob("baselines/*/samples.parquet")))
    schema, properties = pq.read_schema(file), SCHEMAS[name]["properties"]
    assert schema.names == list(properties)
    for column in schema:
        kind = COLUMN_TYPES[str(column.type)]
        stated = properties[column.name]
        assert kind["type"] in ([stated["type"]] if isinstance(stated["type"], str) else stated["type"]), column.name
        assert "items" not in kind or stated["items"] == kind["items"]


def test_a_baseline_is_as_its_schema_says(tmp_path: Path) -> None:
    assert run(tmp_path / "runs", "random") == 0
    assert command("baseline", "accept", tmp_path / "runs", "--reason", "first", "--out", tmp_path / "base") == 0
    found = json.loads((tmp_path / "base/baseline.json").read_text())
    jsonschema.Draft202012Validator(SCHEMAS["baseline"]).validate(found)


def test_timing_of_a_task_that_failed(tmp_path: Path) -> None:
    assert run(tmp_path, "random", tasks="WebQA,example/Shapes") == 4
    [file] = tmp_path.glob("*/*/timing.json")
    jsonschema.Draft202012Validator(SCHEMAS["timing"]).validate(json.loads(file.read_text()))


def test_items_that_inspect_writes_are_as_their_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("inspect", "example/ShapeRegions", "--data", DATA, "--items") == 0
    validator = jsonschema.Draft202012Validator(SCHEMAS["items"])
    lines = capsys.readouterr().out.splitlines()
    assert any('"box"' in line for line in lines)
    for line in lines:
        validator.validate(json.loads(line))


def test_the_page_names_every_part() -> None:
    """Each schema once in its table, with a link, and once as tables of fields."""
    page = (DOCS / "files.md").read_text()
    assert re.findall(r"\]\(([a-z-]+)\.schema\.json\)", page) == list(SCHEMAS)
    assert re.findall(r"<!-- fields of ([a-z-]+)\.schema\.json -->", page) == list(SCHEMAS)

"""JSON Schemas of the files that evalkit reads and writes: ``python docs/schemas.py`` writes them here anew.

Each is made of the model that reads or writes the file. Files without such a model are described here, and held to what
is written by ``tests/test_schemas.py``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from evalkit.demo import DemoFile
from evalkit.embedders.modelcards import ModelCard
from evalkit.encoding.forward import EncodingStats
from evalkit.files import json_bytes
from evalkit.items import jsonl
from evalkit.leaderboard import site
from evalkit.leaderboard.downloads import exports
from evalkit.leaderboard.published.papers import ModelFile, PublishedFile
from evalkit.miniature.write import MiniatureFile
from evalkit.regression.baseline import Baseline
from evalkit.regression.comparand import ScoresFile
from evalkit.regression.config import GateConfig
from evalkit.regression.verdicts import record
from evalkit.runs import manifest
from evalkit.suites import folderrows
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.own import COUNTED, SAID
from evalkit.written import schema_of

DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
SECONDS = {"type": "number", "minimum": 0}
DAY_AND_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
TEXT, COUNT, PLACE = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}
EVERYWHERE = {
    "schema": "What this file is.",
    "schema_version": "Goes up when a field changes its meaning or goes away.",
    "evalkit_version": "Version of evalkit.",
    "seed": "Of all choices.",
    "models": "By id.",
}
ITEM = {
    "id": "Links an item to its vector, its label or its result; unique in the file.",
    "side": "What it is.",
    "prompt": "The exact text for models that follow instructions, `<image>` where the image goes.",
    "text": "The content alone, for models that take no instruction.",
    "instruction": "The instruction alone.",
    "image": "Path of the image, relative to the file or to the images folder.",
    "image_sha256": "Digest of the image file; in place of `image` where vectors are looked up alone.",
    "box": "Region: x0, y0, x1, y1 in pixels of the stored image, half open.",
    "point": "Region: x, y.",
    "points": "Region: several points.",
    "negative_points": "Where the region of `point` or `points` is not.",
    "mask": "Region: path of an image that is black outside it.",
    "candidates": "The query's own pool: ids of candidates, texts, or items; left out where all candidates are.",
    "label": "What is right: an id, a text, a number in the pool from 0, or a list of them.",
}
"""Keys of an item."""
FRACTION = {"type": "number", "minimum": 0, "maximum": 1}


def schemas() -> dict[str, dict[str, Any]]:
    """All of them, by the name of the file here without ``.schema.json``."""
    return {
        "run": manifest.schema(),
        "samples": samples(),
        "timing": timing(),
        "gate": record.schema(),
        "gate-config": read(GateConfig),
        "scores": read(ScoresFile),
        "baseline": described(schema_of(Baseline)),
        "baseline-samples": baseline_samples(),
        "leaderboard": exports.schema(),
        "published": read(PublishedFile),
        "published-models": read(ModelFile),
        "model-card": read(ModelCard) | {"description": "A model of `models/FAMILY.toml`."},
        "card": read(TaskCard),
        "own-card": own_card(),
        "queries": items(folderrows.QueryFields, "`queries.jsonl`, a line: a query of an own task."),
        "candidates": items(folderrows.CandidateFields, "`candidates.jsonl`, a line: a candidate of an own task."),
        "items": items(jsonl._Row, "An item file, a line."),
        "miniature": read(MiniatureFile, written=True),
        "demo": read(DemoFile, written=True),
        "site": read(site._List, written=True) | {"title": "Site", "description": "`evalkit-site.json`."},
    }


def read(model: type[BaseModel], *, written: bool = False) -> dict[str, Any]:
    """Schema of a file that people write: what has a default may be left out; or of one that evalkit alone writes."""
    schema = DIALECT | TypeAdapter(model).json_schema(mode="validation", by_alias=True)
    if written:
        schema["required"] = list(schema["properties"])
    parts = {part.__name__: part for part in _models(model)}
    for title, found in {schema["title"]: schema, **schema.get("$defs", {})}.items():
        meanings = _docstrings(parts[title]) if title in parts else {}
        for name, field in found.get("properties", {}).items():
            if name in meanings:
                field.setdefault("description", meanings[name])
            if name in ("scores", "aggregates") and title == "PublishedNumbers":
                field["additionalProperties"] = PERCENT  # numbers are kept as they are printed
            if name == "parameters":
                field["anyOf"] = [one for one in field["anyOf"] if one.get("type") != "string"]
    return described(schema)


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what fields of these names are in every file, where its model does not say."""
    for name, field in schema["properties"].items():
        if name in EVERYWHERE:
            field.setdefault("description", EVERYWHERE[name])
    return schema


def items(model: type[jsonl.ItemFields], description: str) -> dict[str, Any]:
    """Of a line that says an item."""
    schema = read(model) | {"title": "Item", "description": description}
    properties = schema["properties"]
    schema["properties"] = {name: properties[name] | {"description": ITEM[name]} for name in ITEM if name in properties}
    return schema


def own_card() -> dict[str, Any]:
    """Of the card of a task that its owner writes, where what is not said follows from the rows."""
    schema = read(TaskCard)
    said = {name: schema["properties"][name] for name in (*SAID, *COUNTED)}
    suite = {"const": OWN, "description": "May be said, and is this."}
    return (
        DIALECT
        | _object("OwnCard", "`card.toml` of an own task.", said | {"suite": suite})
        | {"required": ["name", "title"]}
    )


def timing() -> dict[str, Any]:
    """Of ``timing.json``: of each task the seconds of its phases, and what encoding did."""
    meanings = _attributes(EncodingStats)
    kinds = {"int": COUNT, "float": SECONDS}
    counts = {
        field.name: {"description": meanings[field.name]} | kinds[str(field.type)]
        for field in dataclasses.fields(EncodingStats)
    }
    phases = {
        "load_s": "Reading rows, regions and sizes of images.",
        "encode_s": "Vectors: from the store, or of the embedder.",
        "rank_s": "Ranking, and the numbers.",
        "write_s": "Writing what came out.",
    }
    task = {
        "type": "object",
        "description": "A task; of one that failed, what was done until then.",
        "additionalProperties": False,
        "required": list(counts),
        "properties": {name: {"description": text} | SECONDS for name, text in phases.items()}
        | counts
        | {
            "vectors_by_batch_tokens": {
                "type": "object",
                "description": "Vectors, reused and new, by the budget of the batches that they were made in.",
                "additionalProperties": COUNT,
            }
        },
    }
    return _object(
        "Timing",
        "`timing.json`: when the last command worked on a run, and how fast.",
        {
            "schema": {"description": "What this file is.", "const": "evalkit.timing"},
            "schema_version": {"description": "Goes up when a field changes its meaning or goes away.", "const": 1},
            "started_at": {"description": "In UTC.", **DAY_AND_TIME},
            "device": {"description": "What the embedder ran on.", **TEXT},
            "batch_tokens": {"description": "Budget of a batch, `--batch-tokens`.", **PLACE},
            "trust_store": {"description": "Vectors were reused without the spot check.", "type": "boolean"},
            "finished_at": {"description": "In UTC.", **DAY_AND_TIME},
            "tasks": {"description": "By name.", "type": "object", "additionalProperties": task},
        },
    )


def samples() -> dict[str, Any]:
    """Of a row of ``samples/<task>.parquet``."""
    return _object(
        "Sample",
        "`samples/<task>.parquet`, a row: what happened to one query.",
        {
            "id": {"description": "Made of the row's content: the same in either layout.", **TEXT},
            "score": {"description": "Precision@1 of the query.", **FRACTION},
            "rank": {"description": "Of the best right candidate, before others of equal score.", **PLACE},
            "ties": {"description": "Other candidates with exactly its score.", **COUNT},
            "right": {"description": "Right candidates with that score.", **PLACE},
            "relevant": {"description": "Right candidates in the pool.", **PLACE},
            "pool": {"description": "Distinct candidates in the pool.", **PLACE},
            "label": {"description": "Name of the right candidate.", **TEXT},
            "label_score": {"description": "Its score.", "type": "number"},
            "margin": {
                "description": "That less the best wrong one's; null in a pool without others.",
                "type": ["number", "null"],
            },
            "top": {"description": "Names of the five best.", "type": "array", "items": TEXT, "maxItems": 5},
            "top_scores": {
                "description": "Their scores.",
                "type": "array",
                "items": {"type": "number"},
                "maxItems": 5,
            },
            "image": {
                "description": "The query's image below the images folder; null where it has none.",
                "type": ["string", "null"],
            },
            "text": {"description": "The query's text, or its prompt where that is blank.", **TEXT},
        },
    )


def baseline_samples() -> dict[str, Any]:
    """Of a row of a baseline's ``samples.parquet``."""
    return _object(
        "BaselineSample",
        "`samples.parquet` of a baseline, a row: one query of one task.",
        {
            "task": {"description": "Name of the task.", **TEXT},
            "id": {"description": "Of the query.", **TEXT},
            "score": {"description": "Precision@1 of the query.", **FRACTION},
            "cluster": {
                "description": "Equal for queries about one image; null where no two queries share one.",
                "type": ["integer", "null"],
            },
            "choice": {
                "description": "What the model put first; null where that was the label.",
                "type": ["string", "null"],
            },
        },
    )


def _object(title: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return DIALECT | {
        "title": title,
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and those of its own module that it may be made of."""
    beside = vars(inspect.getmodule(model)).values()
    return [one for one in beside if isinstance(one, type) and issubclass(one, BaseModel)]


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below the fields of a class, in one line each."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):  # type: ignore[attr-defined]
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return found


def _attributes(kind: type) -> dict[str, str]:
    """What a docstring says under ``Attributes:``, in one line each, as sentences."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    parts = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: " ".join((meaning[0].upper() + meaning[1:]).split()) for name, meaning in parts}


if __name__ == "__main__":
    for name, schema in schemas().items():
        (Path(__file__).parent / f"{name}.schema.json").write_bytes(json_bytes(schema))

"""``CITATION.cff`` is valid by the Citation File Format 1.2, and says what the rest of the repository says.

The schema is a part of that of the format (citation-file-format/citation-file-format, 1.2.0): the keys that are used
here, what each may be, and that no others are.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import evalkit
from evalkit.scoring.metrics import METRICS
from evalkit.suites.selecting import select_tasks

ROOT = Path(__file__).parents[1]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
URL = {"type": "string", "pattern": "^(https|http|ftp|sftp)://.+"}
PERSON = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"family-names": TEXT, "given-names": TEXT, "orcid": URL, "affiliation": TEXT},
}
ENTITY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": TEXT, "website": URL},
}
AUTHORS = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"anyOf": [PERSON, ENTITY]}}
IDENTIFIER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "value"],
    "properties": {"type": {"enum": ["doi", "url", "swh", "other"]}, "value": TEXT, "description": TEXT},
}
REFERENCE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["authors", "title", "type"],
    "properties": {
        "type": {"enum": ["article", "conference-paper", "data", "dataset", "software", "thesis", "website"]},
        "title": TEXT,
        "authors": AUTHORS,
        "journal": TEXT,
        "year": {"type": ["integer", "string"]},
        "identifiers": {"type": "array", "minItems": 1, "items": IDENTIFIER},
        "url": URL,
    },
}
FORMAT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["authors", "cff-version", "message", "title"],
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "title": TEXT,
        "abstract": TEXT,
        "type": {"enum": ["dataset", "software"]},
        "authors": AUTHORS,
        "version": {"type": ["string", "number"]},
        "license": TEXT,
        "keywords": {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
        "references": {"type": "array", "minItems": 1, "uniqueItems": True, "items": REFERENCE},
    },
}


def bibtex(text: str) -> tuple[str, list[tuple[str, str]], str, int]:
    """Title, authors (family name, given names), number and year of an entry of arXiv."""
    fields = dict(re.findall(r"(\w+) = \{(.*)\}", text))
    authors = [(name.split(", ")[0], name.split(", ")[1]) for name in fields["author"].split(" and ")]
    return fields["title"], authors, fields["journal"].rpartition(" ")[2], int(fields["year"])


def test_it_is_valid_by_the_format() -> None:
    jsonschema.Draft7Validator(FORMAT).validate(CITATION)


def test_it_says_what_the_package_says() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert CITATION["title"] == setup["metadata"]["name"]
    assert CITATION["version"] == evalkit.__version__
    assert CITATION["license"] == setup["metadata"]["license"] == "Apache-2.0"
    assert CITATION["authors"] == [{"name": "The evalkit developers"}]


def test_the_references_are_what_the_code_cites() -> None:
    """MMEB's as its metric has it, SCaR's as its cards do."""
    cited = [METRICS["precision_at_1"].citation, select_tasks(["SCaR/RefCOCOg"])[0].citation]
    found = [
        (
            one["title"],
            [(author["family-names"], author["given-names"]) for author in one["authors"]],
            one["identifiers"][0]["value"],
            one["year"],
        )
        for one in CITATION["references"]
    ]
    assert found == [bibtex(text) for text in cited]
    for one in CITATION["references"]:
        assert one["url"] == f"https://arxiv.org/abs/{one['identifiers'][0]['value'].removeprefix('arXiv:')}"

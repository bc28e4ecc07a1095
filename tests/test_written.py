"""What files are made of: checked when it is made, and written as its schema says."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import jsonschema
import pytest
from pydantic import Field, TypeAdapter, ValidationError

from evalkit.written import Unwritten, Written, schema_of, written


class Odd:
    """A type that JSON has no word for."""


@written()
class Pebble:
    """A stone."""

    weight: float
    """In grams."""
    colour: Annotated[str, Field(alias="color")] = "grey"
    """As it looks wet."""
    found: Unwritten[Path | None] = None
    """Where."""
    odd: Unwritten[Odd | None] = None


class Heap(Written):
    """Stones."""

    stones: tuple[Pebble, ...]
    """From the top."""


PEBBLE = TypeAdapter(Pebble)


def test_the_file_has_its_own_names_and_not_what_is_unwritten() -> None:
    pebble = Pebble(1.5, found=Path("beach"), odd=Odd())
    assert PEBBLE.dump_python(pebble, mode="json", by_alias=True) == {"weight": 1.5, "color": "grey"}
    assert Heap(stones=(pebble,)).model_dump(by_alias=True) == {"stones": ({"weight": 1.5, "color": "grey"},)}


def test_the_schema_is_that_of_the_file() -> None:
    schema = schema_of(Pebble)
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pebble",
        "description": "A stone.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "weight": {"title": "Weight", "type": "number", "description": "In grams."},
            "color": {"title": "Color", "type": "string", "description": "As it looks wet."},
        },
        "required": ["weight", "color"],
    }
    jsonschema.validate(PEBBLE.dump_python(Pebble(1, odd=Odd()), mode="json", by_alias=True), schema)


def test_what_is_written_is_read_back() -> None:
    pebble = Pebble(2.5, "red")
    assert PEBBLE.validate_python(PEBBLE.dump_python(pebble, mode="json", by_alias=True)) == pebble
    assert PEBBLE.validate_json('{"weight": 2.5, "color": "red"}') == pebble
    with pytest.raises(ValidationError, match="shape"):
        PEBBLE.validate_python({"weight": 2.5, "shape": "round"})


@pytest.mark.parametrize("weight", [math.nan, math.inf, "heavy", None])
def test_no_number_is_no_stone(weight: object) -> None:
    with pytest.raises(ValidationError, match="weight"):
        Pebble(weight=weight)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="weight"):
        dataclasses.replace(Pebble(1.0), weight=weight)


def test_it_is_frozen_and_equal_to_its_like() -> None:
    pebble = Pebble(1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pebble.weight = 2.0  # type: ignore[misc]
    assert dataclasses.replace(pebble, weight=1.0) == pebble
    assert len({pebble, Pebble(1.0), Pebble(2.0)}) == 2

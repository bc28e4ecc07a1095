"""The schema of the files of published numbers, which ``reports/README.md`` describes for people.

A file is either a document's numbers (``"schema": "evalkit.published"``) or facts of models
(``"evalkit.published-models"``). Numbers are kept as they are printed: ``64.0`` has one decimal, and is rounded to it.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from evalkit.leaderboard.board import Known
from evalkit.runs.manifest import Prompting

MOST_DECIMALS = 6


def decimals(number: Decimal) -> int:
    """How many decimals a number is printed with."""
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else MOST_DECIMALS + 1


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    return Decimal(value)


def _percent(value: object) -> Decimal:
    number = _number(value)
    if not 0 <= number <= 100:
        raise ValueError("must be a percentage from 0 to 100")
    if decimals(number) > MOST_DECIMALS:
        raise ValueError(f"must have at most {MOST_DECIMALS} decimals")
    return number


def _day_or_month(value: str) -> str:
    date.fromisoformat(value if len(value) == 10 else f"{value}-01")
    return value


def _one_line(value: str) -> str:
    if value != " ".join(value.split()):
        raise ValueError("must be one line, without spaces at its ends or two in a row")
    return value


Percent = Annotated[Decimal, PlainValidator(_percent)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Words = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Url = Annotated[str, Field(pattern=r"^https://[A-Za-z0-9.-]+(/[^\s<>\"'`\\]*)?$", max_length=500)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$"), AfterValidator(_day_or_month)]


class Printed(BaseModel):
    """A part of such a file: nothing in it is unknown, and nothing in it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=False)


class PublishedNumbers(Printed):
    """A row as a document prints it."""

    model: Id
    """Id of the model in a file of models."""
    called: Name
    """What the document calls it."""
    variant: Words = ""
    """What the document says of it besides its name."""
    training: Words
    """Which training of the model; empty for the only or usual one."""
    prompting: Prompting | None = None
    """How regions reached the model; there if and only if the row has numbers of SCaR."""
    table: Name
    """Table of the document; the version, of score files."""
    scores: dict[str, Percent] = {}
    """Precision@1 in percent by the name of the task's card."""
    aggregates: dict[str, Percent] = {}
    """Means that the document itself prints, in percent, by the key of the group."""
    source: Name
    """Where exactly the numbers were read."""
    url: Url | None = None
    """Of this row, where it is not the document's."""
    protocol: Words = ""
    """How the numbers were made, as far as it is known."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """What a reader of the numbers should know."""


class HeadlineComparison(Printed):
    """A comparison of a document's own models with its baselines."""

    table: Name
    """Table that prints all of them."""
    group: str
    """Key of the group whose printed means are compared."""
    training: Words | None = None
    """Only rows of this training; null for all of the table."""


class PublishedFile(Printed):
    """``<document>.json``: all that a document reports."""

    what: Annotated[Literal["evalkit.published"], Field(alias="schema")]
    schema_version: Literal[1]
    name: Name
    """Short, for footnotes."""
    title: Name
    """Of the document."""
    url: Url
    """Where it is to be found."""
    date: Day | None = None
    """Day of its first version, or its month; null where that is not known."""
    kind: Literal["scores", "paper", "leaderboard", "page"]
    """Official score files, a paper, a leaderboard, or another page such as a README."""
    own: tuple[Id, ...] = ()
    """Models that the document presents; all others are baselines."""
    comparisons: tuple[HeadlineComparison, ...] = ()
    """What its headline compares."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """How it was read."""
    rows: Annotated[tuple[PublishedNumbers, ...], Field(min_length=1)]
    """In the document's order."""


class TrainingFacts(Printed):
    """What depends on which training of a model it is."""

    trained_on_mmeb: Known = "unknown"
    """On MMEB-train."""
    licence: Name | None = None
    """Of the weights."""
    url: Url | None = None
    """Of the weights, or a page about them."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """What a reader should know."""


class ModelFacts(Printed):
    """A model, whatever it was trained on."""

    name: Name
    """As people know it."""
    size: Annotated[str, Field(pattern=r"^\d+(\.\d+)?[MB]$")] | None = None
    """Class of size as the name has it, such as 7B."""
    parameters: Annotated[Decimal, BeforeValidator(_number), Field(gt=0, le=10_000_000)] | None = None
    """In millions."""
    dimension: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Of its vectors."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """What a reader should know, such as why two documents' rows are taken for one model."""
    trainings: Annotated[dict[Words, TrainingFacts], Field(min_length=1)]
    """By training; the empty one is the only or usual one."""


class ModelFile(Printed):
    """``models.json``: what is known of models."""

    what: Annotated[Literal["evalkit.published-models"], Field(alias="schema")]
    schema_version: Literal[1]
    models: dict[Id, ModelFacts]

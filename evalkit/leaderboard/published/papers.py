"""The files of published numbers: their schema, reading them, and saying what is wrong with one.

A file is either a document's numbers (``"schema": "evalkit.published"``) or facts of models
(``"evalkit.published-models"``). Numbers are kept as they are printed: ``64.0`` has one decimal, and is rounded to it.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from evalkit.errors import UsageError
from evalkit.files import LARGEST_TEXT, read_file
from evalkit.leaderboard.board import Known
from evalkit.runs.manifest import Prompting
from evalkit.terminal import printable

MOST_DECIMALS = 6
_MODELS = "models.json"  # what is known of models, of the package


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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=False)


class PublishedNumbers(_Part):
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


class HeadlineComparison(_Part):
    """A comparison of a document's own models with its baselines."""

    table: Name
    """Table that prints all of them."""
    group: str
    """Key of the group whose printed means are compared."""
    training: Words | None = None
    """Only rows of this training; null for all of the table."""


class PublishedFile(_Part):
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


class TrainingFacts(_Part):
    """What depends on which training of a model it is."""

    trained_on_mmeb: Known = "unknown"
    """On MMEB-train."""
    licence: Name | None = None
    """Of the weights."""
    url: Url | None = None
    """Of the weights, or a page about them."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """What a reader should know."""


class ModelFacts(_Part):
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


class ModelFile(_Part):
    """``models.json``: what is known of models."""

    what: Annotated[Literal["evalkit.published-models"], Field(alias="schema")]
    schema_version: Literal[1]
    models: dict[Id, ModelFacts]


_SCHEMAS: Mapping[str, type[PublishedFile] | type[ModelFile]] = {
    "evalkit.published": PublishedFile,
    "evalkit.published-models": ModelFile,
}
_FIELDS = [
    "schema",
    *(
        f
        for part in (PublishedFile, PublishedNumbers, HeadlineComparison, ModelFile, ModelFacts, TrainingFacts)
        for f in part.model_fields
        if f != "what"
    ),
]


def decimals(number: Decimal) -> int:
    """How many decimals a number is printed with."""
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else MOST_DECIMALS + 1


def read_files(
    extra: Sequence[Path], tasks: Mapping[str, str], groups: Iterable[str], *, shipped: bool = True
) -> tuple[dict[str, PublishedFile], dict[str, ModelFacts]]:
    """Read the package's files and others, and check them against each other.

    Args:
        extra: files, or folders of ``.json`` files.
        tasks: subset by the task's name; those that may have scores.
        groups: keys of the groups that may have means.
        shipped: with the package's documents; its models are there in any case.

    Returns:
        Documents by file, and models by id.

    Raises:
        UsageError: a file that cannot be read, is not of the schema, has a row twice, or names what is not there.
    """
    documents: dict[str, PublishedFile] = {}
    models: dict[str, tuple[str, ModelFacts]] = {}
    for file, content in _contents(extra, shipped):
        parsed = _parse(file, content)
        if isinstance(parsed, PublishedFile):
            documents[file] = parsed
            continue
        for model, facts in parsed.models.items():
            known = models.get(model)
            models[model] = (file, facts if known is None else _merged(model, *known, file, facts))
    known_models, known_groups = {model: facts for model, (_, facts) in models.items()}, list(groups)
    for file, document in documents.items():
        _check(file, document, known_models, tasks, known_groups)
    return documents, known_models


def _contents(extra: Sequence[Path], shipped: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file, each once: the package's, then others by path."""
    own = resources.files("evalkit.reports").joinpath("published")
    read = set()
    for entry in sorted(own.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json") and (shipped or entry.name == _MODELS):
            read.add(Path(str(entry)).resolve())
            yield f"evalkit's reports/published/{entry.name}", entry.read_bytes()
    paths: dict[Path, Path] = {}
    for path in extra:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"folder {path} holds no published numbers: put .json files into it, or leave it out")
        for file in files:
            paths.setdefault(file.resolve(), file)
    for place, file in sorted(paths.items()):
        if place not in read:
            try:
                yield printable(str(file)), read_file(file, LARGEST_TEXT)
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error


class _Object(dict[str, Any]):
    """A JSON object that remembers a key that stands in it twice."""

    twice: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        made.twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return made


def _twice(value: object, at: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Where a key stands twice in one object."""
    if isinstance(value, _Object) and value.twice is not None:
        return (*at, value.twice)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, inner in items if (found := _twice(inner, (*at, key)))), None)


def _parse(file: str, content: bytes) -> PublishedFile | ModelFile:
    try:
        data = json.loads(content, parse_float=Decimal, object_pairs_hook=_object)
        twice = _twice(data)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON, or not all of it ({error}): repair it or leave it out") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, str) or schema not in _SCHEMAS:
        raise UsageError(
            f"{file} holds no published numbers: its schema is {_shown(schema)}, not "
            f"{' or '.join(map(repr, _SCHEMAS))}: name another file"
        )
    if twice is not None:
        raise UsageError(f"{file}, {_where(twice, data)} stands twice: leave one out")
    try:
        return _SCHEMAS[schema].model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = tuple(part for part in first["loc"] if part != "[key]")
        value = "" if first["type"] == "missing" else f" ({_shown(first['input'])})"
        hint = near(str(at[-1]), _FIELDS) if first["type"] == "extra_forbidden" else ""
        message = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{file}, {_where(at, data)}{value}: {message}{hint}; reports/README.md describes the file"
        ) from None


def _where(at: Sequence[str | int], data: Mapping[str, Any]) -> str:
    """A place in a file: ``row 4 (gme-2b), scores, ImageNet-1K``."""
    parts = [printable(str(part)) or "''" for part in at]
    if at[0] == "rows" and len(at) > 1 and isinstance(at[1], int):
        row = data["rows"][at[1]]
        called = f" ({printable(str(row['model']))})" if isinstance(row, dict) and "model" in row else ""
        parts[:2] = [f"row {at[1] + 1}{called}"]
    return ", ".join(parts)


def _shown(value: object) -> str:
    text = printable(str(value) if isinstance(value, Decimal) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def near(word: str, known: Iterable[str], also: Mapping[str, str] | None = None) -> str:
    """A hint at the nearest names, to be appended to an error; empty where none is near.

    Args:
        word: that is not known.
        known: names.
        also: other words that names go by, by name.
    """
    spelled = {name.lower(): name for name in known}
    spelled |= {word.lower(): name for name, word in (also or {}).items()}
    found = difflib.get_close_matches(word.lower(), spelled, n=3, cutoff=0.6)
    return f"; near: {', '.join(dict.fromkeys(spelled[match] for match in found))}" if found else ""


def _merged(model: str, first: str, known: ModelFacts, second: str, more: ModelFacts) -> ModelFacts:
    """Facts of two files on one model: what one leaves open the other may fill, and trainings may be added."""

    def fill(what: str, a: Any, b: Any, empty: tuple[object, ...]) -> Any:
        if a not in empty and b not in empty and a != b:
            raise UsageError(
                f"{second}, models, {model}, {what} is {_shown(b)}, but {_shown(a)} in {first}: "
                "make them the same, or give your model an id of its own"
            )
        return b if a in empty else a

    facts = ("name", "size", "parameters", "dimension", "note")
    both = {what: fill(what, getattr(known, what), getattr(more, what), (None, "")) for what in facts}
    trainings = dict(known.trainings)
    for training, facts_of in more.trainings.items():
        old = trainings.setdefault(training, facts_of)
        trainings[training] = TrainingFacts(
            **{
                what: fill(f"trainings, {training!r}, {what}", getattr(old, what), getattr(facts_of, what), open_)
                for what, open_ in (
                    ("trained_on_mmeb", ("unknown",)),
                    ("licence", (None,)),
                    ("url", (None,)),
                    ("note", ("",)),
                )
            }
        )
    return ModelFacts(**both, trainings=trainings)


def _check(
    file: str,
    document: PublishedFile,
    models: Mapping[str, ModelFacts],
    tasks: Mapping[str, str],
    groups: Sequence[str],
) -> None:
    """What the schema cannot say: names that have to be there, and no row twice."""
    for place, comparison in enumerate(document.comparisons, 1):
        if comparison.group not in groups:
            raise UsageError(f"{file}, comparison {place}: {_no_group(comparison.group, groups)}")
        if comparison.table not in {row.table for row in document.rows}:
            raise UsageError(
                f"{file}, comparison {place}: no row is of the table {_shown(comparison.table)}"
                f"{near(comparison.table, {row.table for row in document.rows})}"
            )
    for model in document.own:
        if model not in models:
            raise UsageError(f"{file}, own: {_no_model(model, models)}")
    seen: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(document.rows, 1):
        where = f"{file}, row {number} ({row.model})"
        _check_row(where, row, models, tasks, groups)
        first = seen.setdefault((row.model, row.training, row.prompting, row.table), number)
        if first != number:
            raise UsageError(
                f"{where} stands there already as row {first}, with the same model, training, prompting and table: "
                "leave one out, or tell them apart by training or table"
            )


def _check_row(
    where: str, row: PublishedNumbers, models: Mapping[str, ModelFacts], tasks: Mapping[str, str], groups: Sequence[str]
) -> None:
    if row.model not in models:
        raise UsageError(f"{where}, model: {_no_model(row.model, models)}")
    trainings = models[row.model].trainings
    if row.training not in trainings:
        raise UsageError(
            f"{where}, training: no file of models has {_shown(row.training)} among the trainings of {row.model} "
            f"({', '.join(map(repr, trainings))}): add it there, or correct it"
        )
    if not row.scores and not row.aggregates:
        raise UsageError(f"{where} has neither scores nor aggregates: give it some, or leave it out")
    for task in row.scores:
        if task not in tasks:
            raise UsageError(
                f"{where}, scores: {_shown(task)} is no task of MMEB or SCaR{near(task, tasks, tasks)} "
                "(evalkit tasks mmeb scar lists them)"
            )
    for group in row.aggregates:
        if group not in groups:
            raise UsageError(f"{where}, aggregates: {_no_group(group, groups)}")
    regions = "interactive" in row.aggregates or any(task.startswith("SCaR/") for task in row.scores)
    if regions != (row.prompting is not None):
        raise UsageError(
            f"{where}, prompting: it must say how regions reached the model (native, text, crop, ...)"
            if regions
            else f"{where}, prompting ({row.prompting}): the row has no numbers of SCaR, so it must be null"
        )
    headline = [value for key, value in row.aggregates.items() if key in ("general", "interactive")]
    if any(0 < value <= 1 for value in headline):
        raise UsageError(
            f"{where}, aggregates: a mean of {max(headline)} percent is below chance: is it a fraction? "
            "Numbers are in percent"
        )


def _no_model(model: str, models: Iterable[str]) -> str:
    return (
        f"no file of models has {_shown(model)}{near(model, models)}: add it to a file with the schema "
        "'evalkit.published-models' and name that file, too"
    )


def _no_group(group: str, groups: Iterable[str]) -> str:
    names = list(groups)
    return f"{_shown(group)} is no group{near(group, names)} (groups: {', '.join(names)})"

"""The cards of published models: the names that ``--model`` takes, and what each stands for.

``models/<family>.toml`` holds the models that the family loads. Keys at the top of a file are those of all its models;
a model may say otherwise. ``models/unnamed.toml`` says of published numbers that no name stands for why none does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evalkit.errors import DataError

UNNAMED = "unnamed.toml"

Line = Annotated[str, Field(min_length=1, pattern=r"^\S[^\n]*\S$|^\S$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True)


class Training(_Part):
    """Whether it was trained on something."""

    answer: Literal["yes", "no", "unknown"]
    """Unknown where no source says it."""
    source: Line
    """Where that is said, or why it is not known."""


class TrainedOn(_Part):
    """What it was trained on, of what it is measured by."""

    mmeb: Training
    """MMEB-train."""
    scar: Training
    """SCaR-train."""


class StandsFor(_Part):
    """A row of the published numbers that was made with these weights."""

    model: Name
    """Id in ``reports/published/models.json``."""
    training: str = ""
    """Which training of it there."""
    doubt: Line | None = None
    """Why it may have been made with others; null where there is no doubt."""


class Verified(_Part):
    """Something of a model that is checked here: never its published weights, which could not be had."""

    what: Line
    """What holds, on which weights."""
    test: Annotated[str, Field(pattern=r"^tests/[A-Za-z0-9_/]+\.py$")]
    """The file of the test that holds it."""


class ModelCard(_Part):
    """What is known of a published model, and how its published numbers were made."""

    name: Name
    """The name that ``--model`` takes; no family's."""
    title: Line
    """What its authors or papers call it."""
    family: Name
    """Family that loads it: the file's name."""
    hub: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")] | None = None
    """Repository on the Hugging Face hub; null where there is none."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit that the name stands for; null where none is known, and it stands for the default branch."""
    file: Line | None = None
    """The file of the repository that holds the weights, where it is not the whole of it."""
    elsewhere: Line | None = None
    """Where the weights lie, where it is not the hub."""
    options: dict[str, str] = {}
    """Options of the family by which the published numbers were made."""
    parameters: Annotated[int, Field(ge=1)] | None = None
    """How many; null where no source says it."""
    dimensions: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    """Of its vectors; several, the whole last, where it was trained to be cut (Matryoshka)."""
    licence: Line | None = None
    """Of the weights; null where the hub states none."""
    licence_note: Line | None = None
    """What is known where there is no licence."""
    backbone: Line
    """What it was made from."""
    regions: tuple[Literal["box", "point", "points", "mask"], ...] = ()
    """Regions that it takes as an input of its own."""
    trained_on: TrainedOn
    """Whether it has seen the training sets of what it is measured by."""
    published: tuple[StandsFor, ...] = ()
    """The published numbers that it stands for."""
    verified: tuple[Verified, ...] = ()
    """What of it is checked here, and by which test. Its published weights could not be run."""
    notes: tuple[Line, ...] = ()
    """Misprints, doubts, and what else a reader of its numbers should know."""
    citation: Annotated[str, Field(pattern=r"^@[a-z]+\{")]
    """BibTeX."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.hub is None) == (self.elsewhere is None):
            raise ValueError("say where the weights lie, by hub or by elsewhere, and not by both")
        if self.hub is None and (self.revision or self.file):
            raise ValueError("revision and file are of a hub repository, and there is none")
        if (self.licence is None) == (self.licence_note is None):
            raise ValueError("give the licence, or in licence_note what is known where there is none")
        if list(self.dimensions) != sorted(set(self.dimensions)):
            raise ValueError(f"dimensions {list(self.dimensions)} are not from the smallest to the whole, each once")
        return self

    @property
    def model(self) -> str:
        """The MODEL that the name stands for, without its options."""
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.family}:{self.hub or 'PATH'}{at}"

    @property
    def text(self) -> str:
        """The same with its options."""
        options = "&".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.model}?{options}" if options else self.model

    @property
    def place(self) -> str:
        """Where the weights lie, for people."""
        at = f"@{self.revision}" if self.revision else ""
        return self.elsewhere or f"{self.hub}{at}"


class Unnamed(_Part):
    """Published numbers that no name stands for."""

    why: Line
    """Why none does."""
    rows: Annotated[tuple[StandsFor, ...], Field(min_length=1)]
    """Which."""


class _UnnamedFile(_Part):
    reasons: Annotated[tuple[Unnamed, ...], Field(min_length=1)]


_Kind = TypeVar("_Kind", bound=_Part)


@cache
def model_cards() -> Mapping[str, ModelCard]:
    """The cards of evalkit by name: families in the order of their files' names, models in that of the file.

    Raises:
        DataError: a file that does not parse, or two models of one name; names the file, the model and the field.
    """
    return read_model_cards(resources.files("evalkit.models"))


def read_model_cards(folder: Traversable) -> dict[str, ModelCard]:
    """Read the cards of a folder.

    Raises:
        DataError: as :func:`model_cards`.
    """
    cards: dict[str, ModelCard] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".toml") or file.name == UNNAMED:
            continue
        where, family = f"models/{file.name}", file.name.removesuffix(".toml")
        shared = _toml(file, where)
        models, citations = shared.pop("models", None), shared.pop("citations", {})
        if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
            raise DataError(f"{where} has no model: begin each with [[models]]")
        for place, own in enumerate(models, 1):
            said = shared | own | {"family": family}
            if isinstance(own.get("trained_on"), dict) and isinstance(shared.get("trained_on"), dict):
                said["trained_on"] = shared["trained_on"] | own["trained_on"]
            key = said.get("citation")
            if isinstance(citations, dict) and isinstance(key, str) and key in citations:
                said["citation"] = str(citations[key]).strip()
            card = _validated(ModelCard, said, f"{where}, {own.get('name') or f'model {place}'}")
            if card.name in cards:
                raise DataError(f"{where}, {card.name}: {cards[card.name].family}.toml has a model of that name")
            cards[card.name] = card
    return cards


@cache
def unnamed() -> tuple[Unnamed, ...]:
    """Published numbers that no name stands for, and why.

    Raises:
        DataError: the file does not parse; names the field.
    """
    file = resources.files("evalkit.models").joinpath(UNNAMED)
    where = f"models/{UNNAMED}"
    return _validated(_UnnamedFile, _toml(file, where), where).reasons


def card_of_weights(family: str, name: str, revision: str | None) -> ModelCard | None:
    """The card of what was loaded, whatever it was called by; ``None`` where it is none's.

    Args:
        family: that loaded it.
        name: what the embedder calls itself: of a hub repository, its id.
        revision: the commit that was loaded.
    """
    return next(
        (
            card
            for card in model_cards().values()
            if (card.family, card.hub) == (family, name) and card.revision in (None, revision)
        ),
        None,
    )


def _toml(file: Traversable, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{where} is no TOML: {error}") from error


def _validated(kind: type[_Kind], said: dict[str, Any], where: str) -> _Kind:
    try:
        return kind.model_validate(_frozen(said))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the model'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise DataError(f"{where}: {'; '.join(faults)}") from None


def _frozen(value: Any) -> Any:
    """Lists as tuples, which a strict model wants."""
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value

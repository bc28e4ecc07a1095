"""The card of a task: its frozen facts, one TOML file, ``tasks/<suite>/<name>.toml``."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evalkit.errors import DataError

MetaTask = Literal["classification", "vqa", "retrieval", "grounding", "visual-interactive", "own"]
Modality = Literal["text", "image", "image+text", "image+region"]
OWN = "own"
"""The suite of tasks that no installed suite has: of people's own. It has no groups and no averages, because nothing
says which tasks one of these would need."""


class Source(BaseModel):
    """Where a task's rows come from."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    hub: str
    """Data set on the Hugging Face hub."""
    layout: Literal["mmeb-v1", "mmeb-v2", "scar", "generated"]
    """How the rows are laid out there."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Full git hash; null where none is known."""


class TaskCard(BaseModel):
    """The frozen facts of a task."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?$")]
    """Name, as MMEB spells it; SCaR's begin with ``SCaR/``."""
    suite: str
    """Its suite; ``own`` for a task of people's own."""
    order: Annotated[int, Field(ge=1)]
    """Place in the suite's table, from 1."""
    version: Annotated[int, Field(ge=1)]
    """Goes up when prompts, pools or labels change."""
    title: str
    """One line for people."""
    meta_task: MetaTask
    """Kind of task; ``own`` for an own task that does not say."""
    distribution: Literal["ind", "ood"] | None = None
    """In- or out-of-distribution with respect to MMEB-train; null where the suite does not say."""
    family: str
    """How rows are read and prompts built (the official loader's name)."""
    query_modality: Modality
    """What its queries are."""
    candidate_modality: Modality
    """What its candidates are."""
    pool: Literal["shared", "own"]
    """One pool for all queries, or one for each."""
    queries: Annotated[int, Field(ge=1)]
    """Number of queries."""
    candidates: Annotated[int, Field(ge=1)]
    """Candidates listed per query."""
    query_instruction: str = ""
    """The instruction of the queries, without image mark; splits v1 rows."""
    candidate_instruction: str = ""
    """The instruction of the candidates, likewise."""
    sources: tuple[Source, ...]
    """Where its rows come from; none of an own task."""
    licence: str
    """Licence of the rows as published, and of the images where it differs."""
    citation: str
    """BibTeX of the data set that the task is made of."""
    notes: tuple[str, ...] = ()
    """What else a reader should know."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("precision_at_1", "hit_at_5", "hit_at_10", "mrr")
    """What it is measured by, of ``evalkit.scoring.metrics``; the first is Precision@1, which ranks models."""

    @field_validator("metrics")
    @classmethod
    def _ranked_by_precision(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if metrics[0] != "precision_at_1":
            raise ValueError(f"the first is {metrics[0]!r}; it has to be 'precision_at_1', which ranks models")
        if len(set(metrics)) < len(metrics):
            raise ValueError("a metric is named twice")
        return metrics

    @model_validator(mode="after")
    def _has_a_kind(self) -> Self:
        if self.meta_task == OWN and self.suite != OWN:
            raise ValueError(f"meta_task is {OWN!r}, and the task is of suite {self.suite!r}")
        return self

    @property
    def subset(self) -> str:
        """The name without that of its suite: what the data set calls it, and its files."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def groups(self) -> tuple[str, ...]:
        """The selectors that this task answers to, besides its name; an own task has none."""
        if self.suite == OWN:
            return ()
        groups = [self.suite, f"{self.suite}/{self.meta_task}"]
        if self.distribution:
            groups.append(f"{self.suite}/{self.distribution}")
        return tuple(groups)


def read_cards(package: str, folder: str) -> tuple[TaskCard, ...]:
    """Read the cards of one folder of a data package, by their ``order``.

    Args:
        package: importable package that holds the folder, e.g. ``evalkit.tasks``.
        folder: folder in it, e.g. ``mmeb``.

    Raises:
        DataError: a card that does not parse, with the file and the field.
    """
    cards = []
    files = (f for f in resources.files(package).joinpath(folder).iterdir() if f.name.endswith(".toml"))
    for file in files:
        try:
            cards.append(TaskCard.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig"))))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise DataError(f"task card {folder}/{file.name}: {error}") from error
    return tuple(sorted(cards, key=lambda card: card.order))

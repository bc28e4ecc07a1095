"""What ``run.json`` says: one embedder over some tasks, their numbers, and what they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from evalkit.encoding.conditions import UNKNOWN, Conditions
from evalkit.files import json_bytes
from evalkit.runs.reducing import reducer_of
from evalkit.runs.versions import Migrations
from evalkit.scoring.metrics import IntervalMethod
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.selecting import all_cards
from evalkit.suites.task import LoadOptions
from evalkit.written import Proportion, Written, schema_of

SCHEMA_VERSION: Literal[1] = 1
MIGRATIONS: Migrations = {}
"""From a schema version of ``run.json`` to the next, for each that evalkit has written; 1 is the first."""
# A word and not a list of words: a run by a mode that this version does not know can still be read and shown.
Prompting = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class MetricResult(Written):
    """A metric's number on one task; all fractions in [0, 1], unrounded."""

    value: Proportion
    """Mean over the queries, expectation over ties."""
    optimistic: Proportion
    """With the right candidate first among equal scores: the most that any order of equals gives."""
    pessimistic: Proportion
    """With the right candidate last among equal scores."""
    chance: Proportion
    """What an embedder gets that cannot tell any two candidates apart."""
    n: Annotated[int, Field(ge=1)]
    """Number of queries."""
    n_ties: Annotated[int, Field(ge=0)]
    """Queries whose right candidate shares its score with another one."""
    low: Proportion
    """Lower end of the 95 % interval."""
    high: Proportion
    """Upper end of the 95 % interval."""
    interval: IntervalMethod
    """How the interval was made: Wilson score interval, or percentile bootstrap (1000 resamples, seed 0)."""

    @property
    def above_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.low > self.chance


class Failure(Written):
    """Why a task has no result."""

    type: str
    """Kind of error."""
    message: str
    """What was wrong, where, and the way out."""


class TaskResult(Written):
    """One task of a run."""

    task: str
    """The card's name."""
    task_version: int
    """The card's version."""
    suite: str
    """The card's suite."""
    meta_task: str
    """The card's meta-task; ``own`` where the card of an own task does not say."""
    distribution: Literal["ind", "ood"] | None
    """In- or out-of-distribution; null where the suite does not say."""
    status: Literal["done", "failed"]
    """Whether there is a number."""
    complete: bool
    """Whether all queries that the card promises were ranked; others never count in an average."""
    n_queries: Annotated[int, Field(ge=1)] | None = None
    """Queries that were ranked."""
    n_candidates: Annotated[int, Field(ge=1)] | None = None
    """Distinct candidates of all pools together."""
    prompting: Prompting | None = None
    """How the task's regions reached the model: native, text, crop or none; null where it has no regions."""
    metrics: dict[str, MetricResult] | None = None
    """By the metric's name; null where the task failed."""
    signature: str | None = None
    """One line that pins the number."""
    samples: str | None = None
    """The per-query file, relative to the run's folder."""
    made: dict[str, Annotated[int, Field(ge=1)]] = Field(default={})
    """How many of its vectors were made under which of the run's conditions; ``unknown``: nobody recorded them."""
    trusted_store: bool = False
    """Vectors were reused without making any of them again (--trust-store)."""
    warnings: tuple[str, ...] = ()
    """What a reader of the number should know."""
    error: Failure | None = None
    """Why there is no number."""


class Average(Written):
    """Precision@1 of a suite or group, if all of its tasks are there: their unweighted mean, or as the suite says."""

    group: str
    """Selector of the group, e.g. ``mmeb/classification``."""
    value: Proportion | None
    """Null unless every task of the group is done and complete."""
    n_done: int
    """Tasks that are done and complete."""
    n_tasks: int
    """Tasks of the group."""


class ModelRecord(Written):
    """The embedder."""

    name: str
    """Name of the model; of a run of cut vectors with ``@`` and the dimension after it."""
    family: str
    """Where it comes from: a family, or the file or module of its class."""
    revision: str | None
    """Revision of the checkpoint."""
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of all that its vectors depend on."""
    dimension: Annotated[int, Field(ge=1)]
    """Length of the vectors that were ranked."""
    modalities: tuple[str, ...]
    """What it embeds."""
    regions: tuple[str, ...]
    """Regions it takes as an input of its own."""
    options: dict[str, str]
    """Options that change its vectors."""
    named: str | None = Field(default=None)
    """Name of the published model that it is; null where it is none that is known."""
    departs: tuple[str, ...] = Field(default=())
    """How it was run otherwise than that model's published numbers were made."""


class Settings(Written):
    """Choices of the user that change numbers."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first queries of each task."""
    official_dedup: bool = False
    """Candidates are merged by the official key."""
    exif: Literal["apply", "ignore"] = "apply"
    """What is done with the orientation that a camera recorded."""
    vectors: Literal["float32", "float16"] = "float32"
    """What vectors were kept as."""
    prompting: Prompting | None = None
    """How regions were to reach the model; null: by its own input where it takes them, else as text."""
    bad_regions: Literal["refuse", "keep"] = "refuse"
    """What was done with a region without area or outside its image: refused, or taken for what is nearest to it."""
    dimension: Annotated[int, Field(ge=1)] | None = None
    """Vectors were cut to so many first components, and made of length 1 again; null: they are whole."""

    @property
    def load_options(self) -> LoadOptions:
        """Those that change what a task is."""
        return LoadOptions(self.limit, self.official_dedup, upright=self.exif == "apply")


class Environment(Written):
    """What the last command that wrote here ran with; under what vectors were made stands with each task."""

    python: str
    """Version of Python."""
    system: str
    """Operating system and processor architecture."""
    device: str
    """Processor or GPU that the embedder ran on."""
    packages: dict[str, str]
    """Versions of the libraries that can change a number."""


class Manifest(Written):
    """``run.json``: one embedder over some tasks."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Annotated[Literal["evalkit.run"], Field(alias="schema")] = "evalkit.run"
    """What this file is."""
    schema_version: Literal[1] = SCHEMA_VERSION
    """Goes up when a field changes its meaning or goes away."""
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    """Digest of model, settings and version: the same command goes on with the same run."""
    status: Literal["running", "done", "failed", "interrupted"]
    """``failed`` if any task failed or vectors could not be kept; a run that was killed stays ``running``."""
    evalkit_version: str
    """Version of evalkit."""
    model: ModelRecord
    """The embedder."""
    settings: Settings
    """Choices of the user that change numbers."""
    environment: Environment
    """What the last command that wrote here ran with."""
    conditions: dict[str, Conditions] = Field(default={})
    """Conditions that vectors of the tasks were made under, by their digest."""
    own_tasks: dict[str, TaskCard] = Field(default={})
    """The cards of tasks that no installed suite has, by the task's name: nobody else has them."""
    tasks: tuple[TaskResult, ...] = ()
    """In the order of the suites' tables."""
    averages: tuple[Average, ...] = ()
    """Of every suite that the run has a task of."""

    @property
    def whole_model(self) -> str:
        """The model's name, whatever its vectors were cut to."""
        cut = self.settings.dimension
        return self.model.name if cut is None else self.model.name.removesuffix(f"@{cut}")

    @field_validator("conditions")
    @classmethod
    def _by_digest(cls, conditions: dict[str, Conditions]) -> dict[str, Conditions]:
        for digest, one in conditions.items():
            if digest != one.digest:
                raise ValueError(f"{digest!r} is not the digest of its conditions, {one.digest}")
        return conditions

    @model_validator(mode="after")
    def _own_tasks_have_cards(self) -> Self:
        for name, card in self.own_tasks.items():
            if (card.name, card.suite) != (name, OWN):
                raise ValueError(f"own_tasks has {name!r}, whose card says {card.name!r} of suite {card.suite!r}")
        own = {result.task for result in self.tasks if result.suite == OWN}
        if lone := sorted(own ^ self.own_tasks.keys()):
            has, lacks = ("tasks", "own_tasks") if lone[0] in own else ("own_tasks", "tasks")
            raise ValueError(f"{has} has the own task {lone[0]!r}, and {lacks} does not")
        return self

    @model_validator(mode="after")
    def _made_under_known(self) -> Self:
        for result in self.tasks:
            if strange := sorted(result.made.keys() - self.conditions.keys() - {UNKNOWN}):
                raise ValueError(f"{result.task} has vectors made under {strange[0]!r}, which conditions does not have")
        return self

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: tuple[TaskResult, ...]) -> tuple[TaskResult, ...]:
        seen: set[str] = set()
        for result in tasks:
            if result.task in seen:
                raise ValueError(f"{result.task!r} is there twice")
            seen.add(result.task)
        return tasks


def departs(name: str, how: Sequence[str]) -> str:
    """That a run departs from how a model's published numbers were made, in one line.

    Args:
        name: of the published model.
        how: what departs, one text each.
    """
    return f"{name} departs from how its published numbers were made: {'; '.join(how)}"


def as_promised(result: TaskResult, own: Mapping[str, TaskCard]) -> TaskResult:
    """The result, incomplete where its task is not the card's of today: another version, or other queries.

    A run's file says what it counted as when it was written; what is published goes by the cards.

    Args:
        result: of a task.
        own: the cards of the run's own tasks.
    """
    cards = all_cards() if result.suite != OWN else own.values()
    card = next((card for card in cards if card.name == result.task), None)
    promised = card is not None and (result.task_version, result.n_queries) == (card.version, card.queries)
    return result if promised or not result.complete else result.model_copy(update={"complete": False})


def precision_of(result: TaskResult) -> float | None:
    """The result's Precision@1; ``None`` where there is none."""
    metric = (result.metrics or {}).get("precision_at_1")
    return None if metric is None else metric.value


def averages(results: Sequence[TaskResult]) -> tuple[Average, ...]:
    """Averages of the suites that the results belong to, and of their groups.

    Of all tasks of each, by the suite's reducer: the unweighted mean over tasks, 36 for MMEB, 5 for SCaR.
    """
    suites = {result.suite for result in results}
    cards = [card for card in all_cards() if card.suite in suites]
    members: dict[str, list[str]] = {}
    for level in range(3):  # suites, then meta-tasks, then in- and out-of-distribution
        for card in cards:
            for group in card.groups[level : level + 1]:
                members.setdefault(group, []).append(card.name)
    scores = {
        result.task: result.metrics["precision_at_1"].value
        for result in results
        if result.complete and result.metrics is not None and result.suite != OWN
    }
    found = []
    for group, tasks in members.items():
        if "/" in group and tasks == members[group.split("/")[0]]:
            continue  # a suite of one meta-task has no average of its own for it
        done = [scores[task] for task in tasks if task in scores]
        value = reducer_of(tasks).reduce(done) if len(done) == len(tasks) else None
        found.append(Average(group=group, value=value, n_done=len(done), n_tasks=len(tasks)))
    return tuple(found)


def schema() -> dict[str, Any]:
    """JSON Schema of ``run.json``, as ``docs/run.schema.json`` has it."""
    return schema_of(Manifest)


if __name__ == "__main__":
    # python -m evalkit.runs.manifest > docs/run.schema.json
    print(json_bytes(schema()).decode(), end="")

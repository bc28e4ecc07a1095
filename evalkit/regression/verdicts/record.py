"""A gate as JSON: every number behind it, in a schema that scripts can rely on (``docs/gate.schema.json``).

Two records are laid flat, and so have fields of their own. A unit has beside its numbers its verdict, the margin of its
level and the signatures of both, which stand in four places; the whole has what a gate and its comparison have.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from evalkit.files import json_bytes
from evalkit.regression.comparand import Comparand
from evalkit.regression.config import GateConfig, Level
from evalkit.regression.gate import Answer, Gate, Judged, Verdict
from evalkit.regression.units import Paired
from evalkit.version import __version__
from evalkit.written import Written, schema_of


class UnitRecord(Written):
    """A task, a group or a suite."""

    name: str
    """The task's name, or the group's selector."""
    level: Level
    """What it is."""
    verdict: Verdict
    """In one word."""
    fails: bool
    """Whether it stops the gate."""
    why: str
    """The verdict in a sentence."""
    base: float | None
    """Precision@1 of the base, a fraction."""
    new: float | None
    """Precision@1 of the new one."""
    delta: float | None
    """New less base; null where they cannot be compared."""
    margin: float
    """The drop that matters at this level."""
    tasks: int
    """Tasks that it is made of."""
    of: int
    """Tasks that it has."""
    notes: tuple[str, ...]
    """What a reader should know."""
    paired: Paired | None
    """Null where there are no samples: then size alone is judged."""
    base_signature: str | None
    """Of the base's number; null for groups."""
    new_signature: str | None
    """Of the new one's."""


class GateRecord(Written):
    """What ``evalkit gate --json`` writes and ``evalkit compare --json`` prints."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Annotated[Literal["evalkit.gate"], Field(alias="schema")] = "evalkit.gate"
    """What this file is."""
    schema_version: Literal[1] = 1
    """Goes up when a field changes its meaning or goes away."""
    evalkit_version: str = __version__
    """Version of evalkit."""
    verdict: Answer
    """Of the gate."""
    exit_code: Literal[0, 1, 3]
    """Of evalkit gate."""
    mode: Literal["paired", "threshold", "mixed"]
    """By samples, by size alone where there are none, or both."""
    config: GateConfig
    """By which it was judged."""
    family: int
    """Tests that the p-values are adjusted for."""
    seed: int
    """Of permutations and resamples."""
    base: Comparand
    """What is held against."""
    new: Comparand
    """What is looked at."""
    differs: dict[str, tuple[str, str]]
    """What differs between them and does not matter for comparing."""
    notes: tuple[str, ...]
    """What a reader should know of the whole."""
    unjudged: dict[str, str]
    """Tasks that the base has no number of, with the reason."""
    units: tuple[UnitRecord, ...]
    """Suites, then groups, then tasks."""


def record(gate: Gate) -> GateRecord:
    """The gate as a record."""
    comparison = gate.comparison
    return GateRecord(
        verdict=gate.answer,
        exit_code=gate.exit_code,
        mode=comparison.mode,
        config=gate.config,
        family=comparison.family,
        seed=comparison.seed,
        base=comparison.base,
        new=comparison.new,
        differs=dict(comparison.facts),
        notes=gate.notes,
        unjudged=dict(comparison.unjudged),
        units=tuple(_unit(gate, one) for one in gate.judged),
    )


def gate_json(gate: Gate) -> bytes:
    """The record as JSON."""
    return json_bytes(record(gate).model_dump(mode="json", by_alias=True))


def schema() -> dict[str, Any]:
    """JSON Schema of the record, as ``docs/gate.schema.json`` has it."""
    return schema_of(GateRecord)


def _unit(gate: Gate, one: Judged) -> UnitRecord:
    unit, comparison = one.unit, gate.comparison
    numbers = [comparand.numbers.get(unit.name) for comparand in (comparison.base, comparison.new)]
    signatures = [number.signature if number else None for number in numbers]
    return UnitRecord(
        name=unit.name,
        level=unit.level,
        verdict=one.verdict,
        fails=one.fails,
        why=one.why,
        base=unit.base,
        new=unit.new,
        delta=unit.delta,
        margin=gate.config.effect(unit.level),
        tasks=len(unit.tasks),
        of=unit.of,
        notes=unit.notes,
        paired=unit.paired,
        base_signature=signatures[0],
        new_signature=signatures[1],
    )


if __name__ == "__main__":
    # python -m evalkit.regression.verdicts.record > docs/gate.schema.json
    print(json_bytes(schema()).decode(), end="")

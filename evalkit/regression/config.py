"""What a gate is told: ``[tool.evalkit.gate]`` of a ``pyproject.toml``, or a TOML file of its own."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import UsageError
from evalkit.files import as_text, read_given
from evalkit.written import Proportion

PYPROJECT = "pyproject.toml"
Effect = Annotated[float, Field(gt=0, lt=1)]
Level = Literal["suite", "group", "task"]
LEVELS: tuple[Level, ...] = ("suite", "group", "task")
"""The widest first."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Limit(_Table):
    """An absolute floor."""

    scope: str
    """A suite, a group, a task, or a glob of tasks."""
    min: Proportion
    """Precision@1 below it fails, whatever the base had."""


class Expected(_Table):
    """A regression that is known and accepted for a time."""

    scope: str
    """A suite, a group, a task, or a glob of tasks; each that it chooses has to fail."""
    reason: Annotated[str, Field(min_length=1)]
    """Why it is accepted."""
    expires: date
    """The last day on which it is."""


class GateConfig(_Table):
    """``[tool.evalkit.gate]``; all effects are fractions."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Chance of a false alarm of the whole gate."""
    min_effect: Effect = 0.003
    """The drop of a suite's mean that matters."""
    group_min_effect: Effect = 0.005
    """The same of a group's mean."""
    task_min_effect: Effect = 0.02
    """The same of a task."""
    fail_on: tuple[Level, ...] = LEVELS
    """The levels of which a regression fails; others are warned of."""
    allow: tuple[Literal["prompting", "partial"], ...] = ()
    """What may differ: how regions reach the model; runs of a part of the queries, where both have the same."""
    allow_missing: bool = False
    """A task of the base that the new run lacks does not fail."""
    allow_incomparable: bool = False
    """A task that cannot be compared does not end the gate with 3."""
    limit: tuple[Limit, ...] = ()
    """Absolute floors."""
    expected: tuple[Expected, ...] = ()
    """Known regressions."""

    def effect(self, level: Level) -> float:
        """The drop that matters at a level."""
        return {"suite": self.min_effect, "group": self.group_min_effect, "task": self.task_min_effect}[level]


def read_config(path: Path | None, flags: Mapping[str, Any] | None = None) -> GateConfig:
    """The configuration of a file, with the flags that were given in place of its values.

    Args:
        path: a ``pyproject.toml``, of which ``[tool.evalkit.gate]`` is read, or any other TOML file, of which all is.
            ``None`` for the ``pyproject.toml`` of the working directory, if there is one.
        flags: by key; ``None`` where a flag was not given.

    Raises:
        UsageError: no such file, no TOML, or a key or value that is none; names the file, the key and the near one.
    """
    table: dict[str, Any] = {}
    file = Path(PYPROJECT) if path is None else path
    if path is not None or file.is_file():
        table = _table(file, named=path is not None)
    try:
        GateConfig.model_validate(table)
    except ValidationError as error:
        raise UsageError(f"{file}: {_reason(error)}") from None
    try:
        return GateConfig.model_validate(
            table | {key: value for key, value in (flags or {}).items() if value is not None}
        )
    except ValidationError as error:  # of a flag, as the file alone is good
        key, mark, rest = _reason(error).partition(":")
        raise UsageError(f"--{key.replace('_', '-')}{mark}{rest}") from None


def config_of(table: Mapping[str, Any]) -> GateConfig:
    """The configuration of a mapping with the keys of the file.

    Raises:
        UsageError: a key or value that is none; names the key and the near one.
    """
    try:
        return GateConfig.model_validate(dict(table))
    except ValidationError as error:
        raise UsageError(f"config: {_reason(error)}") from None


def origin(key: str, path: Path | None, flags: Mapping[str, Any] | None = None) -> str:
    """Where :func:`read_config` had a key's value from, in the words of its errors."""
    return f"--{key.replace('_', '-')}" if (flags or {}).get(key) is not None else f"{path or PYPROJECT}: {key}"


def _table(file: Path, *, named: bool) -> dict[str, Any]:
    try:
        found: Any = tomllib.loads(as_text(read_given(file)))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # TOML's own, text that is no UTF-8, thousands of digits or brackets
        raise UsageError(f"{file} is no TOML: {error}") from error
    if file.name != PYPROJECT:
        return dict(found)
    for key in ("tool", "evalkit", "gate"):
        if key == "gate" and isinstance(found, dict):
            _require_no_slip(file, found)
        if not isinstance(found, dict) or key not in found:
            if named:
                raise UsageError(f"{file} has no table [tool.evalkit.gate]: add it, or name another file")
            return {}
        found = found[key]
    if not isinstance(found, dict):
        raise UsageError(f"{file}: tool.evalkit.gate is no table: write [tool.evalkit.gate]")
    return found


def _require_no_slip(file: Path, tables: Mapping[str, Any]) -> None:
    """A table whose name is nearly that of the gate's would be left out without a word."""
    if near := difflib.get_close_matches("gate", [key for key in tables if key != "gate"], n=1):
        raise UsageError(f"{file}: there is no table tool.evalkit.{near[0]}; near: gate")


def _reason(error: ValidationError) -> str:
    # A key that is written wrong is missing under its right name: what is there says more.
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg']}, not {first['input']!r}"
    tables: dict[str, type[BaseModel]] = {"limit": Limit, "expected": Expected}
    model = tables.get(str(first["loc"][0]), GateConfig)
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
    return f"there is no key {place}{f'; near: {near[0]}' if near else ''} (known: {', '.join(known)})"

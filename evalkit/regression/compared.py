"""Comparing and gating runs in Python: what people hold of it. The numbers are those of the two commands."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.errors import NotComparableError, UsageError
from evalkit.regression.comparand import Comparand, comparand_of, read_comparand
from evalkit.regression.compare import compare as comparison_of
from evalkit.regression.config import GateConfig, config_of, origin, read_config
from evalkit.regression.gate import Answer, Gate, Judged, judge
from evalkit.regression.verdicts.brief import HEADER, cells, counted, worst_first
from evalkit.regression.verdicts.record import gate_json
from evalkit.runs.frames import Kind, typed
from evalkit.runs.run import Run, Runs
from evalkit.runs.shown import html_table
from evalkit.terminal import one_line

if TYPE_CHECKING:
    import pandas as pd

Held = Run | str | os.PathLike[str]
"""A run, or the path of what the commands take: a run, a folder with one run below it, a baseline, a file of scores."""
Configuration = GateConfig | Mapping[str, Any] | str | os.PathLike[str]
"""What a gate is told: the path of a TOML file, a mapping with its keys, or one that was made already."""

_NUMBERS: Mapping[str, Kind] = {
    "base": "Float64",
    "new": "Float64",
    "difference": "Float64",
    "low": "Float64",
    "high": "Float64",
    "p_value": "Float64",
    "verdict": "string",
}
_NAMED = 3  # tasks that an error names before it counts the others


@dataclass(frozen=True, eq=False, repr=False)
class ComparedRuns:
    """Two runs compared, with a verdict for each task and group. :func:`compare` makes one.

    Attributes:
        judged: what was found, with every number and sentence behind it.
    """

    judged: Gate

    def to_pandas(self) -> pd.DataFrame:
        """One row a task that the base has a number of, in the order of the suites' tables.

        Columns: ``task``, ``base`` and ``new`` (Precision@1), ``difference`` (new less base), ``low`` and ``high`` (of
        its interval, at the level of the configuration, 95 % by default), ``p_value`` (two-sided, of this difference
        alone: the ``p_value`` of ``evalkit compare --json``, not adjusted for the number of tests; the verdict goes by
        ``p_holm``, which is), ``verdict``. Numbers are fractions. What is missing is ``pandas.NA``: a task that cannot
        be compared has no difference, and without queries on both sides there is no interval and no p-value.
        """
        return _frame("task", [one for one in self.judged.judged if one.unit.level == "task"])

    def groups(self) -> pd.DataFrame:
        """One row a suite or group, of which at least two tasks could be compared: the means over those.

        Columns: ``group``, those of :meth:`to_pandas`, and ``n_done`` of ``n_tasks``: over how many tasks.
        """
        found = [one for one in self.judged.judged if one.unit.level != "task"]
        frame = _frame("group", found)
        frame["n_done"] = _counts([len(one.unit.tasks) for one in found])
        frame["n_tasks"] = _counts([one.unit.of for one in found])
        return frame

    @property
    def unjudged(self) -> Mapping[str, str]:
        """Tasks that the base has no number of, so that nothing is said of them, and why; by name."""
        return dict(self.judged.comparison.unjudged)

    @property
    def differs(self) -> Mapping[str, tuple[str, str]]:
        """What else is not the same on both sides, and does not matter for comparing: versions, device; base, new."""
        return dict(self.judged.comparison.facts)

    def to_json(self) -> str:
        """All that there is to say, as ``evalkit compare --json`` prints it (docs/gate.schema.json)."""
        return gate_json(self.judged).decode()

    @property
    def _title(self) -> str:
        comparison = self.judged.comparison
        return f"{comparison.new.model} against {comparison.base.model}"

    def __repr__(self) -> str:
        return one_line(f"<Comparison of {self._title}: {counted(self.judged) or 'nothing to say'}>")

    def _repr_html_(self) -> str:
        return self._table(f"{self._title}: P@1 in percent, differences in points")

    def _table(self, title: str) -> str:
        quiet = ("same", "inconclusive")
        judged = self.judged.judged
        said = [one for one in worst_first(judged) if one.fails or one.verdict not in quiet]
        notes = [counted(self.judged), *(f"{one.unit.name}: {one.verdict}: {one.why}" for one in said)]
        notes += [f"{task}: not judged: {why}" for task, why in self.unjudged.items()]
        notes += [f"note: {note}" for note in self.judged.notes]
        return html_table(title, [HEADER, *(cells(one) for one in judged)], (1, 2, 3, 5, 6, 7, 8), filter(None, notes))


@dataclass(frozen=True, eq=False, repr=False)
class GatedRuns(ComparedRuns):
    """What a gate says of two runs. :func:`gate` makes one.

    Attributes:
        judged: what was found, with every number and sentence behind it.
    """

    @property
    def passed(self) -> bool:
        """Whether nothing fails and all could be compared: where ``evalkit gate`` exits with 0."""
        return self.exit_code == 0

    @property
    def answer(self) -> Answer:
        """``passed``, ``failed``, or ``not comparable``: nothing fails, and something could not be compared."""
        return self.judged.answer

    @property
    def exit_code(self) -> Literal[0, 1, 3]:
        """What ``evalkit gate`` exits with."""
        return self.judged.exit_code

    @property
    def failures(self) -> Mapping[str, str]:
        """What stops the gate: by the name of the task, group or suite, its verdict and why."""
        return {one.unit.name: f"{one.verdict}: {one.why}" for one in worst_first(self.judged.failures)}

    @property
    def blocked(self) -> Mapping[str, str]:
        """What leaves the gate without an answer where nothing fails: by name, why it cannot be compared."""
        return {one.unit.name: one.why for one in worst_first(self.judged.blocked)}

    def __repr__(self) -> str:
        return one_line(f"<Gate {self.answer}: {self._title}: {counted(self.judged) or 'nothing to say'}>")

    def _repr_html_(self) -> str:
        return self._table(f"gate {self.answer}: {self._title}: P@1 in percent, differences in points")


def compare(base: Held, new: Held, *, config: Configuration | None = None, allow: Collection[str] = ()) -> ComparedRuns:
    """Compare two runs, query by query: differences, intervals, tests, verdicts.

    >>> import evalkit
    >>> from evalkit.example import DATA
    >>> base = evalkit.evaluate("random", "example", data=DATA, quiet=True)
    >>> new = evalkit.evaluate("example-colours", "example", data=DATA, quiet=True)
    >>> evalkit.compare(base, new).to_pandas()[["task", "difference", "verdict"]]
                       task  difference       verdict
    0        example/Shapes     0.21875      improved
    1  example/ShapeColours       0.375      improved
    2   example/ShapeSearch       0.125  inconclusive
    3  example/ShapeRegions        <NA>  incomparable

    (Boxes reached one model as words and the other one as boxes: ``allow=["prompting"]`` compares that, too.)

    Args:
        base: what is held against: a run, or the path of one, of a folder with one run below it, of a baseline, or of a
            JSON file of scores (then differences are judged by size alone).
        new: what is looked at; as ``base``.
        config: by which verdicts are given, as :func:`gate`.
        allow: ``"prompting"``, ``"partial"``: what may differ; in place of the configuration's.

    Raises:
        NotComparableError: no task can be compared: there is none in common, or they are about other data, prompts,
            pools, or a part of the queries. Says which and why.
        UsageError: a path with no run or several, a file that is broken, a configuration that is none.
    """
    found = _judged(base, new, config, allow)
    if not found.comparison.compared:
        raise _nothing(found)
    return ComparedRuns(found)


def gate(base: Held, new: Held, config: Configuration | None = None, *, allow: Collection[str] = ()) -> GatedRuns:
    """Is the new run worse than the base?

    A regression has to be large enough to matter and significant among all tests of the gate.

    >>> import evalkit
    >>> from evalkit.example import DATA
    >>> good = evalkit.evaluate("example-colours", "example", data=DATA, quiet=True)
    >>> bad = evalkit.evaluate("constant", "example", data=DATA, quiet=True)
    >>> found = evalkit.gate(good, bad)
    >>> found.passed, "example/Shapes" in found.failures
    (False, True)
    >>> evalkit.gate(good, good).passed
    True

    Args:
        base: what is held against, as :func:`compare`.
        new: what is looked at.
        config: the path of a TOML file, a mapping with its keys (``{"min_effect": 0.01}``), or a
            :class:`evalkit.regression.config.GateConfig`. ``None``, as for the command: the ``pyproject.toml`` of the
            working directory where it has a table ``[tool.evalkit.gate]``, else the defaults; ``{}`` for these in any
            case.
        allow: ``"prompting"``, ``"partial"``: what may differ; in place of the configuration's.

    Raises:
        NotComparableError: as :func:`compare`, where nothing fails either.
        UsageError: as :func:`compare`.
    """
    found = _judged(base, new, config, allow)
    if not found.comparison.compared and not found.failures:
        raise _nothing(found)
    return GatedRuns(found)


def _judged(base: Held, new: Held, config: Configuration | None, allow: Collection[str]) -> Gate:
    if isinstance(config, GateConfig | Mapping):
        chosen = config if isinstance(config, GateConfig) else config_of(config)
        alpha_from = "config: alpha"
    else:
        path = None if config is None else Path(config)
        chosen, alpha_from = read_config(path), origin("alpha", path)
    if allow:
        chosen = config_of(chosen.model_dump() | {"allow": tuple(allow)})
    comparison = comparison_of(_side(base), _side(new), alpha=chosen.alpha, allow=chosen.allow, alpha_from=alpha_from)
    return judge(comparison, chosen, today=date.today())


def _side(held: object) -> Comparand:
    if isinstance(held, Run):
        return comparand_of(held)
    if isinstance(held, str | os.PathLike):
        return read_comparand(Path(held))
    hint = f"; choose one of its {len(held)} runs" if isinstance(held, Runs) else ""
    raise UsageError(f"{type(held).__name__} is neither a run nor the path of one{hint}")


def _nothing(found: Gate) -> NotComparableError:
    """That nothing was compared, and why not."""
    comparison = found.comparison
    why = {one.unit.name: one.why for one in found.judged if one.unit.level == "task"} | dict(comparison.unjudged)
    said = [f"{name}: {words}" for name, words in list(why.items())[:_NAMED]]
    said += [f"and {len(why) - _NAMED} more tasks"] if len(why) > _NAMED else []
    return NotComparableError(
        f"{comparison.base.path} and {comparison.new.path} cannot be compared: {'; '.join(said)}; what may differ can "
        "be allowed (allow), else run both on the same tasks and data"
    )


def _frame(name: str, judged: list[Judged]) -> pd.DataFrame:
    columns: dict[str, list[object]] = {name: [], **{column: [] for column in _NUMBERS}}
    for one in judged:
        unit = one.unit
        low, high = (unit.paired.interval if unit.paired else None) or (None, None)
        p_value = unit.paired.p_value if unit.paired else None
        values = (unit.name, unit.base, unit.new, unit.delta, low, high, p_value, one.verdict)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return typed({name: "string", **_NUMBERS}, columns)


def _counts(values: list[int]) -> pd.Series[int]:
    import pandas as pd

    return pd.Series(values, dtype="Int64")

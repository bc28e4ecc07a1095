"""What can be compared: a run's folder, a baseline's folder, or a JSON file of scores without samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from evalkit.encoding.conditions import together
from evalkit.errors import ResultsError, UsageError
from evalkit.files import LARGEST_TEXT, read_file
from evalkit.regression.baseline import BASELINE, read_baseline
from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.runs.run import Run
from evalkit.runs.runfiles import samples_of
from evalkit.runs.runfolder import one_run, read_run
from evalkit.runs.samples import Samples
from evalkit.runs.versions import VersionError, in_version, reason_of
from evalkit.suites.card import OWN
from evalkit.suites.selecting import select_tasks
from evalkit.written import Proportion, Unwritten, Written, written

_SCORES_VERSION: Literal[1] = 1
_OR = f"a baseline's folder ({BASELINE}) or a JSON file of scores"
"""What else can be compared."""


class ScoresFile(Written):
    """A JSON file of numbers without samples: published ones, or those of another tool."""

    model_config = ConfigDict(populate_by_name=True)

    what: Literal["evalkit.scores"] = Field(alias="schema")
    schema_version: Literal[1]
    model: str
    """Whose numbers they are."""
    source: str | None = None
    """Where they are from."""
    scores: Annotated[dict[str, Proportion], Field(min_length=1)]
    """Precision@1 as a fraction, by the task's name or ``<suite>/<name>``."""


@dataclass(frozen=True)
class Number:
    """What a comparand has of one task.

    Attributes:
        task: the card's name.
        suite: the card's suite.
        meta_task: the card's meta-task.
        distribution: ``ind``, ``ood`` or ``None``.
        value: Precision@1, in [0, 1]; ``None`` where the task failed.
        complete: all queries that the card promises were ranked.
        signature: of the number; ``None`` where there is none.
        failure: why there is no number, or why it is worth none.
        samples: what happened to each query; ``None`` where it is not known.
    """

    task: str
    suite: str
    meta_task: str
    distribution: str | None
    value: float | None
    complete: bool = True
    signature: str | None = None
    failure: str | None = None
    samples: Samples | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The suite and the groups that the task belongs to, as a card names them; an own task belongs to none."""
        if self.suite == OWN:
            return ()
        groups = [self.suite, f"{self.suite}/{self.meta_task}"]
        return tuple(groups if self.distribution is None else [*groups, f"{self.suite}/{self.distribution}"])


@written()
class Comparand:
    """One of the two."""

    path: Unwritten[Path]
    """Where it was read."""
    kind: Literal["run", "baseline", "scores"]
    """What was read."""
    model: str
    """Whose numbers they are."""
    numbers: Unwritten[Mapping[str, Number]]
    """By task, in the order of the suites' tables."""
    facts: Mapping[str, str]
    """Model, versions, device."""


def read_comparand(path: Path) -> Comparand:
    """Read a run's folder, a folder with one run below it, a baseline's folder, or a JSON file of scores.

    Raises:
        UsageError: there is none or more than one, or a file of it is broken; names the file, the field and the way
            out. Whatever is wrong with what a user names is bad input.
    """
    try:
        if path.is_file():
            return _scores(path)
        if (path / BASELINE).is_file():
            baseline, samples = read_baseline(path)
            return _of_manifest(path, "baseline", baseline.run, samples)
        folder = one_run(path, _OR)
        manifest = read_run(folder)
        read = {result.task: samples_of(folder, result) for result in manifest.tasks}
        return _of_manifest(folder, "run", manifest, {task: found for task, found in read.items() if found is not None})
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except ResultsError as error:
        raise UsageError(str(error)) from error


def comparand_of(run: Run) -> Comparand:
    """A run that somebody holds, which need not lie on disk.

    Raises:
        UsageError: a per-query file that is there cannot be read, or does not bear out its number.
    """
    path = run.folder or Path(f"{run.model}/{run.run_id} (in memory)")
    try:
        read = {result.task: run.queries(result) for result in run.manifest.tasks}
        samples = {task: Samples.of(found) for task, found in read.items() if found is not None}
        return _of_manifest(path, "run", run.manifest, samples)
    except ResultsError as error:
        raise UsageError(str(error)) from error


def _of_manifest(
    path: Path, kind: Literal["run", "baseline"], manifest: Manifest, samples: Mapping[str, Samples]
) -> Comparand:
    numbers = {result.task: _number(path, result, samples.get(result.task)) for result in manifest.tasks}
    trusted = sum(result.trusted_store for result in manifest.tasks)
    environment = {
        "system": manifest.environment.system,
        "device": manifest.environment.device,
        "python": manifest.environment.python,
        **manifest.environment.packages,
    }
    facts = {
        "model": manifest.model.name,
        "revision": manifest.model.revision or "-",
        "fingerprint": manifest.model.fingerprint[:12],
        "options": ", ".join(f"{key}={value}" for key, value in sorted(manifest.model.options.items())) or "-",
        "vectors": manifest.settings.vectors,
        "prompting": manifest.settings.prompting or "-",
        "status": manifest.status,
        "vectors reused unchecked (--trust-store)": f"{trusted} tasks" if trusted else "-",
        "evalkit": manifest.evalkit_version,
        # Under which the vectors were made, which an earlier command may have done; early versions do not say.
        **(together([*manifest.conditions.values()]) or environment),
    }
    return Comparand(path, kind, manifest.model.name, numbers, facts)


def _number(path: Path, result: TaskResult, samples: Samples | None) -> Number:
    value, failure = None, None
    if result.metrics is None:
        failure = result.error.message if result.error else "it failed"
    elif "precision_at_1" not in result.metrics:
        raise ResultsError(f"{path}: {result.task} has no metric precision_at_1")
    else:
        found = result.metrics["precision_at_1"]
        value = found.value
        # Every query at a tie, and no better than chance: the vectors are all the same.
        if found.n_ties == found.n and abs(found.value - found.chance) < 1e-12:
            failure = "it cannot tell any two candidates apart: the label ties on every query, and P@1 is chance"
    return Number(
        task=result.task,
        suite=result.suite,
        meta_task=result.meta_task,
        distribution=result.distribution,
        value=value,
        complete=result.complete,
        signature=result.signature,
        failure=failure,
        samples=samples,
    )


def _scores(path: Path) -> Comparand:
    try:
        found = ScoresFile.model_validate_json(
            in_version(read_file(path, LARGEST_TEXT), "evalkit.scores", _SCORES_VERSION, {})
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValidationError, VersionError) as error:
        raise UsageError(
            f"{path} is no scores file of schema version {_SCORES_VERSION}: {reason_of(error)} (docs/compare.md shows "
            "one; of a run name the folder)"
        ) from None
    numbers = {}
    for name, value in found.scores.items():
        try:
            cards = select_tasks([name])
        except UsageError as error:
            raise UsageError(
                f"{path}: scores: {error}; numbers of an own task, which no suite has, are compared by their runs"
            ) from error
        if len(cards) != 1 or cards[0].name in numbers:
            raise UsageError(f"{path}: scores: {name!r} is {len(cards)} tasks, or a task named twice; name each once")
        card = cards[0]
        numbers[card.name] = Number(card.name, card.suite, card.meta_task, card.distribution, value)
    facts = {"model": found.model} | ({"source": found.source} if found.source else {})
    return Comparand(path, "scores", found.model, numbers, facts)

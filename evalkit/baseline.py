"""Baselines: runs that were accepted as what later ones are held to, small enough for a repository.

A baseline is a folder of two files: ``baseline.json`` (the run's manifest, and who was accepted when and why, in
order) and ``samples.parquet`` (one row per query of all tasks: id, score, cluster, and what the model chose).
"""

from __future__ import annotations

import io
import json
import os.path
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import ResultsError, UsageError
from evalkit.files import write_atomically
from evalkit.results import MIGRATIONS as RUN_MIGRATIONS
from evalkit.results import SCHEMA_VERSION as RUN_VERSION
from evalkit.results import Manifest, json_bytes, precision_of, read_run
from evalkit.runfiles import samples_of, samples_path
from evalkit.samples import Samples, agreed, checked, read_columns, reason
from evalkit.versions import Migrations, VersionError, in_version, reason_of

if TYPE_CHECKING:
    import pyarrow as pa

BASELINE = "baseline.json"
SAMPLES = "samples.parquet"
VERSION: Literal[1] = 1
_WITHOUT = "without samples"


class Accepted(BaseModel):
    """One acceptance."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    on: date
    """The day."""
    reason: Annotated[str, Field(min_length=1)]
    """Why this run is what later ones are held to."""
    model: str
    """The model's name."""
    run_id: str
    """The run's."""
    evalkit_version: str
    """That wrote the run."""
    tasks: int
    """With a number."""
    means: dict[str, float]
    """Precision@1 by suite, unweighted over its tasks, where all of them are there."""
    forced: tuple[str, ...] = ()
    """What would have been refused without ``--force``."""


class Baseline(BaseModel):
    """``baseline.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    what: Literal["evalkit.baseline"] = Field(default="evalkit.baseline", alias="schema")
    schema_version: Literal[1] = VERSION
    history: Annotated[tuple[Accepted, ...], Field(min_length=1)]
    """Every acceptance, the first one first; the last one is of this run."""
    run: Manifest
    """The manifest of the run."""


def accept(run: Path, folder: Path, reason: str, *, on: date, force: bool = False) -> Baseline:
    """Make a run the baseline in a folder; the history of the one that was there goes on.

    Args:
        run: the run's folder.
        folder: of the baseline, new or that of an earlier one.
        reason: why; for those who come later.
        on: the day.
        force: also a run that failed, is partial, or has no samples.

    Returns:
        The baseline.

    Raises:
        UsageError: no reason; a run that cannot be a baseline; a folder that holds something else.
        ResultsError: a file that cannot be read or written.
    """
    if not reason.strip():
        raise UsageError("--reason: say why this run is what later ones are held to")
    manifest = read_run(run)
    if faults := _faults(run, manifest):
        if not force:
            raise UsageError(
                f"{run / 'run.json'}: {'; '.join(faults)}: not fit to hold others to; mend it, or accept it all the "
                "same with --force"
            )
        if not any(samples_path(run, task) for task in manifest.tasks):
            raise UsageError(f"{run}: no task has samples, so there is nothing to compare with: run it again")
    before: tuple[Accepted, ...] = ()
    try:
        if (folder / BASELINE).exists():
            before = _read(folder).history
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty and holds no baseline: name another folder with --out")
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise ResultsError(f"{folder} cannot be read: {error.strerror or error}") from error
    accepted = Accepted(
        on=on,
        reason=reason.strip(),
        model=manifest.model.name,
        run_id=manifest.run_id,
        evalkit_version=manifest.evalkit_version,
        tasks=sum(task.metrics is not None for task in manifest.tasks),
        means={a.group: a.value for a in manifest.averages if a.value is not None and "/" not in a.group},
        forced=tuple(faults),
    )
    baseline = Baseline(history=(*before, accepted), run=manifest)
    buffer = io.BytesIO()
    _write(_table(run, manifest), buffer)
    write_atomically(folder / SAMPLES, buffer.getvalue())
    write_atomically(folder / BASELINE, json_bytes(baseline.model_dump(mode="json", by_alias=True)))
    return baseline


def read_baseline(folder: Path) -> tuple[Baseline, Mapping[str, Samples]]:
    """A baseline, and its samples by task.

    Raises:
        ResultsError: a file is missing, broken, of another schema or of another run; names file and field.
    """
    import pyarrow.compute as pc

    baseline, table = _read(folder), _read_table(folder / SAMPLES)
    samples = {}
    signatures = {task.task: task.signature for task in baseline.run.tasks}
    for task in pc.unique(table["task"]).to_pylist():
        if task not in signatures:
            raise ResultsError(
                f"{folder / SAMPLES} has samples of {task!r}, which {folder / BASELINE} has no result of"
            )
        rows = table.filter(pc.equal(table["task"], task))
        where = Path(f"{folder / SAMPLES}, {task}")
        ids, scores = checked(where, rows["id"].to_pylist(), rows["score"].to_pylist())
        clusters = None if rows["cluster"].null_count else np.asarray(rows["cluster"], dtype=np.int64)
        samples[task] = Samples(ids, scores, clusters, signatures[task])
    without = any(fault.startswith(_WITHOUT) for fault in baseline.history[-1].forced)
    for result in baseline.run.tasks:
        if result.samples and result.task not in samples and not without:
            raise ResultsError(f"{folder / SAMPLES} has no samples of {result.task}: accept the run again")
        if result.task in samples:
            agreed(folder / SAMPLES, result.task, samples[result.task], result.n_queries, precision_of(result))
    return baseline, samples


def read_choices(folder: Path, task: str) -> dict[str, str | None]:
    """What a baseline's model chose on each query of a task, by the query's id; ``None`` where it was the label.

    Raises:
        ResultsError: the file is missing or broken.
    """
    import pyarrow.compute as pc

    table = _read_table(folder / SAMPLES)
    rows = table.filter(pc.equal(table["task"], task))
    return dict(zip(rows["id"].to_pylist(), rows["choice"].to_pylist(), strict=True))


def history(folder: Path) -> Baseline:
    """``baseline.json`` alone.

    Raises:
        UsageError: there is none, or it is broken; names the file and the field.
    """
    if not os.path.isfile(folder / BASELINE):  # which says no where pathlib raises
        raise UsageError(f"{folder} holds no baseline ({BASELINE}): evalkit baseline accept makes one")
    try:
        return _read(folder)
    except ResultsError as error:
        raise UsageError(str(error)) from error


def _faults(run: Path, manifest: Manifest) -> list[str]:
    faults = [] if manifest.status == "done" else [f"status {manifest.status}"]
    for what, tasks in (
        ("failed", [task.task for task in manifest.tasks if task.status == "failed"]),
        ("partial", [task.task for task in manifest.tasks if task.status == "done" and not task.complete]),
        (_WITHOUT, [t.task for t in manifest.tasks if t.status == "done" and not samples_path(run, t)]),
    ):
        if tasks:
            faults.append(f"{what}: {tasks[0]}" + (f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""))
    return faults if manifest.tasks else [*faults, "no tasks"]


def _table(run: Path, manifest: Manifest) -> pa.Table:
    """One row per query of all tasks, in their order."""
    import pyarrow as pa

    parts = []
    for result in manifest.tasks:
        path, samples = samples_path(run, result), samples_of(run, result)
        if path is None or samples is None:
            continue
        rows, _ = read_columns(path, ("label", "top"))
        choices = [
            None if not top or top[0] == label else top[0]
            for top, label in zip(rows["top"], rows["label"], strict=True)
        ]
        ids = samples.ids
        clusters = [None] * len(ids) if samples.clusters is None else samples.clusters
        parts.append(
            pa.table(
                {
                    "task": pa.array([result.task] * len(ids), pa.string()),
                    "id": pa.array(ids, pa.string()),
                    "score": pa.array(samples.scores, pa.float64()),
                    "cluster": pa.array(clusters, pa.int32()),
                    "choice": pa.array(choices, pa.string()),
                }
            )
        )
    return pa.concat_tables(parts)


def _write(table: pa.Table, buffer: io.BytesIO) -> None:
    import pyarrow.parquet as pq

    # Distinct ids gain nothing from a dictionary, clusters count up, and a repository keeps every version of this.
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=["task", "score", "choice"],
        column_encoding={"id": "PLAIN", "cluster": "DELTA_BINARY_PACKED"},
        write_statistics=False,
    )


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {
        "task": pa.string(),
        "id": pa.string(),
        "score": pa.float64(),
        "cluster": pa.int32(),
        "choice": pa.string(),
    }
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        table.validate(full=True)  # text that is no UTF-8 among others
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"{path} cannot be read as a baseline's samples: {reason(error)}") from error
    if sorted(zip(table.schema.names, map(str, table.schema.types), strict=True)) != sorted(
        (name, str(kind)) for name, kind in wanted.items()
    ):
        raise ResultsError(f"{path} is no baseline's samples: it needs the columns {', '.join(wanted)}")
    if not table.num_rows:
        raise ResultsError(f"{path} is no baseline's samples: it needs rows with {', '.join(wanted)}")
    return table


def _read(folder: Path) -> Baseline:
    path = folder / BASELINE
    try:
        data = json.loads(in_version(path.read_bytes(), "evalkit.baseline", VERSION, MIGRATIONS))
        if isinstance(data, dict) and isinstance(data.get("run"), dict):
            run = json.dumps(data["run"]).encode()
            data["run"] = json.loads(in_version(run, "evalkit.run", RUN_VERSION, RUN_MIGRATIONS))
        return Baseline.model_validate_json(json.dumps(data))
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValidationError, VersionError) as error:
        raise ResultsError(f"{path} is no baseline of schema version {VERSION}: {reason_of(error)}") from None
    except (ValueError, RecursionError) as error:  # JSON's own, text that is no UTF-8, a number of thousands of digits
        raise ResultsError(f"{path} is no JSON: {error}") from None


MIGRATIONS: Migrations = {}
"""From a schema version of ``baseline.json`` to the next; 1 is the first."""

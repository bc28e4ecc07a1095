"""Baselines: runs that were accepted as what later ones are held to, small enough for a repository.

A baseline is a folder of two files: ``baseline.json`` (the run's manifest, and who was accepted when and why, in
order) and ``samples.parquet`` (one row per query of all tasks: id, score, cluster, and what the model chose).

Two files cannot be replaced at once. So the new samples are first written beside the old ones, under their digest; with
``baseline.json``, which has that digest, the baseline is the new one; then the samples get their name. Whoever reads
between, or after a process that was killed there, finds the samples that ``baseline.json`` means.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from evalkit.errors import ResultsError, UsageError, WriteError
from evalkit.files import LARGEST_TEXT, inside, json_bytes, leads_out, read_file, write_atomically
from evalkit.regression.keptsamples import parsed, require_signatures, written
from evalkit.runs.contradictions import AGAIN, contradictions
from evalkit.runs.manifest import MIGRATIONS as RUN_MIGRATIONS
from evalkit.runs.manifest import SCHEMA_VERSION as RUN_VERSION
from evalkit.runs.manifest import Manifest
from evalkit.runs.perquery import PerQuery, check, reason
from evalkit.runs.recount import recounted
from evalkit.runs.runfiles import samples_path
from evalkit.runs.runfolder import read_run
from evalkit.runs.samples import Samples, where_shared
from evalkit.runs.versions import Migrations, VersionError, in_version, reason_of
from evalkit.written import Written

if TYPE_CHECKING:
    import pyarrow as pa

BASELINE = "baseline.json"
SAMPLES = "samples.parquet"
VERSION: Literal[1] = 1
_WITHOUT = "without samples"
_OWN = re.compile(
    r"samples\.[0-9a-f]{64}\.parquet|\.(baseline\.json|samples\.[0-9a-f]{64}\.parquet|samples\.parquet)\.[0-9a-f]{12}"
)
"""What an acceptance that was cut off may leave."""


class Accepted(Written):
    """One acceptance."""

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


class Baseline(Written):
    """``baseline.json``."""

    model_config = ConfigDict(populate_by_name=True)

    what: Literal["evalkit.baseline"] = Field(default="evalkit.baseline", alias="schema")
    schema_version: Literal[1] = VERSION
    history: Annotated[tuple[Accepted, ...], Field(min_length=1)]
    """Every acceptance, the first one first; the last one is of this run."""
    run: Manifest
    """The manifest of the run."""
    samples_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of ``samples.parquet``; null in baselines of early versions."""


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
    _before(folder)  # a folder that cannot be written is said before all samples are read
    samples = written(run, manifest)
    digest = hashlib.sha256(samples).hexdigest()
    with _alone(folder):
        history = (*_before(folder), accepted)
        baseline = Baseline(history=history, run=manifest, samples_sha256=digest)
        beside = inside(folder, f"samples.{digest}.parquet")
        known = os.path.lexists(beside)  # of the same run, whose acceptance was cut off
        write_atomically(beside, samples)
        try:
            _flush(folder)  # the rename of the samples comes to the disk before that of the file that names them
            write_atomically(inside(folder, BASELINE), json_bytes(baseline.model_dump(mode="json", by_alias=True)))
        except WriteError:
            if not known:
                with suppress(OSError):
                    beside.unlink()
            raise
        _flush(folder)
        try:
            beside.replace(inside(folder, SAMPLES))
            for name in os.listdir(folder):
                if _OWN.fullmatch(name):
                    (folder / name).unlink()
        except OSError as error:  # what is there is whole all the same
            raise WriteError(f"{folder} cannot be written: {error.strerror or error}") from error
    return baseline


def _before(folder: Path) -> tuple[Accepted, ...]:
    """What was accepted into a folder so far; nothing where there is no folder, or one that was left half made."""
    try:
        if (folder / BASELINE).exists():
            return _read(folder).history
        if folder.exists() and (not folder.is_dir() or not all(_is_left_over(folder, n) for n in os.listdir(folder))):
            raise UsageError(f"{folder} is not empty and holds no baseline: name another folder with --out")
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise UsageError(f"{folder} cannot be read: {error.strerror or error}") from error
    return ()


def _is_left_over(folder: Path, name: str) -> bool:
    """Whether a file is what an acceptance that was cut off may leave; early versions wrote the samples first."""
    if name == SAMPLES:
        try:
            return len(parsed(folder / name, read_file(folder / name))) > 0
        except ResultsError:
            return False
    return bool(_OWN.fullmatch(name))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it against another acceptance; no lock file is left in a repository."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}") from error
    try:
        with suppress(OSError):  # not every file system has locks of folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not every file system can
            raise
    finally:
        os.close(descriptor)


def read_baseline(folder: Path) -> tuple[Baseline, Mapping[str, Samples]]:
    """A baseline, and its samples by task.

    Raises:
        ResultsError: a file is missing, broken, of another schema or of another run; names file and field.
    """
    import pyarrow.compute as pc

    baseline = _read(folder)
    path, table = _read_table(folder, baseline)
    samples = {}
    results = {task.task: task for task in baseline.run.tasks}
    for task in pc.unique(table["task"]).to_pylist():
        if task not in results:
            raise ResultsError(f"{path} has samples of {task!r}, which {folder / BASELINE} has no result of")
        rows = table.filter(pc.equal(table["task"], task))
        where = Path(f"{path}, {task}")
        found = PerQuery(where, rows.select(["id", "score"]).combine_chunks(), results[task].signature)
        check(found)
        clusters = None if rows["cluster"].null_count else np.asarray(rows["cluster"], dtype=np.int64)
        recounted(folder / BASELINE, results[task], found, None if clusters is None else where_shared(clusters))
        samples[task] = Samples(found.values("id"), found.scores, clusters, results[task].signature)
    without = any(fault.startswith(_WITHOUT) for fault in baseline.history[-1].forced)
    for result in baseline.run.tasks:
        if result.samples and result.task not in samples and not without:
            raise ResultsError(f"{path} has no samples of {result.task}: accept the run again")
    return baseline, samples


def read_choices(folder: Path, task: str) -> dict[str, str | None]:
    """What a baseline's model chose on each query of a task, by the query's id; ``None`` where it was the label.

    Raises:
        ResultsError: the file is missing or broken.
    """
    import pyarrow.compute as pc

    _, table = _read_table(folder, _read(folder))
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


def _read_table(folder: Path, baseline: Baseline) -> tuple[Path, pa.Table]:
    """The samples that ``baseline.json`` means, and where they lie."""
    path, data = _samples(folder, baseline.samples_sha256)
    table = parsed(path, data)
    require_signatures(path, table, folder / BASELINE, baseline.run)
    return path, table


def _samples(folder: Path, digest: str | None) -> tuple[Path, bytes]:
    """The file of samples with this digest; of a baseline without one, that of the usual name."""
    path = folder / SAMPLES
    beside = folder / f"samples.{digest}.parquet"
    # Beside its place it lies where an acceptance was cut off after its last file was written.
    for place in (beside, path) if digest and os.path.lexists(beside) else (path,):
        try:
            if leads_out(folder, place):
                raise ResultsError(f"{place} is a link that leads out of the baseline's folder: put the file there")
            data = read_file(place)
        except OSError as error:
            raise ResultsError(f"{place} cannot be read as a baseline's samples: {reason(error)}") from error
        if digest is None or hashlib.sha256(data).hexdigest() == digest:
            return place, data
    raise ResultsError(
        f"{path} is not the file that {folder / BASELINE} was accepted with (its samples_sha256 is {digest}): put that "
        "file back, or accept the run again"
    )


def _read(folder: Path) -> Baseline:
    path = folder / BASELINE
    try:
        text = read_file(path, LARGEST_TEXT)
        data = json.loads(in_version(text, "evalkit.baseline", VERSION, MIGRATIONS))
        if isinstance(data, dict) and isinstance(data.get("run"), dict):
            run = json.dumps(data["run"]).encode()
            data["run"] = json.loads(in_version(run, "evalkit.run", RUN_VERSION, RUN_MIGRATIONS))
        found = Baseline.model_validate_json(json.dumps(data))
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValidationError, VersionError) as error:
        raise ResultsError(f"{path} is no baseline of schema version {VERSION}: {reason_of(error)}") from None
    except (ValueError, RecursionError) as error:  # JSON's own, text that is no UTF-8, a number of thousands of digits
        raise ResultsError(f"{path} is no JSON: {error}") from None
    for said in contradictions(found.run):
        raise ResultsError(f"{path} contradicts itself: run: {said}: {AGAIN.replace('run it', 'run and accept it')}")
    return found


MIGRATIONS: Migrations = {}
"""From a schema version of ``baseline.json`` to the next; 1 is the first."""

"""The per-query files that a run's manifest names: where they lie, and whether they are what it says."""

from __future__ import annotations

import os.path
from pathlib import Path, PurePosixPath

from evalkit.errors import ResultsError
from evalkit.results import TaskResult, precision_of
from evalkit.samples import Samples, agreed, read_samples


def samples_path(folder: Path, result: TaskResult) -> Path | None:
    """Where the samples of a result lie; ``None`` where it names none, or nothing is there.

    Raises:
        ResultsError: they lie outside the run.
    """
    if not result.samples:
        return None
    name = PurePosixPath(result.samples)
    if name.is_absolute() or ".." in name.parts or "\0" in result.samples:
        raise ResultsError(f"{folder / 'run.json'}: samples {result.samples!r} of {result.task} lie outside the run")
    path = folder / name
    return path if os.path.lexists(path) else None  # a link to nowhere was there once: to read it is an error


def samples_of(folder: Path, result: TaskResult) -> Samples | None:
    """The samples of a result; ``None`` where there are none.

    Raises:
        ResultsError: they lie outside the run, cannot be read, or belong to another number than the manifest's.
    """
    path = samples_path(folder, result)
    if path is None:
        return None
    found = read_samples(path)
    if found.signature != result.signature:
        raise ResultsError(f"{path} belongs to another number than {folder / 'run.json'} has: run {result.task} again")
    return agreed(path, result.task, found, result.n_queries, precision_of(result))

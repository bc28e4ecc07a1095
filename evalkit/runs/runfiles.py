"""The per-query files that a run's manifest names: where they lie, and whether they are what it says."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from evalkit.errors import ResultsError
from evalkit.files import leads_out
from evalkit.runs.manifest import TaskResult
from evalkit.runs.perquery import PerQuery, read_per_query
from evalkit.runs.recount import recounted
from evalkit.runs.samples import Samples, where_shared


def samples_path(folder: Path, result: TaskResult) -> Path | None:
    """Where the samples of a result lie; ``None`` where it names none, or nothing is there.

    Raises:
        ResultsError: they lie outside the run, or a link leads there.
    """
    if not result.samples:
        return None
    name = PurePosixPath(result.samples)
    if name.is_absolute() or ".." in name.parts or "\0" in result.samples:
        raise ResultsError(f"{folder / 'run.json'}: samples {result.samples!r} of {result.task} lie outside the run")
    path = folder / name
    try:
        if leads_out(folder, path):
            raise ResultsError(f"{path} is a link that leads out of the run's folder: put the file there")
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    return path if os.path.lexists(path) else None  # a link to nowhere was there once: to read it is an error


def queries_of(
    path: Path,
    result: TaskResult,
    needed: Sequence[str] = (),
    wanted: Sequence[str] = (),
    content: bytes | None = None,
) -> PerQuery:
    """The per-query file of a result, held against all that the result says.

    Args:
        path: from :func:`samples_path`.
        result: whose it is.
        needed: columns that it has to have, beside id and score.
        wanted: columns to read where it has them; the image is read in any case.
        content: of the file, where it is in memory; ``path`` is then what errors call it.

    Raises:
        ResultsError: it cannot be read, contradicts itself, or gives other numbers than the result has.
    """
    found = read_per_query(path, needed, ("image", *wanted), content)
    shared = None if found.clusters is None else where_shared(found.clusters)
    recounted(_record_of(path, result), result, found, shared)
    return found


def samples_of(folder: Path, result: TaskResult) -> Samples | None:
    """The samples of a result; ``None`` where there are none.

    Raises:
        ResultsError: they lie outside the run, cannot be read, or belong to another number than the manifest's.
    """
    path = samples_path(folder, result)
    if path is None:
        return None
    return Samples.of(queries_of(path, result))


def _record_of(path: Path, result: TaskResult) -> Path:
    """The ``run.json`` that names a per-query file."""
    depth = len(PurePosixPath(result.samples or path.name).parts)
    return path.parents[depth - 1] / "run.json"

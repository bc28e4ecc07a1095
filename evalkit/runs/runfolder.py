"""The folder of a run: writing it task by task, reading it, finding it.

``RUNS/<model>/<run id>/run.json`` and ``samples/<task>.parquet`` depend on the inputs alone: the same
command gives the same bytes, whether it was interrupted or not. When and how fast is in ``timing.json``.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from evalkit.encoding.conditions import Conditions
from evalkit.errors import ResultsError, UsageError, WriteError
from evalkit.files import LARGEST_TEXT, inside, json_bytes, read_file, write_atomically
from evalkit.runs.contradictions import AGAIN, contradictions
from evalkit.runs.manifest import MIGRATIONS, SCHEMA_VERSION, Manifest, TaskResult, averages
from evalkit.runs.samples import write_samples
from evalkit.runs.versions import VersionError, in_version, reason_of
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.selecting import all_cards

_CUT_OFF = re.compile(r"\.(run\.json|timing\.json|.+\.parquet)\.[0-9a-f]{12}")
"""Names of files that were being written when their process was killed (:func:`evalkit.files.write_atomically`)."""


class RunFolder:
    """A run on disk that is being written.

    Args:
        folder: of the run.
        manifest: as it is before any task; tasks that the folder has already are kept.

    Raises:
        ResultsError: the folder holds something else, or cannot be written.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        with _locked(self.folder):
            # What a killed process was writing; whoever writes here now waits for the lock. No link is followed.
            for place, _, names in os.walk(self.folder):
                for name in filter(_CUT_OFF.fullmatch, names):
                    (Path(place) / name).unlink(missing_ok=True)
            self._update(())

    def record(
        self,
        result: TaskResult,
        samples: Any = None,
        conditions: Mapping[str, Conditions] | None = None,
        card: TaskCard | None = None,
    ) -> None:
        """Write a task's samples (a pyarrow table), then the manifest that names them.

        Args:
            result: of the task.
            samples: where it succeeded.
            conditions: by digest, those that ``result.made`` names.
            card: of the task; kept where no installed suite has it.
        """
        with _locked(self.folder):
            if samples is not None and result.samples is not None:
                write_samples(inside(self.folder, result.samples), samples)
            self._update((result,), conditions, {} if card is None or card.suite != OWN else {card.name: card})
            if result.samples is None:  # those of an earlier command would be taken for this result's
                inside(self.folder, f"samples/{result.task}.parquet").unlink(missing_ok=True)

    def finish(self, status: Literal["done", "failed", "interrupted"]) -> None:
        """Say how the run ended; a run with a task that failed is not done, whichever command failed at it."""
        self.manifest = self.manifest.model_copy(update={"status": status})
        with _locked(self.folder):
            self._update(())

    def write_timing(self, timing: dict[str, Any]) -> None:
        """Write ``timing.json``: when, how fast, on what; not reproducible, and apart for that reason."""
        with _locked(self.folder):
            write_atomically(
                inside(self.folder, "timing.json"),
                json_bytes({"schema": "evalkit.timing", "schema_version": 1} | timing),
            )

    def _update(
        self,
        results: Sequence[TaskResult],
        conditions: Mapping[str, Conditions] | None = None,
        own: Mapping[str, TaskCard] | None = None,
    ) -> None:
        """Merge results into the manifest on disk, which another process may have written."""
        path = inside(self.folder, "run.json")
        tasks = {result.task: result for result in self.manifest.tasks}
        known = self.manifest.conditions | dict(conditions or {})
        cards = dict(self.manifest.own_tasks)
        if path.exists():
            written = read_run(self.folder)
            tasks |= {result.task: result for result in written.tasks}
            known |= written.conditions
            cards |= written.own_tasks
        cards |= own or {}
        tasks |= {result.task: result for result in results}
        order = {card.name: place for place, card in enumerate(all_cards())}
        merged = tuple(sorted(tasks.values(), key=lambda r: (order.get(r.task, len(order)), r.task)))
        used = sorted({digest for result in merged for digest in result.made if digest in known})
        update: dict[str, Any] = {
            "conditions": {digest: known[digest] for digest in used},
            "own_tasks": dict(sorted(cards.items())),
            "tasks": merged,
            "averages": averages(merged),
        }
        if self.manifest.status == "done" and any(result.status == "failed" for result in merged):
            update["status"] = "failed"
        self.manifest = self.manifest.model_copy(update=update)
        write_atomically(path, json_bytes(self.manifest.model_dump(mode="json", by_alias=True)))


def read_run(folder: Path) -> Manifest:
    """Read ``run.json``.

    Raises:
        ResultsError: it is missing, no JSON, not of this schema, or contradicts itself or the cards
            (:mod:`evalkit.runs.contradictions`); names file and field.
    """
    path = folder / "run.json"
    try:
        text = read_file(path, LARGEST_TEXT)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        found = Manifest.model_validate_json(in_version(text, "evalkit.run", SCHEMA_VERSION, MIGRATIONS))
    except (ValidationError, VersionError) as error:
        raise ResultsError(f"{path} is not a run of schema version {SCHEMA_VERSION}: {reason_of(error)}") from None
    for said in contradictions(found):
        raise ResultsError(f"{path} contradicts itself: {said}: {AGAIN}")
    return found


def runs_folder(place: Path) -> Path:
    """A RUNS folder: one that is not there, or is empty, or holds what evalkit has written.

    Raises:
        UsageError: it holds something else.
    """
    try:
        if not place.is_dir():
            if os.path.lexists(place):
                raise UsageError(f"out {place} is no folder: name one for runs")
            return place
        found = sorted(entry.name for entry in os.scandir(place) if not entry.name.startswith("."))
        runs = (place / "vectors.sqlite").exists() or next(place.glob("*/*/run.json"), None) is not None
    except OSError as error:
        raise ResultsError(f"out {place} cannot be read: {error.strerror or error}") from error
    if found and not runs:
        raise UsageError(
            f"out {place} holds something else than runs, such as {found[0]}: name a folder for runs alone"
        )
    return place


def find_runs(paths: Sequence[Path]) -> list[tuple[Path, Manifest]]:
    """All runs at or below the paths, sorted by model and run id.

    Raises:
        UsageError: a path that does not exist or holds no run.
        ResultsError: a run that cannot be read.
    """
    found: dict[Path, Manifest] = {}
    for path in paths:
        try:
            here = path / "run.json"  # a pipe of that name, too, or a link to nowhere: to say what it is
            if os.path.lexists(here) and not here.is_dir():
                files = [here]
            else:
                folders = [folder for depth in ("*", "*/*") for folder in path.glob(depth) if folder.is_dir()]
                files = sorted(file for file in (folder / "run.json" for folder in folders) if os.path.lexists(file))
        except OSError as error:  # a name that is too long, a folder that may not be searched
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        if not files:
            raise UsageError(f"{path} holds no run (RUNS/<model>/<run id>/run.json)")
        found |= {file.parent: read_run(file.parent) for file in files}
    return sorted(found.items(), key=lambda pair: (pair[1].model.name, pair[1].run_id))


def one_run(path: Path, others: str = "") -> Path:
    """The folder of the one run at or below a path.

    Args:
        path: of a run, or of a folder with one run below it.
        others: what else might have been named there, in words, for the error.

    Raises:
        UsageError: there is none, or there are several.
    """
    try:
        if not path.is_dir():
            what = "does not exist"
            if path.exists():
                what = "is a file" if path.is_file() else "is neither a folder nor a file"
            raise UsageError(f"{path} {what}: name a run's folder{f', {others}' if others else ''}")
        if (path / "run.json").exists():  # a pipe of that name, too: to say what it is
            return path
        found = sorted(file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/run.json"))
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not found:
        also = f", and is not {others}" if others else ""
        raise UsageError(f"{path} holds no run (RUNS/<model>/<run id>/run.json){also}")
    if len(found) > 1:
        listed = ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise UsageError(f"{path} holds {len(found)} runs: name one of {listed}")
    return found[0]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; what is written there never goes through a link that somebody put there.

    The runs folder may be a link, as its user likes. The model's folder and the run's are evalkit's own, and a runs
    folder from elsewhere could lead them to files that are not.
    """
    for place in (folder.parent, folder):
        if os.path.islink(place):
            raise WriteError(
                f"{place} is a link, and no run is written through one: name the folder that it leads to with --out, "
                "or link the runs folder as a whole"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = inside(folder, ".lock")
        # Not truncated, and not through a link that was put there in this moment.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o666), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise WriteError(f"{folder} cannot be written: {error.strerror or error}") from error

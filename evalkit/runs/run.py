"""Runs as people hold them in Python: what a run found, as tables, and its queries one by one.

A record is not believed: :func:`load_run` and :func:`load_runs` hold every number to the per-query file that bears it
out, so that tables of many runs can be made at once, and a task's queries are held to its number again when they are
read. What nothing bears out is a claim (:attr:`Run.claimed`), and is called one wherever a run is shown.
"""

from __future__ import annotations

import difflib
import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from evalkit.errors import ResultsError, UsageError
from evalkit.files import LARGEST, read_file
from evalkit.progress import Progress
from evalkit.runs.contradictions import AGAIN, contradictions
from evalkit.runs.frames import QUERIES, averages_frame, queries_frame, results_frame
from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.runs.perquery import PerQuery, reason
from evalkit.runs.runfiles import queries_of, samples_path
from evalkit.runs.runfolder import find_runs, one_run, read_run
from evalkit.runs.samples import samples_file
from evalkit.runs.shown import run_html, run_line, runs_html, runs_line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

P1 = "precision_at_1"
_MANY = 20  # runs, from which on it is shown how far they are loaded: seconds


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One embedder over some tasks: its record, its tables and its queries. It cannot be changed.

    :func:`load_run` makes one of a folder, ``evalkit.evaluate`` gives one.

    >>> import evalkit
    >>> from evalkit.example import DATA
    >>> run = evalkit.evaluate("example-colours", "example", data=DATA, quiet=True)
    >>> run.to_pandas()[["task", "value", "n_ties", "n"]]
                       task     value  n_ties   n
    0        example/Shapes      0.25      64  64
    1  example/ShapeColours       0.5       0  64
    2   example/ShapeSearch      0.25      32  32
    3  example/ShapeRegions  0.142857      64  64

    Attributes:
        manifest: all that ``run.json`` says (docs/run.schema.json).
        folder: where the run lies; ``None`` for one that is in memory alone.
        checked: its numbers were held to its queries when it was loaded.
        claimed: tasks with a number that nothing bears out: their per-query files are not there.
    """

    manifest: Manifest
    folder: Path | None = None
    checked: bool = False
    claimed: tuple[str, ...] = ()
    _files: Mapping[str, bytes] | None = field(default=None)

    @classmethod
    def from_tables(cls, manifest: Manifest, tables: Mapping[str, pa.Table]) -> Run:
        """A run in memory.

        Args:
            manifest: of the run.
            tables: by the task's name, what :func:`evalkit.runs.samples.samples_table` makes; a task without one has
                a number that is :attr:`claimed`.

        Raises:
            ResultsError: the record contradicts itself, or a table does not bear it out.
            UsageError: a table of a task that the manifest has no number of.
        """
        for said in contradictions(manifest):
            raise ResultsError(f"the record of {manifest.model.name} contradicts itself: {said}: {AGAIN}")
        with_number = [result.task for result in manifest.tasks if result.metrics is not None]
        if lone := sorted(tables.keys() - set(with_number)):
            raise UsageError(f"there is a table of {lone[0]}, and the manifest has no number of it")
        return _held(cls(manifest, _files={task: samples_file(table) for task, table in tables.items()}))

    def in_memory(self) -> Run:
        """The same run with its queries in memory, so that nothing of it is asked of the disk again.

        Raises:
            ResultsError: a per-query file that cannot be read, or does not bear out its number.
        """
        if self._files is not None:
            return self
        files = {}
        for result in self.manifest.tasks:
            path = self._path(result)
            if path is not None:
                try:
                    files[result.task] = read_file(path, LARGEST)
                except OSError as error:
                    raise ResultsError(f"{path} cannot be read as a run's samples: {reason(error)}") from error
        return _held(replace(self, folder=None, _files=files))

    @property
    def model(self) -> str:
        """The model's name."""
        return self.manifest.model.name

    @property
    def run_id(self) -> str:
        """Twelve digits that stand for model, settings and version of evalkit."""
        return self.manifest.run_id

    @property
    def status(self) -> str:
        """``done``, ``failed`` (a task did), ``interrupted``, or ``running`` (also of a run that was killed)."""
        return self.manifest.status

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it has a result of, failed ones among them, in the order of the suites' tables."""
        return tuple(result.task for result in self.manifest.tasks)

    def to_pandas(self, metric: str = P1) -> pd.DataFrame:
        """The results, one row a task.

        Columns: ``model``, ``task``, ``suite``, ``meta_task``, ``metric``, ``value``, ``low``, ``high`` (of the 95 %
        interval), ``chance``, ``optimistic``, ``pessimistic`` (with the right candidate first, and last, among equal
        scores), ``n_ties`` (queries at a tie), ``n`` (queries), ``complete`` (all queries that the card promises),
        ``prompting``, ``status``, ``error``, ``signature``. Numbers are fractions in [0, 1], unrounded. What is
        missing is ``pandas.NA``: a task that failed has no value. pandas' ``mean`` passes over that, and is then no
        average of the tasks: :meth:`averages` has those.

        Args:
            metric: another one that the tasks were measured by, such as ``mrr`` or ``hit_at_5``.

        Raises:
            UsageError: there is no such metric; names those that there are.
        """
        return results_frame([self.manifest], metric)

    def averages(self) -> pd.DataFrame:
        """Precision@1 of the suites and groups, one row each: the unweighted mean over tasks, or as the suite says.

        Columns: ``group``, ``value`` (a fraction; ``pandas.NA`` unless all tasks of the group are done and complete),
        ``n_done``, ``n_tasks``. An own task is part of none.
        """
        return averages_frame(self.manifest.averages)

    def samples(self, task: str) -> pd.DataFrame:
        """The queries of a task, one row each, in the order of its rows.

        Columns: ``id``, ``score`` (Precision@1 of the query, in [0, 1]), ``rank`` (of the best right candidate, from 1,
        before others of equal score), ``ties`` (others at its score), ``right`` (right ones at that score),
        ``relevant``, ``pool`` (right ones, and all candidates), ``label``, ``label_score``, ``margin`` (over the best
        wrong one), ``top``, ``top_scores`` (lists of the five best), ``image``, ``text``. A run of an early version
        has no ``image`` and ``text``.

        >>> import evalkit
        >>> from evalkit.example import DATA
        >>> run = evalkit.evaluate("example-colours", "example/Shapes", data=DATA, quiet=True)
        >>> run.samples("example/Shapes")[["score", "rank", "ties", "label"]].head(2)
           score  rank  ties       label
        0   0.25     1     3  red square
        1   0.25     1     3  pink cross

        Args:
            task: its name, one of :attr:`tasks`.

        Raises:
            UsageError: the run has no such task, or the task failed; names those that it has.
            ResultsError: its per-query file is gone, cannot be read, or does not bear out its number.
        """
        result = self._result(task)
        if result.metrics is None:
            why = result.error.message if result.error else "the run does not say why"
            raise UsageError(f"{self._called}: {task} failed, so it has no queries: {why}")
        found = self.queries(result, QUERIES)
        if found is None:
            raise ResultsError(f"{self._called}: the per-query file of {task} is not there: run the task again")
        return queries_frame(found)

    def wrong(self, task: str) -> pd.DataFrame:
        """The queries of a task whose Precision@1 is below 1: the right one is not first, or ties for it.

        Rows, columns and errors are those of :meth:`samples`, and so is the index.
        """
        frame = self.samples(task)
        return frame[frame["score"] < 1]

    def queries(self, result: TaskResult, wanted: Sequence[str] = ()) -> PerQuery | None:
        """The per-query file of a result of this run, held to it; ``None`` where there is none.

        Args:
            result: of :attr:`manifest`.
            wanted: columns to read, beside those that are checked.

        Raises:
            ResultsError: as :func:`evalkit.runs.runfiles.queries_of`.
        """
        if self._files is None:
            path = self._path(result)
            return None if path is None else queries_of(path, result, wanted=wanted)
        content = self._files.get(result.task)
        path = Path(f"samples/{result.task}.parquet")
        return None if content is None else queries_of(path, result, wanted=wanted, content=content)

    def has_queries(self, result: TaskResult) -> bool:
        """Whether the per-query file of a result is there.

        Raises:
            ResultsError: it lies outside the run.
        """
        return self._path(result) is not None if self._files is None else result.task in self._files

    @property
    def _called(self) -> str:
        return str(self.folder or f"run {self.run_id} of {self.model}")

    def _path(self, result: TaskResult) -> Path | None:
        return None if self.folder is None else samples_path(self.folder, result)

    def _result(self, task: str) -> TaskResult:
        for result in self.manifest.tasks:
            if result.task == task:
                return result
        near = difflib.get_close_matches(task, self.tasks, n=1, cutoff=0.5)
        hint = f"; near: {near[0]}" if near else ""
        raise UsageError(f"{self._called} has no task {task!r}; it has {', '.join(self.tasks) or 'none'}{hint}")

    def __repr__(self) -> str:
        return f"<{run_line(self.manifest, self.claimed, checked=self.checked)}>"

    def _repr_html_(self) -> str:
        return run_html(self.manifest, self.claimed, checked=self.checked)


class Runs(Sequence[Run]):
    """Several runs, in an order. They cannot be changed; a slice is Runs again.

    >>> import evalkit
    >>> from evalkit.example import DATA
    >>> models = "constant", "random"
    >>> runs = evalkit.Runs(evalkit.evaluate(model, "example", data=DATA, quiet=True) for model in models)
    >>> len(runs), len(runs.to_pandas())
    (2, 8)

    Args:
        runs: any number, such as those of others that are chosen: ``Runs(run for run in runs if …)``.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, place: int) -> Run: ...

    @overload
    def __getitem__(self, place: slice) -> Runs: ...

    def __getitem__(self, place: int | slice) -> Run | Runs:
        return Runs(self._runs[place]) if isinstance(place, slice) else self._runs[place]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def to_pandas(self, metric: str = P1, *, by_run: bool = False) -> pd.DataFrame:
        """The results of all runs, one row a task of each; columns and errors as :meth:`Run.to_pandas`.

        Args:
            metric: whose numbers.
            by_run: the index, called ``run``, has the run's id, which tells two runs of one model apart. Otherwise it
                counts rows.
        """
        frame = results_frame([run.manifest for run in self], metric)
        if by_run:
            frame.index = _repeated([run.run_id for run in self], [len(run.manifest.tasks) for run in self])
            frame.index.name = "run"
        return frame

    def averages(self) -> pd.DataFrame:
        """Those of all runs: the columns of :meth:`Run.averages` after ``model`` and ``run``, the run's id."""
        frame = averages_frame([average for run in self for average in run.manifest.averages])
        counts = [len(run.manifest.averages) for run in self]
        frame.insert(0, "model", _repeated([run.model for run in self], counts))
        frame.insert(1, "run", _repeated([run.run_id for run in self], counts))
        return frame

    def __repr__(self) -> str:
        return runs_line([(run.manifest, run.claimed, run.checked) for run in self])

    def _repr_html_(self) -> str:
        return runs_html([(run.manifest, run.claimed, run.checked) for run in self])


def load_run(path: str | os.PathLike[str], *, check: bool = True) -> Run:
    """A run from its folder.

    >>> import evalkit, tempfile
    >>> from evalkit.example import DATA
    >>> with tempfile.TemporaryDirectory() as out:
    ...     _ = evalkit.evaluate("example-colours", "example", data=DATA, out=out, quiet=True)
    ...     run = evalkit.load_run(out)
    >>> run.averages().head(2)
                        group     value  n_done  n_tasks
    0                 example  0.285714       4        4
    1  example/classification      0.25       1        1

    Args:
        path: ``RUNS/<model>/<run id>``, or a folder with exactly one run below it.
        check: hold all numbers to the queries that bear them out, which takes a quarter of a second for the
            83,145 queries of MMEB and SCaR; otherwise the run is shown as one that nobody looked at.

    Raises:
        UsageError: there is no run, or there are several.
        ResultsError: ``run.json`` cannot be read, is none, or contradicts itself; or a per-query file that is there
            does not bear it out. Names the file, the field, and what it should be.
    """
    folder = one_run(Path(path).expanduser())
    return _loaded([(folder, read_run(folder))], check=check)[0]


def load_runs(*paths: str | os.PathLike[str], check: bool = True) -> Runs:
    """All runs at or below some folders, sorted by model and run id.

    >>> import evalkit, tempfile
    >>> from evalkit.example import DATA
    >>> with tempfile.TemporaryDirectory() as out:
    ...     for model in ("random", "constant"):
    ...         _ = evalkit.evaluate(model, "example/Shapes", data=DATA, out=out, quiet=True)
    ...     runs = evalkit.load_runs(out)
    >>> [run.model for run in runs]
    ['constant', 'random']

    Args:
        paths: runs' folders, or folders that hold them (``RUNS/<model>/<run id>``).
        check: as :func:`load_run`. It is what takes long where runs are many.

    Raises:
        UsageError: no path, or one that holds no run.
        ResultsError: as :func:`load_run`, of any of them.

    Example:
        >>> import evalkit
        >>> from evalkit.example import DATA
        >>> for model in ("constant", "example-colours"):
        ...     run = evalkit.evaluate(model, "example/ShapeSearch", DATA, "runs", quiet=True)
        >>> evalkit.load_runs("runs").to_pandas()[["model", "task", "value"]]
                     model                 task   value
        0         constant  example/ShapeSearch  0.0625
        1  example-colours  example/ShapeSearch    0.25
    """
    if not paths:
        raise UsageError("name at least one folder of runs")
    with _uncollected():
        found = find_runs([Path(path).expanduser() for path in paths])
    return Runs(_loaded(found, check=check))


@contextmanager
def _uncollected() -> Iterator[None]:
    """No look for circles while many records are read, of which all is kept: half of the time goes there."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _loaded(found: Sequence[tuple[Path, Manifest]], *, check: bool) -> list[Run]:
    runs = [Run(manifest, folder) for folder, manifest in found]
    if not check:
        return [replace(run, claimed=_claimed(run)) for run in runs]
    held, progress = [], Progress(quiet=len(runs) < _MANY)
    with progress.run("runs", 1), progress.task("held to their queries"):
        progress.expect(len(runs))
        for run in runs:
            held.append(_held(run))
            progress.advance(1)
    return held


def _held(run: Run) -> Run:
    """The run with its numbers held to its queries."""
    for result in run.manifest.tasks:
        run.queries(result)
    return replace(run, checked=True, claimed=_claimed(run))


def _claimed(run: Run) -> tuple[str, ...]:
    results = (result for result in run.manifest.tasks if result.metrics is not None)
    return tuple(result.task for result in results if not run.has_queries(result))


def _repeated(values: Sequence[str], counts: Sequence[int]) -> pd.Index[str]:
    import pandas as pd

    return pd.Index([value for value, count in zip(values, counts, strict=True) for _ in range(count)], dtype="string")

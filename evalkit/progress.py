"""Progress of long work: bars on a terminal and in a notebook, a plain line every 30 seconds elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from evalkit.terminal import one_line

_EVERY = 30.0  # seconds between plain lines
_SHOWN = 0.2  # seconds between two looks of the only bar
_LONGEST = 24  # characters of a name before a bar, so that narrow terminals keep some of the bar


class Progress:
    """Counts items of tasks of a run.

    Args:
        stream: where to; standard error by default.
        quiet: say nothing.
        results: say what each task gave; where it failed is said in any case.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, results: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._results = results
        notebook = in_notebook()
        self._bars = not quiet and (self._stream.isatty() or notebook)
        self._alone = notebook and not _widgets()  # a cell goes back to no line above, so that two bars would pile up
        self._run: Any = None
        self._task: Any = None
        self._name = ""
        self._done = self._total = self._tasks_done = self._tasks = 0
        self._began = self._said = time.monotonic()

    @contextmanager
    def run(self, name: str, tasks: int) -> Iterator[None]:
        """A run over so many tasks."""
        self._tasks, self._tasks_done = tasks, 0
        if self._bars:
            self._run = _bar()(total=tasks, desc=name[:_LONGEST], unit="task", file=self._stream, position=0)
        try:
            yield
        finally:
            if self._run is not None:
                self._run.set_postfix_str("", refresh=False)
                self._run.close()
                self._run = None

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """One task of the run."""
        self._name, self._done, self._total = name, 0, 0
        self._began = self._said = time.monotonic()
        if self._bars and self._alone:
            self._show(at_once=True)
        elif self._bars:
            self._task = _bar()(total=0, desc=name[:_LONGEST], unit="item", file=self._stream, position=1, leave=False)
        try:
            yield
        finally:
            if self._task is not None:
                self._task.close()
                self._task = None
            self._tasks_done += 1
            if self._run is not None:
                self._run.update(1)

    def expect(self, items: int) -> None:
        """So many more items belong to the task."""
        self._total += items
        if self._task is not None:
            self._task.total = self._total
            self._task.refresh()

    def advance(self, items: int) -> None:
        """So many items are done."""
        self._done += items
        if self._task is not None:
            self._task.update(items)
        elif self._bars:
            self._show()
        elif not self._quiet and time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            rate = self._done / max(self._said - self._began, 1e-9)
            self.say(
                f"{self._name} (task {self._tasks_done + 1} of {self._tasks}): "
                f"{self._done} of {self._total} items, {rate:.1f} items/s"
            )

    def _show(self, *, at_once: bool = False) -> None:
        """The task in the bar of the run, where that is the only one."""
        if self._run is not None and (at_once or time.monotonic() - self._said >= _SHOWN):
            self._said = time.monotonic()
            counted = f": {self._done} of {self._total} items" if self._total else ""
            self._run.set_postfix_str(f"{self._name[:_LONGEST]}{counted}")

    def result(self, line: str) -> None:
        """What a task gave."""
        if self._results:
            self.say(line)

    def say(self, line: str) -> None:
        """A line of its own, above the bars."""
        if self._quiet:
            return
        line = one_line(line)
        if self._bars and self._run is not None:
            self._run.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def _widgets() -> bool:
    """Whether a notebook can show bars that are more than text."""
    return importlib.util.find_spec("ipywidgets") is not None


def _bar() -> Any:
    """The bars of a notebook where there is one that can show them, else those of a terminal."""
    if in_notebook() and _widgets():
        from tqdm.notebook import tqdm as widget

        return widget
    from tqdm import tqdm

    return tqdm

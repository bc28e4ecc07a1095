"""When a command worked on a run and how long it took: what ``timing.json`` holds, apart from the results."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any


class Clock:
    """Seconds of the phases of one task."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self._last = time.monotonic()

    def __enter__(self) -> Clock:
        self._last = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.lap("write_s")

    def lap(self, phase: str) -> None:
        """The time since the last lap belongs to this phase."""
        now = time.monotonic()
        self.record[phase] = round(now - self._last, 6)
        self._last = now

    def count(self, stats: Any) -> None:
        """Counts of what encoding did."""
        self.record |= dataclasses.asdict(stats)

    def batches(self, budgets: Mapping[int, int]) -> None:
        """How many of the task's vectors, old and new, were made in batches of which budget, in tokens."""
        self.record["vectors_by_batch_tokens"] = {str(budget): count for budget, count in budgets.items()}


class Timing:
    """When a command worked on a run, how long its tasks took, and on what."""

    def __init__(self, device: str, batch_tokens: int, trust_store: bool) -> None:
        self._head: dict[str, Any] = {
            "started_at": _now(),
            "device": device,
            "batch_tokens": batch_tokens,
            "trust_store": trust_store,
        }
        self._clocks: dict[str, Clock] = {}

    def of(self, task: str) -> Clock:
        """The clock of a task."""
        return self._clocks.setdefault(task, Clock())

    def report(self) -> dict[str, Any]:
        """All that was measured."""
        tasks = {task: clock.record for task, clock in self._clocks.items()}
        return self._head | {"finished_at": _now(), "tasks": tasks}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

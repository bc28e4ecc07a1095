"""What was done to make a checkpoint: seed, steps, wall time, losses and evaluations, as JSON beside it."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORD = "training.json"


@dataclass
class Record:
    """A training run as it goes on.

    Attributes:
        name: of the checkpoint.
        settings: all that the run was asked for.
        file: written at each addition, so that a run that was cut off has said how far it came.
    """

    name: str
    settings: dict[str, Any]
    file: Path
    curve: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def add(self, step: int, **values: float) -> None:
        """A point of the curve: step, seconds since the start, losses and scores."""
        point = {"step": step, "seconds": round(time.monotonic() - self._began, 1)}
        self.curve.append(point | {key: round(value, 4) for key, value in values.items()})
        print(self.name, *(f"{key} {value:g}" for key, value in self.curve[-1].items()), flush=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        whole = {"name": self.name, "machine": platform.machine(), "settings": self.settings, "curve": self.curve}
        self.file.write_text(json.dumps(whole, indent=1) + "\n")

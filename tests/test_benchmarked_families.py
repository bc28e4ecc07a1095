"""``benchmarks/families.py``: no family goes unmeasured."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WITHOUT_WEIGHTS = {"constant", "random", "precomputed", "example-colours"}
ELSEWHERE = {"virtue"}  # benchmarks/virtue.py


@pytest.mark.slow(5)
def test_every_family_has_a_row() -> None:
    asked = "import json; from rows import rows; print(json.dumps([row.family for row in rows().values()]))"
    told = subprocess.run(
        [sys.executable, "-c", asked], cwd=BENCHMARKS, capture_output=True, text=True, check=True
    ).stdout
    named = {point.name for point in entry_points(group="evalkit.embedders") if point.value.startswith("evalkit.")}
    assert set(json.loads(told)) == named - WITHOUT_WEIGHTS - ELSEWHERE

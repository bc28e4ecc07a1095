"""``benchmarks/official_ties.py``: what the page on the protocol says of equals in the official scorers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/protocol.md").read_text()


def test_it_prints_what_equals_get_by_size_of_pool() -> None:
    script = ROOT / "benchmarks/official_ties.py"
    done = subprocess.run([sys.executable, script, "--rounds", "3"], capture_output=True, text=True, check=True)
    machine, _, head, *rows = done.stdout.splitlines()
    assert re.fullmatch(rf"numpy {re.escape(np.__version__)}, finds .+; .+", machine)
    columns = re.split(r"  +", head.strip())
    cells = [dict(zip(columns, row.split(), strict=True)) for row in rows]
    assert [row["pool"] for row in cells][:2] == ["2", "10"]
    for row in cells:
        assert row["equal, v1"] == "100"  # the first of the highest
        assert row["equal, v2"] in ("0", "100")
        assert all(value == "–" or 0 <= float(value) <= 100 for key, value in row.items() if key != "pool")


def test_no_page_says_that_the_official_scorers_put_the_label_first() -> None:
    places = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.json")]
    places += [*ROOT.glob("evalkit/**/*.py"), *ROOT.glob("reports/**/*.html")]
    wrong = re.compile(r"as the official\s+(gold-first )?ranking has it|usual script|scores? 100 % on every task")
    assert [path.name for path in places if wrong.search(path.read_text())] == []
    assert "which is not stable" in PAGE

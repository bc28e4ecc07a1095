"""The notebook of the tutorials is executed, after the ten lines of the README in the same kernel.

``python tests/test_tutorial_notebook.py`` executes it and keeps its outputs, which the site shows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from notebook import blurred, executed, numbers, results
from test_docs import DOCS, ROOT, blocks

NOTEBOOK = DOCS / "tutorials/evaluate-your-model.ipynb"


def ten_lines() -> str:
    """What the README shows."""
    [code] = [block for block in blocks(ROOT / "README.md", "python") if "SentenceTransformer" in block]
    return code


def test_the_readme_shows_ten_lines_and_they_begin_the_notebook() -> None:
    code = ten_lines()
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 10
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert "\n".join(cells).startswith(code.rstrip("\n"))


@pytest.mark.slow(15)
@pytest.mark.optional
def test_the_notebook_gives_the_outputs_that_it_shows(tmp_path: Path) -> None:
    shown = results(nbformat.read(NOTEBOOK, as_version=4))
    given = results(executed(NOTEBOOK, tmp_path, first=ten_lines()))
    assert blurred(given) == blurred(shown)
    np.testing.assert_allclose(numbers(given), numbers(shown), atol=2e-4, rtol=0)
    assert {kind for _, kind, _ in shown} == {"text/plain", "text/html", "image/png"}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        nbformat.write(executed(NOTEBOOK, Path(place)), NOTEBOOK)

"""Printed output that a page shows, against what is printed: to the letter, but for what the page leaves out."""

from __future__ import annotations

import re

LEFT_OUT = "…"
"""A line that stands for any number of lines, also none."""


def missing(shown: str, printed: str) -> str | None:
    """What of a page's block is not in the output.

    Fingerprints and run ids (12 hexadecimal digits) follow versions and sources, so that any will do for any.

    Args:
        shown: the block; its lines are found in this order, one right after another but for lines of ``…``.
        printed: the output; what comes before the block's first line and after its last one does not matter.

    Returns:
        The first line that is not where it should be, with what stands there; ``None`` where the block holds.
    """
    runs = [part.strip("\n").split("\n") for part in re.split(rf"^{LEFT_OUT}$", _blind(shown), flags=re.MULTILINE)]
    lines = _blind(printed).split("\n")
    start = 0
    for run in runs:
        if run == [""]:
            continue
        places = [at for at in range(start, len(lines)) if lines[at] == run[0]]
        if not places:
            return f"{run[0]!r} is not printed"
        fits = [at for at in places if lines[at : at + len(run)] == run]
        if not fits:
            found = lines[places[0] : places[0] + len(run)] + [""] * len(run)
            wanted, other = next(pair for pair in zip(run, found, strict=False) if pair[0] != pair[1])
            return f"{wanted!r} is shown, {other!r} printed"
        start = fits[0] + len(run)
    return None


def _blind(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}\b", "0" * 12, text)

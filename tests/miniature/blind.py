"""A guesser that reads and does not see: what a model can get without the query's image.

It scores each candidate on its own, as an embedder does, by how often its words were those of a right candidate,
alone and together with each word of the query: naive Bayes. A cut-out counts as the words for what it shows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from evalkit.miniature.drawings import CutOut
from evalkit.miniature.examples import Candidate, Example


def guessed(learned_from: Sequence[Example], asked: Sequence[Example]) -> float:
    """Precision@1 with ties, of what was learned from some rows, on others."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for example in learned_from:
        for number, candidate in enumerate(example.candidates):
            (wrong if number else right).update(_features(example, candidate))
    hits = 0.0
    for example in asked:
        share = len(example.candidates) - 1
        scores = [
            sum(math.log((right[f] + 0.5) / (wrong[f] / share + 0.5)) for f in sorted(_features(example, candidate)))
            for candidate in example.candidates
        ]
        best = [score > max(scores) - 1e-9 for score in scores]
        hits += best[0] / sum(best)
    return hits / len(asked)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d", text.lower())


def _features(example: Example, candidate: Candidate) -> set[str]:
    query = set(_words(example.query_text))
    if example.box is not None:  # the protocol writes the box into the text
        x0, y0, x1, _ = example.box
        query |= {f"x{x0 // 37}", f"y{y0 // 37}", f"wide{x1 - x0}"}
    words = set(_words(candidate.text))
    if isinstance(candidate.drawing, CutOut):
        thing = candidate.drawing.thing
        words |= {thing.kind, thing.colour, thing.texture, candidate.drawing.scene.place}
    pairs = {f"{one} {other}" for one in query for other in words}
    return {candidate.text, *words, *pairs, f"{len(query & words)} in common"}

"""A guesser that reads and does not see: what a model can get without the query's image.

It scores each candidate on its own, as an embedder does, by how often its words were those of a right candidate,
alone and together with each word of the query: naive Bayes. A candidate's image counts as the words for what it shows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from evalkit.miniature.drawings import CutOut, Drawing, Picture, Shirt
from evalkit.miniature.examples import DrawnCandidate, Example


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


def _seen(drawing: Drawing) -> set[str]:
    """What a candidate's image shows, in words; where the query is text alone, seeing it is the task itself."""
    if isinstance(drawing, CutOut):
        thing = drawing.thing
        return {thing.kind, thing.colour, thing.texture, drawing.scene.place}
    if isinstance(drawing, Shirt):
        return {drawing.colour, drawing.texture, drawing.sleeves, drawing.badge}
    if isinstance(drawing, Picture):
        scene, names = drawing.scene, [f"{thing.colour} {thing.kind}" for thing in drawing.scene.things]
        return {scene.place, f"{len(names)} things", *names, *(word for name in names for word in name.split())}
    raise ValueError(f"no words for {drawing}")


def _features(example: Example, candidate: DrawnCandidate) -> set[str]:
    query = set(_words(example.query_text))
    if example.box is not None:  # the protocol writes the box into the text
        x0, y0, x1, _ = example.box
        query |= {f"x{x0 // 37}", f"y{y0 // 37}", f"wide{x1 - x0}"}
    words = set(_words(candidate.text))
    if example.query is not None and candidate.drawing is not None:
        words |= _seen(candidate.drawing)
    pairs = {f"{one} {other}" for one in query for other in words}
    return {candidate.text, *words, *pairs, f"{len(query & words)} in common"}

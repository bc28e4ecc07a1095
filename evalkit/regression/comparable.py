"""Whether two numbers are about the same thing: by their signatures, and by whether all queries were ranked."""

from __future__ import annotations

from collections.abc import Collection

from evalkit.items.prompting import MODES
from evalkit.regression.comparand import Comparand
from evalkit.runs.signature import parts

BLOCKING = {
    "task": "task version",
    "n": "number of queries",
    "data": "data",
    "prompts": "prompts",
    "pool": "pools",
    "metric": "metric",
    "exif": "orientation of images",
    "dedup": "how candidates are merged",
    "prompting": "prompting",
}
"""The parts of a signature that have to be equal, in words."""
DATA = tuple(part for part in BLOCKING if part != "prompting")
"""The parts that say what was asked; the other is how regions reached the model."""
ALLOWANCES = ("prompting", "partial")
"""What can be allowed to differ: how regions reach the model, and runs of a part of the queries."""


def keeps_words(prompting: str) -> bool:
    """Whether a way of prompting leaves the words as they are: digests of prompts are then equal for equal data.

    Args:
        prompting: as a signature has it: ``-`` where there are no regions, else a mode's name.
    """
    return MODES[prompting].keeps_words if prompting in MODES else prompting == "-"


def differing(base: str, new: str, allow: Collection[str] = ()) -> list[str]:
    """What keeps the numbers of two signatures from being about the same thing, in words."""
    one, other = parts(base), parts(new)
    said = []
    by_prompting = "prompting" in allow and one.get("prompting") != other.get("prompting")
    for part, words in BLOCKING.items():
        # A mode of prompting may take words out of the prompts: then these differ as well.
        if part in allow or (part == "prompts" and by_prompting):
            continue
        if part in one and one[part] == other.get(part):  # what neither says is not equal
            continue
        said.append(f"{words} differs: {one.get(part, 'none')} and {other.get(part, 'none')}")
    return said


def hindrances(base: Comparand, new: Comparand, task: str, allow: Collection[str] = ()) -> list[str]:
    """What keeps a task that both have from being compared, in words; their samples are another question."""
    one, other = base.numbers[task], new.numbers[task]
    said = [] if one.signature is None or other.signature is None else differing(one.signature, other.signature, allow)
    said += [
        f"{comparand.path} has no signature here, so nothing says what its number is about"
        for comparand, number in ((base, one), (new, other))
        if number.signature is None and number.value is not None and comparand.kind != "scores"
    ]
    if "partial" not in allow:
        said += [
            f"{comparand.path} is partial here"
            for comparand, number in ((base, one), (new, other))
            if not number.complete and number.value is not None
        ]
    return said

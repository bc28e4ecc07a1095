"""The demo against what it gave when its models were made: the same, or within what so few queries can tell.

``python tests/test_end_to_end.py > tests/golden/demo.json`` makes the numbers anew, after a change that is meant to
move them: other weights, another miniature.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import PIL
import pytest
from builders import DEMO_SIZE, Demonstration, demonstrate

from evalkit.demo import ENTRANTS
from evalkit.miniature import SUITE
from evalkit.runs.runfolder import find_runs
from evalkit.runs.samples import read_samples
from evalkit.scoring.stats import mean_over_tasks, stratified_bootstrap

pytestmark = pytest.mark.slow(1)

GOLDEN = Path(__file__).parent / "golden" / "demo.json"
KNOW_NOTHING = ("random", "constant")


def images() -> dict[str, str]:
    """What the bytes of the images depend on, and with them the vectors of ``random``."""
    return {"pillow": PIL.__version__, "machine": platform.machine()}


def measured(folder: Path) -> dict[str, Any]:
    """The numbers of a demo: Precision@1 with its 95 % interval, by entrant and task, and over all tasks."""
    runs: dict[str, Any] = {}
    found = {(m.model.name, m.settings.prompting): (path, m) for path, m in find_runs([folder / "runs"])}
    for one in ENTRANTS:
        path, manifest = found[one.model, one.prompting]
        p1 = {r.task: r.metrics["precision_at_1"] for r in manifest.tasks if r.metrics is not None}
        samples = [read_samples(path / result.samples) for result in manifest.tasks if result.samples]
        scores = [task.scores for task in samples]
        interval = stratified_bootstrap(scores, [task.shared for task in samples])
        tasks = {task: [value.value, value.low, value.high] for task, value in p1.items()}
        runs[str(one)] = {"all": [mean_over_tasks(scores), *interval], **tasks}
    return {"size": DEMO_SIZE, "seed": 0, "images": images(), "runs": runs}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def found(demonstration: Demonstration) -> dict[str, Any]:
    assert demonstration.process.returncode == 0, demonstration.process.stderr
    return measured(demonstration.folder)


def test_it_is_the_same_demo(golden: dict[str, Any], found: dict[str, Any]) -> None:
    assert (golden["size"], golden["seed"]) == (found["size"], found["seed"])
    assert list(golden["runs"]) == list(found["runs"]) == [str(one) for one in ENTRANTS]
    for tasks in (*golden["runs"].values(), *found["runs"].values()):
        assert list(tasks) == ["all", *(card.name for card in SUITE.cards())]


@pytest.mark.parametrize("name", KNOW_NOTHING)
def test_what_knows_nothing_gets_exactly_what_it_got(name: str, golden: dict[str, Any], found: dict[str, Any]) -> None:
    if name == "random" and golden["images"] != found["images"]:
        pytest.skip(f"the golden images were written by {golden['images']}, these by {found['images']}")
    assert found["runs"][name] == golden["runs"][name]


@pytest.mark.parametrize("name", [str(one) for one in ENTRANTS if one.model not in KNOW_NOTHING])
def test_the_models_are_as_good_as_they_were(name: str, golden: dict[str, Any], found: dict[str, Any]) -> None:
    for task, (was, was_low, was_high) in golden["runs"][name].items():
        value, low, high = found["runs"][name][task]
        assert low <= was <= high, f"{task}: {was} is not in {low} to {high}"
        assert was_low <= value <= was_high, f"{task}: {value} is not in {was_low} to {was_high}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = demonstrate(Path(place) / "demo")
        if made.process.returncode:
            sys.exit(made.process.stderr)
        text = json.dumps(measured(made.folder), indent=1)
        print(re.sub(r"\[[^]]*\]", lambda three: " ".join(three[0].split()), text))

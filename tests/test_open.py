"""Where people add: a metric, a reducer, a reader of rows and a mode of prompting that evalkit knows nothing of.

They are in a package of their own, which is installed for the test; the metric is that of docs/metrics.md. Everything
from ``evalkit run`` to the gate then has to work with them, and no file of evalkit is touched.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, command, install, run, site_packages, tasks_of

from evalkit.errors import UsageError
from evalkit.items.prompting import MODES
from evalkit.regression.comparable import keeps_words
from evalkit.scoring.metrics import METRICS
from evalkit.scoring.reducers import REDUCERS
from evalkit.suites.readers import READERS

ROOT = Path(__file__).parents[1]
[METRIC] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE | re.DOTALL)

SUITE = """
from dataclasses import replace

from evalkit.items.prompting import MODES, Mode
from evalkit.scoring.reducers import REDUCERS, Reducer
from evalkit.suites import scar
from evalkit.suites.readers import READERS
from evalkit.suites.suite import CardSuite


def backwards(card, folder, options):
    task = scar.load(card, folder, options)
    return replace(task, queries=[replace(item, text=item.text[::-1]) for item in task.queries])


def shouted(item, facts):
    return replace(item, region=None, prompt=item.prompt + "!")


READERS["backwards"] = "their_suite:backwards"
REDUCERS.register(
    Reducer("worst_task", "worst task", "The least of all.", "@misc{mine, title = {M}}", reduce=min)
)
MODES.register(Mode("shouted", by="their words, shouted", given=shouted, keeps_words=False))
SUITE = CardSuite("theirs", package="their_cards", reducer="worst_task")
"""

TASKS = {"Shapes": "image_cls", "ShapeColours": "image_cls", "ShapeRegions": "backwards"}
"""Subsets of the example, and the family that reads them here."""
GROUPS = {"theirs": ["Shapes", "ShapeColours", "ShapeRegions"], "theirs/classification": ["Shapes", "ShapeColours"]}
MODELS = ("random", "evalkit.embedders.colours:Colours")


def write_cards(folder: Path, metrics: str) -> None:
    """The cards of the example once more, as those of another suite."""
    folder.mkdir(parents=True)
    for subset, family in TASKS.items():
        text = (ROOT / f"tasks/example/{subset}.toml").read_text()
        text = text.replace('name = "example/', 'name = "theirs/').replace('suite = "example"', 'suite = "theirs"')
        text = re.sub(r'^family = ".*"$', f'family = "{family}"\nmetrics = {metrics}', text, flags=re.MULTILINE)
        text = re.sub(r'^meta_task = "vqa"$', 'meta_task = "classification"', text, flags=re.MULTILINE)
        (folder / f"{subset}.toml").write_text(text)


@pytest.fixture(scope="module")
def their_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder with the package, its cards beside it."""
    site = tmp_path_factory.mktemp("site")
    install(site, "theirs", "[evalkit.suites]\ntheirs = their_suite:SUITE\n", their_suite=METRIC + SUITE)
    write_cards(site / "their_cards" / "theirs", '["precision_at_1", "first_two", "mrr"]')
    return site


@pytest.fixture
def theirs(their_package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, installed and imported; evalkit forgets it afterwards."""
    registries: tuple[dict[str, Any], ...] = (METRICS, REDUCERS, MODES, READERS)
    before = [dict(registry) for registry in registries]
    with site_packages(their_package, monkeypatch):
        from evalkit.suites.selecting import suites

        assert "theirs" in suites()
        monkeypatch.delitem(sys.modules, "evalkit.cli.run", raising=False)  # its choices are made when it is imported
        yield their_package
        for registry, known in zip(registries, before, strict=True):
            registry.clear()
            registry.update(known)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs of the suite are kept for the tests of this file."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def runs(theirs: Path, kept: Path, tmp_path: Path) -> Path:
    """RUNS with two models on the suite, to change as one likes; the first test that asks makes them."""
    for model in MODELS if not any(kept.iterdir()) else ():
        assert run(kept / "runs", model, tasks="theirs", more=["--prompting", "shouted"]) == 0
    return Path(shutil.copytree(kept / "runs", tmp_path / "runs"))


def folders(runs: Path) -> list[Path]:
    """The folders of the two runs, random's last."""
    return sorted((file.parent for file in runs.glob("*/*/run.json")), key=lambda folder: folder.parent.name)


def results_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {task["task"]: task for task in json.loads((folder / "run.json").read_text())["tasks"]}


def by_hand(above: int, tied: int, right: int) -> Fraction:
    """The documented metric by listing all orders of those at the label's score."""
    orders = set(itertools.permutations("r" * right + "o" * tied))
    return Fraction(sum(above + order.index("r") < 2 for order in orders), len(orders))


def test_a_run_has_what_the_package_adds(runs, capsys):
    for folder in folders(runs):
        data = json.loads((folder / "run.json").read_text())
        values = {}
        for name, task in results_of(folder).items():
            assert list(task["metrics"]) == ["precision_at_1", "first_two", "mrr"], "the card's, in its order"
            table = pq.read_table(folder / task["samples"])
            states = zip(*(table[column].to_pylist() for column in ("rank", "ties", "right")), strict=True)
            expected = [by_hand(rank - 1, tied, right) for rank, tied, right in states]
            found = task["metrics"]["first_two"]
            assert found["value"] == pytest.approx(float(sum(expected) / len(expected)), abs=1e-12)
            pools = zip(table["pool"].to_pylist(), table["relevant"].to_pylist(), strict=True)
            assert found["chance"] == pytest.approx(np.mean([min(1, 2 / pool) for pool, _ in pools]), abs=1e-12)
            assert found["low"] <= found["value"] <= found["high"]
            assert task["metrics"]["precision_at_1"]["value"] < found["value"]
            values[name.removeprefix("theirs/")] = task["metrics"]["precision_at_1"]["value"]
        averages = {average["group"]: average["value"] for average in data["averages"]}
        assert averages == {group: min(values[task] for task in tasks) for group, tasks in GROUPS.items()} | {
            "theirs/visual-interactive": values["ShapeRegions"]
        }
        assert results_of(folder)["theirs/ShapeRegions"]["prompting"] == "shouted"
    assert command("run", "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[native|text|crop|overlay|overlay_box|blur|reclip|none|shouted]" in said
    assert "or their words, shouted, e.g. --prompting shouted." in said


def test_items_come_by_the_reader_and_the_mode(theirs, tmp_path, capsys):
    from evalkit.encoding.given import prompted_task
    from evalkit.encoding.imageindex import ImageIndex
    from evalkit.suites.selecting import load_task, select_tasks
    from evalkit.suites.task import DataFolder, LoadOptions

    [card], [old] = (select_tasks([f"{suite}/ShapeRegions"]) for suite in ("theirs", "example"))
    task, plain = (load_task(one, DataFolder.at(EXAMPLE), LoadOptions()) for one in (card, old))
    assert [item.text[::-1] for item in task.queries] == [item.text for item in plain.queries]
    given = prompted_task(task, "shouted", ImageIndex())
    assert [(item.prompt, item.region) for item in given.queries] == [(i.prompt + "!", None) for i in plain.queries]
    # An embedder without regions is told of all modes that work with it.
    modes = "text, crop, overlay, overlay_box, blur, reclip, none or shouted"
    assert run(tmp_path / "runs", "random", tasks=card.name, more=["--prompting", "native"]) == 2
    assert capsys.readouterr().err.endswith(f"run it with --prompting {modes}\n")
    assert command("tasks", card.name) == 0
    assert re.search(r"metrics +precision_at_1\n +first_two\n +mrr\n", capsys.readouterr().out)


@pytest.mark.slow(0.8)
def test_the_leaderboard_shows_it_and_ranks_nothing_that_its_statistics_are_not_for(runs, tmp_path):
    assert command("report", runs, "--out", tmp_path / "site") == 0
    board = json.loads((tmp_path / "site/theirs/leaderboard.json").read_text())
    groups = {group["key"]: group["tasks"] for group in board["groups"]}
    assert len(groups["general"]) == 2
    for entry in board["entries"]:
        mean = entry["means"]["general"]
        assert mean["value"] == min(entry["scores"][task]["value"] for task in groups["general"])
        assert mean["low"] is None
        assert not any(entry["ranks"].values())


def test_two_runs_are_compared_and_gated(runs, tmp_path, capsys):
    better, worse = folders(runs)
    capsys.readouterr()
    assert command("compare", worse, better, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["mode"], said["family"], said["notes"]) == ("paired", 3, [])
    units = {unit["name"]: unit for unit in said["units"]}
    for group, tasks in GROUPS.items():
        members = [units[f"theirs/{task}"] for task in tasks]
        assert all(unit["paired"] for unit in members)
        assert units[group]["paired"] is None
        assert [units[group][side] for side in ("base", "new")] == [
            min(unit[side] for unit in members) for side in ("base", "new")
        ]
        assert units[group]["why"].endswith(" points; no test is right for a worst task")
        assert units[group]["verdict"] == "inconclusive", "its tasks are judged, each by its test"
    assert command("gate", worse, better) == 0
    assert command("gate", better, worse) == 1


@pytest.mark.parametrize(
    ("metric", "field", "value"),
    [("first_two", "value", 0.5), ("first_two", "chance", 0.75), ("first_two", "low", 0.0), ("mrr", "value", 0.5)],
)
def test_an_edited_record_is_not_believed(metric, field, value, runs, tmp_path, capsys):
    better, worse = folders(runs)
    data = json.loads((worse / "run.json").read_text())
    [task] = [task for task in data["tasks"] if task["task"] == "theirs/Shapes"]
    task["metrics"][metric][field] = value
    if field == "value":
        task["metrics"][metric] |= {"low": 0.25, "high": 0.75, "pessimistic": value, "optimistic": value}
    (worse / "run.json").write_text(json.dumps(data))
    for args in (("report", runs, "--out", tmp_path / "site"), ("compare", worse, better), ("gate", better, worse)):
        assert command(*args) in (2, 4)
        assert f"theirs/Shapes: metrics.{metric}.{field} is {value}, and by " in capsys.readouterr().err


def test_an_edited_mean_is_not_believed(runs, tmp_path, capsys):
    _, worse = folders(runs)
    data = json.loads((worse / "run.json").read_text())
    scores = [task["metrics"]["precision_at_1"]["value"] for task in data["tasks"]]
    data["averages"][0]["value"] = sum(scores) / len(scores)  # what it were as a mean over tasks
    (worse / "run.json").write_text(json.dumps(data))
    assert command("report", runs, "--out", tmp_path / "site") in (2, 4)
    assert f"averages of theirs: value is {sum(scores) / len(scores)}, and by its tasks" in capsys.readouterr().err


@pytest.mark.slow(0.8)
def test_a_record_of_a_metric_that_is_not_known_here_is_read(runs, tmp_path):
    """The package is gone: what can be counted again still is."""
    METRICS.pop("first_two")
    assert command("report", runs, "--out", tmp_path / "site") == 0


# --- what is not there -----------------------------------------------------------------------------------


@pytest.fixture
def wrong(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A suite with a card or a reducer that names what there is not."""
    metrics, reducer = request.param
    write_cards(tmp_path / "site" / "their_cards" / "theirs", metrics)
    suite = f'from evalkit.suites.suite import CardSuite\nSUITE = CardSuite("theirs", "their_cards", "{reducer}")\n'
    install(tmp_path / "site", "theirs", "[evalkit.suites]\ntheirs = wrong_suite:SUITE\n", wrong_suite=suite)
    monkeypatch.setitem(READERS, "backwards", "evalkit.suites.scar:load")
    with site_packages(tmp_path / "site", monkeypatch):
        yield


@pytest.mark.parametrize("wrong", [('["precision_at_1", "hit_at_7"]', "mean_over_tasks")], indirect=True)
def test_a_card_that_names_no_metric_is_said_before_anything_is_embedded(wrong, tmp_path):
    out = tmp_path / "runs"
    assert run(out, "random", tasks="theirs/Shapes,example/Shapes") == 4
    tasks = tasks_of(out)
    assert tasks["theirs/Shapes"]["error"] == {
        "type": "DataError",
        "message": "the card of task theirs/Shapes: metric 'hit_at_7' is not one of "
        "precision_at_1, hit_at_5, hit_at_10, mrr; near: hit_at_5, hit_at_10",
    }
    assert tasks["example/Shapes"]["status"] == "done"
    (file,) = out.glob("*/*/timing.json")
    assert json.loads(file.read_text())["tasks"]["theirs/Shapes"]["embedded"] == 0


@pytest.mark.parametrize("wrong", [('["precision_at_1"]', "mean_over_task")], indirect=True)
def test_a_suite_that_names_no_reducer_is_said_before_anything_is_embedded(wrong, tmp_path, capsys):
    assert run(tmp_path / "runs", "random", tasks="theirs/Shapes") == 2
    assert "suite theirs: reducer 'mean_over_task' is not one of mean_over_tasks; near: mean_over_tasks" in (
        capsys.readouterr().err
    )
    assert not list((tmp_path / "runs").glob("*/*/run.json"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (('["mrr", "precision_at_1"]', "mean_over_tasks"), "the first is 'mrr'"),
        (('["precision_at_1", "mrr", "mrr"]', "mean_over_tasks"), "a metric is named twice"),
        (("[]", "mean_over_tasks"), "at least 1 item"),
    ],
    indirect=["wrong"],
)
def test_precision_at_1_comes_first(wrong, says, tmp_path, capsys):
    assert command("tasks") == 4
    assert re.search(rf"task card theirs/\w+\.toml.*\bmetrics\b.*{says}", capsys.readouterr().err)


def test_names_of_evalkit_are_taken() -> None:
    with pytest.raises(ValueError, match="evalkit has a prompting 'none' itself"):
        MODES.register(MODES["none"])
    with pytest.raises(UsageError, match="reducer 'median' is not one of mean_over_tasks"):
        REDUCERS.named("median")


def test_every_shipped_card_names_metrics_that_there_are_and_every_suite_a_reducer() -> None:
    from evalkit.suites.selecting import all_cards, suites

    for card in all_cards():
        assert set(card.metrics) <= METRICS.keys(), card.name
        assert card.metrics == tuple(METRICS) or card.suite not in ("mmeb", "scar")
    assert {suite.reducer for suite in suites().values()} <= REDUCERS.keys()


def test_what_may_be_ranked_beside_what_follows_from_the_modes(theirs) -> None:
    """Prompts that a mode leaves as they are have to be equal; a mode that no version knows is beside nothing."""
    assert {mode: keeps_words(mode) for mode in MODES} == {
        "native": True, "text": True, "crop": True, "overlay": True, "overlay_box": True, "blur": True, "reclip": True,
        "none": False, "shouted": False,
    }  # fmt: skip
    assert keeps_words("-")
    assert not keeps_words("whispered")

"""What a run claims whose samples are gone: it is shown, as a claim, outside of every ranking."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from board_runs import EXAMPLE, coins, save
from builders import command

CLAIM = 0.99
SHOWN = "99.0"


def group_names(task: dict[str, Any]) -> set[str]:
    return {task["suite"], f"{task['suite']}/{task['meta_task']}"}


def edit(folder: Path, tasks: list[str]) -> None:
    """Make a run say that it got 99 %, and take the samples away that would say otherwise."""
    said = json.loads((folder / "run.json").read_text())
    for task in said["tasks"]:
        if task["task"] in tasks:
            task["metrics"]["precision_at_1"] |= {"value": CLAIM, "optimistic": CLAIM, "pessimistic": CLAIM}
            task["metrics"]["precision_at_1"] |= {"low": 0.98, "high": 0.995, "chance": 0.0001, "n_ties": 0}
            (folder / task["samples"]).unlink()
    values = {task["task"]: task["metrics"]["precision_at_1"]["value"] for task in said["tasks"]}
    for average in said["averages"]:
        own = [values[task["task"]] for task in said["tasks"] if average["group"] in group_names(task)]
        average["value"] = None if average["value"] is None else math.fsum(own) / len(own)
    (folder / "run.json").write_text(json.dumps(said))


def reported(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    site = tmp_path / "site"
    assert (
        command(
            "report", tmp_path / "runs", "--no-published", "--out", site, "--markdown", tmp_path / "L.md", "--quiet"
        )
        == 0
    )
    return site, json.loads((site / "example/leaderboard.json").read_text())


@pytest.fixture
def honest(tmp_path: Path) -> None:
    for digit, (name, chance) in enumerate({"good": 0.7, "fair": 0.6}.items()):
        save(tmp_path / "runs", name, {task: coins(task, chance, digit) for task in EXAMPLE}, digit=str(digit))
    save(tmp_path / "runs", "constant", {task: coins(task, 0.1) for task in EXAMPLE}, family="constant", digit="8")


@pytest.mark.usefixtures("honest")
def test_a_run_whose_samples_are_gone_is_claimed_and_ranked_by_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, without = reported(tmp_path)
    shutil.rmtree(tmp_path / "site")
    folder, _ = save(tmp_path / "runs", "cheat", {task: coins(task, 0.2) for task in EXAMPLE}, digit="5")
    edit(folder, EXAMPLE)
    shutil.rmtree(folder / "samples")
    capsys.readouterr()
    site, document = reported(tmp_path)
    assert "cheat on Example: Claimed, not measured: its samples are not there" in capsys.readouterr().err
    entries = {entry["label"]: entry for entry in document["entries"]}
    assert list(entries) == ["good", "fair", "cheat", "constant"]
    cheat = entries["cheat"]
    assert cheat["kind"] == "claimed"
    assert cheat["ranks"] == {"general": None, "interactive": None}
    assert all(mean["value"] is None and mean["n_done"] == 0 for mean in cheat["means"].values())
    for score in cheat["scores"].values():
        assert (score["value"], score["low"], score["high"], score["tied_with_best"]) == (CLAIM, None, None, False)
        assert score["apart"] == {
            "kind": "claimed",
            "why": "its samples are not there, so the number cannot be checked",
        }
    # The others stand as they stood: ranks, best marks, comparisons, chance.
    before = {entry["label"]: entry for entry in without["entries"]}
    for label in ("good", "fair", "constant"):
        for field in ("ranks", "means", "scores"):
            old = {k: v | {"footnotes": None} if field == "means" else v for k, v in before[label][field].items()}
            new = {k: v | {"footnotes": None} if field == "means" else v for k, v in entries[label][field].items()}
            assert new == old
    assert document["comparisons"] == without["comparisons"]
    assert [task["chance"] for task in document["tasks"]] == [task["chance"] for task in without["tasks"]]
    # No page shows the number without the word.
    for page in site.rglob("*.html"):
        for row in re.findall(r"<tr.*?</tr>", page.read_text(), re.S):
            if SHOWN in row and "cheat" in row:
                assert "claimed" in row
                assert "<b>99.0" not in row
                assert "measured" not in row
    model = html.unescape((site / "example/model-cheat.html").read_text())
    assert "Claimed, not measured: its samples are not there, so the number cannot be checked." in model
    assert 'class="kind">claimed' in model
    task = (site / f"example/task-{EXAMPLE[0].partition('/')[2]}.html").read_text()
    assert "Best: <a" in task
    assert "cheat" not in task.partition("Best: ")[2].partition("</p>")[0]
    for line in (tmp_path / "L.md").read_text().splitlines():
        if line.startswith("| cheat |"):
            assert "claimed" in line
            assert "**" not in line
            assert "measured" not in line
    row = {r["label"]: r for r in csv.DictReader(io.StringIO((site / "example/leaderboard.csv").read_text()))}["cheat"]
    assert row["kind"] == "claimed"
    assert row["claimed_tasks"].split() == EXAMPLE
    assert not any(row[task] for task in EXAMPLE)
    assert str(CLAIM) not in row.values()
    assert not list((site / "example/badges").glob("cheat*"))
    assert not list((site / "example").glob("compare-*cheat*"))
    feed = (site / "feed.xml").read_text()
    assert "cheat: claimed, not measured" in feed
    assert SHOWN not in feed


@pytest.mark.usefixtures("honest")
def test_one_task_without_samples_is_claimed_and_takes_its_means_along(tmp_path: Path) -> None:
    folder, _ = save(tmp_path / "runs", "partly", {task: coins(task, 0.65, 3) for task in EXAMPLE}, digit="5")
    edit(folder, EXAMPLE[:1])
    site, document = reported(tmp_path)
    entry = next(entry for entry in document["entries"] if entry["label"] == "partly")
    assert entry["kind"] == "measured"
    claimed = {task for task, score in entry["scores"].items() if score["apart"]}
    assert claimed == set(EXAMPLE[:1])
    for group in document["groups"]:
        mean = entry["means"][group["key"]]
        assert (mean["value"] is None) == (EXAMPLE[0] in group["tasks"])
        assert mean["n_done"] == len(set(group["tasks"]) - claimed)
    assert entry["ranks"]["general"] is None
    assert entry["ranks"]["interactive"] is not None
    assert "partly claimed" in (site / "index.html").read_text()
    pair = next(pair for pair in document["comparisons"] if "partly" in (pair["base"], pair["new"]))
    assert {one["where"] for one in pair["tasks"]} == set(EXAMPLE[1:])
    assert "claimed: its samples are not there" in pair["incomparable"][EXAMPLE[0]]
    badge = (site / "example/badges/partly.svg").read_text()
    assert "Visual-interactive" in badge
    assert f"Claimed on {EXAMPLE[0]}, not measured" in (tmp_path / "L.md").read_text()


def test_a_board_of_claims_alone_has_neither_ranks_nor_chance(tmp_path: Path) -> None:
    folder, _ = save(tmp_path / "runs", "cheat", {task: coins(task, 0.2) for task in EXAMPLE}, digit="5")
    edit(folder, EXAMPLE)
    site, document = reported(tmp_path)
    assert [task["chance"] for task in document["tasks"]] == [None] * len(EXAMPLE)
    assert not any(document["entries"][0]["ranks"].values())
    assert "claimed" in (site / "index.html").read_text()

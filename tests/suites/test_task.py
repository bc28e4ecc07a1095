"""Tasks that hold together, and choosing them by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evalkit.errors import DataError, UsageError
from evalkit.items import Item
from evalkit.plugins import plugins
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import all_cards, select_tasks, suites
from evalkit.suites.suite import CardSuite
from evalkit.suites.task import DataFolder, LoadOptions, Task

(CARD,) = select_tasks(["VOC2007"])


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def task(**changes: Any) -> Task:
    parts: dict[str, Any] = {
        "card": CARD,
        "queries": [Item("a"), Item("b")],
        "ids": ["1", "2"],
        "candidates": [Item("x"), Item("y"), Item("z")],
        "names": ["x", "y", "z"],
        "pools": [numbers(0, 1, 2), numbers(2, 1)],
        "relevant": [numbers(2), numbers(1, 2)],
        "labels": ["z", "y"],
    }
    return Task(**parts | changes)


def test_a_sound_task():
    assert not task().complete
    assert task(card=CARD.model_copy(update={"queries": 2})).complete


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"queries": [], "ids": [], "pools": [], "relevant": [], "labels": []}, "has no rows"),
        ({"ids": ["1"]}, "differ in number"),
        ({"labels": ["z"]}, "differ in number"),
        ({"pools": [numbers(0, 2)]}, "differ in number"),
        ({"relevant": [numbers(2)]}, "differ in number"),
        ({"ids": ["1", "1"]}, "query ids are not distinct"),
        ({"names": ["x", "y"]}, "candidates and names differ"),
        ({"pools": [numbers(0, 2), numbers()]}, "row 1: the pool of candidates is empty"),
        ({"pools": [numbers(0, 3), numbers(1, 2)]}, "row 0: the pool names a candidate that does not exist"),
        ({"pools": [numbers(2, -1), numbers(1, 2)]}, "row 0: the pool names a candidate that does not exist"),
        ({"relevant": [numbers(2), numbers(0)]}, "row 1: the label 'y' is not in its pool"),
        ({"relevant": [numbers(2), numbers(1, 0)]}, "row 1: the label 'y' is not in its pool"),
        ({"relevant": [numbers(), numbers(1)]}, "row 0: the label 'z' is not in its pool"),
    ],
)
def test_a_task_that_does_not_hold_together(changes, says):
    with pytest.raises(DataError, match=says) as error:
        task(**changes)
    assert "VOC2007" in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["../up", "a/../b", "a/b/c", "/root", "a/", "a//b", ".", "..", "a/..", ".hidden", "a/.hidden", "", "a b", "a\\b",
     "a\n", "a\0b", "é", "-x", "~/x", "C:x", "a/..\n"],
)  # fmt: skip
def test_no_name_can_leave_the_folder_of_a_run(name):
    """``samples/<name>.parquet`` is written for every task."""
    with pytest.raises(ValidationError, match="name"):
        TaskCard.model_validate(CARD.model_dump() | {"name": name})


@pytest.mark.parametrize("name", ["ImageNet-1K", "SCaR/RefCOCO_plus", "a..b", "9+1", "x/9.1"])
def test_names_that_are_fine(name):
    assert TaskCard.model_validate(CARD.model_dump() | {"name": name}).name == name


# --- choosing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("selectors", [[], [""], [",", " , "]])
def test_no_selector_at_all_is_an_error(selectors):
    with pytest.raises(UsageError, match="no task is named"):
        select_tasks(selectors)


@pytest.mark.parametrize("selector", ["*", "**", "mmeb/*,scar/*,example/*,miniature/*"])
def test_globs_over_everything(selector):
    assert select_tasks([selector]) == all_cards()


def test_a_glob_is_of_tasks_not_of_groups():
    """Else ``mmeb/*`` would be the same as each of its groups, and ``mmeb/v*`` all of mmeb/vqa."""
    assert {card.name for card in select_tasks(["mmeb/V*"])} == {
        card.name for card in all_cards() if card.name.startswith("V")
    }
    with pytest.raises(UsageError):
        select_tasks(["mmeb/v*"])


def test_names_are_matched_as_they_are_written():
    with pytest.raises(UsageError, match="near: VOC2007"):
        select_tasks(["voc2007"])


def test_a_bad_selector_spoils_the_good_ones():
    with pytest.raises(UsageError, match="'nothing-like-this'"):
        select_tasks(["mmeb", "nothing-like-this", "scar"])


def test_every_card_is_of_the_suite_that_has_it():
    for name, suite in suites().items():
        assert {card.suite for card in suite.cards()} == {name} == {suite.name}


def test_suites_and_families_are_the_installed_ones():
    assert list(plugins("evalkit.suites"))[:4] == ["example", "miniature", "mmeb", "scar"]
    assert {"constant", "random", "precomputed", "clip"} <= plugins("evalkit.embedders").keys()


# --- loading -----------------------------------------------------------------------------------------


def test_a_family_that_nobody_reads_is_named(tmp_path):
    card = CARD.model_copy(update={"family": "video_qa"})
    with pytest.raises(DataError, match=r"VOC2007: family 'video_qa' is not one of image_cls.*scar_i2t"):
        CardSuite("mmeb").load(card, DataFolder.at(tmp_path), LoadOptions())


def test_folders(tmp_path):
    (tmp_path / "rows").mkdir()
    assert DataFolder.at(tmp_path / "rows").images == tmp_path / "rows" / "images"
    (tmp_path / "images").mkdir()
    assert DataFolder.at(tmp_path / "rows").images.resolve() == tmp_path.resolve() / "images"
    (tmp_path / "rows" / "images").mkdir()
    assert DataFolder.at(tmp_path / "rows").images == tmp_path / "rows" / "images"
    assert DataFolder.at(tmp_path / "rows", tmp_path).images == tmp_path


def test_folders_beside_a_link_are_beside_what_it_leads_to(tmp_path):
    (tmp_path / "far" / "rows").mkdir(parents=True)
    (tmp_path / "far" / "images").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "far" / "rows")
    assert DataFolder.at(tmp_path / "here").images == (tmp_path / "far" / "images").resolve()


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"data folder .*nowhere does not exist"):
        DataFolder.at(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"images folder .*nowhere does not exist"):
        DataFolder.at(tmp_path, tmp_path / "nowhere")

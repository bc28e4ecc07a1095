"""A model at several dimensions on a board: rows of its own, one curve, and the numbers beside it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from builders import EXAMPLE, command, run

from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.pages.curve import CurveLine, CurvePoint, curve, drawn, of_one_model
from evalkit.leaderboard.pages.standing import Standing
from evalkit.runs.runfolder import find_runs

DIMENSIONS = (4, 8, 40, 64)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model at four dimensions, and of two others; nobody writes into it."""
    out = tmp_path_factory.mktemp("runs")
    assert run(out, f"random?dimensions={','.join(map(str, DIMENSIONS))}", "random?seed=1", "constant") == 0
    return out


@pytest.fixture(scope="module")
def board(runs):
    [found] = boards(find_runs([runs]))
    return found


def entry_of(board, label):
    [found] = [entry for entry in board.entries if entry.label.partition(" ")[0] == label]
    return found


def numbers(svg: str, line: int) -> dict[str, str]:
    """What the titles of a line's dots say, by the dimension."""
    tree = ET.fromstring(svg)
    titles = [dot[0].text or "" for dot in tree.iter("circle") if f"l{line}" in dot.attrib["class"].split()]
    return dict(re.fullmatch(r".+ at ([\d,]+): (.+)", title).groups() for title in titles)  # type: ignore[union-attr]


def test_each_dimension_is_a_row_whose_name_says_it(board):
    models = sorted(entry.model for entry in board.entries)
    assert models == ["constant", "random", "random", "random@4", "random@40", "random@8"]
    assert len({entry.slug for entry in board.entries}) == len({entry.label for entry in board.entries}) == 6
    assert {entry.model: entry.facts.dimension for entry in board.entries}["random@40"] == 40


def test_the_curve_is_of_one_model(board):
    first = entry_of(board, "random@8")
    found = of_one_model(board, first)
    assert [entry.run[1].model.dimension for entry in found if entry.run] == list(DIMENSIONS)
    assert len({entry.run[1].model.fingerprint for entry in found if entry.run}) == 1
    assert [entry.slug for entry in of_one_model(board, found[-1])] == [entry.slug for entry in found]
    assert of_one_model(board, entry_of(board, "constant")) == []
    assert curve(Standing(board), entry_of(board, "constant")) is None


def test_the_curve_and_the_tables_have_the_board_s_numbers(board):
    first = entry_of(board, "random@8")
    found = curve(Standing(board), first)
    assert found is not None
    for line, key in enumerate(("general", "interactive")):
        expected = {
            str(one.run[1].model.dimension): f"{100 * one.means[key].value:.1f}" for one in of_one_model(board, first)
        }
        assert numbers(found["drawn"], line) == expected
        [column] = [column for column in found["means"].columns if column.key == f"mean-{key}"]
        assert [cell.content for cell in column.cells] == list(expected.values())
    tree = ET.fromstring(found["drawn"])
    assert tree.attrib["role"] == "img"
    assert "table below" in tree.attrib["aria-label"]
    [own] = {dot[0].text.partition(" at ")[2][:1] for dot in tree.iter("circle") if "own" in dot.attrib["class"]}
    assert own == "8"
    assert [column.label for column in found["tasks"].columns] == ["Task", "4", "8", "40", "64"]
    shapes = next(row for row in zip(*(c.cells for c in found["tasks"].columns), strict=True) if "Shapes<" in row[0][0])
    assert [cell.content for cell in shapes[1:]] == [
        f"{100 * one.scores['example/Shapes'].value:.1f}" for one in of_one_model(board, first)
    ]


def test_without_means_the_curve_is_of_tasks(board):
    first = entry_of(board, "random@8")
    found = curve(Standing(replace(board, groups=())), first)
    assert found is not None
    assert found["means"] is None
    assert len(numbers(found["drawn"], 3)) == len(DIMENSIONS), "four tasks, four lines"


def test_another_choice_is_another_curve(board):
    """Of vectors that were kept otherwise, or of another way of prompting, the numbers are not one line's."""
    first, second = entry_of(board, "random@8"), entry_of(board, "random@4")
    folder, other = second.run
    settings = other.settings.model_copy(update={"vectors": "float16"})
    strange = replace(second, run=(folder, other.model_copy(update={"settings": settings})))
    changed = [strange if entry is second else entry for entry in board.entries]
    assert strange.slug not in {one.slug for one in of_one_model(replace(board, entries=tuple(changed)), first)}


def test_a_line_lies_inside_its_chart_and_labels_lie_apart():
    points = [CurvePoint(2**place, place / 12, place / 13, (place + 1) / 12) for place in range(12)]
    lines = [
        CurveLine(f"line {number} of a long name <b>", [*points, CurvePoint(4096, None, None, None)])
        for number in range(6)
    ]
    tree = ET.fromstring(drawn(lines, 64))
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for line in tree.iter("polyline"):
        for point in line.attrib["points"].split():
            across, up = map(float, point.split(","))
            assert 0 <= across <= width
            assert 0 <= up <= height
    places = sorted(float(text.attrib["y"]) for text in tree.iter("text") if text.attrib.get("class") == "label")
    assert len(places) == 6
    assert all(after - before >= 13.9 for before, after in pairwise(places))
    assert places[-1] <= height


def test_the_site_has_it_and_the_command_that_measures_it_again(runs, tmp_path):
    assert command("report", runs, "--out", tmp_path / "site", "--quiet") == 0
    page = (tmp_path / "site/example/model-random-8.html").read_text(encoding="utf-8")
    assert page.count('<svg class="scatter curve"') == 1
    assert "dimensions=8" in page
    assert "8, cut from whole vectors" in page
    plain = (tmp_path / "site/example/model-constant.html").read_text(encoding="utf-8")
    assert "curve" not in plain
    document = json.loads((tmp_path / "site/example/leaderboard.json").read_text())
    assert {entry["model"]: entry["facts"]["dimension"] for entry in document["entries"]}["random@4"] == 4


def test_the_command_of_a_page_makes_the_same_run(runs, tmp_path):
    from evalkit.leaderboard.pages.provenance import model

    [manifest] = [one for _, one in find_runs([runs]) if one.model.name == "random@40"]
    assert model(manifest) == "random?dimension=64&seed=0&dimensions=40"
    assert run(tmp_path / "again", model(manifest), tasks="example/Shapes", data=EXAMPLE) == 0
    [(_, again)] = find_runs([tmp_path / "again"])
    assert again.run_id == manifest.run_id

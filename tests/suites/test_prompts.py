"""Prompts of all 41 tasks, character by character, against what the official loaders build.

``golden/prompts-a.json`` holds raw rows of layout v2 (made up) and what the official code made of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import as_v1, load, write

from evalkit.suites.task import Task

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts-a.json").read_text())
TASKS = sorted(GOLDEN["rows"])
MMEB = [name for name in TASKS if not name.startswith("SCaR/")]


def rebuilt(task: Task, row: int) -> dict:
    """A row in the form of the golden file."""

    def image(item):
        return None if item.image is None else f"ROOT/{item.image.path}"

    query, pool = task.queries[row], [task.candidates[i] for i in task.pools[row]]
    built = {
        "query_text": query.prompt.replace("<image>", "<|image_pad|>"),
        "query_image": image(query),
        "candidate_text": [item.prompt.replace("<image>", "<|image_pad|>") for item in pool],
        "candidate_image": [image(item) for item in pool],
        "candidate_names": [task.names[i] for i in task.pools[row]],
        "label_name": task.labels[row],
    }
    if query.region is not None:
        built["sam_bbox"] = list(query.region.corners)
    return built


@pytest.mark.parametrize("name", TASKS)
def test_prompts_are_the_official_ones(name, tmp_path):
    write(tmp_path, name, GOLDEN["rows"][name]["columns"])
    task = load(tmp_path, name)
    assert [rebuilt(task, row) for row in range(len(task.queries))] == GOLDEN["golden"][name]
    assert task.warnings == ()


@pytest.mark.parametrize("name", MMEB)
def test_layout_v1_gives_the_prompts_of_layout_v2(name, tmp_path):
    columns = GOLDEN["rows"][name]["columns"]
    write(tmp_path / "v1", name, as_v1(columns))
    write(tmp_path / "v2", name, columns)
    old, new = load(tmp_path / "v1", name), load(tmp_path / "v2", name)
    assert [rebuilt(old, row) for row in range(len(old.queries))] == GOLDEN["golden"][name]
    assert old.ids == new.ids
    assert [i.text for i in old.queries] == [i.text for i in new.queries]
    assert [i.instruction for i in old.queries] == [i.instruction for i in new.queries]
    assert [(c.text, c.instruction) for c in old.candidates] == [(c.text, c.instruction) for c in new.candidates]
    assert old.warnings == ()

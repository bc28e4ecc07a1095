"""The line that pins a number: what has to change it, and what must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.imageindex import ImageIndex
from evalkit.items import Box, Item, Mask
from evalkit.items.images import ImageFile
from evalkit.runs.manifest import Settings
from evalkit.runs.signature import parts as read_parts
from evalkit.runs.signature import signature
from evalkit.suites.selecting import select_tasks
from evalkit.suites.task import Task

(CARD,) = select_tasks(["WebQA"])
INFO = EmbedderInfo(name="mine", dimension=8, revision="abc")
LOADED = LoadedEmbedder(Constant(), INFO, "0123456789abcdef" * 4, "mine")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        PIL.Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / f"{number}.png")
    (folder / "0-copy.png").write_bytes((folder / "0.png").read_bytes())
    return folder


def parts(
    task: Task,
    loaded: LoadedEmbedder = LOADED,
    prompting: str | None = None,
    chosen: Settings | None = None,
    given: Task | None = None,
) -> dict[str, str]:
    index = ImageIndex()
    index.gather([*task.queries, *task.candidates])
    line = signature(task, given or task, index, loaded, prompting, chosen or Settings())
    assert line.isprintable()
    found = dict(part.split(":", 1) for part in line.split("|"))
    assert len(found) == line.count("|") + 1
    assert read_parts(line) == found
    return found


def base(images: Path) -> Task:
    """Three queries, one with a box, over pools of two to four of five candidates."""

    def image(number: int) -> ImageFile:
        return ImageFile(images, f"{number}.png")

    def numbers(*values: int) -> np.ndarray:
        return np.array(values, dtype=np.int32)

    return Task(
        card=CARD,
        queries=[
            Item("ask a", "a", "ask"),
            Item("ask b", "b", "ask"),
            Item("ask c", "c", "ask", image(0), Box(1, 1, 2, 2)),
        ],
        ids=["q1", "q2", "q3"],
        candidates=[Item(f"see {i}", str(i), "see", image(i)) for i in range(5)],
        names=[f"n{i}" for i in range(5)],
        pools=[numbers(0, 1, 2), numbers(3, 4), numbers(4, 0, 1, 2)],
        relevant=[numbers(0), numbers(3), numbers(4)],
        labels=["n0", "n3", "n4"],
    )


def put(values: Sequence[object], place: int, value: object) -> list[object]:
    return [value if i == place else old for i, old in enumerate(values)]


def test_it_says_what_it_is(images):
    found = parts(base(images))
    assert list(found) == [
        "task", "n", "data", "prompts", "pool", "metric", "embedder", "fingerprint", "options", "prompting", "exif",
        "dedup", "vectors", "evalkit",
    ]  # fmt: skip
    assert (found["task"], found["n"], found["embedder"]) == (f"WebQA@{CARD.version}", "3", "mine@abc")
    assert found["pool"].startswith("own-2-4-")
    assert (found["fingerprint"], found["options"], found["prompting"]) == ("0123456789ab", "-", "-")
    assert (found["exif"], found["dedup"], found["vectors"]) == ("apply", "content", "float32")


def test_each_change_shows_in_its_parts(images):
    task = base(images)
    queries, candidates = task.queries, task.candidates
    other = ImageFile(images, "5.png")
    changes = {
        "prompts": [
            replace(task, queries=put(queries, 1, replace(queries[1], prompt="ask B"))),
            replace(task, queries=put(queries, 1, replace(queries[1], text="B"))),
            replace(task, queries=put(queries, 1, replace(queries[1], instruction="please"))),
            replace(task, candidates=put(candidates, 2, replace(candidates[2], text="two"))),
        ],
        "prompts pool": [replace(task, candidates=put(candidates, 2, replace(candidates[2], prompt="look")))],
        "data": [
            replace(task, labels=["n0", "n3", "n0"]),
            replace(task, ids=["q1", "q2", "q4"]),
            replace(task, queries=put(queries, 2, replace(queries[2], image=other))),
            replace(task, queries=put(queries, 2, replace(queries[2], region=Box(0, 1, 2, 2)))),
            replace(task, queries=put(queries, 2, replace(queries[2], region=None))),
        ],
        "data pool": [
            replace(task, candidates=put(candidates, 2, replace(candidates[2], image=other))),
            replace(task, names=put(task.names, 2, "two")),
        ],
        "pool": [
            replace(task, pools=put(task.pools, 0, np.array([0, 1], dtype=np.int32))),
            replace(task, pools=put(task.pools, 0, np.array([0, 1, 3], dtype=np.int32))),
        ],
        "task": [replace(task, card=CARD.model_copy(update={"version": CARD.version + 1}))],
    }
    before = parts(task)
    seen = {tuple(before.values())}
    for names, tasks in changes.items():
        for changed in tasks:
            after = parts(changed)
            differ = {name for name in before if before[name] != after[name]}
            if changed.ids != task.ids:
                differ.discard("pool")  # pools are those of queries
            assert differ == set(names.split())
            seen.add(tuple(after.values()))
    assert len(seen) == 1 + sum(map(len, changes.values())), "all of them are told apart"


def test_embedder_and_settings_show(images):
    task = base(images)
    before = parts(task)

    def differ(after: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in after.items() if before[name] != value}

    assert differ(parts(task, prompting="native")) == {"prompting": "native"}
    assert differ(parts(task, chosen=Settings(exif="ignore"))) == {"exif": "ignore"}
    assert differ(parts(task, chosen=Settings(official_dedup=True))) == {"dedup": "official"}
    assert differ(parts(task, chosen=Settings(vectors="float16"))) == {"vectors": "float16"}
    named = replace(LOADED, info=replace(INFO, name="yours", revision=None))
    assert differ(parts(task, named)) == {"embedder": "yours"}
    assert differ(parts(task, replace(LOADED, fingerprint="f" * 64))) == {"fingerprint": "f" * 12}


def test_how_regions_reach_a_model_changes_no_data(images):
    """So that a model which takes regions can be compared with one that does not."""
    task = base(images)
    before = parts(task, prompting="native")
    asked = replace(task.queries[2], prompt="ask c at 1", region_text=" at 1", image=None, region=None)
    given = replace(task, queries=put(task.queries, 2, asked))
    after = parts(task, prompting="none", given=given)
    assert {name for name in after if before[name] != after[name]} == {"prompts", "prompting"}


def test_a_mask_counts_by_its_bytes_and_not_by_its_place(images, tmp_path):
    def masked(folder: Path, name: str) -> str:
        task = base(images)
        mask = Mask(ImageFile(folder, name, upright=False))
        return parts(replace(task, queries=put(task.queries, 2, replace(task.queries[2], region=mask))))["data"]

    (tmp_path / "moved.png").write_bytes((images / "3.png").read_bytes())
    assert masked(images, "3.png") == masked(tmp_path, "moved.png")
    assert len({masked(images, f"{number}.png") for number in range(6)} | {parts(base(images))["data"]}) == 7


def test_a_part_of_an_image_is_other_data(images):
    task = base(images)
    looks = [replace(task.queries[2].image, upright=False, crop=crop) for crop in (None, (0, 0, 2, 2), (0, 0, 2, 3))]
    tasks = [replace(task, queries=put(task.queries, 2, replace(task.queries[2], image=image))) for image in looks]
    assert len({parts(task)["data"] for task in tasks}) == 3


def test_options_are_shown_in_order(images):
    chosen = {"precision": "bfloat16", "frame": "sam"}
    found = parts(base(images), replace(LOADED, info=replace(INFO, options=chosen)))
    assert found["options"] == "frame=sam,precision=bfloat16"


@given(options=st.dictionaries(st.text("ab|:,=%\n é/", max_size=3), st.text("ab|:,=%\n é/", max_size=4), max_size=3))
def test_options_are_read_back_whatever_they_hold(options, images):
    """So the marks of the line stay its own, and no two sets of options show as one."""
    shown = parts(base(images), replace(LOADED, info=replace(INFO, options=options)))["options"]
    pairs = [tuple(map(unquote, pair.split("="))) for pair in shown.split(",")] if shown != "-" else []
    assert pairs == sorted(options.items())


def test_where_an_image_lies_does_not_show(images):
    task = base(images)
    copy = replace(task.queries[2], image=ImageFile(images, "0-copy.png"))
    assert parts(replace(task, queries=put(task.queries, 2, copy))) == parts(task)


@settings(max_examples=30)
@given(rows=st.permutations(range(3)), numbers=st.permutations(range(5)), draw=st.randoms(use_true_random=False))
def test_the_order_of_rows_candidates_and_pools_does_not_show(rows, numbers, draw, images):
    task = base(images)
    new = {old: new for new, old in enumerate(numbers)}

    def moved(values: np.ndarray) -> np.ndarray:
        found = [new[value] for value in values.tolist()]
        draw.shuffle(found)
        return np.array(found, dtype=np.int32)

    other = Task(
        card=CARD,
        queries=[task.queries[row] for row in rows],
        ids=[task.ids[row] for row in rows],
        candidates=[task.candidates[number] for number in numbers],
        names=[task.names[number] for number in numbers],
        pools=[moved(task.pools[row]) for row in rows],
        relevant=[moved(task.relevant[row]) for row in rows],
        labels=[task.labels[row] for row in rows],
    )
    assert parts(other) == parts(task)


@given(
    one=st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=4),
    other=st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=4),
)
def test_different_prompts_have_different_digests(one, other):
    """Line breaks in them are no ends of prompts."""

    def digest(prompts: list[str]) -> str:
        nothing = np.array([0], dtype=np.int32)
        task = Task(
            card=CARD,
            queries=[Item(prompt) for prompt in prompts],
            ids=[str(i) for i in range(len(prompts))],
            candidates=[Item("x")],
            names=["x"],
            pools=[nothing] * len(prompts),
            relevant=[nothing] * len(prompts),
            labels=["x"] * len(prompts),
        )
        return parts(task)["prompts"]

    assert (digest(one) == digest(other)) == (sorted(one) == sorted(other))


def test_pools_of_one_size_say_so(images):
    task = base(images)
    same = [np.array([0, 1], dtype=np.int32), np.array([3, 4], dtype=np.int32), np.array([4, 0], dtype=np.int32)]
    assert parts(replace(task, pools=same))["pool"].startswith("own-2-")

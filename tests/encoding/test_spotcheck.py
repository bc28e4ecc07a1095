"""Vectors that are reused are looked at again: planted changes that no fingerprint can know of."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import EXAMPLE, command, manifest, run
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.embedders.base import BATCH_TOLERANCE
from evalkit.encoding.spotcheck import SECONDS, SpotCheck, cosine_distances, kind_of, verdict
from evalkit.items import Box, Item
from evalkit.items.drawing import Marks
from evalkit.items.images import ImageFile

SHAPES = "example/Shapes"
WEIGHTS = '''\
"""Looks along directions that lie in a file beside it, as an own model looks through its weights."""

from pathlib import Path

import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random
from evalkit.embedders.colours import Colours


class Weighted:
    info = EmbedderInfo(name="weighted", dimension=9)

    def __init__(self):
        self.weights = np.load(Path(__file__).with_name("weights.npy"))

    def encode(self, items, side):
        vectors = Colours().encode(items, side) @ self.weights
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
'''


class Weighted:
    """An own model with weights, and the command that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "runs"
        (folder / "weighted.py").write_text(WEIGHTS)
        self.train(0)

    def train(self, seed: int, by: float = 2.0) -> None:
        noise = np.random.default_rng(seed).normal(size=(9, 9))
        np.save(self.folder / "weights.npy", np.eye(9) + (by * noise if seed else 0))

    def run(self, *more: str) -> int:
        return run(self.out, f"{self.folder}/weighted.py:Weighted", tasks="example", more=more)

    @property
    def value(self) -> float:
        tasks = {task["task"]: task for task in manifest(self.out)["tasks"]}
        return float(tasks[SHAPES]["metrics"]["precision_at_1"]["value"])

    @property
    def timing(self) -> dict[str, Any]:
        (file,) = self.out.glob("*/*/timing.json")
        return dict(json.loads(file.read_text()))


@pytest.fixture
def weighted(tmp_path: Path) -> Weighted:
    return Weighted(tmp_path)


def test_weights_that_changed_stop_the_run_and_no_number_of_theirs_is_written(weighted, capsys):
    assert weighted.run() == 0
    weighted.train(1)
    capsys.readouterr()
    assert weighted.run() == 4
    said = capsys.readouterr().err
    for words in (
        "vectors.sqlite are not what weighted gives now",
        "1 - cosine",
        "info.fingerprint",
        "--store",
        "--rebuild-store",
        "--trust-store",
    ):
        assert words in said
    assert "Traceback" not in said
    found = manifest(weighted.out)
    assert found["status"] == "failed"
    tasks = {task["task"]: task for task in found["tasks"]}
    assert (tasks[SHAPES]["status"], tasks[SHAPES]["error"]["type"]) == ("failed", "StaleVectorsError")
    assert str(weighted.folder) not in json.dumps(found)


def test_the_gate_does_not_pass_what_was_stopped(weighted, tmp_path):
    assert weighted.run() == 0
    base = tmp_path / "base"
    assert command("baseline", "accept", weighted.out, "--reason", "first", "--out", base) == 0
    weighted.train(1)
    assert weighted.run() == 4
    assert command("gate", base, weighted.out) == 1


@pytest.mark.slow(1)
def test_rebuilding_makes_the_model_s_vectors_anew_and_leaves_those_of_others(weighted):
    assert run(weighted.out, "random") == 0
    others = next(weighted.out.glob("random/*/run.json")).read_bytes()
    assert weighted.run() == 0
    weighted.train(1)
    assert weighted.run("--rebuild-store") == 0
    rebuilt = json.loads(next(weighted.out.glob("weighted/*/run.json")).read_text())
    assert run(weighted.out, "random") == 0
    timing = json.loads(next(weighted.out.glob("random/*/timing.json")).read_text())
    assert sum(task["embedded"] for task in timing["tasks"].values()) == 0
    assert next(weighted.out.glob("random/*/run.json")).read_bytes() == others
    fresh = weighted.folder / "fresh"
    assert run(fresh, f"{weighted.folder}/weighted.py:Weighted") == 0
    assert manifest(fresh)["tasks"] == rebuilt["tasks"]
    assert weighted.run() in (0,), "and now they hold"


def test_a_store_that_is_trusted_is_and_it_is_recorded(weighted, capsys):
    assert weighted.run() == 0
    before = weighted.value
    weighted.train(1)
    assert weighted.run("--trust-store") == 0
    assert weighted.value == before
    assert all(task["trusted_store"] for task in manifest(weighted.out)["tasks"])
    assert weighted.timing["trust_store"] is True
    assert "note: vectors were reused without making any of them again (--trust-store)" in capsys.readouterr().out


def test_a_trusted_store_that_gives_nothing_is_no_news(weighted):
    assert weighted.run("--trust-store") == 0
    assert not any(task["trusted_store"] or task["warnings"] for task in manifest(weighted.out)["tasks"])


@pytest.mark.slow(0.6)
def test_rounding_is_no_change(weighted):
    assert weighted.run() == 0
    before = weighted.value
    weighted.train(1, by=1e-5)
    assert weighted.run() == 0
    assert weighted.value == before
    tasks = weighted.timing["tasks"]
    assert tasks[SHAPES]["spot_checked"] == 6
    assert 0 < tasks[SHAPES]["spot_check_seconds"] < tasks[SHAPES]["seconds"]


@pytest.mark.slow(0.5)
def test_other_models_go_on(weighted, tmp_path):
    assert weighted.run() == 0
    weighted.train(1)
    text = f"{weighted.folder}/weighted.py:Weighted"
    more = ("--model", "random", "--tasks", SHAPES, "--data", EXAMPLE, "--out", weighted.out, "--quiet")
    assert command("run", "--model", text, *more) == 4
    assert len(list(weighted.out.glob("random/*/samples/*/*.parquet"))) == 1


def test_half_precision_is_no_change(weighted):
    assert weighted.run("--vectors", "float16") == 0
    assert weighted.run("--vectors", "float16") == 0
    assert weighted.timing["tasks"][SHAPES]["spot_checked"] == 6


@pytest.mark.slow(0.7)
def test_images_that_are_read_otherwise_are_found_where_texts_hold(weighted):
    """As another resize filter would: one kind of item moves, and the others do not."""
    file = weighted.folder / "weighted.py"
    weighted.run()
    # The fingerprint stays as it was: it is set to what it is now.
    source = file.read_text()
    fixed = source.replace("dimension=9)", 'dimension=9, fingerprint="fixed")')
    file.write_text(fixed)
    assert run(weighted.folder / "f", f"{file}:Weighted") == 0
    moved = "vectors = np.stack([np.roll(v, 1) if i.image else v for i, v in zip(items, vectors)])\n        return (vec"
    file.write_text(fixed.replace("return (vec", moved))
    assert run(weighted.folder / "f", f"{file}:Weighted") == 4


# --- the store -----------------------------------------------------------------------------------------


def poison(store: Path, change: Any) -> None:
    """Put other vectors into a store, with checksums that fit."""
    from evalkit.encoding.store import _checksum

    connection = sqlite3.connect(store)
    rows = connection.execute("SELECT key, vector FROM vectors ORDER BY key").fetchall()
    for key, data in change([(key, np.frombuffer(data, dtype="<f4").copy()) for key, data in rows]):
        raw = data.astype("<f4").tobytes()
        statement = "UPDATE vectors SET vector = ?, crc = ? WHERE key = ?"
        connection.execute(statement, (raw, _checksum(key, raw), key))
    connection.commit()
    connection.close()


POISON = {
    "a zero vector": lambda rows: [(rows[0][0], 0 * rows[0][1])],
    "a vector that is twice as long": lambda rows: [(rows[-1][0], 2 * rows[-1][1])],
    "a value that is not a number": lambda rows: [(rows[3][0], rows[3][1] * np.nan)],
    "an infinite value": lambda rows: [(rows[3][0], np.where(rows[3][1] > 0, np.inf, rows[3][1]))],
    "a vector of another dimension": lambda rows: [(rows[3][0], np.array([1.0]))],
}


@pytest.mark.parametrize("change", POISON.values(), ids=POISON)
@pytest.mark.slow(1)
def test_a_vector_that_no_embedder_could_have_kept_is_found_and_healed(change, weighted, capsys):
    assert weighted.run() == 0
    before = next(weighted.out.glob("*/*/run.json")).read_bytes()
    poison(weighted.out / "vectors.sqlite", change)
    capsys.readouterr()
    assert weighted.run("--trust-store") == 4
    assert "--rebuild-store" in capsys.readouterr().err
    assert weighted.run("--rebuild-store") == 0
    assert next(weighted.out.glob("*/*/run.json")).read_bytes() == before
    assert not list(weighted.out.glob("*.broken-*")), "one vector is made again, not all of them"
    assert weighted.run() == 0


@pytest.mark.slow(0.6)
def test_vectors_that_changed_places_are_found(weighted):
    assert weighted.run() == 0
    poison(weighted.out / "vectors.sqlite", lambda rows: [(key, -vector) for key, vector in rows])
    assert weighted.run() == 4


# --- the choice ----------------------------------------------------------------------------------------


def items_of(count: int, region: bool = False, image: bool = True) -> dict[bytes, Item]:
    picture = ImageFile(Path("x"), "a.png", upright=False) if image else None
    box = Box(0, 0, 1, 1) if region else None
    return {
        f"{region}{image}{place}".encode(): Item(f"p{place}", text="t", image=picture, region=box)
        for place in range(count)
    }


def test_all_kinds_are_looked_at_and_few_of_each():
    check = SpotCheck()
    items = items_of(500) | items_of(40, region=True) | items_of(2, image=False)
    first, more = check.choose(items, "query")
    chosen = [kind_of(items[key], "query") for key in (*first, *more)]
    assert sorted(map(chosen.count, {*chosen})) == [2, 3, 5]
    assert len({kind_of(items[key], "query") for key in first}) == len(first) == 3
    first, _ = SpotCheck().choose(items, "candidate")
    assert len(first) == 3, "the other side is another kind"


def test_an_image_that_is_cut_or_drawn_on_is_another_kind():
    plain = ImageFile(Path("x"), "a.png", upright=False)
    drawn = replace(plain, drawing=Marks("box", ((0, 0, 1, 1),), 1))
    images = (plain, replace(plain, crop=(0, 0, 1, 1)), drawn)
    assert [kind_of(Item("p", image=image), "query")[2] for image in images] == ["", "crop", "drawn"]


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=12))
@settings(max_examples=30)
def test_no_more_than_one_in_a_hundred_beyond_the_first_three(counts):
    check, chosen, given_ = SpotCheck(), 0, 0
    for count in counts:
        first, more = check.choose(items_of(count), "query")
        chosen, given_ = chosen + len(first) + len(more), given_ + count
        assert len({*first, *more}) == len(first) + len(more)
        assert len(first) + len(more) >= 1, "of every call one at least"
        assert chosen <= max(3, given_ / 100) + len(counts)
    assert chosen >= min(3, counts[0])


def test_where_time_is_up_only_new_kinds_are_looked_at():
    check = SpotCheck(seconds=SECONDS)
    assert tuple(map(len, check.choose(items_of(900), "query"))) == (1, 0)
    assert check.choose(items_of(900), "query") == ([], [])
    assert tuple(map(len, check.choose(items_of(900, region=True), "query"))) == (1, 0)


def test_the_choice_is_seeded():
    assert SpotCheck().choose(items_of(900), "query") == SpotCheck().choose(items_of(900), "query")


@given(st.integers(1, 6), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_distance_is_one_less_the_cosine(rows, dimension, seed):
    random = np.random.default_rng(seed)
    one, other = (random.normal(size=(rows, dimension)).astype(np.float32) for _ in range(2))
    one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (one, other))
    expected = [
        1 - sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) for x, y in zip(one, other, strict=True)
    ]
    assert cosine_distances(one, other) == pytest.approx(expected, abs=1e-6)
    assert cosine_distances(one, one) == pytest.approx(0, abs=1e-6)


def test_the_verdict_names_the_farthest_and_takes_no_nan():
    names = [f"item {place}" for place in range(5)]
    assert verdict(np.array([0, BATCH_TOLERANCE]), names) is None
    said = verdict(np.array([0, 0.5, 0.002, 1.9, 0.3]), names)
    assert said is not None
    assert "of 5 that were made again 4 are off by more than 0.001" in said
    assert said.endswith("item 3 by 1.9; item 1 by 0.5; item 4 by 0.3 and 1 more")
    assert verdict(np.array([np.nan]), names) is not None


# --- a model that changed, where nothing of a task is reused ---------------------------------------------


def tasks_of(out: Path) -> dict[str, Any]:
    return {task["task"]: task for task in manifest(out)["tasks"]}


def test_tasks_of_two_models_do_not_stand_in_one_run(weighted):
    """No vector of the second task is there, so that none is reused; what both have are the same few items."""
    model, more = f"{weighted.folder}/weighted.py:Weighted", ["--store", weighted.folder / "s.sqlite"]
    assert run(weighted.out, model, tasks="example/ShapeColours", more=more) == 0
    weighted.train(1)
    assert run(weighted.out, model, tasks="example/ShapeSearch", more=more) == 4
    assert tasks_of(weighted.out)["example/ShapeSearch"]["status"] == "failed"
    assert run(weighted.out, model, tasks="example/ShapeSearch", more=[*more, "--rebuild-store"]) == 0
    found = tasks_of(weighted.out)
    assert found["example/ShapeSearch"]["status"] == "done"
    assert found["example/ShapeColours"]["error"]["message"].startswith("its vectors were found to be another model's")
    assert manifest(weighted.out)["status"] == "failed"


@pytest.mark.slow(0.5)
def test_every_task_has_a_vector_looked_at(weighted):
    """The quota of a kind is not used up by the first task."""
    model = f"{weighted.folder}/weighted.py:Weighted"
    assert weighted.run() == 0
    assert weighted.run() == 0
    assert all(task["spot_checked"] >= 1 for task in weighted.timing["tasks"].values())
    assert model


RIVALS = """\
import os
import time

import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random


class Rival:
    info = EmbedderInfo(name="rival", dimension=64)

    def encode(self, items, side):
        time.sleep(0.05)
        return Random(seed=os.environ["RIVAL"]).encode(items, side)
"""


@pytest.mark.slow(2)
def test_a_rival_s_vectors_are_not_taken_for_its_own(tmp_path):
    """Two models under one fingerprint embed the same at once: one of the two has to stop."""
    import os
    import subprocess
    import sys

    (tmp_path / "rival.py").write_text(RIVALS)
    words = ["run", "--model", f"{tmp_path}/rival.py:Rival", "--tasks", SHAPES, "--data", str(EXAMPLE), "--quiet"]
    words += ["--store", str(tmp_path / "s.sqlite"), "--batch-tokens", "40"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", "from evalkit.cli import main; main()", *words, "--out", str(tmp_path / seed)],
            env=os.environ | {"RIVAL": seed},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for seed in "12"
    ]
    codes = [process.wait(120) for process in processes]
    assert 4 in codes
    for seed, code in zip("12", codes, strict=True):
        alone = tmp_path / f"alone{seed}"
        assert run(alone, f"random?seed={seed}", tasks=SHAPES) == 0
        if code == 0:
            assert tasks_of(tmp_path / seed)[SHAPES]["metrics"] == tasks_of(alone)[SHAPES]["metrics"]


def test_a_model_that_borrows_a_fingerprint_in_any_way_has_its_own(tmp_path):
    from evalkit.embedders.modeltext import parse_model
    from evalkit.embedders.registry import load_embedder

    lent = {
        "method": "one = Random()\nclass Mine:\n    info, encode = one.info, staticmethod(one.encode)",
        "global": "ONE = Random()\nclass Mine:\n    info = ONE.info\n    encode = staticmethod(ONE.encode)",
        "function": "def Mine():\n    return type('Sub', (Random,), {})()",
        "renamed": "Mine = Random",
    }
    seen = {load_embedder(parse_model("random"), "cpu").fingerprint}
    for name, source in lent.items():
        (tmp_path / f"{name}.py").write_text(f"from evalkit.embedders.baselines import Random\n{source}\n")
        seen.add(load_embedder(parse_model(f"{tmp_path}/{name}.py:Mine"), "cpu").fingerprint)
    assert len(seen) == 5

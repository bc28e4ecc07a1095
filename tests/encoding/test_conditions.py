"""Under which conditions vectors were made: kept with them, shown where they are mixed, and no part of their key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import files_of, manifest, run

from evalkit.embedders.baselines import Random
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.conditions import UNKNOWN, Batching, Conditions, conditions, differing, mixed, read_batching

SHAPES, SEARCH = "example/Shapes", "example/ShapeSearch"
ONE = Conditions("3.11.7", "Linux x86_64", "A", {"numpy": "1", "torch": "2.12.0"}, {"threads": "2"})


def edit(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let vectors have been made under other conditions."""
    connection = sqlite3.connect(store)
    ((number, record),) = connection.execute("SELECT id, record FROM conditions").fetchall()
    data = json.loads(record)
    change(data)
    record = json.dumps(data, sort_keys=True, ensure_ascii=False)
    connection.execute("UPDATE conditions SET record = ? WHERE id = ?", (record, number))
    connection.commit()
    connection.close()


def older_torch(data: dict[str, Any]) -> None:
    data["conditions"]["packages"]["torch"] = "2.12.0"


def test_each_task_says_under_what_its_vectors_were_made(tmp_path):
    assert run(tmp_path, "random") == 0
    found = manifest(tmp_path)
    ((digest, known),) = found["conditions"].items()
    assert known["packages"]["numpy"]
    assert known["device"] not in ("", "auto")
    for task in found["tasks"]:
        assert task["made"].keys() == {digest}
        assert not task["warnings"]
    assert found["tasks"][0]["made"][digest] == 96


def test_what_another_torch_made_stays_its_own_when_the_run_goes_on(tmp_path, capsys):
    """Before, whoever continued a run had all of its vectors."""
    assert run(tmp_path, "random", tasks=SHAPES) == 0
    edit(tmp_path / "vectors.sqlite", older_torch)
    assert run(tmp_path, "random", tasks=f"{SHAPES},{SEARCH}") == 0
    found = manifest(tmp_path)
    tasks = {task["task"]: task for task in found["tasks"]}

    def torches(task: str) -> list[str]:
        return [found["conditions"][digest]["packages"]["torch"] for digest in tasks[task]["made"]]

    now = found["environment"]["packages"]["torch"]
    assert now != "2.12.0"
    assert torches(SHAPES) == ["2.12.0"]
    assert "2.12.0" not in torches(SEARCH) or len(torches(SEARCH)) == 2
    assert now in torches(SEARCH)


def test_what_is_mixed_within_a_task_is_said(tmp_path, capsys):
    assert run(tmp_path, "random", tasks=SHAPES, more=["--limit", "10"]) == 0
    edit(tmp_path / "vectors.sqlite", older_torch)
    assert run(tmp_path, "random", tasks=SHAPES) == 0
    (task,) = (task for path in tmp_path.glob("*/*/run.json") for task in json.loads(path.read_text())["tasks"]
               if task["n_queries"] == 64)  # fmt: skip
    (warning,) = task["warnings"]
    assert warning.startswith("vectors were made under 2 conditions: ")
    assert "42 with torch 2.12.0" in warning
    assert "54 with torch" in warning
    assert f"note: {warning}" in capsys.readouterr().out


def test_they_are_no_part_of_the_key(tmp_path):
    assert run(tmp_path, "random") == 0
    edit(tmp_path / "vectors.sqlite", older_torch)
    assert run(tmp_path, "random") == 0
    (file,) = tmp_path.glob("*/*/timing.json")
    assert sum(task["embedded"] for task in json.loads(file.read_text())["tasks"].values()) == 0


@pytest.mark.slow(0.9)
def test_another_order_of_models_leaves_no_trace(tmp_path):
    assert run(tmp_path / "a", "random", "constant") == 0
    assert run(tmp_path / "b", "constant", "random", more=["--batch-tokens", "77"]) == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_store_of_version_1_is_used_and_nobody_knows_how_its_vectors_were_made(tmp_path, capsys):
    assert run(tmp_path, "random", tasks=SHAPES) == 0
    before = manifest(tmp_path)["tasks"][0]["metrics"]
    connection = sqlite3.connect(tmp_path / "vectors.sqlite")
    connection.executescript(
        "ALTER TABLE vectors RENAME TO old;"
        "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL);"
        "INSERT INTO vectors SELECT key, vector, crc FROM old; DROP TABLE old; DROP TABLE conditions;"
        "PRAGMA user_version = 1;"
    )
    connection.close()
    assert run(tmp_path, "random", tasks=f"{SHAPES},{SEARCH}") == 0
    (file,) = tmp_path.glob("*/*/timing.json")
    assert json.loads(file.read_text())["tasks"][SHAPES]["embedded"] == 0
    shapes, search = (task for task in manifest(tmp_path)["tasks"])
    assert (shapes["made"], shapes["metrics"]) == ({UNKNOWN: 96}, before)
    assert set(search["made"]) > {UNKNOWN} or UNKNOWN not in search["made"]
    assert not shapes["warnings"]


# --- what is told apart ---------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_content():
    other = Conditions(ONE.python, ONE.system, ONE.device, {"torch": "2.12.0", "numpy": "1"}, {"threads": "2"})
    assert other.digest == ONE.digest
    changes: list[dict[str, Any]] = [
        {"python": "3.12"}, {"system": "x"}, {"device": "B"}, {"packages": {}}, {"computing": {"threads": "3"}},
    ]  # fmt: skip
    assert len({ONE.digest, *(replace(ONE, **change).digest for change in changes)}) == 6


def test_what_differs_is_named_and_what_does_not_is_not():
    other = replace(ONE, packages={"numpy": "1"}, computing={"threads": "2", "attention": "sdpa"})
    assert differing([ONE, other]) == {"torch": ["2.12.0", "-"], "attention": ["-", "sdpa"]}
    assert differing([ONE, ONE]) == differing([]) == {}


def test_mixed_says_how_many_of_each():
    other = replace(ONE, device="B")
    known = {ONE.digest: ONE, other.digest: other}
    assert mixed({ONE.digest: 3}, known) is mixed({UNKNOWN: 3}, {}) is None
    said = mixed({ONE.digest: 3, other.digest: 4, UNKNOWN: 5}, known)
    assert (
        said == "vectors were made under 3 conditions: 3 with device A; 4 with device B; 5 with what was not recorded"
    )


def test_a_record_comes_back():
    batching = Batching(ONE, 100, True)
    assert read_batching(batching.record()) == batching


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"conditions": {}, "batch_tokens": 1, "shrunk": false}', "nul"])
def test_a_record_that_evalkit_did_not_write_says_nothing(record, tmp_path):
    with pytest.raises(ValueError, match=r"Batching|Conditions|JSON"):
        read_batching(record)
    assert run(tmp_path, "random", tasks=SHAPES) == 0
    connection = sqlite3.connect(tmp_path / "vectors.sqlite")
    connection.execute("UPDATE conditions SET record = ?", (record,))
    connection.commit()
    connection.close()
    assert run(tmp_path, "random", tasks=SHAPES) == 0
    assert manifest(tmp_path)["tasks"][0]["made"] == {UNKNOWN: 96}


def loaded(embedder: Any, uses_torch: bool) -> LoadedEmbedder:
    return LoadedEmbedder(embedder, Random().info, "0" * 64, "tests", uses_torch)


def test_an_embedder_says_how_it_computes():
    class Own(Random):
        computing = {"attention": "flash", "threads": 3}  # noqa: RUF012

    assert conditions(loaded(Own(), True), "cpu").computing == {"attention": "flash", "threads": "3"}
    import torch

    class Unsaid:
        info = Random().info

        def encode(self, items: Any, side: Any) -> Any:
            return Random().encode(items, side)

    assert conditions(loaded(Unsaid(), True), "cpu").computing["threads"] == str(torch.get_num_threads())
    assert conditions(loaded(Unsaid(), False), "cpu").computing == {}
    assert conditions(loaded(Random(), True), "cpu").computing == {}


@pytest.mark.parametrize(
    ("imports", "uses"),
    [
        ("import torch", True),
        ("def later():\n    from transformers import CLIPModel", True),
        ("import sentence_transformers.util", True),
        ("from evalkit.embedders.clip import Clip", True),
        ("import numpy as np, json, PIL.Image", False),
        ("from evalkit.embedders.colours import Colours", False),
    ],
)
@pytest.mark.slow(0.3)
def test_torch_counts_where_a_class_imports_it_and_not_where_another_model_has(imports, uses, tmp_path):
    import torch  # as another model of the process may have done

    source = f"""{imports}
from evalkit.embedders.base import EmbedderInfo
class Mine:
    info = EmbedderInfo(name="mine", dimension=2)
    def encode(self, items, side):
        return None
"""
    (tmp_path / "mine.py").write_text(source)
    found = load_embedder(parse_model(f"{tmp_path}/mine.py:Mine"), "cpu")
    assert found.uses_torch == uses
    assert ("threads" in conditions(found, "cpu").computing) == uses == bool(uses and torch.__version__)

"""A run that is cut off and one that is not: the same command goes on, and the files are the same, byte for byte."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import EXAMPLE, evalkit, files_of, manifest, run

from evalkit.encoding.encode import probes_of
from evalkit.items.keys import content_digest

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text(encoding="utf-8"))

# Its vectors depend on the batch a little, as those of real models do: other batches are other bytes.
MORTAL = '''\
"""Logs what it embeds; sends itself DIE_BY after DIE_AFTER items, or before the DIE_AT-th file is in place."""

import hashlib
import json
import os

import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.items.keys import content_digest

_replace, _left = os.replace, int(os.environ.get("DIE_AT", "-1"))


def replace(*args, **options):
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), int(os.environ["DIE_BY"]))
    _replace(*args, **options)


os.replace = replace


class Mortal:
    info = EmbedderInfo(name="mortal", dimension=16, regions=frozenset({"box"}))

    def __init__(self):
        self.left = int(os.environ.get("DIE_AFTER", "1000000"))

    def encode(self, items, side):
        digests = [content_digest(item) for item in items]
        with open(os.environ["ITEM_LOG"], "a") as log:
            log.write(json.dumps([side, digests]) + "\\n")
        self.left -= len(items)
        if self.left < 0:
            os.kill(os.getpid(), int(os.environ["DIE_BY"]))
        batch = drawn(side + "".join(digests))
        vectors = np.stack([drawn(digest) + 1e-3 * batch for digest in digests])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn(text):
    return np.frombuffer(hashlib.shake_256(text.encode()).digest(32), dtype="<u2").astype(np.float64) - 32767.5
'''

Batch = tuple[str, tuple[str, ...]]


def read_log(log: Path) -> list[Batch]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [(side, tuple(digests)) for side, digests in map(json.loads, lines)]


def without_checks(batches: list[Batch]) -> list[Batch]:
    """Without those of which every item was embedded before: made again to see that what was kept holds."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for side, digests in batches:
        items = {(side, digest) for digest in digests}
        if not items <= seen:
            kept.append((side, digests))
        seen |= items
    return kept


class Mortals:
    """The same command, to be cut off or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "mortal.py"
        self.file.write_text(MORTAL)

    def __call__(self, out: Path, **environment: int) -> tuple[subprocess.CompletedProcess[str], list[Batch]]:
        """What the process gave, and the batches that it embedded, the one in flight included."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        done = evalkit(
            *("run", "--model", f"{self.file}:Mortal", "--tasks", "example", "--data", EXAMPLE),
            *("--out", out, "--batch-tokens", "200"),
            env={"ITEM_LOG": str(log)} | {name: str(int(value)) for name, value in environment.items()},
        )
        return done, read_log(log)


@pytest.fixture(scope="module")
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Mortals:
    return Mortals(tmp_path_factory.mktemp("mortal"))


@pytest.fixture(scope="module")
def undisturbed(mortals: Mortals, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[Batch]]:
    """Files and batches of a run that nobody cuts off."""
    out = tmp_path_factory.mktemp("undisturbed")
    done, batches = mortals(out)
    assert done.returncode == 0
    assert manifest(out)["status"] == "done"
    return files_of(out), batches


def valid(out: Path) -> dict[str, Any]:
    found = manifest(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def test_a_run_has_many_batches_and_each_item_once(undisturbed):
    _, batches = undisturbed
    items = Counter((side, digest) for side, digests in batches for digest in digests)
    assert len(batches) > 40
    assert max(items.values()) == 1
    assert max(len(digests) for _, digests in batches) > 2


def test_other_batches_would_be_other_bytes(undisturbed, mortals, tmp_path, monkeypatch):
    """Else the tests below would prove little."""
    monkeypatch.setenv("ITEM_LOG", str(tmp_path / "log"))
    assert run(tmp_path / "runs", f"{mortals.file}:Mortal", more=["--batch-tokens", "150"]) == 0
    files, expected = files_of(tmp_path / "runs"), undisturbed[0]
    assert files.keys() == expected.keys()
    assert all(files[name] != expected[name] for name in files if name.endswith(".parquet"))


@pytest.mark.slow(5)
def test_killed_four_times(undisturbed, mortals, tmp_path):
    """In the first batch, within the first task, in a later one, and while a file is being written."""
    files, batches = undisturbed
    total = sum(len(digests) for _, digests in batches)
    embedded: list[Batch] = []
    in_flight: list[Batch] = []
    statuses = []
    for cut in ({"DIE_AFTER": 0}, {"DIE_AFTER": 50}, {"DIE_AFTER": total // 2}, {"DIE_AT": 4}):
        done, log = mortals(tmp_path, DIE_BY=signal.SIGKILL, **cut)
        assert done.returncode == -signal.SIGKILL, done.stderr
        found = valid(tmp_path)
        assert found["status"] == "running"
        statuses.append([task["status"] for task in found["tasks"]])
        if "DIE_AFTER" in cut:
            in_flight.append(log.pop())
        embedded += log
    assert statuses[0] == []
    assert statuses[-1] != []
    assert all(status == "done" for tasks in statuses for status in tasks)
    assert [f for f in tmp_path.glob("*/*/**/.*.*.*") if f.is_file()], "the file that the last one wrote at"
    done, log = mortals(tmp_path)
    assert done.returncode == 0, done.stderr
    embedded += log
    assert files_of(tmp_path) == files
    assert valid(tmp_path)["status"] == "done"
    assert sorted(without_checks(embedded)) == sorted(batches), "the same batches, and none that was kept twice"
    # The picture that comes with every start is known by name, and no vector that was reused.
    picture = content_digest(probes_of({"image"})[0][0])
    again, once = ([digests for _, digests in own if digests != (picture,)] for own in (embedded, batches))
    assert len(batches) - len(once) == 2, "one a side"
    assert len(again) - len(once) < 30, "few are made again"
    assert set(in_flight) <= set(batches)


@pytest.mark.slow(2)
def test_interrupted(undisturbed, mortals, tmp_path):
    files, batches = undisturbed
    done, first = mortals(tmp_path, DIE_AFTER=150, DIE_BY=signal.SIGINT)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in done.stderr
    found = valid(tmp_path)
    assert found["status"] == "interrupted"
    assert [task["status"] for task in found["tasks"]] == ["done"]
    (timing,) = tmp_path.glob("*/*/timing.json")
    assert json.loads(timing.read_text())["schema"] == "evalkit.timing"
    done, second = mortals(tmp_path)
    assert done.returncode == 0
    assert sorted(without_checks(first[:-1] + second)) == sorted(batches)
    assert files_of(tmp_path) == files

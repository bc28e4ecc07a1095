"""What several test files make: rows of all tasks on disk, images for them, packages, processes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.example import DATA as EXAMPLE
from evalkit.suites.selecting import select_tasks, suites
from evalkit.suites.task import DataFolder, LoadOptions, Task

Columns = dict[str, list[Any]]

_GOLDEN = json.loads((Path(__file__).parent / "golden" / "prompts-a.json").read_text(encoding="utf-8"))["rows"]


def golden(name: str) -> Columns:
    """Three rows of a task, layout v2 (SCaR: its own), that may be changed."""
    columns: Columns = copy.deepcopy(_GOLDEN[name]["columns"])
    return columns


def file_of(folder: Path, name: str, shard: str = "test-00000-of-00001") -> Path:
    """Where a task's rows lie below a data folder."""
    if name.startswith("SCaR/"):
        return folder / f"SCaR_eval_{name.removeprefix('SCaR/')}.parquet"
    return folder / name.rsplit("/", 1)[-1] / f"{shard}.parquet"


def write(folder: Path, name: str, columns: Mapping[str, Any] | pa.Table, shard: str = "test-00000-of-00001") -> Path:
    """Write rows of a task where its suite looks for them."""
    file = file_of(folder, name, shard)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), file)
    return file


def load(folder: Path, name: str, **options: Any) -> Task:
    """Load a task as the command line does."""
    (card,) = select_tasks([name])
    return suites()[card.suite].load(card, DataFolder.at(folder), LoadOptions(**options))


def as_v1(columns: Columns) -> Columns:
    """Rows of layout v2 in layout v1: instruction and content in one text, a newline at the end."""

    def text(instruction: str, content: str) -> str:
        return f"{instruction} {content}\n" if content else f"{instruction}\n"

    return {
        "qry_text": [text(i, t) for i, t in zip(columns["qry_inst"], columns["qry_text"], strict=True)],
        "qry_img_path": columns["qry_img_path"],
        "tgt_text": [
            [text(instruction, t) if instruction else t for t in texts]
            for instruction, texts in zip(columns["tgt_inst"], columns["tgt_text"], strict=True)
        ],
        "tgt_img_path": columns["tgt_img_path"],
    }


def in_order(columns: Columns, order: Iterable[int]) -> Columns:
    """The rows in another order."""
    order = list(order)
    return {name: [values[row] for row in order] for name, values in columns.items()}


def draw_images(folder: Path, columns: Columns) -> None:
    """An image for every path of the rows, no two alike, below ``folder/images``."""
    paths = {*columns.get("qry_img_path", ()), *columns.get("qry_image_path", ())}
    paths |= {path for pool in columns.get("tgt_img_path", ()) for path in pool}
    for number, path in enumerate(sorted(filter(None, paths))):
        file = folder / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(file)


def install(site: Path, name: str, entry_points: str, **modules: str) -> None:
    """Install a package as pip leaves it: modules beside a ``.dist-info`` with entry points."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)


@contextmanager
def site_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages that this process finds, and forgets afterwards."""
    monkeypatch.syspath_prepend(folder)
    suites.cache_clear()
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    suites.cache_clear()


def evalkit(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    command = [sys.executable, "-c", "from evalkit.cli import main; main()", *map(str, args)]
    return subprocess.run(
        command, env=os.environ | dict(env or {}), cwd=cwd, capture_output=True, text=True, timeout=timeout, **options
    )


def command(*args: str | Path) -> int:
    """Run a command line in this process; its exit code."""
    from evalkit.cli import main

    try:
        main([*map(str, args)])
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("main returned")


def run(out: Path, *models: str, tasks: str = "example", data: Path = EXAMPLE, more: Iterable[str | Path] = ()) -> int:
    """``evalkit run`` in this process, quietly; its exit code."""
    options = [part for model in models for part in ("--model", model)]
    return command("run", *options, "--tasks", tasks, "--data", data, "--out", out, "--quiet", *more)


def manifest(out: Path) -> dict[str, Any]:
    """The ``run.json`` of the one run in a RUNS folder."""
    (file,) = out.glob("*/*/run.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def tasks_of(out: Path) -> dict[str, Any]:
    """The tasks of the one run in a RUNS folder, by name."""
    return {task["task"]: task for task in manifest(out)["tasks"]}


def files_of(out: Path) -> dict[str, bytes]:
    """All files of the runs in a RUNS folder but the store, the locks and ``timing.json``."""
    files = (file for file in out.glob("*/*/**/*") if file.is_file())
    return {str(f.relative_to(out)): f.read_bytes() for f in files if f.name not in ("timing.json", ".lock")}


DEMO_SIZE = 6
"""Queries a task of the demo that tests run."""


@dataclass(frozen=True)
class Demonstration:
    """What ``evalkit demo`` left: its folder, and what its process printed and exited with."""

    folder: Path
    process: subprocess.CompletedProcess[str]

    def keep(self) -> None:
        """Write down beside the folder what the process said, for other processes."""
        said = {name: getattr(self.process, name) for name in ("args", "returncode", "stdout", "stderr")}
        self._said(self.folder).write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def kept(cls, folder: Path) -> Demonstration:
        """The demo of a folder, with what its process said."""
        said = json.loads(cls._said(folder).read_text(encoding="utf-8"))
        return cls(folder, subprocess.CompletedProcess(**said))

    @staticmethod
    def _said(folder: Path) -> Path:
        return folder.with_name("said.json")


def demonstrate(folder: Path) -> Demonstration:
    """Run the demo of :data:`DEMO_SIZE` queries a task, on the CPU."""
    return Demonstration(
        folder, evalkit("demo", "--out", folder, "--size", str(DEMO_SIZE), "--device", "cpu", timeout=1200)
    )

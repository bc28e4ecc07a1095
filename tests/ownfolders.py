"""Folders of own tasks, as people write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

CARD = 'name = "mine"\ntitle = "Mine"\n'
TEXTS: list[Row] = [
    {"id": id_, "text": text} for id_, text in (("a", "an apple"), ("b", "a banana"), ("c", "a cherry"))
]
QUERIES: list[Row] = [
    {"id": "q1", "text": "red", "label": "c"},
    {"id": "q2", "text": "yellow", "label": "b"},
]


def draw(path: Path, seed: int = 0) -> Path:
    """A picture of noise, 8 x 6 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(path)
    return path


def write_lines(file: Path, rows: Sequence[Row | str | bytes]) -> Path:
    """JSON lines; texts and bytes as they are."""
    lines = [
        row
        if isinstance(row, bytes)
        else (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)).encode()
        for row in rows
    ]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return file


def write_folder(
    folder: Path,
    queries: Sequence[Row | str | bytes] | None = QUERIES,
    candidates: Sequence[Row | str | bytes] | None = TEXTS,
    card: str | Mapping[str, Any] | None = CARD,
) -> Path:
    """A task's folder; ``None`` leaves a file out, and facts of a card are added to the least."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(card, Mapping):
        card = CARD + "".join(f"{key} = {json.dumps(value)}\n" for key, value in card.items())
    if card is not None:
        (folder / "card.toml").write_text(card, encoding="utf-8")
    for name, rows in (("queries", queries), ("candidates", candidates)):
        if rows is not None:
            write_lines(folder / f"{name}.jsonl", rows)
    return folder


def as_parquet(file: Path, rows: Sequence[Row]) -> Path:
    """The same rows in the other form, in the place of the lines."""
    file.with_suffix(".jsonl").unlink(missing_ok=True)
    keys = dict.fromkeys(key for row in rows for key in row)
    pq.write_table(pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows]), file)
    return file

"""The miniature on disk, in the files that MMEB (layout v2) and SCaR come in, so that their readers read it.

``miniature.json`` says what was made and names each file. It is written before the first of them and says that they
are not whole until the last one is there, so that whoever comes later knows what is the miniature's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import ResultsError, UsageError
from evalkit.files import LARGEST_TEXT, read_file, write_atomically
from evalkit.miniature import SUITE
from evalkit.miniature.taskrows import Example, examples

if TYPE_CHECKING:
    from evalkit.miniature.drawings import Drawing
    from evalkit.progress import Progress
    from evalkit.suites.card import TaskCard

SIZE = 24
"""Rows of a task, as the cards have it."""
LARGEST = 999
"""So that no task has as many rows as a real one, and none of them can be taken for whole."""
MANIFEST = "miniature.json"

_MARK = "<|image_1|>\n"
_MARKED_WITHOUT_IMAGE = ("WebQA", "EDIS")  # their rows have the mark in queries without image, as published
_SCAR_IMAGES = {
    "RefCOCO_plus": "refcoco_plus_val",
    "RefCOCOg": "refcocog_val",
    "VisualGenome": "visualgenome_val",
    "COCO_Stuff": "coco_stuff_val",
    "ADE20K": "ade20k_val",
}


class MiniatureFile(BaseModel):
    """``miniature.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    what: Literal["evalkit.miniature"] = Field(default="evalkit.miniature", alias="schema")
    schema_version: Literal[1] = 1
    size: int
    """Rows of each task."""
    seed: int
    whole: bool
    """Whether all files are there."""
    files: tuple[Annotated[str, Field(pattern=r"^(images/)?([\w-]+/)?[\w-]+\.(png|parquet)$")], ...]
    """Of the miniature, relative to this one, this one not among them."""


def write(
    folder: Path, *, size: int = SIZE, seed: int = 0, force: bool = False, progress: Progress | None = None
) -> MiniatureFile:
    """Make the miniature: 41 tasks, the same bytes for the same size and seed.

    Args:
        folder: is made where it is missing. What was left half made in it by the same size and seed is finished.
        size: rows of each task.
        seed: of all choices.
        force: replace another miniature in the folder, or write beside other files. What is not a miniature's own is
            neither replaced nor deleted.
        progress: told of each image.

    Raises:
        UsageError: a size out of range; a folder that holds something else or cannot be written; a file in its place.
        ResultsError: writing failed half-way; the same call goes on.
    """
    if not 1 <= size <= LARGEST:
        raise UsageError(f"size {size}: a task has 1 to {LARGEST} rows, fewer than any real one")
    old, empty = _own(folder)
    half_made = old is not None and not old.whole and (old.size, old.seed) == (size, seed)
    if not (empty or half_made or force):
        raise UsageError(
            f"{folder} is not empty: name another folder, or write into this one with --force, "
            "which replaces files of a miniature and leaves all others"
        )
    tables, drawings = contents(size, seed)
    names = sorted((*tables, *drawings))
    owned = set(old.files) if old else set()
    _require_inside(folder, {*names, *owned})
    if foreign := [name for name in names if name not in owned and os.path.lexists(folder / name)]:
        raise UsageError(
            f"{folder / foreign[0]} is there and not of a miniature: move it, or name another folder "
            f"({len(foreign)} files are in the way)"
        )
    try:
        _save(folder, MiniatureFile(size=size, seed=seed, whole=False, files=tuple(sorted({*names, *owned}))))
    except ResultsError as error:
        raise UsageError(f"{error}: name a folder that can be") from error
    try:
        # Tables too: those of another miniature would name images that are gone.
        for name in sorted(owned.difference(drawings)):
            (folder / name).unlink(missing_ok=True)
        _draw(folder, drawings, progress)
        for name, table in tables.items():
            write_atomically(folder / name, table)
        done = MiniatureFile(size=size, seed=seed, whole=True, files=tuple(names))
        _save(folder, done)
    except OSError as error:
        raise ResultsError(f"{folder} cannot be written: {error.strerror or error}") from error
    return done


def contents(
    size: int, seed: int, cards: Sequence[TaskCard] | None = None
) -> tuple[dict[str, bytes], dict[str, Drawing]]:
    """The files of a miniature, nothing of them drawn or written.

    Args:
        size: rows of each task.
        seed: of all choices.
        cards: the tasks, else all of them.

    Returns:
        The bytes of the parquet files and what the images show, by their paths in the miniature's folder.
    """
    tables: dict[str, bytes] = {}
    drawings: dict[str, Drawing] = {}
    for card in SUITE.cards() if cards is None else cards:
        path, table = _table(card, examples(card.subset, size, seed), drawings)
        tables[path] = table
    return tables, drawings


def _own(folder: Path) -> tuple[MiniatureFile | None, bool]:
    """What a miniature in the folder says of itself, and whether the folder is empty or missing."""
    path = folder / MANIFEST
    try:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file, not a folder")
        if not folder.is_dir() or not any(folder.iterdir()):
            return None, True
        if not path.exists():
            return None, False
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from error
    try:
        found = MiniatureFile.model_validate_json(read_file(path, LARGEST_TEXT))
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise UsageError(f"{path} is not what evalkit writes ({reason}): name another folder") from None
    return found, False


def _require_inside(folder: Path, names: Iterable[str]) -> None:
    """No file may be written or removed through a link that leads out of the folder."""
    inside = folder.resolve()
    for parent in sorted({(folder / name).parent for name in names}):
        if not parent.resolve().is_relative_to(inside):
            raise UsageError(f"{parent} lies outside of the folder, by a link: name another folder")


def _save(folder: Path, manifest: MiniatureFile) -> None:
    data = json.dumps(manifest.model_dump(by_alias=True), indent=1) + "\n"
    write_atomically(folder / MANIFEST, data.encode())


def _draw(folder: Path, drawings: dict[str, Drawing], progress: Progress | None) -> None:
    if progress:
        progress.expect(len(drawings))
    for name, drawing in drawings.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link would be written through
        image = io.BytesIO()
        drawing.image().save(image, format="PNG")
        path.write_bytes(image.getvalue())
        if progress:
            progress.advance(1)


def _table(card: TaskCard, rows: Sequence[Example], drawings: dict[str, Drawing]) -> tuple[str, bytes]:
    """A task's parquet file: its name and its bytes. What it shows is added to ``drawings``, by file."""
    subset = card.subset
    images = _SCAR_IMAGES.get(subset, subset)

    def shown(drawing: Drawing | None) -> str:
        if drawing is None:
            return ""
        # What the drawing is, its class's name included: a miniature of another name is another miniature.
        name = f"{images}/{hashlib.sha256(repr(drawing).encode()).hexdigest()[:16]}.png"
        drawings[f"images/{name}"] = drawing
        return name

    if card.family == "scar_i2t":
        regions = (_scar(card, row, number, shown(row.query)) for number, row in enumerate(rows))
        return f"SCaR_eval_{subset}.parquet", _parquet(regions)
    return f"{subset}/test-00000-of-00001.parquet", _parquet(_mmeb(card, row, shown) for row in rows)


def _mmeb(card: TaskCard, row: Example, shown: Callable[[Drawing | None], str]) -> dict[str, Any]:
    marked = "image" in card.query_modality or card.subset in _MARKED_WITHOUT_IMAGE
    target = card.candidate_instruction
    return {
        "qry_inst": (_MARK if marked else "") + card.query_instruction,
        "qry_text": row.query_text,
        "qry_img_path": shown(row.query),
        "tgt_inst": _MARK + target if target else "",
        "tgt_text": [candidate.text for candidate in row.candidates],
        "tgt_img_path": [shown(candidate.drawing) for candidate in row.candidates],
    }


def _scar(card: TaskCard, row: Example, number: int, image: str) -> dict[str, Any]:
    if row.box is None:
        raise ValueError(f"row {number} of {card.name} has no box")
    x0, y0, x1, y1 = row.box
    captions = [candidate.text for candidate in row.candidates]
    return {
        "qry_text": _MARK + card.query_instruction,
        "qry_image_path": image,
        "tgt_text": captions,
        "tgt_image_path": [""] * len(captions),
        "original_caption": captions[0],
        "neg_types": list(row.kinds),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": None,
        "category": row.category,
        "image_id": number,
    }


def _parquet(rows: Iterable[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), data)
    return data.getvalue()

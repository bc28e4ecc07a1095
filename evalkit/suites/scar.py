"""SCaR: an image with a box, ten captions, one right.

Source: ``scar_image_i2t`` of sony/virtue (36d8a8b, ``codes/src/data/eval_dataset``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import DataError
from evalkit.items import Box, Item
from evalkit.suites import rows
from evalkit.suites.prompts import scar_prompt, without_mark
from evalkit.suites.suite import CardSuite
from evalkit.suites.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.items.images import ImageFile
    from evalkit.suites.card import TaskCard
    from evalkit.suites.task import DataFolder, LoadOptions

SUITE = CardSuite("scar")

_COLUMNS = ("qry_text", "qry_image_path", "tgt_text", "bbox", "neg_types")


def row_files(card: TaskCard, folder: DataFolder) -> tuple[Path, ...]:
    """The file of a task's rows.

    Raises:
        DataError: there is none; names where it was looked for.
    """
    names = (f"SCaR_eval_{card.subset}.parquet", f"SCAR_{card.subset}_val_filtered.parquet")
    return rows.find(folder.root, [f"{place}{name}" for name in names for place in ("", "scar/")])


def load(card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
    """Read a SCaR task from ``DIR/SCaR_eval_<Set>.parquet`` or ``DIR/scar/SCaR_eval_<Set>.parquet``.

    ``SCAR_<Set>_val_filtered.parquet``, the name that the official code expects, is read too. Boxes are
    x, y, width, height on disk and become x0, y0, x1, y1. Images are never turned upright: the box
    counts pixels of the stored image.

    Raises:
        DataError: a file, column, row or value that cannot be read as this task.
    """
    data = rows.read(row_files(card, folder), _COLUMNS, options.limit, ("qry_image_path",))
    data.require(*_COLUMNS[:4])
    questions, cells = data.strings("qry_text"), data.image_cells("qry_image_path")
    boxes = [_box(value, data.where(row)) for row, value in enumerate(data.numbers("bbox", 4))]
    captions = data.lists("tgt_text")
    empty = np.flatnonzero(captions.lengths == 0)
    if empty.size:
        raise DataError(f"{data.where(int(empty[0]))}: the pool of candidates is empty")
    if data.has("neg_types"):
        _label_is_first(data)

    queries = []
    for row, (question, cell, box) in enumerate(zip(questions, cells, boxes, strict=True)):
        if not cell.name:
            raise DataError(f"{data.where(row)}: qry_image_path is empty")
        queries.append(_query(question, folder.image(cell.name, upright=False, held=cell.held), box))
    flat = captions.codes.astype(np.int32)
    starts = np.cumsum(captions.lengths) - captions.lengths
    labels = [captions.values[number] for number in flat[starts]]
    pools = rows.split_rows(flat, captions.lengths)
    contents = zip((cell.name for cell in cells), boxes, labels, strict=True)
    return Task(
        card=card,
        queries=queries,
        ids=rows.sample_ids(contents, lambda row: (captions.values[number] for number in pools[row])),
        candidates=[Item(prompt=caption, text=caption) for caption in captions.values],
        names=captions.values,
        pools=pools,
        relevant=rows.relevant_rows(flat, captions.lengths, np.arange(len(captions.values))),
        labels=labels,
        options=options,
        warnings=rows.surplus(len(data), card.queries),
        where=data.places.where,
    )


def _query(question: str, image: ImageFile, box: Box) -> Item:
    question = without_mark(question)
    prompt, named, sentence = scar_prompt(question, box)
    return Item(prompt, text=sentence, instruction=question.strip(), image=image, region=box, region_text=named)


def _box(value: list[float], where: str) -> Box:
    x, y, width, height = value
    try:
        return Box(x, y, x + width, y + height)
    except ValueError as error:
        raise DataError(f"{where}: bbox {value} (x, y, width, height): {error}") from None


def _label_is_first(data: rows.Rows) -> None:
    kinds = data.lists("neg_types", null_is_blank=True)
    if not kinds.lengths.all():
        return
    starts = np.cumsum(kinds.lengths) - kinds.lengths
    for row, code in enumerate(kinds.codes[starts]):
        if kinds.values[code] != "gt":
            raise DataError(
                f"{data.where(row)}: neg_types begins with {kinds.values[code]!r}; the right caption ('gt') comes first"
            )

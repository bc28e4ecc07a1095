"""MMEB: rows of both published layouts to tasks.

Source: the loaders that :mod:`evalkit.suites.prompts` names, which sony/virtue (36d8a8b) shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import DataError
from evalkit.items import Item
from evalkit.suites import rows
from evalkit.suites.copies import check_rows, check_shards
from evalkit.suites.prompts import RowText, candidate_prompt, query_prompt, split_v1, without_mark
from evalkit.suites.suite import CardSuite
from evalkit.suites.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evalkit.suites.card import TaskCard
    from evalkit.suites.embedded import ImageCell
    from evalkit.suites.task import DataFolder, LoadOptions

SUITE = CardSuite("mmeb")
TEXT_CANDIDATES = frozenset({"image_cls", "image_qa", "image_i2t"})

_V1 = ("qry_text", "qry_img_path", "tgt_text", "tgt_img_path")
_V2 = ("qry_inst", *_V1[:2], "tgt_inst", *_V1[2:])


def row_files(card: TaskCard, folder: DataFolder) -> tuple[Path, ...]:
    """The files of a task's rows.

    Raises:
        DataError: there are none; names where they were looked for.
    """
    return rows.find(folder.root, (f"{card.subset}/test-*.parquet", f"mmeb/{card.subset}/test-*.parquet"))


def load(card: TaskCard, folder: DataFolder, options: LoadOptions) -> Task:
    """Read an MMEB task from ``DIR/<Subset>/test-*.parquet`` or ``DIR/mmeb/<Subset>/test-*.parquet``.

    Raises:
        DataError: a file, column, row or value that cannot be read as this task.
    """
    files = row_files(card, folder)
    # The official loaders of tasks with text candidates read no candidate images.
    unread = {"tgt_img_path"} if card.family in TEXT_CANDIDATES else set()
    check_shards(files)
    columns = [column for column in _V2 if column not in unread]
    data = rows.read(files, columns, options.limit, ("qry_img_path", "tgt_img_path"))
    data.require(*(column for column in _V1 if column not in unread))
    layout_v2 = data.has("qry_inst", "tgt_inst")
    if not layout_v2 and (data.has("qry_inst") or data.has("tgt_inst")):
        data.require("qry_inst", "tgt_inst")

    warnings = list(rows.surplus(len(data), card.queries))
    asked = _query_texts(card, data, layout_v2, warnings)
    cells = data.image_cells("qry_img_path")
    queries = [
        _query(card, text, cell, folder, options, data, row)
        for row, (text, cell) in enumerate(zip(asked, cells, strict=True))
    ]
    texts = data.lists("tgt_text")
    images, shown = (texts, []) if card.family in TEXT_CANDIDATES else data.image_cell_lists("tgt_img_path")
    unequal = np.flatnonzero(texts.lengths != images.lengths)
    if unequal.size:
        row = int(unequal[0])
        raise DataError(
            f"{data.where(row)}: tgt_text has {texts.lengths[row]} entries, tgt_img_path has {images.lengths[row]}"
        )
    empty = np.flatnonzero(texts.lengths == 0)
    if empty.size:
        raise DataError(f"{data.where(int(empty[0]))}: the pool of candidates is empty")

    given = data.strings("tgt_inst") if layout_v2 else [""] * len(data)
    target = _Candidates(card, folder, options, data, given, layout_v2)
    flat, items, names, keys, identities = target.distinct(texts, images, shown)
    warnings += target.warnings
    if options.official_dedup:
        kept, merged = np.unique(_first_of(names)[flat], return_inverse=True)
        flat = merged.astype(np.int32)
        items, names = [items[number] for number in kept], [names[number] for number in kept]
        keys = identities = names
    identity = _codes(identities)
    starts = np.cumsum(texts.lengths) - texts.lengths
    labels = [names[number] for number in flat[starts]]
    pools = rows.split_rows(flat, texts.lengths)
    told = (cell.identity for cell in cells)
    warnings += check_rows(data.places, zip(told, (text.content for text in asked), labels, pools, strict=True))
    contents = zip((cell.name for cell in cells), (text.content for text in asked), labels, strict=True)
    return Task(
        card=card,
        queries=queries,
        ids=rows.sample_ids(contents, lambda row: (keys[number] for number in pools[row])),
        candidates=items,
        names=names,
        pools=pools,
        relevant=rows.relevant_rows(flat, texts.lengths, identity),
        labels=labels,
        options=options,
        warnings=tuple(warnings),
        where=data.places.where,
    )


# --- queries -----------------------------------------------------------------------------------------


def _query_texts(card: TaskCard, data: rows.Rows, layout_v2: bool, warnings: list[str]) -> list[RowText]:
    contents = data.strings("qry_text")
    if layout_v2:
        texts = [RowText(inst, content) for inst, content in zip(data.strings("qry_inst"), contents, strict=True)]
    else:
        texts = [split_v1(content, card.query_instruction) for content in contents]
    unknown = sum(text.verbatim or text.plain_instruction != card.query_instruction for text in texts)
    if unknown:
        warnings.append(f"{unknown} of {len(texts)} queries have another instruction than the card")
    return texts


def _query(
    card: TaskCard, text: RowText, cell: ImageCell, folder: DataFolder, options: LoadOptions, data: rows.Rows, row: int
) -> Item:
    image = None
    if card.family != "image_t2i":  # the official loader gives text-to-image queries no image, whatever the row has
        if not cell.name:
            raise DataError(f"{data.where(row)}: qry_img_path is empty, and {card.family} queries have an image")
        image = folder.image(cell.name, upright=options.upright, held=cell.held)
    return Item(query_prompt(card, text), text.content, text.plain_instruction, image)


# --- candidates --------------------------------------------------------------------------------------


@dataclass
class _Candidates:
    """Builds each distinct candidate of a task once."""

    card: TaskCard
    folder: DataFolder
    options: LoadOptions
    data: rows.Rows
    instructions: list[str]  # one per row (v2); empty in v1, where the texts hold them
    layout_v2: bool

    def __post_init__(self) -> None:
        self.warnings: list[str] = []

    def distinct(
        self, texts: rows.StringLists, images: rows.StringLists, shown: list[ImageCell]
    ) -> tuple[NDArray[np.int32], list[Item], list[str], list[str], list[str]]:
        """All pools as candidate numbers, and per candidate its item, name, key and identity.

        The name is the official one (image path alone for text-to-image). The key tells apart what the
        official name merges: image and caption; the identity images of one path, too, where rows hold them.
        """
        if self.card.family in TEXT_CANDIDATES:
            # Bare label, answer or caption. OK-VQA has blank ones: they stay, as candidates like any other.
            items = [Item(prompt=text, text=text) for text in texts.values]
            return texts.codes.astype(np.int32), items, texts.values, texts.values, texts.values

        parts = [self._parts(value) for value in texts.values]
        captions = [part.content for part in parts]
        blank = np.array([not caption.strip() for caption in captions])
        starts = np.cumsum(texts.lengths) - texts.lengths
        # The first caption of a row decides for the whole row, as in the official loaders.
        captioned = ~blank[texts.codes[starts]]
        kinds: dict[tuple[str, bool], int] = {}
        row_kind = np.array(
            [kinds.setdefault(kind, len(kinds)) for kind in zip(self.instructions, captioned.tolist(), strict=True)]
        )
        code = np.repeat(row_kind, texts.lengths)
        code = (code * len(texts.values) + texts.codes) * len(images.values) + images.codes
        distinct, first, numbers = np.unique(code, return_index=True, return_inverse=True)
        order = np.argsort(first)  # by first appearance, which official_dedup goes by
        numbers = np.argsort(order)[numbers]
        distinct, first = distinct[order], first[order]
        kind_of = {number: kind for kind, number in kinds.items()}
        items, names, keys, identities = [], [], [], []
        for key, position in zip(distinct.tolist(), first.tolist(), strict=True):
            key, image_code = divmod(key, len(images.values))
            kind_code, text_code = divmod(key, len(texts.values))
            instruction, has_caption = kind_of[kind_code]
            cell, part = shown[image_code], parts[text_code]
            if not cell.name:
                row = int(np.searchsorted(starts, position, side="right")) - 1
                raise DataError(f"{self.data.where(row)}: tgt_img_path holds an empty path at {position - starts[row]}")
            items.append(self._item(part, instruction if self.layout_v2 else part.instruction, has_caption, cell))
            keys.append(cell.name + ":" + part.content.strip('"'))
            names.append(cell.name if self.card.family == "image_t2i" else keys[-1])
            identities.append(cell.identity + ":" + part.content.strip('"'))
        return numbers.astype(np.int32), items, names, keys, identities

    def _parts(self, value: str) -> RowText:
        if self.layout_v2:
            return RowText("", value)
        part = split_v1(value, self.card.candidate_instruction)
        if part.verbatim and not self.warnings:
            self.warnings.append("some candidates have another instruction than the card")
        return part

    def _item(self, part: RowText, instruction: str, has_caption: bool, cell: ImageCell) -> Item:
        image = self.folder.image(cell.name, upright=self.options.upright, held=cell.held)
        prompt = candidate_prompt(self.card, part, instruction, has_caption)
        if part.verbatim:
            return Item(prompt, without_mark(part.content).strip(), "", image)
        return Item(prompt, part.content if has_caption else "", without_mark(instruction).strip(), image)


def _codes(values: list[str]) -> NDArray[np.int64]:
    """A number for each value; equal values share one."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _first_of(values: list[str]) -> NDArray[np.int64]:
    """For each value the place of the first equal one."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(value, i) for i, value in enumerate(values)], dtype=np.int64)

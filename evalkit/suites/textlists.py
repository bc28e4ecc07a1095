"""Columns of lists of texts that repeat from row to row, with each distinct text held once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray


def holds_text_lists(kind: pa.DataType) -> bool:
    """Whether a column is of lists of texts."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    text = kind.value_type.value_type if pa.types.is_dictionary(kind.value_type) else kind.value_type
    return bool(pa.types.is_string(text) or pa.types.is_large_string(text))


class TextLists:
    """Collects such a column, part by part."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}  # not str: what is no UTF-8 is found later, with its row
        self._codes: list[NDArray[np.int32]] = []
        self._lengths: list[NDArray[np.int64]] = []

    def add(self, chunk: pa.Array) -> None:
        """Rows that follow.

        Raises:
            pa.ArrowException: indices that the dictionary does not have, in a damaged file.
        """
        self._lengths.append(np.asarray(pc.list_value_length(chunk).fill_null(-1), dtype=np.int64))
        flat = pc.list_flatten(chunk)
        coded = flat if pa.types.is_dictionary(flat.type) else flat.dictionary_encode()
        used, places = np.unique(np.asarray(coded.indices.fill_null(-1), dtype=np.int64), return_inverse=True)
        words = coded.dictionary.take(pa.array(used[used >= 0])).cast(pa.large_binary()).to_pylist()
        numbers = [-1] * int((used < 0).sum())
        numbers += [-1 if word is None else self._numbers.setdefault(word, len(self._numbers)) for word in words]
        self._codes.append(np.array(numbers, dtype=np.int32)[places])

    def whole(self) -> pa.Array:
        """All rows, as lists of a dictionary of texts, which need not be UTF-8."""
        as_text = pc.CastOptions(target_type=pa.large_string(), allow_invalid_utf8=True)
        words = pa.array(list(self._numbers), pa.large_binary()).cast(options=as_text)
        codes, lengths = np.concatenate(self._codes), np.concatenate(self._lengths)
        flat = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), words)
        offsets = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))])
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat, mask=pa.array(lengths < 0))

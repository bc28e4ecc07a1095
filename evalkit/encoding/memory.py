"""Memory that runs out: how it is recognised, and how large batches may be from then on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.encoding.batches import Pending

_CALM = 4  # batches in a row that fit before larger ones are tried again; twice as many after each try in vain
# What CUDA, cuBLAS, cuDNN, cuFFT, cuSOLVER and cuSPARSE, ROCm, MPS and torch on the CPU say; a handle of cuBLAS that
# cannot be made and a convolution without an engine are out of memory by other names.
_WORDS = re.compile(
    r"out[ _]of[ _](?:(?:device|host)[ _])?memory|out_of_resources|\boom\b|not enough memory|insufficient[ _]memory"
    r"|(?:can't|cannot|could not|unable to|failed to) allocate|alloc[_ ]failed|(?:memory|object)[_ ]?allocation"
    r"|allocation[_ ]fail|bad[_ ]alloc|resource_exhausted|invalid buffer size|smaller than requested"
    r"|cu(?:blas|dnn)_status_(?:not_initialized|execution_failed)|cu(?:dnn|solver)_status_internal_error"
    r"|cudnn_status_not_supported|unable to find an engine to execute|insufficient_workspace|hiperroroutofmemory",
    re.IGNORECASE,
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in any library's words; also where it is only the cause of another."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        named = type(cause).__name__
        if isinstance(cause, MemoryError) or named == "OutOfMemoryError":
            return True
        if _WORDS.search(str(cause)):
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def free_memory() -> None:
    """Give back what nothing holds any more."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class Room:
    """How much of a batch memory is known to hold, once it ran out.

    Attributes:
        most: padded cost that a batch may have; ``None`` while memory holds all.
    """

    most: int | None = None
    _fitted: int = 0
    _calm: int = _CALM
    _trying: bool = False

    def fitting(self, entries: Sequence[Pending]) -> int:
        """How many of the entries, from the first on, fit; at least 1."""
        if self.most is None:
            return len(entries)
        dearest = itertools.accumulate((entry.cost for entry in entries), max)
        return max(1, sum(cost * count <= self.most for count, cost in enumerate(dearest, start=1)))

    def shrink(self, entries: Sequence[Pending]) -> None:
        """These did not fit: half of their padded cost from now on."""
        if self._trying:
            self._calm *= 2
        self._trying, self._fitted = False, 0
        self.most = _padded(entries) // 2

    def fitted(self, entries: Sequence[Pending]) -> None:
        """These fitted. After many that do, twice as much is tried: another process may have given memory back."""
        if self.most is None:
            return
        if self._trying and 2 * _padded(entries) > self.most:
            self._trying, self._calm = False, _CALM
        self._fitted += 1
        if self._fitted >= self._calm:
            self._trying, self._fitted = True, 0
            self.most *= 2


def _padded(entries: Sequence[Pending]) -> int:
    return max(entry.cost for entry in entries) * len(entries)

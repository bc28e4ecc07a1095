"""Does an embedder keep its contract? The checks behind ``evalkit check MODEL``.

The contract is that of :mod:`evalkit.embedders.base`; what these checks add is that a vector belongs to its
item alone (not to its neighbours in the batch, not to the batch's size or order, not to the call, not to what
was embedded before), and to all of its item. They take some hundreds of items of every modality that the
embedder declares, made on the spot, so no data is needed.

What is tried is in :mod:`evalkit.checking.composition` and :mod:`evalkit.checking.contents`, on what in
:mod:`evalkit.checking.probes`; here is in which order, and what is not tried any more once something else failed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.checking import composition, contents, probes
from evalkit.checking.calls import (
    BATCH,
    CHANGE,
    FILE,
    ITEMS_ALONE,
    REPEAT_TOLERANCE,
    RESULTS_ALONE,
    SIDES,
    Calls,
    Fault,
    Vectors,
    named,
    on_both_sides,
    own_words,
)
from evalkit.checking.findings import Finding, Report, Test
from evalkit.checking.probes import MODALITIES, REGIONS
from evalkit.embedders.base import BATCH_TOLERANCE, LENGTH_TOLERANCE, Costed, Embedder, EmbedderInfo

if TYPE_CHECKING:
    from evalkit.items import Item, Side

__all__ = ["BATCH_TOLERANCE", "CHANGE", "REPEAT_TOLERANCE", "SELF_RETRIEVAL", "Finding", "check"]

SELF_RETRIEVAL = 0.5
"""Least Precision@1 of items that look for themselves; chance is 1 in 20 with all modalities."""

_ALONE = "alone and in batches"
_TWICE = "same call twice"
_END = "same call at the end"
_COPY = "a copy of the file"
_BASE = ("shape", "finite", "unit length", _TWICE, _ALONE)


def check(embedder: Embedder, batch_tokens: int | None = None) -> list[Finding]:
    """Run all checks.

    What the embedder raises becomes a failed finding; nothing it raises leaves this function. One cause is one
    failed finding: what depends on it is skipped, and so is the same failure with other items.

    Args:
        embedder: anything with ``info`` and ``encode``.
        batch_tokens: the budget of a run's batches; that of ``evalkit run`` where it is ``None``.

    Returns:
        One finding a check, in a fixed order. The embedder keeps its contract if none has ``passed`` false.
    """
    import numpy as np

    from evalkit.encoding.batches import BATCH_TOKENS

    said: list[EmbedderInfo] = []
    report = Report()
    report.tried("info", lambda: _info(embedder, said))
    if report.failed("info"):
        return report.findings()
    # Vectors that are not finite are a finding, not a warning.
    with tempfile.TemporaryDirectory(prefix="evalkit-check-") as folder, np.errstate(all="ignore"):
        checks = _Checks(Calls(embedder, said[0]), report, Path(folder), batch_tokens or BATCH_TOKENS)
        checks.run()
    return report.findings()


class _Checks:
    """All checks of one embedder."""

    def __init__(self, calls: Calls, report: Report, folder: Path, batch_tokens: int) -> None:
        self._calls = calls
        self._report = report
        self._folder = folder
        self._batch_tokens = batch_tokens
        self._items = probes.plain(folder)
        self._first: dict[str, Vectors] = {modality: {} for modality in MODALITIES}
        self._alone: dict[str, Vectors] = {modality: {} for modality in MODALITIES}
        self._refused: dict[tuple[str, str], list[str]] = {}  # by modality and check

    def run(self) -> None:
        """Try them in order, the least that an embedder has to do first."""
        info = self._calls.info
        declared = [modality for modality in MODALITIES if modality in info.modalities]
        self._cost([item for modality in declared for item in self._items[modality]])
        for modality in declared:
            self._vectors(modality)
        if wrong := own_words(self._calls.embedder):
            self._report.says("info", False, "; ".join(wrong))
        base = [f"{modality}: {name}" for modality in declared for name in _BASE]
        if self._all_alike():
            # Nothing is told apart, so nothing that has to be can be: that is one finding.
            self._report.tried("self-retrieval", lambda: self._self_retrieval(declared), after=base)
        for modality in declared:
            self._moves(modality)
        for modality in declared:
            self._contents(modality)
        if not self._report.has("self-retrieval"):
            seen = [f"{modality}: {name}" for modality in declared for name in self._seen(modality)]
            self._report.tried("self-retrieval", lambda: self._self_retrieval(declared), after=[*base, *seen])
        for modality in set(MODALITIES) - set(declared):
            for name in self._names(modality):
                said = f"not applicable: the embedder does not take {modality}"
                self._report.says(f"{modality}: {name}", None, said)
        self._regions("image+text" if "image+text" in declared else "image")
        for modality in declared:
            self._report.tried(
                f"{modality}: {_END}",
                lambda modality=modality: self._again(modality),  # type: ignore[misc]
                after=base,
            )
        for name in (ITEMS_ALONE, RESULTS_ALONE):
            if not self._report.failed(name):
                self._report.says(name, True, f"in {self._calls.count} calls")

    @staticmethod
    def _seen(modality: str) -> list[str]:
        return [f"{part} moves the vector" for part in modality.split("+")]

    def _names(self, modality: str) -> list[str]:
        """All checks of a modality, in order."""
        twins = [] if modality == "text" else [*probes.TWINS, _COPY]
        return [*_BASE, *self._seen(modality), "with an instruction", *twins, "largest batch", _END]

    @staticmethod
    def _after(modality: str, *names: str) -> list[str]:
        return [f"{modality}: {name}" for name in (*_BASE, *names)]

    def _cost(self, items: Sequence[Item]) -> None:
        if not isinstance(self._calls.embedder, Costed):
            self._report.says("cost", None, "not applicable: the embedder gives no costs, defaults are used")
        else:
            self._report.tried("cost", lambda: composition.costs(self._calls, items))

    # --- what is returned, and whether it is returned again ----------------------------------------------

    def _vectors(self, modality: str) -> None:
        tests: dict[str, Test] = {
            "shape": lambda: self._shape(modality),
            "finite": lambda: self._accepted(modality, "finite"),
            "unit length": lambda: self._accepted(modality, "unit length"),
            _TWICE: lambda: self._again(modality),
            _ALONE: lambda: self._on_both(modality, lambda side: self._small(modality, side)),
        }
        for place, (name, test) in enumerate(tests.items()):
            self._report.tried(f"{modality}: {name}", test, after=[f"{modality}: {past}" for past in _BASE[:place]])

    def _shape(self, modality: str) -> tuple[bool, str]:
        """All in one batch and one alone, on both sides; what else is wrong with them is another check's."""
        items, returned = self._items[modality], []
        for side in SIDES:
            for batch in (items, items[:1]):
                try:
                    vectors = self._calls.vectors(batch, side)
                except Fault as fault:
                    if fault.label not in ("finite", "unit length"):
                        raise
                    self._refused.setdefault((modality, fault.label), []).append(fault.detail)
                except (Exception, SystemExit) as error:
                    raise _located(self._calls, batch, side, error) from error
                else:
                    if batch is items:
                        self._first[modality][side] = vectors
                returned.append(self._calls.dtype)
        kinds = ", ".join(dict.fromkeys(returned))
        note = "" if kinds == "float32" else ", which a run takes and makes float32"
        return True, f"{(len(items), self._calls.info.dimension)} and {(1, self._calls.info.dimension)}, {kinds}{note}"

    def _accepted(self, modality: str, label: str) -> tuple[bool, str]:
        """What a run says of the vectors, in the run's words."""
        import numpy as np

        if said := self._refused.get((modality, label)):
            raise Fault(label, said[0])
        if label == "finite":
            return True, f"all {len(self._items[modality])} vectors"
        vectors = np.concatenate(list(self._first[modality].values())).astype(np.float64)
        off = float(np.abs(np.linalg.norm(vectors, axis=1) - 1).max())
        return True, f"lengths differ from 1 by at most {off:.1e} (allowed {LENGTH_TOLERANCE:g})"

    def _again(self, modality: str) -> tuple[bool | None, str]:
        items, first = self._items[modality], self._first[modality]
        return on_both_sides(lambda side: composition.repeated(self._calls, items, first[side], side))

    def _small(self, modality: str, side: Side) -> tuple[bool, str]:
        import numpy as np

        both = modality == "image+text" and "image" in self._calls.info.modalities
        items, first = self._items[modality], self._first[modality][side]
        alone = self._alone[modality][side] = np.concatenate([self._calls.vectors([item], side) for item in items])
        others = self._items["image"] if both else ()
        return composition.small(self._calls, items, first, side, alone, others)

    # --- whether it is all of the item's, and the item's alone --------------------------------------------

    def _self_retrieval(self, declared: Sequence[str]) -> tuple[bool, str]:
        import numpy as np

        queries, candidates = (
            np.concatenate([self._first[modality][side][: probes.UNLIKE[modality]] for modality in declared])
            for side in SIDES
        )
        return contents.self_retrieval(queries, candidates, SELF_RETRIEVAL)

    def _moves(self, modality: str) -> None:
        for pair in probes.pairs(self._items, modality):
            self._report.tried(
                f"{modality}: {pair.what} moves the vector",
                lambda pair=pair: self._on_both(modality, lambda side: self._distinguished(modality, pair, side)),  # type: ignore[misc]
                after=[*self._after(modality), "self-retrieval"],
            )

    def _contents(self, modality: str) -> None:
        calls, folder = self._calls, self._folder
        after = self._after(modality, *self._seen(modality))
        if modality == "image":  # whoever keeps all of an item by its image does so without a text, too
            after.append("image+text: text moves the vector")
        given = probes.instructed(folder, modality)
        self._report.tried(
            f"{modality}: with an instruction",
            lambda: self._on_both(modality, lambda side: _instructed(calls, given, side)),
            after=after,
        )
        if modality != "text":
            for twins in probes.twins(folder, modality):
                self._report.tried(
                    f"{modality}: {twins.what}",
                    lambda twins=twins: self._on_both(  # type: ignore[misc]
                        modality, lambda side: contents.same_file(calls, twins, side)
                    ),
                    after=after,
                )
            self._report.tried(
                f"{modality}: {_COPY}",
                lambda: self._on_both(
                    modality, lambda side: contents.copied_file(calls, probes.copied(folder, modality), side)
                ),
                after=after,
            )

        def many(count: int) -> list[Item]:
            return probes.many(folder, modality, count)

        size, tokens = self._size(many), self._batch_tokens
        self._report.tried(
            f"{modality}: largest batch",
            lambda: self._on_both(modality, lambda side: composition.largest(calls, many, side, size, tokens)),
            after=[*self._after(modality, "with an instruction"), "cost"],
        )

    def _size(self, many: Callable[[int], list[Item]], most: int = composition.PLANNED) -> Callable[[], int]:
        """Size of the largest batch of such items, worked out when it is asked for first: the sides have one."""
        return cache(lambda: composition.largest_size(self._calls, many, self._batch_tokens, most))

    def _on_both(self, modality: str, test: Callable[[Side], tuple[bool | None, str]]) -> tuple[bool | None, str]:
        """A test of each side; where it fails, whether that is because a call does not give again what it gave."""

        def of_side(side: Side) -> tuple[bool | None, str]:
            try:
                passed, detail = test(side)
            except Fault as fault:
                if fault.label in (BATCH, FILE):
                    self._still(modality, side)
                raise
            if passed is False:
                self._still(modality, side)
            return passed, detail

        return on_both_sides(of_side)

    def _still(self, modality: str, side: Side) -> None:
        """Raises the fault of the call where the first call of this side does not give its vectors any more."""
        composition.repeated(self._calls, self._items[modality], self._first[modality][side], side)

    def _distinguished(self, modality: str, pair: probes.Pair, side: Side) -> tuple[bool, str]:
        from evalkit.checking.calls import moved

        alone = dict(zip(self._items[modality], self._alone[modality][side], strict=True))
        noise = moved(alone[pair.one], self._calls.vectors([pair.one], side)[0])
        return contents.distinguished(pair, alone[pair.one], alone[pair.other], noise)

    def _all_alike(self) -> bool:
        import numpy as np

        every = [vectors for first in self._first.values() for vectors in first.values()]
        together = np.concatenate([np.zeros((0, self._calls.info.dimension), dtype=np.float32), *every])
        return bool((np.abs(together - together[:1]) <= CHANGE).all())

    def _regions(self, modality: str) -> None:
        """Prompt and image stay the same, so only the region can move the vector."""
        items = probes.regions(self._folder, "the object" if modality == "image+text" else "")
        for kind in REGIONS:
            name = f"region: {kind}"
            if kind not in self._calls.info.regions:
                said = f"not applicable: the embedder does not take a {kind} as input"
                self._report.says(name, None, said)
                continue
            given = items[kind]
            size = self._size(given.many, contents.MOST_REGIONS)
            self._report.tried(
                name,
                lambda given=given, size=size: self._on_both(  # type: ignore[misc]
                    modality, lambda side: contents.region(self._calls, given, side, size, self._batch_tokens)
                ),
                after=self._after(modality, *self._names(modality)),
            )


def _instructed(calls: Calls, given: probes.Instructed, side: Side) -> tuple[bool, str]:
    try:
        return contents.with_instruction(calls, given, side)
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise _located(calls, given.items, side, error) from error


def _located(calls: Calls, items: Sequence[Item], side: Side, error: BaseException) -> Fault:
    """What an embedder raised for several items, with the first that it raises for alone."""
    said, kind = f"{type(error).__name__}: {error}", f"raises {type(error).__name__}"
    for item in items:
        try:
            calls.vectors([item], side)
        except (Exception, SystemExit) as alone:  # noqa: BLE001
            if type(alone) is type(error):
                return Fault(kind, f"{said} ({side}, {named(item)})")
    return Fault(kind, f"{said} ({side}, {len(items)} items in one batch; each alone is embedded)")


def _info(embedder: Embedder, said: list[EmbedderInfo]) -> tuple[bool, str]:
    """``said`` gets what the embedder says of itself, so that it is asked once."""
    from evalkit.embedders.registry import info_faults

    info = embedder.info
    said.append(info)
    if faults := info_faults(info):
        return False, "; ".join(faults)
    if not info.name:
        faults.append("it has no name")
    if not isinstance(info.dimension, int) or info.dimension < 1:
        faults.append(f"dimension is {info.dimension!r}, not a positive whole number")
    unknown = sorted((set(info.modalities) - set(MODALITIES)) | (set(info.regions) - set(REGIONS)))
    if unknown:
        faults.append(f"{', '.join(map(repr, unknown))} is no modality or region that evalkit knows")
    if not info.modalities:
        faults.append("it declares no modality")
    if info.regions and not set(info.modalities) & {"image", "image+text"}:
        faults.append("it declares regions but takes no images")
    takes = ", ".join(name for name in MODALITIES if name in info.modalities)
    return not faults, "; ".join(faults) or f"{info.name}, dimension {info.dimension}, takes {takes}"

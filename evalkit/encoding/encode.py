"""Items to vectors: deduplicate, look up, check what is there, batch, decode ahead, embed, check, keep."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.batches import BATCH_TOKENS, Pending, plan
from evalkit.encoding.conditions import UNKNOWN, Batching, Made, conditions, differing, read_batching
from evalkit.encoding.contract import describe, faults
from evalkit.encoding.forward import EncodingStats, Forward
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.spotcheck import SpotCheck, cosine_distances, verdict
from evalkit.encoding.store import VectorStore
from evalkit.errors import EvalkitError, RegionError, StaleVectorsError, StoreError
from evalkit.items import Item, Mask, Side, region_kind
from evalkit.items.images import ImageFile
from evalkit.items.keys import content_digest, vector_key
from evalkit.items.regions import fault
from evalkit.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


PROBES = tuple(
    Item(text if not instruction else f"{instruction} {text}", text=text, instruction=instruction)
    for text, instruction in (
        ("two dogs on a red sofa", ""),
        ("What is written on the sign?", ""),
        ("a train that crosses a bridge", "Represent the given text."),
    )
)
"""Texts that are embedded with every run, whatever its tasks are."""


def probes_of(modalities: Collection[str]) -> list[tuple[Item, ...]]:
    """Items that are embedded with every run of an embedder, those of each list together: texts, and a picture.

    A tower for images may change while that for texts stays, and there are models of images alone.
    """
    import numpy as np

    rows, columns = np.mgrid[0:64, 0:96]
    picture = np.stack([rows * 4, columns * 2, (rows // 16 + columns // 16) % 2 * 90], axis=2).astype(np.uint8)
    image = ImageFile.of(picture)
    pictured = (Item(image=image),) if "image" in modalities else (Item(text="a rug", image=image),)
    found = [PROBES] if "text" in modalities else []
    return [*found, pictured] if {"image", "image+text"} & {*modalities} else found


@dataclass
class Encoder:
    """One embedder with its store; lives for a run.

    Attributes:
        loaded: the embedder.
        store: where vectors are kept.
        images: facts of image files.
        batch_tokens: budget of a batch.
        dtype: what vectors are kept as, ``float32`` or ``float16``.
        progress: who is told.
        device: what the embedder runs on, for the record: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        trust_store: reuse vectors without making any of them again.
        distrusted: vectors under this fingerprint were found to be another's, and taken out (``--rebuild-store``).
    """

    loaded: LoadedEmbedder
    store: VectorStore
    images: ImageIndex = field(default_factory=ImageIndex)
    batch_tokens: int = BATCH_TOKENS
    dtype: str = "float32"
    progress: Progress = field(default_factory=lambda: Progress(quiet=True))
    device: str = "auto"
    trust_store: bool = False

    def __post_init__(self) -> None:
        self._forward = Forward(self.loaded, self.images)
        self._spot_check = SpotCheck()
        self.distrusted = False
        self._probed = False
        self._own: set[bytes] = set()  # keys of vectors that it made itself, which need no second look
        self._made: Counter[int] = Counter()  # distinct vectors since take_made, by the number of their conditions
        self._recorded: dict[str, int] = {}  # numbers of conditions, by their record

    @property
    def stats(self) -> EncodingStats:
        """What was done since :meth:`take_stats`."""
        return self._forward.stats

    def encode(self, items: Sequence[Item], side: Side) -> NDArray[np.float32]:
        """Vectors of items, from the store or from the embedder.

        Every vector is read back from the store, so a run that was cut off and one that was not go on
        with the same bytes.

        Returns:
            float32, shape (len(items), dimension).

        Raises:
            ImageError: an image that cannot be read or decoded.
            RegionError: a region that the embedder takes as an input and that is not on its image; raised
                before anything is embedded, with the item.
            EmbedderError: the embedder fails or breaks its contract.
            StoreError: the store cannot be read or written.
        """
        began = time.monotonic()
        self.images.gather(items)
        self._check_regions(items)
        known = [self.images.known(item) for item in items]
        keys = [vector_key(self.loaded.fingerprint, self.dtype, side, content_digest(item)) for item in known]
        distinct = dict(zip(keys, known, strict=True))
        here = self._reusable(distinct, side)
        self.progress.advance(len(items) - len(distinct) + len(here))
        # Batches are kept in the order of the plan, in which an entry's place depends on that entry alone. So
        # what a killed run left over, all from some batch's beginning on, is planned into the batches that it
        # would have come to: a vector's last bits may depend on its batch.
        missing = self._forward.entries(distinct, distinct.keys() - here)
        if missing and not self.store.writable:
            raise StoreError(
                f"vector store {self.store.path} cannot be written, and {len(missing)} of {len(distinct)} vectors are "
                "not in it: copy it to where it can be, and name the copy with --store"
            )
        self._run(plan(missing, self.batch_tokens), side)
        vectors = self.store.get(keys, self.loaded.info.dimension, self.dtype, self._made)
        self._require_sound(vectors, known, side)
        self.stats.items += len(items)
        self.stats.distinct += len(distinct)
        self.stats.reused += len(here)
        self.stats.seconds += time.monotonic() - began
        return vectors

    def _reusable(self, distinct: Mapping[bytes, Item], side: Side) -> set[bytes]:
        """Those of the keys whose vectors are in the store and hold.

        Raises:
            StaleVectorsError: vectors that the embedder would not make now; with ``--rebuild-store`` they are
                taken out instead, and so are vectors that are damaged.
        """
        here = self.store.existing(list(distinct))
        if self.store.rebuild:
            bad = {*self._unsound(list(here)), *(self._unknown(here) if self.distrusted else ())}
            self.store.drop(list(bad))
            here -= bad
        if self.trust_store or here <= self._own:
            return here
        old = here - self._own
        try:
            self._check_again({key: item for key, item in distinct.items() if key in old}, side)
        except StaleVectorsError:
            if not self.store.rebuild:
                raise
            self._forget()
            self.store.drop(self._unknown(here))
            return self.store.existing(list(distinct))
        return here

    def _forget(self) -> None:
        """The vectors that the store has of this embedder are another's."""
        self.store.forget(self.loaded.fingerprint)
        self._own.clear()
        self.distrusted = True

    def _unknown(self, keys: Iterable[bytes]) -> list[bytes]:
        """Those of the keys whose vectors were made by nobody knows whom."""
        return [key for key, number in self.store.made(list(keys)).items() if not number]

    def _check_again(self, items: Mapping[bytes, Item], side: Side) -> None:
        """Make a few of the vectors that are to be reused again.

        Raises:
            StaleVectorsError: they are not what was kept.
        """
        began = time.monotonic()
        first, more = self._spot_check.choose(items, side)
        self._compare(first, items, side)
        middle = time.monotonic()
        self._compare(more, items, side)
        self._spot_check.seconds += time.monotonic() - middle
        self.stats.spot_check_seconds += time.monotonic() - began

    def _compare(self, keys: Sequence[bytes], items: Mapping[bytes, Item], side: Side) -> None:
        if not keys:
            return
        made: dict[bytes, NDArray[np.float32]] = {}
        entries = self._forward.entries({key: items[key] for key in keys}, set(keys))
        for part, vectors in self._forward.embedded(plan(entries, self.batch_tokens), side):
            made |= zip((entry.key for entry in part), vectors.copy(), strict=True)  # its buffer may come again
        self.stats.spot_checked += len(keys)
        self._hold(keys, made, items, side)

    def _hold(
        self, keys: Sequence[bytes], made: Mapping[bytes, NDArray[np.float32]], items: Mapping[bytes, Item], side: Side
    ) -> None:
        """Hold vectors against those that the store has.

        Raises:
            StaleVectorsError: they are not what was kept.
        """
        import numpy as np

        kept = self.store.get(keys, self.loaded.info.dimension, self.dtype)
        self._require_sound(kept, [items[key] for key in keys], side)
        distances = cosine_distances(kept, np.stack([made[key] for key in keys]))
        said = verdict(distances, [f"{side} {describe(items[key])}" for key in keys])
        if said is not None:
            raise StaleVectorsError(
                f"vectors in {self.store.path or 'the store'} are not what {self.loaded.info.name} gives now: {said}. "
                f"{self._changed(keys)}. Give its info.fingerprint, or fingerprint= in Python, a digest of what "
                "changed, or run with another --store and --out; --rebuild-store makes its vectors anew, --trust-store "
                "uses them as they are"
            )

    def probe(self) -> None:
        """Make the vectors of a few items that are always the same, and hold them against those of before.

        So a model that changed is found where nothing of a task is reused, and is not taken for the one that the
        other tasks of the run were made with. Done once; what an embedder cannot embed is passed over.

        Raises:
            StaleVectorsError: they are not what was kept; with ``--rebuild-store`` the vectors are taken out instead.
        """
        alone = self.store.path is None  # nobody made a vector of it before
        if self._probed or self.trust_store or alone or not self.store.writable:
            return
        self._probed = True
        images, encoded = self.stats.images, self.stats.images_encoded
        sides: tuple[Side, Side] = ("query", "candidate")
        for group in probes_of(self.loaded.info.modalities):
            self.images.gather(group)
            known = [self.images.known(item) for item in group]
            for side in sides:
                self._probe(known, side)
        self.stats.images, self.stats.images_encoded = images, encoded  # the picture is no image of a task

    def _probe(self, known: Sequence[Item], side: Side) -> None:
        """Hold the vectors of items of one kind against those of before."""
        items = {vector_key(self.loaded.fingerprint, self.dtype, side, content_digest(item)): item for item in known}
        entries = [self._forward.entry(key, item) for key, item in items.items()]
        try:
            [(_, vectors)] = self._forward.embedded([entries], side)
        except (EvalkitError, ValueError):  # of vectors from elsewhere, or of images alone, or of texts
            return
        keys = list(items)
        if self.store.put(keys, vectors.astype(self.dtype), self._number(self._batching())):
            return
        try:
            self._hold(keys, dict(zip(keys, vectors, strict=True)), items, side)
        except StaleVectorsError:
            if not self.store.rebuild:
                raise
            self._forget()

    def _changed(self, keys: Sequence[bytes]) -> str:
        """What is known to be different from when the vectors of these keys were made, in words."""
        now = self._batching().conditions
        then = self._known(self.store.made(keys).values())
        said = [
            f"{name} was {' or '.join(sorted(set(values[:-1])))} and is {values[-1]}"
            for name, values in differing([*(one.conditions for one in then.values()), now]).items()
        ]
        if said:
            return f"Since they were made {', '.join(said)}"
        return "Something that its vectors depend on and its fingerprint does not has changed: weights, code, a library"

    def _unsound(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those of the keys whose vectors an embedder would not have been let keep."""
        import numpy as np

        broken = self.store.broken(keys, self.loaded.info.dimension, self.dtype)
        whole = [key for key in keys if key not in broken]
        wrong = np.flatnonzero(faults(self.store.get(whole, self.loaded.info.dimension, self.dtype)))
        return [*broken, *(whole[place] for place in wrong.tolist())]

    def _require_sound(self, vectors: NDArray[np.float32], items: Sequence[Item], side: Side) -> None:
        """Reading verifies what writing verified."""
        import numpy as np

        wrong = np.flatnonzero(faults(vectors))
        if wrong.size:
            place = int(wrong[0])
            raise StaleVectorsError(
                f"vector store {self.store.path or 'in memory'} has {len(wrong)} vectors that are not finite or not of "
                f"length 1, such as that of {side} {describe(items[place])}: run again with --rebuild-store, which "
                "makes them anew"
            )

    def _batching(self) -> Batching:
        most = self._forward.most
        budget = self.batch_tokens if most is None else max(1, min(self.batch_tokens, most))
        return Batching(conditions(self.loaded, self.device), budget, budget < self.batch_tokens)

    def _known(self, numbers: Iterable[int]) -> dict[int, Batching]:
        """How vectors were made, by the numbers that the store has for it, as far as it was recorded."""
        known = {}
        for number, record in self.store.records(set(numbers)).items():
            with suppress(ValueError):  # what evalkit did not write says nothing
                known[number] = read_batching(record)
        return known

    def take_made(self) -> Made:
        """How the vectors were made that were used since the last call."""
        taken, self._made = self._made, Counter()
        known = self._known(taken)
        under: Counter[str] = Counter()
        budgets: Counter[int] = Counter()
        shrunk = 0
        for number, count in taken.items():
            one = known.get(number)
            under[UNKNOWN if one is None else one.conditions.digest] += count
            if one is not None:
                budgets[one.batch_tokens] += count
                shrunk += count * one.shrunk
        conditions_ = {one.conditions.digest: one.conditions for one in known.values()}
        return Made(dict(sorted(under.items())), conditions_, dict(sorted(budgets.items())), shrunk)

    def _check_regions(self, items: Sequence[Item]) -> None:
        for item in items:
            region, image = item.region, item.image
            if region is None or image is None or region_kind(region) not in self.loaded.info.regions:
                continue
            mask = self.images.facts(region.image) if isinstance(region, Mask) else None
            if said := fault(region, self.images.facts(image), mask):
                raise RegionError(f"{said}; mend it or leave its row out (item {describe(item)})", item)

    def take_stats(self) -> EncodingStats:
        """The counts since the last call."""
        taken, self._forward.stats = self.stats, EncodingStats()
        return taken

    def _run(self, batches: Sequence[Sequence[Pending]], side: Side) -> None:
        """Embed and keep."""
        for entries, vectors in self._forward.embedded(batches, side):
            made = self._number(self._batching())
            keys = [entry.key for entry in entries]
            if self.store.put(keys, vectors.astype(self.dtype), made):
                self._own.update(keys)
            else:  # another run has been faster with some of them
                items = {entry.key: entry.item for entry in entries}
                self._hold(keys, dict(zip(keys, vectors, strict=True)), items, side)
            self.stats.embedded += len(entries)
            self.progress.advance(len(entries))

    def _number(self, made: Batching) -> int:
        record = made.record()
        if record not in self._recorded:
            self._recorded[record] = self.store.recorded(self.loaded.fingerprint, record)
        return self._recorded[record]

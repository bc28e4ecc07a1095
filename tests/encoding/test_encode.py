"""Items to vectors, with embedders that count, fail, run out of memory, lie and are killed."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_store import run_together

from evalkit.embedders.base import CountsImages, EmbedderInfo
from evalkit.embedders.baselines import Random
from evalkit.embedders.registry import LoadedEmbedder
from evalkit.encoding.contract import checked
from evalkit.encoding.encode import Encoder
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.store import VectorStore
from evalkit.errors import EmbedderError, ImageError, RegionError, StoreError
from evalkit.items import Box, Item, Mask, Point, Points, concerns, region_kind
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.progress import Progress

DIMENSION = 12


class Recorder:
    """Vectors by content, as Random has them; keeps what it was asked for.

    An item costs what its instruction says, an image alone its width.
    """

    def __init__(
        self, change: Callable[[Any, int], Any] = lambda vectors, call: vectors, regions: Sequence[str] = ()
    ) -> None:
        self.info = EmbedderInfo("recorder", DIMENSION, regions=frozenset(regions))
        self.calls: list[tuple[str, list[Item]]] = []
        self._change = change

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        return int(item.instruction or (image.width if image else 1))

    def encode(self, items: Sequence[Item], side: str) -> Any:
        self.calls.append((side, list(items)))
        return self._change(Random(dimension=DIMENSION).encode(items, "query"), len(self.calls) - 1)

    @property
    def prompts(self) -> list[list[str]]:
        """Prompts by batch."""
        return [[item.prompt for item in items] for _, items in self.calls]

    @property
    def counts(self) -> Counter[str]:
        """How often a prompt was embedded."""
        return Counter(prompt for batch in self.prompts for prompt in batch)


def encoder_of(embedder: Any, store: VectorStore | None = None, fingerprint: str = "one", **options: Any) -> Encoder:
    loaded = LoadedEmbedder(embedder, embedder.info, fingerprint, "tests")
    return Encoder(loaded, VectorStore(None) if store is None else store, **options)


def numbered(count: int, cost: int = 1) -> list[Item]:
    """Texts that all cost the same."""
    return [Item(f"p{number}", instruction=str(cost)) for number in range(count)]


def descending(count: int) -> list[Item]:
    """Texts of which the first is the dearest, so that batches follow their order."""
    return [Item(f"p{number}", instruction=str(100 - number)) for number in range(count)]


def photos(folder: Path, count: int) -> list[Item]:
    """Items with an image each, the first the dearest."""
    items = []
    for number in range(count):
        Image.new("RGB", (100 - number, 4), (number, 2 * number, 255 - number)).save(folder / f"{number}.png")
        items.append(Item(f"p{number}", instruction=str(100 - number), image=ImageFile(folder, f"{number}.png")))
    return items


def truncate(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"IDAT") + 8])


# Vectors and their order.


@given(
    st.lists(st.builds(Item, st.text("ab", max_size=9), instruction=st.sampled_from(["1", "5", "40"])), max_size=30),
    st.sampled_from([1, 10, 100]),
)
def test_vectors_are_those_of_the_embedder_alone_in_the_order_of_the_items(items, budget):
    recorder = Recorder()
    got = encoder_of(recorder, batch_tokens=budget).encode(items, "query")
    assert got.shape == (len(items), DIMENSION)
    assert got.dtype == np.float32
    if items:
        assert (got == Random(dimension=DIMENSION).encode(items, "query")).all()
    assert all(count == 1 for count in Counter(item for _, batch in recorder.calls for item in batch).values())


def test_no_items_are_no_vectors():
    recorder = Recorder()
    assert encoder_of(recorder).encode([], "query").shape == (0, DIMENSION)
    assert recorder.calls == []


def test_equal_content_is_embedded_once_wherever_it_lies(tmp_path):
    (item,) = photos(tmp_path, 1)
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    copy = Item(item.prompt, item.text, item.instruction, ImageFile(tmp_path, "copy.png"))
    recorder = Recorder()
    encoder = encoder_of(recorder)
    got = encoder.encode([item, copy, item, Item("other"), copy], "query")
    assert recorder.counts == {"p0": 1, "other": 1}
    assert (got[[0, 0, 0, 0]] == got[[0, 1, 2, 4]]).all()
    assert (got[0] != got[3]).any()


def test_sides_are_embedded_apart_and_told_to_the_embedder():
    recorder = Recorder()
    encoder = encoder_of(recorder)
    encoder.encode(numbered(2), "query")
    encoder.encode(numbered(2), "candidate")
    assert [side for side, _ in recorder.calls] == ["query", "candidate"]


def test_what_the_embedder_gets_is_decoded_and_otherwise_the_item(tmp_path):
    Image.new("L", (100, 4), 255).save(tmp_path / "mask.png")
    (photo,) = photos(tmp_path, 1)
    point = Point(1, 1)
    regions = [None, Box(0, 0, 2, 2), point, Points((point,), (point,)), Mask(ImageFile(tmp_path, "mask.png"))]
    items = [Item(f"p{at}", "t", "3", photo.image, region) for at, region in enumerate(regions)]
    recorder = Recorder(regions=["box", "point", "points", "mask"])
    encoder_of(recorder).encode(items, "query")
    ((_, got),) = recorder.calls
    assert sorted(got, key=lambda item: item.prompt) == items
    for item in got:
        assert item.image.pixels.mode == "RGB"
        assert item.image.pixels.getpixel((0, 0)) == (0, 0, 255)
        assert item.image.digest == photo.image.sha256()


# The store.


@pytest.mark.parametrize("where", ["memory", "file"])
def test_nothing_is_embedded_twice(where, tmp_path):
    path = tmp_path / "v.sqlite" if where == "file" else None
    store = VectorStore(path)
    recorder = Recorder()
    encoder = encoder_of(recorder, store)
    first = encoder.encode(numbered(20), "query")
    assert (encoder.encode(numbered(20), "query") == first).all()
    assert (encoder.encode(numbered(25), "query")[:20] == first).all()
    assert recorder.counts == {f"p{number}": 1 for number in range(25)}
    if path:
        store.close()
        store = VectorStore(path)
    again = Recorder()
    assert (encoder_of(again, store, trust_store=True).encode(numbered(20)[::-1], "query") == first[::-1]).all()
    assert again.calls == []
    store.close()


def test_another_fingerprint_or_precision_never_hits_old_vectors():
    store = VectorStore(None)
    encoder_of(Recorder(), store).encode(numbered(3), "query")
    for options in ({"fingerprint": "two"}, {"dtype": "float16"}):
        recorder = Recorder()
        encoder_of(recorder, store, **options).encode(numbered(3), "query")
        assert recorder.counts == {"p0": 1, "p1": 1, "p2": 1}
    assert store.count() == 9


def test_half_precision_is_kept_and_read_as_such():
    store = VectorStore(None)
    got = encoder_of(Recorder(), store, dtype="float16").encode(numbered(5), "query")
    exact = Random(dimension=DIMENSION).encode(numbered(5), "query")
    assert got.dtype == np.float32
    assert (got == exact.astype(np.float16).astype(np.float32)).all()
    assert (got != exact).any()
    assert store._connection.execute("SELECT max(length(vector)) FROM vectors").fetchone() == (2 * DIMENSION,)


def test_stats_say_what_was_done(tmp_path):
    recorder = Recorder()
    encoder = encoder_of(recorder, batch_tokens=200)
    encoder.encode([*photos(tmp_path, 3), *descending(2), Item("p0", instruction="100")], "query")
    encoder.encode(descending(4), "query")
    stats = encoder.take_stats()
    assert (stats.items, stats.distinct, stats.reused, stats.embedded) == (10, 9, 2, 7)
    assert (stats.images, stats.images_encoded, stats.halved) == (3, 3, 0)
    assert 0 < stats.embedder_seconds < stats.seconds
    assert encoder.take_stats().items == 0


def test_progress_reaches_its_end_with_what_was_there_already():
    progress = Progress(quiet=True)
    encoder = encoder_of(Recorder(), progress=progress)
    with progress.task("a"):
        progress.expect(16)
        encoder.encode(numbered(4), "query")
        encoder.encode([*numbered(6), *numbered(6)], "query")
        assert (progress._done, progress._total) == (16, 16)


# Batches.


def test_batches_keep_to_the_budget_and_to_one_kind(tmp_path):
    items = [*photos(tmp_path, 9), *(Item(f"t{number}", instruction=str(number + 1)) for number in range(40))]
    recorder = Recorder()
    encoder_of(recorder, batch_tokens=250).encode(items, "query")
    for _, batch in recorder.calls:
        costs = [int(item.instruction) for item in batch]
        assert len(batch) == 1 or max(costs) * len(batch) <= 250
        assert len({item.image is None for item in batch}) == 1
    assert sum(len(batch) > 1 for _, batch in recorder.calls) > 3


class OutOfMemory(Recorder):
    """Has room for so many tokens of padded cost."""

    def __init__(self, room: int, error: Callable[[], Any]) -> None:
        super().__init__()
        self.room, self.error, self.failed = room, error, 0

    def encode(self, items: Sequence[Item], side: str) -> Any:
        if max(int(item.instruction) for item in items) * len(items) > self.room:
            self.failed += 1
            self.error()
        return super().encode(items, side)


def memory_error() -> None:
    raise MemoryError


def cuda() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB")


def cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def torch_on_the_cpu() -> None:
    import torch

    torch.empty(2**50)


def torch_out_of_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("out of memory")


def numpy_array() -> None:
    np.empty(2**50)


OUT = [memory_error, cuda, cublas, torch_on_the_cpu, torch_out_of_memory, numpy_array]


@pytest.mark.slow(2)
@pytest.mark.parametrize("error", OUT, ids=lambda error: error.__name__)
def test_batch_that_does_not_fit_is_halved_and_no_such_batch_is_tried_again(error):
    embedder = OutOfMemory(5, error)
    encoder = encoder_of(embedder, batch_tokens=16)
    got = encoder.encode(numbered(50), "query")
    assert (got == Random(dimension=DIMENSION).encode(numbered(50), "query")).all()
    assert 2 < embedder.failed == encoder.stats.halved <= 4  # 16 and 8; 4 fits, and after some of them 8 is tried again
    assert max(map(len, embedder.prompts)) == 4
    encoder.encode(numbered(160), "candidate")
    assert embedder.failed <= 6  # after 4, 8, 16, 32 of them
    assert set(embedder.counts.values()) == {1, 2}  # p0 to p49 on both sides


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile | None]:
    """No image, and two images."""
    return [None, *(item.image for item in photos(tmp_path_factory.mktemp("pictures"), 2))]


@pytest.mark.slow(13)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2)), min_size=1, max_size=40),
    st.integers(50, 200),
    st.integers(50, 1000),
)
@settings(max_examples=25)
def test_whatever_the_costs_memory_is_learnt_from_few_failures(pictures, costs, room, budget):
    """The items of an image are ordered by their cost, those of the next begin dear again."""
    items = [
        Item(f"p{number}", instruction=str(cost), image=pictures[picture])
        for number, (cost, picture) in enumerate(costs)
    ]
    embedder = OutOfMemory(room, memory_error)
    got = encoder_of(embedder, batch_tokens=budget).encode(items, "query")
    assert (got == Random(dimension=DIMENSION).encode(items, "query")).all()
    # 1000 tokens are halved five times at most until less than 50 are left, and 40 batches are tried twice as large
    # after 4, 8 and 16 of them.
    assert embedder.failed <= 8
    assert set(embedder.counts.values()) == {1}


def test_memory_of_the_failed_batch_is_let_go_before_the_next_try():
    class Activations:
        pass

    held: list[weakref.ref[Activations]] = []
    collected: list[bool] = []

    class Embedder(Recorder):
        def encode(self, items: Sequence[Item], side: str) -> Any:
            if len(items) > 1:
                activations = Activations()
                held.append(weakref.ref(activations))
                raise MemoryError(len(items))
            return super().encode(items, side)

    def at_collection(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2 and held:
            collected.append(held[-1]() is None)

    gc.callbacks.append(at_collection)
    try:
        encoder_of(Embedder()).encode(numbered(2), "query")
    finally:
        gc.callbacks.remove(at_collection)
    # When memory is given back, nothing holds the arrays of the batch that failed any more.
    assert collected
    assert all(collected)


def test_one_item_that_does_not_fit_is_an_error_that_names_it(tmp_path):
    embedder = OutOfMemory(99, cuda)
    with pytest.raises(EmbedderError, match=r"failed on 1 query items.*'p0' with image 0\.png.*CUDA out of memory"):
        encoder_of(embedder).encode(photos(tmp_path, 4), "query")


def test_other_failures_are_not_tried_again():
    calls = []

    def fail(vectors: Any, call: int) -> Any:
        calls.append(call)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(EmbedderError, match="illegal memory access"):
        encoder_of(Recorder(fail)).encode(numbered(8), "query")
    assert calls == [0]


# Embedders that break their contract, in the second batch of three.


def edited(row: int, value: Any) -> Callable[[Any], Any]:
    def edit(vectors: Any) -> Any:
        vectors[row] = value
        return vectors

    return edit


def failing(error: Exception) -> Callable[[Any], Any]:
    def fail(vectors: Any) -> Any:
        raise error

    return fail


def tensor(vectors: Any) -> Any:
    import torch

    return torch.from_numpy(vectors)


BROKEN: list[tuple[Callable[[Any], Any], int, str]] = [
    # what comes back, the row that is named, what is said
    (edited(1, np.nan), 1, "not finite"),
    (edited(1, np.inf), 1, "not finite"),
    (edited(0, -np.inf), 0, "not finite"),
    (lambda v: v.astype(np.float64) * 1e300, 0, "not finite"),
    (edited(1, 0), 1, "a zero vector"),
    (lambda v: v * 0, 0, "a zero vector"),
    (lambda v: v * 2, 0, "a vector of length 2 "),
    (lambda v: v * np.array([[1], [1.01]]), 1, "a vector of length 1.01 "),
    (lambda v: np.trunc(v * 10) / 10, 0, "a vector of length"),
    (lambda v: v[:1], 0, r"shape \(1, 12\) for 2 query items of dimension 12"),
    (lambda v: v[:0], 0, r"shape \(0, 12\)"),
    (lambda v: np.concatenate([v, v]), 0, r"shape \(4, 12\)"),
    (lambda v: v[:, :-1], 0, r"shape \(2, 11\)"),
    (lambda v: v.T, 0, r"shape \(12, 2\)"),
    (lambda v: v[None], 0, r"shape \(1, 2, 12\)"),
    (lambda v: v.ravel(), 0, r"shape \(24,\)"),
    (lambda v: np.float32(1) * v[0, 0], 0, "returned a float32"),
    (lambda v: v.tolist(), 0, "returned a list, not a numpy array"),
    (lambda v: v.view(np.matrix), 0, "returned a matrix, not a numpy array"),
    (np.ma.masked_array, 0, "returned a MaskedArray, not a numpy array"),
    (lambda v: list(v), 0, "returned a list"),
    (lambda v: None, 0, "returned a NoneType"),
    (lambda v: "vectors", 0, "returned a str"),
    (lambda v: v.astype(object), 0, "an array of object"),
    (lambda v: v.astype(np.complex64), 0, "an array of complex64"),
    (lambda v: (v * 127).astype(np.int8), 0, "an array of int8"),
    (lambda v: v.astype(str), 0, "an array of <U32"),
    (tensor, 0, "returned a Tensor, not a numpy array.*cpu"),
    (failing(KeyError("pixel_values")), 0, "failed on 2 query items.*KeyError: 'pixel_values'"),
    (failing(ZeroDivisionError("division by zero")), 0, "ZeroDivisionError: division by zero"),
    (failing(StopIteration()), 0, "StopIteration"),
    (failing(OSError("weights.bin: No such file")), 0, "weights.bin"),
]


@pytest.mark.parametrize(("change", "row", "said"), BROKEN, ids=[said for _, _, said in BROKEN])
def test_broken_contract_names_the_item_and_keeps_the_batches_before(change, row, said, tmp_path):
    items = photos(tmp_path, 6)
    store = VectorStore(None)
    recorder = Recorder(lambda vectors, call: change(vectors) if call == 1 else vectors)
    with pytest.raises(EmbedderError, match=said) as caught:
        encoder_of(recorder, store, batch_tokens=200).encode(items, "query")
    assert recorder.prompts == [["p0", "p1"], ["p2", "p3"]]
    assert f"'p{2 + row}' with image {2 + row}.png" in str(caught.value)
    assert "recorder" in str(caught.value)

    assert store.count() == 2
    later = Recorder()
    got = encoder_of(later, store, batch_tokens=200, trust_store=True).encode(items, "query")
    assert later.prompts == [["p2", "p3"], ["p4", "p5"]]
    assert (got == Random(dimension=DIMENSION).encode(items, "query")).all()


def test_errors_that_speak_for_themselves_pass_as_they_are():
    for error in (EmbedderError("say this"), ImageError("or this")):

        def fail(vectors: Any, call: int, error: Exception = error) -> Any:
            raise error

        with pytest.raises(type(error)) as caught:
            encoder_of(Recorder(fail)).encode(numbered(1), "query")
        assert caught.value is error


@pytest.mark.parametrize(
    "convert",
    [
        lambda v: v.astype(np.float64),
        lambda v: v.astype(np.float16),
        lambda v: v.astype(">f4"),
        lambda v: np.asfortranarray(v),
        lambda v: np.repeat(v, 2, axis=0)[::2],
        lambda v: (v.setflags(write=False), v)[1],
    ],
    ids=["float64", "float16", "big-endian", "by columns", "strided", "read-only"],
)
def test_other_floats_and_layouts_are_taken(convert):
    got = encoder_of(Recorder(lambda vectors, call: convert(vectors))).encode(numbered(5), "query")
    exact = Random(dimension=DIMENSION).encode(numbered(5), "query")
    assert (got == convert(exact.copy()).astype(np.float32)).all()


def test_lengths_may_differ_from_one_by_rounding_and_not_more():
    loaded = encoder_of(Recorder()).loaded
    vectors = Random(dimension=DIMENSION).encode(numbered(1), "query").astype(np.float64)
    for factor in (1 - 9e-4, 1 + 9e-4):
        assert checked(vectors * factor, numbered(1), "query", loaded).dtype == np.float32
    for factor in (1 - 1.1e-3, 1 + 1.1e-3, -2):
        with pytest.raises(EmbedderError, match="length"):
            checked(vectors * factor, numbered(1), "query", loaded)


def test_long_prompts_are_cut_in_errors():
    with pytest.raises(EmbedderError) as caught:
        encoder_of(Recorder(lambda vectors, call: None)).encode([Item("word " * 10_000)], "query")
    assert len(str(caught.value)) < 400


def test_an_embedder_may_hand_out_its_buffer_again():
    buffer = np.empty((2, DIMENSION), dtype=np.float32)

    def reuse(vectors: Any, call: int) -> Any:
        buffer[: len(vectors)] = vectors
        return buffer[: len(vectors)]

    got = encoder_of(Recorder(reuse), batch_tokens=2).encode(numbered(9), "query")
    assert (got == Random(dimension=DIMENSION).encode(numbered(9), "query")).all()


def test_interrupt_passes_and_keeps_the_batches_before():
    def interrupt(vectors: Any, call: int) -> Any:
        if call == 2:
            raise KeyboardInterrupt
        return vectors

    store = VectorStore(None)
    with pytest.raises(KeyboardInterrupt):
        encoder_of(Recorder(interrupt), store, batch_tokens=2).encode(numbered(9), "query")
    assert store.count() == 4


def test_store_that_fails_ends_the_work():
    store = VectorStore(None)
    recorder = Recorder(lambda vectors, call: (store.close() if call == 1 else None, vectors)[1])
    with pytest.raises(StoreError):
        encoder_of(recorder, store, batch_tokens=2).encode(numbered(9), "query")
    assert len(recorder.calls) == 2


# Images.


def test_image_that_breaks_off_is_named_and_the_batches_before_are_kept(tmp_path):
    items = photos(tmp_path, 8)
    truncate(tmp_path / "5.png")
    store, recorder = VectorStore(None), Recorder()
    with pytest.raises(ImageError, match=r"image 5\.png is truncated.*\(item 'p5' with image 5\.png\)"):
        encoder_of(recorder, store, batch_tokens=200).encode(items, "query")
    assert recorder.prompts == [["p0", "p1"], ["p2", "p3"]]
    assert store.count() == 4


@pytest.mark.parametrize("as_mask", [False, True])
def test_missing_image_or_mask_is_named_before_anything_is_embedded(as_mask, tmp_path):
    good, bad = photos(tmp_path, 2)
    (tmp_path / "1.png").unlink()
    if as_mask:
        bad = Item("p1", image=good.image, region=Mask(ImageFile(tmp_path, "1.png")))
    recorder = Recorder()
    with pytest.raises(ImageError, match=r"1\.png is missing.*\(item 'p1' with image"):
        encoder_of(recorder).encode([good, bad], "query")
    assert recorder.calls == []


def test_images_are_looked_at_once_and_shared(tmp_path, monkeypatch):
    items = photos(tmp_path, 3)
    looked: list[str] = []
    real = ImageFile.read

    def read(image: ImageFile) -> bytes:
        looked.append(image.path)
        return real(image)

    monkeypatch.setattr(ImageFile, "read", read)
    index = ImageIndex()
    for _ in range(2):
        index.gather([*items, *items])
    assert sorted(looked) == ["0.png", "1.png", "2.png"]
    looked.clear()
    encoder_of(Recorder(), images=index).encode(items, "query")
    assert sorted(looked) == ["0.png", "1.png", "2.png"]  # now for their pixels; their digests are known


def test_parts_of_an_image_are_other_images_of_one_file(tmp_path, monkeypatch):
    (whole,) = (replace(item, image=replace(item.image, upright=False)) for item in photos(tmp_path, 1))
    crops = [(0, 0, 5, 3), (0, 0, 5, 4), (1, 0, 6, 3)]
    items = [whole, *(replace(whole, image=replace(whole.image, crop=crop)) for crop in crops)]
    index, reads = ImageIndex(), 0
    real = ImageFile.read

    def read(image: ImageFile) -> bytes:
        nonlocal reads
        reads += 1
        return real(image)

    with monkeypatch.context() as patched:
        patched.setattr(ImageFile, "read", read)
        index.gather(items)
    assert reads == 1
    sizes = [(facts.width, facts.height) for facts in (index.facts(item.image) for item in items)]
    assert sizes == [whole.image.rgb().size, (5, 3), (5, 4), (5, 3)]
    with VectorStore(None) as store:
        recorder = Recorder()
        vectors = encoder_of(recorder, store, images=index).encode(items, "query")
        assert len({vector.tobytes() for vector in vectors}) == 4
        given = [item.image for _, batch in recorder.calls for item in batch]
        assert Counter(image.crop for image in given) == Counter([None, *crops])
        stored = whole.image.rgb()
        for image in given:
            assert image.rgb().tobytes() == (stored.crop(image.crop) if image.crop else stored).tobytes()
        assert (
            encoder_of(recorder, store, images=index, trust_store=True).encode(items[::-1], "query").tobytes()
            == vectors[::-1].tobytes()
        )
        assert len(given) == sum(len(batch) for _, batch in recorder.calls), "all are found again"


def test_a_part_that_cannot_be_decoded_is_named(tmp_path):
    (whole,) = photos(tmp_path, 1)
    part = replace(whole, image=replace(whole.image, upright=False, crop=(0, 0, 5, 3)))
    beyond = replace(part, image=replace(part.image, crop=(0, 0, 5, 5)))
    with pytest.raises(ImageError, match=r"0\.png of 100 x 4 pixels does not hold its crop") as caught:
        encoder_of(Recorder()).encode([beyond], "query")
    assert concerns(caught.value, beyond)
    file = tmp_path / whole.image.path
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ImageError, match=r"truncated or broken.*\(item 'p0' with image 0\.png\)") as caught:
        encoder_of(Recorder()).encode([part], "query")
    assert concerns(caught.value, part)
    file.unlink()
    with pytest.raises(ImageError, match=r"0\.png is missing") as caught:
        encoder_of(Recorder()).encode([part], "query")
    assert concerns(caught.value, part)


class Counted(ImageFile):
    """An image that counts how many were decoded, and how many of them are in memory."""

    lock = threading.Lock()
    decoded = alive = most = 0

    def rgb(self) -> Image.Image:
        image = super().rgb()
        with Counted.lock:
            Counted.decoded += 1
            Counted.alive += 1
            Counted.most = max(Counted.most, Counted.alive)
        weakref.finalize(image, Counted.gone)
        return image

    @staticmethod
    def gone() -> None:
        with Counted.lock:
            Counted.alive -= 1


def test_images_are_decoded_two_batches_ahead_and_not_more(tmp_path):
    items = [
        Item(item.prompt, instruction="100", image=Counted(tmp_path, item.image.path)) for item in photos(tmp_path, 40)
    ]
    Counted.decoded = Counted.alive = Counted.most = 0
    index = ImageIndex()
    ahead: list[int] = []

    class Embedder(Recorder):
        def encode(self, batch: Sequence[Item], side: str) -> Any:
            wanted = min(40, (len(ahead) + 3) * 4)
            for _ in range(1000):  # at most ten seconds, for threads that are given no time
                if Counted.decoded >= wanted:
                    break
                threading.Event().wait(0.01)
            ahead.append(Counted.decoded + index._threads._work_queue.qsize())
            return Random(dimension=DIMENSION).encode(batch, "query")

    encoder_of(Embedder(), images=index, batch_tokens=400).encode(items, "query")
    assert ahead == [min(40, (call + 3) * 4) for call in range(10)]
    assert Counted.most <= 3 * 4
    assert Counted.alive == 0


def test_an_image_is_decoded_once_for_all_items_of_a_batch(tmp_path):
    one, other = (Counted(tmp_path, photo.image.path) for photo in photos(tmp_path, 2))
    images = [one, other, one, replace(one, upright=False), other, one]
    costs = ["9" if image is other else "10" for image in images]  # what it costs says which image comes first
    items = [
        Item(f"p{n}", instruction=cost, image=image) for n, (cost, image) in enumerate(zip(costs, images, strict=True))
    ]
    Counted.decoded = 0
    recorder = Recorder()
    encoder = encoder_of(recorder, batch_tokens=50)
    got = encoder.encode(items, "query")
    assert (got == Random(dimension=DIMENSION).encode(items, "query")).all()
    batches = [[item.image for item in batch] for _, batch in recorder.calls]
    assert batches == [[replace(one, upright=False), one, one, one, other], [other]]
    assert len({id(image.pixels) for image in batches[0]}) == 3
    assert Counted.decoded == encoder.take_stats().images == 4


def test_where_an_image_comes_does_not_depend_on_which_of_its_items_are_there(tmp_path):
    first, second = (photo.image for photo in photos(tmp_path, 2))
    items = [Item(f"p{cost}", instruction=str(cost), image=first if cost != 20 else second) for cost in (30, 10, 20)]
    recorder = Recorder()
    encoder = encoder_of(recorder)
    encoder.encode(items[:1], "query")
    encoder.encode(items, "query")
    assert recorder.prompts == [["p30"], ["p10", "p20"]]


class Counting(Recorder):
    """Makes an image's features once for all items that come one after the other, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.images_encoded = 7  # what it made before is not counted
        self._last: str | None = None

    def encode(self, items: Sequence[Item], side: str) -> Any:
        for item in items:
            digest = item.image.digest if item.image else None
            self.images_encoded += digest not in (None, self._last)
            self._last = digest
        return super().encode(items, side)


def test_an_image_has_to_be_looked_at_once_however_many_items_it_has(tmp_path):
    items = [
        Item(f"{photo.prompt} {question}", instruction="10", image=photo.image)
        for question in range(5)
        for photo in photos(tmp_path, 4)
    ]
    looked, embedder = [], Counting()
    for encoder in (encoder_of(Recorder(), batch_tokens=30), encoder_of(embedder, batch_tokens=30)):
        assert isinstance(encoder.loaded.embedder, CountsImages) == (encoder.loaded.embedder is embedder)
        for _ in range(2):
            encoder.encode([*items, *descending(3)], "query")
            looked.append(encoder.take_stats().images_encoded)
    assert looked == [20, 0, 4, 0]
    assert max(map(len, embedder.prompts)) == 3, "fewer than an image has"


# Regions.


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (Box(99, 0, 120, 4), r"box \[99, 0, 120, 4\] lies outside its image of 99 x 4 pixels"),
        (Box(5, 0, 5, 4), r"box \[5, 0, 5, 4\] holds no pixel of its image"),
        (Point(99, 0), r"point \[99, 0\] lies outside its image of 99 x 4 pixels"),
        (Points((Point(1, 1),), (Point(1, 4),)), r"point \[1, 4\] lies outside its image"),
        ("mask", r"mask mask\.png has 100 x 4 pixels, but its image has 99 x 4 pixels"),
    ],
)
def test_region_that_is_not_on_its_image_is_named_before_anything_is_embedded(region, says, tmp_path):
    Image.new("L", (100, 4), 255).save(tmp_path / "mask.png")
    region = Mask(ImageFile(tmp_path, "mask.png")) if region == "mask" else region
    first, second = photos(tmp_path, 2)
    good, bad = replace(first, region=Box(-5, -5, 500, 500)), replace(second, region=region)
    taken = [region_kind(region), "box"]
    recorder = Recorder(regions=taken)
    with pytest.raises(RegionError, match=rf"{says}.*; mend it .*\(item 'p1' with image 1\.png\)") as caught:
        encoder_of(recorder).encode([good, bad], "query")
    assert recorder.calls == []
    assert [concerns(caught.value, item) for item in (good, bad)] == [False, True]
    # To an embedder that is told of the region by the prompt alone, it is no more than words.
    recorder = Recorder(regions={"box", "point", "points", "mask"} - {*taken})
    encoder_of(recorder).encode([good, bad], "query")
    assert len(recorder.calls) == 1


# Killed runs, and two at once: real processes.


class BatchDependent(Recorder):
    """The last bits of its vectors depend on the batch, as those of real models do."""

    def __init__(self, log: Path, kill_at: int = -1, shift: float = 0.0) -> None:
        super().__init__()
        self.log, self.kill_at, self.shift = log, kill_at, shift

    def encode(self, items: Sequence[Item], side: str) -> Any:
        vectors = super().encode(items, side)
        with self.log.open("a") as file:
            file.write(f"{side} {' '.join(item.prompt for item in items)}\n")
        if len(self.calls) - 1 == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        term = self.shift + sum(len(item.prompt) * (at + 1) for at, item in enumerate(items))
        vectors[:, 0] += np.float32(1e-6 * term)
        return vectors


def tasks(folder: Path) -> list[tuple[str, list[Item]]]:
    """Queries and candidates of two tasks that share some of them."""
    pictures = [
        Item(f"i{number}", instruction=str(1 + number % 3), image=ImageFile(folder, f"{number // 2}.png"))
        for number in range(24)
    ]
    texts = [Item(f"t{number}", instruction=str(1 + number % 5)) for number in range(30)]
    return [
        ("query", [*pictures[:16], *texts[:5]]),
        ("candidate", texts[:20]),
        ("query", [*pictures[8:], *texts[3:9]]),
        ("candidate", texts[10:]),
    ]


def go_through(folder: Path, store: Path, embedder: Recorder, trust: bool = True) -> bytes:
    """All vectors of all tasks; what the store had of them is made again in part where it is not trusted."""
    with VectorStore(store) as kept:
        encoder = encoder_of(embedder, kept, batch_tokens=12, trust_store=trust)
        return b"".join(encoder.encode(items, side).tobytes() for side, items in tasks(folder))


KILLED = """
import sys
from pathlib import Path
from test_encode import BatchDependent, go_through
from test_store import begin

begin()
folder, moment = Path(sys.argv[1]), int(sys.argv[2])
go_through(folder, folder / f"{moment}.db", BatchDependent(folder / f"{moment}.log", moment))
"""


@pytest.mark.slow(2)
def test_killed_run_goes_on_to_the_same_bytes(tmp_path):
    photos(tmp_path, 12)
    whole = BatchDependent(tmp_path / "whole.log")
    vectors = go_through(tmp_path, tmp_path / "whole.db", whole)
    batches = (tmp_path / "whole.log").read_text().splitlines()
    assert len(batches) > 12
    moments = [0, 1, 5, len(batches) - 1]
    killed = run_together(KILLED, [(tmp_path, moment) for moment in moments])
    for moment, result in zip(moments, killed, strict=True):
        assert result.returncode == -signal.SIGKILL, result.stderr
        log = tmp_path / f"{moment}.log"
        assert log.read_text().splitlines() == batches[: moment + 1]
        copy = (tmp_path / f"{moment}-checked.db").write_bytes
        copy((tmp_path / f"{moment}.db").read_bytes())
        assert go_through(tmp_path, tmp_path / f"{moment}.db", BatchDependent(log)) == vectors
        # The batch in flight is embedded again, and no other item.
        assert log.read_text().splitlines() == [*batches[: moment + 1], *batches[moment:]]


def test_vectors_here_depend_on_their_batch(tmp_path):
    # Or else the test above would show nothing.
    embedder = BatchDependent(tmp_path / "log")
    together, alone = embedder.encode(numbered(3), "query"), embedder.encode(numbered(1), "query")
    assert (together[0] != alone[0]).any()


RIVAL = """
import sys
from pathlib import Path
from test_encode import BatchDependent, go_through
from test_store import begin

begin()
folder, number = Path(sys.argv[1]), int(sys.argv[2])
print(go_through(folder, folder / "both.db", BatchDependent(folder / f"{number}.log", shift=number)).hex())
"""


@pytest.mark.slow(1)
def test_two_runs_at_once_end_with_the_same_vectors(tmp_path):
    photos(tmp_path, 12)
    results = run_together(RIVAL, [(tmp_path, number) for number in (1, 2)])
    assert [result.stderr for result in results] == ["", ""]
    one, other = (result.stdout for result in results)
    assert one == other
    assert len(one) > 1000
    with VectorStore(tmp_path / "both.db", rebuild=True) as store:  # which checks all of it
        assert store.count() > 30
    assert not (tmp_path / "both.db.broken-1").exists()

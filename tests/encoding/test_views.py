"""Items of several views: what is embedded, what is kept, and what becomes of the vectors."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, load, run, tasks_of

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.encoding.encode import Encoder
from evalkit.encoding.given import prompted_views
from evalkit.encoding.store import VectorStore
from evalkit.encoding.views import Views, encode_task
from evalkit.errors import EmbedderError
from evalkit.items import Item
from evalkit.items.images import ImageFile
from evalkit.items.prompting import MODES

REGIONS = "example/ShapeRegions"


def texts(*words: str) -> list[Item]:
    return [Item(word, text=word) for word in words]


def test_one_way_is_what_it_was():
    items = texts("a", "b", "a")
    views = Views.of([items])
    vectors = np.eye(3, dtype=np.float32)
    assert views.items == items
    assert views.combined(vectors) is vectors or (views.combined(vectors) == vectors).all()


def test_what_is_the_same_in_all_ways_is_one_view():
    """Items without a region keep their vector to the last bit."""
    first = texts("a", "b", "c", "d")
    second, third = list(first), list(first)
    second[1], third[1], third[3] = texts("B", "β", "D")
    views = Views.of([first, second, third])
    assert [item.text for item in views.items] == ["a", "b", "c", "d", "B", "β", "D"]
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(7, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before = vectors.copy()
    found = views.combined(vectors)
    assert (vectors == before).all()
    assert (found[[0, 2]] == vectors[[0, 2]]).all()
    for row, places in ((1, (1, 4, 5)), (3, (3, 6))):
        total = np.sum([vectors[place].astype(float) for place in places], axis=0)
        assert np.abs(found[row] - total / np.sqrt((total**2).sum())).max() < 1e-7
    assert found.dtype == np.float32
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6


def test_opposite_views_are_told_with_the_item():
    views = Views.of([texts("a", "b"), texts("c", "the other")])
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, -1]], dtype=np.float32)
    with pytest.raises(EmbedderError, match=r"the views of 'b' have opposite vectors.*another --prompting"):
        views.combined(vectors)
    vectors[3] = (1e-3, -np.sqrt(1 - 1e-6))
    assert np.isfinite(views.combined(vectors)).all()


def test_a_run_with_opposite_views_fails_the_task_alone(tmp_path):
    (tmp_path / "opposite.py").write_text(
        """
import numpy as np
from evalkit.embedders.base import EmbedderInfo
class Opposite:
    info = EmbedderInfo(name="opposite", dimension=2)
    def encode(self, items, side):
        cut = [item.image is not None and item.image.crop is not None for item in items]
        return np.array([[1, 0] if one else [-1, 0] for one in cut], dtype=np.float32)
"""
    )
    assert run(tmp_path / "runs", f"{tmp_path / 'opposite.py'}:Opposite", more=["--prompting", "reclip"]) == 4
    found = tasks_of(tmp_path / "runs")
    assert sorted(task["status"] for task in found.values()) == ["done"] * 3 + ["failed"]
    assert found[REGIONS]["error"]["type"] == "EmbedderError"
    assert "the views of '<image> \\nFind the caption" in found[REGIONS]["error"]["message"]
    assert "have opposite vectors" in found[REGIONS]["error"]["message"]


# With the tiny CLIP.


def by_hand(rows: list[dict], way: str, folder: Path) -> list[Item]:
    """The queries as plain images in files of their own, made with Pillow."""
    items = []
    for number, row in enumerate(rows):
        x, y, width, height = row["bbox"]
        box = (x, y, x + width, y + height)
        with PIL.Image.open(EXAMPLE / "images" / row["qry_image_path"]) as stored:
            image = stored.convert("RGB")
        if way == "crop":
            image = image.crop(box)
        else:
            sharp, image = image.crop(box), image.filter(PIL.ImageFilter.GaussianBlur(100))
            image.paste(sharp, box[:2])
        image.save(folder / f"{way}{number}.png")
        question = row["qry_text"].replace("<|image_1|>", "").strip()
        sentence = f"Referring object bbox: {[*box]}"
        prompt = f"<image> \n{question}\n{sentence}"
        items.append(Item(prompt, sentence, question, ImageFile(folder, f"{way}{number}.png")))
    return items


def test_reclip_is_the_sum_of_the_scores_of_crop_and_blur(clip_folder, tmp_path):
    loaded = load_embedder(parse_model(f"clip:{clip_folder}"))
    rows = pq.read_table(EXAMPLE / "SCaR_eval_ShapeRegions.parquet").to_pylist()[:12]
    task = load(EXAMPLE, REGIONS, limit=12)
    with VectorStore(tmp_path / "store.sqlite") as store:
        encoder = Encoder(loaded, store)
        first, second = prompted_views(task, "reclip", encoder.images)
        queries, candidates = encode_task(first, encoder, [second])
        embedded = encoder.take_stats().embedded
        assert embedded == 24 + len({item.prompt for item in task.candidates})
        for way in ("crop", "blur"):
            (only,) = prompted_views(task, way, encoder.images)
            encode_task(only, encoder)
        assert encoder.take_stats().embedded == 0, "its views are theirs"

    crop, blur = (loaded.embedder.encode(by_hand(rows, way, tmp_path), "query") for way in ("crop", "blur"))
    assert np.abs(crop - blur).max() > 1e-3, "two views"
    total = crop.astype(float) + blur
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    assert np.abs(queries - total / lengths).max() < 1e-6
    # One number a query lies between the scores and ReCLIP's, so the ranking is ReCLIP's.
    for query, pool, left, right, length in zip(queries, task.pools, crop, blur, lengths[:, 0], strict=True):
        texts_ = candidates[pool].astype(float)
        added = texts_ @ left + texts_ @ right
        assert np.abs(texts_ @ query * length - added).max() < 1e-6
        clear = [(i, j) for i, j in itertools.permutations(range(len(pool)), 2) if added[i] - added[j] > 1e-5]
        assert clear
        assert all(texts_[i] @ query > texts_[j] @ query for i, j in clear)


def test_the_order_of_candidates_never_matters(clip_folder, tmp_path):
    loaded = load_embedder(parse_model(f"clip:{clip_folder}"))
    task = load(EXAMPLE, REGIONS, limit=4)
    turned = replace(task, candidates=task.candidates[::-1])
    with VectorStore(None) as store:
        encoder = Encoder(loaded, store)
        for mode in MODES:
            if MODES[mode].region_input:
                continue
            first, *more = prompted_views(task, mode, encoder.images)
            other, *further = prompted_views(turned, mode, encoder.images)
            (queries, candidates), (again, backwards) = (
                encode_task(first, encoder, more),
                encode_task(other, encoder, further),
            )
            assert (queries == again).all()
            assert (candidates == backwards[::-1]).all()


def test_regions_of_candidates_have_views_too(tmp_path):
    task = load(EXAMPLE, REGIONS, limit=2)
    seen = replace(task.queries[0], prompt="<image>", text="", instruction="", region_text="")
    task = replace(task, candidates=[*task.candidates[:-1], seen])
    with VectorStore(None) as store:
        embedder = load_embedder(parse_model("random")).embedder
        info: EmbedderInfo = embedder.info
        encoder = Encoder(LoadedEmbedder(embedder, info, "0" * 64, "tests"), store)
        first, second = prompted_views(task, "reclip", encoder.images)
        assert [one is other for one, other in zip(first.candidates, second.candidates, strict=True)] == [
            *[True] * (len(task.candidates) - 1),
            False,
        ]
        _, candidates = encode_task(first, encoder, [second])
        one, other = (encoder.encode([view.candidates[-1]], "candidate")[0] for view in (first, second))
        assert np.abs(candidates[-1] - (one + other) / np.linalg.norm(one + other)).max() < 1e-6
        assert (candidates[:-1] == encoder.encode(task.candidates[:-1], "candidate")).all()

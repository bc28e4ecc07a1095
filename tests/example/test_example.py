"""The shipped example: it is what its generator draws, its labels are right, and its scores are known."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest

from evalkit.embedders.colours import Colours
from evalkit.errors import DataError, EmbedderError
from evalkit.example import DATA, SUITE
from evalkit.example.generate import BACKGROUNDS, KINDS, SIDES, generate, main
from evalkit.example.palette import PALETTE
from evalkit.items import Box, Item, Point
from evalkit.items.images import ImageFile
from evalkit.suites.task import DataFolder, LoadOptions, Task

CARDS = {card.name.split("/")[1]: card for card in SUITE.cards()}
TABLES = {
    "Shapes": "Shapes/test-00000-of-00001.parquet",
    "ShapeColours": "ShapeColours/test-00000-of-00001.parquet",
    "ShapeSearch": "ShapeSearch/test-00000-of-00001.parquet",
    "ShapeRegions": "SCaR_eval_ShapeRegions.parquet",
}
MMEB = ("Shapes", "ShapeColours", "ShapeSearch")


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(DATA / TABLES[name]).to_pylist()
    return found


def task(name: str) -> Task:
    return SUITE.load(CARDS[name], DataFolder.at(DATA), LoadOptions())


def pixels(path: str, folder: Path = DATA / "images") -> np.ndarray:
    with PIL.Image.open(folder / path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def files(folder: Path) -> dict[str, Path]:
    return {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}


def marked(instruction: str, modality: str) -> str:
    return f"<|image_1|>\n{instruction}" if "image" in modality else instruction


def colours_in(part: np.ndarray) -> set[str]:
    return {name for name, value in PALETTE.items() if (part == value).all(axis=-1).any()}


# --- the files ---------------------------------------------------------------------------------------


def test_the_shipped_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    generate(tmp_path)
    shipped, drawn = files(DATA), files(tmp_path)
    assert sorted(shipped) == sorted(drawn)
    for name in shipped:
        if name.endswith(".png"):
            np.testing.assert_array_equal(pixels(name, DATA), pixels(name, tmp_path), err_msg=name)
        else:  # the file names the version that wrote it, so the tables are compared
            assert pq.read_table(shipped[name]).equals(pq.read_table(drawn[name]), check_metadata=True), name


@pytest.mark.slow(0.5)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_rows(tmp_path: Path) -> None:
    for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        main([str(tmp_path / folder), "--seed", seed])
    a, b, c = (files(tmp_path / folder) for folder in "abc")
    assert {name: f.read_bytes() for name, f in a.items()} == {name: f.read_bytes() for name, f in b.items()}
    for table in TABLES.values():
        assert not pq.read_table(a[table]).equals(pq.read_table(c[table])), table


def test_it_is_small() -> None:
    assert sum(f.stat().st_size for f in files(DATA).values()) < 100_000


def test_every_image_belongs_to_a_row_and_no_two_are_the_same() -> None:
    named = {row["qry_img_path"] for name in MMEB for row in rows(name)} - {""}
    named |= {row["qry_image_path"] for row in rows("ShapeRegions")}
    found = {name.removeprefix("images/"): f for name, f in files(DATA).items() if name.endswith(".png")}
    assert named == set(found)
    assert len({pixels(path).tobytes() for path in found}) == len(found) == 64 + 32 + 16


# --- the rows ----------------------------------------------------------------------------------------


def test_there_are_four_cards_and_they_say_that_they_are_generated() -> None:
    assert list(CARDS) == ["Shapes", "ShapeColours", "ShapeSearch", "ShapeRegions"]
    for card in CARDS.values():
        assert card.suite == "example"
        assert "generated" in card.licence
        assert card.title.startswith("Generated")
        assert any("says nothing about MMEB or SCaR" in note for note in card.notes)
        assert [source.layout for source in card.sources] == ["generated"]


@pytest.mark.parametrize("name", TABLES)
def test_sizes_are_those_of_the_card_and_one_candidate_is_right(name: str) -> None:
    loaded = task(name)
    card = loaded.card
    assert loaded.complete
    assert not loaded.warnings
    for row, pool, right in zip(rows(name), loaded.pools, loaded.relevant, strict=True):
        assert len(set(pool.tolist())) == len(pool) == card.candidates
        assert right.tolist() == [pool[0]]
        assert len(row["tgt_text"]) == card.candidates
    shared = len({frozenset(pool.tolist()) for pool in loaded.pools}) == 1
    assert shared == (card.pool == "shared")
    assert {item.modality for item in loaded.candidates} == {card.candidate_modality}


@pytest.mark.parametrize("name", TABLES)
def test_the_right_candidate_does_not_stand_out_by_the_order_of_the_others(name: str) -> None:
    column = "tgt_img_path" if name == "ShapeSearch" else "tgt_text"
    seconds = {row[column][1] for row in rows(name)}
    assert len(seconds) >= 8


@pytest.mark.parametrize("name", MMEB)
def test_the_instructions_are_those_of_the_card_behind_the_image_mark(name: str) -> None:
    card = CARDS[name]
    for row in rows(name):
        assert row["qry_inst"] == marked(card.query_instruction, card.query_modality)
        assert row["tgt_inst"] == marked(card.candidate_instruction, card.candidate_modality)
        assert bool(row["qry_img_path"]) == ("image" in card.query_modality)
        assert bool(row["qry_text"]) == ("text" in card.query_modality)


@pytest.mark.slow(0.6)
def test_shapes_shows_one_colour_on_a_plain_background() -> None:
    seen = []
    for row in rows("Shapes"):
        picture = pixels(row["qry_img_path"])
        colour, kind = row["tgt_text"][0].split()
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2
        assert colours_in(picture) == {colour}
        assert tuple(picture[0, 0]) in BACKGROUNDS.values()
        assert _kind(picture, colour) == kind
        seen.append((colour, kind))
    assert sorted(seen) == sorted([*itertools.product(PALETTE, KINDS)] * 2)


def test_shape_colours_asks_for_each_of_two_shapes() -> None:
    asked: dict[str, set[tuple[str, str]]] = {}
    for row in rows("ShapeColours"):
        picture, colour = pixels(row["qry_img_path"]), row["tgt_text"][0]
        question = re.fullmatch(r"What colour is the (\w+)\?", row["qry_text"])
        assert question is not None
        assert colour in colours_in(picture)
        assert _kind(picture, colour) == question[1]
        asked.setdefault(row["qry_img_path"], set()).add((colour, question[1]))
    for path, answers in asked.items():
        colours, kinds = zip(*answers, strict=True)
        assert set(colours) == colours_in(pixels(path))
        assert len(answers) == len(set(colours)) == len(set(kinds)) == 2
    labels = [row["tgt_text"][0] for row in rows("ShapeColours")]
    assert {colour: labels.count(colour) for colour in PALETTE} == dict.fromkeys(PALETTE, 8)


def test_shape_search_has_one_image_that_fits() -> None:
    shown = {row["qry_img_path"]: row["tgt_text"][0] for row in rows("Shapes")}
    for row in rows("ShapeSearch"):
        article, colour, kind = row["qry_text"].split()
        assert article == ("an" if colour == "orange" else "a")
        found = [shown[path].split() for path in row["tgt_img_path"]]
        fits = [(c == colour, k == kind) for c, k in found]
        assert fits[0] == (True, True)
        assert [fits.count(f) for f in itertools.product((True, False), repeat=2)] == [1, 3, 3, 9]


def test_shape_regions_boxes_hold_their_shape_and_nothing_else() -> None:
    for row in rows("ShapeRegions"):
        picture, (x, y, width, height) = pixels(row["qry_image_path"]), row["bbox"]
        _, colour, kind, *_ = row["tgt_text"][0].split()
        inside = (picture == PALETTE[colour]).all(axis=-1)
        ys, xs = np.nonzero(inside)
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == [x, y, x + width, y + height]
        assert colours_in(picture[y : y + height, x : x + width]) == {colour}
        assert _kind(picture, colour) == kind == row["category"]


@pytest.mark.slow(0.5)
def test_shape_regions_captions_are_swapped_in_one_thing_only() -> None:
    pattern = re.compile(rf"an? (\w+ \w+) ({'|'.join(SIDES)}) the line on a (\w+) background")
    shapes: dict[str, set[str]] = {}
    for row in rows("ShapeRegions"):
        shapes.setdefault(row["qry_image_path"], set()).add(row["tgt_text"][0].split(" ", 1)[1])
    for row in rows("ShapeRegions"):
        picture = pixels(row["qry_image_path"])
        parsed = [pattern.fullmatch(caption) for caption in row["tgt_text"]]
        (name, side, background), *wrong = (match.groups() for match in parsed if match is not None)
        assert len(wrong) == 9
        swaps = ["global_context"] * 3 + ["background_relation"] * 3 + ["object_swap"] * 3
        assert row["neg_types"] == ["gt", *swaps]
        assert all(w[:2] == (name, side) for w in wrong[:3])
        assert {w[2] for w in wrong[:3]} == set(BACKGROUNDS) - {background}
        assert all((w[0], w[2]) == (name, background) for w in wrong[3:6])
        assert {w[1] for w in wrong[3:6]} == set(SIDES) - {side}
        assert all(w[1:] == (side, background) for w in wrong[6:])
        others = {caption.split(f" {side} ")[0] for caption in shapes[row["qry_image_path"]]} - {name}
        assert {w[0] for w in wrong[6:]} == others
        assert {w[0].split()[0] for w in wrong[6:]} | {name.split()[0]} == colours_in(picture)
        assert (picture == BACKGROUNDS[background]).all(axis=-1).any()
        x, y, width, height = row["bbox"]
        ys, xs = np.nonzero((picture == (105, 105, 105)).all(axis=-1))
        where = {
            "above": y + height <= ys.min(),
            "below": y > ys.max(),
            "left of": x + width <= xs.min(),
            "right of": x > xs.max(),
        }
        assert [s for s, true in where.items() if true] == [side]
        assert row["original_caption"] == row["tgt_text"][0]
        assert row["tgt_image_path"] == [""] * 10
        assert row["segmentation"] is None


def _kind(picture: np.ndarray, colour: str) -> str:
    """The kind of the shape of one colour, by how much of its box it fills."""
    ys, xs = np.nonzero((picture == PALETTE[colour]).all(axis=-1))
    width, height = int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
    assert width == height
    shares = {"square": 1.0, "circle": np.pi / 4, "cross": 5 / 9, "triangle": 0.5}
    filled = {k: abs(len(xs) / width**2 - share) for k, share in shares.items()}
    near = min(filled, key=lambda k: filled[k])
    if near in ("cross", "triangle"):  # their shares are close; a cross fills a third of its top row
        near = "cross" if np.count_nonzero(ys == ys.min()) > width / 4 else "triangle"
    return near


# --- the embedder ------------------------------------------------------------------------------------


def one_hot(colour: str) -> np.ndarray:
    vector = np.zeros(9, dtype=np.float32)
    vector[list(PALETTE).index(colour)] = 1
    return vector


def without_region(items: Sequence[Item]) -> list[Item]:
    return [dataclasses.replace(item, region=None) for item in items]


def test_vectors_are_float32_of_length_1() -> None:
    colours = Colours()
    for name in TABLES:
        loaded = task(name)
        for items, side in ((loaded.queries, "query"), (loaded.candidates, "candidate")):
            vectors = colours.encode(items, side)  # type: ignore[arg-type]
            assert vectors.dtype == np.float32
            assert vectors.shape == (len(items), colours.info.dimension)
            np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-7)


def test_vectors_are_those_that_the_fingerprint_names() -> None:
    """It is written down, so that whoever changes the vectors has to change it as well."""
    digest = hashlib.sha256(Colours().info.fingerprint.encode())
    for name in TABLES:
        loaded = task(name)
        for items, side in ((loaded.queries, "query"), (loaded.candidates, "candidate")):
            digest.update(np.ascontiguousarray(Colours().encode(items, side)).tobytes())
    assert digest.hexdigest()[:16] == "dde8b8809ec63481", "take another _VECTORS, then this digest"


def test_single_shapes_are_one_hot_bit_for_bit() -> None:
    loaded = task("Shapes")
    vectors = Colours().encode(loaded.queries, "query")
    for label, vector in zip(loaded.labels, vectors, strict=True):
        assert vector.tobytes() == one_hot(label.split()[0]).tobytes()


def test_a_box_is_cut_out_before_counting() -> None:
    loaded = task("ShapeRegions")
    boxed = Colours().encode(loaded.queries, "query")
    whole = Colours().encode(without_region(loaded.queries), "query")
    for label, vector, around in zip(loaded.labels, boxed, whole, strict=True):
        assert vector.tobytes() == one_hot(label.split()[1]).tobytes()
        assert np.count_nonzero(around) == 4


def test_text_is_read_as_words_and_the_prompt_stands_in_for_it() -> None:
    texts = ["a red circle", "Red, and RED again", "the tired redhead", "red and blue"]
    vectors = Colours().encode([Item(prompt="blue", text=text) for text in texts], "candidate")
    np.testing.assert_array_equal(vectors[:2], [one_hot("red")] * 2)
    np.testing.assert_array_equal(vectors[2], np.eye(9)[8])
    np.testing.assert_allclose(vectors[3], (one_hot("red") + one_hot("blue")) / np.sqrt(2), atol=1e-7)
    np.testing.assert_array_equal(Colours().encode([Item(prompt="a blue cross")], "query"), [one_hot("blue")])


def test_image_and_text_count_alike() -> None:
    picture = ImageFile(DATA / "images", "Shapes/red-circle-1.png")
    items = [Item("<image>", "blue", image=picture), Item("<image>", "what is it?", image=picture)]
    both, image = Colours().encode(items, "query")
    np.testing.assert_allclose(both, (one_hot("red") + one_hot("blue")) / np.sqrt(2), atol=1e-7)
    np.testing.assert_array_equal(image, one_hot("red"))


def test_a_batch_gives_what_its_items_give_alone() -> None:
    items = [*task("ShapeColours").queries[:4], *task("ShapeRegions").candidates[:4]]
    alone = np.concatenate([Colours().encode([item], "query") for item in items])
    assert Colours().encode(items, "candidate").tobytes() == alone.tobytes()


@pytest.mark.parametrize("box", [Box(96, 0, 120, 20), Box(-9, -9, 0, 0), Box(5, 5, 5, 9)])
def test_a_box_without_pixels_is_an_error_that_names_the_image(box: Box) -> None:
    picture = ImageFile(DATA / "images", "Shapes/red-circle-1.png")
    with pytest.raises(DataError, match=r"red-circle-1\.png.*holds no pixel"):
        Colours().encode([Item("<image>", image=picture, region=box)], "query")


def test_a_point_is_refused() -> None:
    picture = ImageFile(DATA / "images", "Shapes/red-circle-1.png")
    with pytest.raises(EmbedderError, match="takes a box, not a point"):
        Colours().encode([Item("<image>", image=picture, region=Point(1, 1))], "query")


# --- the scores that the README promises -------------------------------------------------------------


def brute_force(loaded: Task, queries: np.ndarray, candidates: np.ndarray) -> tuple[Fraction, ...]:
    """Precision@1, and its optimistic and pessimistic values, by the definition, one query at a time."""
    expected = best = worst = Fraction(0)
    queries, candidates = queries.astype(np.float64), candidates.astype(np.float64)
    for query, pool, right in zip(queries, loaded.pools, loaded.relevant, strict=True):
        scores = {int(c): float(np.dot(query, candidates[c])) for c in pool}
        top = {c for c, score in scores.items() if score == max(scores.values())}
        hits = len(top & set(right.tolist()))
        expected += Fraction(hits, len(top))
        best += hits > 0
        worst += hits == len(top)
    n = len(loaded.queries)
    return expected / n, best / n, worst / n


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("Shapes", (Fraction(1, 4), 1, 0)),
        ("ShapeColours", (Fraction(1, 2), Fraction(1, 2), Fraction(1, 2))),
        ("ShapeSearch", (Fraction(1, 4), 1, 0)),
        ("ShapeRegions", (Fraction(1, 7), 1, 0)),
    ],
)
def test_colours_scores_exactly(name: str, scores: tuple[Fraction, Fraction, Fraction]) -> None:
    loaded, colours = task(name), Colours()
    queries = colours.encode(loaded.queries, "query")
    candidates = colours.encode(loaded.candidates, "candidate")
    assert brute_force(loaded, queries, candidates) == scores


def test_without_the_box_the_biggest_shape_wins() -> None:
    loaded, colours = task("ShapeRegions"), Colours()
    queries = colours.encode(without_region(loaded.queries), "query")
    candidates = colours.encode(loaded.candidates, "candidate")
    assert brute_force(loaded, queries, candidates) == (Fraction(1, 28), Fraction(1, 4), 0)


@pytest.mark.parametrize(("name", "pool"), list(zip(TABLES, (32, 8, 16, 10), strict=True)))
def test_a_constant_scores_chance(name: str, pool: int) -> None:
    loaded = task(name)
    constant = brute_force(loaded, np.ones((len(loaded.queries), 1)), np.ones((len(loaded.candidates), 1)))
    assert constant == (Fraction(1, pool), 1, 0)

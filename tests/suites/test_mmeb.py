"""MMEB rows to tasks: where they lie, which candidates are one, which are right, how a query is called."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from builders import Columns, as_v1, golden, in_order, load, write
from hypothesis import given
from hypothesis import strategies as st

from evalkit.suites.task import Task

# --- where rows lie ----------------------------------------------------------------------------------


def test_rows_lie_in_a_folder_of_the_suite_too(tmp_path):
    write(tmp_path / "mmeb", "WebQA", golden("WebQA"))
    assert load(tmp_path, "WebQA").ids == load(tmp_path / "mmeb", "WebQA").ids
    one = {name: values[:1] for name, values in golden("WebQA").items()}
    write(tmp_path, "WebQA", one)
    assert len(load(tmp_path, "WebQA").queries) == 1, "the folder above comes first"


def test_several_files_are_read_in_the_order_of_their_names(tmp_path):
    columns = golden("WebQA")
    write(tmp_path / "one", "WebQA", columns)
    for row in (2, 0, 1):
        part = {name: values[row : row + 1] for name, values in columns.items()}
        write(tmp_path / "many", "WebQA", part, f"test-0000{row}-of-00003")
    write(tmp_path / "many", "WebQA", in_order(columns, [2]), "train-00000-of-00001")
    one, many = load(tmp_path / "one", "WebQA"), load(tmp_path / "many", "WebQA")
    assert (one.ids, one.names) == (many.ids, many.names)
    assert [q.prompt for q in one.queries] == [q.prompt for q in many.queries]


@pytest.mark.parametrize("name", ["OK-VQA", "WebQA", "RefCOCO", "ImageNet-1K"])
def test_a_limit_takes_the_first_rows_and_their_candidates(name, tmp_path):
    write(tmp_path, name, golden(name))
    write(tmp_path / "two", name, {column: values[:2] for column, values in golden(name).items()})
    whole, two, short = load(tmp_path, name), load(tmp_path, name, limit=2), load(tmp_path / "two", name)
    assert two.ids == short.ids == whole.ids[:2]
    assert two.names == short.names == whole.names[: len(two.names)]
    assert load(tmp_path, name, limit=3).ids == load(tmp_path, name, limit=99).ids == whole.ids


# --- which candidates are one ------------------------------------------------------------------------

WORDS = st.text("ab \"'", max_size=4)
INSTRUCTIONS = {
    "WebQA": "Represent the given Wikipedia image with related text information:",
    "EDIS": "Represent the given image with related text information:",
    "RefCOCO-Matching": "Select the portion of the image that follows the language expressions:",
}


@dataclass(frozen=True)
class Pool:
    """One row's candidates: captions and image paths."""

    captions: list[str]
    paths: list[str]


POOLS = st.lists(
    st.lists(st.tuples(WORDS, st.sampled_from(["x/1.jpg", "x/2.jpg", "x/3.jpg"])), min_size=1, max_size=6).map(
        lambda pairs: Pool([c for c, _ in pairs], [p for _, p in pairs])
    ),
    min_size=1,
    max_size=5,
)


def rows_of(name: str, pools: list[Pool]) -> Columns:
    first = {column: values[0] for column, values in golden(name).items()}
    return {
        "qry_inst": [first["qry_inst"]] * len(pools),
        "qry_text": [f"question {row}" for row in range(len(pools))],
        "qry_img_path": [first["qry_img_path"]] * len(pools),
        "tgt_inst": [first["tgt_inst"]] * len(pools),
        "tgt_text": [pool.captions for pool in pools],
        "tgt_img_path": [pool.paths for pool in pools],
    }


def official_items(name: str, pool: Pool) -> list[tuple[str, str, str]]:
    """What the official loaders make of a row's candidates: name, prompt, image path.

    After ``image_t2i_eval.py`` and ``image_i2i_vg_dataset.py`` of TIGER-AI-Lab/VLM2Vec (6e1e1d4).
    """
    text_to_image = name != "RefCOCO-Matching"
    captioned = bool(pool.captions[0].strip())
    items = []
    for caption, path in zip(pool.captions, pool.paths, strict=True):
        prompt = f"<image> \n{INSTRUCTIONS[name]}"
        if captioned:
            prompt = f"{prompt} {caption}".replace(" \n", "\n") + "\n"
        else:
            prompt = prompt.replace(" \n", "\n") + ("\n" if text_to_image else "")
        items.append((path if text_to_image else path + ":" + caption.strip('"'), prompt, path))
    return items


def official_pools(name: str, pools: list[Pool]) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """Per row the label's name, and the candidates by name, as ``generate_cand_dataset`` merges them.

    Over the whole task the first candidate of a name is kept and stands for all of that name.
    """
    kept: dict[str, tuple[str, str]] = {}
    for pool in pools:
        for key, prompt, path in official_items(name, pool):
            if key not in kept:
                kept[key] = (prompt, path)
    found = []
    for pool in pools:
        keys = [key for key, _, _ in official_items(name, pool)]
        found.append((keys[0], {key: kept[key] for key in keys}))
    return found


def seen(task: Task, numbers: Any) -> list[tuple[str, str]]:
    items = [task.candidates[number] for number in numbers]
    return [(item.prompt, item.image.path) for item in items if item.image is not None]


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
@given(pools=POOLS)
@pytest.mark.slow(0.6)
def test_official_dedup_is_that_of_the_official_loaders(name, pools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write(folder, name, rows_of(name, pools))
    task = load(folder, name, official_dedup=True)
    assert len(task.candidates) == len({key for _, candidates in official_pools(name, pools) for key in candidates})
    for row, (label, candidates) in enumerate(official_pools(name, pools)):
        assert task.labels[row] == label
        assert [task.names[c] for c in task.pools[row]] == [key for key, _, _ in official_items(name, pools[row])]
        assert sorted(seen(task, set(task.pools[row].tolist()))) == sorted(candidates.values())
        assert seen(task, task.relevant[row]) == [candidates[label]]


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
@given(pools=POOLS)
@pytest.mark.slow(0.6)
def test_by_default_no_two_different_candidates_are_merged(name, pools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write(folder, name, rows_of(name, pools))
    task = load(folder, name)
    everything = [(prompt, path) for pool in pools for _, prompt, path in official_items(name, pool)]
    assert set(seen(task, range(len(task.candidates)))) == set(everything)
    for row, pool in enumerate(pools):
        items = official_items(name, pool)
        assert seen(task, task.pools[row]) == [(prompt, path) for _, prompt, path in items]
        # Right is what shows the label's image with the label's caption, quotes around it or not.
        same = {
            (prompt, path)
            for (_, prompt, path), caption in zip(items, pool.captions, strict=True)
            if (path, caption.strip('"')) == (pool.paths[0], pool.captions[0].strip('"'))
        }
        assert set(seen(task, task.relevant[row])) == same


@pytest.mark.parametrize("name", ["WebQA", "EDIS"])
def test_captions_of_one_image_stay_apart_and_merge_on_request(name, tmp_path):
    pools = [
        Pool(["a bridge", "a tower", "a river"], ["x/1.jpg", "x/1.jpg", "x/2.jpg"]),
        Pool(["at night", "a river"], ["x/2.jpg", "x/1.jpg"]),
    ]
    write(tmp_path, name, rows_of(name, pools))
    apart, merged = load(tmp_path, name), load(tmp_path, name, official_dedup=True)
    assert [len(set(pool.tolist())) for pool in apart.pools] == [3, 2]
    assert [apart.candidates[c].text for pool in apart.relevant for c in pool] == ["a bridge", "at night"]
    assert [[merged.candidates[c].text for c in pool] for pool in merged.pools] == [
        ["a bridge", "a bridge", "a river"],
        ["a river", "a bridge"],  # the first caption of the image, seen in the row before
    ]
    assert merged.labels == apart.labels == ["x/1.jpg", "x/2.jpg"]


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
@given(pools=POOLS)
@pytest.mark.slow(0.9)
def test_both_layouts_give_the_same_task(name, pools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    columns = rows_of(name, pools)
    write(folder / "v1", name, as_v1(columns))
    write(folder / "v2", name, columns)
    old, new = load(folder / "v1", name), load(folder / "v2", name)
    assert (old.ids, old.labels, old.names) == (new.ids, new.labels, new.names)
    assert [(i.prompt, i.text, i.instruction) for i in (*old.queries, *old.candidates)] == [
        (i.prompt, i.text, i.instruction) for i in (*new.queries, *new.candidates)
    ]
    assert [pool.tolist() for pool in old.pools] == [pool.tolist() for pool in new.pools]
    assert [right.tolist() for right in old.relevant] == [right.tolist() for right in new.relevant]
    assert old.warnings == new.warnings == ()


def test_a_pool_that_repeats_its_label_has_one_right_candidate(tmp_path):
    """As three rows of RefCOCO-Matching do."""
    columns = golden("RefCOCO-Matching")
    for column in ("tgt_text", "tgt_img_path"):
        columns[column][1][4] = columns[column][1][0]
    write(tmp_path, "RefCOCO-Matching", columns)
    task = load(tmp_path, "RefCOCO-Matching")
    pool, right = task.pools[1], task.relevant[1]
    assert len(pool) == 6
    assert len(set(pool.tolist())) == 5
    assert right.tolist() == [pool[0]] == [pool[4]]
    assert task.labels[1] == task.names[pool[4]]


def test_a_label_in_quotes_and_without_is_right_both_times(tmp_path):
    """The official name leaves the quotes out; what the model sees does not, so both are embedded."""
    columns = golden("RefCOCO-Matching")
    columns["tgt_text"][1][4] = columns["tgt_text"][1][0].strip('"')
    columns["tgt_img_path"][1][4] = columns["tgt_img_path"][1][0]
    write(tmp_path, "RefCOCO-Matching", columns)
    task = load(tmp_path, "RefCOCO-Matching")
    pool = task.pools[1].tolist()
    assert sorted(task.relevant[1].tolist()) == sorted([pool[0], pool[4]])
    assert len({task.candidates[c].prompt for c in (pool[0], pool[4])}) == 2


@pytest.mark.parametrize("name", ["OK-VQA", "WebQA", "RefCOCO-Matching"])
def test_a_pool_that_repeats_another_candidate_keeps_its_places(name, tmp_path):
    columns = golden(name)
    for column in ("tgt_text", "tgt_img_path"):
        columns[column][0][3] = columns[column][0][2]
    write(tmp_path, name, columns)
    task = load(tmp_path, name)
    pool = task.pools[0].tolist()
    assert len(pool) == 6
    assert pool[3] == pool[2]
    assert task.relevant[0].tolist() == [pool[0]]


def test_blank_answers_stay(tmp_path):
    columns = golden("OK-VQA")
    columns["tgt_text"][0][1:4] = ["", " ", ""]
    write(tmp_path, "OK-VQA", columns)
    task = load(tmp_path, "OK-VQA")
    assert [task.candidates[c].prompt for c in task.pools[0]] == columns["tgt_text"][0]
    assert task.pools[0][1] == task.pools[0][3] != task.pools[0][2]
    assert task.relevant[0].tolist() == [task.pools[0][0]]


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.slow(0.8)
def test_a_task_holds_each_distinct_candidate_once(kind, tmp_path):
    """1000 queries with pools of 1000 out of 20,000."""
    n = size = 1000
    draw = np.random.default_rng(0)
    numbers = np.concatenate([np.arange(20_000), draw.integers(0, 20_000, n * size - 20_000)]).astype(np.int32)
    offsets = pa.array(np.arange(0, n * size + 1, size, dtype=np.int32))

    def lists(values: list[str]) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.DictionaryArray.from_arrays(numbers, values).cast(pa.string()))

    names = [f"candidate {i}" for i in range(20_000)]
    task_name = "OK-VQA" if kind == "text" else "MSCOCO_t2i"
    first = {column: values[0] for column, values in golden(task_name).items()}
    columns = {
        "qry_inst": [first["qry_inst"]] * n,
        "qry_text": [f"question {i}" for i in range(n)],
        "qry_img_path": [first["qry_img_path"]] * n,
        "tgt_inst": [first["tgt_inst"]] * n,
        "tgt_text": lists(names if kind == "text" else [""] * 20_000),
        "tgt_img_path": lists([""] * 20_000 if kind == "text" else names),
    }
    write(tmp_path, task_name, columns)
    task = load(tmp_path, task_name)
    assert task.complete
    assert len(task.candidates) == len(set(task.candidates)) == len(task.names) == 20_000
    assert sum(len(pool) for pool in task.pools) == n * size
    at = {name: number for number, name in enumerate(task.names)}
    expected = np.array([at[name] for name in names])[numbers].reshape(n, size)
    assert np.array_equal(np.stack(task.pools), expected)
    assert [right.tolist() for right in task.relevant] == [[first] for first in expected[:, 0]]


# --- texts of an unknown instruction -----------------------------------------------------------------


def test_a_text_of_an_unknown_instruction_stays_as_it_is(tmp_path):
    columns = as_v1(golden("OK-VQA"))
    columns["qry_text"][1] = "<|image_1|>\nSay what you see: a cat?\n"
    write(tmp_path, "OK-VQA", columns)
    task = load(tmp_path, "OK-VQA")
    query = task.queries[1]
    assert query.prompt == "<image>\nSay what you see: a cat?\n"
    assert (query.instruction, query.text) == ("", columns["qry_text"][1])
    assert task.warnings == ("1 of 3 queries have another instruction than the card",)


def test_a_candidate_of_an_unknown_instruction_stays_as_it_is(tmp_path):
    columns = as_v1(golden("WebQA"))
    columns["tgt_text"][2][3] = "<|image_1|>\nLook at this: a lamp\n"
    write(tmp_path, "WebQA", columns)
    task = load(tmp_path, "WebQA")
    candidate = task.candidates[task.pools[2][3]]
    assert candidate.prompt == "<image>\nLook at this: a lamp\n"
    assert candidate.text == "Look at this: a lamp"
    assert task.warnings == ("some candidates have another instruction than the card",)


def test_another_instruction_in_layout_v2_is_used_and_told(tmp_path):
    columns = golden("OK-VQA")
    columns["qry_inst"][0] = "<|image_1|>\nAnswer in one word:"
    write(tmp_path, "OK-VQA", columns)
    task = load(tmp_path, "OK-VQA")
    assert task.queries[0].prompt == f"<image>\nAnswer in one word: {columns['qry_text'][0]}\n"
    assert task.queries[0].instruction == "Answer in one word:"
    assert task.warnings == ("1 of 3 queries have another instruction than the card",)


# --- how a query is called ---------------------------------------------------------------------------


def repeated(columns: Columns) -> Columns:
    """Six rows: row 0 three times, once with another pool, and row 1 twice."""
    columns = in_order(columns, [0, 1, 2, 0, 0, 1])
    for column in ("tgt_text", "tgt_img_path"):
        columns[column][3] = columns[column][3][:4]
    return columns


@pytest.mark.parametrize("name", ["OK-VQA", "WebQA", "RefCOCO-Matching", "NIGHTS"])
@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_ids_hold_still_when_rows_move(name, layout, tmp_path):
    columns = repeated(golden(name))
    if layout == "v1":
        columns = as_v1(columns)
    write(tmp_path, name, columns)
    task = load(tmp_path, name)

    def rows(task: Task) -> dict[str, tuple[Any, ...]]:
        return {
            id_: (query.prompt, query.image and query.image.path, label, sorted({task.names[c] for c in pool}))
            for id_, query, label, pool in zip(task.ids, task.queries, task.labels, task.pools, strict=True)
        }

    for seed in range(5):
        order = random.Random(seed).sample(range(6), 6)
        folder = tmp_path / str(seed)
        write(folder, name, in_order(columns, order))
        assert rows(load(folder, name)) == rows(task)


def test_ids_are_of_content_and_repeats_are_numbered(tmp_path):
    write(tmp_path, "OK-VQA", repeated(golden("OK-VQA")))
    ids = load(tmp_path, "OK-VQA").ids
    assert all(re.fullmatch(r"[0-9a-f]{16}(-[23])?", id_) for id_ in ids)
    assert len(set(ids)) == 6
    base = [id_.split("-")[0] for id_ in ids]
    assert base[0] == base[3] == base[4] != base[1] == base[5] != base[2]
    assert sorted(id_.partition("-")[2] for id_ in ids) == ["", "", "", "2", "2", "3"]


def test_ids_do_not_depend_on_layout_instruction_or_other_rows(tmp_path):
    columns = golden("WebQA")
    write(tmp_path / "v1", "WebQA", as_v1(columns))
    write(tmp_path / "v2", "WebQA", columns)
    write(tmp_path / "asked", "WebQA", columns | {"qry_inst": ["Find it:"] * 3})
    write(tmp_path / "less", "WebQA", in_order(columns, [2]))
    ids = load(tmp_path / "v2", "WebQA").ids
    assert load(tmp_path / "v1", "WebQA").ids == load(tmp_path / "asked", "WebQA").ids == ids
    assert load(tmp_path / "less", "WebQA").ids == [ids[2]]


@pytest.mark.parametrize("column", ["qry_text", "qry_img_path"])
def test_another_question_or_image_has_another_id(column, tmp_path):
    columns = golden("OK-VQA")
    write(tmp_path / "one", "OK-VQA", columns)
    columns[column][1] += "x"
    write(tmp_path / "other", "OK-VQA", columns)
    one, other = load(tmp_path / "one", "OK-VQA").ids, load(tmp_path / "other", "OK-VQA").ids
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False, True]


def test_paths_are_read_but_no_image_is_opened(tmp_path: Path):
    write(tmp_path, "RefCOCO", golden("RefCOCO"))
    task = load(tmp_path, "RefCOCO")
    image = task.candidates[0].image
    assert image is not None
    assert image.root == tmp_path / "images"
    assert not image.root.exists()

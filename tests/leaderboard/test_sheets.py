"""Sample pages' data, held to the files that they come from: runs, rows and images are read here once more, apart."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, draw_images, golden, in_order, run, write

from evalkit.leaderboard.board import Board, Entry, Facts, Score
from evalkit.leaderboard.samples.sheets import LIMIT, Sheet, sheets
from evalkit.miniature.write import write as write_miniature
from evalkit.runs.runfolder import find_runs
from evalkit.suites.selecting import all_cards
from evalkit.suites.task import DataFolder

pytestmark = pytest.mark.slow(0.4)

CARDS = {card.name: card for card in all_cards()}
SIZE = 3
MODELS = ("random", "random?seed=1", "constant")


def board(runs: Path, suite: str, *, official: bool = False, tasks: tuple[str, ...] = ()) -> Board:
    """A board of all runs below a folder, in the order of their ids, with nothing on it but what sheets read."""
    entries = []
    for folder, manifest in find_runs([runs]):
        scores = {
            task.task: Score(task.metrics["precision_at_1"].value, None, None, task.n_queries, True, result=task)
            for task in manifest.tasks
            if task.metrics
        }
        name = f"{manifest.model.name}-{manifest.run_id}"
        facts = {"model": manifest.model.name, "prompting": None, "facts": Facts(), "means": {}, "ranks": {}}
        own = Entry(slug=name, label=name, kind="measured", scores=scores, run=(folder, manifest), **facts)
        entries.append(own)
    cards = tuple(
        card for card in CARDS.values() if card.suite in suite.split("+") and (card.name in tasks or not tasks)
    )
    return of(cards, entries, official=official)


def of(cards, entries, *, official: bool = True) -> Board:
    """A board with nothing else on it."""
    return Board(
        key="board",
        title="",
        caution="",
        cards=tuple(cards),
        groups=(),
        entries=tuple(entries),
        chance={},
        official_images=official,
    )


def made(board: Board, data: Path | None, **options) -> dict[tuple[str, str], Sheet]:
    """All sheets, by task and slug."""
    pages = sheets(board, None if data is None else DataFolder.at(data), **options).pages
    found = [make() for make in pages.values()]
    return {(sheet.card.name, sheet.entry.slug): sheet for sheet in found}


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """Runs of three entries on the example."""
    out = tmp_path_factory.mktemp("example-runs")
    assert run(out, *MODELS) == 0
    return out


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    """The miniature of three queries a task in ``data``, two entries in ``runs``."""
    folder = tmp_path_factory.mktemp("miniature")
    write_miniature(folder / "data", size=SIZE)
    assert run(folder / "runs", "random", "constant", tasks="miniature", data=folder / "data") == 0
    return folder


@pytest.fixture
def scar(tmp_path) -> Path:
    """A task of SCaR as published, three rows in ``data``; runs go to ``runs``."""
    write(
        tmp_path / "data",
        "SCaR/RefCOCOg",
        golden("SCaR/RefCOCOg") | {"bbox": [[1, 2, 3, 4], [0, 0, 8, 6], [5, 1, 2, 2]]},
    )
    draw_images(tmp_path / "data", golden("SCaR/RefCOCOg"))
    return tmp_path


def stored(entry: Entry, task: str) -> dict[str, list]:
    """The per-query file of an entry."""
    assert entry.run is not None
    return pq.read_table(entry.run[0] / "samples" / f"{task}.parquet").to_pydict()


def opened(content: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(content))


# --- what the runs say -------------------------------------------------------------------------------


def test_every_measured_entry_has_a_page_for_each_of_its_tasks(example):
    own = board(example, "example")
    pages = sheets(own, None).pages
    tasks = ("Shapes", "ShapeColours", "ShapeSearch", "ShapeRegions")
    slugs = [entry.slug for entry in own.entries]
    assert list(pages) == [f"board/samples-{task}-{slug}.html" for task in tasks for slug in slugs]
    for (task, slug), sheet in made(own, None).items():
        assert (sheet.board, sheet.card, sheet.entry.slug) == ("board", CARDS[task], slug)
        assert sheet.score == sheet.entry.scores[task]


def test_published_entries_and_failed_tasks_have_none(example):
    own = board(example, "example", tasks=("example/Shapes", "example/ShapeSearch"))
    first, *_ = own.entries
    of_paper = {"example/Shapes": Score(0.5, None, None, None, True)}
    paper = replace(first, slug="paper", label="paper", model="paper", kind="published", scores=of_paper, run=None)
    failed = replace(first, slug="failed", label="f", model="f", scores={})
    there = replace(own, entries=(paper, first, failed))
    assert list(made(there, None)) == [("example/Shapes", first.slug), ("example/ShapeSearch", first.slug)]
    assert made(there, None)["example/Shapes", first.slug].others == ()


def test_a_sheet_has_what_the_runs_file_has(example):
    own = board(example, "example")
    for (task, _), sheet in made(own, EXAMPLE, limit=1000).items():
        rows = stored(sheet.entry, task)
        assert [query.answer.id for query in sheet.queries] == rows["id"]
        assert [query.number for query in sheet.queries] == list(range(1, sheet.card.queries + 1))
        for name in ("score", "rank", "ties", "pool", "margin"):
            assert [getattr(query.answer, name) for query in sheet.queries] == rows[name]
        assert [query.label.name for query in sheet.queries] == rows["label"]
        assert [query.label.score for query in sheet.queries] == rows["label_score"]
        assert [[top.name for top in query.top] for query in sheet.queries] == rows["top"]
        assert [[top.score for top in query.top] for query in sheet.queries] == rows["top_scores"]


def test_right_wrong_and_tied_add_up(example):
    for (task, slug), sheet in made(board(example, "example"), None).items():
        scores = stored(sheet.entry, task)["score"]
        states = [query.answer.state for query in sheet.queries]
        assert sheet.n == len(sheet.queries) == len(scores) == sheet.card.queries
        assert states == ["right" if s == 1 else "wrong" if s == 0 else "tied" for s in scores]
        counts = tuple(states.count(state) for state in ("right", "wrong", "tied"))
        assert (sheet.right, sheet.wrong, sheet.tied) == counts
        if slug.startswith("constant"):
            assert counts == (0, 0, sheet.n)
            assert sheet.low_margin is None
        elif task == "example/Shapes":
            assert min(counts[:2]) > 0


def test_the_first_queries_are_shown_and_all_are_counted(example):
    own = board(example, "example")
    whole, short = made(own, EXAMPLE), made(own, EXAMPLE, limit=7)
    assert LIMIT == 200
    for key, sheet in short.items():
        assert sheet.queries == whole[key].queries[:7]
        assert (len(sheet.queries), sheet.n) == (7, sheet.card.queries)
        assert (sheet.right, sheet.wrong, sheet.tied) == (whole[key].right, whole[key].wrong, whole[key].tied)
        assert sheet.low_margin == whole[key].low_margin
    with pytest.raises(ValueError, match=r"limit 0"):
        sheets(own, None, limit=0)


def test_low_margins_are_the_lowest_tenth_of_all_right_answers(example):
    found = 0
    for (task, _), sheet in made(board(example, "example"), None).items():
        rows = stored(sheet.entry, task)
        margins = sorted(m for m, s in zip(rows["margin"], rows["score"], strict=True) if s == 1)
        low = [query for query in sheet.queries if query.low_margin]
        found += len(low)
        assert sorted(query.answer.margin for query in low) == margins[: -(-len(margins) // 10)]
        assert all(query.answer.state == "right" for query in low)
    assert found > 4


def test_who_else_has_a_query_right_is_joined_by_id(example):
    own = board(example, "example")
    for (task, slug), sheet in made(own, None).items():
        others = [entry for entry in own.entries if entry.slug != slug]
        assert sheet.others == tuple((entry.slug, entry.label) for entry in others)
        scores = {e.slug: dict(zip(stored(e, task)["id"], stored(e, task)["score"], strict=True)) for e in others}
        for query in sheet.queries:
            assert query.right_in == tuple(slug for slug, by_id in scores.items() if by_id[query.answer.id] == 1)
    assert any(query.right_in for query in sheet.queries)


def test_runs_of_rows_in_another_order_are_joined_and_of_other_queries_left_out(tmp_path):
    name, columns = "ImageNet-1K", golden("ImageNet-1K")
    for column in ("tgt_text", "tgt_img_path"):
        columns[column] = [values[:2] for values in columns[column]]  # so that some are right
    entries = []
    for seed, (folder, rows) in enumerate({"plain": [0, 1, 2], "moved": [2, 0, 1], "fewer": [0, 1]}.items()):
        write(tmp_path / folder, name, in_order(columns, rows))
        draw_images(tmp_path / folder, columns)
        assert run(tmp_path / "runs" / folder, f"random?seed={seed}", tasks=name, data=tmp_path / folder) == 0
        (entry,) = board(tmp_path / "runs" / folder, "mmeb").entries
        entries.append(replace(entry, slug=folder, label=folder.upper()))
    found = made(of([CARDS[name]], entries), tmp_path / "plain")
    plain, moved, fewer = (found[name, slug] for slug in ("plain", "moved", "fewer"))
    assert (plain.others, moved.others, fewer.others) == ((("moved", "MOVED"),), (("plain", "PLAIN"),), ())
    asked = [query.answer.id for query in plain.queries]
    assert asked != [query.answer.id for query in moved.queries]
    rows = stored(entries[1], name)
    right = {id_ for id_, score in zip(rows["id"], rows["score"], strict=True) if score == 1}
    assert 0 < len(right) < 3
    assert [bool(query.right_in) for query in plain.queries] == [id_ in right for id_ in asked]
    # The same rows in another order are the run's own data; with one more they are not.
    assert {q.answer.id: q.image for q in moved.queries} == {q.answer.id: q.image for q in plain.queries}
    assert fewer.queries[0].prompt is None
    assert "it has 3 queries and the run 2" in fewer.notes[0]


# --- what the data says ------------------------------------------------------------------------------

BOXED = ("RefCOCO_plus", "RefCOCOg", "VisualGenome", "COCO_Stuff", "ADE20K")


def check_boxes(sheet: Sheet, data: Path, subset: str) -> None:
    """Box, image and caption of each query, by the rows as they lie on disk and the image as it is stored."""
    rows = pq.read_table(data / f"SCaR_eval_{subset}.parquet").to_pylist()
    assert len(sheet.queries) == len(rows)
    for query, row in zip(sheet.queries, rows, strict=True):
        x, y, width, height = row["bbox"]
        (mark,) = query.marks
        assert mark.box == (x, y, x + width, y + height)
        assert query.image.path == row["qry_image_path"]
        with PIL.Image.open(data / "images" / row["qry_image_path"]) as image:
            assert (query.image.width, query.image.height) == image.size
        assert query.label.name == row["tgt_text"][0]
        assert query.prompt.endswith(f"bbox: [{x}, {y}, {x + width}, {y + height}]")
        assert row["qry_text"].removeprefix("<|image_1|>\n") in query.prompt


@pytest.mark.parametrize("subset", BOXED)
def test_boxes_lie_where_the_rows_say(miniature, subset):
    own = board(miniature / "runs", "miniature", tasks=(f"miniature/{subset}",))
    for sheet in made(own, miniature / "data").values():
        check_boxes(sheet, miniature / "data", subset)


def test_boxes_of_the_example_lie_where_the_rows_say(example):
    for sheet in made(board(example, "example", tasks=("example/ShapeRegions",)), EXAMPLE).values():
        check_boxes(sheet, EXAMPLE, "ShapeRegions")


@pytest.mark.slow(1)
def test_own_images_are_always_embedded_with_all_their_pixels(miniature):
    own = board(miniature / "runs", "miniature")
    found = sheets(own, DataFolder.at(miniature / "data"))
    assert len(found.pages) == 41 * 2
    shown = set()
    for make in found.pages.values():
        sheet = make()
        assert sheet.notes == ()
        for query in sheet.queries:
            pictures = [query.image, query.label.image, *(top.image for top in query.top)]
            assert (query.image is not None) == ("image" in sheet.card.query_modality)
            assert (query.label.image is not None) == ("image" in sheet.card.candidate_modality)
            assert len({top.image is None for top in (query.label, *query.top)}) == 1
            shown |= {picture for picture in pictures if picture}
    assert {f"board/{picture.href}" for picture in shown} == set(found.media)
    assert all(picture.missing is None for picture in shown)
    for picture in list(shown)[::9]:
        with (
            PIL.Image.open(miniature / "data" / "images" / picture.path) as stored_image,
            opened(found.media[f"board/{picture.href}"]()) as embedded,
        ):
            assert embedded.size == stored_image.size == (picture.width, picture.height)
            assert (np.asarray(embedded.convert("RGB")) == np.asarray(stored_image.convert("RGB"))).all()


@pytest.mark.parametrize("subset", ["MSCOCO_t2i", "WebQA", "CIRR", "NIGHTS", "MSCOCO", "RefCOCO-Matching", "OVEN"])
def test_candidates_that_are_images_show_them(miniature, subset):
    own = board(miniature / "runs", "miniature", tasks=(f"miniature/{subset}",))
    (file,) = (miniature / "data" / subset).glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    for sheet in made(own, miniature / "data").values():
        for query, row in zip(sheet.queries, rows, strict=True):
            assert query.label.image.path == row["tgt_img_path"][0]
            assert query.label.text == (row["tgt_text"][0] or None)
            pool = dict.fromkeys(zip(row["tgt_img_path"], row["tgt_text"], strict=True))
            for top in query.top:
                assert top.image.path == top.name.partition(":")[0]
                texts = {text for path, text in pool if path == top.image.path}
                assert top.text in (texts if texts != {""} else {None})


def test_texts_are_those_of_the_rows(miniature):
    for subset in ("ScienceQA", "VisDial", "ImageNet-1K", "CIRR"):
        own = board(miniature / "runs", "miniature", tasks=(f"miniature/{subset}",))
        (file,) = (miniature / "data" / subset).glob("*.parquet")
        rows = pq.read_table(file).to_pylist()
        for sheet in made(own, miniature / "data").values():
            for query, row in zip(sheet.queries, rows, strict=True):
                assert row["qry_text"] in query.prompt
                assert row["qry_inst"].removeprefix("<|image_1|>\n").strip() in query.prompt
                assert query.prompt.startswith("<image>") == ("image" in sheet.card.query_modality)


@pytest.mark.slow(3)
def test_the_right_ones_among_the_top_are_marked(miniature, example):
    for runs, data, suite in ((miniature / "runs", miniature / "data", "miniature"), (example, EXAMPLE, "example")):
        for folder in (data, None):
            for sheet in made(board(runs, suite), folder).values():
                for query in sheet.queries:
                    marked = [top.right for top in query.top]
                    assert query.label.right is True
                    if query.answer.state == "right":
                        assert marked[0] is True
                    if query.answer.rank > 5:
                        assert True not in marked
                    if query.answer.state == "wrong":
                        assert marked[0] is False
                        assert True not in marked[: query.answer.rank - 1]
                    if query.answer.rank <= 5 and not query.answer.ties:
                        assert marked[query.answer.rank - 1] is True
                        assert query.top[query.answer.rank - 1].name == query.label.name


def test_what_two_candidates_are_called_is_not_taken_for_one_of_them(tmp_path):
    """WebQA calls a candidate by its image; with another caption it is another candidate, and wrong."""
    name = "WebQA"
    columns = in_order(golden(name), [0, 1])
    columns["tgt_img_path"] = [["a.png", "a.png", "b.png"], ["b.png", "c.png", "c.png"]]
    columns["tgt_text"] = [["right", "wrong", "right"], ["of another query", "x", "y"]]
    write(tmp_path, name, columns)
    draw_images(tmp_path, columns)
    assert run(tmp_path / "runs", "constant", *(f"random?seed={n}" for n in range(6)), tasks=name, data=tmp_path) == 0
    told = set()
    for (_, slug), sheet in made(board(tmp_path / "runs", "mmeb"), tmp_path, media="full").items():
        query, _ = sheet.queries
        assert (query.label.text, query.label.image.path) == ("right", "a.png")
        assert [top.image.path for top in query.top] == [top.name for top in query.top]
        for top in query.top:
            if top.name == "b.png":
                assert (top.right, top.text) == (False, "right")
            elif slug.startswith("constant"):  # all are level: which of the two stands first cannot be told
                assert (top.right, top.text) == (None, None)
            else:
                told.add(top.score - query.label.score > 0)
                assert top.right is (top.score == query.label.score)
                assert top.text == ("right" if top.right else "wrong")
    assert told == {True, False}  # the wrong one has been before the right one, and after it
    for (_, slug), sheet in made(board(tmp_path / "runs", "mmeb"), None).items():
        if slug.startswith("constant"):
            assert [top.right for top in sheet.queries[0].top if top.name == "a.png"] == [None, None]


# --- without data, or with other data ----------------------------------------------------------------


def assert_bare(sheet: Sheet, reason: str) -> None:
    """Nothing of the data, and the reason."""
    (note,) = sheet.notes
    assert reason in note
    for query in sheet.queries:
        assert (query.prompt, query.image, query.marks) == (None, None, ())
        assert {top.image for top in (query.label, *query.top)} == {None}
        assert {top.text for top in (query.label, *query.top)} == {None}
        assert query.label.name
        assert query.top


def test_without_data_there_is_what_the_run_has_and_the_way_to_more(example):
    own = board(example, "example")
    assert not sheets(own, None, media="full").media
    for sheet in made(own, None).values():
        assert_bare(sheet, "--data DIR")


@pytest.mark.slow(2)
def test_other_data_than_the_runs_is_never_shown(miniature, tmp_path):
    write_miniature(tmp_path / "other", size=SIZE, seed=1)
    own = board(miniature / "runs", "miniature")
    found = sheets(own, DataFolder.at(tmp_path / "other"), media="full")
    assert len(found.pages) == 82
    assert (dict(found.media), found.warnings) == ({}, ())
    for make in found.pages.values():
        assert_bare(make(), "of the run's 3 queries are not in it, such as ")


def test_one_row_that_is_not_the_runs_is_enough(scar):
    name = "SCaR/RefCOCOg"
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    columns = golden(name) | {"bbox": [[1, 2, 3, 4], [0, 0, 8, 6], [5, 1, 2, 3]]}  # the last box is one pixel higher
    write(scar / "data", name, columns)
    (sheet,) = made(board(scar / "runs", "scar", official=True), scar / "data", media="full").values()
    assert_bare(sheet, f"1 of the run's 3 queries are not in it, such as {sheet.queries[2].answer.id}")


def test_a_folder_without_the_task_or_with_broken_rows_is_no_error(example, miniature, tmp_path):
    own = board(example, "example", tasks=("example/Shapes",))
    for sheet in made(own, miniature / "data").values():
        assert_bare(sheet, "no file DATA/Shapes/test-*.parquet")
        assert str(miniature) not in sheet.notes[0]
    write(tmp_path, "example/Shapes", golden("ImageNet-1K")).write_bytes(b"broken")
    for sheet in made(own, tmp_path).values():
        assert_bare(sheet, "is not a whole parquet file")
        assert str(tmp_path) not in sheet.notes[0]


def test_data_is_read_as_the_run_read_it(scar, miniature):
    """A limit, and candidates that were merged, are the run's, and no reason to call the data other."""
    name = "SCaR/RefCOCOg"
    assert run(scar / "runs", "random", tasks=name, data=scar / "data", more=["--limit", "2"]) == 0
    assert run(scar / "runs", "random", tasks=name, data=scar / "data", more=["--official-dedup"]) == 0
    found = made(board(scar / "runs", "scar"), scar / "data")
    assert sorted(sheet.n for sheet in found.values()) == [2, 3]
    for sheet in found.values():
        assert sheet.notes == ()
        assert all(query.image and query.image.href for query in sheet.queries)


def test_prompts_are_as_the_model_got_them_and_the_box_is_drawn_all_the_same(scar):
    name = "SCaR/RefCOCOg"
    for mode in ("text", "crop", "none"):
        assert run(scar / "runs", "random", tasks=name, data=scar / "data", more=["--prompting", mode]) == 0
    found = {
        sheet.score.result.prompting: sheet for sheet in made(board(scar / "runs", "scar"), scar / "data").values()
    }
    assert set(found) == {"text", "crop", "none"}
    for mode, sheet in found.items():
        query = sheet.queries[0]
        assert ("bbox: [1, 2, 4, 6]" in query.prompt) == ("bbox" in query.prompt) == (mode != "none")
        assert [mark.box for mark in query.marks] == [(1, 2, 4, 6)]
        assert (query.image.width, query.image.height) == (8, 6)
    assert len({sheet.queries[0].image for sheet in found.values()}) == 1


def test_prompts_of_another_version_of_the_task_are_called_so(scar):
    name = "SCaR/RefCOCOg"
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    (sheet,) = made(board(scar / "runs", "scar"), scar / "data").values()
    assert sheet.notes == ()
    result = sheet.score.result.model_copy(update={"task_version": 7})
    entry = replace(sheet.entry, scores={name: replace(sheet.score, result=result)})
    (sheet,) = made(of([CARDS[name]], [entry], official=False), scar / "data").values()
    assert "version 7 of the task" in sheet.notes[0]
    assert sheet.queries[0].prompt


# --- whose images ------------------------------------------------------------------------------------


def test_images_of_others_are_not_embedded_unless_asked_for(scar):
    name = "SCaR/RefCOCOg"
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    own = board(scar / "runs", "scar", official=True)
    found = sheets(own, DataFolder.at(scar / "data"))
    assert found.media == {}
    (sheet,) = (make() for make in found.pages.values())
    assert "--media thumbnails" in sheet.notes[0]
    for query in sheet.queries:
        assert query.prompt
        assert (query.image.href, query.image.width, query.image.height) == (None, 8, 6)
        assert query.marks[0].box
    for mode in ("thumbnails", "full"):
        found = sheets(own, DataFolder.at(scar / "data"), media=mode)
        (sheet,) = (make() for make in found.pages.values())
        assert sheet.notes == ()
        hrefs = {f"board/{query.image.href}" for query in sheet.queries}
        assert hrefs == set(found.media)
        assert len(hrefs) == 3
        assert all(opened(make()).format == "WEBP" for make in found.media.values())


def test_a_large_image_of_others_becomes_a_thumbnail_and_its_box_counts_stored_pixels(scar):
    name = "SCaR/RefCOCOg"
    columns = golden(name) | {"bbox": [[400.5, 2, 300, 4]] * 3}
    write(scar / "data", name, columns)
    for path in columns["qry_image_path"]:
        PIL.Image.new("RGB", (800, 600), "green").save(scar / "data" / "images" / path)
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    found = sheets(board(scar / "runs", "scar", official=True), DataFolder.at(scar / "data"), media="thumbnails")
    (sheet,) = (make() for make in found.pages.values())
    assert [opened(make()).size for make in found.media.values()] == [(256, 192)]  # three paths, one image
    for query in sheet.queries:
        assert (query.image.width, query.image.height) == (800, 600)
        assert query.marks[0].box == (400.5, 2, 700.5, 6)


def test_an_image_that_leaves_the_folder_after_the_run_is_not_followed(scar):
    name = "SCaR/RefCOCOg"
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    secret = scar / "secret.png"
    PIL.Image.new("RGB", (8, 6), "red").save(secret)
    image = scar / "data" / "images" / golden(name)["qry_image_path"][0]
    image.unlink()
    image.symlink_to(secret)
    found = sheets(board(scar / "runs", "scar"), DataFolder.at(scar / "data"))
    (sheet,) = (make() for make in found.pages.values())
    assert "leads out of the images folder" in sheet.queries[0].image.missing
    assert str(scar) not in sheet.queries[0].image.missing
    assert (sheet.queries[0].image.href, sheet.queries[0].image.width) == (None, None)
    assert sheet.queries[1].image.href
    assert all(set(np.asarray(opened(make())).reshape(-1, 3).max(axis=0)) != {255, 0} for make in found.media.values())


def test_a_photo_on_its_side_is_shown_as_the_box_counts_it(scar):
    name = "SCaR/RefCOCOg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for number, path in enumerate(golden(name)["qry_image_path"]):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 48, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(scar / "data" / "images" / path, format="JPEG", exif=exif)
    write(scar / "data", name, golden(name) | {"bbox": [[30, 2, 17, 20]] * 3})  # outside of it, if it were turned
    assert run(scar / "runs", "random", tasks=name, data=scar / "data") == 0
    found = sheets(board(scar / "runs", "scar"), DataFolder.at(scar / "data"))
    (sheet,) = (make() for make in found.pages.values())
    for query in sheet.queries:
        assert (query.image.width, query.image.height) == (48, 24)
        assert opened(found.media[f"board/{query.image.href}"]()).size == (48, 24)


# --- strangers' words --------------------------------------------------------------------------------

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "\u202eright to left\u202c שלום عربى",
    "🦊\u200d👩\u200d🚀 \x1b[31m red \t tab",
    "& &amp; \" ' ` <!-- -->",
)


def test_words_of_strangers_are_plain_text(scar):
    name = "SCaR/RefCOCOg"
    columns = golden(name)
    columns["tgt_text"] = [[*HOSTILE, *texts[4:]] for texts in columns["tgt_text"]]
    columns["qry_text"] = [f"<|image_1|>\n{text}" for text in HOSTILE[:3]]
    columns["bbox"] = [[1, 2, 3, 4]] * 3
    write(scar / "data", name, columns)
    assert run(scar / "runs", "constant", tasks=name, data=scar / "data") == 0
    for data in (scar / "data", None):
        (sheet,) = made(board(scar / "runs", "scar"), data).values()
        for query, asked in zip(sheet.queries, HOSTILE, strict=False):
            assert query.label.name == HOSTILE[0]
            assert set(HOSTILE) <= {top.name for top in query.top}
            if data:
                assert asked in query.prompt


# --- files that cannot be used, and the same bytes ---------------------------------------------------


def test_a_file_that_cannot_be_read_costs_its_own_page_alone(example, tmp_path):
    runs = Path(shutil.copytree(example, tmp_path / "runs"))
    own = board(runs, "example")
    first, second, third = own.entries
    broken = first.run[0] / "samples" / "example" / "Shapes.parquet"
    broken.write_bytes(broken.read_bytes()[:-100])
    for task in ("Shapes", "ShapeColours", "ShapeSearch"):
        (second.run[0] / "samples" / "example" / f"{task}.parquet").unlink()
    found = sheets(own, DataFolder.at(EXAMPLE))
    assert len(found.pages) == 12 - 1 - 3
    assert len(found.warnings) == 2
    assert found.warnings[0].startswith(f"{first.label} has no sample page of example/Shapes: {broken} cannot be read")
    assert "Shapes.parquet is missing" in found.warnings[1]
    assert "2 more of its tasks" in found.warnings[1]
    (sheet,) = (make() for make in found.pages.values() if make().card.name == "example/Shapes")
    assert (sheet.entry.slug, sheet.others) == (third.slug, ())
    assert sheet.queries[0].image.href


def test_two_pages_of_one_name_are_one_page(example):
    own = board(example, "example", tasks=("example/Shapes",))
    first, second, _ = own.entries
    cards = (own.cards[0], own.cards[0].model_copy(update={"name": "example/Shapes-b"}))
    scores = {"example/Shapes-b": second.scores["example/Shapes"]}
    entries = (replace(first, slug="b-c"), replace(second, slug="c", label="C", scores=scores))
    found = sheets(replace(own, cards=cards, entries=entries), None)
    assert list(found.pages) == ["board/samples-Shapes-b-c.html"]
    assert found.warnings == (
        "C has no sample page of example/Shapes-b: board/samples-Shapes-b-c.html is the page of another task",
    )


@pytest.mark.slow(3)
def test_the_same_input_gives_the_same_sheets_and_the_same_bytes(miniature):
    own, data = board(miniature / "runs", "miniature"), DataFolder.at(miniature / "data")
    first, second = sheets(own, data), sheets(own, data)
    assert list(first.pages) == list(second.pages)
    assert list(first.media) == list(second.media)
    backwards = {path: second.pages[path]() for path in reversed(second.pages)}
    assert {path: make() for path, make in first.pages.items()} == backwards
    assert all(first.media[path]() == second.media[path]() for path in list(first.media)[::7])


@pytest.mark.slow(1)
def test_a_sheet_shows_nothing_but_what_the_site_has(miniature):
    """However pages are made, in whatever order: no image is asked for that was not announced."""
    found = sheets(board(miniature / "runs", "miniature"), DataFolder.at(miniature / "data"))
    announced = set(found.media)
    for make in reversed(found.pages.values()):
        for query in make().queries:
            for picture in (query.image, query.label.image, *(top.image for top in query.top)):
                assert picture is None or f"board/{picture.href}" in announced

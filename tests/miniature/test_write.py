"""The miniature on disk: the real readers read it, seeds decide its bytes, and nobody else's file is touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from builders import command, load, run, tasks_of

from evalkit.errors import ResultsError, UsageError
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.miniature import SUITE
from evalkit.miniature import write as module
from evalkit.miniature.taskrows import examples
from evalkit.miniature.write import SIZE, write
from evalkit.runs.manifest import averages
from evalkit.runs.runfolder import find_runs
from evalkit.suites.selecting import select_tasks

CARDS = {card.name.split("/")[1]: card for card in SUITE.cards()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of each task; nobody writes into it."""
    folder = tmp_path_factory.mktemp("miniature") / "data"
    write(folder, size=2, seed=3)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default miniature; nobody writes into it."""
    folder = tmp_path_factory.mktemp("miniature") / "data"
    write(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


# --- what is written -----------------------------------------------------------------------------------


@pytest.mark.slow(2)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_rows(small: Path, tmp_path: Path) -> None:
    write(tmp_path / "same", size=2, seed=3)
    write(tmp_path / "other", size=2, seed=4)
    assert files(tmp_path / "same") == files(small)
    tables = {name: data for name, data in files(small).items() if name.endswith(".parquet")}
    assert len(tables) == 41
    for name, data in tables.items():
        assert files(tmp_path / "other")[name] != data


def test_the_same_seed_gives_the_rows_that_it_always_gave(small: Path) -> None:
    """Files are named by what they show, and rows name files: other names would make another data set of it."""
    rows = [pq.read_table(file).to_pylist() for file in sorted(small.glob("**/*.parquet"))]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert digest[:16] == "43da145b51686e66", "raise the cards' versions where this is meant"


def test_the_manifest_names_all_files_and_says_that_they_are_whole(small: Path) -> None:
    manifest = json.loads((small / "miniature.json").read_text())
    assert manifest["schema"] == "evalkit.miniature"
    assert (manifest["size"], manifest["seed"], manifest["whole"]) == (2, 3, True)
    assert sorted(["miniature.json", *manifest["files"]]) == sorted(files(small))


@pytest.mark.slow(0.1)
@pytest.mark.parametrize("subset", CARDS)
def test_the_readers_of_mmeb_and_scar_read_what_was_made(subset: str, whole: Path) -> None:
    card = CARDS[subset]
    task = load(whole, card.name)
    assert task.complete
    assert not task.warnings
    rows = examples(subset, SIZE, 0)
    assert len(task.queries) == len(rows) == card.queries
    for row, query, pool, right in zip(rows, task.queries, task.pools, task.relevant, strict=True):
        assert len(set(pool.tolist())) == len(pool) == card.candidates
        assert right.tolist() == [pool[0]]
        for number, candidate in zip(pool.tolist(), row.candidates, strict=True):
            item = task.candidates[number]
            assert item.text == candidate.text
            if candidate.drawing is not None:
                assert item.image is not None
        if row.query is not None:
            assert query.image is not None
            with PIL.Image.open(whole / "images" / query.image.path) as image:
                np.testing.assert_array_equal(np.asarray(image), np.asarray(row.query.image()))
        if row.box is not None:
            assert query.region is not None
            assert list(query.region.corners) == list(row.box)
            assert f"Referring object bbox: {list(row.box)}" in query.prompt


@pytest.mark.slow(0.1)
@pytest.mark.parametrize("subset", CARDS)
def test_the_prompts_are_those_of_the_official_task(subset: str, whole: Path) -> None:
    """The same files read as the official task give the same items, to the last character."""
    official = load(whole, f"SCaR/{subset}" if CARDS[subset].family == "scar_i2t" else subset)
    mine = load(whole, f"miniature/{subset}")
    assert [query.prompt for query in mine.queries] == [query.prompt for query in official.queries]
    assert [c.prompt for c in mine.candidates] == [c.prompt for c in official.candidates]
    assert mine.names == official.names
    assert not official.warnings
    assert not official.complete  # so it is no result of the official task


@pytest.mark.slow(0.1)
@pytest.mark.parametrize("subset", ["WebQA", "EDIS", "OVEN", "RefCOCO-Matching"])
def test_merging_by_the_official_key_merges_nothing(subset: str, whole: Path) -> None:
    pools = [pool.tolist() for pool in load(whole, f"miniature/{subset}", official_dedup=True).pools]
    assert all(len(set(pool)) == 10 for pool in pools)


@pytest.mark.slow(0)
def test_columns_are_those_of_the_hub(whole: Path) -> None:
    mmeb = pq.read_schema(whole / "ImageNet-1K" / "test-00000-of-00001.parquet").names
    assert mmeb == ["qry_inst", "qry_text", "qry_img_path", "tgt_inst", "tgt_text", "tgt_img_path"]
    table = pq.read_table(whole / "SCaR_eval_RefCOCOg.parquet")
    assert table.column_names == [
        *("qry_text", "qry_image_path", "tgt_text", "tgt_image_path", "original_caption"),
        *("neg_types", "bbox", "segmentation", "category", "image_id"),
    ]
    for row in table.to_pylist():
        assert row["tgt_text"][0] == row["original_caption"]
        assert row["qry_image_path"].startswith("refcocog_val/")
        assert row["neg_types"][0] == "gt"
        assert Counter(row["neg_types"][1:]) == {"object_swap": 3, "background_relation": 3, "global_context": 3}


@pytest.mark.slow(0)
def test_it_is_small(whole: Path) -> None:
    assert sum(len(data) for data in files(whole).values()) < 6_000_000


# --- runs ----------------------------------------------------------------------------------------------


@pytest.mark.slow(5)
def test_constant_gets_exactly_chance_and_no_average_of_a_benchmark(whole: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "constant", "random", tasks="miniature", data=whole) == 0
    runs = dict.fromkeys(("constant", "random"))
    for _, found in find_runs([tmp_path]):
        runs[found.model.name.split("?")[0]] = found
        assert len(found.tasks) == 41
        assert all(result.complete for result in found.tasks)
        groups = {average.group: average for average in averages(found.tasks)}
        assert all(group.startswith("miniature") for group in groups)
        assert (groups["miniature"].n_done, groups["miniature"].n_tasks) == (41, 41)
        assert groups["miniature/visual-interactive"].n_tasks == 5
        assert groups["miniature/grounding"].n_tasks == 4
    assert runs["constant"] is not None
    assert runs["random"] is not None
    for result in runs["constant"].tasks:
        assert result.metrics is not None
        card = next(card for card in SUITE.cards() if card.name == result.task)
        assert result.metrics["precision_at_1"].value == pytest.approx(1 / card.candidates, abs=1e-12)
    (board,) = boards(find_runs([tmp_path]))
    assert board.title.startswith("Miniature")
    assert "says nothing about MMEB or SCaR" in board.caution


def test_read_as_mmeb_and_scar_it_is_no_part_of_their_averages(small: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "constant", tasks="VOC2007,HatefulMemes,scar", data=small) == 0
    assert not any(task["complete"] for task in tasks_of(tmp_path).values())
    ((_, found),) = find_runs([tmp_path])
    assert {average.value for average in averages(found.tasks)} == {None}


def test_another_size_is_partial(small: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "constant", tasks="miniature/GQA", data=small) == 0
    assert [task["complete"] for task in tasks_of(tmp_path).values()] == [False]


def test_no_size_is_that_of_a_real_task() -> None:
    real = {card.queries for card in select_tasks(["all"])}
    assert min(real) > module.LARGEST


# --- folders -------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty: name another folder, or write into this one with --force"):
        write(tmp_path, size=1)
    assert files(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.slow(0.5)
def test_a_miniature_is_not_replaced_without_force(tmp_path: Path) -> None:
    write(tmp_path, size=1)
    before = files(tmp_path)
    with pytest.raises(UsageError, match="is not empty"):
        write(tmp_path, size=1, seed=1)
    assert files(tmp_path) == before


@pytest.mark.slow(1)
def test_force_replaces_a_miniature_and_leaves_everything_else(small: Path, tmp_path: Path) -> None:
    write(tmp_path, size=1, seed=8)
    (tmp_path / "images" / "GQA" / "mine.png").write_text("mine")
    (tmp_path / "mine.txt").write_text("mine")
    write(tmp_path, size=2, seed=3, force=True)
    found = files(tmp_path)
    assert found.pop("images/GQA/mine.png") == found.pop("mine.txt") == b"mine"
    assert found == files(small)


def test_force_never_replaces_a_file_that_is_not_the_miniatures(tmp_path: Path) -> None:
    other = tmp_path / "GQA" / "test-00000-of-00001.parquet"
    other.parent.mkdir()
    other.write_text("the real GQA")
    with pytest.raises(UsageError, match=r"GQA/test-00000-of-00001.parquet is there and not of a miniature"):
        write(tmp_path, size=1, force=True)
    assert files(tmp_path) == {"GQA/test-00000-of-00001.parquet": b"the real GQA"}


@pytest.mark.slow(2)
def test_what_was_left_half_made_is_finished_by_the_same_command(small: Path, tmp_path: Path) -> None:
    class Full:
        drawn = 0

        def expect(self, items: int) -> None:
            pass

        def advance(self, items: int) -> None:
            Full.drawn += 1
            if Full.drawn == 50:
                raise OSError(28, "No space left on device")

    write(tmp_path, size=1, seed=9)
    with pytest.raises(ResultsError, match="cannot be written: No space left on device"):
        write(tmp_path, size=2, seed=3, force=True, progress=Full())  # type: ignore[arg-type]
    assert json.loads((tmp_path / "miniature.json").read_text())["whole"] is False
    assert not list(tmp_path.glob("*/*.parquet"))  # so no task can be run
    with pytest.raises(UsageError, match="is not empty"):
        write(tmp_path, size=2, seed=5)
    write(tmp_path, size=2, seed=3)
    assert files(tmp_path) == files(small)


def test_no_file_is_made_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    """Also with --force, and where no manifest names anything yet."""
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    for force in (False, True):
        with pytest.raises(UsageError, match=r"lies outside of the folder, by a link|is not empty"):
            write(folder, size=1, force=force)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [file.name for file in folder.iterdir()] == ["images"]


def test_a_manifest_of_somebody_else_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.write_text("mine")
    folder = tmp_path / "data"
    folder.mkdir()
    manifest = {"schema": "evalkit.miniature", "schema_version": 1, "size": 1, "seed": 0, "whole": True}
    for name in ("../victim.png", str(victim), "images/../../victim.png"):
        (folder / "miniature.json").write_text(json.dumps(manifest | {"files": [name]}))
        with pytest.raises(UsageError, match="is not what evalkit writes"):
            write(folder, size=1, force=True)
    (folder / "images").symlink_to(tmp_path)
    (folder / "miniature.json").write_text(json.dumps(manifest | {"files": ["images/victim.png"]}))
    with pytest.raises(UsageError, match="lies outside of the folder, by a link"):
        write(folder, size=1, force=True)
    assert victim.read_text() == "mine"


# --- the command ---------------------------------------------------------------------------------------


@pytest.mark.slow(0.6)
def test_the_command_writes_what_the_function_writes(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("data", "miniature", "--out", tmp_path / "new", "--size", "2", "--seed", "3") == 0
    assert files(tmp_path / "new") == files(small)
    assert "41 tasks of 2 queries" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["0", "-1", "1000", "many"])
def test_a_size_out_of_range_is_refused(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("data", "miniature", "--out", tmp_path / "new", "--size", size) == 2
    assert "--size" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    if size.lstrip("-").isdigit():
        with pytest.raises(UsageError, match=f"size {size}: a task has 1 to 999 rows"):
            write(tmp_path / "new", size=int(size))


def test_folders_that_cannot_be_written_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert command("data", "miniature", "--out", tmp_path / "file", "--size", "1") == 2
    assert "file is a file, not a folder" in capsys.readouterr().err
    assert command("data", "miniature", "--out", tmp_path / "file" / "below", "--size", "1") == 2
    assert "cannot be written: Not a directory: name a folder that can be" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    assert command("data", "miniature", "--out", tmp_path / "mine", "--size", "1") == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that nobody may write")
def test_where_nobody_may_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("data", "miniature", "--out", "/proc/miniature", "--size", "1") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o555)
    try:
        assert command("data", "miniature", "--out", tmp_path / "new", "--size", "1") == 2
    finally:
        tmp_path.chmod(0o755)
    assert "cannot be written" in capsys.readouterr().err


def test_the_commands_have_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("data", "miniature", "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: evalkit data miniature")
    assert "evalkit data miniature" in text.split("Example", 1)[1]

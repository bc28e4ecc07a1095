"""The task that ``evalkit new task`` writes."""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from builders import EXAMPLE

from evalkit.errors import UsageError, WriteError
from evalkit.example.palette import PALETTE
from evalkit.items import Box
from evalkit.suites.own import COUNTED, SAID
from evalkit.suites.skeleton import task_name, write_skeleton
from evalkit.suites.task import Task

FILES = [
    "README.md", "candidates.jsonl", "card.toml", "images/garden.png", "images/shelf.png", "images/table.png",
    "queries.jsonl",
]  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_it_is_a_task_called_like_its_folder(tmp_path):
    assert write_skeleton(tmp_path / "below/birds") == "birds"
    files = files_of(tmp_path / "below/birds")
    assert sorted(files) == FILES
    assert [entry.name for entry in (tmp_path / "below").iterdir()] == ["birds"]
    task = Task.from_folder(tmp_path / "below/birds")
    assert (task.card.name, task.card.queries, task.card.candidates, task.complete) == ("birds", 9, 9, True)
    assert task.warnings == ()
    readme = files["README.md"].decode()
    assert readme.startswith("# birds\n")
    assert "--tasks ./birds " in readme
    assert "my-task" not in readme + files["card.toml"].decode()


def test_the_same_bytes_every_time_and_as_in_the_repository(tmp_path):
    write_skeleton(tmp_path / "one/my-task")
    write_skeleton(tmp_path / "other/my-task")
    source = Path(__file__).parents[2] / "tasks/skeleton"
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")
    assert files_of(tmp_path / "one/my-task") == files_of(source)


def test_other_files_than_that_of_the_name_are_the_same(tmp_path):
    write_skeleton(tmp_path / "one")
    write_skeleton(tmp_path / "other")
    one, other = files_of(tmp_path / "one"), files_of(tmp_path / "other")
    assert {name for name in one if one[name] != other[name]} == {"README.md", "card.toml"}


def test_the_card_has_a_comment_for_every_field(tmp_path):
    """What is commented out is right, too."""
    write_skeleton(tmp_path / "mine")
    text = (tmp_path / "mine/card.toml").read_text()
    whole = text.replace("# citation", "citation").replace("# metrics", "metrics").replace("# candidate_", "candidate_")
    assert set(tomllib.loads(whole)) == {*SAID, *COUNTED}
    (tmp_path / "mine/card.toml").write_text(whole)
    assert Task.from_folder(tmp_path / "mine").card.citation.startswith("@misc")


def test_what_its_rows_say_is_in_the_pictures(tmp_path):
    """A box holds all pixels of the colour that its label names, and no other colour; whole pictures show both."""
    write_skeleton(tmp_path / "mine")
    task = Task.from_folder(tmp_path / "mine")
    for query, label in zip(task.queries, task.labels, strict=True):
        text = task.candidates[task.names.index(label)].text
        assert query.image is not None
        pixels = np.asarray(query.image.rgb())
        inside = np.ones(pixels.shape[:2], dtype=bool)
        if isinstance(query.region, Box):
            x0, y0, x1, y1 = map(int, query.region.corners)
            inside[:] = False
            inside[y0:y1, x0:x1] = True
        for colour, value in PALETTE.items():
            shown = (pixels == value).all(axis=2)
            assert (shown & inside).any() == (colour in text)
            if colour in text:
                assert not (shown & ~inside).any()
                rows, columns = np.nonzero(shown)
                if isinstance(query.region, Box):
                    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == query.region.corners


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("birds", "birds"), ("Birds_2+1.0", "Birds_2+1.0"), ("my birds", "my-birds"), ("vögel!", "v-gel"),
        (".hidden", "hidden"), ("-x-", "x"), ("鳥", "my-task"), ("", "my-task"),
        ("VOC2007", "my-VOC2007"), ("example", "my-example"), ("all", "my-all"),
    ],
)  # fmt: skip
def test_names_that_a_card_may_have(folder, name, tmp_path):
    assert task_name(folder) == name
    if folder:
        write_skeleton(tmp_path / folder)
        assert Task.from_folder(tmp_path / folder).card.name == name


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    inode = (tmp_path / "mine").stat().st_ino
    write_skeleton(tmp_path / "mine")
    assert sorted(files_of(tmp_path)) == [f"mine/{name}" for name in FILES]
    assert (tmp_path / "mine").stat().st_ino == inode, "whoever stands in it stays there"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert write_skeleton(Path()) == "here"
    assert sorted(files_of(tmp_path / "here")) == FILES
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    write_skeleton(tmp_path / "link")
    assert sorted(files_of(tmp_path / "target")) == FILES


def test_what_is_there_stays(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"full is not empty, it has notes.txt: name a folder that is empty"):
        write_skeleton(tmp_path / "full")
    with pytest.raises(UsageError, match=r"notes.txt is there and no folder"):
        write_skeleton(tmp_path / "full/notes.txt")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"dangling is there and no folder"):
        write_skeleton(tmp_path / "dangling")
    with pytest.raises(WriteError, match=r"cannot be written: File exists: name a folder that can be"):
        write_skeleton(tmp_path / "full/notes.txt/below")
    assert files_of(tmp_path) == {"full/notes.txt": b"mine"}


@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_left_of_what_failed(there, tmp_path, monkeypatch):
    """The disk is full at the last file."""
    place = tmp_path / "mine"
    if there:
        place.mkdir()
    write, written = Path.write_bytes, list[Path]()

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == len(FILES):
            raise OSError(28, os.strerror(28))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left on device"):
        write_skeleton(place)
    assert list(tmp_path.iterdir()) == ([place] if there else [])
    assert not there or list(place.iterdir()) == []


def test_it_is_none_of_the_example(tmp_path):
    """Whoever runs both gets vectors of other images."""
    digests = {hashlib.sha256(file.read_bytes()).digest() for file in EXAMPLE.rglob("*.png")}
    write_skeleton(tmp_path / "mine")
    assert not digests & {hashlib.sha256(data).digest() for name, data in files_of(tmp_path / "mine").items()}

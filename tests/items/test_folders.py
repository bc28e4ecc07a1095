"""Image folders: several of them, links, and names that are nearly right."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import PIL.Image
import pytest
from builders import draw_images, golden, run, tasks_of, write

from evalkit.errors import ImageError
from evalkit.items.folders import ImageFolders, posix
from evalkit.items.images import ImageFile
from evalkit.suites.task import DataFolder

SCAR = "SCaR/RefCOCOg"


def draw(file: Path, colour: tuple[int, int, int] = (200, 10, 10)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 6), colour).save(file, "PNG")


def message(folder: DataFolder, path: str) -> str:
    with pytest.raises(ImageError) as error:
        folder.image(path).read()
    return str(error.value)


# --- several folders ---------------------------------------------------------------------------------


def test_a_path_is_that_of_the_first_folder_that_has_it(tmp_path):
    one, two, data = tmp_path / "one", tmp_path / "two", tmp_path / "data"
    for folder, names in ((one, "ab"), (two, "bc"), (data / "images", "cd")):
        for name in names:
            draw(folder / "x" / f"{name}.png")
    folder = DataFolder.at(data, [one, two])
    assert folder.images == one
    roots = {name: folder.image(f"x/{name}.png").root for name in "abcd"}
    assert roots == {"a": one, "b": one, "c": two, "d": data / "images"}
    assert "is missing (images are looked for below --images, here " in message(folder, "x/e.png")
    for place in (one, two, data / "images"):
        assert str(place) in message(folder, "x/e.png")


def test_folders_say_nothing_of_paths_that_leave_them(tmp_path):
    draw(tmp_path / "secret.png")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (tmp_path / "images").mkdir()
    folder = DataFolder.at(tmp_path, [one, two], follow_links=True)
    for path in ("../secret.png", str(tmp_path / "secret.png"), "x/../../secret.png", "..\\secret.png", "a\0.png", ""):
        assert "refused" in message(folder, path)


# --- links -------------------------------------------------------------------------------------------


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """SCaR as people lay it out: its folders of images are links to where the originals are."""
    columns = golden(SCAR) | {"bbox": [[1.0, 1.0, 2.0, 2.0]] * 3}
    write(tmp_path / "data", SCAR, columns)
    draw_images(tmp_path / "drawn", columns)
    (tmp_path / "drawn/images/refcocog_val").rename(tmp_path / "originals")
    (tmp_path / "data/images").mkdir()
    (tmp_path / "data/images/refcocog_val").symlink_to(tmp_path / "originals")
    return tmp_path / "data"


def test_the_advice_about_a_link_works_as_it_says(linked, tmp_path):
    assert run(tmp_path / "runs", "random", tasks=SCAR, data=linked) == 4
    says = tasks_of(tmp_path / "runs")[SCAR]["error"]["message"]
    assert "is a link that leads out of the images folder DATA/images: refused" in says
    assert "--images" in says
    assert "--follow-links" in says
    assert str(tmp_path) not in says
    named = tmp_path / "originals"
    assert f"name its folder, {named}," in message(DataFolder.at(linked), golden(SCAR)["qry_image_path"][0])
    signatures = set()
    for number, more in enumerate((["--images", named], ["--follow-links"], ["--images", tmp_path])):
        assert run(tmp_path / f"{number}", "random", tasks=SCAR, data=linked, more=more) == 0
        signatures.add(tasks_of(tmp_path / f"{number}")[SCAR]["signature"])
    assert len(signatures) == 1  # how the pixels were found is no part of a number


def test_a_link_to_elsewhere_is_refused_all_the_same(linked, tmp_path):
    draw(tmp_path / "secret.png")
    (tmp_path / "originals" / "link.png").symlink_to(tmp_path / "secret.png")
    folder = DataFolder.at(linked, [tmp_path / "originals"])
    assert "is a link that leads out of" in message(folder, "refcocog_val/link.png")
    assert "is a link that leads out of" in message(folder, "link.png")
    assert DataFolder.at(linked, follow_links=True).image("refcocog_val/link.png").read()


def test_links_that_lead_in_a_circle_or_nowhere_are_errors(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").symlink_to(images / "b.png")
    (images / "b.png").symlink_to(images / "a.png")
    (images / "c.png").symlink_to(images / "nowhere.png")
    for follow in (False, True):
        folder = DataFolder.at(tmp_path, follow_links=follow)
        assert "cannot be read" in message(folder, "a.png")
        assert "is missing" in message(folder, "c.png")


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "lies", "says"),
    [
        ("Set/a.png", "Set/a.PNG", "but 'Set/a.PNG' lies there"),
        ("Set/a.jpg", "Set/a.jpeg", "but 'Set/a.jpeg' lies there"),
        ("Set/a.jpg", "Set/A.PNG", "but 'Set/A.PNG' lies there"),
        ("set/a.png", "Set/a.png", "but 'Set/a.png' lies there"),
        ("set/a.jpg", "SET/A.jpeg", "but 'SET/A.jpeg' lies there"),
        (unicodedata.normalize("NFD", "Set/é.png"), unicodedata.normalize("NFC", "Set/é.png"), "another Unicode form"),
        (unicodedata.normalize("NFC", "Sét/e.png"), unicodedata.normalize("NFD", "Sét/e.png"), "another Unicode form"),
    ],
)
def test_a_near_name_is_named(written, lies, says, tmp_path):
    draw(tmp_path / "images" / lies)
    found = message(DataFolder.at(tmp_path), written)
    assert says in found
    assert "rename it, or mend the row" in found


def test_what_is_not_near_is_not_named(tmp_path):
    draw(tmp_path / "images" / "Set" / "a.png")
    (tmp_path / "images" / "Set" / "b.txt").write_text("")
    for path in ("Set/c.png", "Set/b.png", "Other/a.png", "Set/a.png/a.png"):
        assert "lies there" not in message(DataFolder.at(tmp_path), path)


def test_a_folder_is_listed_once_however_many_of_its_images_are_missing(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: listed.append(place) or scandir(place))
    folders = ImageFolders((tmp_path / "images",))
    assert [folders.near(f"{number}.png") for number in range(100)] == [None] * 100
    assert len(listed) == 1
    draw(tmp_path / "images" / "5.PNG")  # a folder that has changed is listed anew
    assert folders.near("5.png") == "5.PNG"


# --- written on Windows ------------------------------------------------------------------------------


def test_backslashes_are_read_where_they_can_be_meant_in_one_way():
    assert posix("a\\b\\c.png") == "a/b/c.png"
    assert posix("a/b\\c.png") == "a/b/c.png"
    for path in ("C:\\a.png", "c:a\\b.png", "\\\\server\\a.png", "a/b.png"):
        assert posix(path) == path


@pytest.mark.parametrize("name", ["WebQA", "OK-VQA", SCAR])
def test_rows_written_on_windows_give_the_same_number(name, tmp_path):
    columns = golden(name)
    if "bbox" in columns:
        columns["bbox"] = [[1.0, 1.0, 2.0, 2.0]] * 3
    draw_images(tmp_path / "here", columns)
    write(tmp_path / "here", name, columns)
    windows = {
        column: [
            value.replace("/", "\\") if isinstance(value, str) else [path.replace("/", "\\") for path in value]
            for value in values
        ]
        if column.endswith(("img_path", "image_path"))
        else values
        for column, values in columns.items()
    }
    assert windows != columns
    write(tmp_path / "there", name, windows)
    assert run(tmp_path / "one", "random", tasks=name, data=tmp_path / "here") == 0
    more = ["--images", tmp_path / "here/images"]
    assert run(tmp_path / "other", "random", tasks=name, data=tmp_path / "there", more=more) == 0
    assert tasks_of(tmp_path / "one") == tasks_of(tmp_path / "other")


def test_a_drive_is_refused_with_the_reason(tmp_path):
    (tmp_path / "images").mkdir()
    found = message(DataFolder.at(tmp_path), "C:\\images\\a.png")
    assert "has a backslash or a drive, as on Windows" in found
    assert "leaves" not in found


@pytest.mark.parametrize("path", ["C:/a.png", "C:a.png", "c:/x/a.png"])
def test_a_drive_is_refused_whatever_follows_it(path, tmp_path):
    draw(tmp_path / "images" / path)
    assert "has a backslash or a drive, as on Windows" in message(DataFolder.at(tmp_path), path)


def test_a_link_to_nothing_hides_no_image_of_another_folder(tmp_path):
    for name in ("one", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/a.png").symlink_to(tmp_path / "one/nowhere.png")
    draw(tmp_path / "two/a.png")
    assert DataFolder.at(tmp_path / "data", [tmp_path / "one", tmp_path / "two"]).image("a.png").facts().width == 8
    (tmp_path / "two/a.png").unlink()
    found = message(DataFolder.at(tmp_path / "data", [tmp_path / "two", tmp_path / "one"]), "a.png")
    assert f"{tmp_path / 'one/a.png'} is missing: it is a link to {tmp_path / 'one/nowhere.png'}" in found


def test_the_folder_is_named_that_an_image_is_missing_from(tmp_path):
    (tmp_path / "images").mkdir()
    found = message(DataFolder.at(tmp_path), "a.png")
    assert f"(images are looked for below {tmp_path / 'images'}; --images names others)" in found


def test_an_image_of_one_folder_needs_no_others(tmp_path):
    draw(tmp_path / "a.png")
    assert ImageFile(tmp_path, "a.png").facts().width == 8

"""Images of sample pages: what is embedded, what never is, and where a region lies on it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from evalkit.errors import ResultsError
from evalkit.items import Box, Item, Mask, Point, Points
from evalkit.items.images import ImageFile
from evalkit.leaderboard.samples.media import Gallery, Mark, ShownImage
from evalkit.suites.task import DataFolder

MODES = ("none", "thumbnails", "full")


def draw(folder: Path, name: str, width: int, height: int, seed: int = 0, **options) -> np.ndarray:
    """An image without two pixels alike, as it can be: its pixels, shape (height, width, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = folder / "images" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(file, **options)
    with PIL.Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def gallery(folder: Path, mode: str = "full") -> Gallery:
    (folder / "images").mkdir(exist_ok=True)
    return Gallery(mode, DataFolder.at(folder))


def item(folder: Path, name: str, region=None, **options) -> Item:
    return Item("<image>", image=ImageFile(folder / "images", name, **options), region=region)


def opened(content: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(content))


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(opened(content).convert("RGB"))


def test_nothing_is_embedded_unless_it_is_asked_for(tmp_path):
    draw(tmp_path, "a.png", 60, 40)
    hall = gallery(tmp_path, "none")
    picture, marks = hall.shown(item(tmp_path, "a.png"))
    assert picture == ShownImage("a.png", None, None, None, "not embedded (--media none)")
    assert (marks, hall.files) == ((), {})
    # The region can be drawn all the same, in a frame of the right size.
    picture, marks = hall.shown(item(tmp_path, "a.png", Box(1, 2, 30, 40), upright=False))
    assert picture == ShownImage("a.png", None, 60, 40, "not embedded (--media none)")
    assert (marks, hall.files) == ((Mark(box=(1, 2, 30, 40)),), {})


@pytest.mark.parametrize(
    ("size", "small"), [((600, 300), (256, 128)), ((300, 900), (85, 256)), ((40, 30), (40, 30)), ((2000, 1), (256, 1))]
)
def test_a_thumbnail_is_small_and_tells_the_size_of_the_stored_image(tmp_path, size, small):
    draw(tmp_path, "a.png", *size)
    hall = gallery(tmp_path, "thumbnails")
    picture, _ = hall.shown(item(tmp_path, "a.png", Box(0, 0, 1, 1), upright=False))
    assert (picture.width, picture.height) == size
    (content,) = (make() for make in hall.files.values())
    assert (opened(content).format, opened(content).size) == ("WEBP", small)


def test_a_thumbnail_shows_the_image(tmp_path):
    half = np.zeros((400, 800, 3), dtype=np.uint8)
    half[:, 400:, 0] = 255  # black, then red
    (tmp_path / "images").mkdir()
    PIL.Image.fromarray(half).save(tmp_path / "images" / "a.png")
    hall = gallery(tmp_path, "thumbnails")
    hall.shown(item(tmp_path, "a.png"))
    (shown,) = (pixels_of(make()).astype(int) for make in hall.files.values())
    assert np.abs(shown[:, :120]).max() < 20
    assert np.abs(shown[:, 136:] - [255, 0, 0]).max() < 20


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif"])
def test_full_has_every_pixel(tmp_path, name):
    stored = draw(tmp_path, name, 50, 30)
    hall = gallery(tmp_path)
    picture, _ = hall.shown(item(tmp_path, name))
    assert (picture.path, picture.width, picture.height, picture.missing) == (name, 50, 30, None)
    assert set(hall.files) == {picture.href}
    content = hall.files[picture.href]()
    assert opened(content).format == "WEBP"
    assert (pixels_of(content) == stored).all()


def test_full_has_every_pixel_of_what_is_too_long_for_webp(tmp_path):
    stored = draw(tmp_path, "a.png", 16_384, 2)
    hall = gallery(tmp_path)
    picture, _ = hall.shown(item(tmp_path, "a.png"))
    content = hall.files[picture.href]()
    assert (Path(picture.href).suffix, opened(content).format) == (".png", "PNG")
    assert (pixels_of(content) == stored).all()


def turned_jpeg(folder: Path, width: int = 64, height: int = 32) -> np.ndarray:
    """A photo that a camera says is lying on its side, and where it was taken; its stored pixels."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0)})  # GPS
    return draw(folder, "turned.jpg", width, height, exif=exif, comment=b"SECRETCOMMENT")


def test_the_cameras_orientation_is_applied_where_there_is_no_region(tmp_path):
    stored = turned_jpeg(tmp_path)
    hall = gallery(tmp_path)
    picture, _ = hall.shown(item(tmp_path, "turned.jpg"))
    assert (picture.width, picture.height) == (32, 64)
    assert (pixels_of(hall.files[picture.href]()) == np.rot90(stored, -1)).all()
    picture, _ = hall.shown(item(tmp_path, "turned.jpg", upright=False))  # --exif ignore
    assert (picture.width, picture.height) == (64, 32)
    assert (pixels_of(hall.files[picture.href]()) == stored).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("upright", [False, True])
def test_an_image_with_a_region_is_never_turned(tmp_path, mode, upright):
    """A box counts stored pixels, whatever a suite says of the image."""
    stored = turned_jpeg(tmp_path)
    hall = gallery(tmp_path, mode)
    picture, marks = hall.shown(item(tmp_path, "turned.jpg", Box(40, 5, 60, 25), upright=upright))
    assert (picture.width, picture.height) == (64, 32)
    assert marks == (Mark(box=(40, 5, 60, 25)),)
    if mode == "full":
        shown = pixels_of(hall.files[picture.href]())
        assert (shown[5:25, 40:60] == stored[5:25, 40:60]).all()


@pytest.mark.parametrize("mode", ["thumbnails", "full"])
def test_what_a_camera_wrote_beside_the_pixels_is_not_published(tmp_path, mode):
    turned_jpeg(tmp_path)
    assert b"SECRETCAMERA" in (tmp_path / "images" / "turned.jpg").read_bytes()
    hall = gallery(tmp_path, mode)
    hall.shown(item(tmp_path, "turned.jpg"))
    (content,) = (make() for make in hall.files.values())
    assert b"SECRET" not in content
    assert not opened(content).getexif()
    assert set(opened(content).info) <= {"loop", "background", "timestamp", "duration"}  # as Pillow has it of any WebP


def test_one_image_is_one_file_whatever_it_is_called(tmp_path):
    draw(tmp_path, "a.png", 20, 10, seed=1)
    draw(tmp_path, "b/c.bmp", 20, 10, seed=1)
    draw(tmp_path, "d.png", 20, 10, seed=2)
    draw(tmp_path, "e.png", 10, 20, seed=1)  # the same bytes in another shape
    hall = gallery(tmp_path)
    hrefs = [hall.shown(item(tmp_path, name))[0].href for name in ("a.png", "b/c.bmp", "d.png", "e.png", "a.png")]
    assert hrefs[0] == hrefs[1] == hrefs[4]
    assert len(set(hrefs)) == len(hall.files) == 3


@pytest.mark.parametrize("mode", ["thumbnails", "full"])
def test_the_same_images_give_the_same_files(tmp_path, mode):
    turned_jpeg(tmp_path, 640, 480)

    def made() -> dict[str, bytes]:
        hall = gallery(tmp_path, mode)
        hall.shown(item(tmp_path, "turned.jpg"))
        return {name: make() for name, make in hall.files.items()}

    assert made() == made()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/hostname", "link.png", "way/secret.png", "a\\b.png", "n\0.png"]
)
def test_no_path_leaves_the_images_folder(tmp_path, mode, path):
    """Neither do its pixels reach a page, nor where it lies."""
    draw(tmp_path, "inside.png", 20, 10)
    PIL.Image.new("RGB", (20, 10), "red").save(tmp_path / "secret.png")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "way").symlink_to(tmp_path)
    hall = gallery(tmp_path, mode)
    picture, _ = hall.shown(item(tmp_path, path, Box(0, 0, 5, 5), upright=False))
    assert (picture.href, picture.width, picture.height) == (None, None, None)
    assert "images folder" in picture.missing
    assert str(tmp_path) not in picture.missing
    assert hall.files == {}


@pytest.mark.parametrize("mode", ["thumbnails", "full"])
@pytest.mark.parametrize(
    ("content", "reason"), [(None, "missing"), (b"no image", "not one of"), (b"cut", "truncated"), (b"bomb", "pixels")]
)
def test_an_image_that_cannot_be_shown_is_named_with_the_reason(tmp_path, mode, content, reason):
    file = tmp_path / "images" / "a.png"
    draw(tmp_path, "a.png", 60, 40)
    if content is None:
        file.unlink()
    elif content == b"cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif content == b"bomb":
        PIL.Image.new("1", (10_000, 9_000)).save(file)
    else:
        file.write_bytes(content)
    hall = gallery(tmp_path, mode)
    picture, marks = hall.shown(item(tmp_path, "a.png", Box(1, 2, 3, 4), upright=False))
    assert (picture.path, picture.href, picture.width) == ("a.png", None, None)
    assert reason in picture.missing
    assert str(tmp_path) not in picture.missing
    assert hall.files == {}
    assert marks == (Mark(box=(1, 2, 3, 4)),)


def test_an_image_that_changes_meanwhile_is_not_published_under_the_old_name(tmp_path):
    draw(tmp_path, "a.png", 20, 10, seed=1)
    hall = gallery(tmp_path)
    picture, _ = hall.shown(item(tmp_path, "a.png"))
    draw(tmp_path, "a.png", 20, 10, seed=2)
    with pytest.raises(ResultsError, match=r"a\.png has changed"):
        hall.files[picture.href]()


def test_points_keep_their_places_and_their_labels(tmp_path):
    draw(tmp_path, "a.png", 20, 10)
    hall = gallery(tmp_path)
    _, marks = hall.shown(item(tmp_path, "a.png", Point(3.5, 4), upright=False))
    assert marks == (Mark(points=((3.5, 4, True),)),)
    clicks = Points((Point(1, 2), Point(3, 4)), (Point(5, 6),))
    _, marks = hall.shown(item(tmp_path, "a.png", clicks, upright=False))
    assert marks == (Mark(points=((1, 2, True), (3, 4, True), (5, 6, False))),)


def masked(folder: Path, name: str = "mask.png", size: tuple[int, int] = (20, 10)) -> tuple[Mask, np.ndarray]:
    """A mask of scattered pixels, some of them nearly black."""
    inside = np.random.default_rng(5).random((size[1], size[0])) < 0.3
    grey = np.where(inside, np.random.default_rng(6).choice([1, 128, 255], inside.shape), 0).astype(np.uint8)
    PIL.Image.fromarray(grey).save(folder / "images" / name)
    return Mask(ImageFile(folder / "images", name, upright=False)), inside


@pytest.mark.parametrize("mode", ["thumbnails", "full"])
def test_a_mask_is_white_where_the_region_is_and_transparent_elsewhere(tmp_path, mode):
    draw(tmp_path, "a.png", 20, 10)
    mask, inside = masked(tmp_path)
    hall = gallery(tmp_path, mode)
    _, (mark,) = hall.shown(item(tmp_path, "a.png", mask, upright=False))
    assert (mark.box, mark.points, mark.missing) == (None, (), None)
    content = hall.files[mark.mask]()
    assert opened(content).format == "PNG"
    shown = np.asarray(opened(content).convert("RGBA"))
    assert shown.shape == (10, 20, 4)
    assert ((shown[:, :, 3] == 255) == inside).all()
    assert ((shown[:, :, 3] == 0) == ~inside).all()
    assert (shown[inside] == 255).all()


def test_a_mask_that_cannot_be_drawn_is_left_out_with_the_reason(tmp_path):
    draw(tmp_path, "a.png", 20, 10)
    draw(tmp_path, "b.png", 21, 10)
    mask, _ = masked(tmp_path)
    nowhere = Mask(ImageFile(tmp_path / "images", "none.png", upright=False))
    hall = gallery(tmp_path)
    for name, region, reason in (
        ("b.png", mask, "20 x 10"),
        ("a.png", nowhere, "missing"),
        ("none.png", mask, "not there"),
    ):
        _, (mark,) = hall.shown(item(tmp_path, name, region, upright=False))
        assert mark.mask is None
        assert reason in mark.missing
        assert str(tmp_path) not in mark.missing
    _, (mark,) = hall.shown(item(tmp_path, "a.png", mask, upright=False))
    assert mark.mask in hall.files
    hall = gallery(tmp_path, "none")
    _, (mark,) = hall.shown(item(tmp_path, "a.png", mask, upright=False))
    assert mark == Mark(missing="mask not embedded (--media none)")
    assert hall.files == {}


def test_a_cut_image_shows_the_cut(tmp_path):
    stored = draw(tmp_path, "a.png", 20, 10)
    hall = gallery(tmp_path)
    picture, _ = hall.shown(item(tmp_path, "a.png", Box(0, 0, 2, 2), upright=False, crop=(5, 1, 15, 9)))
    assert (picture.width, picture.height) == (10, 8)
    assert (pixels_of(hall.files[picture.href]()) == stored[1:9, 5:15]).all()


def test_an_item_without_image_shows_nothing(tmp_path):
    assert gallery(tmp_path).shown(Item("words", text="words")) == (None, ())

"""Images in every kind that Pillow reads, and everything that must be refused, as real files."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evalkit.errors import ImageError
from evalkit.items.images import MAX_PIXELS, ImageFile, decode

HEIGHT, WIDTH = 9, 14
ORIENTATION = 0x0112

# Where the first row and the first column of the stored pixels are on the upright picture (EXIF 2.32, 4.6.4 A).
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def picture(seed: int = 0) -> np.ndarray:
    """uint8, shape (HEIGHT, WIDTH, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(data: bytes, upright: bool = True) -> np.ndarray:
    image = decode(data, name="a.img", upright=upright)
    assert image.mode == "RGB"
    return np.asarray(image)


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """The upright picture, pixel by pixel, from the definition of the EXIF tag."""
    rows, columns = stored.shape[:2]
    row_side, column_side = SIDES[orientation]
    shape = (rows, columns) if row_side in ("top", "bottom") else (columns, rows)
    upright = np.zeros((*shape, 3), dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            place = {"top": 0, "left": 0}
            for side, at, last in ((row_side, r, rows - 1), (column_side, c, columns - 1)):
                axis = "top" if side in ("top", "bottom") else "left"
                place[axis] = at if side in ("top", "left") else last - at
            upright[place["top"], place["left"]] = stored[r, c]
    return upright


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block


def png_of(width: int, height: int, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG file by its specification, whatever its header claims."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def grey_tiff(bits: int, photometric: int, strip: bytes, width: int) -> bytes:
    """An uncompressed TIFF of one row by its specification."""
    tags = ((256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1))
    tags = (*tags, (279, len(strip)))
    folder = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHIHH", tag, 3, 1, v, 0) for tag, v in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + folder + bytes(4)


# What can be decoded rightly.


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_is_kept_to_the_pixel(format):
    assert (pixels(encoded(Image.fromarray(picture()), format)) == picture()).all()


def test_lossless_webp_and_gif_are_read():
    assert (pixels(encoded(Image.fromarray(picture()), "WEBP", lossless=True)) == picture()).all()
    grey = picture()[..., 0]
    assert (pixels(encoded(Image.fromarray(grey), "GIF")) == grey[..., None]).all()


def test_grey_becomes_rgb():
    grey = picture()[..., 0]
    assert (pixels(encoded(Image.fromarray(grey), "PNG")) == grey[..., None]).all()


def test_one_bit_becomes_black_and_white():
    bits = picture()[..., 0] > 127
    assert (pixels(encoded(Image.fromarray(bits), "PNG")) == (bits * 255)[..., None]).all()


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(100, 150))], ids=["opaque", "one index", "a table"])
def test_palette_becomes_its_colours_whatever_is_transparent(transparency):
    places = picture()[..., 0] % 50
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(places)
    image.putpalette(palette.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    data = encoded(image, "PNG", **options)
    assert (pixels(data) == palette[places]).all()  # no warning either: pytest turns warnings into errors


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_dropped_and_not_mixed_in(mode):
    values = picture()
    values = values if mode == "RGBA" else values[..., :1]
    alpha = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    alpha[0] = 0  # colours below full transparency stay, too
    image = Image.fromarray(np.concatenate([values, alpha], axis=-1))
    assert image.mode == mode
    assert (pixels(encoded(image, "PNG")) == values).all()


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
    ids=["paper", "cyan", "magenta", "yellow", "black"],
)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_inks_become_the_colours_they_print(ink, colour, format):
    data = encoded(Image.new("CMYK", (16, 16), ink), format)
    assert np.abs(pixels(data).astype(int) - colour).max() <= 2


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=12))
def test_sixteen_bit_grey_is_scaled_by_its_white(values):
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    grey = pixels(png_of(len(values), 1, bits=16, colour=0, data=row))[0, :, 0]
    # Each 8-bit step stands for 257 of 16 bits; the nearest one is at most half a step away.
    assert all(abs(int(got) * 257 - value) * 2 <= 257 for got, value in zip(grey, values, strict=True))


@pytest.mark.parametrize("value", [(65535, 255), (32768, 128), (0, 0), (256, 1), (128, 0), (129, 1)])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "TIFF LZW", "PPM"])
def test_sixteen_bit_grey_at_its_landmarks(value, form):
    stored, shown = value
    if form == "PPM":
        data = b"P5 2 1 65535\n" + struct.pack(">2H", stored, stored)
    elif form == "PNG":
        data = png_of(2, 1, bits=16, colour=0, data=b"\0" + struct.pack(">2H", stored, stored))
    else:
        image = Image.fromarray(np.full((1, 2), stored, dtype=np.uint16))
        data = encoded(image, "TIFF", compression="tiff_lzw" if "LZW" in form else None)
    assert pixels(data).tolist() == [[[shown] * 3] * 2]


def test_sixteen_bit_colour_and_grey_with_alpha_are_cut_to_eight():
    colour = png_of(1, 1, bits=16, colour=2, data=b"\0" + struct.pack(">3H", 65535, 32768, 0))
    assert pixels(colour).tolist() == [[[255, 128, 0]]]
    grey = png_of(1, 1, bits=16, colour=4, data=b"\0" + struct.pack(">2H", 32768, 0))
    assert pixels(grey).tolist() == [[[128, 128, 128]]]


def test_first_frame_of_an_animation_is_the_picture():
    frames = [Image.fromarray(picture(seed)) for seed in (0, 1)]
    data = encoded(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])
    assert (pixels(data) == picture(0)).all()


def test_camera_file_with_two_pictures_is_its_first():
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "MPO"  # or else this test would show nothing
    assert np.abs(pixels(data).astype(int) - (255, 0, 0)).max() <= 2


# Orientation.


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_camera_orientation(format, options, orientation):
    data = encoded(Image.fromarray(picture()), format, exif=exif(orientation), **options)
    with Image.open(io.BytesIO(data)) as plain:
        stored = np.asarray(plain)
    assert (pixels(data, upright=False) == stored).all()
    assert (pixels(data, upright=True) == turned(stored, orientation)).all()


@pytest.mark.parametrize("orientation", SIDES)
def test_sixteen_bit_grey_is_turned_too(orientation):
    stored = picture()[..., 0].astype(np.uint16) * 257
    data = encoded(Image.fromarray(stored), "PNG", exif=exif(orientation))
    assert (pixels(data) == turned(np.repeat(picture()[..., :1], 3, axis=2), orientation)).all()


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_tiff_is_turned_once_where_it_is_asked_for_and_else_is_as_stored(orientation, compression, tmp_path):
    data = encoded(Image.fromarray(picture()), "TIFF", exif=exif(orientation), compression=compression)
    assert (pixels(data, upright=True) == turned(picture(), orientation)).all()
    assert (pixels(data, upright=False) == picture()).all()
    (tmp_path / "a.tif").write_bytes(data)
    for upright in (True, False):
        facts = ImageFile(tmp_path, "a.tif", upright=upright).facts()
        assert (facts.height, facts.width) == picture().shape[:2]
    cut = ImageFile(tmp_path, "a.tif", upright=False, crop=(1, 0, 3, 2))
    assert (np.asarray(cut.rgb()) == picture()[0:2, 1:3]).all()


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "RGBA", "CMYK"])
def test_a_tiff_of_any_mode_is_turned_as_its_pixels_are(orientation, mode):
    image = Image.fromarray(picture())
    image = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    stored = pixels(encoded(image, "TIFF"))
    data = encoded(image, "TIFF", exif=exif(orientation))
    assert (pixels(data, upright=False) == stored).all()
    assert (pixels(data, upright=True) == turned(stored, orientation)).all()


@pytest.mark.parametrize("upright", [True, False])
def test_no_orientation_is_left_for_others_to_apply(upright):
    data = encoded(Image.fromarray(picture()), "JPEG", exif=exif(6))
    image = decode(data, name="a.jpg", upright=upright)
    assert image.info == {}
    assert dict(image.getexif()) == {}


def test_orientation_without_meaning_is_none():
    data = encoded(Image.fromarray(picture()), "PNG", exif=exif(9))
    assert (pixels(data) == picture()).all()


def test_orientation_is_applied_beside_values_that_cannot_be_written_again():
    # A directory whose Orientation (6) is followed by a SHORT tag of text: Pillow reads it and cannot write it.
    block = exif(6)
    block[0x010F] = "maker"
    data = bytearray(encoded(Image.fromarray(picture()), "JPEG", exif=block))
    maker = bytes((0x01, 0x0F, 0x00, 0x02)) if b"Exif\0\0MM" in data else bytes((0x0F, 0x01, 0x02, 0x00))
    assert data.count(maker) == 1
    at = data.find(maker)
    # ResolutionUnit is written as one SHORT; here it holds text.
    data[at : at + 2] = bytes((0x01, 0x28)) if b"Exif\0\0MM" in data else bytes((0x28, 0x01))
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as plain:
        stored = np.asarray(plain)
        with pytest.raises(struct.error):
            ImageOps.exif_transpose(plain)
    assert (pixels(bytes(data)) == turned(stored, 6)).all()


# What is refused.


def refused(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name="photos/a.jpg", upright=True)
    assert "photos/a.jpg" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("format", "share"), [("JPEG", 0.6), ("PNG", 0.5), ("PNG", 0.9), ("GIF", 0.5), ("WEBP", 0.8)])
def test_header_alone_is_not_enough(format, share, tmp_path):
    data = encoded(Image.fromarray(np.tile(picture(), (8, 8, 1))), format)
    cut = data[: int(len(data) * share)]
    assert "leave its row out" in refused(cut)
    if format != "WEBP":  # whose header says how long the file is
        (tmp_path / "a.jpg").write_bytes(cut)
        facts = ImageFile(tmp_path, "a.jpg").facts()  # the header can be read, and says the size
        assert (facts.width, facts.height) == (WIDTH * 8, HEIGHT * 8)


@given(st.data())
def test_what_is_cut_off_is_refused_or_was_not_needed(data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]))
    whole = encoded(Image.fromarray(picture()), format)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about TIFF directories
        try:
            got = pixels(cut)
        except ImageError:
            return
        assert (got == pixels(whole)).all()


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_file_is_decoded_or_refused_and_nothing_else(data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "PPM"]))
    options = {"exif": exif(6)} if format in ("JPEG", "PNG", "WEBP") else {}
    damaged = bytearray(encoded(Image.fromarray(picture()), format, **options))
    for place in data.draw(st.lists(st.integers(0, min(len(damaged), 300) - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = pixels(bytes(damaged))
        except ImageError as error:
            message = str(error)
        else:
            assert got.ndim == 3
            return
    assert "a.img" in message


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff", b"The quick brown fox, in a file called a.jpg\n", b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n"],
    ids=["no bytes", "three bytes", "text", "EPS"],
)
def test_what_is_no_image_is_refused_with_its_size(data):
    message = refused(data)
    assert f"({len(data)} bytes)" in message
    assert "PNG" in message


def test_eps_is_refused_though_pillow_would_open_it():
    eps = encoded(Image.fromarray(picture()), "EPS")
    with Image.open(io.BytesIO(eps)) as opened:
        assert opened.format == "EPS"  # opening it would run Ghostscript next
    assert "not one of" in refused(eps)


def test_samples_of_unknown_range_are_refused():
    assert "floating-point" in refused(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))
    assert "32-bit" in refused(encoded(Image.new("I", (4, 4), 70_000), "TIFF"))
    assert "Lab" in refused(encoded(Image.new("LAB", (4, 4)), "TIFF"))


def test_grey_tiff_that_pillow_hands_out_wrongly_is_refused():
    assert pixels(grey_tiff(16, 1, struct.pack("<2H", 0, 65535), 2))[..., 0].tolist() == [[0, 255]]
    assert "12 bits" in refused(grey_tiff(12, 1, b"\xff\xf0\x00\x00", 2))
    assert "white as 0" in refused(grey_tiff(16, 0, struct.pack("<2H", 0, 65535), 2))


@pytest.mark.parametrize(
    ("width", "height"), [(100_000, 100_000), (10_000, 8_948), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)]
)
@pytest.mark.parametrize("strict", [True, False], ids=["warnings are errors", "warnings are ignored"])
def test_too_many_pixels_are_refused_by_the_header_alone(width, height, strict, tmp_path):
    (tmp_path / "huge.png").write_bytes(png_of(width, height))
    for look in (ImageFile(tmp_path, "huge.png").facts, ImageFile(tmp_path, "huge.png").rgb):
        with warnings.catch_warnings():
            warnings.simplefilter("error" if strict else "ignore")
            with pytest.raises(ImageError, match=r"huge\.png") as caught:
                look()
        assert "down or leave its row out" in str(caught.value)


def test_the_last_allowed_size_raises_no_warning(tmp_path):
    side = 9459  # 9459 x 9459 = 89,472,681: just below the limit
    assert MAX_PIXELS - 10_000 < side * side <= MAX_PIXELS
    (tmp_path / "a.png").write_bytes(png_of(side, side, bits=1, colour=0, data=b""))
    facts = ImageFile(tmp_path, "a.png").facts()  # warnings are errors here
    assert (facts.width, facts.height) == (side, side)


def test_no_picture_at_all_is_refused():
    assert refused(png_of(0, 0))
    assert refused(png_of(0, 5))


# Places.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An images folder with one image in a subfolder, and a secret beside it."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.png").write_bytes(encoded(Image.fromarray(picture()), "PNG"))
    (tmp_path / "secret.png").write_bytes(encoded(Image.fromarray(picture(1)), "PNG"))
    return root


def every_way(image: ImageFile) -> list[str]:
    """The messages of all ways to look into an image file."""
    messages = []
    for look in (image.location, image.read, image.facts, image.sha256, image.rgb):
        with pytest.raises(ImageError) as caught:
            look()
        messages.append(str(caught.value))
    return messages


@pytest.mark.parametrize(
    "path",
    [
        "{root}/sub/a.png",
        "/etc/passwd",
        "../secret.png",
        "sub/../../secret.png",
        "sub/../sub/a.png",
        "..",
        "..\\secret.png",
        "sub\\a.png",
        "sub/a.png\0.jpg",
        "",
        ".",
        "\ud800.png",
    ],
)
def test_path_that_could_lead_out_is_refused(folder, path):
    written = path.format(root=folder)
    for message in every_way(ImageFile(folder, written)):
        assert repr(written) in message
        assert str(folder) in message


@pytest.mark.parametrize("to", ["file", "folder"])
def test_link_that_leads_out_is_refused(folder, to):
    if to == "file":
        (folder / "link.png").symlink_to(folder.parent / "secret.png")
        path = "link.png"
    else:
        (folder / "out").symlink_to(folder.parent)
        path = "out/secret.png"
    for message in every_way(ImageFile(folder, path)):
        assert repr(path) in message
        assert "--images" in message


def test_link_to_a_neighbour_whose_name_begins_alike_leads_out(folder):
    other = folder.parent / "images-2"
    other.mkdir()
    (other / "a.png").write_bytes(b"")
    (folder / "link.png").symlink_to(other / "a.png")
    assert "leads out" in every_way(ImageFile(folder, "link.png"))[0]


def test_links_inside_and_a_linked_images_folder_are_fine(folder, tmp_path):
    (folder / "again").symlink_to(folder / "sub")
    (folder / "b.png").symlink_to("sub/a.png")
    (tmp_path / "elsewhere").symlink_to(folder)
    for root in (folder, tmp_path / "elsewhere"):
        for path in ("sub/a.png", "again/a.png", "b.png", "./sub//a.png"):
            assert (np.asarray(ImageFile(root, path).rgb()) == picture()).all()


def test_relative_images_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert (np.asarray(ImageFile(Path("images"), "sub/a.png").rgb()) == picture()).all()


def test_links_in_a_circle_are_refused(folder):
    (folder / "one.png").symlink_to(folder / "two.png")
    (folder / "two.png").symlink_to(folder / "one.png")
    for look in (ImageFile(folder, "one.png").facts, ImageFile(folder, "one.png").rgb):
        with pytest.raises(ImageError, match=r"one\.png"):
            look()


@pytest.mark.parametrize("path", ["sub/none.png", "none/a.png", "sub", "sub/a.png/a.png", "x" * 300 + ".png"])
def test_what_is_not_there_is_named_with_a_way_out(folder, path):
    for look in (ImageFile(folder, path).facts, ImageFile(folder, path).rgb):
        with pytest.raises(ImageError) as caught:
            look()
        assert str(folder / path) in str(caught.value)
        assert "--images" in str(caught.value) or "leave its row out" in str(caught.value)


def test_file_that_may_not_be_read_is_named():
    # In a process that is not root's, who may read everything.
    script = """
import os, shutil, sys, tempfile
from pathlib import Path
from evalkit.errors import ImageError
from evalkit.items.images import ImageFile
folder = Path(tempfile.mkdtemp())
try:
    folder.chmod(0o755)
    (folder / "a.png").write_bytes(b"x")
    (folder / "a.png").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        ImageFile(folder, "a.png").read()
    except ImageError as error:
        print(error)
finally:
    os.seteuid(os.getuid())
    shutil.rmtree(folder)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "a.png cannot be read: Permission denied" in done.stdout
    assert "leave its row out" in done.stdout


# Facts.


def test_facts_are_those_of_the_stored_file(folder):
    data = encoded(Image.fromarray(picture()), "JPEG", exif=exif(6))
    (folder / "a.jpg").write_bytes(data)
    image = ImageFile(folder, "a.jpg", upright=True)
    facts = image.facts()
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert facts.digest == hashlib.sha256(data).hexdigest() == image.sha256()
    assert image.rgb().size == (HEIGHT, WIDTH)


def test_pixels_and_digest_at_hand_are_used_and_are_no_part_of_the_identity(folder):
    plain = ImageFile(folder, "sub/a.png")
    pixels = Image.new("RGB", (1, 1), "red")
    known = ImageFile(folder, "sub/a.png", pixels=pixels, digest="known")
    assert known == plain
    assert hash(known) == hash(plain)
    assert known.rgb() is pixels
    assert known.sha256() == "known"
    assert ImageFile(folder, "sub/a.png", upright=False) != plain


# Parts of images.


@given(
    left=st.integers(0, WIDTH - 1), top=st.integers(0, HEIGHT - 1), width=st.integers(1, WIDTH),
    height=st.integers(1, HEIGHT), orientation=st.sampled_from(sorted(SIDES)),
)  # fmt: skip
def test_a_part_has_the_stored_pixels_of_its_place(left, top, width, height, orientation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    crop = (left, top, min(left + width, WIDTH), min(top + height, HEIGHT))
    data = encoded(Image.fromarray(picture()), "PNG", exif=exif(orientation))
    (folder / "part.png").write_bytes(data)
    part = ImageFile(folder, "part.png", upright=False, crop=crop)
    with Image.open(io.BytesIO(data)) as stored:
        assert part.rgb().tobytes() == stored.convert("RGB").crop(crop).tobytes()
    facts = part.facts()
    assert (facts.width, facts.height) == part.rgb().size == (crop[2] - crop[0], crop[3] - crop[1])
    assert facts.digest == part.sha256() == hashlib.sha256(data).hexdigest()
    assert facts == part.cut_facts(part.whole.facts())


def test_parts_and_the_whole_are_told_apart(folder):
    crops = [None, (0, 0, 2, 3), (0, 0, 3, 2), (1, 0, 2, 3)]
    images = [ImageFile(folder, "sub/a.png", upright=False, crop=crop) for crop in crops]
    images.append(ImageFile(folder, "sub/a.png"))
    assert len(set(images)) == len({image.identity() for image in images}) == len(images)
    assert len(sorted(image.identity() for image in images)) == 5, "batches are put in their order"
    assert {image.whole for image in images[:4]} == {images[0]}
    (folder / "copy.png").write_bytes((folder / "sub" / "a.png").read_bytes())
    assert ImageFile(folder, "copy.png", False, crops[1]).identity() == images[1].identity()
    whole = replace(images[0], pixels=images[0].rgb())
    assert replace(whole, pixels=None, crop=crops[1]).whole.pixels is None


@pytest.mark.parametrize("crop", [(0, 0, WIDTH + 1, 1), (0, 0, 1, HEIGHT + 1), (WIDTH, 0, WIDTH + 1, 1)])
def test_a_part_that_is_not_there_is_not_made_up(crop, folder):
    part = ImageFile(folder, "sub/a.png", upright=False, crop=crop)
    for look in (part.facts, part.rgb):
        with pytest.raises(ImageError, match=rf"a\.png of {WIDTH} x {HEIGHT} pixels does not hold its crop \[\d+, "):
            look()


@pytest.mark.parametrize("crop", [(0, 0, 0, 1), (0, 0, 1, 0), (2, 0, 1, 1), (0, 2, 1, 1), (-1, 0, 1, 1), (0, -1, 1, 1)])
def test_a_part_has_a_pixel(crop, folder):
    with pytest.raises(ValueError, match="holds no pixel"):
        ImageFile(folder, "sub/a.png", upright=False, crop=crop)


def test_a_part_is_not_turned(folder):
    with pytest.raises(ValueError, match="upright=False"):
        ImageFile(folder, "sub/a.png", crop=(0, 0, 1, 1))


def test_file_that_changed_since_its_digest_was_taken_is_refused(folder):
    image = ImageFile(folder, "sub/a.png")
    known = replace(image, digest=image.facts().digest)
    assert (np.asarray(known.rgb()) == picture()).all()
    (folder / "sub" / "a.png").write_bytes((folder.parent / "secret.png").read_bytes())
    with pytest.raises(ImageError, match=r"sub/a\.png has changed"):
        known.rgb()
    assert (np.asarray(image.rgb()) == picture(1)).all()


def test_decoded_image_is_whole_without_its_file(folder):
    image = ImageFile(folder, "sub/a.png").rgb()
    os.unlink(folder / "sub" / "a.png")
    assert (np.asarray(image) == picture()).all()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png is not a file"):
        ImageFile(tmp_path, "a.png").facts()


def test_a_file_too_large_for_an_image_is_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 42)  # sparse: takes no room on disk
    with pytest.raises(ImageError, match=r"a\.png has 4,398,046,511,104 bytes, more than the limit"):
        ImageFile(tmp_path, "a.png").facts()

"""Damaged EXIF, and images that are more work than their size says. The rest of decoding: test_images.py."""

from __future__ import annotations

import hashlib
import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from builders import draw_images, golden, run, tasks_of, write

from evalkit.errors import ImageError
from evalkit.items import decoding
from evalkit.items.decoding import MAX_PIXELS, decode
from evalkit.items.images import ImageFile

RED = PIL.Image.new("RGB", (40, 30), (200, 10, 10))
ORIENTATION = 0x0112
# Pillow warns of what it cannot read, and here warnings are errors.
pillows_warnings = pytest.mark.filterwarnings("ignore::UserWarning")


def encoded(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(kind: int, count: int, value: bytes, more: bytes = b"") -> bytes:
    """An EXIF block of the orientation alone, of any type and value."""
    entry = struct.pack("<HHHI", 1, ORIENTATION, kind, count) + value.ljust(4, b"\0") + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + more


WHOLE = exif(3, 1, b"\6\0")
NOT_TO_BE_READ = {
    "zero": exif(3, 1, b"\0\0"),
    "99": exif(3, 1, b"\x63\0"),
    "huge": exif(4, 1, b"\xff\xff\xff\xff"),
    "negative": exif(9, 1, b"\xfa\xff\xff\xff"),
    "a string": exif(2, 2, b"6\0"),
    "of undefined type": exif(7, 4, b"\6\0\0\0"),
    "of a type that is none": exif(200, 1, b"\6"),
    "not a number": exif(11, 1, struct.pack("<f", float("nan"))),
    "divided by zero": exif(5, 1, struct.pack("<I", 26), struct.pack("<II", 6, 0)),
    "an offset out of the block": exif(5, 1, struct.pack("<I", 99_999)),
    "too many values": exif(3, 2**31, b"\6"),
    "cut short": WHOLE[:20],
    "a header alone": b"Exif\0\0",
    "no header": b"Exif\0\0abcdefgh",
    "tags beyond the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
}


@pillows_warnings
@pytest.mark.parametrize("block", NOT_TO_BE_READ.values(), ids=NOT_TO_BE_READ)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_cannot_be_read_is_none(kind, block):
    """The pixels are whole: they are those of the same file without its EXIF."""
    data = encoded(RED, kind, exif=block, **({"lossless": True} if kind == "WEBP" else {}))
    upright, stored = (np.asarray(decode(data, name="x", upright=value)) for value in (True, False))
    assert upright.shape == (30, 40, 3)
    assert (upright == stored).all()


def with_segment(jpeg: bytes, segment: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


BAD_XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">\xa8\xff</x:xmpmeta>'


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_broken_xmp_does_not_hide_the_orientation_in_exif(kind):
    if kind == "JPEG":
        plain = with_segment(encoded(RED, "JPEG"), BAD_XMP)
        turned = with_segment(with_segment(encoded(RED, "JPEG"), BAD_XMP), WHOLE)
    else:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + BAD_XMP)
        plain, turned = encoded(RED, "PNG", pnginfo=info), encoded(RED, "PNG", pnginfo=info, exif=WHOLE)
    assert decode(plain, name="x", upright=True).size == (40, 30)
    assert decode(turned, name="x", upright=True).size == (30, 40)


@pillows_warnings
def test_whatever_happens_to_the_exif_the_pixels_are_had():
    """800 blocks, each with a few bytes changed or cut off."""
    draw = np.random.default_rng(0)
    block = PIL.Image.Exif()
    block[ORIENTATION], block[0x010F], block[0x011A] = 6, "camera", (72, 1)
    block.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    whole, sizes = block.tobytes(), set()
    for turn in range(800):
        data = bytearray(whole)
        for _ in range(draw.integers(1, 8)):
            data[draw.integers(6, len(data))] = draw.integers(256)
        if turn % 3 == 0:
            del data[draw.integers(6, len(data)) :]
        sizes.add(decode(encoded(RED, ("JPEG", "PNG")[turn % 2], exif=bytes(data)), name="x", upright=True).size)
    assert sizes == {(40, 30), (30, 40)}


def test_a_task_with_a_damaged_block_has_its_number(tmp_path):
    columns = golden("OK-VQA")
    draw_images(tmp_path, columns)
    file = tmp_path / "images" / columns["qry_img_path"][0]
    file.write_bytes(with_segment(with_segment(encoded(RED, "JPEG"), BAD_XMP), NOT_TO_BE_READ["99"]))
    write(tmp_path, "OK-VQA", columns)
    assert run(tmp_path / "runs", "clip-tiny", tasks="OK-VQA", data=tmp_path, more=["--device", "cpu"]) == 0
    task = tasks_of(tmp_path / "runs")["OK-VQA"]
    assert task["status"] == "done"
    said = "1 images have an orientation (EXIF) that cannot be read: they are taken as they are stored"
    assert said in task["warnings"]
    file.write_bytes(with_segment(encoded(RED, "JPEG"), WHOLE))
    assert run(tmp_path / "whole", "random", tasks="OK-VQA", data=tmp_path) == 0
    assert not any("EXIF" in warning for warning in tasks_of(tmp_path / "whole")["OK-VQA"]["warnings"])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LONG = zlib.compress(b"a" * 3_000_000)
PNG_METADATA = {
    "a long text": chunk(b"zTXt", b"Raw\0\0" + LONG),
    "a long international text": chunk(b"iTXt", b"Raw\0\1\0\0\0" + LONG),
    "a long profile": chunk(b"iCCP", b"x\0\0" + LONG),
    "a resolution cut short": chunk(b"pHYs", b"\0"),
    "a gamma cut short": chunk(b"gAMA", b""),
    "colours cut short": chunk(b"cHRM", b"\0\0\0"),
    "a transparency cut short": chunk(b"tRNS", b""),
    "a checksum that is wrong": chunk(b"tEXt", b"a\0b")[:-1] + b"?",
}


@pillows_warnings
@pytest.mark.parametrize("block", PNG_METADATA.values(), ids=PNG_METADATA)
@pytest.mark.parametrize("behind", [False, True])
def test_what_stands_beside_the_pixels_of_a_png_costs_no_pixel(block, behind, tmp_path):
    data = encoded(RED, "PNG", exif=WHOLE)
    place = len(data) - 12 if behind else data.index(b"IDAT") - 4
    data = data[:place] + block + data[place:]
    (tmp_path / "a.png").write_bytes(data)
    image = ImageFile(tmp_path, "a.png")
    facts = image.facts()
    assert (facts.width, facts.height, facts.digest) == (40, 30, hashlib.sha256(data).hexdigest())
    assert (np.asarray(image.rgb()) == np.asarray(RED).transpose(1, 0, 2)).all()
    with pytest.raises(ImageError, match="broken"):
        decode(data[: data.index(b"IDAT") + 8], name="x", upright=True)


def test_an_orientation_counts_beside_xmp_that_is_text_in_a_tiff(tmp_path):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[ORIENTATION] = 6
    tags.tagtype[700] = 2  # as text, where bytes belong
    tags[700] = "<x:xmpmeta/>"
    data = encoded(RED, "TIFF", tiffinfo=tags)
    (tmp_path / "a.tif").write_bytes(data)
    assert decode(data, name="x", upright=True).size == (30, 40)
    assert decode(data, name="x", upright=False).size == (40, 30)
    facts = ImageFile(tmp_path, "a.tif").facts()
    assert (facts.width, facts.height, facts.orientation_unread) == (40, 30, False)


# --- work --------------------------------------------------------------------------------------------


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each scan of a progressive JPEG goes over the whole image again: 2 MB of them are hours."""
    side = 3000
    data = encoded(PIL.Image.new("L", (side, side)), "JPEG", progressive=True)
    assert decode(data, name="x", upright=True).size == (side, side)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    bomb = data[:-2] + scan * 2000 + data[-2:]
    with pytest.raises(ImageError, match=rf"x has 20\d\d scans over {side} x {side} pixels, more work than the limit"):
        decode(bomb, name="x", upright=True)
    # A small image may have as many as it likes.
    small = encoded(PIL.Image.new("L", (20, 20)), "JPEG", progressive=True)
    scan = small[small.rindex(b"\xff\xda") : -2]
    assert decode(small[:-2] + scan * 200 + small[-2:], name="x", upright=True).size == (20, 20)


def test_what_follows_a_jpeg_is_none_of_its_scans():
    """A camera's film: its bytes hold the mark of a scan by chance; so may a comment's."""
    jpeg = encoded(PIL.Image.new("L", (3000, 3000)), "JPEG")
    film = b"\xff\xda" * 2000
    comment = b"\xff\xfe" + struct.pack(">H", len(film) + 2) + film
    assert decode(jpeg + film, name="x", upright=True).size == (3000, 3000)
    assert decode(jpeg[:2] + comment + jpeg[2:], name="x", upright=True).size == (3000, 3000)
    fill = b"\xff" * (8 << 20)  # before the end any number of these may stand; each is looked at once
    assert decode(jpeg[:-2] + fill + b"\0" + jpeg[-2:], name="x", upright=True).size == (3000, 3000)


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_much_plain_text_is_refused(kind):
    depth = b"" if kind == b"P1" else b"255\n"
    data = kind + b"\n5000 5000\n" + depth + b"1 " * (17 << 20)
    with pytest.raises(ImageError, match=r"x is PPM of 35,651,\d\d\d bytes in plain text, more than the limit"):
        decode(data, name="x", upright=True)
    assert decode(kind + b"\n2 2\n" + depth + b"1 " * 12, name="x", upright=True).size == (2, 2)


def test_large_images_wait_for_each_other():
    """Sixteen threads would hold sixteen of them twice over."""
    inside, most = 0, 0
    lock = threading.Lock()

    def hold(pixels: int) -> None:
        nonlocal inside, most
        with decoding._turns_of_large_ones(pixels):
            with lock:
                inside += pixels
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= pixels

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hold, [MAX_PIXELS // 3] * 20 + [MAX_PIXELS] * 4 + [2 * MAX_PIXELS, 10] * 3))
    assert MAX_PIXELS // 3 < most <= 2 * MAX_PIXELS  # the one that is larger than the limit was alone
    assert inside == decoding._decoding == 0


def test_sixteen_bits_are_scaled_as_by_arithmetic():
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = np.asarray(decode(encoded(PIL.Image.fromarray(grey), "PNG"), name="x", upright=True))
    assert (found == ((grey.astype(np.int64) + 128) // 257)[..., None]).all()


def test_what_comes_out_shares_nothing_with_the_file():
    image = decode(encoded(RED, "PNG", exif=WHOLE), name="x", upright=False)
    assert type(image) is PIL.Image.Image
    assert image.info == {}
    assert dict(image.getexif()) == {}

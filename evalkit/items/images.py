"""Images by reference: where they may lie, what they hold, and which part of their pixels is meant.

The policy, in one place; what becomes of the pixels is :mod:`evalkit.items.decoding`'s:

* a path is relative to an images folder and cannot leave it by ``..``; a link may lead into any of the images
  folders, and elsewhere only where the user says so;
* the camera's orientation (EXIF) is applied where ``upright`` is set, and to no image of any format where it is not.
  An item with a region leaves it unset, because the region counts pixels of the stored image;
* an image may be cut; then the cut is the image to all that look at it, for its pixels and for its size;
* an image may be drawn on (:mod:`evalkit.items.drawing`); then it is another image than the plain one;
* an image may be held in a data set's own file, as the hub's Image feature has it, or in memory: then no folder is
  looked into;
* a path that somebody names in Python (:meth:`ImageFile.of`) is theirs, and may be absolute and lead anywhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.errors import ImageError
from evalkit.items.decoding import FORMATS as FORMATS
from evalkit.items.decoding import MAX_PIXELS as MAX_PIXELS
from evalkit.items.decoding import decode as decode
from evalkit.items.decoding import opened, orientation_unread, stored_size
from evalkit.items.folders import ImageFolders, posix, refusal
from evalkit.items.inmemory import BytesInMemory, PixelsInMemory

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 1 << 30  # no image within the pixel limit is as large

Crop = tuple[int, int, int, int]  # left, top, right, bottom in stored pixels, half open
Identity = tuple[str, bool, tuple[int, ...], str]
"""Digest of the file, whether it is turned upright, how it is cut, what is drawn on it (blank where nothing is)."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image file is, without its pixels.

    Attributes:
        digest: SHA-256 of the file's bytes, hexadecimal; of all of them, also where the image is cut.
        width: stored width in pixels, before any orientation; of a cut image the cut's.
        height: stored height in pixels, likewise.
        orientation_unread: what the camera recorded of its orientation is damaged, and counts as nothing.
    """

    digest: str
    width: int
    height: int
    orientation_unread: bool = field(default=False, compare=False)


class Held(Protocol):
    """The bytes of an image that is no file of its own: of a cell of a parquet file. Equal where they are."""

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, hexadecimal."""
        ...

    def read(self) -> bytes:
        """The bytes.

        Raises:
            ImageError: they cannot be read any more, or are too many.
        """
        ...


class DrawnOn(Protocol):
    """What is drawn on an image once it is decoded. Equal where what it draws is."""

    @property
    def said(self) -> str:
        """All that it depends on, as text; not blank."""
        ...

    def on(self, image: Image, name: str) -> Image:
        """A copy of an image with it.

        Args:
            image: the stored pixels, mode RGB.
            name: what to call the image in an error.

        Raises:
            ImageError: it cannot be drawn on this image.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by reference: a path below a folder, and which part of it.

    Attributes:
        root: the images folder.
        path: POSIX path below ``root``, as the data set has it; of a held image what it is called.
        upright: apply the orientation that the camera recorded (EXIF).
        crop: the part that is the image, or none where all of it is. It counts stored pixels, so an image is
            either cut or turned upright.
        pixels: decoded pixels where they are at hand already; not part of the identity.
        digest: SHA-256 of the file where it is known already; not part of the identity.
        folders: all images folders, ``root`` among them: where links may lead, and where a near name is looked for.
            ``root`` alone where it is ``None``, or of another root.
        held: its bytes, where it is no file.
        drawing: what is drawn on it, or nothing. It counts stored pixels of the whole image, so an image is neither
            cut nor turned upright that is drawn on.
    """

    root: Path
    path: str
    upright: bool = True
    crop: Crop | None = None
    pixels: Image | None = field(default=None, compare=False, repr=False)
    digest: str | None = field(default=None, compare=False, repr=False)
    folders: ImageFolders | None = field(default=None, compare=False, repr=False)
    held: Held | None = field(default=None, repr=False)
    drawing: DrawnOn | None = None

    def __post_init__(self) -> None:
        if self.drawing is not None and (self.upright or self.crop is not None):
            raise ValueError(f"a drawing on {self.path} counts stored pixels: set upright=False and do not cut it")
        if self.crop is None:
            return
        left, top, right, bottom = self.crop
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(f"crop {self.crop} of {self.path} holds no pixel; it is left, top, right, bottom")
        if self.upright:
            raise ValueError(f"crop {self.crop} of {self.path} counts stored pixels: set upright=False")

    @property
    def whole(self) -> ImageFile:
        """The image that this one is cut out of, without what is drawn on it; itself where it is as it is stored."""
        return replace(self, crop=None, drawing=None, pixels=None) if self.changed else self

    @property
    def changed(self) -> bool:
        """Whether its pixels are others than those that are stored: it is cut, or drawn on."""
        return self.crop is not None or self.drawing is not None

    def identity(self) -> Identity:
        """Which pixels it has, wherever it lies: images of one identity have the same pixels.

        Raises:
            ImageError: as :meth:`read`, where the digest is not known.
        """
        return (self.sha256(), self.upright, self.crop or (), "" if self.drawing is None else self.drawing.said)

    @classmethod
    def below(cls, folders: ImageFolders, path: str, *, upright: bool = True, held: Held | None = None) -> ImageFile:
        r"""An image of a data set: in the first of the folders that has it, ``\`` read as ``/``.

        Args:
            folders: the images folders.
            path: as the data set has it.
            upright: apply the orientation that the camera recorded.
            held: its bytes, where the data set holds them itself.
        """
        path = posix(path)
        if held is not None:
            return cls(folders.folders[0], path, upright, digest=held.digest, held=held)
        return cls(folders.holding(path), path, upright, folders=folders)

    @classmethod
    def of(cls, image: Any, *, upright: bool = True) -> ImageFile:
        """An image as people hold it.

        Args:
            image: a PIL image, a path, the bytes of a file, ``{"bytes": …, "path": …}`` as ``datasets`` has it, a numpy
                array of a picture (uint8, shape ``(height, width, 3)``) or of a mask (bool or uint8, shape
                ``(height, width)``), or what is one already.
            upright: apply the orientation that the camera recorded.

        Raises:
            ImageError: something else, or pixels that cannot be taken as RGB of 8 bits.
        """
        import numpy as np
        import PIL.Image

        if isinstance(image, ImageFile):
            return image
        if isinstance(image, Mapping) and isinstance(image.get("bytes"), bytes):
            path = image.get("path")
            return cls.in_memory(BytesInMemory.of(image["bytes"]), path if isinstance(path, str) else "", upright)
        if isinstance(image, Mapping) and {"bytes", "path"} >= image.keys() and isinstance(image.get("path"), str):
            image = image["path"]
        if isinstance(image, bytes):
            return cls.in_memory(BytesInMemory.of(image), "", upright)
        if isinstance(image, np.ndarray) and (image.dtype, image.ndim) == (bool, 2):
            image = PIL.Image.fromarray(image.astype(np.uint8) * 255)
        elif isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] in ((), (3,)):
            image = PIL.Image.fromarray(image)
        if isinstance(image, PIL.Image.Image):
            return cls.in_memory(PixelsInMemory.of(image), "", upright)
        if not isinstance(image, str | os.PathLike) or not str(image):
            what = f"array of {image.dtype}, shape {image.shape}" if isinstance(image, np.ndarray) else repr(image)[:80]
            raise ImageError(
                f"{what} ({type(image).__name__}) is no image: give a PIL image, a path, the bytes of a file, "
                '{"bytes": …, "path": …}, or an array of uint8, shape (height, width, 3)'
            )
        root, name = os.path.split(os.path.abspath(os.path.expanduser(image)))
        return cls(Path(root), name, upright, folders=ImageFolders((Path(root),), follow_links=True))

    @classmethod
    def in_memory(cls, held: Held, path: str, upright: bool) -> ImageFile:
        """An image that is no file, called by the path that it came with as :func:`held_name` has it."""
        return cls(Path(), held_name(posix(path), held.digest), upright, digest=held.digest, held=held)

    def location(self) -> Path:
        """The file's place on disk; of a held image, where its file would lie.

        Raises:
            ImageError: the path is absolute, climbs out of ``root`` or is a link that leads out of the folders.
        """
        if self.held is not None:
            return self.root / self.path
        reason = refusal(self.path)
        if reason is not None:
            raise ImageError(
                f"image path {self.path!r} {reason} the images folder {self.root}: refused "
                "(image paths are relative to it, with / and without ..)"
            )
        place, folders = self.root / self.path, self._folders
        try:
            real = os.path.realpath(place)
            allowed = folders.allow(real)
        except (OSError, ValueError) as error:  # characters that no path has
            raise ImageError(f"image {self.path!r} cannot be looked up in {self.root}: {error}") from error
        if not allowed:
            raise ImageError(
                f"image {self.path!r} is a link that leads out of the images folder {self.root}: refused (it leads to "
                f"{real}: name its folder, {os.path.dirname(real)}, with one more --images, or let links lead "
                "anywhere with --follow-links)"
            )
        return place

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            ImageError: the file is missing or cannot be read, or its path is refused.
        """
        if self.held is not None:
            return self.held.read()
        place = self.location()
        try:
            status = place.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
                raise ImageError(f"image {place} is not a file: put the image there or leave its row out")
            if status.st_size > MAX_BYTES:
                raise ImageError(
                    f"image {place} has {status.st_size:,} bytes, more than the limit of {MAX_BYTES:,}: "
                    "make it smaller or leave its row out"
                )
            return place.read_bytes()
        except FileNotFoundError:
            raise ImageError(self._missing(place)) from None
        except OSError as error:
            raise ImageError(
                f"image {place} cannot be read: {error.strerror or error}: mend it or leave its row out"
            ) from error

    def _missing(self, place: Path) -> str:
        if place.is_symlink():
            return f"image {place} is missing: it is a link to {os.readlink(place)}, where nothing lies"
        folders = self._folders
        near = folders.near(self.path)
        if near is None:
            others = [str(folder) for folder in folders.folders if folder != self.root]
            below = (
                f"--images, here {self.root} and {', '.join(others)}"
                if others
                else f"{self.root}; --images names others"
            )
            return f"image {place} is missing (images are looked for below {below})"
        same = unicodedata.normalize("NFC", near) == unicodedata.normalize("NFC", self.path)
        how = ", the same letters in another Unicode form" if same else ""
        return f"image {place} is missing, but {near!r} lies there{how}: rename it, or mend the row"

    @property
    def _folders(self) -> ImageFolders:
        known = self.folders
        return known if known is not None and self.root in known.folders else ImageFolders((self.root,))

    def facts(self) -> ImageFacts:
        """Digest and size; reads the file, decodes only its header.

        Raises:
            ImageError: as :meth:`read`, or the file is no image of a known format, or it is too large, or it
                is smaller than what is to be cut out of it.
        """
        if isinstance(self.held, PixelsInMemory):
            return self.cut_facts(ImageFacts(self.held.digest, *self.held.size))
        data = self.read()
        with opened(data, self.path) as image:
            width, height = stored_size(image)
            unread = self.upright and orientation_unread(image)
        return self.cut_facts(ImageFacts(hashlib.sha256(data).hexdigest(), width, height, unread))

    def cut_facts(self, whole: ImageFacts) -> ImageFacts:
        """Its facts, from those of the :attr:`whole` image.

        Raises:
            ImageError: the whole is smaller than what is to be cut out of it.
        """
        if self.crop is None:
            return whole
        left, top, right, bottom = self.crop
        self._check_holds_crop(whole.width, whole.height)
        return ImageFacts(whole.digest, right - left, bottom - top)

    def sha256(self) -> str:
        """Digest of the file's bytes, hexadecimal.

        Raises:
            ImageError: as :meth:`read`.
        """
        return self.digest or hashlib.sha256(self.read()).hexdigest()

    def rgb(self) -> Image:
        """The pixels, mode RGB, 8 bits; of a cut image those of the cut, with what is drawn on it.

        Raises:
            ImageError: as :meth:`facts`, or the pixels cannot be decoded rightly, or the file is not the one
                whose digest is known: its vector would be kept under the wrong key.
        """
        if self.pixels is not None:
            return self.pixels
        whole = self._whole_rgb()
        if self.drawing is not None:
            return self.drawing.on(whole, self.path)
        if self.crop is None:
            return whole
        self._check_holds_crop(*whole.size)
        return whole.crop(self.crop)

    def _whole_rgb(self) -> Image:
        if isinstance(self.held, PixelsInMemory):
            return self.held.rgb(upright=self.upright)
        data = self.read()
        if self.digest is not None and hashlib.sha256(data).hexdigest() != self.digest:
            raise ImageError(f"image {self.path} has changed since it was first read: run again")
        return decode(data, name=self.path, upright=self.upright)

    def _check_holds_crop(self, width: int, height: int) -> None:
        # Pillow would make up black pixels.
        if self.crop is not None and (self.crop[2] > width or self.crop[3] > height):
            raise ImageError(
                f"image {self.path} of {width} x {height} pixels does not hold its crop {list(self.crop)} "
                "(left, top, right, bottom)",
                self,
            )


def held_name(path: str, digest: str) -> str:
    """What an image is called whose bytes came with a path that is no file, and may be that of other images, too.

    Without a look at others, or it would be another name where fewer of them are read.

    Args:
        path: with ``/``. The hub's tools write the last part of a path alone, or a name of their own, the same for all.
        digest: of the bytes.
    """
    return path if "/" in path else f"{path}#{digest[:16]}".removeprefix("#")

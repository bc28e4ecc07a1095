"""What tests start from: one thread each, Ctrl-C that works, and what several read and nobody writes into.

Workers run beside each other, so each of them, and what it starts, computes in one thread. Files are handed to
workers whole, those that take longest first. What is expensive is made by one worker (:func:`once`), and the others
wait for it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import fcntl
import gc
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Demonstration, demonstrate
from checkpoints import VIRTUE, clip_checkpoint, siglip_checkpoint
from hypothesis import settings

from evalkit.files import read_given

# The same examples every time, so that a change is what makes a test fail; ``--hypothesis-profile thorough`` looks on.
settings.register_profile("bounded", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile("bounded")

Once = Callable[[str, Callable[[Path], object]], Path]


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start: where a shell runs pytest in the background, they ignore it."""
    gc.disable()  # until all is collected
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, by their ``slow`` marks, so that workers end together; else in their order.

    The demo is made by the file that takes longest. Others that want it come last, as they would wait for it.
    """
    seconds: Counter[Path] = Counter()
    for item in items:
        for mark in item.iter_markers("slow"):
            seconds[item.path] += mark.args[0]
    waiting = {item.path for item in items if "demonstration" in getattr(item, "fixturenames", ())}
    waiting -= {path for path, _ in seconds.most_common(1)}
    items.sort(key=lambda item: (item.path in waiting, -seconds[item.path]))


def pytest_collection_finish() -> None:
    """Modules and tests are never garbage: looking for some, as evalkit does where memory ran out, passes them over."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder for all workers of a run: ``once(name, make)`` calls ``make`` with its path if nobody has."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder = base / "shared" / name
        folder.parent.mkdir(exist_ok=True)
        whole = folder.with_name(f"{name}.whole")
        with folder.with_name(f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def clip_folder(once: Once) -> Path:
    """A tiny random CLIP; copy it before changing a file."""
    return once("tiny-clip", clip_checkpoint)


@pytest.fixture(scope="session")
def siglip_folder(once: Once) -> Path:
    """A tiny random SigLIP; copy it before changing a file."""
    return once("tiny-siglip", siglip_checkpoint)


@pytest.fixture(scope="session")
def virtue_folder(once: Once) -> Path:
    """The golden VIRTUE with SAM 2 looking at 256 instead of 1024 pixels: as fast as may be, of no known vectors."""

    def make(folder: Path) -> None:
        settings = shutil.copytree(VIRTUE, folder) / "sam2_tiny.yaml"
        settings.write_text(settings.read_text().replace("image_size: 1024", "image_size: 256"))

    return once("small-virtue", make)


@pytest.fixture(scope="session")
def demonstration(once: Once) -> Demonstration:
    """A demo of a few queries a task, run once by the command; copy its folder before changing a file."""
    folder = once("demonstration", lambda folder: demonstrate(folder / "evalkit-demo").keep())
    return Demonstration.kept(folder / "evalkit-demo")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that nobody writes to is waited for a tenth of a second instead of five."""
    assert read_given.__kwdefaults__["seconds"] == 5
    monkeypatch.setitem(read_given.__kwdefaults__, "seconds", 0.1)

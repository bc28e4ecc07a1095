"""What tests start from: Ctrl-C that works, and checkpoints and a demo that several read and nobody writes into."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from builders import Demonstration, demonstrate
from checkpoints import VIRTUE, clip_checkpoint, siglip_checkpoint


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start: where a shell runs pytest in the background, they ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP; copy it before changing a file."""
    return clip_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random SigLIP; copy it before changing a file."""
    return siglip_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-siglip")


@pytest.fixture(scope="session")
def virtue_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden VIRTUE with SAM 2 looking at 256 instead of 1024 pixels: as fast as may be, of no known vectors."""
    folder = Path(shutil.copytree(VIRTUE, tmp_path_factory.mktemp("checkpoints") / "small-virtue"))
    settings = folder / "sam2_tiny.yaml"
    settings.write_text(settings.read_text().replace("image_size: 1024", "image_size: 256"))
    return folder


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """A demo of a few queries a task, run once by the command; copy its folder before changing a file."""
    return demonstrate(tmp_path_factory.mktemp("demo") / "evalkit-demo")

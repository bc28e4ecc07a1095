"""Checkpoints that several test files read; nobody writes into them."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import clip_checkpoint, siglip_checkpoint


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP; copy it before changing a file."""
    return clip_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random SigLIP; copy it before changing a file."""
    return siglip_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-siglip")

"""The tiny models that come with evalkit, trained on drawn scenes: they show how it works, on the miniature.

One folder each, in the layout of the real ones and loaded by the same code. ``training/`` of evalkit's repository
has the recipe that made them, ``training.json`` in each folder what it recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from evalkit.errors import UsageError

WAY_OUT = (
    "it is a part of evalkit: install evalkit again (pip install --force-reinstall --no-deps and what it was "
    "installed from), or make the model anew with the recipe in training/ of evalkit's repository"
)

_QWEN2_VL = (
    *("config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "training.json"),
)
_SEGMENTATION = (
    *("sam2/config.json", "sam2/model.safetensors", "sam2/training.json"),
    "sam2_reducer_and_vlm_layer.pth",
)
_CLIP = tuple(file for file in _QWEN2_VL if file != "generation_config.json")


@dataclass(frozen=True)
class TinyModel:
    """A model that comes with evalkit.

    Attributes:
        family: that loads it.
        what: it is, in one line.
        files: all of it, relative to its folder.
    """

    family: str
    what: str
    files: tuple[str, ...]


MODELS = {
    "virtue-tiny": TinyModel("virtue", "a tiny VIRTUE, trained on drawn scenes", (*_QWEN2_VL, *_SEGMENTATION)),
    "vlm2vec-tiny": TinyModel("vlm2vec", "the same without SAM 2: a region is digits in its prompt", _QWEN2_VL),
    "clip-tiny": TinyModel("clip", "a tiny CLIP, trained on drawn scenes", _CLIP),
}


def home() -> Path:
    """The folder that holds the models' folders."""
    return Path(str(resources.files(__name__)))


def folder(name: str) -> Path:
    """The folder of a model, whole.

    Args:
        name: of :data:`MODELS`.

    Raises:
        UsageError: a file of it is missing; says which, and how to get it back.
    """
    found = home() / name
    for file in MODELS[name].files:
        if not (found / file).is_file():
            raise UsageError(f"{found / file} is missing: {WAY_OUT}")
    return found

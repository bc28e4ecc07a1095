"""UniIR's ``.pth`` files: where they are, and the weights in them.

A file holds the model under ``model``, beside the state of its training. Part of that is the configuration, which the
authors' ``train.py`` (TIGER-AI-Lab/UniIR b4bde72, ``save_checkpoint``) saves as the object that OmegaConf made of it.
Nothing of a file is run, and OmegaConf is not needed: its objects are read as empty ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.embedders.checkpoint import resolve
from evalkit.embedders.loading import read_tensors, require_all
from evalkit.embedders.pickedfiles import PickedFiles
from evalkit.errors import EmbedderError, UsageError

ORIGIN = "get it with: hf download TIGER-Lab/UniIR"
_OF_OMEGACONF = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String")),
    "typing.Any",
    "collections.defaultdict",
    *(f"builtins.{kind}" for kind in ("bool", "bytes", "dict", "float", "int", "list", "long", "str", "tuple")),
)
"""What a pickled configuration of OmegaConf names beside plain values: its own classes, and types as values."""


class _Unread:
    """Stands for what a configuration is made of; keeps nothing of what the file would put into it."""

    def __new__(cls, *_: object) -> _Unread:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Drop the state."""


def find_weights(path: str, revision: str | None, usual: str) -> PickedFiles:
    """The file with a model's weights.

    Args:
        path: the file, a folder that holds it, or a hub repository in the local cache.
        revision: of the hub repository.
        usual: where it lies in the authors' repository, such as ``checkpoint/CLIP_SF/clip_sf_large.pth``.

    Raises:
        UsageError: there is no such file, or several of which none is meant.
    """
    file = Path(path).expanduser()
    if file.is_file():
        if revision is not None:
            raise UsageError(f"{path}@{revision}: {path} is a file, which has no revisions: leave @{revision} out")
        return PickedFiles(file.stem, file.parent, None, (file.name,), f"{ORIGIN} {usual}")
    held = resolve(path, revision)
    found = [held.folder / usual] if (held.folder / usual).is_file() else sorted(held.folder.glob("*.pth"))
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "no .pth file"
        raise UsageError(
            f"{held.folder} should hold {usual}, or one .pth file; there is {names}: name the file, or {ORIGIN} {usual}"
        )
    name = found[0].relative_to(held.folder).as_posix()
    called = f"{held.name}-{found[0].stem}"
    return PickedFiles(called, held.folder, held.revision, (name,), f"{ORIGIN} {usual}")


def read_weights(checkpoint: PickedFiles, prefix: str) -> dict[str, Any]:
    """The weights whose names begin so, without that beginning.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it is broken, holds more than tensors, plain values and a configuration, or no such weights.
    """
    import torch

    file = checkpoint.folder / checkpoint.files[0]
    with torch.serialization.safe_globals([(_Unread, name) for name in _OF_OMEGACONF]):
        saved = read_tensors(file, checkpoint.way_out).get("model")
    if not isinstance(saved, dict):
        raise EmbedderError(f"{file} has no weights under 'model', as UniIR's files do: {checkpoint.way_out}")
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}


def first_of(checkpoint: PickedFiles, prefix: str, name: str) -> Any:
    """One of the weights, by which a file of another model is told.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it is broken, or has no such weight.
    """
    found = read_weights(checkpoint, prefix).get(name)
    if found is None:
        file = checkpoint.folder / checkpoint.files[0]
        raise EmbedderError(f"{file} is of another model: it has no {prefix}{name}; {checkpoint.way_out}")
    return found


def fill(module: Any, weights: dict[str, Any], checkpoint: PickedFiles) -> Any:
    """Put weights into a module, all that it has.

    Raises:
        EmbedderError: some are missing or of another shape; names the first.
    """
    file = checkpoint.folder / checkpoint.files[0]
    wanted = {name: value for name, value in module.state_dict().items() if not name.endswith("position_ids")}
    lacking = sorted(name for name, value in wanted.items() if getattr(weights.get(name), "shape", None) != value.shape)
    require_all(lacking, file, "the model", checkpoint.way_out)
    module.load_state_dict({name: weights[name].float() for name in wanted}, strict=False)
    return module.eval()

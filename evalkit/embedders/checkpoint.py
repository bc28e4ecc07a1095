"""What every checkpoint family shares: finding the folder, naming its state, checking its files.

Nothing here opens a connection: a checkpoint is a folder, or a repository of the Hugging Face hub that was
downloaded before (``hf download OWNER/NAME``). Nothing that lies in a checkpoint is executed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.embedders import tiny
from evalkit.errors import EmbedderError, UsageError
from evalkit.files import open_file, read_text

SAFETENSORS = ("model.safetensors.index.json", "model.safetensors")
PICKLED = ("pytorch_model.bin.index.json", "pytorch_model.bin")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
# The small files of a checkpoint. A snapshot in the hub's cache that is known to lack one is not whole.
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.spm"]
_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".npz", ".yaml", ".yml"}).union(
    pattern.removeprefix("*") for pattern in _SMALL_FILES
)
# What lies beside the weights of a training run or of another framework and moves no vector.
_NOT_OURS = re.compile(
    r"optimizer.*|scheduler.*|rng_state.*|scaler\.pt|training_args\.bin|trainer_state\.json|train_results\.json"
    r"|eval_results\.json|all_results\.json|(flax|tf|rust)_model.*|license.*|readme.*|requirements.*\.txt",
    re.IGNORECASE,
)
_NOT_OUR_FOLDERS = re.compile(r"onnx|openvino|coreml|runs|checkpoint-\d+|global_step\d+|__pycache__", re.IGNORECASE)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: ``OWNER/NAME`` of a hub repository, else the folder's own name; never an absolute path.
        folder: where its files lie.
        revision: the commit (40 hexadecimal digits) where the folder is a snapshot of a hub repository.
    """

    name: str
    folder: Path
    revision: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files that vectors depend on; see :func:`digest_files`."""
        return digest_files(self.folder)

    def config(self) -> dict[str, Any]:
        """``config.json``.

        Raises:
            UsageError: it is missing, or is not a JSON object.
        """
        return read_json(self.folder / "config.json", way_out=self.way_out)

    @property
    def way_out(self) -> str:
        """What to do about a missing or broken file."""
        if tiny.home().resolve() in self.folder.resolve().parents:
            return tiny.WAY_OUT
        if self.revision is None:
            return "pass the folder of a whole checkpoint in Hugging Face format"
        return f"get it again with: hf download {self.name} --revision {self.revision} --force-download"


def resolve(path: str, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint on this machine, without opening a connection.

    A folder that exists is used; anything else is taken for a hub repository in the local cache.

    Args:
        path: a folder, or ``OWNER/NAME`` of a hub repository.
        revision: branch, tag or commit of a hub repository; ``None`` is its default branch.

    Raises:
        UsageError: there is no such folder and no such repository in the cache, or a folder that is no
            snapshot of ``revision`` is asked for that revision.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return _of_folder(folder, path, revision)
    if folder.exists():
        raise UsageError(f"checkpoint {path} is a file: pass the folder that holds it, with its config.json")
    if not _HUB_ID.fullmatch(path):
        raise UsageError(
            f"checkpoint folder {path} does not exist, and {path!r} is no name of a hub repository "
            "(OWNER/NAME): check the path"
        )
    return _of_hub(path, revision)


def _of_folder(folder: Path, path: str, revision: str | None) -> Checkpoint:
    snapshot = folder.resolve()
    commit = name = None
    # The cache of the hub keeps a repository as models--OWNER--NAME/snapshots/COMMIT.
    if snapshot.parent.name == "snapshots" and _COMMIT.fullmatch(snapshot.name):
        repository = snapshot.parent.parent.name
        if repository.startswith("models--"):
            commit, name = snapshot.name, repository.removeprefix("models--").replace("--", "/", 1)
    if revision is not None and revision != commit:
        held = f"the snapshot of {commit}" if commit else "a plain folder, which has no revisions"
        raise UsageError(
            f"checkpoint {path}@{revision}: {path} is {held}: leave @{revision} out, or name the repository"
        )
    return Checkpoint(name or snapshot.name or "checkpoint", folder, commit)


def _of_hub(path: str, revision: str | None) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    needed: dict[str, Any] = {"allow_patterns": _SMALL_FILES, "ignore_patterns": "*/*"}
    try:
        folder = Path(snapshot_download(path, revision=revision, local_files_only=True, **needed))
    except HFValidationError as error:
        raise UsageError(f"{path!r} is neither a folder nor the name of a hub repository: {error}") from None
    except LocalEntryNotFoundError as error:
        state = "only in part in" if getattr(error, "snapshot_path", None) else "not in"
        at, option = (f" at revision {revision}", f" --revision {revision}") if revision else ("", "")
        raise UsageError(
            f"checkpoint {path}{at} is no folder, and it is {state} the cache of the Hugging Face hub. "
            f"evalkit downloads no models by itself: run `hf download {path}{option}` first, or pass a folder"
        ) from None
    return Checkpoint(path, folder, folder.name if _COMMIT.fullmatch(folder.name) else None)


def vector_files(folder: Path) -> list[Path]:
    """The files that vectors may depend on: weights, configurations, tokenizer and preprocessor files.

    Left out: hidden files, documents, weights of other frameworks, what a training run leaves behind, and
    pickled weights (``pytorch_model*.bin``) that lie beside the same model as safetensors.

    Returns:
        Paths below ``folder``, sorted by their POSIX name relative to it.
    """
    found = sorted(_walk(folder, set()), key=lambda file: file.relative_to(folder).as_posix())
    safe = {file.parent for file in found if file.name in SAFETENSORS}
    twice = re.compile(r"pytorch_model.*\.(bin|json)")
    return [file for file in found if file.parent not in safe or not twice.fullmatch(file.name)]


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    place = folder.resolve()
    if place in seen:  # a link that leads up again
        return
    seen.add(place)
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not _NOT_OUR_FOLDERS.fullmatch(entry.name):
                yield from _walk(entry, seen)
        elif entry.suffix.lower() in _SUFFIXES and not _NOT_OURS.fullmatch(entry.name):
            yield entry


def digest_files(folder: Path) -> str:
    """A digest of a checkpoint's state: SHA-256 of the lines ``SHA-256 of a file, two spaces, its name``.

    Files are those of :func:`vector_files`, in its order, read in pieces; names are relative POSIX paths, so
    the digest does not depend on where the folder lies. ``sha256sum`` prints the same lines.

    Returns:
        64 hexadecimal digits.

    Raises:
        UsageError: a file cannot be read.
    """
    total = hashlib.sha256()
    for file in vector_files(folder):
        total.update(f"{file_digest(file)}  {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with open_file(file) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error


def weight_files(checkpoint: Checkpoint) -> list[Path]:
    """The files that hold the weights: safetensors where there are any, else pickled ones.

    Safetensors are opened far enough to see that they are whole. Pickled weights are read by torch with
    ``weights_only=True``, which runs no code of theirs.

    Raises:
        UsageError: there are no weights, or a part that the index names is missing.
        EmbedderError: a safetensors file is truncated or broken.
    """
    for name in (*SAFETENSORS, *PICKLED):
        file = checkpoint.folder / name
        if file.is_file():
            break
    else:
        raise UsageError(
            f"checkpoint {checkpoint.folder} has no weights: none of model.safetensors, "
            f"model.safetensors.index.json, pytorch_model.bin; {checkpoint.way_out}"
        )
    files = [file] if file.suffix != ".json" else _parts(file, checkpoint)
    for file in files:
        if file.suffix == ".safetensors":
            _check_safetensors(file, checkpoint)
    return files


def _parts(index: Path, checkpoint: Checkpoint) -> list[Path]:
    table = read_json(index, way_out=checkpoint.way_out).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{index} has no weight_map: {checkpoint.way_out}")
    parts = []
    for name in sorted({str(value) for value in table.values()}):
        part = index.parent / name
        if Path(name).name != name:
            raise UsageError(f"{index} names the part {name!r}, which is outside its folder: refused")
        if not part.is_file():
            raise UsageError(f"{part}, which {index.name} names, is missing: {checkpoint.way_out}")
        parts.append(part)
    return parts


def _check_safetensors(file: Path, checkpoint: Checkpoint) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            count = len(list(tensors.keys()))
    except (SafetensorError, OSError) as error:
        raise EmbedderError(f"{file} is truncated or broken ({error}): {checkpoint.way_out}") from error
    if not count:
        raise EmbedderError(f"{file} holds no tensor: {checkpoint.way_out}")


def read_json(file: Path, *, way_out: str) -> dict[str, Any]:
    """A JSON object from a file of a checkpoint.

    Args:
        file: the file.
        way_out: what to do where it is missing or broken, for the error.

    Raises:
        UsageError: the file is missing, cannot be read, or is not a JSON object.
    """
    try:
        value = json.loads(read_text(file))
    except FileNotFoundError:
        raise UsageError(f"{file} is missing: {way_out}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is not readable JSON ({error}): {way_out}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{file} holds no JSON object: {way_out}")
    return value

"""Weights from a checkpoint's files into a model, all of them or none."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.embedders.checkpoint import Checkpoint, weight_files
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

M = TypeVar("M", bound="PreTrainedModel")

# What torch and transformers raise at damaged files: the reader of pickles trips over whatever comes.
DAMAGED = (OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, AssertionError)


def load_model(kind: type[M], checkpoint: Checkpoint, dtype: torch.dtype, *, may_lack: Collection[str] = ()) -> M:
    """A transformers model with the weights of a checkpoint, on the CPU, ready to evaluate.

    Args:
        kind: the model's class.
        checkpoint: where its ``config.json`` and weights are.
        dtype: what the weights become.
        may_lack: names, or beginnings of names that end with a dot, of weights that no vector depends on.

    Raises:
        UsageError: no weights, or a part of them is missing.
        EmbedderError: weights that are broken, not plain tensors, or not those that the configuration asks for.
    """
    from safetensors import SafetensorError

    files = weight_files(checkpoint)
    try:
        with without_bars():
            model, report = kind.from_pretrained(
                checkpoint.folder,
                local_files_only=True,
                use_safetensors=files[0].suffix == ".safetensors",
                weights_only=True,
                dtype=dtype,
                ignore_mismatched_sizes=True,  # reported below, with the name
                output_loading_info=True,
            )
    except (*DAMAGED, UnpicklingError, SafetensorError) as error:
        raise EmbedderError(f"{files[0]} cannot be loaded ({said(error)}): {checkpoint.way_out}") from error
    # transformers only warns here and goes on with random weights.
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    lacking = sorted(name for name in {*report["missing_keys"], *mismatched} if not _begins(name, may_lack))
    require_all(lacking, files[0], "config.json", checkpoint.way_out)
    loaded: M = model.eval()
    return loaded


def require_all(lacking: list[str], file: Path, asked_by: str, way_out: str) -> None:
    """Refuse weights that lack some, or have them in another shape.

    Raises:
        EmbedderError: names the first of them.
    """
    if lacking:
        raise EmbedderError(
            f"{file} does not hold the weights that {asked_by} asks for: {len(lacking)} are missing "
            f"or of another shape, such as {lacking[0]}; {way_out}"
        )


def read_tensors(file: Path, way_out: str) -> dict[str, Any]:
    """What torch saved in a file (``.pt``, ``.pth``), of plain tensors only: no code of it is run.

    Tensors are mapped from the file, as far as it is of torch's present format, so that those that nobody looks at
    take no memory.

    Raises:
        UsageError: the file is missing.
        EmbedderError: it is broken, holds more than plain tensors, or is no dictionary.
    """
    import torch

    try:
        mapped = zipfile.is_zipfile(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it then refuses
            value = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise UsageError(f"{file} is missing: {way_out}") from None
    except UnpicklingError as error:
        raise EmbedderError(
            f"{file} is no file of plain weights, and nothing else is read from it, because a pickle can run any "
            f"code ({said(error).split('. ')[0]}): {way_out}"
        ) from error
    except DAMAGED as error:
        raise EmbedderError(f"{file} cannot be loaded ({said(error)}): {way_out}") from error
    if not isinstance(value, dict):
        raise EmbedderError(f"{file} holds a {type(value).__name__}, not a dictionary of weights: {way_out}")
    return value


def said(error: Exception) -> str:
    """A library's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def without_bars() -> Iterator[None]:
    """Without transformers' own bars, which know nothing of --quiet and run into evalkit's."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _begins(name: str, beginnings: Collection[str]) -> bool:
    return any(name == part or (part.endswith(".") and name.startswith(part)) for part in beginnings)

"""LoRA and DoRA adapters (peft, an optional package), merged into the model that they were trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any

from evalkit.embedders.checkpoint import PICKLED, SAFETENSORS, Checkpoint, read_json, resolve
from evalkit.embedders.loading import DAMAGED, said
from evalkit.errors import EmbedderError, UsageError

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# Until transformers 4.52 Qwen2-VL kept its language model one level higher; adapters name its parts.
_MOVED = {r"^model\.(?!language_model|visual)": "model.language_model.", r"^visual\.": "model.visual."}


def base_of(checkpoint: Checkpoint, given: str | None) -> Checkpoint | None:
    """The checkpoint that an adapter was trained on; ``None`` where the checkpoint is none but a whole model.

    Args:
        checkpoint: perhaps an adapter.
        given: folder or hub repository of the base, in place of the one that the adapter names.

    Raises:
        UsageError: the base is not there, the adapter's weights are not, or a base is given for a whole model.
    """
    folder = checkpoint.folder
    whole = any((folder / name).is_file() for name in (*SAFETENSORS, *PICKLED))
    if whole or not (folder / CONFIG).is_file():
        if given is not None:
            raise UsageError(f"{folder} is a whole model, or has no {CONFIG}: leave ?base={given} out")
        return None
    if not any((folder / name).is_file() for name in _WEIGHTS):
        raise UsageError(f"{folder} has {CONFIG} but none of {', '.join(_WEIGHTS)}: {checkpoint.way_out}")
    settings = read_json(folder / CONFIG, way_out=checkpoint.way_out)
    if settings.get("peft_type") != "LORA":
        raise UsageError(
            f"{folder / CONFIG} has peft_type {settings.get('peft_type')!r}; adapters are LORA (DoRA is one of them): "
            "merge it into its base first"
        )
    named = settings.get("base_model_name_or_path")
    if given is None and not named:
        raise UsageError(f"{folder / CONFIG} does not name the model it was trained on: say which with ?base=PATH")
    try:
        return resolve(str(given or named))
    except UsageError as error:
        raise UsageError(f"{folder} is an adapter, and its base is not there: {error} (or say ?base=PATH)") from error


def merged(model: Any, checkpoint: Checkpoint, moved: Mapping[str, str] = _MOVED) -> Any:
    """The model with an adapter's changes added to its weights.

    Args:
        model: the base, as transformers has it.
        checkpoint: the adapter.
        moved: patterns of names in the adapter, and what stands there in the model; those of Qwen2-VL.

    Raises:
        UsageError: peft is not installed.
        EmbedderError: the adapter is broken, or was trained on another model.
    """
    try:
        from peft import PeftConfig, PeftModel
    except ImportError:
        raise UsageError(
            f"{checkpoint.folder} is an adapter, which needs peft: pip install 'evalkit[peft]', or merge it first"
        ) from None
    from safetensors import SafetensorError

    folder, file = str(checkpoint.folder), checkpoint.folder / CONFIG
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for outdated names
            config = PeftConfig.from_pretrained(folder)
            config.inference_mode = True
            adapted = PeftModel(model, config)
            report = adapted.load_adapter(
                folder, "default", torch_device="cpu", key_mapping=dict(moved) or None, autocast_adapter_dtype=False
            )
    except (*DAMAGED, UnpicklingError, SafetensorError) as error:
        raise EmbedderError(f"{file} cannot be applied ({said(error)}): {checkpoint.way_out}") from error
    astray = [*report.missing_keys, *report.unexpected_keys]
    if astray:
        raise EmbedderError(
            f"{file} does not fit its base: {len(astray)} weights have no counterpart, such as {astray[0]}; "
            "say which model it was trained on with ?base=PATH"
        )
    return adapted.merge_and_unload().eval()

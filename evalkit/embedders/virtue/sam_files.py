"""Which SAM 2 a VIRTUE checkpoint asks for, and where its files lie.

The released checkpoints name it in ``config.json``, under ``virtue_sam``, and do not hold it: the weights are
Meta's own, and frozen. Only file names are taken from there, so that no path leaves the checkpoint's folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from evalkit.embedders.checkpoint import Checkpoint, digest_files, file_digest, read_json, resolve
from evalkit.errors import UsageError
from evalkit.files import read_text

# Hiera of each size, where it differs from the defaults below (configs/sam2.1/*.yaml of facebookresearch/sam2).
_SIZES: dict[str, dict[str, Any]] = {
    "t": {"embed_dim": 96, "stages": [1, 2, 7, 2], "global_att_blocks": [5, 7, 9]},
    "s": {"embed_dim": 96, "stages": [1, 2, 11, 2], "global_att_blocks": [7, 10, 13]},
    "b+": {"embed_dim": 112, "num_heads": 2, "window_pos_embed_bkg_spatial_size": [14, 14]},
    "l": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": [2, 6, 36, 4],
        "global_att_blocks": [23, 33, 43],
        "window_spec": [8, 4, 16, 8],
    },
}
_HUB = {"t": "tiny", "s": "small", "b+": "base-plus", "l": "large"}
_NAME = re.compile(r"sam2(?:\.1)?_hiera_(t|tiny|s|small|b\+|base_plus|l|large)")
_SHORT = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
# What Meta's classes assume where a yaml does not say (sam2/modeling/backbones/hieradet.py).
_TRUNK = {
    "embed_dim": 96,
    "num_heads": 1,
    "q_pool": 3,
    "q_stride": [2, 2],
    "stages": [2, 3, 16, 3],
    "dim_mul": 2.0,
    "head_mul": 2.0,
    "window_pos_embed_bkg_spatial_size": [14, 14],
    "window_spec": [8, 4, 14, 7],
    "global_att_blocks": [12, 16, 20],
}
_RELEASED = {
    "config_path": "./sam2.1/sam2.1_hiera_b+.yaml",
    "checkpoint": "./sam2_checkpoints/sam2.1_hiera_base_plus.pt",
}


@dataclass(frozen=True)
class Architecture:
    """The numbers of a SAM 2 that its image side is built from.

    Attributes:
        trunk: Hiera's arguments, every one of them, by Meta's names.
        hidden: channels of the map that its neck gives.
        top_down: levels of the neck that get what is above them.
        image_size: side of its square input in pixels.
        adds_no_memory: add the embedding for images without a past.
        asked_by: the file or the name that this comes from, for errors.
    """

    trunk: dict[str, Any]
    hidden: int
    top_down: tuple[int, ...]
    image_size: int
    adds_no_memory: bool
    asked_by: str

    def widths(self) -> list[int]:
        """Channels of the trunk's stages, the first stage first."""
        return _multiplied(self.trunk["embed_dim"], self.trunk["dim_mul"], len(self.trunk["stages"]))

    def heads(self) -> list[int]:
        """Attention heads of the trunk's stages, the first stage first."""
        return _multiplied(self.trunk["num_heads"], self.trunk["head_mul"], len(self.trunk["stages"]))


@dataclass(frozen=True)
class SamFiles:
    """A SAM 2 on disk.

    Attributes:
        weights: Meta's ``.pt``, or a folder in Hugging Face format.
        architecture: of Meta's ``.pt``; a folder has its own ``config.json``.
        digest: SHA-256 over all that vectors depend on, hexadecimal.
        way_out: what to do about a broken file.
    """

    weights: Path
    architecture: Architecture | None
    digest: str
    way_out: str

    @property
    def frame_size(self) -> int:
        """Side of SAM's square input in pixels.

        Raises:
            UsageError: a folder's ``config.json`` does not say.
        """
        if self.architecture is not None:
            return self.architecture.image_size
        file = self.weights / "config.json"
        size = read_json(file, way_out=self.way_out).get("prompt_encoder_config", {}).get("image_size", 1024)
        if not isinstance(size, int) or size < 64 or size % 64:
            raise UsageError(f"{file}: prompt_encoder_config.image_size is {size!r}, no multiple of 64: {self.way_out}")
        return size


def find_sam(checkpoint: Checkpoint, named: dict[str, Any], given: str | None) -> SamFiles:
    """Find the SAM 2 of a VIRTUE checkpoint.

    Looked for in this order: what the user gives; the file that the checkpoint names, in its folder or in the
    folder below it that it names; the stock weights in the cache of the Hugging Face hub.

    Args:
        checkpoint: the VIRTUE checkpoint.
        named: ``virtue_sam`` of its ``config.json``; the released ones' where it is empty.
        given: a ``.pt`` file, a folder, or a hub repository in the cache.

    Raises:
        UsageError: it is not there, or of a size that is not known.
    """
    weights = str(named.get("checkpoint") or _RELEASED["checkpoint"])
    settings = str(named.get("config_path") or (_RELEASED["config_path"] if not named else ""))
    if given is not None:
        return _given(given, settings)
    here = _beside(checkpoint.folder, weights)
    if here is not None:
        if here.is_dir():
            return _of_folder(here, checkpoint.way_out)
        return _of_file(here, _settings(checkpoint.folder, settings, here), settings, checkpoint.way_out)
    size = _size_of(weights) or _size_of(settings)
    stock = _stock(size)
    if stock is not None:
        return stock
    repository = f"facebook/sam2.1-hiera-{_HUB[size or 'b+']}"
    raise UsageError(
        f"{checkpoint.folder / PurePosixPath(weights).name} is missing: it is the SAM 2 that config.json asks for, "
        f"and VIRTUE's checkpoints do not hold it. Get Meta's stock weights with `hf download {repository}`, which "
        "is enough, or put the file there, or say where it is with ?sam=PATH"
    )


def _given(given: str, settings: str) -> SamFiles:
    file = Path(given).expanduser()
    if file.is_file():
        return _of_file(file, _settings(file.parent, settings, file), settings, "pass another ?sam=PATH")
    checkpoint = resolve(given)
    return _of_folder(checkpoint.folder, checkpoint.way_out)


def _stock(size: str | None) -> SamFiles | None:
    if size is None:
        return None
    try:
        checkpoint = resolve(f"facebook/sam2.1-hiera-{_HUB[size]}")
    except UsageError:
        return None
    return _of_folder(checkpoint.folder, checkpoint.way_out)


def _of_folder(folder: Path, way_out: str) -> SamFiles:
    """A folder in Hugging Face format, or one that holds Meta's file."""
    pickles = sorted(folder.glob("*.pt"))
    if any(folder.glob("model*.safetensors")):
        kind = str(read_json(folder / "config.json", way_out=way_out).get("model_type"))
        if kind not in ("sam2", "sam2_video"):
            raise UsageError(f"{folder / 'config.json'} is of model_type {kind!r}, not sam2 or sam2_video: {way_out}")
        return SamFiles(folder, None, digest_files(folder), way_out)
    if len(pickles) != 1:
        what = f"{len(pickles)} of them" if pickles else "neither"
        raise UsageError(
            f"{folder} should hold SAM 2 as model.safetensors or as one .pt file; it has {what}: {way_out}"
        )
    return _of_file(pickles[0], _settings(folder, "", pickles[0]), "", way_out)


def _of_file(file: Path, settings: Path | None, named: str, way_out: str) -> SamFiles:
    architecture = read_architecture(settings, way_out) if settings is not None else _by_name(file, named)
    digests = [file_digest(file), file_digest(settings) if settings is not None else architecture.asked_by]
    return SamFiles(file, architecture, " ".join(digests), way_out)


def _by_name(file: Path, named: str) -> Architecture:
    size = _size_of(named) or _size_of(file.name)
    if size is None or (named and _size_of(named) is None):
        raise UsageError(
            f"{named or file.name} is no size of SAM 2 that is known (sam2.1_hiera_t, _s, _b+, _l): put the yaml "
            f"file that it was trained with, in Meta's format, beside {file.name}"
        )
    return architecture_of(size)


def architecture_of(size: str) -> Architecture:
    """One of Meta's four sizes of SAM 2.1.

    Args:
        size: ``t``, ``s``, ``b+`` or ``l``.
    """
    trunk = _TRUNK | {"window_pos_embed_bkg_spatial_size": [7, 7]} | _SIZES[size]
    return Architecture(trunk, 256, (2, 3), 1024, True, f"sam2.1_hiera_{size}")


def read_architecture(file: Path, way_out: str) -> Architecture:
    """The architecture from a yaml file in Meta's format. Its ``_target_`` entries are not looked at.

    Raises:
        UsageError: it cannot be read, or asks for what transformers' SAM 2 does not have.
    """
    import yaml

    try:
        model = yaml.safe_load(read_text(file))["model"]
        encoder = model["image_encoder"]
        neck = encoder["neck"]
        levels = neck.get("fpn_top_down_levels")
        trunk = _TRUNK | {key: value for key, value in encoder["trunk"].items() if key in _TRUNK}
        built = Architecture(
            trunk=trunk,
            hidden=int(neck["d_model"]),
            top_down=tuple(range(len(trunk["stages"])) if levels is None else levels),
            image_size=int(model.get("image_size", 512)),
            adds_no_memory=bool(model.get("directly_add_no_mem_embed", False)),
            asked_by=file.name,
        )
        channels, found = list(neck["backbone_channel_list"]), built.widths()[::-1]
        wanted = {
            "image_encoder.scalp": (encoder.get("scalp", 0), 1),
            "image_encoder.neck.fpn_interp_model": (neck.get("fpn_interp_model", "bilinear"), "nearest"),
            "image_encoder.neck.fuse_type": (neck.get("fuse_type", "sum"), "sum"),
            "image_encoder.neck.backbone_channel_list": (channels, found),
            "number of image_encoder.trunk.stages": (len(trunk["stages"]), 4),
            "pred_obj_scores": (model.get("pred_obj_scores", False), True),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UsageError(f"{file} is no SAM 2 configuration in Meta's format ({error!r}): {way_out}") from error
    for key, (value, right) in wanted.items():
        if value != right:
            raise UsageError(f"{file}: {key} is {value!r}; only {right!r} is known: {way_out}")
    if built.image_size % 64:
        raise UsageError(f"{file}: image_size is {built.image_size}, which is no multiple of 64: {way_out}")
    return built


def _multiplied(first: int, factor: float, stages: int) -> list[int]:
    values = [first]
    while len(values) < stages:
        values.append(int(values[-1] * factor))  # cut off at each stage, as Meta's code does
    return values


def _size_of(name: str) -> str | None:
    found = _NAME.fullmatch(PurePosixPath(name).stem if name.endswith((".yaml", ".pt")) else PurePosixPath(name).name)
    return None if found is None else _SHORT.get(found[1], found[1])


def _beside(folder: Path, named: str) -> Path | None:
    """A file by its name in a configuration, below a folder and nowhere else."""
    pure = PurePosixPath(named)
    if not pure.name:
        return None
    inside = not pure.is_absolute() and ".." not in pure.parts
    places = [folder / pure] if inside else []
    return next((place for place in (*places, folder / pure.name) if place.exists()), None)


def _settings(folder: Path, named: str, weights: Path) -> Path | None:
    """The yaml that is named, with its ending or without, or else the one that is called as the weights are."""
    place = weights.with_suffix(".yaml")
    found = (_beside(folder, named) or _beside(folder, f"{named}.yaml")) if named else None
    return found or (place if place.is_file() else None)

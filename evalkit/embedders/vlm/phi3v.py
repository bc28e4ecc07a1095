"""Phi-3.5-V: Phi-3 with a CLIP tower, which transformers has no class for; no code of a checkpoint is run.

Built of transformers' Phi-3 and CLIP with the weights under their released names. What joins them is here as released
(``image_embedding_phi3_v.py`` and ``processing_phi3_v.py``): features of the last layer but one, four neighbours
side by side, a learned separator after each line and between tiles and whole, two layers; and a text in pieces around
its image, of which the tokenizer begins each with the token that it begins a text with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.checkpoint import Checkpoint, weight_files
from evalkit.embedders.loading import DAMAGED, read_tensors, require_all, said, without_bars
from evalkit.embedders.vlm.adapters import merged
from evalkit.embedders.vlm.backbone import Backbone, Seen, Vlm
from evalkit.embedders.vlm.hdtransform import TILE, CroppedImage, HdTransform
from evalkit.embedders.vlm.patching import Sizing
from evalkit.embedders.vlm.template import Prompt
from evalkit.embedders.vlm.tokens import Tokens
from evalkit.errors import EmbedderError, UsageError

if TYPE_CHECKING:
    import torch

CROPS = 4
"""Tiles of an image in all published runs of VLM2Vec and UniME."""
_IMAGE = -1  # stands for an image's tokens; no token of a text has it
_VISION = "vision_embed_tokens."
_MOST_CROPS = 32  # in the tower at once, whatever the batch holds


class PhiTokens(Tokens):
    """Token ids of a text in pieces around its image."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, None, _IMAGE)

    def ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of prompts; the image is one token, and each piece around it a text of its own."""
        found = []
        for prompt in prompts:
            pieces: list[list[Any]] = [[]]
            for piece in prompt:
                if piece.kind == "image":
                    pieces.append([])
                else:
                    pieces[-1].append(piece)
            first, *rest = (self._of_text(tuple(piece)) for piece in pieces)
            ids = [*first, *(token for part in rest for token in (_IMAGE, *part))]
            found.append(ids or self._for_nothing())
        return found

    def _of_text(self, text: Prompt) -> list[int]:
        return self._sound(text, self._tokenizer("".join(piece.text for piece in text))["input_ids"])


class PhiVlm(Vlm):
    """Phi-3 and its tower.

    Its frequencies are others above the length that it was first trained for, so items are read apart by that.
    """

    @property
    def _language(self) -> Any:
        return self._model.model

    def look(self, pictures: Sequence[CroppedImage]) -> list[Seen]:
        """Features of images, as many crops through the tower together as it takes."""
        import torch

        vision = self._language.vision_embed_tokens
        crops = torch.cat([torch.from_numpy(picture.crops) for picture in pictures])
        dtype = vision.sub_GN.dtype
        features = torch.cat(
            [
                vision.img_processor(part.to(self._device, dtype), output_hidden_states=True).hidden_states[-2][:, 1:]
                for part in torch.split(crops, _MOST_CROPS)
            ]
        )
        own = torch.split(features, [len(picture.crops) for picture in pictures])
        return [Seen(self._joined(one, picture)) for one, picture in zip(own, pictures, strict=True)]

    def read(
        self,
        texts: Sequence[Sequence[int]],
        seen: Sequence[Seen] | None = None,
        segments: torch.Tensor | None = None,
        positions: Any = "1d",
    ) -> torch.Tensor:
        """As :meth:`Vlm.read`; a vector does not depend on whether others of its batch are long."""
        import torch

        limit = int(self._language.config.original_max_position_embeddings)
        rows: list[torch.Tensor] = [torch.empty(0)] * len(texts)
        for long in (False, True):
            places = [place for place, ids in enumerate(texts) if (len(ids) > limit) is long]
            if places:
                own = None if seen is None else [seen[place] for place in places]
                for place, row in zip(places, super().read([texts[place] for place in places], own), strict=True):
                    rows[place] = row
        return torch.stack(rows)

    def _joined(self, features: torch.Tensor, picture: CroppedImage) -> torch.Tensor:
        """Tiles, separator, whole; shape ``(tokens, hidden size)``."""
        import torch

        vision = self._language.vision_embed_tokens
        whole, tiles = _lines(features[:1], 1, 1), _lines(features[1:], picture.rows, picture.columns)
        separator = vision.sub_GN.reshape(1, 1, -1)
        ended = [
            torch.cat([lines, separator.expand(len(lines), -1, -1)], dim=1).flatten(0, 1) for lines in (tiles, whole)
        ]
        joined: torch.Tensor = vision.img_projection(torch.cat([ended[0], vision.glb_GN.reshape(1, -1), ended[1]]))
        return joined

    def _states(
        self, embedded: torch.Tensor, places: torch.Tensor, mark: torch.Tensor | None, seen: Sequence[Seen]
    ) -> torch.Tensor:
        return super()._states(embedded, places[0], mark, seen)


def _lines(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Features of tiles put together, four neighbours side by side; shape ``(lines, line, 4 * width)``."""
    side, width = int(features.shape[1] ** 0.5), features.shape[2]
    half = side // 2
    grid = features.reshape(rows, columns, half, 2, half, 2, width)
    return grid.permute(0, 2, 1, 4, 3, 5, 6).reshape(rows * half, columns * half, 4 * width)


class Phi3V(Backbone):
    """Phi-3.5-V (arXiv 2404.14219)."""

    TYPE: ClassVar[str] = "phi3_v"
    MARK: ClassVar[str] = "<|image_1|>"

    def config(self, checkpoint: Checkpoint) -> Any:
        """``Phi3Config``; what is Phi-3.5-V's own stays in it as it is written.

        Raises:
            UsageError: ``config.json`` is missing, or joins tower and language model in another way.
        """
        file, written = checkpoint.folder / "config.json", checkpoint.config()
        config = _language_config(file, written, checkpoint.way_out)
        layer, tower = written.get("embd_layer") or {}, written.get("img_processor") or {}
        wanted = {"use_hd_transform": True, "hd_transform_order": "sub_glb", "projection_cls": "mlp"}
        if strange := sorted(key for key, value in wanted.items() if layer.get(key) != value):
            raise UsageError(
                f"{file} has embd_layer.{strange[0]} {layer.get(strange[0])!r}, Phi-3.5-V has {wanted[strange[0]]!r}: "
                f"{checkpoint.way_out}"
            )
        if tower.get("layer_idx", -2) != -2 or tower.get("type_feature", "patch") != "patch":
            raise UsageError(
                f"{file} has img_processor {tower!r}; layer -2 and patches are known: {checkpoint.way_out}"
            )
        return config

    def hidden_size(self, config: Any) -> int:
        """Length of the language model's states."""
        return int(config.hidden_size)

    def image_token(self, config: Any) -> int:
        """A number that is no token's."""
        return _IMAGE

    def tokens(self, checkpoint: Checkpoint, config: Any) -> PhiTokens:
        """Of a text in pieces."""
        return PhiTokens(checkpoint)

    def pictures(self, checkpoint: Checkpoint, config: Any, sizing: Sizing) -> HdTransform:
        """Tiles of 336 pixels and the whole."""
        per_tile = int(config.img_processor.get("num_img_tokens", 144))
        return HdTransform(sizing.crops or CROPS, int(per_tile**0.5))

    def load(self, checkpoint: Checkpoint, base: Checkpoint | None, device: str, dtype: torch.dtype) -> PhiVlm:
        """With the weights of a checkpoint, or of an adapter and its base."""
        import torch
        from transformers import Phi3Model

        whole = base or checkpoint
        files = weight_files(whole)
        weights: dict[str, torch.Tensor] = {}
        for file in files:
            weights |= _tensors(file, whole.way_out)
        inner = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
        vision = {name.removeprefix(_VISION): value for name, value in inner.items() if name.startswith(_VISION)}
        language = {name: value for name, value in inner.items() if not name.startswith(_VISION)}
        if "wte.weight" in vision:  # the released class has the words under two names, of which one may be saved
            language.setdefault("embed_tokens.weight", vision["wte.weight"])
        config = self.config(whole)
        text = _filled(Phi3Model, config, language, files[0], dtype, whole.way_out)
        text.vision_embed_tokens = _tower(vision, config.hidden_size, files[0], dtype, whole.way_out)
        root = torch.nn.Module()
        root.model = text
        if base is not None:
            root = merged(root, checkpoint, moved={r"img_processor\.vision_model\.": "img_processor."})
        return PhiVlm(root.eval().to(device), _IMAGE, device)


def _language_config(file: Path, written: dict[str, Any], way_out: str) -> Any:
    """``Phi3Config``, whose name for the frequencies is another one than ``config.json`` has."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import Phi3Config

    own = {name: value for name, value in written.items() if name not in ("model_type", "auto_map", "rope_scaling")}
    scaling = written.get("rope_scaling")
    try:
        if scaling is not None:
            if scaling.get("type", scaling.get("rope_type")) not in ("su", "longrope"):
                raise ValueError(f"rope_scaling {scaling.get('type')!r} is not su")
            factors = {name: scaling[name] for name in ("short_factor", "long_factor")}
            trained_for = written["original_max_position_embeddings"]
            own["rope_scaling"] = {
                "rope_type": "longrope",
                "original_max_position_embeddings": trained_for,
                "factor": written["max_position_embeddings"] / trained_for,
                **factors,
            }
        return Phi3Config(**own)
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise UsageError(f"{file} is no phi3_v configuration ({said(error)}): {way_out}") from error


def _tower(weights: dict[str, Any], width: int, file: Path, dtype: torch.dtype, way_out: str) -> torch.nn.Module:
    """CLIP with what joins it to the language model; its sizes are those of the weights."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    own = {name.removeprefix("img_processor."): value for name, value in weights.items() if "img_processor." in name}
    telling = ("vision_model.embeddings.patch_embedding.weight", "vision_model.encoder.layers.0.mlp.fc1.weight")
    lacking = [f"model.{_VISION}img_processor.{name}" for name in telling if name not in own]
    require_all(lacking, file, "Phi-3.5-V", way_out)
    patch, inner = (own[name] for name in telling)
    hidden = int(patch.shape[0])
    layers = {name.split(".")[3] for name in own if name.startswith("vision_model.encoder.layers.")}
    config = CLIPVisionConfig(
        hidden_size=hidden,
        intermediate_size=int(inner.shape[0]),
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, hidden // 64),  # CLIP ViT-L has 16 of 64
        patch_size=int(patch.shape[-1]),
        image_size=TILE,
        hidden_act="quick_gelu",
    )
    module = torch.nn.Module()
    module.glb_GN = torch.nn.Parameter(torch.zeros(1, 1, 4 * hidden, dtype=dtype))
    module.sub_GN = torch.nn.Parameter(torch.zeros(1, 1, 1, 4 * hidden, dtype=dtype))
    linear = torch.nn.Linear
    module.img_projection = torch.nn.Sequential(
        linear(4 * hidden, width, dtype=dtype), torch.nn.GELU(), linear(width, width, dtype=dtype)
    )
    joining = dict(module.named_parameters())
    lacking = [
        f"model.{_VISION}{name}"
        for name, value in joining.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    require_all(lacking, file, "Phi-3.5-V", way_out)
    with torch.no_grad():
        for name, value in joining.items():
            value.copy_(weights[name])
    module.img_processor = _filled(CLIPVisionModel, config, own, file, dtype, way_out)
    return module


def _filled(kind: Any, config: Any, weights: dict[str, Any], file: Path, dtype: torch.dtype, way_out: str) -> Any:
    """A transformers model with these weights, all of them."""
    try:
        with without_bars():
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=dtype,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except DAMAGED as error:
        raise EmbedderError(f"{file} cannot be loaded ({said(error)}): {way_out}") from error
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    require_all(sorted({*report["missing_keys"], *mismatched}), file, "config.json", way_out)
    return model


def _tensors(file: Path, way_out: str) -> dict[str, Any]:
    if file.suffix != ".safetensors":
        return read_tensors(file, way_out)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise EmbedderError(f"{file} is truncated or broken ({error}): {way_out}") from error

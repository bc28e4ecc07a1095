"""The family ``uniir-clip:``, UniIR's CLIP_SF: the features of OpenAI's CLIP summed, masked where there are none.

As released (TIGER-AI-Lab/UniIR 98dc570, ``clip_sf.py``, ``mbeir_dataset.py``): a query's instruction before its text,
candidates without one, both made a sentence; OpenAI's own tokenizer and image preparation. The authors compute in
float16 (autocast) and store so; here it is float32 or bfloat16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.embedders.mbeir import words_of
from evalkit.embedders.openaiclip import OpenAiTokens, find_tokenizer, prepared
from evalkit.embedders.options import yes_or_no
from evalkit.embedders.towers import Towers
from evalkit.embedders.uniir.released import fill, find_weights, first_of, read_weights
from evalkit.errors import EmbedderError

if TYPE_CHECKING:
    import torch

    from evalkit.items import Item, Side
    from evalkit.items.images import ImageFacts, ImageFile

USUAL = "checkpoint/CLIP_SF/clip_sf_large.pth"
_BLOCK = {
    r"attn\.out_proj\.": "self_attn.out_proj.",
    r"ln_(\d)\.": r"layer_norm\1.",
    r"mlp\.c_fc\.": "mlp.fc1.",
    r"mlp\.c_proj\.": "mlp.fc2.",
}
_NAMES = {
    r"^visual\.transformer\.resblocks\.": "vision_model.encoder.layers.",
    r"^transformer\.resblocks\.": "text_model.encoder.layers.",
    r"^visual\.class_embedding$": "vision_model.embeddings.class_embedding",
    r"^visual\.positional_embedding$": "vision_model.embeddings.position_embedding.weight",
    r"^visual\.conv1\.": "vision_model.embeddings.patch_embedding.",
    r"^visual\.ln_pre\.": "vision_model.pre_layrnorm.",
    r"^visual\.ln_post\.": "vision_model.post_layernorm.",
    r"^visual\.proj$": "visual_projection.weight",
    r"^token_embedding\.": "text_model.embeddings.token_embedding.",
    r"^positional_embedding$": "text_model.embeddings.position_embedding.weight",
    r"^ln_final\.": "text_model.final_layer_norm.",
    r"^text_projection$": "text_projection.weight",
}
"""From OpenAI's names to those of transformers, as patterns."""


@dataclass(frozen=True)
class _ClipSf:
    model: Any
    side: int


class UniIrClip(Towers):
    """UniIR's CLIP_SF from its released ``clip_sf_large.pth``: ``uniir-clip:PATH_OR_HUB_ID[@REVISION][?key=value]``.

    A region reaches it through its text alone.

    Args:
        path: the file, a folder that holds it, or a hub repository in the local cache; no connection is opened.
        revision: branch, tag or commit of the hub repository.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
        dtype: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on CUDA, float32 on the CPU.
        instruction: put a query's instruction before its text, as the model was trained.
        base: where OpenAI's CLIP tokenizer is, a folder or a hub repository in the local cache; where it is not given
            beside the weights, else ``openai/clip-vit-large-patch14``.

    Raises:
        UsageError: no such file or tokenizer, no such device, or an option that is not known.
    """

    FAMILY: ClassVar[str] = "uniir-clip"
    CODE_VERSION: ClassVar[str] = "1"

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        instruction: bool | str = True,
        base: str | None = None,
    ) -> None:
        self._told = yes_or_no("instruction", instruction)
        self._weights = find_weights(path, revision, USUAL)
        super().__init__(path, revision, device, dtype, self._weights)
        self._tokenizer = find_tokenizer(base, self._weights.folder, "UniIR's CLIP_SF")

    def cost(self, item: Item, image: ImageFacts | None) -> int:
        """Tokens of the text and patches of the image."""
        text = self._text(item, "query")
        tokens = 0 if image is not None and not text.strip() else self._tokens.count(text)
        return tokens + (self._patches if image is not None else 0)

    def _text(self, item: Item, side: Side) -> str:
        return words_of(item, side, self._told)

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        import torch

        ids = torch.from_numpy(self._tokens.ids(texts)).to(self._device)
        # OpenAI's attends to the padding after the end, which nothing before it can see.
        features: torch.Tensor = self._loaded.model.get_text_features(input_ids=ids).pooler_output
        return features

    def _image_features(self, images: list[ImageFile]) -> torch.Tensor:
        import numpy as np
        import torch

        batch = np.stack([prepared(image, self._loaded.side) for image in images])
        pixels = torch.from_numpy(batch).to(self._device)
        features: torch.Tensor = self._loaded.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    @cached_property
    def _loaded(self) -> _ClipSf:
        from transformers import CLIPConfig, CLIPModel

        weights = renamed(read_weights(self._weights, "clip_model."))
        file = self._weights.folder / self._weights.files[0]
        try:
            words, width = weights["text_model.embeddings.token_embedding.weight"].shape
            patch = weights["vision_model.embeddings.patch_embedding.weight"].shape
            places = weights["vision_model.embeddings.position_embedding.weight"].shape[0]
            length = weights["text_model.embeddings.position_embedding.weight"].shape[0]
            dimension = weights["text_projection.weight"].shape[0]
        except KeyError as error:
            raise EmbedderError(f"{file} is no CLIP_SF: it has no {error.args[0]}; {self._weights.way_out}") from error
        side = int((places - 1) ** 0.5) * patch[-1]
        config = CLIPConfig(
            projection_dim=dimension,
            text_config={
                **_tower(weights, "text_model", width),
                "vocab_size": words,
                "max_position_embeddings": length,
                "bos_token_id": words - 2,
                "eos_token_id": words - 1,
                "pad_token_id": 0,
            },
            vision_config={
                **_tower(weights, "vision_model", patch[0]),
                "image_size": side,
                "patch_size": patch[-1],
            },
        )
        model = fill(CLIPModel(config), weights, self._weights).to(self._device)
        return _ClipSf(model, side)

    @cached_property
    def _tokens(self) -> OpenAiTokens:
        words, length = (self._shape(name)[0] for name in ("token_embedding.weight", "positional_embedding"))
        return OpenAiTokens.load(self._tokenizer, words, length)

    @cached_property
    def _patches(self) -> int:
        return self._shape("visual.positional_embedding")[0] - 1

    @cached_property
    def _dimension(self) -> int:
        return self._shape("text_projection")[1]

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(first_of(self._weights, "clip_model.", name).shape)

    @property
    def _attention(self) -> str:
        return str(self._loaded.model.config._attn_implementation)

    @property
    def _options(self) -> dict[str, str]:
        return {"instruction": str(int(self._told))}

    @property
    def _digests(self) -> list[str]:
        return [self._weights.digest, self._tokenizer.digest]


def renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's weights of a CLIP under transformers' names.

    Queries, keys and values are apart there, and projections stand the other way round.
    """
    found: dict[str, Any] = {}
    for name, value in weights.items():
        new = name
        for pattern, replacement in (_NAMES | _BLOCK).items():
            new = re.sub(pattern, replacement, new)
        if joined := re.fullmatch(r"(.*)attn\.in_proj_(weight|bias)", new):
            layer, kind = joined.groups()
            parts = zip("qkv", value.chunk(3), strict=True)
            found |= {f"{layer}self_attn.{part}_proj.{kind}": piece for part, piece in parts}
        else:
            found[new] = value.T if name in ("visual.proj", "text_projection") else value
    return found


def _tower(weights: dict[str, Any], tower: str, width: int) -> dict[str, Any]:
    layers = {name.split(".")[3] for name in weights if name.startswith(f"{tower}.encoder.layers.")}
    inner = weights[f"{tower}.encoder.layers.0.mlp.fc1.weight"].shape[0]
    return {
        "hidden_size": int(width),
        "intermediate_size": int(inner),
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, int(width) // 64),
        "hidden_act": "quick_gelu",
    }

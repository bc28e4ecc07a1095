"""SAM 2 from Meta's checkpoint layout, or from Hugging Face's, into transformers' ``Sam2Model``.

Only what VIRTUE uses has to be there: the image encoder, the prompt encoder, and of the mask decoder its
tokens and its two-way transformer. Of the heads that make masks, and of the memory for videos, no vector
depends on them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import load_model, read_tensors, require_all, said
from evalkit.embedders.virtue.sam_files import Architecture, SamFiles
from evalkit.errors import EmbedderError

if TYPE_CHECKING:
    import torch
    from transformers import Sam2Config, Sam2Model

# Meta's names to those of transformers, each rule applied in turn.
_NAMES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
        (r"(\.blocks\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
        (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
        (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        (r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding"),
        (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
        (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
        (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
        (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
        (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
        (r"^sam_prompt_encoder\.", "prompt_encoder."),
        (r"^sam_mask_decoder\.", "mask_decoder."),
        (r"\.out_proj\.", ".o_proj."),
        (r"(\.layers\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
        (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    )
]
_HEADS = (
    "mask_decoder.upscale_conv1.",
    "mask_decoder.upscale_conv2.",
    "mask_decoder.upscale_layer_norm.",
    "mask_decoder.output_hypernetworks_mlps.",
    "mask_decoder.iou_prediction_head.",
    "mask_decoder.conv_s0.",
    "mask_decoder.conv_s1.",
    "mask_decoder.pred_obj_score_head.",
)
_PLACES = ("shared_image_embedding", "prompt_encoder.shared_embedding")  # transformers keeps the matrix twice
_POINTS = re.compile(r"prompt_encoder\.point_embeddings\.(\d)\.weight")  # which Meta keeps apart


def load_sam(files: SamFiles) -> Sam2Model:
    """SAM 2 in float32 on the CPU.

    Raises:
        UsageError: a file is missing.
        EmbedderError: weights that are broken, not plain tensors, or not those of the architecture.
    """
    import torch
    from transformers import Sam2Model

    if files.architecture is None:
        checkpoint = Checkpoint(files.weights.name, files.weights)
        return load_model(Sam2Model, checkpoint, torch.float32, may_lack=_HEADS)
    try:
        model = Sam2Model(sam_config(files.architecture)).eval()
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise EmbedderError(
            f"{files.architecture.asked_by} describes no SAM 2 ({said(error)}): {files.way_out}"
        ) from error
    saved = read_tensors(files.weights, files.way_out).get("model")
    if not isinstance(saved, dict):
        raise EmbedderError(f"{files.weights} has no 'model' as Meta's SAM 2 files have: {files.way_out}")
    weights = translated(saved)
    if not files.architecture.adds_no_memory:
        weights["no_memory_embedding"] = torch.zeros_like(model.no_memory_embedding)
    wanted = {name: value for name, value in model.state_dict().items() if not name.startswith(_HEADS)}
    lacking = [name for name, value in wanted.items() if name not in weights or weights[name].shape != value.shape]
    require_all(lacking, files.weights, files.architecture.asked_by, files.way_out)
    model.load_state_dict({name: weights[name] for name in wanted}, strict=False)
    return model


def translated(saved: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights by Meta's names, by those of transformers; what has no counterpart keeps its name."""
    import torch

    weights: dict[str, torch.Tensor] = {}
    points: dict[int, torch.Tensor] = {}
    for name, value in saved.items():
        for pattern, replacement in _NAMES:
            name = pattern.sub(replacement, name)
        if name == "shared_embedding":
            weights |= {f"{place}.positional_embedding": value for place in _PLACES}
        elif point := _POINTS.fullmatch(name):
            points[int(point[1])] = value
        else:
            weights[name] = value
    if points:
        weights["prompt_encoder.point_embed.weight"] = torch.cat([points[label] for label in sorted(points)])
    return weights


def sam_config(architecture: Architecture) -> Sam2Config:
    """The architecture as transformers writes it."""
    from transformers import Sam2Config
    from transformers.models.sam2 import Sam2HieraDetConfig, Sam2MaskDecoderConfig, Sam2PromptEncoderConfig
    from transformers.models.sam2.configuration_sam2 import Sam2VisionConfig

    trunk, widths, size = architecture.trunk, architecture.widths(), architecture.image_size
    backbone = Sam2HieraDetConfig(
        hidden_size=trunk["embed_dim"],
        num_attention_heads=trunk["num_heads"],
        image_size=[size, size],
        query_stride=list(trunk["q_stride"]),
        window_positional_embedding_background_size=list(trunk["window_pos_embed_bkg_spatial_size"]),
        num_query_pool_stages=trunk["q_pool"],
        blocks_per_stage=list(trunk["stages"]),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=architecture.heads(),
        window_size_per_stage=list(trunk["window_spec"]),
        global_attention_blocks=list(trunk["global_att_blocks"]),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[size // stride] * 2 for stride in (4, 8, 16)],
        fpn_hidden_size=architecture.hidden,
        fpn_top_down_levels=list(architecture.top_down),
    )
    return Sam2Config(
        vision_config=vision,
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=architecture.hidden, image_size=size),
        mask_decoder_config=Sam2MaskDecoderConfig(hidden_size=architecture.hidden),
    )

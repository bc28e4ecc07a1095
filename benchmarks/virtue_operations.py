"""What VIRTUE computes for SCaR, counted on models without weights: with each image encoded once, and without.

Qwen2-VL and SAM 2.1 base-plus are built on torch's meta device and their matrix products and convolutions
counted by torch (a multiplication and an addition are 2 FLOPs; attention is counted over the whole square, as
torch does, although half of the language model's is masked away). The segmentation stream is evalkit's own code.
The counts of the vision tower and of the language model have to equal their formulas, and the number of weights
that of the published checkpoints.

Times are estimates: FLOPs divided by what a GPU of the H100 and H200 class can do at most in bfloat16 and by a
share of it that is assumed. Reading, decoding and resizing images are not in them.

    python benchmarks/virtue_operations.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalkit.embedders.virtue.segmentation import SegmentationStream

SCAR_IMAGES, SCAR_ITEMS, SCAR_CAPTIONS = 14_799, 47_145, 471_450
TEXT_TOKENS, CAPTION_TOKENS = 60, 12
PEAK = 989e12  # FLOP/s of an H100 or H200 (SXM), bfloat16, dense
BYTES = 2  # of a bfloat16


@dataclass(frozen=True)
class Size:
    """A size of Qwen2-VL, as ``config.json`` of Qwen/Qwen2-VL-*-Instruct has it.

    Attributes:
        language: arguments of its language model.
        tied: whether the head that predicts words shares its weights with the embedding.
        weights: number of weights of the published checkpoint.
    """

    language: dict[str, int]
    tied: bool
    weights: int


SIZES = {
    "2B": Size(
        {
            "hidden_size": 1536,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "intermediate_size": 8960,
            "vocab_size": 151_936,
        },
        True,
        2_208_985_600,
    ),
    "7B": Size(
        {
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "intermediate_size": 18_944,
            "vocab_size": 152_064,
        },
        False,
        8_291_375_616,
    ),
}
VISION = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "patch_size": 14, "spatial_merge_size": 2}
PATCH = 3 * 2 * VISION["patch_size"] ** 2  # numbers in a patch of two equal frames
# Patches across and down, after Qwen2-VL's resize to multiples of 28 pixels (640 x 480 becomes 644 x 476).
RESOLUTIONS = {"high, 980 × 980": (70, 70), "native, 640 × 480": (46, 34)}


@dataclass(frozen=True)
class Operations:
    """FLOPs of each stage at one resolution.

    Attributes:
        image_tokens: that the language model reads.
        vision: Qwen2-VL's vision tower, an image.
        sam: SAM 2's image encoder, an image.
        prompt: SAM 2's prompt encoder and two-way transformer, the reducer and the connector, an item.
        language: the language model, an item.
        caption: the language model, a candidate's caption.
        head: the head that predicts words, over all tokens of an item.
        kept: bytes of an image's features in bfloat16.
    """

    image_tokens: int
    vision: int
    sam: int
    prompt: int
    language: int
    caption: int
    head: int
    kept: int

    def scar(self, images: int) -> int:
        """FLOPs of the items with images, where the image encoders run so many times."""
        return images * (self.vision + self.sam) + SCAR_ITEMS * (self.prompt + self.language)


def counted(run: Callable[[], object]) -> int:
    """FLOPs of a call."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def qwen(size: Size) -> Any:
    """Qwen2-VL without its weights."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    config = Qwen2VLConfig(
        text_config={**size.language, "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]}},
        vision_config={**VISION, "hidden_size": size.language["hidden_size"]},
        tie_word_embeddings=size.tied,
    )
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(config).eval()
    expect("weights of Qwen2-VL", sum(weight.numel() for weight in model.parameters()), size.weights)
    return model.model


def segmentation(hidden_size: int) -> SegmentationStream:
    """evalkit's segmentation stream without its weights."""
    import torch
    from transformers import Sam2Model

    from evalkit.embedders.virtue.sam_files import architecture_of
    from evalkit.embedders.virtue.sam_weights import sam_config
    from evalkit.embedders.virtue.segmentation import SegmentationStream, connector

    size = architecture_of("b+")
    with torch.device("meta"):
        sam = Sam2Model(sam_config(size)).eval()
        return SegmentationStream(sam, *connector(size.hidden, hidden_size), "meta", torch.bfloat16)


def operations(size: Size, columns: int, rows: int) -> Operations:
    """Count every stage.

    Args:
        size: of Qwen2-VL.
        columns: patches across the image.
        rows: patches down the image.
    """
    import numpy as np
    import torch

    from evalkit.embedders.virtue.sam_prompts import BOX_END, BOX_START, SamPrompt

    model, hidden = qwen(size), size.language["hidden_size"]
    stream = segmentation(hidden)
    patches, side = columns * rows, VISION["patch_size"]
    image_tokens = patches // VISION["spatial_merge_size"] ** 2
    pixels = np.zeros((3, rows * side, columns * side), dtype=np.float32)
    box = SamPrompt(((10.0, 20.0), (300.0, 400.0)), (BOX_START, BOX_END))

    def on_meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return torch.empty(*shape, dtype=dtype, device="meta")

    def see() -> object:
        places = on_meta(patches, 2, dtype=torch.long)
        return model.visual(on_meta(patches, PATCH), torch.tensor([[1, rows, columns]]), position_ids=places)

    def read(tokens: int) -> int:
        places = on_meta(3, 1, tokens, dtype=torch.long)
        embedded = on_meta(1, tokens, hidden)
        found = counted(lambda: model.language_model(inputs_embeds=embedded, position_ids=places, use_cache=False))
        expect(f"FLOPs of the language model over {tokens} tokens", found, language_formula(size, tokens))
        return found

    vision = counted(see)
    expect("FLOPs of the vision tower", vision, vision_formula(size, patches))
    sam = counted(lambda: stream.look([pixels]))
    (seen,), tokens = stream.look([pixels]), stream.tokens(stream.look([pixels]), [box])
    length = tokens.shape[1] + image_tokens + TEXT_TOKENS
    return Operations(
        image_tokens=image_tokens,
        vision=vision,
        sam=sam,
        prompt=counted(lambda: stream.tokens([seen], [box])),
        language=read(length),
        caption=read(CAPTION_TOKENS),
        head=2 * length * hidden * size.language["vocab_size"],
        kept=BYTES * (image_tokens * hidden + seen.numel()),
    )


def vision_formula(size: Size, patches: int) -> int:
    """Patches to vectors; in each block queries, keys, values and output, the MLP and attention; the merger."""
    width, merged = VISION["embed_dim"], VISION["embed_dim"] * VISION["spatial_merge_size"] ** 2
    block = patches * width * width * (4 + 2 * VISION["mlp_ratio"]) + 2 * patches * patches * width
    merger = patches // VISION["spatial_merge_size"] ** 2 * merged * (merged + size.language["hidden_size"])
    return 2 * (patches * PATCH * width + VISION["depth"] * block + merger)


def language_formula(size: Size, tokens: int) -> int:
    """In each layer queries and output, keys and values, the gated MLP, and attention."""
    language = size.language
    width = language["hidden_size"]
    narrow = width * language["num_key_value_heads"] // language["num_attention_heads"]
    weights = 2 * width * width + 2 * width * narrow + 3 * width * language["intermediate_size"]
    return 2 * language["num_hidden_layers"] * (tokens * weights + 2 * tokens * tokens * width)


def expect(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: counted {found:,}, expected {wanted:,}")


def table(by_resolution: dict[str, Operations], utilisation: float) -> list[str]:
    """The lines of a Markdown table."""

    def line(name: str, of: Callable[[Operations], str]) -> str:
        return f"| {name} | {' | '.join(of(one) for one in by_resolution.values())} |"

    def giga(flops: int) -> str:
        return f"{flops / 1e9:,.1f}"

    def whole(flops: float) -> str:
        seconds = flops / (PEAK * utilisation)
        least, unit = next(found for found in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= found[0])
        amount = f"{flops / 1e15:,.1f} PFLOP" if flops >= 1e15 else f"{flops / 1e12:,.1f} TFLOP"
        return f"{amount}, {seconds / max(least, 1):.2f} {unit}"

    def released(one: Operations) -> int:
        return one.scar(SCAR_ITEMS) + SCAR_ITEMS * one.head

    seen, read = "GFLOP an image", "GFLOP an item"
    return [
        f"| | {' | '.join(by_resolution)} |",
        f"|---|{'---:|' * len(by_resolution)}",
        line("image tokens", lambda one: f"{one.image_tokens:,}"),
        line(f"vision tower, {seen}", lambda one: giga(one.vision)),
        line(f"SAM 2 image encoder, {seen}", lambda one: giga(one.sam)),
        line(f"SAM 2 prompt, transformer, reducer, connector, {read}", lambda one: giga(one.prompt)),
        line(f"language model, {read} (256 + image + {TEXT_TOKENS} tokens)", lambda one: giga(one.language)),
        line(f"language model, GFLOP a caption of {CAPTION_TOKENS} tokens", lambda one: giga(one.caption)),
        line("kept of an image, MB in bfloat16", lambda one: f"{one.kept / 1e6:.2f}"),
        line("SCaR, images encoded for every item *", lambda one: whole(one.scar(SCAR_ITEMS))),
        line("SCaR, images encoded once *", lambda one: whole(one.scar(SCAR_IMAGES))),
        line("ratio", lambda one: f"{one.scar(SCAR_ITEMS) / one.scar(SCAR_IMAGES):.2f}"),
        line("1,000 captions *", lambda one: whole(1000 * one.caption)),
        line("all captions, were all of them distinct *", lambda one: whole(SCAR_CAPTIONS * one.caption)),
        line(f"head that predicts words, in the released code alone, {read}", lambda one: giga(one.head)),
        line("SCaR, every item with that head *", lambda one: whole(released(one))),
        line("ratio to that", lambda one: f"{released(one) / one.scar(SCAR_IMAGES):.2f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--utilisation", type=float, default=0.4, help="share of the GPU's peak  [default: 0.4]")
    arguments = parser.parse_args()
    for name in arguments.sizes:
        counts = {at: operations(SIZES[name], *patches) for at, patches in RESOLUTIONS.items()}
        print(f"VIRTUE-{name} with SAM 2.1 base-plus\n")
        print("\n".join(table(counts, arguments.utilisation)), end="\n\n")
    print(
        f"* {SCAR_IMAGES:,} images, {SCAR_ITEMS:,} items ({SCAR_ITEMS / SCAR_IMAGES:.2f} an image), all of the "
        f"resolution above, no padding. Times are estimates, not measurements:\n{arguments.utilisation:.0%} of "
        f"{PEAK / 1e12:.0f} TFLOP/s, the bfloat16 peak of one H100 or H200."
    )


if __name__ == "__main__":
    main()

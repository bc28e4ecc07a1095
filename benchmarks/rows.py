"""The families: how the checkpoint of each is written, and how it is driven plainly.

VIRTUE is not among them: ``benchmarks/virtue.py`` has it, on items with regions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plain import wordings
from plain.driver import Plain
from plain.qwen import Pixels, PlainQwen, QwenWay
from plain.released import PlainMagicLens, PlainUniIrBlip, PlainUniIrClip
from plain.tiled import PlainLlavaNext, PlainPhi3V
from plain.towers import PlainBlip2, PlainTowers

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "embedders"), str(TESTS / "embedders" / "vlm")]


@dataclass(frozen=True)
class Row:
    """A family on a backbone.

    Attributes:
        family: that evalkit has it in.
        write: writes its checkpoint into a folder.
        plain: how it is driven plainly.
        texts: whether it takes items without an image.
    """

    family: str
    write: Callable[[Path], Path]
    plain: Callable[[Path], Plain]
    texts: bool = True


def _qwen(way: QwenWay) -> Callable[[Path], Plain]:
    return lambda folder: PlainQwen(folder, way)


_QWEN2, _QWEN25 = "Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration"
_QWEN3, _QWEN35 = "Qwen3VLForConditionalGeneration", "Qwen3_5ForConditionalGeneration"
_TOKENS = Pixels.of_tokens
_FETCHED = _TOKENS(4, 16384)  # where fetch_image is given no limits
_QWEN3_LIMITS = _TOKENS(4, 1800, 32)


def rows() -> dict[str, Row]:
    """By name; the checkpoints are those of the tests."""
    from checkpoints import clip_checkpoint, siglip_checkpoint
    from checkpoints.blip2 import blip2_checkpoint
    from checkpoints.llava import llava_next_checkpoint
    from checkpoints.magiclens import magiclens_checkpoint
    from checkpoints.phi3v import phi3_v_checkpoint
    from checkpoints.qwen import qwen2_5_vl_checkpoint, qwen2_vl_checkpoint
    from checkpoints.qwen3 import qwen3_5_checkpoint, qwen3_vl_checkpoint
    from checkpoints.towers import metaclip2_checkpoint, naflex_checkpoint, openclip_checkpoint
    from checkpoints.uniir import blip_ff_file, clip_sf_file

    mistral = partial(llava_next_checkpoint, language="mistral")
    return {
        "clip": Row("clip", clip_checkpoint, PlainTowers),
        "openclip": Row("clip", openclip_checkpoint, PlainTowers),
        "metaclip2": Row("clip", metaclip2_checkpoint, PlainTowers),
        "siglip": Row("clip", siglip_checkpoint, PlainTowers),
        "siglip2-naflex": Row("clip", naflex_checkpoint, PlainTowers),
        "blip2": Row("blip2", blip2_checkpoint, PlainBlip2),
        "uniir-clip": Row("uniir-clip", clip_sf_file, PlainUniIrClip),
        "uniir-blip": Row("uniir-blip", blip_ff_file, PlainUniIrBlip),
        "magiclens": Row("magiclens", magiclens_checkpoint, PlainMagicLens, texts=False),
        "vlm2vec": Row(
            "vlm2vec",
            qwen2_vl_checkpoint,
            _qwen(QwenWay(_QWEN2, wordings.vlm2vec_qwen, limits=Pixels(56 * 56, 1280 * 784))),
        ),
        "gme": Row(
            "gme",
            qwen2_vl_checkpoint,
            _qwen(QwenWay(_QWEN2, wordings.gme, _FETCHED, _TOKENS(256, 1280), longest=1800)),
        ),
        "rzenembed": Row(
            "rzenembed",
            qwen2_vl_checkpoint,
            _qwen(QwenWay(_QWEN2, wordings.rzenembed, _FETCHED, _TOKENS(256, 1280), longest=2000)),
        ),
        "ops-mm": Row(
            "ops-mm",
            qwen2_vl_checkpoint,
            _qwen(QwenWay(_QWEN2, wordings.ops_mm, _TOKENS(256, 1280), _TOKENS(256, 1280), positions="own")),
        ),
        "lamra": Row("lamra", qwen2_vl_checkpoint, _qwen(QwenWay(_QWEN2, wordings.lamra, _TOKENS(4, 300)))),
        "lamra-qwen2.5": Row("lamra", qwen2_5_vl_checkpoint, _qwen(QwenWay(_QWEN25, wordings.lamra, _TOKENS(4, 300)))),
        "qwen3-vl-embedding": Row(
            "qwen3-vl-embedding",
            qwen3_vl_checkpoint,
            _qwen(QwenWay(_QWEN3, wordings.qwen3_vl_embedding, _QWEN3_LIMITS, _QWEN3_LIMITS, "own", 8192)),
        ),
        "wemm": Row(
            "wemm",
            qwen3_5_checkpoint,
            _qwen(QwenWay(_QWEN35, wordings.wemm, _TOKENS(4, 16384, 32), positions="own")),
        ),
        "vlm2vec-llava": Row("vlm2vec", mistral, lambda folder: PlainLlavaNext(folder, wordings.vlm2vec)),
        "unime-llava": Row("unime", mistral, lambda folder: PlainLlavaNext(folder, wordings.unime_llava)),
        "bge-vl": Row("bge-vl", mistral, lambda folder: PlainLlavaNext(folder, wordings.bge_vl, (512, 512))),
        "e5-v": Row(
            "e5-v",
            partial(llava_next_checkpoint, language="llama"),
            lambda folder: PlainLlavaNext(folder, wordings.e5_v),
        ),
        "vlm2vec-phi": Row("vlm2vec", phi3_v_checkpoint, lambda folder: PlainPhi3V(folder, wordings.vlm2vec, 256)),
        "unime-phi": Row("unime", phi3_v_checkpoint, lambda folder: PlainPhi3V(folder, wordings.unime_phi)),
    }

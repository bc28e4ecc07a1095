"""SAM 2 against the stand-alone package of its own classes, on the same random weights (``evalkit[sam2]``).

transformers' model, that ours is built on, is a port of them. ``test_segmentation`` holds ours to transformers'; this
holds both to what they are ports of.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.embedders.checkpoint import resolve
from evalkit.embedders.virtue.sam_files import find_sam
from evalkit.embedders.virtue.sam_prompts import SamPrompt, grid
from evalkit.embedders.virtue.sam_weights import load_sam
from evalkit.embedders.virtue.segmentation import Segmentation, SegmentationStream, connector

pytestmark = [
    pytest.mark.optional,
    pytest.mark.filterwarnings("ignore:register_new_resolver"),  # hydra's, on its own import
]
MEAN, STD = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
LOGITS = np.random.default_rng(1).normal(0, 8, (64, 64)).astype(np.float32)
USED = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.transformer.", "no_mem_embed")
PROMPTS = {
    "grid": grid(3, 256),
    "box": SamPrompt(((10.0, 20.0), (200.0, 150.5)), (2, 3)),
    "points": SamPrompt(((10.0, 20.0), (200.0, 150.5), (3.0, 3.0)), (1, 1, 0)),
    "mask": SamPrompt(((0.0, 0.0),), (-1,), LOGITS),
}


@pytest.fixture(scope="module")
def oracle() -> Any:
    """Makes a model of the package out of a file in Meta's format, its weights random or those of a file."""
    pytest.importorskip("sam2")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    def make(text: str, weights: Path | None = None) -> Any:
        torch.manual_seed(0)
        model = instantiate(OmegaConf.create(text).model)
        if weights is not None:
            left = model.load_state_dict(torch.load(weights, weights_only=True)["model"], strict=False)
            assert not left.unexpected_keys
            assert not [name for name in left.missing_keys if name.startswith(USED)]
        return model.eval()

    return make


@pytest.fixture(scope="module")
def pair(oracle: Any, virtue_folder: Path) -> SimpleNamespace:
    """The small checkpoint in both, and one image in both."""
    text = (virtue_folder / "sam2_tiny.yaml").read_text().replace("src.sam2.", "sam2.")
    theirs = oracle(text, virtue_folder / "sam2_tiny.pt")
    ours = Segmentation(resolve(str(virtue_folder)), None, None).load(64, "cpu", torch.float32)
    pixels = np.random.default_rng(0).normal(0, 1, (3, 84, 56)).astype(np.float32)
    with torch.inference_mode():
        return SimpleNamespace(ours=ours, theirs=theirs, seen=ours.look([pixels])[0], image=image_of(theirs, pixels))


def image_of(model: Any, pixels: np.ndarray) -> SimpleNamespace:
    """What the package makes of an image, as its ``SAM2ImagePredictor.set_image`` does after its resize.

    Its resize and normalisation alone, which need torchvision, are done here.
    """
    size = (model.image_size, model.image_size)
    square = torch.nn.functional.interpolate(torch.from_numpy(pixels)[None], size, mode="bilinear", antialias=True)
    maps = model.forward_image((square - MEAN) / STD)
    _, features, _, _ = model._prepare_backbone_features(maps)
    if model.directly_add_no_mem_embed:
        features[-1] = features[-1] + model.no_mem_embed
    side = model.sam_image_embedding_size
    embedding = features[-1].permute(1, 2, 0).reshape(1, -1, side, side)
    return SimpleNamespace(embedding=embedding, fine=maps["backbone_fpn"][:-1])


def asked_of(model: Any, prompt: SamPrompt) -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse and dense embeddings of its prompt encoder; a box goes in as its two corners, as its predictor has it."""
    points = (torch.tensor([prompt.points]), torch.tensor([prompt.labels], dtype=torch.int32))
    mask = None if prompt.mask is None else torch.from_numpy(prompt.mask)[None, None]
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=mask)
    return sparse, dense


def test_features_of_an_image(pair: SimpleNamespace) -> None:
    torch.testing.assert_close(pair.seen[None], pair.image.embedding, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", PROMPTS)
def test_features_of_a_prompt(kind: str, pair: SimpleNamespace) -> None:
    prompt = PROMPTS[kind]
    with torch.inference_mode():
        sparse, dense = asked_of(pair.theirs, prompt)
        torch.testing.assert_close(pair.ours._sparse([prompt]), sparse, atol=1e-5, rtol=0)
        torch.testing.assert_close(pair.ours._dense([prompt]).expand(dense.shape), dense, atol=1e-5, rtol=0)
        places = pair.theirs.sam_prompt_encoder.get_dense_pe()
        torch.testing.assert_close(pair.ours._places.expand(places.shape), places, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", PROMPTS)
def test_the_map_after_it_has_attended_to_a_prompt(kind: str, pair: SimpleNamespace) -> None:
    """What the language model gets: the image side of the decoder's transformer, watched in the decoder's forward."""
    decoder, sides = pair.theirs.sam_mask_decoder, []
    hook = decoder.transformer.register_forward_hook(lambda *call: sides.append(call[2][1]))
    with torch.inference_mode():
        sparse, dense = asked_of(pair.theirs, PROMPTS[kind])
        decoder(
            image_embeddings=pair.image.embedding,
            image_pe=pair.theirs.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            repeat_image=False,
            high_res_features=pair.image.fine,
        )
        ours = pair.ours.fused([pair.seen], [PROMPTS[kind]])
    hook.remove()
    torch.testing.assert_close(ours, sides[0].transpose(1, 2).reshape(ours.shape), atol=1e-4, rtol=0)


@pytest.mark.slow(35)
@pytest.mark.parametrize(("size", "name"), [("t", "tiny"), ("b+", "base_plus")])
def test_a_released_size_by_its_name(size: str, name: str, oracle: Any, virtue_folder: Path, tmp_path: Path) -> None:
    """The package's own yaml, random weights of it under the released name, and an image of 1024 pixels."""
    import sam2

    file = Path(sam2.__file__).parent / "configs" / "sam2.1" / f"sam2.1_hiera_{size}.yaml"
    theirs = oracle(file.read_text())
    weights = tmp_path / f"sam2.1_hiera_{name}.pt"
    torch.save({"model": theirs.state_dict()}, weights)
    sam = load_sam(find_sam(resolve(str(virtue_folder)), {"checkpoint": "elsewhere.pt"}, str(weights)))
    ours = SegmentationStream(sam, *connector(256, 64), "cpu", torch.float32)
    pixels = np.random.default_rng(0).normal(0, 1, (3, 84, 112)).astype(np.float32)
    with torch.inference_mode():
        seen, image = ours.look([pixels])[0], image_of(theirs, pixels).embedding
    assert image.std() > 1e-3
    torch.testing.assert_close(seen[None], image, atol=1e-4, rtol=1e-3)

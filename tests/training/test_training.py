"""The recipe: its short ways against the long ones of the evaluation, and checkpoints that load as they were."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import VIRTUE

from evalkit.embedders.virtue.embedder import Virtue, Vlm2Vec
from evalkit.embedders.virtue.pictures import Pictures
from evalkit.images import ImageFile
from evalkit.items import Item
from evalkit.miniature import draw
from evalkit.miniature.scenes import scene
from training import sam as sam_recipe
from training.checkpoint import save
from training.contrastive import Learner, parts, train, vectors
from training.examples import Side, regions, texts
from training.pixels import normalised, patches
from training.record import Record
from training.tokenizer import tokenizer


def learner(with_sam: bool) -> Learner:
    """Of random weights that float16 holds exactly, so that saving rounds nothing."""
    torch.manual_seed(0)
    words = tokenizer(texts(regions(random.Random(0))), 400)
    sam = sam_recipe.model().eval().requires_grad_(False) if with_sam else None
    made = Learner(words, sam).eval()
    for module in (made, sam):
        if module is not None:
            for value in module.state_dict().values():  # what is saved; not the frequencies of positions
                value.copy_(value.half())
    return made


def test_patches_are_the_processors(tmp_path: Path) -> None:
    scenes = [scene(random.Random(seed), 4) for seed in range(2)]
    made = patches(normalised(np.stack([draw.pixels(one) for one in scenes])))
    for number, one in enumerate(scenes):
        draw.image(one).save(tmp_path / f"{number}.png")
        picture = Pictures(VIRTUE, "native", "").prepare(ImageFile(tmp_path, f"{number}.png"))
        assert (picture.rows, picture.columns) == (8, 8)
        np.testing.assert_allclose(made[number * 64 : number * 64 + 64].numpy(), picture.patches, atol=1e-5)


@pytest.mark.parametrize("with_sam", [True, False])
def test_a_saved_model_gives_the_vectors_of_the_one_in_training(with_sam: bool, tmp_path: Path) -> None:
    made = learner(with_sam)
    examples = regions(random.Random(1))
    sides = [examples[0].query, examples[1].query, Side("<image>\nWhat is it?", examples[0].query.scene)]
    sides += examples[0].candidates[:3]
    with torch.inference_mode():
        wanted = vectors(made, sides).numpy()
    save(made, tmp_path / "model")
    items = []
    for number, side in enumerate(sides):
        image = None
        if side.scene is not None:
            draw.image(side.scene).save(tmp_path / f"{number}.png")
            image = ImageFile(tmp_path, f"{number}.png", upright=False)
        items.append(Item(side.text, text=side.text, image=image, region=side.box))
    family = Virtue if with_sam else Vlm2Vec
    found = family(str(tmp_path / "model"), device="cpu").encode(items, "query")
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3


def test_training_leaves_sam_as_it_is_and_keeps_its_record(tmp_path: Path) -> None:
    made = learner(True)
    before = {name: value.clone() for name, value in made.sam[0].state_dict().items()}
    connector = made.projector[0].weight.clone()
    record = Record("tiny", {"seed": 0}, tmp_path / "training.json")
    held_out = regions(random.Random("held out"))
    steps = train(
        made,
        lambda rng, share: regions(rng, level=1 + round(2 * share)),
        lambda learner: parts(learner, held_out),
        0,
        0,
        record,
        every=2,
        steps=2,
    )
    assert steps == 2
    for name, value in made.sam[0].state_dict().items():
        assert (value == before[name]).all()
    assert not torch.equal(made.projector[0].weight, connector)
    curve = json.loads((tmp_path / "training.json").read_text())["curve"]
    assert [point["step"] for point in curve] == [2, 2]
    assert 0 <= curve[0]["p1"] <= curve[0]["object"] <= 1


def test_examples_are_what_scar_asks() -> None:
    for seed in range(20):
        for level, count in ((1, 4), (2, 7), (3, 10)):
            examples = regions(random.Random(seed), level)
            assert len({example.query.text for example in examples}) == 4
            for example in examples:
                assert len({side.text for side in example.candidates}) == count
                assert example.query.scene == examples[0].query.scene
        # The captions of the four things are each right for one and wrong for three.
        right = {example.candidates[0].text for example in examples}
        assert all({side.text for side in example.candidates[:4]} == right for example in examples)


def test_masks_in_training_are_those_of_transformers_own_forward() -> None:
    made = sam_recipe.model()
    assert made.prompt_encoder.shared_embedding.positional_embedding is (
        made.shared_image_embedding.positional_embedding
    )
    made.eval()
    scenes = [scene(random.Random(seed), 3) for seed in range(2)]
    things = [list(one.things) for one in scenes]
    pixels = normalised(np.stack([draw.pixels(one) for one in scenes]))
    for kind in ("box", "points", "mask"):
        again = random.Random(1)
        asked = [[sam_recipe.prompt(thing, kind, again) for thing in row] for row in things] if kind != "mask" else []
        with torch.inference_mode():
            logits, _ = sam_recipe.masks(made, pixels, things, kind, random.Random(1))
            images = sam_recipe.square(pixels, sam_recipe.FRAME)
            if kind == "mask":  # transformers takes one mask an image
                rough = torch.from_numpy(np.stack([draw.mask(row[0]) for row in things])).float()[:, None]
                small = torch.nn.functional.interpolate(rough, (48, 48), mode="area")
                theirs = made(pixel_values=images, input_masks=20 * small - 10, multimask_output=False).pred_masks
                torch.testing.assert_close(logits[:, :1], theirs[:, :, 0], atol=1e-4, rtol=0)
                continue
            theirs = made(
                pixel_values=images,
                input_points=torch.tensor([[one[0] for one in row] for row in asked]),
                input_labels=torch.tensor([[one[1] for one in row] for row in asked]),
                multimask_output=False,
            ).pred_masks
        torch.testing.assert_close(logits, theirs[:, :, 0], atol=1e-4, rtol=0)

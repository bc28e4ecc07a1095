"""The recipe: its short ways against the long ones of the evaluation, and checkpoints that load as they were."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import DEMO_SIZE, Demonstration
from checkpoints import VIRTUE
from safetensors.torch import load_file

from evalkit.embedders import tiny
from evalkit.embedders.clip import Clip
from evalkit.embedders.virtue.embedder import Virtue
from evalkit.embedders.vlm.patching import Patching
from evalkit.embedders.vlm.vlm2vec import SIZINGS, Vlm2Vec
from evalkit.items import Box, Item, Mask
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.prompting import MODES
from evalkit.items.prompting.crop import cut_to_region
from evalkit.miniature import draw
from evalkit.miniature.drawings import CutOut, Drawing
from evalkit.miniature.grammar import description, name
from evalkit.miniature.scenes import SIDE, nested, scene
from evalkit.runs.runfolder import find_runs
from evalkit.runs.samples import read_samples
from training import __main__ as recipe
from training import sam as sam_recipe
from training.ablation import measure, table
from training.clip import ClipLearner
from training.contrastive import contrast, scores, train
from training.pixels import normalised, patches, restored
from training.plan import Plan
from training.questions import KINDS, WITH_REGION, Batches, Question, questions, siblings, wordless
from training.qwen import QwenLearner
from training.record import Record

pytestmark = pytest.mark.slow(0.5)


@pytest.fixture(scope="module")
def asked() -> tuple[list[Question], dict[str, Drawing]]:
    return questions([77], 3)


def learner(name: str, found: list[Question], drawings: dict[str, Drawing]) -> torch.nn.Module:
    """Of random weights that float16 holds exactly, so that saving rounds nothing."""
    torch.manual_seed(0)
    words = recipe.vocabulary(found)
    if name == "clip":
        made: torch.nn.Module = ClipLearner(words, drawings).eval()
        sam = None
    else:
        sam = sam_recipe.model().eval().requires_grad_(False) if name == "virtue" else None
        made = QwenLearner(words, drawings, sam).eval()
    for module in (made, sam):
        if module is not None:
            for value in module.state_dict().values():  # what is saved; not the frequencies of positions
                if value.is_floating_point():
                    value.copy_(value.half())
    return made


def test_patches_are_the_processors(tmp_path: Path) -> None:
    scenes = [scene(random.Random(seed), 4) for seed in range(2)]
    shown = [draw.image(one) for one in scenes] + [CutOut(scenes[0], scenes[0].things[0]).image()]
    for number, image in enumerate(shown):
        image.save(tmp_path / f"{number}.png")
        picture = Patching(VIRTUE, SIZINGS["native"], "").prepare(ImageFile(tmp_path, f"{number}.png"))
        kept = restored(picture.pixels)
        if image.size == (SIDE, SIDE):
            assert (kept == np.asarray(image)).all()
        made = patches(normalised(kept[None])).numpy()
        np.testing.assert_allclose(made, picture.patches, atol=1e-5)


@pytest.mark.parametrize("kind", ["virtue", "vlm2vec", "clip"])
def test_a_saved_model_gives_the_vectors_of_the_one_in_training(
    kind: str, asked: tuple[list[Question], dict[str, Drawing]], tmp_path: Path
) -> None:
    found, drawings = asked
    made = learner(kind, found, drawings)
    regional = next(each for each in found if each.card.meta_task == WITH_REGION)
    items = [each.query for each in found[::7]] + [each.candidates[0] for each in found[::7]]
    items += [regional.query, cut_to_region(regional.query, lambda image: ImageFacts("", SIDE, SIDE))]
    items += [wordless(regional, random.Random(each), each).query for each in KINDS]
    with torch.inference_mode():
        wanted = made(items).numpy()
        made.save(tmp_path / "model")
        assert (made(items).numpy() == wanted).all()  # what goes on training is what it was, to the last bit
    stored = [_stored(item, drawings, tmp_path) for item in items]
    family = {"virtue": Virtue, "vlm2vec": Vlm2Vec, "clip": Clip}[kind]
    loaded = family(str(tmp_path / "model"), device="cpu")
    ends = np.cumsum([0, *(9 for _ in items)])
    vectors = np.concatenate(
        [loaded.encode(stored[start : start + 9], "query") for start in ends if start < len(items)]
    )
    # SAM's maps are kept in half precision in training.
    np.testing.assert_allclose(vectors, wanted, atol=2e-3 if kind == "virtue" else 1e-5, rtol=0)
    assert np.linalg.norm(wanted[0] - wanted[1]) > 0.05
    if kind == "virtue":  # each region is seen, and none like another
        by_region = wanted[-len(KINDS) :]
        assert min(np.linalg.norm(by_region[a] - by_region[b]) for a in range(4) for b in range(a)) > 1e-3


@pytest.mark.parametrize("kind", ["virtue", "vlm2vec", "clip"])
def test_the_recipe_writes_the_settings_that_are_shipped(
    kind: str, asked: tuple[list[Question], dict[str, Drawing]], tmp_path: Path
) -> None:
    """All that other people's code reads beside the weights; the vocabulary grows with the questions."""
    made = learner(kind, *asked)
    with torch.inference_mode():
        made([each.query for each in asked[0][:2]])  # which pads, and what it leaves must not be kept
    made.save(tmp_path)
    shipped = tiny.home() / f"{kind}-tiny"
    for file in tiny.MODELS[shipped.name].files:
        if "/" in file or not file.endswith(".json") or file in ("tokenizer.json", "training.json"):
            continue  # SAM 2 was saved once more after it had been loaded, which writes out defaults
        ours, theirs = (json.loads((folder / file).read_text()) for folder in (tmp_path, shipped))
        for each in (ours, theirs):
            each.get("text_config", {}).pop("vocab_size", None)
        assert ours == theirs, file
    parts = [json.loads((folder / "tokenizer.json").read_text()) for folder in (tmp_path, shipped)]
    for key in ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"):
        assert parts[0][key] == parts[1][key], key
    if kind == "clip":
        scales = [load_file(folder / "model.safetensors")["logit_scale"] for folder in (tmp_path, shipped)]
        assert scales[0] == scales[1]


def _stored(item: Item, drawings: dict[str, Drawing], root: Path) -> Item:
    """The item with its image in a file, as the evaluation has it."""
    if item.image is None:
        return item
    path = root / item.image.path
    path.parent.mkdir(parents=True, exist_ok=True)
    drawings[item.image.path].image().save(path)
    return replace(item, image=replace(item.image, root=root))


@pytest.mark.slow(5)
def test_training_leaves_sam_as_it_is_and_keeps_its_record(
    asked: tuple[list[Question], dict[str, Drawing]], tmp_path: Path
) -> None:
    found, drawings = asked
    made = learner("virtue", found, drawings)
    sam = made._sam[0]
    before = {key: value.clone() for key, value in sam.state_dict().items()}
    connector = made._projector[0].weight.clone()
    record = Record("tiny", {"seed": 0}, tmp_path / "training.json")
    kept: list[int] = []
    train(made, found, found[::20], Plan(3), 0, record, every=2, keep=lambda: kept.append(len(record.curve)))
    for key, value in sam.state_dict().items():
        assert (value == before[key]).all()
    assert not torch.equal(made._projector[0].weight, connector)
    curve = json.loads((tmp_path / "training.json").read_text())["curve"]
    assert [point["step"] for point in curve] == [2, 3]
    assert kept == [1, 2]
    assert all(0 <= point[group] <= 1 for point in curve for group in ("classification", WITH_REGION))


def test_the_loss_is_that_of_the_right_candidate_among_all(asked: tuple[list[Question], dict[str, Drawing]]) -> None:
    found, drawings = asked
    made = learner("clip", found, drawings)
    some = [each.keeping(range(4)) for each in found if each.card.name.endswith(("RefCOCOg", "VisDial"))]
    with torch.inference_mode():
        loss = contrast(made, some).item()
        pool = list(dict.fromkeys(item for each in some for item in each.candidates))
        vectors = dict(zip(pool, made(pool).double().numpy(), strict=True))
        own = []
        for each in some:
            (query,) = made([each.query]).double().numpy()
            logits = {item: vector @ query / 0.03 for item, vector in vectors.items()}
            own.append(np.log(sum(map(np.exp, logits.values()))) - logits[each.candidates[0]])
    assert loss == pytest.approx(np.mean(own), rel=1e-4)


def test_scores_are_precision_at_one(asked: tuple[list[Question], dict[str, Drawing]]) -> None:
    found, _ = asked
    some = [each for each in found if each.card.meta_task in (WITH_REGION, "vqa")]

    class Knows(torch.nn.Module):
        """Every right candidate of the tasks with regions, and that alone."""

        def forward(self, items: list[Item]) -> torch.Tensor:
            right = {each.candidates[0] for each in some if each.card.meta_task == WITH_REGION}
            return torch.tensor([[1.0, 0.0] if item in right or item in queries else [0.0, 1.0] for item in items])

    queries = {each.query for each in some}
    found_scores = scores(Knows(), some)
    assert found_scores[WITH_REGION] == 1
    assert found_scores["object_swap"] == 1
    assert found_scores["vqa"] == 0  # all are equal, and of equals none is right


def test_questions_are_those_that_the_evaluation_asks(asked: tuple[list[Question], dict[str, Drawing]]) -> None:
    found, drawings = asked
    assert len({each.card.name for each in found}) == 41
    assert len(found) == 41 * 3
    for each in found:
        assert len(each.candidates) == len(each.kinds) == len(set(each.candidates))
        assert each.kinds[0] in ("right", "gt")
        for item in (each.query, *each.candidates):
            assert item.image is None or item.image.path in drawings
        if each.meant is not None:
            place, thing = each.meant
            assert thing in place.things
            assert each.query.prompt.endswith(f"Referring object bbox: {list(thing.box)}")


def test_no_seed_of_the_training_is_one_of_the_evaluation() -> None:
    seeds = {*recipe.TRAINING, *recipe.REGIONS}
    assert len(seeds) == len(recipe.TRAINING) + len(recipe.REGIONS)
    assert not seeds & {0, *recipe.HELD_OUT}


def test_batches_have_all_tasks_and_begin_with_which_thing(
    asked: tuple[list[Question], dict[str, Drawing]],
) -> None:
    found, _ = asked
    early, late = Batches(found, random.Random(0)), Batches(found, random.Random(0))
    first, then = [early.take(early=True) for _ in range(4)], [late.take() for _ in range(4)]
    assert {each.card.name for batch in then for each in batch} == {each.card.name for each in found}
    for batch in (*first, *then):
        with_region = [each for each in batch if each.card.meta_task == WITH_REGION]
        assert (len(batch), len(with_region)) == (38, 20)
        assert all(each.kinds[0] in ("right", "gt") for each in batch)
    kinds = {kind for batch in first for each in batch if each.meant for kind in each.kinds[1:]}
    assert kinds == {"object_swap"}
    assert all(len(each.candidates) == 10 for batch in then for each in batch if each.meant)
    words = ["bbox: [" in each.query.prompt for batch in then for each in batch if each.meant]
    assert 0.6 < np.mean(words) < 0.95


def test_siblings_are_the_same_question_about_the_other_things(
    asked: tuple[list[Question], dict[str, Drawing]],
) -> None:
    for each in asked[0]:
        if each.meant is None:
            continue
        place, _ = each.meant
        four = siblings(each)
        assert four[0] is each
        assert {sibling.query.region for sibling in four} == {Box(*thing.box) for thing in place.things[:4]}
        right = {sibling.candidates[0].text for sibling in four}
        assert len(right) == 4
        for sibling in four:
            assert sibling.query.prompt.endswith(str(list(sibling.query.region.corners)))
            swapped = [
                item.text for item, kind in zip(sibling.candidates, sibling.kinds, strict=True) if kind == "object_swap"
            ]
            assert {sibling.candidates[0].text, *swapped} == right
            assert len(set(sibling.candidates)) == 10
            thing = sibling.meant[1]
            called = [item.text.startswith((name(thing), description(thing))) for item in sibling.candidates]
            assert called == [kind != "object_swap" for kind in sibling.kinds]
        back = next(sibling for sibling in siblings(four[2]) if sibling.meant == each.meant)
        assert {item.text for item in back.candidates} == {item.text for item in each.candidates}


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_without_words_is_that_of_the_thing(
    kind: str, asked: tuple[list[Question], dict[str, Drawing]]
) -> None:
    found, _ = asked
    for each in found:
        if each.meant is None:
            continue
        place, thing = each.meant
        query = wordless(each, random.Random(0), kind).query
        assert "bbox" not in query.prompt
        seen = draw.visible(place, thing)
        if kind == "box":
            assert query.region == each.query.region
        elif isinstance(query.region, Mask):
            assert (np.asarray(query.region.image.rgb()).any(axis=-1) == seen).all()
        else:
            points = [query.region] if kind == "point" else query.region.positive
            assert all(seen[int(point.y), int(point.x)] for point in points)


def test_saving_rounds_nothing_that_goes_on_training(
    asked: tuple[list[Question], dict[str, Drawing]], tmp_path: Path
) -> None:
    found, drawings = asked
    torch.manual_seed(0)
    words = recipe.vocabulary(found)
    sam = sam_recipe.model().eval()
    for made in (QwenLearner(words, drawings, sam), ClipLearner(recipe.vocabulary(found), drawings)):
        before = {key: value.clone() for key, value in (*made.named_parameters(), *made.named_buffers())}
        of_sam = {key: value.clone() for key, value in sam.state_dict().items()}
        made.save(tmp_path / type(made).__name__)
        after = dict((*made.named_parameters(), *made.named_buffers()))
        assert all(value.dtype == after[key].dtype and (value == after[key]).all() for key, value in before.items())
        assert all((value == sam.state_dict()[key]).all() for key, value in of_sam.items())


@pytest.mark.slow(6)
def test_the_ablation_gives_what_the_run_gives(demonstration: Demonstration) -> None:
    """Modes as the demo of the same miniature has them; and a region of each kind that the model sees."""
    tasks, found = measure(["virtue-tiny"], DEMO_SIZE, 0)
    assert tasks == ["RefCOCO_plus", "RefCOCOg", "VisualGenome", "COCO_Stuff", "ADE20K"]
    scores = {outcome.way: [task.tolist() for task in outcome.scores] for outcome in found}
    assert list(scores) == [*MODES, *(f"{kind}, no words" for kind in KINDS)]
    runs = {
        m.settings.prompting or "native": path for path, m in find_runs([demonstration.folder / "runs/virtue-tiny"])
    }
    for way in ("native", "crop", "none"):
        files = [runs[way] / f"samples/miniature/{task}.parquet" for task in tasks]
        assert scores[way] == [read_samples(file).scores.tolist() for file in files]
    (header, line, *rows) = table(tasks, found).splitlines()
    assert header == f"| model | region by | {' | '.join(tasks)} | mean |"
    assert {row.count("|") for row in (header, line, *rows)} == {9}
    native = np.mean([np.mean(task) for task in scores["native"]])
    assert rows[0].split(" | ")[-1].startswith(f"{100 * native:.1f} (")


def test_masks_in_training_are_those_of_transformers_own_forward() -> None:
    made = sam_recipe.model()
    assert made.prompt_encoder.shared_embedding.positional_embedding is (
        made.shared_image_embedding.positional_embedding
    )
    made.eval()
    scenes = [scene(random.Random(0), 3), nested(random.Random(1))[0]]
    things = [list(one.things[:3]) for one in scenes]
    pixels = normalised(np.stack([draw.pixels(one) for one in scenes]))
    true = [[draw.visible(one, thing) for thing in row] for one, row in zip(scenes, things, strict=True)]
    for kind in ("box", "points", "mask"):
        again = random.Random(1)
        with torch.inference_mode():
            logits, _, wanted = sam_recipe.masks(made, scenes, things, kind, random.Random(1))
            assert (wanted.numpy() == np.array(true)).all()
            images = sam_recipe.square(pixels, sam_recipe.FRAME)
            if kind == "mask":  # transformers takes one mask an image
                rough = torch.from_numpy(np.stack([row[0] for row in true])).float()[:, None]
                small = torch.nn.functional.interpolate(rough, (48, 48), mode="area")
                theirs = made(pixel_values=images, input_masks=20 * small - 10, multimask_output=False).pred_masks
                torch.testing.assert_close(logits[:, :1], theirs[:, :, 0], atol=1e-4, rtol=0)
                continue
            prompts = [
                [sam_recipe.prompt(thing, seen, kind, again) for thing, seen in zip(row, masks, strict=True)]
                for row, masks in zip(things, true, strict=True)
            ]
            theirs = made(
                pixel_values=images,
                input_points=torch.tensor([[one[0] for one in row] for row in prompts]),
                input_labels=torch.tensor([[one[1] for one in row] for row in prompts]),
                multimask_output=False,
            ).pred_masks
        torch.testing.assert_close(logits, theirs[:, :, 0], atol=1e-4, rtol=0)


def test_what_lies_below_is_seen_where_nothing_lies_on_it() -> None:
    found, _, _ = nested(random.Random(3))
    below, above = found.things[:2]
    assert not (draw.visible(found, below) & draw.visible(found, above)).any()
    assert ((draw.visible(found, below) | draw.mask(above)) == (draw.mask(below) | draw.mask(above))).all()

"""What comes before the contrast: naming things, and sentences about scenes."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2VLForConditionalGeneration

from evalkit.miniature import draw
from evalkit.miniature.scenes import COLOURS, KINDS, SIZES, TEXTURES, Thing, nested, scene
from evalkit.miniature.words import AT, description, name
from training import captions, clip, naming, qwen, tower
from training.clip import ClipLearner
from training.pixels import normalised
from training.qwen import QwenLearner, QwenTower
from training.record import Record
from training.tokenizer import tokenizer

TEXTS = [
    f"{description(thing)} left of right of above below the {thing.kind} and {place}: [0, 123456789]\n"
    for seed in range(40)
    for thing in scene(random.Random(seed), 9).things
    for place in AT.values()
]


def words() -> object:
    return tokenizer(TEXTS, 700, [captions.ASKED])


def test_a_thing_is_named_from_where_it_is_seen() -> None:
    features = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    seen = torch.zeros(2, 112, 112)
    seen[0, 28:56, 56:84] = 1  # the cell of row 1 and column 2
    seen[1, 70:98, 0:28] = 1  # half of it in row 2, half in row 3
    found = naming.where(features, seen)
    torch.testing.assert_close(found[0], features[0, :, 1, 2])
    torch.testing.assert_close(found[1], (features[1, :, 2, 0] + features[1, :, 3, 0]) / 2)


def test_the_loss_of_names_is_the_mean_over_attributes_and_passes_over_what_has_no_name() -> None:
    things = [Thing("ring", "white", "dotted", "large", 50, 50), Thing("star", "red", "plain", "medium", 20, 20)]
    scores = torch.randn(2, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss, right = naming.named(scores, things)
    wanted, start = 0.0, 0
    for words, values in ((COLOURS, ["white", "red"]), (KINDS, ["ring", "star"]), (TEXTURES, ["dotted", "plain"])):
        part = scores[:, start : start + len(words)].numpy()
        for row, value in zip(part, values, strict=True):
            wanted += (np.log(np.exp(row).sum()) - row[words.index(value)]) / 2 / 4
        start += len(words)
    row = scores[0, start:].numpy()  # of the other, no word says its size
    wanted += (np.log(np.exp(row).sum()) - row[SIZES.index("large")]) / 4
    assert loss.item() == pytest.approx(wanted)
    sure = torch.zeros(2, 21)
    for row, (colour, kind) in enumerate((("white", "ring"), ("red", "cross"))):
        sure[row, COLOURS.index(colour)] = sure[row, len(COLOURS) + KINDS.index(kind)] = 9
    assert naming.named(sure, things)[1] == 0.5  # one of two has both right
    assert right in (0, 0.5, 1)


@pytest.mark.parametrize("made", [qwen.tower, clip.tower])
def test_features_lie_where_the_pixels_do(made) -> None:
    """A tower's own arithmetic without attention across places: what changes is what was painted."""
    torch.manual_seed(0)
    one = made()
    for module in one.module.modules():
        if type(module).__name__ in ("VisionAttention", "CLIPAttention"):
            for weight in module.parameters():
                weight.data.zero_()
    pixels = torch.zeros(2, 3, 112, 112)
    side = 112 // one.look(pixels).shape[-1]
    pixels[1, :, 2 * side : 3 * side, side : 2 * side] = 1
    with torch.inference_mode():
        found = one.look(pixels)
    assert found.shape[:2] == (2, one.width)
    changed = (found[1] - found[0]).abs().amax(0) > 1e-6
    assert [tuple(place) for place in changed.nonzero().tolist()] == [(2, 1)]


@pytest.mark.parametrize("made", [qwen.tower, clip.tower])
def test_a_tower_is_trained_kept_and_started_from(made, tmp_path: Path) -> None:
    weights = []
    for folder in ("one", "again"):
        torch.manual_seed(len(folder))  # what came before makes no difference
        trained = tower.train(made, 2, 0, Record("tower", {}, tmp_path / folder / "training.json"), batch=2)
        tower.save(trained, tmp_path / folder)
        weights.append(trained.module.state_dict())
    for key, value in weights[0].items():  # threads may add up in another order, and Adam makes much of little
        torch.testing.assert_close(value, weights[1][key], atol=1e-3, rtol=0)
    (point,) = json.loads((tmp_path / "one/training.json").read_text())["curve"]
    assert point["step"] == 2
    assert 0 <= point["held_out_named"] <= 1
    other = made()
    tower.load(other, tmp_path / "one")
    assert all(torch.equal(value, weights[0][key]) for key, value in other.module.state_dict().items())


def test_sentences_are_true_of_their_scenes() -> None:
    vocabulary = words()
    kinds = set()
    for seed in range(60):
        rng = random.Random(seed)
        found, fifth = captions._scene(rng)
        ids, wanted = captions._written(vocabulary, found, fifth, rng)
        text = vocabulary.decode(ids)
        told = vocabulary.decode([token for token in wanted if token != -100])
        assert len(ids) == len(wanted)
        assert all(w in (-100, i) for i, w in zip(ids, wanted, strict=True))
        first, *lines = text.splitlines()
        assert first == f" {AT[found.place]}"
        assert told.startswith(first)
        assert len(lines) == captions.SENTENCES
        boxes = {str(list(thing.box)): thing for thing in found.things}
        named = {name(thing): thing for thing in found.things}
        for line in lines:
            if where := re.fullmatch(r"the (.+): (\[.+\])", line):
                assert named[where[1]].box == boxes[where[2]].box
                kinds.add("where")
                continue
            box, rest = re.fullmatch(r"Referring object bbox: (\[.+?\]) (.+)", line).groups()
            thing = next(
                thing
                for thing in found.things
                if str(list(thing.box)) == box and rest.startswith((name(thing), description(thing)))
            )
            assert box not in told
            if pair := re.fullmatch(r"(.+) and the (.+): (.+)", rest):
                assert pair[1] in (name(thing), description(thing))
                assert thing.is_from(named[pair[2]]) == pair[3]
                assert f"and the {pair[2]}" not in told
                kinds.add("pair")
            else:
                said = rest.removeprefix(description(thing)).removeprefix(name(thing))
                assert said == f" {thing.is_from(fifth)} the {name(fifth)} {AT[found.place]}"
                assert rest in told
                kinds.add("caption")
    assert kinds == {"where", "pair", "caption"}


def test_each_word_is_predicted_from_those_before_it() -> None:
    """The loss is what transformers' own forward gives, its labels moved by one; padding has no part in it."""
    vocabulary = words()
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(qwen.config(vocabulary)).eval()
    with torch.inference_mode():
        loss, right = captions._step(model, vocabulary, random.Random(5), 3)
        rng = random.Random(5)
        scenes = [captions._scene(rng) for _ in range(3)]
        total, hits, count = 0.0, 0, 0
        for found, fifth in scenes:
            ids, wanted = captions._written(vocabulary, found, fifth, rng)
            seen = QwenTower(model.model).look(normalised(draw.pixels(found)[None])).flatten(2).transpose(1, 2)
            embedded = torch.cat([seen, model.model.language_model.embed_tokens(torch.tensor([ids]))], dim=1)
            labels = torch.tensor([[-100] * seen.shape[1] + wanted])
            places = torch.arange(embedded.shape[1]).expand(3, 1, -1)
            out = model(inputs_embeds=embedded, position_ids=places, labels=labels)
            told = sum(token != -100 for token in wanted)
            total, count = total + out.loss.item() * told, count + told
            best = out.logits[0, :-1].argmax(-1)
            hits += int(((best == labels[0, 1:]) & (labels[0, 1:] != -100)).sum())
    assert loss.item() == pytest.approx(total / count, rel=1e-4)
    assert right == pytest.approx(hits / count)


def test_models_start_from_what_was_trained_before(tmp_path: Path) -> None:
    """Through the commands: what they wrote is where the learners begin."""
    from click.testing import CliRunner

    from training import __main__ as recipe

    for command in (
        ["tower", "--of", "qwen2-vl", "--out", str(tmp_path / "tower"), "--part", "0"],
        ["tower", "--of", "clip", "--out", str(tmp_path / "clip-tower"), "--part", "0"],
    ):
        done = CliRunner().invoke(recipe.cli, command)
        assert done.exit_code == 0, done.output
    vocabulary = words()
    start = Qwen2VLForConditionalGeneration(qwen.config(vocabulary))
    tower.load(QwenTower(start.model), tmp_path / "tower")
    captions.train(start, vocabulary, 1, 0, Record("captions", {}, tmp_path / "start/training.json"), batch=2)
    captions.save(start, tmp_path / "start")
    learner = QwenLearner(vocabulary, {})
    learner.start_from(tmp_path / "start")
    for key, value in learner._whole.state_dict().items():
        assert torch.equal(value, start.state_dict()[key])
    assert learner._whole.lm_head.weight is learner._whole.model.language_model.embed_tokens.weight
    other = ClipLearner(words(), {})
    other.start_from(tmp_path / "clip-tower")
    kept = clip.tower()
    tower.load(kept, tmp_path / "clip-tower")
    for key, value in kept.module.state_dict().items():
        assert torch.equal(value, other._whole.vision_model.state_dict()[key])


def test_scenes_of_nested_things_are_named_too() -> None:
    drawn = [naming.a_scene(random.Random(seed)) for seed in range(40)]
    sizes = {thing.size for found in drawn for thing in found.things}
    assert "medium" in sizes  # of things that lie on others, which no word has
    assert {len(found.things) for found in drawn} >= set(range(2, 10))
    assert nested(random.Random(0))[0].things[1].size == "medium"

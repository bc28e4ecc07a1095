"""What comes before the contrast: naming the things of scenes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.miniature.scenes import COLOURS, KINDS, SIZES, TEXTURES, Thing, nested
from training import clip, naming, qwen, tower
from training.clip import ClipLearner
from training.qwen import QwenLearner
from training.record import Record
from training.tokenizer import tokenizer

pytestmark = pytest.mark.slow(0.5)


def words() -> object:
    return tokenizer(["small red circle", "on the beach"], 400)


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
    assert 0 <= point["held_out_placed"] <= 1
    other = made()
    tower.load(other, tmp_path / "one")
    assert all(torch.equal(value, weights[0][key]) for key, value in other.module.state_dict().items())


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
    learner = QwenLearner(words(), {})
    learner.see_with(tmp_path / "tower")
    kept = qwen.tower()
    tower.load(kept, tmp_path / "tower")
    for key, value in kept.module.state_dict().items():
        assert torch.equal(value, learner._whole.model.visual.state_dict()[key])
    learner.save(tmp_path / "language")
    further = QwenLearner(words(), {})
    further.start_from(tmp_path / "language")
    for key, value in further._whole.state_dict().items():
        assert torch.equal(value, learner._whole.state_dict()[key].half().float())
    assert further._whole.lm_head.weight is further._whole.model.language_model.embed_tokens.weight
    other = ClipLearner(words(), {})
    other.see_with(tmp_path / "clip-tower")
    seen = clip.tower()
    tower.load(seen, tmp_path / "clip-tower")
    for key, value in seen.module.state_dict().items():
        assert torch.equal(value, other._whole.vision_model.state_dict()[key])


def test_scenes_of_nested_things_are_named_too() -> None:
    drawn = [naming.a_scene(random.Random(seed)) for seed in range(40)]
    sizes = {thing.size for found in drawn for thing in found.things}
    assert "medium" in sizes  # of things that lie on others, which no word has
    assert {len(found.things) for found in drawn} >= set(range(2, 10))
    assert nested(random.Random(0))[0].things[1].size == "medium"


@pytest.mark.parametrize("made", [qwen.tower, clip.tower])
def test_where_a_feature_is_is_learned(made) -> None:
    """The features of a tower that gives each its row and column are placed; those of one that does not are not."""
    torch.manual_seed(0)
    one = made()
    heads = tower.Heads(one)
    for head in (heads.row, heads.column):
        head.weight.data.zero_()
        head.bias.data.zero_()
    heads.row.weight.data[:, 0 : heads.side] = heads.column.weight.data[:, 8 : 8 + heads.side] = torch.eye(heads.side)

    class Placed:
        module, width = one.module, one.width

        def __init__(self, right: bool) -> None:
            self.right = right

        def look(self, pixels: torch.Tensor) -> torch.Tensor:
            found = torch.zeros(len(pixels), self.width, heads.side, heads.side)
            for row in range(heads.side):
                for column in range(heads.side):
                    found[:, row, row, column] = 1
                    found[:, 8 + (column if self.right else row), row, column] = 1
            return found

    scenes = [naming.a_scene(random.Random(0))]
    assert tower._step(Placed(True), heads, scenes)[1]["placed"] == 1
    assert tower._step(Placed(False), heads, scenes)[1]["placed"] == pytest.approx(1 / heads.side)

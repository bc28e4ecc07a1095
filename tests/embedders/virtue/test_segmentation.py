"""SAM 2's side: prompts against transformers' own model, Meta's names, sizes and files."""

from __future__ import annotations

import io
import pickle
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from checkpoints import VIRTUE

from evalkit.embedders.checkpoint import resolve
from evalkit.embedders.loading import read_tensors
from evalkit.embedders.virtue.sam_files import find_sam, read_architecture
from evalkit.embedders.virtue.sam_prompts import SamPrompt, grid
from evalkit.embedders.virtue.sam_weights import load_sam, sam_config
from evalkit.embedders.virtue.segmentation import CONNECTOR, Segmentation
from evalkit.errors import EmbedderError, EvalkitError, UsageError

LOGITS = np.random.default_rng(1).normal(0, 8, (64, 64)).astype(np.float32)
PROMPTS = (
    grid(3, 256),
    SamPrompt(((10.0, 20.0), (200.0, 150.5)), (2, 3)),
    SamPrompt(((10.0, 20.0), (200.0, 150.5), (3.0, 3.0)), (1, 1, 0)),
    SamPrompt(((0.0, 0.0),), (-1,), LOGITS),
)


@pytest.fixture(scope="module")
def sam(virtue_folder: Path) -> Any:
    """SAM 2 of the small checkpoint."""
    return load_sam(find_sam(resolve(str(virtue_folder)), settings(virtue_folder), None))


def settings(folder: Path) -> dict[str, Any]:
    """``virtue_sam`` of a checkpoint."""
    found: dict[str, Any] = resolve(str(folder)).config()["virtue_sam"]
    return found


def test_the_fused_map_is_that_of_transformers(virtue_folder: Path) -> None:
    """Its own forward, watched where the two-way transformer gives its two sides, with each kind of prompt."""
    stream = Segmentation(resolve(str(virtue_folder)), None, None).load(64, "cpu", torch.float32)
    sam, seen = stream._sam, []
    hook = sam.mask_decoder.transformer.register_forward_hook(lambda *call: seen.append(call[2][1]))
    pixels = np.random.default_rng(0).normal(0, 1, (3, 84, 56)).astype(np.float32)
    with torch.inference_mode():
        (image,) = stream.look([pixels])
        square = torch.nn.functional.interpolate(
            torch.from_numpy(pixels)[None], (256, 256), mode="bilinear", antialias=True
        )
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        again = (square - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
        embeddings = sam.get_image_embeddings(again)
        torch.testing.assert_close(embeddings[-1][0], image)
        ours = stream.fused(torch.stack([image]), [PROMPTS[0]])
        seen.clear()
        for prompt in PROMPTS:
            ours = stream.fused(torch.stack([image]), [prompt])
            asked: dict[str, Any] = {
                "input_points": torch.tensor([[prompt.points]]),
                "input_labels": torch.tensor([[prompt.labels]]),
            }
            if prompt.mask is not None:
                asked = {"input_masks": torch.from_numpy(prompt.mask)[None, None]}
            elif prompt.labels == (2, 3):
                asked = {"input_boxes": torch.tensor([[[*prompt.points[0], *prompt.points[1]]]])}
            seen.clear()
            sam(image_embeddings=embeddings, **asked)
            theirs = seen[0][:, 0].transpose(1, 2).reshape(ours.shape)
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    hook.remove()


def test_prompts_of_several_kinds_in_one_batch(virtue_folder: Path) -> None:
    stream = Segmentation(resolve(str(virtue_folder)), None, None).load(64, "cpu", torch.float32)
    random = np.random.default_rng(0)
    with torch.inference_mode():
        maps = stream.look([random.normal(0, 1, (3, 56, 56)).astype(np.float32) for _ in PROMPTS])
        together = stream.tokens(maps * 2, PROMPTS * 2)
        alone = torch.cat([stream.tokens([one], [prompt]) for one, prompt in zip(maps, PROMPTS, strict=True)])
    assert together.shape == (8, 16, 64)
    torch.testing.assert_close(together, torch.cat([alone, alone]), atol=1e-5, rtol=0)
    # Reducer and connector by hand, on the map of the first.
    saved = torch.load(virtue_folder / CONNECTOR, weights_only=True)
    with torch.inference_mode():
        fused = stream.fused(torch.stack(maps[:1]), PROMPTS[:1])[0]
        cut = fused.reshape(64, 4, 4, 4, 4).permute(1, 3, 0, 2, 4).reshape(16, -1)  # places, channels * 4 * 4
        reduced = cut @ saved["sam2_reducer"]["weight"].reshape(64, -1).T + saved["sam2_reducer"]["bias"]
        layer = saved["sam2vlm_layer"]
        hidden = torch.nn.functional.gelu(reduced @ layer["0.weight"].T + layer["0.bias"])
        torch.testing.assert_close(together[0], hidden @ layer["2.weight"].T + layer["2.bias"], atol=1e-4, rtol=0)


def test_hugging_face_layout_gives_the_same_weights(sam: Any, virtue_folder: Path, tmp_path: Path) -> None:
    sam.save_pretrained(tmp_path / "sam")
    files = find_sam(resolve(str(virtue_folder)), settings(virtue_folder), str(tmp_path / "sam"))
    assert (files.architecture, files.frame_size) == (None, 256)
    again = load_sam(files).state_dict()
    for name, value in sam.state_dict().items():
        if "hypernetworks" not in name and "_head" not in name and "upscale" not in name and "conv_s" not in name:
            torch.testing.assert_close(again[name], value)


def test_a_video_model_is_read_as_well(sam: Any, virtue_folder: Path, tmp_path: Path) -> None:
    """What the hub holds under facebook/sam2.1-hiera-* is of model_type sam2_video."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(
        **{
            name: sam.config.to_dict()[name]
            for name in ("vision_config", "prompt_encoder_config", "mask_decoder_config")
        },
        image_size=256,
        memory_attention_hidden_size=64,
        memory_encoder_hidden_size=64,
        memory_attention_num_layers=1,
        memory_fuser_embed_dim=64,
        mask_downsampler_embed_dim=64,
        memory_encoder_output_channels=16,
        memory_attention_rope_feat_sizes=[16, 16],
    )
    video = Sam2VideoModel(config)
    video.save_pretrained(tmp_path / "video")
    loaded = load_sam(find_sam(resolve(str(virtue_folder)), settings(virtue_folder), str(tmp_path / "video")))
    own = video.state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, own[name])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("t", 38.9), ("s", 46.0), ("b+", 80.8), ("l", 224.4), ("base_plus", 80.8), ("large", 224.4)],
)
def test_sizes_by_name(name: str, parameters: float, tmp_path: Path) -> None:
    """Against the sizes that Meta's README gives for the whole model, of which the memory has 7.3 million."""
    from transformers import Sam2Model

    weights = tmp_path / f"sam2.1_hiera_{name}.pt"
    weights.write_bytes(b"")
    files = find_sam(resolve(str(VIRTUE)), {"checkpoint": "elsewhere.pt"}, str(weights))
    assert files.architecture is not None
    with torch.device("meta"):
        model = Sam2Model(sam_config(files.architecture))
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert count + 7.3 == pytest.approx(parameters, abs=0.6)
    assert files.frame_size == 1024


def test_where_sam_is_looked_for(virtue_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    named = {
        "checkpoint": "./sam2_checkpoints/sam2.1_hiera_base_plus.pt",
        "config_path": "./sam2.1/sam2.1_hiera_b+.yaml",
    }
    (folder / "sam2_checkpoints").mkdir()
    inside = folder / "sam2_checkpoints" / "sam2.1_hiera_base_plus.pt"
    inside.write_bytes(b"")
    assert find_sam(resolve(str(folder)), named, None).weights == inside
    beside = folder / inside.name
    inside.rename(beside)
    found = find_sam(resolve(str(folder)), named, None)
    assert found.weights == beside
    assert found.architecture is not None
    assert found.architecture.asked_by == "sam2.1_hiera_b+"
    # A path out of the folder is never followed: only its last part is looked for.
    (tmp_path / "outside.pt").write_bytes(b"")
    for path in ("../outside.pt", str(tmp_path / "outside.pt")):
        with pytest.raises(UsageError, match=r"copy.outside.pt is missing"):
            find_sam(resolve(str(folder)), {"checkpoint": path}, None)
    beside.unlink()
    with pytest.raises(UsageError, match=r"hf download facebook/sam2.1-hiera-base-plus.* is with \?sam="):
        find_sam(resolve(str(folder)), named, None)
    # In the hub's cache, in Meta's layout.
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    commit = "a" * 40
    snapshot = cache / "models--facebook--sam2.1-hiera-base-plus" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "sam2_video"}')
    (snapshot / inside.name).write_bytes(b"")
    references = snapshot.parents[1] / "refs"
    references.mkdir()
    (references / "main").write_text(commit)
    assert find_sam(resolve(str(folder)), named, None).weights == snapshot / inside.name


def changed(folder: Path, **changes: Any) -> Path:
    """The yaml with other values, by dotted names."""
    file = folder / "sam2_tiny.yaml"
    value = yaml.safe_load(file.read_text())
    for name, new in changes.items():
        *parts, last = name.split("__")
        at = value["model"]
        for part in parts:
            at = at[part]
        at[last] = new
    file.write_text(yaml.safe_dump(value))
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pred_obj_scores": False}, "pred_obj_scores is False; only True is known"),
        ({"image_encoder__scalp": 0}, "scalp is 0; only 1"),
        ({"image_encoder__neck__fpn_interp_model": "bilinear"}, "fpn_interp_model is 'bilinear'"),
        ({"image_encoder__trunk__embed_dim": 24}, "backbone_channel_list is"),
        ({"image_size": 1000}, "image_size is 1000, which is no multiple of 64"),
        ({"image_encoder__neck": None}, "is no SAM 2 configuration in Meta's format"),
    ],
)
def test_a_yaml_that_is_not_known(changes: dict[str, Any], message: str, virtue_folder: Path, tmp_path: Path) -> None:
    file = changed(Path(shutil.copytree(virtue_folder, tmp_path / "copy")), **changes)
    with pytest.raises(UsageError, match=message):
        read_architecture(file, "get another")


def test_what_a_yaml_leaves_out_is_what_metas_classes_assume(virtue_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    file = folder / "sam2_tiny.yaml"
    file.write_text("# @package _global_\n" + file.read_text())
    found = read_architecture(file, "")
    assert found.trunk["window_spec"] == [8, 4, 14, 7]
    assert found.widths() == [16, 32, 64, 128]
    assert found.adds_no_memory
    assert read_architecture(changed(folder, image_encoder__neck__fpn_top_down_levels=[]), "").top_down == ()
    assert read_architecture(changed(folder, image_encoder__neck__fpn_top_down_levels=None), "").top_down == (
        0,
        1,
        2,
        3,
    )


def test_the_yaml_is_found_by_any_of_its_names(virtue_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    for named in ("sam2_tiny.yaml", "./configs/sam2_tiny.yaml", "sam2_tiny", None):
        sam = find_sam(resolve(str(folder)), {"checkpoint": "sam2_tiny.pt", "config_path": named}, None)
        assert sam.architecture is not None
        assert sam.architecture.asked_by == "sam2_tiny.yaml"


def test_without_the_no_memory_embedding(virtue_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    changed(folder, directly_add_no_mem_embed=False)
    loaded = load_sam(find_sam(resolve(str(folder)), settings(folder), None))
    assert (loaded.no_memory_embedding == 0).all()


class Attack:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("attacked"),))


def attack_connector(folder: Path) -> None:
    (folder / CONNECTOR).write_bytes(pickle.dumps(Attack(), protocol=2))


def spoil_sam(folder: Path) -> None:
    weights = torch.load(folder / "sam2_tiny.pt", weights_only=True)
    weights["model"]["sam_mask_decoder.iou_token.weight"] = torch.zeros(1, 32)
    torch.save(weights, folder / "sam2_tiny.pt")


def take_sam_weight(folder: Path) -> None:
    weights = torch.load(folder / "sam2_tiny.pt", weights_only=True)
    del weights["model"]["image_encoder.trunk.blocks.3.attn.qkv.weight"]
    torch.save(weights, folder / "sam2_tiny.pt")


def widen_connector(folder: Path) -> None:
    saved = torch.load(folder / CONNECTOR, weights_only=True)
    saved["sam2vlm_layer"]["2.weight"] = torch.zeros(96, 64)
    torch.save(saved, folder / CONNECTOR)


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda f: (f / CONNECTOR).unlink(), UsageError, f"{CONNECTOR} is missing.*or use vlm2vec:"),
        (lambda f: (f / "sam2_tiny.pt").unlink(), UsageError, "sam2_tiny.pt is missing.*hf download facebook/sam2.1"),
        (lambda f: (f / "sam2_tiny.yaml").unlink(), UsageError, "sam2_tiny.yaml is no size of SAM 2 that is known"),
        (widen_connector, EmbedderError, r"sam2vlm_layer of .* has weights of shape .*96.*they would be"),
        (spoil_sam, EmbedderError, "sam2_tiny.yaml asks for: 1 are missing.*mask_decoder.iou_token.weight"),
        (take_sam_weight, EmbedderError, "such as vision_encoder.backbone.blocks.3.attn.qkv.weight"),
        (
            lambda f: (f / "sam2_tiny.pt").write_bytes(b"PK\3\4 not whole"),
            EmbedderError,
            "sam2_tiny.pt cannot be loaded",
        ),
        (lambda f: torch.save({"weights": {}}, f / "sam2_tiny.pt"), EmbedderError, "has no 'model'"),
        (lambda f: torch.save([1], f / CONNECTOR), EmbedderError, "holds a list, not a dictionary"),
        (lambda f: torch.save({}, f / CONNECTOR), EmbedderError, "sam2_reducer of .* is not there"),
        (
            lambda f: (f / CONNECTOR).write_bytes(pickle.dumps(Attack(), protocol=2)),
            EmbedderError,
            "no file of plain weights",
        ),
        (lambda f: torch.save({"model": Attack()}, f / "sam2_tiny.pt"), EmbedderError, "no file of plain weights"),
    ],
)
def test_broken_checkpoints_are_named(
    spoil: Any,
    kind: type[EvalkitError],
    message: str,
    virtue_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    spoil(folder)
    with pytest.raises(kind, match=message):
        Segmentation(resolve(str(folder)), None, None).load(64, "cpu", torch.float32)
    assert not (tmp_path / "attacked").exists()


def test_damage_of_any_kind_is_the_files_fault(virtue_folder: Path, tmp_path: Path) -> None:
    """torch's reader of pickles raises whatever it trips over; the user has to read which file it was."""
    buffer = io.BytesIO()
    torch.save({"sam2_reducer": {"weight": torch.zeros(3)}}, buffer, _use_new_zipfile_serialization=False)
    rng, said = random.Random(0), []
    for _ in range(300):
        damaged = bytearray(buffer.getvalue())
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "damaged.pth").write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_tensors(tmp_path / "damaged.pth", "get another")
        except EmbedderError as error:
            said.append(str(error))
    assert len(said) > 100
    assert all("damaged.pth" in message for message in said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enabled": False}, "no segmentation stream: use vlm2vec:"),
        ({"points_per_side": 0}, "points_per_side 0: use 1 to 64"),
        ({"box_frame": "metres"}, "box_frame 'metres': use raw_pixels or sam"),
    ],
)
def test_settings_that_are_not_known(change: dict[str, Any], message: str, virtue_folder: Path, tmp_path: Path) -> None:
    import json

    folder = Path(shutil.copytree(virtue_folder, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["virtue_sam"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=message):
        Segmentation(resolve(str(folder)), None, None)

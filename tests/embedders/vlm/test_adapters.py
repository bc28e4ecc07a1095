"""LoRA and DoRA adapters, merged, against peft's own forward of the two side by side."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import VIRTUE
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration

from evalkit.embedders.virtue.embedder import Virtue
from evalkit.embedders.vlm.adapters import base_of
from evalkit.embedders.vlm.template import Piece
from evalkit.embedders.vlm.vlm2vec import Vlm2Vec
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item

# As VIRTUE's training has them (virtue_train.yaml); only the language model has parts of these names.
TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj", "k_proj", "q_proj", "out_proj", "v_proj"]
pytestmark = [
    pytest.mark.optional,
    # peft asks transformers for a name that it calls outdated.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]
TEXTS = ("a red box left of the blue ball", "A cat")


def adapter(folder: Path, *, dora: bool = True) -> Any:
    """Train nothing, but move every weight of a fresh adapter; saved as peft saves it. The adapted model."""
    torch.manual_seed(0)
    base = Qwen2VLForConditionalGeneration.from_pretrained(VIRTUE, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, use_dora=dora, lora_dropout=0.1)
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(torch.randn_like(weight) * 0.05)
    model.save_pretrained(str(folder))
    return model


def vectors(model: Any, texts: tuple[str, ...]) -> np.ndarray:
    """The adapted model's last states, from its own forward."""
    tokens = Vlm2Vec(str(VIRTUE), device="cpu")._tokens
    rows = []
    for text in texts:
        ids = torch.tensor(tokens.ids([(Piece("words", text),)]))
        places = torch.arange(ids.shape[1]).expand(3, 1, -1)
        with torch.inference_mode():
            states = model.base_model.model.model.language_model(input_ids=ids, position_ids=places).last_hidden_state
        rows.append(torch.nn.functional.normalize(states[0, -1], dim=0).numpy())
    return np.stack(rows)


def encode(place: Path, **options: Any) -> np.ndarray:
    """The family's vectors of the texts."""
    items = [Item(text, text=text) for text in TEXTS]
    return Vlm2Vec(str(place), device="cpu", **options).encode(items, "query")


@pytest.mark.parametrize("dora", [True, False])
def test_an_adapter_is_merged_into_its_base(dora: bool, tmp_path: Path) -> None:
    wanted = vectors(adapter(tmp_path / "adapter", dora=dora), TEXTS)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        VIRTUE
    )
    np.testing.assert_allclose(encode(tmp_path / "adapter"), wanted, atol=1e-5, rtol=0)
    assert np.abs(wanted - encode(VIRTUE)).max() > 0.01


def test_names_of_before_and_pickled_weights(tmp_path: Path) -> None:
    """The released training code keeps the language model one level higher, and can save .bin files."""
    wanted = vectors(adapter(tmp_path / "adapter"), TEXTS)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    assert all(".language_model." in name for name in weights)
    before = {name.replace(".language_model.", "."): value for name, value in weights.items()}
    save_file(before, file)
    np.testing.assert_allclose(encode(tmp_path / "adapter"), wanted, atol=1e-5, rtol=0)
    file.unlink()
    torch.save(before, file.with_suffix(".bin"))
    np.testing.assert_allclose(encode(tmp_path / "adapter"), wanted, atol=1e-5, rtol=0)


def test_a_virtue_adapter_takes_what_it_lacks_from_its_base(tmp_path: Path, virtue_folder: Path) -> None:
    adapter(tmp_path / "adapter")
    for name in ("sam2_reducer_and_vlm_layer.pth", "sam2_tiny.pt", "sam2_tiny.yaml", "config.json"):
        shutil.copy(virtue_folder / name, tmp_path / "adapter" / name)
    embedder = Virtue(str(tmp_path / "adapter"), device="cpu", base=str(virtue_folder))
    items = [Item(text, text=text) for text in TEXTS]
    np.testing.assert_allclose(embedder.encode(items, "query"), encode(tmp_path / "adapter"), atol=1e-6, rtol=0)
    # The base is part of the fingerprint.
    prints = {
        Vlm2Vec(str(tmp_path / "adapter"), device="cpu", base=str(base)).info.fingerprint
        for base in (VIRTUE, virtue_folder)
    }
    assert len(prints) == 2


def test_bad_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "adapter"
    adapter(folder)
    config = json.loads((folder / "adapter_config.json").read_text())

    def configured(**changes: Any) -> str:
        (folder / "adapter_config.json").write_text(json.dumps(config | changes))
        return str(folder)

    with pytest.raises(UsageError, match=r"its base is not there: .*or say \?base=PATH"):
        Vlm2Vec(configured(base_model_name_or_path=str(tmp_path / "gone")), device="cpu")
    with pytest.raises(UsageError, match=r"does not name the model it was trained on: say which with \?base="):
        Vlm2Vec(configured(base_model_name_or_path=None), device="cpu")
    with pytest.raises(UsageError, match=r"is a whole model.*leave \?base=x out"):
        Vlm2Vec(str(VIRTUE), device="cpu", base="x")
    with pytest.raises(EmbedderError, match=r"does not fit its base: .* have no counterpart"):
        Vlm2Vec(configured(target_modules=["q_proj"]), device="cpu").encode([Item("a")], "query")
    with pytest.raises(EmbedderError, match="cannot be applied"):
        Vlm2Vec(configured(r=8), device="cpu").encode([Item("a")], "query")
    with pytest.raises(UsageError, match=r"peft_type 'PROMPT_TUNING'; adapters are LORA"):
        Vlm2Vec(configured(peft_type="PROMPT_TUNING"), device="cpu")
    (tmp_path / "imported.py").write_text("from pathlib import Path\nPath('attacked').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    naming = configured(use_dora=False, megatron_config={"x": 1}, megatron_core="imported")
    with pytest.raises(EmbedderError, match="cannot be applied"):  # peft itself imports no module that a file names
        Vlm2Vec(naming, device="cpu").encode([Item("a")], "query")
    assert not (tmp_path / "attacked").exists()
    configured()
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"needs peft: pip install 'evalkit\[peft\]'"):
        Vlm2Vec(str(folder), device="cpu").encode([Item("a")], "query")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"none of adapter_model.safetensors, adapter_model.bin"):
        Vlm2Vec(str(folder), device="cpu")


def test_a_whole_model_beside_an_adapters_settings_is_a_whole_model(tmp_path: Path) -> None:
    """What merging leaves behind (convert_hf_model.py)."""
    folder = Path(shutil.copytree(VIRTUE, tmp_path / "merged"))
    (folder / "adapter_config.json").write_text("{}")
    from evalkit.embedders.checkpoint import resolve

    assert base_of(resolve(str(folder)), None) is None

"""Named models as they are run: by their published protocol, or with a line that says what departs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders import command, manifest, run
from checkpoints.qwen import qwen2_vl_checkpoint

import evalkit
from evalkit.embedders import tiny
from evalkit.embedders.modelcards import model_cards
from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.example import DATA

CLIP = model_cards()["clip-vit-large-patch14"]
GME = model_cards()["gme-2b"]
V2 = model_cards()["vlm2vec-v2-2b"]
ADAPTER = model_cards()["openclip-vit-b-16"]  # of no pinned revision


@pytest.fixture(scope="module")
def gme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen2_vl_checkpoint(tmp_path_factory.mktemp("gme") / "tiny")


@pytest.fixture
def hub(tmp_path: Path, gme: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has tiny weights in the place of published ones."""
    cache = tmp_path / "hub"
    for card, name in ((CLIP, "clip-tiny"), (V2, "vlm2vec-tiny"), (ADAPTER, "clip-tiny")):
        commit = card.revision or "b" * 40
        place = cache / f"models--{str(card.hub).replace('/', '--')}"
        shutil.copytree(tiny.folder(name), place / "snapshots" / commit)
        (place / "refs").mkdir()
        (place / "refs/main").write_text(commit)
    shutil.copytree(gme, cache / f"models--{str(GME.hub).replace('/', '--')}" / "snapshots" / str(GME.revision))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache


def load(text: str) -> LoadedEmbedder:
    return load_embedder(parse_model(text), "cpu")


def test_a_name_runs_by_its_published_protocol(hub: Path) -> None:
    found = load(CLIP.name)
    assert (found.card, found.departs) == (CLIP, ())
    assert (found.info.name, found.info.revision) == (CLIP.hub, CLIP.revision)
    assert found.info.options["instruction"] == "0"


@pytest.mark.parametrize(
    ("options", "departs"),
    [
        ("instruction=0", ()),
        ("instruction=no", ()),
        ("instruction=1", ("instruction=1, published 0",)),
        ("instruction=yes", ("instruction=1, published 0",)),
        ("dtype=float32", ()),
    ],
)
def test_what_departs_is_told(hub: Path, options: str, departs: tuple[str, ...]) -> None:
    assert load(f"{CLIP.name}?{options}").departs == departs


@pytest.mark.parametrize(
    ("options", "departs"),
    [
        ("", ()),
        ("?protocol=official", ("protocol=official, published vlm2vec",)),
        ("?positions=mrope", ("positions=mrope, published 1d",)),
    ],
)
def test_gme_runs_as_its_published_row_was_made(hub: Path, options: str, departs: tuple[str, ...]) -> None:
    found = load(f"gme-2b{options}")
    assert found.departs == departs
    assert found.info.options["protocol"] == ("official" if "official" in options else "vlm2vec")


def test_weights_are_told_by_what_they_are_and_not_by_what_they_were_called(hub: Path) -> None:
    named, spelled = load(V2.name), load(f"vlm2vec:{V2.hub}@{V2.revision}")
    assert (named.card, named.departs, named.fingerprint) == (spelled.card, spelled.departs, spelled.fingerprint)
    by_folder = load(f"vlm2vec:{hub}/models--VLM2Vec--VLM2Vec-V2.0/snapshots/{V2.revision}?resolution=high")
    assert (by_folder.card, by_folder.departs) == (V2, ("resolution=high, published native",))
    assert load(ADAPTER.name).card is ADAPTER
    assert load(f"clip:{ADAPTER.hub}").card is ADAPTER


def test_a_path_has_no_name_and_nothing_is_said(hub: Path, tmp_path: Path) -> None:
    place = tiny.folder("clip-tiny")
    shutil.copytree(place, tmp_path / "mine")
    plain = load(f"clip:{tmp_path / 'mine'}?instruction=1")
    assert (plain.card, plain.departs) == (None, ())
    said = load(f"{CLIP.name}?path={tmp_path / 'mine'}")
    assert said.card is CLIP
    assert said.departs == (f"weights from a path, published {CLIP.hub}@{CLIP.revision}",)
    assert str(tmp_path) not in "".join(said.departs)


def test_a_run_that_departs_says_so_in_one_line_and_in_its_record(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{CLIP.name}?instruction=1"
    options = ["--tasks", "example/ShapeSearch", "--data", DATA, "--device", "cpu"]
    assert command("run", "--model", text, *options, "--out", tmp_path / "runs") == 0
    line = f"{CLIP.name} departs from how its published numbers were made: instruction=1, published 0"
    assert capsys.readouterr().err.splitlines().count(line) == 1
    model = manifest(tmp_path / "runs")["model"]
    assert (model["named"], model["departs"]) == (CLIP.name, ["instruction=1, published 0"])
    assert json.dumps(model).count(str(tmp_path)) == 0


def test_a_run_by_the_published_protocol_says_nothing(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tasks", "example/ShapeSearch", "--data", DATA, "--device", "cpu"]
    for text in (CLIP.name, f"clip:{CLIP.hub}@{CLIP.revision}"):  # the same run, and the same bytes
        assert command("run", "--model", text, *options, "--out", tmp_path / "runs") == 0
        assert "departs" not in capsys.readouterr().err
        model = manifest(tmp_path / "runs")["model"]
        assert (model["named"], model["departs"]) == (CLIP.name, [])


def test_what_has_no_card_is_recorded_as_such(tmp_path: Path) -> None:
    assert run(tmp_path / "runs", "random", tasks="example/ShapeSearch") == 0
    model = manifest(tmp_path / "runs")["model"]
    assert (model["named"], model["departs"]) == (None, [])


def test_from_python_it_is_said_as_well(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evalkit.evaluate(f"{CLIP.name}?instruction=1", "example/ShapeSearch", data=DATA, out=None, device="cpu")
    said = capsys.readouterr()
    assert "departs from how its published numbers were made" in said.out + said.err

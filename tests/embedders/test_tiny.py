"""The models that come with evalkit: whole, small, found by name, and the same wherever they lie."""

from __future__ import annotations

import configparser
import glob
import os
import shutil
from pathlib import Path

import pytest
from builders import command, evalkit

from evalkit.embedders import tiny
from evalkit.embedders.checkpoint import Checkpoint, resolve
from evalkit.embedders.modeltext import names, parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.errors import EmbedderError, UsageError
from evalkit.items import Item

ROOT = Path(__file__).parents[2]
FILES = [(name, file) for name, model in tiny.MODELS.items() for file in model.files]

every_model = pytest.mark.parametrize("name", tiny.MODELS)


def load(text: str) -> LoadedEmbedder:
    return load_embedder(parse_model(text), "cpu")


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the models in a folder with a name that a MODEL would take apart; it may be damaged."""
    folder = tmp_path / "site@1?x:y" / "tiny"
    shutil.copytree(tiny.home(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(tiny, "home", lambda: folder)
    return folder


# --- what comes with evalkit -----------------------------------------------------------------------------


@every_model
def test_the_list_of_files_is_what_is_there(name: str) -> None:
    assert files_of(tiny.home() / name) == set(tiny.MODELS[name].files)


def test_a_wheel_has_all_of_them_and_nothing_else() -> None:
    """By the patterns of setup.cfg, as setuptools reads them."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = settings["options.package_data"]["evalkit.embedders.tiny"].split(",")
    home = tiny.home()
    found = {path for pattern in patterns for path in glob.glob(pattern.strip(), root_dir=home)}
    assert {path for path in found if (home / path).is_file()} == {f"{name}/{file}" for name, file in FILES}
    assert "evalkit.embedders.tiny" in settings["options"]["packages"].split()


def test_they_are_small() -> None:
    assert sum((tiny.home() / name / file).stat().st_size for name, file in FILES) <= 12_000_000


# --- by name -----------------------------------------------------------------------------------------------


@every_model
def test_a_name_stands_for_its_family_on_its_folder(name: str) -> None:
    spec = parse_model(name)
    family = tiny.MODELS[name].family
    assert (spec.text, spec.source, spec.target, spec.revision) == (name, family, str(tiny.home() / name), None)
    assert parse_model(f"{name}?dtype=float32").options == {"dtype": "float32"}
    loaded, by_path = load(name), load(names()[name])
    assert (loaded.info.name, loaded.folder, loaded.family) == (name, name, family)
    assert loaded.info == by_path.info
    assert loaded.fingerprint == by_path.fingerprint
    assert loaded.embedder.encode([Item("a red circle", text="a red circle")], "query").shape == (
        1,
        loaded.info.dimension,
    )


def test_options_reach_the_model() -> None:
    assert load("virtue-tiny").info.options["frame"] == "sam"
    other = load("virtue-tiny?frame=raw_pixels")
    assert (other.info.name, other.info.options["frame"]) == ("virtue-tiny", "raw_pixels")
    assert other.fingerprint != load("virtue-tiny").fingerprint
    with pytest.raises(UsageError, match="model 'clip-tiny\\?frame=sam' has no option 'frame'"):
        load("clip-tiny?frame=sam")


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UsageError, match="near: virtue-tiny"):
        parse_model("virtue_tiny")


@every_model
def test_where_it_lies_leaves_no_trace(name: str, elsewhere: Path) -> None:
    moved = load(name)
    assert parse_model(name).target == str(elsewhere / name)
    here = load(f"{tiny.MODELS[name].family}:{Path(tiny.__file__).parent / name}")
    assert moved.info == here.info
    assert moved.fingerprint == here.fingerprint


def test_models_lists_them_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("models") == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    for name, model in tiny.MODELS.items():
        assert lines[name] == f"{model.family}: {model.what}; part of evalkit"


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_missing_file_is_named_with_the_ways_to_get_it_back(name: str, file: str, elsewhere: Path) -> None:
    (elsewhere / name / file).unlink()
    with pytest.raises(UsageError) as raised:
        parse_model(name)
    said = str(raised.value)
    assert said.startswith(f"{elsewhere / name / file} is missing: ")
    assert "pip install --force-reinstall" in said
    assert "training/" in said


@every_model
def test_a_missing_folder_is_no_hub_repository(name: str, elsewhere: Path) -> None:
    shutil.rmtree(elsewhere / name)
    with pytest.raises(UsageError, match=f"{name}/config.json is missing: it is a part of evalkit"):
        parse_model(name)


@pytest.mark.parametrize(
    ("name", "file"), [(n, f) for n, f in FILES if f.endswith((".safetensors", ".pth", "tokenizer.json"))]
)
def test_a_broken_file_is_named_with_the_ways_to_get_it_back(name: str, file: str, elsewhere: Path) -> None:
    path = elsewhere / name / file
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises((EmbedderError, UsageError)) as raised:
        load(name).embedder.encode([_pictured(elsewhere)], "query")
    assert "it is a part of evalkit: install evalkit again" in str(raised.value)
    assert str(path.parent) in str(raised.value)


def _pictured(folder: Path) -> Item:
    import PIL.Image

    from evalkit.items.images import ImageFile

    PIL.Image.new("RGB", (64, 64), "red").save(folder / "a.png")
    return Item("<image>\na", text="a", image=ImageFile(folder, "a.png"))


def test_other_checkpoints_have_other_ways_out(tmp_path: Path) -> None:
    assert "part of evalkit" not in Checkpoint("mine", tmp_path).way_out
    assert Checkpoint("sam2", tiny.home() / "virtue-tiny" / "sam2").way_out == tiny.WAY_OUT
    assert resolve(str(tiny.home() / "clip-tiny")).way_out == tiny.WAY_OUT


@pytest.mark.slow(0.6)
def test_the_command_says_it_and_exits_with_2(tmp_path: Path) -> None:
    """A whole evalkit elsewhere, of which a file was lost."""
    site = tmp_path / "site"
    shutil.copytree(tiny.home().parents[1], site / "evalkit", ignore=shutil.ignore_patterns("__pycache__", "example"))
    (site / "evalkit/embedders/tiny/virtue-tiny/sam2_reducer_and_vlm_layer.pth").unlink()
    done = evalkit("demo", "--out", "demo", env={"PYTHONPATH": str(site)}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("evalkit: ")
    assert f"{site}/evalkit/embedders/tiny/virtue-tiny/sam2_reducer_and_vlm_layer.pth is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()

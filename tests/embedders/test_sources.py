"""The code that a fingerprint covers: all of the user's that a class comes from, and what options name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from builders import site_packages

from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import LoadedEmbedder, load_embedder
from evalkit.embedders.sources import digest_content
from evalkit.errors import EmbedderError

INFO = "from evalkit.embedders.base import EmbedderInfo\n"
CLASS = """
class Mine:
    def __init__(self, ckpt=""):
        self.info = EmbedderInfo(name="mine", dimension=2)
    def encode(self, items, side):
        import numpy as np
        return np.full((len(items), 2), 0.5 ** 0.5, dtype=np.float32)
"""


def load(text: str) -> LoadedEmbedder:
    return load_embedder(parse_model(text), "cpu")


def fingerprint(file: Path, options: str = "") -> str:
    return load(f"{file}:Mine{options}").fingerprint


IMPORTS = {
    "beside it": ("import helper", "helper.py"),
    "of its own import": ("import helper", "deeper.py"),
    "inside a function": ("def later():\n    import helper", "helper.py"),
    "a name of a module": ("from helper import value", "helper.py"),
    "a package": ("import pack.part", "pack/part.py"),
    "a package's own file": ("import pack.part", "pack/__init__.py"),
    "relative, within a package": ("import pack.relative", "pack/part.py"),
    "a name that is a module of a package": ("from pack import part", "pack/part.py"),
    "by a name that only running it tells": ("import importlib\nimportlib.import_module('hel' + 'per')", "helper.py"),
    "a base class": ("import helper\nBase = helper.Base", "helper.py"),
}


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with modules; the model's file is to come."""
    (tmp_path / "deeper.py").write_text("value = 1\n")
    (tmp_path / "helper.py").write_text("import deeper\nvalue = 1\nclass Base: pass\n")
    (tmp_path / "unused.py").write_text("value = 1\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("\n")
    (tmp_path / "pack" / "part.py").write_text("value = 1\n")
    (tmp_path / "pack" / "relative.py").write_text("from . import part\nfrom .part import value\n")
    return tmp_path


@pytest.mark.parametrize(("imports", "edited"), IMPORTS.values(), ids=IMPORTS)
@pytest.mark.slow(0.3)
def test_a_module_that_is_edited_is_another_embedder(imports, edited, beside):
    mine = beside / "mine.py"
    mine.write_text(f"{INFO}{imports}\n{CLASS}")
    before = fingerprint(mine)
    assert fingerprint(mine) == before
    (beside / "unused.py").write_text("value = 2\n")
    assert fingerprint(mine) == before
    (beside / edited).write_text((beside / edited).read_text() + "# another\n")
    assert fingerprint(mine) != before


def test_a_base_class_in_another_file(beside):
    (beside / "base.py").write_text(INFO + CLASS)
    mine = beside / "derived.py"
    mine.write_text("import base\nclass Mine(base.Mine):\n    pass\n")
    before = fingerprint(mine)
    (beside / "base.py").write_text((beside / "base.py").read_text().replace("0.5 ** 0.5", "-0.5 ** 0.5"))
    assert fingerprint(mine) != before
    assert load(f"{mine}:Mine").embedder.encode([None], "query")[0, 0] < 0, "and it is what runs now"


def test_a_module_of_the_same_size_and_second_is_run_as_it_is_now(beside):
    """Its bytecode would be found by time and size."""
    mine = beside / "mine.py"
    mine.write_text(f"{INFO}import helper\n{CLASS}")
    for value in (1, 2):
        (beside / "helper.py").write_text(f"value = {value}\n")
        os.utime(beside / "helper.py", (1_000_000_000, 1_000_000_000))
        load(f"{mine}:Mine")
        assert sys.modules["helper"].value == value
    assert not (beside / "__pycache__").exists()


def test_files_of_one_name_beside_two_models_are_not_taken_for_each_other(tmp_path):
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"name = {name!r}\n")
        (tmp_path / name / "mine.py").write_text(f"{INFO}import helper\nNAME = helper.name\n{CLASS}")
        loaded = load(f"{tmp_path / name / 'mine.py'}:Mine")
        found.append(loaded.fingerprint)
        assert name == sys.modules[type(loaded.embedder).__module__].NAME
    assert len(set(found)) == 2


def test_the_place_of_the_files_does_not_count(beside, tmp_path_factory):
    mine = beside / "mine.py"
    mine.write_text(f"{INFO}import helper\n{CLASS}")
    before = fingerprint(mine)
    moved = tmp_path_factory.mktemp("moved") / "there"
    beside.rename(moved)
    assert fingerprint(moved / "mine.py") == before


def test_what_is_installed_does_not_count_but_the_class_s_own_package_does(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    (site / "theirs").mkdir(parents=True)
    (site / "theirs" / "__init__.py").write_text("")
    (site / "theirs" / "part.py").write_text("value = 1\n")
    (site / "theirs" / "model.py").write_text(f"{INFO}from theirs import part\nimport library\n{CLASS}")
    (site / "library.py").write_text("value = 1\n")
    with site_packages(site, monkeypatch):
        before = load("theirs.model:Mine").fingerprint
        (site / "library.py").write_text("value = 2\n")
        assert load("theirs.model:Mine").fingerprint == before
        (site / "theirs" / "part.py").write_text("value = 2\n")
        assert load("theirs.model:Mine").fingerprint != before


# --- fingerprints that are somebody else's ------------------------------------------------------------

LENT = {
    "a base class of evalkit's": """
from evalkit.embedders.baselines import Random
class Mine(Random):
    def encode(self, items, side):
        return super().encode(items, side)[:, ::-1].copy()
""",
    "an embedder that it holds": """
from evalkit.embedders.baselines import Random
class Mine:
    def __init__(self):
        self.inner = Random()
        self.info = self.inner.info
    def encode(self, items, side):
        return self.inner.encode(items, side)[:, ::-1].copy()
""",
}


@pytest.mark.parametrize("source", LENT.values(), ids=LENT)
def test_a_fingerprint_that_was_lent_does_not_stand_for_the_class_s_own_code(source, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(source)
    before = fingerprint(mine)
    assert before != load("random").fingerprint
    mine.write_text(source.replace("[:, ::-1]", ""))
    assert fingerprint(mine) != before


def test_a_fingerprint_of_its_own_is_believed(tmp_path):
    mine = tmp_path / "mine.py"
    source = INFO + CLASS.replace("dimension=2", 'dimension=2, fingerprint="one"')
    mine.write_text(source)
    before = fingerprint(mine)
    mine.write_text(source + "# a comment\n")
    assert fingerprint(mine) == before


# --- options that name files -------------------------------------------------------------------------


def test_the_content_of_what_an_option_names_counts(tmp_path):
    mine, folder, weights = tmp_path / "mine.py", tmp_path / "out", tmp_path / "w.npy"
    mine.write_text(INFO + CLASS)
    (folder / "step").mkdir(parents=True)
    (folder / "step" / "weights.bin").write_bytes(b"1")
    weights.write_bytes(b"1")
    for option, changed in ((folder, folder / "step" / "weights.bin"), (weights, weights)):
        before = fingerprint(mine, f"?ckpt={option}")
        assert fingerprint(mine, f"?ckpt={option}") == before
        changed.write_bytes(b"2")
        assert fingerprint(mine, f"?ckpt={option}") != before


def test_a_folder_is_its_files_and_their_names(tmp_path):
    folder = tmp_path / "ckpt"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "w").write_bytes(b"1")
    found = [digest_content(folder)]
    os.mkfifo(folder / "pipe")  # to read it would wait for ever
    (folder / "a" / "up").symlink_to(folder)
    assert digest_content(folder) == found[0]
    (folder / "a" / "w").rename(folder / "a" / "v")
    found.append(digest_content(folder))
    (folder / "b").write_bytes(b"")
    found.append(digest_content(folder))
    (folder / "b").unlink()
    (folder / "b").symlink_to(folder / "a" / "v")
    found.append(digest_content(folder))
    assert len(set(found)) == len(found)


def test_the_folder_that_all_of_it_goes_on_in_is_no_checkpoint(tmp_path, monkeypatch):
    """It holds what the run writes: each run would be another one."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text(INFO + CLASS)
    before = [fingerprint(mine, f"?ckpt={option}") for option in (".", "/", tmp_path)]
    (tmp_path / "runs").write_text("written by a run")
    assert [fingerprint(mine, f"?ckpt={option}") for option in (".", "/", tmp_path)] == before


def test_a_checkpoint_that_changes_while_it_is_loaded_is_refused(tmp_path):
    mine, weights = tmp_path / "mine.py", tmp_path / "w.npy"
    weights.write_bytes(b"1")
    mine.write_text(
        INFO
        + CLASS.replace(
            "        self.info", "        __import__('pathlib').Path(ckpt).write_bytes(b'22')\n        self.info"
        )
    )
    with pytest.raises(EmbedderError, match=r"w\.npy changed while it was loaded: load it again"):
        fingerprint(mine, f"?ckpt={weights}")


def test_a_model_may_be_made_of_others(tmp_path):
    """That it loads itself, also from files: none of them takes its place."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "helper.py").write_text("name = 'other'\n")
    (tmp_path / "other" / "inner.py").write_text(f"{INFO}import helper\n{CLASS}")
    (tmp_path / "helper.py").write_text("name = 'mine'\n")
    made = f"load_embedder(parse_model({str(tmp_path / 'other' / 'inner.py')!r} + ':Mine'), 'cpu')"
    lines = [f"        self.inner = {made}", "        load_embedder(parse_model('random'), 'cpu')", "        self.info"]
    mine = tmp_path / "mine.py"
    imports = (
        "import helper\nfrom evalkit.embedders.modeltext import parse_model\n"
        "from evalkit.embedders.registry import load_embedder\n"
    )
    mine.write_text(INFO + imports + CLASS.replace("        self.info", "\n".join(lines)))
    before = fingerprint(mine)
    (tmp_path / "helper.py").write_text("name = 'another'\n")
    assert fingerprint(mine) != before

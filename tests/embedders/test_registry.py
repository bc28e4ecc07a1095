"""From the text after --model to an embedder, its own or another package's."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import evalkit, install, site_packages

from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Constant, Random
from evalkit.embedders.modelcards import model_cards
from evalkit.embedders.modeltext import ModelSpec, families, parse_model
from evalkit.embedders.registry import LoadedEmbedder, describe_families, load_embedder
from evalkit.errors import EmbedderError, UsageError
from evalkit.suites.selecting import all_cards, suites

MINE = """\
import numpy as np
from evalkit.embedders.base import EmbedderInfo

class Mine:
    def __init__(self, x="0", *, y="0"):
        self.x, self.y = x, y
        self.info = EmbedderInfo(name="mine", dimension=2)

    def encode(self, items, side):
        return np.tile(np.float32([0.6, 0.8]), (len(items), 1))
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "my_model.py"
    file.write_text(MINE)
    return file


def load(text: str, device: str = "cpu") -> LoadedEmbedder:
    return load_embedder(parse_model(text), device)


# --- the forms of a MODEL ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("random", ("random", "", None, {})),
        ("random?seed=3", ("random", "", None, {"seed": "3"})),
        ("random?seed=3&dimension=8", ("random", "", None, {"seed": "3", "dimension": "8"})),
        ("clip:./a/b", ("clip", "./a/b", None, {})),
        ("clip:org/name", ("clip", "org/name", None, {})),
        ("clip:org/name@main", ("clip", "org/name", "main", {})),
        ("clip:org/name@1f2e?instruction=1", ("clip", "org/name", "1f2e", {"instruction": "1"})),
        ("clip:./me@home/model@1f2e", ("clip", "./me@home/model", "1f2e", {})),
        ("precomputed:/a:b/c", ("precomputed", "/a:b/c", None, {})),
        ("precomputed:v?images=/a%26b/c%3Fd+e", ("precomputed", "v", None, {"images": "/a&b/c?d+e"})),
        ("precomputed:v?images=", ("precomputed", "v", None, {"images": ""})),
        ("precomputed:v?images=a=b", ("precomputed", "v", None, {"images": "a=b"})),
        ("my_model.py:Mine", ("my_model.py", "Mine", None, {})),
        ("/a/my_model.py:Mine?x=1", ("/a/my_model.py", "Mine", None, {"x": "1"})),
        ("/me@home/my_model.py:Mine", ("/me@home/my_model.py", "Mine", None, {})),
        ("package.module:Class", ("package.module", "Class", None, {})),
        ("package.module:Class.inner?x=", ("package.module", "Class.inner", None, {"x": ""})),
    ],
)
def test_a_model_is_taken_apart(text, parts):
    assert parse_model(text) == ModelSpec(text, *parts)


def test_a_path_with_an_at_sign_that_exists_has_no_revision(tmp_path):
    folder = tmp_path / "model@2"
    folder.mkdir()
    assert parse_model(f"clip:{folder}").target == str(folder)
    assert parse_model(f"clip:{folder}@main") == ModelSpec(f"clip:{folder}@main", "clip", str(folder), "main", {})
    folder.rmdir()
    assert parse_model(f"clip:{folder}").revision == "2"


@pytest.mark.parametrize(
    ("text", "near"),
    [("randon", "random"), ("constnat", "constant"), ("clp", "clip"), ("Random", "random"),
     ("clip-vit-large", "clip-vit-large-patch14"), ("randm?seed=1", "random"), ("random@1", "random")],
)  # fmt: skip
def test_an_unknown_name_suggests_the_near_one(text, near):
    with pytest.raises(UsageError, match="no model is called") as error:
        parse_model(text)
    assert repr(text) in str(error.value)
    assert near in str(error.value).split("near: ", 1)[1]


def test_an_unknown_family_suggests_the_near_one():
    with pytest.raises(UsageError, match=r"No module named 'clp'.*near: clip"):
        load("clp:./somewhere")


@pytest.mark.parametrize("text", ["", ":", ":Class", "xyzzy", "my_model.py", "my_model.py:", "?seed=1", "@main"])
def test_what_is_no_model_says_what_is(text):
    with pytest.raises(UsageError, match=r"FAMILY:PATH, FILE\.py:Class and package\.module:Class"):
        parse_model(text)


@pytest.mark.parametrize("options", ["seed", "seed=1&dimension", "=1", "seed=1&seed=2", "seed=1&=2"])
def test_options_are_key_and_value(options):
    with pytest.raises(UsageError, match=r"\?key=value&key=value, each key once"):
        parse_model(f"random?{options}")


@pytest.mark.parametrize("text", ["clip:@main", "clip:org/name@", "clip:@"])
def test_a_revision_stands_after_a_path(text):
    with pytest.raises(UsageError, match="clip:PATH@REVISION"):
        parse_model(text)


# --- loading -----------------------------------------------------------------------------------------


def test_registered_names_are_loaded():
    constant, random = load("constant"), load("random?seed=3&dimension=16")
    assert isinstance(constant.embedder, Constant)
    assert isinstance(random.embedder, Random)
    assert (random.info.dimension, random.info.options, random.family) == (
        16,
        {"seed": "3", "dimension": "16"},
        "random",
    )
    assert len({constant.fingerprint, random.fingerprint, load("random").fingerprint}) == 3
    assert load("random?seed=0").fingerprint == load("random").fingerprint


def test_a_class_of_a_file(mine):
    loaded = load(f"{mine}:Mine?x=1")
    assert (loaded.embedder.x, loaded.info.name, loaded.family) == ("1", "mine", "my_model.py")
    assert loaded.embedder.encode([None, None], "query").shape == (2, 2)


def test_a_class_of_a_module(mine, monkeypatch):
    monkeypatch.syspath_prepend(mine.parent)
    mine.rename(mine.with_name("module_of_a_test.py"))
    loaded = load("module_of_a_test:Mine?y=2")
    assert (loaded.embedder.y, loaded.family) == ("2", "module_of_a_test")
    del sys.modules["module_of_a_test"]


def test_a_function_may_build_the_embedder(mine):
    mine.write_text(MINE + "\ndef build(x='7'):\n    return Mine(x)\n")
    assert load(f"{mine}:build").embedder.x == "7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("random?sed=1", r"has no option 'sed'; it has dimension, seed; near: seed"),
        ("random?zzz=1", r"has no option 'zzz'; it has dimension, seed$"),
        ("clip:x?instructions=1", r"has no option 'instructions'; it has .*; near: instruction"),
        ("constant?seed=1", r"has no option 'seed'; it has none"),
        ("clip:x?device=cuda", r"has no option 'device'"),
        ("clip:x?revision=main", r"has no option 'revision'"),
        ("clip:x?path=y", r"has no option 'path'"),
        ("random:somewhere", r"write random alone"),
        ("constant:somewhere@main", r"write constant alone"),
        ("clip", r"write clip:PATH"),
        ("precomputed", r"write precomputed:PATH"),
    ],
)
def test_an_option_or_path_that_is_not_taken(text, says):
    with pytest.raises(UsageError, match=says):
        load(text)


def test_an_option_of_a_class_that_is_not_taken(mine):
    with pytest.raises(UsageError, match=r"has no option 'z'; it has x, y"):
        load(f"{mine}:Mine?z=1")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "", "CPU", "cuda:"])
def test_an_unknown_device(device):
    with pytest.raises(UsageError, match="auto, cpu, cuda or cuda:I"):
        load("constant", device)


def test_device_and_revision_reach_who_takes_them(mine):
    mine.write_text(MINE.replace('*, y="0"', 'device="none", revision="its own"').replace("self.y", "self.device"))
    file = f"{mine}:Mine"
    mine.write_text(mine.read_text().replace("= x, y", "= x, device; self.revision = revision"))
    assert load(file, "cpu").embedder.device == "cpu"
    assert load(file).embedder.revision == "its own"
    assert load(f"{file}?revision=main").embedder.revision == "main"
    with pytest.raises(UsageError, match="has no option 'device'; it has revision, x"):
        load(f"{file}?device=cuda")


def test_a_family_without_revisions(tmp_path):
    with pytest.raises(UsageError, match="precomputed has no revisions"):
        load(f"precomputed:{tmp_path / 'x'}@main")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (("self.x, self.y", "raise ValueError('no weights'); self.x, self.y"), EmbedderError, "ValueError: no weights"),
        (("self.info =", "self.other ="), EmbedderError, "no attribute 'info'"),
        (('EmbedderInfo(name="mine", dimension=2)', '"mine"'), EmbedderError, "its info is 'mine', not an"),
        (("dimension=2", 'dimension=2, options={"a": 1}'), EmbedderError, "info.options has 'a': 1, not text by name"),
        (("dimension=2", "dimension=2, options=None"), EmbedderError, "info.options is None, not a dict of text"),
        (("dimension=2", 'dimension=2, modalities=["text"]'), EmbedderError, "info.modalities is ['text'], not a fro"),
        (("dimension=2", 'dimension=2, regions="box"'), EmbedderError, "info.regions is 'box', not a frozenset of"),
        (("dimension=2", "dimension=2, revision=3"), EmbedderError, "info.revision is 3, not text or None"),
        (("dimension=2", "dimension=2, fingerprint=3"), EmbedderError, "info.fingerprint is 3, not text"),
        (("dimension=2", "dimension=0"), EmbedderError, "not an EmbedderInfo with name and dimension"),
        (("dimension=2", 'dimension="2"'), EmbedderError, "not an EmbedderInfo with name and dimension"),
        (('name="mine"', 'name=""'), EmbedderError, "'' is no name"),
        (('name="mine"', r'name="mi\nne"'), EmbedderError, "is no name or revision"),
        (('name="mine"', 'name="mi|ne"'), EmbedderError, "'mi|ne' is no name or revision"),
        (('name="mine"', 'name="mine", revision="a|b"'), EmbedderError, "'a|b' is no name or revision"),
        (("class Mine", "raise KeyError('setup')\nclass Mine"), EmbedderError, "cannot be imported: KeyError: 'setup'"),
        (("class Mine", "import not_there_at_all\nclass Mine"), EmbedderError, "No module named 'not_there_at_all'"),
        (("class Mine", "class Mine)"), EmbedderError, "cannot be imported: SyntaxError"),
        (("class Mine", "class Yours"), UsageError, "has no class 'Mine'; it has Yours"),
    ],
)
def test_a_class_that_cannot_be_used_says_why(mine, change, error, says):
    assert MINE.count(change[0]) == 1
    mine.write_text(MINE.replace(*change))
    with pytest.raises(error) as raised:
        load(f"{mine}:Mine")
    assert says in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.py does not exist"):
        load(f"{tmp_path / 'nowhere.py'}:Mine")


@pytest.mark.parametrize("text", ["no_such_module_here:X", "evalkit.nothing:X"])
def test_a_module_that_is_not_there(text):
    with pytest.raises(UsageError, match="No module named"):
        load(text)


@pytest.mark.parametrize("text", ["..relative:X", ".:X", "a..b:X"])
def test_a_module_of_a_wrong_name(text):
    with pytest.raises((UsageError, EmbedderError), match=text.split(":")[0]):
        load(text)


def test_a_module_that_fails(mine, monkeypatch):
    monkeypatch.syspath_prepend(mine.parent)
    mine.with_name("failing_module_of_a_test.py").write_text("1 / 0")
    with pytest.raises(EmbedderError, match="failing_module_of_a_test cannot be imported: ZeroDivisionError"):
        load("failing_module_of_a_test:Mine")


def test_a_name_that_is_no_class(mine):
    with pytest.raises(UsageError, match="has no class 'np'"):
        load(f"{mine}:np")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mine", "mine"),
        ("org/name", "org-name"),
        ("..", "model"),
        ("../../etc", "etc"),
        ("/", "model"),
        (".hidden", "hidden"),
        ("a b\\c:d*", "a-b-c-d"),
        ("Modèle ☃", "Mod-le"),
    ],
)
def test_no_model_can_leave_the_runs_folder(name, folder):
    loaded = LoadedEmbedder(Constant(), EmbedderInfo(name=name, dimension=8), "0" * 64, "constant")
    assert loaded.folder == folder


# --- fingerprints ------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_a_fingerprint_covers_source_class_and_options(mine):
    mine.write_text(MINE + "\nclass Other(Mine):\n    pass\n")
    texts = [f"{mine}:Mine", f"{mine}:Other", *(f"{mine}:Mine?{o}" for o in ("x=1", "x=2", "y=1", "x=1&y=1"))]
    before = [load(text).fingerprint for text in texts]
    assert len(set(before)) == len(texts)
    assert [load(text).fingerprint for text in texts] == before
    assert load(f"{mine}:Mine?y=1&x=1").fingerprint == before[-1]
    mine.write_text(mine.read_text() + "# a comment\n")
    after = [load(text).fingerprint for text in texts]
    assert not set(before) & set(after)


def test_a_fingerprint_does_not_depend_on_where_the_file_lies(mine, tmp_path):
    (tmp_path / "sub").mkdir()
    moved = tmp_path / "sub" / "renamed.py"
    moved.write_text(MINE)
    assert load(f"{moved}:Mine").fingerprint == load(f"{mine}:Mine").fingerprint


@pytest.mark.slow(0.5)
def test_a_fingerprint_of_its_own_and_dimension_and_revision_count(mine):
    seen = set()
    for own, dimension, revision in itertools.product(("one", "two"), (2, 3), ("None", "'r'")):
        info = f'dimension={dimension}, revision={revision}, fingerprint="{own}"'
        mine.write_text(MINE.replace("dimension=2", info))
        seen.add(load(f"{mine}:Mine?x={own}").fingerprint)
    assert len(seen) == 8


def test_an_edited_file_is_run_as_it_is_now(mine):
    """Bytecode is found by time and size. Stale bytecode under a new fingerprint would keep wrong vectors."""
    script = (
        "import sys; from evalkit.embedders.modeltext import *; from evalkit.embedders.registry import *;"
        "print(load_embedder(parse_model(sys.argv[1])).info.name)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for name in ("aaaa", "bbbb"):
        mine.write_text(MINE.replace("mine", name))
        os.utime(mine, (1_000_000_000, 1_000_000_000))
        command = [sys.executable, "-c", script, f"{mine}:Mine"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert found.stdout.strip() == name
    assert [file.name for file in mine.parent.iterdir()] == ["my_model.py"], "nothing is left beside it"


# --- other people's packages -------------------------------------------------------------------------

SUITE = """\
import numpy as np
from evalkit.items import Item
from evalkit.suites.task import Task; from evalkit.suites.selecting import select_tasks

class Numbers:
    name = "numbers"

    def cards(self):
        mmeb = select_tasks(["VOC2007"], __import__("evalkit.suites.mmeb").suites.mmeb.SUITE.cards())[0]
        return [mmeb.model_copy(update={"name": "numbers/Next", "suite": "numbers", "queries": 3, "candidates": 5})]

    def load(self, card, folder, options):
        queries, candidates = [Item(f"after {i}") for i in range(3)], [Item(str(i)) for i in range(5)]
        pool = np.arange(5, dtype=np.int32)
        return Task(card=card, queries=queries, ids=[f"n{i}" for i in range(3)], candidates=candidates,
                    names=[str(i) for i in range(5)], pools=[pool] * 3, options=options,
                    relevant=[np.array([i + 1], dtype=np.int32) for i in range(3)], labels=["1", "2", "3"])

SUITE = Numbers()
"""
COUNTER = MINE.replace("mine", "counter").replace(
    "return np.tile(np.float32([0.6, 0.8]), (len(items), 1))",
    "turns = [int(item.prompt.split()[-1]) + (side == 'query') for item in items];"
    "return np.float32([[np.cos(turn), np.sin(turn)] for turn in turns])",
)


@pytest.mark.slow(1)
def test_a_package_brings_an_embedder_and_a_suite(tmp_path):
    """Nothing but the package's entry points makes them known, and they are used like evalkit's own."""
    points = "[evalkit.embedders]\ncounter = counting:Mine\n\n[evalkit.suites]\nnumbers = counting_tasks:SUITE\n"
    install(tmp_path / "site", "counting", points, counting=COUNTER, counting_tasks=SUITE)
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    done = evalkit(
        *("run", "--model", "counter?x=1", "--tasks", "numbers"),
        *("--data", tmp_path, "--out", tmp_path / "runs", "--quiet"),
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = tmp_path.glob("runs/counter/*/run.json")
    manifest = json.loads(run.read_text())
    assert manifest["model"]["family"] == "counter"
    assert [(t["task"], t["suite"], t["complete"]) for t in manifest["tasks"]] == [("numbers/Next", "numbers", True)]
    assert manifest["tasks"][0]["metrics"]["precision_at_1"]["value"] == 1
    assert manifest["averages"] == [{"group": "numbers", "value": 1.0, "n_done": 1, "n_tasks": 1}]
    assert (run.parent / "samples" / "numbers" / "Next.parquet").is_file()
    listed = evalkit("models", "--json", env=environment)
    families = {family["write"]: family for family in json.loads(listed.stdout)["families"]}
    assert families["counter"]["options"] == ["x", "y"]
    assert families["counter"]["from"] == "counting:Mine"


@pytest.fixture
def site(tmp_path, monkeypatch):
    with site_packages(tmp_path / "site", monkeypatch) as folder:
        yield folder


def test_nobody_takes_the_name_of_a_suite_or_a_family(site):
    """A number called mmeb or random is evalkit's."""
    points = "[evalkit.embedders]\nrandom = taking:Mine\n\n[evalkit.suites]\nmmeb = taking:SUITE\n"
    install(site, "taking", points, taking=MINE + SUITE)
    assert families()["random"].value == "evalkit.embedders.baselines:Random"
    assert isinstance(load("random").embedder, Random)
    assert len(suites()["mmeb"].cards()) == 36


def test_a_family_that_cannot_be_imported_leaves_the_others(site):
    install(site, "broken", "[evalkit.embedders]\nbroken = broken_family:Mine\n", broken_family="import not_there\n")
    with pytest.raises(EmbedderError, match=r"family 'broken' \(broken_family:Mine\) cannot be loaded"):
        load("broken")
    assert isinstance(load("constant").embedder, Constant)
    found = {family["write"]: family["what"] for family in describe_families()}
    assert "No module named 'not_there'" in found["broken"]
    assert "random" in found


def test_a_suite_that_cannot_be_imported_is_named(site):
    install(site, "broken", "[evalkit.suites]\nbroken = broken_suite:SUITE\n", broken_suite="SUIT = 1\n")
    with pytest.raises(UsageError, match=r"suite 'broken' \(broken_suite:SUITE\) cannot be loaded: AttributeError"):
        suites()


def test_a_suite_whose_cards_say_otherwise_is_named(site):
    install(site, "other", "[evalkit.suites]\nother = other_suite:SUITE\n", other_suite=SUITE)
    with pytest.raises(Exception, match="suite 'other': its card numbers/Next says that it is of suite 'numbers'"):
        all_cards()


def test_two_tasks_of_one_name_are_refused(site):
    source = SUITE.replace('"numbers/Next"', '"VOC2007"')
    install(site, "twice", "[evalkit.suites]\nnumbers = twice_suite:SUITE\n", twice_suite=source)
    with pytest.raises(Exception, match="suites 'mmeb' and 'numbers' both have a task VOC2007"):
        all_cards()


def test_what_models_prints():
    found = {family["write"]: family for family in describe_families()}
    assert {"constant", "random", "precomputed:PATH", "clip:PATH", "virtue:PATH", "vlm2vec:PATH"} <= found.keys()
    assert found["random"]["options"] == ["dimension", "seed"]
    assert all(family["what"] for family in found.values())
    assert {"virtue-2b", "clip-vit-large-patch14", "gme-2b"} <= model_cards().keys()

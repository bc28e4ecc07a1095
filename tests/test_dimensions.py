"""One model at several dimensions: what `evalkit run`, `evalkit embed` and Python give, against vectors cut by hand."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import EXAMPLE, command, evalkit, files_of, load, run

import evalkit as ek
from evalkit.runs.signature import parts

SHAPES, COLOURS = "example/Shapes", "example/ShapeColours"

COUNTING = '''\
"""Logs what it embeds; sends itself SIGKILL before the DIE_AT-th file is in place."""

import hashlib
import os

import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.items.keys import content_digest

_replace, _left = os.replace, int(os.environ.get("DIE_AT", "-1"))


def replace(*args, **options):
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), 9)
    _replace(*args, **options)


os.replace = replace


class Counting:
    def __init__(self, zero: str = "0"):
        self.zero = int(zero)
        self.info = EmbedderInfo("counting", 16, dimensions=(4, 8, 16), fingerprint=f"counting {zero}")
        with open(os.environ["ITEM_LOG"], "a") as log:
            log.write("made\\n")

    def encode(self, items, side):
        with open(os.environ["ITEM_LOG"], "a") as log:
            log.write(f"{len(items)}\\n")
        rows = []
        for item in items:
            drawn = hashlib.shake_256(content_digest(item).encode()).digest(32)
            rows.append(np.frombuffer(drawn, dtype="<u2").astype(np.float64) - 32767.5)
        vectors = np.stack(rows)
        vectors[:, : self.zero] = 0
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
'''


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model; what it did is in the file log."""
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "log").touch()
    monkeypatch.setenv("ITEM_LOG", str(tmp_path / "log"))
    return f"{tmp_path / 'counting.py'}:Counting"


def log(folder: Path) -> tuple[int, int]:
    """How often the model was made, and how many items it embedded."""
    lines = (folder / "log").read_text().split()
    return lines.count("made"), sum(int(line) for line in lines if line != "made")


def manifests(out: Path) -> dict[str, dict[str, Any]]:
    """The runs of a RUNS folder by their models' names."""
    found = [json.loads(file.read_text()) for file in out.glob("*/*/run.json")]
    return {one["model"]["name"]: one for one in found}


def timing(out: Path, folder: str, task: str = SHAPES) -> dict[str, Any]:
    [file] = out.glob(f"{folder}/*/timing.json")
    found: dict[str, Any] = json.loads(file.read_text())["tasks"][task]
    return found


def values(found: dict[str, Any]) -> dict[str, float]:
    return {task["task"]: task["metrics"]["precision_at_1"]["value"] for task in found["tasks"]}


def by_hand(task: str, dimension: int, model: str) -> float:
    """Precision@1 of vectors that are cut, made of length 1 and ranked by loops; ties share."""
    read = load(EXAMPLE, task)
    whole = [ek.embed(model, list(items), side=side, quiet=True) for items, side in
             ((read.queries, "query"), (read.candidates, "candidate"))]  # fmt: skip
    queries, candidates = (np.asarray(one[:, :dimension], dtype=np.float64) for one in whole)
    queries /= np.sqrt((queries**2).sum(axis=1, keepdims=True))
    candidates /= np.sqrt((candidates**2).sum(axis=1, keepdims=True))
    total = 0.0
    for query, pool, right in zip(queries, read.pools, read.relevant, strict=True):
        scores = {int(number): float(query @ candidates[number]) for number in pool}
        best = max(scores.values())
        top = [number for number, score in scores.items() if score > best - 1e-9]
        total += sum(number in right for number in top) / len(top)
    return total / len(queries)


def test_several_rows_of_one_encoding(counting, tmp_path):
    out = tmp_path / "runs"
    assert run(out, f"{counting}?dimensions=4,16,8", tasks=f"{SHAPES},{COLOURS}") == 0
    found = manifests(out)
    assert set(found) == {"counting", "counting@4", "counting@8"}
    assert {name: one["model"]["dimension"] for name, one in found.items()} == {
        "counting": 16, "counting@4": 4, "counting@8": 8,
    }  # fmt: skip
    assert [found[name]["settings"]["dimension"] for name in ("counting", "counting@4", "counting@8")] == [None, 4, 8]
    assert len({one["run_id"] for one in found.values()}) == 3
    assert len({one["model"]["fingerprint"] for one in found.values()}) == 1
    for name, one in found.items():
        for task, value in values(one).items():
            dimension = one["model"]["dimension"]
            assert value == pytest.approx(by_hand(task, dimension, counting), abs=1e-12), (name, task)
        lines = [parts(task["signature"]).get("dimension") for task in one["tasks"]]
        assert lines == [None if name == "counting" else str(one["model"]["dimension"])] * 2
    assert len({json.dumps(values(one)) for one in found.values()}) == 3, "other dimensions, other numbers"


def test_the_model_is_made_once_and_embeds_each_item_once(counting, tmp_path):
    assert run(tmp_path / "one", counting, tasks=f"{SHAPES},{COLOURS}") == 0
    made, embedded = log(tmp_path)
    assert run(tmp_path / "runs", f"{counting}?dimensions=4,8,16", tasks=f"{SHAPES},{COLOURS}") == 0
    assert log(tmp_path) == (2 * made, 2 * embedded)
    first, *others = (timing(tmp_path / "runs", name) for name in ("counting-4", "counting-8", "counting"))
    assert first["embedded"] == first["distinct"] > 0
    for other in others:
        assert (other["embedded"], other["spot_checked"], other["images_encoded"]) == (0, 0, 0)
        assert other["reused"] == other["distinct"] == first["distinct"]
        assert "rank_s" in other
        assert "encode_s" not in other
    # Nor does a later command embed more than its few checks, however many dimensions it has.
    before = log(tmp_path)[1]
    assert run(tmp_path / "runs", f"{counting}?dimensions=2", tasks=SHAPES) == 0
    one = log(tmp_path)[1] - before
    assert run(tmp_path / "runs", f"{counting}?dimensions=2,3,5,7,11", tasks=SHAPES) == 0
    assert log(tmp_path)[1] - before == 2 * one < 40


def test_at_the_whole_dimension_it_is_the_run_of_always(counting, tmp_path):
    assert run(tmp_path / "runs", counting, tasks=SHAPES) == 0
    before = files_of(tmp_path / "runs")
    assert run(tmp_path / "runs", f"{counting}?dimensions=16", tasks=SHAPES) == 0
    assert files_of(tmp_path / "runs") == before
    assert run(tmp_path / "runs", f"{counting}?dimensions=16,4", tasks=SHAPES) == 0
    assert {name: data for name, data in files_of(tmp_path / "runs").items() if name in before} == before


def test_all_are_those_that_the_model_lists(counting, tmp_path):
    assert run(tmp_path / "runs", f"{counting}?dimensions=all", tasks=SHAPES) == 0
    assert set(manifests(tmp_path / "runs")) == {"counting", "counting@4", "counting@8"}
    assert run(tmp_path / "random", "random?dimensions=all", tasks=SHAPES) == 0, "it lists none"
    assert set(manifests(tmp_path / "random")) == {"random"}


@pytest.mark.slow(4)
@pytest.mark.parametrize("at", [5, 8, 9])
def test_what_was_killed_goes_on_to_the_same_bytes(at, counting, tmp_path):
    args = ["run", "--model", f"{counting}?dimensions=4,8,16", "--tasks", f"{SHAPES},{COLOURS}", "--data", EXAMPLE]
    whole, cut_off = tmp_path / "whole", tmp_path / "cut-off"
    assert run(whole, f"{counting}?dimensions=4,8,16", tasks=f"{SHAPES},{COLOURS}") == 0
    environment = {"ITEM_LOG": str(tmp_path / "log"), "DIE_AT": str(at)}
    killed = evalkit(*args, "--out", cut_off, "--quiet", env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert 0 < len(files_of(cut_off)) < len(files_of(whole))
    assert run(cut_off, f"{counting}?dimensions=4,8,16", tasks=f"{SHAPES},{COLOURS}") == 0
    assert files_of(cut_off) == files_of(whole)


def test_a_dimension_that_leaves_nothing_of_an_item_fails_alone(counting, tmp_path):
    assert run(tmp_path / "runs", f"{counting}?zero=4&dimensions=4,5", tasks=SHAPES) == 4
    found = manifests(tmp_path / "runs")
    [good], [bad] = (found[name]["tasks"] for name in ("counting@5", "counting@4"))
    assert (good["status"], bad["status"], bad["metrics"]) == ("done", "failed", None)
    message = bad["error"]["message"]
    assert message.startswith("the first 4 of 16 components are 0 for query item '<image>")
    assert "with image Shapes/" in message
    assert (found["counting@5"]["status"], found["counting@4"]["status"]) == ("done", "failed")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            "17",
            "dimension 17 is greater than the 16 of counting: name some from 1 to 16; it is meant to be cut to 4, 8",
        ),
        ("4,1000", "dimension 1000 is greater than the 16"),
        ("0", "dimension '0' is no whole number from 1 on: write ?dimensions=64,256, or ?dimensions=all"),
        ("-4", "dimension '-4' is no whole number"),
        ("4,", "dimension '' is no whole number"),
        ("big", "dimension 'big' is no whole number"),
        ("4,all", "dimension 'all' is no whole number"),
        ("4.0", "dimension '4.0' is no whole number"),
        ("²", "dimension '²' is no whole number"),
        ("4,8,4", "dimension 4 is there twice: name each once"),
        ("4,04", "dimension 4 is there twice"),
    ],
)
def test_what_is_no_dimension_is_refused_before_anything_is_done(asked, says, counting, tmp_path, capsys):
    assert run(tmp_path / "runs", f"{counting}?dimensions={asked}") == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert log(tmp_path)[1] == 0


def test_a_model_that_lists_what_is_none_is_refused(tmp_path, capsys):
    for listed in ("(4, 32)", "[4, 8]", "(0, 16)", "(4, 4)", "(True, 16)", "('4',)"):
        line = f"    info = EmbedderInfo('mine', 16, dimensions={listed})\n    encode = None\n"
        (tmp_path / "mine.py").write_text(f"from evalkit.embedders.base import EmbedderInfo\nclass Mine:\n{line}")
        assert run(tmp_path / "runs", f"{tmp_path / 'mine.py'}:Mine") == 4
        assert "info.dimensions is" in capsys.readouterr().err


def test_names_have_the_dimensions_of_their_cards(monkeypatch):
    from evalkit.embedders.base import EmbedderInfo
    from evalkit.embedders.dimensions import chosen_dimensions
    from evalkit.embedders.modelcards import model_cards
    from evalkit.embedders.modeltext import parse_model

    card = model_cards()["qwen3-vl-embedding-2b"]
    spec = parse_model("qwen3-vl-embedding-2b?dimensions=all")
    assert (spec.dimensions, spec.card) == ("all", card)
    assert "dimensions" not in spec.options
    whole = card.dimensions[-1]
    assert chosen_dimensions("all", EmbedderInfo("m", whole), card.dimensions, "m") == card.dimensions
    own = EmbedderInfo("m", whole, dimensions=(32,))
    assert chosen_dimensions("all", own, card.dimensions, "m") == (32, whole), "the embedder's own go before"
    assert chosen_dimensions("all", EmbedderInfo("m", 96), card.dimensions, "m") == (64, 96), "of smaller weights"


@pytest.mark.parametrize("mode", ["none", "crop", "reclip"])
def test_it_is_what_an_embedder_of_so_many_dimensions_gives(mode, counting, tmp_path):
    """Of several views of an item each is cut before they are added."""
    short = "self.info = EmbedderInfo('short', 5, fingerprint='short')"
    lines = [
        "from counting import Counting",
        "from evalkit.embedders.base import EmbedderInfo",
        "import numpy as np",
        "class Short(Counting):",
        f"    def __init__(self):\n        super().__init__()\n        {short}",
        "    def encode(self, items, side):",
        "        whole = super().encode(items, side)[:, :5]",
        "        return whole / np.linalg.norm(whole, axis=1, keepdims=True)",
    ]
    (tmp_path / "short.py").write_text("\n".join(lines))
    more = ["--prompting", mode]
    assert run(tmp_path / "cut", f"{counting}?dimensions=5", tasks="example/ShapeRegions", more=more) == 0
    assert run(tmp_path / "short", f"{tmp_path / 'short.py'}:Short", tasks="example/ShapeRegions", more=more) == 0
    [cut], [own] = (ek.load_runs(tmp_path / name) for name in ("cut", "short"))
    cut_rows, own_rows = (one.samples("example/ShapeRegions") for one in (cut, own))
    assert list(cut_rows["rank"]) == list(own_rows["rank"])
    assert np.allclose(cut_rows["label_score"].to_numpy(float), own_rows["label_score"].to_numpy(float), atol=1e-6)


# --- from Python, and vectors alone ------------------------------------------------------------------------


def test_python_gives_a_run_of_each(counting, tmp_path):
    said: dict[str, Any] = {"data": EXAMPLE, "quiet": True}
    runs = ek.evaluate_dimensions(f"{counting}?dimensions=8,4", SHAPES, out=tmp_path / "runs", **said)
    assert [one.model for one in runs] == ["counting@8", "counting@4"]
    assert log(tmp_path)[0] == 1
    assert list(runs.to_pandas()["model"]) == ["counting@8", "counting@4"]
    every = ek.evaluate_dimensions(counting, SHAPES, **said)
    assert [one.model for one in every] == ["counting@4", "counting@8", "counting"]
    assert every[1].averages().equals(runs[0].averages())
    alone = ek.evaluate(f"{counting}?dimensions=4", SHAPES, **said)
    assert alone.manifest == runs[1].manifest
    with pytest.raises(ek.errors.UsageError, match=r"4, 8 dimensions, and here it is one: evalkit\.evaluate_dim"):
        ek.evaluate(f"{counting}?dimensions=4,8", SHAPES, **said)
    for wrong in ([17], [0], [4, 4], []):
        with pytest.raises(ek.errors.UsageError, match="dimension"):
            ek.evaluate_dimensions(counting, SHAPES, dimensions=wrong, **said)


def test_an_object_s_vectors_are_cut_as_well():
    from evalkit.embedders.baselines import Random

    runs = ek.evaluate_dimensions(Random(), SHAPES, data=EXAMPLE, dimensions=[8, 64], name="mine", quiet=True)
    text = ek.evaluate_dimensions("random?dimensions=8,64", SHAPES, data=EXAMPLE, quiet=True)
    assert [one.model for one in runs] == ["mine@8", "mine"]
    assert list(runs.to_pandas()["value"]) == list(text.to_pandas()["value"])


def test_runs_of_two_dimensions_are_compared_by_their_names(counting, tmp_path, capsys):
    out = tmp_path / "runs"
    assert run(out, f"{counting}?dimensions=4,16", tasks=SHAPES) == 0
    assert command("compare", out / "counting", out / "counting-4", "--json") == 0
    found = json.loads(capsys.readouterr().out[-100000:].partition("{")[2].join(["{", ""]))
    assert [found[side]["model"] for side in ("base", "new")] == ["counting", "counting@4"]
    assert not found["notes"]


def test_embed_gives_cut_vectors(tmp_path, capsys):
    lines = [{"id": f"q{side}", "side": side, "prompt": "red", "text": "red"} for side in ("query", "candidate")]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    args = ["--input", tmp_path / "items.jsonl", "--output", tmp_path / "v.npz", "--quiet"]
    assert command("embed", "--model", "random?seed=3", *args) == 0
    whole = np.load(tmp_path / "v.npz")["vectors"].astype(np.float64)
    assert command("embed", "--model", "random?seed=3&dimensions=10", *args) == 0
    assert "2 vectors of dimension 10 written" in capsys.readouterr().out
    cut = np.load(tmp_path / "v.npz")["vectors"]
    assert (cut.shape, cut.dtype) == ((2, 10), np.float32)
    expected = whole[:, :10] / np.sqrt((whole[:, :10] ** 2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(cut, expected, atol=1e-7)
    assert np.array_equal(ek.embed("random?seed=3&dimensions=10", ["red"], quiet=True)[0], cut[0])
    assert command("embed", "--model", "random?dimensions=10,20", *args) == 2
    with pytest.raises(ek.errors.UsageError, match="10, 20 dimensions"):
        ek.embed("random?dimensions=10,20", ["red"], quiet=True)


def test_check_is_of_whole_vectors(capsys):
    assert command("check", "random?dimensions=8") == 2
    assert "random is checked by its whole vectors: leave ?dimensions= out" in capsys.readouterr().err
    with pytest.raises(ek.errors.UsageError, match="whole vectors"):
        ek.check("random?dimensions=8")


def test_a_record_that_contradicts_its_dimension_is_not_believed(counting, tmp_path):
    assert run(tmp_path / "runs", f"{counting}?dimensions=4", tasks=SHAPES) == 0
    [file] = (tmp_path / "runs").glob("*/*/run.json")
    good = json.loads(file.read_text())
    for where, field, value in (("settings", "dimension", 8), ("model", "dimension", 8), ("model", "name", "counting"),
                                ("settings", "dimension", None)):  # fmt: skip
        edited = json.loads(json.dumps(good))
        edited[where][field] = value
        file.write_text(json.dumps(edited))
        with pytest.raises(ek.errors.ResultsError, match=r"dimension"):
            ek.load_run(file.parent)

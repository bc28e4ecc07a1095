"""evalkit compare, gate and baseline on the command line: runs of the example, exit codes, files, bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import EXAMPLE, command, run
from comparisons import copied, edited, with_scores

from evalkit.encoding.conditions import Conditions

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three models, and ``good``: one with nine of ten right; copy before changing a file."""
    out = tmp_path_factory.mktemp("gating")
    assert run(out / "runs", "random", "example-colours", "constant") == 0
    good = copied(out / "runs/random", out / "good")
    for task in ("Shapes", "ShapeColours", "ShapeSearch", "ShapeRegions"):
        n = pq.read_table(good / f"samples/example/{task}.parquet").num_rows
        edited(good, f"example/{task}", with_scores([float(place % 10 > 0) for place in range(n)]))
    return out


@pytest.fixture
def good(runs: Path, tmp_path: Path) -> Path:
    return copied(runs / "good", tmp_path / "good")


def shuffled(folder: Path) -> None:
    """Every task's labels in another order: right is what was right and has the same label all the same."""
    for file in sorted(folder.glob("samples/example/*.parquet")):
        labels = pq.read_table(file)["label"].to_pylist()
        order = np.random.default_rng(0).permutation(len(labels))
        scores = [float(labels[place] == labels[row]) for row, place in enumerate(order)]
        edited(folder, f"example/{file.stem}", with_scores(scores))


# --- exit codes ------------------------------------------------------------------------------------------


def test_a_run_against_itself_is_the_same_everywhere(runs, capsys):
    assert command("gate", runs / "good", runs / "good") == 0
    text = capsys.readouterr().out
    assert "5 same\ngate: passed\n" in text
    assert command("compare", runs / "good", runs / "good") == 0
    assert "gate:" not in capsys.readouterr().out


def test_shuffled_labels_regress(runs, good, capsys):
    shuffled(good)
    assert command("gate", runs / "good", good) == 1
    text = capsys.readouterr().out
    assert "5 regressed\n" in text
    assert text.endswith("gate: failed\n")
    assert command("compare", runs / "good", good) == 0


def test_other_data_is_not_comparable(runs, tmp_path, capsys):
    data = Path(shutil.copytree(EXAMPLE, tmp_path / "data"))
    [file] = data.glob("**/*Shapes/*.parquet")
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    assert run(tmp_path / "runs", "random", tasks="example/Shapes", data=data) == 0
    assert command("gate", runs / "runs/random", tmp_path / "runs", "--allow-missing") == 3
    text = capsys.readouterr().out
    assert "example/Shapes: incomparable: number of queries differs: 64 and 63; data differs: " in text
    assert "gate: not comparable" in text
    assert command("gate", runs / "runs/random", tmp_path / "runs", "--allow-missing", "--allow-incomparable") == 3
    assert "note: nothing was compared" in capsys.readouterr().out
    assert command("compare", tmp_path / "runs", runs / "runs/random") == 3


def test_no_common_task_exits_with_3(runs, tmp_path, capsys):
    assert run(tmp_path / "a", "random", tasks="example/Shapes") == 0
    assert run(tmp_path / "b", "random", tasks="example/ShapeSearch") == 0
    capsys.readouterr()
    for name in ("compare", "gate"):
        assert command(name, tmp_path / "a", tmp_path / "b") == 3
        assert (
            "have no task in common: the first has example/Shapes, the second example/ShapeSearch"
            in capsys.readouterr().err
        )


def test_prompting_has_to_be_the_same_unless_it_is_allowed(runs, capsys):
    pair = runs / "runs/random", runs / "runs/example-colours"
    assert command("gate", *pair) == 3
    assert "example/ShapeRegions: incomparable: prompting differs: text and native" in capsys.readouterr().out
    assert command("gate", *pair, "--allow", "prompting") == 0


def changed_manifest(folder, change):
    data = json.loads((folder / "run.json").read_text())
    change(data)
    (folder / "run.json").write_text(json.dumps(data))


def test_compare_exits_with_3_where_nothing_was_compared(runs, good, capsys):
    def other_data(data):
        data["tasks"], data["averages"] = data["tasks"][:1], []
        data["tasks"][0] |= {"signature": data["tasks"][0]["signature"].replace("|data:", "|data:f"), "samples": None}

    changed_manifest(good, other_data)  # one is incomparable, three are missing
    assert command("compare", runs / "good", good) == 3
    assert "1 incomparable" in capsys.readouterr().out


def test_floors_of_another_suite_do_not_stop_a_comparison(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[[tool.evalkit.gate.limit]]\nscope = "mmeb"\nmin = 0.6\n')
    assert command("compare", runs / "good", runs / "good") == 0
    assert "note: limit.0.scope: mmeb is not among what was compared here" in capsys.readouterr().out


def test_explain_refuses_what_cannot_be_compared(runs, capsys):
    pair = runs / "runs/random", runs / "runs/example-colours"
    assert command("compare", *pair, "--explain", "example/ShapeRegions") == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "it cannot be compared: prompting differs: text and native" in captured.err
    assert command("compare", *pair, "--explain", "example/ShapeRegions", "--allow", "prompting") == 0


def made_under(data, **changes):
    """Let all vectors of a run have been made under other conditions."""
    ((digest, found),) = data["conditions"].items()
    other = Conditions(**found | changes)
    data["conditions"] = {other.digest: dataclasses.asdict(other)}
    for task in data["tasks"]:
        task["made"] = {other.digest: task["made"][digest]}


def test_settings_that_differ_are_said(runs, good, capsys):
    def other(data):
        data["model"]["options"] = {"dtype": "float16"}
        data["settings"] |= {"vectors": "float16", "prompting": "crop"}
        made_under(data, system="Darwin arm64")
        data["status"] = "running"

    changed_manifest(good, other)
    assert command("compare", runs / "good", good) == 0
    text = capsys.readouterr().out
    for name, value in (
        ("options", "dtype=float16"),
        ("vectors", "float16"),
        ("prompting", "crop"),
        ("system", "Darwin arm64"),
        ("status", "running"),
    ):
        assert re.search(rf"^differs: {name}: .* and {value}$", text, re.MULTILINE), name


EVIL = "::error title=x::pwned\n::warning::y\n ##[error]z"


def test_names_of_strangers_give_no_commands(runs, good, tmp_path, capsys):
    """GitHub does what a line of a step's output says, whoever wrote it."""

    def named(data):
        data["model"]["name"] = EVIL
        data["environment"]["packages"] = {EVIL: EVIL}
        made_under(data, packages={EVIL: EVIL})
        data["tasks"][0] |= {"task": EVIL, "samples": None}

    changed_manifest(good, named)
    assert command("baseline", "accept", good, "--reason", EVIL, "--force", "--out", tmp_path / "b") == 0
    for args in (
        ["compare", runs / "good", good],
        ["gate", runs / "good", good],
        ["gate", good, runs / "good"],
        ["baseline", "show", tmp_path / "b"],
        ["baseline", "history", tmp_path / "b"],
        ["compare", good, runs / "good", "--explain", EVIL],
    ):
        command(*args)
    captured = capsys.readouterr()
    assert "pwned" in captured.out
    assert "pwned" in captured.err
    for line in (captured.out + captured.err).splitlines():
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line


def test_an_error_that_nobody_expected_gives_no_commands(tmp_path, capsys):
    (tmp_path / "odd.py").write_text(
        f"""
from evalkit.embedders.colours import Colours

class Odd(RuntimeError):
    def __str__(self):
        raise ValueError({EVIL!r})

class Model(Colours):
    def encode(self, items, side):
        raise Odd
"""
    )
    (tmp_path / "items.jsonl").write_text('{"id": "a", "prompt": "a"}')
    files = ("--input", tmp_path / "items.jsonl", "--output", tmp_path / "v.npz", "--quiet")
    assert command("embed", "--model", f"{tmp_path / 'odd.py'}:Model", *files) == 4
    text = capsys.readouterr().err
    assert text.startswith("Traceback ")
    assert "\nValueError: " in text
    for line in text.splitlines():
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line


def test_a_gate_without_an_answer_says_so_to_ci_and_leaves_no_old_files(runs, tmp_path, capsys):
    old = tmp_path / "gate.json"
    for base, code in ((tmp_path / "nowhere", 2), (tmp_path / "other", 3)):
        if code == 3:
            (tmp_path / "data" / "GQA").mkdir(parents=True)
            (tmp_path / "data" / "GQA" / "test-0.parquet").write_bytes(b"words")
            assert run(base, "random", tasks="miniature/GQA", data=tmp_path / "data") == 4
        old.write_text('{"schema": "evalkit.gate"}')
        capsys.readouterr()
        assert command("gate", base, runs / "good", "--json", old, "--github") == code
        captured = capsys.readouterr()
        assert captured.out.startswith("::error title=evalkit gate::")
        assert captured.out.count("\n") == 1
        assert not old.exists()


def test_what_is_not_a_gates_own_is_neither_removed_nor_written_over(runs, tmp_path, capsys):
    (tmp_path / "notes.md").write_text("mine")
    assert command("gate", tmp_path / "nowhere", runs / "good", "--markdown", tmp_path / "notes.md") == 2
    assert (tmp_path / "notes.md").read_text() == "mine"
    scores = {"schema": "evalkit.scores", "schema_version": 1, "model": "m", "scores": {"example/Shapes": 0.5}}
    (tmp_path / "base.json").write_text(json.dumps(scores))
    for base in (tmp_path / "base.json", tmp_path / "nowhere"):
        assert command("gate", base, runs / "good", "--json", base) == 2
        assert "is what the gate reads" in capsys.readouterr().err
    assert json.loads((tmp_path / "base.json").read_text()) == scores


def test_explaining_other_queries_is_no_comparison(runs, good, capsys):
    """The same signature, and other ids on one side."""
    edited(
        good,
        "example/Shapes",
        lambda table: table.set_column(
            table.column_names.index("id"), "id", pa.array([f"x{place}" for place in range(table.num_rows)])
        ),
    )
    assert command("compare", runs / "good", good, "--explain", "example/Shapes") == 3
    assert "queries are on one side alone" in capsys.readouterr().err


def test_a_model_that_collapses_fails(runs, capsys):
    assert command("gate", runs / "runs/example-colours", runs / "runs/constant") == 1
    assert "new_failure: it cannot tell any two candidates apart" in capsys.readouterr().out


def test_an_interrupt_exits_with_130(runs, tmp_path):
    fifo = tmp_path / "gate.toml"
    os.mkfifo(fifo)  # to read it waits for its end, as on a slow disk
    script = "from evalkit.cli import main; main()"
    args = [sys.executable, "-c", script, "gate", str(runs / "good"), str(runs / "good"), "--config", str(fifo)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        writer = os.open(fifo, os.O_WRONLY)  # returns once the command has opened it to read
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == "interrupted"
        os.close(writer)
    assert process.returncode == 130


# --- bad input -------------------------------------------------------------------------------------------

SHAPES = "samples/example/Shapes.parquet"


def changed_samples(change: Callable[[pa.Table], pa.Table]) -> Change:
    def apply(folder: Path) -> None:
        pq.write_table(change(pq.read_table(folder / SHAPES)), folder / SHAPES)

    return apply


def column(name: str, values: Callable[[list[object]], list[object]]) -> Change:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        found = values(table[name].to_pylist())
        return table.set_column(place, table.field(name), pa.array(found, table.field(name).type))

    return changed_samples(change)


def manifest(old: str, new: str) -> Change:
    def apply(folder: Path) -> None:
        text = (folder / "run.json").read_text()
        assert old in text
        (folder / "run.json").write_text(text.replace(old, new, 1))

    return apply


def task_twice(folder: Path) -> None:
    data = json.loads((folder / "run.json").read_text())
    data["tasks"].append(data["tasks"][0])
    (folder / "run.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda f: (f / "run.json").write_text('{"schema": "ev'), "run.json is not a run", id="truncated"),
        pytest.param(lambda f: (f / "run.json").write_text('{"a": 1}'), "run.json is not a run", id="foreign"),
        pytest.param(lambda f: (f / "run.json").write_bytes(b"\xff\x00"), "run.json is not a run", id="binary"),
        pytest.param(manifest('"schema_version": 1', '"schema_version": 2'), "a newer evalkit: update", id="newer"),
        pytest.param(manifest('"schema_version": 1', '"schema_version": 0'), "cannot migrate to 1", id="older"),
        pytest.param(manifest('"value": 0', '"value": NaN, "x": 0'), "run.json", id="NaN in the manifest"),
        pytest.param(manifest(f'"{SHAPES}"', '"../../x.parquet"'), "lie outside the run", id="path"),
        pytest.param(lambda f: (f / SHAPES).write_bytes((f / SHAPES).read_bytes()[:-9]), SHAPES, id="half a parquet"),
        pytest.param(lambda f: (f / SHAPES).write_text("no"), SHAPES, id="no parquet"),
        pytest.param(changed_samples(lambda t: t.select(["label"])), "no column id and score", id="foreign parquet"),
        pytest.param(changed_samples(lambda t: t.slice(0, 0)), "it has no rows", id="zero queries"),
        pytest.param(changed_samples(lambda t: t.slice(0, 9)), "n_queries is 64, and by ", id="too few"),
        pytest.param(column("id", lambda ids: [ids[1], *ids[1:]]), "twice", id="duplicate ids"),
        pytest.param(column("score", lambda s: [float("nan"), *s[1:]]), "is nan, not in [0, 1]", id="NaN score"),
        pytest.param(column("score", lambda s: [2.0, *s[1:]]), "is 2.0, not in [0, 1]", id="score out of range"),
        pytest.param(column("score", lambda s: [0.5, *s[1:]]), "is 0.5, by its rank, ties and", id="another mean"),
        pytest.param(
            changed_samples(lambda t: t.replace_schema_metadata({"evalkit.signature": "task:x"})),
            "belongs to another number", id="another run's samples",
        ),
        pytest.param(
            changed_samples(lambda t: t.append_column("id", t["id"])), "it has column id twice", id="column twice"
        ),
        pytest.param(
            changed_samples(lambda t: t.set_column(0, "image", pa.array([["x"]] * t.num_rows))), SHAPES, id="images"
        ),
        pytest.param(lambda f: ((f / SHAPES).unlink(), (f / SHAPES).symlink_to("gone")), SHAPES, id="link to nowhere"),
        pytest.param(task_twice, "tasks: 'example/Shapes' is there twice", id="a task twice"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["base", "new"])
def test_a_broken_file_exits_with_2_and_names_itself(side, change, says, good, runs, capsys):
    change(good)
    pair = (good, runs / "good") if side == "base" else (runs / "good", good)
    assert command("gate", *pair) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert str(good) in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["gate", "nowhere", "nowhere"], "nowhere does not exist"),
        (["gate", "."], "NEW"),
        (["gate", ".", "."], "holds no run"),
        (["gate", ".", ".", "--alpha", "x"], "--alpha"),
        (["gate", ".", ".", "--alpha", "0.7"], "alpha: "),
        (["gate", ".", ".", "--fail-on", "all"], "--fail-on"),
        (["gate", ".", ".", "--config", "none.toml"], "none.toml cannot be read"),
        (["baseline", "accept", "."], "--reason"),
        (["baseline", "accept", ".", "--reason", "r"], "holds no run"),
        (["baseline", "show", "."], "holds no baseline"),
        (["baseline", "history", "nowhere"], "holds no baseline"),
        (["gate", ".", ".", "--alpha", "2"], "evalkit: --alpha: "),
        (["gate", "a" * 300, "."], "cannot be read: File name too long"),
        (["compare", "a" * 300, "."], "cannot be read: File name too long"),
        (["baseline", "accept", "a" * 300, "--reason", "r"], "cannot be read: File name too long"),
        (["baseline", "show", "a" * 300], "holds no baseline"),
    ],
)
def test_bad_usage(args, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(*args) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names_that_no_folder_can_have(good, tmp_path, capsys):
    assert command("baseline", "accept", good, "--reason", "r", "--out", tmp_path / ("a" * 300)) == 2
    assert "cannot be read: File name too long" in capsys.readouterr().err
    assert command("gate", good, good, "--json", tmp_path / ("a" * 300)) == 4
    assert "cannot be written: File name too long" in capsys.readouterr().err
    os.mkfifo(tmp_path / "fifo")
    assert command("gate", good, tmp_path / "fifo") == 2
    assert "fifo is neither a folder nor a file" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search every folder")
def test_a_folder_that_may_not_be_searched(good, tmp_path, capsys):
    (tmp_path / "closed").mkdir(mode=0)
    assert command("gate", tmp_path / "closed/run", good) == 2
    assert "cannot be read: Permission denied" in capsys.readouterr().err


def test_an_alpha_that_takes_too_many_permutations_names_flag_or_file(runs, tmp_path, capsys):
    pair = runs / "good", runs / "good"
    assert command("gate", *pair, "--alpha", "0.00001") == 2
    assert "evalkit: --alpha: 1e-05 is too small for " in capsys.readouterr().err
    (tmp_path / "gate.toml").write_text("alpha = 0.00001")
    for name in ("gate", "compare"):
        assert command(name, *pair, "--config", tmp_path / "gate.toml") == 2
        assert "gate.toml: alpha: 1e-05 is too small for " in capsys.readouterr().err


def test_several_runs_are_listed(runs, capsys):
    assert command("compare", runs / "runs", runs / "good") == 2
    assert "holds 3 runs: name one of " in capsys.readouterr().err


def test_one_query(tmp_path):
    for name in ("a", "b"):
        assert run(tmp_path / name, "random", tasks="example/Shapes", more=["--limit", "1"]) == 0
    assert command("gate", tmp_path / "a", tmp_path / "b") == 3  # partial
    assert command("gate", tmp_path / "a", tmp_path / "b", "--allow", "partial") == 0


# --- outputs ---------------------------------------------------------------------------------------------


def test_all_forms_at_once(runs, good, tmp_path, monkeypatch, capsys):
    shuffled(good)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = [tmp_path / name for name in ("gate.xml", "gate.json", "gate.md", "metrics.txt")]
    options = [
        part for pair in zip(("--junit", "--json", "--markdown", "--gitlab"), files, strict=True) for part in pair
    ]
    assert command("gate", runs / "good", good, *options, "--github") == 1
    text = capsys.readouterr().out
    assert text.count("::error title=") == 5
    assert ElementTree.parse(files[0]).getroot().attrib["failures"] == "5"
    assert json.loads(files[1].read_text())["exit_code"] == 1
    assert files[2].read_text() == summary.read_text()
    assert files[3].read_text().endswith("evalkit_gate_failures 5\n# EOF\n")
    assert command("compare", runs / "good", good, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(files[1].read_text())


def test_explain_lists_the_flipped_queries(runs, good, tmp_path, capsys):
    shuffled(good)
    assert command("compare", runs / "good", good, "--explain", "example/Shapes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    before, after = (pq.read_table(folder / SHAPES).to_pylist() for folder in (runs / "good", good))
    flipped = {one["id"]: one for one, other in zip(before, after, strict=True) if one["score"] != other["score"]}
    assert {flip["id"] for flip in found} == set(flipped)
    for flip in found:
        row = flipped[flip["id"]]
        assert (flip["image"], flip["text"], flip["label"]) == (row["image"], row["text"], row["label"])
        assert flip["base_choice"] == row["top"][0]
    assert found == sorted(found, key=lambda flip: flip["new_score"] - flip["base_score"])
    assert command("compare", runs / "good", good, "--explain", "example/Shapes", "--limit", "1") == 0
    text = capsys.readouterr().out
    assert f"and {len(found) - 1} more: --limit {len(found)} shows them" in text
    assert found[0]["image"] in text
    assert command("baseline", "accept", runs / "good", "--reason", "r", "--out", tmp_path / "b") == 0
    capsys.readouterr()
    assert command("compare", tmp_path / "b", good, "--explain", "example/Shapes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == found
    assert command("compare", runs / "good", good, "--explain", "example/Shape") == 2
    assert "it has those of example/Shapes, " in capsys.readouterr().err


def test_a_baseline_is_accepted_shown_and_held_to(runs, good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command("baseline", "accept", runs / "runs/random", "--reason", "first") == 0
    assert "written to baselines/random: 4 tasks of random, " in capsys.readouterr().out
    assert command("gate", "baselines/random", runs / "runs/random") == 0
    capsys.readouterr()
    assert command("baseline", "show", "baselines/random") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("random (P@1 in percent)\n")
    assert shown.rstrip().endswith(": first")
    assert command("baseline", "show", "baselines/random", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"]["name"] == "random"
    assert command("baseline", "accept", runs / "runs/random", "--reason", "second") == 0
    capsys.readouterr()
    assert command("baseline", "history", "baselines/random") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["second", "first"]
    assert command("baseline", "history", "baselines/random", "--json") == 0
    assert [entry["reason"] for entry in json.loads(capsys.readouterr().out)] == ["first", "second"]


def test_a_baseline_is_called_by_its_model_wherever_the_run_lies(good, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changed_manifest(good, lambda data: data["model"].update(name="my/model 2"))
    assert command("baseline", "accept", good, "--reason", "r") == 0
    assert "written to baselines/my-model-2: " in capsys.readouterr().out


def test_scores_without_samples_are_judged_by_size_and_it_is_said(runs, good, tmp_path, capsys):
    file = tmp_path / "paper.json"
    facts = {"schema": "evalkit.scores", "schema_version": 1, "model": "paper", "scores": {"example/Shapes": 0.89}}
    file.write_text(json.dumps(facts))
    assert command("gate", file, good) == 0
    assert "note: threshold mode: there are no samples" in capsys.readouterr().out
    shutil.rmtree(good / "samples")
    assert command("gate", runs / "good", good) == 0
    assert "example/Shapes: no samples in " in capsys.readouterr().out
    file.write_text(json.dumps(facts | {"scores": {"example/Shapes": 0.95}}))
    assert command("gate", file, good) == 1


def test_configuration_of_the_working_directory_and_flags_over_it(runs, good, tmp_path, monkeypatch, capsys):
    shuffled(good)
    monkeypatch.chdir(tmp_path)
    pair = runs / "good", good
    (tmp_path / "pyproject.toml").write_text("[tool.evalkit.gate]\nmin_effect = 0.99\nfail_on = ['suite']\n")
    assert command("gate", *pair) == 0
    assert command("gate", *pair, "--min-effect", "0.1") == 1
    assert command("gate", *pair, "--fail-on", "task") == 1
    (tmp_path / "pyproject.toml").write_text("[tool.evalkit.gate]\nmin_efect = 0.99\n")
    capsys.readouterr()
    assert command("gate", *pair) == 2
    assert "pyproject.toml: there is no key min_efect; near: min_effect" in capsys.readouterr().err

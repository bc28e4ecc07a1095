"""Downloads of a board: the same numbers as on it, in files that other programs can read and that compute nothing."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from typing import get_type_hints

import jsonschema
import pytest
from board_runs import EXAMPLE, coins, save
from pydantic import TypeAdapter
from synthetic_boards import HOSTILE, board

from evalkit.leaderboard.board import Entry, Group, Improvement, Pairing
from evalkit.leaderboard.downloads import exports
from evalkit.leaderboard.downloads.exports import schema
from evalkit.leaderboard.downloads.latex import escaped, latex
from evalkit.leaderboard.downloads.tabular import tables
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.published import reported as published

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\uff1d1", "plain"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Measured entries, one that lacks a task, one that knows nothing."""
    root = tmp_path_factory.mktemp("runs")
    scores = [{task: coins(task, 0.4 + 0.05 * i, i, ties=i == 0) for task in EXAMPLE} for i in range(3)]
    scores[2][EXAMPLE[0]] = [1.0] * 5
    runs = [save(root, f"m{i}", own, digit=str(i)) for i, own in enumerate(scores)]
    runs.append(save(root, "random", scores[0], family="random", digit="9"))
    (found,) = boards(runs)
    return found


@pytest.fixture(scope="module")
def papers():
    (found,) = boards([], published.read())
    return found


def called(of, names):
    """The board with other names, its entries in the same places."""
    changed = [dataclasses.replace(e, label=n, model=n) for e, n in zip(of.entries, names, strict=False)]
    return dataclasses.replace(of, entries=(*changed, *of.entries[len(changed) :]))


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_files_are_those_of_the_board(made):
    found = exports.files(made)
    assert list(found) == [f"example/leaderboard.{kind}" for kind in ("csv", "json", "schema.json", "tex", "md")]
    assert all(make() == make() for make in found.values())
    assert found["example/leaderboard.md"]().startswith(b"# Leaderboard\n\n## Example\n")


# --- CSV ------------------------------------------------------------------------------------------------


def test_csv_has_every_number_unrounded(made, papers):
    for of in (made, papers):
        rows = rows_of(exports.leaderboard_csv(of))
        assert [row["slug"] for row in rows] == [entry.slug for entry in of.entries]
        for row, entry in zip(rows, of.entries, strict=True):
            for group in of.groups:
                mean = entry.means[group.key]
                wanted = {"": mean.value, "_low": mean.low, "_high": mean.high}
                for ending, value in wanted.items():
                    assert row[group.key + ending] == ("" if value is None else repr(value))
                assert int(row[f"{group.key}_tasks"]) == mean.n_done
                assert row[f"{group.key}_reported"] == str(int(mean.reported))
            for key, rank in entry.ranks.items():
                assert row[f"{key}_rank_best"] == (str(rank.best) if rank else "")
                assert row[f"{key}_rank_worst"] == (str(rank.worst) if rank else "")
            for card in of.cards:
                score = entry.scores.get(card.name)
                assert row[card.name] == (repr(score.value) if score and score.complete else "")
            assert row["run_id"] == (entry.run[1].run_id if entry.run else "")
            assert row["knows_nothing"] == str(int(entry.knows_nothing))
    incomplete = {row["label"]: row["incomplete_tasks"] for row in rows_of(exports.leaderboard_csv(made))}
    assert incomplete == {"m0": "", "m1": "", "m2": EXAMPLE[0], "random": ""}


def test_every_column_has_a_name_of_its_own_and_a_meaning(made, papers):
    for of in (made, papers):
        header = next(csv.reader(io.StringIO(exports.leaderboard_csv(of).decode())))
        assert header == list(exports.meanings(of))
        assert len(set(header)) == len(header)
        assert all(exports.meanings(of).values())


def test_csv_computes_nothing(made):
    rows = rows_of(exports.leaderboard_csv(called(made, FORMULAS)))
    for row, name in zip(rows, FORMULAS, strict=False):
        assert row["label"] == f"'{name}"
    (plain,) = rows_of(exports.leaderboard_csv(called(dataclasses.replace(made, entries=made.entries[:1]), ["plain"])))
    assert plain["label"] == "plain"
    for row in rows:
        assert not any(re.match(r"\s*[=+\-@\uff1d]", value) for value in row.values())


@pytest.mark.parametrize("name", ['a"b', "a,b", "a;b", HOSTILE, "שלום", "👩\u200d🔬"])
def test_csv_keeps_names_whole(made, name):
    assert rows_of(exports.leaderboard_csv(called(made, [name])))[0]["label"] == name


# --- JSON -----------------------------------------------------------------------------------------------


@pytest.mark.slow(0.5)
def test_json_is_of_its_schema_and_says_all_that_the_board_does(made, papers):
    checker = jsonschema.Draft202012Validator(schema())
    jsonschema.Draft202012Validator.check_schema(schema())
    for of in (made, papers, board(12, 6)):
        data = json.loads(exports.leaderboard_json(of))
        checker.validate(data)
        assert (data["schema"], data["schema_version"], data["board"]) == ("evalkit.leaderboard", 1, of.key)
        assert data["footnotes"] == list(of.footnotes)
        assert [task["name"] for task in data["tasks"]] == [card.name for card in of.cards]
        assert {group["key"]: group["chance"] for group in data["groups"]} == {g.key: g.chance for g in of.groups}
        for entry, own in zip(of.entries, data["entries"], strict=True):
            assert own["facts"]["dimension"] == entry.facts.dimension
            assert {k: v["value"] for k, v in own["scores"].items()} == {k: v.value for k, v in entry.scores.items()}
            for key, mean in entry.means.items():
                kept = own["means"][key]
                assert [kept["value"], kept["low"], kept["high"]] == [mean.value, mean.low, mean.high]
                assert kept["footnotes"] == list(mean.notes)
            assert own["ranks"] == {k: r and {"best": r.best, "worst": r.worst} for k, r in entry.ranks.items()}
            assert [source["title"] for source in own["sources"]] == [source.title for source in entry.sources]
            assert (own["run"] is None) == (entry.run is None)
            assert [(o["source"]["title"], o["of"], o["value"]) for o in own["other_records"]] == [
                (other.source.title, other.of, other.value) for other in entry.other_records
            ]
        assert [(pair["base"], pair["new"]) for pair in data["comparisons"]] == [
            (c.base, c.new) for c in of.comparisons
        ]
        for pair, comparison in zip(data["comparisons"], of.comparisons, strict=True):
            assert [d["p_value"] for d in pair["tasks"]] == [d.p_value for d in comparison.tasks]
            assert pair["incomparable"] == comparison.incomparable
        assert len(data["improvements"]) == len(of.improvements)


def test_what_the_json_has_reads_back_as_what_is_on_the_board(made, papers):
    """All but a run, of which five lines are written, and the cards."""
    kinds = get_type_hints(Entry, include_extras=True)
    for of in (made, papers, board(12, 6)):
        data = json.loads(exports.leaderboard_json(of))
        assert data.keys() == schema()["properties"].keys()
        for name, kind in (("groups", Group), ("comparisons", Pairing), ("improvements", Improvement)):
            assert TypeAdapter(tuple[kind, ...]).validate_python(data[name]) == getattr(of, name)
        for entry, own in zip(of.entries, data["entries"], strict=True):
            assert own.keys() == kinds.keys()
            scores = {task: dataclasses.replace(score, result=None) for task, score in entry.scores.items()}
            for name in kinds.keys() - {"run"}:
                wanted = scores if name == "scores" else getattr(entry, name)
                assert TypeAdapter(kinds[name]).validate_python(own[name]) == wanted, name


def test_the_schema_lies_beside_the_json(made):
    files = {name: make() for name, make in exports.files(made).items()}
    beside = json.loads(files["example/leaderboard.schema.json"])
    assert beside == schema()
    jsonschema.Draft202012Validator(beside).validate(json.loads(files["example/leaderboard.json"]))


def test_json_has_ties_and_signatures_of_measured_scores_and_no_paths(made):
    content = exports.leaderboard_json(made)
    first = next(entry for entry in json.loads(content)["entries"] if entry["label"] == "m0")
    score = first["scores"][EXAMPLE[0]]
    assert score["n_ties"] > 0
    assert score["optimistic"] > score["value"]
    assert score["signature"].startswith(f"task:{EXAMPLE[0]}@1|")
    assert first["run"]["run_id"] == "0" * 12
    assert str(made.entries[0].run[0].parent).encode() not in content
    assert b"/tmp" not in content


def test_the_schema_says_what_every_field_is():
    whole = schema()
    for name, model in {"": whole, **whole["$defs"]}.items():
        assert model["additionalProperties"] is False, name
        assert model.get("description"), name


# --- LaTeX ----------------------------------------------------------------------------------------------


def test_latex_has_the_same_cells_as_the_tables(made, papers):
    for of in (made, papers):
        text = latex(of)
        blocks = re.findall(
            r"\\begin\{tabular\}\{([lr]+)\}\n\\toprule\n(.*?)\\bottomrule\n\\end\{tabular\}", text, re.S
        )
        assert len(blocks) == len(tables(of))
        for (shape, body), table in zip(blocks, tables(of), strict=True):
            lines = [line for line in body.splitlines() if not line.startswith("\\midrule")]
            assert len(lines) == len(table.rows) + 1
            for line in lines:
                assert line.endswith(r" \\")
                assert len(re.findall(r"(?<!\\)&", line)) == len(shape) - 1 == len(table.columns) - 1


def test_latex_bolds_the_best_of_a_column_and_not_the_baselines(made):
    text = latex(made)
    best = max(entry.means["interactive"].value for entry in made.entries if not entry.knows_nothing)
    assert rf"\textbf{{{100 * best:.1f} (" in text
    foot = text.split("\\midrule\nrandom &")[1].split("\\bottomrule")[0]
    assert "\\textbf" not in foot
    assert "Chance &" in foot


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a&b%c$d#e_f{g}", r"a\&b\%c\$d\#e\_f\{g\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("[2ex]*", "{[}2ex{]}{*}"),
        ("two\n\nlines", "two lines"),
        ('<b>|"`', r"\textless{}b\textgreater{}\textbar{}\textquotedbl{}\textasciigrave{}"),
        ("שלום 🦔", "שלום 🦔"),
    ],
)
def test_no_character_of_a_name_is_a_command(made, name, wanted):
    assert escaped(name) == wanted
    assert wanted in latex(called(made, [name]))

"""Two models on unequal data, through the command line: never ranked, paired or marked together, and the site says why.

One model is run on the data as it is shipped, another one, which answers alike, on data that was changed or by other
settings. What is looked at is the whole site: pages, Markdown, CSV, JSON, badges and feed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageOps
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from board_runs import EXAMPLE
from builders import EXAMPLE as DATA
from builders import command, run

pytestmark = pytest.mark.slow(1)

OTHER = '''
from dataclasses import replace

from evalkit.embedders.colours import Colours


class Other(Colours):
    """The same vectors under another name."""

    def __init__(self):
        super().__init__()
        self.info = replace(self.info, name="other")
'''


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a model and of two that know nothing on the data as it is."""
    runs = tmp_path_factory.mktemp("shipped")
    assert run(runs, "example-colours", "random", "constant") == 0
    return runs


@pytest.fixture
def third(tmp_path: Path) -> str:
    (tmp_path / "third.py").write_text(OTHER.replace('"other"', '"third"'))
    return f"{tmp_path / 'third.py'}:Other"


@pytest.fixture
def other(tmp_path: Path) -> str:
    (tmp_path / "other.py").write_text(OTHER)
    return f"{tmp_path / 'other.py'}:Other"


def rows_of(folder: Path, task: str) -> Path:
    (file,) = folder.glob(f"{task}/test-*.parquet")
    return file


def change_images(data: Path) -> None:
    for file in data.rglob("*.png"):
        with PIL.Image.open(file) as image:
            size = image.size
            small = PIL.ImageOps.mirror(image.convert("RGB")).resize((8, 8)).resize(size)
        small.save(file)


def a_candidate_less(names: list[str]) -> list[str]:
    return [*names[:1], *names[2:]]


def drop_candidates(data: Path) -> None:
    for name in ("tgt_text", "tgt_img_path"):
        file = rows_of(data, "ShapeSearch")
        table = pq.read_table(file)
        column = pa.array([a_candidate_less(own) for own in table[name].to_pylist()], table.schema.field(name).type)
        pq.write_table(table.set_column(table.column_names.index(name), name, column), file)


def change_words(data: Path) -> None:
    """The instruction to the queries, which is no part of the data's digest nor of the pools'."""
    file = rows_of(data, "ShapeSearch")
    table = pq.read_table(file)
    column = pa.array([f"{text} Now:" for text in table["qry_inst"].to_pylist()], table.schema.field("qry_inst").type)
    pq.write_table(table.set_column(table.column_names.index("qry_inst"), "qry_inst", column), file)


def edit_candidates(data: Path) -> None:
    """One wrong candidate of each query gets another text."""
    file = rows_of(data, "Shapes")
    table = pq.read_table(file)
    texts = [[*own[:-1], "a grey hexagon"] for own in table["tgt_text"].to_pylist()]
    column = pa.array(texts, table.schema.field("tgt_text").type)
    pq.write_table(table.set_column(table.column_names.index("tgt_text"), "tgt_text", column), file)


CHANGES: dict[str, tuple[Callable[[Path], None] | None, tuple[str, ...], str, set[str]]] = {
    "images": (change_images, (), "data differs", set(EXAMPLE)),
    "pool": (drop_candidates, (), "pools differ", {"example/ShapeSearch"}),
    "candidates": (edit_candidates, (), "pools differ", {"example/Shapes"}),
    "words": (change_words, (), "prompts differ", {"example/ShapeSearch"}),
    "dedup": (None, ("--official-dedup",), "how candidates are merged differs", set(EXAMPLE)),
    "exif": (None, ("--exif", "ignore"), "orientation of images differs", set(EXAMPLE)),
}


def reported(tmp_path: Path, *runs: Path) -> Path:
    site = tmp_path / "site"
    told = command("report", *runs, "--no-published", "--out", site, "--markdown", tmp_path / "L.md", "--quiet")
    assert told == 0
    return site


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", " ", page.read_text())


def row_of(page: Path, label: str) -> str:
    """The row of a table whose first cells name an entry."""
    (found,) = [row for row in re.findall(r"<tr.*?</tr>", page.read_text(), re.S) if f"<bdi>{label}</bdi>" in row]
    return found


@pytest.mark.slow(1)
@pytest.mark.parametrize("change", CHANGES)
def test_runs_on_unequal_data_are_neither_ranked_nor_paired_and_the_site_says_why(
    change: str, shipped: Path, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, options, why, changed = CHANGES[change]
    data = DATA
    if edit is not None:
        data = tmp_path / "data"
        shutil.copytree(DATA, data)
        edit(data)
    assert run(tmp_path / "runs", other, data=data, more=options) == 0
    capsys.readouterr()
    site = reported(tmp_path, shipped, tmp_path / "runs")
    assert re.search(r"other on Example: On other data than the ranked entries.*" + why, capsys.readouterr().err)
    document = json.loads((site / "example/leaderboard.json").read_text())
    entries = {entry["label"]: entry for entry in document["entries"]}
    ours, theirs = entries["example-colours"], entries["other"]
    assert list(entries).index("example-colours") < list(entries).index("other")
    for group in document["groups"]:
        apart = bool(changed & set(group["tasks"]))
        mean = theirs["means"][group["key"]]
        assert mean["value"] is not None
        assert (mean["apart"] is not None) == apart
        assert ours["means"][group["key"]]["apart"] is None
        if group["key"] in ("general", "interactive"):
            assert ours["ranks"][group["key"]] == {"best": 1, "worst": 1}
            assert theirs["ranks"][group["key"]] == (None if apart else {"best": 1, "worst": 1})
    # What differs is said with both sides' values.
    for task in EXAMPLE:
        one, another = ours["scores"][task], theirs["scores"][task]
        assert (one["data"] != another["data"]) == (task in changed)
        assert one["apart"] is None
        if task not in changed:
            assert another["apart"] is None
            continue
        assert another["apart"]["kind"] == "other data"
        assert re.search(rf"{why}s?: \S+ and \S+", another["apart"]["why"])
        assert not one["tied_with_best"]
        assert not another["tied_with_best"]
        page = site / f"example/task-{task.partition('/')[2]}.html"
        assert "other data" in row_of(page, "other")
        assert "not told apart" not in row_of(page, "other")
        assert re.search(rf"on other data than the ranked entries: .*{why}", text_of(page))
        assert re.search(rf"other data: .*{why}", text_of(site / "example/model-other.html"))
        assert "Flipped against" not in (site / f"example/samples-{task.partition('/')[2]}-other.html").read_text()
    # A pair has a page for what was asked alike, and for nothing else.
    (pair,) = document["comparisons"]
    assert {one["where"] for one in pair["tasks"]} == set(EXAMPLE) - changed
    assert set(pair["incomparable"]) == changed
    assert all(why in reason for reason in pair["incomparable"].values())
    if edit is None:  # the new one's value is named first, as the pair is
        assert all("official and" in said or "ignore and" in said for said in pair["incomparable"].values()) == (
            pair["new"] == "other"
        )
    assert not any(changed & set(group["tasks"]) for group in document["groups"] if group["key"] in _wheres(pair))
    pages = list((site / "example").glob("compare-*-and-*.html"))
    assert len(pages) == bool(set(EXAMPLE) - changed)
    assert why in text_of(pages[0] if pages else site / "example/compare.html")
    # Index, Markdown and CSV.
    assert "other data" in row_of(site / "index.html", "other")
    assert why in text_of(site / "index.html")
    markdown = (tmp_path / "L.md").read_text()
    line = next(line for line in markdown.splitlines() if line.startswith("| other |"))
    assert "‡" in line
    assert "measured, other data" in line
    assert why in markdown
    table = {row["label"]: row for row in csv.DictReader(io.StringIO((site / "example/leaderboard.csv").read_text()))}
    assert set(table["other"]["other_data_tasks"].split()) == changed
    assert table["other"]["general_other_data"] == str(int(bool(changed & set(EXAMPLE[:3]))))
    assert table["example-colours"]["other_data_tasks"] == ""
    # A badge says a rank: who has none has no badge.
    assert (site / "example/badges/example-colours.svg").is_file()
    assert (site / "example/badges/other.svg").exists() == any(theirs["ranks"].values())


def _wheres(pair: dict[str, Any]) -> set[str]:
    return {one["where"] for one in pair["groups"]}


def test_runs_of_part_of_the_queries_are_ranked_with_nobody(shipped: Path, other: str, tmp_path: Path) -> None:
    assert run(tmp_path / "runs", other, more=("--limit", "9")) == 0
    site = reported(tmp_path, shipped, tmp_path / "runs")
    document = json.loads((site / "example/leaderboard.json").read_text())
    entry = next(entry for entry in document["entries"] if entry["label"] == "other")
    assert entry["ranks"] == {"general": None, "interactive": None}
    assert all(mean["value"] is None for mean in entry["means"].values())
    assert not list((site / "example").glob("compare-*-and-*.html"))
    assert "9 of 64 queries" in text_of(site / "index.html")


def test_parts_of_unequal_data_are_not_held_against_each_other_query_by_query(other: str, tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    change_images(tmp_path / "data")
    assert run(tmp_path / "runs", "example-colours", more=("--limit", "64")) == 0
    assert run(tmp_path / "runs", other, data=tmp_path / "data", more=("--limit", "64")) == 0
    site = reported(tmp_path, tmp_path / "runs")
    for page in (site / "example").glob("samples-*.html"):
        assert "Right by" not in page.read_text()
        assert "Flipped against" not in page.read_text()


def test_equal_data_is_ranked_together_wherever_it_lies(shipped: Path, other: str, tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "copy")
    assert run(tmp_path / "runs", other, data=tmp_path / "copy") == 0
    site = reported(tmp_path, shipped, tmp_path / "runs")
    document = json.loads((site / "example/leaderboard.json").read_text())
    entries = {entry["label"]: entry for entry in document["entries"]}
    for label in ("example-colours", "other"):
        assert entries[label]["ranks"] == {"general": {"best": 1, "worst": 1}, "interactive": {"best": 1, "worst": 1}}
        assert all(score["tied_with_best"] for score in entries[label]["scores"].values())
    assert not any(score["apart"] for entry in entries.values() for score in entry["scores"].values())
    (pair,) = document["comparisons"]
    assert {one["where"] for one in pair["tasks"]} == set(EXAMPLE)
    assert "other data" not in (site / "index.html").read_text()
    assert "other data" not in (tmp_path / "L.md").read_text()


def test_ways_of_prompting_stand_side_by_side(tmp_path: Path) -> None:
    """A way takes words out of the prompts, which is no other data."""
    for mode in ("native", "text", "crop", "none"):
        assert run(tmp_path / "runs", "example-colours", more=("--prompting", mode)) == 0
    site = reported(tmp_path, tmp_path / "runs")
    document = json.loads((site / "example/leaderboard.json").read_text())
    assert len(document["entries"]) == 4
    assert all(entry["ranks"]["interactive"] for entry in document["entries"])
    assert len(document["comparisons"]) == 6
    assert not any(score["apart"] for entry in document["entries"] for score in entry["scores"].values())
    assert len({entry["scores"]["example/ShapeRegions"]["data"] for entry in document["entries"]}) == 1


@pytest.mark.slow(2)
@pytest.mark.parametrize("flip", ["shipped", "changed"])
def test_the_data_that_more_models_were_measured_on_is_ranked(
    flip: str, other: str, third: str, tmp_path: Path
) -> None:
    """Many runs of one model are one voice, and models that know nothing have none."""
    shutil.copytree(DATA, tmp_path / "data")
    change_images(tmp_path / "data")
    few, many = (DATA, tmp_path / "data") if flip == "shipped" else (tmp_path / "data", DATA)
    for mode in ("native", "text", "crop"):
        assert run(tmp_path / "runs", other, data=few, more=("--prompting", mode)) == 0
    assert run(tmp_path / "runs", "random", "constant", data=few) == 0
    assert run(tmp_path / "runs", "example-colours", third, data=many) == 0
    site = reported(tmp_path, tmp_path / "runs")
    document = json.loads((site / "example/leaderboard.json").read_text())
    ranked = {entry["model"] for entry in document["entries"] if entry["ranks"]["general"]}
    assert ranked == {"example-colours", "third"}
    apart = {entry["model"] for entry in document["entries"] if any(s["apart"] for s in entry["scores"].values())}
    assert apart == {"other", "random", "constant"}

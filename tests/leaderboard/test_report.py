"""The whole report: runs on disk to a site, Markdown and downloads, through the command."""

from __future__ import annotations

import hashlib
import html
import html.parser
import json
import math
import re
from pathlib import Path

import pytest
from board_runs import CARDS, EXAMPLE, MMEB, SCAR, coins, save
from builders import command

from evalkit.errors import ResultsError, UsageError
from evalkit.leaderboard.numbers.assemble import IMAGES_SHARED
from evalkit.leaderboard.site import MANIFEST
from evalkit.runs.runfolder import find_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, which nobody writes into."""
    folder = tmp_path_factory.mktemp("report") / "runs"
    save(folder, "good", {task: coins(task, 0.6) for task in (*SCAR, *EXAMPLE)})
    save(folder, "better", {task: coins(task, 0.7, seed=1) for task in SCAR})
    return folder


@pytest.fixture(scope="module")
def reported(runs: Path) -> Path:
    """Their ``site`` and ``LEADERBOARD.md``, which nobody writes into."""
    folder = runs.parent
    markdown = folder / "LEADERBOARD.md"
    assert command("report", runs, "--out", folder / "site", "--markdown", markdown, "--quiet") == 0
    return folder


def digests(site: Path) -> dict[str, str]:
    files = (file for file in sorted(site.rglob("*")) if file.is_file())
    return {str(file.relative_to(site)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Loads(html.parser.HTMLParser):
    """What a page would fetch, and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.inline += [name for name in found if name.startswith("on")]
        if tag in ("script", "img", "image", "iframe", "object", "embed", "source"):
            self.loads.append(found.get("src") or found.get("href") or found.get("data", ""))
        elif tag == "link":
            (self.loads if found.get("rel") == "stylesheet" else self.links).append(found.get("href", ""))
        elif tag == "a":
            self.links.append(found.get("href", ""))


@pytest.mark.slow(3)
def test_a_site_is_whole_and_loads_nothing_from_elsewhere(reported: Path) -> None:
    site = reported / "site"
    pages = list(site.rglob("*.html"))
    assert {"index.html", "method.html", "downloads.html"} <= {str(file.relative_to(site)) for file in pages}
    for page in pages:
        found = Loads(page.read_text())
        assert not found.inline
        for target in (*found.loads, *found.links):
            if target.startswith("https://") and target in found.links:
                continue
            assert not re.match(r"[a-z]+:|//", target), f"{page} has {target}"
            place, _, mark = target.partition("#")
            goal = (page.parent / place.partition("?")[0]).resolve() if place else page
            assert goal.is_file(), f"{page} leads to {target}"
            assert goal.is_relative_to(site.resolve())
            if mark and goal.suffix == ".html" and "=" not in mark:
                assert f'id="{mark}"' in goal.read_text(), f"{page} leads to {target}"


@pytest.mark.slow(6)
def test_the_same_runs_give_the_same_bytes_and_old_pages_go(runs: Path, reported: Path, tmp_path: Path) -> None:
    assert command("report", runs, "--out", tmp_path / "one", "--markdown", tmp_path / "one.md", "--quiet") == 0
    assert digests(tmp_path / "one") == digests(reported / "site")
    assert (tmp_path / "one.md").read_bytes() == (reported / "LEADERBOARD.md").read_bytes()
    (tmp_path / "one/mine.txt").write_text("mine")
    assert command("report", runs / "better", "--out", tmp_path / "one", "--quiet") == 0
    after = digests(tmp_path / "one")
    assert "mine.txt" in after
    assert not any(name.startswith("example/") for name in after)
    assert not any("good" in name for name in after)
    assert set(json.loads((tmp_path / "one" / MANIFEST).read_text())["files"]) == after.keys() - {"mine.txt", MANIFEST}


@pytest.mark.slow(3)
def test_published_numbers_stand_beside_measured_ones_or_are_left_out(
    runs: Path, reported: Path, tmp_path: Path
) -> None:
    page = (reported / "site/index.html").read_text()
    assert "VIRTUE-2B" in page
    assert "better" in page
    assert command("report", runs, "--out", tmp_path / "without", "--no-published", "--quiet") == 0
    assert "VIRTUE-2B" not in (tmp_path / "without/index.html").read_text()


@pytest.mark.slow(1)
def test_boards_with_something_measured_come_first_and_markdown_has_no_others(tmp_path: Path) -> None:
    save(tmp_path / "runs", "colours", {task: coins(task, 0.6) for task in EXAMPLE})
    assert (
        command("report", tmp_path / "runs", "--out", tmp_path / "s", "--markdown", tmp_path / "L.md", "--quiet") == 0
    )
    page = (tmp_path / "s/index.html").read_text()
    assert page.index("colours") < page.index("VIRTUE-2B")
    text = (tmp_path / "L.md").read_text()
    assert "colours" in text
    assert "VIRTUE-2B" not in text


def test_more_published_numbers_are_read_from_files(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"schema": "other"}')
    assert command("report", runs, "--out", tmp_path / "site", "--add", tmp_path / "bad.json") == 2
    assert not (tmp_path / "site").exists()


OURS = {
    "schema": "evalkit.published",
    "schema_version": 1,
    "name": "Ours",
    "title": "Our report",
    "url": "https://example.org/report",
    "kind": "paper",
    "own": ["ours-2b"],
    "comparisons": [],
    "rows": [
        {
            "model": "ours-2b",
            "called": "Ours",
            "training": "",
            "prompting": "native",
            "table": "Table 1",
            "scores": dict.fromkeys(SCAR, 61.0),
            "aggregates": {"general": 64.2},
            "source": "Table 1",
        },
        {
            "model": "vlm2vec-2b",
            "called": "VLM2Vec-2B",
            "training": "",
            "prompting": "text",
            "table": "Table 1",
            "aggregates": {"interactive": 24.1},
            "source": "Table 1",
        },
    ],
}
MODELS = {
    "schema": "evalkit.published-models",
    "schema_version": 1,
    "models": {"ours-2b": {"name": "Ours-2B", "size": "2B", "trainings": {"": {"trained_on_mmeb": "no"}}}},
}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder of a laboratory's own numbers; one row is of a model that evalkit's own file of models knows."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more/ours.json").write_text(json.dumps(OURS))
    (tmp_path / "more/models.json").write_text(json.dumps(MODELS))
    return tmp_path / "more"


@pytest.mark.slow(2)
@pytest.mark.parametrize("with_runs", [True, False])
def test_added_numbers_are_shown_where_those_that_come_along_are_not(
    with_runs: bool, runs: Path, ours: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    given = [runs] if with_runs else []
    assert command("report", *given, "--no-published", "--add", ours, "--out", site, "--quiet") == 0
    entries = json.loads((site / "mmeb-scar/leaderboard.json").read_text())["entries"]
    assert {e["model"] for e in entries if e["kind"] == "published"} == {"Ours-2B", "VLM2Vec-2B"}
    assert {e["model"] for e in entries if e["kind"] == "measured"} == ({"good", "better"} if with_runs else set())
    assert "VIRTUE-2B" not in (site / "index.html").read_text()
    assert command("report", *given, "--add", ours, "--out", site, "--quiet") == 0
    text = (site / "index.html").read_text()
    assert "VIRTUE-2B" in text
    assert "Ours-2B" in text


def test_what_add_names_is_read_whatever_is_shown_besides(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("gone.json", "bad.json"):
        (tmp_path / "bad.json").write_text("{")
        line = ["report", runs, "--no-published", "--add", tmp_path / file, "--out", tmp_path / "site"]
        assert command(*line) == 2
        assert file in capsys.readouterr().err
        assert not (tmp_path / "site").exists()


@pytest.mark.slow(0.6)
def test_without_runs_the_board_is_of_published_numbers_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert command("report", "--out", site, "--markdown", tmp_path / "L.md", "--quiet") == 0
    document = json.loads((site / "mmeb-scar/leaderboard.json").read_text())
    assert {entry["kind"] for entry in document["entries"]} == {"published"}
    assert any(entry["ranks"]["general"] for entry in document["entries"])
    assert {path.name for path in site.iterdir() if path.is_dir()} == {"mmeb-scar"}
    assert "VIRTUE-2B" in (site / "index.html").read_text()
    # Nothing was measured: then the Markdown is of what there is.
    assert "| VIRTUE-2B" in (tmp_path / "L.md").read_text()


@pytest.mark.parametrize("models_alone", [False, True])
def test_nothing_to_show_is_said_with_the_way_out(
    models_alone: bool, ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--add", ours / "models.json"] if models_alone else []
    assert command("report", "--no-published", *more, "--out", tmp_path / "site") == 2
    said = capsys.readouterr().err
    assert said.startswith("evalkit: there is nothing to show")
    assert "RUNS" in said
    assert not (tmp_path / "site").exists()


# --- what the marks mean --------------------------------------------------------------------------------


@pytest.mark.slow(3)
def test_slanted_means_the_same_on_the_site_and_in_markdown(tmp_path: Path) -> None:
    scores = {task: coins(task, 0.6) for task in SCAR}
    save(tmp_path / "runs", "good", scores)
    save(tmp_path / "runs", "near", {task: coins(task, 0.6, seed=1) for task in SCAR}, digit="1")
    save(tmp_path / "runs", "bad", {task: coins(task, 0.2) for task in SCAR}, digit="2")
    site = tmp_path / "site"
    assert command("report", tmp_path / "runs", "--out", site, "--markdown", tmp_path / "L.md", "--quiet") == 0
    document = json.loads((site / "mmeb-scar/leaderboard.json").read_text())
    markdown = (tmp_path / "L.md").read_text()
    page = (site / "mmeb-scar/group-interactive.html").read_text()
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = {label: row for row in table.split("<tr") for label in re.findall(r"<bdi>([^<]*)</bdi>", row)[:1]}
    (block,) = [b for b in markdown.split("\n\n") if b.startswith("| Model | Regions by | SCaR-5 |")]
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in block.splitlines()}
    seen = set()
    for entry in document["entries"]:
        label = entry["label"]
        if not entry["scores"] or label not in rows or label not in lines:
            continue
        tied = [entry["scores"][task]["tied_with_best"] for task in SCAR]
        cells = re.findall(r"<td.*?</td>", rows[label])[-len(SCAR) :]
        assert ["<i>" in cell for cell in cells] == tied
        texts = lines[label].strip("| ").split(" | ")[-len(SCAR) :]
        assert [re.match(r"(\*\*\*|\*(?!\*))", text) is not None for text in texts] == tied
        seen |= set(tied)
    assert seen == {True, False}
    # Nothing else is slanted: a mean as its source reports it has a sign of its own, on both.
    css = (site / "site.css").read_text()
    slanted = {rule.partition("{")[0].strip() for rule in re.findall(r"[^{}]+{[^{}]*font-style: italic[^{}]*}", css)}
    assert slanted == {"td i, .key i"}
    assert "<em>" not in table
    index = (site / "index.html").read_text()
    assert "<i>Slanted and dotted</i>: the best measured entry of a task, and those not told apart from it" in index
    assert "Italic: the best measured entry of a task, and those that a paired test" in markdown
    assert "°<" in index.partition("<tbody>")[2]
    assert "°: a mean as its source reports it" in index
    assert "° its own mean" in markdown


@pytest.mark.slow(2)
def test_published_intervals_of_scar_say_that_images_are_shared(reported: Path) -> None:
    site = reported / "site"
    document = json.loads((site / "mmeb-scar/leaderboard.json").read_text())
    (note,) = [n for n, text in enumerate(document["footnotes"], 1) if "as if no two queries shared an image" in text]
    for entry in document["entries"]:
        for key, mean in entry["means"].items():
            wanted = entry["kind"] == "published" and key == "interactive" and mean["low"] is not None
            assert (note in mean["footnotes"]) == wanted
    assert any(note in entry["means"]["interactive"]["footnotes"] for entry in document["entries"])
    assert "as if no two queries shared an image" in (site / "index.html").read_text()
    assert "as if no two queries shared an image" in (reported / "LEADERBOARD.md").read_text()
    assert "as if no two queries shared an image" in (site / "mmeb-scar/task-ADE20K.html").read_text()
    assert "as if no two queries shared an image" not in (site / "mmeb-scar/task-GQA.html").read_text()


def test_how_much_wider_scars_intervals_might_be_follows_from_its_cards() -> None:
    """k queries an image that all get one answer are worth one: the variance is k times as large."""
    sizes = []
    for task in SCAR:
        (words,) = [note for note in CARDS[task].notes if "annotations on" in note]
        queries, images = (int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", words))
        assert queries == CARDS[task].queries
        sizes.append((queries, queries / images))
    wider = math.sqrt(sum(k / n for n, k in sizes) / sum(1 / n for n, k in sizes))
    low, high = min(k for _, k in sizes), max(k for _, k in sizes)
    assert f"about one {low:.1f} (RefCOCOg) to {high:.1f} times (ADE20K)" in IMAGES_SHARED
    assert f"would be {wider:.1f} times as wide" in IMAGES_SHARED
    assert f"{math.sqrt(low):.1f} to {math.sqrt(high):.1f} times" in IMAGES_SHARED


@pytest.mark.parametrize("name", ["</script><img src=x onerror=alert(1)>", "=1+1", "نموذج", "🙂 | `x` [a](b)"])
@pytest.mark.slow(0.7)
def test_a_strangers_name_stays_text(name: str, tmp_path: Path) -> None:
    save(tmp_path / "runs", name, {task: coins(task, 0.6) for task in MMEB[:2]}, folder="stranger")
    site = tmp_path / "site"
    assert command("report", tmp_path / "runs", "--out", site, "--markdown", tmp_path / "L.md", "--quiet") == 0
    for page in site.rglob("*.html"):
        assert "<img src=x" not in page.read_text()
    assert "<img" not in (tmp_path / "L.md").read_text()
    shown = html.unescape((site / "index.html").read_text())
    assert name in shown


@pytest.mark.slow(3)
def test_two_samples_options_and_bad_ones(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("report", runs, "--out", tmp_path / "none", "--samples", "0", "--quiet") == 0
    assert not list((tmp_path / "none").rglob("samples-*"))
    assert command("report", runs, "--out", tmp_path / "x", "--images", tmp_path, "--quiet") == 2
    assert "--images without --data" in capsys.readouterr().err
    assert command("report", runs, "--out", tmp_path / "x", "--data", tmp_path / "no", "--quiet") == 2
    (tmp_path / "y").mkdir()
    (tmp_path / "y/index.html").write_text("somebody's")
    assert command("report", runs, "--out", tmp_path / "y", "--quiet") == 2
    assert "was not written by evalkit" in capsys.readouterr().err
    assert (tmp_path / "y/index.html").read_text() == "somebody's"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no run"),
        (b"{", "not a run of schema version 1"),
        (b'{"schema": "other"}', "schema"),
    ],
)
def test_report_refuses_what_is_no_run(tmp_path: Path, content: bytes | None, message: str) -> None:
    folder = tmp_path / "model" / "id"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "run.json").write_bytes(content)
    with pytest.raises((ResultsError, UsageError), match=message):
        find_runs([tmp_path])
    assert command("report", tmp_path, "--out", tmp_path / "site") == (2 if content is None else 4)

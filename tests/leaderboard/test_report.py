"""The whole report: runs on disk to a site, Markdown and downloads, through the command."""

from __future__ import annotations

import hashlib
import html
import html.parser
import json
import re
from pathlib import Path

import pytest
from board_runs import EXAMPLE, MMEB, SCAR, coins, save
from builders import command

from evalkit.errors import ResultsError, UsageError
from evalkit.leaderboard.site import MANIFEST
from evalkit.results import find_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    save(folder, "good", {task: coins(task, 0.6) for task in (*SCAR, *EXAMPLE)})
    save(folder, "better", {task: coins(task, 0.7, seed=1) for task in SCAR})
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


def test_a_site_is_whole_and_loads_nothing_from_elsewhere(runs: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert command("report", runs, "--out", site, "--quiet") == 0
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


def test_the_same_runs_give_the_same_bytes_and_old_pages_go(runs: Path, tmp_path: Path) -> None:
    for site in ("one", "two"):
        assert command("report", runs, "--out", tmp_path / site, "--markdown", tmp_path / f"{site}.md", "--quiet") == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert (tmp_path / "one.md").read_bytes() == (tmp_path / "two.md").read_bytes()
    (tmp_path / "one/mine.txt").write_text("mine")
    assert command("report", runs / "better", "--out", tmp_path / "one", "--quiet") == 0
    after = digests(tmp_path / "one")
    assert "mine.txt" in after
    assert not any(name.startswith("example/") for name in after)
    assert not any("good" in name for name in after)
    assert set(json.loads((tmp_path / "one" / MANIFEST).read_text())["files"]) == after.keys() - {"mine.txt", MANIFEST}


def test_published_numbers_stand_beside_measured_ones_or_are_left_out(runs: Path, tmp_path: Path) -> None:
    assert command("report", runs, "--out", tmp_path / "with", "--quiet") == 0
    page = (tmp_path / "with/index.html").read_text()
    assert "VIRTUE-2B" in page
    assert "better" in page
    assert command("report", runs, "--out", tmp_path / "without", "--no-published", "--quiet") == 0
    assert "VIRTUE-2B" not in (tmp_path / "without/index.html").read_text()


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


@pytest.mark.parametrize("name", ["</script><img src=x onerror=alert(1)>", "=1+1", "نموذج", "🙂 | `x` [a](b)"])
def test_a_strangers_name_stays_text(name: str, tmp_path: Path) -> None:
    save(tmp_path / "runs", name, {task: coins(task, 0.6) for task in MMEB[:2]}, folder="stranger")
    site = tmp_path / "site"
    assert command("report", tmp_path / "runs", "--out", site, "--markdown", tmp_path / "L.md", "--quiet") == 0
    for page in site.rglob("*.html"):
        assert "<img src=x" not in page.read_text()
    assert "<img" not in (tmp_path / "L.md").read_text()
    shown = html.unescape((site / "index.html").read_text())
    assert name in shown


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

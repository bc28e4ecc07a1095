"""The site as a whole: whole links, nothing that a stranger wrote let through, and the same bytes."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import evalkit.reports
import jinja2
import pytest
import synthetic_boards as boards
from jinja2 import nodes
from page_texts import DOWNLOADS, Page, made

from evalkit.leaderboard.board import Citation
from evalkit.leaderboard.pages import columns, grid
from evalkit.leaderboard.pages.headline import headline
from evalkit.leaderboard.pages.html import POLICY, STATIC

TEMPLATES = Path(evalkit.reports.__path__[0]) / "templates"


def test_there_is_a_page_for_everything(board, pages):
    assert {"index.html", "method.html", "downloads.html", *STATIC} <= set(pages)
    home = {name.removeprefix("mmeb-scar/") for name in pages if name.startswith("mmeb-scar/")}
    expected = {"tasks.html", "compare.html"}
    expected |= {f"group-{group.key}.html" for group in board.groups}
    expected |= {f"task-{card.subset}.html" for card in board.cards}
    expected |= {f"model-{entry.slug}.html" for entry in board.entries}
    expected |= {f"compare-{c.base}-and-{c.new}.html" for c in board.comparisons}
    expected |= {"samples-RefCOCOg-virtue-000-native.html"}
    assert home == expected
    assert len(board.comparisons) == 3


@pytest.mark.slow(0.7)
def test_every_page_is_well_formed_and_every_link_leads_somewhere(board, pages):
    exports = {f"{key}/{name}" for key in ("mmeb-scar", "miniature") for name in DOWNLOADS}
    there = set(pages) | exports | {"feed.xml"}
    anchors = {}
    parsed = {name: Page(content.decode()) for name, content in pages.items() if name.endswith(".html")}
    for name, page in parsed.items():
        assert len(set(page.ids)) == len(page.ids), name
        anchors[name] = set(page.ids)
    for name, page in parsed.items():
        for link in page.links:
            if link.startswith("https://"):
                continue
            assert ":" not in link
            path, _, anchor = link.partition("#")
            target = str(PurePosixPath(name).parent / path) if path else name
            while "/../" in f"/{target}":
                target = re.sub(r"(^|/)[^/]+/\.\./", r"\1", target)
            if "/badges/" in target:
                continue
            assert target in there, (name, link)
            if anchor and target in anchors and link != "#":
                assert anchor in anchors[target], (name, link)


@pytest.mark.slow(0.7)
def test_pages_load_the_sites_own_files_alone_and_say_so(pages):
    for name, content in pages.items():
        if not name.endswith(".html"):
            continue
        text = content.decode()
        assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY.replace(chr(39), "&#39;")}">' in text
        page = Page(text)
        assert page.tags.count("script") == 1
        assert not {"iframe", "object", "embed", "base", "style"} & set(page.tags)
        for tag, attribute, value in page.attributes:
            assert not attribute.startswith("on"), (name, tag, attribute)
            assert attribute not in ("style", "srcdoc", "action", "formaction"), (name, tag)
            if attribute in ("src", "href") and tag not in ("a", "link"):
                assert not re.match(r"[a-z]+:", value), (name, value)
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    for name in STATIC:
        assert b"http" not in pages[name]
        assert b"url(" not in pages[name]
        assert b"@import" not in pages[name]


def test_the_same_boards_give_the_same_bytes(board, pages):
    queries = [boards.query(1), boards.query(2, "wrong"), boards.query(3, "tied")]
    again = {name: make() for name, make in made(boards.board(6, 4, pairs=3), boards.demo(), queries=queries).items()}
    assert again == pages


def test_pages_of_one_name_are_refused(board):
    with pytest.raises(ValueError, match=r"two pages are called mmeb-scar/tasks\.html"):
        made(board, board)
    twice = replace(board, entries=(*board.entries, board.entries[0]))
    with pytest.raises(ValueError, match="two pages are called mmeb-scar/model-"):
        made(twice)


@pytest.mark.parametrize("slug", ["../evil", "a/b", "a b", "", "é", "a%2e", '"x'])
def test_a_slug_that_is_none_is_refused(board, slug):
    with pytest.raises(ValueError, match="cannot be part of a page's name"):
        made(replace(board, entries=(replace(board.entries[0], slug=slug),), comparisons=()))


def test_an_empty_board_and_no_board_at_all_have_pages():
    empty = replace(boards.board(1, 0), entries=(), comparisons=(), chance={}, improvements=())
    for files in (made(empty), made()):
        for name, make in files.items():
            if name.endswith(".html"):
                Page(make().decode())
    bare = replace(empty, groups=(), cards=())
    assert all(make() for make in made(bare).values())


def test_templates_do_no_arithmetic():
    """Every number is worked out before: a template compares, counts nothing, adds nothing."""
    arithmetic = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg)
    environment = jinja2.Environment()
    found = list(TEMPLATES.glob("*.html"))
    assert len(found) >= 12
    for file in found:
        source = file.read_text(encoding="utf-8")
        tree = environment.parse(source)
        assert list(tree.find_all(arithmetic)) == [], file.name
        filters = {node.name for node in tree.find_all(nodes.Filter)}
        own = {"called", "cite", "percent", "region", "shown", "signed"}  # what they write is tested below
        assert filters <= own | {"join", "length"}, file.name  # no |safe, no |round
        assert "autoescape" not in source


def test_the_script_is_small_and_every_section_that_folds_has_its_rule(pages, board):
    assert len(pages["site.js"]) < 30_000
    style = pages["site.css"].decode()
    folding = {span.section.key for span in headline(board, "").spans if span.section.folds}
    assert folding == {"classification", "vqa", "retrieval", "grounding"}
    for section in folding:
        assert f":not(.open-{section}) .{grid.fold(section)}" in style
    for shade in range(1, columns.SHADES + 1):
        assert f".heat .h{shade} " in style


@pytest.mark.slow(1.8)
def test_500_entries_make_an_index_of_less_than_400_kb():
    content = made(boards.board(500, 0, pairs=0))["index.html"]()
    assert content.count(b"<tr data-kind") == 500
    assert len(gzip.compress(content, mtime=0)) < 400_000


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast_on_every_ground(pages, theme):
    """WCAG 2.2, 1.4.3: at least 4.5 : 1, on every shade of the heat map as well."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", pages["site.css"].decode())
    colours = {name: (light, dark)[theme] for name, light, dark in found}

    def contrast(one, other):
        high, low = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    shades = [f"h{i}" for i in range(1, 10)]
    for ground in ("ground", "raised", "accent-soft", *shades):
        assert contrast("text", ground) >= 4.5, ground
    for text in ("quiet", "accent", "caution"):
        assert contrast(text, "ground") >= 4.5, text
    assert contrast("quiet", "raised") >= 4.5
    for mark in ("accent", "text", "bar"):  # 1.4.11: what is drawn
        assert contrast(mark, "ground") >= (3 if mark != "bar" else 2.2), mark
    steps = [luminance(colours[name]) for name in ("ground", *shades)]
    assert steps == sorted(steps, reverse=theme == 0)  # more is farther from the ground


def test_nothing_that_a_stranger_wrote_becomes_markup(hostile):
    assert len(hostile) > 50
    for name, text in hostile.items():
        page = Page(text)
        assert not {"img", "iframe", "object"} & set(page.tags), name
        assert page.tags.count("script") == 1
        assert all(not attribute.startswith("on") for _, attribute, _ in page.attributes), name
        for link in page.links:
            assert not re.match(r"\s*javascript:", link, re.IGNORECASE), name
        assert "\u202e" not in text
        assert not re.search(r"&amp;(lt|gt|amp|#\d+);", text), name  # escaped once
    index = Page(hostile["index.html"]).text
    for word in (boards.HOSTILE, "{{ 7 * 7 }} & <!--", "<b>bold</b>", boards.EMOJI, "\\u202e"):
        assert word in index


def test_strangers_sources_are_no_links_unless_https(board):
    entry = next(entry for entry in board.entries if entry.kind == "published")
    for url in (
        boards.SCRIPT,
        "data:text/html,x",
        "http://example.org",
        "//example.org",
        "https:",
        None,
        "https://a b",
    ):
        bad = replace(entry, sources=(Citation("a paper", url),))
        text = made(replace(board, entries=(bad,), comparisons=(), improvements=()))[
            f"mmeb-scar/model-{entry.slug}.html"
        ]()
        assert b"<bdi>a paper</bdi>" in text
        assert b"javascript" not in text
        assert b"data:text" not in text
        assert [link for link in Page(text.decode()).links if "example.org" in link] == []


def test_downloads_say_what_they_hold(board, pages):
    text = pages["downloads.html"].decode()
    kinds = re.findall(r'<th scope="row"><a href="mmeb-scar/([^"]+)">(.*?)</a></th><td class="t">(.*?)</td>', text)
    assert [file for file, _, _ in kinds] == list(DOWNLOADS)
    said = {label: what for _, label, what in kinds}
    assert said["LaTeX"].startswith("the headline table and one of each meta-task")
    assert said["JSON Schema"] == "what each field of the JSON is"
    assert '<th scope="col" class="t">What it holds</th>' in text  # as the cells below it


def test_badges_are_linked_where_there_is_one(board, pages):
    links = Page(pages["downloads.html"].decode()).links
    ranked = [e.slug for e in board.entries if any(e.ranks.get(key) for key in ("general", "interactive"))]
    assert 0 < len(ranked) < len(board.entries)
    found = [link for link in links if link.startswith("mmeb-scar/badges/")]
    assert found == [f"mmeb-scar/badges/{slug}.{kind}" for slug in ranked for kind in ("svg", "json")]

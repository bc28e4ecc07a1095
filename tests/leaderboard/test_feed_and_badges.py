"""The Atom feed and the badges: valid, the same every time, and nothing of a stranger's in them but text."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ET

import pytest
from board_runs import EXAMPLE, coins, save
from synthetic_boards import HOSTILE, board

from evalkit.errors import UsageError
from evalkit.leaderboard.board import Citation
from evalkit.leaderboard.downloads import badges, feed
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.published import reported as published

ATOM = "{http://www.w3.org/2005/Atom}"
NEVER = "1970-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def papers():
    (found,) = boards([], published.read())
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    runs = [save(root, f"m{i}", {task: coins(task, 0.3, i) for task in EXAMPLE}, digit=str(i)) for i in range(3)]
    runs.append(save(root, "part", {EXAMPLE[0]: [1.0] * 5}, digit="5"))
    runs.append(save(root, "random", {task: coins(task, 0.1) for task in EXAMPLE}, family="random", digit="6"))
    (runs[1][0] / "timing.json").write_text('{"finished_at": "2026-01-02T03:04:05Z"}')
    (runs[2][0] / "timing.json").write_text('{"finished_at": "2027-01-02T03:04:05Z"}')
    (found,) = boards(runs)
    return found


def parsed(content: bytes) -> ET.Element:
    """The feed, with what RFC 4287 demands of it."""
    root = ET.fromstring(content)
    assert root.tag == f"{ATOM}feed"
    ids = []
    for element in (root, *root.findall(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            (only,) = element.findall(f"{ATOM}{name}")
            assert only.text
        ids.append(element.find(f"{ATOM}id").text)
        assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ids[-1])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", element.find(f"{ATOM}updated").text)
        # Without a content element an entry has to have an alternate link.
        links = [link.get("href") for link in element.findall(f"{ATOM}link") if link.get("rel") == "alternate"]
        assert len(links) == 1
    assert root.find(f"{ATOM}author/{ATOM}name").text
    assert len(set(ids)) == len(ids)
    return root


def told(content: bytes) -> list[tuple[str, str, str, str]]:
    return [
        (
            entry.find(f"{ATOM}updated").text,
            entry.find(f"{ATOM}title").text,
            entry.find(f"{ATOM}link").get("href"),
            entry.find(f"{ATOM}summary").text,
        )
        for entry in parsed(content).findall(f"{ATOM}entry")
    ]


def test_runs_are_news_newest_first(measured):
    found = told(feed.feed([measured], NEVER))
    assert [(when, title) for when, title, _, _ in found] == [
        ("2027-01-02T03:04:05Z", "m2 on Example"),
        ("2026-01-02T03:04:05Z", "m1 on Example"),
        (NEVER, "m0 on Example"),
        (NEVER, "part on Example"),
        (NEVER, "random on Example"),
    ]
    assert found[0][2] == "example/model-m2.html"
    mean = next(entry for entry in measured.entries if entry.label == "m2").means
    assert found[0][3] == (
        f"m2: General {100 * mean['general'].value:.1f}, Visual-interactive {100 * mean['interactive'].value:.1f}"
    )
    assert found[3][3] == "part: no mean, as not all tasks are there"


def test_published_sources_are_news_of_their_day(papers):
    found = told(feed.feed([papers], NEVER))
    virtue = [item for item in found if "VIRTUE: Visual-Interactive" in item[1]]
    assert {when for when, *_ in virtue} == {"2025-10-01T00:00:00Z"}
    assert len(virtue) == 1  # of several of its tables
    addresses = {source.url for entry in papers.entries for source in entry.sources}
    assert len(found) == len(addresses)
    assert [when for when, *_ in found] == sorted((when for when, *_ in found), reverse=True)
    # A source's day is not that of another one that an entry has, too.
    unime = [item for item in found if "UniME" in item[1].partition(":")[2]]
    assert [when for when, *_ in unime] == [NEVER]
    rows = {source.url: 0 for entry in papers.entries for source in entry.sources}
    for entry in papers.entries:
        for url in {source.url for source in entry.sources}:
            rows[url] += 1
    assert sorted(rows.values()) == sorted(int(re.match(r"\d+", title)[0]) for _, title, _, _ in found)


def test_the_feed_is_as_old_as_its_newest_entry_and_needs_no_clock(measured, papers):
    assert parsed(feed.feed([papers, measured], NEVER)).find(f"{ATOM}updated").text == "2027-01-02T03:04:05Z"
    assert parsed(feed.feed([], "2020-01-01T00:00:00Z")).find(f"{ATOM}updated").text == "2020-01-01T00:00:00Z"
    assert feed.feed([papers, measured], NEVER) == feed.feed([papers, measured], NEVER)


def test_what_has_no_date_gets_that_of_the_environment(measured):
    for environment, when in (({}, NEVER), ({"SOURCE_DATE_EPOCH": "86400"}, "1970-01-02T00:00:00Z")):
        ((path, make),) = feed.files([measured], environment).items()
        assert path == "feed.xml"
        assert told(make())[-1][0] == when
    for text in ("yesterday", "", "1e9", "9" * 30):
        with pytest.raises(UsageError, match=r"SOURCE_DATE_EPOCH is .*give whole seconds"):
            feed.files([measured], {"SOURCE_DATE_EPOCH": text})


def test_ids_stay_when_other_entries_come(measured, papers):
    def ids(*of):
        entries = parsed(feed.feed(of, NEVER)).findall(f"{ATOM}entry")
        return {entry.find(f"{ATOM}title").text: entry.find(f"{ATOM}id").text for entry in entries}

    alone = ids(dataclasses.replace(measured, entries=measured.entries[:1]))
    assert alone.items() <= ids(measured, papers).items()


@pytest.mark.parametrize("name", [HOSTILE, "&amp; ]]> <![CDATA[", "שלום", "👩\u200d🔬", "a'b\"c"])
def test_names_are_text_in_feed_and_badge(measured, name):
    first = dataclasses.replace(measured.entries[0], label=name, model=name)
    of = dataclasses.replace(measured, entries=(first, *measured.entries[1:]))
    assert f"{name} on Example" in {title for _, title, _, _ in told(feed.feed([of], NEVER))}
    root = ET.fromstring(badges.files(of)[f"example/badges/{first.slug}.svg"]())
    assert root.find("{http://www.w3.org/2000/svg}title").text.startswith(name)
    source = dataclasses.replace(first, kind="published", run=None, sources=(Citation(name, None),))
    found = told(feed.feed([dataclasses.replace(of, entries=(source,))], NEVER))
    assert found[0][1] == f"1 published row on Example: {name}"


# --- badges ---------------------------------------------------------------------------------------------


def test_ranked_entries_have_badges_and_others_none(measured, papers):
    assert {path.split("/")[-1] for path in badges.files(measured)} == {
        f"m{i}.{kind}" for i in range(3) for kind in ("svg", "json")
    }
    found = badges.files(papers)
    ranked = {entry.slug for entry in papers.entries if any(entry.ranks.values())}
    assert set(found) == {f"mmeb-scar/badges/{slug}.{kind}" for slug in ranked for kind in ("svg", "json")}


def test_badges_say_the_mean_and_the_rank(papers, measured):
    found = badges.files(papers)
    data = json.loads(found["mmeb-scar/badges/published-virtue-2b.json"]())
    rank = next(entry for entry in papers.entries if entry.slug == "published-virtue-2b").ranks["general"]
    assert data == {
        "schemaVersion": 1,
        "label": "MMEB-36",
        "message": f"64.8 % published, rank {rank}",
        "color": "1f5fa8",
    }
    # Who has SCaR alone is shown with it.
    assert json.loads(found["mmeb-scar/badges/published-virtue-2b-crop.json"]())["label"] == "SCaR-5"
    mean = next(entry for entry in measured.entries if entry.label == "m1")
    message = json.loads(badges.files(measured)[f"example/badges/{mean.slug}.json"]())["message"]
    assert message == f"{100 * mean.means['general'].value:.1f} %, rank {mean.ranks['general']}"


def test_a_badge_is_self_contained_named_and_readable(papers):
    for path, make in badges.files(papers).items():
        if not path.endswith(".svg"):
            continue
        content = make()
        root = ET.fromstring(content)
        assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title")
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title.get("id") == "title"
        assert "published" in title.text
        assert title.text.endswith("(not measured by evalkit)")
        assert not re.search(rb"href|url\(|<image|<script|<style|@import", content)
        # Both texts end before their part of the badge does.
        width, ends = int(root.get("width")), []
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            ends.append(int(text.get("x")) + int(text.get("textLength")))
        assert ends[0] < ends[1] < width


def test_text_on_badges_has_contrast():
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    content = next(iter(badges.files(board(3)).values()))().decode()
    colours = set(re.findall(r'fill="(#[0-9a-f]{6})"', content)) - {"#ffffff"}
    assert len(colours) == 2
    assert all(1.05 / (luminance(colour) + 0.05) > 4.5 for colour in colours)

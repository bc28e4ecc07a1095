"""The page of samples: every query, its candidates in their places, and what is right."""

from __future__ import annotations

import re
from dataclasses import replace

import synthetic_boards as boards
from page_texts import Page, text_of

from evalkit.leaderboard.pages.html import site
from evalkit.leaderboard.pages.sample_page import sample_page
from evalkit.leaderboard.samples.media import ShownImage


def test_a_page_of_samples_has_every_query_and_candidate(pages, board):
    text = pages["mmeb-scar/samples-RefCOCOg-virtue-000-native.html"].decode()
    assert text.count('<article class="sample"') == 3
    assert [re.findall(r'data-state="(\w+)"', text)] == [["right", "wrong", "tied"]]
    page = Page(text).text
    assert "of 3 queries 1 right, 1 wrong, 1 tied." in page
    assert page.count("a thing number 3") == 3
    assert "counts 50.0 %" in page
    assert page.count("Referring object bbox: [10, 20, 60, 80]") == 3
    assert 'data-margin="low"' not in text.split('id="query-1"')[0]
    for slug in ("task-RefCOCOg.html", "model-virtue-000-native.html"):
        own = pages[f"mmeb-scar/{slug}"].decode()
        assert own.count('href="samples-RefCOCOg-virtue-000-native.html"') == 1


def rows_on_page(board, task="SCaR/RefCOCOg", **changes):
    """The view of one query, the rows of its candidates as they are on the page."""
    sheet = boards.sheet(board, [boards.query(1, **changes)], task)
    page = made_sheets(board, sheet)
    found = re.findall(r"<tr( class=\"is-right\")?><td class=\"place\">(.*?)</td>(.*?)</tr>", page)
    return sample_page(sheet)["samples"][0], [(place, bool(marked), text_of(rest)) for marked, place, rest in found]


def made_sheets(board, sheet):
    files = site([board], version="0.1.0", sheets=[boards.sheets(sheet)])
    return next(make for name, make in files.items() if "/samples-" in name)().decode()


def tied(*scores, right=0, rank, ties, pool=10, **changes):
    """A query whose candidates have these scores, the right one where ``right`` says (nowhere: ``None``)."""
    top = tuple(boards.candidate(f"thing {i}", score, i == right) for i, score in enumerate(scores))
    label = boards.candidate("thing", 0.0 if right is None else scores[right], True)
    return {"top": top, "label": label, "rank": rank, "ties": ties, "pool": pool, **changes}


def test_candidates_of_one_score_share_a_place_and_none_of_them_has_won(board):
    sample, rows = rows_on_page(board, state="tied", **tied(0.5, 0.5, 0.5, 0.5, 0.5, rank=1, ties=9))
    assert sample.facts[:2] == ("rank 1–10 of 10", "9 other candidates at its score")
    assert [row[:2] for row in rows] == [("1–10", False)] * 5
    assert [text.endswith("right") for *_, text in rows] == [True, *[False] * 4]

    sample, rows = rows_on_page(board, state="wrong", **tied(0.9, 0.8, 0.8, 0.7, 0.6, right=2, rank=2, ties=1))
    assert sample.facts[0] == "rank 2–3 of 10"
    assert [row[:2] for row in rows] == [("1", False), ("2–3", False), ("2–3", False), ("4", False), ("5", False)]

    sample, rows = rows_on_page(board, state="right", **tied(0.9, 0.8, 0.8, 0.7, 0.7, rank=1, ties=0))
    assert sample.facts[0] == "rank 1 of 10"
    # How many more there are of the last one's score the run's file does not say.
    assert [row[:2] for row in rows] == [
        ("1", True),
        ("2–3", False),
        ("2–3", False),
        ("from 4", False),
        ("from 4", False),
    ]
    _, rows = rows_on_page(board, state="right", **tied(0.9, 0.8, 0.7, 0.7, rank=1, ties=0, pool=4))
    assert [place for place, *_ in rows] == ["1", "2", "3–4", "3–4"]


def test_right_ones_that_are_level_with_each_other_alone_are_marked(board):
    both = tied(0.9, 0.9, 0.5, rank=1, ties=1)
    both["top"] = (both["top"][0], replace(both["top"][1], right=True), both["top"][2])
    _, rows = rows_on_page(board, state="right", **both)
    assert [row[:2] for row in rows] == [("1–2", True), ("1–2", True), ("3", False)]


def test_a_candidate_is_shown_by_its_words_and_its_key_is_shown_where_there_is_nothing_else(board):
    image = ShownImage("NIGHTS/a.png", "media/a.webp", 8, 6)
    hidden = ShownImage("NIGHTS/a.png", None, None, None, "not embedded (--media none)")
    alone = replace(boards.candidate("NIGHTS/a.png:", 0.9, True), image=image)
    captioned = replace(boards.candidate("RefCOCO/b.png:a red cross", 0.8, False), image=image, text="a red cross")
    left_out = replace(boards.candidate("NIGHTS/a.png:", 0.7, False), image=hidden)
    bare = boards.candidate("NIGHTS/d.png:", 0.6, False)
    top = (alone, captioned, left_out, bare)
    sample, rows = rows_on_page(board, task="NIGHTS", label=alone, top=top)
    assert [row.text for row in sample.top] == ["", "a red cross", "", "NIGHTS/d.png"]
    assert sample.label.text == ""
    assert [text for *_, text in rows] == [
        "0.9000right",
        "a red cross0.8000wrong",
        "Image NIGHTS/a.png: not embedded (--media none)0.7000wrong",
        "NIGHTS/d.png0.6000wrong",
    ]
    # Where candidates are words, what the task calls them is what they say.
    said = boards.candidate("two words:", 0.9, True)
    sample, _ = rows_on_page(board, label=said, top=(said,))
    assert sample.top[0].text == sample.label.text == "two words:"

"""Boards as Markdown: the numbers of the board, in tables that GitHub draws, and strangers' words as text."""

from __future__ import annotations

import dataclasses
import re

import pytest
from board_runs import EXAMPLE, coins, save
from synthetic_boards import EMOJI, HOSTILE, RTL, board

from evalkit.leaderboard.board import Citation
from evalkit.leaderboard.downloads.markdown import escaped, markdown
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.published import reported as published


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    runs = [
        save(root, f"m{i}", {task: coins(task, 0.3 + 0.2 * i, i, ties=i == 0) for task in EXAMPLE}, digit=str(i))
        for i in range(3)
    ]
    runs.append(save(root, "part", {EXAMPLE[0]: [1.0] * 5, EXAMPLE[1]: "no file"}, digit="7"))
    runs.append(save(root, "random", {task: coins(task, 0.1) for task in EXAMPLE}, family="random", digit="9"))
    (found,) = boards(runs)
    return found


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables_of(text: str) -> list[dict[str, dict[str, str]]]:
    """Tables by row and column."""
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("| "):
            header = cells_of(lines[0])
            assert re.fullmatch(r"\|( (:--|--:) \|)+", lines[1])
            assert all(len(cells_of(line)) == len(header) for line in lines)
            rows = [cells_of(line) for line in lines[2:]]
            found.append({row[0]: dict(zip(header, row, strict=True)) for row in rows})
    return found


def test_tables_hold_the_numbers_of_the_board(made):
    headline, *groups = tables_of(markdown([made]))
    assert list(headline) == ["m2", "m1", "m0", "part", "random", "Chance"]
    entries = {entry.label: entry for entry in made.entries}
    mean = entries["m1"].means["general"]
    assert headline["m1"]["General"] == (f"{100 * mean.value:.1f} ({100 * mean.low:.1f}–{100 * mean.high:.1f})")
    assert headline["m2"]["General"].startswith("**")
    assert (headline["m2"]["Tasks"], headline["part"]["Tasks"]) == ("4/4", "0/4")
    assert headline["part"]["General"].startswith("– <sup>")
    assert (headline["m1"]["Regions by"], headline["part"]["Regions by"]) == ("native", "–")
    assert (headline["m1"]["Dimension"], headline["m1"]["MMEB-train"]) == ("8", "unknown")
    assert headline["random"]["General: rank"] == "–"
    assert headline["Chance"]["General"] == "10.0"
    assert len(groups) == 4
    for table, task in zip(groups, EXAMPLE[3:] + EXAMPLE[:3], strict=True):
        score = entries["m1"].scores[task]
        assert table["m1"][task.split("/")[1]].strip("*") == f"{100 * score.value:.1f}"
        assert table["Chance"][task.split("/")[1]] == "10.0"
    shapes = groups[1]
    assert shapes["part"]["Shapes"] == "100.0†"
    assert groups[2]["part"]["ShapeColours"] == "failed"
    tied = entries["m0"].scores[EXAMPLE[0]]
    optimistic = 100 * tied.result.metrics["precision_at_1"].optimistic
    assert shapes["m0"]["Shapes"].strip("*") == f"{100 * tied.value:.1f} ({optimistic:.1f})"


def test_bold_is_the_highest_and_italic_who_is_not_told_apart(made):
    _, *groups = tables_of(markdown([made]))
    for table, task in zip(groups, EXAMPLE[3:] + EXAMPLE[:3], strict=True):
        for entry in made.entries:
            if (score := entry.scores.get(task)) and score.complete:
                cell = table[entry.label][task.split("/")[1]]
                highest = max(e.scores[task].value for e in made.entries[:3])
                assert cell.startswith("**") == (score.value == highest and not entry.knows_nothing)
                assert (len(re.match(r"\**", cell)[0]) % 2 == 1) == score.tied_with_best


def test_notes_say_what_the_marks_mean_and_footnotes_are_numbered(made):
    text = markdown([made])
    assert "Failed: example/ShapeColours (no file)." in text
    notes = text.split("### Footnotes\n\n")[1].split("\n\n")[0].splitlines()
    assert [line.partition(". ")[0] for line in notes] == [str(i + 1) for i in range(len(made.footnotes))]
    used = {int(number) for found in re.findall(r"<sup>(.*?)</sup>", text) for number in found.split(", ")}
    assert used == set(range(1, len(made.footnotes) + 1))
    for mark in ("† not all", "(In brackets)", "\\* not above chance", "Italic:", "random and constant"):
        assert mark in text


def test_published_rows_are_marked_with_their_source():
    (papers,) = boards([], published.read())
    headline, *_ = tables_of(markdown([papers]))
    row = headline["VIRTUE-2B"]
    assert row["MMEB-36"].startswith("64.8°")
    assert row["Numbers"] == "[published](<https://arxiv.org/abs/2510.00523>)"
    assert row["SCaR-5"].startswith("30.4 (")
    assert row["Tasks"] == "5/41 and means"
    assert headline["QQMM-embed"]["Tasks"] == "means only"
    assert headline["Chance"]["SCaR-5"] == "10.0"
    assert headline["Chance"]["MMEB-36"] == "–"
    assert headline["VIRTUE-2B"]["Parameters"] == "2.21 B"


def test_boards_stand_apart_and_the_text_is_always_the_same(made):
    (papers,) = boards([], published.read())
    text = markdown([papers, made])
    assert text.index("## MMEB and SCaR") < text.index("## Example")
    assert text.split("## Example")[1].startswith("\n\n> Generated shapes")
    assert text == markdown([papers, made])
    assert text.endswith(".\n")
    assert "\n\n\n" not in text
    assert markdown([]).startswith("# Leaderboard\n\nMade by evalkit")


NASTY = [
    HOSTILE,
    RTL,
    EMOJI,
    "\x1b[31m\"'|`*_[x](y)~~z~~ $e^x$ !",
    "https://example.org www.example.org a@b.c @me",
    "# h",
    "&lt;b&gt;",
    "\\|",
]


@pytest.mark.parametrize("name", NASTY)
def test_nothing_that_a_stranger_wrote_is_markup(made, name):
    entries = (
        dataclasses.replace(
            made.entries[0],
            label=name,
            model=name,
            facts=dataclasses.replace(made.entries[0].facts, licence=name),
            sources=(Citation(name, "https://x.org/|a>b"), Citation(name, "javascript:alert(1)")),
        ),
        *made.entries[1:],
    )
    text = markdown([dataclasses.replace(made, entries=entries, footnotes=(name, f"- {name}", f"1. {name}"))])
    tables_of(text)  # every row has as many cells as the header
    assert not re.search(r"<(?!/?sup>|https)", text)
    assert "javascript:" not in text
    assert "example.org" not in text.replace("https&#58;//example.org", "").replace("www&#46;example.org", "") or (
        "example.org" in name
    )
    assert not re.search(r"https?://(?!arxiv)example", text)
    assert not re.search(r"(?<!\\)[`$~]", text)
    plain = text.split("### Footnotes\n\n")[1].splitlines()
    assert len([line for line in plain if re.match(r"\d+\. ", line)]) == 3
    assert not any(re.match(r"\d+\. ([-+#>]|\d+[.)]) ", line) for line in plain)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a<b>&c", "a&lt;b&gt;&amp;c"),
        ("*_`[]|~$!{}\\", r"\*\_\`\[\]\|\~\$\!\{\}" + "\\\\"),
        ("two\n lines", "two lines"),
        ("https://a.b", "https&#58;//a.b"),
        ("a: b", "a: b"),
        ("@me a@b", "&#64;me a@b"),
        ("www.a.b", "www&#46;a.b"),
        ("a#b", r"a\#b"),
    ],
)
def test_escapes(text, wanted):
    assert escaped(text) == wanted


def test_any_board_has_tables_of_even_rows():
    for of in (board(12, 6), board(3, 0, key="miniature"), board(1, 0)):
        assert len(tables_of(markdown([of]))) > 4

"""What stands on the pages: right numbers in the right order, marked as they should be."""

from __future__ import annotations

import re
from dataclasses import replace

import synthetic_boards as boards
from hypothesis import given
from hypothesis import strategies as st
from page_texts import Page, columns_of, made, rows_of, text_of

from evalkit.leaderboard import wording as words
from evalkit.leaderboard.board import Difference, Facts, Mean, Score
from evalkit.leaderboard.downloads.tabular import tables
from evalkit.leaderboard.pages import columns
from evalkit.leaderboard.pages.comparison_page import pair_page
from evalkit.leaderboard.pages.headline import headline
from evalkit.leaderboard.pages.model_page import model_page
from evalkit.leaderboard.pages.task_list import medians, task_list
from evalkit.leaderboard.pages.task_page import task_page


def test_the_index_has_every_number_of_the_board(board, pages):
    text = pages["index.html"].decode()
    keys = columns_of(text, "mmeb-scar")
    rows = rows_of(text, "mmeb-scar")
    entries = [entry for entry in board.entries if not entry.knows_nothing]
    assert len(rows) == len(entries)
    by_key = {words.key(card.subset): card for card in board.cards}
    for entry, row in zip(entries, rows, strict=True):
        cells = dict(zip(keys, map(text_of, row), strict=True))
        for key, cell in cells.items():
            kind, _, name = key.partition("-")
            if kind == "task":
                score = entry.scores.get(by_key[name].name)
                assert cell == ("—" if score is None else f"{100 * score.value:.1f}")
            if kind == "mean":
                mean = entry.means[name]
                marks = ("°" if mean.reported else "") + "".join(map(str, mean.notes))
                assert cell.split()[0] == words.percent(mean.value) + marks
                if name in ("general", "interactive") and mean.low is not None:
                    assert f"{100 * mean.low:.1f}–{100 * mean.high:.1f}" in cell
            if kind == "rank":
                assert cell == str(entry.ranks[name] or "—")
        assert cells["coverage"] == words.coverage(entry, 41)
        assert cells["trained"] == entry.facts.trained_on_mmeb
        assert cells["model"].startswith(entry.label)


def test_the_foot_has_random_constant_and_chance_without_a_rank(board, pages):
    text = pages["index.html"].decode()
    foot = re.search(r'<table id="mmeb-scar".*?<tfoot>(.*?)</tfoot>', text, re.DOTALL)[1]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in re.findall(r"<tr.*?</tr>", foot)]
    assert [text_of(row[1]).split()[0] for row in rows] == ["random", "constant", "Chance"]
    assert [text_of(row[0]) for row in rows] == ["—"] * 3
    chance = dict(zip(columns_of(text, "mmeb-scar"), map(text_of, rows[2]), strict=True))
    assert chance["mean-interactive"].strip() == "10.0"
    assert chance["task-hatefulmemes"] == "50.0"
    assert "data-o" not in foot  # nothing sorts it
    assert "<b>" not in foot


def test_a_missing_number_says_why(board, pages):
    text = pages["index.html"].decode()
    assert 'title="failed: image ImageNet-1K/a.jpg is missing">—' in text
    assert 'title="not reported">—' in text
    assert 'title="35 of MMEB-36&#39;s 36 tasks: a mean needs all">—' in text


def numbers_of(*values, tied=()):
    return columns.numbers([columns.NumberCell(v, words.percent(v), tied=i in tied) for i, v in enumerate(values)], 0.1)


def test_the_best_is_bold_and_what_is_tied_with_it_is_marked():
    cells = numbers_of(0.5, 0.9, None, 0.9, 0.88, tied=(4,))
    assert [cell.content for cell in cells] == ["50.0", "<b>90.0</b>", "—", "<b>90.0</b>", "<i>88.0</i>"]
    assert [cell.content for cell in numbers_of(0.5, None)] == ["50.0", "—"]  # alone there is no contest


def test_shades_go_from_chance_to_the_best():
    assert columns.shades([0.1, 0.05, 0.5, 1.0, None], 0.1) == [0, 0, 4, 9, None]
    assert columns.shades([0.2, 0.2], 0.5) == [0, 0]
    assert columns.shades([0.0, 0.9], None) == [0, 9]
    assert columns.shades([], 0.1) == []


def places_of(cells):
    return [int(found[1]) if (found := re.search(r'data-o="(\d+)"', cell.attributes)) else None for cell in cells]


def test_words_that_are_missing_have_no_place_in_the_order():
    """A browser puts what has no place last, whichever way it sorts."""
    assert places_of(columns.words(["MIT", "—", "apache-2.0", "", "mit"])) == [1, None, 0, None, 1]
    assert places_of(columns.words(["yes", "—", "no"], order=["yes", "—", "no"])) == [1, None, 0]
    assert places_of(columns.words(["0.0", "—"], order=[0.0, None])) == [0, None]


def test_no_text_column_of_any_page_orders_its_dashes(pages):
    dashes = 0
    for name, content in pages.items():
        if name.endswith(".html"):
            found = re.findall(r"<td([^>]*)>—</td>", content.decode())
            dashes += len(found)
            assert [attributes for attributes in found if "data-o" in attributes] == [], name
    assert dashes


def test_what_stands_over_the_first_columns_goes_with_them(board, pages):
    """Headers of sections would slide over rank and model while the table is scrolled."""
    line = re.search(
        r'<table id="mmeb-scar".*?<tr class="sections">(.*?)</tr>', pages["index.html"].decode(), re.DOTALL
    )
    assert re.findall(r"<td[^>]*></td>", line[1]) == ['<td class="rank"></td>', '<td class="name"></td>']
    spans = headline(board, "").spans
    assert spans[0].classes == ("rank", "name")
    assert sum(span.columns for span in spans) == len(headline(board, "").columns)


@given(st.lists(st.floats(0, 1) | st.none(), max_size=12))
def test_orders_are_those_of_the_values(values):
    places = columns.orders(values)
    for value, place in zip(values, places, strict=True):
        assert (value is None) == (place is None)
    there = [(value, place) for value, place in zip(values, places, strict=True) if value is not None]
    for value, place in there:
        assert place == len({other for other, _ in there if other < value})


def test_footnotes_are_linked_from_their_rows_and_stand_on_the_page(board, pages):
    noted = next(e for e in board.entries if any(mean.notes for mean in e.means.values()))
    for name in ("index.html", "mmeb-scar/group-general.html", f"mmeb-scar/model-{noted.slug}.html"):
        text = pages[name].decode()
        assert '<sup><a href="#mmeb-scar-note-1" aria-label="footnote 1">1</a></sup>' in text
        assert '<li id="mmeb-scar-note-1" value="1">The reported mean is one over the four meta-tasks.</li>' in text
    other = next(e for e in board.entries if not any(mean.notes for mean in e.means.values()))
    assert "-note-" not in pages[f"mmeb-scar/model-{other.slug}.html"].decode()


def test_a_reported_mean_is_told_from_one_that_was_worked_out(board, pages):
    text = pages["index.html"].decode()
    reported = sum(m.reported for e in board.entries for k, m in e.means.items())
    assert text.count('title="as its source reports it"') == reported > 0


def test_a_published_row_links_to_its_source_and_has_no_interval(board, pages):
    entry = next(entry for entry in board.entries if entry.kind == "published")
    text = pages["index.html"].decode()
    row = next(cells for cells in rows_of(text, "mmeb-scar") if entry.label in cells[1])
    assert (
        '<a class="badge" href="https://arxiv.org/abs/2510.00523" title="arXiv:2510.00523, table 1">published</a>'
        in row[1]
    )
    page = pages[f"mmeb-scar/model-{entry.slug}.html"].decode()
    assert "evalkit run" not in page
    assert 'class="whisker' not in page


def test_improvements_stand_below(board, pages):
    text = pages["index.html"].decode()
    rows = [[text_of(cell) for cell in row] for row in rows_of(text, "mmeb-scar-improvements")]
    assert [(row[1], row[5]) for row in rows] == [("MMEB-36", "+8.5 %"), ("SCaR-5", "+20.3 %")]
    assert "improvements" not in made(boards.demo())["index.html"]().decode()


def test_sizes_that_names_say_are_filtered_by_and_drawn():
    made_up = boards.board(1, 6, pairs=0)
    published = [entry for entry in made_up.entries if entry.kind == "published"]
    sizes = ("7B", "2B", "0.5B", "7B", None, "bogus")
    entries = tuple(replace(e, facts=Facts(size=size)) for e, size in zip(published, sizes, strict=True))
    text = made(replace(made_up, entries=entries))["index.html"]().decode()
    assert re.findall(r'<tr data-kind[^>]* data-size="(\w+)"', text) == [
        *("large", "middle", "small", "large"),
        *("unknown", "unknown"),
    ]
    chart = re.search(r'<svg class="scatter".*?</svg>', text, re.DOTALL)[0]
    drawn = re.findall(r'<circle [^>]*cx="([\d.]+)"[^>]*><title>([^<]+): [\d.]+</title>', chart)
    assert [label for _, label in drawn] == [entry.label for entry in entries[:4]]
    across = [float(x) for x, _ in drawn]
    assert across[0] == across[3] > across[1] > across[2]
    assert "or else the size that the model&#39;s name says" in chart
    unsaid = tuple(replace(e, facts=Facts()) for e in published)
    assert 'class="scatter"' not in made(replace(made_up, entries=unsaid))["index.html"]().decode()


def test_the_list_of_tasks_says_how_many_are_best():
    made_up = boards.board(4, 0, pairs=0)
    card = made_up.cards[3]
    entries = [e for e in made_up.entries if not e.knows_nothing]

    def best(values):
        scores = [replace(e.scores[card.name], value=value) for e, value in zip(entries, values, strict=True)]
        changed = [replace(e, scores={**e.scores, card.name: s}) for e, s in zip(entries, scores, strict=True)]
        table = task_list(replace(made_up, entries=tuple(changed)), {})
        column = next(column for column in table.columns if column.key == "entry")
        return column.cells[3].content

    labels = [entry.label for entry in entries]
    assert text_of(best((0.5, 0.75, 0.75, 0.75))) == f"{labels[1]} and 2 more"
    assert text_of(best((0.5, 0.75, 0.5, 0.75))) == f"{labels[1]} and 1 more"
    assert text_of(best((0.5, 0.75, 0.5, 0.5))) == labels[1]
    assert best((0.5, 0.5, 0.5, 0.6)) == words.link(labels[3], f"model-{entries[3].slug}.html")
    assert text_of(task_list(replace(made_up, entries=()), {}).columns[-2].cells[3].content) == "—"


def test_where_chance_is_not_known_no_page_speaks_of_it(board, pages):
    groups = tuple(replace(group, chance=None) for group in board.groups)
    files = made(replace(board, chance={}, groups=groups))
    for name in ("mmeb-scar/task-ImageNet-1K.html", "mmeb-scar/group-general.html"):
        assert "hance" in Page(pages[name].decode()).text
        assert "hance" not in Page(files[name]().decode()).text
    assert "Chance is 0.1." in Page(pages["mmeb-scar/task-ImageNet-1K.html"].decode()).text


def test_all_tables_say_alike_how_many_tasks_an_entry_has(board):
    measured = next(entry for entry in board.entries if entry.kind == "measured")
    bare = replace(measured, scores={}, means={"general": Mean(0.6, None, None, 0, 36, reported=True)})
    some = dict(list(measured.scores.items())[:5])
    cut = {name: Score(0.5, None, None, 3, False) for name in some}
    assert words.coverage(measured, 41) == f"{len(measured.scores)}/41"
    assert words.coverage(bare, 41) == "means only"
    assert words.coverage(replace(bare, scores=some), 41) == "5/41 and means"
    assert words.coverage(replace(measured, scores=cut), 41) == "0/41"
    column = next(column for column in tables(board)[0].columns if column.header == "Tasks")
    assert [cell.text for cell in column.cells[:-1]] == [words.coverage(entry, 41) for entry in board.entries]


def test_a_task_page_has_all_entries_with_a_score_the_best_first(board):
    card = next(card for card in board.cards if card.name == "SCaR/ADE20K")
    view = task_page(board, card, ())
    there = [e for e in board.entries if card.name in e.scores and not e.knows_nothing]
    labels = [text_of(line[0].content).split(" ")[0] for line in view["table"].lines]
    ordered = [e.label for e in sorted(there, key=lambda e: -e.scores[card.name].value)]
    assert labels == [*ordered, "random", "constant", "Chance"]
    assert text_of(view["best"]) == ordered[0]
    tied = [
        e.label
        for e in sorted(there, key=lambda e: -e.scores[card.name].value)
        if e.scores[card.name].tied_with_best and e.label != ordered[0]
    ]
    assert text_of(view["tied"]) == ", ".join(tied)
    assert sum(card.name not in entry.scores for entry in board.entries) == 1
    assert view["without"] == "1 entry has no score of its own on this task."
    many = task_page(boards.board(2, 9), board.cards[1], ())
    assert many["without"] == "6 entries have no score of their own on this task."
    verdicts = [line[[c.key for c in view["table"].columns].index("best")].content for line in view["table"].lines]
    assert verdicts[0] == "best"
    assert verdicts.count("not told apart") == len(tied)


def test_a_task_page_of_a_failure_says_why(board, pages):
    view = task_page(board, board.cards[0], ())
    assert [entry.label for entry in view["failures"]] == ["clip-005"]
    text = Page(pages[f"mmeb-scar/task-{board.cards[0].subset}.html"].decode()).text
    assert "clip-005: image ImageNet-1K/a.jpg is missing" in text
    assert [text_of(line[0].content).split(" ")[0] for line in view["table"].lines][-4] == "clip-005"


def test_a_model_page_says_where_it_is_strong(board, pages):
    entry = board.entries[0] if board.entries[0].kind == "measured" else board.entries[1]
    median = medians(board)
    view = model_page(board, entry, median, ())
    above = {
        card.subset: entry.scores[card.name].value - median[card.name]
        for card in board.cards
        if card.name in entry.scores
    }
    expected = sorted(above, key=lambda name: -above[name])
    assert [one["card"].subset for one in view["strengths"]] == [name for name in expected[:5] if above[name] > 0]
    assert [one["card"].subset for one in view["weaknesses"]] == [name for name in expected[:-6:-1] if above[name] < 0]
    for one in (*view["strengths"], *view["weaknesses"]):
        assert one["above"] == above[one["card"].subset]
    text = pages[f"mmeb-scar/model-{entry.slug}.html"].decode()
    lists = re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a></th><td>([^<]*)</td>', text)
    shown = [(one["card"].subset, words.signed(one["above"])) for one in (*view["strengths"], *view["weaknesses"])]
    assert lists == shown
    alone = replace(board, entries=(entry,), comparisons=(), improvements=())
    assert model_page(alone, entry, medians(alone), ())["strengths"] == []
    random = next(e for e in board.entries if e.slug == "random")
    assert model_page(board, random, median, ())["weaknesses"] == []


def test_medians_are_of_those_that_know_something():
    made_up = boards.board(3, 0, pairs=0)
    name = made_up.cards[5].name
    scores = sorted(e.scores[name].value for e in made_up.entries if not e.knows_nothing)
    assert medians(made_up)[name] == scores[1]


def test_a_comparison_says_who_is_ahead(board, pages):
    pair = board.comparisons[0]
    text = pages[f"mmeb-scar/compare-{pair.base}-and-{pair.new}.html"].decode()
    rows = {text_of(row[0]): [text_of(cell) for cell in row] for row in rows_of(text, "tasks")}
    assert len(rows) == len(pair.tasks)
    labels = {entry.slug: entry.label for entry in board.entries}
    for difference in pair.tasks:
        row = rows[difference.where.removeprefix("SCaR/")]
        assert row[1] == words.signed(difference.value)
        if difference.adjusted >= 0.05:
            assert row[4] == "not told apart"
        else:
            assert row[4] == labels[pair.new if difference.value > 0 else pair.base]
        assert row[5:7] == ["40", "30"]
    matrix = rows_of(pages["mmeb-scar/compare.html"].decode(), "matrix-general")
    assert len(matrix) == 3
    names = [text_of(row[0]) for row in matrix]
    one = next(d for d in pair.groups if d.where == "general")
    new, base = names.index(labels[pair.new]), names.index(labels[pair.base])
    assert text_of(matrix[new][base + 1]) == words.signed(one.value)
    assert text_of(matrix[base][new + 1]) == words.signed(-one.value)
    assert text_of(matrix[new][new + 1]) == ""


def test_a_comparison_without_a_spread_has_no_interval_and_no_whisker(board):
    pair = board.comparisons[0]
    flat = Difference(pair.tasks[0].where, 0.0, None, None, 0, 0, 1.0, 1.0)
    moved = Difference("general", -0.1, None, None, 0, 24, 1e-6, 1e-5)
    page = pair_page(board, replace(pair, groups=(moved, replace(flat, where="interactive")), tasks=(flat,)))
    base = next(entry.label for entry in board.entries if entry.slug == pair.base)
    assert [text_of(said) for said in page["verdicts"]] == [
        f"MMEB-36: {base} is ahead ({words.signed(-0.1)} points, 95 % interval —).",
        "SCaR-5: no query has another score.",
    ]
    interval = next(column for column in page["tasks"].columns if column.key == "interval")
    assert [text_of(cell.content) for cell in interval.cells] == ["—"]
    assert "whisker" not in "".join(str(cell.content) for column in page["tasks"].columns for cell in column.cells)


def test_a_mean_of_nothing_is_no_zero():
    made_up = boards.board(2, 0, pairs=0)
    entry = made_up.entries[0]
    lacking = replace(entry, means={key: Mean(None, None, None, 0, mean.n_tasks) for key, mean in entry.means.items()})
    text = made(replace(made_up, entries=(lacking,), improvements=()))["index.html"]().decode()
    cells = dict(zip(columns_of(text, "mmeb-scar"), rows_of(text, "mmeb-scar")[0], strict=True))
    assert {cells[key] for key in cells if key.startswith("mean-")} == {"—"}


def test_a_page_has_no_columns_and_no_tables_of_dashes_alone(board):
    published = tuple(entry for entry in board.entries if entry.kind == "published")
    alone = replace(board, entries=published, comparisons=(), chance={})
    keys = [column.key for column in task_page(alone, board.cards[3], ())["table"].columns]
    assert not {"optimistic", "ties", "n", "samples"} & set(keys)
    assert {"optimistic", "ties", "n"} <= {c.key for c in task_page(board, board.cards[3], ())["table"].columns}
    bare = next(entry for entry in published if not entry.scores)
    assert model_page(board, bare, medians(board), ())["tasks"] is None
    text = made(board)[f"mmeb-scar/model-{bare.slug}.html"]().decode()
    assert "Its source reports no single tasks." in text
    assert '<table id="tasks"' not in text
    assert '<table id="means"' in text

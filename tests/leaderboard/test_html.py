"""The pages as text: right numbers, whole links, nothing that a stranger wrote let through, and the same bytes."""

from __future__ import annotations

import gzip
import html.parser
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import evalkit.reports
import jinja2
import pytest
import synthetic_boards as boards
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from evalkit.leaderboard import wording as words
from evalkit.leaderboard.board import Citation, Difference, Facts, Mean, Score
from evalkit.leaderboard.downloads.tabular import tables
from evalkit.leaderboard.pages import columns, grid
from evalkit.leaderboard.pages.comparison_page import pair_page
from evalkit.leaderboard.pages.headline import headline
from evalkit.leaderboard.pages.html import POLICY, STATIC, site
from evalkit.leaderboard.pages.model_page import model_page
from evalkit.leaderboard.pages.provenance import command, model
from evalkit.leaderboard.pages.sample_page import sample_page
from evalkit.leaderboard.pages.task_list import medians, task_list
from evalkit.leaderboard.pages.task_page import task_page
from evalkit.leaderboard.samples.media import Picture
from evalkit.suites.selecting import all_cards

TEMPLATES = Path(evalkit.reports.__path__[0]) / "templates"
VOID = {"meta", "link", "input", "img", "wbr", "br", "hr"}
DOWNLOADS = tuple(f"leaderboard.{kind}" for kind in ("csv", "json", "schema.json", "tex", "md"))


class Page(html.parser.HTMLParser):
    """A page taken apart; elements have to be closed in the order that they were opened in."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], ""
        self.attributes = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        pairs = dict(attributes)
        assert len(pairs) == len(attributes), f"an attribute of {tag} twice"
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.ids += [pairs["id"]] if "id" in pairs else []
        self.links += [pairs[name] for name in ("href", "src") if name in pairs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def made(*all_boards, queries=()):
    sheets = [boards.sheets(boards.sheet(all_boards[0], queries))] if queries else []
    return site(all_boards, version="0.1.0", sheets=sheets)


@pytest.fixture(scope="module")
def board():
    return boards.board(6, 4, pairs=3)


@pytest.fixture(scope="module")
def pages(board):
    queries = [boards.query(1), boards.query(2, "wrong"), boards.query(3, "tied")]
    return {name: make() for name, make in made(board, boards.demo(), queries=queries).items()}


@pytest.fixture(scope="module")
def hostile():
    files = made(boards.hostile(), queries=[boards.query(1, id=boards.HOSTILE, prompt=boards.HOSTILE)])
    return {name: make().decode() for name, make in files.items() if name.endswith(".html")}


def rows_of(text, table):
    """The rows of a table's body as lists of the cells' inner HTML."""
    body = re.search(rf'<table id="{table}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in re.findall(r"<tr.*?</tr>", body)]


def columns_of(text, table):
    head = re.search(rf'<table id="{table}".*?<thead>(.*?)</thead>', text, re.DOTALL)[1]
    return re.findall(r'data-column="([^"]+)"', head)


# --- the site as a whole --------------------------------------------------------------------------------


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
        own = {"cite", "percent", "region", "shown", "signed"}  # what they write is tested below
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


# --- numbers --------------------------------------------------------------------------------------------


def text_of(cell):
    return Page(f"<p>{cell}</p>").text


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


@pytest.mark.parametrize(
    ("parameters", "size", "millions", "kind"),
    [
        (None, "7B", 7000, "large"),
        (None, "4.2B", 4200, "middle"),
        (None, "0.5B", 500, "small"),
        (None, "400M", 400, "small"),
        (2208.9, "7B", 2208.9, "middle"),  # what is counted before what is called
        (None, None, None, "unknown"),
        (None, "large", None, "unknown"),
    ],
)
def test_a_size_is_the_number_of_parameters_or_what_the_name_says(parameters, size, millions, kind):
    facts = Facts(parameters=parameters, size=size)
    assert words.size(facts) == millions
    assert words.size_class(facts) == kind


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


# --- provenance -----------------------------------------------------------------------------------------


def run_of(board, **changes):
    (_, manifest) = next(entry.run for entry in board.entries if entry.run)
    record = manifest.model.model_copy(update=changes.pop("model", {}))
    settings = manifest.settings.model_copy(update=changes.pop("settings", {}))
    return manifest.model_copy(update={"model": record, "settings": settings, **changes})


@pytest.mark.parametrize(
    ("record", "written"),
    [
        ({"name": "virtue-tiny", "family": "virtue", "options": {}}, "virtue-tiny"),
        ({"name": "virtue-tiny", "family": "clip", "options": {}}, "clip:PATH/virtue-tiny"),
        (
            {"name": "random", "family": "random", "options": {"seed": "0", "dimension": "64"}},
            "random?dimension=64&seed=0",
        ),
        (
            {"name": "Sony/VIRTUE-2B-SCaR", "family": "virtue", "revision": "e" * 40},
            f"virtue:Sony/VIRTUE-2B-SCaR@{'e' * 40}?",
        ),
        ({"name": "mine", "family": "my_model.py", "options": {"a": "x&y"}}, "my_model.py:CLASS?a=x%26y"),
        ({"name": "ours", "family": "clip", "revision": "f" * 64, "options": {}}, "clip:PATH/ours"),
    ],
)
def test_the_model_of_a_command_is_the_runs(board, record, written):
    assert model(run_of(board, model=record)).startswith(written)


def test_the_command_measures_the_same_again(board):
    """It is what the command line takes, and asks for the same tasks and settings."""
    import shlex

    from click import Context

    from evalkit.cli import cli
    from evalkit.cli.run import command as run_command
    from evalkit.embedders.registry import parse_model
    from evalkit.suites.selecting import select_tasks

    settings = {"limit": 5, "official_dedup": True, "exif": "ignore", "vectors": "float16", "prompting": "crop"}
    manifest = run_of(board, settings=settings, model={"name": "virtue-tiny", "family": "virtue"})
    parts = shlex.split(command(manifest, board.cards))
    assert parts[:2] == ["evalkit", "run"]
    parsed = run_command.make_context(
        "run", parts[2:], parent=Context(cli, **cli.context_settings), resilient_parsing=True
    ).params
    assert parsed["limit"] == 5
    assert parsed["official_dedup"] is True
    assert (parsed["exif"], parsed["vectors"], parsed["prompting"]) == ("ignore", "float16", "crop")
    assert [card.name for card in select_tasks(parsed["selectors"])] == [result.task for result in manifest.tasks]
    assert parse_model(parsed["models"][0]).options == manifest.model.options


def test_the_tasks_of_a_command_are_the_runs(board):
    from evalkit.suites.selecting import select_tasks

    cards = {card.name: card for card in all_cards()}
    manifest = run_of(board)
    for names in (["ImageNet-1K", "SCaR/ADE20K"], [c for c in cards if cards[c].suite == "scar"]):
        results = tuple(result for result in manifest.tasks if result.task in names)
        text = command(run_of(board, tasks=results), board.cards)
        selected = select_tasks([text.split("--tasks ")[1].split()[0]])
        assert {card.name for card in selected} == set(names)
    assert "--tasks all " in command(manifest, board.cards)
    assert "--tasks scar " in text


# --- strangers' words -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("https://example.org/a?b=c#d", True),
        ("HTTPS://example.org", True),
        ("https://example.org/\u202e", False),
        ("https://", False),
        ("https://[", False),
        ("https:\\\\example.org", False),
        ('https://example.org/"onclick="', False),
        (" https://example.org", False),
        ("java\nscript:alert(1)", False),
        ("", False),
    ],
)
def test_an_address_outside_is_https_or_nothing(url, there):
    assert (words.outside(url) == url) is there
    assert there or words.outside(url) is None


@given(st.text())
def test_shown_text_turns_nothing_around_and_is_shown_as_it_is_again(text):
    shown = words.shown(text)
    assert all(c.isprintable() or c in "\n\u200c\u200d" for c in shown)
    assert words.shown(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012, "+1.2"), (-0.012, "\N{MINUS SIGN}1.2"), (0.0004, "0.0"), (-0.0004, "0.0"), (0.0, "0.0"), (None, "—")],
)
def test_a_difference_has_its_sign(value, text):
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (6.9, "6.9 M"),
        (151.3, "151 M"),
        (999.4, "999 M"),
        (999.6, "1 B"),
        (2210.0, "2.21 B"),
        (72000, "72 B"),
    ],
)
def test_parameters_are_millions_or_billions(value, text):
    assert words.parameters(value) == text


def test_names_break_where_a_reader_would():
    assert words.breakable("RefCOCO-Matching") == "RefCOCO-<wbr>Matching"
    assert words.breakable("InfographicsVQA") == "Infographics<wbr>VQA"
    assert words.breakable("COCO_Stuff") == "COCO_<wbr>Stuff"
    assert words.breakable("ImageNet-1K") == "ImageNet-1K"
    assert words.breakable("<b>") == "&lt;b&gt;"


def test_a_mean_of_nothing_is_no_zero():
    made_up = boards.board(2, 0, pairs=0)
    entry = made_up.entries[0]
    lacking = replace(entry, means={key: Mean(None, None, None, 0, mean.n_tasks) for key, mean in entry.means.items()})
    text = made(replace(made_up, entries=(lacking,), improvements=()))["index.html"]().decode()
    cells = dict(zip(columns_of(text, "mmeb-scar"), rows_of(text, "mmeb-scar")[0], strict=True))
    assert {cells[key] for key in cells if key.startswith("mean-")} == {"—"}


# --- samples --------------------------------------------------------------------------------------------


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
    image = Picture("NIGHTS/a.png", "media/a.webp", 8, 6)
    hidden = Picture("NIGHTS/a.png", None, None, None, "not embedded (--media none)")
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


def test_downloads_say_what_they_hold(board, pages):
    text = pages["downloads.html"].decode()
    kinds = re.findall(r'<th scope="row"><a href="mmeb-scar/([^"]+)">(.*?)</a></th><td class="t">(.*?)</td>', text)
    assert [file for file, _, _ in kinds] == list(DOWNLOADS)
    said = {label: what for _, label, what in kinds}
    assert said["LaTeX"].startswith("the headline table and one of each meta-task")
    assert said["JSON Schema"] == "what each field of the JSON is"
    assert '<th scope="col" class="t">What it holds</th>' in text  # as the cells below it


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


def test_badges_are_linked_where_there_is_one(board, pages):
    links = Page(pages["downloads.html"].decode()).links
    ranked = [e.slug for e in board.entries if any(e.ranks.get(key) for key in ("general", "interactive"))]
    assert 0 < len(ranked) < len(board.entries)
    found = [link for link in links if link.startswith("mmeb-scar/badges/")]
    assert found == [f"mmeb-scar/badges/{slug}.{kind}" for slug in ranked for kind in ("svg", "json")]

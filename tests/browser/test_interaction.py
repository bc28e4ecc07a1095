"""Sorting, filtering, folding, shading, themes, and the address that remembers them."""

from __future__ import annotations

import pytest
import synthetic_boards as boards
from sites import KINDS, write

pytestmark = [pytest.mark.browser, pytest.mark.slow(1)]

INDEX = "#mmeb-scar"


def names(page, table=INDEX):
    return page.locator(f"{table} tbody tr:visible > th a:first-child").all_inner_texts()


def press(page, column, table=INDEX):
    page.locator(f'{table} th[data-column="{column}"] button.sort').click()


def sorted_by(page, table=INDEX):
    found = page.locator(f"{table} thead th[aria-sort]")
    return {one.get_attribute("data-column"): one.get_attribute("aria-sort") for one in found.all()}


def state(page):
    return page.evaluate("location.hash")


def order(board, value, *, reverse):
    """Labels by a value; what has none comes last, and equals stay as the board has them."""
    entries = [entry for entry in board.entries if not entry.knows_nothing]
    there = [entry for entry in entries if value(entry) is not None]
    missing = [entry for entry in entries if value(entry) is None]
    return [entry.label for entry in [*sorted(there, key=value, reverse=reverse), *missing]]


def test_a_column_is_sorted_down_then_up_then_not_at_all(made, visit):
    page = visit(made.uri("index.html")).page
    before = names(page)
    foot = page.locator(f"{INDEX} tfoot tr > th").all_inner_texts()
    assert before == order(made.board, lambda entry: 0, reverse=False)
    assert sorted_by(page) == {}

    def mean(entry):
        return entry.means["vqa"].value

    for expected, said in (
        (order(made.board, mean, reverse=True), {"mean-vqa": "descending"}),
        (order(made.board, mean, reverse=False), {"mean-vqa": "ascending"}),
        (before, {}),
    ):
        press(page, "mean-vqa")
        assert names(page) == expected
        assert sorted_by(page) == said
        assert page.locator(f"{INDEX} tfoot tr > th").all_inner_texts() == foot
    press(page, "model")
    assert names(page) == order(made.board, lambda entry: entry.label.casefold(), reverse=False)
    assert sorted_by(page) == {"model": "ascending"}


def test_missing_numbers_are_last_whichever_way(made, visit):
    page = visit(made.uri("index.html")).page

    def score(entry):
        own = entry.scores.get("SCaR/ADE20K")
        return None if own is None else own.value

    lacking = [e.label for e in made.board.entries if not e.knows_nothing and score(e) is None]
    assert lacking
    for _ in range(2):
        press(page, "task-ade20k")
        assert names(page)[-len(lacking) :] == lacking
    assert names(page) == order(made.board, score, reverse=False)


def test_sorting_works_with_the_keyboard(made, visit):
    page = visit(made.uri("index.html")).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    button = page.locator(f'{INDEX} th[data-column="mean-general"] button.sort')
    button.focus()
    assert button.evaluate("one => getComputedStyle(one).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert sorted_by(page) == {"mean-general": "ascending"}
    region = page.locator(".region.pinned").first
    region.focus()
    assert region.evaluate("one => document.activeElement === one")


def test_many_rows_are_sorted_to_the_last(visit, tmp_path):
    big = write(tmp_path, boards.board(150, 30, pairs=0))
    page = visit(big.uri("index.html")).page
    for reverse in (True, False):
        press(page, "mean-vqa")
        page.wait_for_selector(f"{INDEX}:not([aria-busy])")
        assert names(page) == order(big.board, lambda entry: entry.means["vqa"].value, reverse=reverse)
    press(page, "model")
    press(page, "mean-ood")  # before the other is done
    page.wait_for_selector(f"{INDEX}:not([aria-busy])")
    assert names(page) == order(big.board, lambda entry: entry.means["ood"].value, reverse=True)


def test_filters_hide_rows_and_change_no_number(made, visit):
    page = visit(made.uri("index.html")).page
    status = page.locator('[data-status="mmeb-scar"]')
    all_rows = names(page)
    numbers = page.locator(f"{INDEX} tbody td").all_inner_texts()
    assert status.inner_text() == "12 entries"
    form = page.locator('form.tools[data-for="mmeb-scar"]')
    form.locator('select[name="kind"]').select_option("published")
    published = [e.label for e in made.board.entries if e.kind == "published"]
    assert names(page) == published
    assert status.inner_text() == "Filtered: 4 of 12 entries. Means, ranks and marks are those of the whole table."
    form.locator('select[name="trained"]').select_option("yes")
    assert names(page) == [
        e.label for e in made.board.entries if e.kind == "published" and e.facts.trained_on_mmeb == "yes"
    ]
    form.locator('[data-do="reset"]').click()
    assert names(page) == all_rows
    form.locator('input[name="q"]').fill("VLM2VEC 00")
    assert names(page) == [name for name in all_rows if name.startswith("vlm2vec-00")]
    form.locator('input[name="q"]').fill("no such model")
    assert names(page) == []
    assert status.inner_text().startswith("Filtered: 0 of 12 entries.")
    assert page.locator(f"{INDEX} tfoot tr:visible").count() == 3
    form.locator('input[name="q"]').fill("")
    form.locator('select[name="prompting"]').select_option("crop")
    assert names(page) == [e.label for e in made.board.entries if e.prompting == "crop"]
    form.locator('[data-do="reset"]').click()
    assert page.locator(f"{INDEX} tbody td").all_inner_texts() == numbers


def test_filters_add_up_with_sorting(made, visit):
    page = visit(made.uri("index.html", "mmeb-scar.kind=measured&mmeb-scar.sort=mean-ood:asc")).page
    expected = order(made.board, lambda entry: entry.means["ood"].value, reverse=False)
    measured = {entry.label for entry in made.board.entries if entry.kind == "measured"}
    assert names(page) == [name for name in expected if name in measured]


def test_sections_fold_and_unfold(made, visit):
    page = visit(made.uri("index.html")).page
    head = page.locator(f'{INDEX} th[data-section="vqa"]')
    button = head.locator("button.fold")

    def seen(section):
        return page.locator(f"{INDEX} thead th.in-{section}:visible").count()

    def cells():
        return page.locator(f"{INDEX} tbody tr:first-child > :visible").count()

    def columns():
        """Columns that the headers of sections stand over."""
        return page.locator(f"{INDEX} .sections > *").evaluate_all(
            "all => all.reduce((sum, one) => sum + one.colSpan, 0)"
        )

    assert [seen(name) for name in ("classification", "vqa", "retrieval", "grounding")] == [0, 0, 0, 0]
    assert button.get_attribute("aria-expanded") == "false"
    assert button.inner_text() == "+10"
    assert cells() == columns()
    button.click()
    assert [seen(name) for name in ("classification", "vqa", "retrieval", "grounding")] == [0, 10, 0, 0]
    assert button.get_attribute("aria-expanded") == "true"
    assert head.evaluate("one => one.colSpan") == 11
    assert cells() == columns()
    everything = page.locator('[data-do="fold"]').first
    everything.click()
    assert [seen(name) for name in ("classification", "vqa", "retrieval", "grounding")] == [10, 10, 12, 4]
    assert everything.get_attribute("aria-pressed") == "true"
    assert cells() == columns() == page.locator(f"{INDEX} tbody tr:first-child > *").count()
    everything.click()
    assert seen("retrieval") == 0


def test_the_heat_map_shades_cells_and_keeps_their_marks(made, visit):
    page = visit(made.uri("index.html")).page
    cell = page.locator(f"{INDEX} tbody td.h9:visible").first
    plain = cell.evaluate("one => getComputedStyle(one).backgroundColor")
    heat = page.locator('[data-do="heat"]').first
    heat.click()
    page.mouse.move(0, 0)
    assert heat.get_attribute("aria-pressed") == "true"
    colours = {
        shade: page.locator(f"{INDEX} tbody td.h{shade}:visible").first.evaluate(
            "one => getComputedStyle(one).backgroundColor"
        )
        for shade in range(1, 10)
        if page.locator(f"{INDEX} tbody td.h{shade}:visible").count()
    }
    assert len(set(colours.values())) == len(colours) > 3
    assert plain not in colours.values()
    heat.click()
    assert cell.evaluate("one => getComputedStyle(one).backgroundColor") == plain


def test_the_theme_is_the_systems_until_it_is_chosen_and_remembered(made, visit):
    page = visit(made.uri("index.html"), color_scheme="dark").page

    def ground():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    button = page.locator("[data-theme-switch]")
    dark = ground()
    assert button.get_attribute("aria-label") == "Switch to the light theme"
    button.click()
    light = ground()
    assert light != dark
    page.reload()
    assert ground() == light
    page.goto(made.uri("method.html"))
    assert ground() == light
    page.locator("[data-theme-switch]").click()
    assert ground() == dark
    page.emulate_media(color_scheme="light")
    assert ground() == dark


def seen_of(page):
    return page.evaluate(
        """() => ({
            rows: [...document.querySelectorAll("#mmeb-scar tbody tr:not([hidden]) > th")].map(one => one.innerText),
            sorted: [...document.querySelectorAll("th[aria-sort]")].map(one => one.dataset.column + one.ariaSort),
            folded: [...document.querySelectorAll("button.fold")].map(one => one.ariaExpanded),
            controls: [...document.querySelectorAll(".tools select, .tools input")].map(one => one.value),
            heat: document.querySelector("#mmeb-scar").classList.contains("heat"),
        })"""
    )


def test_the_address_holds_the_state_and_back_goes_back(made, visit):
    page = visit(made.uri("index.html")).page
    states = [(state(page), seen_of(page))]

    def step(action):
        action()
        states.append((state(page), seen_of(page)))
        assert states[-1] != states[-2]

    step(lambda: press(page, "mean-vqa"))
    step(lambda: page.locator('select[name="kind"]').first.select_option("measured"))
    step(lambda: page.locator('th[data-section="vqa"] button.fold').first.click())
    step(lambda: page.locator('[data-do="heat"]').first.click())
    step(lambda: page.locator('input[name="q"]').first.press_sequentially("virt"))
    hash_, last = states[-1]
    said = ("sort=mean-vqa%3Adesc", "kind=measured", "open=vqa", "heat=1", "q=virt")
    assert hash_ == "#" + "&".join(f"mmeb-scar.{part}" for part in said)
    page.reload()
    assert (state(page), seen_of(page)) == states[-1]
    other = visit(made.uri("index.html", hash_.removeprefix("#"))).page
    assert seen_of(other) == last
    for expected in reversed(states[:-1]):  # a word that is typed is one step
        page.go_back()
        page.wait_for_function("hash => location.hash === hash", arg=expected[0])
        assert seen_of(page) == expected[1]
    page.go_forward()
    page.wait_for_function("hash => location.hash === hash", arg=states[1][0])
    assert seen_of(page) == states[1][1]


def test_a_link_to_a_footnote_leaves_the_view_as_it_is(made, visit):
    page = visit(made.uri("index.html")).page
    press(page, "mean-general")
    before = seen_of(page)
    page.locator('sup a[href="#mmeb-scar-note-1"]').first.click()
    assert state(page) == "#mmeb-scar-note-1"
    assert page.locator("#mmeb-scar-note-1").is_visible()
    assert seen_of(page) == before
    page.go_back()
    assert seen_of(page) == before


def test_the_view_outlives_a_link_to_a_place_of_the_page(made, visit):
    """The address is the place's; the state is the step's, so that reload, back and forward find it."""
    page = visit(made.uri("index.html")).page
    page.locator('input[name="q"]').first.fill("virt")
    filtered, before = state(page), seen_of(page)
    assert 0 < len(before["rows"]) < 12
    footnote = page.locator('sup a[href="#mmeb-scar-note-1"]').first  # maybe of a row that is not seen
    footnote.evaluate("one => one.click()")
    assert state(page) == "#mmeb-scar-note-1"
    page.reload()
    assert (state(page), seen_of(page)) == ("#mmeb-scar-note-1", before)
    footnote.evaluate("one => one.click()")  # the same place once more
    page.reload()
    assert seen_of(page) == before
    page.locator('[data-do="heat"]').first.click()
    assert state(page) == f"{filtered}&mmeb-scar.heat=1"
    page.go_back()
    page.wait_for_function("location.hash === '#mmeb-scar-note-1'")
    assert seen_of(page) == before
    page.go_back()
    page.wait_for_function("hash => location.hash === hash", arg=filtered)
    assert seen_of(page) == before
    page.go_back()
    page.wait_for_function("location.hash === ''")
    assert len(seen_of(page)["rows"]) == 12
    page.go_forward()
    page.go_forward()
    page.wait_for_function("location.hash === '#mmeb-scar-note-1'")
    assert seen_of(page) == before


def test_back_to_a_place_of_the_page_undoes_what_was_done_there(made, visit):
    page = visit(made.uri("index.html", "mmeb-scar-board")).page
    before = seen_of(page)
    page.locator('[data-do="heat"]').first.click()
    assert seen_of(page)["heat"]
    page.go_back()
    page.wait_for_function("location.hash === '#mmeb-scar-board'")
    assert seen_of(page) == before
    page.go_forward()
    page.wait_for_function("location.hash.includes('heat')")
    assert seen_of(page)["heat"]
    page.evaluate("location.hash = 'mmeb-scar.kind=published'")  # somebody writes an address
    page.wait_for_function("!document.querySelector('#mmeb-scar').classList.contains('heat')")
    assert len(names(page)) == 4


def test_pressing_what_changes_nothing_is_no_step(made, visit):
    page = visit(made.uri("index.html", "mmeb-scar-board")).page
    steps = page.evaluate("history.length")
    page.locator('[data-do="reset"]').first.click()
    assert (page.evaluate("history.length"), state(page)) == (steps, "#mmeb-scar-board")


def test_a_filter_that_the_page_does_not_have_hides_nothing(made, visit):
    """A value that no option has would leave an empty table and a select that says nothing."""
    page = visit(made.uri("index.html", "mmeb-scar.size=bogus&mmeb-scar.kind=published&mmeb-scar.what=1")).page
    form = page.locator('form.tools[data-for="mmeb-scar"]')
    assert [form.locator(f'select[name="{name}"]').input_value() for name in ("size", "kind")] == ["", "published"]
    assert len(names(page)) == 4
    page.locator('[data-do="heat"]').first.click()
    assert state(page) == "#mmeb-scar.kind=published&mmeb-scar.heat=1"
    page = visit(made.uri(KINDS["pair"], "tasks.q=bogus&tasks.kind=x")).page  # a table without a search
    assert page.locator("#tasks tbody tr:visible").count() == page.locator("#tasks tbody tr").count() > 0


def test_missing_words_are_last_whichever_way(made, visit):
    page = visit(made.uri("index.html")).page
    lacking = [e.label for e in made.board.entries if not e.knows_nothing and e.prompting is None]
    assert lacking
    for _ in range(2):
        press(page, "prompting")
        assert names(page)[-len(lacking) :] == lacking


@pytest.mark.parametrize(
    "hash_",
    [
        "mmeb-scar.sort=nothing:desc",
        "mmeb-scar.open=head~nowhere",
        "other.sort=model:asc",
        "=",
        "a.b",
        "%",
        "mmeb-scar.kind=x",
    ],
)
def test_an_address_that_makes_no_sense_does_no_harm(made, visit, hash_):
    page = visit(made.uri("index.html", hash_)).page
    assert page.locator(f"{INDEX} thead").is_visible()
    assert len(names(page)) == 12
    page.locator('[data-do="reset"]').first.click()
    assert len(names(page)) == 12


def test_tables_of_two_boards_are_apart(made, visit):
    page = visit(made.uri("index.html")).page
    press(page, "mean-general", "#miniature")
    assert sorted_by(page) == {}
    assert sorted_by(page, "#miniature") == {"mean-general": "descending"}
    assert state(page) == "#miniature.sort=mean-general%3Adesc"


@pytest.mark.parametrize(
    ("kind", "table", "column"),
    [
        ("task", "#scores", "score"),
        ("model", "#tasks", "above"),
        ("pair", "#tasks", "p"),
        ("tasks", "#tasks", "chance"),
    ],
)
def test_tables_of_other_pages_are_sorted_too(made, visit, kind, table, column):
    page = visit(made.uri(KINDS[kind])).page
    press(page, column, table)
    index = page.locator(f'{table} thead th[data-column="{column}"]').evaluate("one => one.cellIndex")
    rows = page.locator(f"{table} tbody tr")
    places = rows.evaluate_all("(rows, index) => rows.map(row => row.cells[index].dataset.o)", index)
    there = [int(place) for place in places if place is not None]
    assert there in (sorted(there), sorted(there, reverse=True))
    assert len(set(there)) > 1
    assert all(place is None for place in places[len(there) :])


def test_samples_are_filtered_by_answer_margin_flip_and_words(made, visit):
    page = visit(made.uri(KINDS["samples"])).page

    def seen():
        return page.locator("article.sample:visible h2").all_inner_texts()

    assert seen() == [f"Query {n}" for n in range(4, 10)]
    for name, value, expected in (
        ("state", "right", [4, 7, 9]),
        ("state", "wrong", [5, 8]),
        ("state", "tied", [6]),
        ("margin", "low", [9]),
        ("flipped", "clip-002-crop", [4, 5, 9]),
    ):
        page.locator(f'select[name="{name}"]').select_option(value)
        assert seen() == [f"Query {n}" for n in expected], (name, value)
        page.locator('[data-do="reset"]').click()
    page.locator('input[name="q"]').fill("spoon")
    assert seen() == ["Query 5", "Query 6", "Query 8"]
    assert page.locator('[data-status="samples"]').inner_text() == "Filtered: 3 of 6 queries."
    page.reload()
    assert seen() == ["Query 5", "Query 6", "Query 8"]

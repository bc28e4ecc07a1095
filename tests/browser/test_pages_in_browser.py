"""The pages in headless Chromium: they load files alone, look right at any width, and are complete without a script."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import PIL.Image
import pytest
import synthetic_boards as boards
from sites import BOX, GROUND, HEIGHT, KINDS, WIDTH, write

from evalkit.leaderboard.wording import percent

pytestmark = [pytest.mark.browser, pytest.mark.slow(1)]

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
every_kind = pytest.mark.parametrize("kind", list(KINDS))


@every_kind
def test_a_page_asks_for_files_alone_and_scrolls_in_its_tables_only(made, visit, kind):
    """No error, no request but of files (the fixture looks), and nothing wider than a phone."""
    shown = visit(made.uri(KINDS[kind]), viewport={"width": 360, "height": 780})
    loaded = {Path(url.partition("#")[0]).suffix for url in shown.requests}
    assert {".html", ".css", ".js"} <= loaded
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 360
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgba(0, 0, 0, 0)"
    wide = shown.page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361
              && !e.closest(".region, .samples table, pre, .hidden, caption")).map(e => e.outerHTML.slice(0, 100))"""
    )
    assert wide == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@every_kind
def test_axe_finds_nothing_serious(made, visit, kind, theme):
    page = visit(made.uri(KINDS[kind]), color_scheme=theme).page
    for heat in page.locator('[data-do="heat"]').all():
        heat.click()  # contrast on every shade, too
    for fold in page.locator('[data-do="fold"]').all():
        fold.click()
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.evaluate(AXE)  # by the browser's own door: the page's policy would let no such script in
    found = page.evaluate("axe.run({preload: false, resultTypes: ['violations']})")
    serious = [
        (one["id"], one["help"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]
    assert serious == []
    assert len(found["passes"]) > 15  # it did look


def test_the_script_is_let_in_by_the_policy_and_another_is_not(made, visit, browser):
    page = visit(made.uri("index.html")).page
    assert page.evaluate("document.documentElement.classList.contains('js')")
    context = browser.new_context()
    other = context.new_page()
    refused = []
    other.on("console", lambda said: refused.append(said.text))
    other.goto(made.uri("index.html"))
    other.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.attacked = 1\">')")
    other.evaluate("fetch('https://example.org/').catch(() => 0)")
    other.wait_for_function("performance.now() > 0")
    assert other.evaluate("window.attacked") is None
    assert any("Content Security Policy" in text for text in refused)
    context.close()


def test_without_a_script_every_number_of_the_board_is_there_and_seen(made, visit):
    page = visit(made.uri("index.html"), java_script_enabled=False).page
    board = made.board
    rows = page.locator("#mmeb-scar tbody tr").all_inner_texts()  # of what is rendered, not of what is hidden
    assert len(rows) == sum(not entry.knows_nothing for entry in board.entries)
    for entry, text in zip([e for e in board.entries if not e.knows_nothing], rows, strict=True):
        assert entry.label in text
        seen = Counter(cell.split()[0] for cell in text.split("\t") if cell.strip())
        scores = [percent(score.value) for score in entry.scores.values()]
        means = [
            percent(mean.value) + ("°" if mean.reported else "") + "".join(map(str, mean.notes))
            for mean in entry.means.values()
            if mean.value is not None
        ]
        assert Counter([*scores, *means]) <= seen, entry.slug
    foot = page.locator("#mmeb-scar tfoot tr").all_inner_texts()
    assert [text.split("\t")[1].split(" ")[0].strip() for text in foot] == ["random", "constant", "Chance"]
    assert page.locator("button:visible").count() == 0  # nothing to press that does nothing
    assert page.locator("form:visible").count() == 0
    assert page.locator("#mmeb-scar th.in-retrieval:visible").count() == 12


def test_without_a_script_all_samples_are_there(made, visit):
    page = visit(made.uri(KINDS["samples"]), java_script_enabled=False).page
    assert page.locator("article.sample:visible").count() == 6


@pytest.mark.parametrize("page", ["index.html", "mmeb-scar/group-general.html"])
def test_header_names_and_foot_stay_where_they_are(made, visit, page):
    shown = visit(made.uri(page), viewport={"width": 900, "height": 560}).page
    region = shown.locator(".region.pinned").first

    def places():
        return region.evaluate(
            """region => {
                const at = selector => region.querySelector(selector).getBoundingClientRect();
                const own = region.getBoundingClientRect();
                return {head: at("thead").top - own.top, foot: own.bottom - at("tfoot").bottom,
                        name: at("tbody th.name").left - own.left, body: at("tbody tr:nth-child(3)").top};
            }"""
        )

    before = places()
    region.evaluate("region => region.scrollTo(300, 150)")
    after = places()
    assert after["body"] < before["body"] - 100
    assert after["head"] == pytest.approx(before["head"], abs=1)
    assert after["foot"] == pytest.approx(before["foot"], abs=1)
    assert after["name"] == pytest.approx(0, abs=70)  # behind the column of ranks, and never out of sight


@pytest.mark.parametrize("width", [360, 1024])
def test_headers_of_sections_do_not_slide_over_rank_and_model(made, visit, width):
    page = visit(made.uri("index.html"), viewport={"width": width, "height": 700}).page
    region = page.locator(".region.pinned").first
    region.scroll_into_view_if_needed()
    for scrolled in (0, 60, 160, 333, 700):
        region.evaluate("(region, x) => region.scrollTo(x, 40)", scrolled)
        above, below, seen = region.evaluate(
            """region => {
                const own = region.getBoundingClientRect(), [sections, columns] = region.querySelectorAll("thead tr");
                const place = cell => { const at = cell.getBoundingClientRect(); return [at.left, at.right]; };
                const first = row => [...row.cells].slice(0, 2);
                const name = sections.cells[1].getBoundingClientRect(), y = name.top + name.height / 2;
                const left = Math.max(name.left, own.left);
                const seen = [left + 4, (left + name.right) / 2, name.right - 4];
                return [first(sections).map(place), first(columns).map(place),
                        seen.map(x => document.elementFromPoint(x, y) === sections.cells[1])];
            }"""
        )
        for one, other in zip(above, below, strict=True):
            assert one == pytest.approx(other, abs=0.5), scrolled
        assert seen == [True] * 3, scrolled


def test_print_has_all_of_a_table_and_nothing_to_press(made, visit):
    page = visit(made.uri("index.html")).page
    page.emulate_media(media="print")
    assert page.locator("form.tools:visible").count() == 0
    height = page.locator(".region.pinned").first.evaluate("one => [one.clientHeight, one.scrollHeight]")
    assert height[0] >= height[1] - 1
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 30, 33)"  # ink is dark


# --- strangers' words ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    board = boards.hostile()
    words = {"prompt": f"{boards.HOSTILE}\n{boards.RTL}", "id": boards.HOSTILE, "label": None, "top": None}
    words["label"] = boards.candidate(f"<b>{boards.EMOJI}</b> {boards.RTL}", 0.7, True)
    words["top"] = (boards.candidate(boards.HOSTILE, 0.7, False), words["label"])
    return write(folder, board, queries=(boards.query(1, "wrong", **words),))


def test_what_strangers_wrote_stays_text(attacked, visit):
    """On every page of the site: no dialog (the fixture looks), no element, no link that runs."""
    index = visit(attacked.uri("index.html")).page
    for page in sorted(attacked.folder.rglob("*.html")):
        index.goto(page.as_uri())
        scripts, loading, running, links = index.evaluate(
            """() => [...["script", "img, iframe, object, base", "[onerror], [onclick], [style]"]
                        .map(what => document.querySelectorAll(what).length),
                      [...document.querySelectorAll("a[href]")].map(one => one.protocol)]"""
        )
        name = page.relative_to(attacked.folder)
        assert (scripts, loading, running) == (1, 0, 0), name
        assert set(links) <= {"file:", "https:"}, name
    index.goto(attacked.uri("index.html"))
    names = index.locator("tbody th.name").all_inner_texts()
    assert any(boards.HOSTILE in text for text in names)
    assert any("👩‍🔬 embedder 🦔" in text for text in names)
    assert any("{{ 7 * 7 }} & <!--" in text for text in names)
    assert any("\\u202eevil" in text for text in names)  # shown, and turning nothing around
    assert index.locator("bdi").count() >= len(names)
    samples = visit(attacked.uri("mmeb-scar/samples-RefCOCOg-" + _best(attacked) + ".html")).page
    assert boards.HOSTILE in samples.locator("pre.prompt").inner_text()
    assert "<b>👩‍🔬 embedder 🦔</b>" in samples.locator("p.label").inner_text()


def _best(site):
    return next(e for e in site.board.entries if "SCaR/RefCOCOg" in e.scores and e.kind == "measured").slug


def test_long_words_of_strangers_do_not_widen_a_page(attacked, visit):
    for kind in ("index.html", "mmeb-scar/compare.html", "downloads.html"):
        page = visit(attacked.uri(kind), viewport={"width": 360, "height": 780}).page
        assert page.evaluate("document.documentElement.scrollWidth") == 360, kind


# --- where a region lies ------------------------------------------------------------------------------


def picture(page, number):
    """The pixels of a query's picture on the screen, and how many of them one of the image's is."""
    place = page.locator(f"#query-{number} .asked .picture")
    place.scroll_into_view_if_needed()
    place.locator("img").evaluate_all("all => Promise.all(all.map(one => one.decode()))")
    pixels = PIL.Image.open(io.BytesIO(place.screenshot())).convert("RGB")
    return pixels, pixels.width / WIDTH


def near(one, other, tolerance=12):
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("width", [360, 1280])
def test_the_box_lies_where_the_data_says(made, visit, width):
    page = visit(made.uri(KINDS["samples"]), viewport={"width": width, "height": 900}).page
    pixels, scale = picture(page, 4)
    assert pixels.height == pytest.approx(HEIGHT * scale, abs=1)
    x0, y0, x1, y1 = (value * scale for value in BOX)

    def runs(line):
        """Where a line of pixels is not the image's own, as first and last place of each run."""
        # At its ends the picture may share a pixel with the page.
        other = [i for i, pixel in enumerate(line) if not near(pixel, GROUND) and 1 < i < len(line) - 2]
        starts = [i for i in other if i - 1 not in other]
        return [(start, next(i for i in range(start, len(line) + 1) if i not in other) - 1) for start in starts]

    middle = round((y0 + y1) / 2)
    across = runs([pixels.getpixel((x, middle)) for x in range(pixels.width)])
    centre = round((x0 + x1) / 2)
    down = runs([pixels.getpixel((centre, y)) for y in range(pixels.height)])
    assert [(a + b + 1) / 2 for a, b in across] == pytest.approx([x0, x1], abs=1)
    assert [(a + b + 1) / 2 for a, b in down] == pytest.approx([y0, y1], abs=1)
    # Two tones: light outside, strong within; one of them is seen on any ground.
    at = round(x0)
    tones = {pixels.getpixel((x, middle)) for x in range(at - 4, at + 4)}
    assert any(near(tone, (255, 255, 255)) for tone in tones)
    assert any(near(tone, (194, 24, 91)) for tone in tones)


def test_points_and_masks_lie_where_the_data_says(made, visit):
    page = visit(made.uri(KINDS["samples"])).page
    pixels, scale = picture(page, 5)
    assert near(pixels.getpixel((round(50 * scale), round(40 * scale))), (194, 24, 91), 40)
    assert near(pixels.getpixel((round(150 * scale), round(100 * scale))), (194, 24, 91), 40)
    assert near(pixels.getpixel((round(100 * scale), round(70 * scale))), GROUND)
    pixels, scale = picture(page, 6)

    def bright(x, y):
        return sum(pixels.getpixel((round(x * scale), round(y * scale))))

    inside = [bright(44, 34), bright(116, 34), bright(44, 86), bright(116, 86), bright(80, 60)]
    outside = [bright(36, 60), bright(124, 60), bright(80, 26), bright(80, 94), bright(5, 5)]
    assert min(inside) > max(outside) + 60


def test_a_picture_that_is_not_embedded_has_an_empty_frame_with_its_box(made, visit):
    page = visit(made.uri(KINDS["samples"])).page
    frame = page.locator("#query-7 .picture.frame")
    assert frame.get_attribute("aria-label").endswith("not embedded (--media none)")
    assert frame.locator("rect.line").bounding_box() is not None
    assert page.locator("#query-7 img").count() == 0


def test_one_command_takes_the_screenshots(made, browser, tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "screenshots.py"
    command = [
        sys.executable,
        script,
        made.folder,
        "--out",
        tmp_path,
        "--board",
        "mmeb-scar",
        "--only",
        "index",
        "samples",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = {file.name: PIL.Image.open(io.BytesIO(file.read_bytes())) for file in tmp_path.iterdir()}
    assert set(found) == {
        f"{k}-{t}-{w}.png" for k in ("index", "samples") for t in ("light", "dark") for w in (360, 1600)
    }
    assert found["index-light-1600.png"].width == 1600
    assert found["index-light-360.png"].width == 720  # two pixels for each, as phones have them
    light, dark = (found[f"index-{theme}-1600.png"].convert("L").getpixel((5, 500)) for theme in ("light", "dark"))
    assert light > 230 > 60 > dark

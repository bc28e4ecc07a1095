"""Entries on other data and claims, as somebody sees them: named as such, and below the ranked ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import sites  # noqa: F401 makes the boards of the other folder's tests known
from board_runs import EXAMPLE, coins, save
from test_pages_in_browser import AXE

from evalkit.leaderboard.report import Choices, report

pytestmark = [pytest.mark.browser, pytest.mark.slow(1)]

PAGES = ("index.html", "example/task-Shapes.html", "example/model-elsewhere.html", "example/compare.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on one data, one on other data that scores higher, and one that claims more than all of them."""
    folder = tmp_path_factory.mktemp("apart")
    for digit, (name, chance) in enumerate({"good": 0.6, "fair": 0.4, "elsewhere": 0.8, "cheat": 0.9}.items()):
        scores = {task: coins(task, chance, digit) for task in EXAMPLE}
        place, made = save(folder / "runs", name, scores, samples=name != "cheat", digit=str(digit))
        if name == "elsewhere":
            lines = {
                task.task: (task.signature or "").replace("|data:0|", "|data:0123456789ab|") for task in made.tasks
            }
            moved = tuple(task.model_copy(update={"signature": lines[task.task]}) for task in made.tasks)
            (place / "run.json").write_text(made.model_copy(update={"tasks": moved}).model_dump_json(by_alias=True))
            for task in EXAMPLE:
                sign(place / f"samples/{task}.parquet", lines[task])
    report([folder / "runs"], folder / "site", choices=Choices(published=False))
    return folder / "site"


def sign(file: Path, line: str) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(file).replace_schema_metadata({"evalkit.signature": line}), file)


def names(page) -> list[str]:
    return page.locator("#example tbody tr:visible th bdi").all_inner_texts()


@pytest.mark.parametrize("column", ["mean-general", "mean-interactive", "task-shaperegions"])
def test_they_stay_below_the_ranked_whichever_way_it_is_sorted(site, visit, column):
    page = visit((site / "index.html").as_uri()).page
    assert names(page) == ["good", "fair", "elsewhere", "cheat"]
    for expected in (["good", "fair", "elsewhere", "cheat"], ["fair", "good", "elsewhere", "cheat"]):
        page.locator(f"#example th[data-column='{column}'] button.sort").click()
        assert names(page) == expected
    rows = page.locator("#example tbody tr")
    ranks = {row.locator("bdi").inner_text(): row.locator("td").first.inner_text() for row in rows.all()}
    assert ranks == {"good": "1", "fair": "2", "elsewhere": "—", "cheat": "—"}


def test_they_are_named_where_they_stand(site, visit):
    page = visit((site / "index.html").as_uri()).page
    badges = {
        row.locator("bdi").inner_text(): row.locator(".badge.apart").all_inner_texts()
        for row in page.locator("#example tbody tr").all()
    }
    assert badges == {"good": [], "fair": [], "elsewhere": ["other data"], "cheat": ["claimed"]}
    bold = page.locator("#example tbody tr", has=page.locator("bdi", has_text="elsewhere")).locator("b")
    assert bold.count() == 0
    assert page.get_by_text("data differs: 0 and 0123456789ab").first.is_visible()
    assert page.get_by_text("Claimed, not measured").first.is_visible()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_overflows(site, visit, name, theme):
    page = visit(
        (site / name).as_uri(), color_scheme=theme, viewport={"width": 360, "height": 800}, bypass_csp=True
    ).page
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.evaluate(AXE)
    found = page.evaluate("axe.run({preload: false, resultTypes: ['violations']})")
    serious = [
        (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []

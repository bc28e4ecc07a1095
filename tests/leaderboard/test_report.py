"""Tables, the page and the Markdown: right numbers, nothing invented, nothing a stranger wrote let through."""

from __future__ import annotations

import html.parser
import re

import pytest

from evalkit.cli import main
from evalkit.errors import ResultsError, UsageError
from evalkit.leaderboard.pages import markdown, write_site
from evalkit.leaderboard.tables import sections
from evalkit.results import (
    Environment,
    Failure,
    Manifest,
    MetricResult,
    ModelRecord,
    RunFolder,
    Settings,
    TaskResult,
    averages,
    find_runs,
)
from evalkit.task import all_cards

CARDS = {card.name: card for card in all_cards()}
MMEB = [card.name for card in all_cards() if card.suite == "mmeb"]
SCAR = [card.name for card in all_cards() if card.suite == "scar"]


def value(score: float, chance: float = 0.1, ties: int = 0, optimistic: float | None = None) -> MetricResult:
    return MetricResult(
        value=score,
        optimistic=score if optimistic is None else optimistic,
        pessimistic=score if not ties else 0.0,
        chance=chance,
        n=1000,
        n_ties=ties,
        low=max(0.0, score - 0.03),
        high=min(1.0, score + 0.03),
        interval="wilson",
    )


def result(task: str, p1: MetricResult | None, **changes) -> TaskResult:
    card = CARDS[task]
    facts = {
        "task": task,
        "task_version": 1,
        "suite": card.suite,
        "meta_task": card.meta_task,
        "distribution": card.distribution,
        "status": "done" if p1 else "failed",
        "complete": p1 is not None,
        "n_queries": card.queries if p1 else None,
        "metrics": {"precision_at_1": p1} if p1 else None,
        "signature": f"task:{task}@1" if p1 else None,
    }
    return TaskResult(**(facts | changes))


def run(name: str, results: list[TaskResult], *, family: str = "clip", digit: str = "0", **settings) -> Manifest:
    return Manifest(
        run_id=digit * 12,
        status="done",
        evalkit_version="0.1.0",
        model=ModelRecord(
            name=name,
            family=family,
            revision=None,
            fingerprint=digit * 64,
            dimension=8,
            modalities=("text",),
            regions=(),
            options={},
        ),
        settings=Settings(**settings),
        environment=Environment(python="3.11.7", system="Linux x86_64", device="cpu", packages={}),
        tasks=tuple(results),
        averages=averages(results),
    )


def cells(table) -> dict[str, list[str]]:
    return {row.header: [cell.text for cell in row.cells] for row in table.rows}


def overview(runs):
    (section,) = sections(runs)
    return section.tables[0]


def test_means_are_those_of_all_tasks():
    scores = {task: (i + 1) / 100 for i, task in enumerate(MMEB)}
    table = overview([run("model", [result(task, value(score)) for task, score in scores.items()])])
    row = dict(zip(table.header[1:], cells(table)["model"], strict=True))

    def mean(**facts):
        own = [s for t, s in scores.items() if all(getattr(CARDS[t], k) == v for k, v in facts.items())]
        return f"{100 * sum(own) / len(own):.1f}"

    assert row == {
        "Rank": "1",
        "Mean": mean(),
        "Classification": mean(meta_task="classification"),
        "VQA": mean(meta_task="vqa"),
        "Retrieval": mean(meta_task="retrieval"),
        "Grounding": mean(meta_task="grounding"),
        "In-distribution": mean(distribution="ind"),
        "Out-of-distribution": mean(distribution="ood"),
        "Tasks": "36/36",
        "Regions by": "–",
    }


@pytest.mark.parametrize("fault", ["missing", "failed", "partial"])
def test_no_mean_and_no_rank_without_all_tasks(fault):
    results = [result(task, value(0.9)) for task in MMEB[1:]]
    if fault == "failed":
        results.append(result(MMEB[0], None, error=Failure(type="DataError", message="no file")))
    if fault == "partial":
        results.append(result(MMEB[0], value(0.9), complete=False))
    table = overview([run("lacks", results), run("whole", [result(task, value(0.2)) for task in MMEB], digit="1")])
    rows = cells(table)
    assert list(rows) == ["whole", "lacks"]  # a higher mean of fewer tasks does not lead
    assert rows["whole"][:2] == ["1", "20.0"]
    assert rows["lacks"][:3] == ["–", "–", "–"]  # MMEB[0] is a classification task
    assert dict(zip(table.header[1:], rows["lacks"], strict=True))["VQA"] == "90.0"
    assert "35/36" in rows["lacks"]


def test_what_a_run_says_of_itself_is_not_believed():
    """Means come from its tasks, and a task counts only as the card of today has it."""
    honest = run("one task", [result(MMEB[0], value(0.9))])
    boasting = honest.model_copy(update={"averages": (honest.averages[0].model_copy(update={"value": 0.99}),)})
    table = overview([boasting])
    assert cells(table)["one task"][:2] == ["–", "–"]
    for changes in ({"n_queries": 3}, {"task_version": 99}):
        (section,) = sections([run("other", [result(task, value(0.9), **changes) for task in SCAR])])
        assert cells(section.tables[0])["other"][:2] == ["–", "–"]
        assert "0/5" in cells(section.tables[0])["other"]
        assert cells(section.tables[1])["other"][0] == "90.0†"


def test_every_number_has_its_interval_chance_and_ties_in_both_forms(tmp_path):
    runs = [run("good", [result(task, value(0.512, 0.1, ties=7, optimistic=0.6)) for task in SCAR])]
    (section,) = sections(runs)
    assert len(section.details.rows) == 5
    row = dict(zip(section.details.header[1:], [c.text for c in section.details.rows[0].cells], strict=True))
    assert row["Task"] == SCAR[0]
    assert (row["Value"], row["From"], row["To"]) == ("51.2", "48.2", "54.2")
    assert (row["Optimistic"], row["Chance"], row["Ties"], row["n"]) == ("60.0", "10.0", "7", "1000")
    for text in (markdown(sections(runs)), write_site(sections(runs), tmp_path).read_text()):
        assert "48.2" in text
        assert "Pessimistic" in text


def test_the_same_run_from_two_folders_stands_once():
    good = run("good", [result(task, value(0.5)) for task in SCAR])
    assert list(cells(overview([good, good]))) == ["good"]


def test_baselines_stand_at_the_foot_without_a_rank_and_are_never_best():
    lucky = run("random", [result(task, value(0.95)) for task in SCAR], family="random", digit="1")
    good = run("good", [result(task, value(0.5)) for task in SCAR])
    fair = run("fair", [result(task, value(0.4)) for task in SCAR], digit="2")
    (section,) = sections([lucky, fair, good])
    assert [row.header for row in section.tables[0].rows] == ["good", "fair", "random"]
    assert [row.cells[0].text for row in section.tables[0].rows] == ["1", "2", "–"]
    for table in section.tables:
        best = {row.header for row in table.rows for cell in row.cells if cell.best}
        assert best == {"good"}


def test_suites_never_share_a_table():
    both = run("model", [result(MMEB[0], value(0.5)), result(SCAR[0], value(0.5))])
    titles = [section.title for section in sections([both])]
    assert len(titles) == 2
    for section in sections([both]):
        tasks = {name for table in section.tables[1:] for name in table.header[1:]}
        assert len({CARDS.get(name, CARDS.get(f"SCaR/{name}")).suite for name in tasks}) == 1


def test_ties_chance_and_failures_are_shown():
    constant = run(
        "constant", [result("ImageNet-1K", value(0.001, 0.001, ties=1000, optimistic=1.0))], family="constant"
    )
    broken = run(
        "broken",
        [result("ImageNet-1K", None, error=Failure(type="ImageError", message="image a.jpg is missing"))],
        digit="1",
    )
    (section,) = sections([constant, broken])
    rows = cells(section.tables[1])
    assert rows["constant"][0] == "0.1* (100.0)"
    assert rows["broken"][0] == "failed"
    assert any("image a.jpg is missing" in note for note in section.notes)
    assert any("not above chance" in note for note in section.notes)
    title = section.tables[1].rows[1].cells[0].title
    assert "1000 ties" in title
    assert "n 1000" in title
    assert "chance 0.1" in title


def test_two_runs_of_one_model_are_told_apart():
    first = run("model", [result(MMEB[0], value(0.5))])
    second = run("model", [result(MMEB[0], value(0.4), complete=False)], digit="1", limit=5, official_dedup=True)
    (section,) = sections([first, second])
    assert set(cells(section.tables[0])) == {"model (000000000000)", "model (111111111111)"}
    assert any("official key" in note and "111111111111" in note for note in section.notes)


def test_two_runs_of_one_model_are_told_apart_by_how_regions_reached_it_where_that_is_enough():
    modes = (("native", "0"), ("crop", "1"))
    told = [run("one", [result(t, value(0.5), prompting=m) for t in SCAR], digit=d) for m, d in modes]
    lone = run("other", [result(task, value(0.4), prompting="crop") for task in SCAR], digit="2")
    assert set(cells(overview([*told, lone]))) == {"one (native)", "one (crop)", "other"}
    # A third one that is neither: all are called by their run ids, or where it has no regions at all.
    for third in ({"prompting": "crop"}, {}):
        more = run("one", [result(task, value(0.3), **third) for task in SCAR], digit="3")
        assert set(cells(overview([*told, more]))) == {f"one ({digit * 12})" for digit in "013"}


def test_how_regions_reached_a_model_stands_beside_every_number(tmp_path):
    modes = ("native", "text", "native", "native", "native")
    mixed = run("mixed", [result(task, value(0.5), prompting=mode) for task, mode in zip(SCAR, modes, strict=True)])
    cut = run("cut", [result(task, value(0.4), prompting="crop") for task in SCAR], digit="1", prompting="crop")
    later = run("later", [result(task, value(0.3), prompting="overlay") for task in SCAR], digit="2")
    (section,) = sections([mixed, cut, later])
    shown = {"mixed": "native, text", "cut": "crop", "later": "overlay"}
    for table in section.tables:
        assert table.header[-1] == "Regions by"
        assert {name: row[-1] for name, row in cells(table).items()} == shown
    titles = {row.header: [cell.title.partition(";")[0] for cell in row.cells[:5]] for row in section.tables[1].rows}
    assert titles["mixed"] == [f"regions by {mode}" for mode in modes]
    assert titles["cut"] == ["regions by crop"] * 5
    assert section.details.header[-1] == "Regions by"
    assert [row.cells[-1].text for row in section.details.rows] == [*modes, *["crop"] * 5, *["overlay"] * 5]
    assert [note for note in section.notes if "regions by" in note] == ["cut: regions by crop asked for."]
    for text in (markdown([section]), write_site([section], tmp_path).read_text()):
        assert text.count("Regions by") == 3
    plain = sections([run("plain", [result(MMEB[0], value(0.5))])])[0]
    assert [table.header[-1] == "Regions by" for table in (*plain.tables, plain.details)] == [True, False, False]


NASTY = "\x1b[31m\u202e</script><b onmouseover=alert(1)>\"'|`*_[x](y)\n# h"


def test_nothing_that_a_stranger_wrote_becomes_markup(tmp_path):
    bad = run(NASTY, [result(MMEB[0], None, error=Failure(type="DataError", message=NASTY))])
    page = write_site(sections([bad]), tmp_path).read_text()

    class Reader(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.text = set(), ""

        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)
            assert all(not name.startswith("on") for name, _ in attributes)

        def handle_data(self, data):
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "b", "img", "link", "a"}
    assert "</script><b onmouseover=alert(1)>" in reader.text  # shown as text
    text = markdown(sections([bad]))
    assert "<b" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in {11, 12, 13}
    assert "\n# h" not in text
    assert "\x1b" not in text + page
    assert "\u202e" not in text + page


def test_the_page_loads_nothing_and_is_the_same_every_time(tmp_path):
    runs = [run("model", [result(task, value(0.5)) for task in SCAR])]
    first = write_site(sections(runs), tmp_path / "a").read_bytes()
    assert first == write_site(sections(list(runs)), tmp_path / "b").read_bytes()
    assert b"http:" not in first
    assert b"https:" not in first
    assert b"src=" not in first
    assert b"url(" not in first
    assert markdown(sections(runs)) == markdown(sections(runs))


def test_the_order_of_runs_does_not_matter():
    runs = [run(n, [result(task, value(0.5)) for task in SCAR], digit=d) for n, d in (("b", "1"), ("a", "2"))]
    assert sections(runs) == sections(runs[::-1])


def test_markdown_holds_the_numbers_of_the_page():
    good = run("good", [result(task, value(0.512)) for task in SCAR])
    text = markdown(sections([good]))
    assert "| good | 1 | 51.2 | 5/5 | – |" in text
    header = next(line for line in text.splitlines() if line.startswith("| Model | RefCOCO"))
    assert header.count("|") == 7


def test_report_command(tmp_path, capsys):
    RunFolder(tmp_path / "runs" / "good" / ("0" * 12), run("good", [result(task, value(0.5)) for task in SCAR]))
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "site"), "--markdown", str(tmp_path / "L.md")])
    assert ended.value.code == 0
    assert "good" in (tmp_path / "site" / "index.html").read_text()
    assert "good" in (tmp_path / "L.md").read_text()
    # A run's own folder and a model's folder are taken, too.
    assert len(find_runs([tmp_path / "runs" / "good"])) == len(find_runs([tmp_path / "runs/good/000000000000"])) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no run"),
        (b"{", "not a run of schema version 1"),
        (b'{"schema": "evalkit.run", "schema_version": 2}', "schema_version"),
        (b'{"schema": "other"}', "schema"),
    ],
)
def test_report_refuses_what_is_no_run(tmp_path, content, message):
    folder = tmp_path / "model" / "id"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "run.json").write_bytes(content)
    with pytest.raises((ResultsError, UsageError), match=message):
        find_runs([tmp_path])

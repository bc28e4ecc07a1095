"""People's own tasks on the leaderboard: real runs of them, beside runs of an installed suite."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
from builders import command
from own_runs import MODELS, evaluated, own_task
from page_texts import Page, columns_of, rows_of, text_of

from evalkit.embedders.modeltext import parse_model
from evalkit.example import DATA as EXAMPLE
from evalkit.leaderboard.downloads.exports import schema
from evalkit.leaderboard.downloads.markdown import escaped
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.report import Choices, report
from evalkit.runs.runfolder import find_runs
from evalkit.suites.selecting import select_tasks

pytestmark = pytest.mark.slow(2)

RTL = "\u202e"
HOSTILE = f"</title><script>alert(1)</script> {RTL}drawn & 'set' " + "x" * 150
NAMES = ("my-task", "MY-TASK", "Team/my-task")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models on a suite, on a task that says much, and on two whose names are nearly its own."""
    folder = tmp_path_factory.mktemp("runs")
    facts = {
        "title": HOSTILE,
        "licence": "<b>mine</b>",
        "citation": "@misc{me,\n  title = {<i>Mine</i>}}",
        "notes": (f"See <img src=x onerror=alert(1)>{RTL}.",),
        "meta_task": "classification",
    }
    tasks = [
        own_task("my-task", 32, noise=0.2),
        own_task("MY-TASK", 20, noise=0.5, title="Another one"),
        own_task("Team/my-task", 16, **facts),
    ]
    evaluated(folder, [*select_tasks(["example"]), *tasks], MODELS, data=EXAMPLE)
    return folder


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = report([runs], folder / "site", folder / "L.md", Choices(published=False, samples=5))
    assert done.warnings == ()
    return folder / "site"


@pytest.fixture(scope="module")
def document(site: Path) -> dict:
    return json.loads((site / "own/leaderboard.json").read_text())


def answers(runs: Path, model: str, task: str) -> list[float]:
    """The scores of a per-query file, read as any other program would."""
    return column(runs, model, task, "score")


def column(runs: Path, model: str, task: str, name: str) -> list[float]:
    (file,) = runs.glob(f"{model}/*/samples/{task}.parquet")
    return pq.read_table(file)[name].to_pylist()


def test_own_tasks_have_a_board_of_their_own_without_means_and_ranks(document: dict, runs: Path) -> None:
    assert (document["board"], document["title"], document["groups"]) == ("own", "Own tasks", [])
    assert [task["name"] for task in document["tasks"]] == ["MY-TASK", "my-task", "Team/my-task"]
    assert document["improvements"] == []
    jsonschema.validate(document, schema())
    for entry in document["entries"]:
        assert entry["means"] == {}
        assert entry["ranks"] == {}
        assert set(entry["scores"]) == set(NAMES)
        for task, score in entry["scores"].items():
            own = answers(runs, entry["model"], task)
            assert score["value"] == pytest.approx(sum(own) / len(own), abs=1e-12)
            assert score["n"] == len(own)
            assert score["n_ties"] == sum(one > 0 for one in column(runs, entry["model"], task, "ties"))
            assert score["low"] <= score["value"] <= score["high"]
    assert {task["chance"] for task in document["tasks"]} == {1 / 8}
    assert [task["meta_task"] for task in document["tasks"]] == ["own", "own", "classification"]


def test_no_other_board_has_anything_of_them(site: Path) -> None:
    assert sorted(folder.name for folder in site.iterdir() if folder.is_dir()) == ["example", "own"]
    for file in (site / "example").rglob("*"):
        if file.is_file() and file.suffix != ".json":
            assert "my-task" not in file.read_text().lower(), file
    assert "my-task" not in (site / "example/leaderboard.json").read_text().lower()


def test_the_index_shows_scores_with_intervals_and_no_column_that_says_nothing(site: Path, document: dict) -> None:
    text = (site / "index.html").read_text()
    keys = columns_of(text, "own")
    assert keys[:1] == ["model"]
    assert keys[-2:] == ["coverage", "dimension"]
    assert [key for key in keys[1:-2] if not key.startswith("task-")] == []
    assert len(keys) == len(set(keys)) == 6
    (entry,) = [entry for entry in document["entries"] if entry["model"] == "example-colours"]
    (row,) = rows_of(text, "own")  # the others know nothing and stand at the foot
    for cell, task in zip(row[1:4], document["tasks"], strict=True):
        score = entry["scores"][task["name"]]
        percents = [f"{100 * score[key]:.1f}" for key in ("value", "low", "high")]
        assert " ".join(text_of(cell).split()) == f"{percents[0]} {percents[1]}–{percents[2]}"
    section = text[text.index('id="own-board"') :]
    assert "nobody is ranked by it" in section
    for word in ("Mean", "Rank<", "distribution", "MMEB-train", "Parameters", "Licence"):
        assert word not in section, word


def test_every_page_is_there_under_a_name_that_no_disk_mistakes_for_another(site: Path) -> None:
    names = [str(file.relative_to(site)) for file in site.rglob("*")]
    assert len({name.casefold() for name in names}) == len(names)
    assert (site / "own/task-my-task.html").is_file()
    pages = sorted(site.glob("own/task-*.html"))
    assert len(pages) == 3
    assert {re.search("<h1>(.*?)</h1>", page.read_text())[1] for page in pages} == set(NAMES)
    assert len(list(site.glob("own/samples-*.html"))) == 9
    for page in site.glob("own/*.html"):
        for link in Page(page.read_text()).links:
            if not link.startswith(("https:", "#")):
                assert (page.parent / link.partition("#")[0]).resolve().is_file(), (page.name, link)


def test_strangers_words_are_text_and_turn_nothing_round(site: Path) -> None:
    for page in (*site.rglob("*.html"), *site.rglob("leaderboard.*"), site / "feed.xml", site.parent / "L.md"):
        content = page.read_text()
        assert RTL not in content, page
        if page.suffix == ".html":
            found = Page(content)
            assert found.tags.count("script") == 1
            assert [one for one in found.attributes if one[1].startswith("on")] == []
            assert "<b>mine" not in content
    text = next(page for page in site.glob("own/task-*.html") if "alert(1)" in page.read_text()).read_text()
    assert "\\u202edrawn" in Page(text).text
    assert HOSTILE[:30] in Page(text).text
    assert "Own task: classification" in Page(text).text


def test_a_task_page_has_no_line_for_what_its_card_does_not_say(site: Path) -> None:
    text = (site / "own/task-my-task.html").read_text()
    names = re.findall("<dt>(.*?)</dt>", text)
    assert names == ["Queries", "Candidates", "Pool", "Instruction", "Version"]
    assert "Citation" not in text
    assert "huggingface" not in text
    keys = columns_of(text, "scores")
    assert keys == ["model", "score", "interval", "plot", "best", "optimistic", "ties", "n", "samples"]
    full = next(page for page in site.glob("own/task-*.html") if "alert(1)" in page.read_text()).read_text()
    assert re.findall("<dt>(.*?)</dt>", full) == [*names[:-1], "Licence", "Version"]
    assert "Citation" in full


def test_the_command_of_a_model_names_folders_and_no_data(site: Path) -> None:
    from click import Context

    from evalkit.cli import cli
    from evalkit.cli.run import command as run_command

    text = Page((site / "own/model-example-colours.html").read_text()).text
    line = next(line for line in text.splitlines() if line.startswith("evalkit run"))
    parent = Context(cli, **cli.context_settings)
    parsed = run_command.make_context("run", shlex.split(line)[2:], parent=parent, resilient_parsing=True).params
    assert [part for given in parsed["selectors"] for part in given.split(",")] == [
        *("./MY-TASK", "./my-task", "./Team/my-task")
    ]
    assert parse_model(parsed["models"][0]).text == "example-colours"
    assert "--data" not in line
    assert "made in Python has no command" in text
    assert "Means" not in text
    assert "MMEB-train" not in text
    other = Page((site / "example/model-example-colours.html").read_text()).text
    assert "--tasks example --data DATA" in other


def test_a_model_that_was_a_function_has_no_command(runs: Path) -> None:
    from evalkit.leaderboard.pages.provenance import command

    (_, manifest) = find_runs([runs])[0]
    model = manifest.model.model_copy(update={"family": "function"})
    assert command(manifest.model_copy(update={"model": model}), [*manifest.own_tasks.values()]) is None
    mine = manifest.model.model_copy(update={"family": "__main__.Mine"})
    assert command(manifest.model_copy(update={"model": mine}), [*manifest.own_tasks.values()]) is None


def test_downloads_of_own_tasks_say_what_they_have(site: Path, document: dict) -> None:
    table = list(csv.DictReader(io.StringIO((site / "own/leaderboard.csv").read_text())))
    header = list(table[0])
    assert len(header) == len(set(header))
    assert [name for name in header if "general" in name or "mmeb" in name or "rank" in name] == []
    for row, entry in zip(table, document["entries"], strict=True):
        for task, score in entry["scores"].items():
            for part, key in (("", "value"), (":low", "low"), (":high", "high"), (":n", "n"), (":ties", "n_ties")):
                assert float(row[f"own/{task}{part}"]) == score[key]
    markdown = (site.parent / "L.md").read_text()
    own = markdown[markdown.index("## Own tasks") :]
    head = next(line for line in own.splitlines() if line.startswith("| Model"))
    assert head == "| Model | MY-TASK | my-task | Team/my-task | Tasks | Dimension | Numbers |"
    assert "Means are" not in own
    assert escaped("Another one (20 queries, version 1)") in own
    assert markdown.index("## Example") < markdown.index("## Own tasks")
    tex = (site / "own/leaderboard.tex").read_text()
    assert tex.count(r"\begin{tabular}") == 1
    assert "example-colours & " in tex
    assert not (site / "own/badges").exists()
    feed = (site / "feed.xml").read_text()
    (entry,) = [entry for entry in document["entries"] if entry["model"] == "example-colours"]
    said = ", ".join(f"{task} {100 * score['value']:.1f}" for task, score in entry["scores"].items())
    assert f"<summary>example-colours: {said}</summary>" in feed
    assert "no mean" not in feed
    downloads = Page((site / "downloads.html").read_text()).text
    assert "one row for each entry, with all scores, their intervals and ties" in downloads


def test_the_method_page_speaks_of_own_tasks_where_there_are_any(site: Path, runs: Path, tmp_path: Path) -> None:
    assert 'id="own"' in (site / "method.html").read_text()
    bare = evaluated(tmp_path / "bare", select_tasks(["example/Shapes"]), ["random"], data=EXAMPLE)
    report(bare, tmp_path / "site", choices=Choices(published=False, samples=0))
    assert 'id="own"' not in (tmp_path / "site/method.html").read_text()
    assert "own" not in {folder.name for folder in (tmp_path / "site").iterdir()}


def test_sample_pages_say_why_they_have_no_texts(site: Path) -> None:
    text = Page((site / "own/samples-my-task--example-colours.html").read_text()).text
    assert "evalkit report … --tasks ./FOLDER" in text
    assert "Here are the first 5" in text


@pytest.mark.parametrize("media", ["none", "full"])
def test_sample_pages_of_a_task_that_is_given_show_its_texts_and_images(media: str, tmp_path: Path) -> None:
    task = own_task("t", 6)
    folders = evaluated(tmp_path / "runs", [task], ["example-colours"])
    choices = Choices(published=False, media=media, tasks=(task, own_task("unknown", 3)))
    done = report(folders, tmp_path / "site", choices=choices)
    assert done.warnings == ("no run has the own task unknown",)
    text = (tmp_path / "site/own/samples-t--example-colours.html").read_text()
    assert text.count("Name its colour.") == 6
    assert "are not here" not in text
    images = sorted((tmp_path / "site/own/media").glob("*")) if media == "full" else []
    assert len(images) == len({item.image.rgb().tobytes() for item in task.queries if media == "full"})
    assert text.count("<img ") == (6 if media == "full" else 0)
    assert ("--media thumbnails" in text) == (media == "none")


def test_sample_pages_show_no_rows_that_the_run_was_not_made_of(tmp_path: Path) -> None:
    made = own_task("t", 6)
    folders = evaluated(tmp_path / "runs", [made], ["example-colours"])
    reworded = replace(made, queries=[replace(item, prompt="<image>", text="Another.") for item in made.queries])
    now = {
        "the task as it is now is version 2": own_task("t", 6, version=2),
        "it has 7 queries and the run 6": own_task("t", 7),
        "6 of the run's 6 queries have another text in it, such as q0": reworded,
    }
    for said, task in now.items():
        report(folders, tmp_path / "site", choices=Choices(published=False, tasks=(task,)))
        text = Page((tmp_path / "site/own/samples-t--example-colours.html").read_text()).text
        assert said in text
        assert "Name its colour." not in text


def test_the_command_line_takes_an_own_tasks_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("new", "task", tmp_path / "mine") == 0
    more = ("--tasks", tmp_path / "mine", "--out", tmp_path / "runs", "--quiet")
    assert command("run", "--model", "random", "--model", "example-colours", *more) == 0
    made = ("--out", tmp_path / "site", "--no-published", "--quiet")
    assert command("report", tmp_path / "runs", *made, "--tasks", tmp_path / "mine", "--media", "full") == 0
    pages = list((tmp_path / "site/own").glob("samples-*--example-colours.html"))
    assert len(pages) == 1
    assert "<img " in pages[0].read_text()
    lines = map(json.loads, (tmp_path / "mine/candidates.jsonl").read_text().splitlines())
    called = [f"{line['id']}: {line['text']}" for line in lines]  # a candidate's id alone says little
    assert set(re.findall('<bdi class="said">(.*?)</bdi>', pages[0].read_text())) <= set(called)
    assert command("report", tmp_path / "runs", *made, "--tasks", tmp_path / "missing") == 2
    assert "missing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def disagreeing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Runs of one task's name: two models on the same rows under two titles, two others on other rows or versions."""
    folder = tmp_path_factory.mktemp("disagreeing")
    made = {
        "one": (own_task("t", 24, noise=0.3, title="One"), ["example-colours"]),
        "two": (own_task("t", 24, noise=0.3, title="Two"), ["random?seed=7"]),
        "rows": (own_task("t", 24, noise=0.3, seed=5, title="Other rows"), ["clip-tiny"]),
        "version": (own_task("t", 24, noise=0.3, title="Newer", version=2), ["constant"]),
    }
    return {name: evaluated(folder / name, [task], models) for name, (task, models) in made.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(["one", "two", "rows", "version"]))[::5])
def test_runs_that_disagree_about_a_task_are_neither_ranked_nor_paired(
    order: tuple[str, ...], disagreeing: dict[str, list[Path]]
) -> None:
    """Whatever order they come in: clip-tiny and example-colours know something, and stand on one set of rows each."""
    (board,) = boards(find_runs([folder for name in order for folder in disagreeing[name]]))
    entries = {entry.model: entry for entry in board.entries}
    apart = {model: entry.scores["t"].apart for model, entry in entries.items()}
    counted = sorted(model for model, why in apart.items() if why is None)
    assert counted == ["example-colours", "random"]  # two models against one each
    assert "data differs" in apart["clip-tiny"].why
    assert "task version differs: t@1 and t@2" in apart["constant"].why
    assert all(score.value > 0 for entry in entries.values() for score in entry.scores.values())
    assert board.cards[0].title == "One"  # of equally many models the first by what it says
    assert board.cards[0].version == 1
    assert [pair for pair in board.comparisons if pair.compared] == []
    assert not any(score.tied_with_best for entry in entries.values() for score in entry.scores.values())
    assert any("clip-tiny: On other data" in note for note in board.footnotes)
    assert board.entries[0].model == "example-colours"


def test_a_run_is_held_to_its_own_card(tmp_path: Path) -> None:
    """Of 10 of its 30 queries, and not of the 24 that the card that is shown promises."""
    whole = evaluated(tmp_path / "whole", [own_task("t", 24, title="Whole")], ["example-colours"])
    part = evaluated(tmp_path / "part", [own_task("t", 30, title="Part")], ["clip-tiny"], limit=10)
    (board,) = boards(find_runs([*whole, *part]))
    assert board.cards[0].title == "Whole"
    scores = {entry.model: entry.scores["t"] for entry in board.entries}
    assert scores["example-colours"].complete
    assert not scores["clip-tiny"].complete
    assert board.footnotes == ("clip-tiny: In part: t (10 of 30 queries).",)


def test_models_on_the_same_rows_are_compared_and_marked_query_by_query(tmp_path: Path) -> None:
    task = own_task("t", 48)
    folders = evaluated(tmp_path, [task], ["example-colours", "clip-tiny", "vlm2vec-tiny"])
    (board,) = boards(find_runs(folders))
    values = [entry.scores["t"].value for entry in board.entries]
    assert values == sorted(values, reverse=True)  # one task orders them by its score
    top = board.entries[0]
    assert top.scores["t"].tied_with_best
    for pair in board.comparisons:
        ones, others = (
            answers(tmp_path, next(e.model for e in board.entries if e.slug == slug), "t")
            for slug in (pair.new, pair.base)
        )
        (difference,) = pair.tasks
        assert pair.groups == ()
        assert difference.where == "t"
        assert difference.value == pytest.approx(sum(ones) / 48 - sum(others) / 48)
        assert difference.wins == sum(a > b for a, b in zip(ones, others, strict=True))
    report(folders, tmp_path / "site", choices=Choices(published=False, samples=0))
    text = (tmp_path / "site/own/compare.html").read_text()
    assert '<table id="matrix-0"' in text
    assert "In the order of the scores." in (tmp_path / "site/index.html").read_text()
    page = next((tmp_path / "site/own").glob("compare-*-and-*.html")).read_text()
    assert "after Holm over the tasks of this page" in page
    assert "Means over tasks" not in page


def test_an_own_task_that_is_called_as_an_installed_one_stays_off_its_board(tmp_path: Path) -> None:
    """A suite may be installed that has a task of that name, or get one."""
    name = "example/Shapes"
    shipped = evaluated(tmp_path / "shipped", select_tasks(["example"]), ["example-colours"], data=EXAMPLE)
    own = evaluated(tmp_path / "own", [own_task("t", 24)], ["clip-tiny"])
    ((folder, said),) = find_runs(own)
    renamed = said.model_copy(
        update={
            "own_tasks": {name: said.own_tasks["t"].model_copy(update={"name": name})},
            "tasks": (said.tasks[0].model_copy(update={"task": name}),),
        }
    )
    (alone,) = boards(find_runs(shipped))
    found = {board.key: board for board in boards([*find_runs(shipped), (folder, renamed)])}
    assert found["example"] == alone
    assert [entry.model for entry in found["own"].entries] == ["clip-tiny"]


def test_a_task_that_failed_everywhere_still_has_its_card(tmp_path: Path) -> None:
    task = own_task("t", 8, title="Broken", metrics=("precision_at_1", "no_such_metric"))
    (board,) = boards(find_runs(evaluated(tmp_path, [task, own_task("whole", 8)], ["random", "example-colours"])))
    assert [card.title for card in board.cards if card.name == "t"] == ["Broken"]
    assert all("no_such_metric" in entry.failures["t"] for entry in board.entries)
    assert any("example-colours: Failed: t" in note for note in board.footnotes)

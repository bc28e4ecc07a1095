"""What own tasks may not do, move a number of any other board; and how a board without means orders and describes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from board_runs import EXAMPLE, coins, manifest, result, write_samples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.leaderboard.board import Entry, Facts, Score
from evalkit.leaderboard.downloads.exports import leaderboard_json
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.numbers.counted import Counted
from evalkit.leaderboard.numbers.drafts import Draft
from evalkit.leaderboard.numbers.owntasks import by_places, shown_cards
from evalkit.leaderboard.wording import file_part, path
from evalkit.runs.manifest import Manifest, TaskResult
from evalkit.suites.card import TaskCard

NAMES = ("a", "b", "example/Shapes")
"""Of own tasks; the last one is that of an installed task, too."""


def card(name: str, queries: int = 12, **facts) -> TaskCard:
    said = {
        "name": name,
        "suite": "own",
        "order": 1,
        "version": 1,
        "title": name,
        "meta_task": "own",
        "family": "own",
        "query_modality": "image",
        "candidate_modality": "text",
        "pool": "shared",
        "queries": queries,
        "candidates": 10,
        "sources": (),
        "licence": "",
        "citation": "",
    }
    return TaskCard(**said | facts)


@dataclass(frozen=True)
class Own:
    """An own task of a run: its card, and the seed of its scores."""

    card: TaskCard
    seed: int


def own_result(own: TaskCard, scores: Sequence[float], **changes) -> TaskResult:
    facts = {"task": own.name, "task_version": own.version, "suite": "own", "meta_task": "own", "distribution": None}
    made = result("example/Shapes", scores, complete=True, prompting=None)
    return made.model_copy(update=facts | changes)


def save(runs: Path, name: str, shared: Mapping[str, int], own: Sequence[Own]) -> tuple[Path, Manifest]:
    """A run on disk: of installed tasks the seeds of their scores, and own tasks."""
    place = runs / name
    results = []
    for task, seed in shared.items():
        scores = coins(task, 0.4, seed)
        results.append(result(task, scores))
        write_samples(place, results[-1], scores)
    for one in own:
        scores = np.random.default_rng(one.seed).integers(0, 2, one.card.queries).astype(float)
        line = f"task:{one.card.name}@{one.card.version}|n:{len(scores)}|data:{one.card.title}|prompts:0|pool:0"
        line += "|metric:p@1|exif:apply|dedup:content|prompting:-"
        made = own_result(one.card, scores, signature=line, samples=f"samples/own-{one.card.name}.parquet")
        results.append(made)
        write_samples(place, made.model_copy(update={"task": f"own-{one.card.name}"}), scores)
    found = manifest(name, results, own_tasks={one.card.name: one.card for one in own})
    return place, found


own_tasks = st.lists(
    st.builds(
        lambda name, queries, title, version, seed: Own(card(name, queries, title=title, version=version), seed),
        st.sampled_from(NAMES),
        st.sampled_from([8, 12]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([1, 2]),
        st.integers(0, 3),
    ),
    unique_by=lambda own: own.card.name,
    max_size=3,
)
shared = st.dictionaries(st.sampled_from(EXAMPLE), st.integers(0, 3))


def without_own(run: tuple[Path, Manifest]) -> tuple[Path, Manifest]:
    folder, said = run
    kept = tuple(one for one in said.tasks if one.suite != "own")
    return folder, said.model_copy(update={"tasks": kept, "own_tasks": {}})


def without_others(run: tuple[Path, Manifest]) -> tuple[Path, Manifest]:
    folder, said = run
    return folder, said.model_copy(update={"tasks": tuple(one for one in said.tasks if one.suite == "own")})


@pytest.mark.slow(4)
@given(st.lists(st.tuples(shared, own_tasks), min_size=1, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_own_tasks_move_nothing_on_any_other_board_nor_others_anything_on_theirs(drawn, random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for number, (shown, own) in enumerate(drawn):
            installed = {task: seed for task, seed in shown.items() if task not in {one.card.name for one in own}}
            runs.append(save(Path(folder), f"model-{number}", installed, own))
        every = {board.key: leaderboard_json(board) for board in boards(runs)}
        others = {board.key: leaderboard_json(board) for board in boards([without_own(run) for run in runs])}
        alone = {board.key: leaderboard_json(board) for board in boards([without_others(run) for run in runs])}
        assert every == others | alone
        assert not others.keys() & alone.keys()
        for made in map(json.loads, alone.values()):
            assert made["groups"] == []
            assert all(entry["means"] == entry["ranks"] == {} for entry in made["entries"])
        random.shuffle(runs)
        assert {board.key: leaderboard_json(board) for board in boards(runs)} == every


# --- the order ------------------------------------------------------------------------------------------


def draft(label: str, scores: Mapping[str, float | None], *, knows_nothing: bool = False) -> Draft:
    entry = Entry(
        slug=label,
        label=label,
        model=label,
        prompting=None,
        kind="measured",
        knows_nothing=knows_nothing,
        facts=Facts(),
        means={},
        ranks={},
        scores={task: Score(own, None, None, 8, True) for task, own in scores.items() if own is not None},
    )
    return Draft(entry, label)


values = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])
tables = st.lists(st.fixed_dictionaries(dict.fromkeys("xyz", values)), min_size=1, max_size=5)


@given(tables, st.integers(0, 5))
@example([{"x": 0.5, "y": None, "z": None}, {"x": 0.25, "y": 1.0, "z": 0.0}], 9)
def test_models_stand_as_in_a_medal_table(table, nothing) -> None:
    """The table is made as an olympic committee would: place by place, task by task."""
    drafts = [draft(f"m{number}", own, knows_nothing=number == nothing) for number, own in enumerate(table)]
    medals = {d.entry.slug: [0] * len(drafts) for d in drafts}
    for task in "xyz":
        there = [d.entry for d in drafts if task in d.entry.scores and not d.entry.knows_nothing]
        heights = sorted((entry.scores[task].value for entry in there), reverse=True)
        for entry in there:
            medals[entry.slug][heights.index(entry.scores[task].value)] += 1
    knowing = [d.entry.slug for d in drafts if not d.entry.knows_nothing]
    wanted = sorted(sorted(knowing), key=lambda slug: medals[slug], reverse=True)
    found = [d.entry.slug for d in by_places(drafts, "xyz")]
    assert found == wanted + [d.entry.slug for d in drafts if d.entry.knows_nothing]


def test_one_task_orders_by_its_score() -> None:
    drafts = [draft("a", {"x": 0.25}), draft("b", {"x": 1.0}), draft("c", {"x": None}), draft("d", {"x": 0.5})]
    assert [one.entry.label for one in by_places(drafts, ["x"])] == ["b", "d", "a", "c"]


# --- names and cards ------------------------------------------------------------------------------------

parts_of_names = st.builds(str.__add__, st.sampled_from("aB1"), st.text("aB1._+-", max_size=6))
plain = parts_of_names | st.builds("{}/{}".format, parts_of_names, parts_of_names)


@given(st.lists(plain, unique=True, max_size=8))
@example(["a/b", "a-b", "a.b", "A-b", "a--b", "a-b-", "a..b", "a+b"])
@example(["x" * 300, "X" * 300, "x" * 61, "con", "..a"[2:]])
@example(["mytask", "MyTask", "mytask-94fcc4cb4ee3ba34"])
def test_pages_of_tasks_have_names_that_differ_on_any_disk(names) -> None:
    parts = [file_part(card(name)) for name in names]
    assert len({part.casefold() for part in parts}) == len(names)
    for part in parts:
        assert path(f"task-{part}.html") == f"task-{part}.html"
        assert len(part) < 100


def test_an_installed_task_keeps_its_page() -> None:
    assert file_part(card("SCaR/RefCOCOg", suite="scar", meta_task="retrieval")) == "RefCOCOg"
    assert file_part(card("my_task.v2")) == "my_task.v2"


def counted(model: str, own: TaskCard, *, apart=None) -> Counted:
    made = own_result(own, [1.0] * own.queries)
    said = manifest(model, [made], own_tasks={own.name: own})
    return Counted(Path(model), said, {own.name: made}, apart={} if apart is None else {own.name: apart})


@given(st.permutations(range(6)))
def test_the_card_of_a_task_is_that_of_most_models_that_are_held_against_each_other(order) -> None:
    from evalkit.leaderboard.board import Apart

    other = Apart("other data", "data differs")
    runs = [
        counted("a", card("t", title="Ours")),
        counted("b", card("t", title="Ours")),
        counted("c", card("t", title="Theirs")),
        counted("d", card("t", title="Apart", version=9), apart=other),
        counted("e", card("t", title="Apart", version=9), apart=other),
        counted("f", card("t", title="Apart", version=9), apart=other),
    ]
    mixed = [runs[place] for place in order]
    assert shown_cards(mixed, ["t"])[0].title == "Ours"
    assert shown_cards([run for run in mixed if run.apart], ["t"])[0].title == "Apart"
    one_each = [run for run in mixed if run.manifest.model.name in ("a", "c")]
    assert shown_cards(one_each, ["t"])[0].title == "Ours"  # the first by what it says
    newer = [*one_each, counted("g", card("t", title="Zz", version=2))]
    assert shown_cards(newer, ["t"])[0].title == "Zz"


def test_a_card_is_shown_in_plain_words() -> None:
    hostile = card(
        "t", title="a\nb\u202e", notes=("x\ty",), citation="@misc{\n\u2066}", licence="l\r", query_instruction="q\n"
    )
    (shown,) = shown_cards([counted("a", hostile)], ["t"])
    assert (shown.title, shown.notes, shown.licence, shown.query_instruction) == ("a b\\u202e", ("x\\ty",), "l\\r", "q")
    assert shown.citation == "@misc{\n\\u2066}"

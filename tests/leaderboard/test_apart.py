"""Which numbers can be held against each other: by signatures and by whether samples are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from board_runs import EXAMPLE, Run, coins, manifest, result, save
from synthetic_boards import board

from evalkit.files import json_bytes
from evalkit.leaderboard.board import Apart
from evalkit.leaderboard.numbers.apart import CLAIMED, UNSAID, set_apart, unlike
from evalkit.leaderboard.numbers.counted import Counted, counted
from evalkit.leaderboard.pages.html import site
from evalkit.leaderboard.pages.task_list import medians, task_list
from evalkit.runs.manifest import Settings
from evalkit.suites.selecting import all_cards

CARDS = [card for card in all_cards() if card.suite == "example"]
FIRST, SECOND = EXAMPLE[:2]


def line(task: str, /, **parts: str) -> str:
    said = {
        "task": f"{task}@1",
        "n": "64",
        "data": "d0",
        "prompts": "w0",
        "pool": "shared-32-p0",
        "metric": "p@1",
        "embedder": "m",
        "prompting": "-",
        "exif": "apply",
        "dedup": "content",
    } | parts
    return "|".join(f"{name}:{value}" for name, value in said.items())


def a_run(folder: Path, name: str, digit: str = "0", tasks: tuple[str, ...] = (FIRST,), **parts: str | Settings) -> Run:
    """A run with samples; ``parts`` of the signatures of its tasks, and its settings."""
    settings = parts.pop("settings", Settings())
    results = [result(task, coins(task, 0.5), signature=line(task, **parts)) for task in tasks]  # type: ignore[arg-type]
    made = manifest(name, results, digit=digit, settings=settings)
    place = folder / name / made.run_id
    for task in tasks:
        (place / f"samples/{task}.parquet").parent.mkdir(parents=True, exist_ok=True)
        (place / f"samples/{task}.parquet").touch()  # whether it is there is all that is asked here
    (place / "run.json").write_bytes(json_bytes(made.model_dump(mode="json", by_alias=True)))
    return place, made


def sorted_out(*runs: Run) -> dict[str, Counted]:
    """By model and run id; the same in whatever order the runs come."""
    found = set_apart(counted(runs, CARDS), CARDS)
    again = set_apart(list(reversed(counted(runs, CARDS))), CARDS)
    by_name = {f"{run.manifest.model.name}{run.manifest.run_id[0]}": run for run in found}
    assert by_name == {f"{run.manifest.model.name}{run.manifest.run_id[0]}": run for run in again}
    return by_name


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("task", "task version"),
        ("n", "number of queries"),
        ("data", "data"),
        ("prompts", "prompts"),
        ("pool", "pools"),
        ("metric", "metric"),
        ("exif", "orientation of images"),
        ("dedup", "how candidates are merged"),
    ],
)
def test_each_part_that_compare_asks_for_sets_a_number_apart(part: str, words: str, tmp_path: Path) -> None:
    runs = [a_run(tmp_path, name) for name in ("a", "b")] + [a_run(tmp_path, "c", **{part: "other"})]
    usual = dict(p.partition(":")[::2] for p in line(FIRST).split("|"))[part]
    found = sorted_out(*runs)
    assert found["c0"].apart == {FIRST: Apart("other data", f"{words} differs: {usual} and other")}
    assert found["a0"].apart == found["b0"].apart == {}
    assert found["a0"].data == found["b0"].data != found["c0"].data


@pytest.mark.parametrize("part", ["embedder", "fingerprint", "options", "vectors", "evalkit"])
def test_what_belongs_to_the_model_sets_nothing_apart(part: str, tmp_path: Path) -> None:
    found = sorted_out(a_run(tmp_path, "a"), a_run(tmp_path, "b", **{part: "other"}))
    assert not found["a0"].apart
    assert not found["b0"].apart


def test_prompts_may_differ_only_where_a_way_of_prompting_takes_words_out(tmp_path: Path) -> None:
    runs = [
        a_run(tmp_path, "a", prompting="native"),
        a_run(tmp_path, "b", prompting="text"),
        a_run(tmp_path, "c", prompting="none", prompts="w1"),
        a_run(tmp_path, "d", prompting="crop", prompts="w2"),
        a_run(tmp_path, "e", prompting="none", prompts="w1"),
        a_run(tmp_path, "f", prompting="none", prompts="w3"),
    ]
    found = sorted_out(*runs)
    assert {name for name, run in found.items() if run.apart} == {"d0", "f0"}
    assert found["d0"].apart[FIRST].why == "prompts differs: w0 and w2"
    assert found["f0"].apart[FIRST].why == "prompts differs: w1 and w3"


def test_a_signature_that_is_missing_is_other_data_than_one_that_is_there(tmp_path: Path) -> None:
    folder, without = save(tmp_path / "w", "w", {FIRST: coins(FIRST, 0.5)}, digit="1")
    bare = without.model_copy(update={"tasks": tuple(t.model_copy(update={"signature": None}) for t in without.tasks)})
    found = sorted_out(a_run(tmp_path, "a"), a_run(tmp_path, "b"), (folder, bare))
    assert found["w1"].apart[FIRST].kind == "other data"
    assert "data differs: d0 and none" in found["w1"].apart[FIRST].why
    # Where none has one, nothing says that they are about the same.
    assert sorted_out((folder, bare))["w1"].apart[FIRST] == Apart("other data", UNSAID)


def test_of_as_many_models_the_data_of_the_protocols_settings_is_ranked(tmp_path: Path) -> None:
    own = {"official_dedup": {"dedup": "official"}, "exif": {"exif": "ignore"}}
    for number, (setting, parts) in enumerate(own.items()):
        settings = Settings(**{setting: parts.get("exif", True)})  # type: ignore[arg-type]
        folder = tmp_path / str(number)
        found = sorted_out(a_run(folder, "a", settings=settings, **parts), a_run(folder, "z"))
        assert FIRST in found["a0"].apart
        assert not found["z0"].apart
        # Unless more were measured by others.
        more = [a_run(folder, name, settings=settings, **parts) for name in ("b", "c")]
        found = sorted_out(a_run(folder / "x", "z"), *more)
        assert FIRST in found["z0"].apart


def test_of_as_many_models_one_data_is_ranked_on_all_tasks(tmp_path: Path) -> None:
    """Digests that go up and down from task to task do not split the ranking."""
    names = tuple(EXAMPLE)
    one = a_run(tmp_path, "one", tasks=names)
    two = a_run(tmp_path, "two", tasks=names)
    for place, made in (one, two):
        first = place == one[0]
        moved = tuple(
            task.model_copy(update={"signature": line(task.task, data="a" if (i % 2 == 0) == first else "b")})
            for i, task in enumerate(made.tasks)
        )
        made = made.model_copy(update={"tasks": moved})
        one, two = ((place, made), two) if first else (one, (place, made))
    found = sorted_out(one, two)
    assert sorted(len(run.apart) for run in found.values()) == [0, len(names)]
    # Who has more tasks comes before who has the smaller digests.
    short = a_run(tmp_path / "x", "short", data="a", tasks=names[:1])
    long = a_run(tmp_path / "x", "long", data="b", tasks=names)
    found = sorted_out(short, long)
    assert FIRST in found["short0"].apart
    assert not found["long0"].apart


def test_a_number_without_samples_is_claimed_and_has_no_voice(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, name, data="made up") for name in ("a", "b")]
    for place, _ in runs:
        (place / f"samples/{FIRST}.parquet").unlink()
    found = sorted_out(*runs, a_run(tmp_path, "c"))
    assert found["a0"].apart == found["b0"].apart == {FIRST: CLAIMED}
    assert not found["c0"].apart


def test_an_incomplete_number_is_no_other_data_but_is_not_the_same_either(tmp_path: Path) -> None:
    whole = a_run(tmp_path, "a")
    place, made = a_run(tmp_path, "b", n="3", data="d3")
    part = made.tasks[0].model_copy(update={"complete": False, "n_queries": 3})
    found = sorted_out(whole, (place, made.model_copy(update={"tasks": (part,)})))
    assert not found["b0"].apart
    assert found["a0"].data != found["b0"].data


def test_words_of_strangers_in_a_signature_stay_in_one_line() -> None:
    said = unlike("data:a", "data:b\n\x1b[31m\u202e")
    assert said.isprintable()
    assert said.startswith("data differs: a and b")
    assert len(unlike("data:a", f"data:{'b' * 10_000}")) < 150


# --- what pages make of it ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["claimed", "other data"])
def test_what_stands_apart_moves_no_median_and_is_no_best_and_no_dot(kind: str) -> None:
    made = board(9, 0, seed=2)
    best = made.entries[0]
    why = Apart(kind, "said for this test")  # type: ignore[arg-type]
    apart = replace(
        best,
        scores={
            task: replace(score, value=0.999, apart=why, tied_with_best=False) for task, score in best.scores.items()
        },
        means={key: replace(mean, value=0.999, apart=why) for key, mean in best.means.items()},
        ranks=dict.fromkeys(best.ranks),
    )
    without = replace(made, entries=made.entries[1:])
    together = replace(made, entries=(*made.entries[1:], apart))
    assert medians(together) == medians(without)
    assert [cell.content for cell in task_list(together, medians(together)).columns[-2].cells] == [
        cell.content for cell in task_list(without, medians(without)).columns[-2].cells
    ]
    pages = site([together], version="0")
    index = pages["index.html"]().decode()
    charts = re.findall(r'<svg class="scatter".*?</svg>', index, re.S)
    assert charts
    assert not any(apart.label in chart for chart in charts)
    assert any(made.entries[1].label in chart for chart in charts)
    for name, page in pages.items():
        if name.endswith(".html") and name != "method.html":
            text = page().decode()
            assert "<b>99.9" not in text, name
            assert "<i>99.9" not in text, name
    (row,) = [row for row in re.findall(r"<tr.*?</tr>", index, re.S) if f">{apart.label}</bdi>" in row]
    assert f'title="{kind}: said for this test"' in row
    assert "99.9" in row

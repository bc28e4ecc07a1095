"""What the pages show is what comes out: their blocks are executed, and every other one says why it is not.

``python tests/test_executed_pages.py PAGE`` prints what the blocks of a page print, for the page.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import command, run
from executed import Block, Shell, blocks_of, execute, printing
from printed import missing
from test_docs import DOCS, PAGES, ROOT, blocks

from evalkit.example import DATA
from evalkit.scoring.metrics import METRICS

MINE = blocks(DOCS / "embedders.md", "python")[0]
"""The embedder that the page on embedders shows."""
HERE = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
HELD = {
    "README.md": {
        ("sh", 1): ".ci/run: demo()",
        ("text", 1): ".ci/run: table()",
        ("sh", 2): ".ci/run: tests()",
        ("python", 1): "tests/test_tutorial_notebook.py: test_the_notebook_gives_the_outputs_that_it_shows",
    },
    "docs/start.md": {("sh", 1): ".ci/run: demo()", ("sh", 2): ".ci/run: demo()"},
    "docs/embedders.md": {("text", 1): "tests/test_executed_pages.py: test_the_failed_check_that_is_shown"},
    "docs/protocol.md": {("text", 1): "tests/test_docs.py: test_prompts_of_the_page_are_the_official_ones"},
    "docs/results.md": {
        ("text", 1): "tests/test_docs.py: test_the_page_on_results_shows_the_files_of_a_run",
        ("text", 3): "tests/test_docs.py: test_the_page_on_results_shows_a_signature_that_is_written",
        ("text", 5): "tests/test_executed_pages.py: test_the_stale_vectors_that_are_shown",
    },
    "docs/tiny.md": {
        ("text", 1): "tests/test_docs.py: test_readme_and_leaderboard_have_the_same_numbers",
        ("python", 1): "tests/test_docs.py: test_the_page_on_tiny_models_loads_them_elsewhere",
    },
}
"""Blocks that are executed and compared somewhere else, and where."""
RECIPE = "tests/test_ci_recipe.py: test_the_recipe_passes_a_harmless_change_and_stops_a_harmful_one"
HELD["docs/ci.md"] = {(block.language, block.number): RECIPE for block in blocks_of(DOCS / "ci.md")}

NOT_RUN = {
    "docs/data.md": ["it downloads", "it takes the images of MSCOCO"],
    "docs/install.md": ["it installs", "it takes a GPU", "it takes a GPU", "it installs"],
    "docs/results.md": ["it takes two versions of torch"],
    "docs/tiny.md": ["it takes six minutes"],
    "docs/virtue.md": ["it takes weights and the images of SCaR", "it downloads"],
    "docs/weights.md": ["it downloads"],
    "training/README.md": ["it trains for hours", "it trains for hours"],
}
"""All that nothing executes, with the reasons that stand on the pages."""


def two_runs(place: Path) -> None:
    """Runs of two models under the names that the page on comparing has."""
    assert run(place / "BASE", "random") == 0
    (place / "my_model.py").write_text(MINE.replace('name="mine"', 'name="my-model"'))
    for name in ("NEW", "runs/my-model"):
        assert run(place / name, f"{place / 'my_model.py'}:Mine") == 0


def a_board(place: Path) -> None:
    """A run, its data, and published numbers of one's own."""
    assert run(place / "runs", "example-colours") == 0
    (place / "DATA").symlink_to(DATA)
    ours = blocks(ROOT / "reports/README.md", "json")[0]
    (place / "ours.json").write_text(ours.replace("ours-2b", "virtue-2b"))  # a model that evalkit knows


def an_environment(place: Path) -> None:
    """What the first command of the README has made, in which the others run."""
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/activate").touch()


def results(place: Path) -> None:
    """A run, one of another model, a baseline and a gate's configuration, as the page on Python names them."""
    (place / "my_model.py").write_text(MINE.replace('name="mine"', 'name="my-model"'))
    assert run(place / "runs", f"{place / 'my_model.py'}:Mine") == 0
    assert run(place / "older", "random") == 0
    base = place / "baselines/my-model"
    assert command("baseline", "accept", place / "runs", "--reason", "first", "--out", base) == 0
    (place / "gate.toml").write_text("alpha = 0.05\n")


def other_tasks(place: Path) -> None:
    """A folder of folders."""
    assert command("new", "task", place / "tasks/other") == 0


STARTS: dict[str, Callable[[Path], None]] = {
    "README.md": an_environment,
    "docs/compare.md": two_runs,
    "docs/leaderboard.md": a_board,
    "docs/python.md": results,
    "docs/tasks-of-your-own.md": other_tasks,
}
"""What is there before the first block of a page, beside the data of the example."""
SECONDS = {
    "docs/miniature.md": 10,
    "README.md": 8,
    "docs/tasks-of-your-own.md": 6,
    "docs/tutorials/compare-and-gate.md": 5,
    "docs/embedders.md": 4,
    "docs/leaderboard.md": 3,
    "docs/start.md": 2,
    "docs/compare.md": 1,
    "docs/python.md": 1,
}


def prepared(name: str, place: Path) -> Shell:
    """A folder in which a page can be executed."""
    (place / "evalkit/example").mkdir(parents=True)
    (place / "evalkit/example/data").symlink_to(DATA)
    STARTS.get(name, lambda _place: None)(place)
    return Shell(place)


def runs(name: str, block: Block) -> bool:
    return block.reason is None and (block.language, block.number) not in HELD.get(name, {})


EXECUTED = [name for name, page in HERE.items() if any(runs(name, block) for block in blocks_of(page))]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow(SECONDS[name])] if name in SECONDS else []) for name in EXECUTED],
)
def test_the_blocks_of_a_page_do_what_they_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(METRICS)
    done = []
    for block, said in execute(HERE[name], prepared(name, tmp_path), HELD.get(name, {})):
        done.append((block.language, block.number))
        if block.language == "text":
            drift = missing(block.text, said)
            assert drift is None, f"{name}:{block.line}: {drift}\n\nprinted:\n{said}"
    for metric in METRICS.keys() - known.keys():  # of the page on metrics
        del METRICS[metric]
    assert done == [(block.language, block.number) for block in blocks_of(HERE[name]) if runs(name, block)]


def test_what_is_not_run_is_marked_and_listed_here() -> None:
    marked = {name: [block.reason for block in blocks_of(page) if block.reason] for name, page in HERE.items()}
    assert {name: reasons for name, reasons in marked.items() if reasons} == NOT_RUN


def test_every_mark_belongs_to_a_block() -> None:
    for name, page in HERE.items():
        assert len(re.findall(r"^\*Not run in CI", page.read_text(), re.M)) == len(NOT_RUN.get(name, [])), name


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_elsewhere_is_held_there(name: str) -> None:
    there = {(block.language, block.number) for block in blocks_of(HERE[name])}
    for place, holder in HELD[name].items():
        assert place in there
        file, _, test = holder.partition(": ")
        assert re.search(rf"^(def )?{re.escape(test.removesuffix('()'))}\(", (ROOT / file).read_text(), re.M), holder


def test_the_start_is_the_readmes_first_command() -> None:
    install, demo = blocks(DOCS / "start.md", "sh")[:2]
    first = blocks(ROOT / "README.md", "sh")[0]
    assert first == f"{install.splitlines()[0]} && .venv/bin/{demo}"


def changed(source: str, old: str, new: str) -> str:
    assert source.count(old) == 1
    return source.replace(old, new)


def parts(block: str) -> list[str]:
    """What a block shows between what it leaves out, each in one line."""
    return [" ".join(part.split()) for line in re.split(r"\n(?=\S)", block) for part in line.split("…")]


def test_the_failed_check_that_is_shown(tmp_path: Path) -> None:
    """Of the page's own embedder, once it keeps pixels under the digest of their file."""
    asked = "np.asarray(item.image.rgb().resize((16, 16)), dtype=float)"
    kept = changed(MINE, asked, f"KEPT.setdefault(item.image.digest, {asked})") + "\n\nKEPT = {}\n"
    (tmp_path / "my_model.py").write_text(kept)
    with printing() as output:
        assert command("check", f"{tmp_path / 'my_model.py'}:Mine", "--device", "cpu") == 1
    [shown] = blocks(DOCS / "embedders.md", "text")
    for part in parts(shown):
        assert part in " ".join(output.said.split()), f"docs/embedders.md shows {part!r}\n{output.said}"


def test_the_stale_vectors_that_are_shown(tmp_path: Path) -> None:
    """Of the page's own embedder under a fingerprint that stays, while its code does not."""
    given = 'options={"words": words}'
    fixed = changed(MINE, given, f'{given}, fingerprint="mine"')
    arguments = ["run", "--model", "my_model.py:Mine", "--tasks", "example/Shapes", "--data", str(DATA), "--quiet"]
    for code, source in ((0, fixed), (4, changed(fixed, "zlib.crc32", "zlib.adler32"))):
        (tmp_path / "my_model.py").write_text(source)
        with contextlib.chdir(tmp_path), printing(error=True) as errors:
            assert command(*arguments, "--out", "runs") == code
    [shown] = [block for block in blocks(DOCS / "results.md", "text") if block.startswith("evalkit: vectors in")]
    for part in parts(shown.replace("\n", " ")):
        assert part in " ".join(errors.said.split()), f"docs/results.md shows {part!r}\n{errors.said}"


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve().relative_to(ROOT).as_posix()
    with tempfile.TemporaryDirectory() as folder:
        for one, printed in execute(HERE[page], prepared(page, Path(folder)), HELD.get(page, {})):
            if one.language != "text":
                print(f"--- {page}:{one.line}\n{printed}")

"""What the documentation says: links lead somewhere, commands exist, examples run."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pyarrow.parquet as pq
import pytest
from printed import missing

import evalkit.cli
from evalkit.demo import COMPARED, ENTRANTS
from evalkit.embedders import tiny
from evalkit.embedders.modelcards import model_cards
from evalkit.example import DATA
from evalkit.regression.config import GateConfig

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "tasks/README.md", "reports/README.md", "training/README.md")
] + sorted((ROOT / "docs").rglob("*.md"))
DOCS = ROOT / "docs"

pages = pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its fenced code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block: str) -> Iterator[list[str]]:
    """The evalkit commands of a block of shell, as arguments, without what redirects their output."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set(";&|"):
                words.append(word)
                continue
            if words and Path(words[0]).name == "evalkit":
                yield words[1 : words.index(">")] if ">" in words else words[1:]
            words = []


def parsed(arguments: list[str], group: click.Group = evalkit.cli.cli) -> click.Command:
    """The command, once its options and arguments are known to be ones that it has."""
    name, *rest = arguments
    parent = click.Context(group, **group.context_settings)
    command = group.get_command(parent, name)
    assert command is not None, f"there is no command {name}"
    if isinstance(command, click.Group):
        return parsed(rest, command)
    command.make_context(f"evalkit {name}", rest, parent=parent)
    return command


def run(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, str]:
    """Exit code and standard output of an evalkit command."""
    with pytest.raises(SystemExit) as ended:
        evalkit.cli.main(arguments)
    return ended.value.code, capsys.readouterr().out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the example's data, and the embedder that the page on embedders shows."""
    (tmp_path / "evalkit/example").mkdir(parents=True)
    (tmp_path / "evalkit/example/data").symlink_to(DATA)
    (tmp_path / "my_model.py").write_text(blocks(DOCS / "embedders.md", "python")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: there is no {file}"
        assert not anchor or anchor in anchors(file), f"{target}: {file.name} has no such heading"


@pages
def test_commands_exist(page: Path) -> None:
    for block in blocks(page, "sh"):
        for arguments in commands(block):
            parsed(arguments)


@pages
def test_commands_in_the_text_exist(page: Path) -> None:
    for name, rest in re.findall(r"`evalkit ([a-z]+)\b([^`]*)`", prose(page)):
        command = evalkit.cli.cli.get_command(click.Context(evalkit.cli.cli), name)
        assert command is not None, f"there is no command {name}"
        if isinstance(command, click.Group) and rest.split():
            command = command.commands[rest.split()[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options | {"--help"}


def test_the_reference_has_every_command() -> None:
    """Its page is made of their help when the site is built."""
    shown = re.findall(
        r"^\.\. click:: evalkit\.cli\.(\w+):command\n   :prog: evalkit \1$", (DOCS / "commands.md").read_text(), re.M
    )
    assert shown == evalkit.cli.cli.list_commands(click.Context(evalkit.cli.cli))


def test_the_reference_has_every_public_name() -> None:
    """And every one of its own docstring."""
    page = (DOCS / "api.md").read_text()
    named = re.findall(r"^\.\. auto(?:class|function):: evalkit\.(\w+)$", page, re.M)
    assert sorted(named) == sorted(evalkit.__all__)
    assert all(getattr(evalkit, name).__doc__ for name in named)


def test_the_page_on_models_is_made_of_the_cards() -> None:
    spec = importlib.util.spec_from_file_location("docs_models", DOCS / "models.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "models.md").read_text()
    assert page == made.page(), "python docs/models.py makes it anew"
    assert "**No published weights could be run here**" in page


def test_the_page_on_models_has_every_name() -> None:
    """With the revision that it stands for, the command that gets it, and what of it was verified."""
    page = (DOCS / "models.md").read_text()
    table = re.findall(r"^\| \[`(.*)`\]", page.partition("## Names")[2].partition("\n## ")[0], re.M)
    assert table == [*model_cards()]
    for card in model_cards().values():
        own = " ".join(page.partition(f"\n### {card.name}\n")[2].partition("\n##")[0].split())
        revision = f" --revision {card.revision}" if card.revision else ""
        file = f" {card.file}" if card.file else ""
        assert (f"`hf download {card.hub}{file}{revision}`" if card.hub else f"`{card.elsewhere}`") in own
        assert "Not verified: the published weights, which could not be run here" in own
        assert all(check.test in own for check in card.verified)


def test_the_page_on_weights_has_the_models_that_come_along() -> None:
    page = (DOCS / "weights.md").read_text()
    assert all(f"`{name}`" in page for name in tiny.MODELS)
    for name in re.findall(r"^### (.*)$", page, re.M):
        assert set(name.split(", ")) <= model_cards().keys()
    for place, revision in re.findall(r"^hf download (\S+) --revision ([0-9a-f]{40})$", page, re.M):
        assert revision in {card.revision for card in model_cards().values() if card.hub == place}


def test_commands_are_found() -> None:
    block = """
.venv/bin/pip install . && .venv/bin/evalkit run --model 'a?b=1&c=2' --tasks x,y \\
    --data D
evalkit tasks mmeb/vqa scar   # what there is; evalkit tasks RefCOCO
evalkit inspect WebQA --items > items.jsonl
"""
    assert list(commands(block)) == [
        ["run", "--model", "a?b=1&c=2", "--tasks", "x,y", "--data", "D"],
        ["tasks", "mmeb/vqa", "scar"],
        ["inspect", "WebQA", "--items"],
    ]
    with pytest.raises(click.NoSuchOption):
        parsed(["tasks", "--jason"])


def test_readme_begins_with_what_ci_runs() -> None:
    """``.ci/run`` takes the first line of the first two blocks."""
    main, tests = blocks(ROOT / "README.md", "sh")[:2]
    assert main.count("\n") == tests.count("\n") == 1
    assert list(commands(main)) == [["demo"]]
    assert tests.endswith("-m pytest -q\n")


def test_the_readmes_pictures_are_small_and_described() -> None:
    """``python docs/pictures.py evalkit-demo`` makes them anew."""
    page = (ROOT / "README.md").read_text()
    pictures = re.findall(r'<img src="([^"]+)" width="\d+%"\s+alt="([^"]+)">', page)
    assert len(pictures) == page.count("<img") == 2
    for place, words in pictures:
        assert (ROOT / place).stat().st_size < 150 * 1024
        assert len(words) > 40
    for target in re.findall(r'<a href="([^"]+)">', page):
        assert (ROOT / target).is_file()


def test_the_readme_says_what_installing_takes() -> None:
    """As the page that measured it does."""
    readme, page = (ROOT / "README.md").read_text(), (DOCS / "install.md").read_text()
    for row in ("with the CPU build of torch", "as pip does it on Linux"):
        [said] = re.findall(rf"^\| {row}.*$", page, re.M)
        for size in re.findall(r"\d[\d.]* GB", said):
            assert size in readme, f"docs/install.md says {size}"


def test_readme_shows_the_table_of_the_demo() -> None:
    """Its shape; the numbers of the demo are held by tests/test_end_to_end.py, at a smaller size."""
    (shown,) = blocks(ROOT / "README.md", "text")
    lines = [line for line in shown.splitlines() if line and not line.startswith("-")]
    rows = [line.split()[:2] for line in lines[2 : 2 + len(ENTRANTS)]]
    assert [row[0] for row in rows] == [one.model for one in ENTRANTS]
    assert [row[1] for row in rows[:3]] == ["native", "crop", "none"]
    assert sum(" minus " in line for line in lines) == len(COMPARED)


def test_readme_and_leaderboard_have_the_same_numbers() -> None:
    """Too dear to run here: ``.ci/run`` holds both against the demo that it runs, to the letter."""
    (shown,) = blocks(ROOT / "README.md", "text")
    assert blocks(DOCS / "tiny.md", "text")[0] == shown
    table = (ROOT / "LEADERBOARD.md").read_text()
    board = [
        [re.sub(r"<sup>.*?</sup>|[*\\]", "", cell).strip() for cell in line.split("|")] for line in table.split("\n")
    ]
    head = next(row for row in board if "Classification" in row)
    columns = ["Classification", "VQA", "Retrieval", "Grounding", "5 interactive stand-ins"]
    for entrant, line in zip(ENTRANTS, shown.splitlines()[4:], strict=False):
        names = (entrant.model, f"{entrant.model} ({line.split()[1]})")
        row = dict(zip(head, next(row for row in board if len(row) == len(head) and row[1] in names), strict=True))
        means = re.findall(r"(\d+\.\d) \(", line)
        assert [row[column].split(" ")[0] for column in columns] == means, line


def test_ci_holds_the_demos_output_against_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert 'missing(blocks(Path("README.md"), "text")[0], ' in script


EXAMPLE = ["--data", "evalkit/example/data", "--out", "runs", "--quiet"]


def test_the_page_on_results_shows_what_comes_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it but the run id, which follows the version and the embedder's source."""
    page = DOCS / "results.md"
    (shown,) = (block for block in blocks(page, "text") if block.startswith("example-colours"))
    [command] = [found for block in blocks(page, "sh") for found in commands(block) if "example-colours" in found]
    code, output = run(capsys, [*command, "--quiet"])
    assert code == 0
    assert missing(shown, output) is None


def test_the_page_on_results_shows_a_signature_that_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = (block for block in blocks(DOCS / "results.md", "text") if block.startswith("task:"))
    assert run(capsys, ["run", "--model", "random", "--tasks", "example/ShapeRegions", *EXAMPLE])[0] == 0
    [file] = here.glob("runs/random/*/run.json")
    assert json.loads(file.read_text())["tasks"][0]["signature"] == shown.replace("\n", "")


def test_the_page_on_results_shows_the_files_of_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = (block for block in blocks(DOCS / "results.md", "text") if block.startswith("RUNS/"))
    names = {Path(line.split()[0]).name for line in shown.splitlines()[1:]}
    assert run(capsys, ["run", "--model", "my_model.py:Mine", "--tasks", "example/Shapes", *EXAMPLE])[0] == 0
    files = {path.name for path in here.glob("runs/**/*") if path.is_file() and path.name != ".lock"}
    [folder] = here.glob("runs/mine/*/")
    [shown_id] = names - files - {"mine"}
    assert names == files | {"mine", shown_id}
    assert len(shown_id) == len(folder.name) == 12


def test_lines_are_short() -> None:
    """Output is shown as it is printed."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text()
        printed = {line for block in blocks(page, "text") for line in block.split("\n") if len(line) <= 120}
        long = [line for line in text.split("\n") if len(line) > 110 and line not in printed]
        assert not long, f"{page.name}: lines {long}"


def test_the_page_on_tiny_models_loads_them_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = blocks(DOCS / "tiny.md", "python")
    exec(compile(code, "docs/tiny.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.splitlines() == ["torch.Size([2, 128])"] * 2


def test_what_the_gate_is_said_to_see_is_what_was_simulated() -> None:
    """The README and the page on CI repeat, rounded, the table of the page on comparing."""
    found = re.findall(r"^\| (.*?disagree) \| (\d+\.\d) ±", (DOCS / "compare.md").read_text(), re.M)
    alarms = {truth: value for truth, value in found if truth.startswith("equal")}
    two, five, ten = alarms.values()
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"the gate stops {two}, {five} and {ten} %" in readme
    one_task, mean = (
        round(float(value)) for truth, value in found if "points on" in truth and truth[:3] in ("3 p", "0.5")
    )
    assert f"three points on one task in {one_task} % of cases, of half a point on MMEB's mean in {mean} %" in readme
    margins, table = GateConfig(), (DOCS / "compare.md").read_text().partition("### At the margin")[2]
    for times, text in ((1, "the margin"), (1.5, "1.5 times the margin"), (2, "twice the margin")):
        task, mean_of_all = (f"{100 * times * margin:g}" for margin in (margins.task_min_effect, margins.min_effect))
        row = rf"^\| {text} \| {task} \| \d+ \| \d+ \| {mean_of_all} \| \d+ \| \d+ \|$"
        assert re.search(row, table, re.M), text
    assert (
        f"in [{['no', 'one', 'two', 'three'][round(float(five))]} nights of a hundred]" in (DOCS / "ci.md").read_text()
    )


@pytest.mark.slow(2)
def test_the_embedder_of_the_page_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len((here / "my_model.py").read_text().splitlines()) <= 30
    check, evaluate = commands(blocks(DOCS / "embedders.md", "sh")[0])
    code, said = run(capsys, check)
    assert code == 0
    assert said.splitlines()[-1].startswith("mine: 0 of ")
    code, said = run(capsys, [*evaluate, "--quiet"])
    assert code == 0
    assert "not above chance" not in said

    [file] = here.glob("runs/mine/*/run.json")
    [result] = json.loads(file.read_text())["tasks"]
    text = (DOCS / "results.md").read_text()
    parts = re.findall(r"^\| `(\w+)` \|", text.partition("## The signature")[2].partition("## Same inputs")[0], re.M)
    assert [part.partition(":")[0] for part in result["signature"].split("|")] == parts
    [shown] = [block for block in blocks(DOCS / "results.md", "text") if block.startswith("task:")]
    assert [part.partition(":")[0] for part in shown.replace("\n", "").split("|")] == parts

    samples = pq.read_table(file.parent / result["samples"])
    table = text.partition("## Samples")[2].partition("## The signature")[0]
    columns = [name for cell in re.findall(r"^\| (`.*?`) \|", table, re.M) for name in re.findall(r"`(\w+)`", cell)]
    assert columns == samples.column_names
    [code_block] = blocks(DOCS / "results.md", "python")
    exec(compile(code_block, "docs/results.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out == f"Shapes 64 {result['metrics']['precision_at_1']['value']}\n"


def test_vectors_from_elsewhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "embedders.md").read_text().partition("## Vectors from elsewhere")[2]
    block = re.search(r"^```sh\n(.*?)^```$", page, re.M | re.S)
    assert block is not None
    inspect, embed, evaluate = commands(block[1])
    for arguments in (inspect, [*embed, "--quiet"]):
        assert run(capsys, arguments)[0] == 0
    direct = ["run", "--model", "my_model.py:Mine", *evaluate[evaluate.index("--tasks") :]]
    for arguments in (evaluate, direct):
        assert run(capsys, [*arguments, "--quiet"])[0] == 0
    one, other = (json.loads(file.read_text())["tasks"][0]["metrics"] for file in here.glob("runs/*/*/run.json"))
    assert one == other
    (here / "vectors/shapes.npz").unlink()
    array = re.search(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert array is not None
    exec(compile(array[1], "docs/embedders.md", "exec"), {})  # noqa: S102
    assert run(capsys, [*evaluate, "--quiet"])[0] == 0
    assert len(list(here.glob("runs/vectors/*/run.json"))) == 2, "other vectors are another model's run"


def test_prompts_of_the_page_are_the_official_ones() -> None:
    golden = json.loads((ROOT / "tests/golden/prompts-a.json").read_text())["golden"]
    [block] = [block for block in blocks(DOCS / "protocol.md", "text") if block.startswith("image_cls")]
    built: set[str] = set()
    shown = 0
    for line in block.splitlines():
        name, what = line.split(maxsplit=1)
        if not line.startswith(" "):
            rows = golden[what.split()[0]]
            continue
        built = {row["query_text"] for row in rows}
        if name == "candidate":
            built = {text for row in rows for text in row["candidate_text"]}
        pattern = ".*".join(map(re.escape, ast.literal_eval(what).split("…")))
        assert any(re.fullmatch(pattern, text.replace("<|image_pad|>", "<image>"), re.S) for text in built), line
        shown += 1
    assert shown == 12

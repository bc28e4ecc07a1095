"""The recipe of docs/ci.md, followed step by step in a scratch repository: it passes one change and stops another.

``python tests/test_ci_recipe.py`` prints what the commands print, for the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders import command
from printed import missing

from evalkit.regression.comparand import read_comparand
from evalkit.regression.config import GateConfig, read_config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/ci.md").read_text()
COMPARE = (ROOT / "docs/compare.md").read_text()


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of these languages, in order: language and content."""
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def applied(diff: str, text: str) -> str:
    """A text with the lines of a diff replaced."""
    old, new = ("".join(f"{line[1:]}\n" for line in diff.splitlines() if line.startswith(mark)) for mark in "-+")
    assert text.count(old) == 1
    return text.replace(old, new)


def followed(place: Path) -> Iterator[tuple[int, str, str]]:
    """Exit code, commands and output of each block of shell, with the model as the page has it by then.

    evalkit's commands run in this process, which has imported all that they need; others in a shell. As ``bash -e``
    does, a block ends with the first that fails.
    """
    env = os.environ | {"HOME": str(place)}
    env |= {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "init", "-q"], cwd=place, env=env, check=True)
    [model] = [text for language, text in blocks(PAGE, "python")]
    (place / "model.py").write_text(model)
    for language, text in blocks(PAGE, "sh", "diff"):
        if language == "diff":
            (place / "model.py").write_text(applied(text, model))
            continue
        said, code = "", 0
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            if program == "evalkit":
                answer = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
                with contextlib.chdir(place), contextlib.redirect_stdout(answer):
                    code = command(*arguments)
                answer.flush()
                said += answer.buffer.getvalue().decode()
            else:
                shell = ["bash", "-eo", "pipefail", "-c", line]
                done = subprocess.run(shell, cwd=place, env=env, capture_output=True, text=True, check=False)
                said, code = said + done.stdout, done.returncode
            if code:
                break
        yield code, text, said


@pytest.mark.slow(60)
def test_the_recipe_passes_a_harmless_change_and_stops_a_harmful_one(tmp_path: Path) -> None:
    (code, _, made), harmless, harmful, explained, accepted = followed(tmp_path)
    assert code == 0, made
    [size] = re.findall(r"^written to baselines/my-model: .*, (\d+ KiB)$", made, re.M)
    assert f"It takes {size}." in PAGE
    assert harmless[0] == 0
    assert harmless[2].endswith("gate: passed\n")
    assert harmful[0] == 1
    assert harmful[2].endswith("gate: failed\n")
    assert "\nminiature: regressed: " in harmful[2]
    assert explained[0] == accepted[0] == 0
    assert "queries lost" in explained[2]
    reasons = [line for line in accepted[2].splitlines() if "first release" in line or "no change meant" in line]
    assert len(reasons) == 2
    shown = [text for _, text in blocks(PAGE, "text")]
    for text, (_, commands, said) in zip(shown, (harmless, harmful, explained), strict=True):
        drift = missing(text, said)
        assert drift is None, (
            f"docs/ci.md, after {commands.splitlines()[-1]}: {drift}; python {__file__} prints it anew"
        )


def test_workflows_name_inputs_that_the_action_has() -> None:
    inputs = set(yaml.safe_load((ROOT / "action.yml").read_text())["inputs"])
    found = [yaml.safe_load(text) for _, text in blocks(PAGE, "yaml")]
    used = [
        step["with"] for one in found for job in one.get("jobs", {}).values() for step in job["steps"] if "with" in step
    ]
    assert len(used) == 2
    assert all(set(one) <= inputs for one in used)
    template = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".evalkit-gate"]["variables"]
    assert set(found[-1]["gate"]["variables"]) <= set(template)
    for name in inputs:
        assert f"`{name}`" in PAGE or f" {name}:" in PAGE


def test_the_configuration_that_is_shown_has_the_defaults(tmp_path: Path) -> None:
    [(_, text)] = blocks(COMPARE, "toml")
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    found = read_config(file)
    assert found.model_copy(update={"limit": (), "expected": ()}) == GateConfig()
    assert {key for key in GateConfig.model_fields if re.search(rf"\b{key}\b", text)} == set(GateConfig.model_fields)


def test_the_file_of_scores_that_is_shown_is_one(tmp_path: Path) -> None:
    [(_, text)] = blocks(COMPARE, "json")
    file = tmp_path / "scores.json"
    file.write_text(text)
    assert read_comparand(file).model == "VIRTUE-2B"


@pytest.mark.parametrize("verdict", ["regressed", "new_failure", "missing", "incomparable", "expected", "warn", "same"])
def test_verdicts_are_explained(verdict: str) -> None:
    assert f"\n| `{verdict}` | " in COMPARE


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for code, text, said in followed(Path(name)):
            print(f"{text}\n{said}\nexit {code}\n")

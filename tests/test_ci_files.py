"""The GitHub action and the GitLab template: their own scripts run here, on the example, and stop what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import EXAMPLE, run

from evalkit.baseline import accept, history

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
TEMPLATE = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())[".evalkit-gate"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ``evalkit`` in ``bin`` and a baseline of example-colours."""
    from datetime import date

    folder = tmp_path_factory.mktemp("ci")
    (folder / "bin").mkdir()
    script = folder / "bin/evalkit"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from evalkit.cli import main; main()" "$@"\n')
    script.chmod(0o755)
    assert run(folder / "runs", "example-colours") == 0
    [file] = (folder / "runs").glob("*/*/run.json")
    accept(file.parent, folder / "baseline", "r", on=date(2026, 7, 1))
    return folder


def bash(script: str, place: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | variables | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "RUNNER_TEMP": str(out)}
    env["GITHUB_STEP_SUMMARY"] = str(out / "summary.md")
    # As a composite action runs it: bash --noprofile --norc -eo pipefail.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, env=env, cwd=out, capture_output=True, text=True, timeout=300, check=False)


def steps(name: str) -> dict[str, Any]:
    [step] = [step for step in ACTION["runs"]["steps"] if step.get("name") == name]
    return dict(step)


def test_no_input_is_pasted_into_a_script() -> None:
    """An input is a stranger's: it comes as a variable, never as a part of the script."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "run" not in step or step["shell"] == "bash"
    used = str(ACTION["runs"])
    assert all(f"inputs.{name} " in used for name in ACTION["inputs"])


@pytest.mark.parametrize(("model", "code", "verdict"), [("example-colours", 0, "passed"), ("constant", 1, "failed")])
def test_the_action_passes_and_stops(model: str, code: int, verdict: str, place: Path, tmp_path: Path) -> None:
    inputs = {"MODEL": model, "TASKS": "example", "DATA": str(EXAMPLE), "ARGUMENTS": "--vectors\nfloat32\n\n"}
    ran = bash(steps("Run")["run"], place, tmp_path, **inputs)
    assert ran.returncode == 0, ran.stderr
    gated = bash(steps("Gate")["run"], place, tmp_path, BASELINE=str(place / "baseline"), ARGUMENTS="")
    assert gated.returncode == code, gated.stderr
    assert f"gate: {verdict}" in gated.stdout
    assert ("::error title=" in gated.stdout) == (code == 1)
    assert (tmp_path / "summary.md").read_text().startswith(f"## evalkit gate: {verdict}")
    assert {file.name for file in (tmp_path / "evalkit-gate").iterdir()} == {"gate.json", "gate.md", "gate.xml", "runs"}


@pytest.mark.parametrize(("model", "code"), [("example-colours", 0), ("constant", 1)])
def test_the_template_passes_and_stops(model: str, code: int, place: Path, tmp_path: Path) -> None:
    variables = TEMPLATE["variables"] | {
        "EVALKIT_MODEL": model,
        "EVALKIT_TASKS": "example",
        "EVALKIT_DATA": str(EXAMPLE),
    }
    variables["EVALKIT_BASELINE"] = str(place / "baseline")
    done = bash("\n".join(TEMPLATE["script"]), place, tmp_path, **variables)
    assert done.returncode == code, done.stderr
    for kind, file in TEMPLATE["artifacts"]["reports"].items():
        assert (tmp_path / file.replace("$EVALKIT_OUT", variables["EVALKIT_OUT"])).is_file(), kind


def test_the_committed_baseline_is_what_ci_gates_against(tmp_path: Path, place: Path) -> None:
    folder = ROOT / "baselines/example-colours"
    assert f"gate {folder.relative_to(ROOT)}" in (ROOT / ".ci/run").read_text()
    assert history(folder).run.model.name == "example-colours"
    done = bash(f'evalkit gate "{folder}" "{place / "runs"}"', place, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")

"""The GitHub action and the GitLab template: their own scripts run here, on the example, and stop what they should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import EXAMPLE, run

from evalkit.regression.baseline import accept, history

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
    env["GITHUB_OUTPUT"] = str(out / "output")
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


def acted(
    model: str, place: Path, out: Path, tasks: str = "example"
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The action's steps that run and gate; what the last one of them was, and what they handed on."""
    inputs = {"MODEL": model, "TASKS": tasks, "DATA": str(EXAMPLE), "ARGUMENTS": "--vectors\nfloat32\n\n"}
    ran = bash(steps("Run")["run"], place, out, **inputs)
    found = dict(line.split("=", 1) for line in (out / "output").read_text().splitlines())
    if ran.returncode:
        return ran, found
    step = steps("Gate")
    assert (step["env"]["OUT"], step["env"]["RUN_CODE"]) == (
        "${{ steps.run.outputs.out }}",
        "${{ steps.run.outputs.code }}",
    )
    handed = {"OUT": found["out"], "RUN_CODE": found["code"]}
    return bash(step["run"], place, out, BASELINE=str(place / "baseline"), ARGUMENTS="", **handed), found


@pytest.mark.slow(3)
@pytest.mark.parametrize(("model", "code", "verdict"), [("example-colours", 0, "passed"), ("constant", 1, "failed")])
def test_the_action_passes_and_stops(model: str, code: int, verdict: str, place: Path, tmp_path: Path) -> None:
    gated, found = acted(model, place, tmp_path)
    assert gated.returncode == code, gated.stderr
    assert f"gate: {verdict}" in gated.stdout
    assert ("::error title=" in gated.stdout) == (code == 1)
    assert (tmp_path / "summary.md").read_text().startswith(f"## evalkit gate: {verdict}")
    assert {file.name for file in Path(found["out"]).iterdir()} == {"gate.json", "gate.md", "gate.xml", "runs"}
    again, other = acted(model, place, tmp_path)  # a second use in the same job has a folder of its own
    assert (again.returncode, other["out"] == found["out"]) == (code, False)


BROKEN = """
from evalkit.embedders.colours import Colours

class Broken(Colours):
    def encode(self, items, side):
        if side == "query" and len(items) and "Referring" in (items[0].text or items[0].prompt or ""):
            raise RuntimeError("CUDA error\\n::warning::x\\n  ##[error]y")
        return super().encode(items, side)
"""


def commands(text: str) -> list[str]:
    """The lines that GitHub's runner takes for commands."""
    return [line for line in text.splitlines() if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.slow(2)
def test_a_task_that_fails_is_gated_and_the_error_gives_no_commands(place: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(BROKEN)
    gated, found = acted("model.py:Broken", place, tmp_path)
    assert found["code"] == "4"
    assert gated.returncode == 4, gated.stderr
    assert "\nexample/ShapeRegions: new_failure: " in gated.stdout
    assert "RuntimeError: CUDA error ::warning::x ## [error]y\n" in gated.stdout
    assert [line.split("::")[1][:5] for line in commands(gated.stdout)] == ["error"]
    assert commands(gated.stderr) == []


def test_a_run_that_could_not_begin_is_not_gated(place: Path, tmp_path: Path) -> None:
    ended, found = acted("example-colours", place, tmp_path, tasks="nothing")
    assert (ended.returncode, found["code"]) == (2, "2")
    assert "gate" not in ended.stdout
    assert "nothing" in ended.stderr


def test_the_action_installs_its_own_folder_or_nothing(place: Path, tmp_path: Path) -> None:
    env = {"GITHUB_ACTION_PATH": "", "REQUIREMENTS": "", "GITHUB_PATH": str(tmp_path / "path")}
    done = bash(steps("Install evalkit")["run"], place, tmp_path, **env)
    assert done.returncode != 0
    assert "GITHUB_ACTION_PATH: it is not set, so there is no evalkit to install" in done.stderr


@pytest.fixture
def recorded(place: Path, tmp_path: Path) -> Path:
    """A ``python`` whose virtual environments have a pip that writes down its arguments, one a line."""
    said = tmp_path / "pip.txt"
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    pip = f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{said}'\n"
    python.write_text(f'#!/bin/sh\nmkdir -p "$3/bin"\ncat > "$3/bin/pip" << "END"\n{pip}END\nchmod +x "$3/bin/pip"\n')
    python.chmod(0o755)
    return said


def installed(recorded: Path, script: str, place: Path, **variables: str) -> tuple[list[str], str]:
    """What pip was told by a script that exits with 0, and what the script said."""
    out = recorded.parent
    done = bash(f'PATH="{out}/bin:$PATH"\n{script}', place, out, **variables)
    assert done.returncode == 0, done.stderr
    return recorded.read_text().splitlines(), done.stderr


@pytest.mark.parametrize("constraints", ["", "my pins.txt"])
@pytest.mark.parametrize("requirements", ["", "my needs.txt"])
def test_the_action_installs_all_under_constraints(
    requirements: str, constraints: str, place: Path, recorded: Path, tmp_path: Path
) -> None:
    step = steps("Install evalkit")
    assert set(step["env"]) == {"REQUIREMENTS", "CONSTRAINTS"}
    env = {"REQUIREMENTS": requirements, "CONSTRAINTS": constraints, "GITHUB_PATH": str(tmp_path / "path")}
    told, _ = installed(recorded, step["run"], place, GITHUB_ACTION_PATH="/the action", RUNNER_OS="macOS", **env)
    pins = constraints or "/the action/constraints.txt"
    assert told == ["install", "--quiet", "-c", pins, "/the action", *(["-r", requirements] if requirements else [])]
    assert (tmp_path / "path").read_text() == f"{tmp_path}/evalkit-venv/bin\n"
    assert (ROOT / "constraints.txt").is_file()


def test_the_action_says_where_it_does_not_run(place: Path, tmp_path: Path) -> None:
    env = {"GITHUB_ACTION_PATH": str(ROOT), "REQUIREMENTS": "", "CONSTRAINTS": "", "RUNNER_OS": "Windows"}
    done = bash(steps("Install evalkit")["run"], place, tmp_path, **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "evalkit's action runs on Linux and macOS: set runs-on to one of them\n"
    assert "On Linux and macOS." in ACTION["description"]


def test_the_scripts_have_nothing_that_the_bash_of_macos_has_not() -> None:
    """Version 3.2: no mapfile, no associative arrays, no changes of case, no ``&>>``, no ``|&``."""
    for step in ACTION["runs"]["steps"]:
        code = re.sub(r"#.*", "", step.get("run", ""))
        newer = r"mapfile|readarray|declare -A|\$\{\w+(,,|\^\^)|&>>|\|&|coproc|\bwait -n\b"
        assert not re.search(newer, code), step["name"]


@pytest.mark.parametrize(
    ("source", "constraints", "told"),
    [
        ("git+https://host/owner/evalkit@main", "", []),
        ("git+https://host/owner/evalkit@main", "https://host/pins.txt", ["-c", "https://host/pins.txt"]),
        ("./vendor/evalkit", "", ["-c", "./vendor/evalkit/constraints.txt"]),
        ("./vendor/evalkit", "my pins.txt", ["-c", "my pins.txt"]),
    ],
)
def test_the_template_installs_under_constraints(
    source: str, constraints: str, told: list[str], place: Path, recorded: Path, tmp_path: Path
) -> None:
    (tmp_path / "vendor/evalkit").mkdir(parents=True)
    (tmp_path / "vendor/evalkit/constraints.txt").touch()
    assert TEMPLATE["variables"]["EVALKIT_CONSTRAINTS"] == ""
    script = "\n".join(TEMPLATE["before_script"])
    found, said = installed(recorded, script, place, EVALKIT_SOURCE=source, EVALKIT_CONSTRAINTS=constraints)
    assert found == ["install", "--quiet", *told, source]
    assert ("EVALKIT_CONSTRAINTS is not set" in said) == (not told)


@pytest.mark.parametrize("source", ["", "evalkit", "evalkit==1.0"])
def test_the_template_installs_nothing_by_its_name(source: str, place: Path, tmp_path: Path) -> None:
    """In the index that name is another project's."""
    assert TEMPLATE["variables"]["EVALKIT_SOURCE"] == ""
    check = TEMPLATE["before_script"][0]
    done = bash(check, place, tmp_path, EVALKIT_SOURCE=source)
    assert done.returncode == 2
    assert f"EVALKIT_SOURCE is '{source}': set it to evalkit's git address or path" in done.stderr
    for good in ("git+https://host/owner/evalkit@main", "./vendor/evalkit", "."):
        assert bash(check, place, tmp_path, EVALKIT_SOURCE=good).returncode == 0


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("model", "code"), [("example-colours", 0), ("constant", 1), ("model.py:Broken", 4), ("nothing", 2)]
)
def test_the_template_passes_and_stops(model: str, code: int, place: Path, tmp_path: Path) -> None:
    variables = TEMPLATE["variables"] | {
        "EVALKIT_MODEL": model,
        "EVALKIT_TASKS": "example",
        "EVALKIT_DATA": str(EXAMPLE),
    }
    variables["EVALKIT_BASELINE"] = str(place / "baseline")
    (tmp_path / "model.py").write_text(BROKEN)
    done = bash("\n".join(TEMPLATE["script"]), place, tmp_path, **variables)
    assert done.returncode == code, done.stderr
    if code == 2:
        return
    assert (": new_failure: " in done.stdout) == (code in (1, 4))
    for kind, file in TEMPLATE["artifacts"]["reports"].items():
        assert (tmp_path / file.replace("$EVALKIT_OUT", variables["EVALKIT_OUT"])).is_file(), kind


@pytest.mark.slow(0.5)
def test_the_committed_baseline_is_what_ci_gates_against(tmp_path: Path, place: Path) -> None:
    folder = ROOT / "baselines/example-colours"
    assert f"gate {folder.relative_to(ROOT)}" in (ROOT / ".ci/run").read_text()
    assert history(folder).run.model.name == "example-colours"
    done = bash(f'evalkit gate "{folder}" "{place / "runs"}"', place, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")

"""What is installed, and what of it can go wrong: real packages, made for the test."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from builders import command, evalkit, install, site_packages

from evalkit import __version__
from evalkit.doctor import PACKAGES, diagnose, faiss_distributions


@pytest.fixture
def site(tmp_path, monkeypatch):
    with site_packages(tmp_path / "site", monkeypatch) as folder:
        yield folder


def test_facts():
    found = diagnose()
    facts = found.facts
    assert (facts["evalkit"], facts["python"]) == (__version__, platform.python_version())
    assert {name: facts[name] for name in PACKAGES} == {name: version(name) for name in PACKAGES}
    assert "mmeb (36 tasks)" in facts["suites"]
    assert "scar (5 tasks)" in facts["suites"]
    assert {"random", "constant", "clip", "precomputed"} <= set(facts["embedders"].split(", "))
    assert "build" in facts["faiss"]
    assert facts["device"].startswith(("cpu", "cuda"))


def test_two_packages_that_bring_faiss_are_told(site):
    """They share one folder and overwrite each other's files."""
    before = faiss_distributions()
    assert len(before) <= 1
    install(site, "faiss_gpu_of_a_test", "")
    info = site / "faiss_gpu_of_a_test-1.0.dist-info"
    (info / "top_level.txt").write_text("faiss\n")
    (info / "RECORD").write_text("faiss/__init__.py,,\n")
    assert faiss_distributions() == sorted([*before, "faiss_gpu_of_a_test 1.0"])
    told = [warning for warning in diagnose().warnings if "share the folder faiss and overwrite each other" in warning]
    assert len(told) == len(before)
    assert command("doctor") == 1 or not before


def test_a_package_that_is_missing_is_told(monkeypatch):
    monkeypatch.setattr("evalkit.doctor.PACKAGES", ("numpy", "a_package_that_nobody_has"))
    found = diagnose()
    assert found.facts["a_package_that_nobody_has"] == "missing"
    assert "a_package_that_nobody_has is not installed: install evalkit again" in found.warnings


def test_plugins_that_cannot_be_used_are_told(site):
    install(site, "taking", "[evalkit.embedders]\nrandom = taking:Mine\n[evalkit.suites]\nmmeb = taking:SUITE\n")
    install(site, "broken", "[evalkit.suites]\nbroken = broken_suite:SUITE\n", broken_suite="1 / 0\n")
    told = "\n".join(diagnose().warnings)
    assert "random = taking:Mine (evalkit.embedders) is not used: evalkit.embedders.baselines:Random" in told
    assert "mmeb = taking:SUITE (evalkit.suites) is not used" in told
    assert "suite 'broken' (broken_suite:SUITE) cannot be loaded: ZeroDivisionError" in told


@pytest.mark.slow(2)
def test_libraries_that_cannot_be_imported_are_told(tmp_path):
    """A broken one must not break the command that is there to find it."""
    for name in ("faiss", "torchvision"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('no symbol of {name}')\n")
    done = evalkit("doctor", "--json", env={"PYTHONPATH": str(tmp_path)})
    found = json.loads(done.stdout)
    assert done.returncode == 1
    told = "\n".join(found["warnings"])
    assert "FAISS cannot be imported (no symbol of faiss)" in told
    assert "torchvision is installed and cannot be imported (no symbol of torchvision)" in told
    assert found["facts"]["numpy"] == version("numpy")


def test_the_command(capsys):
    expected = diagnose()
    assert command("doctor", "--json") == int(bool(expected.warnings))
    assert json.loads(capsys.readouterr().out) == {"facts": expected.facts, "warnings": expected.warnings}
    assert command("doctor") == int(bool(expected.warnings))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(expected.facts)]] == list(expected.facts)
    assert ("nothing wrong" in lines) == (not expected.warnings)
    assert str(Path(sys.prefix)) not in "\n".join(lines)

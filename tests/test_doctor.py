"""What is installed, and what of it can go wrong: real packages, made for the test."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from builders import command, evalkit, install, site_packages

from evalkit import __version__
from evalkit.doctor import OPTIONAL, PACKAGES, diagnose, faiss_distributions


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
    assert {"pandas", "datasets"} <= set(PACKAGES)
    for name in OPTIONAL:
        try:
            assert facts[name] == version(name)
        except PackageNotFoundError:
            assert facts[name] == "not installed"
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


# --- one folder, several packages of FAISS -----------------------------------------------------------


def put_faiss(site: Path, name: str, *, gpus: int | None = None, fails: str = "") -> None:
    """Install a FAISS as pip does: its files over those of another, and a record of them; ``gpus`` of a GPU build."""
    source = f"""\
__version__ = "9.9"
{fails}
def get_compile_options(): return "OPTIMIZE AVX2 "
def get_num_gpus(): return {gpus}
"""
    files = {"faiss/__init__.py": source, "faiss/loader.py": "# the same in all\n"}
    if gpus is not None:
        files["faiss/__init__.py"] += "class StandardGpuResources: ...\n"
        files["faiss/_gpu_build.py"] = "IS_GPU_BUILD = True\n"
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    files[f"{info}/RECORD"] = "".join(f"{file},,{len(text)}\n" for file, text in files.items())
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)


def take_faiss(site: Path, name: str) -> None:
    """Uninstall one as pip does: all that its record names, whoever wrote it last."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    for line in (info / "RECORD").read_text().splitlines():
        (site / line.split(",")[0]).unlink(missing_ok=True)
    shutil.rmtree(info)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is installed here but FAISS, as links."""
    folder = tmp_path_factory.mktemp("others")
    for place in (Path(path) for path in sys.path if path.endswith("site-packages")):
        for entry in place.iterdir():
            names = entry.suffix == ".pth" and not entry.read_text().startswith("import")  # another place of packages
            if not names and not entry.name.startswith("faiss") and not os.path.lexists(folder / entry.name):
                (folder / entry.name).symlink_to(entry)
    return folder


def doctor(site: Path, others: Path) -> tuple[str, str, str, int]:
    """What a process says that finds these packages first: the fact, warnings and notes of FAISS, and its exit code."""
    script = (
        f"import site, sys; sys.path[:0] = [{str(site)!r}]; site.addsitedir({str(others)!r}); "
        "from evalkit.cli import main; main()"
    )
    # Without bytecode: two sources of one length, written in one second, are one to Python.
    arguments = [sys.executable, "-B", "-S", "-c", script, "doctor", "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    warnings, notes = ("\n".join(line for line in found[key] if "FAISS" in line) for key in ("warnings", "notes"))
    return found["facts"]["faiss"], warnings, notes, done.returncode


def put_torch(site: Path, cuda: bool) -> None:
    """A torch that sees a GPU or none, and is imported faster than the real one."""
    see = f"is_available = staticmethod(lambda: {cuda}); device_count = staticmethod(lambda: 1)"
    name = "get_device_name = staticmethod('GPU {}'.format)"
    install(site, "torch", "", torch=f"class cuda: {see}; {name}\nclass version: cuda = '13.0'\n")


@pytest.mark.slow(3)
def test_which_faiss_is_in_use_without_a_gpu(tmp_path, others):
    """One, the other, both in either order, what an uninstall leaves, none: as pip does it with the real ones."""
    put_torch(tmp_path, False)
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert (fact, notes, code) == ("missing", "", 1)
    assert warnings == "FAISS is not installed: pip install faiss-cpu"

    put_faiss(tmp_path, "faiss-cpu")
    assert doctor(tmp_path, others) == ("faiss-cpu 1.0 (CPU build, OPTIMIZE AVX2)", "", "", 0)

    put_faiss(tmp_path, "faiss-gpu", gpus=0)
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert fact.startswith("faiss-cpu 1.0, faiss-gpu 1.0; in use: faiss-gpu 1.0 (GPU build, 0 GPUs seen, OPTIMIZE")
    assert code == 1
    assert warnings == (
        "FAISS is there twice: faiss-cpu 1.0 and faiss-gpu 1.0 share the folder faiss and overwrite each other: "
        "pip uninstall -y faiss-cpu faiss-gpu, then pip install faiss-cpu"
    )

    put_faiss(tmp_path, "faiss-cpu")
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert fact.startswith("faiss-cpu 1.0, faiss-gpu 1.0; in use: faiss-cpu 1.0 (CPU build, OPTIMIZE")

    take_faiss(tmp_path, "faiss-cpu")
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert (fact, code) == ("faiss-gpu 1.0, broken", 1)
    assert "FAISS is not whole: the uninstall of one package of it took the files of another along" in warnings
    assert warnings.endswith("pip uninstall -y faiss-gpu, then pip install faiss-gpu")

    put_faiss(tmp_path, "faiss-gpu", gpus=0)
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert (fact, warnings, code) == ("faiss-gpu 1.0 (GPU build, 0 GPUs seen, OPTIMIZE AVX2)", "", 0)
    assert notes == (
        "FAISS is a build for GPUs and sees none: it searches on the CPU, with the same ranks, as the smaller "
        "faiss-cpu does"
    )

    put_faiss(tmp_path, "faiss-gpu", gpus=0, fails="raise RuntimeError('no libcublas.so.12')")
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert (fact, code) == ("faiss-gpu 1.0, broken", 1)
    assert "FAISS cannot be imported (no libcublas.so.12): pip uninstall -y faiss-gpu, then pip install" in warnings


@pytest.mark.slow(2)
def test_which_faiss_is_in_use_beside_a_gpu(tmp_path, others):
    put_torch(tmp_path, True)
    put_faiss(tmp_path, "faiss-cpu")
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert (fact, warnings, code) == ("faiss-cpu 1.0 (CPU build, OPTIMIZE AVX2)", "", 0)
    assert "FAISS searches on the CPU, with the same ranks; to do it on the GPU: pip uninstall -y faiss-cpu" in notes
    assert "then pip install faiss-gpu (docs/install.md)" in notes

    put_faiss(tmp_path, "faiss-gpu", gpus=2)
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert "in use: faiss-gpu 1.0 (GPU build, 2 GPUs seen" in fact
    assert warnings.endswith("pip uninstall -y faiss-cpu faiss-gpu, then pip install faiss-gpu")
    assert (notes, code) == ("", 1)

    take_faiss(tmp_path, "faiss-cpu")
    put_faiss(tmp_path, "faiss-gpu", gpus=2)
    assert doctor(tmp_path, others) == ("faiss-gpu 1.0 (GPU build, 2 GPUs seen, OPTIMIZE AVX2)", "", "", 0)

    put_faiss(tmp_path, "faiss-gpu", gpus=0)
    fact, warnings, notes, code = doctor(tmp_path, others)
    assert "it searches on the CPU, with the same ranks; torch sees one, so the driver is older" in warnings
    assert (notes, code) == ("", 1)


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
    parts = {"facts": expected.facts, "warnings": expected.warnings, "notes": expected.notes}
    assert json.loads(capsys.readouterr().out) == parts
    assert command("doctor") == int(bool(expected.warnings))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(expected.facts)]] == list(expected.facts)
    assert ("nothing wrong" in lines) == (not expected.warnings)
    assert str(Path(sys.prefix)) not in "\n".join(lines)

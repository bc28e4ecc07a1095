"""What is installed, and what of it can go wrong."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sqlite3
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution, entry_points, packages_distributions, version

from evalkit.version import __version__

PACKAGES = (
    "numpy", "pyarrow", "pandas", "datasets", "pydantic", "click", "jinja2", "tqdm", "pillow", "torch", "transformers",
    "tokenizers", "safetensors", "huggingface_hub",
)  # fmt: skip
OPTIONAL = ("peft", "msgpack", "ftfy", "sentence-transformers", "mteb", "sam2")
"""Packages that evalkit runs without."""


@dataclass
class Diagnosis:
    """Facts by name, warnings of what is wrong, and notes of what could be otherwise."""

    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def diagnose() -> Diagnosis:
    """Look at Python, libraries, devices, FAISS, suites and embedders."""
    found = Diagnosis()
    facts, warnings = found.facts, found.warnings
    facts["evalkit"] = __version__
    facts["python"] = platform.python_version()
    facts["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    facts["sqlite"] = sqlite3.sqlite_version
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "missing"
            warnings.append(f"{package} is not installed: install evalkit again")
    for package in OPTIONAL:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    _faiss(found, _devices(found))
    _plugins(found)
    return found


def faiss_distributions() -> list[str]:
    """The installed packages that bring a top-level ``faiss``, with their versions."""
    return [f"{name} {version(name)}" for name in _faiss_names()]


def _faiss_names() -> list[str]:
    return sorted(set(packages_distributions().get("faiss", [])))


def _faiss(found: Diagnosis, cuda: bool) -> None:
    """Which FAISS is in use. All packages of it share one folder, and what is installed last overwrites the others."""
    names, installed = _faiss_names(), faiss_distributions()
    spec = importlib.util.find_spec("faiss")
    if spec is None:
        found.facts["faiss"] = "missing"
        found.warnings.append(f"FAISS is not installed: {_only_one(names, cuda)}")
        return
    try:
        import faiss

        gpu_build = hasattr(faiss, "StandardGpuResources")
        gpus = faiss.get_num_gpus() if gpu_build else 0
        options = faiss.get_compile_options().strip()
    # faiss-gpu raises a RuntimeError where CUDA's libraries are missing; what an uninstall has left has no attributes.
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        found.facts["faiss"] = f"{', '.join(installed) or 'from no known package'}, broken"
        said = f"cannot be imported ({error})"
        if spec.origin is None:
            said = "is not whole: the uninstall of one package of it took the files of another along"
        found.warnings.append(f"FAISS {said}: {_only_one(names, cuda)}")
        return

    kind = f"GPU build, {gpus} GPUs seen" if gpu_build else "CPU build"
    from_ = ", ".join(installed) or f"{getattr(faiss, '__version__', 'unknown')} from no known package"
    if len(installed) > 1:
        whole = [said for name, said in zip(names, installed, strict=True) if _is_whole(name)]
        from_ += f"; in use: {whole[0] if len(whole) == 1 else 'a mix of them'}"
        found.warnings.append(
            f"FAISS is there twice: {' and '.join(installed)} share the folder faiss and overwrite each other: "
            f"{_only_one(names, cuda)}"
        )
    found.facts["faiss"] = f"{from_} ({kind}, {options})"
    if gpu_build and not gpus:
        searches = "FAISS is a build for GPUs and sees none: it searches on the CPU, with the same ranks"
        if cuda:
            found.warnings.append(
                f"{searches}; torch sees one, so the driver is older than this FAISS's CUDA, or broken"
            )
        else:
            found.notes.append(f"{searches}, as the smaller faiss-cpu does")
    elif cuda and not gpu_build:
        found.notes.append(
            f"FAISS searches on the CPU, with the same ranks; to do it on the GPU: {_only_one(names, cuda)} "
            "(docs/install.md)"
        )


def _only_one(names: list[str], cuda: bool) -> str:
    """How to end with one FAISS: all of them have to go first, because each takes the others' files along."""
    built = [name for name in names if "gpu" in name or "cuda" in name]
    keep = (built or ["faiss-gpu"])[0] if cuda or (built and built == names) else "faiss-cpu"
    uninstall = f"pip uninstall -y {' '.join(names)}, then " if names else ""
    return f"{uninstall}pip install {keep}"


def _is_whole(name: str) -> bool:
    """Whether the files of a package in the folder ``faiss`` are those that it came with, by their sizes."""
    for file in distribution(name).files or ():
        if file.parts[0] == "faiss" and file.size is not None:
            place = str(file.locate())
            if not os.path.isfile(place) or os.path.getsize(place) != file.size:
                return False
    return True


def _devices(found: Diagnosis) -> bool:
    """The device that models run on; whether there is a GPU."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found.facts["device"] = f"cuda: {', '.join(names)} (CUDA {torch.version.cuda})"
    else:
        found.facts["device"] = "cpu"
    if importlib.util.find_spec("torchvision") is not None:
        try:
            importlib.import_module("torchvision")
        except (ImportError, RuntimeError, OSError) as error:
            found.warnings.append(
                f"torchvision is installed and cannot be imported ({error}); transformers may trip over it: "
                "uninstall it, evalkit does not need it"
            )
    return cuda


def _plugins(found: Diagnosis) -> None:
    from evalkit.embedders.modeltext import families
    from evalkit.errors import EvalkitError
    from evalkit.plugins import plugins
    from evalkit.suites.selecting import all_cards, suites

    try:
        all_cards()
        found.facts["suites"] = ", ".join(f"{name} ({len(suite.cards())} tasks)" for name, suite in suites().items())
    except EvalkitError as error:
        found.warnings.append(str(error))
    found.facts["embedders"] = ", ".join(families())
    for group in ("evalkit.suites", "evalkit.embedders"):
        used = plugins(group)
        for point in entry_points(group=group):
            if point.value != used[point.name].value:
                found.warnings.append(
                    f"{point.name} = {point.value} ({group}) is not used: {used[point.name].value} has its name"
                )

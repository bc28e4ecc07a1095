"""What is installed, and what of it can go wrong."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sqlite3
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version

from evalkit import __version__

PACKAGES = (
    "numpy", "pyarrow", "pydantic", "click", "jinja2", "tqdm", "pillow", "torch", "transformers", "tokenizers",
    "safetensors", "huggingface_hub",
)  # fmt: skip


@dataclass
class Diagnosis:
    """Facts by name, and warnings."""

    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def diagnose() -> Diagnosis:
    """Look at Python, libraries, FAISS, devices, suites and embedders."""
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
    _faiss(found)
    _devices(found)
    _plugins(found)
    return found


def faiss_distributions() -> list[str]:
    """The installed packages that bring a top-level ``faiss``, with their versions."""
    names = sorted(set(packages_distributions().get("faiss", [])))
    return [f"{name} {version(name)}" for name in names]


def _faiss(found: Diagnosis) -> None:
    installed = faiss_distributions()
    if importlib.util.find_spec("faiss") is None:
        found.facts["faiss"] = "missing"
        found.warnings.append("FAISS is not installed: pip install faiss-cpu")
        return
    try:
        import faiss
    except (ImportError, OSError) as error:
        found.facts["faiss"] = f"{', '.join(installed)}, broken"
        found.warnings.append(f"FAISS cannot be imported ({error}): uninstall it, then pip install faiss-cpu")
        return

    gpus = faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0
    kind = f"GPU build, {gpus} GPUs" if hasattr(faiss, "StandardGpuResources") else "CPU build"
    found.facts["faiss"] = (
        f"{', '.join(installed) or 'from no known package'} ({kind}, {faiss.get_compile_options().strip()})"
    )
    if len(installed) > 1:
        found.warnings.append(
            f"{' and '.join(installed)} share the folder faiss and overwrite each other: uninstall all of them, "
            "then install one"
        )


def _devices(found: Diagnosis) -> None:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
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

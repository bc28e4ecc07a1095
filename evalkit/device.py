"""Which device a model runs on."""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from pathlib import Path

from evalkit.errors import UsageError


def pick_device(name: str) -> str:
    """The device that a model runs on.

    Args:
        name: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:I``.

    Returns:
        ``cpu``, ``cuda`` or ``cuda:I``, as torch takes it.

    Raises:
        UsageError: an unknown name, or a CUDA device that this machine has not.
    """
    if name == "cpu":
        return name
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", name)
    if match is None:
        raise UsageError(f"device {name!r} is not known: use auto, cpu, cuda or cuda:I")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if not count:
        raise UsageError(
            f"device {name} is not available: torch {torch.__version__} sees no CUDA device; use --device "
            "cpu, or install a build of torch for CUDA (evalkit doctor says what is installed)"
        )
    if match[1] is not None and int(match[1]) >= count:
        raise UsageError(f"device {name} is not available: this machine has cuda:0 to cuda:{count - 1}")
    return name


def pick_dtype(name: str, device: str) -> str:
    """What a model computes in.

    Args:
        name: ``auto`` (bfloat16 on CUDA, float32 on the CPU), ``float32`` or ``bfloat16``.
        device: from :func:`pick_device`.

    Returns:
        ``float32`` or ``bfloat16``.

    Raises:
        UsageError: an unknown name.
    """
    if name not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"option dtype={name!r} is not known: use auto, float32 or bfloat16")
    if name == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    return name


def device_name(device: str) -> str:
    """The processor or GPU behind a device's name, for the record.

    An embedder that never loaded torch ran on the processor, whatever ``auto`` would have picked; torch
    is not loaded to find out.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
    """
    if "torch" in sys.modules and (picked := pick_device(device)).startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(picked))
    return f"cpu ({platform.machine()})"


def device_model(device: str) -> str:
    """The model of the processor or GPU behind a device's name, as :func:`device_name` finds it.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
    """
    name = device_name(device)
    return f"{_processor()} ({platform.machine()})" if name.startswith("cpu") else name


@cache
def _processor() -> str:
    """The processor's model, where the system says one."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    except OSError:  # not Linux
        found = None
    return (found[1].strip() if found else platform.processor()) or "cpu"


def torch_facts() -> dict[str, str]:
    """What of torch's state may move a vector: threads, TF32 and its like; empty where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    facts = {"matmul precision": str(torch.get_float32_matmul_precision()), "threads": str(torch.get_num_threads())}
    if torch.cuda.is_available():
        facts["cudnn TF32"] = "on" if torch.backends.cudnn.allow_tf32 else "off"
        facts["deterministic"] = "on" if torch.are_deterministic_algorithms_enabled() else "off"
    else:
        facts["instructions"] = str(torch.backends.cpu.get_cpu_capability())
    return facts

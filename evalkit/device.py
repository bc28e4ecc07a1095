"""Which device a model runs on."""

from __future__ import annotations

import platform
import sys

from evalkit.embedders.checkpoint import pick_device


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

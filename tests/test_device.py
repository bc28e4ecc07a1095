"""Choosing a device."""

from __future__ import annotations

import pytest
import torch

from evalkit.device import device_name, pick_device
from evalkit.errors import UsageError


def test_devices() -> None:

    assert pick_device("cpu") == "cpu"
    for name in ("gpu", "cuda:", "cuda:-1", "cuda:x", "", "CPU"):
        with pytest.raises(UsageError, match="is not known: use auto, cpu, cuda or cuda:I"):
            pick_device(name)
    if torch.cuda.is_available():
        assert pick_device("auto") == "cuda"
        assert pick_device("cuda:0") == "cuda:0"
        with pytest.raises(UsageError, match="this machine has cuda:0 to"):
            pick_device("cuda:99")
    else:
        assert pick_device("auto") == "cpu"
        for name in ("cuda", "cuda:0"):
            with pytest.raises(UsageError, match=f"device {name} is not available"):
                pick_device(name)


def test_the_name_of_a_device_tells_no_host():
    assert device_name("cpu").startswith("cpu (")

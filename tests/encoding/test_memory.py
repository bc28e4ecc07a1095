"""Memory that runs out, in the words of the libraries; and batches that grow again when there is room."""

from __future__ import annotations

import json

import pytest
from builders import run

from evalkit.encoding.batches import Pending
from evalkit.encoding.memory import Room, out_of_memory
from evalkit.items import Item

# As torch, its libraries and others say it; what a user pastes into an issue.
SAID = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, other allocations: 32 KB, max allowed: 9.07 GB)"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
    RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    RuntimeError("UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"),
    RuntimeError("PI_ERROR_OUT_OF_RESOURCES"),
    RuntimeError("OOM when allocating tensor with shape[64,1280,1536]"),
    RuntimeError("cudaErrorMemoryAllocation"),
    RuntimeError("could not allocate memory for the buffer"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    RuntimeError("Invalid buffer size: 24.00 GB"),
    RuntimeError("Available memory of 1073741824 is smaller than requested bytes of 2147483648"),
]
OTHER = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    ValueError("Image features and image tokens do not match"),
    KeyError("pixel_values"),
]


@pytest.mark.parametrize("error", SAID, ids=lambda error: str(error)[:40])
def test_memory_that_ran_out_is_known_by_its_words_or_kind(error):
    assert out_of_memory(error)
    wrapped = ValueError("the forward pass failed")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped)


@pytest.mark.parametrize("error", OTHER, ids=lambda error: str(error)[:40])
def test_other_errors_are_others(error):
    assert not out_of_memory(error)
    error.__context__ = error  # as a hostile or broken library may have it
    assert not out_of_memory(error)


def test_torch_s_own_kind_counts_whatever_it_says():
    import torch

    assert out_of_memory(torch.OutOfMemoryError("no room"))


def entries(count: int) -> list[Pending]:
    return [Pending(bytes([place]), Item(f"p{place}"), None, 1) for place in range(count)]


def test_batches_grow_again_and_what_was_tried_in_vain_is_tried_less_often():
    room, tries = Room(), []
    for holds in (3, 100):  # then another process gives memory back
        sizes = []
        for _ in range(400):
            batch = entries(8)
            while batch:
                count = room.fitting(batch)
                if count > holds:
                    tries.append(count)
                    room.shrink(batch[:count])
                    continue
                room.fitted(batch[:count])
                sizes.append(count)
                batch = batch[count:]
        assert max(sizes[-50:]) == min(holds - holds % 2, 8)
    assert len(tries) < 14, "of 2000 batches"


STARVED = """\
import numpy as np
from evalkit.embedders.base import EmbedderInfo
from evalkit.embedders.baselines import Random


class Starved:
    info = EmbedderInfo(name="starved", dimension=64)

    def encode(self, items, side):
        if len(items) > 3:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return Random().encode(items, side)
"""


@pytest.mark.slow(5)
def test_what_was_made_in_smaller_batches_stands_in_the_record(tmp_path):
    (tmp_path / "starved.py").write_text(STARVED)
    model = f"{tmp_path}/starved.py:Starved"
    for _ in range(2):  # also where all of it is reused
        assert run(tmp_path / "runs", model, tasks="example/Shapes") == 0
        (file,) = (tmp_path / "runs").glob("*/*/run.json")
        (task,) = json.loads(file.read_text())["tasks"]
        (warning,) = task["warnings"]
        assert warning.startswith("memory ran out: ")
        timing = json.loads(file.with_name("timing.json").read_text())["tasks"]["example/Shapes"]
        budgets = timing["vectors_by_batch_tokens"]
        assert sum(budgets.values()) == timing["distinct"] == 96
        assert min(map(int, budgets)) < 16_384
    assert timing["embedded"] == 0

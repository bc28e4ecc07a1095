"""The conditions that a vector was made under: kept with it, shown where they are mixed, and no part of its key.

Another version of a library, another processor, another number of threads move a vector's last bits, and now and
then more. A key that held them would throw all vectors away at every update, and would still not say whether
anything moved; embedding a few of them again does (:mod:`evalkit.encoding.spotcheck`).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from evalkit.device import device_model, torch_facts
from evalkit.embedders.base import Computing
from evalkit.embedders.registry import LoadedEmbedder

UNKNOWN = "unknown"
"""Stands in place of a digest for vectors that a version of evalkit kept that did not record conditions."""
_PACKAGES = (
    "numpy",
    "pillow",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "faiss-cpu",
    "faiss-gpu",
    "pyarrow",
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Conditions:
    """What a vector was made with, beside what its key covers."""

    python: str
    """Version of Python."""
    system: str
    """Operating system and processor architecture."""
    device: str
    """Model of the processor or GPU that the embedder ran on."""
    packages: dict[str, str]
    """Versions of the libraries that can change a number."""
    computing: dict[str, str]
    """How it was computed, as far as the embedder or torch says: dtype, attention kernel, TF32, threads."""

    @property
    def digest(self) -> str:
        """12 hexadecimal digits of SHA-256 over all of it."""
        return hashlib.sha256(_line(asdict(self)).encode()).hexdigest()[:12]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Batching:
    """Under which conditions and in what batches a vector was made: what the store keeps beside it.

    The budget is no part of a run's record: runs of one command with other budgets are the same run.

    Attributes:
        conditions: all but the batches.
        batch_tokens: budget of a batch.
        shrunk: memory had run out, and the budget is less than what was asked for.
    """

    conditions: Conditions
    batch_tokens: Annotated[int, Field(ge=1)]
    shrunk: bool

    def record(self) -> str:
        """As one line of JSON, the same for equal ones."""
        return _line(asdict(self))


@dataclass(frozen=True)
class Made:
    """How the vectors of a task were made.

    Attributes:
        under: how many, by the digest of their conditions, or :data:`UNKNOWN` where nobody recorded them.
        known: conditions by digest.
        budgets: how many, by the budget of their batches in tokens.
        shrunk: how many in batches that were made smaller because memory had run out.
    """

    under: dict[str, int]
    known: dict[str, Conditions]
    budgets: dict[int, int]
    shrunk: int


def read_batching(record: str) -> Batching:
    """What :meth:`Batching.record` wrote.

    Raises:
        ValueError: it is something else.
    """
    return TypeAdapter(Batching).validate_json(record)


def conditions(loaded: LoadedEmbedder, device: str) -> Conditions:
    """The conditions that an embedder works under, in this process and now.

    Args:
        loaded: after it has embedded something: many load torch and their weights then.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.
    """
    embedder = loaded.embedder
    torch = torch_facts() if loaded.uses_torch else {}
    said = embedder.computing if isinstance(embedder, Computing) else torch
    return Conditions(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        device=device_model(device if loaded.uses_torch else "cpu"),
        packages=packages(),
        computing={name: str(value) for name, value in sorted(said.items())},
    )


@cache
def packages() -> dict[str, str]:
    """Versions of the installed libraries that can change a number, by name."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def differing(several: Sequence[Conditions]) -> dict[str, list[str]]:
    """What is not the same in all of them: by the name of a field, or of a library, its value in each.

    A library that one of them lacks is ``-`` there.
    """
    return {name: values for name, values in _by_name(several).items() if len(set(values)) > 1}


def together(several: Sequence[Conditions]) -> dict[str, str]:
    """All of them in one, for people: by the name of a field, or of a library, its values; ``-`` where one lacks it."""
    return {name: ", ".join(sorted(set(values))) for name, values in _by_name(several).items()}


def mixed(made: Mapping[str, int], known: Mapping[str, Conditions]) -> str | None:
    """In words, what the conditions differ in that vectors were made under; ``None`` where all are of one.

    Args:
        made: as :attr:`Made.under`.
        known: conditions by digest.
    """
    if len(made) < 2:
        return None
    digests = [digest for digest in made if digest in known]
    names = differing([known[digest] for digest in digests])
    said = [
        f"{made[digest]} with " + ", ".join(f"{name} {values[place]}" for name, values in names.items())
        for place, digest in enumerate(digests)
        if names
    ]
    told = sum(made[digest] for digest in digests) if names else 0
    if left := sum(made.values()) - told:
        said.append(f"{left} with what was not recorded")
    return f"vectors were made under {len(made)} conditions: {'; '.join(said)}"


def _by_name(several: Sequence[Conditions]) -> dict[str, list[str]]:
    flat = [_flat(one) for one in several]
    names = dict.fromkeys(name for one in flat for name in one)
    return {name: [one.get(name, "-") for one in flat] for name in names}


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _flat(one: Conditions) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in fields(one):
        value = getattr(one, field.name)
        found |= value if isinstance(value, dict) else {field.name.replace("_", " "): str(value)}
    return found

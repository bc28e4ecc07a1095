"""evalkit: how good is this multimodal embedder?

Nothing heavy is imported here: ``evalkit --help`` has to answer at once, and so has ``import evalkit``. What is public
is found in its module when it is asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from evalkit.version import __version__ as __version__

if TYPE_CHECKING:
    from evalkit.api import check, embed, evaluate, evaluate_dimensions
    from evalkit.items import Box, Item, Mask, Point, Points
    from evalkit.regression.compared import compare, gate
    from evalkit.runs.run import Run, Runs, load_run, load_runs
    from evalkit.suites.task import Task

__all__ = [
    "Box",
    "Item",
    "Mask",
    "Point",
    "Points",
    "Run",
    "Runs",
    "Task",
    "check",
    "compare",
    "embed",
    "evaluate",
    "evaluate_dimensions",
    "gate",
    "load_run",
    "load_runs",
]
_MODULES = {
    "evalkit.api": ("check", "embed", "evaluate", "evaluate_dimensions"),
    "evalkit.items.item": ("Box", "Item", "Mask", "Point", "Points"),
    "evalkit.regression.compared": ("compare", "gate"),
    "evalkit.runs.run": ("Run", "Runs", "load_run", "load_runs"),
    "evalkit.suites.task": ("Task",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "errors":  # what calls raise, without an import of its own
        return import_module("evalkit.errors")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """The package, of which two public functions have the name of a module."""

    def __setattr__(self, name: str, value: object) -> None:
        # A module that is imported is put here under its name, where the function has to be.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face

"""The code that an embedder's class comes from: what its fingerprint covers where it gives none itself.

Covered are the file of the class, those of its base classes, and all modules that these import, also later and inside
functions, as far as they belong to the user: what is installed (the standard library, packages of pip, evalkit) is
not. What a module does beyond importing, such as reading weights, no source tells.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.embedders.checkpoint import file_digest
from evalkit.errors import EmbedderError, UsageError
from evalkit.files import LARGEST_TEXT, read_file

MODEL = "evalkit_model"
"""What the modules of files that MODEL names are called, with a digest of their place behind it."""
_WITHOUT_TORCH = frozenset({"base", "baselines", "checkpoint", "colours", "modeltext", "precomputed", "registry"})
"""What of evalkit.embedders does not compute with torch; the families of models do."""


def digest_sources(factory: Callable[..., Any], brought: Iterable[ModuleType] = ()) -> str:
    """SHA-256, hexadecimal, over the sources of a class or function and of what it imports.

    It does not depend on where the files lie.

    Args:
        factory: the class, or the function that builds the embedder.
        brought: modules that loading it has imported, by whatever way.

    Raises:
        EmbedderError: it has no source file.
        UsageError: one cannot be read.
    """
    found = _sources(factory, brought)
    if not found:
        raise EmbedderError(
            f"{factory!r} has no source file to digest: set info.fingerprint, so that its vectors are kept apart"
        )
    total = hashlib.sha256()
    for name in sorted(found):
        total.update(f"{name}\0{file_digest(found[name])}\n".encode())
    return total.hexdigest()


def imports_torch(factory: Callable[..., Any], brought: Iterable[ModuleType] = ()) -> bool:
    """Whether a class or function, or what of the user's it imports, imports torch or a package that builds on it.

    Told by the sources and not by what is loaded, which another model of this process may have brought in.

    Args:
        factory: as of :func:`digest_sources`.
        brought: likewise.
    """
    files = _sources(factory, brought)
    names = {imported for name, file in files.items() for imported in _imports(file, name)}
    return not files or any(_ours_with_torch(name) or _builds_on_torch(name.partition(".")[0]) for name in names)


def digest_content(place: Path) -> str:
    """SHA-256, hexadecimal, of a file, or of all files below a folder with their names.

    Raises:
        UsageError: something of it cannot be read.
    """
    if not place.is_dir():
        return file_digest(place)
    total = hashlib.sha256()
    for name, file in sorted(_below(place, place, set())):
        total.update(f"{file_digest(file)}  {name}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def facts_of(place: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of a file, or of all files below a folder: equal where nobody wrote to them.

    Raises:
        UsageError: something of it cannot be read.
    """
    files = sorted(_below(place, place, set())) if place.is_dir() else [("", place)]
    found = []
    for name, file in files:
        status = file.stat()
        found.append((name, status.st_size, status.st_mtime_ns))
    return found


class UsersModules:
    """While it is entered, modules of the user are imported from their sources alone, and it knows which.

    It stays so while the model is used: some import what they need when they need it.

    Bytecode is found by time and size, and might be that of an older source than the one that is digested.

    Attributes:
        brought: modules that were imported meanwhile.
    """

    def __init__(self) -> None:
        self.brought: list[ModuleType] = []

    def __enter__(self) -> UsersModules:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Of a module that is the user's; ``None`` of any other, which the import system then looks for itself."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        if not _is_users(name, Path(spec.origin), ""):
            return None
        spec.loader = _Noted(name, spec.origin, self.brought)
        return spec


class SourceAlone(SourceFileLoader):
    """Reads and writes no bytecode."""

    def path_stats(self, path: Any) -> Any:
        raise OSError


class _Noted(SourceAlone):
    def __init__(self, name: str, path: str, brought: list[ModuleType]) -> None:
        super().__init__(name, path)
        self._brought = brought

    def exec_module(self, module: ModuleType) -> None:
        self._brought.append(module)
        super().exec_module(module)


def _sources(factory: Callable[..., Any], brought: Iterable[ModuleType]) -> dict[str, Path]:
    """The files of a class or function and of what it imports, by module; blank for its own; none where it has none."""
    classes = inspect.getmro(factory) if inspect.isclass(factory) else (factory,)
    first = _file_of(factory)
    found: dict[str, Path] = {}
    if first is None:
        return found
    own = str(getattr(factory, "__module__", "")).partition(".")[0]
    for one in classes:
        name = str(one.__module__)
        file = first if one is factory else _file_of(one)
        if one is factory or _is_users(name, file, own):
            _collect("" if one is factory else name, name, file, own, found)
    for module in brought:
        file = _origin(module)
        if file is not None and file != first and _is_users(module.__name__, file, own):
            called = MODEL if module.__name__.startswith(MODEL) else module.__name__  # whose name is that of its place
            _collect(called, module.__name__, file, own, found)
    return found


def _ours_with_torch(name: str) -> bool:
    """Whether a module, or a name in one, belongs to a family of evalkit that computes with torch."""
    package, _, part = name.partition("evalkit.embedders.")
    module = part.partition(".")[0]
    return not package and module in _families_modules() and module not in _WITHOUT_TORCH


@cache
def _families_modules() -> frozenset[str]:
    return frozenset(entry.stem for entry in Path(__file__).parent.iterdir() if not entry.name.startswith("_"))


@cache
def _builds_on_torch(package: str) -> bool:
    """Whether an installed top-level package is torch, or one whose distribution asks for it, be it as an extra."""
    if package == "torch":
        return True
    if package == "evalkit" or package in sys.stdlib_module_names:
        return False
    asked = [line for name in packages_distributions().get(package, ()) for line in requires(name) or ()]
    return any(re.match(r"torch\b(?![-_.])", line) for line in asked)


def _collect(called: str, name: str, file: Path | None, own: str, found: dict[str, Path]) -> None:
    """Add a module's file and those of what it imports.

    Args:
        called: what the digest calls it: blank for the module of the class, which may be named by its place.
        name: as Python knows it.
        file: its source.
        own: the package of the class; its modules count wherever they lie.
        found: is added to.
    """
    if file is None or called in found:
        return
    found[called] = file
    for imported in _imports(file, name):
        place = _find(imported)
        if place is not None and place != found.get("") and _is_users(imported, place, own):
            _collect(imported, imported, place, own, found)


def _imports(file: Path, name: str) -> Iterator[str]:
    """All names that may be modules which a source imports; their packages come before them."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(_read(file))
    except (SyntaxError, ValueError):  # never imported, or it would have failed
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module or ""]))
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base else []
        for target in targets:
            parts = target.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _find(name: str) -> Path | None:
    """Where a module's source lies, without importing anything; ``None`` where there is none."""
    module = sys.modules.get(name)
    if module is not None:
        return _origin(module)
    package = name.rpartition(".")[0]
    path = None
    if package:
        path = _folders(package)
        if not path:
            return None
    try:
        spec = PathFinder.find_spec(name, path)
    except (ImportError, ValueError, OSError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _folders(package: str) -> list[str]:
    module = sys.modules.get(package)
    if module is not None:
        return [str(place) for place in getattr(module, "__path__", [])]
    above = package.rpartition(".")[0]
    try:
        spec = PathFinder.find_spec(package, _folders(above) if above else None)
    except (ImportError, ValueError, OSError):
        return []
    return [str(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []


def _is_users(name: str, file: Path | None, own: str) -> bool:
    if file is None:
        return False
    top = name.partition(".")[0]
    if top == "evalkit":
        return False
    place = file.resolve()
    if top == own:
        return True
    return not ({"site-packages", "dist-packages"} & {*place.parts} or any(map(place.is_relative_to, _installed())))


@cache
def _installed() -> tuple[Path, ...]:
    """Folders of what is installed."""
    paths = sysconfig.get_paths()
    places = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])}
    return tuple(Path(place).resolve() for place in places)


def _origin(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if isinstance(file, str) and Path(file).is_file() else None


def _file_of(factory: Any) -> Path | None:
    try:
        return Path(inspect.getfile(inspect.unwrap(factory)))
    except (TypeError, OSError, ValueError):
        return None


def _below(folder: Path, root: Path, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """The regular files below a folder, links followed, each folder once."""
    real = folder.resolve()
    if real in seen or folder.name == "__pycache__":
        return
    seen.add(real)
    try:
        entries = [(entry, entry.is_dir(), entry.is_file()) for entry in sorted(folder.iterdir())]
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror or error}") from error
    for entry, is_folder, is_file in entries:
        if is_folder:
            yield from _below(entry, root, seen)
        elif is_file:  # to read a pipe waits for ever
            yield entry.relative_to(root).as_posix(), entry


def _read(file: Path) -> bytes:
    try:
        return read_file(file, LARGEST_TEXT)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error

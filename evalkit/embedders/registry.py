"""From the parts of a MODEL to an embedder; what it needs is imported now."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from evalkit.embedders.base import OURS, Embedder, EmbedderInfo
from evalkit.embedders.departures import departures
from evalkit.embedders.dimensions import OPTION, chosen_dimensions, dimension_faults
from evalkit.embedders.modelcards import ModelCard, card_of_weights
from evalkit.embedders.modeltext import ModelSpec, families, near_names
from evalkit.embedders.sources import (
    MODEL,
    SourceAlone,
    UsersModules,
    digest_content,
    digest_sources,
    facts_of,
    imports_torch,
)
from evalkit.errors import EmbedderError, UsageError
from evalkit.plugins import near_hint


@dataclass(frozen=True)
class LoadedEmbedder:
    """An embedder together with what results record of it.

    Attributes:
        embedder: the embedder.
        info: what it says of itself.
        fingerprint: SHA-256, hexadecimal, of all that its vectors depend on.
        family: where it comes from: a family, a file's name, or a module.
        uses_torch: whether torch may have a part in its vectors.
        card: of the published model that it is, whatever it was called by; ``None`` where it is none.
        departs: how it is run otherwise than that model's published numbers were made, one text each.
        dimensions: those that it is to be scored at; empty: at the whole of its vectors alone.
    """

    embedder: Embedder
    info: EmbedderInfo
    fingerprint: str
    family: str
    uses_torch: bool = True
    card: ModelCard | None = None
    departs: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()

    @property
    def folder(self) -> str:
        """The model's folder in RUNS: its name in letters, digits, ``.``, ``_`` and ``-``."""
        return folder_of(self.info.name)


def folder_of(name: str) -> str:
    """A model's name in letters, digits, ``.``, ``_`` and ``-``, which every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100] or "model"


@dataclass
class _Beside:
    """What the model that was loaded last has brought into this process: modules, and its folder in ``sys.path``."""

    folder: str = ""
    users: UsersModules = field(default_factory=UsersModules)
    loading: bool = False

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a model is being loaded: others that it is made of do not take its place."""
        before, self.loading = self.loading, True
        try:
            yield
        finally:
            self.loading = before


_beside = _Beside()


def load_embedder(spec: ModelSpec, device: str = "auto") -> LoadedEmbedder:
    """Import and construct an embedder.

    A family's class is called with the target (where it takes a ``path``) and, where it takes them,
    ``revision`` and ``device``; options come as text keyword arguments.

    Args:
        spec: from :func:`parse_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``.

    Raises:
        UsageError: nothing is there, or it does not take these options, or its vectors are shorter than it is to be
            scored at.
        EmbedderError: it fails while it is constructed, or its ``info`` is none.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"device {device!r} is not known: use auto, cpu, cuda or cuda:I")
    known = families()
    file = Path(spec.source) if spec.source.endswith(".py") and spec.source not in known else None
    if spec.source in known or _beside.loading:  # also one that another one is made of
        users = _beside.users
    else:
        users = _leave_alone(None if file is None else str(file.resolve().parent))
    factory: Callable[..., Any]
    if spec.source in known:
        factory = _imported(known[spec.source])
        arguments = [spec.target] if spec.target else []
    else:
        with _beside.busy():
            factory, arguments = _class_of(spec), []
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes_path = "path" in parameters
    if spec.source in known and takes_path != bool(spec.target):
        need = f"{spec.source}:PATH" if takes_path else f"{spec.source} alone"
        raise UsageError(f"model {spec.text!r}: write {need}")
    options = _options(factory, family=spec.source in known)
    keywords: dict[str, Any] = dict(spec.options)
    for name in keywords:
        if name not in options and (not takes_any or name in parameters or name == "device"):
            has = (", ".join(options) or "none") + near_hint(name, [*options, OPTION])
            raise UsageError(f"model {spec.text!r} has no option {name!r}; it has {has}")
    if spec.revision is not None:
        if "revision" not in parameters:
            raise UsageError(f"model {spec.text!r}: {spec.source} has no revisions")
        keywords["revision"] = spec.revision
    if "device" in parameters:
        keywords["device"] = device
    places = _places(spec)
    before = [facts_of(place) for place in places]
    try:
        with _beside.busy():
            embedder = factory(*arguments, **keywords)
            info = embedder.info
    except (UsageError, EmbedderError):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise EmbedderError(f"model {spec.text!r} cannot be loaded: {type(error).__name__}: {error}") from error
    require_info(info, f"model {spec.text!r}")
    own = "" if _is_lent(info.fingerprint, factory, spec.source in known) else info.fingerprint
    named = sys.modules.get(_module_name(file)) if file is not None else sys.modules.get(spec.source)
    brought = [] if spec.source in known else [*users.brought, *([named] if named is not None else [])]
    fingerprint = _fingerprint(factory, own, info, spec, brought)
    torch = imports_torch(factory, brought)
    # Whose content was digested just now has to be what was loaded before.
    if changed := [place for place, facts in zip(places, before, strict=True) if not own and facts_of(place) != facts]:
        raise EmbedderError(f"model {spec.text!r}: {changed[0]} changed while it was loaded: load it again")
    card = spec.card or card_of_weights(spec.source, info.name, info.revision)
    departs = () if card is None else departures(card, spec, factory, info)
    listed = () if card is None else card.dimensions
    asked = chosen_dimensions(spec.dimensions, info, listed, spec.text)
    return LoadedEmbedder(embedder, info, fingerprint, Path(spec.source).name, torch, card, departs, asked)


def require_info(info: object, model: str) -> EmbedderInfo:
    """What an embedder says of itself, as results can hold it.

    Args:
        info: what it says.
        model: whose it is, for the error.

    Raises:
        EmbedderError: it is no :class:`EmbedderInfo`, or something in it is of another type or no name.
    """
    if not isinstance(info, EmbedderInfo) or not isinstance(info.dimension, int) or info.dimension < 1:
        raise EmbedderError(f"{model}: its info is {info!r}, not an EmbedderInfo with name and dimension")
    if wrong := info_faults(info):
        raise EmbedderError(f"{model}: {'; '.join(wrong)}")
    # The signature, one line with | between its parts, holds them.
    for part in (info.name, info.revision or "-"):
        if not part or not part.isprintable() or "|" in part:
            raise EmbedderError(f"{model}: {part!r} is no name or revision: printable, without |")
    return info


def info_faults(info: EmbedderInfo) -> list[str]:
    """What in an info is of another type than it has to be: it would end a run in the middle, or its record."""
    faults = []
    for name in ("name", "fingerprint"):
        if not isinstance(getattr(info, name), str):
            faults.append(f"info.{name} is {getattr(info, name)!r}, not text")
    revision: object = info.revision
    if revision is not None and not isinstance(revision, str):
        faults.append(f"info.revision is {revision!r}, not text or None")
    for name in ("modalities", "regions"):
        given: object = getattr(info, name)
        if not isinstance(given, frozenset | set) or not all(isinstance(one, str) for one in given):
            faults.append(f"info.{name} is {given!r}, not a frozenset of text")
    options: object = info.options
    if not isinstance(options, Mapping):
        faults.append(f"info.options is {options!r}, not a dict of text by name")
    else:
        faults += [
            f"info.options has {key!r}: {value!r}, not text by name: write {str(key)!r}: {str(value)!r}"
            for key, value in options.items()
            if not isinstance(key, str) or not isinstance(value, str)
        ]
    return faults + dimension_faults(info)


def describe_families() -> list[dict[str, Any]]:
    """What ``evalkit models`` prints: how a family is written, what it is, and its options."""
    found = []
    for name, point in families().items():
        try:
            factory = _imported(point)
        except EmbedderError as error:
            found.append({"write": name, "what": str(error), "options": [], "from": point.value})
            continue
        parameters = inspect.signature(factory).parameters
        what = re.sub(r":\w+:(?=`)|`", "", (inspect.getdoc(factory) or "").split("\n\n")[0]).replace("\n", " ")
        found.append(
            {
                "write": f"{name}:PATH" if "path" in parameters else name,
                "what": what,
                "options": _options(factory, family=True),
                "from": point.value,
            }
        )
    return found


def _imported(point: EntryPoint) -> Callable[..., Any]:
    try:
        factory: Callable[..., Any] = point.load()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise EmbedderError(
            f"family {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return factory


def _options(factory: Callable[..., Any], *, family: bool) -> list[str]:
    """What may stand after ``?``. A family gets its path and revision by their places in the MODEL."""
    named = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    return sorted(set(named) - ({"path", "revision", "device"} if family else {"device"}))


def _class_of(spec: ModelSpec) -> Callable[..., Any]:
    module = _module_at(Path(spec.source)) if spec.source.endswith(".py") else _module_named(spec.source, spec.text)
    found: Any = module
    for part in spec.target.split("."):
        found = getattr(found, part, None)
    if not inspect.isclass(found) and not inspect.isfunction(found):
        own = vars(module).items()
        classes = sorted(n for n, v in own if inspect.isclass(v) and v.__module__ == module.__name__)
        raise UsageError(f"{spec.source} has no class {spec.target!r}; it has {', '.join(classes) or 'none'}")
    factory: Callable[..., Any] = found
    return factory


def _module_named(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = near_names(name)
        raise UsageError(
            f"model {text!r}: {error} (is it a family? near: {', '.join(hint) or 'none'}; evalkit models lists them)"
        ) from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise EmbedderError(f"model {text!r}: {name} cannot be imported: {type(error).__name__}: {error}") from error


def _module_at(file: Path) -> ModuleType:
    if not file.is_file():
        raise UsageError(f"{file} does not exist")
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file, loader=SourceAlone(name, str(file)))
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look classes up there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        del sys.modules[name]
        raise EmbedderError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _module_name(file: Path) -> str:
    return f"{MODEL}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"


def _leave_alone(folder: str | None) -> UsersModules:
    """Let a model import what lies beside it, and nothing that another one has brought in before.

    Args:
        folder: of the model's file; ``None`` where it is a module or a family.

    Returns:
        What notes the modules that are imported from now on, also later, while it embeds.
    """
    _beside.users.__exit__()
    gone = [*_beside.users.brought, *(m for m in list(sys.modules.values()) if _lies_below(m, _beside.folder))]
    for module in gone:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
    if _beside.folder in sys.path:
        sys.path.remove(_beside.folder)
    _beside.users = UsersModules()
    _beside.folder = "" if folder is None or folder in sys.path else folder
    if _beside.folder:
        sys.path.insert(0, _beside.folder)  # first, as of a script that Python runs
    return _beside.users.__enter__()


def _lies_below(module: ModuleType, folder: str) -> bool:
    own = getattr(module, "__dict__", {}) if folder else {}  # some modules make up what they are asked for
    places = [own.get("__file__"), *(own.get("__path__") or ())]
    return any(isinstance(place, str) and Path(place).is_relative_to(folder) for place in places)


def _fingerprint(
    factory: Callable[..., Any], own: str, info: EmbedderInfo, spec: ModelSpec, brought: Sequence[ModuleType]
) -> str:
    """What the embedder says of itself, or else its sources, its options, and the files that these name."""
    parts = [own or digest_sources(factory, brought), str(info.dimension), info.revision or ""]
    if not own:
        parts += [info.fingerprint, spec.target, *(f"{key}={value}" for key, value in sorted(spec.options.items()))]
        parts += [digest_content(place) for place in _places(spec)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _places(spec: ModelSpec) -> list[Path]:
    """The files and folders that a MODEL names."""
    named = [value for _, value in sorted(spec.options.items())]
    if spec.source in families():
        named.append(spec.target)
    return [place for place in map(_place, named) if place is not None]


def _place(text: str) -> Path | None:
    """The file or folder that a text names; ``None`` where it names none, or one that all of this goes on in.

    A folder that holds the current one holds what the run writes, too, and would be another one every time.
    """
    try:
        place = Path(text).expanduser()
        if not text or Path.cwd().is_relative_to(place.resolve()):
            return None
        return place if place.is_file() or place.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no such user
        return None


def _is_lent(fingerprint: str, factory: Callable[..., Any], own: bool) -> bool:
    """Whether a class's fingerprint is that of one of evalkit's own, and says nothing of the class's code.

    So it is where it comes from a base class out of evalkit, or from an embedder that the class holds.

    Args:
        fingerprint: that it gives.
        factory: the class.
        own: whether it is one of evalkit's families, and loaded as such.
    """
    ours = str(getattr(factory, "__module__", "")).startswith("evalkit.")
    return fingerprint.startswith(OURS) and not (own and ours)

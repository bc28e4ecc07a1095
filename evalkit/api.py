"""evalkit from Python: what people hold, to the jobs that the commands do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit import errors
from evalkit.check import check as findings_of
from evalkit.checking.findings import Checked
from evalkit.device import device_name
from evalkit.embedders.dimensions import ALL, Asked, chosen_dimensions, parse_dimensions
from evalkit.embedders.heldmodel import held_model
from evalkit.encoding.batches import BATCH_TOKENS
from evalkit.encoding.checkedregions import checked_regions
from evalkit.encoding.encode import Encoder
from evalkit.encoding.firstitems import alike, first_items
from evalkit.encoding.imageindex import ImageIndex
from evalkit.encoding.prefixes import cut, only_dimension, require_whole
from evalkit.encoding.store import VectorStore
from evalkit.errors import EvalkitError, UsageError
from evalkit.evaluate import evaluate as evaluate_tasks
from evalkit.files import inside
from evalkit.items import Item, Side
from evalkit.items.prompting import MODES
from evalkit.preflight import require_some, told, unfit, unreadable
from evalkit.progress import Progress
from evalkit.runs.manifest import Settings, TaskResult
from evalkit.runs.run import Run, Runs, load_run
from evalkit.runs.runfolder import runs_folder
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import chosen_tasks, data_of
from evalkit.suites.task import DataFolder, Task, card_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Place = str | os.PathLike[str]


def evaluate(
    model: Any,
    tasks: str | Task | Iterable[str | Task],
    data: Place | None = None,
    out: Place | None = None,
    *,
    limit: int | None = None,
    prompting: str | None = None,
    device: str = "auto",
    name: str | None = None,
    fingerprint: str | None = None,
    images: Place | Sequence[Place] = (),
    store: Place | None = None,
    rebuild_store: bool = False,
    trust_store: bool = False,
    vectors: Literal["float32", "float16"] = "float32",
    exif: Literal["apply", "ignore"] = "apply",
    official_dedup: bool = False,
    bad_regions: Literal["refuse", "keep"] = "refuse",
    batch_tokens: int = BATCH_TOKENS,
    quiet: bool = False,
) -> Run:
    """How good is this model at these tasks? The job of ``evalkit run``: same store, same files, same bytes.

    Args:
        model: the text of a MODEL, such as ``"clip:./clip-vit-large-patch14"``; an object with ``info`` and ``encode``
            (:class:`evalkit.embedders.base.Embedder`); a sentence-transformers model; or a function
            ``encode(texts, images)`` that gets two lists of one length (``str``, and ``PIL.Image`` or ``None``) and
            returns an array (n, d), whose rows are made of length 1 (:mod:`evalkit.embedders.function`).
        tasks: a selector, such as ``"scar"``, ``"mmeb/vqa"`` or the folder of an own task; a :class:`evalkit.Task`; or
            several of these.
        data: the data folder; may be left out where no task is read from it.
        out: the RUNS folder; the run goes to ``out/<model>/<run id>``, and the same call goes on where it stopped.
            ``None`` leaves nothing on the disk.
        limit: only the first queries of each task; then it is part of no average.
        prompting: how regions reach the model: ``native``, ``text``, ``crop``, ``overlay``, ``overlay_box``, ``blur``,
            ``reclip`` or ``none``; ``None`` for its own input where it takes regions, else for the words that name
            them.
        device: what the text of a MODEL runs on: ``auto``, ``cpu``, ``cuda`` or ``cuda:I``. An object is where it is.
        name: how the model is called in results; as it calls itself where it is ``None``.
        fingerprint: your word for all that the vectors of an object or a function depend on: weights, code, options.
            Under it they are kept in the store and reused by later calls; a few are made again first, and where they
            are others the call stops. Without it no later call sees them, and each call is a run of its own. To that of
            the text of a MODEL it is added.
        images: folders with the images of ``data``; ``data/images`` where it is left out.
        store: the vector store; ``out/vectors.sqlite`` where it is ``None``.
        rebuild_store: move a corrupt store away, and make vectors in it that do not hold anew.
        trust_store: reuse vectors without making any of them again; it is recorded.
        vectors: what vectors are kept as.
        exif: what is done with the orientation that a camera recorded.
        official_dedup: merge candidates by the official key, even where they differ.
        bad_regions: what is done with a region without area or outside its image: it fails its task, or is taken for
            what is nearest to it.
        batch_tokens: budget of a batch.
        quiet: show no progress.

    Returns:
        The run. A task that failed is in it with its error (``run.to_pandas()``); the others went on.

    Raises:
        UsageError: bad input: no such model, task, folder or setting; tasks of one name; ``out`` that holds something
            else; a MODEL with several dimensions, of which :func:`evaluate_dimensions` gives a run each; or no task
            can run: its rows are not there, or the model does not take what it asks. Nothing is written.
        EmbedderError: the model cannot be loaded, or a function does not return what it should. Nothing is written.
        StaleVectorsError: an object gives other vectors than it did under this fingerprint.
        EvalkitError: no task got a number; the first of their errors. The run in ``out`` has all of them.

    Example:
        >>> import evalkit
        >>> from evalkit.example import DATA
        >>> run = evalkit.evaluate("example-colours", "example/ShapeSearch", data=DATA, quiet=True)
        >>> run.to_pandas()[["task", "value", "chance", "n"]]
                          task  value  chance   n
        0  example/ShapeSearch   0.25  0.0625  32
    """
    (run,) = _evaluated(
        model,
        tasks,
        data,
        out,
        limit=limit,
        prompting=prompting,
        device=device,
        name=name,
        fingerprint=fingerprint,
        images=images,
        store=store,
        rebuild_store=rebuild_store,
        trust_store=trust_store,
        vectors=vectors,
        exif=exif,
        official_dedup=official_dedup,
        bad_regions=bad_regions,
        batch_tokens=batch_tokens,
        quiet=quiet,
    )
    return run


def evaluate_dimensions(
    model: Any,
    tasks: str | Task | Iterable[str | Task],
    data: Place | None = None,
    out: Place | None = None,
    *,
    dimensions: Iterable[int] | Literal["all"] | None = None,
    **choices: Any,
) -> Runs:
    """How good is this model if its vectors are cut? One run a dimension, of vectors that are made once.

    A cut vector is the first components of the whole one, made of length 1 again.

    Args:
        model: as :func:`evaluate` takes it.
        tasks: likewise.
        data: likewise.
        out: likewise; a run of cut vectors goes to ``out/<model>-<dimension>/<run id>``.
        dimensions: from 1 to that of the model, or ``"all"`` that it is made for, the whole one among them; where it is
            ``None``, those of ``?dimensions=`` in the text of a MODEL, or else all.
        choices: the keyword arguments of :func:`evaluate`.

    Returns:
        The runs in the order of the dimensions; a cut one's model is called ``MODEL@DIMENSION``.

    Raises:
        UsageError: as :func:`evaluate`, and for a dimension that is none of the model's.
        EvalkitError: as :func:`evaluate`.

    Example:
        >>> import evalkit
        >>> from evalkit.example import DATA
        >>> runs = evalkit.evaluate_dimensions(
        ...     "random", "example/Shapes", data=DATA, dimensions=[16, 64], quiet=True
        ... )
        >>> runs.to_pandas()[["model", "value"]]
               model    value
        0  random@16      0.0
        1     random  0.03125
    """
    asked: Asked = ()
    if dimensions is not None:
        asked = ALL if dimensions == ALL else parse_dimensions(",".join(map(str, dimensions)), "dimensions=")
    return Runs(_evaluated(model, tasks, data, out, several=True, asked=asked, **choices))


def _evaluated(
    model: Any,
    tasks: Any,
    data: Place | None,
    out: Place | None,
    *,
    several: bool = False,
    asked: Asked = (),
    limit: int | None = None,
    prompting: str | None = None,
    device: str = "auto",
    name: str | None = None,
    fingerprint: str | None = None,
    images: Place | Sequence[Place] = (),
    store: Place | None = None,
    rebuild_store: bool = False,
    trust_store: bool = False,
    vectors: Literal["float32", "float16"] = "float32",
    exif: Literal["apply", "ignore"] = "apply",
    official_dedup: bool = False,
    bad_regions: Literal["refuse", "keep"] = "refuse",
    batch_tokens: int = BATCH_TOKENS,
    quiet: bool = False,
) -> list[Run]:
    chosen = _chosen(tasks)
    folder = _data_folder(chosen, data, images)
    settings = _settings(limit, prompting, vectors, exif, official_dedup, bad_regions)
    _require_budget(batch_tokens)
    place = None if out is None else runs_folder(_place(out))
    missing = unreadable(chosen, folder)
    require_some(missing, chosen)
    held = held_model(
        model,
        lambda: first_items(chosen, folder, settings.load_options),
        name=name,
        fingerprint=fingerprint,
        device=device,
    )
    if store is not None and not held.kept:
        raise UsageError(
            f"store {store}: {held.loaded.info.name} is an object, and nobody vouches for its vectors: give a "
            "fingerprint, or leave the store out"
        )
    loaded = held.loaded
    if not several:
        only_dimension(loaded, "evalkit.evaluate_dimensions gives a run of each")
    elif asked or not loaded.dimensions:
        listed = loaded.card.dimensions if loaded.card else ()
        found = chosen_dimensions(asked or ALL, loaded.info, listed, loaded.info.name)
        loaded = replace(loaded, dimensions=found)
    progress = Progress(quiet=quiet, results=False)
    cannot = unfit([task for task in chosen if card_of(task).name not in missing], settings, loaded)
    require_some(missing | cannot, chosen, loaded.info.name)
    told(missing | cannot, chosen, progress, loaded.info.name)
    with ExitStack() as stack:
        runs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-"))) if place is None else place
        kept = _place(store) if store is not None else None if place is None else inside(place, "vectors.sqlite")
        vector_store = VectorStore(kept if held.kept else None, rebuild=rebuild_store)
        encoder = Encoder(
            loaded,
            stack.enter_context(vector_store),
            ImageIndex(),
            batch_tokens,
            vectors,
            progress,
            device,
            trust_store,
        )
        device = device_name(device)
        written = evaluate_tasks(encoder, chosen, folder, runs, settings, device, missing | cannot)
        results = [one for own in written for one in own.run.manifest.tasks if one.task in own.encoding]
        if all(result.status == "failed" for result in results):
            raise _error_of(results[0])
        if place is None:
            return [load_run(own.run.folder, check=False).in_memory() for own in written]
        return [load_run(own.run.folder) for own in written]


def embed(
    model: Any,
    items: Sequence[Any],
    *,
    side: Side = "query",
    device: str = "auto",
    bad_regions: Literal["refuse", "keep"] = "refuse",
    batch_tokens: int = BATCH_TOKENS,
    quiet: bool = False,
) -> NDArray[np.float32]:
    """The vectors of items, as a run would have them; the job of ``evalkit embed``.

    Args:
        model: as :func:`evaluate` takes it.
        items: n items; a text stands for an item of that text alone, an image (of PIL, bytes, an array) or a
            ``pathlib.Path`` for one of that image alone. Equal items are embedded once.
        side: ``query`` or ``candidate``.
        device: what the text of a MODEL runs on.
        bad_regions: what is done with a region that is not on its image.
        batch_tokens: budget of a batch.
        quiet: show no progress.

    Returns:
        float32, shape ``(n, dimension)``, rows of length 1, in order; cut where the text of a MODEL says
        ``?dimensions=64``.

    Raises:
        UsageError: no such model or side, or no items; several dimensions.
        ItemError: an image or a region that cannot be used, or is none.
        EmbedderError: the model cannot be loaded, fails, or breaks its contract.

    Example:
        >>> import evalkit
        >>> evalkit.embed("example-colours", ["a red circle", "a blue square"], quiet=True).shape
        (2, 9)
    """
    if side not in ("query", "candidate"):
        raise UsageError(f"side {side!r} is neither 'query' nor 'candidate'")
    _require_budget(batch_tokens)
    single = isinstance(items, str | bytes | Mapping) or getattr(items, "ndim", None) == 3  # an image as an array
    listed = [] if single or not isinstance(items, Iterable) else list(items)
    if not listed:
        raise UsageError("items are a list of at least one: Items, texts or images")
    if any(item is None for item in listed):
        raise UsageError(f"item {next(place for place, item in enumerate(listed) if item is None)} is None")
    given = [
        item if isinstance(item, Item) else Item(text=item) if isinstance(item, str) else Item(image=item)
        for item in listed
    ]
    index = ImageIndex()
    checked = checked_regions(given, index, bad_regions).items
    held = held_model(model, lambda: alike(checked), device=device)
    progress = Progress(quiet=quiet)
    dimension = only_dimension(held.loaded, "name one of them")
    with VectorStore(None) as memory, progress.run(held.loaded.info.name, 1), progress.task("items"):
        progress.expect(len(checked))
        encoder = Encoder(held.loaded, memory, index, batch_tokens, progress=progress, device=device)
        return cut(encoder.encode(checked, side), dimension, checked, side)


def check(model: Any, *, device: str = "auto", batch_tokens: int | None = None) -> Checked:
    """Does this embedder behave? The job of ``evalkit check``, on items that it makes itself.

    Args:
        model: as :func:`evaluate` takes it.
        device: what the text of a MODEL runs on.
        batch_tokens: the budget of a run's batches; that of a run where it is ``None``.

    Returns:
        The findings: ``passed``, and a table of them by ``to_pandas()``.

    Raises:
        UsageError: no such model.
        EmbedderError: it cannot be loaded.

    Example:
        >>> import evalkit
        >>> checked = evalkit.check("random")
        >>> checked.passed
        True
    """
    if batch_tokens is not None:
        _require_budget(batch_tokens)
    held = held_model(model, lambda: [Item(text="a red square"), Item(text="a blue circle")], device=device)
    require_whole(held.loaded)
    return Checked(held.loaded.info.name, tuple(findings_of(held.loaded.embedder, batch_tokens)))


def _settings(
    limit: int | None, prompting: str | None, vectors: str, exif: str, official_dedup: bool, bad_regions: str
) -> Settings:
    from pydantic import ValidationError

    if prompting is not None:
        MODES.named(prompting)
    said = {
        "limit": limit,
        "prompting": prompting,
        "vectors": vectors,
        "exif": exif,
        "official_dedup": official_dedup,
        "bad_regions": bad_regions,
    }
    try:
        return Settings.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from None


def _require_budget(batch_tokens: object) -> None:
    if not isinstance(batch_tokens, int) or batch_tokens < 1:
        raise UsageError(f"batch_tokens is {batch_tokens!r}: give a whole number from 1 on")


def _chosen(tasks: Any) -> tuple[TaskCard | Task, ...]:
    if any(hasattr(tasks, columns) for columns in ("columns", "column_names")):  # it would give these, or its rows
        raise UsageError(
            f"tasks are a {type(tasks).__name__}: make a task of it, evalkit.Task.from_pandas(…) or from_dataset(…)"
        )
    if isinstance(tasks, Iterable) and not isinstance(tasks, str):
        return chosen_tasks(tasks)
    return chosen_tasks([tasks])


def _data_folder(
    chosen: Sequence[TaskCard | Task], data: Place | None, images: Place | Sequence[Place]
) -> DataFolder | None:
    named = [images] if isinstance(images, str | os.PathLike) else list(images)
    return data_of(chosen, None if data is None else _place(data), [_place(one) for one in named], said="")


def _place(path: Place) -> Path:
    """A path as its user means it; no shell has read a ``~`` before."""
    return Path(path).expanduser()


def _error_of(result: TaskResult) -> EvalkitError:
    """The error of a task that failed."""
    if result.error is None:
        return errors.TaskError(f"{result.task} failed")
    kind = getattr(errors, result.error.type, errors.TaskError)
    error: EvalkitError = kind(f"task {result.task}: {result.error.message}")
    return error

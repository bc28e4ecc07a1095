"""A run's folder, opened for an embedder with a user's settings: what is recorded before any task is there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.embedders.registry import LoadedEmbedder
from evalkit.files import json_bytes
from evalkit.runs.environment import environment
from evalkit.runs.manifest import Failure, Manifest, ModelRecord, Settings
from evalkit.runs.reducing import reducer_of
from evalkit.runs.runfiles import samples_of
from evalkit.runs.runfolder import RunFolder
from evalkit.suites.card import TaskCard
from evalkit.version import __version__


def at_dimensions(loaded: LoadedEmbedder, settings: Settings) -> list[Settings]:
    """The settings of each run that an embedder is asked for: one a dimension.

    The run at the whole dimension is the one that there is without ``?dimensions=``, and goes on with it.

    Args:
        loaded: the embedder, with the dimensions that it is to be scored at.
        settings: the user's choices, without a dimension.
    """
    whole = loaded.info.dimension
    asked = loaded.dimensions or (whole,)
    return [settings.model_copy(update={"dimension": None if one == whole else one}) for one in asked]


def open_run(
    loaded: LoadedEmbedder, cards: Sequence[TaskCard], runs: Path, settings: Settings, device: str
) -> RunFolder:
    """The folder of this embedder with these settings, new or as an earlier command left it.

    A run of cut vectors is called by the model and the dimension, ``MODEL@64``, wherever a model's name stands: it is
    a row, a folder and a comparand of its own. Its fingerprint is that of the whole vectors.

    Raises:
        ResultsError: what it has of other tasks than these cannot be read, or is not what their samples give.
        UsageError: a suite names a reducer that there is none of.
    """
    for card in cards:  # said before anything is embedded
        reducer_of([card.name])
    info = loaded.info
    if settings.dimension is not None:
        info = replace(info, name=f"{info.name}@{settings.dimension}", dimension=settings.dimension)
    # What a run was called before there were these settings.
    usual = {"bad_regions"} if settings.bad_regions == "refuse" else set()
    usual |= {"dimension"} if settings.dimension is None else set()
    identity = [__version__, loaded.fingerprint, info.name, settings.model_dump(exclude=usual)]
    run_id = hashlib.sha256(json_bytes(identity)).hexdigest()[:12]
    manifest = Manifest(
        run_id=run_id,
        status="running",
        evalkit_version=__version__,
        model=ModelRecord(
            name=info.name,
            family=loaded.family,
            revision=info.revision,
            fingerprint=loaded.fingerprint,
            dimension=info.dimension,
            modalities=tuple(sorted(info.modalities)),
            regions=tuple(sorted(info.regions)),
            options=dict(sorted(info.options.items())),
            named=None if loaded.card is None else loaded.card.name,
            departs=loaded.departs,
        ),
        settings=settings,
        environment=environment(device),
    )
    folder = runs / replace(loaded, info=info).folder / run_id
    run, asked = RunFolder(folder, manifest), {card.name for card in cards}
    for result in run.manifest.tasks:  # these go on into averages
        if result.task not in asked:
            samples_of(folder, result)
    return run


def disown(run: RunFolder, asked: Collection[str]) -> None:
    """Let results that this command does not make anew fail: their vectors were found to be another model's."""
    said = "its vectors were found to be another model's, and were taken out (--rebuild-store): run it again"
    failed = {"status": "failed", "complete": False, "n_queries": None, "n_candidates": None, "metrics": None}
    failed |= {"signature": None, "samples": None, "made": {}, "trusted_store": False, "warnings": ()}
    for result in run.manifest.tasks:
        if result.status == "done" and result.task not in asked:
            error = Failure(type="StaleVectorsError", message=said)
            run.record(result.model_copy(update=failed | {"error": error}))

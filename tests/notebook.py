"""A notebook of the docs, executed in a kernel of its own, in a place where what it names is at hand without a network.

The place has a cache of the hub with a stand-in for the model, ``clip-tiny`` in the files that sentence-transformers
keeps, and a folder of drawn photographs.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from evalkit.embedders import tiny
from evalkit.miniature import draw
from evalkit.miniature.scenes import scene

MODEL = "sentence-transformers/clip-ViT-B-32"
CLASSES = ("blue star", "green heart", "red circle", "red star", "yellow cross")
EACH = 6
_SHOWN = ("text/html", "text/plain", "image/png")
_LOOSE = re.compile(r"-?\d+\.\d+")
_DIGESTS = re.compile(r"\b(data|prompts|pool|fingerprint):[\w.-]+|\b[0-9a-f]{12,}\b")


def photographs(folder: Path) -> None:
    """Pictures in a folder for each class."""
    for label in CLASSES:
        colour, kind = label.split()
        (folder / label).mkdir(parents=True)
        for number in range(EACH):
            drawn = scene(random.Random(f"{label} {number}"), 1)
            [thing] = drawn.things
            other = replace(thing, colour=colour, kind=kind, size="large", texture="plain")
            draw.image(drawn.with_(thing, other)).save(folder / label / f"{number}.png")


def hub(home: Path) -> None:
    """A cache of the hub with the model, in single precision, whose last digits processors agree about."""
    repository = home / "hub" / f"models--{MODEL.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(snapshot.name)
    part = snapshot / "0_CLIPModel"
    shutil.copytree(tiny.home() / "clip-tiny", part)
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    kind = "sentence_transformers.models.CLIPModel"
    (snapshot / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": part.name, "type": kind}]))


@contextmanager
def offline(home: Path) -> Iterator[None]:
    """Processes that begin here find that cache, and no network."""
    settings = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def executed(file: Path, place: Path, first: str = "") -> Any:
    """The notebook with the outputs that it gives now.

    Args:
        file: the notebook.
        place: an empty folder to execute it in.
        first: code that is executed before it, in the same kernel.

    Raises:
        CellExecutionError: a cell fails.
    """
    hub(place / "home")
    photographs(place / "photos")
    notebook = nbformat.read(file, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    with offline(place / "home"):
        paths = {"metadata": {"path": str(place)}}
        client = NotebookClient(notebook, timeout=300, resources=paths, store_widget_state=False)
        client.execute()
    del notebook.cells[0]
    notebook.metadata.pop("widgets", None)  # bars of progress of earlier times
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _kept(output)) is not None]
    return notebook


def _kept(output: Any) -> Any:
    """What a page shows of an output: results, without the bars of progress."""
    data = output.get("data", {})
    if output.output_type != "execute_result" or any("widget" in kind for kind in data):
        return None
    output.data = {kind: data[kind] for kind in _SHOWN if kind in data}
    return output


def results(notebook: Any) -> list[tuple[str, str, str]]:
    """What it shows, as cells' code, kind and text, an image without its bytes; without digests."""
    return [
        (cell.source, kind, "" if kind.startswith("image/") else _DIGESTS.sub("…", output.data[kind]))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for kind in sorted(output.data)
    ]


def blurred(found: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Results whose numbers with a decimal point are all the same."""
    return [(source, kind, _LOOSE.sub("0.0", text)) for source, kind, text in found]


def numbers(found: list[tuple[str, str, str]]) -> list[float]:
    """The numbers with a decimal point in results."""
    return [float(number) for _, _, text in found for number in _LOOSE.findall(text)]

"""What a record says of the machine: what can change a number, and nothing that names a person or a place."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from evalkit.encoding.conditions import packages
from evalkit.runs.manifest import Environment
from evalkit.suites.task import DataFolder


def environment(device: str) -> Environment:
    """What can change a number, and nothing that names a person or a machine."""
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        device=device,
        packages=packages(),
    )


def without_places(message: str, folder: DataFolder | None) -> str:
    """An error's message for the record: where files lie is nobody's business, and no part of the result.

    The data folder becomes ``DATA``, each images folder ``IMAGES``, the home folder ``~``; of any other
    absolute path the name stays.
    """
    named = [] if folder is None else [*((place, "IMAGES") for place in folder.folders.folders), (folder.root, "DATA")]
    for place, name in (*named, (Path.home(), "~")):
        for path in dict.fromkeys((str(place.resolve()), str(place.absolute()), str(place))):
            message = re.sub(rf"(?<![\w./~-]){re.escape(path)}(?=/)", name, message)
    return re.sub(r"(?<![\w:./~-])/(?:[^\s/'\":,;]+/)+(?=[^\s/])", "…/", message)

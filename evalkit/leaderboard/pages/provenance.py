"""Where a measured entry's numbers come from: the command that measures them again, and all that its run records."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from urllib.parse import quote

from evalkit.embedders.dimensions import OPTION
from evalkit.embedders.modelcards import model_cards
from evalkit.encoding.conditions import together
from evalkit.items.prompting import MODES
from evalkit.leaderboard.board import HEADLINES, Entry
from evalkit.leaderboard.wording import MISSING, shown
from evalkit.runs.manifest import Manifest
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.selecting import PUBLISHED, all_cards

NEAREST = {"red_circle": "overlay", "reclip": "reclip"}
"""The mode of prompting nearest to one of published numbers whose settings were not published, by the latter's word."""


def command(run: Manifest, cards: Collection[TaskCard]) -> str | None:
    """The command that measures it again: where the checkpoint and the data lie is the reader's to say.

    A model that was given to :func:`evalkit.evaluate` as a function, or as an object of a notebook's own class, has
    none. Whether an own task was a folder or made in Python nothing says; the command is that of a folder.

    Args:
        run: of the entry.
        cards: of the board; the run's tasks among them are asked for.
    """
    if run.model.family == "function" or run.model.family.startswith("__main__."):
        return None
    names = {card.name for card in cards if card.suite != OWN}
    own = [card.name for card in cards if card.suite == OWN and card.name in run.own_tasks]
    parts = ["evalkit", "run", "--model", model(run)]
    parts += ["--tasks", ",".join(f"./{name}" for name in own)] if own else []
    parts += ["--tasks", _selectors(run, names), "--data", "DATA"] if names else []
    parts += ["--out", "RUNS"]
    settings = run.settings
    if settings.prompting is not None:
        parts += ["--prompting", settings.prompting]
    if settings.limit is not None:
        parts += ["--limit", str(settings.limit)]
    if settings.official_dedup:
        parts.append("--official-dedup")
    if settings.exif != "apply":
        parts += ["--exif", settings.exif]
    if settings.bad_regions != "refuse":
        parts += ["--bad-regions", settings.bad_regions]
    if settings.vectors != "float32":
        parts += ["--vectors", settings.vectors]
    return shown(shlex.join(parts))


def command_of_name(entry: Entry) -> str | None:
    """The command that measures a published entry's weights as its numbers were made; ``None`` where there is none.

    For a mode of :data:`NEAREST` it is the nearest that evalkit has, and promises no such numbers.

    Args:
        entry: a published one; where a name runs its weights, and evalkit knows its mode of prompting.
    """
    card = model_cards().get(entry.named or "")
    if card is None:
        return None
    there = {
        key: (mean := entry.means.get(key)) is not None and (mean.value is not None or mean.n_done > 0)
        for key in HEADLINES
    }
    tasks = "all" if all(there.values()) else "scar" if there["interactive"] else "mmeb"
    parts = ["evalkit", "run", "--model", card.name, "--tasks", tasks, "--data", "DATA", "--out", "RUNS"]
    mode = NEAREST.get(entry.prompting or "", entry.prompting or "native")
    usual = "native" if card.regions else "text"
    if mode not in ("native", usual):
        if mode not in MODES:
            return None
        parts += ["--prompting", mode]
    return shlex.join(parts)


def model(run: Manifest) -> str:
    """The MODEL of a run, with all options that its vectors depend on.

    A path is not recorded: ``PATH`` stands for the folder that holds the checkpoint's, ``CLASS`` for the class of a
    file or a module.
    """
    from evalkit.embedders import tiny

    record, name = run.model, run.whole_model
    card = model_cards().get(record.named or "")
    usual = {} if card is None else card.options
    own = {key: value for key, value in sorted(record.options.items()) if usual.get(key) != value}
    options = "&".join(f"{quote(key)}={quote(value, safe='')}" for key, value in own.items())
    if card is not None and card.hub == name and card.revision in (None, record.revision):
        found = card.name
    elif card is not None:
        found, options = card.name, "&".join(filter(None, ["path=PATH", options]))
    elif name in tiny.MODELS and tiny.MODELS[name].family == record.family:
        found = name
    elif name == record.family:
        found = record.family
    elif record.family.endswith(".py") or "." in record.family:
        found = f"{record.family}:CLASS"
    elif record.revision and len(record.revision) == 40 and name.count("/") == 1:
        found = f"{record.family}:{name}@{record.revision}"
    else:
        found = f"{record.family}:PATH/{name.rsplit('/', 1)[-1]}"
    if run.settings.dimension is not None:
        options = "&".join(filter(None, [options, f"{OPTION}={run.settings.dimension}"]))
    return f"{found}?{options}" if options else found


def _selectors(run: Manifest, names: Collection[str]) -> str:
    own = {result.task for result in run.tasks if result.task in names and result.suite != OWN}
    members: dict[str, set[str]] = {}
    for card in all_cards():
        members.setdefault(card.suite, set()).add(card.name)
    whole = [suite for suite, tasks in members.items() if tasks <= own]
    if set(PUBLISHED) <= set(whole):
        whole = ["all", *(suite for suite in whole if suite not in PUBLISHED)]
    covered = {task for suite, tasks in members.items() if tasks <= own for task in tasks}
    return ",".join([*whole, *(result.task for result in run.tasks if result.task in own - covered)])


def provenance(run: Manifest) -> tuple[tuple[str, str], ...]:
    """What a run records of its model, settings and environment, as names and texts."""
    record, settings = run.model, run.settings
    found = [
        ("Run", run.run_id),
        ("Status", run.status),
        ("evalkit", run.evalkit_version),
        ("Family", record.family),
        ("Revision", record.revision or MISSING),
        ("Fingerprint", record.fingerprint),
        ("Dimension", f"{record.dimension:,}{'' if settings.dimension is None else ', cut from whole vectors'}"),
        ("Embeds", ", ".join(record.modalities) or MISSING),
        ("Regions of its own input", ", ".join(record.regions) or "none"),
        ("Options", ", ".join(f"{key}={value}" for key, value in sorted(record.options.items())) or "none"),
        ("Queries", "all" if settings.limit is None else f"the first {settings.limit:,} of each task"),
        ("Candidates", "merged by the official key" if settings.official_dedup else "told apart by content"),
        ("Camera's orientation", "applied" if settings.exif == "apply" else "ignored"),
        ("Vectors kept as", settings.vectors),
        ("Regions asked for", settings.prompting or "native where it takes them, else text"),
        *_conditions(run),
    ]
    return tuple((name, shown(value)) for name, value in found)


def _conditions(run: Manifest) -> list[tuple[str, str]]:
    """Under which the vectors were made: several values where they were not all made under the same."""
    if not run.conditions:  # of an early version, which records the last command's alone
        environment = run.environment
        libraries = ", ".join(f"{name} {number}" for name, number in sorted(environment.packages.items()))
        found = [("Python", environment.python), ("System", environment.system), ("Device", environment.device)]
        return [*found, ("Libraries", libraries or MISSING)]
    said = together([*run.conditions.values()])
    names = {name for one in run.conditions.values() for name in one.packages}
    libraries = ", ".join(f"{name} {said[name]}" for name in sorted(names))
    rest = {name: value for name, value in said.items() if name not in {*names, "python", "system", "device"}}
    computing = ", ".join(f"{name} {value}" for name, value in sorted(rest.items()))
    found = [("Python", said["python"]), ("System", said["system"]), ("Device", said["device"])]
    found += [("Libraries", libraries), ("Computing", computing or MISSING)]
    mixed = [result.task for result in run.tasks if len(result.made) > 1]
    trusted = [result.task for result in run.tasks if result.trusted_store]
    found += [("Conditions mixed in", ", ".join(mixed))] if mixed else []
    found += [("Store trusted unchecked in", ", ".join(trusted))] if trusted else []
    return found

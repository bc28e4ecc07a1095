"""The paper's ablation in miniature: how a region reaches a model, on the stand-ins of SCaR's five tasks.

The box by each prompting mode; and without any words for it, as box, point, points and mask, which words cannot say.
Everything runs as ``evalkit run`` runs it; points and masks, which no file of the suite has, are made here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from evalkit.embedders.modeltext import parse_model
from evalkit.embedders.registry import load_embedder
from evalkit.encoding.encode import Encoder
from evalkit.encoding.given import prompted_views
from evalkit.encoding.store import VectorStore
from evalkit.encoding.views import encode_task
from evalkit.items import Item, Mask
from evalkit.items.prompting import MODES
from evalkit.items.prompting.none import without_region
from evalkit.miniature import SUITE
from evalkit.miniature.taskrows import Example, examples
from evalkit.miniature.write import write
from evalkit.scoring.metrics.precision_at_1 import precision_at_1
from evalkit.scoring.ranking import rank
from evalkit.scoring.stats import mean_over_tasks, stratified_bootstrap, wilson
from evalkit.suites.task import DataFolder, LoadOptions, Task
from evalkit.terminal import with_interval
from training.questions import KINDS, WITH_REGION, meant, region_of


@dataclass(frozen=True)
class Outcome:
    """What a model got in one way.

    Attributes:
        model: its name.
        way: how the region reached it.
        scores: Precision@1 of each query, one array a task.
    """

    model: str
    way: str
    scores: tuple[NDArray[np.float64], ...]

    def cells(self) -> list[str]:
        """In percent, each with its 95 % interval: the tasks, then their mean."""
        tasks = [with_interval(float(task.mean()), *wilson(float(task.mean()), len(task))) for task in self.scores]
        return [*tasks, with_interval(mean_over_tasks(self.scores), *stratified_bootstrap(self.scores))]


def measure(models: Sequence[str], size: int, seed: int) -> tuple[list[str], list[Outcome]]:
    """All models in all ways that they can take.

    Args:
        models: as ``--model`` has them.
        size: queries of each task.
        seed: of the miniature; none that was trained on.

    Returns:
        The names of the tasks, and what came out.
    """
    with TemporaryDirectory() as place:
        folder = Path(place, "data")
        write(folder, size=size, seed=seed)
        data = DataFolder.at(folder)
        cards = [card for card in SUITE.cards() if card.meta_task == WITH_REGION]
        tasks = [SUITE.load(card, data, LoadOptions()) for card in cards]
        things = [examples(card.subset, size, seed) for card in cards]
        found = []
        with VectorStore(Path(place, "vectors.sqlite")) as store:
            for model in models:
                encoder = Encoder(load_embedder(parse_model(model)), store)

                def outcome(way: str, given: Sequence[Sequence[Task]], encoder: Encoder = encoder) -> Outcome:
                    return Outcome(encoder.loaded.info.name, way, tuple(_scores(views, encoder) for views in given))

                regions = encoder.loaded.info.regions
                for mode in (name for name, mode in MODES.items() if regions or not mode.region_input):
                    found.append(outcome(mode, [prompted_views(task, mode, encoder.images) for task in tasks]))
                for kind in sorted(encoder.loaded.info.regions, key=KINDS.index):
                    asked = [[_asked(*pair, kind, data.images)] for pair in zip(tasks, things, strict=True)]
                    found.append(outcome(f"{kind}, no words", asked))
    return [card.subset for card in cards], found


def _asked(task: Task, rows: Sequence[Example], kind: str, images: Path) -> Task:
    """The task with regions of a kind and no words for them."""
    queries: list[Item] = []
    for number, (query, row) in enumerate(zip(task.queries, rows, strict=True)):
        scene_and_thing = meant(row)
        if scene_and_thing is None:
            raise ValueError(f"row {number} of {task.card.name} has no region")
        name = f"masks/{task.card.subset}-{number}.png"
        region = region_of(*scene_and_thing, kind, random.Random(number), name)
        if isinstance(region, Mask):
            (images / name).parent.mkdir(exist_ok=True)
            region.image.rgb().save(images / name)
            region = Mask(replace(region.image, root=images, pixels=None))
        queries.append(replace(without_region(query), region=region))
    return replace(task, queries=queries)


def _scores(views: Sequence[Task], encoder: Encoder) -> NDArray[np.float64]:
    task, *more = views
    ranking = rank(*encode_task(task, encoder, more), task.pools, task.relevant)
    return precision_at_1(ranking.above, ranking.tied, ranking.right)


def table(tasks: Sequence[str], found: Sequence[Outcome]) -> str:
    """In Markdown."""
    rows = [["model", "region by", *tasks, "mean"], ["---", "---", *("--:" for _ in (*tasks, "mean"))]]
    rows += [[outcome.model, outcome.way, *outcome.cells()] for outcome in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

"""What the models are trained on: miniatures of other seeds than any test has, read by the readers of the suites.

So prompts are those of the evaluation, character by character. Images are drawn when they are asked for, and kept.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from evalkit.items import Box, Item, Mask, Point, Points, Region
from evalkit.items.images import ImageFacts, ImageFile
from evalkit.items.prompting.crop import cut_to_region
from evalkit.items.prompting.none import without_region
from evalkit.miniature import SUITE, draw
from evalkit.miniature.drawings import Drawing, Picture
from evalkit.miniature.examples import Example, in_turn
from evalkit.miniature.grammar import description, name
from evalkit.miniature.scenes import SIDE, Scene, Thing
from evalkit.miniature.taskrows import examples
from evalkit.miniature.write import contents
from evalkit.suites.card import TaskCard
from evalkit.suites.task import DataFolder, LoadOptions

WITH_REGION = "visual-interactive"  # the meta-task whose queries have one
KINDS = ("box", "point", "points", "mask")
_MOST = {"text": 9, "image": 3}  # wrong candidates a question that are trained on: images take longer to embed


@dataclass(frozen=True, eq=False)
class Question:
    """A query and its pool.

    Attributes:
        card: of the task.
        query: as the suite's reader makes it.
        candidates: the right one first.
        kinds: how each differs from the right one.
        meant: where the query has a region, the scene and the thing in it.
    """

    card: TaskCard
    query: Item
    candidates: tuple[Item, ...]
    kinds: tuple[str, ...]
    meant: tuple[Scene, Thing] | None = None

    def keeping(self, places: Sequence[int]) -> Question:
        """With some of its candidates."""
        return replace(
            self,
            candidates=tuple(self.candidates[place] for place in places),
            kinds=tuple(self.kinds[place] for place in places),
        )


def questions(
    seeds: Sequence[int], size: int, meta_tasks: Collection[str] | None = None
) -> tuple[list[Question], dict[str, Drawing]]:
    """All questions of some miniatures.

    Args:
        seeds: of the miniatures.
        size: rows of each task.
        meta_tasks: those wanted, else all.

    Returns:
        The questions with their whole pools, and what each image shows, by its path.
    """
    cards = [card for card in SUITE.cards() if meta_tasks is None or card.meta_task in meta_tasks]
    found: list[Question] = []
    drawings: dict[str, Drawing] = {}
    with TemporaryDirectory() as folder:
        for seed in seeds:
            tables, drawn = contents(size, seed, cards)
            drawings |= {file.removeprefix("images/"): drawing for file, drawing in drawn.items()}
            for file, table in tables.items():
                path = Path(folder, file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(table)
            for card in cards:
                task = SUITE.load(card, DataFolder.at(Path(folder)), LoadOptions())
                rows = examples(card.subset, size, seed)
                for query, pool, row in zip(task.queries, task.pools, rows, strict=True):
                    candidates = tuple(task.candidates[number] for number in pool)
                    found.append(Question(card, query, candidates, row.kinds, meant(row)))
    return found, drawings


def meant(row: Example) -> tuple[Scene, Thing] | None:
    """The scene of a row with a region, and the thing in it."""
    if row.box is None or not isinstance(row.query, Picture):
        return None
    scene = row.query.scene
    return scene, next(thing for thing in scene.things if thing.box == row.box)


class Batches:
    """Batches without end: questions without a region, and four about each of some scenes, the tasks in turn.

    Of six with a region, four are as they are. One has another region of the same thing and no words for it, one
    is asked about the cut image or without its region, so that the model has met what the ablation shows it.

    Args:
        found: from :func:`questions`.
        rng: where chance comes from.
        plain: questions without a region a batch.
        scenes: that are asked about with regions a batch.
    """

    def __init__(self, found: Sequence[Question], rng: random.Random, plain: int = 18, scenes: int = 5) -> None:
        self._rng, self._plain, self._scenes = rng, plain, scenes
        self._decks = {task: in_turn(rng, own) for task, own in _by_task(found).items()}
        with_region = sorted({each.card.name for each in found if each.meant is not None})
        self._tasks = in_turn(rng, [task for task in self._decks if task not in with_region])
        self._regional = itertools.cycle(with_region)
        self._ways = in_turn(rng, (*(_as_it_is,) * 4, wordless, _otherwise))

    def take(self, *, early: bool = False) -> list[Question]:
        """The next batch.

        Args:
            early: wrong captions of SCaR's kind are those of other things alone.
        """
        batch = [_few(next(self._decks[next(self._tasks)]), self._rng) for _ in range(self._plain)]
        for _ in range(self._scenes):
            for each in siblings(next(self._decks[next(self._regional)])):
                if early:
                    each = each.keeping([0, *(place for place, kind in enumerate(each.kinds) if kind == "object_swap")])
                batch.append(next(self._ways)(each, self._rng))
        return batch


def _by_task(found: Sequence[Question]) -> dict[str, list[Question]]:
    tasks: dict[str, list[Question]] = {}
    for each in found:
        tasks.setdefault(each.card.name, []).append(each)
    return tasks


def siblings(question: Question) -> list[Question]:
    """The question about each of the four things that stand alike in its scene, itself first.

    They share the image and the captions of the four, so that nothing but the region tells which is right.
    """
    if question.meant is None:
        raise ValueError(f"a question of {question.card.name} has no region")
    scene, thing = question.meant
    right = question.candidates[0].text
    called = description if right.startswith(f"{description(thing)} ") else name
    rest = right.removeprefix(called(thing))
    found = [question]
    for other in scene.things[:4]:
        if other == thing:
            continue
        swapped = iter([called(each) + rest for each in scene.things[:4] if each != other])
        texts = [
            next(swapped) if kind == "object_swap" else called(other) + each.text.removeprefix(called(thing))
            for kind, each in zip(question.kinds, question.candidates, strict=True)
        ]
        found.append(
            replace(
                question,
                query=_about(question.query, other),
                candidates=tuple(Item(prompt=text, text=text) for text in texts),
                meant=(scene, other),
            )
        )
    return found


def _about(query: Item, other: Thing) -> Item:
    """The query with the box of another thing, in its words, too."""
    box = Box(*other.box)
    if not isinstance(query.region, Box):
        raise ValueError(f"{query.prompt!r} has no box")
    old, new = str(list(query.region.corners)), str(list(box.corners))
    return replace(
        query,
        prompt=query.prompt.replace(old, new),
        text=query.text.replace(old, new),
        region_text=query.region_text.replace(old, new),
        region=box,
    )


def _few(question: Question, rng: random.Random) -> Question:
    """With as many wrong candidates as are trained on; of images the same ones each time, as they are kept."""
    pictured = question.candidates[0].image is not None
    chance = random.Random(question.query.prompt + question.candidates[0].prompt) if pictured else rng
    wrong = range(1, len(question.candidates))
    return question.keeping([0, *chance.sample(wrong, min(len(wrong), _MOST["image" if pictured else "text"]))])


def wordless(question: Question, rng: random.Random, kind: str | None = None) -> Question:
    """With a region and no words for it.

    Args:
        question: of a task with regions.
        rng: where chance comes from.
        kind: of :data:`KINDS`, else at random.
    """
    if question.meant is None:
        raise ValueError(f"a question of {question.card.name} has no region")
    scene, thing = question.meant
    region = region_of(scene, thing, kind or rng.choice(KINDS), rng, f"{question.query.text}.png")
    return replace(question, query=replace(without_region(question.query), region=region))


def region_of(scene: Scene, thing: Thing, kind: str, rng: random.Random, name: str) -> Region:
    """A region of a kind of :data:`KINDS` around a thing, or on pixels where it is seen.

    Args:
        scene: where it is.
        thing: of the scene.
        kind: which.
        rng: chooses the points.
        name: of the mask's file.
    """
    if kind == "box":
        return Box(*thing.box)
    seen = draw.visible(scene, thing)
    if kind == "mask":
        return Mask(mask_file(seen, name))
    inside = np.argwhere(seen)
    picked = [inside[rng.randrange(len(inside))] for _ in range(1 if kind == "point" else 3)]
    points = tuple(Point(float(x), float(y)) for y, x in picked)
    return points[0] if kind == "point" else Points(points)


def mask_file(seen: NDArray[np.bool_], name: str) -> ImageFile:
    """A mask as a file that is decoded already."""
    import PIL.Image

    pixels = PIL.Image.fromarray(seen.astype(np.uint8) * 255).convert("RGB")
    return ImageFile(Path(), name, upright=False, pixels=pixels)


def _as_it_is(question: Question, rng: random.Random) -> Question:
    return question


def _otherwise(question: Question, rng: random.Random) -> Question:
    mode = rng.choice((cut_to_region, without_region))
    return replace(question, query=mode(question.query, lambda image: ImageFacts("", SIDE, SIDE)))


class Album:
    """Pixels of images, each drawn and prepared once.

    Args:
        drawings: what the images show, by path.
        prepare: from a decoded image to what the model's processor makes of it before it normalises, uint8 of
            shape ``(height, width, 3)``.
    """

    def __init__(self, drawings: Mapping[str, Drawing], prepare: Callable[[ImageFile], NDArray[np.uint8]]) -> None:
        self._drawings, self._prepare = drawings, prepare
        self._kept: dict[tuple[str, object], NDArray[np.uint8]] = {}

    def __call__(self, image: ImageFile) -> NDArray[np.uint8]:
        """Pixels of an image of a question."""
        key = (image.path, image.crop)
        if key not in self._kept:
            drawn = self._drawings[image.path].image()
            self._kept[key] = self._prepare(replace(image, pixels=drawn.crop(image.crop) if image.crop else drawn))
        return self._kept[key]

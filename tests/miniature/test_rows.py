"""The rows: one candidate is right, the others differ as they say, seeds decide, and the text alone is no help."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest
from blind import guessed
from oracle import right

from evalkit.errors import UsageError
from evalkit.miniature import SUITE
from evalkit.miniature.drawings import CutOut, Drawing, Picture, Shirt
from evalkit.miniature.examples import POOL, Example
from evalkit.miniature.grammar import AT, VOCABULARY
from evalkit.miniature.taskrows import TASKS, examples

SCAR = ("RefCOCO_plus", "RefCOCOg", "VisualGenome", "COCO_Stuff", "ADE20K")
CARDS = {card.name.split("/")[1]: card for card in SUITE.cards()}
# What reading alone can give where the text is part of the task; chance everywhere else.
READING = {
    "N24News": 1 / 8,  # the topic is read, the place is seen
    "WebQA": 1 / 4,  # the town is read
    "EDIS": 1 / 4,  # the headline is read
    "OVEN": 1 / 5,  # what is asked is read, the thing is seen
    **dict.fromkeys(("CIRR", "FashionIQ"), 1 / 3),  # three of ten have what the text says
    "MSCOCO": 1 / 5,  # the kind is read, and five cut-outs are of that kind
    "RefCOCO": 1 / 7,  # as many as seven are of that kind
    "RefCOCO-Matching": 1 / 7,
    **dict.fromkeys(SCAR, 1 / 7),  # where the box is says what the relation may be
    "RefCOCOg": 1 / 5,  # and how large it is, which of the things may be meant
    "VisualGenome": 1 / 5,
}

each_task = pytest.mark.parametrize("task", TASKS)


@cache
def rows(task: str) -> tuple[Example, ...]:
    """The first 60 rows of a seed."""
    return tuple(examples(task, 60, 11))


@each_task
def test_one_candidate_is_right_and_it_is_the_first(task: str) -> None:
    for example in rows(task):
        assert right(task, example) == [True] + [False] * (len(example.candidates) - 1), example


@each_task
def test_pools_are_those_of_the_card(task: str) -> None:
    card = CARDS[task]
    for example in rows(task):
        assert len(set(example.candidates)) == len(example.candidates) == len(example.kinds) == card.candidates
        assert example.kinds[0] == ("gt" if task in SCAR else "right")
        assert not {"right", "gt"} & set(example.kinds[1:])
        assert bool(example.query_text) == ("text" in card.query_modality)
        assert (example.query is not None) == ("image" in card.query_modality)
        assert (example.box is not None) == ("region" in card.query_modality)
        for candidate in example.candidates:
            assert bool(candidate.text) == ("text" in card.candidate_modality)
            assert (candidate.drawing is not None) == ("image" in card.candidate_modality)
    pools = {frozenset(example.candidates) for example in rows(task)}
    assert (len(pools) == 1) == (card.pool == "shared")
    assert card.pool == "shared" or card.candidates == POOL


@each_task
def test_the_first_rows_are_the_same_however_many_are_made(task: str) -> None:
    assert tuple(examples(task, 7, 11)) == rows(task)[:7]


@each_task
def test_another_seed_makes_other_rows(task: str) -> None:
    other = examples(task, 60, 12)
    shown = {example.query or example.candidates[0].drawing for example in rows(task)}
    again = [example for example in other if (example.query or example.candidates[0].drawing) in shown]
    # Pots of paint and shirts are few; everything else has a place that never looks the same twice.
    assert len(again) <= {"ScienceQA": 60, "FashionIQ": 40}.get(task, 0)
    assert tuple(other) != rows(task)


def test_two_tasks_of_a_seed_do_not_share_their_scenes() -> None:
    assert not {e.query for e in rows("RefCOCO_plus")} & {e.query for e in rows("RefCOCOg")}


def test_an_unknown_task_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no task 'CIFAR-100'; it has ImageNet-1K, "):
        examples("CIFAR-100", 1, 0)


@pytest.mark.slow(2)
def test_the_vocabulary_is_the_words_of_all_rows() -> None:
    made = [example for task in TASKS for example in examples(task, 300, 7)]
    texts = {text for example in made for text in (example.query_text, *(c.text for c in example.candidates))}
    assert sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())}) == VOCABULARY


@each_task
def test_answers_are_balanced(task: str) -> None:
    if CARDS[task].pool == "shared":
        labels = Counter(example.candidates[0] for example in rows(task))
        assert max(labels.values()) <= -(-60 // CARDS[task].candidates)


# --- without the image, without the region -------------------------------------------------------------


@pytest.mark.slow(0.2)
@each_task
def test_who_reads_and_does_not_see_stays_near_chance(task: str) -> None:
    count = 300 if CARDS[task].candidates < 100 else 60
    found = guessed(examples(task, count, 99), examples(task, count, 5))
    bound = READING.get(task, 1 / CARDS[task].candidates)
    assert found <= bound + 3 * (bound * (1 - bound) / count) ** 0.5 + 1e-9


def _has(text: str, drawing: Drawing) -> bool:
    """Whether a candidate's image has what the text of CIRR or FashionIQ says, whatever it was before."""
    if isinstance(drawing, Shirt):
        parts = (drawing.colour, drawing.texture, drawing.sleeves, drawing.badge)
        return all(any(re.search(rf"\b{part}\b", said) for part in parts) for said in text.split(" and "))
    assert isinstance(drawing, Picture)
    names = {f"{thing.colour} {thing.kind}" for thing in drawing.scene.things}
    if text in AT.values():
        return AT[drawing.scene.place] == text
    if text.startswith("without the "):
        return text.removeprefix("without the ") not in names and len(names) == 2
    colour, kind, new = re.fullmatch(r"the (\w+) (\w+) is (?:a )?(\w+)", text).groups()  # type: ignore[union-attr]
    return f"{colour} {kind}" not in names and bool({f"{new} {kind}", f"{colour} {new}"} & names)


@pytest.mark.parametrize("task", ["CIRR", "FashionIQ"])
def test_who_understands_the_text_and_does_not_see_the_query_has_a_third(task: str) -> None:
    shares = []
    for example in examples(task, 900, 5):
        fits = [_has(example.query_text, candidate.drawing) for candidate in example.candidates if candidate.drawing]
        assert fits[0]
        shares.append(1 / sum(fits))
    assert 0.28 < sum(shares) / len(shares) < 0.40


@pytest.mark.parametrize("task", SCAR)
def test_without_the_region_four_captions_are_true(task: str) -> None:
    """An object swap names another object of the same image: only the region decides."""
    for example in rows(task):
        assert Counter(example.kinds) == {"gt": 1, "object_swap": 3, "background_relation": 3, "global_context": 3}
        true = []
        for number, candidate in enumerate(example.candidates):
            for thing in _scene(example).things:
                moved = Example("", example.query, (candidate,), ("gt",), thing.box)
                if right(task, moved) == [True]:
                    true.append(number)
        assert true == [at for at, kind in enumerate(example.kinds) if kind in ("gt", "object_swap")]


@pytest.mark.parametrize("task", SCAR)
def test_each_swap_changes_one_part(task: str) -> None:
    pattern = re.compile(r"(.+) (left of|right of|above|below) (the \w+ \w+) ((?:at|in|on) .+)")
    parts = {"object_swap": 0, "background_relation": 1, "global_context": 3}
    for example in rows(task):
        first, *others = [pattern.fullmatch(candidate.text) for candidate in example.candidates]
        assert first
        for kind, other in zip(example.kinds[1:], others, strict=True):
            assert other
            differ = [i for i, (a, b) in enumerate(zip(first.groups(), other.groups(), strict=True)) if a != b]
            assert differ == [parts[kind]]


@pytest.mark.parametrize("task", SCAR)
def test_a_box_is_that_of_one_thing_inside_the_image(task: str) -> None:
    for example in rows(task):
        x0, y0, x1, y1 = example.box or (0, 0, 0, 0)
        assert 0 <= x0 < x1 <= 112
        assert 0 <= y0 < y1 <= 112
        assert [thing.kind for thing in _scene(example).things if thing.box == example.box] == [example.category]


def test_the_scenes_of_scar_get_larger() -> None:
    sizes = {task: {len(_scene(example).things) for example in rows(task)} for task in SCAR}
    assert sizes == {"RefCOCO_plus": {5}, "RefCOCOg": {5}, "VisualGenome": {5}, "COCO_Stuff": {7}, "ADE20K": {9}}


def test_boxes_of_visual_genome_nearly_coincide() -> None:
    for example in rows("VisualGenome"):
        one, on_one, two, on_two, _ = _scene(example).things
        for below, above in ((one, on_one), (two, on_two)):
            assert [abs(a - b) for a, b in zip(below.box, above.box, strict=True)] == [3, 3, 3, 3]
            assert below.colour != above.colour


def test_cut_outs_of_the_same_image_are_among_those_of_others() -> None:
    for task in ("MSCOCO", "RefCOCO"):
        for example in rows(task):
            inside = [c.drawing.scene == _scene(example) for c in example.candidates if isinstance(c.drawing, CutOut)]
            assert inside == [kind != "image" for kind in example.kinds]


def _scene(example: Example):
    assert isinstance(example.query, Picture)
    return example.query.scene

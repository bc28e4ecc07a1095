"""The plan: what it must keep, for any items."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.base import EmbedderInfo
from evalkit.encoding.batches import BATCH_PIXELS, PADDING, Pending, estimator, plan
from evalkit.errors import EmbedderError
from evalkit.items import Item
from evalkit.items.images import ImageFacts, ImageFile

TEXT = Item("a")


LOOKS = ((True, None), (False, None), (False, (0, 0, 1, 1)), (False, (1, 0, 2, 1)))  # upright, crop


def picture(number: int, look: int = 0) -> Item:
    # The digests of two images, and so their places among images of equal cost, say nothing of their numbers.
    digest = str(number * 5 % 7)
    return Item("a", image=ImageFile(Path("images"), f"{number}.png", *LOOKS[look], digest=digest))


costs = st.sampled_from([1, 2, 3, 7, 20, 100])


@st.composite
def entries(draw):
    """Distinct entries, with few distinct images, costs and sizes so that equal ones are common."""
    keys = draw(st.lists(st.integers(0, 255), unique=True, max_size=40))
    sides = st.sampled_from([1, 10, 50])
    images = draw(st.lists(st.tuples(sides, sides, costs), min_size=1, max_size=6))
    found = []
    for key in keys:
        number, cost = draw(st.none() | st.integers(0, len(images) - 1)), draw(costs)
        if number is None:
            found.append(Pending(bytes([key]), TEXT, None, cost))
            continue
        width, height, alone = images[number]
        item = picture(number, draw(st.sampled_from(range(len(LOOKS)))))
        facts = ImageFacts(item.image.digest, width, height)
        found.append(Pending(bytes([key]), item, facts, cost, alone))
    return found


budgets = st.sampled_from([1, 5, 20, 60, 1000])
pixel_budgets = st.sampled_from([1, 100, 600, 10_000])


def pixels(batch: list[Pending]) -> int:
    return sum({entry.picture: entry.image.width * entry.image.height for entry in batch if entry.image}.values())


@given(entries(), budgets, pixel_budgets)
def test_every_entry_is_in_one_batch(found, tokens, size):
    batches = plan(found, tokens, size)
    assert Counter(entry.key for batch in batches for entry in batch) == Counter(entry.key for entry in found)
    assert all(batches)


@given(entries(), budgets, pixel_budgets)
def test_text_and_images_never_meet_and_text_comes_first(found, tokens, size):
    kinds = []
    for batch in plan(found, tokens, size):
        (kind,) = {entry.image is not None for entry in batch}
        kinds.append(kind)
    assert kinds == sorted(kinds)


@given(entries(), budgets, pixel_budgets)
def test_padded_cost_and_pixels_stay_within_the_budgets(found, tokens, size):
    for batch in plan(found, tokens, size):
        if len(batch) > 1:
            assert max(entry.cost for entry in batch) * len(batch) <= tokens
            assert pixels(batch) <= size or len({entry.picture for entry in batch}) == 1


@given(entries(), budgets, pixel_budgets)
def test_no_batch_ends_before_it_must(found, tokens, size):
    batches = plan(found, tokens, size)
    for batch, following in itertools.pairwise(batches):
        longer = [*batch, following[0]]
        assert (
            (batch[0].image is None) != (following[0].image is None)
            or max(entry.cost for entry in longer) * len(longer) > tokens
            or (pixels(longer) > size and following[0].picture != batch[-1].picture)
            or padding(longer) > PADDING
        )


def padding(batch: list[Pending]) -> float:
    """The share of a batch's padded cost that is nobody's."""
    return 1 - sum(entry.cost for entry in batch) / (max(entry.cost for entry in batch) * len(batch))


@given(entries(), budgets, pixel_budgets)
def test_little_of_a_batch_is_padding(found, tokens, size):
    for batch in plan(found, tokens, size):
        small = batch[0].image is not None and max(entry.cost for entry in batch) * len(batch) <= tokens // 16
        assert small or padding(batch) <= PADDING + 1e-9


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=400), st.sampled_from([512, 16_384]))
def test_texts_of_any_lengths_need_few_batches_for_it(lengths, tokens):
    """No more than the budget asks for, and some for how far the lengths are apart."""
    found = [Pending(number.to_bytes(2, "big"), TEXT, None, length) for number, length in enumerate(lengths)]
    batches = plan(found, tokens)
    spread = 12 + 22 * np.log(max(lengths) / min(lengths))  # one a length below 12, then one a twentieth
    assert len(batches) <= 2 * sum(lengths) / tokens + spread + 1


@given(entries(), budgets, pixel_budgets, st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_the_order_of_items(found, tokens, size, random):
    shuffled = random.sample(found, len(found))
    assert plan(shuffled, tokens, size) == plan(found, tokens, size)


@given(entries(), budgets, pixel_budgets)
def test_dearest_texts_and_images_come_first_and_of_an_image_the_dearest_item(found, tokens, size):
    order = list(itertools.chain(*plan(found, tokens, size)))
    texts = [entry.cost for entry in order if entry.image is None]
    images = [entry.image_cost for entry in order if entry.image is not None]
    assert texts == sorted(texts, reverse=True)
    assert images == sorted(images, reverse=True)
    for _, same in itertools.groupby(order, key=lambda entry: entry.picture):
        prices = [entry.cost for entry in same]
        assert prices == sorted(prices, reverse=True)


@given(entries(), budgets, pixel_budgets)
def test_items_of_an_image_stand_together(found, tokens, size):
    order = itertools.chain(*plan(found, tokens, size))
    pictures = [picture for picture, _ in itertools.groupby(entry.picture for entry in order)]
    assert len(pictures) == len(set(pictures))


@given(entries(), budgets, pixel_budgets, st.data())
def test_what_a_killed_run_left_over_comes_to_the_same_batches(found, tokens, size, data):
    batches = plan(found, tokens, size)
    done = data.draw(st.integers(0, len(batches)))
    left = data.draw(st.permutations(list(itertools.chain(*batches[done:]))))
    assert plan(left, tokens, size) == batches[done:]


def test_an_image_above_the_pixel_budget_is_not_decoded_for_each_item():
    facts = ImageFacts("huge", 100, 100)
    found = [Pending(bytes([key]), picture(0), facts, 1, 1) for key in range(3)]
    found += [Pending(b"other", picture(1), ImageFacts("small", 1, 1), 1, 1)]
    assert [len(batch) for batch in plan(found, 100, 9_999)] == [3, 1]


def test_one_item_above_the_budgets_is_a_batch_of_its_own():
    huge = Pending(b"h", picture(0), ImageFacts("0", 100_000, 1000), 10**9, 2)
    small = Pending(b"s", picture(1), ImageFacts("1", 1, 1), 1, 1)
    assert plan([small, huge], 100) == [[huge], [small]]


def test_pixels_have_a_budget_of_their_own_by_default():
    found = [Pending(bytes([n]), picture(n), ImageFacts(str(n), 8000, 4000), 1) for n in range(5)]
    assert BATCH_PIXELS == 2 * 8000 * 4000
    assert [len(batch) for batch in plan(found, 10**9)] == [2, 2, 1]


def test_even_the_cheapest_items_can_be_interrupted():
    found = [Pending(number.to_bytes(2, "big"), TEXT, None, 1) for number in range(1100)]
    assert [len(batch) for batch in plan(found, 10**9)] == [512, 512, 76]


def test_nothing_to_do_is_no_batch():
    assert plan([], 100) == []


class Plain:
    """An embedder that says nothing of costs."""

    info = EmbedderInfo("plain", 2)

    def encode(self, items, side):
        return np.full((len(items), 2), 0.5**0.5, dtype=np.float32)


class WithCost(Plain):
    """An embedder that says what it was told to say."""

    info = EmbedderInfo("with-cost", 2)

    def __init__(self, says):
        self.says = says

    def cost(self, item, image):
        return self.says(item, image)


def test_costs_by_default_follow_length_and_pixels():
    cost = estimator(Plain())
    assert cost(Item(""), None) == 1
    assert cost(Item("x" * 400), None) == 101
    assert cost(Item(""), ImageFacts("", 280, 280)) == 1 + 101
    assert cost(Item(""), ImageFacts("", 10_000, 8_000)) == 1 + 1280


@pytest.mark.parametrize(("says", "cost"), [(7, 7), (7.9, 7), (np.int64(5), 5), (0, 1), (-3, 1), (True, 1)])
def test_costs_of_the_embedder_count_and_are_at_least_one(says, cost):
    assert estimator(WithCost(lambda item, image: says))(TEXT, None) == cost


def test_costs_of_the_embedder_see_item_and_image():
    facts = ImageFacts("", 3, 5)
    cost = estimator(WithCost(lambda item, image: len(item.prompt) * image.width * image.height))
    assert cost(Item("ab"), facts) == 30


@pytest.mark.parametrize("says", [None, "many", float("nan"), float("inf"), [1]])
def test_cost_that_is_no_number_is_the_embedders_error(says):
    with pytest.raises(EmbedderError, match=r"with-cost cannot say what an item costs \('the prompt'\)"):
        estimator(WithCost(lambda item, image: says))(Item("the prompt"), None)


def test_cost_that_fails_is_the_embedders_error():
    with pytest.raises(EmbedderError, match="ZeroDivisionError"):
        estimator(WithCost(lambda item, image: 1 // 0))(TEXT, None)

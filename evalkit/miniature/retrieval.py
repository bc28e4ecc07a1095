"""The twelve tasks of retrieval: by caption, dialogue, question, page, change, or likeness."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from evalkit.miniature.drawings import Page, Picture, Shirt
from evalkit.miniature.examples import (
    DrawnCandidate,
    Example,
    Wrong,
    answered,
    as_random,
    in_turn,
    other_than,
    pictures,
    ranked,
)
from evalkit.miniature.grammar import AT, NUMBERS, caption, cell, name
from evalkit.miniature.scenes import COLOURS, KINDS, PLACES, SIZES, TEXTURES, Scene, Thing, nudged, related, scene

TOWNS = ("norva", "telby", "quill", "ambry", "drome", "fenwick", "lodan", "sirvo")
EVENTS = ("storm", "feast", "fire", "strike")
FACTS = {
    "founded": "when was {} founded?",
    "people": "how many people live in {}?",
    "rivers": "how many rivers has {}?",
}
"""What a page may say of a town, and the question that it answers."""
SHIRTS = {"colour": COLOURS[:6], "texture": TEXTURES, "sleeves": ("long", "short"), "badge": KINDS}
_BANK = 16  # scenes that the pools of a task have in common, which saves most of what there is to embed


def mscoco_t2i(rng: random.Random) -> Iterator[Example]:
    """Find the image of a caption: two of three things, their relation, the place."""
    bank = [scene(rng, 3) for _ in range(_BANK)]
    while True:
        found, _ = related(rng, 3)
        one, other, _ = found.things
        said = caption(found, one, other)
        wrong = pictures("relation", [found.exchanged(one, other)])
        wrong += pictures("place", (found.at(place) for place in other_than(rng, PLACES, found.place)[:2]))
        wrong += pictures("colour", _recoloured(rng, found, one)[:1])
        wrong += pictures("kind", _reshaped(rng, found, one)[:1])
        wrong += as_random(rng.sample(bank, 8), said.holds)
        yield ranked(
            str(said), None, DrawnCandidate("", Picture(found)), (w for w in wrong if not _shows(w, said.holds))
        )


def mscoco_i2t(rng: random.Random) -> Iterator[Example]:
    """Find the caption of an image."""
    while True:
        found, _ = related(rng, 3)
        one, other, third = found.things
        said = caption(found, one, other)
        wrong = [("relation", each) for each in said.wrong_relations()]
        wrong += [("place", each) for each in said.wrong_places(tuple(other_than(rng, PLACES, found.place)[:2]))]
        wrong += [("thing", each) for each in said.wrong_things((name(third),)) if not each.holds(found)]
        wrong += [("colour", replace(said, thing=name(thing))) for thing in _other_looks(rng, one, "colour")[:2]]
        wrong += [("kind", replace(said, thing=name(thing))) for thing in _other_looks(rng, one, "kind")[:4]]
        yield answered("", Picture(found), str(said), ((k, str(each)) for k, each in wrong if not each.holds(found)))


def visual_news_t2i(rng: random.Random) -> Iterator[Example]:
    """Find the image of a report: which of two things is the larger, and where."""
    bank = [_report(rng) for _ in range(_BANK)]
    while True:
        found = _report(rng)
        large, small = found.things

        def fits(other: Scene, said: str = _headline(found)) -> bool:
            return _headline(other) == said

        wrong = pictures("role", [_turned(found)])
        wrong += pictures("place", (found.at(place) for place in other_than(rng, PLACES, found.place)[:2]))
        wrong += pictures("colour", _recoloured(rng, found, large)[:1])
        wrong += pictures("kind", _reshaped(rng, found, small)[:1])
        wrong += as_random(rng.sample(bank, 8), fits)
        yield ranked(_headline(found), None, DrawnCandidate("", Picture(found)), wrong)


def visual_news_i2t(rng: random.Random) -> Iterator[Example]:
    """Find the report of an image."""
    while True:
        found = _report(rng)
        large, small = found.things
        wrong = [("role", _headline(_turned(found)))]
        wrong += [("place", _headline(found.at(place))) for place in other_than(rng, PLACES, found.place)[:2]]
        wrong += [("colour", _headline(other)) for other in _recoloured(rng, found, large)[:2]]
        wrong += [("kind", _headline(other)) for other in _reshaped(rng, found, small)[:2]]
        wrong += [("random", _headline(_report(rng))) for _ in range(4)]
        yield answered("", Picture(found), _headline(found), wrong)


def visdial(rng: random.Random) -> Iterator[Example]:
    """Find the image that a dialogue is about: the place, the number of things, what and where two of them are."""
    bank = [scene(rng, rng.randint(2, 4)) for _ in range(_BANK)]
    while True:
        found = scene(rng, rng.randint(2, 4))
        one, other = found.things[:2]

        def fits(
            seen: Scene, said: str = _dialogue(found, one, other), pair: tuple[Thing, Thing] = (one, other)
        ) -> bool:
            there = [next((t for t in seen.things if name(t) == name(each)), None) for each in pair]
            return there[0] is not None and there[1] is not None and _dialogue(seen, there[0], there[1]) == said

        wrong = pictures("place", (found.at(place) for place in other_than(rng, PLACES, found.place)[:2]))
        wrong += pictures("colour", _recoloured(rng, found, one)[:1])
        wrong += pictures("kind", _reshaped(rng, found, other)[:1])
        wrong += pictures("number", [found.without(found.things[-1])])
        wrong += pictures("where", [found.exchanged(one, other)])
        wrong += as_random(rng.sample(bank, 8), fits)
        yield ranked(_dialogue(found, one, other), None, DrawnCandidate("", Picture(found)), wrong)


def cirr(rng: random.Random) -> Iterator[Example]:
    """Find the image that differs from a given one as a text says."""
    bank = [scene(rng, 3) for _ in range(_BANK)]
    for way in in_turn(rng, ("colour", "kind", "without", "place")):
        found = scene(rng, 3)
        one, *others = found.things
        wrong = pictures("unchanged", [found])
        if way == "place":
            right, *rest = (found.at(place) for place in other_than(rng, PLACES, found.place))
            text = AT[right.place]
            wrong += pictures("other change", rest[:3]) + pictures("more", _recoloured(rng, right, one)[:2])
        else:
            if way == "without":
                right, *rest = (found.without(thing) for thing in found.things)
                text = f"without the {name(one)}"
            else:
                right, *rest = (_recoloured if way == "colour" else _reshaped)(rng, found, one)
                new = next(thing for thing in right.things if thing not in found.things)
                text = f"the {name(one)} is " + (new.colour if way == "colour" else f"a {new.kind}")
                changed = (_recoloured if way == "colour" else _reshaped)(rng, found, others[0])
                wrong += pictures("other thing", changed[:1])
            wrong += pictures("other change", rest[:2])
            wrong += pictures("more", (right.at(place) for place in other_than(rng, PLACES, found.place)[:2]))
        wrong += as_random(rng.sample(bank, 9), right.__eq__)
        yield ranked(text, Picture(found), DrawnCandidate("", Picture(right)), wrong)


def fashion_iq(rng: random.Random) -> Iterator[Example]:
    """Find the shirt that differs from a given one in two ways that a text says."""
    bank = [_shirt(rng) for _ in range(_BANK)]
    while True:
        shirt = _shirt(rng)
        first, second, third, _ = rng.sample(list(SHIRTS), 4)
        one, two, three = (
            {part: other_than(rng, SHIRTS[part], getattr(shirt, part))[0]} for part in (first, second, third)
        )
        right = replace(shirt, **one, **two)
        wrong = [("unchanged", shirt), ("half", replace(shirt, **one)), ("half", replace(shirt, **two))]
        wrong += [("more", replace(right, **three))]
        wrong += [("other change", replace(right, badge=badge)) for badge in other_than(rng, KINDS, right.badge)[:2]]
        wrong += [("random", other) for other in rng.sample(bank, 10)]
        text = f"{_worn(right, first)} and {_worn(right, second)}"
        yield ranked(
            text, shirt, DrawnCandidate("", right), (Wrong(k, DrawnCandidate("", o)) for k, o in wrong if o != right)
        )


def nights(rng: random.Random) -> Iterator[Example]:
    """Find the image most like a given one: the same things, each a little elsewhere."""
    bank = [scene(rng, 3) for _ in range(_BANK)]
    while True:
        found = scene(rng, 3)
        one, other, third = found.things

        def fits(seen: Scene, said: tuple[str, frozenset[str]] = _all(found)) -> bool:
            return _all(seen) == said

        wrong = pictures("place", [nudged(rng, found.at(place)) for place in other_than(rng, PLACES, found.place)[:1]])
        wrong += pictures("colour", [nudged(rng, each) for each in _recoloured(rng, found, one)[:2]])
        wrong += pictures("kind", [nudged(rng, each) for each in _reshaped(rng, found, other)[:2]])
        wrong += pictures("where", [nudged(rng, found.exchanged(one, third))])
        wrong += pictures("without", [nudged(rng, found.without(third))])
        wrong += as_random(rng.sample(bank, 6), fits)
        yield ranked("", Picture(found), DrawnCandidate("", Picture(nudged(rng, found))), wrong)


def webqa(rng: random.Random) -> Iterator[Example]:
    """Find the image with its text that answers a question: the town is in the text, the sign in the image."""
    while True:
        town, *towns = rng.sample(TOWNS, 4)
        kind, *kinds = rng.sample(KINDS, 4)

        def sign(town: str, kind: str) -> DrawnCandidate:
            found = scene(rng, 1)
            thing = replace(found.things[0], kind=kind)
            return DrawnCandidate(f"the sign of {town}", Picture(replace(found, things=(thing,))))

        wrong = [Wrong("image", sign(town, other)) for other in kinds]
        wrong += [Wrong("text", sign(other, kind)) for other in towns]
        wrong += [Wrong("both", sign(*pair)) for pair in zip(towns, kinds, strict=True)]
        yield ranked(f"what colour is the {kind} in the sign of {town}?", None, sign(town, kind), wrong)


def edis(rng: random.Random) -> Iterator[Example]:
    """Find the news image with its headline: the event is in the headline, what is seen is in the image."""
    while True:
        event, *events = rng.sample(EVENTS, 4)
        town, *towns = rng.sample(TOWNS, 4)
        found = scene(rng, 1)
        (thing,) = found.things
        headline = f"{event} in {town}"
        changed = [
            ("place", found.at(other_than(rng, PLACES, found.place)[0])),
            ("colour", _recoloured(rng, found, thing)[0]),
            ("kind", _reshaped(rng, found, thing)[0]),
        ]
        wrong = [Wrong(kind, DrawnCandidate(headline, Picture(other))) for kind, other in changed]
        said = [("event", f"{events[0]} in {town}"), *(("town", f"{event} in {other}") for other in towns[:2])]
        wrong += [Wrong(kind, DrawnCandidate(text, Picture(nudged(rng, found)))) for kind, text in said]
        wrong += [
            Wrong("both", DrawnCandidate(text, Picture(nudged(rng, other))))
            for (_, text), (_, other) in zip(said, changed, strict=True)
        ]
        query = f"{headline}, {name(thing)} {AT[found.place]}"
        yield ranked(query, None, DrawnCandidate(headline, Picture(found)), wrong)


def oven(rng: random.Random) -> Iterator[Example]:
    """Find the image of the same thing with the text that answers the question."""
    topics: dict[str, Callable[[], str]] = {
        "where does this come from?": lambda: f"it comes from {rng.choice(TOWNS)}",
        "what does this cost?": lambda: f"it costs {rng.choice(NUMBERS[2:])} coins",
        "how old is this?": lambda: f"it is {rng.choice(NUMBERS[2:])} years old",
    }
    while True:
        seen = scene(rng, 1)
        (thing,) = seen.things

        def shown(look: Thing, topic: str) -> DrawnCandidate:
            other = scene(rng, 1)
            moved = replace(look, x=other.things[0].x, y=other.things[0].y)
            return DrawnCandidate(topics[topic](), Picture(replace(other, things=(moved,))))

        question, *rest = rng.sample(list(topics), 3)
        looks = [*_other_looks(rng, thing, "colour")[:2], *_other_looks(rng, thing, "kind")[:2]]
        wrong = [Wrong("text", shown(thing, topic)) for topic in rest]
        wrong += [Wrong("image", shown(look, question)) for look in looks]
        wrong += [Wrong("both", shown(look, rest[0])) for look in looks]
        yield ranked(question, Picture(seen), shown(thing, question), wrong)


def wiki_ss_nq(rng: random.Random) -> Iterator[Example]:
    """Find the page that answers a question: the town is its title, and it says what is asked."""
    for town in in_turn(rng, TOWNS):
        fact, *facts = rng.sample(list(FACTS), 3)

        def page(town: str, *facts: str) -> DrawnCandidate:
            lines = (f"{each} {rng.randint(100, 999)}" for each in rng.sample(facts, len(facts)))
            return DrawnCandidate("", Page((town.upper(), "", *lines)))

        towns = other_than(rng, TOWNS, town)
        wrong = [Wrong("fact", page(town, *facts)) for _ in range(2)]
        wrong += [Wrong("town", page(other, fact, rng.choice(facts))) for other in towns[:4]]
        wrong += [Wrong("both", page(other, *facts)) for other in towns[4:]]
        yield ranked(FACTS[fact].format(town), None, page(town, fact, rng.choice(facts)), wrong)


def _recoloured(rng: random.Random, found: Scene, thing: Thing) -> list[Scene]:
    """The scene with one of its things in each other colour, shuffled."""
    return _with(found, thing, _other_looks(rng, thing, "colour"))


def _reshaped(rng: random.Random, found: Scene, thing: Thing) -> list[Scene]:
    """The scene with one of its things of each other kind, shuffled."""
    return _with(found, thing, _other_looks(rng, thing, "kind"))


def _with(found: Scene, thing: Thing, looks: list[Thing]) -> list[Scene]:
    taken = {name(other) for other in found.things}
    return [found.with_(thing, look) for look in looks if name(look) not in taken]


def _other_looks(rng: random.Random, thing: Thing, part: str) -> list[Thing]:
    values = COLOURS if part == "colour" else KINDS
    return [replace(thing, **{part: value}) for value in other_than(rng, values, getattr(thing, part))]


def _report(rng: random.Random) -> Scene:
    """A scene of two things, the first the larger."""
    found = scene(rng, 2)
    things = zip(found.things, SIZES[::-1], strict=True)
    return replace(found, things=tuple(replace(thing, size=size) for thing, size in things))


def _turned(report: Scene) -> Scene:
    """The report with the other thing the larger."""
    large, small = report.things
    return replace(report, things=(replace(small, size="large"), replace(large, size="small")))


def _headline(report: Scene) -> str:
    large, small = sorted(report.things, key=lambda thing: thing.radius, reverse=True)
    return f"{name(large)} towers over the {name(small)} {AT[report.place]}"


def _dialogue(found: Scene, one: Thing, other: Thing) -> str:
    turns = [
        ("where is it?", AT[found.place]),
        ("how many things are there?", NUMBERS[len(found.things)]),
        (f"where is the {name(one)}?", cell(one)),
        (f"what is {cell(other)}?", f"a {name(other)}"),
    ]
    return "\n".join(f"Q:{question}\nA:{answer}" for question, answer in turns)


def _shirt(rng: random.Random) -> Shirt:
    return Shirt(**{part: rng.choice(values) for part, values in SHIRTS.items()})


def _worn(shirt: Shirt, part: str) -> str:
    value = getattr(shirt, part)
    return {"sleeves": f"has {value} sleeves", "badge": f"has a {value}"}.get(part, f"is {value}")


def _all(found: Scene) -> tuple[str, frozenset[str]]:
    return found.place, frozenset(f"{name(thing)} {cell(thing)}" for thing in found.things)


def _shows(wrong: Wrong, fits: Callable[[Scene], bool]) -> bool:
    return isinstance(wrong.candidate.drawing, Picture) and fits(wrong.candidate.drawing.scene)

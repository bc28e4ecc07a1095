"""Which candidates of the miniature's rows are right, from what the drawing shows, by other code than made them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from evalkit.miniature.drawings import CutOut, Page
from evalkit.miniature.examples import DrawnCandidate, Example
from evalkit.miniature.scenes import Scene, Thing

AT = {
    "on the beach": "beach",
    "in the forest": "forest",
    "in the desert": "desert",
    "in the snow": "snow",
    "in the city": "city",
    "at night": "night",
    "on the meadow": "meadow",
    "in the kitchen": "kitchen",
}
PLACE = "|".join(AT)
RELATION = "left of|right of|above|below"
WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")
FOUND = {
    "beach": "shells towels",
    "forest": "mushrooms squirrels",
    "desert": "camels cactuses",
    "snow": "skis sledges",
    "city": "buses taxis",
    "night": "owls lanterns",
    "meadow": "bees cows",
    "kitchen": "spoons kettles",
}
SHAPED = {
    "coin": "circle",
    "tile": "square",
    "tent": "triangle",
    "starfish": "star",
    "windmill": "cross",
    "doughnut": "ring",
    "kite": "diamond",
    "valentine": "heart",
}
MIXTURES = {
    "orange": "red yellow",
    "purple": "blue red",
    "green": "blue yellow",
    "grey": "black white",
    "pink": "red white",
    "light blue": "blue white",
    "dark red": "black red",
    "dark green": "black green",
}


def right(task: str, example: Example) -> list[bool]:
    """Which of the candidates are right."""
    judge = JUDGES[task]
    return [bool(judge(example, candidate)) for candidate in example.candidates]


def name(thing: Thing) -> str:
    return f"{thing.colour} {thing.kind}"


def full(thing: Thing) -> str:
    return f"{thing.size} {thing.texture} {name(thing)}".replace("plain ", "")


def look(thing: Thing) -> str:
    return f"{thing.texture} {name(thing)}".replace("plain ", "")


def cell(thing: Thing) -> str:
    row, column = ROWS[min(2, thing.y * 3 // 112)], COLUMNS[min(2, thing.x * 3 // 112)]
    return f"at the {row} {column}".replace("  ", " ").strip() if row or column else "in the middle"


def named(scene: Scene, what: str) -> Thing | None:
    found = [thing for thing in scene.things if what in (name(thing), full(thing))]
    assert len(found) <= 1
    return found[0] if found else None


def angle(thing: Thing, other: Thing) -> dict[str, bool]:
    """What one could say: along an axis where it is not more than 3/2 times as far on the other one."""
    x, y = thing.x - other.x, thing.y - other.y
    return {
        "left of": x < 0 and abs(x) >= abs(y) / 1.5,
        "right of": x > 0 and abs(x) >= abs(y) / 1.5,
        "above": y < 0 and abs(y) >= abs(x) / 1.5,
        "below": y > 0 and abs(y) >= abs(x) / 1.5,
    }


def only(scene: Scene, relation: str, other: Thing) -> Thing:
    (found,) = [thing for thing in scene.things if thing != other and angle(thing, other)[relation]]
    return found


def picture(candidate: DrawnCandidate | Example) -> Scene:
    drawing: Any = candidate.drawing if isinstance(candidate, DrawnCandidate) else candidate.query
    return drawing.scene


def the_one(scene: Scene) -> Thing:
    (thing,) = scene.things
    return thing


def true_caption(text: str, scene: Scene) -> bool:
    match = re.fullmatch(rf"(.+) ({RELATION}) the (\w+ \w+) ({PLACE})", text)
    assert match, text
    thing, other = named(scene, match[1]), named(scene, match[3])
    if thing is None or other is None or thing == other or AT[match[4]] != scene.place:
        return False
    return angle(thing, other)[match[2]]


def true_report(text: str, scene: Scene) -> bool:
    match = re.fullmatch(rf"(\w+ \w+) towers over the (\w+ \w+) ({PLACE})", text)
    assert match, text
    one, other = named(scene, match[1]), named(scene, match[2])
    return one is not None and other is not None and one.radius > other.radius and AT[match[3]] == scene.place


def true_dialogue(text: str, scene: Scene) -> bool:
    match = re.fullmatch(
        rf"Q:where is it\?\nA:({PLACE})\nQ:how many things are there\?\nA:(\w+)\n"
        r"Q:where is the (\w+ \w+)\?\nA:(.+)\nQ:what is (.+)\?\nA:a (\w+ \w+)",
        text,
    )
    assert match, text
    one, other = named(scene, match[3]), named(scene, match[6])
    if AT[match[1]] != scene.place or WORDS.index(match[2]) != len(scene.things) or one is None or other is None:
        return False
    return (cell(one), cell(other)) == (match[4], match[5])


def asked(example: Example, pattern: str) -> re.Match[str]:
    match = re.fullmatch(pattern, example.query_text)
    assert match, example.query_text
    return match


def judge_chart(example: Example, candidate: DrawnCandidate) -> bool:
    bars = dict(example.query.bars)  # type: ignore[union-attr]
    if example.query_text.startswith("which"):
        best = max(bars, key=lambda colour: bars[colour])
        return candidate.text == f"{best} {bars[best]}"
    return candidate.text == str(bars[asked(example, r"how high is the (\w+) bar\?")[1]])


def judge_visual7w(example: Example, candidate: DrawnCandidate) -> bool:
    scene = picture(example)
    if example.query_text == "how many things are there?":
        return WORDS.index(candidate.text) == len(scene.things)
    if example.query_text.startswith("where"):
        thing = named(scene, asked(example, r"where is the (\w+ \w+)\?")[1])
        assert thing
        return any(candidate.text == f"{cell(thing)} {at}" for at, place in AT.items() if place == scene.place)
    match = asked(example, rf"what is ({RELATION}) the (\w+ \w+)\?")
    other = named(scene, match[2])
    assert other
    return candidate.text == name(only(scene, match[1], other))


def judge_gqa(example: Example, candidate: DrawnCandidate) -> bool:
    scene = picture(example)
    match = asked(example, rf"what is ({RELATION}) the thing that is ({RELATION}) the (\w+ \w+)\?")
    start = named(scene, match[3])
    assert start
    return candidate.text == f"it is the {name(only(scene, match[1], only(scene, match[2], start)))}"


def judge_page(example: Example, candidate: DrawnCandidate) -> bool:
    field = asked(example, r"what is the (\w+)\?")[1]
    return f"{field} {candidate.text}" in example.query.lines  # type: ignore[union-attr]


def judge_counts(example: Example, candidate: DrawnCandidate) -> bool:
    match = asked(example, r"what number is beside the (\w+) (\w+)\?")
    sheet: Any = example.query
    return candidate.text == str(sheet.numbers[sheet.signs.index((match[1], match[2]))])


def judge_signs(example: Example, candidate: DrawnCandidate) -> bool:
    signs: Any = example.query
    what = asked(example, r"what number is on the (\w+ \w+)\?")[1]
    return candidate.text == signs.texts[[name(thing) for thing in signs.scene.things].index(what)]


def judge_cirr(example: Example, candidate: DrawnCandidate) -> bool:
    before, after = picture(example), picture(candidate)
    gone = [thing for thing in before.things if thing not in after.things]
    new = [thing for thing in after.things if thing not in before.things]
    if example.query_text in AT:
        return not gone and not new and after.place == AT[example.query_text] != before.place
    if after.place != before.place or len(gone) != 1:
        return False
    if example.query_text.startswith("without"):
        return not new and example.query_text == f"without the {name(gone[0])}"
    if len(new) != 1 or (new[0].x, new[0].y, new[0].texture) != (gone[0].x, gone[0].y, gone[0].texture):
        return False
    match = asked(example, r"the (\w+ \w+) is (?:a )?(\w+)")
    (colour, kind), word = match[1].split(), match[2]
    return match[1] == name(gone[0]) and name(new[0]) in (f"{word} {kind}", f"{colour} {word}")


def judge_shirt(example: Example, candidate: DrawnCandidate) -> bool:
    before, after = example.query, candidate.drawing
    changed = {
        part for part in ("colour", "texture", "sleeves", "badge") if getattr(before, part) != getattr(after, part)
    }
    said = []
    for words in example.query_text.split(" and "):
        verb, value = re.fullmatch(r"(is|has)(?: a)? (\w+)(?: sleeves)?", words).groups()  # type: ignore[union-attr]
        parts = ("colour", "texture") if verb == "is" else ("sleeves", "badge")
        said += [part for part in parts if getattr(after, part) == value]
    return changed == set(said) and len(said) == 2


def judge_nights(example: Example, candidate: DrawnCandidate) -> bool:
    def seen(scene: Scene) -> tuple[str, set[str]]:
        return scene.place, {f"{full(thing)} {cell(thing)}" for thing in scene.things}

    return seen(picture(example)) == seen(picture(candidate))


def judge_webqa(example: Example, candidate: DrawnCandidate) -> bool:
    match = asked(example, r"what colour is the (\w+) in the sign of (\w+)\?")
    return candidate.text == f"the sign of {match[2]}" and the_one(picture(candidate)).kind == match[1]


def judge_edis(example: Example, candidate: DrawnCandidate) -> bool:
    match = asked(example, rf"(\w+ in \w+), (\w+ \w+) ({PLACE})")
    scene = picture(candidate)
    return (candidate.text, name(the_one(scene)), scene.place) == (match[1], match[2], AT[match[3]])


def judge_oven(example: Example, candidate: DrawnCandidate) -> bool:
    word = {"where": "comes", "what": "costs", "how": "years"}[example.query_text.split()[0]]
    same = look(the_one(picture(example))) == look(the_one(picture(candidate)))
    return same and word in candidate.text.split()


def judge_wiki(example: Example, candidate: DrawnCandidate) -> bool:
    town = re.findall(r"norva|telby|quill|ambry|drome|fenwick|lodan|sirvo", example.query_text)[0]
    fact = re.findall(r"founded|people|rivers", example.query_text)[0]
    assert isinstance(candidate.drawing, Page)
    title, _, *lines = candidate.drawing.lines
    return title.lower() == town and any(line.startswith(fact) for line in lines)


def cut(candidate: DrawnCandidate, example: Example) -> Thing | None:
    """The thing that is cut out, where it is cut out of the query's image."""
    assert isinstance(candidate.drawing, CutOut)
    assert candidate.drawing.thing in candidate.drawing.scene.things
    return candidate.drawing.thing if candidate.drawing.scene == picture(example) else None


def judge_mscoco(example: Example, candidate: DrawnCandidate) -> bool:
    thing = cut(candidate, example)
    return thing is not None and example.query_text == f'"{thing.kind}"'


def referred(example: Example) -> Thing:
    scene = picture(example)
    match = asked(example, rf'"(\w+) ({RELATION}) the (\w+ \w+)"')
    other = named(scene, match[3])
    assert other
    (thing,) = [t for t in scene.things if t.kind == match[1] and t != other and angle(t, other)[match[2]]]
    return thing


def judge_pointing(example: Example, candidate: DrawnCandidate) -> bool:
    scene = picture(example)
    match = asked(example, rf'"which thing is ({RELATION}) the (\w+ \w+)\?"')
    other = named(scene, match[2])
    assert other
    return cut(candidate, example) == only(scene, match[1], other)


def judge_region(example: Example, candidate: DrawnCandidate) -> bool:
    scene = picture(example)
    (meant,) = [thing for thing in scene.things if thing.box == example.box]
    said = re.split(rf" (?:{RELATION}) ", candidate.text)[0]
    return said in (name(meant), full(meant)) and true_caption(candidate.text, scene)


def judge_meme(example: Example, candidate: DrawnCandidate) -> bool:
    meme: Any = example.query
    return candidate.text == ("No" if the_one(meme.scene).kind == meme.word else "Yes")


def judge_news(example: Example, candidate: DrawnCandidate) -> bool:
    place, topic = candidate.text.split()
    begins = {"sports": "a race of", "arts": "a song about", "business": "the price of"}[topic]
    return place == picture(example).place and example.query_text.startswith(begins)


def judge_flag(example: Example, candidate: DrawnCandidate) -> bool:
    flag: Any = example.query
    return candidate.text == (" beside " if flag.upright else " over ").join(flag.colours)


def judge_paints(example: Example, candidate: DrawnCandidate) -> bool:
    pots: Any = example.query
    return MIXTURES[candidate.text] == " ".join(sorted((pots.left, pots.right)))


def judge_like(example: Example, candidate: DrawnCandidate) -> bool:
    colour = asked(example, r"what is shaped like the (\w+) thing\?")[1]
    (thing,) = [thing for thing in picture(example).things if thing.colour == colour]
    return SHAPED[candidate.text] == thing.kind


def _of_one(says: Callable[[Thing], str]) -> Callable[[Example, DrawnCandidate], bool]:
    return lambda example, candidate: candidate.text == says(the_one(picture(example)))


def _place(example: Example, candidate: DrawnCandidate) -> bool:
    return candidate.text == picture(example).place


JUDGES: dict[str, Callable[[Example, DrawnCandidate], bool]] = {
    "ImageNet-1K": _of_one(look),
    "N24News": judge_news,
    "HatefulMemes": judge_meme,
    "VOC2007": _of_one(lambda thing: thing.kind),
    "SUN397": _place,
    "Place365": _place,
    "ImageNet-A": _of_one(look),
    "ImageNet-R": _of_one(name),
    "ObjectNet": _of_one(name),
    "Country211": judge_flag,
    "OK-VQA": lambda e, c: c.text in FOUND[picture(e).place].split(),
    "A-OKVQA": judge_like,
    "DocVQA": judge_page,
    "InfographicsVQA": judge_counts,
    "ChartQA": judge_chart,
    "Visual7W": judge_visual7w,
    "ScienceQA": judge_paints,
    "VizWiz": _of_one(name),
    "GQA": judge_gqa,
    "TextVQA": judge_signs,
    "VisDial": lambda e, c: true_dialogue(e.query_text, picture(c)),
    "CIRR": judge_cirr,
    "VisualNews_t2i": lambda e, c: true_report(e.query_text, picture(c)),
    "VisualNews_i2t": lambda e, c: true_report(c.text, picture(e)),
    "MSCOCO_t2i": lambda e, c: true_caption(e.query_text, picture(c)),
    "MSCOCO_i2t": lambda e, c: true_caption(c.text, picture(e)),
    "NIGHTS": judge_nights,
    "WebQA": judge_webqa,
    "FashionIQ": judge_shirt,
    "Wiki-SS-NQ": judge_wiki,
    "OVEN": judge_oven,
    "EDIS": judge_edis,
    "MSCOCO": judge_mscoco,
    "RefCOCO": lambda e, c: cut(c, e) == referred(e),
    "RefCOCO-Matching": lambda e, c: c.drawing == e.query and c.text == f'"{full(referred(e))}"',
    "Visual7W-Pointing": judge_pointing,
    **dict.fromkeys(("RefCOCO_plus", "RefCOCOg", "VisualGenome", "COCO_Stuff", "ADE20K"), judge_region),
}

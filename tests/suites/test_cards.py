"""The cards of all 41 tasks against the published tables and rows, and choosing tasks by name.

``TABLE`` is the table of tasks of MMEB and SCaR typed once more, by hand; ``golden/prompts-a.json`` holds
rows of layout v2 with the published instructions. A card that drifts from either fails here.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from evalkit.errors import DataError, UsageError
from evalkit.suites.card import Source, TaskCard, read_cards
from evalkit.suites.selecting import all_cards, select_tasks

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts-a.json").read_text(encoding="utf-8"))["rows"]
MMEB = read_cards("evalkit.tasks", "mmeb")
SCAR = read_cards("evalkit.tasks", "scar")
CARDS = {card.name: card for card in MMEB + SCAR}

# Order, name, meta-task, distribution, query and candidate (I image, T text, R region), candidates per row,
# pool (S shared, P its own), family. Sources: MMEB's table of tasks and the subset names and loaders of
# TIGER-AI-Lab/VLM2Vec (experiments/public/eval/image.yaml).
TABLE = """
 1 ImageNet-1K       CLS IND I  T  1000 S image_cls
 2 N24News           CLS IND IT T    24 S image_cls
 3 HatefulMemes      CLS IND I  T     2 S image_cls
 4 VOC2007           CLS IND I  T    20 S image_cls
 5 SUN397            CLS IND I  T   397 S image_cls
 6 Place365          CLS OOD I  T   365 S image_cls
 7 ImageNet-A        CLS OOD I  T  1000 S image_cls
 8 ImageNet-R        CLS OOD I  T   200 S image_cls
 9 ObjectNet         CLS OOD I  T   313 S image_cls
10 Country211        CLS OOD I  T   211 S image_cls
11 OK-VQA            VQA IND IT T  1000 P image_qa
12 A-OKVQA           VQA IND IT T  1000 S image_qa
13 DocVQA            VQA IND IT T  1000 P image_qa
14 InfographicsVQA   VQA IND IT T  1000 P image_qa
15 ChartQA           VQA IND IT T  1000 P image_qa
16 Visual7W          VQA IND IT T  1000 P image_qa
17 ScienceQA         VQA OOD IT T  1000 S image_qa
18 VizWiz            VQA OOD IT T  1000 P image_qa
19 GQA               VQA OOD IT T  1000 P image_qa
20 TextVQA           VQA OOD IT T  1000 P image_qa
21 VisDial           RET IND T  I  1000 P image_t2i
22 CIRR              RET IND IT I  1000 P image_i2i_vg
23 VisualNews_t2i    RET IND T  I  1000 P image_t2i
24 VisualNews_i2t    RET IND I  T  1000 P image_i2t
25 MSCOCO_t2i        RET IND T  I  1000 P image_t2i
26 MSCOCO_i2t        RET IND I  T  1000 P image_i2t
27 NIGHTS            RET IND I  I  1000 P image_i2i_vg
28 WebQA             RET IND T  IT 1000 P image_t2i
29 FashionIQ         RET OOD IT I  1000 P image_i2i_vg
30 Wiki-SS-NQ        RET OOD T  I  1000 P image_t2i
31 OVEN              RET OOD IT IT 1000 P image_i2i_vg
32 EDIS              RET OOD T  IT 1000 P image_t2i
33 MSCOCO            VG  IND IT I  1000 P image_i2i_vg
34 RefCOCO           VG  OOD IT I  1000 P image_i2i_vg
35 RefCOCO-Matching  VG  OOD IT IT 1000 P image_i2i_vg
36 Visual7W-Pointing VG  OOD IT I  1000 S image_i2i_vg
 1 SCaR/RefCOCO_plus VI  -   IR T    10 P scar_i2t
 2 SCaR/RefCOCOg     VI  -   IR T    10 P scar_i2t
 3 SCaR/VisualGenome VI  -   IR T    10 P scar_i2t
 4 SCaR/COCO_Stuff   VI  -   IR T    10 P scar_i2t
 5 SCaR/ADE20K       VI  -   IR T    10 P scar_i2t
"""
META = {
    "CLS": "classification",
    "VQA": "vqa",
    "RET": "retrieval",
    "VG": "grounding",
    "VI": "visual-interactive",
}
MODALITY = {"I": "image", "T": "text", "IT": "image+text", "IR": "image+region"}
# Annotations of the evaluation sets, from the statistics of the SCaR paper; all of MMEB has 1,000.
SCAR_QUERIES = {
    "SCaR/RefCOCO_plus": 2764,
    "SCaR/RefCOCOg": 1539,
    "SCaR/VisualGenome": 15571,
    "SCaR/COCO_Stuff": 17903,
    "SCaR/ADE20K": 9368,
}
HUBS = {
    "mmeb": [("TIGER-Lab/MMEB-eval", "mmeb-v1"), ("ziyjiang/MMEB_Test_Instruct", "mmeb-v2")],
    "scar": [("Sony/SCaR-Eval", "scar")],
}

every_card = pytest.mark.parametrize("card", [pytest.param(card, id=card.name) for card in CARDS.values()])


def plain(instructions) -> str:
    """The one instruction of all rows, without image mark and outer space."""
    (instruction,) = {text.replace("<|image_1|>", "").strip() for text in instructions}
    return instruction


def flat(lists) -> list[str]:
    return list(itertools.chain.from_iterable(lists))


def modality(texts, images) -> str:
    """What rows hold: a column counts when it is filled everywhere, and must be blank everywhere if not."""
    parts = []
    for name, values in (("image", images), ("text", texts)):
        filled = {bool(value.strip()) for value in values}
        assert len(filled) == 1
        if filled.pop():
            parts.append(name)
    return "+".join(parts)


# --- the facts ---------------------------------------------------------------------------------------


def test_there_are_36_and_5():
    assert [card.order for card in MMEB] == list(range(1, 37))
    assert [card.order for card in SCAR] == list(range(1, 6))
    assert len(CARDS) == 41
    assert set(CARDS) == set(GOLDEN)


def test_groups_have_their_size():
    assert Counter(card.meta_task for card in MMEB) == {
        "classification": 10,
        "vqa": 10,
        "retrieval": 12,
        "grounding": 4,
    }
    assert Counter(card.distribution for card in MMEB) == {"ind": 20, "ood": 16}
    assert Counter((card.meta_task, card.distribution) for card in SCAR) == {("visual-interactive", None): 5}
    assert sum(card.queries for card in MMEB) == 36_000
    assert sum(card.queries for card in SCAR) == 47_145


def test_the_table():
    lines = [line.split() for line in TABLE.strip().splitlines()]
    assert [line[1] for line in lines] == list(CARDS)
    for order, name, meta, distribution, query, candidate, candidates, pool, family in lines:
        card = CARDS[name]
        assert card.order == int(order), name
        assert card.meta_task == META[meta], name
        assert card.distribution == {"IND": "ind", "OOD": "ood", "-": None}[distribution], name
        assert card.query_modality == MODALITY[query], name
        assert card.candidate_modality == MODALITY[candidate], name
        assert card.candidates == int(candidates), name
        assert card.pool == {"S": "shared", "P": "own"}[pool], name
        assert card.family == family, name
        assert card.queries == SCAR_QUERIES.get(name, 1000), name


@pytest.mark.parametrize("suite", ["mmeb", "scar"])
def test_a_card_is_called_like_its_file(suite):
    folder = resources.files("evalkit.tasks").joinpath(suite)
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    assert len(files) == {"mmeb": 36, "scar": 5}[suite]
    for file in files:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        assert raw["suite"] == suite
        assert raw["name"] == {"mmeb": "", "scar": "SCaR/"}[suite] + file.name.removesuffix(".toml")


@every_card
def test_instructions_are_those_of_the_rows(card):
    columns = GOLDEN[card.name]["columns"]
    assert card.query_instruction == plain(columns["qry_inst" if card.suite == "mmeb" else "qry_text"])
    assert card.candidate_instruction == plain(columns.get("tgt_inst", [""]))
    # Every query has one; a candidate has one exactly when it has an image.
    assert card.query_instruction
    assert bool(card.candidate_instruction) == card.candidate_modality.startswith("image")


@every_card
def test_modalities_are_those_of_the_rows(card):
    columns = GOLDEN[card.name]["columns"]
    if card.suite == "scar":
        assert all(columns["qry_image_path"])
        assert all(len(box) == 4 for box in columns["bbox"])
        assert all(len(texts) == card.candidates for texts in columns["tgt_text"])
        return
    assert card.query_modality == modality(columns["qry_text"], columns["qry_img_path"])
    assert card.candidate_modality == modality(flat(columns["tgt_text"]), flat(columns["tgt_img_path"]))


def test_an_image_mark_without_an_image():
    """WebQA and EDIS alone mark an image that their queries do not have; their cards say so."""
    marked = {
        name
        for name, rows in GOLDEN.items()
        if not name.startswith("SCaR/")
        and any("<|image_1|>" in text for text in rows["columns"]["qry_inst"])
        and not any(rows["columns"]["qry_img_path"])
    }
    assert marked == {"WebQA", "EDIS"}
    for name in marked:
        assert CARDS[name].query_modality == "text"
        assert any("image mark" in note for note in CARDS[name].notes)


# --- what people read --------------------------------------------------------------------------------


@every_card
def test_licence_citation_and_notes(card):
    assert card.version == 1
    assert card.title == card.title.strip() != ""
    assert "\n" not in card.title
    assert card.licence.startswith("rows: ")
    assert "\n" not in card.licence
    assert all(note.endswith(".") and "\n" not in note for note in card.notes)
    assert len(set(card.notes)) == len(card.notes)


@every_card
def test_citation_is_one_bibtex_entry(card):
    entry = card.citation.strip()
    assert re.match(r"@(article|inproceedings)\{[a-z0-9]+,\n", entry)
    assert entry.count("@") == 1
    depth = 0
    for place, character in enumerate(entry):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth > 0 or place < entry.index("{") or place == len(entry) - 1
    assert depth == 0
    fields = re.findall(r"^  ([a-z]+) = \{", entry, flags=re.MULTILINE)
    assert {"title", "author", "year"} <= set(fields)
    assert {"booktitle", "journal"} & set(fields)
    assert len(set(fields)) == len(fields)
    assert re.search(r"^  year = \{(19|20)\d\d\},$", entry, flags=re.MULTILINE)


def test_one_citation_key_is_one_paper():
    entries = {}
    for card in CARDS.values():
        key = card.citation.split("{", 1)[1].split(",", 1)[0]
        assert entries.setdefault(key, card.citation) == card.citation


@every_card
def test_sources(card):
    assert [(source.hub, source.layout) for source in card.sources] == HUBS[card.suite]
    for source in card.sources:
        assert source.revision is None or re.fullmatch(r"[0-9a-f]{40}", source.revision)


def test_one_revision_for_each_hub():
    """A suite whose tasks came from different states of a data set would have no one name."""
    revisions = {(source.hub, source.revision) for card in CARDS.values() for source in card.sources}
    assert len(revisions) == len({hub for hub, _ in revisions}) == 3


def test_the_page_on_cards_names_every_field():
    page = resources.files("evalkit.tasks").joinpath("README.md").read_text(encoding="utf-8")
    for field in (*TaskCard.model_fields, *Source.model_fields):
        assert f"`{field}`" in page or f"`[[{field}]]`" in page, field


# --- cards that are wrong ----------------------------------------------------------------------------

GOOD = """
name = "Mine"
suite = "mine"
order = 2
version = 1
title = "A task of mine"
meta_task = "retrieval"
family = "image_t2i"
query_modality = "text"
candidate_modality = "image"
pool = "own"
queries = 3
candidates = 4
licence = "mine"
citation = "@misc{mine}"

[[sources]]
hub = "me/mine"
layout = "mmeb-v2"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package with an empty folder of cards, ``mine``."""
    folder = tmp_path / "cards_of_a_test" / "mine"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop("cards_of_a_test", None)


def read(package: Path) -> tuple[TaskCard, ...]:
    return read_cards(package.parent.name, package.name)


def test_cards_of_another_package(package):
    (package / "Mine.toml").write_text(GOOD)
    (package / "Another.toml").write_text(GOOD.replace('"Mine"', '"Another"').replace("order = 2", "order = 1"))
    (package / "notes.txt").write_text("not a card")
    cards = read(package)
    assert [card.name for card in cards] == ["Another", "Mine"]
    assert cards[0].groups == ("mine", "mine/retrieval")
    assert cards[0].candidate_instruction == ""
    assert cards[0].sources[0].revision is None


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        pytest.param('title = "A task of mine"', 'colour = "red"\ntitle = "t"', "colour", id="unknown field"),
        pytest.param('licence = "mine"\n', "", "licence", id="missing field"),
        pytest.param('pool = "own"', 'pool = "each"', "pool", id="unknown pool"),
        pytest.param("queries = 3", "queries = 0", "queries", id="no queries"),
        pytest.param('"Mine"', '"a/b/Mine"', "name", id="a path for a name"),
        pytest.param('layout = "mmeb-v2"', 'layout = "v2"', "layout", id="unknown layout"),
        pytest.param('"me/mine"', '"me/mine"\nrevision = "217c56d"', "revision", id="short revision"),
        pytest.param('"me/mine"', '"me/mine"\nbranch = "main"', "branch", id="unknown field of a source"),
    ],
)
def test_a_wrong_card_names_file_and_field(package, old, new, field):
    assert old in GOOD
    (package / "Mine.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(DataError, match=rf"mine/Mine\.toml(?s:.*)\b{field}\b"):
        read(package)


def test_a_card_that_is_not_toml_names_file_and_line(package):
    (package / "Mine.toml").write_text(GOOD + "hub = \n")
    with pytest.raises(DataError, match=r"mine/Mine\.toml(?s:.*)line \d+"):
        read(package)


def test_cards_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        MMEB[0].version = 2


# --- choosing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ("mmeb", 36),
        ("scar", 5),
        ("all", 41),
        ("mmeb/classification", 10),
        ("mmeb/vqa", 10),
        ("mmeb/retrieval", 12),
        ("mmeb/grounding", 4),
        ("mmeb/ind", 20),
        ("mmeb/ood", 16),
        ("scar/visual-interactive", 5),
        ("ImageNet-*", 3),
        ("mmeb/ImageNet-*", 3),
        ("SCaR/*", 5),
        ("MSCOCO_?2?", 2),
        ("MSCOCO", 1),
        ("mmeb/MSCOCO", 1),
        ("SCaR/RefCOCO_plus", 1),
    ],
)
def test_a_selector_chooses(selector, count):
    cards = select_tasks([selector], MMEB + SCAR)
    assert len(cards) == count
    assert select_tasks([selector]) == cards


def test_groups_are_what_their_names_say():
    assert select_tasks(["mmeb/grounding"], MMEB + SCAR) == tuple(c for c in MMEB if c.meta_task == "grounding")
    assert select_tasks(["mmeb/ood"], MMEB + SCAR) == tuple(c for c in MMEB if c.distribution == "ood")
    assert {card.name for card in select_tasks(["ImageNet-*"])} == {"ImageNet-1K", "ImageNet-A", "ImageNet-R"}


def test_all_is_mmeb_and_scar_alone():
    """The shipped example is a suite too, and no part of any benchmark."""
    assert {card.suite for card in all_cards()} >= {"mmeb", "scar", "example"}
    assert select_tasks(["all"]) == MMEB + SCAR
    example = MMEB[0].model_copy(update={"name": "example/Mine", "suite": "example"})
    assert select_tasks(["all"], (example, *MMEB)) == MMEB
    assert select_tasks(["example"], (example, *MMEB)) == (example,)


def test_the_order_of_selectors_does_not_matter():
    selectors = ["scar", "MSCOCO", "mmeb/vqa", "ImageNet-*"]
    expected = select_tasks(selectors)
    assert len(expected) == 5 + 1 + 10 + 3
    for order in itertools.permutations(selectors):
        assert select_tasks(order) == expected
    assert expected == tuple(card for card in all_cards() if card in expected)


def test_a_comma_separates_selectors_and_no_task_comes_twice():
    apart = select_tasks(["VizWiz", "GQA", "mmeb/vqa"])
    assert select_tasks(["VizWiz,GQA", "mmeb/vqa"]) == select_tasks(["mmeb/vqa , GQA,VizWiz,"]) == apart
    assert len(apart) == 10


@pytest.mark.parametrize(
    ("selector", "near"),
    [
        ("ImageNet1K", "ImageNet-1K"),
        ("imagenet-1k", "ImageNet-1K"),
        ("Places365", "Place365"),
        ("MMEB", "mmeb"),
        ("mmeb/clasification", "mmeb/classification"),
        ("SCaR/RefCOCO+", "SCaR/RefCOCO_plus"),
    ],
)
def test_an_unknown_name_suggests_the_near_one(selector, near):
    with pytest.raises(UsageError) as error:
        select_tasks([selector])
    message = str(error.value)
    assert repr(selector) in message
    assert near in message.split("near: ", 1)[1]


@pytest.mark.parametrize("selector", ["mmeb/visual-interactive", "Image?et", "CIFAR-100", "zzzzzz"])
def test_a_selector_that_chooses_nothing_is_an_error(selector):
    with pytest.raises(UsageError, match="no task, group or suite"):
        select_tasks(["mmeb", selector])

"""The cards of published models: what they say, what they are held to, and bad ones."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from evalkit.embedders.modelcards import card_of_weights, model_cards, read_model_cards, unnamed
from evalkit.embedders.modeltext import families, parse_model
from evalkit.errors import DataError, UsageError
from evalkit.leaderboard.published.reported import read

ROOT = Path(__file__).parents[2]
CARDS = model_cards()
TO_COME: set[str] = set()
"""Families of cards that are not there yet. Their options and tests cannot be held to anything."""
CARD = """
licence = "mit"
citation = "@misc{one, title = {One}}"
dimensions = [8]
backbone = "Nothing"
trained_on = { mmeb = { answer = "no", source = "here" }, scar = { answer = "unknown", source = "nowhere" } }
[[models]]
name = "one"
title = "One"
hub = "org/one"
"""


@pytest.fixture(scope="module")
def rows():
    return {(row.model, row.training): row for row in read()}


def said_twice(words: list[object]) -> set[object]:
    return {word for word in words if words.count(word) > 1}


# -- the package's own --


def test_the_rows_of_the_tables_and_the_named_best_are_there():
    assert {"virtue-2b", "virtue-7b", "gme-2b", "gme-7b", "lamra-7b", "vlm2vec-2b", "vlm2vec-7b"} <= CARDS.keys()
    assert {"mmret-7b", "unime-7b", "e5-v-8b", "uniir-clip-sf", "magiclens-large", "blip2-vit-g"} <= CARDS.keys()
    assert {"qwen3-vl-embedding-8b", "wemm-embedding-9b", "rzenembed-7b", "ops-mm-embedding-v1-7b"} <= CARDS.keys()


def test_no_name_is_a_familys_and_no_weights_have_two_names():
    known = {*families(), *TO_COME, "sentence-transformers", "mteb", "open-clip", "endpoint", "objembed"}
    assert CARDS.keys() & known == set()
    assert said_twice([(card.family, card.hub, card.file, card.elsewhere) for card in CARDS.values()]) == set()
    assert said_twice([(one.model, one.training) for card in CARDS.values() for one in card.published]) == set()


def test_every_published_row_is_of_a_name_or_says_why_it_is_not(rows):
    of_names = [(one.model, one.training) for card in CARDS.values() for one in card.published]
    of_none = [(one.model, one.training) for own in unnamed() for one in own.rows]
    assert sorted(of_names + of_none) == sorted(rows)


def test_cards_say_what_the_published_numbers_files_say(rows):
    for card in CARDS.values():
        for one in card.published:
            facts = rows[one.model, one.training].facts
            if one.doubt:
                continue
            assert facts.trained_on_mmeb == card.trained_on.mmeb.answer, card.name
            assert facts.dimension in (None, card.dimensions[-1]), card.name
            assert facts.licence in (None, card.licence), card.name
            assert facts.url in (None, f"https://huggingface.co/{card.hub}"), card.name
            if facts.parameters and card.parameters:
                assert facts.parameters * 1e6 == pytest.approx(card.parameters, rel=1e-9), card.name


def test_virtue_was_trained_on_scar_and_what_is_older_was_not():
    assert {card.name for card in CARDS.values() if card.trained_on.scar.answer == "yes"} == {"virtue-2b", "virtue-7b"}


# -- what they are held to --


def test_families_that_are_still_to_come_are_told():
    assert {card.family for card in CARDS.values()} - families().keys() <= TO_COME
    assert not TO_COME & families().keys(), "it is there now: take it out of TO_COME"


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.family not in TO_COME])
def test_options_and_regions_are_the_classs(name):
    card = CARDS[name]
    made = families()[card.family].load()
    options = {key for key, of in inspect.signature(made).parameters.items() if of.kind is of.KEYWORD_ONLY}
    assert card.options.keys() <= options - {"revision", "device", "dtype"}
    regions = getattr(made, "REGIONS", frozenset())
    if card.family == "virtue":  # of its segmentation stream
        from evalkit.embedders.virtue.segmentation import Segmentation

        regions = Segmentation.REGIONS
    assert set(card.regions) == set(regions)


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.family not in TO_COME])
def test_what_is_said_to_be_verified_has_its_test(name):
    assert CARDS[name].verified
    assert all((ROOT / check.test).is_file() for check in CARDS[name].verified)


def test_all_that_the_tables_of_papers_are_is_installed():
    text = (ROOT / "setup.cfg").read_text()
    assert re.search(r"^    evalkit\.models = models$", text, re.M)
    assert re.search(r"^evalkit\.models = \*\.toml$", text, re.M)


# -- MODEL --


def test_a_name_is_its_weights_and_the_options_of_its_published_protocol():
    spec = parse_model("virtue-2b")
    assert (spec.source, spec.target) == ("virtue", "Sony/VIRTUE-2B-SCaR")
    assert spec.revision == "e98d03976ccbc7738c5ca14fab98d442a06c0530"
    assert spec.options == {"resolution": "high", "frame": "raw_pixels"}
    assert spec.card is CARDS["virtue-2b"]
    assert parse_model("gme-2b").options == {"protocol": "vlm2vec", "positions": "1d"}


def test_what_is_asked_for_goes_before_the_published_protocol():
    spec = parse_model("virtue-2b?resolution=native&dtype=float32")
    assert spec.options == {"resolution": "native", "frame": "raw_pixels", "dtype": "float32"}
    assert CARDS["virtue-2b"].options["resolution"] == "high"


def test_a_names_weights_may_lie_elsewhere():
    spec = parse_model("virtue-2b?path=./ckpt@2")
    assert (spec.target, spec.revision, spec.elsewhere) == ("./ckpt@2", None, True)
    assert spec.options == CARDS["virtue-2b"].options
    spec = parse_model("magiclens-large?path=/a/b.pkl")
    assert (spec.source, spec.target) == ("magiclens", "/a/b.pkl")
    with pytest.raises(UsageError, match=r"magic_lens_clip_large\.pkl and write magiclens-large\?path=FILE"):
        parse_model("magiclens-large")


@pytest.mark.parametrize("text", ["virtue:./ckpt", "virtue:Sony/VIRTUE-2B-SCaR", "clip:org/name?instruction=1"])
def test_what_is_no_name_has_no_card(text):
    assert parse_model(text).card is None


@pytest.mark.parametrize(
    ("text", "near"),
    [("virtue-2", "virtue-2b"), ("gme2b", "gme-2b"), ("BGE-VL-MLLM-S2", "mmret-7b"),
     ("Alibaba-NLP/gme-Qwen2-VL-7B-Instruct", "gme-7b"), ("qwen3-vl-embeding-2b", "qwen3-vl-embedding-2b"),
     ("virtue-2b@main", "virtue-2b"), ("vrtue", "virtue")],
)  # fmt: skip
def test_near_names_are_suggested(text, near):
    with pytest.raises(UsageError, match="no model is called") as error:
        parse_model(text)
    assert near in str(error.value).partition("near: ")[2]


def test_weights_are_told_by_repository_and_revision():
    card = CARDS["virtue-2b"]
    assert card_of_weights("virtue", card.hub, card.revision) is card
    assert card_of_weights("virtue", card.hub, "0" * 40) is None
    assert card_of_weights("vlm2vec", card.hub, card.revision) is None
    assert card_of_weights("virtue", "VIRTUE-2B-SCaR", None) is None
    assert card_of_weights("vlm2vec", "TIGER-Lab/VLM2Vec-Qwen2VL-2B", "1" * 40) is CARDS["vlm2vec-2b"]


def test_cards_print_as_json():
    for card in CARDS.values():
        assert json.loads(card.model_dump_json())["name"] == card.name


# -- bad ones --


def cards_in(folder: Path, text: str, name: str = "kind.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return read_model_cards(folder)


def test_a_model_may_say_otherwise_than_its_file(tmp_path):
    more = '[[models]]\nname = "two"\ntitle = "Two"\nhub = "org/two"\ndimensions = [4, 16]\n'
    more += 'trained_on.mmeb = { answer = "yes", source = "there" }\ncitation = "b"\n[citations]\nb = "@misc{b}"\n'
    found = cards_in(tmp_path, CARD + more)
    assert [*found] == ["one", "two"]
    assert (found["two"].dimensions, found["two"].family, found["two"].citation) == ((4, 16), "kind", "@misc{b}")
    assert (found["two"].trained_on.mmeb.answer, found["two"].trained_on.scar.answer) == ("yes", "unknown")
    assert found["one"].text == "kind:org/one"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('licence = "mit"', 'licens = "mit"', r"models/kind\.toml, one: licens: Extra inputs are not permitted"),
        ('licence = "mit"', "", "one: the model: give the licence, or in licence_note"),
        ('hub = "org/one"', "", "say where the weights lie"),
        ('hub = "org/one"', 'hub = "org/one"\nelsewhere = "there"', "say where the weights lie"),
        ('hub = "org/one"', 'elsewhere = "there"\nfile = "a"', "revision and file are of a hub repository"),
        ('hub = "org/one"', 'hub = "org/one"\nrevision = "main"', "one: revision: String should match pattern"),
        ("[8]", "[16, 8]", r"dimensions \[16, 8\] are not from the smallest"),
        ("[8]", '["8"]', r"one: dimensions\.0: Input should be a valid integer"),
        ('answer = "unknown"', 'answer = "maybe"', r"one: trained_on\.scar\.answer: Input should be 'yes', 'no'"),
        ('hub = "org/one"', 'hub = "org/one"\noptions.x = 1', r"one: options\.x: Input should be a valid string"),
        ('name = "one"', 'name = "One"', "One: name: String should match pattern"),
        ('name = "one"', "", "model 1: name: Field required"),
        ("[[models]]", "", "has no model: begin each with"),
        ("[[models]]", "[[models", "is no TOML"),
        ("[[models]]", '[[models]]\nverified = [{ what = "a", test = "b.py" }]', r"one: verified\.0\.test"),
    ],
)
def test_a_bad_card_is_named_with_file_model_and_field(tmp_path, old, new, says):
    assert old in CARD
    with pytest.raises(DataError, match=says):
        cards_in(tmp_path, CARD.replace(old, new))


def test_two_models_of_one_name_are_refused(tmp_path):
    (tmp_path / "other.toml").write_text(CARD, encoding="utf-8")
    with pytest.raises(DataError, match=r"models/other\.toml, one: kind\.toml has a model of that name"):
        cards_in(tmp_path, CARD)

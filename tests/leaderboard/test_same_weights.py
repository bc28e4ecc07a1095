"""Published rows and the runs of the names that stand for them, joined on the board and its pages."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import pytest
from board_runs import MMEB, SCAR, coins, save

from evalkit.embedders.modelcards import model_cards, unnamed
from evalkit.leaderboard.board import Board
from evalkit.leaderboard.downloads import exports
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.pages.html import site
from evalkit.leaderboard.pages.listing import same_weights
from evalkit.leaderboard.pages.provenance import command_of_name
from evalkit.leaderboard.pages.standing import Standing
from evalkit.leaderboard.published.reported import read
from evalkit.runs.manifest import ModelRecord

CARDS = model_cards()


def record(name: str, digit: str, **changes: object) -> ModelRecord:
    """Of the weights that a name stands for, run by its published protocol."""
    card = CARDS[name]
    facts = {
        "name": card.hub,
        "family": card.family,
        "revision": card.revision,
        "fingerprint": digit * 64,
        "dimension": card.dimensions[-1],
        "modalities": ("image", "text"),
        "regions": card.regions,
        "options": card.options | {"dtype": "bfloat16"},
        "named": name,
    }
    return ModelRecord(**(facts | changes))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    runs = tmp_path_factory.mktemp("runs")
    departs = {"options": CARDS["virtue-2b"].options | {"resolution": "native"}}
    departs |= {"departs": ("resolution=native, published high",)}
    saved = [
        save(runs, "gme", {t: coins(t, 0.5) for t in MMEB}, digit="1", model=record("gme-2b", "1")),
        save(runs, "virtue", {t: coins(t, 0.6) for t in SCAR}, digit="2", model=record("virtue-2b", "2", **departs)),
        save(runs, "other", {t: coins(t, 0.4) for t in SCAR}, digit="3"),
    ]
    found, *_ = boards(saved, read())
    return found


@pytest.fixture(scope="module")
def pages(board: Board) -> dict[str, str]:
    return {name: made().decode() for name, made in site([board], version="0").items() if name.endswith(".html")}


def of(board: Board, slug: str):
    return next(entry for entry in board.entries if entry.slug == slug)


GME, VIRTUE = "alibaba-nlp-gme-qwen2-vl-2b-instruct", "sony-virtue-2b-scar"


def test_a_run_and_what_is_published_of_its_weights_know_of_each_other(board: Board) -> None:
    assert of(board, GME).same_weights == ("published-gme-2b", "published-gme-2b-crop")
    assert GME in of(board, "published-gme-2b").same_weights
    assert of(board, VIRTUE).same_weights == ("published-virtue-2b-scar-train",)
    assert of(board, "published-virtue-2b-scar-train").same_weights == (VIRTUE,)
    assert of(board, "published-virtue-2b").same_weights == ()  # other weights, which are not released
    assert (of(board, "other").named, of(board, "other").same_weights) == (None, ())


@pytest.mark.parametrize(("published", "run"), [("red_circle", "overlay"), ("reclip", "reclip"), ("crop", "crop")])
def test_a_published_row_leads_to_the_run_of_its_mode_of_prompting(board: Board, published: str, run: str) -> None:
    """By whichever word its document calls it; and the run leads back to it."""
    row = replace(of(board, "published-gme-2b"), prompting=published, same_weights=("text", run))
    other = replace(of(board, "published-gme-2b-crop"), prompting="text")
    runs = [replace(of(board, GME), slug=mode, prompting=mode) for mode in ("text", run)]
    back = replace(runs[1], same_weights=(other.slug, row.slug))
    standing = Standing(replace(board, entries=(row, other, runs[0], back)))
    assert f'href="model-{run}.html"' in same_weights(row, standing)
    assert f'href="model-{row.slug}.html"' in same_weights(back, standing)


def test_the_facts_of_a_run_are_those_of_its_card(board: Board) -> None:
    facts = of(board, VIRTUE).facts
    assert (facts.licence, facts.trained_on_mmeb, facts.parameters) == ("cc-by-nc-4.0", "yes", 2208.9856)
    assert facts.url == "https://huggingface.co/Sony/VIRTUE-2B-SCaR"
    assert (of(board, GME).facts.size, of(board, GME).facts.trained_on_mmeb) == ("2B", "no")


def test_the_published_row_shows_the_command_that_runs_it(board: Board, pages: dict[str, str]) -> None:
    page = html.unescape(pages[f"{board.key}/model-published-gme-2b.html"])
    assert "<code>evalkit run --model gme-2b --tasks all --data DATA --out RUNS</code>" in page
    assert f'href="model-{GME}.html"' in page
    assert "The same weights" in page
    page = html.unescape(pages[f"{board.key}/model-published-virtue-2b.html"])
    assert "No name runs it. No weights of this training are released." in page
    assert "evalkit run" not in page


@pytest.mark.parametrize(("prompting", "mode"), [("red_circle", "overlay"), ("reclip", "reclip")])
def test_a_mode_whose_settings_are_not_published_promises_no_such_numbers(
    board: Board, pages: dict[str, str], prompting: str, mode: str
) -> None:
    entry = next(one for one in board.entries if one.kind == "published" and one.prompting == prompting)
    page = html.unescape(pages[f"{board.key}/model-{entry.slug}.html"])
    assert f"--prompting {mode}</code>" in page
    assert "which need not give them" in page
    assert "run as these numbers were made" not in page
    assert "run as these numbers were made" in pages[f"{board.key}/model-published-gme-2b.html"]


@pytest.mark.parametrize(
    ("slug", "command"),
    [
        ("gme-2b-crop", "evalkit run --model gme-2b --tasks scar --data DATA --out RUNS --prompting crop"),
        ("virtue-7b-scar-train", "evalkit run --model virtue-7b --tasks all --data DATA --out RUNS"),
        ("qwen3-vl-embedding-8b", "evalkit run --model qwen3-vl-embedding-8b --tasks mmeb --data DATA --out RUNS"),
        ("clip", "evalkit run --model clip-vit-large-patch14 --tasks scar --data DATA --out RUNS"),
        ("dme-small", None),
    ],
)
def test_the_command_has_the_suites_and_the_prompting_of_the_row(board: Board, slug: str, command: str | None) -> None:
    assert command_of_name(of(board, f"published-{slug}")) == command


def test_a_mode_that_evalkit_does_not_have_has_no_command(board: Board) -> None:
    entry = replace(of(board, "published-gme-2b-crop"), prompting="pointing")
    assert command_of_name(entry) is None


def test_a_run_is_measured_again_by_its_name(pages: dict[str, str], board: Board) -> None:
    page = html.unescape(pages[f"{board.key}/model-{GME}.html"])
    assert "evalkit run --model 'gme-2b?dtype=bfloat16' --tasks mmeb --data DATA --out RUNS" in page
    page = html.unescape(pages[f"{board.key}/model-{VIRTUE}.html"])
    assert "--model 'virtue-2b?resolution=native'" in page
    assert "virtue-2b departs from how its published numbers were made: resolution=native, published high." in page


def test_tables_lead_from_the_one_to_the_other(pages: dict[str, str], board: Board) -> None:
    index = html.unescape(pages["index.html"])
    assert f'href="{board.key}/model-{GME}.html" title="measured of the same weights: ' in index
    assert f'href="{board.key}/model-published-gme-2b.html" title="published of the same weights: GME-2B"' in index


def test_the_download_has_it_as_well(board: Board) -> None:
    [content] = [made() for name, made in exports.files(board).items() if name.endswith("leaderboard.json")]
    found = {entry["slug"]: entry for entry in json.loads(content)["entries"]}
    assert found[GME]["named"] == "gme-2b"
    assert found["published-dme-small"]["unnamed"] == "A closed model: its weights are not released."
    assert found["published-virtue-2b-scar-train"]["same_weights"] == [VIRTUE]


def test_every_published_entry_has_a_name_or_says_why_not(board: Board) -> None:
    published = [entry for entry in board.entries if entry.kind == "published"]
    assert all((entry.named is None) != (entry.unnamed is None) for entry in published)
    assert {entry.unnamed for entry in published} == {None, *(reason.why for reason in unnamed())}


def test_doubt_is_said(board: Board) -> None:
    said = of(board, "published-siglip").warnings
    assert any(text.startswith("Whether siglip-so400m-patch14-384 runs its weights is in doubt: ") for text in said)


def test_others_documents_need_no_name(tmp_path: Path) -> None:
    document = {"schema": "evalkit.published", "schema_version": 1, "name": "Ours", "title": "Ours"}
    document |= {"url": "https://example.org/a", "kind": "paper"}
    row = {"model": "ours", "called": "Ours", "training": "", "table": "T", "source": "p. 1"}
    document["rows"] = [row | {"aggregates": {"general": 50.0}}]
    known = {"schema": "evalkit.published-models", "schema_version": 1}
    known["models"] = {"ours": {"name": "Ours", "trainings": {"": {}}}}
    for name, content in (("a", document), ("b", known)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    [found] = boards([], read([tmp_path], shipped=False))
    [entry] = found.entries
    assert (entry.named, entry.unnamed) == (None, None)

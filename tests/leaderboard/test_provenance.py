"""The command of a model's page: it measures the same again."""

from __future__ import annotations

import pytest

from evalkit.leaderboard.pages.provenance import command, model
from evalkit.suites.selecting import all_cards


def run_of(board, **changes):
    (_, manifest) = next(entry.run for entry in board.entries if entry.run)
    record = manifest.model.model_copy(update=changes.pop("model", {}))
    settings = manifest.settings.model_copy(update=changes.pop("settings", {}))
    return manifest.model_copy(update={"model": record, "settings": settings, **changes})


@pytest.mark.parametrize(
    ("record", "written"),
    [
        ({"name": "virtue-tiny", "family": "virtue", "options": {}}, "virtue-tiny"),
        ({"name": "virtue-tiny", "family": "clip", "options": {}}, "clip:PATH/virtue-tiny"),
        (
            {"name": "random", "family": "random", "options": {"seed": "0", "dimension": "64"}},
            "random?dimension=64&seed=0",
        ),
        (
            {"name": "Sony/VIRTUE-2B-SCaR", "family": "virtue", "revision": "e" * 40},
            f"virtue:Sony/VIRTUE-2B-SCaR@{'e' * 40}?",
        ),
        ({"name": "mine", "family": "my_model.py", "options": {"a": "x&y"}}, "my_model.py:CLASS?a=x%26y"),
        ({"name": "ours", "family": "clip", "revision": "f" * 64, "options": {}}, "clip:PATH/ours"),
    ],
)
def test_the_model_of_a_command_is_the_runs(board, record, written):
    assert model(run_of(board, model=record)).startswith(written)


def test_the_command_measures_the_same_again(board):
    """It is what the command line takes, and asks for the same tasks and settings."""
    import shlex

    from click import Context

    from evalkit.cli import cli
    from evalkit.cli.run import command as run_command
    from evalkit.embedders.modeltext import parse_model
    from evalkit.suites.selecting import select_tasks

    settings = {"limit": 5, "official_dedup": True, "exif": "ignore", "vectors": "float16", "prompting": "crop"}
    manifest = run_of(board, settings=settings, model={"name": "virtue-tiny", "family": "virtue"})
    parts = shlex.split(command(manifest, board.cards))
    assert parts[:2] == ["evalkit", "run"]
    parsed = run_command.make_context(
        "run", parts[2:], parent=Context(cli, **cli.context_settings), resilient_parsing=True
    ).params
    assert parsed["limit"] == 5
    assert parsed["official_dedup"] is True
    assert (parsed["exif"], parsed["vectors"], parsed["prompting"]) == ("ignore", "float16", "crop")
    assert [card.name for card in select_tasks(parsed["selectors"])] == [result.task for result in manifest.tasks]
    assert parse_model(parsed["models"][0]).options == manifest.model.options


def test_the_tasks_of_a_command_are_the_runs(board):
    from evalkit.suites.selecting import select_tasks

    cards = {card.name: card for card in all_cards()}
    manifest = run_of(board)
    for names in (["ImageNet-1K", "SCaR/ADE20K"], [c for c in cards if cards[c].suite == "scar"]):
        results = tuple(result for result in manifest.tasks if result.task in names)
        text = command(run_of(board, tasks=results), board.cards)
        selected = select_tasks([text.split("--tasks ")[1].split()[0]])
        assert {card.name for card in selected} == set(names)
    assert "--tasks all " in command(manifest, board.cards)
    assert "--tasks scar " in text

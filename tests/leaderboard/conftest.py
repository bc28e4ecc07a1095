"""A board and its pages, and a board whose every word is an attack: made once, and changed by nobody."""

from __future__ import annotations

import pytest
import synthetic_boards as boards
from page_texts import made


@pytest.fixture(scope="session")
def board():
    return boards.board(6, 4, pairs=3)


@pytest.fixture(scope="session")
def pages(board):
    queries = [boards.query(1), boards.query(2, "wrong"), boards.query(3, "tied")]
    return {name: make() for name, make in made(board, boards.demo(), queries=queries).items()}


@pytest.fixture(scope="session")
def hostile():
    files = made(boards.hostile(), queries=[boards.query(1, id=boards.HOSTILE, prompt=boards.HOSTILE)])
    return {name: make().decode() for name, make in files.items() if name.endswith(".html")}

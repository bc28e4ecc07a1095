"""The whole of ``evalkit report``: runs and published numbers to boards, boards to a site and Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.files import write_atomically
from evalkit.leaderboard.board import Board
from evalkit.leaderboard.downloads import badges, exports, feed
from evalkit.leaderboard.downloads.markdown import markdown
from evalkit.leaderboard.numbers.assemble import boards
from evalkit.leaderboard.numbers.measured import outside_ranking
from evalkit.leaderboard.pages.html import site
from evalkit.leaderboard.published.reported import read
from evalkit.leaderboard.samples.media import MediaMode
from evalkit.leaderboard.samples.sheets import LIMIT, sheets
from evalkit.leaderboard.site import publish
from evalkit.progress import Progress
from evalkit.runs.manifest import Manifest, as_promised
from evalkit.runs.runfiles import queries_of, samples_path
from evalkit.runs.runfolder import find_runs
from evalkit.suites.task import DataFolder, Task
from evalkit.version import __version__


@dataclass(frozen=True)
class Choices:
    """What a site shows.

    Attributes:
        data: what the runs were about, for the texts and images of the pages of samples.
        tasks: own tasks, which lie in no data folder, for those of theirs.
        media: what is embedded of images that are somebody else's.
        samples: queries that a page of samples shows at most; 0 for no such pages.
        published: the numbers of papers that come with evalkit are there.
        more: files or folders of more published numbers, which are there in any case.
    """

    data: DataFolder | None = None
    media: MediaMode = "none"
    samples: int = LIMIT
    published: bool = True
    more: tuple[Path, ...] = ()
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True)
class Reported:
    """A site that was written.

    Attributes:
        index: its first page.
        files: how many it has.
        markdown: where it was asked for.
        warnings: what was left out, and why, one line each; may hold strangers' words.
    """

    index: Path
    files: int
    markdown: Path | None
    warnings: tuple[str, ...]


def report(
    runs: Sequence[Path],
    folder: Path,
    markdown_file: Path | None = None,
    choices: Choices | None = None,
    progress: Progress | None = None,
) -> Reported:
    """Write the site of runs, and Markdown of the same tables.

    Args:
        runs: folders of runs, or folders that hold them (``RUNS/<model>/<run id>``); without any the site is of the
            published numbers alone.
        folder: of the site; an older one of evalkit's is replaced file by file, other files stay.
        markdown_file: for the tables as Markdown, where they are wanted: of the boards on which something was measured,
            or of all where nothing was.
        choices: what the site shows.
        progress: who is told.

    Raises:
        UsageError: nothing to show; a path that does not exist or holds no run, or files of somebody else in the
            site's folder; published numbers that cannot be read.
        ResultsError: a run that cannot be read, or a file that cannot be written.
    """
    choices, progress = choices or Choices(), progress or Progress(quiet=True)
    if not runs and not choices.published and not choices.more:
        raise UsageError(
            "there is nothing to show: name RUNS, leave out --no-published, or give published numbers with --add FILE"
        )
    rows = read(choices.more, shipped=choices.published)
    known = find_runs(runs)
    _read_the_rest(known)
    # Those that something was measured on come first.
    found = sorted(boards(known, rows), key=lambda board: not _is_measured(board))
    if not found and not runs:
        raise UsageError("there is nothing to show: what --add names holds no numbers; name RUNS or a file of numbers")
    own = [
        sheets(board, choices.data, media=choices.media, limit=choices.samples, own=choices.tasks)
        for board in found
        if choices.samples
    ]
    files: dict[str, Callable[[], bytes]] = site(found, version=__version__, sheets=own)
    for board in found:
        files |= exports.files(board) | badges.files(board)
    files |= feed.files(found, os.environ)
    for pages in own:
        files |= pages.media
    with progress.run("leaderboard", 1), progress.task("pages"):
        progress.expect(len(files))
        publish(files, folder, lambda name: progress.advance(1))
    if markdown_file is not None:
        write_atomically(markdown_file, markdown([b for b in found if _is_measured(b)] or found).encode())
    known_tasks = {card.name for board in found if board.own for card in board.cards}
    warnings = (
        *_outside(found),
        *(warning for pages in own for warning in pages.warnings),
        *(f"no run has the own task {t.card.name}" for t in choices.tasks if t.card.name not in known_tasks),
    )
    return Reported(folder / "index.html", len(files), markdown_file, warnings)


def _read_the_rest(known: Sequence[tuple[Path, Manifest]]) -> None:
    """Per-query files that nothing else would read, so that a bad one is named: of results that count in no mean."""
    for folder, manifest in known:
        for result in manifest.tasks:
            if (
                not as_promised(result, manifest.own_tasks).complete
                and (path := samples_path(folder, result)) is not None
            ):
                queries_of(path, result)


def _is_measured(board: Board) -> bool:
    """Whether any of its entries is of a run."""
    return any(entry.run is not None for entry in board.entries)


def _outside(found: Sequence[Board]) -> list[str]:
    """What of the runs is neither ranked nor compared, one line an entry."""
    return [
        f"{entry.label} on {board.title}: {said}"
        for board in found
        for entry in board.entries
        for said in outside_ranking(entry.scores)
    ]

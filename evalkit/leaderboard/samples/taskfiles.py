"""The files of one task that sample pages are made of: each run's answers, and the rows they are answers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.errors import EvalkitError, ResultsError
from evalkit.items import Item
from evalkit.leaderboard.board import Board, Entry
from evalkit.leaderboard.samples.answers import Answers, read_answers
from evalkit.runs.environment import without_places
from evalkit.runs.manifest import Settings
from evalkit.suites.card import OWN, TaskCard
from evalkit.suites.task import DataFolder, Task


@dataclass(frozen=True)
class NamedTask:
    """A loaded task, by what a run's file calls its queries and candidates."""

    task: Task
    row_of: Mapping[str, int]
    named: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, task: Task) -> NamedTask:
        """Those of a task."""
        named: dict[str, list[int]] = {}
        for number, name in enumerate(task.names):
            named.setdefault(name, []).append(number)
        return cls(task, {id_: row for row, id_ in enumerate(task.ids)}, named)

    def query(self, id_: str) -> Item:
        """The query of this id."""
        return self.task.queries[self.row_of[id_]]

    def text(self, id_: str) -> str:
        """The text of the query of this id, as a run's file has it."""
        return self.query(id_).text or self.query(id_).prompt

    def candidates(self, id_: str, name: str) -> list[tuple[Item, bool]]:
        """The candidates of this name in a query's pool, and whether each is right. Names need not be distinct."""
        row = self.row_of[id_]
        pool, relevant = self.task.pools[row], self.task.relevant[row]
        return [
            (self.task.candidates[number], bool((relevant == number).any()))
            for number in self.named.get(name, ())
            if (pool == number).any()
        ]


class TaskFiles:
    """The answers of all measured entries to a task, and its data: each file read once for all of the task's sheets.

    Args:
        card: of the task.
        board: whose entries.
        data: where the rows lie; none where nobody said.
        limit: answers to keep of each file.
        own: the task itself, where it is an own one and is there.

    Attributes:
        answers: by the entry's slug, of the entries whose file can be read.
        entries: the same entries, in the board's order.
        faults: by the label of each other entry, why its file cannot be read.
    """

    def __init__(
        self, card: TaskCard, board: Board, data: DataFolder | None, limit: int, own: Task | None = None
    ) -> None:
        self.card, self.board = card, board
        self.answers: dict[str, Answers] = {}
        self.entries: list[Entry] = []
        self.faults: dict[str, str] = {}
        self._data = data
        self._own = own
        self._loaded: dict[Settings, NamedTask | str] = {}
        for entry in board.entries:
            score = entry.scores.get(card.name)
            if entry.run is None or score is None or score.result is None or score.claimed:
                continue
            try:
                self.answers[entry.slug] = read_answers(entry.run[0], score.result, limit)
                self.entries.append(entry)
            except ResultsError as error:
                self.faults[entry.label] = str(error)

    def rows(self, entry: Entry) -> NamedTask | str:
        """The rows that an entry's run was made of, or in a sentence why they are not to be had."""
        if self.card.suite == OWN and self._own is None:
            return (
                "The texts and images of the queries are not here: the pages were made without this task "
                "(evalkit report … --tasks ./FOLDER)."
            )
        if self.card.suite != OWN and self._data is None:
            return (
                "The texts and images of the queries are not here: the pages were made without the tasks' data "
                "(evalkit report … --data DIR)."
            )
        if entry.run is None:
            raise ValueError(f"{entry.slug} is not measured")
        made = entry.scores[self.card.name].result
        if self._own is not None and made is not None and made.task_version != self._own.card.version:
            return (
                "The texts and images of the queries are not here: the run was made of version "
                f"{made.task_version} of {self.card.name}, and the task as it is now is version "
                f"{self._own.card.version}."
            )
        chosen = entry.run[1].settings
        settings = Settings(limit=chosen.limit, official_dedup=chosen.official_dedup, exif=chosen.exif)
        if settings not in self._loaded:
            self._loaded[settings] = _load(self._own or self.card, self._data, settings)
        rows = self._loaded[settings]
        return rows if isinstance(rows, str) else self._other(rows, self.answers[entry.slug]) or rows

    def _other(self, rows: NamedTask, answers: Answers) -> str | None:
        """What is wrong where the data folder, or the own task, holds other rows than those that were asked."""
        asked: list[str] = answers.ids.to_pylist()
        lacking = [id_ for id_ in asked if id_ not in rows.row_of]
        # The ids of an own task are what people call its rows, and stay when a row changes.
        texts: list[str | None] = [] if self._own is None or answers.texts is None else answers.texts.to_pylist()
        other = [] if lacking else [id_ for id_, text in zip(asked, texts, strict=False) if rows.text(id_) != text]
        if not lacking and not other and len(asked) == len(rows.row_of):
            return None
        if other:
            what = f"{len(other)} of the run's {len(asked)} queries have another text in it, such as {other[0]}"
        elif lacking:
            what = f"{len(lacking)} of the run's {len(asked)} queries are not in it, such as {lacking[0]}"
        else:
            what = f"it has {len(rows.row_of)} queries and the run {len(asked)}"
        where = "the data folder" if self._own is None else "the task as it is now"
        way_out = "Name the run's own data with --data DIR." if self._own is None else "Name it as it was with --tasks."
        return (
            f"The texts and images of the queries are not here: {where} does not hold the rows of "
            f"{self.card.name} that the run was made of ({what}). {way_out}"
        )


def _load(task: TaskCard | Task, data: DataFolder | None, settings: Settings) -> NamedTask | str:
    from evalkit.suites.selecting import load_task

    try:
        return NamedTask.of(load_task(task, data, settings.load_options))
    except EvalkitError as error:
        return f"The texts and images of the queries are not here: {without_places(str(error), data)}"

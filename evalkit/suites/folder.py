"""A task of people's own as a folder: ``card.toml``, ``queries.jsonl`` and, for pools, ``candidates.jsonl``.

Either of the two may be ``.parquet``. What the rows say is :mod:`evalkit.suites.folderrows`', what a task is made of
them :mod:`evalkit.suites.own`'s.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import DataError, UsageError
from evalkit.files import leads_out, read_text
from evalkit.items import Item
from evalkit.items.folders import ImageFolders, refusal
from evalkit.items.images import ImageFile
from evalkit.items.jsonl import ItemFields
from evalkit.suites.card import OWN
from evalkit.suites.embedded import EmbeddedImages
from evalkit.suites.folderrows import CandidateFields, Fields, QueryFields, checked, read_rows
from evalkit.suites.own import COUNTED, SAID, OwnCandidate, OwnRow, own_parts

CARD = "card.toml"
_LISTED = 8  # names of a folder, in an error
_NEAR = 100  # letters of an id that others are held against


def read_folder(folder: Path, *, follow_links: bool = False) -> dict[str, Any]:
    """What a folder's task is made of, by the names of :class:`evalkit.suites.task.Task`'s attributes.

    Images are looked for, and not opened.

    Args:
        folder: with ``card.toml`` and ``queries.jsonl`` or ``queries.parquet``.
        follow_links: links may lead out of the folder: for data that you trust.

    Raises:
        UsageError: there is no such folder, or it is no task's.
        DataError: a file, line or value that cannot be read as this task, or an image that is missing.
    """
    own = _Folder(folder, follow_links)
    facts = own.facts()
    queries = own.rows_file("queries")
    if queries is None:
        raise UsageError(f"{folder} has no queries.jsonl and no queries.parquet: write one of them{own.listing()}")
    shared = own.shared(own.rows_file("candidates"), str(facts.get("candidate_instruction", "")))
    rows: list[OwnRow] = []
    for where, row in own.rows(queries, QueryFields):
        rows.append(
            OwnRow(
                query=own.item(row, str(facts.get("query_instruction", "")), where),
                label=row.label,
                where=where,
                candidates=shared.named(row.candidates, where),
                id=row.id,
            )
        )
    pool = shared.all if any(row.candidates is None for row in rows) else ()
    return own_parts(facts, rows, pool, card=str(folder / CARD)) | {"warnings": shared.unused()}


class _Folder:
    """A folder, and what is looked up in it.

    Args:
        root: the folder.
        follow_links: links may lead out of it.

    Raises:
        UsageError: there is no such folder.
    """

    def __init__(self, root: Path, follow_links: bool) -> None:
        if os.path.isfile(root):
            raise UsageError(f"{root} is a file: name the task's folder, {root.parent}")
        if not os.path.isdir(root):
            raise UsageError(f"{root} does not exist as a folder (evalkit new task {root} writes a task there)")
        self.root, self.follow_links = root, follow_links
        self._embedded = EmbeddedImages()
        self._folders = ImageFolders((root,), follow_links)
        self._wrong: dict[str, str | None] = {}  # paths of images, and what is wrong with each
        self._inside: dict[str, bool] = {}  # folders of images, and whether they lie in the task's

    def listing(self) -> str:
        """What the folder has, in words that end an error."""
        try:
            with os.scandir(self.root) as entries:
                names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
        except OSError as error:
            return f" ({error.strerror})"
        more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
        return f" (it has {', '.join(names[:_LISTED]) or 'nothing'}{more})"

    def file(self, name: str) -> Path | None:
        """A file of the folder, if it is there.

        Raises:
            DataError: it is a link that leads out.
        """
        path = self.root / name
        if not os.path.lexists(path):
            return None
        if not self.follow_links and leads_out(self.root, path):
            raise DataError(
                f"{path} is a link that leads out of the folder, to {os.path.realpath(path)}: refused (copy it there, "
                "or let links lead anywhere with --follow-links)"
            )
        return path

    def rows_file(self, name: str) -> Path | None:
        """The file with these rows, in whichever form.

        Raises:
            DataError: there are both forms.
        """
        found = [path for suffix in (".jsonl", ".parquet") if (path := self.file(name + suffix)) is not None]
        if len(found) == 2:
            raise DataError(f"{found[0]} and {found[1].name} are both there: keep one of them")
        return found[0] if found else None

    def facts(self) -> dict[str, Any]:
        """What the card says.

        Raises:
            UsageError: there is no card.
            DataError: it is no TOML, or has no name or title, or another key than an own task's card may have.
        """
        file = self.file(CARD)
        if file is None:
            raise UsageError(
                f"{self.root} is no task of your own: it has no {CARD}{self.listing()}; evalkit new task DIR writes "
                "one that runs"
            )
        try:
            facts = tomllib.loads(read_text(file))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise DataError(f"{file}: no TOML: {error or 'lists in lists without end'}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: byte {error.start} is no UTF-8 text: save the file as UTF-8") from None
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
        facts.setdefault("suite", OWN)
        if facts.pop("suite") != OWN:
            raise DataError(f"{file}: suite is not {OWN!r}, which a task of your own is of: leave it out")
        for key in facts:
            if key not in (*SAID, *COUNTED):
                near = difflib.get_close_matches(key, (*SAID, *COUNTED), n=1, cutoff=0.5)
                hint = f"; near: {near[0]}" if near else ""
                known = ", ".join((*SAID, *COUNTED))
                raise DataError(f"{file}: {key!r} is not known: the fields are {known}{hint}")
        for key in ("name", "title"):
            if not isinstance(said := facts.get(key, ""), str) or not said.strip():
                raise DataError(f"{file}: {key} is {said!r}: give it one" if said else f"{file}: {key} is missing")
        return facts

    def rows(self, file: Path, fields: type[Fields]) -> Iterator[tuple[str, Fields]]:
        """The rows of a file, no two of one id.

        Yields:
            Where a row is, and what it says.

        Raises:
            DataError: as :func:`read_rows` and :func:`checked`; or an id that an earlier row has.
        """
        first: dict[str, str] = {}
        for where, given in read_rows(file, self._embedded):
            row = checked(fields, given, where)
            if row.id is not None and first.setdefault(row.id, where) != where:
                earlier = first[row.id].removeprefix(f"{file}, ")
                raise DataError(f"{where}: id {row.id!r} is that of {earlier}, too: give each row an id of its own")
            yield where, row

    def shared(self, file: Path | None, instruction: str) -> _NamedCandidates:
        """The candidates of their file.

        Args:
            file: none where there is none.
            instruction: of those that have none.
        """
        found: list[OwnCandidate] = []
        for where, row in () if file is None else self.rows(file, CandidateFields):
            found.append(OwnCandidate(self.item(row, instruction, where), row.id))
        return _NamedCandidates(self, file, tuple(found), instruction)

    def item(self, row: ItemFields, instruction: str, where: str) -> Item:
        """The item of a row.

        Args:
            row: what it says.
            instruction: of the card, for a row without a prompt and without an instruction of its own.
            where: the row is, for an error.

        Raises:
            DataError: a region that is none; an image that is missing, or leads out of the folder.
        """
        if row.prompt is None and "instruction" not in row.model_fields_set and instruction:
            row = row.model_copy(update={"instruction": instruction})

        def image(path: str, upright: bool) -> ImageFile:
            cell = self._embedded.cell(path)
            if cell.held is None:
                if cell.name not in self._wrong:
                    self._wrong[cell.name] = self._looked_up(cell.name)
                if (wrong := self._wrong[cell.name]) is not None:
                    raise DataError(f"{where}: {wrong}")
            return ImageFile.below(self._folders, cell.name, upright=upright, held=cell.held)

        try:
            return row.item(image)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None

    def _looked_up(self, path: str) -> str | None:
        """What is wrong with the path of an image, if anything is."""
        place = self.root / path
        if (reason := refusal(path)) is not None:
            return (
                f"image path {path!r} {reason} {self.root}: refused (paths are relative to it, with / and without ..)"
            )
        try:
            kind = os.lstat(place).st_mode
            folder = os.path.dirname(place)
            if folder not in self._inside:
                self._inside[folder] = self._folders.allow(os.path.realpath(folder))
            if not self._inside[folder] or (stat.S_ISLNK(kind) and not self._folders.allow(os.path.realpath(place))):
                return (
                    f"image {path!r} is or lies behind a link that leads out of {self.root}, to "
                    f"{os.path.realpath(place)}: refused (copy it there, or let links lead anywhere: --follow-links)"
                )
            kind = os.stat(place).st_mode if stat.S_ISLNK(kind) else kind
        except (OSError, ValueError) as error:  # ValueError: characters that no path has
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                near = self._folders.near(path)
                there = f", but {near!r} is there: mend one of them" if near is not None else ": put it there"
                return f"image {path!r} is missing in {self.root}{there}"
            return f"image {path[:200]!r} cannot be looked up in {self.root}: {getattr(error, 'strerror', error)}"
        return None if stat.S_ISREG(kind) else f"image {path!r} is no file"


class _NamedCandidates:
    """The candidates that queries name, and those that they bring."""

    def __init__(
        self, folder: _Folder, file: Path | None, candidates: tuple[OwnCandidate, ...], instruction: str
    ) -> None:
        self.all = candidates
        self._folder, self._file, self._instruction = folder, file, instruction
        self._by_id = {candidate.id: candidate for candidate in candidates if candidate.id is not None}
        self._texts: dict[str, OwnCandidate] = {}
        self._used: set[str] = set()
        self._all_used = False

    def named(self, given: list[Any] | None, where: str) -> list[OwnCandidate] | None:
        """The pool of a query.

        Args:
            given: ids of the candidates' file, or texts where there is no such file, and items; ``None`` for all of
                the file.
            where: the query is, for an error.

        Raises:
            DataError: there is no such id, no such file, an item that is none, or an id twice.
        """
        if given is None:
            if self._file is None:
                raise DataError(
                    f"{where}: key 'candidates' is missing, and there is no candidates.jsonl whose lines would be the "
                    "pool: write one of them"
                )
            self._all_used = True
            return None
        pool = [self._one(one, f"{where}: candidates[{place}]") for place, one in enumerate(given)]
        first: dict[str, OwnCandidate] = {}
        for candidate in pool:
            if candidate.id is not None and first.setdefault(candidate.id, candidate) is not candidate:
                raise DataError(f"{where}: two of its candidates have the id {candidate.id!r}: give each its own")
        return pool

    def _one(self, given: Any, where: str) -> OwnCandidate:
        if isinstance(given, Mapping):
            row = checked(CandidateFields, given, where)
            return OwnCandidate(self._folder.item(row, self._instruction, where), row.id)
        if not isinstance(given, str) or not given:
            raise DataError(
                f"{where} is {given!r:.200}: give an item, or an id of candidates.jsonl, or a text without it"
            )
        if self._file is None:  # then no string can be an id
            if given not in self._texts:
                row = checked(CandidateFields, {"text": given}, where)
                self._texts[given] = OwnCandidate(self._folder.item(row, self._instruction, where))
            return self._texts[given]
        if given not in self._by_id:
            ids = [id_ for id_ in list(self._by_id)[:10_000] if len(id_) <= _NEAR]
            near = difflib.get_close_matches(given, ids, n=3, cutoff=0.5) if len(given) <= _NEAR else []
            hint = f"; near: {', '.join(near)}" if near else ""
            raise DataError(
                f"{where} is {given!r:.200}, which is no id in {self._file}{hint} (a text that is no id is an item: "
                '{"text": …})'
            )
        self._used.add(given)
        return self._by_id[given]

    def unused(self) -> tuple[str, ...]:
        """A warning where candidates of the file are in no pool."""
        left = 0 if self._all_used else len(self.all) - len(self._used)
        if not left or self._file is None:
            return ()
        return (f"{left} of {len(self.all)} candidates are in no query's pool",)

"""An entry before the others of its board are known: its scores, and what its means and footnotes are made of."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit.leaderboard.board import Entry, Mean
from evalkit.leaderboard.wording import shown
from evalkit.runs.manifest import TaskResult


@dataclass(frozen=True)
class Draft:
    """An entry that has no means and no ranks yet.

    Attributes:
        entry: its slug is the one it would like to have, until those of the others are known.
        identity: what it is, whatever else is on the board: two drafts of a board never have the same.
        samples: by the task's name, the per-query file and the result that it belongs to; complete tasks alone. Those
            of scores that stand apart because of their data are among them.
        means: by the group's key, those of a published row, without intervals; others are worked out.
        notes: by the group's key, what has to be said of that mean.
    """

    entry: Entry
    identity: str
    samples: Mapping[str, tuple[Path, TaskResult]] = field(default_factory=dict)
    means: Mapping[str, Mean] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plain_line(text: str) -> str:
    """A stranger's words in one line, without what would steer a terminal or turn the writing round."""
    return " ".join(shown(text).split())


def cut(text: str, longest: int) -> str:
    """A text of so many characters at most, the last one a mark where some are left out."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def with_slugs(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts, each with a slug of its own: the one it has, with a digest of its identity where two are alike.

    So an entry's slug changes only when another one comes or goes that has the same.
    """
    wanted = [draft.entry.slug for draft in drafts]
    counts = Counter(wanted)
    own = [
        slug if slug and counts[slug] == 1 else _with_digest(draft, 8)
        for slug, draft in zip(wanted, drafts, strict=True)
    ]
    if len(set(own)) != len(own):  # one ends in another one's digest
        own = [_with_digest(draft, 32) for draft in drafts]
    return [replace(draft, entry=replace(draft.entry, slug=slug)) for slug, draft in zip(own, drafts, strict=True)]


def slug_of(label: str) -> str:
    """Letters, digits and hyphens, at most 60, of a label; accents go, and so does what has no such letters."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:60].strip("-")


def _with_digest(draft: Draft, length: int) -> str:
    digest = hashlib.sha256(draft.identity.encode()).hexdigest()[:length]
    return "-".join(filter(None, (draft.entry.slug, digest)))

"""How pages write numbers, facts of cards and what strangers wrote: nothing here is HTML unless it says so."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from evalkit.leaderboard.board import Board, Citation, Entry, Facts, Mean, Score
from evalkit.suites.card import OWN, TaskCard

MISSING = "—"
PARTIAL = "†"
"""Beside a score of some of its task's queries."""
APART = {"other data": "‡", "claimed": "§"}
"""Beside a number that stands outside the ranking, by why it does."""
META_TASKS = {
    "classification": "Classification",
    "vqa": "Visual question answering",
    "retrieval": "Retrieval",
    "grounding": "Grounding",
    "visual-interactive": "Visual-interactive",
    "own": "Own",
}
DISTRIBUTIONS = {"ind": "in-distribution", "ood": "out-of-distribution", None: "not said"}
MODALITIES = {
    "image": "image",
    "text": "text",
    "image+text": "image and text",
    "image+region": "image with a region",
}
"""How the words of cards are written."""
_MINUS = "\N{MINUS SIGN}"
_LONG = 9  # letters that a narrow column has room for
_SHORT = 3  # letters that may stand in a line alone
_JOINERS = "\u200c\u200d"  # are part of words and of emoji, and turn nothing around
_PAGE = 60  # characters of a task's name that its page has
_PLAIN = rf"[a-z0-9]([a-z0-9._-]{{0,{_PAGE - 2}}}[a-z0-9])?"
_DIGEST = r"-[0-9a-f]{16}$"
_UNITS = {"M": 1, "B": 1000}  # in millions


def percent(value: float | None) -> str:
    """A fraction as percent with one decimal; a dash where there is none."""
    return MISSING if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign; what rounds to nothing has none."""
    if value is None:
        return MISSING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else minus(text)


def minus(text: str) -> str:
    """A formatted number with the sign that is as wide as a plus."""
    return text.replace("-", _MINUS)


def interval(low: float | None, high: float | None) -> str:
    """An interval of fractions, in percent."""
    return MISSING if low is None or high is None else f"{percent(low)}–{percent(high)}"


def signed_interval(low: float, high: float) -> str:
    """An interval of a difference, in percentage points."""
    return f"{signed(low)} to {signed(high)}"


def p_value(value: float | None) -> str:
    """A p-value, as far as anybody needs it."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def parameters(millions: float | None) -> str:
    """A number of parameters, in millions or billions."""
    if millions is None:
        return MISSING
    if millions < 999.5:
        return f"{millions:.3g} M"
    return f"{millions / 1000:.3g} B"


def whole(n: int | None) -> str:
    """A number of queries, dimensions and so on; a dash where it is not known."""
    return MISSING if n is None else f"{n:,}"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number and what there is of it."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def shown(text: str) -> str:
    """Text with everything escaped that is no character to be seen, such as what turns the direction of writing.

    Unlike :func:`evalkit.terminal.printable` it leaves alone what joins letters and emoji: a page isolates names.
    """
    return "".join(c if c.isprintable() or c in _JOINERS or c == "\n" else repr(c)[1:-1] for c in text)


def outside(url: str | None) -> str | None:
    """An address that a page may link to: https and a host, and nothing that a browser would read otherwise.

    Runs and published rows are strangers': ``javascript:`` is an address, too.
    """
    if not url or not url.isprintable() or re.search(r"[\s\\<>\"]", url):
        return None
    try:
        parts = urlsplit(url)
        return url if parts.scheme == "https" and parts.hostname else None
    except ValueError:
        return None


def path(*parts: str) -> str:
    """A file's path from the names of folders and file; it is the page's relative address, too.

    Raises:
        ValueError: a part that would lead elsewhere, or that an address would have to write otherwise.
    """
    if wrong := [part for part in parts if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", part)]:
        raise ValueError(f"{wrong[0]!r} cannot be part of a page's name: letters, digits, hyphens")
    return "/".join(parts)


def called(card: TaskCard) -> str:
    """A task's name on pages: without that of its suite; of an own task all of it, since another's may end alike."""
    return card.name if card.suite == OWN else card.subset


def file_part(card: TaskCard) -> str:
    """A task's name as part of the names of its pages.

    Own tasks are called as people like: two names may end alike, differ in capitals alone, which not every disk tells
    apart, or be longer than a file's may be. So a name that is not short, plain and in lower case has its digest in it.
    """
    if card.suite != OWN:
        return path(card.subset)
    if re.fullmatch(_PLAIN, card.name) and not re.search(_DIGEST, card.name):
        return card.name
    plain = re.sub(r"[^a-z0-9]+", "-", card.name.lower())[:_PAGE].strip("-")
    return f"{plain}-{hashlib.sha256(card.name.encode()).hexdigest()[:16]}"


def key(text: str) -> str:
    """A name of evalkit's own (a card's, a group's) as part of an identifier in a page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def breakable(name: str) -> Markup:
    """A task's name as HTML that may be broken in a narrow column: after a mark, in long parts before a capital."""
    parts: list[str] = []
    for part in re.split(r"(?<=[-_/])", name):
        if parts and len(part) < _SHORT:
            parts[-1] += part
        else:
            parts += re.split(r"(?<=[a-z])(?=[A-Z])", part) if len(part) > _LONG else [part]
    return Markup("<wbr>").join(escape(part) for part in parts)


def link(text: str, href: str | None) -> Markup:
    """A name of a stranger as HTML, isolated from the direction of what stands around it, with a link where it has one.

    Args:
        text: any.
        href: from :func:`path` or :func:`outside`.
    """
    name = f"<bdi>{escape(shown(text))}</bdi>"
    return Markup(name if href is None else f'<a href="{escape(href)}">{name}</a>')


def cite(source: Citation) -> Markup:
    """Where a number is from as HTML, with a link where it has an address that a page may link to."""
    return link(source.title, outside(source.url))


def ordered(board: Board) -> str:
    """In which order the entries of a board stand that has no means."""
    if len(board.cards) == 1:
        return "In the order of the scores."
    return (
        "In the order of how many of these tasks a model is first on, then second, and so on, then by name; nobody is "
        "ranked by it."
    )


def coverage(entry: Entry, tasks: int) -> str:
    """How many of a board's tasks an entry has a complete score on, and whether its source reports means besides.

    What is claimed alone is not counted.
    """
    done = f"{sum(score.complete and not score.claimed for score in entry.scores.values())}/{tasks}"
    if not any(mean.reported for mean in entry.means.values()):
        return done
    return f"{done} and means" if entry.scores else "means only"


def mark(number: Score | Mean) -> str:
    """The sign beside a number that is not like the others of its column; empty for most."""
    partial = PARTIAL if getattr(number, "complete", True) is False else ""
    return partial + (APART[number.apart.kind] if number.apart else "")


def origin(entry: Entry) -> str:
    """Measured, claimed or published, and what of it stands outside the ranking, in a few words."""
    kinds = {apart.kind for apart in entry.apart.values()}
    some = [kind for kind in ("other data", "claimed") if kind in kinds and kind != entry.kind]
    return ", ".join([entry.kind, *("partly claimed" if kind == "claimed" else kind for kind in some)])


def size(facts: Facts) -> float | None:
    """A model's size in millions of parameters: their number, else the size that its name says, 7B as 7 billion."""
    if facts.parameters is not None:
        return facts.parameters
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MB])", facts.size or "")
    return None if found is None else float(found[1]) * _UNITS[found[2]]


def size_class(facts: Facts) -> str:
    """Which of the sizes that a page filters by a model has."""
    millions = size(facts)
    if millions is None:
        return "unknown"
    return "small" if millions < 1000 else "middle" if millions < 4500 else "large"


SIZES = {"small": "under 1 B", "middle": "1 B to 4.5 B", "large": "over 4.5 B", "unknown": "unknown"}

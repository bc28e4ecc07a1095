"""What is found by name: entry points of installed packages, and registries that packages add to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint


class Named(Protocol):
    """Something that is found by its name."""

    @property
    def name(self) -> str:
        """Its name, as files and command lines have it."""
        ...


Thing = TypeVar("Thing", bound=Named)


class Registry(dict[str, Thing]):
    """Things of one kind by their names, in the order in which they were registered.

    Args:
        kind: what one of them is called.
        things: those that evalkit has itself.
    """

    def __init__(self, kind: str, *things: Thing) -> None:
        super().__init__()
        self.kind = kind
        self.update((thing.name, thing) for thing in things)
        self._own = frozenset(self)

    def register(self, thing: Thing) -> None:
        """Add one of another package, or put it in the place of its former self: a module may be imported anew.

        Raises:
            ValueError: evalkit has one of its name.
        """
        if thing.name in self._own:
            raise ValueError(f"evalkit has a {self.kind} {thing.name!r} itself: give this one another name")
        self[thing.name] = thing

    def named(self, name: str) -> Thing:
        """The one of this name.

        Raises:
            UsageError: there is none; names those that there are, and the nearest.
        """
        if name in self:
            return self[name]
        raise UsageError(f"{self.kind} {name!r} is not one of {', '.join(self)}{near_hint(name, self)}")


def near_hint(word: str, known: Iterable[str]) -> str:
    """The end of an error about a word that is none of those known: the nearest of them, three at most, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; near: {', '.join(near)}" if near else ""


def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, those of evalkit first; nobody can take one of their names."""
    from importlib.metadata import entry_points

    points = sorted(entry_points(group=group), key=lambda p: (not p.value.startswith("evalkit."), p.name, p.value))
    found: dict[str, EntryPoint] = {}
    for point in points:
        found.setdefault(point.name, point)
    return found

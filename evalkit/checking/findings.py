"""What a check found, and which of it follows from something else that it found: one cause is one failed finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.checking.calls import ITEMS_ALONE, RESULTS_ALONE, SHARED, Fault
from evalkit.checking.probes import MODALITIES

if TYPE_CHECKING:
    import pandas as pd

_SKIPPED = "skipped: "

Test = Callable[[], tuple[bool | None, str]]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was checked, ``MODALITY: CHECK``, ``region: KIND``, or the check alone.
        passed: the outcome; ``None`` where the check does not apply to this embedder, or was left out because
            another one failed.
        detail: what was found, with numbers; begins with ``not applicable`` or ``skipped`` where it was not tried.
    """

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, repr=False)
class Checked:
    """What a check found.

    Attributes:
        model: how the embedder is called.
        findings: one a check, in a fixed order.
    """

    model: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What failed."""
        return tuple(finding for finding in self.findings if finding.passed is False)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each check: ``check``, ``passed`` (missing where it was not tried) and ``found``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "check": pd.array([finding.name for finding in self.findings], dtype="string"),
                "passed": pd.array([finding.passed for finding in self.findings], dtype="boolean"),
                "found": pd.array([finding.detail for finding in self.findings], dtype="string"),
            }
        )

    def _repr_html_(self) -> str:
        """The table, for a notebook; pandas escapes what is in it."""
        return str(self.to_pandas().to_html(index=False, na_rep="not tried"))

    def __repr__(self) -> str:
        said = "".join(f"\n  {finding.name}: {finding.detail}" for finding in self.failures)
        return f"<{self.model}: {len(self.failures)} of {len(self.findings)} checks failed{':' if said else ''}{said}>"


class Report:
    """Findings as they come, and which of them follow from an earlier one."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}
        self._causes: dict[str, str] = {}  # of what failed or was skipped, the finding that says why
        self._alike: dict[tuple[str, str], str] = {}  # what failed, by check and kind of failure

    def failed(self, name: str) -> bool:
        """Whether a check failed, or was skipped because another one did."""
        return name in self._causes

    def has(self, name: str) -> bool:
        """Whether there is a finding of this name."""
        return name in self._found

    def says(self, name: str, passed: bool | None, detail: str) -> None:
        """Add a finding."""
        self._found[name] = Finding(name, passed, detail)
        if passed is False:
            self._causes[name] = name

    def tried(self, name: str, test: Test, after: Iterable[str] = ()) -> None:
        """Add what a test finds, unless one that it depends on failed."""
        cause = next((self._causes[earlier] for earlier in after if earlier in self._causes), None)
        if cause is not None:
            self._skipped(name, cause, f"see {cause}")
            return
        kind = ""
        try:
            passed, detail = test()
        except Fault as fault:
            passed, detail, kind = False, fault.detail, fault.label
            if kind in (ITEMS_ALONE, RESULTS_ALONE):  # a finding of its own, wherever it shows first
                if kind not in self._found:
                    self.says(kind, False, f"{detail} (seen in {name})")
                self._skipped(name, kind, f"see {kind}")
                return
        # An embedder is other people's code and may raise anything: that it does is what the check found.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            passed, detail = False, f"{type(error).__name__}: {error}"
            kind = f"raises {type(error).__name__}"
        if passed is False:
            label = "region" if name.startswith("region: ") else name.rpartition(": ")[2]
            if kind in SHARED:
                label = ""  # wherever it shows
            cause = self._alike.setdefault((label, kind), name)
            if cause != name:
                self._skipped(name, cause, f"fails as {cause} does, see there ({detail})")
                return
        self.says(name, passed, detail)

    def findings(self) -> list[Finding]:
        """All of them, those of one modality together."""
        groups = ["info", *(f"{modality}: " for modality in MODALITIES), "region: ", ""]
        return sorted(
            self._found.values(),
            key=lambda found: next(place for place, group in enumerate(groups) if found.name.startswith(group)),
        )

    def _skipped(self, name: str, cause: str, why: str) -> None:
        self._found[name] = Finding(name, None, _SKIPPED + why)
        self._causes[name] = cause

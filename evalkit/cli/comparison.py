"""A comparison on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.cli.tables import aligned
from evalkit.regression.verdicts.brief import HEADER, cells, counted, worst_first
from evalkit.terminal import one_line, percent

if TYPE_CHECKING:
    from evalkit.regression.baseline import Baseline
    from evalkit.regression.flips import Flip
    from evalkit.regression.gate import Gate

_QUIET = ("same", "inconclusive")


def gate_table(gate: Gate, *, answer: bool = True) -> str:
    """What was found, as text: the table, what needs a sentence, and the answer."""
    comparison = gate.comparison
    table = aligned([HEADER, *(cells(one) for one in gate.judged)], right=(1, 2, 3, 5, 6, 7, 8))
    title = f"{comparison.new.model} against {comparison.base.model} ({comparison.base.kind})"
    said = [
        f"{one.unit.name}: {one.verdict}: {one.why}"
        for one in worst_first(gate.judged)
        if one.fails or one.verdict not in _QUIET
    ]
    said += [f"{unit.name}: {note}" for unit in comparison.units for note in unit.notes]
    said += [f"{task}: not judged: {why}" for task, why in comparison.unjudged.items()]
    said += [f"differs: {name}: {base} and {new}" for name, (base, new) in comparison.facts.items()]
    said += [f"note: {note}" for note in gate.notes]
    parts = [one_line(f"{title}: P@1 in percent, differences in points"), table]
    parts += [counted(gate)] if gate.judged else []
    parts += [one_line(line) for line in said]
    if answer:
        parts.append(f"gate: {gate.answer}")
    return "\n".join(parts)


def flips_table(task: str, found: Sequence[Flip], limit: int) -> str:
    """The flipped queries of a task, as text."""
    lost = sum(flip.new_score < flip.base_score for flip in found)
    lines = [f"{one_line(task)}: {lost} queries lost, {len(found) - lost} won"]
    for flip in found[:limit]:
        lines += [
            "",
            f"{'lost' if flip.new_score < flip.base_score else 'won'}  {one_line(flip.id)}  "
            f"P@1 {percent(flip.base_score)} to {percent(flip.new_score)}",
            *(
                f"  {name:<6} {one_line(value)}"
                for name, value in (
                    ("image", flip.image),
                    ("text", flip.text),
                    ("label", flip.label),
                    ("base", flip.base_choice),
                    ("new", flip.new_choice),
                )
                if value is not None
            ),
        ]
    if len(found) > limit:
        lines += ["", f"and {len(found) - limit} more: --limit {len(found)} shows them"]
    return "\n".join(lines)


def baseline_table(baseline: Baseline) -> str:
    """The acceptances of a baseline, as text, the last one first."""
    rows = [["accepted", "model", "run", "evalkit", "tasks", "means", "reason"]]
    for one in reversed(baseline.history):
        means = ", ".join(f"{suite} {percent(value)}" for suite, value in one.means.items()) or "–"
        reason = one.reason + (f" (forced: {'; '.join(one.forced)})" if one.forced else "")
        rows.append([str(one.on), one.model, one.run_id, one.evalkit_version, str(one.tasks), means, reason])
    return aligned(rows, right=(4,))

"""Metrics for GitLab's merge requests: the OpenMetrics text format, one gauge a number."""

from __future__ import annotations

from evalkit.regression.gate import Gate


def metrics_text(gate: Gate) -> str:
    """Precision@1 and differences of all units, as fractions, and how many fail."""
    values = {
        "evalkit_precision_at_1": [(one.unit.name, one.unit.new) for one in gate.judged],
        "evalkit_difference": [(one.unit.name, one.unit.delta) for one in gate.judged],
    }
    lines = []
    for metric, found in values.items():
        lines.append(f"# TYPE {metric} gauge")
        lines += [f'{metric}{{name="{_escaped(name)}"}} {value!r}' for name, value in found if value is not None]
    lines += ["# TYPE evalkit_gate_failures gauge", f"evalkit_gate_failures {len(gate.failures)}", "# EOF"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

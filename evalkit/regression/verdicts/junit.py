"""JUnit XML: what Jenkins, GitLab, Azure and others read. A suite is a ``testsuite``, a unit a ``testcase``."""

from __future__ import annotations

from xml.etree import ElementTree

from evalkit.regression.gate import Gate, Judged
from evalkit.regression.verdicts.brief import interval, points
from evalkit.suites.card import OWN
from evalkit.terminal import one_line


def junit_xml(gate: Gate) -> bytes:
    """The gate as JUnit XML.

    A unit that fails is a ``failure``, or an ``error`` where the task itself failed; one that could not be compared is
    an ``error``, or ``skipped`` where that is allowed; an expected regression is ``skipped``.
    """
    root = ElementTree.Element("testsuites", name="evalkit gate")
    suites: dict[str, list[Judged]] = {}
    for one in gate.judged:
        suites.setdefault(_suite(one), []).append(one)
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for name, judged in suites.items():
        kinds = [_kind(one) for one in judged]
        counts = {
            "tests": len(judged),
            "failures": kinds.count("failure"),
            "errors": kinds.count("error"),
            "skipped": kinds.count("skipped"),
        }
        totals = {key: totals[key] + counts[key] for key in totals}
        texts = {key: str(count) for key, count in counts.items()}
        suite = ElementTree.SubElement(root, "testsuite", {"name": f"evalkit.{one_line(name)}", **texts})
        for one, kind in zip(judged, kinds, strict=True):
            _case(suite, name, one, kind)
    root.attrib |= {key: str(count) for key, count in totals.items()}
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _suite(one: Judged) -> str:
    """The suite of a unit; own tasks, which belong to none, stand together."""
    return one.unit.groups[0].split("/")[0] if one.unit.groups else OWN


def _kind(one: Judged) -> str:
    if one.verdict == "new_failure" or one.blocks:
        return "error"
    if one.fails:
        return "failure"
    return "skipped" if one.verdict in ("incomparable", "missing", "expected") else "passed"


def _case(suite: ElementTree.Element, name: str, one: Judged, kind: str) -> None:
    unit = one.unit
    classname = f"evalkit.{one_line(name)}.{unit.level}"
    case = ElementTree.SubElement(suite, "testcase", name=one_line(unit.name), classname=classname)
    said = one_line(one.why)
    if kind == "passed":
        out = ElementTree.SubElement(case, "system-out")
        out.text = f"{one.verdict}: {said}"
        return
    message = said if unit.paired is None else f"{points(unit.delta)} points [{interval(unit)}]: {said}"
    ElementTree.SubElement(case, kind, type=one.verdict, message=message)

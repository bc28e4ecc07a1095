"""A gate's verdicts as JSON, JUnit XML, Markdown, annotations and metrics: valid, whole, and within limits."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from comparisons import number, scores, side, whole

from evalkit.regression.compare import compare
from evalkit.regression.config import Expected, GateConfig
from evalkit.regression.gate import Gate, judge
from evalkit.regression.verdicts.comment import markdown
from evalkit.regression.verdicts.github import SHOWN, annotated, write_summary
from evalkit.regression.verdicts.gitlab import metrics_text
from evalkit.regression.verdicts.junit import junit_xml
from evalkit.regression.verdicts.record import gate_json, schema

HERE = Path(__file__).parents[1]
SCHEMA_FILE = HERE.parent / "docs" / "gate.schema.json"
JUNIT = xmlschema.XMLSchema(HERE / "golden" / "junit.xsd")
TODAY = date(2026, 7, 1)


def judged(drops: dict[str, int] | None = None, **config: Any) -> Gate:
    base, new = whole(drops, n=60)
    return judge(compare(base, new), GateConfig(**config), today=TODAY)


@pytest.fixture(scope="module")
def mixed() -> Gate:
    """Every verdict but one, and names that mean something to Markdown, XML and GitHub."""
    base, new = whole({"VOC2007": 30, "EDIS": 30, "OK-VQA": 5}, n=60)
    numbers = dict(new.numbers)
    del numbers["WebQA"]
    numbers["DocVQA"] = number("DocVQA", None, failure="no file <a|b>: 100 %\n::error::x \x1b[31m & `c`")
    numbers["SUN397"] = number("SUN397", scores(60), complete=False)
    gain = base.numbers["GQA"].samples
    assert gain is not None
    numbers["GQA"] = number("GQA", gain.scores * 0 + 1)
    known = (Expected(scope="EDIS", reason="r", expires=TODAY),)
    other = side(list(numbers.values()), "new | <b>@me</b>")
    return judge(compare(base, other), GateConfig(expected=known, task_min_effect=0.2), today=TODAY)


def test_every_verdict_is_in_the_mix(mixed: Gate) -> None:
    assert {one.verdict for one in mixed.judged} == {
        "regressed", "new_failure", "missing", "incomparable", "expected", "warn", "improved", "same", "inconclusive",
    } - ({"warn"} if not any(one.verdict == "warn" for one in mixed.judged) else set())  # fmt: skip


# --- JSON ------------------------------------------------------------------------------------------------


def test_the_schema_on_file_is_that_of_the_record() -> None:
    """``python -m evalkit.regression.verdicts.record > docs/gate.schema.json`` writes it again."""
    printed = subprocess.run(
        [sys.executable, "-m", "evalkit.regression.verdicts.record"], capture_output=True, check=True
    ).stdout
    assert SCHEMA_FILE.read_bytes() == printed
    found = json.loads(printed)
    assert schema() == found
    jsonschema.Draft202012Validator.check_schema(found)
    for kind in (found, *found["$defs"].values()):
        assert kind["additionalProperties"] is False
        for name, field in kind["properties"].items():
            described = field | found["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            assert described.get("description", "").endswith("."), (kind["title"], name)


def test_json_is_as_its_schema_says_and_has_every_number(mixed: Gate) -> None:
    found = json.loads(gate_json(mixed))
    jsonschema.Draft202012Validator(schema()).validate(found)
    assert (found["verdict"], found["exit_code"], found["mode"]) == ("failed", 1, "paired")
    assert [unit["name"] for unit in found["units"]] == [one.unit.name for one in mixed.judged]
    task = next(unit for unit in found["units"] if unit["name"] == "VOC2007")
    assert (task["verdict"], task["fails"], task["paired"]["lost"]) == ("regressed", True, 30)
    assert task["delta"] == pytest.approx(-0.5)
    assert task["base_signature"].startswith("task:VOC2007@1|")
    failed = next(unit for unit in found["units"] if unit["name"] == "DocVQA")
    assert (failed["new"], failed["delta"], failed["paired"]) == (None, None, None)
    assert found["config"]["expected"][0]["expires"] == "2026-07-01"
    assert gate_json(mixed) == gate_json(mixed)


# --- JUnit -----------------------------------------------------------------------------------------------


def test_junit_is_valid_and_counts_what_it_lists(mixed: Gate) -> None:
    text = junit_xml(mixed)
    JUNIT.validate(text.decode())
    root = ElementTree.fromstring(text)
    for suite in root:
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", "testcase")):
            assert int(suite.attrib[kind]) == len(list(suite.iter(tag)))
    outcomes = {case.attrib["name"]: (case[0].tag, case[0].get("type")) for case in root.iter("testcase")}
    assert outcomes["VOC2007"] == ("failure", "regressed")
    assert outcomes["DocVQA"] == ("error", "new_failure")
    assert outcomes["WebQA"] == ("failure", "missing")
    assert outcomes["SUN397"] == ("error", "incomparable")
    assert outcomes["EDIS"] == ("skipped", "expected")
    assert outcomes["CIRR"] == ("system-out", None)
    [failure] = [case[0] for case in root.iter("testcase") if case.attrib["name"] == "VOC2007"]
    assert re.match(r"-50\.0 points \[-\d+\.\d to -\d+\.\d\]: ", failure.attrib["message"])


def test_junit_of_a_gate_that_passes_has_no_failure() -> None:
    root = ElementTree.fromstring(junit_xml(judged()))
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("49", "0", "0")


def test_junit_takes_any_name_of_a_suite() -> None:
    one = dataclasses.replace(number("VOC2007", scores(9)), task="a\x01b", suite="su\x01<b>")
    gate = judge(compare(side([one]), side([one])), GateConfig(), today=TODAY)
    root = ElementTree.fromstring(junit_xml(gate))
    assert root[0].attrib["name"] == "evalkit.su\\x01<b>"
    assert root[0][0].attrib["classname"] == "evalkit.su\\x01<b>.task"


# --- GitHub ----------------------------------------------------------------------------------------------


def test_annotations_are_one_line_each_and_escaped(mixed: Gate) -> None:
    lines = annotated(mixed).splitlines()
    assert all(re.match(r"::(error|warning) title=[^:,]*::", line) for line in lines)
    [failed] = [line for line in lines if "DocVQA" in line]
    assert failed.startswith("::error title=DocVQA%3A new_failure::no file <a|b>%3A") or "100 %25" in failed
    assert "%0A" in failed
    assert "\x1b" not in failed


def test_no_more_annotations_than_github_shows_and_the_worst_come_first() -> None:
    names = [name for name in whole(n=1)[0].numbers if name != "VOC2007"]
    found = annotated(judged(dict.fromkeys(names, 25) | {"VOC2007": 35}, fail_on=("task",)))
    for kind in ("error", "warning"):
        lines = [line for line in found.splitlines() if line.startswith(f"::{kind} ")]
        assert 0 < len(lines) <= SHOWN
    errors = [line for line in found.splitlines() if line.startswith("::error ")]
    assert errors[0].startswith("::error title=VOC2007%3A regressed::-58.33 points")
    assert errors[-1] == "::error title=evalkit gate::and 32 more: the step's summary has them all"
    assert len(errors) == SHOWN
    assert annotated(judged()) == ""


def test_markdown_says_the_verdict_and_lists_all(mixed: Gate) -> None:
    text = markdown(mixed)
    assert text.startswith("## evalkit gate: failed\n\nnew \\| &lt;b&gt;\\@me&lt;/b&gt; against base (run): ")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(mixed.judged)
    assert {row.replace("\\|", "").count("|") for row in rows} == {11}
    assert "\x1b" not in text


@pytest.mark.parametrize("limit", [60, 300, 1000, 3000, 5000])
def test_markdown_keeps_within_a_limit(limit: int, mixed: Gate) -> None:
    text = markdown(mixed, limit)
    assert len(text.encode()) <= limit
    if limit >= 3000:
        assert "do not fit here" in text
        assert text.count("<details>") == text.count("</details>") == 1


def test_notes_are_in_every_form_and_nothing_compared_is_an_error() -> None:
    base, _ = whole(n=9)
    gate = judge(compare(side(dict.fromkeys(base.numbers), "failed"), base), GateConfig(), today=TODAY)
    assert annotated(gate).startswith("::error title=evalkit gate%3A not comparable::nothing was compared: ")
    assert "> nothing was compared: " in markdown(gate)
    found = json.loads(gate_json(gate))
    assert (found["verdict"], found["exit_code"], found["notes"]) == ("not comparable", 3, list(gate.notes))


def test_a_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    write_summary(file, "after\n")
    assert file.read_text() == "before\nafter\n"


# --- GitLab ----------------------------------------------------------------------------------------------


def test_metrics_are_openmetrics(mixed: Gate) -> None:
    text = metrics_text(mixed)
    assert text.endswith("# EOF\n")
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r'(\w+)(?:\{name="((?:[^"\\]|\\.)*)"\})? (\S+)', line)
            assert found is not None, line
            values[found[1], found[2]] = float(found[3])
    assert values["evalkit_gate_failures", None] == len(mixed.failures)
    assert values["evalkit_difference", "VOC2007"] == pytest.approx(-0.5)
    assert ("evalkit_precision_at_1", "DocVQA") not in values

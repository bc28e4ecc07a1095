"""Schema versions: older files are migrated step by step, newer ones refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import run

from evalkit.errors import ResultsError
from evalkit.runs import runfolder as results
from evalkit.runs.runfolder import read_run
from evalkit.runs.versions import VersionError, in_version


def one(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"schema_version": 1, "b": data["a"]}


def two(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"schema_version": 2, "b": data["b"] + 1}


def written(**fields: Any) -> bytes:
    return json.dumps({"schema": "s"} | fields).encode()


def test_versions_are_migrated_step_by_step() -> None:
    found = json.loads(in_version(written(schema_version=0, a=1), "s", 2, {0: one, 1: two}))
    assert found == {"schema": "s", "schema_version": 2, "a": 1, "b": 2}
    assert json.loads(in_version(written(schema_version=1, b=1), "s", 2, {0: one, 1: two}))["b"] == 2


def test_the_version_itself_is_left_as_it_is() -> None:
    text = b'{ "schema": "s", "schema_version": 2 }'
    assert in_version(text, "s", 2, {}) is text


def test_newer_ones_and_those_without_a_way_are_refused() -> None:
    with pytest.raises(VersionError, match="it is 3, written by a newer evalkit: update evalkit"):
        in_version(written(schema_version=3), "s", 2, {0: one, 1: two})
    with pytest.raises(VersionError, match="it is 0, which this evalkit cannot migrate to 2: make the file anew"):
        in_version(written(schema_version=0, a=1), "s", 2, {0: one})
    with pytest.raises(VersionError, match="it is -1"):
        in_version(written(schema_version=-1), "s", 2, {0: one, 1: two})


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b'{"schema_version": 9}', b'{"schema": "t", "schema_version": 9}',
             b'{"schema": "s", "schema_version": true}', b'{"schema": "s", "schema_version": "9"}', b"[" * 100_000]
)  # fmt: skip
def test_what_is_no_such_file_is_left_to_its_reader(text: bytes) -> None:
    assert in_version(text, "s", 2, {}) is text


def test_runs_of_an_older_schema_are_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a step as a next version would bring it; there has been none yet."""
    assert run(tmp_path, "constant", tasks="example/Shapes") == 0
    [file] = tmp_path.glob("*/*/run.json")
    data = json.loads(file.read_text())
    old = data | {"schema_version": 0, "model_name": data["model"]["name"]}
    file.write_text(json.dumps(old))
    with pytest.raises(ResultsError, match=r"run\.json is not a run of schema version 1: schema_version: it is 0"):
        read_run(file.parent)

    def step(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key != "model_name"} | {"schema_version": 1}

    monkeypatch.setattr(results, "MIGRATIONS", {0: step})
    assert read_run(file.parent).model.name == "constant"


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 1}', b'{"x": [{"b": {"c": 1, "d": 2, "c": 3}}]}'])
def test_a_key_that_is_there_twice_is_refused(text: bytes) -> None:
    with pytest.raises(VersionError, match=r"the key '[ac]' is there twice in one object"):
        in_version(text, "s", 1, {})

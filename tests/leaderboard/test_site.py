"""A site on disk: what is ours is replaced or removed, what is not stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.leaderboard.site import MANIFEST, publish


def site(**files: str) -> dict[str, Callable[[], bytes]]:
    return {name.replace("__", "/"): lambda text=text: text.encode() for name, text in files.items()}


def there(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_site_is_written_and_listed(tmp_path: Path) -> None:
    out = tmp_path / "new/site"
    publish(site(index="1", a__b="2"), out)
    assert {name: text for name, text in there(out).items() if name != MANIFEST} == {"index": "1", "a/b": "2"}
    listed = json.loads((out / MANIFEST).read_text())
    assert listed["schema"] == "evalkit.site"
    assert sorted(listed["files"]) == ["a/b", "index"]
    before = there(out)
    publish(site(index="1", a__b="2"), out)
    assert there(out) == before


def test_what_an_older_site_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    publish(site(index="1", old__deep__page="2", old__changed="3", kept="4"), tmp_path)
    (tmp_path / "old/changed").write_text("by hand")
    (tmp_path / "theirs").write_text("5")
    publish(site(index="6", kept="4"), tmp_path)
    found = there(tmp_path)
    del found[MANIFEST]
    assert found == {"index": "6", "kept": "4", "old/changed": "by hand", "theirs": "5"}
    assert not (tmp_path / "old/deep").exists()
    publish(site(index="6"), tmp_path)
    assert (tmp_path / "old/changed").read_text() == "by hand"  # and it is no longer ours


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("thesis")
    with pytest.raises(UsageError, match=r"index is there and was not written by evalkit: name another folder"):
        publish(site(first="1", index="2"), tmp_path)
    assert there(tmp_path) == {"index": "thesis"}


def test_a_killed_one_is_gone_on_with(tmp_path: Path) -> None:
    def killed() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(site(index="1") | {"page": killed, **site(last="3")}, tmp_path)
    assert (tmp_path / "index").read_text() == "1"
    publish(site(index="1", page="2", last="3"), tmp_path)
    publish(site(index="1"), tmp_path)
    assert sorted(there(tmp_path)) == [MANIFEST, "index"]


@pytest.mark.parametrize(
    "content", ["{", '{"schema": "x"}', '{"files": {"../a": null}}', '{"files": {"/etc/a": null}}']
)
def test_a_list_that_is_not_ours_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UsageError, match=MANIFEST):
        publish(site(index="1"), tmp_path)
    assert there(tmp_path) == {MANIFEST: content}


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "", "a//b", "./a", MANIFEST])
def test_no_path_leaves_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no path of a site"):
        publish({name: lambda: b""}, tmp_path / "site")
    assert not (tmp_path / "site").exists()

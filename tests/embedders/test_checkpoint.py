"""Finding checkpoints without a connection, digesting their files, picking devices."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.embedders.checkpoint import (
    Checkpoint,
    digest_files,
    read_json,
    resolve,
    vector_files,
    weight_files,
)
from evalkit.errors import EmbedderError, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds owner/tiny: branch main at COMMIT, and OTHER beside it."""
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for commit in (COMMIT, OTHER):
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "owner" / "my model"
    folder.mkdir(parents=True)
    assert resolve(str(folder)) == Checkpoint("my model", folder, None)


def test_a_hub_repository_comes_from_the_cache(hub: Path) -> None:
    found = resolve("owner/tiny")
    assert (found.name, found.revision) == ("owner/tiny", COMMIT)
    assert found.folder == hub / "models--owner--tiny" / "snapshots" / COMMIT
    assert resolve("owner/tiny", "main").revision == COMMIT
    assert resolve("owner/tiny", OTHER).revision == OTHER


def test_a_snapshot_folder_knows_its_repository(hub: Path) -> None:
    folder = hub / "models--owner--tiny" / "snapshots" / COMMIT
    assert resolve(str(folder)) == Checkpoint("owner/tiny", folder, COMMIT)
    assert resolve(str(folder), COMMIT).revision == COMMIT
    with pytest.raises(UsageError, match=f"is the snapshot of {COMMIT}"):
        resolve(str(folder), OTHER)


@pytest.mark.parametrize(
    ("path", "revision", "says"),
    [
        ("owner/absent", None, r"`hf download owner/absent` first, or pass a folder"),
        ("absent", None, r"`hf download absent` first"),
        ("owner/tiny", "v2", r"at revision v2 .*`hf download owner/tiny --revision v2` first"),
        ("./absent", None, "does not exist, and './absent' is no name of a hub repository"),
        ("a/b/c", None, "does not exist"),
        ("owner/a..b", None, "neither a folder nor the name of a hub repository"),
    ],
)
def test_what_is_not_there(hub: Path, path: str, revision: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        resolve(path, revision)


def test_a_snapshot_known_to_lack_small_files_is_refused(hub: Path) -> None:
    """The cache of newer hub libraries lists what a snapshot should hold."""
    from huggingface_hub import _snapshot_download

    write = getattr(_snapshot_download, "write_tree_cache", None)
    if write is None:
        pytest.skip("this huggingface_hub keeps no list of a snapshot's files")
    entry = _snapshot_download.TreeCacheEntry(size=2, blob_id="0", lfs_sha256=None, lfs_size=None, xet_hash=None)
    folder = str(hub / "models--owner--tiny")
    write(folder, COMMIT, {"config.json": entry, "flax_model.msgpack": entry, "onnx/model.json": entry})
    assert resolve("owner/tiny").revision == COMMIT  # the rest is not needed
    write(folder, COMMIT, {"config.json": entry, "merges.txt": entry})
    with pytest.raises(UsageError, match=r"only in part in the cache.*`hf download owner/tiny` first"):
        resolve("owner/tiny")


def test_a_plain_folder_has_no_revision_and_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a plain folder, which has no revisions"):
        resolve(str(tmp_path), "main")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file: pass the folder"):
        resolve(str(tmp_path / "model.safetensors"))


def test_vector_files_are_those_that_move_vectors(tmp_path: Path) -> None:
    ours = ("config.json", "merges.txt", "model.safetensors", "spiece.model", "sub/adapter_model.bin", "tokenizer.json")
    others = (
        "README.md",
        "LICENSE.txt",
        ".gitattributes",
        ".git/config.json",
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model.bin.index.json",
        "tf_model.h5",
        "flax_model.msgpack",
        "onnx/config.json",
        "optimizer.pt",
        "training_args.bin",
        "checkpoint-500/model.safetensors",
        "picture.png",
    )
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [file.relative_to(tmp_path).as_posix() for file in vector_files(tmp_path)] == list(ours)
    (tmp_path / "model.safetensors").unlink()
    names = [file.name for file in vector_files(tmp_path)]
    assert "pytorch_model.bin" in names, "without safetensors the pickled weights are the weights"


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "config.json").write_text("{}")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "real")
    (folder / "up").symlink_to(folder)
    assert [file.relative_to(folder).as_posix() for file in vector_files(folder)] == ["linked/config.json"]


def test_digest_is_what_sha256sum_says(clip_folder: Path) -> None:
    names = [file.relative_to(clip_folder).as_posix() for file in vector_files(clip_folder)]
    lines = "".join(f"{hashlib.sha256((clip_folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert digest_files(clip_folder) == hashlib.sha256(lines.encode()).hexdigest()
    if shutil.which("sha256sum"):
        printed = subprocess.run(["sha256sum", *names], cwd=clip_folder, capture_output=True, check=True).stdout
        assert digest_files(clip_folder) == hashlib.sha256(printed).hexdigest()


def test_digest_moves_with_content_and_names_only(clip_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "elsewhere"))
    before = digest_files(copy)
    assert before == digest_files(clip_folder) == Checkpoint("x", clip_folder).digest
    os.utime(copy / "config.json", (0, 0))
    (copy / "README.md").write_text("words")
    assert digest_files(copy) == before
    (copy / "merges.txt").rename(copy / "merged.txt")
    renamed = digest_files(copy)
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert len({before, renamed, digest_files(copy)}) == 3


def test_a_file_that_vanished_from_the_cache_is_named(clip_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    (copy / "merges.txt").unlink()
    (copy / "merges.txt").symlink_to(tmp_path / "blob")
    with pytest.raises(UsageError, match=r"merges\.txt cannot be read"):
        digest_files(copy)


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _outside(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), UsageError, "has no weights: none of"),
        (_truncate, EmbedderError, r"model\.safetensors is truncated or broken"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), EmbedderError, "truncated or broken"),
        (_index, UsageError, r"model-00001-of-00001\.safetensors, which .*index\.json names, is missing"),
        (_outside, UsageError, "outside its folder: refused"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text("{}"),
            UsageError,
            "has no weight_map",
        ),
    ],
)
def test_broken_weights_are_named(
    clip_folder: Path, tmp_path: Path, spoil: Callable[[Path], None], kind: type[Exception], says: str
) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    assert weight_files(resolve(str(copy))) == [copy / "model.safetensors"]
    spoil(copy)
    with pytest.raises(kind, match=says):
        weight_files(resolve(str(copy)))


def test_safetensors_come_before_pickles(tmp_path: Path, clip_folder: Path) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    (copy / "pytorch_model.bin").write_bytes(b"pickle")
    assert [file.name for file in weight_files(resolve(str(copy)))] == ["model.safetensors"]
    (copy / "model.safetensors").unlink()
    assert [file.name for file in weight_files(resolve(str(copy)))] == ["pytorch_model.bin"]


def test_the_way_out_names_the_revision(hub: Path) -> None:
    with pytest.raises(UsageError, match=f"hf download owner/tiny --revision {COMMIT} --force-download"):
        weight_files(resolve("owner/tiny"))


@pytest.mark.parametrize("content", ["", "{", "[]", "\ufeff[]"])
def test_json_that_is_no_object(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json .*: do this"):
        read_json(tmp_path / "config.json", way_out="do this")

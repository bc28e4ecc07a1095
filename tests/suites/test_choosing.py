"""Choosing tasks: installed ones by name, people's own by their folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from ownfolders import write_folder

from evalkit.errors import UsageError
from evalkit.suites.card import TaskCard
from evalkit.suites.selecting import as_selector, chosen_tasks, data_of, select_tasks
from evalkit.suites.task import Task, card_of


def own(place: Path, name: str | None = None) -> Path:
    """A task's folder, called like its folder."""
    return write_folder(place, card=f'name = "{name or place.name}"\ntitle = "t"\n')


def names(*selectors: str) -> list[str]:
    return [card_of(task).name for task in chosen_tasks(selectors)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    "selector", ["./mine", "mine", "./mine/", "{}/mine", "~/../mine", "../{name}/mine", " ./mine "]
)
def test_a_folder_is_a_selector(selector, here):
    own(here / "mine")
    (here / "home").mkdir()
    (task,) = chosen_tasks([selector.format(here, name=here.name)])
    assert isinstance(task, Task)
    assert task.card.name == "mine"


def test_installed_names_win_over_folders_that_are_there(here):
    for place in ("example", "mmeb/vqa", "ImageNet-1K", "all", "example/Shapes"):
        own(here / place, place.replace("/", "-") + "-mine")
    for selector in ("example", "mmeb/vqa", "ImageNet-1K", "all", "example/Shapes"):
        assert chosen_tasks([selector]) == select_tasks([selector])
    assert names("./mmeb/vqa", "./example", str(here / "all")) == ["mmeb-vqa-mine", "example-mine", "all-mine"]


def test_own_tasks_come_last_in_their_order_and_once(here):
    for name in ("b", "a"):
        own(here / name)
    found = names("./b", "example/Shapes,./a", "mmeb/grounding", "b", f"{here}/a")
    assert found == [*(card.name for card in select_tasks(["mmeb/grounding", "example/Shapes"])), "b", "a"]
    kinds = [type(task) for task in chosen_tasks(["./b,example/Shapes"])]
    assert kinds == [TaskCard, Task]


def test_a_comma_in_a_folder_that_exists(here):
    own(here / "x,y", "comma")
    own(here / "x", "x")
    own(here / "with, space", "space")
    assert names("./x,y") == names("x,y") == ["comma"]
    assert names("./x,./x,y,example/Shapes") == ["example/Shapes", "x", "comma"]
    assert names("with, space,x") == ["space", "x"]
    assert names("./x,") == ["x"]


def test_a_glob_of_folders(here):
    for name in ("b", "a", "c"):
        own(here / "tasks" / name)
    (here / "tasks/README.md").touch()
    own(here / "tasks [old]", "old")
    assert names("./tasks/*") == ["a", "b", "c"]
    assert names(f"{here}/tasks/[ab],./tasks [old]") == ["a", "b", "old"]
    with pytest.raises(UsageError, match=r"^no/\* does not exist"):
        chosen_tasks(["./no/*"])
    (here / "tasks/d").mkdir()
    with pytest.raises(UsageError, match=r"^tasks/d is no task of your own"):
        chosen_tasks(["./tasks/*"])


def test_a_comma_never_steals_names(here):
    own(here / "mmeb,scar", "both")
    assert chosen_tasks(["mmeb,scar"]) == select_tasks(["mmeb", "scar"])
    assert names("./mmeb,scar") == ["both"]


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("./no", r"^no does not exist as a folder \(evalkit new task no writes a task there\)$"),
        ("~/no", r"/home/no does not exist"),
        ("./file/card.toml", r"card.toml is a file: name the task's folder, file$"),
        ("file/card.toml", r"card.toml is a file: name the task's folder, file$"),
        ("other", r"^other is no task of your own: it has no card.toml \(it has notes.txt\)"),
        ("mine", r"^no task, group or suite is called 'mine'"),
        ("tasks/mine", r"called 'tasks/mine', and tasks/mine is no folder"),
        ("./bad", r"^bad/card.toml: title is missing$"),
        ("", r"^no task is named"),
    ],
)  # fmt: skip
def test_what_is_no_task(selector, said, here):
    own(here / "file")
    (here / "other").mkdir()
    (here / "other/notes.txt").touch()
    write_folder(here / "bad", card='name = "bad"')
    with pytest.raises(UsageError, match=said):
        chosen_tasks([selector])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ImageNet-1K", "a task of mmeb"),
        ("SCaR/ADE20K", "a task of scar"),
        ("mmeb", "a group or suite of mmeb"),
        ("mmeb/vqa", "a group or suite of mmeb"),
        ("all", "the selector of all published tasks"),
        ("own", "the suite of own tasks"),
    ],
)  # fmt: skip
def test_the_name_of_what_is_installed(name, said, here):
    own(here / "mine", name)
    with pytest.raises(UsageError, match=f"^mine is called {name!r}, and so is {said}: give it another name"):
        chosen_tasks(["./mine"])


def test_two_own_tasks_of_one_name(here):
    for place in ("one", "other"):
        own(here / place, "same")
    with pytest.raises(UsageError, match=r"^other is called 'same', and so is one: give it another name in its card"):
        chosen_tasks(["./one,./other"])


@pytest.mark.parametrize("folder", ["mine", "/x/mine", "~/mine", "../mine", "./mine", "a,b", "mmeb"])
def test_a_folder_as_a_selector(folder, here):
    assert as_selector(Path(folder)) in (folder, f"./{folder}")
    if not folder.startswith("/x"):
        place = Path(folder).expanduser()
        own(place, "mine")
        assert names(as_selector(Path(folder))) == ["mine"]


def test_data_where_it_is_needed(here):
    own(here / "mine")
    alone, mixed = chosen_tasks(["./mine"]), chosen_tasks(["./mine", "example"])
    assert data_of(alone, None, ()) is None
    folder = data_of(alone, here, ())
    assert folder is not None
    assert folder.root == here
    with pytest.raises(UsageError, match=r"^--data is missing: example/Shapes and 3 more are read from a data folder"):
        data_of(mixed, None, ())
    with pytest.raises(UsageError, match=r"^--data is missing: example/Shapes is read from"):
        data_of(chosen_tasks(["example/Shapes"]), None, ())
    with pytest.raises(UsageError, match="--images pictures: the images of your own tasks are in their folders"):
        data_of(alone, None, [Path("pictures")])
    with pytest.raises(UsageError, match="data folder no does not exist"):
        data_of(alone, Path("no"), ())

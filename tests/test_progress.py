"""What a person sees: bars on a terminal, a plain line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from evalkit import progress as module
from evalkit.progress import Progress


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def test_plain_line_at_most_every_thirty_seconds(clock):
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.run("random", 3):
        with progress.task("ImageNet-1K"):
            progress.expect(100)
            for _ in range(100):  # 100 items in 100 seconds
                clock.now += 1
                progress.advance(1)
        assert stream.getvalue().splitlines() == [
            "ImageNet-1K (task 1 of 3): 30 of 100 items, 1.0 items/s",
            "ImageNet-1K (task 1 of 3): 60 of 100 items, 1.0 items/s",
            "ImageNet-1K (task 1 of 3): 90 of 100 items, 1.0 items/s",
        ]
        stream.truncate(0)
        stream.seek(0)
        with progress.task("SUN397"):
            progress.expect(10)
            progress.expect(5)  # candidates come after the queries
            clock.now += 29.9
            progress.advance(4)
            assert stream.getvalue() == ""  # the clock of a line begins with the task
            clock.now += 30.1
            progress.advance(2)
        assert stream.getvalue() == "SUN397 (task 2 of 3): 6 of 15 items, 0.1 items/s\n"


def test_short_work_says_nothing_of_itself(clock):
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.run("random", 1), progress.task("a"):
        progress.expect(5)
        clock.now += 29
        progress.advance(5)
    assert stream.getvalue() == ""


def test_lines_of_others_are_passed_on():
    stream = io.StringIO()
    progress = Progress(stream)
    progress.say("before")
    with progress.run("random", 1), progress.task("a"):
        progress.say("within")
    assert stream.getvalue() == "before\nwithin\n"


def test_results_of_tasks_may_be_left_out():
    for results, said in ((True, "a result\na failure\n"), (False, "a failure\n")):
        stream = io.StringIO()
        progress = Progress(stream, results=results)
        with progress.run("random", 1), progress.task("a"):
            progress.result("a result")
            progress.say("a failure")
        assert stream.getvalue() == said


def test_quiet_says_nothing_at_all(clock):
    stream = io.StringIO()
    progress = Progress(stream, quiet=True)
    with progress.run("random", 1), progress.task("a"):
        progress.expect(5)
        clock.now += 100
        progress.advance(5)
        progress.say("anything")
    assert stream.getvalue() == ""


def on_terminal(quiet: bool) -> str:
    """What a terminal is sent in a run of one task."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        progress = Progress(terminal, quiet=quiet)
        with progress.run("random", 2), progress.task("ImageNet-1K"):
            progress.expect(4)
            progress.advance(1)
            progress.say("a line of its own")
            progress.advance(3)
        if quiet:
            terminal.write(".")  # or else there is nothing to read
    sent = b""
    try:
        while part := os.read(master, 65536):
            sent += part
    except OSError:  # this is how Linux ends a terminal that nobody writes to any more
        pass
    finally:
        os.close(master)
    return sent.decode()


def test_terminal_shows_a_bar_for_the_run_and_one_for_the_task():
    sent = on_terminal(quiet=False)
    assert "random:   0%" in sent
    assert "0/2" in sent
    assert "random:  50%" in sent
    assert "ImageNet-1K:" in sent
    assert "/4" in sent
    assert "a line of its own\r\n" in sent
    assert "task 1 of" not in sent  # no plain lines beside the bars


def test_a_notebook_without_widgets_has_one_bar_that_stays_on_its_line(clock, monkeypatch):
    """Its cells go back to the begin of a line, and to no line above."""
    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.run("random", 2):
        for name in ("ImageNet-1K", "SUN397"):
            with progress.task(name):
                progress.expect(10)
                for _ in range(10):
                    clock.now += 1
                    progress.advance(1)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert shown.index("\n") == len(shown) - 1
    seen = [line.rstrip() for line in shown.split("\r")]
    assert any("random" in line and line.endswith("SUN397: 4 of 10 items]") for line in seen), seen
    assert "2/2" in seen[-1]
    assert "items" not in seen[-1]


def test_quiet_terminal_stays_empty():
    assert on_terminal(quiet=True) == "."


def test_an_error_passes_and_the_next_run_begins_anew(clock):
    stream = io.StringIO()
    progress = Progress(stream)

    def fail() -> None:
        with progress.run("random", 2), progress.task("a"):
            progress.expect(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with progress.run("constant", 1), progress.task("b"):
        progress.expect(1)
        clock.now += 30
        progress.advance(1)
    assert stream.getvalue() == "b (task 1 of 1): 1 of 1 items, 0.0 items/s\n"

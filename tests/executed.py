"""Pages as programs: their blocks of shell and Python are executed from top to bottom, and their output is compared.

* ``sh``: every command, one after the other, as ``bash -e`` does; those of evalkit in this process.
* ``python``: executed, with the names of the page's earlier blocks. If the text before it ends in the name of a file,
  "`my_model.py`:", that file is written instead.
* ``text``: what the block before it has printed, to the letter.

A block that cannot be run is marked on the page: a line ``*Not run in CI: REASON.*`` stands before it. Blocks of other
languages, and of none, are no output.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders import command
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

LANGUAGES = ("sh", "python", "text")
_MARK = re.compile(r"^\*Not run in CI: ([^*]+)\.\*\s*\Z", re.MULTILINE)
_FILE = re.compile(r"`([\w/]+\.py)`:\s*\Z")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: of ``LANGUAGES``.
        number: among those of its language on the page, from 1.
        line: where it stands, from 1.
        text: what is in it.
        reason: why it is not run; ``None`` where it is.
        file: the file that it is; ``None`` where it is none.
        example: as sybil found it.
    """

    language: str
    number: int
    line: int
    text: str
    reason: str | None
    file: str | None
    example: Example


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order, all with one namespace."""
    parsers = [CodeBlockParser(language, _evaluated) for language in LANGUAGES]
    document = Document.parse(str(page), *parsers)
    count = dict.fromkeys(LANGUAGES, 0)
    for example in document.examples():
        language = str(example.region.lexemes["arguments"])
        count[language] += 1
        before = document.text[: example.region.start]
        mark, file = _MARK.search(before), _FILE.search(before)
        yield Block(
            language,
            count[language],
            example.line,
            str(example.parsed),
            " ".join(mark[1].split()) if mark else None,
            file[1] if file and language == "python" else None,
            example,
        )


@dataclass
class Shell:
    """A folder in which commands are run.

    Attributes:
        place: the folder.
        env: what they find in their environment beside this process's.
    """

    place: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, block: str) -> tuple[int, str]:
        """Exit code and output of a block of shell, which ends with the first command that fails."""
        said, code = "", 0
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            if words[0] == "evalkit" and not re.search(r"&&|[|;]", line):
                code, printed = self._evalkit(words[1:])
            else:
                shell = ["bash", "-eo", "pipefail", "-c", line]
                env = os.environ | self.env | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
                done = subprocess.run(shell, cwd=self.place, env=env, capture_output=True, text=True, check=False)
                code, printed = done.returncode, done.stdout + done.stderr
            said += printed
            if code:
                break
        return code, said

    def _evalkit(self, words: list[str]) -> tuple[int, str]:
        target = self.place / words.pop() if ">" in words else None
        if target is not None:
            words.remove(">")
        with contextlib.chdir(self.place), printing() as output, printing(error=True) as errors:
            code = command(*words)
        if target is None:
            return code, output.said + errors.said
        target.write_text(output.said, encoding="utf-8")
        return code, errors.said


class Output(io.TextIOWrapper):
    """What is written to standard output or standard error, with the bytes below it that evalkit writes to."""

    @property
    def said(self) -> str:
        """All of it."""
        self.flush()
        kept: Any = self.buffer
        return str(kept.getvalue().decode())


@contextlib.contextmanager
def printing(*, error: bool = False) -> Iterator[Output]:
    """Take what is printed."""
    output = Output(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stderr(output) if error else contextlib.redirect_stdout(output):
        yield output


def execute(page: Path, shell: Shell, elsewhere: Container[tuple[str, int]] = ()) -> Iterator[tuple[Block, str]]:
    """Execute a page in a folder.

    Args:
        page: the page.
        shell: with the folder.
        elsewhere: blocks, by language and number, that another test executes.

    Yields:
        Each block that is executed, with its output; of a block of output, with that which it is about.

    Raises:
        AssertionError: a command that fails; with page and line.
    """
    said = ""
    for block in blocks_of(page):
        if block.reason is not None or (block.language, block.number) in elsewhere:
            continue
        if block.language == "sh":
            code, said = shell.run(block.text)
            assert code == 0, f"{page}:{block.line}: exit code {code}\n{said}"
        elif block.file is not None:
            (shell.place / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            with contextlib.chdir(shell.place), printing() as output:
                block.example.evaluate()
            said = output.said
        yield block, said


_python = PythonEvaluator()


def _evaluated(example: Example) -> None:
    _python(example)

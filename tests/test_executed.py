"""What executes pages: each kind of block, and that nothing passes which fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from executed import Shell, blocks_of, execute

from evalkit.example import DATA


def page(place: Path, text: str) -> Path:
    file = place / "page.md"
    file.write_text(text)
    return file


def ran(place: Path, text: str) -> list[tuple[str, str]]:
    """Language and output of what was executed."""
    return [(block.language, said) for block, said in execute(page(place, text), Shell(place))]


def test_blocks_share_a_folder_and_names(tmp_path: Path) -> None:
    text = """
It is kept in `words.py`:

```python
WORDS = "of a file"
```

```python
from pathlib import Path

number = 2
```

```sh
cat words.py   # a comment
echo "a # b" > kept
```

```python
print(number + 1, Path("kept").read_text())
```

```text
3 a # b
```
"""
    assert ran(tmp_path, text) == [
        ("python", ""),
        ("python", ""),
        ("sh", 'WORDS = "of a file"\n'),
        ("python", "3 a # b\n\n"),
        ("text", "3 a # b\n\n"),
    ]


def test_commands_of_evalkit_run_in_this_process_and_may_be_redirected(tmp_path: Path) -> None:
    text = f"""
```sh
evalkit tasks example \\
    --json > tasks.json
evalkit inspect example/Shapes --data {DATA} --limit 1
evalkit no-such || echo "exit code $?"
```
"""
    [(_, said)] = ran(tmp_path, text)
    assert (tmp_path / "tasks.json").read_text().startswith("[")
    assert said.startswith("query ")
    assert "\nexit code 2\n" in said


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```sh\nfalse\n```", r"page\.md:1: exit code 1"),
        ("# A page\n\n```sh\ntrue | false | true\necho later\n```", r"page\.md:3: exit code 1"),
        ("```sh\nevalkit tasks no-such\necho later\n```", r"page\.md:1: exit code 2"),
    ],
)
def test_what_fails_is_said_with_its_place(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=error) as caught:
        ran(tmp_path, text)
    assert "later" not in str(caught.value)


def test_an_error_of_python_is_that_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        ran(tmp_path, "# A page\n\n```python\n1\n1 / 0\n```\n")
    last = caught.traceback[-1]
    assert (Path(last.path), last.lineno + 1) == (tmp_path / "page.md", 5)


def test_marks_stand_right_before_their_block(tmp_path: Path) -> None:
    text = """
*Not run in CI: it takes
long.*

```sh
false
```

*Not run in CI: of nothing.*

A paragraph between.

```sh
true
```

```text
nothing
```

```
no output, as it has no language
```

~~~sh
exit 3
~~~
"""
    found = [(block.language, block.number, block.reason) for block in blocks_of(page(tmp_path, text))]
    assert found == [("sh", 1, "it takes long"), ("sh", 2, None), ("text", 1, None), ("sh", 3, None)]
    with pytest.raises(AssertionError, match="exit code 3"):
        ran(tmp_path, text)

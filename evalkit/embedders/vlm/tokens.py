"""Prompts to token ids: special tokens are those of the template, the tokenizer's own and the image's mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from evalkit.embedders.checkpoint import Checkpoint
from evalkit.embedders.loading import said
from evalkit.embedders.vlm.template import Prompt
from evalkit.errors import EmbedderError, UsageError


class Tokens:
    """A checkpoint's tokenizer.

    Args:
        checkpoint: where the tokenizer's files are; ``tokenizer.json`` is read as it is.
        mark: the token that stands for the image; ``None`` where none of the tokenizer's does.
        mark_id: its id, as ``config.json`` says.
        empty: the token that stands for a text of no token, where the tokenizer begins none with a token of its own.

    Raises:
        UsageError: there is no tokenizer.
        EmbedderError: it is broken, or its image token is another one.
    """

    def __init__(self, checkpoint: Checkpoint, mark: str | None, mark_id: int, empty: str | None = None) -> None:
        self._tokenizer = load_tokenizer(checkpoint)
        folder, way_out = checkpoint.folder, checkpoint.way_out
        found = mark_id if mark is None else self._tokenizer.convert_tokens_to_ids(mark)
        if found != mark_id:
            raise EmbedderError(
                f"the tokenizer of {folder} has {mark} as {found}, config.json has image_token_id {mark_id}: {way_out}"
            )
        self._mark, self._mark_id, self._empty = mark or "", mark_id, None
        if empty is not None:
            self._empty = self._tokenizer.get_vocab().get(empty)
            if self._empty is None:
                raise EmbedderError(f"the tokenizer of {folder} has no token {empty}: {way_out}")
        self._special = {
            token.content: (number, token)
            for number, token in self._tokenizer.added_tokens_decoder.items()
            if token.special
        }
        if mark is not None and mark not in self._special:
            self._special[mark] = (mark_id, None)
        self._numbers = frozenset(number for number, _ in self._special.values())
        self._any = re.compile("|".join(map(re.escape, sorted(self._special, key=len, reverse=True))))

    @property
    def longest(self) -> int:
        """The tokenizer's own limit, ``model_max_length``."""
        return int(self._tokenizer.model_max_length)

    def count(self, text: str) -> int:
        """Tokens of a text, without those that the tokenizer adds."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of prompts, each at least one; the image's mark is one token.

        The whole prompt is tokenised in one go, as the families' own code does. Where words of the data look like a
        special token, they are text like any other.
        """
        if not prompts:
            return []
        wholes = ["".join(self._mark if p.kind == "image" else p.text for p in prompt) for prompt in prompts]
        rows: list[list[int]] = self._tokenizer(wholes)["input_ids"]
        return [self._sound(prompt, row) or self._for_nothing() for prompt, row in zip(prompts, rows, strict=True)]

    def expanded(self, ids: Sequence[int], count: int) -> list[int]:
        """With as many marks as an image has tokens in place of the one."""
        place = ids.index(self._mark_id)
        return [*ids[:place], *([self._mark_id] * count), *ids[place + 1 :]]

    def marks(self, ids: Sequence[int]) -> int:
        """How many tokens are the image's."""
        return sum(number == self._mark_id for number in ids)

    def cut(self, ids: Sequence[int], longest: int | None) -> list[int]:
        """Not more than so many; what the tokenizer itself puts after each text stays, as where it cuts by itself."""
        if longest is None or len(ids) <= longest:
            return list(ids)
        after = self._around[1]
        return [*ids[: longest - len(after)], *after]

    def ends_in(self, token: str) -> bool | None:
        """Whether the tokenizer itself puts a token after each text; ``None`` where it has no such token."""
        number = self._tokenizer.get_vocab().get(token)
        return None if number is None else number in self._around[1][-1:]

    def _sound(self, prompt: Prompt, row: list[int]) -> list[int]:
        """What the tokenizer made of the whole, or where the data's words have become special tokens, what is right."""
        expected = self._expected(prompt)
        return row if [token for token in row if token in self._numbers] == expected else self._apart(prompt)

    def _for_nothing(self) -> list[int]:
        if self._empty is None:
            raise EmbedderError("a text of no token has no state to pool, and its family names no token for it")
        return [self._empty]

    def _expected(self, prompt: Prompt) -> list[int]:
        """The special tokens that a prompt should have."""
        first, last = self._around
        inside = []
        for piece in prompt:
            if piece.kind == "image":
                inside.append(self._mark_id)
            elif piece.kind == "template":
                inside += [self._special[token][0] for token in self._any.findall(piece.text)]
        return [*first, *inside, *last]

    def _apart(self, prompt: Prompt) -> list[int]:
        """Token ids where the data's words look like special tokens: what stands between true ones by itself."""
        first, last = self._around
        ids, run, strip = list(first), "", False

        def text_of(run: str) -> list[int]:
            words: list[int] = self._tokenizer(run, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            return words

        def special(token: str) -> None:
            nonlocal run, strip
            number, added = self._special[token]
            ids.extend(text_of(run.rstrip() if added is not None and added.lstrip else run))
            ids.append(number)
            run, strip = "", added is not None and added.rstrip

        def words(text: str) -> None:
            nonlocal run
            run += text.lstrip() if strip and not run else text

        for piece in prompt:
            if piece.kind == "image":
                special(self._mark)
            elif piece.kind == "words":
                words(piece.text)
            else:
                place = 0
                for match in self._any.finditer(piece.text):
                    words(piece.text[place : match.start()])
                    special(match.group())
                    place = match.end()
                words(piece.text[place:])
        return [*ids, *text_of(run), *last]

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """What the tokenizer adds before and after each text."""
        plain = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self._tokenizer("a")["input_ids"]
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        return [], []


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """A checkpoint's tokenizer: ``tokenizer.json`` as it is, or else of ``vocab.json`` and ``merges.txt``.

    Raises:
        UsageError: there is none.
        EmbedderError: it is broken.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder, way_out = checkpoint.folder, checkpoint.way_out
    whole = (folder / "tokenizer.json").is_file()
    if not whole and not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        raise UsageError(
            f"checkpoint {folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt; {way_out}"
        )
    kind = PreTrainedTokenizerFast if whole else AutoTokenizer
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises no narrower class
        raise EmbedderError(f"the tokenizer of {folder} is broken ({said(error)}): {way_out}") from error

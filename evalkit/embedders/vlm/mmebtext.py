"""The texts of MMEB as VLM2Vec's code hands them to models that have their own image mark: ``protocol=vlm2vec``.

The published MMEB rows of GME and LamRA were made by that code and not by their authors' (TIGER-AI-Lab/VLM2Vec
6e1e1d4, ``processor.py``, ``process_input_text`` for the backbones ``gme`` and ``lamra``, with the replacements of the
loaders and of ``model.py`` after it): the instruction is a part of the text, and two of its quirks remain, a newline
where the mark was and a blank where a text would be.
"""

from __future__ import annotations

from typing import Literal, get_args

from evalkit.items import IMAGE_MARK, Item

Protocol = Literal["official", "vlm2vec"]
"""By the authors' own code, or as VLM2Vec's code made the published MMEB row."""
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


def beside_mark(item: Item) -> str:
    """An item's text without the mark of its image, as that code has it.

    A text without an image that begins with the mark all the same (queries of WebQA and EDIS) loses it with the
    newline after it.
    """
    if item.image is None:
        protocols_own = not item.text.startswith(IMAGE_MARK)
        return item.prompt.removeprefix(f"{IMAGE_MARK}\n") if protocols_own else item.prompt
    before, _, after = item.prompt.partition(IMAGE_MARK)
    text = before + after.removeprefix(" ")
    if item.text:
        return text
    # The blank that would stand before the text comes before the newline that the loaders add.
    return f"{text.removesuffix(chr(10))} \n" if text.endswith("\n") else f"{text} "

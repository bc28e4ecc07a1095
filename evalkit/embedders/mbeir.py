"""The texts of M-BEIR, which UniIR and LamRA were trained on and are evaluated with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.items import Item, Side


def words_of(item: Item, side: Side, told: bool = True) -> str:
    """What is read of an item: of a query its instruction and its text, of a candidate its text, as a sentence.

    Args:
        item: the item.
        side: of it.
        told: put a query's instruction before its text.
    """
    instruction = f"{item.instruction} " if told and side == "query" and item.instruction else ""
    return as_sentence(f"{instruction}{item.text}")


def as_sentence(text: str) -> str:
    """A text that begins with a capital and ends in a mark, as ``format_string`` makes it.

    Carriage returns, space around it and double quotes around it go; the first letter becomes upper case; a full stop
    follows unless the text ends in one, a question mark or an exclamation mark. A blank text stays blank.

    Source: UniIR 98dc570, ``data/preprocessing/utils.py``; LamRA 7286399 has the same.
    """
    text = text.replace("\r", "").strip().strip('"')
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."

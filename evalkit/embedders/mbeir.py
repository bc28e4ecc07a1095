"""The texts of M-BEIR, which UniIR and LamRA were trained on and are evaluated with."""

from __future__ import annotations


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

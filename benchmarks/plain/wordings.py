"""What each family's authors write of an item: one function a family, from an item and its side to a text.

The strings are those that ``tests/embedders`` holds evalkit to. The modules of ``evalkit/embedders`` name the sources.
"""

from __future__ import annotations

import unicodedata

from evalkit.items import Item, Side

SYSTEM = "You are a helpful assistant."
_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_END = "<|endoftext|>"


def sentence(item: Item, side: Side) -> str:
    """As M-BEIR has it: a query's instruction before its text, a capital first and a mark last."""
    words = f"{item.instruction if side == 'query' else ''} {item.text}".strip()
    if not words:
        return ""
    return f"{words[0].upper()}{words[1:]}" + ("" if words[-1] in ".?!" else ".")


def instructed(item: Item, side: Side) -> str:
    """A query's instruction before its text, as it is."""
    return f"{item.instruction if side == 'query' else ''} {item.text}".strip()


def _chat(system: str, user: str, after: str = "") -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{after}"


def _vision(item: Item) -> str:
    return "" if item.image is None else _PICTURE


def _asked(item: Item, words: str, pair: str = "image and sentence") -> str:
    """What a model that sums up is asked about."""
    if item.image is None:
        return "sentence"
    return pair if words else "image"


def gme(item: Item, side: Side) -> str:
    """The instruction of a query in the system's turn."""
    told = item.instruction if side == "query" else ""
    return _chat(told or SYSTEM, _vision(item) + item.text, _END)


def ops_mm(item: Item, side: Side) -> str:
    """The instruction of either side in the system's turn."""
    return _chat(item.instruction or SYSTEM, _vision(item) + item.text, _END)


def rzenembed(item: Item, side: Side) -> str:
    """The instruction before the text."""
    return _chat(SYSTEM, _vision(item) + f"{item.instruction} {item.text}".strip(), _END)


def lamra(item: Item, side: Side) -> str:
    """Asked for one word."""
    words = sentence(item, side)
    return _chat(SYSTEM, f"{_vision(item)}{words}\nSummarize above {_asked(item, words)} in one word: ")


def qwen3_vl_embedding(item: Item, side: Side) -> str:
    """The instruction of a query in the system's turn, ended by a mark."""
    told = item.instruction if side == "query" else ""
    if told and not unicodedata.category(told[-1]).startswith("P"):
        told += "."
    return _chat(told or "Represent the user's input.", _vision(item) + item.text)


def wemm(item: Item, side: Side) -> str:
    """The user's turn alone."""
    return f"<|im_start|>user\n{_vision(item)}{f'{item.instruction} {item.text}'.strip()}<|im_end|>\n"


def vlm2vec_qwen(item: Item, side: Side) -> str:
    """The prompt as it is, with Qwen2-VL's mark."""
    return item.prompt.replace("<image>", "<|image_pad|>")


def vlm2vec(item: Item, side: Side) -> str:
    """The prompt as it is."""
    return item.prompt


def e5_v(item: Item, side: Side) -> str:
    """Asked for one word, in Llama 3's turns."""
    asked = _asked(item, item.text, "image and text")
    user = "\n".join(filter(None, ("<image>" if item.image is not None else "", item.text)))
    return (
        f"<|start_header_id|>user<|end_header_id|>\n\n{user}\nSummary above {asked} in one word: "
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n \n"
    )


def unime_llava(item: Item, side: Side) -> str:
    """Asked for one word, in Mistral's turns."""
    user = "\n".join(filter(None, ("<image>" if item.image is not None else "", item.text)))
    return f"[INST] {user}\nSummary above {_asked(item, item.text)} in one word: [/INST]"


def unime_phi(item: Item, side: Side) -> str:
    """Asked for one word, in Phi-3's turns."""
    user = "\n".join(filter(None, ("<image>" if item.image is not None else "", item.text)))
    return f"<|user|>\n{user}\nSummary above {_asked(item, item.text)} in one word: <|end|>\n<|assistant|>\n"


def bge_vl(item: Item, side: Side) -> str:
    """The text before the image, after a query's instruction, with the double blanks of the authors."""
    content = f"{item.text} \n " if item.text else ""
    image = "<image> " if item.image is not None else ""
    if side == "candidate":
        return f"[INST]  {content}{image}[/INST]"
    told = f"{item.instruction} <query>  " if item.instruction else " <query> "
    return f"[INST] \n <instruct> {told}{content}{image}[/INST]"

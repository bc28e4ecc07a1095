"""The turns of a conversation as the Qwen family of models marks them."""

from __future__ import annotations

from evalkit.embedders.vlm.template import Template

NO_INSTRUCTION = "You are a helpful assistant."
"""What Qwen2-VL's chat template says in the system turn where nothing else is said."""
PICTURE = "<|vision_start|>{image}<|vision_end|>"
_TURNS = "<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\nUSER<|im_end|>\n<|im_start|>assistant\n"


def chat(user: str, after: str = "") -> Template:
    """A conversation up to where the assistant begins to speak; its system turn is the field ``instruction``.

    Args:
        user: the user's turn, with fields.
        after: what follows.
    """
    return Template(_TURNS.replace("USER", user) + after)

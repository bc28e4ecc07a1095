"""The prompts of MMEB and SCaR, character by character as the official loaders build them.

Source: the loaders ``image_cls``, ``image_qa``, ``image_i2t``, ``image_t2i`` and ``image_i2i_vg`` of
TIGER-AI-Lab/VLM2Vec (``src/data/eval_dataset``, 6e1e1d4), and ``scar_image_i2t`` of sony/virtue (36d8a8b,
``codes/src/data/eval_dataset``). Where they say ``<|image_pad|>`` (the mark of Qwen2-VL), prompts here say ``<image>``.
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.items import IMAGE_MARK, Box, box_sentence
from evalkit.suites.card import TaskCard

_RAW_MARK = "<|image_1|>"  # that the rows have


def without_mark(text: str) -> str:
    """The text without the rows' mark of an image."""
    return text.replace(_RAW_MARK, "")


@dataclass(frozen=True)
class RowText:
    """A row's text in two parts, as layout v2 has it.

    Attributes:
        instruction: what to do, with the rows' mark where the image goes.
        content: what to do it with.
        verbatim: the text is layout v1's and begins with another instruction than the card has: all of it is content.
    """

    instruction: str
    content: str
    verbatim: bool = False

    @property
    def plain_instruction(self) -> str:
        """The instruction without mark and space around it."""
        return without_mark(self.instruction).strip()


def split_v1(text: str, instruction: str) -> RowText:
    """Layout v1 has instruction and content in one text; the card knows the instruction."""
    mark = _RAW_MARK if text.startswith(_RAW_MARK) else ""
    body = text[len(mark) :]
    space = body[: len(body) - len(body.lstrip())]
    body = body[len(space) :]
    if not body.startswith(instruction):
        return RowText("", text, verbatim=True)
    # v1 texts end in the newline (VisDial: two) that the v2 loaders add again.
    content = body[len(instruction) :].rstrip("\n")
    return RowText(mark + space + instruction, content.removeprefix(" "))


def query_prompt(card: TaskCard, text: RowText) -> str:
    """The prompt of an MMEB query."""
    if text.verbatim:
        return text.content.replace(_RAW_MARK, IMAGE_MARK)
    if card.family == "image_t2i":
        # WebQA and EDIS carry the image mark in a query that has no image; the official loader keeps it,
        # and so the released checkpoints have seen it.
        prompt = f"{text.instruction.replace(_RAW_MARK, IMAGE_MARK)} {text.content}\n"
        # The text of v1's VisDial ended in a newline of its own: two in all.
        return prompt + "\n" if card.subset == "VisDial" else prompt
    instruction = without_mark(text.instruction)
    if card.family in ("image_qa", "image_i2i_vg"):
        instruction = "\n" + instruction.strip()
    return _after_mark(f"{instruction} {text.content}" if text.content else instruction) + "\n"


def candidate_prompt(card: TaskCard, part: RowText, instruction: str, has_caption: bool) -> str:
    """The prompt of an MMEB candidate that is an image.

    Args:
        card: of the task.
        part: its text.
        instruction: with the rows' mark; of layout v2 its row's.
        has_caption: whether its caption belongs to it.
    """
    if part.verbatim:
        return part.content.replace(_RAW_MARK, IMAGE_MARK)
    plain = without_mark(instruction)
    prompt = _after_mark(f"{plain} {part.content}" if has_caption else plain)
    # Candidates of image_i2i_vg without a caption (cropped objects, CIRR, NIGHTS, FashionIQ) end
    # without a newline; all others end in one.
    return prompt + "\n" if has_caption or card.family == "image_t2i" else prompt


def scar_prompt(question: str, box: Box) -> tuple[str, str, str]:
    """The prompt of a SCaR query; the run of it that names the box; and the sentence in that run.

    Two spaces stand before the first newline and one of them is removed: the released checkpoints were evaluated with
    the other, ``"<image> \\nFind …"``. The box is printed as Python prints a list, in pixels of the stored image, with
    the floating-point noise of x + width; no newline follows it.

    Args:
        question: without the rows' mark.
        box: of the region.
    """
    sentence = box_sentence(box)
    named = f"\n{sentence}"
    return _after_mark(f" {question}" if question else "") + named, named, sentence


def _after_mark(text: str) -> str:
    """The image mark, a space, the text; then every space before a newline goes, as in the v1 texts."""
    return f"{IMAGE_MARK} {text}".replace(" \n", "\n")

"""The rows of the miniature's 41 tasks, as values: what is written to disk, and what models are trained on."""

from __future__ import annotations

import random
from itertools import islice

from evalkit.errors import UsageError
from evalkit.miniature import answering, classification, grounding, retrieval
from evalkit.miniature import interactive as regions
from evalkit.miniature.examples import DrawnCandidate, Example, Maker

__all__ = ["TASKS", "DrawnCandidate", "Example", "examples"]

TASKS: dict[str, Maker] = {
    "ImageNet-1K": classification.imagenet_1k,
    "N24News": classification.n24news,
    "HatefulMemes": classification.hateful_memes,
    "VOC2007": classification.voc2007,
    "SUN397": classification.sun397,
    "Place365": classification.place365,
    "ImageNet-A": classification.imagenet_a,
    "ImageNet-R": classification.imagenet_r,
    "ObjectNet": classification.objectnet,
    "Country211": classification.country211,
    "OK-VQA": answering.ok_vqa,
    "A-OKVQA": answering.a_okvqa,
    "DocVQA": answering.docvqa,
    "InfographicsVQA": answering.infographics_vqa,
    "ChartQA": answering.chart_qa,
    "Visual7W": answering.visual7w,
    "ScienceQA": answering.science_qa,
    "VizWiz": answering.vizwiz,
    "GQA": answering.gqa,
    "TextVQA": answering.text_vqa,
    "VisDial": retrieval.visdial,
    "CIRR": retrieval.cirr,
    "VisualNews_t2i": retrieval.visual_news_t2i,
    "VisualNews_i2t": retrieval.visual_news_i2t,
    "MSCOCO_t2i": retrieval.mscoco_t2i,
    "MSCOCO_i2t": retrieval.mscoco_i2t,
    "NIGHTS": retrieval.nights,
    "WebQA": retrieval.webqa,
    "FashionIQ": retrieval.fashion_iq,
    "Wiki-SS-NQ": retrieval.wiki_ss_nq,
    "OVEN": retrieval.oven,
    "EDIS": retrieval.edis,
    "MSCOCO": grounding.mscoco,
    "RefCOCO": grounding.refcoco,
    "RefCOCO-Matching": grounding.refcoco_matching,
    "Visual7W-Pointing": grounding.visual7w_pointing,
    "RefCOCO_plus": regions.refcoco_plus,
    "RefCOCOg": regions.refcocog,
    "VisualGenome": regions.visual_genome,
    "COCO_Stuff": regions.coco_stuff,
    "ADE20K": regions.ade20k,
}
"""What makes the rows of each task, by the official name of its subset, in the order of the papers."""


def examples(task: str, count: int, seed: int) -> list[Example]:
    """Rows of a task.

    The same seed gives the same rows, and the first of them however many are asked for. Another seed gives
    other ones. Nothing is drawn before an image is asked for.

    Args:
        task: of :data:`TASKS`.
        count: of rows.
        seed: any number; the rows of two tasks are independent for the same seed, too.

    Raises:
        UsageError: there is no such task.
    """
    if task not in TASKS:
        raise UsageError(f"the miniature has no task {task!r}; it has {', '.join(TASKS)}")
    return list(islice(TASKS[task](random.Random(f"miniature {seed} {task}")), count))

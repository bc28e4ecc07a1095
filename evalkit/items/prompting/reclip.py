"""By two views whose scores are added, as ReCLIP adds those of its crop and of its blur.

ReCLIP (Subramanian et al., ACL 2022; ``allenai/reclip``, ``--box_representation_method crop,blur
--box_method_aggregator sum``) scores a text with a box by the cosine to the image cut to the box plus the cosine to the
image blurred around it. The vector of a query is therefore the sum of the two views' unit vectors, made of length 1
again: for one query that divides all its scores by one number, so the ranking is that of the sum.

Its spatial rules have nothing to do here. They choose among boxes that a detector proposes for one text: each (left,
right, above, below, bigger, smaller, inside, between, and their superlatives) compares two or three boxes of an image.
A query of SCaR is one box with ten texts and no other boxes, and ReCLIP's own code skips all its rules where there is
one box. To hold a caption's "left" against the box's place in the image would be another rule than any of them.

Other than there, too: ReCLIP adds the scores of two CLIPs (``RN50x16`` and ``ViT-B/32``) and writes each text in small
letters after ``a photo of``. Here model and words are those of the run, so a number of this mode is the run model's,
not ReCLIP's.
"""

from __future__ import annotations

from evalkit.items.prompting.blur import blurred_around
from evalkit.items.prompting.crop import cut_to_region
from evalkit.items.prompting.mode import Mode

RECLIP = Mode(
    "reclip",
    by="the image cut to them and, scores added, blurred but for them",
    given=cut_to_region,
    more=(blurred_around,),
)

"""Vision-language models as embedders: a text with its image is read, and the state of its last token is the vector.

What tells one family from another is what it writes, how large it makes images and where it counts positions from:
:mod:`evalkit.embedders.vlm.vlmembedder` has the frame, a file per family fills it in, and a file per backbone knows
transformers' model.
"""

"""MagicLens: a CLIP whose features of an image and a text a small transformer fuses, in a pickle of flax's bytes."""

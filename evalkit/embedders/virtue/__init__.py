"""VIRTUE (arXiv 2510.00523): Qwen2-VL that reads an image through SAM 2 as well, with a region as a prompt.

The facts of the released code (github.com/sony/virtue at 36d8a8b9) that this package keeps to, and where it
goes beyond, are in docs/virtue.md.
"""

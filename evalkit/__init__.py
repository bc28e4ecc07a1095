"""evalkit: how good is this multimodal embedder?

Nothing heavy is imported here: ``evalkit --help`` has to answer at once.
"""

__version__ = "0.1.0"

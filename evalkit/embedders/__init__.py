"""Embedders: the protocol, the registry, and one module per model family."""

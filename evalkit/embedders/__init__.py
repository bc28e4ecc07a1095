"""Embedders: the protocol, the registry, and one module or folder per model
family, which an entry point in setup.cfg makes known.

In: the text of a MODEL, then batches of items. Out: an embedder with its fingerprint, then vectors. Must not know:
``suites``, ``encoding``.
"""

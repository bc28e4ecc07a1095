"""A task's items to vectors: deduplicate, look up, order, batch, run, store.

In: a task's items, an embedder, the store. Out: a vector of each, made now or reused, and under which conditions.
Must not know: ``scoring``, ``runs``.
"""

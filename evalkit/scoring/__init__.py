"""Vectors and pools to ranks, ranks to numbers, and how sure those are: pure functions.

In: vectors, pools, which candidates are right. Out: ranks, metrics, intervals, tests: arithmetic alone. Must not
know: ``items``, ``suites``, ``embedders``, ``encoding``.
"""

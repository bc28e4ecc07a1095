"""Runs and published numbers to boards (``numbers``, ``published``), boards to files (``pages``, ``downloads``).

``report`` is the whole of it, from top to bottom; ``board`` is what the two halves share.

In: runs and published numbers. Out: boards, then pages and downloads of them. Must not know: ``evaluate``,
``checking``, ``demo``.
"""

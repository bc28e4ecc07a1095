"""The files of a run: what one embedder got on some tasks.

In: what a task gave, and what it depends on. Out: ``run.json`` and the per-query files; read again, they are held
against each other. Must not know: ``evaluate``, ``regression``, ``leaderboard``.
"""

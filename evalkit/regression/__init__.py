"""Two runs, and what differs between them.

In: two runs, baselines or files of scores. Out: their differences, how sure those are, a verdict, a new baseline.
Must not know: ``evaluate``, ``embedders``, ``leaderboard``.
"""

"""From cards and rows on disk to tasks. A suite is found by its name through entry points.

In: cards and rows on disk. Out: tasks: queries with their prompts, distinct candidates, pools, right ones. Must not
know: ``embedders``, ``encoding``.
"""

"""From cards and rows on disk to tasks. A suite is found by its name through entry points;
a card of evalkit's own lies in ``tasks/``, beside the package.

In: cards and rows on disk. Out: tasks: queries with their prompts, distinct candidates, pools, right ones. Must not
know: ``embedders``, ``encoding``.
"""

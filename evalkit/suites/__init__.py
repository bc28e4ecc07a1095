"""From cards and rows on disk to tasks. A suite is found by its name through entry points."""

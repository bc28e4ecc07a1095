"""What models did with single queries, for the pages that show them.

``answers`` is a run's per-query file, ``taskfiles`` all of a task's beside its data, ``media`` the images; ``sheets``
is what a page gets of them.
"""

"""Runs and published numbers to boards, boards to a site and to files for programs and papers.

Read ``report`` first, which is the whole of it, then ``board``: what flows from the first half to the second.

1. ``published``: files of papers' numbers (``papers`` is their schema) to rows (``reported`` is the top), with doubts.
2. ``numbers``: runs and these rows to boards. ``assemble`` is the top; every number is worked out here, once.
3. ``samples``: what models did with single queries, and their images, to sheets (``sheets`` is the top).
4. ``pages``: boards and sheets to HTML. ``html`` says which pages there are; the rest is in the room's own order.
5. ``downloads``: boards to CSV, JSON, LaTeX, Markdown, badges and a feed.

``wording`` is how 4 and 5 write numbers and strangers' words; ``site`` puts what they make on a disk.

In: runs and published numbers. Out: boards, then pages and downloads of them. Must not know: ``evaluate``,
``checking``, ``demo``.
"""

"""The miniature: a small drawn stand-in for all 41 tasks, in the files that the real ones come in.

It is there to try evalkit, to test it end to end, and to compare ways of prompting where everything is known.
A score on it says nothing about MMEB or SCaR.

* :func:`evalkit.miniature.taskrows.examples` makes rows of a task from a seed, as values;
* :func:`evalkit.miniature.write.write` writes them to disk, where the ordinary readers read them.

In: a size and a seed. Out: a drawn stand-in for each of the 41 tasks, in the files that the real ones come in. Must
not know: ``embedders``, ``encoding``.
"""

from __future__ import annotations

from evalkit.suites.suite import CardSuite

SUITE = CardSuite("miniature")

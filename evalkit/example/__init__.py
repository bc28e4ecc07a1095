"""A small example that runs without any download: generated shapes, in the layouts of MMEB and SCaR.

Four tasks, ``example/Shapes``, ``example/ShapeColours``, ``example/ShapeSearch`` and
``example/ShapeRegions``, one for each kind of question that evalkit asks: classify an image, answer a
question about it, find it by its caption, describe the object in a box. The rows and the images lie in
:data:`DATA`; :mod:`evalkit.example.generate` drew them and draws them again,
:class:`evalkit.embedders.colours.Colours` is an embedder for them that needs no weights.

A score on these tasks shows that evalkit works. It says nothing about MMEB or SCaR.

In: a seed. Out: drawn shapes in the layouts of MMEB and SCaR. Must not know: ``embedders``, ``encoding``.
"""

from __future__ import annotations

from pathlib import Path

from evalkit.suites.suite import CardSuite

SUITE = CardSuite("example")
DATA = Path(__file__).parent / "data"
"""The shipped rows, and the images below ``images``: what ``--data`` takes."""

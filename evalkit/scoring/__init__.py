"""Vectors and pools to ranks, ranks to numbers, and how sure those are: pure functions."""

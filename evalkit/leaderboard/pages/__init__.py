"""Boards to the pages of a site; no page computes a number."""

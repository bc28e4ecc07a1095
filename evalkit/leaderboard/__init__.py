"""Runs to tables to pages; no page computes a number."""

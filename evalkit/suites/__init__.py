"""Suites turn rows on disk into tasks. A suite is found by its name through entry points."""

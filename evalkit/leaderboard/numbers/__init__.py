"""Runs to boards: every number of the leaderboard is worked out here, and once."""

"""Boards as files for programs, papers and feed readers."""

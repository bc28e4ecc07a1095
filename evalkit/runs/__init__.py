"""The files of a run: what one embedder got on some tasks."""

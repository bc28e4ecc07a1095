"""The recipe of the tiny models that evalkit brings: ``python -m training --help``."""

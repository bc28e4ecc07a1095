"""Task cards: one TOML file per task, read with importlib.resources."""

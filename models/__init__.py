"""Model cards: one TOML file for each family, read with importlib.resources."""

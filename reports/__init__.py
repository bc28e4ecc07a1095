"""Report templates and static assets, read with importlib.resources."""

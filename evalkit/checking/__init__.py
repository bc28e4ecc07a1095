"""What `evalkit check` embeds, and what it looks at."""

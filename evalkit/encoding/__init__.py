"""Items to vectors: deduplicate, look up, order, batch, run, store."""

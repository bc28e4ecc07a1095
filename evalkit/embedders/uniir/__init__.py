"""UniIR (arXiv 2311.17136): CLIP and BLIP trained to follow instructions, from the files that its authors released."""

"""Model files: cards, resolution, export and quantisation."""
